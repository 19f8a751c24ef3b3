"""`fit`: what it records, that it repeats, and that re-use changes nothing."""

import keras
import numpy as np
import pytest

from tlkit.backbones import load_backbone
from tlkit.batches import Batches
from tlkit.classifier import build_classifier, shared_classifier
from tlkit.errors import InputError
from tlkit.freezing import set_trained, weight_snapshot
from tlkit.initial import head_weights
from tlkit.runs import Record
from tlkit.strategies import STRATEGIES, get_strategy
from tlkit.training import fit

QUICK = {"epochs": 2, "batch_size": 8, "steps_per_epoch": 3, "input_size": 32}


@pytest.fixture(scope="module")
def run(tiny_dataset):
    return fit(tiny_dataset, strategy="full", **QUICK)


def test_a_run_records_what_happened(run, tiny_dataset):
    assert run.history["phase"] == [0, 0]
    assert run.epochs == 2
    assert run.best_epoch in (1, 2)
    assert run.test_predictions.shape == (12, 3)
    assert np.allclose(run.test_predictions.sum(1), 1, atol=1e-5)
    best = run.history["val_accuracy"][run.best_epoch - 1]
    assert best == pytest.approx(max(run.history["val_accuracy"]))
    assert run.validation_metrics["accuracy"] == pytest.approx(best)
    assert run.seconds > 0
    assert run.total_parameters == run.model.count_params()
    assert run.settings["input_size"] == 32


def test_the_model_gives_the_recorded_predictions_on_raw_pixels(run, tiny_dataset):
    predicted = run.model.predict_on_batch(tiny_dataset.test.images)
    assert np.allclose(predicted, run.test_predictions, atol=1e-4)


@pytest.mark.parametrize("strategy", ["feature_extraction", "partial", "full"])
def test_the_same_seed_repeats_and_another_seed_does_not_spoil_it(strategy, tiny_dataset):
    shared_classifier.cache_clear()  # so that the first run traces and the last one does not
    first, _, again = (
        fit(tiny_dataset, strategy=strategy, seed=seed, **QUICK) for seed in (0, 1, 0)
    )
    assert np.allclose(first.test_predictions, again.test_predictions, atol=1e-3)
    assert first.history["loss"] == pytest.approx(again.history["loss"], abs=1e-3)


def test_cached_features_train_the_head_that_plain_keras_trains(tiny_dataset):
    """The same head, order and rate, once through the whole network in plain Keras."""
    run = fit(tiny_dataset, strategy="feature_extraction", seed=3, **(QUICK | {"epochs": 1}))
    network = load_backbone("mini_resnet", input_shape=(32, 32, 3))
    model = set_trained(build_classifier(network, 3, (32, 32, 3)), ["head"])
    model.set_weights(model.get_weights()[:-2] + head_weights(128, 3, seed=3))
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    train = tiny_dataset.train
    model.fit(
        Batches(train.images, train.labels, 8, seed=[3, 0], steps=3), shuffle=False, verbose=0
    )
    for mine, plain in zip(run.model.get_weights(), model.get_weights(), strict=True):
        assert np.allclose(mine, plain, atol=1e-5)


def test_seeds_share_one_compiled_model(tiny_dataset):
    shared_classifier.cache_clear()
    for seed, rate in enumerate((0.1, 0.01, 0.001)):
        fit(tiny_dataset, strategy="partial", seed=seed, learning_rate=rate, **QUICK)
    shape = (32, 32, 3)
    shared = shared_classifier("mini_resnet", shape, shape, 3)
    assert shared_classifier.cache_info().misses == 1
    assert len(shared._trainers) == 1
    trainer = shared.trainer(("block5", "head"), "frozen")
    assert len(shared._trainers) == 1
    assert trainer.model.train_function is not None


def test_a_given_backbone_is_the_start_and_stays_as_it_was(tiny_dataset):
    backbone = load_backbone("mini_vgg", weights=None, input_shape=(32, 32, 3), seed=5)
    before = weight_snapshot(backbone.model)
    options = QUICK | {"input_size": None}
    run = fit(tiny_dataset, backbone=backbone, strategy="feature_extraction", **options)
    for path, value in before.values.items():
        assert np.array_equal(value, weight_snapshot(backbone.model).values[path])
        assert np.array_equal(value, weight_snapshot(run.model).values[path])


def test_discriminative_rates_fall_towards_the_input(tiny_dataset):
    """With Adam a first step has the size of the rate, so that steps show the factors."""
    backbone = load_backbone("mini_vgg", input_shape=(32, 32, 3))
    before = weight_snapshot(backbone.model)
    run = fit(
        tiny_dataset,
        backbone=backbone,
        strategy="discriminative",
        epochs=1,
        steps_per_epoch=1,
        batch_size=24,
    )
    after = weight_snapshot(run.model).values
    largest = {
        stage: max(
            np.abs(after[path] - value).max()
            for path, value in before.values.items()
            if before.stages[path] == stage and path not in before.batchnorm
        )
        for stage in ("block1", "block3", "block5")
    }
    assert largest["block5"] == pytest.approx(1e-3 / 2.6, rel=0.05)
    assert largest["block1"] == pytest.approx(1e-3 / 2.6**5, rel=0.05)


def test_early_stopping_ends_a_phase(tiny_dataset):
    run = fit(tiny_dataset, strategy="feature_extraction", patience=1, **(QUICK | {"epochs": 40}))
    assert run.epochs < 40
    assert run.best_epoch <= run.epochs


def test_batches_read_every_image_once_a_pass_in_a_new_order():
    batches = Batches(np.arange(10), np.arange(10), 4, seed=0)
    passes = []
    for _ in range(2):
        passes.append(np.concatenate([batches[i][1] for i in range(len(batches))]))
        batches.on_epoch_end()
    assert sorted(passes[0]) == sorted(passes[1]) == list(range(10))
    assert passes[0].tolist() != passes[1].tolist()


def test_batches_go_round_a_small_set_again():
    batches = Batches(np.arange(6), np.arange(6), 4, seed=0, steps=5)
    seen = np.concatenate([batches[i][1] for i in range(5)])
    assert len(seen) == 4 + 2 + 4 + 2 + 4
    assert sorted(seen[:6]) == sorted(seen[6:12]) == list(range(6))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strategy": "magic"}, r"strategy='magic'.*lp_ft"),
        ({"strategy": "full", "until": "block3"}, "until goes with 'partial'"),
        ({"backbone": "mini_resnett"}, r"mini_resnett.*Did you mean"),
        ({"epochs": 0}, "epochs=0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"learning_rate": -1.0}, "learning_rate=-1.0"),
        ({"steps_per_epoch": 0}, "steps_per_epoch=0"),
        ({"batchnorm": "off"}, "batchnorm='off'"),
    ],
)
def test_bad_arguments_are_named(tiny_dataset, arguments, message):
    with pytest.raises(InputError, match=message):
        fit(tiny_dataset, **({"epochs": 1} | arguments))


def test_strategies_are_the_eight_of_the_course():
    assert list(STRATEGIES) == [
        "scratch",
        "feature_extraction",
        "partial",
        "full",
        "gradual",
        "discriminative",
        "lp_ft",
        "first_stage",
    ]
    assert get_strategy("partial").trained == ("block5", "head")
    assert get_strategy("first_stage").trained == ("block1", "head")


def test_a_record_holds_no_model(run):
    assert "model" not in Record.__dataclass_fields__
    assert run.model is not None

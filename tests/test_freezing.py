"""Which weights move, to the last bit: every strategy on every embedded backbone."""

import keras
import numpy as np
import pytest

from tlkit import training
from tlkit.backbones import STAGES, find_backbone, load_backbone
from tlkit.classifier import build_classifier
from tlkit.errors import InputError
from tlkit.freezing import (
    HEAD,
    assert_only_trained,
    freeze,
    is_batchnorm,
    layers_by_stage,
    trainable_report,
    weight_snapshot,
)
from tlkit.mini import MINI
from tlkit.strategies import STRATEGIES, allot_epochs


@pytest.fixture
def phases(monkeypatch):
    """Every phase that `fit` asserted: (before, after, stages, batchnorm)."""
    seen = []

    def spy(before, after, stages, *, batchnorm, all_moved):
        seen.append((before, after, stages, batchnorm))

    monkeypatch.setattr(training, "assert_only_trained", spy)
    return seen


def check_by_hand(before, after, stages, updates):
    """The same question as `assert_only_trained`, asked without its code."""
    for path, value in before.values.items():
        batchnorm = path in before.batchnorm
        expected = before.stages[path] in stages and (updates or not batchnorm)
        assert (value.tobytes() != after.values[path].tobytes()) == expected, path


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", MINI)
def test_each_phase_moves_exactly_its_stages(name, strategy, tiny_dataset, phases):
    plan = STRATEGIES[strategy]
    for _ in range(2):  # the second fit re-uses the compiled model of the first
        training.fit(
            tiny_dataset,
            backbone=name,
            strategy=strategy,
            epochs=len(plan.phases),
            batch_size=8,
            steps_per_epoch=1,
            input_size=32,
        )
    assert [stages for _, _, stages, _ in phases] == 2 * [phase.trained for phase in plan.phases]
    for before, after, stages, batchnorm in phases:
        assert batchnorm == ("update" if strategy == "scratch" else "frozen")
        assert_only_trained(before, after, stages, batchnorm=batchnorm)
        check_by_hand(before, after, stages, updates=strategy == "scratch")


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["feature_extraction", "partial", "full", "first_stage"])
def test_a_trained_model_stays_frozen_in_keras_own_fit(strategy, tiny_dataset, tmp_path):
    run = training.fit(
        tiny_dataset, strategy=strategy, epochs=1, steps_per_epoch=1, batch_size=8, input_size=32
    )
    images, labels = tiny_dataset.train.images, tiny_dataset.train.labels
    for _ in range(2):
        before = weight_snapshot(run.model)
        run.model.fit(images, labels, verbose=0)
        trained = STRATEGIES[strategy].trained
        assert_only_trained(before, weight_snapshot(run.model), trained)

    run.model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    before = weight_snapshot(loaded)
    assert_only_trained(weight_snapshot(run.model), before, [])
    loaded.fit(images, labels, verbose=0)
    assert_only_trained(before, weight_snapshot(loaded), trained)


@pytest.mark.slow
def test_updating_batchnorm_is_confined_to_trained_stages(tiny_dataset, phases):
    training.fit(
        tiny_dataset,
        strategy="partial",
        until="block3",
        batchnorm="update",
        epochs=1,
        steps_per_epoch=1,
        batch_size=8,
        input_size=32,
    )
    [(before, after, stages, batchnorm)] = phases
    assert stages == ("block4", "block5", HEAD)
    assert batchnorm == "update"
    check_by_hand(before, after, stages, updates=True)


@pytest.mark.parametrize("name", MINI)
@pytest.mark.parametrize("until", [*STAGES, None])
def test_freeze_covers_every_layer_up_to_the_stage(name, until):
    model = build_classifier(load_backbone(name, weights=None), 3, (64, 64, 3))
    table = trainable_report(freeze(model, until=until)).set_index("stage")
    frozen = list(STAGES[: STAGES.index(until) + 1]) if until else []
    assert table.index[table["trainable"] == 0].tolist() == frozen
    assert table["parameters"].sum() == model.count_params()
    assert set(table["batchnorm"]) <= {"inference", "none"}
    assert not any(
        layer.trainable
        for layers in layers_by_stage(model).values()
        for layer in layers
        if is_batchnorm(layer)
    )


def test_report_names_updating_batchnorm():
    model = load_backbone("mini_vgg", weights=None).model
    table = trainable_report(freeze(model, until="block2", batchnorm="update"))
    assert table["batchnorm"].tolist() == ["inference"] * 2 + ["update"] * 3


def test_assertion_names_what_strayed_and_what_stayed():
    model = load_backbone("mini_vgg", weights=None).model
    before = weight_snapshot(model)
    layer = model.get_layer("block2_1_conv")
    layer.set_weights([layer.get_weights()[0] + 1])
    after = weight_snapshot(model)
    with pytest.raises(AssertionError, match=r"block2: .*block2_1_conv"):
        assert_only_trained(before, after, ["block5"])
    with pytest.raises(AssertionError, match="did not move"):
        assert_only_trained(before, after, ["block2", "block3"])
    assert_only_trained(before, after, ["block2", "block3"], all_moved=False)


def test_an_untouched_statistic_that_is_not_a_number_has_not_moved():
    model = load_backbone("mini_vgg", weights=None).model
    layer = model.get_layer("block1_1_bn")
    layer.set_weights([np.full_like(weight, np.nan) for weight in layer.get_weights()])
    assert_only_trained(weight_snapshot(model), weight_snapshot(model), [])


def test_bad_arguments_name_what_is_allowed():
    model = load_backbone("mini_vgg", weights=None).model
    with pytest.raises(InputError, match=r"until='block9'.*block1"):
        freeze(model, until="block9")
    with pytest.raises(InputError, match=r"batchnorm='off'.*frozen"):
        freeze(model, until=None, batchnorm="off")
    with pytest.raises(InputError, match="no backbone of the catalogue"):
        freeze(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]), until="block1")
    with pytest.raises(InputError, match="different models"):
        assert_only_trained(
            weight_snapshot(model),
            weight_snapshot(load_backbone("mini_resnet", weights=None).model),
            [],
        )


def test_the_backbone_is_found_inside_a_classifier():
    backbone = load_backbone("mini_vgg", weights=None)
    assert find_backbone(build_classifier(backbone, 2, (64, 64, 3))) is backbone.model


@pytest.mark.parametrize("epochs", range(1, 13))
@pytest.mark.parametrize("name", STRATEGIES)
def test_all_epochs_are_allotted_and_the_last_phase_runs(name, epochs):
    strategy = STRATEGIES[name]
    allotted = allot_epochs(strategy, epochs)
    assert sum(count for _, count in allotted) == epochs
    assert allotted[-1][0] == strategy.phases[-1]

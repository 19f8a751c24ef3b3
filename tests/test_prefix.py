"""The frozen part runs once, what is kept of it is right, and training does not notice."""

from functools import partial

import keras
import numpy as np
import pytest

from tlkit import feature_cache
from tlkit.backbones import load_backbone
from tlkit.batches import Batches, Reader
from tlkit.classifier import SharedClassifier, build_classifier, shared_classifier
from tlkit.dataset import Dataset, Split
from tlkit.errors import InputError
from tlkit.freezing import set_trained
from tlkit.graph import fingerprints, frontier, submodel, unfold
from tlkit.initial import head_weights
from tlkit.precision import measure_precision
from tlkit.prefix import Pixels, features
from tlkit.strategies import allot_epochs, get_strategy
from tlkit.training import fit

QUICK = {"epochs": 2, "batch_size": 8, "steps_per_epoch": 3, "input_size": 32}
STRATEGIES = ("feature_extraction", "partial", "gradual", "lp_ft")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """An empty cache for each test."""
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def calls(monkeypatch):
    """List what `SharedClassifier.run` is asked for: (start, end, images)."""
    seen = []
    run = SharedClassifier.run

    def spy(self, start, end, arrays):
        seen.append((start, end, len(arrays[0])))
        return run(self, start, end, arrays)

    monkeypatch.setattr(SharedClassifier, "run", spy)
    return seen


def passes(calls) -> list:
    """Those calls that compute a frozen part."""
    return [call for call in calls if call[1] != shared().graph.outputs]


def shared(name="mini_resnet", side=32):
    return shared_classifier(name, (side, side, 3), (32, 32, 3), 3)


def plain_keras(dataset, network, strategy, seed, epochs, steps, batch_size, rate):
    """Train the whole network in the plain Keras way; return its weights after each epoch."""
    model = build_classifier(network, dataset.num_classes, dataset.train.images.shape[1:])
    width = network.model.output.shape[-1]
    head = head_weights(width, dataset.num_classes, seed)
    model.set_weights(network.model.get_weights() + head)
    weights = []
    for number, (phase, count) in enumerate(allot_epochs(get_strategy(strategy), epochs)):
        set_trained(model, phase.trained)
        model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
        train = dataset.train
        batches = Batches(train.images, train.labels, batch_size, seed=[seed, number], steps=steps)
        note = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: weights.append(model.get_weights())
        )
        model.fit(batches, epochs=count, shuffle=False, callbacks=[note], verbose=0)
    return weights


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    ("name", "side", "rate"),
    [
        ("mini_resnet", 64, 1e-3),
        ("mini_inception", 64, 1e-3),
        ("mobilenet_v2", 64, 1e-4),
        ("resnet50", 64, 1e-4),
    ],
)
def test_training_from_kept_features_is_plain_training(name, side, rate, strategy, tiny_dataset):
    """With random weights for the big ones, which nobody needs to have downloaded."""
    weights = "default" if name.startswith("mini") else None
    network = load_backbone(name, weights=weights, input_shape=(side, side, 3), seed=0)
    options = {"epochs": 6, "batch_size": 8, "learning_rate": rate, "seed": 1}
    run = fit(
        tiny_dataset, backbone=network, strategy=strategy, steps_per_epoch=3, patience=9, **options
    )
    kept = [names for names in run.engine["frozen_part"] if names]
    assert kept, "nothing was kept, so nothing is tested"
    plain = plain_keras(tiny_dataset, network, strategy, 1, 6, 3, 8, rate)
    for mine, theirs in zip(run.weights, plain[run.best_epoch - 1], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-5)


def test_a_frozen_part_runs_once_for_all_seeds_rates_and_strategies(tiny_dataset, calls):
    fit(tiny_dataset, strategy="partial", **QUICK)
    images = sum(count for *_, count in passes(calls))
    assert images == sum(len(getattr(tiny_dataset, s)) for s in ("train", "validation", "test"))
    fit(tiny_dataset, strategy="partial", seed=1, learning_rate=0.1, **QUICK)
    assert images == sum(count for *_, count in passes(calls))


def test_a_higher_cut_goes_on_from_a_lower_one(tiny_dataset, calls):
    fit(tiny_dataset, strategy="partial", **QUICK)
    before = len(passes(calls))
    fit(tiny_dataset, strategy="feature_extraction", **QUICK)
    set_trained(shared().model, ("block5", "head"))
    block4 = frontier(shared().graph)
    later = passes(calls)[before:]
    assert later
    assert all(start == block4 for start, *_ in later), "it began at the pixels again"


def test_all_phases_of_gradual_take_one_pass(tiny_dataset, calls):
    fit(tiny_dataset, strategy="gradual", **(QUICK | {"epochs": 6}))
    of_training_images = [call for call in passes(calls) if call[2] == len(tiny_dataset.train)]
    assert len(of_training_images) == 1


def test_a_cut_through_branches_keeps_several_tensors(tiny_dataset):
    """One branch of an Inception module is trained: its siblings end in tensors of their own."""
    whole = SharedClassifier(
        build_classifier(load_backbone("mini_inception", input_shape=(32, 32, 3)), 3, (32, 32, 3))
    )
    set_trained(whole.model, ("head",))
    backbone = whole.model.get_layer("mini_inception")
    module = [layer for layer in backbone.layers if layer.name.startswith("block5")]
    branch = next(layer for layer in module if isinstance(layer, keras.layers.Conv2D))
    branch.trainable = True
    cut = frontier(whole.graph)
    assert len(cut) > 1
    images = tiny_dataset.train.images
    arrays = features(whole, cut, Pixels(images))
    rest = submodel(whole.graph, cut, whole.graph.outputs)
    np.testing.assert_allclose(
        rest.predict_on_batch([np.array(array) for array in arrays]),
        whole.model.predict_on_batch(images),
        atol=1e-6,
    )


def test_what_is_random_or_updated_in_training_ends_the_frozen_part():
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, trainable=False)(image)
    still = x
    x = keras.layers.BatchNormalization(scale=False, center=False)(x)
    model = keras.Model(image, keras.layers.Flatten()(x))
    graph = unfold(model)
    assert [graph.shapes[i] for i in frontier(graph)] == [still.shape[1:]]
    model.layers[2].trainable = False
    assert frontier(graph) == graph.outputs
    noisy = keras.Model(image, keras.layers.Dropout(0.5)(still))
    assert frontier(unfold(noisy)) != unfold(noisy).outputs
    quiet = keras.Model(image, keras.layers.Dropout(0.0)(still))
    assert frontier(unfold(quiet)) == unfold(quiet).outputs


def test_fingerprints_tell_apart_what_differs_and_nothing_else():
    def mark(kernel=1.0, strides=1, name=None, scale=2.0):
        image = keras.Input((8, 8, 3))
        conv = keras.layers.Conv2D(4, 3, strides=strides, name=name)
        model = keras.Model(image, conv(image * scale))
        conv.set_weights([np.full((3, 3, 3, 4), kernel), np.zeros(4)])
        graph = unfold(model)
        return fingerprints(graph, graph.outputs)[graph.outputs[0]]

    assert mark() == mark(name="another")
    assert len({mark(), mark(kernel=2.0), mark(strides=2), mark(scale=3.0)}) == 4


def test_other_images_or_precision_are_kept_apart(tiny_dataset):
    images = tiny_dataset.train.images
    changed = images.copy()
    changed[0, 0, 0, 0] ^= 1
    twin = shared_classifier("mini_resnet", (32, 32, 3), (32, 32, 3), 3, "bfloat16")
    twin.model.set_weights(shared().model.get_weights())
    cut = shared().trainer(("head",), "frozen").cut
    for classifier, pixels in ((shared(), images), (shared(), changed), (twin, images)):
        features(classifier, cut, Pixels(pixels))
    assert len(feature_cache.entries()) == 3


def test_without_room_or_wish_nothing_is_kept_and_nothing_changes(tiny_dataset, monkeypatch):
    kept = fit(tiny_dataset, strategy="partial", **QUICK)
    count = len(feature_cache.entries())
    refused = fit(tiny_dataset, strategy="partial", cache=False, seed=0, **QUICK)
    monkeypatch.setenv("TLKIT_CACHE_LIMIT", "0")
    no_room = fit(tiny_dataset, strategy="partial", **QUICK)
    assert len(feature_cache.entries()) == count
    for other in (refused, no_room):
        assert other.engine["frozen_part"] == [[]]
        for mine, theirs in zip(kept.weights, other.weights, strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-5)


def test_augmentation_runs_everything_and_views_are_kept(tiny_dataset):
    fresh = fit(tiny_dataset, strategy="feature_extraction", augmentation=["noise"], **QUICK)
    assert fresh.engine["frozen_part"] == [[]]
    assert fresh.settings["augmentation"] == ["noise"]
    run = partial(fit, tiny_dataset, strategy="feature_extraction", augmentation=["noise"], **QUICK)
    two, three = run(views=2), run(views=3)
    assert (two.settings["views"], three.settings["views"]) == (2, 3)
    assert two.engine["frozen_part"] == [["pool"]]
    assert not np.allclose(two.weights[-2], three.weights[-2])
    rows = {len(feature_cache.find(key)) for key in feature_cache.entries()["key"]}
    assert {2 * len(tiny_dataset.train), 3 * len(tiny_dataset.train)} <= rows


def test_seeds_share_their_views_and_other_augmentations_have_their_own(tiny_dataset, calls):
    options = QUICK | {"strategy": "feature_extraction", "views": 2}
    for seed in (0, 1):
        fit(tiny_dataset, augmentation=["noise", "flip"], seed=seed, **options)
    rows = 2 * len(tiny_dataset.train) + len(tiny_dataset.validation)
    rows += len(tiny_dataset.test)
    assert sum(count for *_, count in passes(calls)) == rows
    fit(tiny_dataset, augmentation=["noise"], **options)
    assert sum(count for *_, count in passes(calls)) == rows + 2 * len(tiny_dataset.train)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"views": 2}, "views=2 goes with augmentation"),
        ({"views": 0, "augmentation": "all"}, "views=0"),
        ({"views": 2, "augmentation": lambda images: images}, "plain function"),
        ({"augmentation": ["turn"]}, r"\['turn'\].*rotation"),
        ({"precision": "float16"}, r"precision='float16'.*bfloat16"),
        ({"weight_decay": -1.0}, "weight_decay=-1.0"),
    ],
)
def test_bad_arguments_are_named(tiny_dataset, arguments, message):
    with pytest.raises(InputError, match=message):
        fit(tiny_dataset, strategy="feature_extraction", **QUICK, **arguments)


def test_precision_is_chosen_by_measurement(tiny_dataset, monkeypatch):
    run = fit(tiny_dataset, strategy="feature_extraction", precision="auto", **QUICK)
    facts = run.engine["precision"]
    faster = facts["bfloat16_seconds"] < facts["float32_seconds"]
    agrees = facts["disagreement"] <= facts["tolerance"]
    assert facts["used"] == ("bfloat16" if faster and agrees else "float32")
    assert 0 < facts["disagreement"] < 0.1
    plain = fit(tiny_dataset, strategy="feature_extraction", **QUICK)
    assert plain.engine["precision"] == {"used": "float32"}
    forced = fit(tiny_dataset, strategy="feature_extraction", precision="bfloat16", **QUICK)
    assert forced.engine["precision"] == {"used": "bfloat16"}


@pytest.mark.parametrize(
    ("times", "error", "used"),
    [
        ((2.0, 1.0), 0.001, "bfloat16"),
        ((1.0, 2.0), 0.001, "float32"),
        ((2.0, 1.0), 0.5, "float32"),
    ],
)
def test_bfloat16_must_be_faster_and_agree(times, error, used, monkeypatch):
    class Fake:
        def __init__(self, seconds, value):
            self.seconds, self.value, self.graph = seconds, value, shared().graph

        def run(self, start, end, arrays):
            return [np.full(3, self.value)]

    monkeypatch.setattr("tlkit.precision._time", lambda fake, cut, images: fake.seconds)
    exact, fast = Fake(times[0], 1.0), Fake(times[1], 1.0 + error)
    assert measure_precision(exact, fast, (1,), np.zeros((2, 8, 8, 3)))["used"] == used


def test_weight_decay_shrinks_what_is_trained(tiny_dataset):
    sizes = [
        np.linalg.norm(
            fit(tiny_dataset, strategy="feature_extraction", weight_decay=d, **QUICK).weights[-2]
        )
        for d in (0.0, 10.0)
    ]
    assert sizes[1] < 0.8 * sizes[0]


def test_reading_a_mapped_file_gives_its_memory_back(tmp_path):
    import psutil

    path = tmp_path / "big.npy"
    np.lib.format.open_memmap(path, "w+", np.uint8, (300, 2**20)).flush()
    array = np.load(path, mmap_mode="r")
    before = psutil.Process().memory_info().rss
    reader = Reader([array])
    for row in range(300):
        reader.read(slice(row, row + 1))
    assert psutil.Process().memory_info().rss - before < 150 * 2**20


def test_a_copy_on_write_map_keeps_what_was_written_to_it(tmp_path):
    path = tmp_path / "small.npy"
    np.save(path, np.zeros((4, 2**20), np.uint8))
    array = np.load(path, mmap_mode="c")
    array[:] = 7
    reader = Reader([array])
    reader.read(slice(0, 4))
    reader.release()
    assert (array == 7).all()


def test_batches_of_several_arrays_and_of_views():
    one, two = np.arange(12), np.arange(12) * 10
    batches = Batches([one, two], np.arange(6), 4, seed=0, views=2)
    seen = [batches[index] for index in range(len(batches))]
    for (first, second), labels in seen:
        assert (second == first * 10).all()
        assert (first % 6 == labels).all()
    assert sorted(np.concatenate([labels for _, labels in seen])) == list(range(6))


def test_the_engine_needs_no_more_than_a_dataset_of_one_image_a_class():
    split = Split(np.arange(3 * 32 * 32 * 3, dtype=np.uint8).reshape(3, 32, 32, 3), np.arange(3))
    one_each = Dataset("one", ("a", "b", "c"), split, split, split)
    run = fit(one_each, strategy="lp_ft", **QUICK)
    assert run.epochs == 2

"""Augmentation: each of the seven does what it says, to each image by itself, and repeats."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

from tlkit.augmentation import AUGMENTATIONS, as_augmentation, augment, build_augmentation
from tlkit.augmented_views import AugmentedViews, preview
from tlkit.batches import Batches
from tlkit.errors import InputError

SIDE = 24
SHAPE = (SIDE, SIDE, 3)
GEOMETRIC = ("rotation", "translation", "scaling", "flip", "crop")


def smooth_images(count: int, seed: int = 0, side: int = SIDE) -> np.ndarray:
    """Blobs of colour, as uint8: interpolation changes them little."""
    small = np.random.default_rng(seed).integers(20, 236, (count, 6, 6, 3)).astype(np.uint8)
    return np.asarray(keras.ops.image.resize(small.astype("float32"), (side, side))).astype("uint8")


def disc(radius: float, side: int = 41) -> np.ndarray:
    """A white disc with a soft edge in the middle of a black square, [side, side, 3]."""
    across = np.arange(side) - (side - 1) / 2
    distance = np.hypot(across[:, None], across[None, :])
    return np.repeat(np.clip(radius + 0.5 - distance, 0, 1)[..., None], 3, axis=2) * 255


def centroids(images: np.ndarray) -> np.ndarray:
    """Rows and columns of the centres of brightness, [n, 2], from the middle of the image."""
    weight = images.sum(axis=3)
    along = np.arange(images.shape[1]) - (images.shape[1] - 1) / 2
    total = weight.sum(axis=(1, 2))
    rows = (weight.sum(axis=2) * along).sum(axis=1) / total
    return np.stack([rows, (weight.sum(axis=1) * along).sum(axis=1) / total], axis=1)


def transformed(name: str, image: np.ndarray, count: int = 40, seed: int = 0) -> np.ndarray:
    """One image under `count` draws of one augmentation."""
    return augment(build_augmentation([name], image.shape, seed=seed), np.stack([image] * count))


@pytest.fixture(scope="module")
def everything():
    return build_augmentation("all", SHAPE)


def test_the_seven_are_in_order_and_described():
    assert list(AUGMENTATIONS) == [
        "rotation", "translation", "scaling", "flip", "crop", "colour", "noise",
    ]  # fmt: skip
    for kind in AUGMENTATIONS.values():
        for strength in set(kind.strength) - {"contrast", "saturation"}:
            assert f"`{strength}`" in kind.description


@pytest.mark.parametrize("names", [*([name] for name in AUGMENTATIONS), "all"], ids=str)
def test_each_keeps_shape_and_range_and_changes_the_image(names):
    images = smooth_images(12)
    result = augment(build_augmentation(names, SHAPE), images)
    assert result.shape == images.shape
    assert result.dtype == np.float32
    assert result.min() >= 0
    assert result.max() <= 255
    assert result.max() > 2  # still on the scale of pixels
    changed = np.abs(result - images).mean(axis=(1, 2, 3)) > 1
    assert changed.sum() >= (2 if names == ["flip"] else 10)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_equal_images_of_a_batch_are_transformed_differently(name):
    result = transformed(name, smooth_images(1)[0], count=16)
    different = np.abs(result - result[:1]).mean(axis=(1, 2, 3)) > 0.1
    assert 2 <= different.sum() < 16


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_seeds_repeat_and_differ(name):
    image = smooth_images(1)[0]
    first, again, other = (transformed(name, image, 16, seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other, atol=0.1)


def test_a_layer_draws_the_same_whatever_stands_beside_it():
    images = smooth_images(6)
    both = augment(build_augmentation(["flip", "rotation"], SHAPE, seed=3), images)
    for name in ("rotation", "flip"):
        images = augment(build_augmentation([name], SHAPE, seed=3), images)
    assert np.allclose(both, images, atol=1e-3)


def test_layers_of_one_pipeline_have_different_seeds(everything):
    random_layers = [layer for layer in everything.layers if getattr(layer, "seed", None)]
    assert len(random_layers) == len({layer.seed for layer in random_layers}) == 7


def test_order_and_repetition_of_names_do_not_matter():
    images = smooth_images(4)
    first, second = (
        augment(build_augmentation(names, SHAPE), images)
        for names in (["noise", "crop", "noise"], ("crop", "noise"))
    )
    assert np.array_equal(first, second)


def test_nothing_happens_out_of_training(everything):
    images = smooth_images(4)
    assert np.allclose(everything(images, training=False), images, atol=1e-3)
    assert not np.allclose(everything(images, training=True), images, atol=10)


@pytest.mark.parametrize("name", GEOMETRIC)
def test_no_dark_wedges_come_in_at_the_edges(name):
    assert transformed(name, np.full(SHAPE, 200, np.uint8)).min() > 199


def test_flip_only_mirrors():
    image = smooth_images(1)[0]
    result = transformed("flip", image)
    mirrored = [np.array_equal(one, image[:, ::-1]) for one in result]
    same = [np.array_equal(one, image) for one in result]
    assert all(np.logical_xor(mirrored, same))
    assert 10 <= sum(mirrored) <= 30


def test_rotation_keeps_a_centred_disc_and_turns_a_bar():
    round_image = disc(12)
    assert np.abs(transformed("rotation", round_image) - round_image).mean() < 1.5
    bar = np.zeros((41, 41, 3))
    bar[20, 20:36] = 255
    rows, columns = centroids(transformed("rotation", bar)).T
    degrees = np.abs(np.degrees(np.arctan2(rows, columns)))
    allowed = AUGMENTATIONS["rotation"].strength["degrees"]
    assert degrees.max() <= allowed + 0.5
    assert degrees.max() > 0.7 * allowed


def test_translation_moves_by_at_most_the_stated_share():
    moved = np.abs(centroids(transformed("translation", disc(8))))
    allowed = AUGMENTATIONS["translation"].strength["share"] * 41
    assert moved.max() <= allowed + 0.05
    assert (moved.max(axis=0) > 0.7 * allowed).all()


def test_scaling_changes_the_size_and_not_the_place():
    image = disc(10)
    result = transformed("scaling", image)
    factors = np.sqrt(result.sum(axis=(1, 2, 3)) / image.sum())
    share = AUGMENTATIONS["scaling"].strength["share"]
    assert np.abs(centroids(result)).max() < 0.05
    assert factors.min() >= 1 / (1 + share) - 0.02
    assert factors.max() <= 1 / (1 - share) + 0.02
    assert factors.min() < 0.95
    assert factors.max() > 1.05


def test_crop_shows_a_window_of_the_image():
    """On a ramp of rows and columns each pixel says where in the image it comes from."""
    side, least = 41, AUGMENTATIONS["crop"].strength["share"]
    rows, columns = np.mgrid[:side, :side]
    ramp = np.stack([rows, columns, rows], axis=2).astype(np.float32)
    result = transformed("crop", ramp)
    for channel, axis in ((0, 1), (1, 2)):
        first, last = (result[..., channel].take(end, axis=axis)[:, 20] for end in (0, -1))
        shares = (last - first) / (side - 1)
        assert first.min() >= -1e-3
        assert last.max() <= side - 1 + 1e-3
        assert shares.min() >= least - 1e-3
        assert shares.min() < least + 0.05
        assert shares.max() > 0.95
        small = shares < 0.97  # where there is room, windows lie at all places of it
        places = first[small] / ((1 - shares[small]) * (side - 1))
        assert places.min() < 0.15
        assert places.max() > 0.85


def test_colour_keeps_edges_where_they_are():
    image = smooth_images(1)[0]
    result = transformed("colour", image)
    brightness = np.array([0.299, 0.587, 0.114])
    correlations = [
        np.corrcoef((one @ brightness).ravel(), (image @ brightness).ravel())[0, 1]
        for one in result
    ]
    assert min(correlations) > 0.9
    assert np.std(result.mean(axis=(1, 2, 3))) > 4  # brightness
    assert np.std(result.std(axis=(1, 2, 3))) > 2  # contrast and saturation


@pytest.mark.parametrize("part", ["brightness", "contrast", "saturation", "hue"])
def test_colour_strengths_are_as_stated(part):
    """With the other three off, the largest and least change are near the stated ones."""
    kind = AUGMENTATIONS["colour"]
    only = dict.fromkeys(kind.strength, 0.0) | {part: kind.strength[part]}
    jitter = keras.Sequential([keras.Input((2, 1, 3)), *kind.make(5, **only)])
    image = np.array([[[120, 90, 100]], [[140, 110, 120]]], np.float32)
    result = np.asarray(augment(jitter, np.stack([image] * 200)))
    if part == "brightness":
        change = (result - image).mean(axis=(1, 2, 3)) / 255
    elif part == "contrast":
        change = (result[:, 1, 0, 0] - result[:, 0, 0, 0]) / 20 - 1
    elif part == "saturation":
        change = (1 - result.min(axis=3) / result.max(axis=3))[:, 0, 0] / 0.25 - 1
    else:
        red, green, blue = np.moveaxis(result[:, 0, 0], 1, 0)
        change = np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue) / (2 * np.pi)
        change -= np.arctan2(np.sqrt(3) * -10, 50) / (2 * np.pi)
    allowed = kind.strength[part]
    assert np.abs(change).max() <= 1.05 * allowed + 2e-3
    assert change.max() > 0.8 * allowed
    assert change.min() < -0.8 * allowed


def test_noise_has_its_deviation_and_no_bias():
    grey = np.full(SHAPE, 128, np.uint8)
    noise = transformed("noise", grey, 30) - 128
    sd = AUGMENTATIONS["noise"].strength["sd"]
    assert noise.std() == pytest.approx(sd, rel=0.05)
    assert abs(noise.mean()) < 0.3
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.1


@pytest.mark.parametrize("value", [0, 255])
def test_extreme_images_stay_in_range(everything, value):
    result = augment(everything, np.full((8, *SHAPE), value, np.uint8))
    assert result.min() >= 0
    assert result.max() <= 255
    assert result.std() > 1


@pytest.mark.parametrize(
    ("names", "value"),
    [
        (["spin"], "spin"),
        (["flip", "spin"], "spin"),
        ([], r"\[\]"),
        ("flip", "'flip'"),
        ("", "''"),
        (5, "5"),
        ([["flip"]], "flip"),
    ],
)
def test_unknown_names_are_refused(names, value):
    with pytest.raises(InputError, match=rf"names=.*{value}.*'all'.*rotation.*noise"):
        build_augmentation(names, SHAPE)


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1), (0, 8, 3), (None, None, 3)])
def test_image_shapes_are_checked(shape):
    with pytest.raises(InputError, match=r"image_shape=.*\(height, width, 3\)"):
        build_augmentation(["flip"], shape)


def test_calls_go_on_and_a_pipeline_built_anew_starts_anew():
    images = smooth_images(5)
    sequences = []
    for _ in range(2):
        pipeline = build_augmentation("all", SHAPE, seed=[3, 1])
        sequences.append([augment(pipeline, images[:size]) for size in (5, 2, 5)])
    for one, other in zip(*sequences, strict=True):
        assert np.array_equal(one, other)
    assert not np.allclose(sequences[0][0], sequences[0][2], atol=1)


def test_a_numbered_draw_does_not_depend_on_earlier_calls(everything):
    images = smooth_images(3)
    wanted = augment(everything, images, draw=7)
    augment(everything, images)
    augment(everything, images, draw=2)
    assert np.array_equal(augment(everything, images, draw=7), wanted)
    assert not np.allclose(augment(everything, images, draw=8), wanted, atol=1)


def test_another_process_draws_the_same():
    code = (
        "import numpy as np\n"
        "from tlkit.augmentation import augment, build_augmentation\n"
        "pixels = np.arange(384).reshape(2, 8, 8, 3) % 256\n"
        "result = augment(build_augmentation('all', (8, 8, 3), seed=4), pixels)\n"
        "print('means', *result.mean(axis=(1, 2)).ravel())\n"
    )
    command = [sys.executable, "-c", code]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    there = np.array(printed.split("means")[1].split(), float)
    pixels = np.arange(384).reshape(2, 8, 8, 3) % 256
    here = augment(build_augmentation("all", (8, 8, 3), seed=4), pixels)
    assert np.allclose(there, here.mean(axis=(1, 2)).ravel(), atol=0.01)


def test_batches_of_all_sizes_share_one_trace():
    traces = []

    class Counted(keras.layers.Layer):
        def call(self, images, training=False):
            traces.append(training)
            return images + 1.0

    layer = Counted()
    for size in (4, 3, 1, 4):
        images = smooth_images(size)
        assert np.array_equal(augment(layer, images), images + 1.0)
    assert traces == [True]


def test_a_thread_draws_what_the_main_thread_draws():
    images = smooth_images(4)
    here = as_augmentation("all", SHAPE, seed=2)(images)
    with ThreadPoolExecutor(1) as pool:
        there = pool.submit(as_augmentation("all", SHAPE, seed=2), images).result()
    assert np.array_equal(here, there)


def test_numbered_draws_of_many_threads_do_not_mix(everything):
    images = smooth_images(2)
    wanted = [augment(everything, images, draw) for draw in range(12)]
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda draw: augment(everything, images, draw), range(12)))
    for one, other in zip(wanted, got, strict=True):
        assert np.array_equal(one, other)


def test_a_mapped_file_is_read(tmp_path):
    images = smooth_images(3)
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    result = as_augmentation(["crop"], SHAPE)(mapped)
    assert np.array_equal(result, as_augmentation(["crop"], SHAPE)(images))


def test_what_may_be_given_as_an_augmentation():
    images = smooth_images(2)
    assert as_augmentation(None, SHAPE) is None
    function = as_augmentation(lambda pixels: pixels / 2, SHAPE)
    assert np.array_equal(function(images), images / np.float32(2))
    assert as_augmentation(function, SHAPE) is function
    for always in (keras.layers.RandomFlip(seed=0), keras.layers.GaussianNoise(1.0, seed=0)):
        assert as_augmentation(always, SHAPE)(images).shape == images.shape
    noisy = as_augmentation(keras.layers.GaussianNoise(1.0, seed=0), SHAPE)(images)
    assert noisy.dtype == np.float32
    assert not np.array_equal(noisy, images)  # called in training mode
    with pytest.raises(InputError, match="names=5"):
        as_augmentation(5, SHAPE)


def test_a_function_cannot_spoil_the_images_it_is_given():
    images = np.ones((2, *SHAPE), np.float32)

    def doubled(pixels):
        pixels *= 2
        return pixels

    assert as_augmentation(doubled, SHAPE)(images).max() == 2
    assert images.max() == 1


@pytest.mark.parametrize(
    "wrong", [lambda images: images[:, 1:], keras.layers.Resizing(8, 8)], ids=["function", "layer"]
)
def test_another_shape_is_refused(wrong):
    with pytest.raises(InputError, match=r"augmentation=.*makes \(2, .*\(2, 24, 24, 3\)"):
        as_augmentation(wrong, SHAPE)(smooth_images(2))


class Watched:
    """Images that record which rows are read."""

    def __init__(self, images):
        self.images, self.shape, self.read = images, images.shape, []

    def __len__(self):
        return len(self.images)

    def __getitem__(self, rows):
        self.read.append(rows)
        return self.images[rows]


def test_views_come_in_order_and_lazily():
    images = Watched(smooth_images(5))
    views = AugmentedViews(images, lambda pixels: pixels + 0.5, views=3)
    assert views.shape == (15, *SHAPE)
    assert len(views) == 15
    assert views.dtype == np.float32
    assert images.read == []
    blocks = views.blocks(2)
    first = next(blocks)
    assert images.read == [slice(0, 2)]
    rest = list(blocks)
    assert [len(block) for block in (first, *rest)] == [2, 2, 1] * 3
    assert {block.dtype for block in (first, *rest)} == {np.dtype(np.float32)}
    whole = np.concatenate([first, *rest])
    assert np.array_equal(whole, np.concatenate([images.images] * 3) + np.float32(0.5))


def test_views_differ_from_each_other_and_repeat(everything):
    images = smooth_images(5)
    views = AugmentedViews(images, everything, views=2)
    once, again = (np.concatenate(list(views.blocks(4))) for _ in range(2))
    assert np.array_equal(once, again)
    assert (np.abs(once[:5] - once[5:]).mean(axis=(1, 2, 3)) > 1).all()
    afresh = AugmentedViews(images, build_augmentation("all", SHAPE), views=2)
    assert np.array_equal(once, np.concatenate(list(afresh.blocks(4))))


def test_views_are_checked():
    with pytest.raises(InputError, match="views=0"):
        AugmentedViews(smooth_images(1), lambda images: images, views=0)
    with pytest.raises(InputError, match="batch_size=0"):
        next(AugmentedViews(smooth_images(1), lambda images: images, views=1).blocks(0))


class Augmented(Batches):
    """Batches that are augmented where `fit` gets them, and that keep what they gave."""

    def __init__(self, *args, augmentation, **options):
        super().__init__(*args, **options)
        self.augmentation, self.given = augmentation, []

    def __getitem__(self, index):
        images, labels = super().__getitem__(index)
        self.given.append(self.augmentation(images, draw=index))
        return self.given[-1], labels


def test_preview_shows_what_fit_is_given():
    images, labels = smooth_images(7), np.arange(7)
    batches = Augmented(images, labels, 3, seed=1, augmentation=as_augmentation("all", SHAPE))
    order = batches.passes[0]
    shown, shown_labels = preview(batches, count=5)
    assert shown.dtype == np.uint8
    assert shown.shape == (5, *SHAPE)
    assert shown_labels.tolist() == order[:5].tolist()
    batches.given.clear()
    model = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(batches, epochs=1, shuffle=False, verbose=0)
    assert np.abs(batches.given[0] - shown[:3]).max() <= 0.5
    assert np.abs(shown.astype(int) - images[order[:5]]).mean() > 2


def test_preview_gives_what_there_is():
    images, labels = preview(Batches(smooth_images(3), np.arange(3), 2), count=8)
    assert len(images) == len(labels) == 3
    with pytest.raises(InputError, match="count=0"):
        preview(Batches(smooth_images(3), np.arange(3), 2), count=0)


def test_a_pipeline_can_be_saved_and_loaded(tmp_path, everything):
    everything.save(tmp_path / "augmentation.keras")
    loaded = keras.models.load_model(tmp_path / "augmentation.keras")
    images = smooth_images(3)
    assert np.array_equal(augment(loaded, images, draw=0), augment(everything, images, draw=0))

import keras
import numpy as np
import pytest
from keras import layers

import tlkit
from tlkit import drawing, explain
from tlkit.backbones import load_backbone
from tlkit.classifier import build_classifier
from tlkit.datasets import digit_shape
from tlkit.errors import InputError
from tlkit.evaluation import mean_interval
from tlkit.grad_cam import last_map
from tlkit.initial import draw_weights, head_weights
from tlkit.insides import AT_ONCE, look_inside
from tlkit.mini import MINI

RNG = np.random.default_rng(0)
IMAGES = RNG.random((5, 8, 8, 3)).astype(np.float32)


def pooled(*after_dense, activation=None, seed=0):
    """Maps as large as the image, averaged, and a dense layer."""
    return draw_weights(
        keras.Sequential(
            [
                keras.Input((8, 8, 3)),
                layers.Conv2D(6, 3, padding="same", activation="relu", name="maps"),
                layers.GlobalAveragePooling2D(),
                layers.Dense(4, activation=activation, name="scores"),
                *after_dense,
            ]
        ),
        seed,
    )


def test_after_global_pooling_it_is_a_weighted_sum_of_maps():
    """There, Grad-CAM is CAM (Zhou et al. 2016) without its negative part."""
    model = pooled()
    maps = explain.feature_maps(model, IMAGES, "maps")
    kernel = np.asarray(model.get_layer("scores").kernel)
    for chosen in range(4):
        expected = np.maximum(maps @ kernel[:, chosen], 0)
        largest = expected.max(axis=(1, 2), keepdims=True)
        found = explain.grad_cam(model, IMAGES, chosen)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected / np.where(largest, largest, 1), atol=1e-4)


def test_scores_are_those_before_softmax():
    expected = explain.grad_cam(pooled(), IMAGES, 1)
    for model in (
        pooled(activation="softmax"),
        pooled(activation="sigmoid"),
        pooled(layers.Softmax()),
        pooled(layers.Activation("softmax")),
        pooled(layers.Activation("softmax", dtype="float32")),
    ):
        np.testing.assert_allclose(explain.grad_cam(model, IMAGES, 1), expected, atol=1e-4)


def test_even_where_softmax_is_sure():
    """The slope of the probability would be 0 there."""
    model = pooled(activation="softmax")
    model.get_layer("scores").kernel.assign(1e4 * model.get_layer("scores").kernel)
    assert model(IMAGES).numpy().max() == 1
    np.testing.assert_allclose(
        explain.grad_cam(model, IMAGES, 2), explain.grad_cam(pooled(), IMAGES, 2), atol=1e-4
    )


def test_classes_of_each_image():
    model = pooled(activation="softmax")
    by_class = np.stack([explain.grad_cam(model, IMAGES, chosen) for chosen in range(4)])
    classes = np.array([3, 0, 1, 2, 1])
    np.testing.assert_allclose(
        explain.grad_cam(model, IMAGES, classes), by_class[classes, range(5)], atol=1e-6
    )
    predicted = model(IMAGES).numpy().argmax(axis=1)
    np.testing.assert_allclose(
        explain.grad_cam(model, IMAGES), by_class[predicted, range(5)], atol=1e-6
    )


@pytest.mark.parametrize("seed", range(5))
def test_maps_are_scaled_one_by_one(seed):
    images = np.random.default_rng(seed).random((7, 8, 8, 3))
    heat = explain.grad_cam(pooled(seed=seed), images, seed % 4)
    largest = heat.max(axis=(1, 2))
    assert heat.min() >= 0
    assert ((largest == 0) | np.isclose(largest, 1)).all()


def test_where_nothing_speaks_for_the_class_there_is_nothing():
    model = pooled()
    model.get_layer("scores").kernel.assign(-np.abs(np.asarray(model.get_layer("scores").kernel)))
    assert (explain.grad_cam(model, IMAGES, 0) == 0).all()


def test_frozen_models_and_many_images():
    model = pooled()
    images = RNG.random((2 * AT_ONCE + 1, 8, 8, 3))
    classes = RNG.integers(0, 4, len(images))
    expected = explain.grad_cam(model, images, classes)
    model.trainable = False
    np.testing.assert_array_equal(explain.grad_cam(model, images, classes), expected)
    np.testing.assert_allclose(
        explain.grad_cam(model, images[-3:], classes[-3:]), expected[-3:], atol=1e-5
    )


LAST = {
    "mini_vgg": "block5_2_relu",
    "mini_resnet": "block5_1_out",
    "mini_inception": "block5_2_concat",
    "mini_xception": "block5_last_relu",
    "mini_mobilenet": "block5_last_relu",
}


@pytest.mark.parametrize("name", MINI)
def test_any_backbone(name):
    model = build_classifier(load_backbone(name, weights=None, seed=0), 4, (64, 64, 3))
    images = RNG.integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)
    assert last_map(look_inside(model)) == LAST[name]
    np.testing.assert_array_equal(
        explain.grad_cam(model, images), explain.grad_cam(model, images, layer=LAST[name])
    )
    early = explain.grad_cam(model, images, layer=explain.layer_names(model, maps=True)[4])
    assert early.shape == (2, 64, 64)


def test_networks_of_keras_applications():
    model = keras.applications.MobileNetV2((96, 96, 3), alpha=0.35, weights=None, classes=5)
    assert last_map(look_inside(model)) == "out_relu"
    assert explain.grad_cam(model, RNG.random((1, 96, 96, 3))).shape == (1, 96, 96)


def test_other_ends_of_networks():
    flat = keras.Sequential(
        [
            keras.Input((8, 6, 1)),
            layers.Conv2D(3, 3, strides=2, name="conv"),
            layers.ReLU(name="relu"),
            layers.MaxPooling2D((2, 1)),
            layers.Dropout(0.3),
            layers.Flatten(),
            layers.Dense(4, activation="relu"),
            layers.Dense(2, activation="softmax"),
        ]
    )
    assert last_map(look_inside(flat)) == "relu"
    assert explain.grad_cam(flat, RNG.random((2, 8, 6, 1))).shape == (2, 8, 6)
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, name="conv")(image)
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Conv2D(2, 1, name="scores")(x)
    kept = keras.Model(image, layers.Softmax()(layers.Flatten()(x)))
    assert last_map(look_inside(kept)) == "conv"
    assert explain.grad_cam(kept, IMAGES).shape == (5, 8, 8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 4}, "classes=4: classes run from 0 to 3"),
        ({"classes": -1}, "classes=-1"),
        ({"classes": [0, 1]}, r"classes has shape \(2,\) and type int64; one integer, or \[5\]"),
        ({"classes": 1.0}, "type float64"),
        ({"layer": "scores"}, r"layer='scores' gives \(4,\), which is no feature map"),
        ({"images": IMAGES[0]}, "images has shape"),
    ],
)
def test_what_does_not_fit_is_said(options, message):
    with pytest.raises(InputError, match=message):
        explain.grad_cam(**{"model": pooled(), "images": IMAGES, **options})


def test_models_that_are_no_classifier():
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3)(image)
    with pytest.raises(InputError, match="scores of classes"):
        explain.grad_cam(keras.Model(image, x), IMAGES)
    dense = keras.Model(image, layers.Dense(2)(layers.Flatten()(image)))
    with pytest.raises(InputError, match="no layer with a feature map"):
        explain.grad_cam(dense, IMAGES)
    aside = layers.Conv2D(4, 3, name="aside")(image)
    pool = layers.GlobalAveragePooling2D()
    both = keras.Model(image, layers.Dense(2)(layers.Concatenate()([pool(x), 0.0 * pool(aside)])))
    assert explain.grad_cam(both, IMAGES, layer="aside").max() == 0


# On handwriting in the wild

SIDE = 64
FINE = "block3_2_out"  # 8 x 8 units; the last map of mini_resnet has 2 x 2


def digit_mask(name):
    """Tell which pixels of a picture of `wild_digits` its digit covers by half or more."""
    base, version = map(int, name.split("."))
    rng = np.random.default_rng([4, base, version])  # as `draw_wild_digit`, up to the background
    shape = drawing.warp(digit_shape(base, SIDE), rng, scale=(0.6, 1.0))
    return 1.5 * shape - 0.25 >= 0.5


def share_inside(heat, masks):
    """Share of each map's mass that lies inside its mask; [n]."""
    mass = heat.sum(axis=(1, 2))
    return (heat * masks).sum(axis=(1, 2))[mass > 0] / mass[mass > 0]


def grids(dataset, count, rng):
    """Put four digits of different classes into one image each; ask for one of them.

    The grid pointing game of Böhle et al. (2021).
    """
    images = np.empty((count, 2 * SIDE, 2 * SIDE, 3), np.uint8)
    tiles = np.zeros((count, 2 * SIDE, 2 * SIDE), bool)
    classes = np.empty(count, int)
    for number in range(count):
        four = rng.choice(10, 4, replace=False)
        asked = rng.integers(4)
        classes[number] = four[asked]
        for place, label in enumerate(four):
            top, left = SIDE * (place // 2), SIDE * (place % 2)
            tile = np.s_[number, top : top + SIDE, left : left + SIDE]
            images[tile] = dataset.test.images[
                rng.choice(np.flatnonzero(dataset.test.labels == label))
            ]
            tiles[tile] = place == asked
    return images, classes, tiles


@pytest.mark.parametrize("number", range(4))
def test_masks_are_where_the_paint_is(number, monkeypatch):
    base = 300 + 7 * number
    painted = tlkit.datasets.draw_wild_digit.__wrapped__(base, 0, SIDE).astype(float)
    monkeypatch.setattr(
        tlkit.datasets, "digit_shape", lambda base, size: np.zeros((size, size), np.float32)
    )
    ground = tlkit.datasets.draw_wild_digit.__wrapped__(base, 0, SIDE).astype(float)
    changed = np.abs(painted - ground).mean(axis=2)
    mask = digit_mask(f"{base}.0")
    assert np.median(changed[mask]) > 40
    assert np.median(changed[~mask]) < 15


@pytest.fixture(scope="module")
def trained():
    """A network that reads 8 of 10 digits, and its twin with weights drawn at random."""
    dataset = tlkit.load_dataset("wild_digits", train_per_class=50)
    run = tlkit.fit(dataset, backbone="mini_resnet", strategy="full", epochs=6, seed=0)
    assert run.metrics["accuracy"] > 0.7
    return dataset, run.model.get_weights()


def network(weights, side=SIDE):
    """Build the classifier for images of a side; with weights drawn at random if None."""
    backbone = load_backbone("mini_resnet", weights=None, seed=1, input_shape=(side, side, 3))
    model = build_classifier(backbone, 10, (side, side, 3))
    if weights is None:
        weights = backbone.model.get_weights() + head_weights(128, 10, seed=1)
    model.set_weights(weights)
    return model


@pytest.mark.slow
def test_it_finds_the_digit(trained):
    """More of its mass lies on the digit than of a flat map, or of a map of another image.

    With weights drawn at random it does not (the sanity check of Adebayo et al. 2018).
    """
    dataset, weights = trained
    images = np.concatenate([dataset.validation.images, dataset.test.images])
    names = (*dataset.validation.names, *dataset.test.names)
    masks = np.stack([digit_mask(name) for name in names])

    def gains(model):
        heat = explain.grad_cam(model, images, layer=FINE)
        heat = heat + 1e-6  # flat where nothing speaks for the class
        others = [share_inside(np.roll(heat, by, axis=0), masks) for by in range(1, 20)]
        own = share_inside(heat, masks)
        flat = masks.mean(axis=(1, 2))
        return mean_interval(own - flat), mean_interval(own - np.mean(others, axis=0))

    over_flat, over_others = gains(network(weights))
    random_over_flat, random_over_others = gains(network(None))
    assert over_flat.low > 0.05
    assert over_others.low > 0
    assert random_over_flat.high < 0.02
    assert random_over_others.high < 0.005


@pytest.mark.slow
def test_it_points_at_the_class_that_is_asked_for(trained):
    """Of four digits in one image at the one of the class; the last map is the default."""
    dataset, weights = trained
    images, classes, tiles = grids(dataset, 100, np.random.default_rng(0))
    head_at_random = weights[:-2] + head_weights(128, 10, seed=1)

    def share(weights):
        heat = explain.grad_cam(network(weights, 2 * SIDE), images, classes) + 1e-6
        return mean_interval(share_inside(heat, tiles))

    assert share(weights).low > 0.42
    assert share(head_at_random).high < 0.38
    assert share(None).high < 0.38

"""Theoretical fields against the support of the gradient, of networks without a zero in them."""

from functools import partial

import keras
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from keras import layers

from tlkit import explain
from tlkit.backbones import load_backbone
from tlkit.classifier import build_classifier
from tlkit.errors import InputError
from tlkit.mini import MINI


def seen_by_all_means(model):
    """Make a gradient reach every pixel that can be seen: no weight, slope or maximum is zero."""

    def linear(layer):
        config = layer.get_config()
        if isinstance(layer, layers.MaxPooling2D):
            return layers.AveragePooling2D.from_config(config)
        return type(layer).from_config(config)

    twin = keras.models.clone_model(model, clone_function=linear)
    for weight in twin.weights:
        fan_in = np.prod(weight.shape[:-1]) if len(weight.shape) > 1 else 1
        zero = weight.name in ("bias", "beta", "moving_mean")
        weight.assign(np.full(weight.shape, 0.0 if zero else 1 / fan_in))
    return twin


def bounds(seen):
    """Top, left, bottom and right (one past the last) of what is not zero."""
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    return rows[0], columns[0], rows[-1] + 1, columns[-1] + 1


def clipped(box, sides):
    top, left, height, width = box
    return max(top, 0), max(left, 0), min(top + height, sides[0]), min(left + width, sides[1])


def assert_field_is_gradient_support(model, layer, dense=True):
    """The field's box is what the central unit sees; with holes in it only where it is inside."""
    sides = model.input_shape[1:3]
    seen = explain.effective_receptive_field(model, layer, np.ones((1, *model.input_shape[1:])))
    box = explain.receptive_field_box(model, layer)
    expected, found = clipped(box, sides), bounds(seen > 0)
    inside = expected == (box[0], box[1], box[0] + box[2], box[1] + box[3])
    if dense or inside:
        assert found == expected
    else:
        assert found[:2] >= expected[:2]
        assert found[2:] <= expected[2:]
    if dense:
        top, left, bottom, right = found
        assert (seen[top:bottom, left:right] > 0).all()


@pytest.mark.parametrize("name", MINI)
def test_fields_of_backbones_are_where_the_gradient_is(name):
    backbone = load_backbone(name, weights=None)
    model = seen_by_all_means(backbone.model)
    for names in backbone.stages.values():
        assert_field_is_gradient_support(model, names[-1])


@pytest.mark.parametrize(
    ("name", "layer", "side"),
    [("mini_vgg", "block5_pool", 192), ("mini_resnet", "block4_1_out", 192)],
)
def test_sizes_of_fields_beyond_the_usual_image(name, layer, side):
    """In an image that is large enough, the field is no longer cut off."""
    model = seen_by_all_means(load_backbone(name, weights=None, input_shape=(side, side, 3)).model)
    seen = explain.effective_receptive_field(model, layer, np.ones((1, side, side, 3)))
    top, left, bottom, right = bounds(seen > 0)
    assert top > 0
    assert bottom < side
    size = explain.receptive_fields(model).set_index("layer").loc[layer, "size"]
    assert (bottom - top, right - left) == (size, size)


@st.composite
def windows(draw):
    """Draw the settings of a layer that slides a window, or of one that pads or crops."""
    kind = draw(st.sampled_from(["conv", "depthwise", "separable", "average", "pad", "crop"]))
    if kind in ("pad", "crop"):
        edges = tuple(tuple(draw(st.integers(0, 2)) for _ in "ab") for _ in "rc")
        return partial(layers.ZeroPadding2D if kind == "pad" else layers.Cropping2D, edges)
    size = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    stride = draw(st.integers(1, 3))
    options = {"strides": stride, "padding": draw(st.sampled_from(["valid", "same"]))}
    if kind == "average":
        return partial(layers.AveragePooling2D, size, **options)
    options["dilation_rate"] = draw(st.integers(1, 2)) if stride == 1 else 1
    if kind == "depthwise":
        return partial(layers.DepthwiseConv2D, size, **options)
    return partial(layers.Conv2D if kind == "conv" else layers.SeparableConv2D, 2, size, **options)


side = st.integers(56, 64)


@settings(max_examples=40, deadline=None)
@given(st.lists(windows(), min_size=1, max_size=4), st.tuples(side, side))
def test_fields_of_stacks_are_where_the_gradient_is(stack, sides):
    x = image = keras.Input((*sides, 2))
    for make in stack:
        layer = make()
        x = layer(x)
    assume(min(x.shape[1:3]) > 0)
    model = seen_by_all_means(keras.Model(image, x))
    assert_field_is_gradient_support(model, layer.name, dense=False)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.sampled_from([1, 3, 5, 7]), min_size=1, max_size=3), st.sampled_from([1, 2]))
def test_branches_take_the_largest(kernels, stride):
    image = keras.Input((40, 40, 2))
    branches = [layers.Conv2D(2, k, stride, "same")(image) for k in (1, *kernels)]
    shortcut = layers.Conv2D(2, 1, stride)(image)
    joined = layers.Add()([shortcut, layers.Conv2D(2, 1)(layers.Concatenate()(branches))])
    model = keras.Model(image, layers.Conv2D(1, 3, name="last")(joined))
    row = explain.receptive_fields(model).iloc[-1]
    assert row["layer"] == "last"
    assert row["stride"] == stride
    if stride == 1:
        assert row["size"] == max(kernels) + 2
    assert_field_is_gradient_support(seen_by_all_means(model), "last", dense=False)


def test_known_networks():
    """Sizes from Araujo, Norris & Sim (2019), Computing receptive fields of CNNs, Distill."""
    vgg = keras.applications.VGG16(include_top=False, weights=None, input_shape=(224, 224, 3))
    assert explain.receptive_fields(vgg).iloc[-1].tolist() == ["block5_pool", 212, 32]
    mobilenet = keras.applications.MobileNet((128, 128, 3), 0.25, include_top=False, weights=None)
    assert explain.receptive_fields(mobilenet)["size"].iloc[-1] == 315


def test_squeeze_and_excitation_sees_everything():
    image = keras.Input((32, 32, 3))
    x = layers.Conv2D(4, 3, 2, "same", name="conv")(image)
    gate = layers.Reshape((1, 1, 4))(layers.GlobalAveragePooling2D()(x))
    gate = layers.Conv2D(4, 1, activation="sigmoid")(gate)
    x = layers.Multiply(name="gated")([x, gate])
    model = keras.Model(image, layers.Conv2D(4, 3, 2, "same", name="after")(x))
    table = explain.receptive_fields(model).set_index("layer")
    assert table.loc["conv"].tolist() == [3, 2]
    assert table.loc["gated"].tolist() == [32, 2]
    assert table.loc["after"].tolist() == [32, 4]


def test_what_takes_in_a_whole_map_sees_what_the_map_sees():
    """A pooling that leaves out the last row and column leaves them out for all that follow."""
    model = keras.Sequential(
        [
            keras.Input((9, 9, 1)),
            layers.AveragePooling2D(2, name="pool"),
            layers.Flatten(name="flat"),
            layers.Dense(2, name="dense"),
        ]
    )
    assert explain.receptive_fields(model).values.tolist() == [
        ["pool", 2, 2],
        ["flat", 8, 9],
        ["dense", 8, 9],
    ]


def test_backbones_inside_models_and_their_preprocessing():
    backbone = load_backbone("mini_vgg", weights=None)
    bare = explain.receptive_fields(backbone.model)
    for model in (backbone, build_classifier(backbone, 3, (64, 64, 3))):
        table = explain.receptive_fields(model)
        assert table.head(len(bare)).equals(bare)
    assert table.tail(2).values.tolist() == [["pool", 64, 64], ["classes", 64, 64]]


def test_resized_images_are_counted_in_their_own_pixels():
    backbone = load_backbone("mini_vgg", weights=None)
    model = build_classifier(backbone, 3, (32, 32, 3))
    table = explain.receptive_fields(model).set_index("layer")
    assert table.loc["block1_pool", "stride"] == 1
    assert table.loc["block5_pool", "stride"] == 16
    own = explain.receptive_fields(backbone).set_index("layer")
    assert table.loc["block5_pool", "size"] == pytest.approx(
        own.loc["block5_pool", "size"] / 2, abs=3
    )


def test_what_cannot_be_computed_is_said():
    def field(*stack, shape=(16, 16, 3)):
        explain.receptive_fields(keras.Sequential([keras.Input(shape), *stack]))

    with pytest.raises(InputError, match=r"'up' is a UpSampling2D, whose receptive field"):
        field(layers.UpSampling2D(name="up"))
    with pytest.raises(InputError, match="'back' is a Conv2DTranspose"):
        field(layers.Conv2DTranspose(2, 3, name="back"))
    with pytest.raises(InputError, match="known size"):
        field(layers.Conv2D(2, 3), shape=(None, None, 3))
    with pytest.raises(InputError, match="known size"):
        field(layers.Dense(2), shape=(7,))
    image = keras.Input((16, 16, 3))
    beside = layers.Concatenate(axis=1, name="side")([image, image])
    with pytest.raises(InputError, match="'side' is a Concatenate"):
        explain.receptive_fields(keras.Model(image, beside))
    fine, coarse = layers.AveragePooling2D(9, 1)(image), layers.AveragePooling2D(2, 2)(image)
    joined = keras.Model(image, layers.Add()([fine, coarse]))
    with pytest.raises(InputError, match="strides of 1 and 2 pixels"):
        explain.receptive_fields(joined)
    model = keras.Sequential([keras.Input((16, 16, 3)), layers.Conv2D(2, 3, name="c")])
    with pytest.raises(InputError, match=r"unit=\(14, 0\)"):
        explain.receptive_field_box(model, "c", (14, 0))
    with pytest.raises(InputError, match="layer='d' is not in the model: give one of c"):
        explain.receptive_field_box(model, "d")


# The effective one


def test_effective_field_is_the_mean_absolute_gradient():
    """Of one linear convolution it is its kernel, absolute, summed over both kinds of channels."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((9, 9, 2)), layers.Conv2D(3, 3, name="c")])
    kernel = np.asarray(model.get_layer("c").kernel)
    expected = np.abs(kernel.sum(axis=3)).sum(axis=2)
    seen = explain.effective_receptive_field(model, "c", np.zeros((2, 9, 9, 2), np.uint8))
    assert seen.shape == (9, 9)
    assert seen.dtype == np.float32
    np.testing.assert_allclose(seen[3:6, 3:6], expected / expected.sum(), rtol=1e-5)
    assert seen.sum() == pytest.approx(1, abs=1e-5)


def test_effective_field_is_smaller_than_the_theoretical_one():
    """Luo et al. (2016): about the square root of the depth, in the shape of a bell."""
    stack = [layers.Conv2D(4, 3, padding="same", use_bias=False) for _ in range(8)]
    model = seen_by_all_means(keras.Sequential([keras.Input((33, 33, 1)), *stack]))
    layer = model.layers[-1].name
    seen = explain.effective_receptive_field(model, layer, np.ones((1, 33, 33, 1)))
    assert explain.receptive_fields(model)["size"].iloc[-1] == 17
    assert explain.side_holding(seen, 1) == 17
    # Eight boxes of three pixels in a row: a variance of 16 / 3, four deviations hold 95 %.
    assert explain.side_holding(seen) in (11, 13)
    assert seen.argmax() == 16 * 33 + 16


def test_dead_units_are_reported():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(
                2,
                3,
                activation="relu",
                bias_initializer=keras.initializers.Constant(-9.0),
                name="dead",
            ),
        ]
    )
    with pytest.raises(InputError, match="layer='dead': no pixel of these 3 images"):
        explain.effective_receptive_field(model, "dead", np.zeros((3, 8, 8, 1)))


maps = st.builds(
    lambda seed, shape: np.random.default_rng(seed).exponential(size=shape) ** 3,
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
)


@given(maps, st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_larger_share_needs_no_smaller_square(seen, one, other):
    low, high = sorted((one, other))
    assert 1 <= explain.side_holding(seen, low) <= explain.side_holding(seen, high)
    assert explain.side_holding(seen, high) <= 2 * max(seen.shape)


@given(maps, st.floats(0.01, 1), st.integers(0, 5), st.integers(0, 5))
def test_squares_move_with_the_map_and_do_not_mind_its_scale(seen, share, down, right):
    around = np.pad(seen, ((down + 12, 17 - down), (right + 12, 17 - right)))
    assert explain.side_holding(around * 7, share) == explain.side_holding(np.pad(seen, 12), share)


@given(st.integers(1, 15), st.floats(0.01, 1))
def test_square_of_an_even_map(side, share):
    smallest = int(np.ceil(side * np.sqrt(share) - 1e-6))
    assert smallest <= explain.side_holding(np.ones((side, side)), share) <= smallest + 1


@pytest.mark.parametrize(
    ("seen", "share"),
    [(np.zeros((3, 3)), 0.5), (np.ones(3), 0.5), (-np.ones((2, 2)), 0.5), (np.ones((2, 2)), 0)],
)
def test_maps_without_a_square(seen, share):
    with pytest.raises(InputError, match=r"seen has shape|share=0"):
        explain.side_holding(seen, share)

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from keras import layers
from scipy import ndimage

from tlkit import explain
from tlkit.errors import InputError

small = st.integers(-9, 9)
pictures = arrays.arrays(
    np.uint8,
    st.tuples(st.integers(1, 3), st.integers(1, 8), st.integers(1, 8), st.integers(1, 3)),
)


@given(pictures, small, small)
def test_wrapped_shifts_are_rolls(images, rows, columns):
    moved = explain.shift_images(images, rows, columns, fill="wrap")
    assert moved.dtype == images.dtype
    np.testing.assert_array_equal(moved, np.roll(images, (rows, columns), axis=(1, 2)))


@given(pictures, small, small)
def test_edge_shifts_repeat_the_border(images, rows, columns):
    before = images.copy()
    expected = ndimage.shift(images, (0, rows, columns, 0), order=0, mode="nearest")
    np.testing.assert_array_equal(explain.shift_images(images, rows, columns), expected)
    np.testing.assert_array_equal(images, before)


@given(pictures, small, small, st.sampled_from(["edge", "wrap"]))
def test_directions_can_be_taken_in_turn(images, rows, columns, fill):
    once = explain.shift_images(images, rows, columns, fill)
    turns = explain.shift_images(explain.shift_images(images, rows, 0, fill), 0, columns, fill)
    np.testing.assert_array_equal(once, turns)


def test_positive_shifts_go_down_and_right():
    image = np.zeros((1, 4, 4))
    image[0, 1, 1] = 1
    assert explain.shift_images(image, 1, 2)[0, 2, 3] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((4, 4)), 1, 1), r"images has shape \(4, 4\)"),
        ((np.zeros((1, 4, 4)), 0.5, 1), "rows=0.5: give a whole number of pixels"),
        ((np.zeros((1, 4, 4)), 1, True), "columns=True"),
        ((np.zeros((1, 4, 4)), 1, 1, "zero"), "fill='zero': allowed are edge, wrap"),
    ],
)
def test_shifts_that_are_none(arguments, message):
    with pytest.raises(InputError, match=message):
        explain.shift_images(*arguments)


# Predictions


def brightest_column(images):
    return images.mean(axis=(1, 3))


def any_bright(images):
    bright = (images > 0).any(axis=(1, 2, 3))
    return np.stack([bright, ~bright], axis=1)


def test_consistency_of_what_is_known():
    images = np.zeros((2, 9, 9, 1))
    images[:, 4, 4] = 1
    table = explain.shift_consistency(brightest_column, images, range(4))
    assert table.columns.tolist() == ["shift", "same"]
    assert table["shift"].tolist() == [0, 1, 2, 3]
    # Up and down leave the column as it is; left and right do not.
    assert table["same"].tolist() == [1, 0.5, 0.5, 0.5]
    assert (explain.shift_consistency(any_bright, images, range(4))["same"] == 1).all()


@settings(deadline=None)
@given(st.integers(0, 100), st.integers(1, 5), st.sampled_from(["edge", "wrap"]))
def test_consistency_is_the_share_of_equal_predictions(seed, shift, fill):
    rng = np.random.default_rng(seed)
    images, weights = rng.random((7, 6, 6, 1)), rng.standard_normal((36, 3))
    model = lambda x: x.reshape(len(x), 36) @ weights  # noqa: E731
    before = model(images).argmax(axis=1)
    moves = [(shift, 0), (-shift, 0), (0, shift), (0, -shift)]
    same = [
        np.mean(model(explain.shift_images(images, *move, fill)).argmax(axis=1) == before)
        for move in moves
    ]
    row = explain.shift_consistency(model, images, [shift], fill).iloc[0]
    assert row["same"] == pytest.approx(np.mean(same))


def test_consistency_of_keras_models_takes_batches():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, activation="relu"),
            layers.Dropout(0.5),
            layers.GlobalMaxPooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    images = np.random.default_rng(0).integers(0, 256, (300, 8, 8, 3)).astype(np.uint8)
    table = explain.shift_consistency(model, images, [0, 1])
    plain = explain.shift_consistency(lambda x: model(x, training=False), images, [0, 1])
    assert table.equals(plain)
    assert table["same"][0] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shifts": [1, 8]}, "shifts=8 pixels: give numbers from 0 to 7"),
        ({"shifts": [-1]}, "shifts=-1"),
        ({"shifts": []}, "shifts is empty"),
        ({"shifts": [1.5]}, "shifts=1.5"),
        ({"images": np.zeros((0, 8, 8, 1))}, "images has shape"),
        ({"images": np.zeros((2, 8, 8, 1), bool)}, "type bool"),
        ({"model": lambda x: x}, "model gives shape"),
        ({"fill": "reflect"}, "fill='reflect'"),
    ],
)
def test_consistency_says_what_is_wrong(options, message):
    given_ = {"model": brightest_column, "images": np.zeros((2, 8, 8, 1)), "shifts": [1]}
    with pytest.raises(InputError, match=message):
        explain.shift_consistency(**{**given_, **options})


# Maps


def convolution(size, stride=1, padding="valid"):
    keras.utils.set_random_seed(1)
    layer = layers.Conv2D(4, size, strides=stride, padding=padding, use_bias=False)
    layer.build((None, 24, 24, 2))
    return layer


def wrapped(size, stride=1):
    """A circular convolution."""
    layer = convolution(size, stride)

    def apply(images):
        return layer(np.pad(images, ((0, 0), (0, size - 1), (0, size - 1), (0, 0)), mode="wrap"))

    return apply


noise = np.random.default_rng(0).standard_normal((2, 24, 24, 2)).astype(np.float32)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.sampled_from([1, 2, 3]), small, small)
def test_strided_convolutions_move_by_whole_units(size, stride, rows, columns):
    """With wrapped borders: equivariant to multiples of the stride, and to nothing else."""
    error = explain.equivariance_error(
        wrapped(size, stride), noise, (rows, columns), stride, fill="wrap"
    )
    if rows % stride == columns % stride == 0:
        assert error < 1e-5
    else:
        assert error > 0.3


@pytest.mark.parametrize("stride", [1, 2])
def test_padding_breaks_equivariance_at_the_border_only(stride):
    layer = convolution(5, stride, "same")
    for shift in (stride, -2 * stride, (stride, 0)):
        assert explain.equivariance_error(layer, noise, shift, stride) > 0.03
        assert explain.equivariance_error(layer, noise, shift, stride, margin=2) < 1e-5


def test_odd_shifts_of_a_stride_of_two_leave_an_error():
    """No whole number of units is their counterpart; the better one of two is measured."""
    every_other = lambda images: images[:, ::2, ::2]  # noqa: E731
    errors = [explain.equivariance_error(every_other, noise, shift, 2) for shift in range(-3, 4)]
    assert [error < 1e-6 for error in errors] == [False, True, False, True, False, True, False]
    ramp = np.broadcast_to(np.arange(24.0), (1, 24, 24))
    # Moved by one pixel, a ramp is off by 1 from either neighbour; the norm takes the better one.
    units = [every_other(ramp)[:, :, :-1], every_other(ramp)[:, :, 1:]]
    better = min(np.linalg.norm(np.ones_like(units[0])) / np.linalg.norm(unit) for unit in units)
    assert explain.equivariance_error(every_other, ramp, (0, 1), 2) == pytest.approx(
        better, rel=0.2
    )


def test_error_is_relative_to_the_moved_map():
    function = lambda images: np.ones_like(images) * (1 + (images.mean() > 0))  # noqa: E731
    image = np.zeros((1, 6, 6, 1))
    image[:, 0] = -1
    image[:, 1] = 0.5  # moved up, its mean is above 0
    assert explain.equivariance_error(function, image, (-1, 0)) == pytest.approx(1)


def test_invariant_and_unrelated_functions():
    constant = lambda images: np.ones_like(images)  # noqa: E731
    assert explain.equivariance_error(constant, noise, 3) == 0
    rng = np.random.default_rng(0)
    unrelated = lambda images: rng.standard_normal(images.shape)  # noqa: E731
    assert explain.equivariance_error(unrelated, noise, 1) == pytest.approx(2**0.5, rel=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shift": 1.0}, "shift=1.0"),
        ({"shift": (1, 2, 3)}, r"shift=\(1, 2, 3\)"),
        ({"stride": 0}, "stride=0"),
        ({"margin": -1}, "margin=-1"),
        ({"margin": 12}, "margin=12 leaves nothing of maps of 24 x 24"),
        ({"shift": 24}, "margin=0 leaves nothing"),
        ({"function": lambda x: x.mean()}, "function gives shape"),
        ({"function": lambda x: x * 0}, "function gives 0 everywhere"),
        ({"images": np.zeros((24, 24))}, "images has shape"),
    ],
)
def test_equivariance_says_what_is_wrong(options, message):
    given_ = {"function": lambda x: x, "images": noise, "shift": 1, **options}
    with pytest.raises(InputError, match=message):
        explain.equivariance_error(**given_)

"""What happens when an image moves: equivariance of maps, consistency of predictions.

A function is *equivariant* if a shift of its input shifts its output, and *invariant* if a shift
of its input leaves its output as it is. Shifts are whole pixels; positive ones go down and right.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from tlkit.errors import InputError

AT_ONCE = 256  # images
FILLS = ("edge", "wrap")
DIRECTIONS = ((-1, 0), (1, 0), (0, -1), (0, 1))


def shift_images(images: np.ndarray, rows: int, columns: int, fill: str = "edge") -> np.ndarray:
    """Move images by whole pixels.

    Args:
        images: [n, h, w, ...] of any type.
        rows: pixels down; negative ones go up.
        columns: pixels to the right; negative ones go left.
        fill: what comes in from outside: "edge" repeats the border pixel, "wrap" takes what left
            on the other side.

    Returns:
        A new array of the same shape and type.

    Example:
        >>> image = np.arange(4).reshape(1, 1, 4)
        >>> shift_images(image, 0, 1).tolist(), shift_images(image, 0, 1, fill="wrap").tolist()
        ([[[0, 0, 1, 2]]], [[[3, 0, 1, 2]]])
    """
    images = np.asarray(images)
    if images.ndim < 3:
        raise InputError(f"images has shape {images.shape}; [n, h, w] or [n, h, w, c] is needed")
    if fill not in FILLS:
        raise InputError(f"fill={fill!r}: allowed are {', '.join(FILLS)}")
    for axis, (name, by) in enumerate({"rows": rows, "columns": columns}.items(), start=1):
        _check_whole(name, by)
        places = np.arange(images.shape[axis]) - by
        side = images.shape[axis]
        places = places % side if fill == "wrap" else places.clip(0, side - 1)
        images = images.take(places, axis=axis)
    return images


def shift_consistency(
    model: Callable[[np.ndarray], Any],
    images: np.ndarray,
    shifts: Iterable[int] = range(9),
    fill: str = "edge",
) -> pd.DataFrame:
    """Measure how often a model predicts the same class when the image moves (Zhang 2019).

    Args:
        model: a Keras model, or any function from images [n, h, w, c] to probabilities
            [n, classes].
        images: what the model takes.
        shifts: distances in pixels, whole numbers from 0 on and less than the image's sides.
        fill: as in `shift_images`.

    Returns:
        One row a shift: `shift`; `same`, the share of predictions equal to those of the images
        where they are, mean over up, down, left and right.

    Raises:
        InputError: an argument is not one of the above.

    Example:
        >>> def left_or_right(images):
        ...     return images.reshape(len(images), 4, 2, 2).sum(axis=(1, 3))
        >>> image = np.zeros((1, 4, 4, 1)); image[:, :, 1] = 1
        >>> shift_consistency(left_or_right, image, shifts=[0, 1]).values.tolist()
        [[0.0, 1.0], [1.0, 0.75]]
    """
    images, shifts = _images(images), list(shifts)
    for shift in shifts:
        _check_whole("shifts", shift)
        if not 0 <= shift < min(images.shape[1:3]):
            raise InputError(
                f"shifts={shift!r} pixels: give numbers from 0 to {min(images.shape[1:3]) - 1} for "
                f"images of {images.shape[1]} x {images.shape[2]}"
            )
    if not shifts:
        raise InputError("shifts is empty; give at least one distance in pixels")
    before = _classes(model, images)
    rows = []
    for shift in shifts:
        directions = DIRECTIONS if shift else DIRECTIONS[:1]
        same = [
            np.mean(before == _classes(model, shift_images(images, shift * y, shift * x, fill)))
            for y, x in directions
        ]
        rows.append({"shift": int(shift), "same": float(np.mean(same))})
    return pd.DataFrame(rows)


def equivariance_error(
    function: Callable[[np.ndarray], Any],
    images: np.ndarray,
    shift: int | tuple[int, int],
    stride: int = 1,
    margin: int = 0,
    *,
    fill: str = "edge",
) -> float:
    """Measure how far a function's maps are from moving with the image.

    ||f(shifted x) - shifted f(x)|| / ||shifted f(x)||, over all images, positions and channels:
    0 for an equivariant function, about 1.4 for maps that have nothing in common. The maps are
    compared where both are known: what moved in from outside is left out unless `fill` is "wrap".

    A shift by a multiple of the stride moves the map by whole units. Of any other, no shift of the
    map is the exact counterpart: the map is then moved by the whole units below and above, and the
    smallest error counts. What remains no choice of units can mend.

    Args:
        function: a Keras model or layer, or any function, from images to maps [n, h', w', ...].
        images: what it takes, [n, h, w, c].
        shift: (rows down, columns to the right) in pixels of the image; one number for both.
        stride: pixels of the image for one unit of the map, the product of all strides.
        margin: units of the map to leave out on each side of what is compared. For its interior,
            give the units in half a receptive field.
        fill: what comes into the image from outside, as in `shift_images`.

    Raises:
        InputError: an argument is not one of the above, or nothing is left to be compared.

    Example:
        >>> def every_other(images):
        ...     return images[:, ::2, ::2]
        >>> images = np.random.default_rng(0).random((1, 16, 16, 1))
        >>> equivariance_error(every_other, images, shift=2, stride=2)
        0.0
        >>> equivariance_error(every_other, images, shift=1, stride=2) > 0.3
        True
    """
    images = _images(images)
    moves = tuple(shift) if isinstance(shift, Sequence) else (shift, shift)
    if len(moves) != 2:
        raise InputError(f"shift={shift!r}: give one whole number or (rows, columns)")
    for move in moves:
        _check_whole("shift", move)
    for name, value, least in (("stride", stride, 1), ("margin", margin, 0)):
        _check_whole(name, value)
        if value < least:
            raise InputError(f"{name}={value!r}: give a whole number of at least {least}")
    still = _maps(function, images)
    moved = _maps(function, shift_images(images, *moves, fill))
    rows, columns = ({move // stride, -(-move // stride)} for move in moves)
    return min(_distance(still, moved, units, margin, fill) for units in product(rows, columns))


def _distance(
    still: np.ndarray, moved: np.ndarray, units: tuple[int, int], margin: int, fill: str
) -> float:
    """Compare maps of moved images with the moved maps, where both are known."""
    expected = shift_images(still, *units, fill)
    for axis, by in enumerate(units, start=1):
        side = still.shape[axis]
        low, high = (0, side) if fill == "wrap" else (max(by, 0), side + min(by, 0))
        kept = slice(low + margin, high - margin)
        if kept.start >= kept.stop:
            raise InputError(
                f"margin={margin!r} leaves nothing of maps of {still.shape[1]} x {still.shape[2]} "
                f"units moved by {units}: give a smaller margin or larger images"
            )
        index = (slice(None),) * axis + (kept,)
        expected, moved = expected[index], moved[index]
    size = np.linalg.norm(expected)
    if not size > 0:
        raise InputError("function gives 0 everywhere for these images: no error can be related")
    return float(np.linalg.norm(moved - expected) / size)


def _maps(function: Callable[[np.ndarray], Any], images: np.ndarray) -> np.ndarray:
    return _called(function, images, "function", (3, 4), "maps [n, h, w] or [n, h, w, c]")


def _classes(model: Callable[[np.ndarray], Any], images: np.ndarray) -> np.ndarray:
    return _called(model, images, "model", (2,), "probabilities [n, classes]").argmax(axis=1)


def _called(
    function: Callable[[np.ndarray], Any],
    images: np.ndarray,
    name: str,
    axes: Sequence[int],
    needed: str,
) -> np.ndarray:
    """Call a function on all images, a batch at a time; Keras models in inference mode."""
    call = getattr(function, "predict_on_batch", function)
    parts = []
    for start in range(0, len(images), AT_ONCE):
        batch = images[start : start + AT_ONCE]
        part = np.asarray(call(batch), np.float64)
        if part.ndim not in axes or len(part) != len(batch):
            raise InputError(
                f"{name} gives shape {part.shape} for {len(batch)} images; {needed} are needed"
            )
        parts.append(part)
    return np.concatenate(parts)


def _images(images: np.ndarray) -> np.ndarray:
    images = np.asarray(images)
    if images.ndim not in (3, 4) or not images.size or images.dtype.kind not in "uif":
        raise InputError(
            f"images has shape {images.shape} and type {images.dtype}; [n, h, w, c] of uint8 or a "
            "float type with n >= 1 is needed"
        )
    return images


def _check_whole(name: str, value: Any) -> None:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
        raise InputError(f"{name}={value!r}: give a whole number of pixels")

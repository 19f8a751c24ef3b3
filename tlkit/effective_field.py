"""What part of the image a unit does see: where its gradient is (Luo et al. 2016)."""

from math import floor

import keras
import numpy as np
import tensorflow as tf

from tlkit.backbones import Backbone
from tlkit.errors import InputError
from tlkit.insides import as_array, central_unit, look_inside


def effective_receptive_field(
    model: keras.Model | Backbone, layer: str, images: np.ndarray
) -> np.ndarray:
    """Measure how much each pixel moves the central unit of a feature map (Luo et al. 2016).

    Args:
        model: sequential or functional; or a `Backbone`, with its preprocessing.
        layer: name of a layer with a feature map [h, w, c]. Its central unit is the one at row
            h // 2 and column w // 2, the sum of its channels.
        images: what the model takes, [n, height, width, channels], uint8 or float.

    Returns:
        float32 [height, width], summing to 1: the absolute gradient of the unit, summed over the
        pixel's channels, mean over the images.

    Raises:
        InputError: there is no such layer, it has no map, the images do not fit, or no pixel of
            any image moves the unit (its activation is dead).

    Example:
        >>> model = keras.Sequential([keras.Input((9, 9, 1)), keras.layers.Conv2D(1, 3, name="c")])
        >>> seen = effective_receptive_field(model, "c", np.ones((1, 9, 9, 1)))
        >>> seen.shape, int((seen > 0).sum())
        ((9, 9), 9)
    """
    opened = look_inside(model)
    tensor = opened.map_of(layer)
    images = opened.checked(images)
    opened.check_slopes()
    part = opened.part(tensor)
    total = np.zeros(images.shape[1:3], np.float64)

    @tf.function  # as a graph, in which TensorFlow leaves out the gradients of the weights
    def slopes(pixels):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(pixels)
            found = part(pixels, training=False)
            row, column = central_unit(found.shape[1:3])
            centre = tf.reduce_sum(tf.cast(found[:, row, column], "float32"))
        return tape.gradient(centre, pixels)

    for pixels in opened.batches(images):
        total += np.abs(as_array(slopes(pixels))).sum(axis=(0, 3), dtype=np.float64)
    if not total.sum() > 0:
        raise InputError(
            f"layer={layer!r}: no pixel of these {len(images)} images moves its central unit; give "
            "more images, or a layer that is not dead"
        )
    return (total / total.sum()).astype(np.float32)


def side_holding(seen: np.ndarray, share: float = 0.95) -> int:
    """Find the side of the smallest centred square that holds a share of a map.

    Args:
        seen: floats [height, width] of at least 0, such as an effective receptive field. The
            square lies about their centre of mass, to half a pixel.
        share: above 0 and at most 1.

    Returns:
        Side in pixels, 1 or more. Where the square reaches beyond the map, it holds nothing there.

    Raises:
        InputError: an argument is not as above, or the map is 0 everywhere.

    Example:
        >>> seen = np.zeros((9, 9))
        >>> seen[3:6, 4:7] = 1
        >>> side_holding(seen), side_holding(seen, share=0.1)
        (3, 1)
    """
    return square_holding(seen, share)[2]


def square_holding(seen: np.ndarray, share: float = 0.95) -> tuple[int, int, int]:
    """Find the square whose side `side_holding` returns.

    Returns:
        (top, left, side) in pixels.
    """
    seen = np.asarray(seen, np.float64)
    if seen.ndim != 2 or not np.isfinite(seen).all() or not (seen >= 0).all() or not seen.any():
        raise InputError(
            f"seen has shape {seen.shape}; numbers [height, width] of at least 0 are needed, not "
            "all of them 0"
        )
    if not 0 < share <= 1:
        raise InputError(f"share={share!r}: give a number above 0 and at most 1")
    seen = seen / seen.sum()
    height, width = seen.shape
    sums = np.pad(seen, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    middle = seen.sum(axis=1) @ np.arange(height), seen.sum(axis=0) @ np.arange(width)
    side, held = 0, 0.0
    while held < share - 1e-9:  # a square of twice the map's longer side covers it
        side += 1
        # Rounded before: a centre of mass of 3.4999999 is 3.5.
        top, left = (floor(round(float(place) - side / 2 + 1, 6)) for place in middle)
        rows = np.clip((top, top + side), 0, height)
        columns = np.clip((left, left + side), 0, width)
        held = np.diff(np.diff(sums[np.ix_(rows, columns)], axis=0), axis=1).item()
    return top, left, side

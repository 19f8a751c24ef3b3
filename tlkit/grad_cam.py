"""Grad-CAM: where in the image a class finds what speaks for it (Selvaraju et al. 2017)."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from tlkit.errors import InputError
from tlkit.insides import Insides, as_array, look_inside

# What only makes a map coarser or passes it on; the map before it is the finer one.
PASSED_OVER = (
    keras.layers.AveragePooling2D,
    keras.layers.Cropping2D,
    keras.layers.Dropout,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.MaxPooling2D,
    keras.layers.Reshape,
    keras.layers.Resizing,
    keras.layers.SpatialDropout2D,
    keras.layers.ZeroPadding2D,
)


def grad_cam(
    model: keras.Model,
    images: np.ndarray,
    classes: int | Sequence[int] | np.ndarray | None = None,
    layer: str | None = None,
) -> np.ndarray:
    """Show which parts of images speak for a class (Selvaraju et al. 2017).

    Each channel of a feature map is weighted by the mean gradient of the class's score, before
    softmax, with respect to it; what is positive in the weighted sum is enlarged to the image.

    It is as coarse as the map. The last maps of the embedded backbones have 2 x 2 units (mini_vgg:
    4 x 4) where images have 64 pixels a side: they tell objects in a larger image apart, but for
    parts of a single one, name a layer with a finer map, such as the last one of "block3".

    Args:
        model: sequential or functional classifier, of images [n, h, w, c] -> scores or
            probabilities [n, classes]. A backbone may be a layer of it.
        images: what the model takes, uint8 or float.
        classes: one class for all images, or one for each, integers [n]; the predicted ones if
            None.
        layer: name of a layer with a feature map; the last map before global pooling or
            Flatten if None, pooling layers passed over.

    Returns:
        float32 [n, h, w] in 0 to 1: each map is divided by its largest value. It is 0 everywhere
        where nothing in the map speaks for the class.

    Raises:
        InputError: the images, classes or layer do not fit the model, or no feature map leads to
            its output.

    Example:
        >>> model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3),
        ...                           keras.layers.GlobalAveragePooling2D(),
        ...                           keras.layers.Dense(3, activation="softmax")])
        >>> grad_cam(model, np.ones((2, 8, 8, 1)), classes=1).shape
        (2, 8, 8)
    """
    opened = look_inside(model)
    images = opened.checked(images)
    outputs = opened.graph.shapes[opened.graph.outputs[0]]
    if len(opened.graph.outputs) != 1 or len(outputs) != 1:
        raise InputError(f"model gives {outputs} an image; scores of classes [n, classes] needed")
    chosen = _checked_classes(classes, len(images), outputs[0])
    tensor = opened.map_of(layer or last_map(opened))
    opened.check_slopes()
    end, score = _before_softmax(opened)
    part = opened.part(tensor, end)
    heat, done = [], 0
    for pixels in opened.batches(images):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(pixels)
            maps, last = part(pixels, training=False)
            scores = tf.cast(score(last), "float32")
            wanted = tf.argmax(scores, axis=1)
            if chosen is not None:
                wanted = tf.constant(chosen[done : done + len(scores)])
            total = tf.reduce_sum(tf.gather(scores, wanted, axis=1, batch_dims=1))
        slopes = tape.gradient(total, maps, unconnected_gradients="zero")
        weights = tf.reduce_mean(tf.cast(slopes, "float32"), axis=(1, 2), keepdims=True)
        spoken = tf.nn.relu(tf.reduce_sum(weights * tf.cast(maps, "float32"), 3, keepdims=True))
        heat.append(as_array(tf.image.resize(spoken, images.shape[1:3]))[..., 0])
        done += len(scores)
    found = np.concatenate(heat)
    largest = found.max(axis=(1, 2), keepdims=True)
    return np.divide(found, largest, out=np.zeros_like(found), where=largest > 0)


def last_map(opened: Insides) -> str:
    """Name the layer with the last feature map, those passed over that only make it coarser."""
    for name in reversed(opened.maps):
        height, width, _ = opened.shape_of(name)
        operation = opened.calls[name].operation
        if (height, width) != (1, 1) and not isinstance(operation, PASSED_OVER):
            return name
    raise InputError("model has no layer with a feature map (height, width, channels)")


def _before_softmax(opened: Insides) -> tuple[int, Callable]:
    """Return a tensor, and the function that makes of it the scores before softmax or sigmoid."""
    end = opened.graph.outputs[0]
    call = next(call for call in opened.graph.calls if end in call.outputs)
    operation = call.operation
    activation = getattr(getattr(operation, "activation", None), "__name__", "")
    if activation in ("softmax", "sigmoid") and isinstance(operation, keras.layers.Dense):
        kernel, bias = operation.kernel, operation.bias
        add = 0.0 if bias is None else bias
        return call.inputs[0], lambda x: keras.ops.cast(x, "float32") @ kernel + add
    squashes = activation in ("softmax", "sigmoid") and isinstance(
        operation, keras.layers.Activation
    )
    if squashes or isinstance(operation, keras.layers.Softmax):
        return call.inputs[0], lambda x: x
    return end, lambda x: x


def _checked_classes(classes, images: int, allowed: int) -> np.ndarray | None:
    """Return one class for each image; None where the predicted ones are meant."""
    if classes is None:
        return None
    array = np.asarray(classes)
    if array.dtype.kind not in "iu" or array.shape not in ((), (images,)):
        raise InputError(
            f"classes has shape {array.shape} and type {array.dtype}; one integer, or [{images}] "
            "integers are needed"
        )
    if array.min() < 0 or array.max() >= allowed:
        raise InputError(f"classes={classes!r}: classes run from 0 to {allowed - 1}")
    return np.broadcast_to(array, (images,)).astype(np.int64)

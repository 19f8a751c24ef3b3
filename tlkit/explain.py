"""Looks into a network: its maps and filters, what it sees, what moves it, where it looks.

Every function takes sequential and functional Keras models, with models inside them or not, and
names layers as `model.summary(expand_nested=True)` does.
"""

from collections.abc import Callable

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from tlkit.backbones import Backbone
from tlkit.effective_field import effective_receptive_field, side_holding
from tlkit.errors import InputError
from tlkit.grad_cam import grad_cam
from tlkit.insides import Insides, look_inside
from tlkit.receptive_fields import receptive_field_box, receptive_fields
from tlkit.shifts import equivariance_error, shift_consistency, shift_images
from tlkit.stage_probe import probe_by_stage

__all__ = [
    "effective_receptive_field",
    "equivariance_error",
    "feature_maps",
    "first_layer_filters",
    "grad_cam",
    "gradient_norms",
    "layer_names",
    "probe_by_stage",
    "receptive_field_box",
    "receptive_fields",
    "shift_consistency",
    "shift_images",
    "side_holding",
]


def layer_names(model: keras.Model | Backbone, *, maps: bool = False) -> list[str]:
    """List the names by which layers can be asked for, the image's side first.

    Args:
        model: sequential or functional; or a `Backbone`.
        maps: only those that give a feature map [h, w, c].

    Example:
        >>> from tlkit.backbones import load_backbone
        >>> layer_names(load_backbone("mini_vgg", weights=None).model)[:3]
        ['block1_1_conv', 'block1_1_bn', 'block1_1_relu']
    """
    opened = look_inside(model)
    return opened.maps if maps else list(opened.calls)


def feature_maps(model: keras.Model | Backbone, images: np.ndarray, layer: str) -> np.ndarray:
    """Compute what a layer makes of images, in inference mode.

    Args:
        model: sequential or functional; or a `Backbone`, with its preprocessing.
        images: what the model takes, [n, height, width, channels], uint8 or float.
        layer: name of a layer with a feature map; `layer_names(model, maps=True)` lists them.

    Returns:
        float32 [n, h, w, c].

    Raises:
        InputError: there is no such layer, it has no map, or the images do not fit.

    Example:
        >>> from tlkit.backbones import load_backbone
        >>> backbone = load_backbone("mini_vgg")
        >>> feature_maps(backbone, np.zeros((2, 64, 64, 3), np.uint8), "block2_pool").shape
        (2, 16, 16, 32)
    """
    opened = look_inside(model)
    return opened.outputs(opened.map_of(layer), opened.checked(images))


def first_layer_filters(model: keras.Model | Backbone) -> np.ndarray:
    """Return the filters of the first convolution as small images.

    Args:
        model: sequential or functional; or a `Backbone`.

    Returns:
        float32 [filters, h, w, c] in 0 to 1, each filter scaled by itself: 0.5 stands for a weight
        of 0, and its largest weight, of either sign, is at 0 or 1. c is 1 where a filter sees one
        channel only (depthwise convolutions). Channels are in the order of the image's: where
        preprocessing turns red, green, blue into blue, green, red, this is undone.

    Raises:
        InputError: the model has no convolution over two axes.

    Example:
        >>> from tlkit.backbones import load_backbone
        >>> filters = first_layer_filters(load_backbone("mini_resnet"))
        >>> filters.shape, float(filters.min()) >= 0, float(filters.max()) <= 1
        ((24, 3, 3, 3), True, True)
    """
    opened = look_inside(model)
    for call in opened.graph.calls:
        layer = call.operation
        if isinstance(layer, (keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)):
            single = isinstance(layer, keras.layers.DepthwiseConv2D)
            kernel = np.asarray(layer.kernel if single else layer.depthwise_kernel, np.float32)
            filters = kernel.reshape(*kernel.shape[:2], -1, 1).transpose(2, 0, 1, 3)
        elif isinstance(layer, keras.layers.Conv2D):
            filters = np.asarray(layer.kernel, np.float32).transpose(3, 0, 1, 2)
            filters = filters[..., _order_of_channels(opened, call.inputs[0])]
        else:
            continue
        largest = np.abs(filters).max(axis=(1, 2, 3), keepdims=True)
        return 0.5 + 0.5 * np.divide(
            filters, largest, out=np.zeros_like(filters), where=largest > 0
        )
    raise InputError("model has no layer of Conv2D, DepthwiseConv2D or SeparableConv2D")


def _order_of_channels(opened: Insides, tensor: int) -> list[int]:
    """Find which channel of a tensor each of the image's channels goes to; all in order if none."""
    channels = opened.graph.shapes[tensor][-1]
    shape = [side or 32 for side in opened.input_shape]
    if tensor in opened.graph.inputs or shape[-1] != channels:
        return list(range(channels))
    colours = np.zeros((channels + 1, *shape), np.float32)  # black, then one channel each
    colours[np.arange(1, channels + 1), ..., np.arange(channels)] = 255
    made = opened.outputs(tensor, colours)
    order = np.abs(made[1:] - made[:1]).mean(axis=(1, 2)).argmax(axis=1)
    return order.tolist() if len(set(order)) == channels else list(range(channels))


def gradient_norms(
    model: keras.Model,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    loss: str | Callable = "sparse_categorical_crossentropy",
    training: bool = True,
) -> pd.DataFrame:
    """Measure by layer how large the gradient of the loss is, as the next step would use it.

    Args:
        model: sequential or functional; it stays as it is, its moving statistics included.
        images: what the model takes, [n, ...]: one batch.
        labels: [n, ...], as the loss takes them.
        loss: name of a Keras loss or a function (labels, outputs) -> losses; the mean is taken.
        training: as in training, where BatchNormalization uses the batch's statistics and Dropout
            drops; False for inference mode.

    Returns:
        One row for each layer with weights that are trained, the image's side first: `layer`;
        `norm`, Euclidean, over all of its trained weights; `parameters`, the number of these.

    Raises:
        InputError: the images or labels do not fit, nothing is trained, or the outputs are no
            probabilities and the loss is the default one.

    Example:
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="hidden"),
        ...                           keras.layers.Dense(2, activation="softmax", name="classes")])
        >>> table = gradient_norms(model, np.ones((5, 4)), np.zeros(5, int))
        >>> table["layer"].tolist(), table["parameters"].tolist()
        (['hidden', 'classes'], [15, 8])
    """
    opened = look_inside(model)
    images, labels = opened.checked(images), np.asarray(labels)
    if len(labels) != len(images):
        raise InputError(f"labels has shape {labels.shape}; one for each of {len(images)} images")
    layers = {
        name: call.operation.trainable_weights
        for name, call in opened.calls.items()
        if getattr(call.operation, "trainable_weights", []) and ":" not in name
    }
    if not layers:
        raise InputError("model has no weights that are trained: thaw some (layer.trainable)")
    function = keras.losses.get(loss) if isinstance(loss, str) else loss
    kept = {id(v): (v, np.asarray(v).copy()) for v in model.variables}
    try:
        with tf.GradientTape() as tape:
            outputs = model(opened.given(images), training=training)
            if loss == "sparse_categorical_crossentropy":
                _check_probabilities(outputs, labels)
            value = tf.reduce_mean(function(labels, outputs))
        flat = [weight.value for weights in layers.values() for weight in weights]
        found = iter(tape.gradient(value, flat, unconnected_gradients="zero"))
    finally:
        for variable, before in kept.values():
            variable.assign(before)
    rows = []
    for name, weights in layers.items():
        squares = sum(np.square(np.asarray(next(found), np.float64)).sum() for _ in weights)
        count = sum(int(np.prod(weight.shape)) for weight in weights)
        rows.append({"layer": name, "norm": float(np.sqrt(squares)), "parameters": count})
    return pd.DataFrame(rows)


def _check_probabilities(outputs, labels: np.ndarray) -> None:
    sums = np.asarray(outputs).sum(axis=-1)
    if not np.allclose(sums, 1, atol=1e-3):
        raise InputError(
            "model gives no probabilities: its outputs for an image do not sum to 1; give loss="
            "keras.losses.SparseCategoricalCrossentropy(from_logits=True), or the loss that fits"
        )
    classes = outputs.shape[-1]
    if (
        labels.ndim != 1
        or labels.dtype.kind not in "iu"
        or not 0 <= labels.min() <= labels.max() < classes
    ):
        raise InputError(f"labels of shape {labels.shape}: integers from 0 to {classes - 1} needed")

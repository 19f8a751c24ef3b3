"""What a network is made of, in plain NumPy: activations, layers, losses; see `tlkit.numpy_net`.

Every step of a network is a function that returns its value and its derivative:
    activations  `value, slope = relu(x)`, the slope at every x;
    losses       `loss, gradient = mean_squared_error(predictions, targets)`, the gradient with
                 respect to the predictions;
    layers       `output, backward = dense(x, kernel, bias)`, where `backward(gradient)` turns the
                 gradient of the loss with respect to `output` into those with respect to x and to
                 each parameter, in this order. Called from the last layer to the first, this is
                 the chain rule as backpropagation (Rumelhart, Hinton & Williams, 1986).

Names and defaults are those of Keras. Images are [n, height, width, channels]. Floats keep their
precision, integers become float64. What does not fit raises `InputError`.

Example:
    >>> {name: round(float(function(-1)[0]), 3) for name, function in ACTIVATIONS.items()}
    ... # doctest: +NORMALIZE_WHITESPACE
    {'identity': -1.0, 'sigmoid': 0.269, 'tanh': -0.762, 'relu': 0.0, 'leaky_relu': -0.2,
     'elu': -0.632, 'gelu': -0.159, 'silu': -0.269, 'softplus': 0.313}
"""

from collections.abc import Callable
from math import pi, prod, sqrt
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from tlkit.errors import InputError

Array = NDArray[Any]
Backward = Callable[[ArrayLike], Any]
Side = int | tuple[int, int]  # of a window, or its step: one for rows and columns, or one each


def as_floats(x: ArrayLike) -> Array:
    """Keep the precision of floats; make anything else float64."""
    x = np.asarray(x)
    return x if np.issubdtype(x.dtype, np.floating) else x.astype(np.float64)


def as_shaped(name: str, value: ArrayLike, *shape: int | str) -> Array:
    """Return `value` as floats of this shape, in which a word stands for any length >= 1."""
    array = as_floats(value)
    pairs = zip(array.shape, shape, strict=False)
    fits = all(length >= 1 if isinstance(want, str) else length == want for length, want in pairs)
    if array.ndim != len(shape) or not fits:
        wanted = ", ".join(map(str, shape))
        raise InputError(f"{name} has shape {list(array.shape)}: must be [{wanted}]")
    return array


# Activations: x of any shape -> value and slope, both of that shape.


def identity(x: ArrayLike) -> tuple[Array, Array]:
    """No activation: x itself."""
    x = as_floats(x)
    return x, np.ones_like(x)


def sigmoid(x: ArrayLike) -> tuple[Array, Array]:
    """1 / (1 + exp(-x)), between 0 and 1; written so that exp cannot overflow."""
    x = as_floats(x)
    decay = np.exp(-np.abs(x))
    value = np.where(x >= 0, 1, decay) / (1 + decay)
    return value, value * (1 - value)


def tanh(x: ArrayLike) -> tuple[Array, Array]:
    """Hyperbolic tangent, between -1 and 1: 2 sigmoid(2x) - 1 (LeCun et al., 1998)."""
    value = np.tanh(as_floats(x))
    return value, 1 - value**2


def relu(x: ArrayLike) -> tuple[Array, Array]:
    """Rectified linear unit, max(0, x); its slope at 0 is taken as 0 (Nair & Hinton, 2010).

    Example:
        >>> relu([-2, 0, 3])
        (array([0., 0., 3.]), array([0., 0., 1.]))
    """
    x = as_floats(x)
    return np.maximum(x, 0), (x > 0).astype(x.dtype)


def leaky_relu(x: ArrayLike, negative_slope: float = 0.2) -> tuple[Array, Array]:
    """Leaky ReLU: x, or negative_slope x where x < 0; never flat (Maas et al., 2013)."""
    x = as_floats(x)
    slope = np.where(x > 0, 1, negative_slope).astype(x.dtype)
    return x * slope, slope


def elu(x: ArrayLike, alpha: float = 1.0) -> tuple[Array, Array]:
    """Exponential linear unit: x, or alpha (exp(x) - 1) where x < 0 (Clevert et al., 2016)."""
    x = as_floats(x)
    below = np.minimum(x, 0)
    slope = np.where(x > 0, 1, alpha * np.exp(below)).astype(x.dtype)
    return np.maximum(x, 0) + alpha * np.expm1(below), slope


def gelu(x: ArrayLike) -> tuple[Array, Array]:
    """Gaussian error linear unit, x (1 + erf(x / sqrt 2)) / 2 (Hendrycks & Gimpel, 2016)."""
    x = as_floats(x)
    share = ndtr(x)  # (1 + erf(x / sqrt 2)) / 2: share of a standard normal that lies below x
    return x * share, share + x * np.exp(-(x**2) / 2) / sqrt(2 * pi)


def silu(x: ArrayLike) -> tuple[Array, Array]:
    """Sigmoid linear unit or swish, x sigmoid(x) (Hendrycks & Gimpel, 2016)."""
    x = as_floats(x)
    gate, gate_slope = sigmoid(x)
    return x * gate, gate + x * gate_slope


def softplus(x: ArrayLike) -> tuple[Array, Array]:
    """Smooth ReLU, log(1 + exp(x)), whose slope is the sigmoid (Dugas et al., 2001)."""
    x = as_floats(x)
    return np.logaddexp(x, 0), sigmoid(x)[0]


swish = silu
ACTIVATIONS: dict[str, Callable[..., tuple[Array, Array]]] = {
    function.__name__: function
    for function in (identity, sigmoid, tanh, relu, leaky_relu, elu, gelu, silu, softplus)
}


# Layers


def dense(x: ArrayLike, kernel: ArrayLike, bias: ArrayLike) -> tuple[Array, Backward]:
    """Affine map x W + b: x [n, inputs], kernel [inputs, units], bias [units] -> [n, units].

    Example:
        >>> output, backward = dense([[1, 2]], [[3, 0], [0, 4]], [0, 1])
        >>> output, backward([[1, 1]])[0]  # the first is the gradient of x
        (array([[3., 9.]]), array([[3., 4.]]))
    """
    x = as_shaped("x", x, "n", "inputs")
    kernel = as_shaped("kernel", kernel, x.shape[1], "units")
    output = x @ kernel + as_shaped("bias", bias, kernel.shape[1])

    def backward(gradient: ArrayLike) -> tuple[Array, Array, Array]:
        gradient = as_shaped("gradient", gradient, *output.shape)
        return gradient @ kernel.T, x.T @ gradient, gradient.sum(axis=0)

    return output, backward


def output_size(size: int, kernel: int, stride: int = 1, padding: str = "valid") -> int:
    """Side in pixels of what a convolution or pooling returns, from the sides of image and window.

    It is floor((size - kernel) / stride) + 1 with padding "valid", where every window stays inside
    the image, and ceil(size / stride) with "same", where the image is framed as far as needed.

    Example:
        >>> output_size(32, 5), output_size(32, 5, stride=2), output_size(31, 5, 2, "same")
        (28, 14, 16)
    """
    for name, value in (("size", size), ("kernel", kernel), ("stride", stride)):
        if not isinstance(value, int | np.integer) or value < 1:
            raise InputError(f"{name}={value!r}: must be a whole number >= 1")
    if padding == "same":
        return -(-size // stride)
    if padding != "valid":
        raise InputError(f"padding={padding!r}: must be 'valid' or 'same'")
    if kernel > size:
        raise InputError(f"kernel={kernel}: must be <= {size}, the image's side, if 'valid'")
    return (size - kernel) // stride + 1


def _pair(name: str, value: Any) -> tuple[int, int]:
    pair = (value, value) if np.ndim(value) == 0 else tuple(value)
    if len(pair) != 2 or not all(isinstance(v, int | np.integer) and v >= 1 for v in pair):
        raise InputError(f"{name}={value!r}: must be a whole number >= 1, or (rows, columns)")
    return pair


def _slide(
    x: ArrayLike, size: Side, strides: Side | None, padding: str, frame: float = 0.0
) -> tuple[Array, Backward]:
    """Cut images into windows [n, rows, columns, channels, *size], beyond the image `frame`.

    The way back adds up, for each pixel, the gradients of all windows that show it.
    """
    x = as_shaped("x", x, "n", "height", "width", "channels")
    size = _pair("size", size)
    steps = size if strides is None else _pair("strides", strides)
    margins = []
    for side, kernel, step in zip(x.shape[1:3], size, steps, strict=True):
        missing = (output_size(side, kernel, step, padding) - 1) * step + kernel - side
        margins.append((max(missing, 0) // 2, (max(missing, 0) + 1) // 2))
    framed = np.pad(x, [(0, 0), *margins, (0, 0)], constant_values=frame)
    windows = sliding_window_view(framed, size, axis=(1, 2))[:, :: steps[0], :: steps[1]]

    def backward(gradient: Any) -> Array:
        total = np.zeros(framed.shape, gradient.dtype)
        for i, j in np.ndindex(*size):
            rows = slice(i, i + steps[0] * windows.shape[1], steps[0])
            columns = slice(j, j + steps[1] * windows.shape[2], steps[1])
            total[:, rows, columns] += gradient[..., i, j]
        (top, _), (left, _) = margins
        return total[:, top : top + x.shape[1], left : left + x.shape[2]]

    return windows, backward


def conv2d(
    x: ArrayLike, kernel: ArrayLike, bias: ArrayLike, *, strides: Side = 1, padding: str = "valid"
) -> tuple[Array, Backward]:
    """Convolution, as in all of deep learning without flipping the kernel (LeCun et al., 1998).

    Args:
        x: images [n, height, width, channels].
        kernel: weights [kernel height, kernel width, channels, filters].
        bias: one number for each filter, [filters].
        strides: step of the kernel in pixels.
        padding: "valid", or "same" to surround the image with zeros; see `output_size`.

    Returns:
        Output [n, rows, columns, filters] and the way back to x, kernel and bias.

    Example:
        >>> output, backward = conv2d(np.ones((1, 5, 5, 3)), np.ones((2, 2, 3, 1)), [1], strides=3)
        >>> output[0, :, :, 0].tolist(), [gradient.shape for gradient in backward(output)]
        ([[13.0, 13.0], [13.0, 13.0]], [(1, 5, 5, 3), (2, 2, 3, 1), (1,)])
    """
    x = as_shaped("x", x, "n", "height", "width", "channels")
    kernel = as_shaped("kernel", kernel, "height", "width", x.shape[3], "filters")
    bias = as_shaped("bias", bias, kernel.shape[3])
    windows, slide_back = _slide(x, kernel.shape[:2], strides, padding)
    output = np.einsum("nrscij,ijcf->nrsf", windows, kernel, optimize=True) + bias

    def backward(gradient: ArrayLike) -> tuple[Array, Array, Array]:
        gradient = as_shaped("gradient", gradient, *output.shape)
        of_windows = np.einsum("nrsf,ijcf->nrscij", gradient, kernel, optimize=True)
        of_kernel = np.einsum("nrscij,nrsf->ijcf", windows, gradient, optimize=True)
        return slide_back(of_windows), of_kernel, gradient.sum(axis=(0, 1, 2))

    return output, backward


def _pooling_back(weights: Array, slide_back: Backward) -> Backward:
    """Way back of a pooling: the pixels of a window share its gradient by their weights."""

    def backward(gradient: ArrayLike) -> Array:
        gradient = as_shaped("gradient", gradient, *weights.shape[:4])
        return slide_back(gradient[..., None, None] * weights)

    return backward


def max_pool2d(
    x: ArrayLike, *, pool_size: Side = 2, strides: Side | None = None, padding: str = "valid"
) -> tuple[Array, Backward]:
    """Largest pixel of each window, to which the gradient goes: of equals to the first.

    Args:
        x: images [n, height, width, channels].
        pool_size: sides of the window in pixels.
        strides: its step; `pool_size` unless given.
        padding: "valid" or "same"; see `output_size`.

    Returns:
        Output [n, rows, columns, channels] and the way back to x.

    Example:
        >>> output, backward = max_pool2d([[[[1], [5]], [[5], [2]]]])
        >>> output.ravel(), backward([[[[7]]]]).ravel()
        (array([5.]), array([0., 7., 0., 0.]))
    """
    size = _pair("pool_size", pool_size)
    windows, slide_back = _slide(x, size, strides, padding, frame=-np.inf)
    flat = windows.reshape(*windows.shape[:4], -1)
    is_first = np.arange(prod(size)) == flat.argmax(axis=-1)[..., None]
    return flat.max(axis=-1), _pooling_back(is_first.reshape(windows.shape), slide_back)


def average_pool2d(
    x: ArrayLike, *, pool_size: Side = 2, strides: Side | None = None, padding: str = "valid"
) -> tuple[Array, Backward]:
    """Mean of each window, over those of its pixels that lie in the image; else as `max_pool2d`.

    Example:
        >>> average_pool2d(np.arange(9).reshape(1, 3, 3, 1), padding="same")[0].ravel()
        array([2. , 3.5, 6.5, 8. ])
    """
    size = _pair("pool_size", pool_size)
    windows, slide_back = _slide(x, size, strides, padding)
    weights, _ = _slide(np.ones_like(as_floats(x)), size, strides, padding)
    weights = weights / weights.sum(axis=(-2, -1), keepdims=True)
    return (windows * weights).sum(axis=(-2, -1)), _pooling_back(weights, slide_back)


def global_average_pool2d(x: ArrayLike) -> tuple[Array, Backward]:
    """Mean of each channel, [n, height, width, channels] -> [n, channels] (Lin et al., 2014).

    Example:
        >>> output, backward = global_average_pool2d([[[[1], [3]]]])
        >>> output, backward([[1]]).ravel()
        (array([[2.]]), array([0.5, 0.5]))
    """
    x = as_shaped("x", x, "n", "height", "width", "channels")
    output, backward = average_pool2d(x, pool_size=x.shape[1:3])
    output = output[:, 0, 0]
    return output, lambda g: backward(as_shaped("gradient", g, *output.shape)[:, None, None])


def flatten(x: ArrayLike) -> tuple[Array, Backward]:
    """Each image as one row, [n, height, width, channels] -> [n, height * width * channels].

    Example:
        >>> flatten(np.ones((2, 4, 4, 3)))[0].shape
        (2, 48)
    """
    x = as_shaped("x", x, "n", "height", "width", "channels")
    output = x.reshape(len(x), -1)
    return output, lambda gradient: as_shaped("gradient", gradient, *output.shape).reshape(x.shape)


# Losses: mean over the batch, and its gradient with respect to the first argument.


def softmax(logits: ArrayLike) -> Array:
    """Turn logits [n, classes] into probabilities [n, classes]; large ones cannot overflow."""
    logits = as_shaped("logits", logits, "n", "classes")
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def softmax_cross_entropy(logits: ArrayLike, labels: ArrayLike) -> tuple[float, Array]:
    """Mean of -log(softmax(logits)[label]) in nats: logits [n, classes], integer labels [n].

    Example:
        >>> loss, gradient = softmax_cross_entropy([[0, 0]], [1])
        >>> round(loss, 4), gradient
        (0.6931, array([[ 0.5, -0.5]]))
    """
    logits, labels = as_shaped("logits", logits, "n", "classes"), np.asarray(labels)
    n, classes = logits.shape
    if labels.shape != (n,) or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"labels are {labels.dtype} {list(labels.shape)}: must be integers [{n}]")
    if labels.min() < 0 or labels.max() >= classes:
        span = f"{labels.min()}..{labels.max()}"
        raise InputError(f"labels span {span}: must lie in 0..{classes - 1}, {classes} logits wide")
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_odds = np.log(np.exp(shifted).sum(axis=1))
    loss = np.mean(log_odds - shifted[np.arange(n), labels])
    return float(loss), (softmax(logits) - np.eye(classes, dtype=logits.dtype)[labels]) / n


def mean_squared_error(predictions: ArrayLike, targets: ArrayLike) -> tuple[float, Array]:
    """Mean of (prediction - target)² over all entries; both of the same shape.

    Example:
        >>> mean_squared_error([1.0, 2.0], [1.0, 4.0])
        (2.0, array([ 0., -2.]))
    """
    predictions = as_floats(predictions)
    difference = predictions - as_shaped("targets", targets, *predictions.shape)
    return float(np.mean(difference**2)), 2 * difference / difference.size

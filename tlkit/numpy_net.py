"""Neural networks in plain NumPy, to read in one sitting: the reference of lessons and homework.

`tlkit.numpy_layers` holds the functions, whose names can be had from here, too: activations, layers
and losses, each with its derivative. Here they become networks that learn: initial weights,
backpropagation (Rumelhart, Hinton & Williams, 1986), optimisers, and a check of gradients.

Names and defaults are those of Keras. Floats keep their precision, integers become float64. What
does not fit raises `InputError`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod, sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tlkit.errors import InputError
from tlkit.numpy_layers import (
    ACTIVATIONS,
    Array,
    as_floats,
    as_shaped,
    average_pool2d,
    conv2d,
    dense,
    elu,
    flatten,
    gelu,
    global_average_pool2d,
    identity,
    leaky_relu,
    max_pool2d,
    mean_squared_error,
    output_size,
    relu,
    sigmoid,
    silu,
    softmax,
    softmax_cross_entropy,
    softplus,
    swish,
    tanh,
)

__all__ = [
    "ACTIVATIONS",
    "SGD",
    "Adam",
    "Layer",
    "Network",
    "average_pool2d",
    "conv2d",
    "dense",
    "elu",
    "flatten",
    "gelu",
    "global_average_pool2d",
    "glorot_uniform",
    "gradient_check",
    "he_normal",
    "identity",
    "leaky_relu",
    "lecun_normal",
    "max_pool2d",
    "mean_squared_error",
    "output_size",
    "relu",
    "sigmoid",
    "silu",
    "softmax",
    "softmax_cross_entropy",
    "softplus",
    "swish",
    "tanh",
]

# Initialisers, for kernels [inputs, units] and [height, width, channels, filters]: fan_in counts
# the inputs that reach one output, fan_out the outputs that one input reaches.


def glorot_uniform(shape: Sequence[int], rng: np.random.Generator) -> Array:
    """Variance 2 / (fan_in + fan_out), for tanh and sigmoid (Glorot & Bengio, 2010).

    Example:
        >>> kernel = glorot_uniform((3, 3, 16, 32), np.random.default_rng(0))
        >>> round(float(kernel.var()) * (9 * 16 + 9 * 32) / 2, 1)
        1.0
    """
    fan_in, fan_out = prod(shape[:-1]), prod(shape[:-2]) * shape[-1]
    limit = sqrt(6 / (fan_in + fan_out))
    return rng.uniform(-limit, limit, shape)


def he_normal(shape: Sequence[int], rng: np.random.Generator) -> Array:
    """Variance 2 / fan_in, for ReLU (He et al., 2015); Keras cuts the tails, at equal variance."""
    return rng.normal(0, sqrt(2 / prod(shape[:-1])), shape)


def lecun_normal(shape: Sequence[int], rng: np.random.Generator) -> Array:
    """Variance 1 / fan_in, which keeps that of the inputs (LeCun et al., 1998)."""
    return rng.normal(0, sqrt(1 / prod(shape[:-1])), shape)


# Training


class Layer:
    """A function of this module, the parameters it owns and, between the passes, the way back.

    Args:
        function: an activation or a layer.
        *parameters: its arrays after x; copied, since an optimiser changes them in place.
        **options: its keyword arguments.

    Example:
        >>> Layer(max_pool2d, pool_size=2).forward(np.ones((1, 4, 4, 3))).shape
        (1, 2, 2, 3)
    """

    def __init__(self, function: Callable[..., Any], *parameters: ArrayLike, **options: Any):  # noqa: D107
        self.function, self.options = function, options
        self.parameters = [as_floats(parameter).copy() for parameter in parameters]
        self.gradients: list[Array] = []
        self._derivative: Any = None

    def forward(self, x: ArrayLike) -> Array:
        """Compute the output and keep what `backward` needs."""
        output, self._derivative = self.function(x, *self.parameters, **self.options)
        return output

    def backward(self, gradient: ArrayLike) -> Array:
        """Set `gradients`, one for each parameter; return the gradient with respect to x."""
        if self._derivative is None:
            raise InputError("backward() was called before forward(): it needs what that computes")
        if not callable(self._derivative):  # the slope of an activation
            return as_shaped("gradient", gradient, *self._derivative.shape) * self._derivative
        found = self._derivative(gradient)
        x_gradient, *self.gradients = found if self.parameters else (found,)
        return x_gradient


@dataclass
class Network:
    """Layers one after the other, as in `keras.Sequential`.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> hidden = Layer(dense, he_normal((2, 16), rng), np.zeros(16))
        >>> top = Layer(dense, glorot_uniform((16, 2), rng), np.zeros(2))
        >>> network, optimizer = Network([hidden, Layer(relu), top]), Adam(learning_rate=0.1)
        >>> for step in range(50):
        ...     logits = network.forward([[0, 0], [0, 1], [1, 0], [1, 1]])
        ...     loss, gradient = softmax_cross_entropy(logits, [0, 1, 1, 0])
        ...     x_gradient = network.backward(gradient)
        ...     optimizer.step(network.parameters, network.gradients)
        >>> logits.argmax(axis=1)
        array([0, 1, 1, 0])
    """

    layers: Sequence[Layer]

    def forward(self, x: ArrayLike) -> Array:
        """Pass x through the layers, first to last."""
        for layer in self.layers:
            x = layer.forward(x)
        return as_floats(x)

    def backward(self, gradient: ArrayLike) -> Array:
        """Pass the gradient of the output back, last to first; return that of x."""
        for layer in reversed(self.layers):
            gradient = layer.backward(gradient)
        return as_floats(gradient)

    @property
    def parameters(self) -> list[Array]:
        """Every array that is learned."""
        return [parameter for layer in self.layers for parameter in layer.parameters]

    @property
    def gradients(self) -> list[Array]:
        """Their gradients in the same order; empty before `backward`."""
        return [gradient for layer in self.layers for gradient in layer.gradients]


def _matched(
    parameters: Sequence[Array], gradients: Sequence[ArrayLike]
) -> list[tuple[Array, Array]]:
    if len(parameters) != len(gradients):
        raise InputError(f"gradients: {len(gradients)} given, must be {len(parameters)}, one each")
    pairs = zip(parameters, gradients, strict=True)
    return [(w, as_shaped("gradient", gradient, *w.shape)) for w, gradient in pairs]


@dataclass
class SGD:
    """Gradient descent, plain, with momentum (Polyak, 1964) or Nesterov's (Sutskever et al., 2013).

    Example:
        >>> w = np.array([1.0])
        >>> SGD(learning_rate=0.1).step([w], [2 * w])
        >>> w
        array([0.8])
    """

    learning_rate: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    _velocities: list[Array] = field(default_factory=list, init=False, repr=False)

    def step(self, parameters: Sequence[Array], gradients: Sequence[ArrayLike]) -> None:
        """Change the parameters in place; they must be the same ones at every step."""
        self._velocities = self._velocities or [np.zeros_like(w) for w in parameters]
        pairs = _matched(parameters, gradients)
        for (w, gradient), velocity in zip(pairs, self._velocities, strict=True):
            velocity *= self.momentum
            velocity -= self.learning_rate * gradient
            if self.nesterov:
                w += self.momentum * velocity - self.learning_rate * gradient
            else:
                w += velocity


@dataclass
class Adam:
    """Steps scaled by running means of the gradient and of its square (Kingma & Ba, 2015).

    As in Keras, epsilon joins the root before the bias correction: the paper's "epsilon hat".

    Example:
        >>> w = np.array([1.0, 1.0])
        >>> Adam(learning_rate=0.1).step([w], [[1e-3, 1e3]])  # the first step ignores the scale
        >>> w.round(3)
        array([0.9, 0.9])
    """

    learning_rate: float = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    _steps: int = field(default=0, init=False, repr=False)
    _means: list[tuple[Array, Array]] = field(default_factory=list, init=False, repr=False)

    def step(self, parameters: Sequence[Array], gradients: Sequence[ArrayLike]) -> None:
        """Change the parameters in place; they must be the same ones at every step."""
        self._means = self._means or [(np.zeros_like(w), np.zeros_like(w)) for w in parameters]
        pairs = _matched(parameters, gradients)
        self._steps += 1
        correction = sqrt(1 - self.beta_2**self._steps) / (1 - self.beta_1**self._steps)
        for (w, gradient), (mean, square) in zip(pairs, self._means, strict=True):
            mean += (1 - self.beta_1) * (gradient - mean)
            square += (1 - self.beta_2) * (gradient**2 - square)
            w -= self.learning_rate * correction * mean / (np.sqrt(square) + self.epsilon)


def gradient_check(
    loss: Callable[[Array], float], array: Array, gradient: ArrayLike, *, step: float = 1e-5
) -> float:
    """Compare a gradient with central differences: below 1e-7 it is right, above 1e-4 wrong.

    `loss(array)` is evaluated with each entry of `array` (float64, changed in place and restored)
    moved by +step and -step. Returns the largest difference relative to the largest gradient.

    Example:
        >>> x = np.array([1.0, 2.0])
        >>> gradient_check(lambda x: (x**2).sum(), x, 2 * x) < 1e-7
        True
    """
    if getattr(array, "dtype", None) != np.float64:
        raise InputError("array: must be a float64 array; coarser numbers drown the differences")
    gradient, differences = as_shaped("gradient", gradient, *array.shape), np.zeros_like(array)
    for index in np.ndindex(*array.shape):
        middle, sides = array[index], []
        for moved in (middle + step, middle - step):
            array[index] = moved
            sides.append(loss(array))
        array[index] = middle
        differences[index] = (sides[0] - sides[1]) / (2 * step)
    largest = max(np.abs(gradient).max(), np.abs(differences).max(), np.finfo(float).tiny)
    return float(np.abs(gradient - differences).max() / largest)

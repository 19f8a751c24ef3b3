"""The embedded family: five small networks made of the blocks that made the large ones famous.

Each takes 64x64 RGB, has at most 0.6 million parameters and five stages, `block1` (next to the
image) to `block5`. A layer's name begins with its stage. The stages halve the side of the feature
map four or five times, as in the large networks: 64 -> 32 -> 16 -> 8 -> 4 (-> 2 in mini_vgg).

BatchNormalization uses momentum 0.9, not Keras' 0.99: a classroom trains for a few hundred steps,
after which statistics averaged with 0.99 still remember their starting values.
"""

from collections.abc import Callable
from dataclasses import dataclass

import keras
from keras import layers

MOMENTUM = 0.9


@dataclass(frozen=True)
class MiniSpec:
    """One member of the embedded family."""

    build: Callable[[keras.KerasTensor], keras.KerasTensor]
    citation: str
    licence: str = "Apache-2.0"


def convolution(x, filters, kernel=3, strides=1, *, name, activation=True):
    """Convolution without bias, BatchNormalization, and ReLU unless `activation=False`."""
    x = layers.Conv2D(
        filters, kernel, strides=strides, padding="same", use_bias=False, name=f"{name}_conv"
    )(x)
    return normalise(x, name=name, activation=activation)


def separable(x, filters, *, name, activation=True):
    """Depthwise 3x3, then pointwise 1x1 convolution (Chollet 2017), normalised once."""
    x = layers.SeparableConv2D(filters, 3, padding="same", use_bias=False, name=f"{name}_sepconv")(
        x
    )
    return normalise(x, name=name, activation=activation)


def normalise(x, *, name, activation):
    """BatchNormalization and, if asked for, ReLU."""
    x = layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if activation else x


def vgg(x):
    """Plain stacks of 3x3 convolutions, each stack closed by max pooling."""
    for stage, widths in enumerate([(16,), (32,), (64,), (96, 96), (128, 128)], start=1):
        for position, filters in enumerate(widths, start=1):
            x = convolution(x, filters, name=f"block{stage}_{position}")
        x = layers.MaxPooling2D(2, name=f"block{stage}_pool")(x)
    return x


def residual_block(x, filters, strides, *, name):
    """Two 3x3 convolutions added to their own input; 1x1 on the shortcut where shapes differ."""
    shortcut = x
    if strides > 1 or x.shape[-1] != filters:
        shortcut = convolution(x, filters, 1, strides, name=f"{name}_shortcut", activation=False)
    x = convolution(x, filters, 3, strides, name=f"{name}_1")
    x = convolution(x, filters, 3, name=f"{name}_2", activation=False)
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.ReLU(name=f"{name}_out")(x)


def resnet(x):
    """Residual blocks: two in each of the wide early stages, one in each of the late ones."""
    x = convolution(x, 24, 3, 2, name="block1_1")
    for stage, (filters, blocks) in enumerate([(32, 2), (64, 2), (96, 1), (128, 1)], start=2):
        for position in range(1, blocks + 1):
            strides = 2 if position == 1 else 1
            x = residual_block(x, filters, strides, name=f"block{stage}_{position}")
    return x


def inception_module(x, filters, strides, *, name):
    """Four parallel views of one input (1x1, 3x3, two 3x3 in a row, pooling), concatenated."""
    quarter = filters // 4
    one = convolution(x, quarter, 1, strides, name=f"{name}_a")
    three = convolution(x, quarter, 1, name=f"{name}_b1")
    three = convolution(three, 3 * quarter // 2, 3, strides, name=f"{name}_b2")
    five = convolution(x, quarter // 2, 1, name=f"{name}_c1")
    five = convolution(five, quarter, 3, name=f"{name}_c2")
    five = convolution(five, quarter, 3, strides, name=f"{name}_c3")
    pool = layers.MaxPooling2D(3, strides, padding="same", name=f"{name}_d_pool")(x)
    pool = convolution(pool, quarter // 2, 1, name=f"{name}_d")
    return layers.Concatenate(name=f"{name}_concat")([one, three, five, pool])


def inception(x):
    """A plain stem, then two Inception modules a stage; the first of each halves the side."""
    x = convolution(x, 24, 3, 2, name="block1_1")
    for stage, filters in enumerate([48, 96, 160, 224], start=2):
        x = inception_module(x, filters, 2, name=f"block{stage}_1")
        x = inception_module(x, filters, 1, name=f"block{stage}_2")
    return x


def xception_block(x, filters, *, name):
    """Two separable convolutions and max pooling, added to a strided 1x1 shortcut."""
    shortcut = convolution(x, filters, 1, 2, name=f"{name}_shortcut", activation=False)
    x = separable(x, filters, name=f"{name}_1")
    x = separable(x, filters, name=f"{name}_2", activation=False)
    x = layers.MaxPooling2D(3, 2, padding="same", name=f"{name}_pool")(x)
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.ReLU(name=f"{name}_out")(x)


def xception(x):
    """Separable convolutions with residual shortcuts; a wide separable layer at the end."""
    x = convolution(x, 24, 3, 2, name="block1_1")
    for stage, filters in enumerate([48, 96, 192, 320], start=2):
        x = xception_block(x, filters, name=f"block{stage}")
    return separable(x, 384, name="block5_last")


def inverted_residual(x, filters, strides, *, name, expansion=4):
    """Widen (1x1), filter each channel (depthwise 3x3), narrow without activation (1x1)."""
    shortcut = x
    x = convolution(x, expansion * x.shape[-1], 1, name=f"{name}_expand")
    x = layers.DepthwiseConv2D(
        3, strides=strides, padding="same", use_bias=False, name=f"{name}_depthwise"
    )(x)
    x = normalise(x, name=f"{name}_depthwise", activation=True)
    x = convolution(x, filters, 1, name=f"{name}_project", activation=False)
    if strides == 1 and shortcut.shape[-1] == filters:
        x = layers.Add(name=f"{name}_add")([shortcut, x])
    return x


def mobilenet(x):
    """Inverted residuals, two a stage, and a wide 1x1 layer at the end."""
    x = convolution(x, 16, 3, 2, name="block1_1")
    for stage, filters in enumerate([24, 40, 64, 96], start=2):
        x = inverted_residual(x, filters, 2, name=f"block{stage}_1")
        x = inverted_residual(x, filters, 1, name=f"block{stage}_2")
    return convolution(x, 384, 1, name="block5_last")


MINI = {
    "mini_vgg": MiniSpec(vgg, "after Simonyan & Zisserman 2014, arXiv:1409.1556"),
    "mini_resnet": MiniSpec(resnet, "after He et al. 2015, arXiv:1512.03385"),
    "mini_inception": MiniSpec(inception, "after Szegedy et al. 2014, arXiv:1409.4842"),
    "mini_xception": MiniSpec(xception, "after Chollet 2016, arXiv:1610.02357"),
    "mini_mobilenet": MiniSpec(mobilenet, "after Sandler et al. 2018, arXiv:1801.04381"),
}


def build_mini(name: str, input_shape: tuple[int, int, int] = (64, 64, 3)) -> keras.Model:
    """Build one of the embedded family with random weights and no classifier.

    Args:
        name: a key of `MINI`.
        input_shape: (height, width, 3); the pretrained weights saw 64x64.

    Returns:
        Functional model: float32 [n, height, width, 3] in [-1, 1] -> feature maps [n, h, w, c].
    """
    image = keras.Input(input_shape, name="image")
    return keras.Model(image, MINI[name].build(image), name=name)

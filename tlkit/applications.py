"""The catalogue of the eight full-size backbones that come with Keras, and how each is built."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras

from tlkit.errors import InputError

# Names that Keras gives, numbered through the whole process, where a builder gives none.
_NUMBERED = re.compile(
    "(activation|add|average_pooling2d|batch_normalization|concatenate|conv2d|max_pooling2d"
    "|normalization|rescaling)(?:_([0-9]+))?"
)


@dataclass(frozen=True)
class Application:
    """One architecture of `keras.applications`, without its classifier.

    Attributes:
        build: function of `keras.applications`.
        size: side of the images it was trained on, in pixels.
        smallest: smallest side it can be built for, in pixels.
        mode: what its `preprocess_input` does, a key of `tlkit.backbones.PREPROCESS`.
        exits: last layer of block1 to block5 (below).
        parameters: number of weights without the classifier.
        weights_file: name of its ImageNet weights in Keras' cache.
        embedded: name of the embedded backbone made of the same blocks.
        licence: of the ImageNet weights.
        citation: paper and year.
    """

    build: Callable[..., keras.Model]
    size: int
    smallest: int
    mode: str
    exits: tuple[str, str, str, str, str]
    parameters: int
    weights_file: str
    embedded: str
    licence: str
    citation: str


# `exits` is where the stages end: the one layer whose output is all that later stages see of a
# stage, so that a network can be cut there. A stage opens with what halves the feature map and
# ends before the next halving, so that block k leaves maps at 1/2^k of the image's side. A
# residual unit that halves at its end (Xception) stays whole and opens the stage. Where the
# architecture names five stages itself, its names are followed: VGG's blocks end *with* their
# pooling; ResNet's conv1 to conv5 are block1 to block5, which in ResNet50V2, whose stages halve at
# their end, leaves 1/2, 1/8, 1/16, 1/32 and 1/32.
APPLICATIONS = {
    "vgg16": Application(
        build=keras.applications.VGG16,
        size=224,
        smallest=32,
        mode="caffe",
        exits=("block1_pool", "block2_pool", "block3_pool", "block4_pool", "block5_pool"),
        parameters=14_714_688,
        weights_file="vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        embedded="mini_vgg",
        licence="CC-BY-4.0",
        citation="Simonyan & Zisserman 2014, arXiv:1409.1556",
    ),
    "vgg19": Application(
        build=keras.applications.VGG19,
        size=224,
        smallest=32,
        mode="caffe",
        exits=("block1_pool", "block2_pool", "block3_pool", "block4_pool", "block5_pool"),
        parameters=20_024_384,
        weights_file="vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
        embedded="mini_vgg",
        licence="CC-BY-4.0",
        citation="Simonyan & Zisserman 2014, arXiv:1409.1556",
    ),
    "resnet50": Application(
        build=keras.applications.ResNet50,
        size=224,
        smallest=32,
        mode="caffe",
        exits=(
            "conv1_relu",
            "conv2_block3_out",
            "conv3_block4_out",
            "conv4_block6_out",
            "conv5_block3_out",
        ),
        parameters=23_587_712,
        weights_file="resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
        embedded="mini_resnet",
        licence="MIT",
        citation="He et al. 2015, arXiv:1512.03385",
    ),
    "resnet50_v2": Application(
        build=keras.applications.ResNet50V2,
        size=224,
        smallest=32,
        mode="tf",
        exits=(
            "conv1_conv",
            "conv2_block3_out",
            "conv3_block4_out",
            "conv4_block6_out",
            "post_relu",
        ),
        parameters=23_564_800,
        weights_file="resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
        embedded="mini_resnet",
        licence="BSD-3-Clause",
        citation="He et al. 2016, arXiv:1603.05027",
    ),
    "inception_v3": Application(
        build=keras.applications.InceptionV3,
        size=299,
        smallest=75,
        mode="tf",
        exits=("activation_2", "activation_4", "mixed2", "mixed7", "mixed10"),
        parameters=21_802_784,
        weights_file="inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
        embedded="mini_inception",
        licence="Apache-2.0",
        citation="Szegedy et al. 2015, arXiv:1512.00567",
    ),
    "xception": Application(
        build=keras.applications.Xception,
        size=299,
        smallest=71,
        mode="tf",
        exits=("block1_conv2_act", "add", "add_1", "add_10", "block14_sepconv2_act"),
        parameters=20_861_480,
        weights_file="xception_weights_tf_dim_ordering_tf_kernels_notop.h5",
        embedded="mini_xception",
        licence="MIT",
        citation="Chollet 2016, arXiv:1610.02357",
    ),
    "mobilenet_v2": Application(
        build=keras.applications.MobileNetV2,
        size=224,
        smallest=32,
        mode="tf",
        exits=(
            "expanded_conv_project_BN",
            "block_2_add",
            "block_5_add",
            "block_12_add",
            "out_relu",
        ),
        parameters=2_257_984,
        weights_file="mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
        embedded="mini_mobilenet",
        licence="Apache-2.0",
        citation="Sandler et al. 2018, arXiv:1801.04381",
    ),
    "efficientnet_v2_b0": Application(
        build=keras.applications.EfficientNetV2B0,
        size=224,
        smallest=32,
        mode="raw",
        exits=(
            "block1a_project_activation",
            "block2b_add",
            "block3b_add",
            "block5e_add",
            "top_activation",
        ),
        parameters=5_919_312,
        weights_file="efficientnetv2-b0_notop.h5",
        embedded="mini_mobilenet",
        licence="Apache-2.0",
        citation="Tan & Le 2021, arXiv:2104.00298",
    ),
}


def build_application(
    name: str, *, weights: str | None, input_shape: tuple[int, int, int]
) -> keras.Model:
    """Build a full-size backbone without its classifier, its layers named as in a fresh process.

    Args:
        name: a key of `APPLICATIONS`.
        weights: "imagenet", or None for random ones.
        input_shape: (height, width, 3) in pixels.

    Returns:
        Functional model: preprocessed float32 [n, height, width, 3] -> feature maps [n, h, w, c].

    Raises:
        InputError: the ImageNet weights are neither in Keras' cache nor to be had.
    """
    application = APPLICATIONS[name]
    if weights is None:
        model = _build(application, None, input_shape)
    else:
        model = _with_imagenet_weights(name, application, input_shape)
    model = _with_fresh_names(model)
    for layer in model.layers:  # EfficientNet drops whole units at random, also when frozen
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    return model


def weights_folder() -> Path:
    """Folder in which Keras keeps weights: `models` in KERAS_HOME, or in ~/.keras.

    Keras reads KERAS_HOME once, when it is imported.
    """
    try:
        from keras.src.backend.config import keras_home

        home = keras_home()
    except ImportError:  # not part of Keras' public interface
        home = os.environ.get("KERAS_HOME", "~/.keras")
    return Path(home).expanduser() / "models"


def _build(application: Application, weights: str | None, input_shape) -> keras.Model:
    return application.build(
        include_top=False, weights=weights, pooling=None, input_shape=input_shape
    )


def _with_imagenet_weights(name: str, application: Application, input_shape) -> keras.Model:
    """Build with ImageNet weights from Keras' cache, else from the network."""
    folder = weights_folder()
    cached = folder / application.weights_file
    try:
        if cached.is_file() and _read_directly(name, folder):
            return _build(application, str(cached), input_shape)
        # MobileNetV2 at its own size first: the file that Keras fetches depends on the size.
        native = (application.size, application.size, 3)
        first = native if name == "mobilenet_v2" else input_shape
        model = _build(application, "imagenet", first)
        if first == input_shape:
            return model
        resized = _build(application, None, input_shape)
        resized.set_weights(model.get_weights())
        return resized
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        found = (
            f"{cached} cannot be used; if it is damaged, delete it to download it again"
            if cached.is_file()
            else f"{cached.name} is neither in Keras' cache {folder} (which follows the "
            "environment variable KERAS_HOME, read when Keras is imported) nor to be downloaded"
        )
        raise InputError(
            f"weights='imagenet' for {name!r}: {found} ({reason}). The embedded "
            f"{application.embedded!r} needs no download; weights=None gives random weights."
        ) from error


def _read_directly(name: str, folder: Path) -> bool:
    """Whether to read the cached file without Keras' own look-up.

    Keras looks for another MobileNetV2 file at each of five input sizes, and checks none of them;
    and it passes over a cache that it cannot write to, such as a classroom's shared folder.
    """
    return name == "mobilenet_v2" or not os.access(folder.parent, os.W_OK)


def _with_fresh_names(model: keras.Model) -> keras.Model:
    """Return `model` with its numbered layers counted from 0, whatever was built before it.

    Without this the second Xception of a process would have other layer names than the first.
    """
    names = {layer.name: layer.name for layer in model.layers}
    numbered: dict[str, dict[int, str]] = {}
    for name in names:
        if match := _NUMBERED.fullmatch(name):
            numbered.setdefault(match[1], {})[int(match[2] or 0)] = name
    for kind, found in numbered.items():
        for position, number in enumerate(sorted(found)):
            names[found[number]] = f"{kind}_{position}" if position else kind
    if all(old == new for old, new in names.items()):
        return model

    def renamed(layer: keras.layers.Layer) -> keras.layers.Layer:
        return type(layer).from_config({**layer.get_config(), "name": names[layer.name]})

    image = keras.Input(model.input.shape[1:], name="input_layer")
    twin = keras.models.clone_model(model, input_tensors=image, clone_function=renamed)
    for layer in model.layers[1:]:
        twin.get_layer(names[layer.name]).set_weights(layer.get_weights())
    return twin

"""The thirteen backbones under one roof: five embedded ones and eight of `keras.applications`."""

import difflib
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pandas as pd

from tlkit.applications import APPLICATIONS, build_application
from tlkit.errors import InputError
from tlkit.initial import draw_weights
from tlkit.mini import MINI, build_mini
from tlkit.weights import load_weights

STAGES = ("block1", "block2", "block3", "block4", "block5")

# Of the embedded family, as `APPLICATIONS` has them of the full-size ones.
MINI_SIZE = 64
MINI_SMALLEST = 32
MINI_PARAMETERS = {
    "mini_vgg": 422_000,
    "mini_resnet": 586_472,
    "mini_inception": 410_424,
    "mini_xception": 467_104,
    "mini_mobilenet": 255_920,
}

# Mean of ImageNet's pixels, in the order blue, green, red.
_MEAN_BGR = np.array([103.939, 116.779, 123.68], dtype="float32")


@dataclass(frozen=True)
class Backbone:
    """A network without its classifier, and what is needed to use it rightly.

    Attributes:
        name: its name in the catalogue.
        model: Functional model: preprocessed float32 [n, height, width, 3] -> feature maps
            [n, h, w, c].
        preprocess: function from pixel values 0 to 255, [n, height, width, 3] of any number type,
            to the model's input, float32 of the same shape. Takes NumPy arrays, tensors and
            KerasTensors, so that it can become part of a saved model.
        stages: "block1" (next to the image) to "block5" -> layer names, in order from the input:
            every layer but the input, once. The last layer of a stage is its only exit: later
            stages depend on no other layer of it.
        input_shape: (height, width, 3) in pixels.
        weights: "pretrained", "imagenet", or None for random ones.
        parameters: number of weights, trainable or not.
        licence: of the pretrained weights.
        citation: paper and year.
    """

    name: str
    model: keras.Model
    preprocess: Callable[[Any], Any]
    stages: dict[str, tuple[str, ...]]
    input_shape: tuple[int, int, int]
    weights: str | None
    parameters: int
    licence: str
    citation: str


def load_backbone(
    name: str,
    *,
    weights: str | None = "default",
    input_shape: Sequence[int] | None = None,
    seed: int | None = None,
) -> Backbone:
    """Load a backbone by name, with its preprocessing and its stages.

    MobileNetV2 takes the ImageNet weights of 224 pixels at every input size (they are
    convolutional and fit any), where `keras.applications` has a file for each of five sizes: so
    results do not depend on which files happen to be cached.

    Args:
        name: one of `list_backbones()["name"]`.
        weights: "pretrained" (the embedded mini_* family), "imagenet" (the full-size ones; from
            Keras' cache, else from the network), None for random ones, or "default" for whichever
            of the first two the backbone has.
        input_shape: (height, width, 3) in pixels; None for the size of its training images.
        seed: of random weights, which then depend on nothing else. Without effect on loaded ones.

    Returns:
        The backbone; each call builds a new model.

    Raises:
        InputError: an argument is not one of the above, or the weights are not to be had.

    Example:
        >>> backbone = load_backbone("mini_vgg", weights=None, seed=0)
        >>> backbone.input_shape, backbone.model.output.shape
        ((64, 64, 3), (None, 2, 2, 128))
        >>> backbone.stages["block1"]
        ('block1_1_conv', 'block1_1_bn', 'block1_1_relu', 'block1_pool')
        >>> backbone.preprocess(np.array([0, 255], "uint8"))
        array([-1.,  1.], dtype=float32)
    """
    _check_name(name)
    offered = "pretrained" if name in MINI else "imagenet"
    chosen = offered if weights == "default" else weights
    if chosen not in (offered, None):
        raise InputError(
            f"weights={weights!r} is not offered for {name!r}: allowed are {offered!r} (the "
            "default) and None. 'pretrained' is for the embedded mini_* backbones, 'imagenet' for "
            "the full-size ones."
        )
    shape = _checked_shape(name, input_shape)
    if name in MINI:
        model, mode = build_mini(name, shape), "tf"
        if chosen is not None:
            load_weights(model)
    else:
        model = build_application(name, weights=chosen, input_shape=shape)
        model.name = name
        mode = APPLICATIONS[name].mode
    if chosen is None and seed is not None:
        draw_weights(model, seed)
    entry = MINI[name] if name in MINI else APPLICATIONS[name]
    return Backbone(
        name=name,
        model=model,
        preprocess=PREPROCESS[mode],
        stages=stages_of(model),
        input_shape=shape,
        weights=chosen,
        parameters=model.count_params(),
        licence=entry.licence,
        citation=entry.citation,
    )


def find_backbone(model: keras.Model) -> keras.Model:
    """Return the backbone in `model`: itself, or the layer that bears a name of the catalogue.

    Raises:
        InputError: there is none, so that its stages are unknown.
    """
    for candidate in (model, *model.layers):
        if isinstance(candidate, keras.Model) and candidate.name in {*MINI, *APPLICATIONS}:
            return candidate
    raise InputError(
        f"model {model.name!r} is no backbone of the catalogue and contains none, so its stages "
        "are unknown; build it on load_backbone(...).model"
    )


def stages_of(backbone: keras.Model) -> dict[str, tuple[str, ...]]:
    """Return a backbone's stages, "block1" to "block5" -> layer names, by its name."""
    if backbone.name in MINI:
        return _stages_by_prefix(backbone)
    return _stages_by_exit(backbone, APPLICATIONS[backbone.name].exits)


def list_backbones() -> pd.DataFrame:
    """Return the catalogue, without building a model.

    Returns:
        One row a backbone: `name`, `input_size` (side in pixels), `parameters` (without a
        classifier), `weights` (what `weights="default"` loads), `source` (where those come from),
        `licence` (of the weights), `citation`.

    Example:
        >>> table = list_backbones()
        >>> table.query("parameters < 1_000_000")["name"].tolist()[:2]
        ['mini_vgg', 'mini_resnet']
    """
    rows = [
        {
            "name": name,
            "input_size": MINI_SIZE,
            "parameters": MINI_PARAMETERS[name],
            "weights": "pretrained",
            "source": "embedded in data/weights",
            "licence": mini.licence,
            "citation": mini.citation,
        }
        for name, mini in MINI.items()
    ] + [
        {
            "name": name,
            "input_size": full.size,
            "parameters": full.parameters,
            "weights": "imagenet",
            "source": "Keras' cache or the network",
            "licence": full.licence,
            "citation": full.citation,
        }
        for name, full in APPLICATIONS.items()
    ]
    return pd.DataFrame(rows)


def to_unit_range(images):
    """Scale pixel values 0 to 255 to -1 to 1 (Keras calls this mode "tf")."""
    return _as_float32(images) / 127.5 - 1.0


def to_centred_bgr(images):
    """Turn RGB into BGR and subtract ImageNet's mean pixel (Keras calls this mode "caffe")."""
    return _as_float32(images)[..., ::-1] - _MEAN_BGR


def to_float(images):
    """Leave pixel values as they are, as float32: the network scales them itself."""
    return _as_float32(images)


PREPROCESS: dict[str, Callable[[Any], Any]] = {
    "tf": to_unit_range,
    "caffe": to_centred_bgr,
    "raw": to_float,
}


def _as_float32(images):
    if isinstance(images, keras.KerasTensor) or keras.ops.is_tensor(images):
        return keras.ops.cast(images, "float32")
    return np.asarray(images, dtype="float32")


def _stages_by_prefix(model: keras.Model) -> dict[str, tuple[str, ...]]:
    """Stages of an embedded backbone, whose layer names begin with their stage."""
    names = _layer_names(model)
    return {stage: tuple(n for n in names if n.startswith(f"{stage}_")) for stage in STAGES}


def _stages_by_exit(model: keras.Model, exits: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Stages of a full-size backbone, cut after each of `exits`.

    `model.layers` is sorted by distance from the output. Every path from a later stage back to the
    image leads through the exit, so all layers of a stage, its parallel branches included, come
    before its exit, and all later stages after it.
    """
    names = _layer_names(model)
    ends = [names.index(exit_name) + 1 for exit_name in exits]
    return {
        stage: tuple(names[start:end])
        for stage, start, end in zip(STAGES, [0, *ends], ends, strict=False)
    }


def _layer_names(model: keras.Model) -> list[str]:
    return [layer.name for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]


def _check_name(name: str) -> None:
    allowed = [*MINI, *APPLICATIONS]
    if name in allowed:
        return
    close = difflib.get_close_matches(str(name).lower(), allowed, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise InputError(f"backbone {name!r} is unknown.{hint} Allowed: {', '.join(allowed)}.")


def _checked_shape(name: str, shape: Sequence[int] | None) -> tuple[int, int, int]:
    embedded = name in MINI
    if shape is None:
        side = MINI_SIZE if embedded else APPLICATIONS[name].size
        return side, side, 3
    smallest = MINI_SMALLEST if embedded else APPLICATIONS[name].smallest
    try:
        height, width, channels = (operator.index(length) for length in shape)
    except (TypeError, ValueError):
        height = width = channels = 0
    if channels != 3 or min(height, width) < smallest:
        raise InputError(
            f"input_shape={shape!r} is not possible for {name!r}: allowed is (height, width, 3), "
            f"RGB, with height and width of at least {smallest} pixels."
        )
    return height, width, 3

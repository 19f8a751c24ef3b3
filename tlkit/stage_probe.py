"""How much a linear model reads from each stage of a backbone."""

import keras
import numpy as np
import pandas as pd
from PIL import Image

from tlkit.backbones import Backbone
from tlkit.classifier import SharedClassifier
from tlkit.dataset import SPLIT_NAMES, Dataset
from tlkit.graph import submodel, unfold
from tlkit.head_probe import network_of, probe
from tlkit.prefix import Pixels, features

PIXELS = "pixels"
PIXEL_SIDE = 16  # more of them cost the probe much time and gained nothing on the embedded sets


def probe_by_stage(backbone: str | Backbone, dataset: Dataset) -> pd.DataFrame:
    """Fit logistic regression on what each stage of a frozen backbone makes of the images.

    This is the linear probe of Alain & Bengio (2016): a stage's maps are averaged over positions,
    the penalty is chosen on the validation split (see `tlkit.head_probe.probe`). All stages come
    from one pass, which is kept on disk for the next time. Nothing here is random.

    Args:
        backbone: a name of `list_backbones()`, with its pretrained weights; or a `Backbone`, for
            example with random ones.
        dataset: as `load_dataset` returns it.

    Returns:
        One row a stage, the image's side first: `stage`, "pixels" for the image itself, averaged
        over squares until 16 x 16 pixels are left, then "block1" to "block5"; `features`, numbers
        that the probe was given for an image; `validation_accuracy`; `test_accuracy`.

    Raises:
        InputError: the backbone is unknown, or the training images have one class only.

    Example:
        >>> from tlkit.backbones import load_backbone
        >>> from tlkit.dataset import Dataset, Split
        >>> rng = np.random.default_rng(0)
        >>> split = Split(rng.integers(0, 256, (20, 32, 32, 3)).astype("uint8"), np.arange(20) % 2)
        >>> noise = Dataset("noise", ("even", "odd"), split, split, split)
        >>> backbone = load_backbone("mini_vgg", weights=None, input_shape=(32, 32, 3), seed=0)
        >>> table = probe_by_stage(backbone, noise)
        >>> table["stage"].tolist(), table["features"].tolist()
        (['pixels', 'block1', 'block2', 'block3', 'block4', 'block5'], [768, 16, 32, 64, 96, 128])
    """
    network = network_of(backbone, None)
    pooled = SharedClassifier(_pooled_stages(network, dataset.train.images.shape[1:]))
    stages, by_split = (PIXELS, *network.stages), {}
    for name in SPLIT_NAMES:
        images = getattr(dataset, name).images
        made = features(
            pooled, pooled.graph.outputs, Pixels(images), about=f"{network.name} by stage"
        )
        by_split[name] = dict(zip(stages, (_few_pixels(images), *made), strict=True))
    rows = []
    for stage in stages:
        given = {name: by_split[name][stage] for name in SPLIT_NAMES}
        found = probe(given, dataset)
        rows.append(
            {
                "stage": stage,
                "features": given["train"].shape[1],
                "validation_accuracy": found.validation_metrics["accuracy"],
                "test_accuracy": found.metrics["accuracy"],
            }
        )
    return pd.DataFrame(rows)


def _few_pixels(images: np.ndarray) -> np.ndarray:
    """Average images over squares until 16 x 16 are left: float32 [n, numbers] in 0 to 1."""
    height, width = (min(side, PIXEL_SIDE) for side in images.shape[1:3])
    box = Image.Resampling.BOX
    small = [np.asarray(Image.fromarray(x).resize((width, height), box)) for x in images]
    return np.stack(small).reshape(len(images), -1).astype(np.float32) / 255


def _pooled_stages(network: Backbone, image_shape: tuple[int, ...]) -> keras.Model:
    """Build the model from pixel values to the pooled maps of every stage."""
    pixels = keras.Input(tuple(image_shape), name="pixels")
    x = pixels
    if tuple(image_shape) != tuple(network.input_shape):
        x = keras.layers.Resizing(*network.input_shape[:2], antialias=True)(x)
    graph = unfold(network.model)
    exits = {call.operation.name: call.outputs[0] for call in graph.calls}
    ends = [exits[layers[-1]] for layers in network.stages.values()]
    maps = submodel(graph, graph.inputs, ends)(network.preprocess(x))
    return keras.Model(pixels, [keras.layers.GlobalAveragePooling2D()(x) for x in maps])

"""Augmentation: images that differ in every epoch, so that few examples teach as if they were more.

Keras' own layers do the work. Here they are collected, seeded and compiled.
"""

import functools
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from tlkit.errors import InputError
from tlkit.random_window import FILL, RandomWindow

SEEDS_A_DRAW = 1000  # numbers reserved for one batch in each layer's sequence of seeds

_lock = threading.Lock()  # a layer's seed is a variable that all threads share


def _colour(seed, brightness, contrast, saturation, hue):
    """Jitter in 0 to 1, where Keras limits the saturation rightly; in 0 to 255 it does not."""
    jitter = layers.RandomColorJitter(
        value_range=(0, 1),
        brightness_factor=brightness,
        contrast_factor=(contrast, contrast),  # one number would only ever raise the contrast
        # Keras multiplies the saturation by f / (1 - f) and turns the hue by up to half a factor.
        saturation_factor=(
            (1 - saturation) / (2 - saturation),
            (1 + saturation) / (2 + saturation),
        ),
        hue_factor=2 * hue,
        seed=seed,
    )
    return [layers.Rescaling(1 / 255), jitter, layers.Rescaling(255.0)]


def _noise(seed, sd):
    """Noise in 0 to 1: Keras allows no standard deviation above 1."""
    noise = layers.GaussianNoise(sd / 255, seed=seed)
    return [layers.Rescaling(1 / 255), noise, layers.Rescaling(255.0)]


@dataclass(frozen=True)
class Kind:
    """One way of changing an image that should leave its class as it is.

    Attributes:
        name: what to call it in code and tables.
        description: one sentence that names its strengths.
        strength: how far it goes at most, by name.
        make: function of a seed and the strengths to Keras layers.
    """

    name: str
    description: str
    strength: Mapping[str, float]
    make: Callable[..., list]


AUGMENTATIONS = {
    kind.name: kind
    for kind in (
        Kind(
            "rotation",
            "Turned about its centre by up to `degrees` either way.",
            {"degrees": 15},
            lambda seed, degrees: [layers.RandomRotation(degrees / 360, FILL, seed=seed)],
        ),
        Kind(
            "translation",
            "Moved by up to `share` of its height and width either way.",
            {"share": 0.1},
            lambda seed, share: [layers.RandomTranslation(share, share, FILL, seed=seed)],
        ),
        Kind(
            "scaling",
            "Enlarged or reduced by up to `share`.",
            {"share": 0.15},
            lambda seed, share: [layers.RandomZoom(share, fill_mode=FILL, seed=seed)],
        ),
        Kind(
            "flip",
            "Mirrored left to right in half of the cases; not for letters and digits.",
            {},
            lambda seed: [layers.RandomFlip("horizontal", seed=seed)],
        ),
        Kind(
            "crop",
            "A window with sides of `share` to 1 of the image's, anywhere in it, at full size.",
            {"share": 0.85},
            lambda seed, share: [RandomWindow(share, seed=seed)],
        ),
        Kind(
            "colour",
            "Brightness moved by up to `brightness` of the range, contrast and saturation changed "
            "by up to these shares, hue turned by up to `hue` of the colour circle.",
            {"brightness": 0.1, "contrast": 0.2, "saturation": 0.3, "hue": 0.03},
            _colour,
        ),
        Kind(
            "noise",
            "Gaussian noise with standard deviation `sd` of 255, drawn for every pixel.",
            {"sd": 10},
            _noise,
        ),
    )
}


def build_augmentation(
    names: str | Sequence[str],
    image_shape: Sequence[int],
    *,
    seed: int | Sequence[int] = 0,
) -> keras.Sequential:
    """Build one Keras model of the wanted augmentations, in the order of `AUGMENTATIONS`.

    It acts only where it is called with `training=True`, then on each image by itself. Each layer
    has a seed of its own, so that one draws the same whatever others stand beside it.

    Args:
        names: "all" or a sequence of keys of `AUGMENTATIONS`.
        image_shape: (h, w, 3), pixels.
        seed: a number from 0 up, or a sequence of them.

    Returns:
        Model from pixel values 0 to 255, uint8 or float32 [n, h, w, 3], to float32 of the same
        shape and range. Its layers' random generators hold a state: each call draws anew.

    Raises:
        InputError: a name is unknown or there is none; `image_shape` is no colour image's.

    Example:
        >>> pipeline = build_augmentation(["noise", "flip"], (8, 8, 3), seed=1)
        >>> pipeline(np.full((2, 8, 8, 3), 9, np.uint8), training=True).shape
        TensorShape([2, 8, 8, 3])
    """
    shape = tuple(image_shape)
    if len(shape) != 3 or shape[2] != 3 or not all(size and size > 0 for size in shape):
        raise InputError(f"image_shape={image_shape!r}; (height, width, 3) is needed")
    chosen = _names(names)
    entropy = np.ravel(seed).tolist()
    parts: list = [keras.Input(shape, dtype="float32")]
    for position, (name, kind) in enumerate(AUGMENTATIONS.items()):
        if name in chosen:
            own_seed = int(np.random.SeedSequence([*entropy, position]).generate_state(1)[0])
            parts += kind.make(own_seed, **kind.strength)
    parts.append(layers.ReLU(max_value=255.0))  # clips to 0 to 255
    return keras.Sequential(parts, name="augmentation")


def _names(names: str | Sequence[str]) -> set[str]:
    """Check the wanted augmentations."""
    if isinstance(names, str) and names == "all":
        return set(AUGMENTATIONS)
    chosen = [] if isinstance(names, str) or not isinstance(names, Iterable) else list(names)
    if not chosen or not all(name in list(AUGMENTATIONS) for name in chosen):
        raise InputError(
            f"augmentation names={names!r}; allowed: 'all' or a list of {', '.join(AUGMENTATIONS)}"
        )
    return set(chosen)


def augment(pipeline: keras.Layer, images: np.ndarray, draw: int | None = None) -> np.ndarray:
    """Call a layer in training mode on a batch, compiled once for batches of any size.

    The pixels depend on the seed, the images and the draw alone, in a new process and another
    thread too. Without `draw` the layer's random generators go on where they are, so that the
    sequence of calls counts; it starts anew in a pipeline built anew. With `draw` it does not
    matter what was drawn before.

    Args:
        pipeline: of `build_augmentation`, or any Keras layer from images to images.
        images: pixel values 0 to 255, uint8 or float [n, h, w, 3].
        draw: number of the batch, from 0 up; None for the next one in the sequence.

    Returns:
        float32, of the shape that the layer gives.

    Example:
        >>> pipeline, images = build_augmentation(["noise"], (8, 8, 3)), np.ones((2, 8, 8, 3))
        >>> first, second = augment(pipeline, images), augment(pipeline, images)
        >>> bool((first == second).all()), bool((augment(pipeline, images, draw=0) == first).all())
        (False, True)
    """
    images = np.asarray(images, np.float32)
    with _lock:
        compiled, seeds = _compiled(pipeline, images.shape[1:])
        if draw is not None:
            for state, seed in seeds:
                state.assign([seed, draw * SEEDS_A_DRAW])
        return np.asarray(keras.ops.convert_to_numpy(compiled(images)), np.float32)


@functools.lru_cache(maxsize=16)
def _compiled(pipeline: keras.Layer, image_shape: tuple) -> tuple[Callable, list]:
    """Trace a layer for batches of any size; list its random generators' states and seeds."""
    import tensorflow as tf

    batches = tf.TensorSpec((None, *image_shape), tf.float32)
    compiled = tf.function(
        lambda images: pipeline(images, training=True), input_signature=[batches]
    )
    compiled.get_concrete_function()  # creates what the layer has not yet
    states = [state for state in pipeline.variables if state.name == "seed_generator_state"]
    return compiled, [(state, int(np.asarray(state)[0])) for state in states]


class Augmenter:
    """Calls an augmentation on batches and checks what it gives; see `as_augmentation`.

    Args:
        transform: Keras layer, or function from float32 [n, h, w, 3] to an array of that shape.
    """

    def __init__(self, transform: Callable):
        """See the class."""
        self.transform = transform

    def __call__(self, images: np.ndarray, draw: int | None = None) -> np.ndarray:
        """Augment a batch.

        Args:
            images: pixel values 0 to 255, uint8 or float [n, h, w, 3].
            draw: see `augment`; a plain function does not get it.

        Returns:
            float32 [n, h, w, 3].

        Raises:
            InputError: the augmentation gives another shape than it was given.
        """
        images = np.array(images, np.float32)  # a copy: a function may write into it
        if isinstance(self.transform, keras.Layer):
            result = augment(self.transform, images, draw)
        else:
            result = np.asarray(self.transform(images), np.float32)
        if result.shape != images.shape:
            raise InputError(
                f"augmentation={self.transform!r} makes {result.shape} of images of shape "
                f"{images.shape}; the same shape is needed"
            )
        return result


def as_augmentation(
    value: Any, image_shape: Sequence[int], seed: int | Sequence[int] = 0
) -> Augmenter | None:
    """Make of what a user may ask for a function from a batch to its augmented copy.

    Args:
        value: None, "all", keys of `AUGMENTATIONS`, a Keras layer, or a function from float32
            pixel values 0 to 255 [n, h, w, 3] to an array of the same shape.
        image_shape: (h, w, 3), pixels, of a pipeline that is built here.
        seed: of a pipeline that is built here; a given layer keeps its own.

    Raises:
        InputError: `value` is none of these.

    Example:
        >>> invert = as_augmentation(lambda images: 255 - images, (8, 8, 3))
        >>> float(invert(np.zeros((1, 8, 8, 3), np.uint8)).min())
        255.0
    """
    if value is None or isinstance(value, Augmenter):
        return value
    return Augmenter(
        value if callable(value) else build_augmentation(value, image_shape, seed=seed)
    )

"""Loads a data set by name, or any folder of images.

Four sets need no network: `digits` (real handwriting), `wild_digits` (the same handwriting in the
wild), `glyphs` (typeset letters in the wild) and `oct_phantom` (simulated).
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache, lru_cache, partial
from os import PathLike, fspath
from pathlib import Path

import numpy as np
from scipy import ndimage
from sklearn.datasets import load_digits

from tlkit import drawing
from tlkit.dataset import Dataset, Split, image_size, stratified_split, take_per_class
from tlkit.downloads import DOWNLOADS, load_download
from tlkit.errors import InputError
from tlkit.folders import load_folder
from tlkit.phantom import load_oct_phantom
from tlkit.source_task import LETTERS, draw_letter

FRACTIONS = (0.6, 0.2, 0.2)  # of the base images: train, validation, test
WILD_VERSIONS = 8  # pictures made of each handwritten digit of the training split
GLYPHS_PER_CLASS = 100

# Draws one image: (base image, version, side in pixels) -> uint8 [side, side, 3]
Draw = Callable[[int, int, int], np.ndarray]


def load_dataset(
    name_or_path: str | PathLike,
    *,
    size: int = 64,
    train_per_class: int | None = None,
    seed: int = 0,
) -> Dataset:
    """Load a data set by its name, or a folder of images by its path.

    Args:
        name_or_path: `digits`, `wild_digits`, `glyphs`, `oct_phantom`; with the network or a
            filled cache `cifar10`, `fashion_mnist`, `flowers`, `pneumoniamnist`; or a folder laid
            out as `class/*.jpg` or `train|validation|test/class/*.jpg`.
        size: side of the square images in pixels.
        train_per_class: labelled images of each class to train on; all of them if None. The
            validation and test splits stay whole.
        seed: decides which images are in which split and which are kept.

    Returns:
        A `Dataset`: uint8 images [n, size, size, 3] and integer labels in three splits that share
        no base image.

    Raises:
        InputError: the name or folder is unknown, or what it holds cannot be split.

    Example:
        >>> dataset = load_dataset("wild_digits", size=32, train_per_class=2, seed=0)
        >>> dataset.train.images.shape, dataset.train.images.dtype
        ((20, 32, 32, 3), dtype('uint8'))
    """
    name = fspath(name_or_path)
    if name in EMBEDDED:
        load = EMBEDDED[name]
    elif name in DOWNLOADS:
        load = partial(load_download, name)
    elif Path(name).expanduser().exists():
        load = partial(load_folder, name)
    else:
        known = ", ".join([*EMBEDDED, *DOWNLOADS])
        raise InputError(
            f"name_or_path={name!r} is neither a data set nor a folder; known: {known}"
        )
    options = {"size": size, "train_per_class": train_per_class, "seed": seed}
    return replace(load(**options), loaded_with={"name_or_path": name, **options})


def load_plain_digits(*, size: int, train_per_class: int | None, seed: int) -> Dataset:
    """Load scikit-learn's 1,797 handwritten digits, grey on black, enlarged from 8x8."""
    return _drawn(
        "digits",
        tuple("0123456789"),
        _digits().target,
        lambda base, version, side: _grey(digit_shape(base, side)),
        (size, train_per_class, seed),
        "Handwritten digits of the UCI repository as scikit-learn ships them (Alpaydin & Kaynak "
        "1998, CC BY 4.0), enlarged from 8x8.",
    )


def load_wild_digits(*, size: int, train_per_class: int | None, seed: int) -> Dataset:
    """Load the same digits warped, coloured and laid over patches of two photographs.

    They are to `digits` what MNIST-M is to MNIST (Ganin & Lempitsky 2015). Each handwritten digit
    of the training split appears in up to eight pictures, each held-out one in a single picture.
    """
    return _drawn(
        "wild_digits",
        tuple("0123456789"),
        _digits().target,
        draw_wild_digit,
        (size, train_per_class, seed),
        "The handwritten digits of `digits`, warped, coloured and laid over patches of "
        "scikit-learn's two photographs (CC BY 2.0); no handwritten digit is in two splits.",
        versions=WILD_VERSIONS,
    )


def load_glyphs(*, size: int, train_per_class: int | None, seed: int) -> Dataset:
    """Load 41 typeset letters over photographs: part of what the embedded family learnt from."""
    labels = np.repeat(np.arange(len(LETTERS)), GLYPHS_PER_CLASS)
    return _drawn(
        "glyphs",
        tuple(LETTERS),
        labels,
        lambda base, version, side: draw_letter(
            np.random.default_rng([3, base]), side, LETTERS[labels[base]]
        ),
        (size, train_per_class, seed),
        "Letters in the typefaces that ship with matplotlib (DejaVu, STIX, Computer Modern), "
        "warped, coloured and laid over patches of scikit-learn's two photographs.",
    )


EMBEDDED: dict[str, Callable[..., Dataset]] = {
    "digits": load_plain_digits,
    "wild_digits": load_wild_digits,
    "glyphs": load_glyphs,
    "oct_phantom": load_oct_phantom,
}


@cache
def _digits():
    """Read scikit-learn's digits once: they are a text file."""
    return load_digits()


@cache
def digit_shape(base: int, size: int) -> np.ndarray:
    """Return scikit-learn's digit number `base` as a smooth shape, float32 [size, size]."""
    grey = _digits().images[base] / 16
    shape = ndimage.zoom(grey, size / 8, order=3, grid_mode=True, mode="grid-constant")
    return np.clip(shape, 0, 1).astype(np.float32)


@lru_cache(maxsize=4096)
def draw_wild_digit(base: int, version: int, size: int) -> np.ndarray:
    """Draw one picture of a handwritten digit, uint8 [size, size, 3]."""
    rng = np.random.default_rng([4, base, version])
    shape = drawing.warp(digit_shape(base, size), rng, scale=(0.6, 1.0))
    return drawing.lay_over(np.clip(1.5 * shape - 0.25, 0, 1), rng)


def _grey(shape: np.ndarray) -> np.ndarray:
    return np.repeat((255 * shape).astype(np.uint8)[..., None], 3, axis=-1)


def _drawn(
    name: str,
    class_names: tuple[str, ...],
    labels: np.ndarray,
    draw: Draw,
    options: tuple[int, int | None, int],
    description: str,
    versions: int = 1,
) -> Dataset:
    """Split the base images, choose what to keep, and only then draw it."""
    size, train_per_class, seed = options
    side, other_side = image_size(size)
    if side != other_side:
        raise InputError(f"size={size!r}: {name} is square, give one number of pixels")
    train, validation, test = stratified_split(labels, FRACTIONS, seed, class_names)

    def split(bases: np.ndarray, versions: np.ndarray) -> Split:
        images = [draw(int(base), int(v), side) for base, v in zip(bases, versions, strict=True)]
        named = tuple(f"{base}.{version}" for base, version in zip(bases, versions, strict=True))
        return Split(np.stack(images), labels[bases].astype(np.int64), named)

    kept_bases = np.tile(train, versions)
    kept_versions = np.repeat(np.arange(versions), len(train))
    if train_per_class is not None and versions > 1:
        # A small draw takes different base images before it takes a second picture of one.
        scarcest = np.bincount(labels[train]).min()
        enough = -(-int(train_per_class) // int(scarcest)) * len(train)
        kept_bases, kept_versions = kept_bases[:enough], kept_versions[:enough]
    kept = take_per_class(labels[kept_bases], train_per_class, seed, class_names)
    return Dataset(
        name,
        class_names,
        split(kept_bases[kept], kept_versions[kept]),
        split(validation, np.zeros_like(validation)),
        split(test, np.zeros_like(test)),
        description=description,
    )

"""Datasets that are fetched once and then lie in a cache."""

import dataclasses
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps

from tlkit.dataset import Dataset, Split, image_size, stratified_split, take_per_class
from tlkit.errors import InputError
from tlkit.folders import load_folder
from tlkit.image_files import empty_images
from tlkit.paths import cache_folder

OFFLINE = "digits, wild_digits, glyphs, oct_phantom"
PATIENCE = 20  # seconds to wait for a server that does not answer
FLOWERS = "flower_photos"
FLOWERS_URL = f"https://storage.googleapis.com/download.tensorflow.org/example_images/{FLOWERS}.tgz"
PNEUMONIA = "pneumoniamnist.npz"
PNEUMONIA_URL = f"https://zenodo.org/records/10519652/files/{PNEUMONIA}?download=1"
PNEUMONIA_MD5 = "28209eda62fecd6e6a2d98b1501bb15f"
CIFAR10_CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
FASHION_CLASSES = (
    *("T-shirt/top", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)

T = TypeVar("T")
Size = int | tuple[int, int]
Labelled = tuple[np.ndarray, np.ndarray]  # uint8 [n, h, w] or [n, h, w, 3], int [n] or [n, 1]


def load_download(
    name: str, size: Size = 64, train_per_class: int | None = None, seed: int = 0
) -> Dataset:
    """Load a dataset from a cache or, the first time, from the network.

    Where the set has no validation split, a tenth of train is split off (flowers: 60/20/20).

    Args:
        name: `cifar10`, `fashion_mnist`, `flowers` or `pneumoniamnist`.
        size: pixels, one number or (height, width).
        train_per_class: training images to keep of each class; None keeps all.
        seed: of the validation split and of the choice of training images.

    Returns:
        The dataset.

    Raises:
        InputError: when it is neither cached nor reachable, or an argument is out of its range.
    """
    if name not in DOWNLOADS:
        raise InputError(f"name={name!r}: expected one of {', '.join(DOWNLOADS)}")
    return DOWNLOADS[name](size=size, train_per_class=train_per_class, seed=seed)


def load_pneumoniamnist(
    path: str | os.PathLike | None = None,
    *,
    size: Size = 64,
    train_per_class: int | None = None,
    seed: int = 0,
) -> Dataset:
    """Load chest X-rays of children, 28x28, without and with pneumonia (MedMNIST v2).

    Source: Yang et al. 2023, "MedMNIST v2", Scientific Data 10:41, licence CC BY 4.0.

    Args:
        path: pneumoniamnist.npz; None looks in the folder that the environment variable
            TLKIT_DATA names, then in the cache folder, then fetches it from MedMNIST's archive.
        size: pixels, one number or (height, width).
        train_per_class: training images to keep of each class; None keeps all.
        seed: of the choice of training images.

    Returns:
        The dataset in MedMNIST's own three splits.

    Raises:
        InputError: when the file is not to be had or not what it should be.
    """
    image_size(size)
    path = _pneumonia_file() if path is None else Path(path)
    try:
        with np.load(path) as stored:
            train, validation, test = (
                (stored[f"{split}_images"], stored[f"{split}_labels"])
                for split in ("train", "val", "test")
            )
    except Exception as error:  # no archive, keys missing, damaged
        raise InputError(f"path={str(path)!r} is not MedMNIST's {PNEUMONIA}: {error}") from error
    return _dataset(
        "pneumoniamnist",
        ("normal", "pneumonia"),
        (train, validation, test),
        (size, train_per_class, seed),
        "Chest X-rays of children, 28x28 (MedMNIST v2, Yang et al. 2023, CC BY 4.0).",
    )


def _load_cifar10(*, size: Size, train_per_class: int | None, seed: int) -> Dataset:
    import keras

    train, test = _fetched(
        "cifar10", keras.datasets.cifar10.load_data, "cifar-10-batches-py-target_archive"
    )
    return _dataset(
        "cifar10",
        CIFAR10_CLASSES,
        (train, None, test),
        (size, train_per_class, seed),
        "Photographs of ten kinds of things, 32x32 (Krizhevsky 2009).",
    )


def _load_fashion_mnist(*, size: Size, train_per_class: int | None, seed: int) -> Dataset:
    import keras

    train, test = _fetched(
        "fashion_mnist", keras.datasets.fashion_mnist.load_data, "fashion-mnist/*-ubyte.gz"
    )
    return _dataset(
        "fashion_mnist",
        FASHION_CLASSES,
        (train, None, test),
        (size, train_per_class, seed),
        "Ten kinds of clothes, grey, 28x28 (Xiao et al. 2017, MIT licence).",
    )


def _load_flowers(*, size: Size, train_per_class: int | None, seed: int) -> Dataset:
    folder = _find(FLOWERS)
    if folder is None:
        import keras

        folder = _fetched(
            "flowers",
            lambda: Path(keras.utils.get_file(FLOWERS, FLOWERS_URL, extract=True)),
            f"{FLOWERS}_archive",
        )
    inner = folder / FLOWERS
    data = load_folder(
        inner if inner.is_dir() else folder,
        size=size,
        train_per_class=train_per_class,
        seed=seed,
    )
    description = "3,670 photographs of five kinds of flowers (TensorFlow 2019, CC BY 2.0)."
    return dataclasses.replace(data, name="flowers", description=description)


def _pneumonia_file() -> Path:
    found = _find(PNEUMONIA)
    if found is not None:
        return found
    import keras

    folder = cache_folder()

    def get() -> Path:
        partial = keras.utils.get_file(
            PNEUMONIA,
            PNEUMONIA_URL,
            file_hash=PNEUMONIA_MD5,
            hash_algorithm="md5",
            cache_dir=str(folder),
            cache_subdir="partial",
        )
        os.replace(partial, folder / PNEUMONIA)
        return folder / PNEUMONIA

    return _fetched("pneumoniamnist", get, PNEUMONIA, folder)


def _find(name: str) -> Path | None:
    """Look for a file or folder in TLKIT_DATA (or its subfolder of that name) and the cache."""
    given = os.environ.get("TLKIT_DATA")
    places = [Path(given), Path(given) / Path(name).stem] if given else []
    for place in [*places, cache_folder()]:
        if (place / name).exists():
            return place / name
    return None


def _fetched(name: str, get: Callable[[], T], file: str, folder: Path | None = None) -> T:
    """Call a function that reads a cache or the network, and say what to do where neither helps."""
    folder = folder or Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "datasets"
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        return get()
    except Exception as error:  # Keras raises plain Exception
        raise InputError(
            f"name={name!r}: {file} is neither in the cache folder {folder} nor can it be "
            f"downloaded ({error}). Copy it there from a machine with a network, or take a "
            f"dataset that needs none: {OFFLINE}"
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def _dataset(
    name: str,
    class_names: Sequence[str],
    parts: tuple[Labelled, Labelled | None, Labelled],
    options: tuple[Size, int | None, int],
    description: str,
) -> Dataset:
    """Split validation off where there is none, choose what to keep, and only then resize."""
    size, train_per_class, seed = options
    height_width = image_size(size)
    (images, labels), validation, test = parts
    labels = labels.reshape(-1).astype(np.int64)
    rest = np.arange(len(labels))
    if validation is None:
        rest, held_out, _ = stratified_split(labels, (0.9, 0.1, 0), seed, class_names)
        validation = images[held_out], labels[held_out]
    kept = rest[take_per_class(labels[rest], train_per_class, seed, class_names)]
    train, validation_split, test_split = (
        Split(_resized(pixels, height_width), truth.reshape(-1).astype(np.int64))
        for pixels, truth in ((images[kept], labels[kept]), validation, test)
    )
    return Dataset(
        name,
        tuple(class_names),
        train,
        validation_split,
        test_split,
        description=description,
    )


def _resized(images: np.ndarray, height_width: tuple[int, int]) -> np.ndarray:
    """Bring uint8 [n, h, w] or [n, h, w, 3] to uint8 [n, height, width, 3], undistorted."""
    resized = empty_images(len(images), height_width)
    for i, pixels in enumerate(images):
        picture = Image.fromarray(pixels).convert("RGB")
        resized[i] = ImageOps.fit(picture, height_width[::-1], Image.Resampling.BICUBIC)
    return resized


DOWNLOADS: dict[str, Callable[..., Dataset]] = {
    "cifar10": _load_cifar10,
    "fashion_mnist": _load_fashion_mnist,
    "flowers": _load_flowers,
    "pneumoniamnist": load_pneumoniamnist,
}

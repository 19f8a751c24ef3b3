"""What a dataset is: three splits of labelled images, and how labels are divided among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state

from tlkit.errors import InputError

if TYPE_CHECKING:
    import pandas

SPLIT_NAMES = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """Images of one split with their labels.

    Attributes:
        images: uint8 [n, h, w, 3], RGB pixel values 0 to 255; a `numpy.memmap` where the images
            do not fit in memory.
        labels: int64 [n], positions in `Dataset.class_names`.
        names: one readable name per image, such as its file's relative path, or empty.
    """

    images: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """Labelled images in three splits that share no base image.

    Attributes:
        name: what to call it in tables and file names.
        class_names: one name per class; labels are positions in it.
        train: images to learn from.
        validation: images to choose epochs, strategies and settings by.
        test: images for the final figure, looked at once.
        skipped: (relative path, reason) of each file that was found but not used.
        description: one sentence: what it is, licence, citation.
        loaded_with: the arguments of `load_dataset` that give this data set again.
    """

    name: str
    class_names: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    skipped: tuple[tuple[str, str], ...] = ()
    description: str = ""
    loaded_with: dict[str, Any] = field(default_factory=dict)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def summary(self) -> pandas.DataFrame:
        """Count the images.

        Returns:
            Table with one row a class (index `class`) and the columns train, validation, test.

        Example:
            >>> split = Split(np.zeros((3, 8, 8, 3), np.uint8), np.array([0, 1, 1]))
            >>> Dataset("toy", ("cat", "dog"), split, split, split).summary().loc["dog"].to_dict()
            {'train': 2, 'validation': 2, 'test': 2}
        """
        import pandas

        counts = {
            name: np.bincount(getattr(self, name).labels, minlength=self.num_classes)
            for name in SPLIT_NAMES
        }
        return pandas.DataFrame(counts, index=pandas.Index(self.class_names, name="class"))


def image_size(size: int | Sequence[int]) -> tuple[int, int]:
    """Read the argument `size`: one whole number for a square image, or (height, width).

    Args:
        size: pixels, each at least 8.

    Returns:
        (height, width) in pixels.

    Raises:
        InputError: when it is anything else.

    Example:
        >>> image_size(64), image_size((48, 64))
        ((64, 64), (48, 64))
    """
    sides = tuple(size) if isinstance(size, tuple | list) else (size, size)
    whole = all(isinstance(s, int | np.integer) and not isinstance(s, bool) for s in sides)
    if len(sides) != 2 or not whole or min(sides) < 8:
        raise InputError(
            f"size={size!r}: give one whole number of pixels, or (height, width), each at least 8"
        )
    return int(sides[0]), int(sides[1])


def check_seed(seed: int) -> int:
    """Return the seed as int, or raise InputError if it is no whole number 0 to 2**32 - 1."""
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if not whole or not 0 <= seed < 2**32:
        raise InputError(f"seed={seed!r}: give a whole number from 0 to 2**32 - 1")
    return int(seed)


def stratified_split(
    labels: np.ndarray,
    fractions: Sequence[float],
    seed: int,
    class_names: Sequence[str],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Divide examples among train, validation and test, class by class.

    Each class is divided by itself, with at least one example in every split whose fraction is
    not zero: a stratified draw over all classes at once cannot promise that to a small class.

    Args:
        labels: int [n], positions in `class_names`.
        fractions: shares of train, validation and test, summing to 1; a share of 0 leaves that
            split empty.
        seed: 0 to 2**32 - 1.
        class_names: for the message when a class is too small.

    Returns:
        Three sorted int64 arrays of positions in `labels`, which share none and miss none.

    Raises:
        InputError: when a class has fewer examples than there are splits to fill.

    Example:
        >>> parts = stratified_split(np.repeat([0, 1], 10), (0.6, 0.2, 0.2), 0, ("cat", "dog"))
        >>> [len(part) for part in parts]
        [12, 4, 4]
    """
    if len(fractions) != 3 or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise InputError(f"fractions={tuple(fractions)}: give three shares >= 0 that sum to 1")
    random = check_random_state(check_seed(seed))
    needed = sum(share > 0 for share in fractions)
    parts: tuple[list, list, list] = ([], [], [])
    for index, class_name in enumerate(class_names):
        rest = np.flatnonzero(np.asarray(labels) == index)
        if len(rest) < needed:
            raise InputError(
                f"class {class_name!r} has {len(rest)} image(s), too few to split: it needs at "
                f"least {needed}, one for each split"
            )
        counts = _whole_shares(len(rest), fractions)
        for part, count in zip(parts[1:], counts[1:], strict=True):
            if count == len(rest):
                part.append(rest)
                rest = rest[:0]
            elif count:
                rest, taken = train_test_split(rest, test_size=count, random_state=random)
                part.append(taken)
        parts[0].append(rest)
    train, validation, test = (
        np.sort(np.concatenate(part)).astype(np.int64) if part else np.empty(0, np.int64)
        for part in parts
    )
    return train, validation, test


def take_per_class(
    labels: np.ndarray, per_class: int | None, seed: int, class_names: Sequence[str]
) -> np.ndarray:
    """Draw the same number of examples from every class.

    With one seed a smaller draw is part of a larger one, so that a learning curve over
    `per_class` only ever adds images.

    Args:
        labels: int [n], positions in `class_names`.
        per_class: examples of each class, at least 1; None keeps all.
        seed: 0 to 2**32 - 1.
        class_names: for the message when a class is too small.

    Returns:
        Sorted int64 positions in `labels`.

    Raises:
        InputError: when `per_class` is no whole number above 0, or a class has fewer examples.

    Example:
        >>> take_per_class(np.array([0, 0, 1, 1, 1]), 2, 0, ("cat", "dog")).shape
        (4,)
    """
    if per_class is None:
        return np.arange(len(labels))
    whole = isinstance(per_class, int | np.integer) and not isinstance(per_class, bool)
    if not whole or per_class < 1:
        raise InputError(f"train_per_class={per_class!r}: give a whole number of at least 1")
    seed = check_seed(seed)
    chosen = []
    for index, class_name in enumerate(class_names):
        members = np.flatnonzero(np.asarray(labels) == index)
        if len(members) < per_class:
            raise InputError(
                f"train_per_class={per_class}: class {class_name!r} has only {len(members)} "
                "image(s) to train on"
            )
        order = np.random.default_rng([seed, index]).permutation(len(members))
        chosen.append(members[order[:per_class]])
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def _whole_shares(total: int, fractions: Sequence[float]) -> list[int]:
    """Turn shares into counts that sum to `total`, each at least 1 where its share is not 0."""
    counts = [max(1, round(total * share)) if share > 0 else 0 for share in fractions]
    while sum(counts) != total:
        step = 1 if sum(counts) < total else -1
        open_to_change = [i for i in range(3) if fractions[i] > 0 and counts[i] + step >= 1]
        # the split that is furthest from its share gives or takes
        furthest = max(open_to_change, key=lambda i: step * (total * fractions[i] - counts[i]))
        counts[furthest] += step
    return counts

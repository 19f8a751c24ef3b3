"""Augmented copies as data: several copies of each image, and a look at what `fit` is given."""

import itertools
from collections.abc import Callable, Iterator

import keras
import numpy as np

from tlkit.augmentation import Augmenter
from tlkit.errors import InputError


class AugmentedViews:
    """Several augmented copies of each image, made while they are read.

    Like an array of shape (views * n, h, w, 3) and dtype float32 that is never in memory as a
    whole: first every image once, then every image again.

    Args:
        images: uint8 or float [n, h, w, 3]; may be memory-mapped, is read block by block.
        augmentation: of `as_augmentation`, a Keras layer or a function.
        views: copies of each image.

    Raises:
        InputError: `views` is less than 1.

    Example:
        >>> views = AugmentedViews(np.zeros((5, 8, 8, 3)), lambda images: images + 1, views=2)
        >>> views.shape, [len(block) for block in views.blocks(4)]
        ((10, 8, 8, 3), [4, 1, 4, 1])
    """

    def __init__(self, images: np.ndarray, augmentation: Callable, views: int):
        """See the class."""
        if views < 1:
            raise InputError(f"views={views}; at least 1 is needed")
        self.images, self.views = images, views
        own = isinstance(augmentation, Augmenter)
        self.augmentation = augmentation if own else Augmenter(augmentation)
        self.shape = (views * len(images), *images.shape[1:])
        self.dtype = np.dtype(np.float32)

    def __len__(self) -> int:
        """Count the augmented copies."""
        return self.shape[0]

    def blocks(self, batch_size: int = 64) -> Iterator[np.ndarray]:
        """Make the copies in order; with the same block size they are the same each time.

        Args:
            batch_size: copies a block; a view's last block may be smaller.

        Returns:
            Iterator of float32 [at most batch_size, h, w, 3].
        """
        if batch_size < 1:
            raise InputError(f"batch_size={batch_size}; at least 1 is needed")
        starts = range(0, len(self.images), batch_size)
        for draw, (_, start) in enumerate(itertools.product(range(self.views), starts)):
            yield self.augmentation(self.images[start : start + batch_size], draw)


def preview(batches: keras.utils.PyDataset, count: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Take the first images that `fit` would be given, from the very object passed to it.

    Where the augmentation of the batches draws in sequence, this moves the sequence on.

    Args:
        batches: gives (images, labels); pixel values 0 to 255.
        count: images wanted; fewer come where an epoch has fewer.

    Returns:
        Images, uint8 [count, h, w, 3], and their labels.

    Raises:
        InputError: `count` is less than 1.

    Example:
        >>> from tlkit.batches import Batches
        >>> images, labels = preview(Batches(np.ones((9, 4, 4, 3)), np.arange(9), 2), count=3)
        >>> images.shape, labels
        ((3, 4, 4, 3), array([0, 1, 2]))
    """
    if count < 1:
        raise InputError(f"count={count}; at least 1 is needed")
    images: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    for index in range(len(batches)):
        batch = batches[index]
        images += list(batch[0])
        labels += list(batch[1])
        if len(images) >= count:
            break
    pixels = np.clip(np.rint(np.stack(images[:count])), 0, 255)
    return pixels.astype(np.uint8), np.stack(labels[:count])

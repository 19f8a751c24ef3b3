"""Feeds images to Keras batch by batch, so that only one batch at a time is in memory."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from tlkit.mapped import RELEASE_AFTER, release


class Batches(keras.utils.PyDataset):
    """Batches of images (or features) with their labels, shuffled anew in every epoch.

    Call `fit` with `shuffle=False`: Keras would shuffle the batches a second time, from a generator
    of random numbers that all Keras code shares, so that runs would not repeat.

    Args:
        images: [n, ...], any array that NumPy can index, memory-mapped ones included; or a list
            of such arrays, which belong together row by row. With `views`, [views * n, ...].
        labels: int [n].
        batch_size: examples a batch; the last one may be smaller.
        seed: of the order; None keeps the given order.
        steps: batches an epoch; None for one pass over all examples. A small set is passed over
            several times in an epoch, a large one in parts.
        augment: called with each batch of images and the number of batches before it; its result
            is what Keras sees.
        views: copies of each example that `images` holds, all examples of a copy together; each
            time an example's turn comes, one of its copies is drawn.
    """

    def __init__(
        self,
        images: np.ndarray | Sequence[np.ndarray],
        labels: np.ndarray,
        batch_size: int,
        *,
        seed=None,
        steps: int | None = None,
        augment: Callable[[Any, int], np.ndarray] | None = None,
        views: int = 1,
    ):
        """See the class."""
        super().__init__()
        arrays = [images] if isinstance(images, np.ndarray) else list(images)
        self.labels, self.batch_size = labels, batch_size
        self.augment, self.views = augment, views
        self.per_pass = -(-len(labels) // batch_size)
        self.steps = steps or self.per_pass
        self.rng = None if seed is None else np.random.default_rng(seed)
        self.reader = Reader(arrays)
        self.epoch = -1
        self.on_epoch_end()

    def __len__(self) -> int:
        """Count the batches of an epoch."""
        return self.steps

    def __getitem__(self, index: int):
        """Return (images, labels) of one batch."""
        number, position = divmod(index, self.per_pass)
        start = position * self.batch_size
        rows = self.passes[number][start : start + self.batch_size]
        parts = self.reader.read(rows)
        images = parts[0] if len(parts) == 1 else tuple(parts)
        if self.augment is not None:
            images = self.augment(images, self.epoch * self.steps + index)
        return images, self.labels[rows % len(self.labels)]

    def on_epoch_end(self) -> None:
        """Draw the order of the next epoch."""
        self.epoch += 1
        self.passes = [self._order() for _ in range(-(-self.steps // self.per_pass))]

    def _order(self) -> np.ndarray:
        count = len(self.labels)
        if self.rng is None:
            return np.arange(count)
        order = self.rng.permutation(count)
        return (
            order + count * self.rng.integers(self.views, size=count) if self.views > 1 else order
        )


class Reader:
    """Reads rows of arrays, and gives back the memory through which mapped files are read."""

    def __init__(self, arrays: Sequence[np.ndarray]):
        """Read from `arrays`, which have the same number of rows."""
        self.arrays = arrays
        self._read = 0

    def read(self, rows: np.ndarray | slice) -> list[np.ndarray]:
        """Return copies of these rows of every array."""
        parts = [np.array(array[rows]) for array in self.arrays]
        self._read += sum(part.nbytes for part in parts)
        if self._read > RELEASE_AFTER:
            self.release()
        return parts

    def release(self) -> None:
        """Give back the memory that has been used for reading."""
        self._read = 0
        for array in self.arrays:
            release(array)

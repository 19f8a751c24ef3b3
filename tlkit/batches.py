"""Feeds images to Keras batch by batch, so that only one batch at a time is in memory."""

import keras
import numpy as np


class Batches(keras.utils.PyDataset):
    """Batches of images (or features) with their labels, shuffled anew in every epoch.

    Args:
        images: [n, ...], any array that NumPy can index, memory-mapped ones included.
        labels: int [n].
        batch_size: examples a batch; the last one may be smaller.
        seed: of the order; None keeps the given order.
        steps: batches an epoch; None for one pass over all examples. A small set is passed over
            several times in an epoch, a large one in parts.
    """

    def __init__(self, images, labels, batch_size: int, *, seed=None, steps: int | None = None):
        """See the class."""
        super().__init__()
        self.images, self.labels, self.batch_size = images, labels, batch_size
        self.per_pass = -(-len(labels) // batch_size)
        self.steps = steps or self.per_pass
        self.rng = None if seed is None else np.random.default_rng(seed)
        self.passes: list[np.ndarray] = []
        self.on_epoch_end()

    def __len__(self) -> int:
        """Count the batches of an epoch."""
        return self.steps

    def __getitem__(self, index: int):
        """Return (images, labels) of one batch."""
        number, position = divmod(index, self.per_pass)
        start = position * self.batch_size
        chosen = self.passes[number][start : start + self.batch_size]
        return self.images[chosen], self.labels[chosen]

    def on_epoch_end(self) -> None:
        """Draw the order of the next epoch."""
        self.passes = [self._order() for _ in range(-(-self.steps // self.per_pass))]

    def _order(self) -> np.ndarray:
        count = len(self.labels)
        return np.arange(count) if self.rng is None else self.rng.permutation(count)

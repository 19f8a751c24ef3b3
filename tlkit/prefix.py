"""Never computes twice what is frozen: its outputs for every image, kept on disk.

Where the first stages of a network are frozen, they give the same output for an image in every
epoch, for every seed and learning rate. It is computed once for each array of images. Nothing is
approximated: `graph.frontier` stops at the first layer that is trained, updated or random.

What is kept bears the hash of all that decides it: the pixels, every layer and weight below the
cut, its precision, and the versions of Keras and TensorFlow. So a higher cut is computed from the
highest lower ones that are there, whoever made them, and what is there is never wrong.
"""

import hashlib
import json
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from tlkit import feature_cache
from tlkit.augmented_views import AugmentedViews
from tlkit.batches import Reader
from tlkit.classifier import SharedClassifier, bytes_per_image
from tlkit.errors import InputError
from tlkit.graph import calls_between, fingerprints
from tlkit.hashing import content_hash

BATCH = 32
IN_FLIGHT = 2
FREE_SHARE = 0.5  # of the free space on the disk that features may take


class Source(Protocol):
    """Images that can be read from the first to the last, in blocks."""

    rows: int
    digest: str

    def blocks(self, size: int) -> Iterator[np.ndarray]:
        """Give [at most size, h, w, 3] at a time."""


class Pixels:
    """An array of images as a `Source`."""

    def __init__(self, images: np.ndarray):
        """Take images [n, h, w, 3]; they are read block by block."""
        self.images, self.rows = images, len(images)
        self.digest = content_hash([images])

    def blocks(self, size: int) -> Iterator[np.ndarray]:
        """Give the images in order."""
        reader = Reader([self.images])
        for start in range(0, self.rows, size):
            yield reader.read(slice(start, start + size))[0]
        reader.release()


class Views:
    """Augmented copies of images as a `Source`; all copies of one kind follow one another."""

    def __init__(self, views: AugmentedViews):
        """Take copies whose augmentation is a Keras layer, so that it can be told from others."""
        layer = getattr(views.augmentation, "transform", views.augmentation)
        if not isinstance(layer, keras.Layer):
            raise InputError(
                f"augmentation={layer!r} with views={views.views}: a plain function cannot be told "
                "from another one, so what was kept of it might be wrong; give names of "
                "augmentations or a Keras layer, or leave views out"
            )
        self.views, self.rows = views, len(views)
        described = _nameless(keras.saving.serialize_keras_object(layer))
        arrays = content_hash([views.images, *layer.get_weights()])
        text = json.dumps([described, views.views, arrays], sort_keys=True, default=repr)
        self.digest = hashlib.sha256(text.encode()).hexdigest()

    def blocks(self, size: int) -> Iterator[np.ndarray]:
        """Give the copies in order; a view's last block may be smaller."""
        return self.views.blocks(BATCH)


def _nameless(described: Any) -> Any:
    """Leave out the names that Keras counts up, which tell equal layers apart."""
    if isinstance(described, dict):
        idle = ("name", "shared_object_id", "build_config")
        return {k: _nameless(v) for k, v in described.items() if k not in idle}
    return [_nameless(v) for v in described] if isinstance(described, list) else described


def affordable(shared: SharedClassifier, cut: Sequence[int], rows: int) -> bool:
    """Whether there is room on the disk for the tensors of a cut for so many images."""
    size = rows * bytes_per_image(shared.graph, cut)
    free = shutil.disk_usage(feature_cache.folder()).free
    return size <= min(feature_cache.limit(), FREE_SHARE * free)


def features(
    shared: SharedClassifier,
    cut: Sequence[int],
    source: Source,
    *,
    later: Sequence[int] = (),
    about: str = "",
) -> list[np.ndarray]:
    """Compute the tensors at a cut for all images, or find them on disk.

    Args:
        shared: classifier with the weights that count.
        cut: numbers of tensors in its graph.
        source: the images.
        later: tensors that will be asked for next; computed on the way.
        about: what the network is, for `tlkit cache`.

    Returns:
        For each tensor of `cut` an array float32 [n, ...], memory-mapped and read-only.
    """
    graph, wanted = shared.graph, (*cut, *(set(later) - set(cut)))
    keys = _keys(shared, wanted, source)
    present = {i: array for i in wanted if (array := _find(keys[i], source)) is not None}
    if not set(cut) <= set(present):
        missing = [i for i in wanted if i not in present]
        made = feature_cache.make(
            {keys[i]: (graph.shapes[i], "float32") for i in missing},
            lambda: _compute(shared, keys, source, missing),
            f"{about or shared.model.name}, {source.rows:,} images",
            rows=source.rows,
        )
        present.update(zip(missing, made, strict=True))
    return [present[i] for i in cut]


def _keys(shared: SharedClassifier, wanted: Sequence[int], source: Source) -> dict[int, str]:
    """Name what each tensor up to `wanted` is kept under.

    The first digits are those of the images: `feature_cache` lets one process at a time write what
    begins alike, so that a second one, which wants a higher cut, finds the lower cut of the first.
    """
    versions = f"{keras.__version__} {tf.__version__}"
    return {
        i: source.digest[:8]
        + hashlib.sha256(f"{versions} {source.digest} {mark}".encode()).hexdigest()[:56]
        for i, mark in fingerprints(shared.graph, wanted).items()
    }


def _find(key: str, source: Source) -> np.ndarray | None:
    array = feature_cache.find(key)
    return array if array is not None and len(array) == source.rows else None


def _compute(
    shared: SharedClassifier, keys: dict[int, str], source: Source, missing: Sequence[int]
) -> Iterator[list[np.ndarray]]:
    """Compute tensors batch by batch from the highest tensors below them that are on disk."""
    graph = shared.graph
    found = {
        i: array
        for i in keys
        if i not in (*graph.inputs, *missing) and (array := _find(keys[i], source)) is not None
    }
    needed = {
        x for call in calls_between(graph, [*graph.inputs, *found], missing) for x in call.inputs
    }
    kept = tuple(i for i in found if i in needed)
    start = (*(i for i in graph.inputs if i in needed), *kept)
    reader = Reader([found[i] for i in kept])

    def blocks() -> Iterator[list[np.ndarray]]:
        if start == kept:
            for first in range(0, source.rows, BATCH):
                yield reader.read(slice(first, first + BATCH))
        else:
            first = 0
            for images in source.blocks(BATCH):
                yield [images, *reader.read(slice(first, first + len(images)))]
                first += len(images)
        reader.release()

    yield from in_flight(lambda arrays: shared.run(start, tuple(missing), arrays), blocks())


def in_flight(
    function: Callable[[list[np.ndarray]], list[np.ndarray]],
    blocks: Iterable[list[np.ndarray]],
) -> Iterator[list[np.ndarray]]:
    """Apply a function to blocks, two at a time, and give the results in order.

    A network leaves processor cores idle between its larger layers; a second batch fills the gaps.
    """
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        waiting: deque[Future[list[np.ndarray]]] = deque()
        for block in blocks:
            waiting.append(pool.submit(function, block))
            if len(waiting) > IN_FLIGHT:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

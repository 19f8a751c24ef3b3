"""Never computes twice what is frozen: features of a frozen backbone, kept while they are in use.

Where only the head is trained, the backbone gives the same pooled features for an image in every
epoch, for every seed and learning rate. They are computed once for each array of images. Nothing
is approximated: there is no random layer below the head.
"""

from collections import OrderedDict

import keras
import numpy as np

from tlkit.hashing import content_hash

KEPT = 12  # arrays of features; the least recently used goes first

_features: OrderedDict[tuple[str, str], np.ndarray] = OrderedDict()


def pooled_features(encoder: keras.Model, images: np.ndarray, batch_size: int = 64) -> np.ndarray:
    """Run a frozen network over images, or find the result of an earlier run.

    Args:
        encoder: model from images to one feature vector each.
        images: uint8 [n, h, w, 3]; may be memory-mapped, is read batch by batch.
        batch_size: images at a time.

    Returns:
        float32 [n, features].
    """
    key = (f"{encoder.name} {content_hash(encoder.get_weights())}", content_hash([images]))
    if key not in _features:
        _features[key] = np.concatenate(
            [
                np.asarray(encoder.predict_on_batch(images[start : start + batch_size]))
                for start in range(0, len(images), batch_size)
            ]
        )
    _features.move_to_end(key)
    while len(_features) > KEPT:
        _features.popitem(last=False)
    return _features[key]

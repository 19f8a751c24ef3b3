"""Chooses the precision of the frozen part by measuring it, not by rule.

bfloat16 keeps float32's range and 8 of its 24 bits of precision. On a processor with instructions
for it some networks run several times faster; others, and all networks elsewhere, run slower.
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from tlkit.classifier import SharedClassifier

PRECISIONS = ("float32", "bfloat16", "auto")
TOLERANCE = 0.02  # relative difference of the features up to which they count as the same
REPEATS = 3


def measure_precision(
    exact: SharedClassifier,
    fast: SharedClassifier,
    cut: Sequence[int],
    images: np.ndarray,
) -> dict[str, Any]:
    """Time one batch through the frozen part in float32 and in bfloat16, and compare the outputs.

    Args:
        exact: computes in float32.
        fast: the same network with the same weights, computing in bfloat16.
        cut: tensors at which the frozen part ends.
        images: one batch, uint8 [n, h, w, 3].

    Returns:
        `used` ("bfloat16" only if it is faster and `disagreement`, the largest relative L2
        difference of a tensor's values, is at most `tolerance`), `float32_seconds` and
        `bfloat16_seconds` (the least of three each, after one to warm up).
    """
    outputs, seconds = [], []
    for shared in (exact, fast):
        outputs.append(shared.run(exact.graph.inputs, tuple(cut), [images]))
        seconds.append(min(_time(shared, cut, images) for _ in range(REPEATS)))
    disagreement = max(
        float(np.linalg.norm(a - b)) / max(float(np.linalg.norm(a)), 1e-12)
        for a, b in zip(*outputs, strict=True)
    )
    faster = seconds[1] < seconds[0] and disagreement <= TOLERANCE
    return {
        "used": "bfloat16" if faster else "float32",
        "float32_seconds": seconds[0],
        "bfloat16_seconds": seconds[1],
        "disagreement": disagreement,
        "tolerance": TOLERANCE,
    }


def _time(shared: SharedClassifier, cut: Sequence[int], images: np.ndarray) -> float:
    start = time.perf_counter()
    shared.run(shared.graph.inputs, tuple(cut), [images])
    return time.perf_counter() - start

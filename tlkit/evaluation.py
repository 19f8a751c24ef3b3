"""How well a model does, and how sure that number is: metrics, intervals and paired differences.

Other images of the same kind would give another accuracy, and so would other seeds: the intervals
here carry both.
"""

from dataclasses import dataclass
from math import isnan, nan, sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tlkit.errors import InputError

RESAMPLES = 10_000


@dataclass(frozen=True)
class Interval:
    """A measured value with the bounds between which the truth plausibly lies.

    Bounds are NaN where the spread is unknown, as after a single run.

    Example:
        >>> str(Interval(0.812, 0.79, 0.834)), str(Interval(0.812, float("nan"), float("nan")))
        ('0.812 [0.790, 0.834]', '0.812 [spread unknown]')
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Three decimals, as tables and sentences show it."""
        if isnan(self.low) or isnan(self.high):
            return f"{self.value:.3f} [spread unknown]"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class PairedDifference:
    """How much better the first of two models is, on the same images and seeds.

    Attributes:
        difference: accuracy of the first less accuracy of the second, in -1..1.
        low, high: bounds of the difference.
        p_value: two-sided: how often no difference at all would look at least this large.
        seeds, images: how many of each.
    """

    difference: float
    low: float
    high: float
    p_value: float
    seeds: int
    images: int

    def __str__(self) -> str:
        """Signed, with the bounds and the p-value."""
        p = f"p = {self.p_value:.2g}" if self.p_value >= 0.001 else "p < 0.001"
        return f"{self.difference:+.3f} [{self.low:+.3f}, {self.high:+.3f}], {p}"


def classification_metrics(labels: ArrayLike, probabilities: ArrayLike) -> dict[str, float]:
    """Measure predicted probabilities against true labels.

    Averages over classes leave out classes of which the split has no image. The area under the
    ROC curve is of each class against the rest; NaN where the split has one class only.

    Args:
        labels: integers [n], positions of the true classes, 0..classes-1.
        probabilities: floats [n, classes], rows summing to 1.

    Returns:
        accuracy, balanced_accuracy, macro_f1, macro_precision, macro_recall, log_loss (nats),
        roc_auc and expected_calibration_error, each a float.

    Raises:
        InputError: shapes do not agree, a label names no column, or rows are no probabilities.

    Example:
        >>> metrics = classification_metrics([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
        >>> round(metrics["accuracy"], 3), round(metrics["balanced_accuracy"], 3)
        (0.667, 0.75)
    """
    from sklearn.metrics import log_loss, precision_recall_fscore_support

    labels, probabilities = _checked(labels, probabilities)
    predicted = probabilities.argmax(axis=1)
    present = np.unique(labels)
    precision, recall, f1, _ = precision_recall_fscore_support(
        labels, predicted, labels=present, average="macro", zero_division=0
    )
    classes = np.arange(probabilities.shape[1])
    return {
        "accuracy": float(np.mean(predicted == labels)),
        "balanced_accuracy": float(recall),
        "macro_f1": float(f1),
        "macro_precision": float(precision),
        "macro_recall": float(recall),
        "log_loss": float(log_loss(labels, probabilities, labels=classes)),
        "roc_auc": _roc_auc(labels, probabilities),
        "expected_calibration_error": expected_calibration_error(labels, probabilities),
    }


def expected_calibration_error(
    labels: ArrayLike, probabilities: ArrayLike, *, bins: int = 15
) -> float:
    """Mean gap between confidence and accuracy, over bins of equal width (Guo et al. 2017).

    It is 0 where 80 % of all predictions made with confidence 0.8 are right, and 1 at the worst.

    Args:
        labels: integers [n], positions of the true classes.
        probabilities: floats [n, classes], rows summing to 1.
        bins: number of bins between confidence 0 and 1.

    Example:
        >>> round(expected_calibration_error([0, 0], [[0.9, 0.1], [0.9, 0.1]]), 3)
        0.1
    """
    labels, probabilities = _checked(labels, probabilities)
    confidence = probabilities.max(axis=1).astype(np.float64)
    gap = (probabilities.argmax(axis=1) == labels) - confidence
    # Bin k holds confidences in (k / bins, (k + 1) / bins], as in the paper.
    position = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    return float(np.abs(np.bincount(position, weights=gap, minlength=bins)).sum() / len(labels))


def accuracy_interval(correct: ArrayLike, confidence: float = 0.95, seed: int = 0) -> Interval:
    """Interval of an accuracy, over other images and, given several seeds, over other seeds.

    Images are resampled (percentile bootstrap, Efron & Tibshirani 1993), jointly for all seeds,
    since all see the same images. Four made-up images, two right and two wrong, join them first
    (Agresti & Coull 1998): 20 right out of 20 is no certainty. Seeds are too few to be resampled:
    where three seeds differed much, such intervals held the truth in 86 % of simulated cases. What
    seeds add to the noise of the images (the seed component of a two-way analysis of variance)
    enters through Student's t with seeds - 1 degrees of freedom instead. Simulated with 3 to 10
    seeds and 60 to 500 images, 92 to 99 % of the 95 % intervals held the truth (2 seeds: from 84).

    Args:
        correct: booleans [n], or [seeds, n] where row s says which images seed s got right.
        confidence: share of such intervals that hold the true accuracy, between 0 and 1.
        seed: of the resampling.

    Returns:
        Accuracy and its bounds, within 0..1. With one seed the interval is about images only.

    Example:
        >>> print(accuracy_interval([True] * 80 + [False] * 20))
        0.800 [0.712, 0.865]
    """
    right = _rows(correct, "correct")
    draws = _draws(right, {0: 2.0, 1: 2.0}, np.random.default_rng(seed))
    low, high = _bounds(draws, right.mean(), confidence)
    return Interval(float(right.mean()), max(low, 0.0), min(high, 1.0))


def mean_interval(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """Interval of a mean over seeds, by Student's t.

    Args:
        values: floats [seeds], one result per seed, in any unit.
        confidence: share of such intervals that hold the true mean, between 0 and 1.

    Returns:
        The mean and its bounds. From one value nothing can be said about spread: NaN bounds.

    Example:
        >>> print(mean_interval([0.80, 0.82, 0.84]))
        0.820 [0.770, 0.870]
    """
    from scipy.stats import t

    values = np.asarray(values, dtype=np.float64)
    _check_confidence(confidence)
    if values.ndim != 1 or not len(values):
        raise InputError(f"values has shape {values.shape}; one number per seed is needed")
    mean = float(values.mean())
    if len(values) == 1:
        return Interval(mean, nan, nan)
    half = t.ppf((1 + confidence) / 2, len(values) - 1) * values.std(ddof=1) / sqrt(len(values))
    return Interval(mean, mean - float(half), mean + float(half))


def paired_difference(
    correct_a: ArrayLike, correct_b: ArrayLike, confidence: float = 0.95, seed: int = 0
) -> PairedDifference:
    """How much more often A is right than B, where both were tested on the same images.

    Two models mostly fail on the same hard images; paired, what they share cancels out. Images and
    seeds enter as in `accuracy_interval`; the two made-up images are one on which they agree, half
    a one that only A gets right and half a one that only B does (Agresti & Min 2005). The p-value
    is of the same resamples (Efron & Tibshirani 1993; + 1 after Davison & Hinkley 1997).

    With one seed the interval and the p-value are about images only: they say which of these two
    trained models is better, not which strategy is.

    Args:
        correct_a: booleans [n] or [seeds, n]: which images A got right.
        correct_b: the same of B, same images and same seeds in the same order.
        confidence: share of such intervals that hold the true difference, between 0 and 1.
        seed: of the resampling.

    Raises:
        InputError: when the two do not have the same shape.

    Example:
        >>> print(paired_difference([True] * 80 + [False] * 20, [True] * 70 + [False] * 30))
        +0.100 [+0.039, +0.167], p < 0.001
    """
    rows_a, rows_b = _rows(correct_a, "correct_a"), _rows(correct_b, "correct_b")
    if rows_a.shape != rows_b.shape:
        raise InputError(
            f"correct_a is {rows_a.shape} and correct_b {rows_b.shape} (seeds, images); "
            "a paired difference needs the same seeds and the same images"
        )
    gain = rows_a - rows_b
    draws = _draws(gain, {-1: 0.5, 0: 1.0, 1: 0.5}, np.random.default_rng(seed))
    low, high = _bounds(draws, gain.mean(), confidence)
    tail = min(np.sum(draws <= 0), np.sum(draws >= 0))
    p_value = min(1.0, 2 * float(1 + tail) / (1 + len(draws)))
    return PairedDifference(
        float(gain.mean()), max(low, -1.0), min(high, 1.0), p_value, *gain.shape
    )


def _draws(rows: NDArray[Any], extra: dict[int, float], rng: np.random.Generator) -> NDArray[Any]:
    """What the mean of `rows` [seeds, n] might have been: with other images, with other seeds.

    `extra` is how many made-up images of each value are added before images are resampled.
    """
    seeds, images = rows.shape
    # Only an image's total over the seeds matters, so images of equal total are drawn together:
    # seeds + 1 groups in place of n images, and exactly the same distribution.
    totals, counts = np.unique(rows.sum(axis=0), return_counts=True)
    totals = np.concatenate([totals, [value * seeds for value in extra]])
    weights = np.concatenate([counts, list(extra.values())])
    size = round(weights.sum())
    drawn = rng.multinomial(size, weights / weights.sum(), size=RESAMPLES)
    draws = drawn @ totals / (size * seeds)
    if seeds == 1:
        return draws
    by_seed, by_image = rows.mean(axis=1), rows.mean(axis=0)
    noise = rows - by_seed[:, None] - by_image + rows.mean()
    noise_variance = np.sum(noise**2) / ((seeds - 1) * max(1, images - 1)) / images
    seed_variance = max(0.0, by_seed.var(ddof=1) - noise_variance)
    return draws + sqrt(seed_variance / seeds) * rng.standard_t(seeds - 1, size=RESAMPLES)


def _bounds(draws: NDArray[Any], value: float, confidence: float) -> tuple[float, float]:
    _check_confidence(confidence)
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(min(low, value)), float(max(high, value))


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise InputError(f"confidence is {confidence}; it must lie between 0 and 1, as 0.95 does")


def _rows(correct: ArrayLike, name: str) -> NDArray[np.int64]:
    rows = np.atleast_2d(np.asarray(correct))
    if rows.ndim != 2 or not rows.size or not np.isin(rows, (0, 1)).all():
        raise InputError(
            f"{name} has shape {np.shape(correct)}; booleans [images] or [seeds, images] are needed"
        )
    return rows.astype(np.int64)


def _roc_auc(labels: NDArray[Any], probabilities: NDArray[Any]) -> float:
    from sklearn.metrics import roc_auc_score

    present = np.unique(labels)
    if len(present) < 2:
        return nan
    return float(np.mean([roc_auc_score(labels == k, probabilities[:, k]) for k in present]))


def _checked(labels: ArrayLike, probabilities: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    labels, probabilities = np.asarray(labels), np.asarray(probabilities)
    if labels.ndim != 1 or not len(labels) or labels.dtype.kind not in "iu":
        raise InputError(f"labels has shape {labels.shape}, {labels.dtype}; give integers [n]")
    if probabilities.ndim != 2 or len(probabilities) != len(labels) or probabilities.shape[1] < 2:
        needed = f"[{len(labels)}, classes] with at least two classes"
        raise InputError(f"probabilities has shape {probabilities.shape}; {needed} is needed")
    if labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        allowed = f"0 to {probabilities.shape[1] - 1} is allowed, a column of probabilities each"
        raise InputError(f"labels run from {labels.min()} to {labels.max()}; {allowed}")
    if not np.isfinite(probabilities).all():
        raise InputError("probabilities are not finite: training diverged; lower the learning rate")
    sums = probabilities.sum(axis=1, dtype=np.float64)
    if probabilities.min() < 0 or np.abs(sums - 1).max() > 1e-2:
        raise InputError(
            f"probabilities has row sums from {sums.min():.3g} to {sums.max():.3g} and a least "
            f"value of {probabilities.min():.3g}; each row must be probabilities that sum to 1"
        )
    return labels, (probabilities / sums[:, None]).astype(np.result_type(probabilities, np.float32))

"""Figures of metrics: how far confidence can be trusted, and what a threshold costs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from tlkit.errors import InputError
from tlkit.figure_style import GREY, OKABE_ITO, axes_for, plain, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, RED = OKABE_ITO[:2]
MARKS = "osD^v"


def plot_reliability(
    labels: ArrayLike, probabilities: ArrayLike, *, bins: int = 10, ax: "Axes | None" = None
) -> "Axes":
    """Draw the reliability diagram: share of right predictions against confidence, bin by bin.

    The area of a dot grows with the number of predictions in its bin. Where confidence can be
    trusted the dots lie on the dotted line; below it the model claims too much (Guo et al. 2017).

    Args:
        labels: integers [n], positions of the true classes.
        probabilities: floats [n, classes], rows summing to 1.
        bins: number of bins between confidence 0 and 1.
        ax: axes to draw on; a new figure if None.

    Returns:
        The axes.

    Raises:
        InputError: shapes do not agree, or there is less than one bin.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = plot_reliability([0, 1], [[0.9, 0.1], [0.8, 0.2]], ax=Figure().subplots())
        >>> ax.get_xlabel()
        'confidence'
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities)
    if labels.ndim != 1 or probabilities.ndim != 2 or len(labels) != len(probabilities):
        raise InputError(
            f"labels has shape {labels.shape} and probabilities {probabilities.shape}; "
            "[n] and [n, classes] are needed"
        )
    if bins < 1:
        raise InputError(f"bins={bins}: at least 1 is needed")
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    # Bin k holds confidences in (k / bins, (k + 1) / bins], as in expected_calibration_error.
    position = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    number = np.bincount(position, minlength=bins)
    filled = number > 0
    claimed = np.bincount(position, weights=confidence, minlength=bins)[filled] / number[filled]
    share = np.bincount(position, weights=right, minlength=bins)[filled] / number[filled]
    ax = axes_for(ax, 4, 3.4)
    tidy(ax)
    low = min(0.5, 1 / probabilities.shape[1])
    ax.plot([low, 1], [low, 1], ":", color=GREY, linewidth=1.2)
    ax.vlines(claimed, share, claimed, color=RED, linewidth=1.5)
    ax.plot(claimed, share, color=BLUE, linewidth=1, alpha=0.5)
    ax.scatter(claimed, share, s=12 + 500 * number[filled] / len(labels), color=BLUE, zorder=3)
    ax.set(xlabel="confidence", ylabel="share that is right", xlim=(low, 1.03), ylim=(0, 1.05))
    return ax


def plot_cost(
    thresholds: ArrayLike,
    cost: ArrayLike,
    marks: Mapping[str, float] | None = None,
    *,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw cost against threshold, with named thresholds marked on the curve.

    Args:
        thresholds: floats [n], rising, 0 to 1.
        cost: floats [n] or [curves, n]: cost for an image; several curves, such as one a seed, are
            drawn thin, and their mean bold.
        marks: name -> threshold to mark on the (mean) curve, each with a marker of its own.
        ax: axes to draw on; a new figure if None.

    Returns:
        The axes.

    Raises:
        InputError: thresholds and cost do not have the same length.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = plot_cost([0, 0.5, 1], [0.5, 0.1, 0.4], {"best": 0.5}, ax=Figure().subplots())
        >>> [line.get_label() for line in ax.lines][-1]
        'best'
    """
    thresholds, curves = np.asarray(thresholds, dtype=np.float64), np.atleast_2d(cost)
    if thresholds.ndim != 1 or curves.ndim != 2 or curves.shape[1] != len(thresholds):
        raise InputError(
            f"cost has shape {np.shape(cost)} and thresholds {thresholds.shape}; "
            "a cost for each threshold is needed"
        )
    ax = axes_for(ax, 4, 3)
    tidy(ax)
    mean = curves.mean(axis=0)
    if len(curves) > 1:
        ax.plot(thresholds, curves.T, color="0.8", linewidth=0.8)
    ax.plot(thresholds, mean, color=BLUE, linewidth=1.8)
    for number, (name, threshold) in enumerate((marks or {}).items()):
        ax.plot(
            threshold,
            np.interp(threshold, thresholds, mean),
            MARKS[number % len(MARKS)],
            color=OKABE_ITO[1 + number % (len(OKABE_ITO) - 1)],
            markersize=max(6, 11 - 4 * number),  # marks in one place stay visible
            markeredgecolor="white",
            label=plain(name),
        )
    ax.set(xlabel="threshold", ylabel="cost per scan", ylim=(0, None))
    return ax

"""Figures of augmentation: copies of images in rows, and differences with their intervals."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tlkit.errors import InputError
from tlkit.evaluation import Interval
from tlkit.figure_style import GREY, OKABE_ITO, axes_for, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GAP = 2  # white pixels between two images


def plot_copies(
    rows: Mapping[str, np.ndarray],
    columns: Sequence[str] = (),
    *,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw rows of images as one picture, a name beside each row.

    Args:
        rows: name -> pixel values 0 to 255, [n, h, w, 3]; n, h and w are the same in every row.
        columns: one name an image of a row, or none.
        ax: axes to draw on; a new figure if None.

    Returns:
        The axes.

    Raises:
        InputError: there are no rows, their shapes differ, or `columns` has another length.

    Example:
        >>> from matplotlib.figure import Figure
        >>> copies = {"flip": np.zeros((4, 8, 8, 3)), "noise": np.ones((4, 8, 8, 3))}
        >>> ax = plot_copies(copies, ax=Figure().subplots())
        >>> [label.get_text() for label in ax.get_yticklabels()]
        ['flip', 'noise']
    """
    shapes = {name: np.shape(images) for name, images in rows.items()}
    if len(set(shapes.values())) != 1 or len(next(iter(shapes.values()))) != 4:
        raise InputError(f"rows has shapes {shapes}; the same [n, h, w, 3] is needed in each")
    count, height, width, _ = next(iter(shapes.values()))
    if len(columns) not in (0, count):
        raise InputError(f"columns has {len(columns)} names for {count} images a row")
    sheet = np.full((len(rows) * (height + GAP) - GAP, count * (width + GAP) - GAP, 3), 255)
    for row, images in enumerate(rows.values()):
        for column, image in enumerate(np.clip(np.rint(images), 0, 255)):
            top, left = row * (height + GAP), column * (width + GAP)
            sheet[top : top + height, left : left + width] = image
    ax = axes_for(ax, 0.58 * count + 1.2, 0.58 * len(rows) * height / width + 0.4)
    ax.imshow(sheet.astype(np.uint8), interpolation="none")
    middles = (height + GAP) * np.arange(len(rows)) + (height - 1) / 2
    ax.set_yticks(middles, list(rows), fontsize=9)
    middles = (width + GAP) * np.arange(len(columns)) + (width - 1) / 2
    ax.set_xticks(middles, list(columns), fontsize=9)
    ax.tick_params(length=0, labeltop=True, labelbottom=False)
    ax.spines[:].set_visible(False)
    return ax


def plot_intervals(
    intervals: Mapping[str, Interval],
    *,
    colours: Mapping[str, str] | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw a dot and its interval for each name, from top to bottom, beside a line at zero.

    Args:
        intervals: name -> value with its bounds, all in one unit.
        colours: name -> colour; the first of `OKABE_ITO` where a name is missing.
        ax: axes to draw on; a new figure if None. The label of its x axis is left to the caller.

    Returns:
        The axes.

    Raises:
        InputError: there are no intervals.

    Example:
        >>> from matplotlib.figure import Figure
        >>> found = {"flip": Interval(-3.0, -4.0, -2.0), "noise": Interval(1.0, 0.5, 1.5)}
        >>> ax = plot_intervals(found, ax=Figure().subplots())
        >>> [label.get_text() for label in ax.get_yticklabels()]
        ['flip', 'noise']
    """
    if not intervals:
        raise InputError("intervals is empty; at least one is needed")
    ax = axes_for(ax, 4.6, 0.28 * len(intervals) + 0.8)
    tidy(ax, grid="x")
    ax.axvline(0, color=GREY, linewidth=1)
    for row, (name, interval) in enumerate(intervals.items()):
        colour = (colours or {}).get(name, OKABE_ITO[0])
        ax.plot([interval.low, interval.high], [row, row], color=colour, linewidth=2.2)
        ax.plot(interval.value, row, "o", color=colour, markersize=5)
    ax.set_yticks(range(len(intervals)), list(intervals))
    ax.margins(x=0.08)
    ax.set_ylim(len(intervals) - 0.4, -0.6)
    return ax

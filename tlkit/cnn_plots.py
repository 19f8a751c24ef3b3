"""Figures of lesson 04: a convolution step by step, and curves of means over seeds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tlkit.errors import InputError
from tlkit.evaluation import mean_interval
from tlkit.figure_style import OKABE_ITO, axes_for, figure_for, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = ("image, window", "pixels", "kernel", "pixels × kernel", "sum = output pixel")


def plot_convolution_steps(
    image: np.ndarray,
    kernel: np.ndarray,
    positions: Sequence[tuple[int, int]],
    *,
    figure: "Figure | None" = None,
) -> "Figure":
    """Draw a kernel on its way over an image, one row a step.

    A row shows the image with the window, the window's pixels, the kernel, the product of both
    pixel by pixel, and the output as far as it has been computed, row by row from the top left;
    the pixel just computed, the sum of the products, is framed. Red is above zero, blue below.

    Args:
        image: grey values, [height, width].
        kernel: [rows, columns], at most 5 x 5: its numbers are written.
        positions: (row, column) of the window's upper left pixel, one a step, in the order in which
            the kernel gets there.
        figure: empty figure to draw on, resized; a new one if None.

    Returns:
        The figure.

    Raises:
        InputError: a shape does not fit, or a window would leave the image.

    Example:
        >>> from matplotlib.figure import Figure
        >>> steps = plot_convolution_steps(np.eye(8), np.ones((3, 3)), [(0, 0), (5, 5)],
        ...                                figure=Figure())
        >>> len(steps.axes)
        10
    """
    image, kernel = np.asarray(image, np.float64), np.asarray(kernel, np.float64)
    if image.ndim != 2 or kernel.ndim != 2 or max(kernel.shape) > 5 or not len(positions):
        raise InputError(
            f"image has shape {image.shape}, kernel {kernel.shape}, positions {len(positions)} "
            "entries: [height, width], [rows, columns] up to 5 x 5 and at least one are needed"
        )
    windows = np.lib.stride_tricks.sliding_window_view(image, kernel.shape)
    output = (windows * kernel).sum(axis=(2, 3))
    if any(not (0 <= r < len(output) and 0 <= c < output.shape[1]) for r, c in positions):
        raise InputError(f"positions={list(positions)}: a window leaves the image {image.shape}")
    tall = 10 * 0.26 * image.shape[0] / image.shape[1]
    figure = figure_for(figure, 10, (max(tall, 1.35) + 0.1) * len(positions) + 0.3)
    grid = figure.subplots(len(positions), 5, squeeze=False, width_ratios=(1.7, 1, 1, 1, 1.7))
    limits = {"vmin": -np.abs(output).max(), "vmax": np.abs(output).max()}
    for row, (top, left) in zip(grid, positions, strict=True):
        window = windows[top, left]
        row[0].imshow(image, cmap="gray")
        _frame(row[0], left, top, kernel.shape)
        _numbers(row[1], window, "gray", image.min(), image.max())
        _numbers(row[2], kernel, "RdBu_r", -np.abs(kernel).max(), np.abs(kernel).max())
        _numbers(row[3], window * kernel, "RdBu_r", **limits)
        known = np.arange(output.size).reshape(output.shape) <= top * output.shape[1] + left
        row[4].imshow(np.where(known, output, np.nan), cmap="RdBu_r", **limits)
        row[4].set_facecolor("#E9E9E9")
        _frame(row[4], left, top, (1, 1), f"{output[top, left]:.0f}")
    for ax, title in zip(grid[0], PANELS, strict=True):
        ax.set_title(title, fontsize=9)
    for ax in grid.flat:
        ax.set(xticks=[], yticks=[])
    return figure


def _numbers(ax: "Axes", values: np.ndarray, colours: str, vmin: float, vmax: float) -> None:
    """Draw a small array as coloured squares with its numbers."""
    shown = ax.imshow(values, cmap=colours, vmin=vmin, vmax=vmax)
    for (row, column), value in np.ndenumerate(values):
        red, green, blue, _ = shown.to_rgba(value)
        dark = 0.3 * red + 0.6 * green + 0.1 * blue < 0.5
        text = f"{value:.0f}" if abs(value) >= 1 or not value else f"{value:.1f}"
        colour = "white" if dark else "black"
        ax.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)


def _frame(ax: "Axes", left: int, top: int, shape: tuple[int, ...], text: str = "") -> None:
    """Frame some pixels, and write a number beside them."""
    from matplotlib.patches import Rectangle

    corner = (left - 0.5, top - 0.5)
    ax.add_patch(Rectangle(corner, shape[1], shape[0], fill=False, ec=OKABE_ITO[1], lw=2))
    if text:
        low, high = sorted(ax.get_xlim())
        right = left > (low + high) / 2
        ax.annotate(text, (left, top), (-8 if right else 8, 0), textcoords="offset points",
                    ha="right" if right else "left", va="center", fontsize=9,
                    bbox={"fc": "white", "ec": OKABE_ITO[1], "pad": 1.5})  # fmt: skip


def plot_mean_curve(
    table: pd.DataFrame,
    x: str,
    y: str,
    *,
    colour: str = OKABE_ITO[0],
    style: str = "o-",
    label: str | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw the mean of a column over seeds against another column, and its 95 % interval.

    Args:
        table: one row a run.
        x: column for the horizontal axis.
        y: column of which the mean is drawn.
        colour: of line and band.
        style: marker and line, as matplotlib writes them.
        label: for a legend.
        ax: axes to draw on; a new figure if None.

    Returns:
        The axes.

    Raises:
        InputError: the table lacks a column or has no row.

    Example:
        >>> from matplotlib.figure import Figure
        >>> runs = pd.DataFrame({"rate": [0, 0, 1, 1], "gap": [0.2, 0.4, 0.1, 0.1]})
        >>> ax = plot_mean_curve(runs, "rate", "gap", ax=Figure().subplots())
        >>> ax.lines[0].get_ydata().round(1)
        array([0.3, 0.1])
    """
    missing = {x, y} - set(table.columns)
    if missing or table.empty:
        raise InputError(
            f"table has {len(table)} rows and the columns {', '.join(table.columns)}; at least one "
            f"row with {x} and {y} is needed"
        )
    ax = axes_for(ax, 5, 3.2)
    tidy(ax)
    found = {place: mean_interval(values) for place, values in table.groupby(x)[y]}
    places = list(found)
    ax.plot(
        places, [i.value for i in found.values()], style, color=colour, ms=4, lw=1.6, label=label
    )
    lows, highs = ([getattr(i, side) for i in found.values()] for side in ("low", "high"))
    ax.fill_between(places, lows, highs, color=colour, alpha=0.15, linewidth=0)
    return ax

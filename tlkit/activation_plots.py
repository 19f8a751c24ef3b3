"""Figures of lesson 01: an activation with its slope, regions of decision, grids of numbers."""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from tlkit.errors import InputError
from tlkit.figure_style import GREY, OKABE_ITO, axes_for, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FLAT = 0.05  # a slope of at most this size counts as flat


def flat_zones(x: ArrayLike, slope: ArrayLike, limit: float = FLAT) -> list[tuple[float, float]]:
    """Find the stretches of x, at least two neighbours long, on which |slope| <= limit.

    Example:
        >>> flat_zones([-2, -1, 0, 1, 2], [0, 0.01, 1, 1, 0])
        [(-2.0, -1.0)]
    """
    x, flat = np.asarray(x, float), np.abs(np.asarray(slope)) <= limit
    if x.shape != flat.shape or x.ndim != 1:
        raise InputError(f"x {list(x.shape)} and slope {list(flat.shape)}: give two equal lists")
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flat, [False]]).astype(int)))
    pairs = zip(edges[::2], edges[1::2] - 1, strict=True)
    return [(float(x[first]), float(x[last])) for first, last in pairs if last > first]


def plot_activation(
    function: Callable[[NDArray[Any]], tuple[Any, Any]],
    name: str = "",
    *,
    limits: tuple[float, float] = (-6, 6),
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw an activation (solid) and its slope (dashed); where it is flat, the ground is grey.

    Args:
        function: x -> value and slope, as in `tlkit.numpy_net`.
        name: title.
        limits: smallest and largest x.
        ax: where to draw; a new figure if None.

    Returns:
        The axes.
    """
    ax = axes_for(ax, 3.2, 2.6)
    x = np.linspace(*limits, 1201)
    value, slope = function(x)
    for left, right in flat_zones(x, slope):
        ax.axvspan(left, right, color="#E4E4E4", linewidth=0, zorder=0)
    ax.plot(x, value, color=OKABE_ITO[0], linewidth=2, label="value $f(z)$")
    ax.plot(x, slope, "--", color=OKABE_ITO[1], linewidth=1.6, label="slope $f\\,'(z)$")
    tidy(ax)
    ax.set(title=name, xlabel="sum $z$", xlim=limits, ylim=(-1.3, 2.3))
    return ax


def plot_regions(
    decide: Callable[[NDArray[Any]], ArrayLike],
    points: ArrayLike,
    labels: ArrayLike,
    *,
    steps: int = 120,
    ax: "Axes | None" = None,
) -> "Axes":
    """Colour the plane by what a classifier says, two classes, and lay the points over it.

    Args:
        decide: points [n, 2] -> one number each, class 1 where it is above 0.
        points: floats [n, 2], of any unit.
        labels: 0 or 1 for each of them.
        steps: of the grid along each side.
        ax: where to draw; a new figure if None.

    Returns:
        The axes.
    """
    ax = axes_for(ax, 3.2, 3.2)
    points, labels = np.asarray(points, float), np.asarray(labels)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) != len(labels):
        raise InputError(f"points has shape {list(points.shape)}: must be [{len(labels)}, 2]")
    side = np.linspace(-1, 1, steps) * np.abs(points).max() * 1.08
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    said = np.asarray(decide(grid)).reshape(steps, steps) > 0
    ax.contourf(
        side, side, said.astype(float), levels=[-0.5, 0.5, 1.5], colors=["#CFE3F1", "#F8DCC8"]
    )
    for label, (colour, marker) in enumerate(zip(OKABE_ITO, "o^", strict=False)):
        chosen = points[labels == label]
        ax.plot(*chosen.T, marker, color=colour, markersize=2.5)
    ax.set(xlabel="first input", ylabel="second input", aspect="equal")
    ax.tick_params(labelsize=9)
    return ax


def plot_grid(
    table: pd.DataFrame,
    *,
    limits: tuple[float, float],
    colours: str = "cividis",
    form: str = ".2f",
    missing: str = "–",
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw a table of numbers as coloured cells, each with its number.

    Args:
        table: rows down, columns across; NaN where there is no number.
        limits: numbers at the two ends of the colours; beyond them the colour stays.
        colours: name of a matplotlib colour map.
        form: format of the numbers.
        missing: what to write in the place of NaN.
        ax: where to draw; a new figure if None.

    Returns:
        The axes, labelled with the names of the table's index and columns.
    """
    from matplotlib import colormaps
    from matplotlib.colors import Normalize

    ax = axes_for(ax, 0.62 * table.shape[1] + 1.2, 0.4 * table.shape[0] + 1)
    values = table.to_numpy(float)
    shades = colormaps[colours](Normalize(*limits, clip=True)(np.nan_to_num(values)))
    shades[np.isnan(values)] = (0.93, 0.93, 0.93, 1)
    # Cells of a mesh stay sharp at any size, and cost a few bytes in a picture.
    ax.pcolormesh(shades, edgecolors="white", linewidth=1)
    for (row, column), value in np.ndenumerate(values):
        dark = shades[row, column, :3] @ (0.299, 0.587, 0.114) < 0.5
        text = missing if np.isnan(value) else format(value, form).replace("-", "−")
        middle = (column + 0.5, row + 0.5)
        ax.text(*middle, text, ha="center", va="center", fontsize=8, color="w" if dark else "k")
    for set_ticks, names in ((ax.set_xticks, table.columns), (ax.set_yticks, table.index)):
        places = np.arange(len(names)) + 0.5
        set_ticks(places, [re.sub(r"^-(?=\d)", "−", str(name)) for name in names])
    ax.set(xlabel=table.columns.name, ylabel=table.index.name)
    ax.set_ylim(table.shape[0], 0)
    ax.tick_params(length=0, labelsize=9)
    ax.spines[:].set_visible(False)
    return ax


def plot_by_layer(
    norms: dict[str, ArrayLike], *, colours: Sequence[str] = OKABE_ITO, ax: "Axes | None" = None
) -> "Axes":
    """Draw norms by layer, 1 next to the input, on a logarithmic scale.

    Args:
        norms: by name, floats [seeds, layers] above 0: a line through their geometric means, on a
            band from the smallest to the largest.
        colours: one for each name.
        ax: where to draw; a new figure if None.

    Returns:
        The axes.
    """
    ax = axes_for(ax, 3.2, 2.6)
    for (name, values), colour in zip(norms.items(), colours, strict=False):
        rows = np.atleast_2d(np.asarray(values, float))
        layers = np.arange(1, rows.shape[1] + 1)
        ax.fill_between(layers, rows.min(axis=0), rows.max(axis=0), color=colour, alpha=0.2, lw=0)
        means = np.exp(np.log(rows).mean(axis=0))
        ax.plot(layers, means, color=colour, linewidth=1.8, label=name)
    ax.set_yscale("log")
    tidy(ax)
    ax.set(xlabel="layer (1 is next to the input)")
    return ax


def plot_depths(
    table: pd.DataFrame, *, column: str, colour: str = OKABE_ITO[0], ax: "Axes | None" = None
) -> "Axes":
    """Draw accuracy by depth: a dot for each seed, a line through the means.

    Args:
        table: columns depth and `column`, one row a run.
        column: what to draw.
        colour: of dots and line.
        ax: where to draw; a new figure if None.

    Returns:
        The axes.
    """
    if not {"depth", column} <= set(table):
        raise InputError(f"table has the columns {list(table)}: depth and {column} are needed")
    ax = axes_for(ax, 3.2, 2.6)
    means = table.groupby("depth")[column].mean()
    places = {depth: place for place, depth in enumerate(means.index)}
    ax.plot(table["depth"].map(places), table[column], "o", color=GREY, markersize=2.5, alpha=0.5)
    ax.plot(range(len(means)), means, "-o", color=colour, markersize=4, linewidth=1.8)
    ax.set_xticks(range(len(means)), [str(depth) for depth in means.index])
    tidy(ax)
    return ax

"""Figures of lesson 05: windows on their way, pooled images, consistency under shifts."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tlkit.errors import InputError
from tlkit.evaluation import mean_interval
from tlkit.figure_style import GREY, OKABE_ITO, axes_for, figure_for, plain, tidy
from tlkit.numpy_layers import output_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE = OKABE_ITO[:2]


def plot_windows(
    side: int, kernel: int, stride: int, padding: str = "valid", *, ax: "Axes | None" = None
) -> "Axes":
    """Draw one row of pixels and, above it, a bar for each window that pooling puts on it.

    Pixels that no window sees are orange; places beyond the image, which "same" adds, are dashed.

    Args:
        side: of the image in pixels.
        kernel: side of the window in pixels.
        stride: its step in pixels.
        padding: "valid" or "same"; see `tlkit.numpy_net.output_size`.
        ax: axes to draw on; a new figure if None.

    Returns:
        The axes, with both sizes in the title.

    Raises:
        InputError: an argument is not one of the above, or no window fits.

    Example:
        >>> from matplotlib.figure import Figure
        >>> plot_windows(7, 2, 2, ax=Figure().subplots()).get_title()
        '7 pixels → 3 values'
    """
    count = output_size(side, kernel, stride, padding)
    missing = max((count - 1) * stride + kernel - side, 0) if padding == "same" else 0
    starts = np.arange(count) * stride - missing // 2
    seen = {int(pixel) for start in starts for pixel in range(start, start + kernel)}
    ax = axes_for(ax, 7, 1.9)
    for pixel in range(min(0, int(starts[0])), max(side, int(starts[-1]) + kernel)):
        inside = 0 <= pixel < side
        colour = "#DDDDDD" if pixel in seen else ORANGE
        ax.add_patch(_box(pixel, 0, 1, colour if inside else "white", "-" if inside else ":"))
    levels = min(-(-kernel // stride), count)
    for number, start in enumerate(starts):
        ax.add_patch(_box(int(start), 1.25 + 0.6 * (number % levels), kernel, BLUE, "-", 0.45))
    ax.set_xlim(min(0, int(starts[0])) - 0.2, max(side, int(starts[-1]) + kernel) + 0.2)
    ax.set_ylim(-0.1, 1.4 + 0.6 * levels)
    ax.set_yticks([0.5, 1.45 + 0.3 * (levels - 1)], ["pixels", "windows"])
    ax.set_xticks(np.arange(side) + 0.5, [str(pixel) for pixel in range(side)], fontsize=8)
    ax.set_xlabel("pixel of a row")
    ax.set_title(f"{side} pixels → {count} value{'s' * (count > 1)}", fontsize=11)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def _box(x: float, y: float, width: float, colour: str, style: str, height: float = 1.0):
    from matplotlib.patches import Rectangle

    return Rectangle((x + 0.05, y), width - 0.1, height, facecolor=colour, edgecolor=GREY,
                     linewidth=0.8, linestyle=style)  # fmt: skip


def plot_panels(
    maps: Mapping[str, np.ndarray],
    *,
    columns: int = 5,
    limits: tuple[float, float] | None = (0.0, 1.0),
    figure: "Figure | None" = None,
) -> "Figure":
    """Draw grey images of any sizes side by side, each as large as the others.

    Args:
        maps: title -> values [rows, columns]; a title gets the number of pixels below it.
        columns: panels side by side.
        limits: values drawn black and white in every panel; each panel's own extremes if None.
        figure: empty figure to draw on, resized; a new one if None.

    Returns:
        The figure.

    Raises:
        InputError: `maps` is empty or holds something else.

    Example:
        >>> from matplotlib.figure import Figure
        >>> len(plot_panels({"a": np.eye(4), "b": np.eye(2)}, figure=Figure()).axes)
        2
    """
    if not maps or any(np.ndim(values) != 2 for values in maps.values()):
        raise InputError("maps: give at least one panel, each of shape [rows, columns]")
    columns = min(columns, len(maps))
    rows = -(-len(maps) // columns)
    figure = figure_for(figure, 1.75 * columns, 2.15 * rows)
    low, high = limits or (None, None)
    for number, (title, values) in enumerate(maps.items(), start=1):
        ax = figure.add_subplot(rows, columns, number)
        ax.imshow(values, cmap="gray", vmin=low, vmax=high, interpolation="none")
        size = " × ".join(str(side) for side in np.shape(values))
        ax.set_title(f"{title}\n{size}", fontsize=9)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_color("#999999")
    return figure


def plot_consistency(
    table: pd.DataFrame, *, by: str = "pooling", figure: "Figure | None" = None
) -> "Figure":
    """Draw, for each kind, how often a prediction stays the same when the image moves.

    Args:
        table: one row a run and shift, with columns `shift` in pixels, `same` in 0..1, `seed`,
            `head` and `by`.
        by: column whose values each get a panel; each of its heads gets a line, named in the
            first panel; thin lines are single seeds.
        figure: empty figure to draw on, resized; a new one if None.

    Returns:
        The figure.

    Example:
        >>> from matplotlib.figure import Figure
        >>> rows = [("max", "flatten", 0, shift, 1 - shift / 10) for shift in range(3)]
        >>> runs = pd.DataFrame(rows, columns=["pooling", "head", "seed", "shift", "same"])
        >>> plot_consistency(runs, figure=Figure()).axes[0].get_title()
        'max'
    """
    missing = {"shift", "same", "seed", "head", by} - set(table)
    if missing or table.empty:
        raise InputError(f"table lacks rows or the columns {', '.join(sorted(missing)) or '-'}")
    kinds, heads = list(dict.fromkeys(table[by])), list(dict.fromkeys(table["head"]))
    figure = figure_for(figure, max(1.9 * len(kinds), 3), 2.8)
    grid = figure.subplots(1, len(kinds), sharex=True, sharey=True, squeeze=False)[0]
    for ax, kind in zip(grid, kinds, strict=True):
        tidy(ax)
        for head, colour in zip(heads, OKABE_ITO, strict=False):
            rows = table[(table[by] == kind) & (table["head"] == head)]
            for _, run in rows.groupby("seed"):
                ax.plot(run["shift"], run["same"], color=colour, alpha=0.25, linewidth=0.8)
            mean = rows.groupby("shift")["same"].mean()
            ax.plot(mean.index, mean, "o-", color=colour, ms=3.5, linewidth=1.8)
        ax.set_title(plain(kind), fontsize=10)
        ax.set_xlabel("shift (pixels)", fontsize=9)
        ax.xaxis.get_major_locator().set_params(integer=True)
    grid[0].set_ylabel("same prediction (share)", fontsize=9)
    _name_heads(grid[0], heads)
    return figure


def _name_heads(ax: "Axes", heads: list[str]) -> None:
    from matplotlib.lines import Line2D

    lines = [
        Line2D([], [], color=colour, marker="o", ms=3.5, label=plain(head))
        for head, colour in zip(heads, OKABE_ITO, strict=False)
    ]
    ax.figure.legend(handles=lines, loc="outside lower center", ncols=len(lines), frameon=False,
                     fontsize=9)  # fmt: skip


def plot_groups(
    table: pd.DataFrame,
    value: str,
    *,
    by: str,
    label: str,
    scale: float = 1.0,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw a row a group: every seed as a dot, the mean with its 95 % interval over seeds.

    Args:
        table: one row a run, with the columns `value` and `by`.
        value: column to draw.
        by: column whose values each get a row, in the order in which they come.
        label: of the horizontal axis, with the unit.
        scale: factor on the values, such as 100 for points.
        ax: axes to draw on; a new figure if None.

    Returns:
        The axes.

    Example:
        >>> from matplotlib.figure import Figure
        >>> runs = pd.DataFrame({"head": ["a", "a", "b", "b"], "gap": [0.1, 0.2, 0.3, 0.4]})
        >>> ax = plot_groups(runs, "gap", by="head", label="gap", ax=Figure().subplots())
        >>> [text.get_text() for text in ax.get_yticklabels()]
        ['a', 'b']
    """
    for column in (value, by):
        if column not in table or table.empty:
            raise InputError(f"table has no rows with {column!r}; it has {', '.join(table)}")
    names = list(dict.fromkeys(table[by]))
    ax = axes_for(ax, 5, 0.9 + 0.3 * len(names))
    tidy(ax, grid="x")
    for row, name in enumerate(names):
        values = scale * table.loc[table[by] == name, value].to_numpy(float)
        found = mean_interval(values)
        ax.plot(values, np.full(len(values), row), "o", ms=4, mfc="white", mec=GREY, zorder=2)
        ax.plot([found.low, found.high], [row, row], color=BLUE, linewidth=2.6, zorder=3)
        ax.plot(found.value, row, "o", ms=7, mfc=BLUE, mec="white", zorder=4)
    ax.set_yticks(range(len(names)), [plain(name) for name in names])
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(label, fontsize=9)
    return ax

"""Figures of runs: how accurate, at what cost, and what was trained; the door to all figures.

Every function takes the axes (or, for several panels, the figure) to draw on, makes its own if
none is given, and returns it; none calls `plt.show()`. Curves are drawn in `curve_plots`, images
and mistakes in `image_plots`; both can be had from here.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tlkit.curve_plots import plot_label_curve, plot_learning_curves
from tlkit.errors import InputError
from tlkit.evaluation import Interval, mean_interval
from tlkit.figure_style import (
    GREY,
    MARKERS,
    UNITS,
    axes_for,
    colours_for,
    finished_runs,
    in_order,
    label_margin,
    plain,
    tidy,
)
from tlkit.image_plots import plot_confusion, plot_images, plot_wrong

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "plot_accuracy",
    "plot_confusion",
    "plot_cost",
    "plot_images",
    "plot_label_curve",
    "plot_learning_curves",
    "plot_trained_stages",
    "plot_wrong",
]


def plot_accuracy(
    table: pd.DataFrame,
    *,
    metric: str = "test_accuracy",
    by: str = "strategy",
    intervals: Mapping[tuple[str, str], Interval] | None = None,
    chance: float | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw every seed as a dot, and each group's mean with its 95 % interval.

    Args:
        table: one row a run, as `Comparison.table`: columns `strategy`, `backbone` and `metric`.
        metric: column to draw.
        by: "strategy" or "backbone": what the rows are; the other one, where the table has
            several, groups them.
        intervals: (backbone, strategy) -> interval to draw in place of Student's t over seeds.
        chance: where to draw a dotted line: what guessing would score.
        ax: axes to draw on; a figure as high as the rows need if None.

    Returns:
        The axes.

    Example:
        >>> from matplotlib.figure import Figure
        >>> runs = pd.DataFrame({"strategy": ["full", "full"], "test_accuracy": [0.7, 0.8]})
        >>> plot_accuracy(runs, ax=Figure().subplots()).get_xlabel()
        'test accuracy (share of images)'
    """
    table = finished_runs(table, [metric, by])
    other = "backbone" if by == "strategy" else "strategy"
    groups = in_order(table[other]) if other in table else [""]
    colours = colours_for(in_order(table[by]))
    rows: list[tuple[str, pd.DataFrame | None]] = []
    for group in groups:
        part = table[table[other] == group] if other in table else table
        if len(groups) > 1:
            rows.append((group, None))
        rows += [(name, part[part[by] == name]) for name in in_order(part[by])]
    ax = axes_for(ax, 6.4, 0.9 + 0.27 * len(rows))
    tidy(ax, grid="x")
    for y, (name, part) in enumerate(rows):
        if part is None:
            continue
        values = part[metric].to_numpy(dtype=float)
        pair = (str(part.get("backbone", pd.Series([""])).iloc[0]), str(part["strategy"].iloc[0]))
        interval = (intervals or {}).get(pair) or mean_interval(values)
        colour = colours[name]
        ax.plot([interval.low, interval.high], [y, y], color=colour, linewidth=2.6, zorder=2)
        ax.plot(values, np.full(len(values), y), "o", ms=4, mfc="white", mec=colour, zorder=3)
        ax.plot(interval.value, y, "o", ms=7.5, mfc=colour, mec="white", zorder=4)
        ax.text(1.02, y, f"{interval.value:.3f}", transform=ax.get_yaxis_transform(),
                va="center", fontsize=9)  # fmt: skip
    if chance is not None:
        ax.axvline(chance, color=GREY, linestyle=":", linewidth=1.2, zorder=1)
        ax.annotate("guessing", (chance, 1), xycoords=("data", "axes fraction"), fontsize=8,
                    color=GREY, ha="center", va="bottom")  # fmt: skip
    ax.set_yticks(range(len(rows)), [plain(name) for name, _ in rows])
    for tick, (_, part) in zip(ax.get_yticklabels(), rows, strict=True):
        tick.set_fontweight("bold" if part is None else "normal")
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(UNITS.get(metric, metric))
    ax.set_ylabel(by if len(groups) == 1 else f"{by}, grouped by {other}")
    return ax


def plot_cost(
    table: pd.DataFrame,
    *,
    x: str = "seconds",
    metric: str = "test_accuracy",
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw what accuracy costs: one named point a configuration, the mean over its seeds.

    A grey line joins the configurations worth their cost: none is both cheaper and better.

    Args:
        table: one row a run, with the columns `strategy`, `x`, `metric` and perhaps `backbone`.
        x: column of the cost, above 0; drawn on a logarithmic axis.
        metric: column of what is bought.
        ax: axes to draw on; a figure as high as the names need if None.

    Returns:
        The axes.
    """
    table = finished_runs(table, [x, metric, "strategy"])
    if "backbone" not in table:
        table = table.assign(backbone="")
    points = table.groupby(["backbone", "strategy"], sort=False)[[x, metric]].mean().reset_index()
    backbones = list(dict.fromkeys(points["backbone"]))
    palette = colours_for(in_order(points["strategy"]))
    colours = [palette[name] for name in points["strategy"]]
    markers = [MARKERS[backbones.index(name) % len(MARKERS)] for name in points["backbone"]]
    ax = axes_for(ax, 6.4, max(3.6, 1 + 0.17 * len(points)))
    tidy(ax)
    ax.set_xscale("log")
    front = points.sort_values([x, metric], ascending=[True, False])
    front = front[front[metric] > front[metric].cummax().shift(fill_value=-np.inf)]
    ax.plot(front[x], front[metric], color="#C8C8C8", linewidth=1.4, zorder=1)
    costs, gains = points[x].to_list(), points[metric].to_list()
    for cost, gain, colour, marker in zip(costs, gains, colours, markers, strict=True):
        ax.plot(cost, gain, marker, ms=7.5, mec="white", color=colour, zorder=3)
    ax.margins(x=0.08, y=0.12)
    _plain_log_ticks(ax)
    ax.set_xlabel(f"{UNITS.get(x, x)}, logarithmic")
    ax.set_ylabel(UNITS.get(metric, metric))
    ax.label_outer()
    several = len(backbones) > 1
    texts = [
        plain(f"{strategy} · {backbone}" if several else strategy, 38)
        for strategy, backbone in zip(points["strategy"], points["backbone"], strict=True)
    ]
    label_margin(ax, costs, gains, texts, colours, markers, size=8.5)
    return ax


def plot_trained_stages(
    tables: "Mapping[str, pd.DataFrame | Sequence[Mapping[str, Any]]]", *, ax: "Axes | None" = None
) -> "Axes":
    """Draw which stages each strategy trains: a row a strategy, a column a stage.

    Args:
        tables: strategy -> its `trainable_report` or `Record.trainable_table`: rows with `stage`,
            `parameters` and `trainable` (how many of them are trained).
        ax: axes to draw on; a new figure if None.

    Returns:
        The axes.
    """
    if not tables:
        raise InputError("tables is empty; at least one strategy is needed")
    frames = {name: pd.DataFrame(tables[name]).set_index("stage") for name in in_order(tables)}
    stages = list(dict.fromkeys(stage for frame in frames.values() for stage in frame.index))
    ax = axes_for(ax, 6.4, 1.0 + 0.34 * len(frames))
    for y, (name, frame) in enumerate(frames.items()):
        colour = colours_for([name])[name]
        for x, stage in enumerate(stages):
            total, trained = (
                float(frame[column].get(stage, 0)) for column in ("parameters", "trainable")
            )
            box = (x - 0.46, y - 0.4), 0.92, 0.8
            ax.add_patch(_cell(*box, colour if trained else "#EDEDED"))
            share = trained / total if total else 0.0
            text = f"{share:.0%}" if trained else "frozen"
            ax.text(x, y, text, ha="center", va="center", fontsize=8.5,
                    color=_readable_on(colour) if trained else GREY)  # fmt: skip
    ax.set_xlim(-0.55, len(stages) - 0.45)
    ax.set_ylim(len(frames) - 0.45, -0.55)
    ax.set_xticks(range(len(stages)), [plain(stage, 14) for stage in stages])
    ax.set_yticks(range(len(frames)), [plain(name) for name in frames])
    ax.tick_params(length=0, labelsize=9)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("stage, from image to head (share trained)")
    ax.set_ylabel("strategy")
    return ax


def _cell(corner: tuple[float, float], width: float, height: float, colour: str):
    from matplotlib.patches import Rectangle

    return Rectangle(corner, width, height, facecolor=colour, linewidth=0)


def _readable_on(colour: str) -> str:
    """Black or white, whichever stands out more on `colour`."""
    from matplotlib.colors import to_rgb

    red, green, blue = to_rgb(colour)
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"


def _plain_log_ticks(ax: "Axes") -> None:
    """Write 20, 300, 5 k, 2 M on a logarithmic axis, and at least two of them."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = ax.get_xlim()
    decades = np.log10(high / low)
    steps: tuple[float, ...] = (
        (1.0,) if decades > 3 else (1.0, 3.0) if decades > 1.2 else (1.0, 2.0, 5.0)
    )
    if decades < 0.5:
        steps = tuple(float(step) for step in range(1, 10))
    ax.xaxis.set_major_locator(LogLocator(subs=steps))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    ax.xaxis.set_minor_formatter(NullFormatter())


def _short(value: float) -> str:
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"

"""Figures of curves: accuracy by epoch, and accuracy by the number of labels."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tlkit.errors import InputError
from tlkit.evaluation import mean_interval
from tlkit.figure_style import (
    GREY,
    UNITS,
    axes_for,
    colours_for,
    figure_for,
    finished_runs,
    in_order,
    label_margin,
    plain,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tlkit.runs import Record


def plot_learning_curves(
    records: "Sequence[Record]", *, columns: int = 4, figure: "Figure | None" = None
) -> "Figure":
    """Draw accuracy by epoch, one panel a strategy (and backbone), one thin line a seed.

    Args:
        records: runs, as `Comparison.records` or what `fit` returned.
        columns: panels side by side.
        figure: empty figure to draw on, resized to the panels; a new one if None.

    Returns:
        The figure.
    """
    if not records:
        raise InputError("records is empty; at least one run is needed")
    several = len({record.backbone for record in records}) > 1
    order = in_order(record.strategy for record in records)
    panels = sorted({(record.backbone, order.index(record.strategy)) for record in records})
    columns = min(columns, len(panels))
    lines = -(-len(panels) // columns)
    figure = figure_for(
        figure, max(3.4, 2.15 * columns + 0.5), (2.0 if several else 1.85) * lines + 0.8
    )
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    colours = colours_for(order)
    for number, (ax, (backbone, position)) in enumerate(zip(grid.flat, panels, strict=False)):
        name = order[position]
        shown = [r for r in records if (r.backbone, r.strategy) == (backbone, name)]
        for record in shown:
            _draw_history(ax, record, colours[name])
        tidy(ax)
        title = f"{plain(name, 24)}\n{plain(backbone, 24)}" if several else plain(name, 24)
        ax.set_title(title, fontsize=9.5)
        if number % columns == 0:
            ax.set_ylabel("accuracy (share)", fontsize=9)
        if number + columns >= len(panels):
            ax.set_xlabel("epoch", fontsize=9)
            ax.tick_params(labelbottom=True)
        ax.xaxis.get_major_locator().set_params(integer=True)
    for ax in list(grid.flat)[len(panels) :]:
        ax.set_visible(False)
    _explain_curves(figure, any(max(r.history["phase"]) > 0 for r in records))
    return figure


def _draw_history(ax: "Axes", record: "Record", colour: str) -> None:
    history = record.history
    epochs = np.arange(1, len(history["accuracy"]) + 1)
    ax.plot(epochs, history["accuracy"], color=colour, alpha=0.55, linewidth=1, linestyle="--")
    ax.plot(epochs, history["val_accuracy"], color=colour, linewidth=1.3)
    best = record.best_epoch
    ax.plot(best, history["val_accuracy"][best - 1], "o", ms=4, color=colour, mec="white")
    for change in np.flatnonzero(np.diff(history["phase"])):
        ax.axvline(change + 1.5, color=GREY, linestyle=":", linewidth=0.9)


def _explain_curves(figure: "Figure", phases: bool) -> None:
    from matplotlib.lines import Line2D

    samples = [
        Line2D([], [], color="black", linewidth=1.3, label="validation"),
        Line2D([], [], color="black", linewidth=1, linestyle="--", alpha=0.55, label="training"),
        Line2D([], [], color="black", marker="o", ms=4, linestyle="", label="epoch kept"),
    ]
    if phases:
        samples.append(Line2D([], [], color=GREY, linestyle=":", label="next phase begins"))
    narrow = figure.get_size_inches()[0] < 5
    figure.legend(handles=samples, loc="outside lower center", ncols=2 if narrow else 4,
                  frameon=False, fontsize=9)  # fmt: skip


def plot_label_curve(
    table: pd.DataFrame,
    *,
    x: str = "labels per class",
    metric: str = "test_accuracy",
    by: str = "strategy",
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw what more labels buy: a line for each group, a band for the 95 % interval over seeds.

    Args:
        table: one row a run, with the columns `x`, `metric` and `by`.
        x: column with the number of labels, above 0; drawn on a logarithmic axis.
        metric: column to draw.
        by: column whose values each get a line, named at its end.
        ax: axes to draw on; a new figure if None.

    Returns:
        The axes.
    """
    table = finished_runs(table, [x, metric, by])
    names = in_order(table[by])
    colours = colours_for(names)
    ax = axes_for(ax, 6.4, 4.0)
    tidy(ax)
    ax.set_xscale("log")
    ends = []
    for name in names:
        runs = table[table[by] == name].groupby(x)[metric]
        points = [(position, mean_interval(values)) for position, values in runs]
        places = [position for position, _ in points]
        means = [interval.value for _, interval in points]
        ax.plot(places, means, "o-", ms=4.5, linewidth=1.8, color=colours[name])
        lows, highs = ([getattr(i, side) for _, i in points] for side in ("low", "high"))
        ax.fill_between(places, lows, highs, color=colours[name], alpha=0.13, linewidth=0)
        ends.append((places[-1], means[-1]))
    if "accuracy" in metric or "f1" in metric:
        low, high = ax.get_ylim()
        ax.set_ylim(max(low, -0.02), min(high, 1.02))
    amounts = sorted(table[x].unique())
    if len(amounts) <= 10:
        ax.set_xticks(amounts, [f"{amount:g}" for amount in amounts], minor=False)
        ax.set_xticks([], minor=True)
    ax.set_xlabel(f"{UNITS.get(x, x)}, logarithmic")
    ax.set_ylabel(UNITS.get(metric, metric))
    label_margin(
        ax,
        [place for place, _ in ends],
        [mean for _, mean in ends],
        [plain(name) for name in names],
        [colours[name] for name in names],
    )
    return ax

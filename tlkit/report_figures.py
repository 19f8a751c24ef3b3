"""The figures of the report, each as an SVG inside a data URI, with its text alternative."""

import warnings
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tlkit.evaluation import Interval
from tlkit.figure_style import in_order
from tlkit.image_plots import confusion_side
from tlkit.plots import (
    plot_accuracy,
    plot_confusion,
    plot_cost,
    plot_learning_curves,
    plot_trained_stages,
    plot_wrong,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tlkit.dataset import Split
    from tlkit.runs import Record

MOST_WRONG = 12
WIDTH = 5.5  # inches: small enough for a phone to shrink it and still be read


@dataclass(frozen=True)
class Picture:
    """A figure in the report.

    Attributes:
        uri: `data:image/svg+xml;base64,…`
        alt: what the figure shows, in words, for those who do not see it.
        title: heading, where several figures follow each other.
        wide: whether a phone should scroll it sideways rather than shrink it.
    """

    uri: str
    alt: str
    title: str = ""
    wide: bool = False


def accuracy_picture(
    table: pd.DataFrame, intervals: dict[tuple[str, str], Interval], guess: float
) -> Picture:
    """Accuracy of every run and configuration."""
    rows = len(intervals) + table["backbone"].nunique()
    ax = _new_figure(WIDTH, 1.0 + 0.27 * rows).subplots()
    plot_accuracy(table, intervals=intervals, chance=guess, ax=ax)
    said = "; ".join(
        f"{strategy} on {backbone} {interval}"
        for (backbone, strategy), interval in intervals.items()
    )
    alt = f"Test accuracy, a dot for each run, and mean with 95 % interval: {said}."
    return _picture(ax.figure, alt)


def curve_pictures(records: "Sequence[Record]", first: str) -> list[Picture]:
    """Learning curves, one figure a backbone, that of the backbone `first` at the head."""
    pictures = []
    for backbone in _backbones(records, first):
        runs = [record for record in records if record.backbone == backbone]
        figure = plot_learning_curves(runs, columns=2, figure=_new_figure())
        said = "; ".join(
            f"{name} {_last([r for r in runs if r.strategy == name])}"
            for name in in_order(record.strategy for record in runs)
        )
        alt = (
            f"Training and validation accuracy by epoch on {backbone}, a panel a strategy, a line "
            f"a seed. Validation accuracy of the epoch kept, mean over seeds: {said}."
        )
        pictures.append(_picture(figure, alt, backbone))
    return pictures


def cost_pictures(table: pd.DataFrame) -> list[Picture]:
    """Accuracy against training time, and against the number of trained parameters."""
    pictures = []
    backbones = list(dict.fromkeys(table["backbone"]))
    for column, title in (
        ("seconds", "Training time"),
        ("trainable_parameters", "Trained parameters"),
    ):
        figure = _new_figure(WIDTH, 0.5 + 2.7 * len(backbones))
        grid = figure.subplots(len(backbones), 1, squeeze=False, sharex=True, sharey=True)[:, 0]
        for ax, backbone in zip(grid, backbones, strict=True):
            plot_cost(table[table["backbone"] == backbone], x=column, ax=ax)
            if len(backbones) > 1:
                ax.set_title(backbone, fontsize=10, loc="left", fontweight="bold")
        means = table.groupby(["backbone", "strategy"], sort=False)[[column, "test_accuracy"]]
        said = "; ".join(
            f"{row.strategy} on {row.backbone} {getattr(row, column):,.0f} for "
            f"{row.test_accuracy:.3f}"
            for row in means.mean().reset_index().itertuples()
        )
        alt = f"{title} against test accuracy, means over seeds: {said}."
        pictures.append(_picture(figure, alt, title))
    return pictures


def stage_pictures(records: "Sequence[Record]", first: str) -> list[Picture]:
    """Which stages each strategy trained, one figure a backbone."""
    pictures = []
    for backbone in _backbones(records, first):
        tables = {r.strategy: r.trainable_table for r in records if r.backbone == backbone}
        ax = _new_figure(WIDTH, 1.0 + 0.34 * len(tables)).subplots()
        plot_trained_stages(tables, ax=ax)
        said = "; ".join(
            f"{name} trained {', '.join(str(r['stage']) for r in rows if r['trainable'])}"
            for name, rows in tables.items()
        )
        alt = f"Share of each stage's parameters that is trained, on {backbone}: {said}."
        pictures.append(_picture(ax.figure, alt, backbone))
    return pictures


def confusion_picture(split: "Split", best: "Record", class_names: Sequence[str]) -> Picture:
    """Confusion matrix of one run on one split."""
    side = confusion_side(len(class_names))
    ax = _new_figure(side + 2.4, side + 1.6).subplots()
    plot_confusion(split.labels, best.test_predictions, class_names, ax=ax)
    return _picture(ax.figure, _mistakes(split, best, class_names), wide=side > 5)


def wrong_picture(split: "Split", best: "Record", class_names: Sequence[str]) -> Picture:
    """Images of one split on which a run is most sure of a wrong class."""
    figure = plot_wrong(
        split.images, split.labels, best.test_predictions, class_names, MOST_WRONG,
        figure=_new_figure(),
    )  # fmt: skip
    wrong = int(np.sum(best.test_predictions.argmax(axis=1) != split.labels))
    alt = (
        f"Up to {MOST_WRONG} of the {wrong} wrongly predicted test images, the most confident "
        "first; over each its true class, then the predicted one and its probability."
    )
    return _picture(figure, alt)


def _mistakes(split: "Split", best: "Record", class_names: Sequence[str]) -> str:
    pairs = np.stack([split.labels, best.test_predictions.argmax(axis=1)], axis=1)
    kinds, counts = np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0, return_counts=True)
    common = [
        f"{class_names[kinds[i][0]]} taken for {class_names[kinds[i][1]]} ({counts[i]} images)"
        for i in np.argsort(-counts, kind="stable")[:3]
    ]
    said = f"Most frequent mistakes: {'; '.join(common)}." if common else "There is no mistake."
    return f"Confusion matrix of the test images, true class by predicted class. {said}"


def _backbones(records: "Sequence[Record]", first: str) -> list[str]:
    return list(dict.fromkeys([first, *(record.backbone for record in records)]))


def _last(runs: "Sequence[Record]") -> str:
    kept = [record.history["val_accuracy"][record.best_epoch - 1] for record in runs]
    return f"{np.mean(kept):.3f}"


def _new_figure(width: float = WIDTH, height: float = 4.0) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _picture(figure, alt: str, title: str = "", wide: bool = False) -> Picture:
    """Save a figure as SVG; its text stays text, so the reader's fonts draw every script."""
    import matplotlib

    file = BytesIO()
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": "tlkit"}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(file, format="svg", metadata={"Date": None})
    code = b64encode(file.getvalue()).decode("ascii")
    return Picture(f"data:image/svg+xml;base64,{code}", alt, title, wide)

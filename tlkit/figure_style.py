"""What all figures share: colours, plain axes, text that is safe to draw, labels that do not meet.

Colours are Okabe & Ito's (2008), which people with any kind of colour vision can tell apart; a
strategy has the same colour in every figure, and none is told by colour alone.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tlkit.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OKABE_ITO = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
    "#8C8C8C",
)
STRATEGY_COLOURS = {
    "scratch": "#8C8C8C",
    "feature_extraction": "#E69F00",
    "partial": "#56B4E9",
    "full": "#0072B2",
    "gradual": "#009E73",
    "discriminative": "#D55E00",
    "lp_ft": "#CC79A7",
    "first_stage": "#000000",
}
MARKERS = "osD^vPX*<>hp8"
GREY = "#6B6B6B"
UNITS = {
    "test_accuracy": "test accuracy (share of images)",
    "validation_accuracy": "validation accuracy (share of images)",
    "test_macro_f1": "test macro F1 (0 to 1)",
    "test_log_loss": "test log loss (nats)",
    "seconds": "training time (seconds)",
    "trainable_parameters": "trained parameters",
    "labels per class": "labelled images per class",
}


def colours_for(names: Iterable[str]) -> dict[str, str]:
    """Give each name a colour: strategies their own, other names one each in order.

    Example:
        >>> colours_for(["full", "mini_vgg"])
        {'full': '#0072B2', 'mini_vgg': '#D55E00'}
    """
    return {
        name: STRATEGY_COLOURS.get(name, OKABE_ITO[number % len(OKABE_ITO)])
        for number, name in enumerate(names)
    }


def in_order(names: Iterable[str]) -> list[str]:
    """List distinct names: strategies in their usual order, then the others as they come.

    Example:
        >>> in_order(["full", "mine", "scratch", "full"])
        ['scratch', 'full', 'mine']
    """
    found = list(dict.fromkeys(names))
    known = [name for name in STRATEGY_COLOURS if name in found]
    return known + [name for name in found if name not in STRATEGY_COLOURS]


def plain(text: object, width: int = 28) -> str:
    r"""Make a name drawable: one line, at most `width` characters, no formula where it has a `$`.

    Example:
        >>> plain("a very long name of a class of images"), plain("5$ note")
        ('a very long na…ass of images', '5\\$ note')
    """
    words = " ".join(str(text).split())
    words = "".join(letter for letter in words if letter.isprintable())
    if len(words) > width:
        tail = (width - 1) // 2
        words = f"{words[: width - 1 - tail]}…{words[-tail:]}"
    return words.replace("$", r"\$")


def finished_runs(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Rows of runs that ended with a number in every one of `columns`."""
    missing = [column for column in columns if column not in table]
    if missing:
        raise InputError(f"table has no column {missing[0]!r}; it has {', '.join(table.columns)}")
    table = table.dropna(subset=list(columns))
    if table.empty:
        raise InputError(f"table has no finished run: no row with {' and '.join(columns)}")
    return table


def axes_for(ax: "Axes | None", width: float, height: float) -> "Axes":
    """Return `ax`, or the axes of a new figure of this size in inches."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def figure_for(figure: "Figure | None", width: float, height: float) -> "Figure":
    """Return `figure`, or a new one, set to this size in inches."""
    if figure is None:
        import matplotlib.pyplot as plt

        figure = plt.figure(layout="constrained")
    figure.set_size_inches(width, height)
    return figure


def tidy(ax: "Axes", grid: str = "both") -> None:
    """Keep of the frame what is needed, and a light grid behind the data."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color("#999999")
    ax.tick_params(color="#999999", labelsize=9)
    ax.grid(visible=True, axis=grid, color="#E3E3E3", linewidth=0.8)  # type: ignore[arg-type]
    ax.set_axisbelow(True)


def label_points(
    ax: "Axes", x: Sequence[float], y: Sequence[float], texts: Sequence[str], size: float = 8.5
) -> None:
    """Write each text beside its point where it covers neither a point nor another text.

    Call it last: it measures the axes as they are then.
    """
    figure = _measured(ax)
    points = ax.transData.transform(np.column_stack([x, y])) * 72 / figure.dpi
    frame = np.array(ax.get_window_extent().bounds) * 72 / figure.dpi
    taken = [(px - 4, py - 4, px + 4, py + 4) for px, py in points]
    for index in np.argsort(-points[:, 1]):
        width, height = _extent(ax, texts[index], size)
        boxes = list(_candidates(points[index], width, height))
        others = taken[:index] + taken[index + 1 :]
        costs = [
            sum(_overlap(box, other) for other in others)
            + 3 * (width * height - _overlap(box, _corners(frame)))
            + width * height * distance / 400
            for distance, box in boxes
        ]
        distance, box = boxes[int(np.argmin(costs))]
        taken.append(box)
        offset = (box[0] - points[index][0], box[1] - points[index][1])
        arrow = {"arrowstyle": "-", "color": "#AAAAAA", "linewidth": 0.7, "shrinkB": 4}
        ax.annotate(
            texts[index],
            (x[index], y[index]),
            xytext=offset,
            textcoords="offset points",
            fontsize=size,
            va="bottom",
            annotation_clip=False,
            arrowprops=arrow if distance > 12 else None,
        )


def label_ends(
    ax: "Axes",
    x: Sequence[float],
    y: Sequence[float],
    texts: Sequence[str],
    colours: Sequence[str],
    size: float = 9,
) -> None:
    """Name lines in the right margin, beside their last points, moved apart where they crowd."""
    figure = _measured(ax)
    wanted = ax.transData.transform(np.column_stack([x, y]))[:, 1] * 72 / figure.dpi
    order = np.argsort(wanted)
    placed = wanted.copy()
    gap = 1.25 * size
    for lower, upper in pairwise(order):
        placed[upper] = max(placed[upper], placed[lower] + gap)
    # What was pushed up moves back by half, so that a crowd stays centred on its points.
    placed -= (placed - wanted).max() / 2
    for index in order:
        ax.annotate(
            texts[index],
            (x[index], y[index]),
            xytext=(14, placed[index] - wanted[index]),
            textcoords="offset points",
            va="center",
            fontsize=size,
            color=colours[index],
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": "#BBBBBB", "linewidth": 0.7},
        )


def _measured(ax: "Axes") -> "Figure":
    """Lay the figure out, so that positions in it are final."""
    figure: Any = ax.figure.figure
    figure.draw_without_rendering()
    return figure


def _extent(ax: "Axes", text: str, size: float) -> tuple[float, float]:
    probe = ax.text(0, 0, text, fontsize=size)
    box = probe.get_window_extent()
    probe.remove()
    scale = 72 / ax.figure.dpi
    return box.width * scale, box.height * scale


def _candidates(point, width, height):
    """Places of a text round a point, nearest first: (distance in points, box)."""
    for distance in (7, 12, 20, 30, 42, 56):
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1)):
            left = point[0] + dx * distance - (width if dx < 0 else width / 2 if dx == 0 else 0)
            bottom = point[1] + dy * distance - (height if dy < 0 else height / 2 if dy == 0 else 0)
            yield distance, (left, bottom, left + width, bottom + height)


def _overlap(one, other) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)


def _corners(bounds):
    left, bottom, width, height = bounds
    return left, bottom, left + width, bottom + height

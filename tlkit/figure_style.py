"""What all figures share: colours, plain axes, text that is safe to draw, labels that do not meet.

Colours are Okabe & Ito's (2008), which people with any kind of colour vision can tell apart; a
strategy has the same colour in every figure, and none is told by colour alone.
"""

from collections.abc import Iterable, Sequence
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


def plain_names(names: Sequence[str], width: int = 20) -> list[str]:
    """Make names drawable and keep them distinct: what all have in common goes first.

    Example:
        >>> plain_names(["a photograph of cats here", "a photograph of dogs here"], width=12)
        ['…cats…', '…dogs…']
    """
    short = [plain(name, width) for name in names]
    if len(set(short)) == len(set(names)):
        return short
    start = _shared(names)
    end = _shared([name[start:][::-1] for name in names])
    start = names[0].rfind(" ", 0, start) + 1
    tail = names[0][len(names[0]) - end :] if end else ""
    end = len(tail) - tail.find(" ") if " " in tail else 0
    cores = [name[start : len(name) - end] for name in names]
    marks = "…" if start else "", "…" if end else ""
    short = [marks[0] + plain(core, width - 2) + marks[1] for core in cores]
    if len(set(short)) == len(set(names)):
        return short
    return [f"{plain(name, width - 4)} {number}" for number, name in enumerate(names)]


def _shared(names: Sequence[str]) -> int:
    """Count the letters with which all names begin."""
    first, last = min(names), max(names)
    pairs = zip(first, last, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(first), len(last)))


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


def label_margin(
    ax: "Axes",
    x: Sequence[float],
    y: Sequence[float],
    texts: Sequence[str],
    colours: Sequence[str],
    markers: Sequence[str] | None = None,
    size: float = 9,
) -> None:
    """Name points in the right margin, each at its height or as near as the others let it.

    A thin line in the point's colour leads to its name. Call it last: it measures the axes.
    """
    from scipy.optimize import isotonic_regression

    figure: Any = ax.figure.figure
    figure.draw_without_rendering()
    tall = ax.get_window_extent().height * 72 / figure.dpi
    places = ax.transAxes.inverted().transform(ax.transData.transform(np.column_stack([x, y])))
    order = np.argsort(places[:, 1], kind="stable")
    steps = 1.3 * size / tall * np.arange(len(order))
    # The least-squares heights that keep their order and a line between neighbours.
    heights = isotonic_regression(places[order, 1] - steps).x
    heights = np.clip(heights, 0, max(0, 1 - steps[-1])) + steps
    for index, height in zip(order, heights, strict=True):
        spot = (1.03, float(height))
        ax.annotate(
            texts[index],
            spot,
            xycoords="axes fraction",
            xytext=(7 if markers else 2, 0),
            textcoords="offset points",
            va="center",
            fontsize=size,
            annotation_clip=False,
        )
        link = {"arrowstyle": "-", "color": colours[index], "alpha": 0.5, "linewidth": 0.8}
        ax.annotate(
            "",
            (x[index], y[index]),
            xytext=spot,
            textcoords="axes fraction",
            annotation_clip=False,
            arrowprops=link | {"shrinkA": 0, "shrinkB": 0},
            zorder=1,
        )
        if markers:
            ax.plot(*spot, markers[index], color=colours[index], ms=6, mec="white", clip_on=False,
                    transform=ax.transAxes)  # fmt: skip

"""Figures of backpropagation: a computation with its gradients, and grids of numbers.

A value that the forward pass computes is blue, the gradient that the backward pass gives it is
vermilion and begins with a G, so that the two can be told apart without colour, too.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from tlkit.errors import InputError
from tlkit.figure_style import GREY, OKABE_ITO, axes_for, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORWARD, BACKWARD = OKABE_ITO[:2]


def plot_computation(
    places: Mapping[str, tuple[float, float]],
    edges: Sequence[tuple[str, str, str]],
    values: Mapping[str, float],
    gradients: Mapping[str, float],
    *,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw a computation as circles and arrows, with the values and gradients it has.

    Args:
        places: name of a value -> where its circle goes, (x, y) in steps to the right and upwards.
        edges: arrows as (from, to, label). A label that names a value, such as a weight, is shown
            with its value and gradient; any other is shown as it is.
        values: name -> what the forward pass computed.
        gradients: name -> what the backward pass computed; names without one have none drawn.
        ax: axes to draw on; a new figure if None.

    Returns:
        The axes.

    Raises:
        InputError: an arrow starts or ends where no circle is, or a circle has no value.

    Example:
        >>> from matplotlib.figure import Figure
        >>> places, edges = {"x": (0, 0), "z": (1, 0)}, [("x", "z", "w")]
        >>> values, gradients = {"x": 2, "w": 3, "z": 6}, {"x": 3, "w": 2, "z": 1}
        >>> ax = plot_computation(places, edges, values, gradients, ax=Figure().subplots())
        >>> [text.get_text() for text in ax.texts if text.get_text().startswith("G")]
        ['G 2', 'G 3', 'G 1']
    """
    for start, end, _ in edges:
        for name in (start, end):
            if name not in places:
                raise InputError(f"edges: {name!r} has no place; places has {', '.join(places)}")
    missing = [name for name in places if name not in values]
    if missing:
        raise InputError(f"values has no {missing[0]!r}, which has a place")
    ax = axes_for(ax, 9, 3.4)
    for start, end, label in edges:
        arrow: dict[str, Any] = {
            "arrowstyle": "-|>",
            "color": GREY,
            "linewidth": 1,
            "shrinkA": 15,
            "shrinkB": 15,
        }
        ax.annotate("", places[end], xytext=places[start], arrowprops=arrow, zorder=1)
        middle = np.mean([places[start], places[end]], axis=0)
        if label in values:
            _write(ax, middle, 6.5, f"{plain(label)} = {_short(values[label])}", FORWARD)
            if label in gradients:
                _write(ax, middle, -6.5, f"G {_short(gradients[label])}", BACKWARD)
        else:
            _write(ax, middle, 0, plain(label), GREY)
    for name, place in places.items():
        ax.plot(*place, "o", ms=27, color="white", mec="black", mew=1, zorder=2)
        _write(ax, place, 0, plain(name), "black", weight="bold", bbox=None)
        _write(ax, place, 22, f"= {_short(values[name])}", FORWARD)
        if name in gradients:
            _write(ax, place, -22, f"G {_short(gradients[name])}", BACKWARD)
    spots = np.array(list(places.values()), dtype=float)
    (left, low), (right, high) = spots.min(axis=0), spots.max(axis=0)
    ax.set(xlim=(left - 0.3, right + 0.3), ylim=(low - 0.45, high + 0.45))
    ax.set_axis_off()
    return ax


def plot_numbers(
    numbers: ArrayLike,
    *,
    title: str = "",
    marked: tuple[slice, slice] | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw a small matrix as a grid of its numbers.

    Args:
        numbers: floats or integers [rows, columns].
        title: written above.
        marked: rows and columns to shade and frame, such as `(slice(0, 3), slice(1, 4))`.
        ax: axes to draw on; a new figure if None.

    Returns:
        The axes.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = plot_numbers([[1, -2]], title="G", ax=Figure().subplots())
        >>> [text.get_text() for text in ax.texts]
        ['1', '−2']
    """
    array = np.asarray(numbers)
    if array.ndim != 2 or not array.size:
        raise InputError(f"numbers has shape {list(array.shape)}: must be [rows, columns]")
    rows, columns = array.shape
    ax = axes_for(ax, 0.5 * columns + 0.2, 0.5 * rows + 0.4)
    inside = np.zeros(array.shape, bool)
    if marked is not None:
        inside[marked] = True
    for (row, column), number in np.ndenumerate(array):
        shade = "#FBE3D6" if inside[row, column] else "white"
        square = {"facecolor": shade, "edgecolor": "#999999", "linewidth": 0.8}
        ax.add_patch(_rectangle((column - 0.5, row - 0.5), 1, 1, **square))
        weight = "bold" if inside[row, column] else "normal"
        ax.text(column, row, _short(number), ha="center", va="center", fontsize=10, weight=weight)
    if inside.any():
        (first, left), (last, right) = np.argwhere(inside)[[0, -1]]
        size = right - left + 1, last - first + 1
        frame: dict[str, Any] = {"fill": False, "edgecolor": BACKWARD, "linewidth": 2.5}
        ax.add_patch(_rectangle((left - 0.5, first - 0.5), *size, **frame))
    ax.set(xlim=(-0.6, columns - 0.4), ylim=(rows - 0.4, -0.6), aspect="equal")
    ax.set_title(plain(title, 60), fontsize=10)
    ax.set_axis_off()
    return ax


def _short(number: Any) -> str:
    """At most three significant figures, a true minus sign, and no minus zero."""
    return f"{float(number) + 0.0:.3g}".replace("-", "−")


def _write(ax: "Axes", place: Any, lift: float, text: str, colour: str, **options: Any) -> None:
    """Write `lift` points above a place."""
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
    style: dict[str, Any] = {
        "ha": "center",
        "va": "center",
        "fontsize": 10.5,
        "color": colour,
        "bbox": box,
    }
    ax.annotate(
        text, place, xytext=(0, lift), textcoords="offset points", zorder=3, **style | options
    )


def _rectangle(corner: tuple[float, float], width: float, height: float, **options: Any) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle(corner, width, height, **options)

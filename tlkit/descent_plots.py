"""Figures of descent: the paths that optimisers take over a loss of two weights."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tlkit.errors import InputError
from tlkit.figure_style import OKABE_ITO, axes_for, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GRID = 121  # points a side at which the loss is computed
LEVELS = 9  # bands of the loss, of equal area


def plot_descent(
    loss: Callable[[NDArray], NDArray],
    paths: Sequence[ArrayLike],
    *,
    limits: tuple[tuple[float, float], tuple[float, float]],
    minima: Sequence[Sequence[float]] = (),
    title: str = "",
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw paths over the bands of a loss; the darker a band, the lower the loss.

    A path starts at a ring, has a dot at every step and ends at a square. What leaves the limits
    is cut off.

    Args:
        loss: turns weights [..., 2] into losses [...].
        paths: one array [steps + 1, 2] a path, each in a colour of its own.
        limits: (lowest, highest) of the first weight and of the second.
        minima: points [2] to mark with a star.
        title: of the panel.
        ax: axes to draw on; a new figure if None.

    Returns:
        The axes.

    Raises:
        InputError: a path is not of shape [steps + 1, 2].

    Example:
        >>> path = [[1.0, 1.0], [0.5, 0.5], [0.25, 0.25]]
        >>> ax = plot_descent(lambda w: (w**2).sum(-1), [path], limits=((-1, 1), (-1, 1)))
        >>> ax.get_xlabel()
        'first weight'
    """
    lines = [np.asarray(path, dtype=np.float64) for path in paths]
    for line in lines:
        if line.ndim != 2 or line.shape[1] != 2 or not len(line):
            raise InputError(f"paths: one has shape {list(line.shape)}: must be [steps + 1, 2]")
    ax = axes_for(ax, 3.2, 3.0)
    tidy(ax)
    ax.grid(visible=False)
    across, up = (np.linspace(*pair, GRID) for pair in limits)
    heights = loss(np.stack(np.meshgrid(across, up), axis=-1))
    levels = np.unique(np.quantile(heights, np.linspace(0, 1, LEVELS + 1)))
    if len(levels) > 1:
        greys = [str(grey) for grey in np.linspace(0.74, 0.98, len(levels) - 1)]
        ax.contourf(across, up, heights, levels, colors=greys, antialiased=False)  # small as a PNG
    for number, line in enumerate(lines):
        colour = OKABE_ITO[number % len(OKABE_ITO)]
        ax.plot(*line.T, "o-", ms=2.4, linewidth=1.1, color=colour)
        ax.plot(*line[0], "o", ms=8, mfc="none", mec=colour, mew=1.5)
        ax.plot(*line[-1], "s", ms=5.5, color=colour, mec="white")
    for point in minima:
        ax.plot(*point, "*", ms=11, color="black", mec="white", zorder=3)
    ax.set(xlim=limits[0], ylim=limits[1], xlabel="first weight", ylabel="second weight")
    ax.set_title(title, fontsize=10)
    return ax

"""Figures of what `tlkit.explain` finds: maps and filters side by side, what lies over an image."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tlkit.effective_field import square_holding
from tlkit.errors import InputError
from tlkit.figure_style import OKABE_ITO, axes_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes

THEORY, MEASURED = OKABE_ITO[0], OKABE_ITO[1]


def plot_feature_maps(maps: np.ndarray, *, columns: int = 8, ax: "Axes | None" = None) -> "Axes":
    """Draw the channels of one image's feature map side by side.

    Args:
        maps: floats [h, w, c], one image of what `feature_maps` returns. Each channel has its own
            range of colours, from its smallest value (dark) to its largest (bright).
        columns: channels side by side; they follow each other row by row.
        ax: axes to draw on; new ones if None.

    Returns:
        The axes.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = plot_feature_maps(np.zeros((4, 4, 10)), ax=Figure().add_subplot())
        >>> ax.get_xlabel()
        '10 channels of 4 × 4 units'
    """
    maps = np.asarray(maps, np.float64)
    if maps.ndim != 3 or not maps.size:
        raise InputError(f"maps has shape {maps.shape}; [h, w, c] of one image is needed")
    low, high = maps.min(axis=(0, 1)), maps.max(axis=(0, 1))
    tiles = ((maps - low) / np.where(high > low, high - low, 1)).transpose(2, 0, 1)
    count, height, width = tiles.shape
    ax = _mosaic(tiles, columns, ax)
    ax.set_xlabel(f"{count} {_plural('channel', count)} of {height} × {width} units", fontsize=9)
    return ax


def plot_filters(filters: np.ndarray, *, columns: int = 8, ax: "Axes | None" = None) -> "Axes":
    """Draw filters side by side: in colour where they see three channels.

    Args:
        filters: floats [filters, h, w, c] in 0 to 1, as `first_layer_filters` returns them. Where
            c is not 3 the mean over the channels is drawn, in grey.
        columns: filters side by side; they follow each other row by row.
        ax: axes to draw on; new ones if None.

    Returns:
        The axes.
    """
    filters = np.asarray(filters, np.float64)
    if filters.ndim != 4 or not filters.size or filters.min() < 0 or filters.max() > 1:
        raise InputError(
            f"filters has shape {filters.shape}; [filters, h, w, c] in 0 to 1 is needed, as "
            "first_layer_filters returns it"
        )
    count, height, width, channels = filters.shape
    ax = _mosaic(filters if channels == 3 else filters.mean(axis=3), columns, ax, "gray")
    words = f"{count} {_plural('filter', count)} of {height} × {width} weights; middle grey is 0"
    ax.set_xlabel(words, fontsize=9)
    return ax


def plot_heat(image: np.ndarray, heat: np.ndarray, *, ax: "Axes | None" = None) -> "Axes":
    """Lay a heat map over an image, which turns grey under it.

    Args:
        image: pixel values 0 to 255, [h, w, 3] or grey [h, w] or [h, w, 1].
        heat: floats [h, w] in 0 to 1, such as one image of what `grad_cam` returns: 0 leaves the
            image as it is, 1 is yellow.
        ax: axes to draw on; new ones if None.

    Returns:
        The axes.
    """
    grey, heat = _grey(image), np.asarray(heat, np.float64)
    if heat.shape != grey.shape or not np.isfinite(heat).all() or heat.min() < 0 or heat.max() > 1:
        raise InputError(
            f"heat has shape {heat.shape}; [{grey.shape[0]}, {grey.shape[1]}] in 0 to 1 is needed, "
            "as the image has"
        )
    ax = _over(grey, ax)
    ax.imshow(heat, cmap="inferno", vmin=0, vmax=1, alpha=0.75 * heat, interpolation="none")
    return ax


def plot_receptive_field(
    image: np.ndarray,
    seen: np.ndarray,
    box: Sequence[int] | None = None,
    *,
    share: float = 0.95,
    ax: "Axes | None" = None,
) -> "Axes":
    """Lay what a unit sees over an image: pixels by their gradient, and the squares around them.

    Args:
        image: pixel values 0 to 255, [h, w, 3] or grey [h, w] or [h, w, 1].
        seen: floats [h, w], as `effective_receptive_field` returns it.
        box: (top, left, height, width) in pixels, as `receptive_field_box` returns it; drawn
            in blue; None for none. Where it reaches beyond the image the axes grow with it.
        share: of the gradient that the dashed, orange square holds.
        ax: axes to draw on; new ones if None.

    Returns:
        The axes; their title gives the sides of both squares.
    """
    grey, seen = _grey(image), np.asarray(seen, np.float64)
    if seen.shape != grey.shape:
        raise InputError(
            f"seen has shape {seen.shape}; [{grey.shape[0]}, {grey.shape[1]}] is needed, as the "
            "image has"
        )
    top, left, side = square_holding(seen, share)
    ax = _over(grey, ax)
    # The square root lets weak gradients show.
    strength = np.sqrt(seen / seen.max())
    ax.imshow(strength, cmap="inferno", vmin=0, vmax=1, alpha=0.8 * strength, interpolation="none")
    title = f"{100 * share:g} % of gradient: {side} px"
    _outline(ax, (top, left, side, side), MEASURED, "--")
    if box is not None:
        _outline(ax, box, THEORY, "-")
        size = f"{box[2]}" if box[2] == box[3] else f"{box[2]} × {box[3]}"
        title = f"theory (solid): {size} px\n{title}"
    ax.set_title(title, fontsize=9)
    return ax


def _mosaic(tiles: np.ndarray, columns: int, ax: "Axes | None", colours: str = "viridis") -> "Axes":
    """Draw tiles [n, h, w] or [n, h, w, 3] in 0 to 1 in rows, white lines between them."""
    if not isinstance(columns, int) or columns < 1:
        raise InputError(f"columns={columns!r}: give a whole number of at least 1")
    enlarged = max(1, 12 // max(tiles.shape[1:3]))  # so that white lines can be thin
    tiles = tiles.repeat(enlarged, axis=1).repeat(enlarged, axis=2)
    count, height, width = tiles.shape[:3]
    columns = min(columns, count)
    rows, gap = -(-count // columns), round(max(height, width) / 12)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, *tiles.shape[3:]),
                    np.nan)  # fmt: skip
    for number, tile in enumerate(tiles):
        top, left = number // columns * (height + gap), number % columns * (width + gap)
        sheet[top : top + height, left : left + width] = tile
    ax = axes_for(ax, 6, 0.4 + 6 * sheet.shape[0] / sheet.shape[1])
    if tiles.ndim == 4:
        sheet = np.nan_to_num(sheet, nan=1.0)
    ax.imshow(sheet, cmap=colours, vmin=0, vmax=1, interpolation="none")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    return ax


def _over(grey: np.ndarray, ax: "Axes | None") -> "Axes":
    """Draw an image in pale grey, for something to lie over it."""
    ax = axes_for(ax, 3.4, 3.4)
    ax.imshow(grey, cmap="gray", vmin=-80, vmax=255, interpolation="none")
    ax.set_xlabel("column (pixels)", fontsize=9)
    ax.set_ylabel("row (pixels)", fontsize=9)
    ax.tick_params(labelsize=8, color="#999999")
    ax.spines[:].set_visible(False)
    return ax


def _outline(ax: "Axes", box: Sequence[int], colour: str, style: str) -> None:
    """Draw a rectangle around pixels, and let the axes grow with it."""
    from matplotlib.patches import Rectangle

    top, left, height, width = box
    frame = Rectangle((left - 0.5, top - 0.5), width, height, fill=False, edgecolor=colour,
                      linestyle=style, linewidth=2)  # fmt: skip
    frame.set_clip_on(False)
    ax.add_patch(frame)
    low, high = ax.get_xlim()
    ax.set_xlim(min(low, left - 0.5), max(high, left + width - 0.5))
    bottom, above = ax.get_ylim()
    ax.set_ylim(max(bottom, top + height - 0.5), min(above, top - 0.5))


def _grey(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)):
        raise InputError(f"image has shape {image.shape}; [h, w, 3] or grey [h, w] is needed")
    return image.astype(np.float64).mean(axis=2) if image.ndim == 3 else image.astype(np.float64)


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"

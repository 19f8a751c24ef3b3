"""Figures of images and of mistakes: contact sheets, the most wrong ones, confusion matrices."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tlkit.errors import InputError
from tlkit.figure_style import GREY, axes_for, figure_for, plain_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_images(
    images: np.ndarray,
    titles: Sequence[str] | None = None,
    columns: int = 6,
    *,
    figure: "Figure | None" = None,
) -> "Figure":
    """Draw a contact sheet.

    Args:
        images: pixel values 0 to 255, [n, h, w, 3] or grey [n, h, w].
        titles: one a image, lines parted by newlines; none if None.
        columns: images side by side.
        figure: empty figure to draw on, resized to the sheet; a new one if None.

    Returns:
        The figure.

    Example:
        >>> from matplotlib.figure import Figure
        >>> sheet = plot_images(np.zeros((3, 8, 8, 3), np.uint8), columns=2, figure=Figure())
        >>> len(sheet.axes)
        3
    """
    images = np.asarray(images)
    if images.ndim not in (3, 4) or not len(images):
        raise InputError(f"images has shape {images.shape}; [n, h, w, 3] is needed, n at least 1")
    if titles is not None and len(titles) != len(images):
        raise InputError(f"titles has {len(titles)} entries for {len(images)} images")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    lines = max((title.count("\n") + 1 for title in titles), default=0) if titles else 0
    aspect = images.shape[1] / images.shape[2]
    figure = figure_for(figure, 1.5 * columns, rows * (1.4 * aspect + 0.16 * lines + 0.06))
    for number, image in enumerate(images):
        ax = figure.add_subplot(rows, columns, number + 1)
        # "none" keeps the pixels as they are in an SVG file.
        ax.imshow(
            np.clip(image, 0, 255).astype(np.uint8), cmap="gray", vmin=0, vmax=255,
            interpolation="none",
        )  # fmt: skip
        ax.set_axis_off()
        if titles is not None:
            ax.set_title(titles[number], fontsize=8, pad=3)
    return figure


def plot_wrong(
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    count: int = 12,
    *,
    columns: int = 4,
    figure: "Figure | None" = None,
) -> "Figure":
    """Draw the images on which a model is most sure of a wrong class.

    Args:
        images: uint8 [n, h, w, 3]; only the images drawn are read.
        labels: integers [n], positions of the true classes.
        probabilities: floats [n, classes].
        class_names: one name a class.
        count: images to draw at most.
        columns: images side by side.
        figure: empty figure to draw on; a new one if None.

    Returns:
        The figure; it says so where no image is predicted wrongly.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities)
    chosen = most_wrong(labels, probabilities, count)
    if not len(chosen):
        figure = figure_for(figure, 5, 0.8)
        figure.text(0.5, 0.5, "No image of this split is predicted wrongly.", ha="center",
                    va="center", color=GREY)  # fmt: skip
        return figure
    true, taken_for = plain_names(class_names, 21), plain_names(class_names, 15)
    titles = [
        f"{true[labels[i]]}\n→ {taken_for[probabilities[i].argmax()]} {probabilities[i].max():.2f}"
        for i in chosen
    ]
    picked = np.stack([np.asarray(images[i]) for i in chosen])
    return plot_images(picked, titles, columns, figure=figure)


def most_wrong(labels: np.ndarray, probabilities: np.ndarray, count: int) -> np.ndarray:
    """Positions of the wrongly predicted images, the most confident first.

    Example:
        >>> most_wrong(np.array([0, 0, 1]), np.array([[0.4, 0.6], [0.1, 0.9], [0.2, 0.8]]), 5)
        array([1, 0])
    """
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    surest = np.argsort(-probabilities[wrong].max(axis=1), kind="stable")
    return wrong[surest][:count]


def plot_confusion(
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    *,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw the confusion matrix: of each true class, which share was predicted as what.

    Up to twelve classes the number of images is written into each cell.

    Args:
        labels: integers [n], positions of the true classes.
        probabilities: floats [n, classes].
        class_names: one name a class; long ones are shortened in their middle.
        ax: axes to draw on; a figure as large as the names need if None.

    Returns:
        The axes.
    """
    from sklearn.metrics import confusion_matrix

    classes = len(class_names)
    predicted = np.asarray(probabilities).argmax(axis=1)
    counts = confusion_matrix(labels, predicted, labels=np.arange(classes))
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    side = confusion_side(classes)
    ax = axes_for(ax, side + 1.6, side + 1.0)
    size = 9 if classes <= 20 else 7
    mesh = ax.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1, edgecolors="#E3E3E3",
                         linewidth=0.4)  # fmt: skip
    bar = ax.figure.colorbar(mesh, ax=ax, shrink=0.7, pad=0.02, aspect=30)
    bar.set_label("share of the true class", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)  # type: ignore[operator]
    if classes <= 12:
        for (row, column), number in np.ndenumerate(counts):
            if number:
                ax.text(column + 0.5, row + 0.5, number, ha="center", va="center", fontsize=8.5,
                        color="white" if shares[row, column] > 0.55 else "black")  # fmt: skip
    ticks = np.arange(classes) + 0.5
    names = plain_names(class_names, 20)
    upright = max(len(name) for name in names) * size * 0.65 > side * 72 / classes
    ax.set_xticks(ticks, names, rotation=90 if upright else 0, fontsize=size)
    ax.set_yticks(ticks, names, fontsize=size)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_aspect("equal")
    ax.invert_yaxis()
    ax.set_xlabel("predicted class")
    ax.set_ylabel("true class")
    return ax


def confusion_side(classes: int) -> float:
    """Inches that a confusion matrix of so many classes needs to be readable."""
    return min(9.0, max(2.6, (0.42 if classes <= 12 else 0.17) * classes))

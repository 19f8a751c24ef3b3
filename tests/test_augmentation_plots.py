"""Figures of augmentation: what is drawn is what was given."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from tlkit.augmentation_plots import GAP, plot_copies, plot_intervals
from tlkit.errors import InputError
from tlkit.evaluation import Interval
from tlkit.figure_style import OKABE_ITO


@pytest.fixture
def ax():
    return Figure().subplots()


def test_every_copy_is_in_its_place(ax):
    rng = np.random.default_rng(0)
    rows = {name: rng.integers(0, 256, (3, 6, 4, 3)) for name in ("rotation", "flip")}
    assert plot_copies(rows, ["a", "b", "c"], ax=ax) is ax
    sheet = ax.images[0].get_array()
    for row, images in enumerate(rows.values()):
        for column, image in enumerate(images):
            top, left = row * (6 + GAP), column * (4 + GAP)
            assert np.array_equal(sheet[top : top + 6, left : left + 4], image)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["rotation", "flip"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b", "c"]


def test_pixels_beyond_the_range_are_clipped_and_rounded(ax):
    plot_copies({"noise": np.array([-9.0, 254.6, 300.0]).reshape(1, 1, 1, 3)}, ax=ax)
    assert ax.images[0].get_array().ravel().tolist() == [0, 255, 255]
    assert ax.get_xticks().size == 0


@pytest.mark.parametrize(
    ("rows", "columns", "named"),
    [
        ({}, (), "rows"),
        ({"a": np.zeros((2, 4, 4, 3)), "b": np.zeros((3, 4, 4, 3))}, (), "rows"),
        ({"a": np.zeros((4, 4, 3))}, (), "rows"),
        ({"a": np.zeros((2, 4, 4, 3))}, ("one",), "columns"),
    ],
)
def test_what_cannot_be_drawn_is_named(rows, columns, named):
    with pytest.raises(InputError, match=named):
        plot_copies(rows, columns)


def test_intervals_are_drawn_from_the_top_in_the_order_given(ax):
    found = {"flip": Interval(-3, -4, -2), "noise": Interval(1, 0.5, 1.5)}
    plot_intervals(found, colours={"flip": "#D55E00"}, ax=ax)
    zero, flip, flip_dot, noise, noise_dot = ax.lines
    assert list(zero.get_xdata()) == [0, 0]
    assert list(flip.get_xdata()) == [-4, -2]
    assert flip.get_color() == flip_dot.get_color() == "#D55E00"
    assert noise.get_color() == OKABE_ITO[0]
    assert noise_dot.get_ydata()[0] > flip_dot.get_ydata()[0]
    bottom, top = ax.get_ylim()
    assert bottom > top


def test_no_interval_is_an_error():
    with pytest.raises(InputError, match="intervals"):
        plot_intervals({})


def test_a_new_figure_is_made_where_no_axes_are_given():
    import matplotlib.pyplot as plt

    axes = [
        plot_copies({"a": np.zeros((2, 4, 4, 3))}),
        plot_intervals({"a": Interval(0, -1, 1)}),
    ]
    assert len({ax.figure for ax in axes}) == 2
    for ax in axes:
        plt.close(ax.figure)

import keras
import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tlkit.errors import InputError
from tlkit.figure_style import OKABE_ITO
from tlkit.pooling_plots import plot_consistency, plot_groups, plot_panels, plot_windows

BLUE, ORANGE = OKABE_ITO[:2]


@pytest.fixture(autouse=True)
def _no_window(monkeypatch):
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    monkeypatch.setattr(plt, "show", lambda *_, **__: pytest.fail("plt.show() was called"))
    yield
    plt.close("all")


def boxes(ax, colour):
    wanted = matplotlib.colors.to_rgba(colour)
    return [box for box in ax.patches if box.get_facecolor() == wanted]


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    ("side", "kernel", "stride"), [(11, 2, 2), (7, 3, 2), (9, 2, 4), (6, 5, 1)]
)
def test_windows_are_those_of_keras(side, kernel, stride, padding):
    ax = plot_windows(side, kernel, stride, padding, ax=Figure().subplots())
    theirs = keras.ops.max_pool(np.zeros((1, side, 1, 1)), (kernel, 1), (stride, 1), padding)
    windows = boxes(ax, BLUE)
    assert len(windows) == theirs.shape[1]
    assert f"{theirs.shape[1]} value" in ax.get_title()
    # A pixel that no window sees is orange: its value changes nothing.
    unseen = {round(box.get_x() - 0.05) for box in boxes(ax, ORANGE)}
    for pixel in range(side):
        row = np.zeros((1, side, 1, 1))
        row[0, pixel] = 1
        seen = np.asarray(keras.ops.max_pool(row, (kernel, 1), (stride, 1), padding)).any()
        assert seen == (pixel not in unseen)


def test_one_window_is_one_value():
    assert plot_windows(3, 3, 1).get_title() == "3 pixels → 1 value"
    with pytest.raises(InputError, match="kernel"):
        plot_windows(3, 4, 1)


def test_panels_name_their_sizes_and_share_their_greys():
    figure = plot_panels({"a": np.eye(4), "b": np.zeros((2, 3))}, columns=1)
    assert [ax.get_title() for ax in figure.axes] == ["a\n4 × 4", "b\n2 × 3"]
    assert {ax.images[0].get_clim() for ax in figure.axes} == {(0, 1)}
    own = plot_panels({"a": 5 * np.eye(4)}, limits=None)
    assert own.axes[0].images[0].get_clim() == (0, 5)
    for wrong in ({}, {"a": np.zeros(3)}):
        with pytest.raises(InputError, match="maps"):
            plot_panels(wrong)


@pytest.fixture
def runs():
    return pd.DataFrame(
        {
            "pooling": kind,
            "head": head,
            "seed": seed,
            "shift": shift,
            "same": 1 - shift / 10 - seed / 50,
        }
        for kind in ("max", "none")
        for head in ("flatten", "global")
        for seed in range(3)
        for shift in range(4)
    )


def test_consistency_has_a_panel_a_kind_and_a_mean_a_head(runs):
    figure = plot_consistency(runs, figure=Figure(layout="constrained"))
    assert [ax.get_title() for ax in figure.axes] == ["max", "none"]
    for ax in figure.axes:
        assert len(ax.get_lines()) == 2 * (3 + 1)
        assert ax.get_xlabel()
        bold = [line for line in ax.get_lines() if line.get_marker() == "o"]
        assert bold[0].get_ydata() == pytest.approx([0.98, 0.88, 0.78, 0.68])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["flatten", "global"]
    with pytest.raises(InputError, match="seed"):
        plot_consistency(runs.drop(columns="seed"))


def test_groups_show_every_seed_and_the_mean(runs):
    ax = plot_groups(runs, "same", by="head", label="share", scale=100)
    assert isinstance(ax, Axes)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["flatten", "global"]
    seeds, interval, mean = (line.get_xdata() for line in ax.get_lines()[:3])
    assert len(seeds) == 24
    assert interval[0] < mean[0] < interval[1]
    assert mean[0] == pytest.approx(100 * runs["same"].mean())
    with pytest.raises(InputError, match="nonsense"):
        plot_groups(runs, "nonsense", by="head", label="share")

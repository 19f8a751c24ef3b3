import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tlkit import numpy_net
from tlkit.activation_plots import (
    flat_zones,
    plot_activation,
    plot_by_layer,
    plot_depths,
    plot_grid,
    plot_regions,
)
from tlkit.errors import InputError


@pytest.fixture(autouse=True)
def _no_window(monkeypatch):
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    monkeypatch.setattr(plt, "show", lambda *_, **__: pytest.fail("plt.show() was called"))
    yield
    plt.close("all")


def by_depth():
    return pd.DataFrame({"depth": [2, 2, 16, 16], "test": [0.9, 1.0, 0.5, 0.7]})


DRAWN = {
    "activation": lambda ax: plot_activation(numpy_net.relu, "relu", ax=ax),
    "regions": lambda ax: plot_regions(lambda p: p[:, 0], [[-1, 0], [1, 1]], [0, 1], ax=ax),
    "grid": lambda ax: plot_grid(pd.DataFrame(np.eye(3)), limits=(0, 1), ax=ax),
    "by layer": lambda ax: plot_by_layer({"He": [[1, 2], [3, 4]]}, ax=ax),
    "depths": lambda ax: plot_depths(by_depth(), column="test", ax=ax),
}


@pytest.mark.parametrize("name", DRAWN)
def test_figures_draw_on_the_axes_given_or_on_their_own(name):
    given = Figure().subplots()
    assert DRAWN[name](given) is given
    own = DRAWN[name](None)
    assert isinstance(own, Axes)
    own.figure.draw_without_rendering()


@pytest.mark.parametrize(
    ("function", "zones"),
    [
        (numpy_net.sigmoid, 2),
        (numpy_net.tanh, 2),
        (numpy_net.relu, 1),
        (numpy_net.leaky_relu, 0),
        (numpy_net.elu, 1),
        (numpy_net.gelu, 2),
        (numpy_net.identity, 0),
    ],
)
def test_flat_zones_are_where_the_slope_is_small(function, zones):
    x = np.linspace(-6, 6, 1201)
    slope = np.abs(function(x)[1])
    found = flat_zones(x, slope)
    assert len(found) == zones
    covered = np.any([(x >= left) & (x <= right) for left, right in found] or [x > 9], axis=0)
    assert (covered == (slope <= 0.05)).all()
    assert len(plot_activation(function).patches) == zones


def test_regions_are_coloured_by_what_the_classifier_says():
    asked = []

    def decide(points):
        asked.append(points)
        return points[:, 1] - 0.5

    ax = plot_regions(decide, [[-2.0, 0.0], [1.0, 1.0]], [0, 1], steps=11)
    assert asked[0].shape == (121, 2)
    assert np.abs(asked[0]).max() == pytest.approx(2.16)
    assert [len(line.get_xdata()) for line in ax.get_lines()] == [1, 1]


def test_a_grid_writes_every_number_where_it_belongs():
    table = pd.DataFrame([[0.25, np.nan], [-3, 9]], index=["a", "b"], columns=[-1, 2])
    ax = plot_grid(table.rename_axis(columns="bias"), limits=(0, 1))
    written = {text.get_position(): text.get_text() for text in ax.texts}
    assert written == {(0.5, 0.5): "0.25", (1.5, 0.5): "–", (0.5, 1.5): "−3.00", (1.5, 1.5): "9.00"}
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["−1", "2"]
    assert ax.get_ylim() == (2, 0)  # the first row on top, also where axes are shared
    assert ax.get_xlabel() == "bias"


def test_grids_that_share_axes_keep_their_first_row_on_top():
    axes = Figure().subplots(2, 2, sharex=True, sharey=True)
    for ax in axes.flat:
        plot_grid(pd.DataFrame(np.eye(3)), limits=(0, 1), ax=ax)
    assert all(ax.get_ylim() == (3, 0) for ax in axes.flat)


def test_depths_show_every_run_and_the_means():
    dots, line = plot_depths(by_depth(), column="test").get_lines()
    assert dots.get_ydata().tolist() == [0.9, 1.0, 0.5, 0.7]
    assert line.get_ydata() == pytest.approx([0.95, 0.6])


def test_by_layer_draws_geometric_means_on_a_band_over_seeds():
    ax = plot_by_layer({"Glorot": [[1, 2, 3], [100, 2, 3]], "He": np.ones((3, 3))})
    lines = ax.get_lines()
    assert lines[0].get_xdata().tolist() == [1, 2, 3]
    assert lines[0].get_ydata() == pytest.approx([10, 2, 3])
    heights = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (1, 100)
    assert ax.get_legend_handles_labels()[1] == ["Glorot", "He"]
    assert ax.get_yscale() == "log"


def test_what_does_not_fit_is_named():
    with pytest.raises(InputError, match="two equal lists"):
        flat_zones([1, 2], [1])
    with pytest.raises(InputError, match="points has shape"):
        plot_regions(lambda p: p[:, 0], [[1, 2, 3]], [0])
    with pytest.raises(InputError, match="depth and loss are needed"):
        plot_depths(by_depth(), column="loss")

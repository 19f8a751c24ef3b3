import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tlkit.cnn_plots import PANELS, plot_convolution_steps, plot_mean_curve
from tlkit.errors import InputError
from tlkit.evaluation import mean_interval
from tlkit.numpy_net import conv2d


@pytest.fixture(autouse=True)
def _no_window(monkeypatch):
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    monkeypatch.setattr(plt, "show", lambda *_, **__: pytest.fail("plt.show() was called"))
    yield
    plt.close("all")


IMAGE = np.random.default_rng(0).uniform(0, 255, (9, 14))
KERNEL = np.array([[-1, -1, -1], [0, 0, 0], [1, 1, 1]])


def test_steps_show_window_product_and_sum():
    figure = plot_convolution_steps(IMAGE, KERNEL, [(0, 0), (3, 7), (6, 11)], figure=Figure())
    grid = np.reshape(figure.axes, (3, 5))
    assert [ax.get_title() for ax in grid[0]] == list(PANELS)
    window = IMAGE[3:6, 7:10]
    written = [text.get_text() for text in grid[1, 3].texts]
    assert written == [f"{value:.0f}" for value in (window * KERNEL).ravel()]
    assert [text.get_text() for text in grid[1, 4].texts] == [f"{(window * KERNEL).sum():.0f}"]


def test_output_appears_pixel_by_pixel_and_is_the_convolution():
    figure = plot_convolution_steps(IMAGE, KERNEL, [(3, 7), (6, 11)], figure=Figure())
    part, whole = (np.ma.filled(figure.axes[i].images[0].get_array(), np.nan) for i in (4, 9))
    expected = conv2d(IMAGE[None, :, :, None], KERNEL[:, :, None, None], [0])[0][0, :, :, 0]
    np.testing.assert_allclose(whole, expected)
    assert np.isfinite(part).sum() == 3 * 12 + 8


@pytest.mark.parametrize(
    ("image", "kernel", "positions"),
    [
        (IMAGE[None], KERNEL, [(0, 0)]),
        (IMAGE, KERNEL[0], [(0, 0)]),
        (IMAGE, np.ones((6, 6)), [(0, 0)]),
        (IMAGE, KERNEL, []),
        (IMAGE, KERNEL, [(7, 0)]),
        (IMAGE, KERNEL, [(0, -1)]),
    ],
)
def test_steps_that_do_not_fit_are_refused(image, kernel, positions):
    with pytest.raises(InputError):
        plot_convolution_steps(image, kernel, positions, figure=Figure())


def test_mean_curve_draws_mean_and_interval():
    runs = pd.DataFrame({"rate": [0, 0, 0, 1, 1, 1], "gap": [0.2, 0.4, 0.3, 0.1, 0.1, 0.2]})
    ax = Figure().subplots()
    assert plot_mean_curve(runs, "rate", "gap", label="gap", ax=ax) is ax
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [0.3, 0.4 / 3])
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    interval = mean_interval([0.2, 0.4, 0.3])
    assert band.max() == pytest.approx(interval.high)
    assert np.isclose(band, interval.low).any()


def test_mean_curve_makes_its_own_figure_and_takes_single_runs():
    ax = plot_mean_curve(pd.DataFrame({"x": [1, 2], "y": [3.0, 4.0]}), "x", "y")
    assert isinstance(ax, Axes)
    assert ax.lines[0].get_ydata().tolist() == [3, 4]


@pytest.mark.parametrize("runs", [{"x": [], "y": []}, {"x": [1]}])
def test_mean_curve_refuses_what_it_cannot_draw(runs):
    with pytest.raises(InputError, match="at least one row"):
        plot_mean_curve(pd.DataFrame(runs), "x", "y", ax=Figure().subplots())

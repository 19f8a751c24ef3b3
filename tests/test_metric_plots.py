import matplotlib
import numpy as np
import pytest

from tlkit.errors import InputError
from tlkit.evaluation import expected_calibration_error
from tlkit.metric_plots import plot_cost, plot_reliability


@pytest.fixture(autouse=True)
def _no_window(monkeypatch):
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    monkeypatch.setattr(plt, "show", lambda *_, **__: pytest.fail("plt.show() was called"))
    yield
    plt.close("all")


def test_dots_of_a_reliability_diagram_agree_with_the_calibration_error():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([1, 1, 1], 300)
    labels = rng.integers(0, 3, 300)
    ax = plot_reliability(labels, probabilities, bins=15)
    claimed, share = np.asarray(ax.collections[-1].get_offsets()).T
    confidence = probabilities.max(axis=1)
    position = np.ceil(confidence * 15)
    weights = np.unique(position, return_counts=True)[1] / 300
    error = expected_calibration_error(labels, probabilities, bins=15)
    assert np.sum(weights * np.abs(share - claimed)) == pytest.approx(error)
    assert ax.get_xlim()[0] == pytest.approx(1 / 3)


def test_a_reliability_diagram_leaves_empty_bins_out():
    ax = plot_reliability([0, 0, 1], [[0.95, 0.05]] * 3)
    assert len(ax.collections[-1].get_offsets()) == 1


@pytest.mark.parametrize("bins", [0, -1])
def test_bins_are_checked(bins):
    with pytest.raises(InputError, match="bins"):
        plot_reliability([0], [[0.9, 0.1]], bins=bins)


def test_shapes_of_labels_and_probabilities_are_checked():
    with pytest.raises(InputError, match="probabilities"):
        plot_reliability([0, 1], [[0.9, 0.1]])


def test_marks_lie_on_the_mean_of_several_curves():
    ax = plot_cost([0, 0.5, 1], [[0.4, 0.2, 0.6], [0.6, 0.0, 0.4]], {"one": 0.5, "two": 0.25})
    marks = {line.get_label(): line.get_xydata()[0].tolist() for line in ax.lines[-2:]}
    assert marks == {"one": [0.5, pytest.approx(0.1)], "two": [0.25, pytest.approx(0.3)]}
    assert len({line.get_marker() for line in ax.lines[-2:]}) == 2


def test_one_curve_is_drawn_once_and_lengths_are_checked():
    assert len(plot_cost([0, 1], [1, 2]).lines) == 1
    with pytest.raises(InputError, match="thresholds"):
        plot_cost([0, 0.5, 1], [1, 2])

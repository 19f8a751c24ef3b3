import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes

from tlkit.descent_plots import plot_descent
from tlkit.errors import InputError

LIMITS = ((-2.0, 2.0), (-1.0, 1.0))


@pytest.fixture(autouse=True)
def _no_window(monkeypatch):
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    monkeypatch.setattr(plt, "show", lambda *_, **__: pytest.fail("plt.show() was called"))
    yield
    plt.close("all")


def bowl(w):
    return (w**2).sum(axis=-1)


def test_a_path_is_a_line_with_its_start_and_its_end_marked():
    path = np.array([[1.0, 0.5], [0.5, 0.25], [0.1, 0.0]])
    ax = plot_descent(bowl, [path, -path], limits=LIMITS, minima=[(0, 0)], title="plain")
    assert isinstance(ax, Axes)
    line, start, end = (np.column_stack(drawn.get_data()) for drawn in ax.lines[:3])
    np.testing.assert_array_equal(line, path)
    np.testing.assert_array_equal(start, path[:1])
    np.testing.assert_array_equal(end, path[-1:])
    assert len({drawn.get_color() for drawn in (ax.lines[0], ax.lines[3])}) == 2
    assert len(ax.lines) == 7
    assert (ax.get_xlim(), ax.get_ylim(), ax.get_title()) == (*LIMITS, "plain")
    assert ax.get_xlabel()
    assert ax.get_ylabel()


def test_it_draws_on_the_axes_given():
    import matplotlib.pyplot as plt

    axes = plt.subplots(1, 2)[1]
    assert plot_descent(bowl, [], limits=LIMITS, ax=axes[1]) is axes[1]
    assert not axes[0].collections
    assert axes[1].collections


def test_a_path_that_leaves_the_limits_or_overflows_does_not_move_them():
    with np.errstate(over="ignore"):
        path = np.array([[1.0, 1.0], [-1e200, 1e200], [np.inf, -np.inf]])
    assert plot_descent(bowl, [path], limits=LIMITS).get_xlim() == LIMITS[0]


def test_a_flat_loss_can_be_drawn():
    ax = plot_descent(lambda w: np.zeros(w.shape[:-1]), [[[0, 0]]], limits=LIMITS)
    ax.figure.draw_without_rendering()


@pytest.mark.parametrize("path", [[1.0, 2.0], np.zeros((3, 3)), np.zeros((0, 2))])
def test_a_path_of_another_shape_is_named(path):
    with pytest.raises(InputError, match=r"must be \[steps \+ 1, 2\]"):
        plot_descent(bowl, [path], limits=LIMITS)

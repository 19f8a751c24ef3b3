import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tlkit.backprop_plots import plot_computation, plot_numbers
from tlkit.errors import InputError

PLACES = {"x": (0, 0), "z1": (1, 0.6), "z2": (1, -0.6), "L": (2, 0)}
EDGES = [("x", "z1", "w1"), ("x", "z2", "w2"), ("z1", "L", "square"), ("z2", "L", "square")]
VALUES = {"x": 2.0, "w1": 1.0, "w2": -0.5, "z1": 2.0, "z2": -1.0, "L": 5.0}
GRADIENTS = {"x": 5.0, "w1": 8.0, "w2": -4.0, "z1": 4.0, "z2": -0.0}


@pytest.fixture(autouse=True)
def _no_window(monkeypatch):
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    monkeypatch.setattr(plt, "show", lambda *_, **__: pytest.fail("plt.show() was called"))
    yield
    plt.close("all")


def words(ax):
    return [text.get_text() for text in ax.texts if text.get_text()]


def test_a_computation_shows_every_value_and_gradient_once():
    ax = plot_computation(PLACES, EDGES, VALUES, GRADIENTS)
    assert isinstance(ax, Axes)
    shown = words(ax)
    assert [word for word in shown if word.startswith("G")] == ["G 8", "G −4", "G 5", "G 4", "G 0"]
    assert {"w1 = 1", "w2 = −0.5", "= 2", "= −1", "= 5"} <= set(shown)
    assert shown.count("square") == 2


def test_texts_of_a_computation_do_not_meet():
    ax = plot_computation(PLACES, EDGES, VALUES, GRADIENTS)
    ax.figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in ax.texts if text.get_text()]
    for number, one in enumerate(boxes):
        for two in boxes[number + 1 :]:
            width = min(one.x1, two.x1) - max(one.x0, two.x0)
            height = min(one.y1, two.y1) - max(one.y0, two.y0)
            assert min(width, height) < 1.5


def test_numbers_are_drawn_where_they_stand_and_the_marked_ones_stand_out():
    ax = plot_numbers(
        np.arange(6).reshape(2, 3) - 1.5, title="X", marked=(slice(0, 2), slice(1, 3))
    )
    assert words(ax) == ["−1.5", "−0.5", "0.5", "1.5", "2.5", "3.5"]
    assert [text.get_weight() for text in ax.texts] == ["normal", "bold", "bold"] * 2
    frame = ax.patches[-1]
    assert (frame.get_xy(), frame.get_width(), frame.get_height()) == ((0.5, -0.5), 2, 2)
    assert ax.get_title() == "X"


def test_figures_draw_on_the_axes_given():
    ax = Figure().subplots()
    assert plot_numbers([[1]], ax=ax) is ax
    assert plot_computation(PLACES, EDGES, VALUES, {}, ax=ax) is ax


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plot_numbers([1, 2]), r"\[rows, columns\]"),
        (lambda: plot_numbers(np.zeros((0, 2))), r"\[0, 2\]"),
        (lambda: plot_computation(PLACES, [("x", "y", "w")], VALUES, {}), "'y' has no place"),
        (lambda: plot_computation(PLACES, EDGES, {"x": 1}, {}), "no 'z1'"),
    ],
)
def test_what_does_not_fit_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tlkit import explain_plots
from tlkit.errors import InputError

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (16, 16, 3)).astype(np.uint8)


@pytest.fixture(autouse=True)
def _no_window(monkeypatch):
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    monkeypatch.setattr(plt, "show", lambda *_, **__: pytest.fail("plt.show() was called"))
    yield
    plt.close("all")


def seen_at_the_centre():
    seen = np.zeros((16, 16))
    seen[6:9, 6:9] = 1 / 9
    return seen


PLOTS = {
    "maps": lambda **options: explain_plots.plot_feature_maps(RNG.random((8, 8, 10)), **options),
    "filters": lambda **options: explain_plots.plot_filters(RNG.random((24, 3, 3, 3)), **options),
    "heat": lambda **options: explain_plots.plot_heat(IMAGE, RNG.random((16, 16)), **options),
    "field": lambda **options: explain_plots.plot_receptive_field(
        IMAGE, seen_at_the_centre(), (2, 2, 11, 11), **options
    ),
}


@pytest.mark.parametrize("name", PLOTS)
def test_plots_return_labelled_axes(name):
    ax = PLOTS[name]()
    assert isinstance(ax, Axes)
    assert ax.get_xlabel()
    assert min(text.get_fontsize() for text in ax.findobj(matplotlib.text.Text)) >= 8
    ax.figure.draw_without_rendering()
    own = Figure().add_subplot()
    assert PLOTS[name](ax=own) is own


def test_tiles_are_where_they_should_be():
    maps = np.zeros((12, 12, 3))
    maps[0, 0, 0] = 5  # each channel has its own range
    maps[11, 11, 2] = 0.1
    ax = explain_plots.plot_feature_maps(maps, columns=2)
    sheet = ax.images[0].get_array().filled(np.nan)
    assert sheet.shape == (25, 25)
    assert sheet[0, 0] == sheet[24, 11] == 1
    assert np.nansum(sheet) == 2
    assert np.isnan(sheet[12]).all()
    assert np.isnan(sheet[13:, 13:]).all()
    assert ax.get_xlabel() == "3 channels of 12 × 12 units"


def test_filters_in_colour_and_in_grey():
    filters = RNG.random((5, 3, 3, 3))
    sheet = explain_plots.plot_filters(filters, columns=5).images[0].get_array()
    assert sheet.shape == (12, 5 * 13 - 1, 3)
    np.testing.assert_allclose(sheet[::4, 13:25:4], filters[1])
    one = explain_plots.plot_filters(filters[:1, :, :, :1])
    assert one.images[0].get_array().shape == (12, 12)
    assert one.get_xlabel().startswith("1 filter of 3 × 3 weights")


def test_heat_of_nothing_leaves_the_image():
    ax = explain_plots.plot_heat(IMAGE[..., 0], np.zeros((16, 16)))
    picture, heat = ax.images
    np.testing.assert_array_equal(picture.get_array(), IMAGE[..., 0])
    assert (heat.get_alpha() == 0).all()


def test_fields_are_outlined():
    ax = PLOTS["field"]()
    effective, theory = ax.patches
    assert (effective.get_x(), effective.get_y(), effective.get_width()) == (5.5, 5.5, 3)
    assert (theory.get_x(), theory.get_y(), theory.get_height()) == (1.5, 1.5, 11)
    assert ax.get_title() == "theory (solid): 11 px\n95 % of gradient: 3 px"
    assert ax.get_xlim() == (-0.5, 15.5)
    assert ax.get_ylim() == (15.5, -0.5)


def test_axes_grow_with_fields_beyond_the_image():
    seen = seen_at_the_centre()
    ax = explain_plots.plot_receptive_field(IMAGE, seen, (-5, -4, 30, 20))
    assert ax.get_xlim() == (-4.5, 15.5)
    assert ax.get_ylim() == (24.5, -5.5)
    assert "30 × 20 px" in ax.get_title()
    alone = explain_plots.plot_receptive_field(IMAGE, seen, share=0.5)
    assert len(alone.patches) == 1
    assert alone.get_title() == "50 % of gradient: 3 px"


@pytest.mark.parametrize(
    ("plot", "message"),
    [
        (lambda: explain_plots.plot_feature_maps(np.zeros((2, 2))), "maps has shape"),
        (lambda: explain_plots.plot_feature_maps(np.zeros((2, 2, 2)), columns=0), "columns=0"),
        (lambda: explain_plots.plot_filters(np.full((1, 2, 2, 3), 2)), "in 0 to 1"),
        (lambda: explain_plots.plot_heat(IMAGE, np.zeros((8, 8))), r"\[16, 16\] in 0 to 1"),
        (lambda: explain_plots.plot_heat(IMAGE, np.full((16, 16), 2)), "in 0 to 1"),
        (lambda: explain_plots.plot_heat(IMAGE[None], np.zeros((16, 16))), "image has shape"),
        (
            lambda: explain_plots.plot_receptive_field(IMAGE, np.ones((8, 8))),
            r"seen has shape \(8, 8\)",
        ),
    ],
)
def test_plots_say_what_is_wrong(plot, message):
    with pytest.raises(InputError, match=message):
        plot()

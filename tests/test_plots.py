import itertools

import matplotlib
import numpy as np
import pandas as pd
import pytest
from fake_runs import fake_comparison, fake_dataset
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tlkit.errors import InputError
from tlkit.evaluation import Interval
from tlkit.figure_style import STRATEGY_COLOURS, colours_for, plain, plain_names
from tlkit.image_plots import most_wrong
from tlkit.plots import (
    plot_accuracy,
    plot_confusion,
    plot_cost,
    plot_images,
    plot_label_curve,
    plot_learning_curves,
    plot_trained_stages,
    plot_wrong,
)
from tlkit.strategies import STRATEGIES

BACKBONES = ["mini_vgg", "mini_resnet", "mobilenet_v2", "efficientnet_v2_b0", "inception_v3"]


@pytest.fixture(autouse=True)
def _no_window(monkeypatch):
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    monkeypatch.setattr(plt, "show", lambda *_, **__: pytest.fail("plt.show() was called"))
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def compared():
    data = fake_dataset(["cat", "dog", "5$ note"], images=30, size=8)
    return data, fake_comparison(data, ["mini_vgg", "mini_resnet"], list(STRATEGIES), 2, epochs=3)


@pytest.fixture(scope="module")
def large_table():
    rows = itertools.product(BACKBONES, STRATEGIES, range(3))
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "backbone": backbone,
            "strategy": strategy,
            "seed": seed,
            "test_accuracy": rng.uniform(0.3, 0.9),
            "seconds": rng.uniform(2, 200),
            "trainable_parameters": 10 ** rng.integers(3, 7),
        }
        for backbone, strategy, seed in rows
    )


def assert_apart(texts):
    """No two of these texts may cover each other once the figure is drawn."""
    boxes = [text.get_window_extent() for text in texts if text.get_text() and text.get_visible()]
    assert len(boxes) > 1
    for one, two in itertools.combinations(boxes, 2):
        width = min(one.x1, two.x1) - max(one.x0, two.x0)
        height = min(one.y1, two.y1) - max(one.y0, two.y0)
        assert min(width, height) < 1.5, (one, two)


def test_strategies_have_one_colour_each():
    assert set(STRATEGY_COLOURS) == set(STRATEGIES)
    assert len(set(STRATEGY_COLOURS.values())) == len(STRATEGIES)
    assert colours_for(["full"])["full"] == colours_for(["scratch", "full"])["full"]


def test_every_figure_of_runs_labels_its_axes(compared):
    _, found = compared
    curve = found.table.assign(**{"labels per class": found.table["seed"] * 5 + 5})
    drawn = [
        plot_accuracy(found.table),
        plot_accuracy(found.table, by="backbone", chance=0.3),
        plot_cost(found.table),
        plot_cost(found.table.drop(columns="backbone"), x="trainable_parameters"),
        plot_label_curve(curve),
        plot_trained_stages({r.strategy: r.trainable_table for r in found.records}),
    ]
    for ax in drawn:
        assert isinstance(ax, Axes)
        assert ax.get_xlabel()
        assert ax.get_ylabel()


def test_figures_draw_on_the_axes_given(compared):
    data, found = compared
    ax = Figure().subplots()
    assert plot_accuracy(found.table, ax=ax) is ax
    figure = Figure(layout="constrained")
    assert plot_learning_curves(found.records, figure=figure) is figure
    labels, predictions = data.test.labels, found.best.test_predictions
    ax = Figure().subplots()
    assert plot_confusion(labels, predictions, data.class_names, ax=ax) is ax


def test_accuracy_shows_every_seed_the_mean_and_the_interval_given():
    table = pd.DataFrame(
        {"backbone": "b", "strategy": "full", "test_accuracy": [0.6, 0.7, 0.8, np.nan]}
    )
    ax = plot_accuracy(table, intervals={("b", "full"): Interval(0.7, 0.5, 0.9)})
    drawn = [sorted(line.get_xdata()) for line in ax.get_lines()]
    assert drawn == [[0.5, 0.9], [0.6, 0.7, 0.8], [0.7]]
    single = plot_accuracy(table[:1])
    assert single.get_lines()[1].get_xdata() == [0.6]


def test_names_never_cover_each_other(large_table):
    ax = plot_accuracy(large_table)
    ax.figure.draw_without_rendering()
    assert_apart(ax.get_yticklabels())
    ax = plot_cost(large_table)
    ax.figure.draw_without_rendering()
    assert_apart(ax.texts)
    same = large_table.assign(test_accuracy=0.5)
    ax = plot_cost(same)
    ax.figure.draw_without_rendering()
    assert_apart(ax.texts)


def test_learning_curves_have_a_panel_for_each_strategy_and_mark_phases(compared):
    _, found = compared
    runs = [record for record in found.records if record.backbone == "mini_vgg"]
    figure = plot_learning_curves(runs)
    panels = {ax.get_title(): ax for ax in figure.axes if ax.get_visible()}
    assert list(panels) == list(STRATEGY_COLOURS)
    dotted = {
        name: sum(line.get_linestyle() == ":" for line in ax.get_lines())
        for name, ax in panels.items()
    }
    assert dotted["lp_ft"] == 2  # one change of phase for each of two seeds
    assert dotted["full"] == 0
    assert len(plot_learning_curves(found.records).axes) == 16


def test_the_line_of_cost_joins_what_nothing_beats():
    table = pd.DataFrame(
        {
            "strategy": ["scratch", "full", "partial", "lp_ft"],
            "seconds": [5.0, 10.0, 3.0, 20.0],
            "test_accuracy": [0.4, 0.8, 0.6, 0.7],
        }
    )
    line = plot_cost(table).get_lines()[0]
    assert list(zip(*line.get_data(), strict=True)) == [(3.0, 0.6), (10.0, 0.8)]


def test_trained_stages_tell_frozen_from_trained(compared):
    _, found = compared
    rows = next(r for r in found.records if r.strategy == "first_stage").trainable_table
    ax = plot_trained_stages({"first_stage": rows})
    assert [text.get_text() for text in ax.texts] == ["97%", *["frozen"] * 4, "100%"]


def test_confusion_counts_images_and_survives_a_missing_class():
    labels = np.array([0, 0, 1])
    predictions = np.eye(3)[[0, 1, 1]]
    ax = plot_confusion(labels, predictions, ["a", "b", "never seen"])
    assert [text.get_text() for text in ax.texts] == ["1", "1", "1"]
    assert ax.collections[0].get_array().ravel()[:2].tolist() == [0.5, 0.5]


def test_fifty_classes_with_long_names_stay_readable():
    names = [f"Photograph of bird number {k} in flight (Himantopus)" for k in range(50)]
    labels = np.arange(50)
    ax = plot_confusion(labels, np.eye(50)[labels], names)
    ax.figure.draw_without_rendering()
    assert_apart(ax.get_yticklabels())
    assert_apart(ax.get_xticklabels())
    assert not ax.texts
    shown = [tick.get_text() for tick in ax.get_yticklabels()]
    assert len(set(shown)) == 50


def test_most_wrong_images_come_first(compared):
    data, found = compared
    labels, predictions = data.test.labels, found.best.test_predictions
    chosen = most_wrong(labels, predictions, 4)
    confidence = predictions.max(axis=1)
    wrong = predictions.argmax(axis=1) != labels
    assert wrong[chosen].all()
    assert confidence[chosen[0]] == confidence[wrong].max()
    figure = plot_wrong(data.test.images, labels, predictions, data.class_names, count=3)
    assert len(figure.axes) == 3
    assert f"{confidence[chosen[0]]:.2f}" in figure.axes[0].get_title()
    nothing = plot_wrong(data.test.images, labels, np.eye(3)[labels], data.class_names)
    assert "No image" in nothing.texts[0].get_text()


def test_contact_sheet_takes_grey_and_coloured_images():
    assert len(plot_images(np.zeros((7, 8, 8), np.uint8), columns=3).axes) == 7
    assert len(plot_images(np.zeros((2, 8, 6, 3), np.float32), titles=["a", "b"]).axes) == 2
    with pytest.raises(InputError, match="titles"):
        plot_images(np.zeros((2, 8, 8, 3)), titles=["one"])
    with pytest.raises(InputError, match="images"):
        plot_images(np.zeros((0, 8, 8, 3)))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "name", ["$\\frac{1}$", "a\nb\tc", "<b>&", "100% \\alpha", "bad\udcffname"]
)
def test_any_name_can_be_drawn(name, tmp_path):
    labels = np.array([0, 1, 1])
    ax = plot_confusion(labels, np.eye(2)[labels], [name, "other"])
    ax.figure.savefig(tmp_path / "figure.svg")
    images = np.zeros((3, 4, 4, 3), np.uint8)
    plot_wrong(images, 1 - labels, np.eye(2)[labels], [name, "other"]).savefig(tmp_path / "w.svg")


def test_short_names_stay_apart():
    assert plain("x" * 100, 10) == "xxxxx…xxxx"
    names = [f"{'long ' * 10}{k}{' name' * 10}" for k in range(12)]
    assert len(set(plain_names(names, 12))) == 12
    assert plain_names(["only one with a very long name indeed"], 10) == ["only …deed"]
    same_ends = [f"{'a' * 30}{k:02d}{'b' * 30}" for k in range(12)]
    assert len(set(plain_names(same_ends, 12))) == 12


def test_tables_that_lack_something_are_named(compared):
    _, found = compared
    with pytest.raises(InputError, match="no column 'nonsense'"):
        plot_accuracy(found.table, metric="nonsense")
    with pytest.raises(InputError, match="no finished run"):
        plot_cost(found.table.assign(test_accuracy=np.nan))
    with pytest.raises(InputError, match="records is empty"):
        plot_learning_curves([])
    with pytest.raises(InputError, match="tables is empty"):
        plot_trained_stages({})

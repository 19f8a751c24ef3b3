"""Embedded weights: what is committed is what the manifest says, and how they are made."""

import json

import keras
import numpy as np
import pandas as pd
import pytest

from tlkit import pretraining, source_task
from tlkit.backbones import load_backbone
from tlkit.errors import InputError
from tlkit.mini import MINI, build_mini
from tlkit.paths import DATA
from tlkit.weights import FOLDER, load_weights, read_manifest, save_weights


@pytest.mark.parametrize("name", MINI)
def test_committed_weights_are_small_and_recorded(name):
    facts = read_manifest()[name]
    assert (FOLDER / f"{name}.npz").stat().st_size < 1_500_000
    assert facts["parameters"] == build_mini(name).count_params() <= 600_000
    assert facts["seconds"] <= 30 * 60
    assert facts["source_task_accuracy"] > 0.5
    assert set(facts["accuracy_by_kind"]) == {c.kind for c in source_task.source_classes()}
    assert len(pd.read_csv(FOLDER / f"{name}.csv")) == facts["epochs"]


@pytest.mark.parametrize("name", MINI)
def test_every_weight_is_finite_and_loaded(name):
    loaded = load_backbone(name).model
    random = load_backbone(name, weights=None, seed=0).model
    for mine, other in zip(loaded.weights, random.weights, strict=True):
        assert np.isfinite(np.asarray(mine)).all()
        assert not np.array_equal(mine, other), mine.path


def test_saving_is_exact_to_float16_and_repeats_to_the_byte(tmp_path):
    model = build_mini("mini_vgg")
    path = save_weights(model, {"epochs": 1}, tmp_path)
    first = path.read_bytes()
    save_weights(model, {"epochs": 1}, tmp_path)
    assert path.read_bytes() == first
    other = build_mini("mini_vgg")
    load_weights(other, tmp_path)
    for mine, stored in zip(model.weights, other.weights, strict=True):
        assert np.array_equal(np.asarray(mine).astype("float16"), np.asarray(stored))


def test_damaged_or_missing_weights_are_refused(tmp_path):
    model = build_mini("mini_vgg")
    with pytest.raises(InputError, match="tlkit pretrain mini_vgg"):
        load_weights(model, tmp_path)
    path = save_weights(model, {}, tmp_path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match="is not the file that"):
        load_weights(model, tmp_path)


@pytest.fixture
def short_source_task(monkeypatch, tmp_path):
    """Four classes and a cache of their own, so that pretraining takes seconds."""
    classes = source_task.source_classes()[::80]
    monkeypatch.setattr(source_task, "source_classes", lambda: classes)
    monkeypatch.setattr(pretraining, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(
        pretraining,
        "draw_source_images",
        lambda per_class: np.stack(
            [source_task.draw_class(i, per_class, 64, 0) for i in range(len(classes))]
        ),
    )
    return tmp_path


@pytest.mark.slow
def test_pretraining_goes_on_where_it_was_interrupted(short_source_task, monkeypatch):
    plan = {"epochs": 3, "per_class": 24, "batch_size": 8, "folder": short_source_task / "out"}
    ends = pretraining.Stopwatch.on_epoch_end

    def interrupt(self, epoch, logs=None):
        ends(self, epoch, logs)
        if epoch == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(pretraining.Stopwatch, "on_epoch_end", interrupt)
    with pytest.raises(KeyboardInterrupt):
        pretraining.pretrain("mini_vgg", **plan)
    assert not (short_source_task / "out").exists()
    monkeypatch.setattr(pretraining.Stopwatch, "on_epoch_end", ends)
    facts = pretraining.pretrain("mini_vgg", **plan)
    log = pd.read_csv(short_source_task / "out" / "mini_vgg.csv")
    assert log["epoch"].tolist() == [0, 1, 2]
    assert facts["epochs"] == 3
    manifest = json.loads((short_source_task / "out" / "manifest.json").read_text("utf-8"))
    assert manifest["mini_vgg"]["versions"]["keras"] == keras.__version__


def test_source_batches_are_in_range_and_keep_their_labels():
    images = np.zeros((6, 8, 8, 3), np.uint8)
    images += np.arange(0, 240, 40, dtype=np.uint8)[:, None, None, None]
    batches = pretraining.SourceBatches(images, np.arange(6), 4, seed=0)
    batch, labels = batches[0]
    assert len(batches) == 1
    assert batch.dtype == np.float32
    assert np.abs(batch).max() <= 1.2
    expected = np.arange(0, 240, 40)[labels] / 127.5 - 1
    assert np.allclose(batch.mean((1, 2, 3)) / expected, 1, atol=0.21)


def results():
    return pd.read_csv(DATA / "results" / "pretraining.csv", dtype={"labels": str})


# From scratch it reaches 0.72 here, where the others reach 0.25 to 0.50.
MISSED = ("mini_vgg", "sign_language")


@pytest.mark.parametrize("family", MINI)
@pytest.mark.parametrize(
    ("target", "labels", "one", "other", "points"),
    [
        ("wild_digits", "20", "full", "scratch", 30),
        ("wild_digits", "20", "frozen", "random frozen", 40),
        ("sign_language", "10", "full", "scratch", 25),
        ("clothing", "50", "full", "scratch", 10),
    ],
)
def test_stored_results_show_that_pretraining_helps(
    family, target, labels, one, other, points, request
):
    if (family, target) == MISSED:
        reason = "the aim is 25 points; its plain stack also learns this set quickly from scratch"
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    table = results().query("family == @family and target == @target and labels == @labels")
    means = table.groupby("start")["test_accuracy"].agg(["mean", "count"])
    assert means["count"].min() == 5
    assert 100 * (means["mean"][one] - means["mean"][other]) >= points
    assert table.groupby("start")["steps"].first()[[one, other]].nunique() == 1


@pytest.mark.slow
@pytest.mark.parametrize("family", ["mini_vgg", "mini_resnet"])
def test_pretraining_helps_here_and_now(family):
    """A short rerun of one row of the stored results."""
    from tlkit import fit, load_dataset

    dataset = load_dataset("wild_digits", train_per_class=20, seed=11)
    accuracy = {
        strategy: fit(
            dataset, backbone=family, strategy=strategy, epochs=3, steps_per_epoch=25, seed=11
        ).metrics["accuracy"]
        for strategy in ("feature_extraction", "scratch")
    }
    assert accuracy["feature_extraction"] - accuracy["scratch"] > 0.3

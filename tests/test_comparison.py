"""`compare`: resumable, never twice, and what it leaves behind."""

import json
import subprocess
import sys

import keras
import numpy as np
import pandas as pd
import pytest

from tlkit import comparison as module
from tlkit.comparison import compare
from tlkit.errors import InputError
from tlkit.models import load_model

PLAN = {
    "backbones": ["mini_vgg"],
    "strategies": ["feature_extraction", "partial"],
    "seeds": 2,
    "epochs": 1,
    "steps_per_epoch": 2,
    "batch_size": 8,
    "input_size": 32,
    "progress": False,
}


@pytest.fixture(scope="module")
def found(tiny_dataset, tmp_path_factory):
    return compare(tiny_dataset, out=tmp_path_factory.mktemp("runs") / "first", **PLAN)


def test_the_folder_holds_table_report_and_model(found):
    table = pd.read_csv(found.folder / "results.csv")
    assert len(table) == 4
    assert {
        "backbone",
        "strategy",
        "seed",
        "validation_accuracy",
        "test_accuracy",
        "test_macro_f1",
        "seconds",
        "trainable_parameters",
    } <= set(table)
    report = (found.folder / "report.html").read_text("utf-8")
    assert "feature_extraction" in report
    assert not [p for p in found.folder.rglob(".*")], "temporary files are left"
    assert found.recommendation


def test_the_best_model_loads_in_plain_keras_and_keeps_its_class_names(found, tiny_dataset):
    code = (
        "import sys, keras, numpy as np\n"
        "model = keras.saving.load_model(sys.argv[1])\n"
        "np.save(sys.argv[3], model.predict(np.load(sys.argv[2]), verbose=0))\n"
        "assert not any(name.startswith('tlkit') for name in sys.modules)\n"
    )
    images, answer = found.folder / "images.npy", found.folder / "answer.npy"
    np.save(images, tiny_dataset.test.images)
    command = [sys.executable, "-c", code, str(found.folder / "best.keras"), images, answer]
    subprocess.run(command, check=True, cwd=found.folder)
    assert np.allclose(np.load(answer), found.best.test_predictions, atol=1e-4)
    _, facts = load_model(found.folder / "best.keras")
    assert facts["class_names"] == ["red", "green", "blue"]
    assert (facts["strategy"], facts["seed"]) == (found.best.strategy, found.best.seed)
    images.unlink(), answer.unlink()


def test_what_is_finished_is_not_run_again(found, tiny_dataset, monkeypatch):
    monkeypatch.setattr(module, "fit", lambda *args, **kwargs: pytest.fail("ran again"))
    again = compare(tiny_dataset, out=found.folder, **PLAN)
    pd.testing.assert_frame_equal(again.table, found.table)
    assert np.array_equal(again.best.test_predictions, found.best.test_predictions)


def test_an_interruption_loses_only_the_run_in_progress(tiny_dataset, tmp_path, monkeypatch):
    calls = []

    def interrupted(*args, **kwargs):
        calls.append(kwargs["seed"])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return fit(*args, **kwargs)

    fit = module.fit
    monkeypatch.setattr(module, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compare(tiny_dataset, out=tmp_path / "runs", **PLAN)
    finished = compare(tiny_dataset, out=tmp_path / "runs", **PLAN)
    assert len(finished.table) == 4
    assert len(calls) == 5  # three tries, the third lost, then the two that were missing


def test_a_half_written_run_is_run_again(found, tiny_dataset, tmp_path):
    out = tmp_path / "runs"
    first = compare(tiny_dataset, out=out, **(PLAN | {"seeds": 1}))
    (out / "runs" / "mini_vgg-partial-0.json").unlink()  # the record is written last
    assert len(compare(tiny_dataset, out=out, **(PLAN | {"seeds": 1})).table) == len(first.table)


def test_another_question_is_refused_the_same_folder(found, tiny_dataset):
    with pytest.raises(InputError, match=r"other images or settings.*another folder"):
        compare(tiny_dataset, out=found.folder, **(PLAN | {"epochs": 2}))


def test_the_best_is_chosen_on_validation(found):
    means = found.table.groupby("strategy")["validation_accuracy"].mean()
    assert means[found.best.strategy] == means.max()
    chosen = found.table[found.table["strategy"] == found.best.strategy]
    assert found.best.validation_metrics["accuracy"] == chosen["validation_accuracy"].max()


def test_records_are_readable_json(found):
    for path in (found.folder / "runs").glob("*.json"):
        assert json.loads(path.read_text("utf-8"))["backbone"] == "mini_vgg"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backbones": ["nonsense"]}, r"nonsense.*mini_vgg"),
        ({"backbones": []}, "at least one"),
        ({"backbones": "mini_vgg"}, "lists of names"),
        ({"strategies": ["nonsense"]}, r"strategy='nonsense'"),
        ({"seeds": 0}, "seeds=0"),
    ],
)
def test_bad_arguments_are_named_before_anything_runs(tiny_dataset, arguments, message):
    with pytest.raises(InputError, match=message):
        compare(tiny_dataset, **(PLAN | arguments))


@pytest.mark.real_data
@pytest.mark.slow
def test_imagenet_features_know_clothes(shared_data, keras_home):
    """MobileNetV2, frozen: fewer images and one epoch more than this bar would need."""
    from tlkit import load_dataset

    dataset = load_dataset(shared_data / "clothing", size=224, train_per_class=20)
    found = compare(
        dataset,
        backbones=["mobilenet_v2"],
        strategies=["feature_extraction"],
        seeds=1,
        progress=False,
    )
    assert found.table["test_accuracy"].item() > 0.65
    assert keras.backend.backend() == "tensorflow"

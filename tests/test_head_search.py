"""The head search: its features, its probe, its choice, and that none of it is left to chance."""

import dataclasses
import shutil
import subprocess
import sys
from unittest.mock import patch

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from tlkit import classifier, head_probe, head_search, head_tuner
from tlkit.backbones import load_backbone
from tlkit.batches import Batches
from tlkit.dataset import Dataset, Split
from tlkit.errors import InputError
from tlkit.evaluation import accuracy_interval, paired_difference
from tlkit.head_probe import INVERSE_PENALTIES, pooled_features, probe
from tlkit.head_search import search_head
from tlkit.head_tuner import HeadTuner, TunableHead
from tlkit.initial import head_weights
from tlkit.training import fit

pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning:keras_tuner")
SPLITS = ("train", "validation", "test")
QUICK = {"trials": 4, "seeds": 2, "epochs": 2, "batch_size": 8, "input_size": 32, "progress": False}
RESULT = ["trial", "learning_rate", "weight_decay", "validation_accuracy", "validation_loss"]


@pytest.fixture(scope="module")
def hard():
    """Three classes that a head can only partly tell apart, so that settings differ."""
    rng = np.random.default_rng(1)

    def split(per_class: int) -> Split:
        labels = np.tile(np.arange(3), per_class)
        images = rng.integers(0, 200, (len(labels), 32, 32, 3))
        images[np.arange(len(labels)), :, :, labels] += 8
        return Split(images.astype(np.uint8), labels)

    return Dataset("hard", ("red", "green", "blue"), split(10), split(10), split(12))


@pytest.fixture(scope="module")
def features(hard):
    return pooled_features(hard, "mini_resnet", input_size=32)


@pytest.fixture(scope="module")
def found(hard):
    return search_head(hard, **QUICK)


def with_test_labels(dataset, labels):
    return dataclasses.replace(dataset, test=dataclasses.replace(dataset.test, labels=labels))


@pytest.mark.parametrize("backbone", ["mini_resnet", "mini_inception"])
def test_features_are_the_pooled_outputs_of_the_pretrained_backbone(hard, backbone):
    network = load_backbone(backbone, input_shape=(32, 32, 3))
    got = pooled_features(hard, backbone, input_size=32)
    for name in SPLITS:
        pixels = getattr(hard, name).images
        outputs = network.model.predict_on_batch(np.asarray(network.preprocess(pixels)))
        assert got[name].dtype == np.float32
        assert np.allclose(got[name], outputs.mean(axis=(1, 2)), atol=1e-5)


def test_a_given_backbone_gives_the_features_of_its_own_weights(hard, features):
    network = load_backbone("mini_resnet", weights=None, input_shape=(32, 32, 3), seed=7)
    got = pooled_features(hard, network)["test"]
    outputs = network.model.predict_on_batch(np.asarray(network.preprocess(hard.test.images)))
    assert np.allclose(got, outputs.mean(axis=(1, 2)), atol=1e-5)
    assert not np.allclose(got, features["test"], atol=1e-2)


def test_features_are_computed_once(hard, features):
    with patch.object(classifier.SharedClassifier, "run", side_effect=AssertionError("computed")):
        again = pooled_features(hard, "mini_resnet", input_size=32)
        assert all(np.array_equal(again[name], features[name]) for name in SPLITS)
        with pytest.raises(AssertionError, match="computed"):
            pooled_features(hard, load_backbone("mini_vgg", weights=None, seed=8))


def test_the_probe_is_what_scikit_learn_finds_step_by_step(hard, features):
    """Scaling, the path of C and the choice once more, without pipeline and grid search."""
    scaler = StandardScaler().fit(features["train"])
    train, validation, test = (scaler.transform(features[name]) for name in SPLITS)
    results = []
    for C in INVERSE_PENALTIES:
        model = LogisticRegression(C=C, max_iter=10_000).fit(train, hard.train.labels)
        given = model.predict_proba(validation)
        loss = -np.log(given[np.arange(len(given)), hard.validation.labels]).mean()
        accuracy = model.score(validation, hard.validation.labels)
        results.append((-accuracy, loss, C, given, model.predict_proba(test)))
    _, _, C, given, test_given = min(results, key=lambda result: result[:2])
    accuracies = [-result[0] for result in results]
    assert len(set(accuracies)) > 1, "a probe without a choice would test nothing"

    got = probe(features, hard)
    assert got.C == C
    assert np.allclose(got.validation_predictions, given, atol=1e-4)
    assert np.allclose(got.test_predictions, test_given, atol=1e-4)
    assert got.validation_metrics["accuracy"] == pytest.approx(max(accuracies))
    right = test_given.argmax(1) == hard.test.labels
    assert got.metrics["accuracy"] == pytest.approx(right.mean())


def test_of_equally_accurate_penalties_the_probe_takes_the_least_loss(tiny_dataset):
    """Three colours are told apart at any C; only the loss differs."""
    raw = {name: getattr(tiny_dataset, name).images.mean(axis=(1, 2)) for name in SPLITS}
    got = probe(raw, tiny_dataset)
    assert got.validation_metrics["accuracy"] == 1
    assert INVERSE_PENALTIES.index(got.C) == len(INVERSE_PENALTIES) - 1


def test_the_probe_converges_and_would_say_so_if_not(hard, features, recwarn):
    probe(features, hard)
    assert not [w for w in recwarn if "converge" in str(w.message)]
    with patch.object(head_probe, "MOST_ITERATIONS", 2), pytest.warns(match="converge"):
        probe(features, hard)


def test_the_probe_gives_a_column_to_a_class_without_training_images(hard, features):
    some = hard.train.labels != 1
    train = Split(hard.train.images[some], hard.train.labels[some])
    got = probe(
        {**features, "train": features["train"][some]}, dataclasses.replace(hard, train=train)
    )
    assert got.test_predictions.shape == (len(hard.test), 3)
    assert not got.test_predictions[:, 1].any()
    assert got.test_predictions[:, 2].any()


@pytest.mark.parametrize("weight_decay", [0.0, 0.1, 5.0])
def test_weight_decay_is_that_of_plain_keras(hard, features, weight_decay):
    """One compiled head, after another setting, against a new model with Adam's own argument."""
    head = TunableHead(features, hard, epochs=3, batch_size=8)
    head.train(0.05, 2.0, seed=1)
    best = head.train(0.02, weight_decay, seed=4)

    inputs = keras.Input(features["train"].shape[1:])
    plain = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(inputs))
    plain.set_weights(head_weights(features["train"].shape[1], 3, seed=4))
    optimizer = keras.optimizers.Adam(0.02, weight_decay=weight_decay or None)
    plain.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    batches = Batches(features["train"], hard.train.labels, 8, seed=[4, 0], steps=20)
    validation = (features["validation"], hard.validation.labels)
    options = {"epochs": 3, "shuffle": False, "verbose": 0}
    log = plain.fit(batches, validation_data=validation, **options).history
    for mine, theirs in zip(head.trainer.model.get_weights(), plain.get_weights(), strict=True):
        assert np.allclose(mine, theirs, atol=1e-6)
    assert best.history["val_accuracy"] == pytest.approx(log["val_accuracy"], abs=1e-6)
    assert best.history["val_loss"] == pytest.approx(log["val_loss"], abs=1e-5)


def test_a_trial_is_the_run_that_fit_does(hard, found):
    options = {name: QUICK[name] for name in ("epochs", "batch_size", "input_size")}
    runs = [
        fit(hard, strategy="feature_extraction", seed=seed, **options, **found.best)
        for seed in range(QUICK["seeds"])
    ]
    accuracies = [run.validation_metrics["accuracy"] for run in runs]
    first = found.table.iloc[0]
    assert first["validation_accuracy"] == pytest.approx(np.mean(accuracies))
    assert first["spread"] == pytest.approx(np.std(accuracies, ddof=1))
    for run, predictions in zip(runs, found.test_predictions, strict=True):
        assert np.allclose(run.test_predictions, predictions, atol=1e-4)


def test_the_best_is_the_first_row_and_no_row_is_better(found):
    table = found.table
    assert len(table) == QUICK["trials"]
    assert sorted(table["trial"]) == [1, 2, 3, 4]
    assert table["validation_accuracy"].nunique() > 1, "equal rows would test nothing"
    best = table[table["validation_accuracy"] == table["validation_accuracy"].max()]
    best = best.loc[best["validation_loss"].idxmin()]
    assert found.best == {name: best[name] for name in ("learning_rate", "weight_decay")}
    assert found.validation_accuracy == table["validation_accuracy"].max()
    assert table["learning_rate"].between(1e-4, 1e-1).all()
    assert table["weight_decay"].isin(head_tuner.WEIGHT_DECAYS).all()


def test_of_equal_accuracies_the_least_loss_wins(hard):
    three = Split(hard.validation.images[:3], hard.validation.labels[:3])
    few = dataclasses.replace(hard, validation=three)
    table = search_head(few, **(QUICK | {"trials": 8, "seeds": 1})).table
    tied = table[table["validation_accuracy"] == table["validation_accuracy"].iloc[0]]
    assert len(tied) > 1, "without a tie this tests nothing"
    assert tied["trial"].tolist() != sorted(tied["trial"]), "nor would it in the order drawn"
    assert tied["validation_loss"].is_monotonic_increasing


def test_the_test_split_is_measured_over_seeds_and_against_the_probe(hard, found):
    right = found.test_predictions.argmax(2) == hard.test.labels
    assert right.shape == (QUICK["seeds"], len(hard.test))
    assert found.test_accuracy == accuracy_interval(right)
    other = found.probe.test_predictions.argmax(1) == hard.test.labels
    assert found.difference == paired_difference(right, np.stack([other, other]))
    assert str(found.difference) in found.conclusion
    assert found.conclusion.count(". ") == 0, "one sentence"


@pytest.mark.parametrize(
    ("head_errors", "probe_errors", "words"),
    [(0, 200, "beats"), (200, 0, "is beaten by"), (100, 100, "cannot be told apart from")],
)
def test_the_conclusion_says_who_wins(head_errors, probe_errors, words):
    image = np.arange(400)
    gain = paired_difference(image >= head_errors, image < 400 - probe_errors)
    best = {"learning_rate": 0.01, "weight_decay": 0.0}
    text = head_search._conclude(best, 0.5, 0.5, gain)
    assert f"{words} the logistic-regression probe" in text
    assert "learning rate 0.01, weight decay 0)" in text


def test_a_search_repeats_exactly_and_another_seed_is_another_search(hard, found):
    again = search_head(hard, **QUICK)
    pd.testing.assert_frame_equal(again.table[RESULT], found.table[RESULT])
    assert np.array_equal(again.test_predictions, found.test_predictions)
    other = search_head(hard, **(QUICK | {"seed": 1}))
    assert not set(other.table["learning_rate"]) & set(found.table["learning_rate"])


def test_test_labels_have_no_part_in_the_choice(hard, found):
    turned = with_test_labels(hard, np.roll(hard.test.labels, 1))
    got = search_head(turned, **QUICK)
    pd.testing.assert_frame_equal(got.table[RESULT], found.table[RESULT])
    assert got.best == found.best
    assert got.probe.C == found.probe.C
    assert got.test_accuracy != found.test_accuracy


class Stop(BaseException):
    """As if the process were interrupted."""


def stop_after(count):
    """Let `count` trainings pass; stop in the next."""
    train, calls = TunableHead.train, []

    def counted(self, *args, **kwargs):
        calls.append(1)
        if count is not None and len(calls) > count:
            raise Stop
        return train(self, *args, **kwargs)

    return patch.object(TunableHead, "train", counted), calls


def test_an_interrupted_search_goes_on(hard, found, tmp_path, capsys):
    out = tmp_path / "search"
    stopping, _ = stop_after(5)  # two trials, and half of the third
    with stopping, pytest.raises(Stop):
        search_head(hard, out=out, **QUICK)
    assert not (out / "trials.csv").exists()
    counting, calls = stop_after(None)
    with counting:
        resumed = search_head(hard, out=out, **QUICK)
    assert len(calls) == 4 + 2, "two trials were left, and the test split at the end"
    pd.testing.assert_frame_equal(resumed.table[RESULT], found.table[RESULT])
    assert pd.read_csv(out / "trials.csv")["trial"].tolist() == found.table["trial"].tolist()
    assert capsys.readouterr() == ("", "")

    more = search_head(hard, out=out, **(QUICK | {"trials": 6})).table
    drawn = more.sort_values("trial", ignore_index=True)[RESULT]
    first = found.table.sort_values("trial", ignore_index=True)[RESULT]
    pd.testing.assert_frame_equal(drawn.head(4), first)
    counting, calls = stop_after(None)
    with counting:
        fewer = search_head(hard, out=out, **QUICK)
    assert len(calls) == 2, "nothing but the test split"
    pd.testing.assert_frame_equal(fewer.table[RESULT], found.table[RESULT])


def test_a_trial_of_which_only_the_file_was_written_is_drawn_again(hard, found, tmp_path):
    """A process killed between KerasTuner's two files leaves a trial that nobody would run."""
    out = tmp_path / "search"
    stopping, _ = stop_after(4)
    with stopping, pytest.raises(Stop):
        search_head(hard, out=out, **QUICK)
    account = out / "tuner" / "oracle.json"
    earlier = tmp_path / "earlier"
    begun = HeadTuner.on_trial_begin

    def keep(self, trial):
        if len(self.oracle.trials) == 4:
            shutil.copy(earlier, account)
            raise Stop
        return begun(self, trial)

    def before(self):
        shutil.copy(account, earlier)

    with (
        patch.object(HeadTuner, "pre_create_trial", before),
        patch.object(HeadTuner, "on_trial_begin", keep),
        pytest.raises(Stop),
    ):
        search_head(hard, out=out, **QUICK)
    assert (out / "tuner" / "trial_3").exists()
    got = search_head(hard, out=out, **QUICK)
    pd.testing.assert_frame_equal(got.table[RESULT], found.table[RESULT])


def test_a_folder_of_something_else_is_refused(hard, tmp_path):
    out = tmp_path / "search"
    search_head(hard, out=out, **(QUICK | {"trials": 1}))
    files = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=r"out=.*search on other.*'epochs': 2.*'epochs': 3"):
        search_head(hard, out=out, **(QUICK | {"epochs": 3}))
    with pytest.raises(InputError, match="other images"):
        search_head(with_test_labels(hard, hard.test.labels[::-1]), out=out, **QUICK)
    network = load_backbone("mini_resnet", weights=None, input_shape=(32, 32, 3), seed=1)
    with pytest.raises(InputError, match="weights"):
        search_head(hard, backbone=network, out=out, **(QUICK | {"input_size": None}))
    assert files == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("do not touch")
    for other in (tmp_path / "mine", tmp_path / "mine" / "notes.txt"):
        with pytest.raises(InputError, match="holds no head search"):
            search_head(hard, out=other, **QUICK)
    (out / "tuner" / "oracle.json").write_text('{"cut": ')
    with pytest.raises(InputError, match="cannot be read"):
        search_head(hard, out=out, **QUICK)


def test_nothing_is_printed_or_left_behind(hard, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    search_head(hard, **(QUICK | {"trials": 1, "seeds": 1}))
    assert capsys.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())
    found = search_head(hard, **(QUICK | {"trials": 1, "seeds": 1, "progress": True}))
    shown = capsys.readouterr()
    assert "100%" in shown.err
    assert not shown.out
    assert found.table["spread"].isna().all(), "one seed tells nothing about spread"
    assert "1 seed)" in found.conclusion


def test_an_error_in_a_trial_is_the_users_to_see(hard):
    train, errors = TunableHead.train, [MemoryError("no room")]

    def fail_once(*args, **kwargs):
        if errors:
            raise errors.pop()
        return train(*args, **kwargs)

    with (
        patch.object(TunableHead, "train", fail_once),
        pytest.raises(RuntimeError, match=r"learning_rate.*no room"),
    ):
        search_head(hard, **QUICK)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"trials": 0}, "trials=0"),
        ({"seeds": 0}, "seeds=0"),
        ({"epochs": 1.5}, r"epochs=1\.5"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"seed": -1}, "seed=-1.*at least 0"),
        ({"backbone": "mini_resnett"}, r"mini_resnett.*Did you mean"),
    ],
)
def test_bad_arguments_are_named(hard, arguments, message, tmp_path):
    with pytest.raises(InputError, match=message):
        search_head(hard, out=tmp_path / "out", **(QUICK | arguments))
    assert not list(tmp_path.iterdir())


def test_a_size_goes_with_a_name_and_labels_with_features(hard, features):
    network = load_backbone("mini_vgg", weights=None, input_shape=(32, 32, 3))
    with pytest.raises(InputError, match="input_size=48"):
        pooled_features(hard, network, input_size=48)
    with pytest.raises(InputError, match=r"features\['train'\] has 2 rows.*30 labels"):
        probe({**features, "train": features["train"][:2]}, hard)
    one = Split(hard.train.images, np.zeros_like(hard.train.labels))
    with pytest.raises(InputError, match=r"'hard'.*one class"):
        probe(features, dataclasses.replace(hard, train=one))
    early = patch.object(TunableHead, "train", side_effect=AssertionError("trained"))
    with early, pytest.raises(InputError, match="one class"):
        search_head(dataclasses.replace(hard, train=one), **QUICK)


def command(*arguments, cwd=None):
    code = "from tlkit.cli import main; main()"
    words = [sys.executable, "-c", code, "head", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, cwd=cwd, check=False)


@pytest.mark.slow
def test_the_command_shows_the_best_five_the_probe_and_the_conclusion(tmp_path):
    options = ["--backbone", "mini_vgg", "--trials", 6, "--seeds", 2, "--epochs", 1]
    options += ["--size", 32, "--train-per-class", 3, "--split-seed", 1, "--out", "found"]
    done = command("digits", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Logistic regression (C = " in done.stdout
    assert "the logistic-regression probe: test accuracy" in done.stdout
    assert "100%" in done.stderr
    table = pd.read_csv(tmp_path / "found" / "trials.csv")
    assert len(table) == 6
    for row in table.head(5).itertuples():
        assert f"{row.learning_rate:.2g}" in done.stdout
    assert f"{table['validation_accuracy'].iloc[0]:.3f}" in done.stdout
    assert list(tmp_path.iterdir()) == [tmp_path / "found"]


def test_the_commands_mistakes_are_one_line(tmp_path):
    done = command("digits", "--backbone", "magic", cwd=tmp_path)
    assert done.returncode == 2
    assert "magic" in done.stderr
    assert "Traceback" not in done.stderr

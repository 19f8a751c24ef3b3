"""Searches the head of `feature_extraction`: learning rate and weight decay, over seeds.

The backbone is frozen, so its pooled outputs are all that a head ever sees. They are computed once
and kept on disk; each trial then trains one dense layer, which takes a fraction of a second.
KerasTuner draws the settings and keeps account of them. Beside the head stands a probe: logistic
regression on the same features, which has one setting and one solution. A tuned head that does not
beat it has learnt nothing that needed tuning.
"""

import io
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pandas as pd
import tensorflow as tf
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from tlkit import training
from tlkit.backbones import Backbone, load_backbone
from tlkit.batches import Batches
from tlkit.classifier import Trainer, shared_classifier
from tlkit.dataset import SPLIT_NAMES, Dataset
from tlkit.epochs import BestEpoch, validation_logs
from tlkit.errors import InputError
from tlkit.evaluation import (
    Interval,
    PairedDifference,
    accuracy_interval,
    classification_metrics,
    paired_difference,
)
from tlkit.hashing import content_hash
from tlkit.initial import head_weights
from tlkit.prefix import Pixels
from tlkit.prefix import features as outputs_of_frozen_part
from tlkit.recommendation import SURE_BELOW

LEARNING_RATES = (1e-4, 1e-1)  # bounds; drawn evenly on a logarithmic scale
WEIGHT_DECAYS = (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
INVERSE_PENALTIES = tuple(10.0**power for power in range(-5, 3))  # C of the probe
MOST_ITERATIONS = 5_000  # the probe was seen to need up to 50
PATIENCE = 10  # as in `fit`, so that a trial is the run that `fit` would do
SUBJECT = "head_search.json"
MEASURED = ("validation_accuracy", "spread", "validation_loss", "seconds")


@dataclass(frozen=True)
class Probe:
    """Logistic regression on a frozen backbone's features: what a head must beat.

    Attributes:
        C: inverse strength of the L2 penalty, the one of `INVERSE_PENALTIES` with the highest
            validation accuracy; of equals, the one with the lowest loss.
        validation_metrics: see `tlkit.evaluation.classification_metrics`. C was chosen by these.
        metrics: of the test split.
        validation_predictions: probabilities, float64 [n, classes].
        test_predictions: likewise.
    """

    C: float
    validation_metrics: dict[str, float]
    metrics: dict[str, float]
    validation_predictions: np.ndarray = field(repr=False)
    test_predictions: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class HeadSearch:
    """What a search found.

    Attributes:
        table: one row a trial, best first: `trial` (from 1, in the order in which they were
            drawn), `learning_rate`, `weight_decay`, `validation_accuracy` (mean over seeds of the
            best epoch's), `spread` (its standard deviation over seeds; NaN for one seed),
            `validation_loss` (mean, in nats) and `seconds` (of training, all seeds together).
        best: `learning_rate` and `weight_decay` of the first row, as `tlkit.fit` takes them.
        validation_accuracy: of the first row. The largest of many is flattering by nature;
            `test_accuracy` is not.
        test_accuracy: of the best setting, over other images and other seeds.
        test_predictions: its probabilities, float32 [seeds, n, classes].
        probe: the logistic regression beside it.
        difference: accuracy of the tuned head less that of the probe, on the same test images.
        conclusion: in words, whether the head beats the probe.
    """

    table: pd.DataFrame
    best: dict[str, float]
    validation_accuracy: float
    test_accuracy: Interval
    test_predictions: np.ndarray = field(repr=False)
    probe: Probe
    difference: PairedDifference
    conclusion: str


def pooled_features(
    dataset: Dataset, backbone: str | Backbone, *, input_size: int | None = None
) -> dict[str, np.ndarray]:
    """Compute what a frozen backbone makes of every image, or find it on disk.

    Args:
        dataset: as `load_dataset` returns it.
        backbone: a name of `list_backbones()`, with its pretrained weights; or a `Backbone`.
        input_size: side in pixels to which images are resized, for a backbone given by name; None
            for the size that it was pretrained on.

    Returns:
        For "train", "validation" and "test" the outputs of its last layer, averaged over positions:
        float32 [n, features], memory-mapped and read-only.

    Raises:
        InputError: an argument is not one of the above.

    Example:
        >>> from tlkit.datasets import load_dataset
        >>> digits = load_dataset("digits", train_per_class=1)
        >>> pooled_features(digits, "mini_vgg")["train"].shape
        (10, 128)
    """
    network = _network(backbone, input_size)
    image_shape = tuple(dataset.train.images.shape[1:])
    architecture = (network.name, network.input_shape, image_shape, dataset.num_classes)
    with training._one_at_a_time:
        shared = shared_classifier(*architecture)
        head = shared.model.get_weights()[-2:]
        shared.model.set_weights(network.model.get_weights() + head)
        cut = shared.trainer(("head",), "frozen").cut
        return {
            name: outputs_of_frozen_part(shared, cut, Pixels(getattr(dataset, name).images))[0]
            for name in SPLIT_NAMES
        }


def probe(features: Mapping[str, np.ndarray], dataset: Dataset) -> Probe:
    """Fit multinomial logistic regression, and choose its penalty on the validation split.

    Features are standardised by the training images. Nothing here is random. If the optimiser
    stops before it has converged, scikit-learn warns.

    Args:
        features: "train", "validation" and "test", float [n, features], as `pooled_features`
            returns them.
        dataset: the labels.

    Returns:
        A `Probe`.

    Raises:
        InputError: the training images have one class only, or features and labels do not have
            the same length.

    Example:
        >>> from tlkit.datasets import load_dataset
        >>> digits = load_dataset("digits", train_per_class=5)
        >>> raw = {s: getattr(digits, s).images[:, ::8, ::8, 0].reshape(-1, 64) / 255
        ...        for s in ("train", "validation", "test")}
        >>> probe(raw, digits).metrics["accuracy"] > 0.7
        True
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, PredefinedSplit
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    _check_labels(features, dataset)
    labels = {name: getattr(dataset, name).labels for name in SPLIT_NAMES}

    def probabilities(model, rows: np.ndarray) -> np.ndarray:
        """Give a column to classes of which there is no training image, too."""
        columns = np.zeros((len(rows), dataset.num_classes))
        columns[:, model.classes_] = model.predict_proba(rows)
        return columns

    def score(model, rows: np.ndarray, true: np.ndarray) -> dict[str, float]:
        logs = validation_logs(true, probabilities(model, rows))
        return {"accuracy": logs["val_accuracy"], "negative_loss": -logs["val_loss"]}

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=MOST_ITERATIONS))
    held_out = PredefinedSplit(
        np.repeat([-1, 0], [len(labels["train"]), len(labels["validation"])])
    )
    search = GridSearchCV(
        model,
        {"logisticregression__C": list(INVERSE_PENALTIES)},
        scoring=score,
        cv=held_out,
        refit=False,  # with validation images in the fit, their accuracy would mean nothing
        error_score="raise",
    )
    search.fit(
        np.concatenate([features["train"], features["validation"]]),
        np.concatenate([labels["train"], labels["validation"]]),
    )
    found = pd.DataFrame(search.cv_results_)
    order = ["mean_test_accuracy", "mean_test_negative_loss"]  # scikit-learn's word for held out
    chosen = found.sort_values(order, ascending=False, kind="stable").iloc[0]
    model.set_params(**chosen["params"]).fit(features["train"], labels["train"])
    validation, test = (probabilities(model, features[name]) for name in SPLIT_NAMES[1:])
    return Probe(
        C=chosen["params"]["logisticregression__C"],
        validation_metrics=classification_metrics(labels["validation"], validation),
        metrics=classification_metrics(labels["test"], test),
        validation_predictions=validation,
        test_predictions=test,
    )


def search_head(
    dataset: Dataset,
    *,
    backbone: str | Backbone = "mini_resnet",
    trials: int = 20,
    seeds: int = 3,
    epochs: int = 10,
    batch_size: int = 32,
    input_size: int | None = None,
    seed: int = 0,
    out: str | os.PathLike | None = None,
    progress: bool = True,
) -> HeadSearch:
    """Find a learning rate and a weight decay for `feature_extraction` on these images.

    Settings are drawn at random (Bergstra & Bengio 2012): the rate between 1e-4 and 1e-1, evenly
    on a logarithmic scale, the decay from 0 and the powers of ten from 1e-6 to 1e-1. A trial is
    what `tlkit.fit(strategy="feature_extraction")` does with a setting, once for each seed. The
    setting with the highest mean validation accuracy is chosen, of equals the one with the lowest
    loss; then, and only then, the test split is looked at.

    Args:
        dataset: as `load_dataset` returns it.
        backbone: a name of `list_backbones()`, or a `Backbone`.
        trials: settings to try.
        seeds: seeds for each setting: `seed`, `seed` + 1, and so on.
        epochs: epochs a seed.
        batch_size: images a step.
        input_size: see `pooled_features`.
        seed: of the settings, and the first of the seeds.
        out: folder for trials.csv and KerasTuner's own files. Called again after an interruption,
            or with more trials, only what is missing is run. None to write nothing.
        progress: show a progress bar on stderr.

    Returns:
        A `HeadSearch`.

    Raises:
        InputError: an argument is not one of the above, or `out` holds something else.

    Example:
        >>> from tlkit.datasets import load_dataset
        >>> digits = load_dataset("digits", train_per_class=2)
        >>> found = search_head(digits, backbone="mini_vgg", trials=2, seeds=2, epochs=1,
        ...                     progress=False)
        >>> sorted(found.best), len(found.table)
        (['learning_rate', 'weight_decay'], 2)
    """
    training._check_positive(trials=trials, seeds=seeds, epochs=epochs, batch_size=batch_size)
    if not isinstance(seed, int) or seed < 0:
        raise InputError(f"seed={seed!r}: give a whole number of at least 0")
    network = _network(backbone, input_size)
    numbers = range(seed, seed + seeds)
    settings = {"epochs": epochs, "batch_size": batch_size, "seeds": list(numbers)}
    with _project(out, dataset, network, settings) as folder:
        features = pooled_features(dataset, network)
        _check_labels(features, dataset)
        head = TunableHead(features, dataset, epochs, batch_size)
        table = _try_settings(head, numbers, trials, folder, progress)
        if out is not None:
            _write(folder / "trials.csv", table.to_csv(index=False))
    best = {name: float(table[name].iloc[0]) for name in ("learning_rate", "weight_decay")}
    predictions = np.stack([head.test_predictions(**best, seed=number) for number in numbers])
    baseline = probe(features, dataset)
    right = predictions.argmax(axis=2) == dataset.test.labels
    baseline_right = baseline.test_predictions.argmax(axis=1) == dataset.test.labels
    difference = paired_difference(right, np.tile(baseline_right, (seeds, 1)))
    return HeadSearch(
        table=table,
        best=best,
        validation_accuracy=float(table["validation_accuracy"].iloc[0]),
        test_accuracy=accuracy_interval(right),
        test_predictions=predictions,
        probe=baseline,
        difference=difference,
        conclusion=_conclude(best, float(right.mean()), baseline.metrics["accuracy"], difference),
    )


class TunableHead:
    """The head of a classifier on features, compiled once for all settings and seeds.

    Keras reads an optimiser's weight decay when it traces a step; here it is a variable, so that a
    new one needs no new trace. The learning rate is a variable already.
    """

    def __init__(
        self, features: Mapping[str, np.ndarray], dataset: Dataset, epochs: int, batch_size: int
    ):
        """Build a dense softmax layer for `features`, and trace its training."""
        self.features, self.dataset = features, dataset
        self.epochs, self.batch_size = epochs, batch_size
        rows = len(dataset.train)
        self.steps = max(training.LEAST_STEPS, -(-rows // batch_size))
        inputs = keras.Input(features["train"].shape[1:], name="pooled")
        layer = keras.layers.Dense(dataset.num_classes, activation="softmax", name="classes")
        self.decay = tf.Variable(0.0, trainable=False)
        optimizer = keras.optimizers.Adam(weight_decay=self.decay)
        self.trainer = Trainer(keras.Model(inputs, layer(inputs)), (), optimizer)
        self.trainer.trace([features["train"]], dataset.train.labels, batch_size)

    def train(
        self,
        learning_rate: float,
        weight_decay: float,
        seed: int,
        on_epoch: Callable[[int, dict], None] | None = None,
    ) -> BestEpoch:
        """Train from new weights, in an order that `seed` decides, and return the best epoch."""
        self.trainer.restart(learning_rate)
        self.decay.assign(weight_decay)
        model, train, validation = self.trainer.model, self.dataset.train, self.dataset.validation
        width = self.features["train"].shape[-1]
        model.set_weights(head_weights(width, self.dataset.num_classes, seed))
        batches = Batches(
            self.features["train"], train.labels, self.batch_size, seed=[seed, 0], steps=self.steps
        )
        best = BestEpoch(validation.labels, PATIENCE, on_epoch)
        best.start_phase(0, lambda: model.predict_on_batch(self.features["validation"]))
        model.fit(batches, epochs=self.epochs, shuffle=False, callbacks=[best], verbose=0)
        return best

    def test_predictions(self, learning_rate: float, weight_decay: float, seed: int) -> np.ndarray:
        """Train, and return the probabilities of the test images at the best epoch.

        Returns:
            float32 [n, classes].
        """
        weights = self.train(learning_rate, weight_decay, seed).weights
        self.trainer.model.set_weights(weights)
        return self.trainer.model.predict_on_batch(self.features["test"])


class HeadTuner(keras_tuner.RandomSearch):
    """KerasTuner's random search, in which a trial is a setting trained from several seeds."""

    def __init__(
        self,
        head: TunableHead,
        seeds: Sequence[int],
        trials: int,
        folder: Path,
        on_progress: Callable[[float], None],
    ):
        """Draw `trials` settings, less those which `folder` holds already.

        `on_progress` is called after each epoch with the number of trials so far, in fractions.
        """
        self.head, self.seeds, self.on_progress = head, seeds, on_progress
        space = keras_tuner.HyperParameters()
        low, high = LEARNING_RATES
        space.Float("learning_rate", low, high, sampling="log")
        space.Choice("weight_decay", list(WEIGHT_DECAYS))
        # KerasTuner takes 0 for "no seed", and counts up from its seed: 1 would repeat most of 0.
        own = int(np.random.SeedSequence(seeds[0]).generate_state(1)[0])
        super().__init__(
            objective=keras_tuner.Objective("validation_accuracy", "max"),
            max_trials=trials,
            seed=own,
            hyperparameters=space,
            tune_new_entries=False,
            allow_new_entries=False,
            directory=str(folder),
            project_name="tuner",
            overwrite=False,
        )

    def reload(self):
        """Go on from the files; a trial that never was in the account is drawn again."""
        super().reload()
        trials = self.oracle.trials
        for name in set(trials) - set(self.oracle.start_order):
            del trials[name]

    def run_trial(self, trial, **_):
        """Train a setting from every seed and return its means."""
        try:
            return self._measure(int(trial.trial_id), trial.hyperparameters.values)
        except Exception as error:  # KerasTuner would count it as a bad setting and go on
            raise keras_tuner.errors.FatalRuntimeError(
                f"trial {trial.hyperparameters.values}: {error}"
            ) from error

    def _measure(self, before: int, values: dict[str, float]) -> dict[str, float]:
        start, epochs = time.perf_counter(), len(self.seeds) * self.head.epochs
        logs = []
        for position, seed in enumerate(self.seeds):

            def on_epoch(epoch: int, _, done: int = position * self.head.epochs) -> None:
                self.on_progress(before + (done + epoch) / epochs)

            best = self.head.train(**values, seed=seed, on_epoch=on_epoch)
            logs.append(validation_logs(self.head.dataset.validation.labels, best.predictions))
        self.on_progress(before + 1)
        accuracy = np.array([log["val_accuracy"] for log in logs])
        measured = {
            "validation_accuracy": float(accuracy.mean()),
            "validation_loss": float(np.mean([log["val_loss"] for log in logs])),
            "seconds": time.perf_counter() - start,
        }
        return measured | ({"spread": float(accuracy.std(ddof=1))} if len(logs) > 1 else {})


def _try_settings(
    head: TunableHead, seeds: Sequence[int], trials: int, folder: Path, progress: bool
) -> pd.DataFrame:
    """Run the trials that `folder` does not hold, and tabulate all, best first."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=not progress,
    )
    task = bar.add_task(f"{trials} trials", total=trials)
    on_progress = lambda done: bar.update(task, completed=done)  # noqa: E731
    with bar:
        try:
            with redirect_stdout(io.StringIO()):  # KerasTuner prints that it goes on
                tuner = HeadTuner(head, seeds, trials, folder, on_progress)
        except (ValueError, KeyError, RuntimeError) as error:
            raise InputError(
                f"out={str(folder)!r} holds a search that cannot be read ({error}); remove the "
                "folder, or give another one"
            ) from error
        tuner.search(verbose=0)
        on_progress(trials)
    rows = [
        {
            "trial": int(name) + 1,
            **trial.hyperparameters.values,
            **{
                key: trial.metrics.get_last_value(key) if trial.metrics.exists(key) else np.nan
                for key in MEASURED
            },
        }
        for name, trial in tuner.oracle.trials.items()
    ]
    table = pd.DataFrame(rows).sort_values("trial").iloc[:trials]
    order = ["validation_accuracy", "validation_loss", "trial"]
    return table.sort_values(order, ascending=[False, True, True], ignore_index=True)


@contextmanager
def _project(
    out: str | os.PathLike | None, dataset: Dataset, network: Backbone, settings: dict[str, Any]
) -> Iterator[Path]:
    """Give the folder to work in: `out`, unless it holds something else, or a temporary one."""
    if out is None:
        with tempfile.TemporaryDirectory(prefix="tlkit-head-") as temporary:
            yield Path(temporary)
        return
    folder = Path(out)
    splits = [getattr(dataset, name) for name in SPLIT_NAMES]
    arrays = (array for split in splits for array in (split.images, split.labels))
    subject = {
        "settings": {
            "backbone": network.name,
            "input_shape": list(network.input_shape),
            **settings,
        },
        "weights": content_hash(network.model.get_weights()),
        "dataset": {"class_names": list(dataset.class_names), "sha256": content_hash(arrays)},
    }
    path = folder / SUBJECT
    if path.is_file():
        held = json.loads(path.read_text("utf-8"))
        if held != subject:
            raise InputError(
                f"out={str(out)!r} holds a search on other images, weights or settings "
                f"({held['settings']}, here {subject['settings']}); give another folder"
            )
    elif folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise InputError(f"out={str(out)!r} is there and holds no head search; give another folder")
    else:
        folder.mkdir(parents=True, exist_ok=True)
        _write(path, json.dumps(subject, indent=2))
    yield folder


def _network(backbone: str | Backbone, input_size: int | None) -> Backbone:
    if isinstance(backbone, Backbone):
        if input_size is not None:
            raise InputError(
                f"input_size={input_size!r} goes with a backbone's name; this Backbone takes "
                f"{backbone.input_shape}"
            )
        return backbone
    shape = None if input_size is None else (input_size, input_size, 3)
    return load_backbone(backbone, input_shape=shape)


def _check_labels(features: Mapping[str, np.ndarray], dataset: Dataset) -> None:
    for name in SPLIT_NAMES:
        split = getattr(dataset, name)
        if not len(split) or len(features[name]) != len(split):
            raise InputError(
                f"features[{name!r}] has {len(features[name])} rows and the split "
                f"{len(split)} labels; give as many of each, and at least one"
            )
    if len(np.unique(dataset.train.labels)) < 2:
        raise InputError(f"dataset={dataset.name!r}: its training images are all of one class")


def _conclude(best: dict[str, float], head: float, baseline: float, gain: PairedDifference) -> str:
    setting = f"learning rate {best['learning_rate']:.2g}, weight decay {best['weight_decay']:g}"
    if gain.p_value >= SURE_BELOW or gain.low <= 0 <= gain.high:
        verdict = "cannot be told apart from"
    else:
        verdict = "beats" if gain.difference > 0 else "is beaten by"
    seeds = "1 seed" if gain.seeds == 1 else f"{gain.seeds} seeds"
    return (
        f"The tuned head ({setting}) {verdict} the logistic-regression probe: test accuracy "
        f"{head:.3f} against {baseline:.3f}, difference {gain} ({gain.images} images, {seeds})."
    )


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    temporary.write_text(text, "utf-8")
    temporary.replace(path)

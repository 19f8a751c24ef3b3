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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from tlkit import training
from tlkit.backbones import Backbone
from tlkit.dataset import SPLIT_NAMES, Dataset
from tlkit.errors import InputError
from tlkit.evaluation import (
    Interval,
    PairedDifference,
    accuracy_interval,
    paired_difference,
)
from tlkit.hashing import content_hash
from tlkit.head_probe import Probe, check_labels, network_of, pooled_features, probe
from tlkit.head_tuner import HeadTuner, TunableHead
from tlkit.recommendation import SURE_BELOW

SUBJECT = "head_search.json"
MEASURED = ("validation_accuracy", "spread", "validation_loss", "seconds")


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
    network = network_of(backbone, input_size)
    numbers = range(seed, seed + seeds)
    settings = {"epochs": epochs, "batch_size": batch_size, "seeds": list(numbers)}
    with _project(out, dataset, network, settings) as folder:
        features = pooled_features(dataset, network)
        check_labels(features, dataset)
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

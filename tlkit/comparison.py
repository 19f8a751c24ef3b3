"""Compares strategies and backbones over seeds on one data set: resumable, with a report."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tlkit.backbones import list_backbones
from tlkit.dataset import SPLIT_NAMES, Dataset
from tlkit.errors import InputError
from tlkit.hashing import content_hash
from tlkit.models import save_model
from tlkit.parallel import carry_out, processes
from tlkit.progress import RunProgress
from tlkit.recommendation import best_record, recommend
from tlkit.report import write_report
from tlkit.runs import Record, Run
from tlkit.strategies import EVERYTHING, get_strategy
from tlkit.training import fit

ARRAYS = ("validation_predictions", "test_predictions")
COMMON_STRATEGIES = ("scratch", "feature_extraction", "partial", "full", "lp_ft")


@dataclass
class Comparison:
    """What a comparison found.

    Attributes:
        dataset_summary: name, description, class names, images per split, skipped files.
        table: one row a run (see `results_table`).
        records: the runs, in the order of the table.
        folder: where it was written, or None.
        recommendation: which to take and how sure that is, in words.
        best: the run with the highest validation accuracy within the best configuration.
    """

    dataset_summary: dict[str, Any]
    table: pd.DataFrame
    records: list[Record]
    folder: Path | None
    recommendation: str
    best: Record


def compare(
    dataset: Dataset,
    *,
    backbones: Sequence[str] = ("mini_resnet",),
    strategies: Sequence[str] = COMMON_STRATEGIES,
    seeds: int | Sequence[int] = 3,
    epochs: int = 10,
    out: str | os.PathLike | None = None,
    progress: bool = True,
    n_jobs: int = 1,
    scheduler: str | None = None,
    **settings,
) -> Comparison:
    """Fit every backbone by every strategy from every seed, and say which to take.

    With `out`, each run is written when it is finished; called again after an interruption, or
    with more strategies or seeds, only what is missing is run.

    Args:
        dataset: as `load_dataset` returns it.
        backbones: names of `list_backbones()`.
        strategies: keys of `tlkit.strategies.STRATEGIES`.
        seeds: how many, counted from 0, or which.
        epochs: epochs a run.
        out: folder for results.csv, report.html, best.keras and the single runs; None to write
            nothing.
        progress: show a progress bar on stderr.
        n_jobs: processes on this machine, which divide its cores; -1 for one a core. Worth it for
            small backbones on several cores.
        scheduler: address of a Dask scheduler whose workers do the runs instead.
        **settings: further arguments of `tlkit.fit`.

    Returns:
        A `Comparison`.

    Raises:
        InputError: an argument is not one of the above, or `out` holds another comparison.

    Example:
        >>> from tlkit.datasets import load_dataset
        >>> digits = load_dataset("digits", train_per_class=1)
        >>> found = compare(digits, backbones=["mini_vgg"], strategies=["feature_extraction"],
        ...                 seeds=1, epochs=1, progress=False)
        >>> found.table[["backbone", "strategy", "seed"]].values.tolist()
        [['mini_vgg', 'feature_extraction', 0]]
    """
    plan = _plan(backbones, strategies, seeds)
    store = _Store(Path(out), dataset, settings | {"epochs": epochs}) if out else None
    found = store.load_all(plan) if store else {}
    missing = [key for key in _lowest_cut_first(plan) if key not in found]
    common: dict[str, Any] = settings | {"epochs": epochs}
    tasks: list[dict[str, Any]] = [
        dict(zip(("backbone", "strategy", "seed"), key, strict=True)) for key in missing
    ]
    elsewhere = scheduler is not None or processes(n_jobs) > 1
    with RunProgress(total=len(plan), epochs=None if elsewhere else epochs, shown=progress) as bar:
        for record in found.values():
            bar.finish(record)
        if elsewhere:
            tasks = [common | task for task in tasks]
            runs = carry_out(tasks, dataset, n_jobs=n_jobs, scheduler=scheduler)
        else:
            runs = (fit(dataset, on_epoch=bar.epoch(**task), **common, **task) for task in tasks)
        for run in runs:
            record = store.save(run) if store else run.record()
            found[run.backbone, run.strategy, run.seed] = record
            bar.finish(record)
    records = [found[key] for key in plan]
    table = results_table(records)
    comparison = Comparison(
        dataset_summary=summarise(dataset),
        table=table,
        records=records,
        folder=Path(out) if out else None,
        recommendation=recommend(table, records, dataset.test.labels),
        best=best_record(table, records),
    )
    if store:
        store.finish(comparison, dataset)
    return comparison


def results_table(records: Sequence[Record]) -> pd.DataFrame:
    """Tabulate runs, one row each: what results.csv holds."""
    return pd.DataFrame(
        {
            "backbone": record.backbone,
            "strategy": record.strategy,
            "seed": record.seed,
            "validation_accuracy": record.validation_metrics["accuracy"],
            **{f"test_{name}": value for name, value in record.metrics.items()},
            "seconds": record.seconds,
            "trainable_parameters": record.trainable_parameters,
            "total_parameters": record.total_parameters,
            "best_epoch": record.best_epoch,
            "epochs": record.epochs,
        }
        for record in records
    )


def summarise(dataset: Dataset) -> dict[str, Any]:
    """Describe a data set in a form that JSON can hold."""
    return {
        "name": dataset.name,
        "description": dataset.description,
        "class_names": list(dataset.class_names),
        "images": {name: len(getattr(dataset, name)) for name in SPLIT_NAMES},
        "size": list(dataset.train.images.shape[1:3]),
        "skipped": [list(entry) for entry in dataset.skipped],
        "loaded_with": dataset.loaded_with,
    }


def _lowest_cut_first(plan: list[tuple[str, str, int]]) -> list[tuple[str, str, int]]:
    """Order runs so that what is kept of a frozen part serves those that freeze more.

    The outputs of four frozen stages are on the way to those of five, not the reverse.
    """

    def frozen(key: tuple[str, str, int]) -> int:
        phases = get_strategy(key[1]).phases
        depths = [EVERYTHING.index(phase.trained[0]) for phase in phases]
        return min((depth for depth in depths if depth > 0), default=len(EVERYTHING))

    return sorted(plan, key=frozen)


def _plan(backbones, strategies, seeds) -> list[tuple[str, str, int]]:
    """List the runs, seeds innermost so that they share one compiled model."""
    if isinstance(backbones, str) or isinstance(strategies, str):
        raise InputError("backbones and strategies are lists of names, not one name")
    known = set(list_backbones()["name"])
    unknown = [name for name in backbones if name not in known]
    if unknown or not backbones or not strategies:
        raise InputError(
            f"backbones={list(backbones)!r}, strategies={list(strategies)!r}: give at least one "
            f"of each; known backbones: {', '.join(list_backbones()['name'])}"
        )
    for strategy in strategies:
        get_strategy(strategy)
    numbers = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    if not numbers:
        raise InputError(f"seeds={seeds!r}: give at least 1")
    return [
        (b, s, n)
        for b in dict.fromkeys(backbones)
        for s in dict.fromkeys(strategies)
        for n in numbers
    ]


class _Store:
    """A comparison's folder: what it is about, and one pair of files for each finished run."""

    def __init__(self, folder: Path, dataset: Dataset, settings: dict[str, Any]):
        """Open or make `folder`; refuse it if it is about something else."""
        self.folder, self.class_names = folder, list(dataset.class_names)
        subject = {"settings": settings, "dataset": _fingerprint(dataset)}
        path = folder / "comparison.json"
        if path.exists():
            held = json.loads(path.read_text("utf-8"))
            if held != json.loads(json.dumps(subject)):
                raise InputError(
                    f"out={str(folder)!r} holds a comparison of other images or settings "
                    f"({held['settings']}, here {settings}); give another folder"
                )
        else:
            for part in ("runs", "models"):
                (folder / part).mkdir(parents=True, exist_ok=True)
            _write(path, json.dumps(subject, indent=2))

    def load(self, backbone: str, strategy: str, seed: int) -> Record | None:
        """Return a finished run, or None."""
        path = self._path(backbone, strategy, seed)
        if not path.exists():
            return None
        with np.load(path.with_suffix(".npz")) as arrays:
            return Record(**json.loads(path.read_text("utf-8")), **{k: arrays[k] for k in ARRAYS})

    def load_all(self, plan: Sequence[tuple[str, str, int]]) -> dict[tuple, Record]:
        """Return those runs of a plan that are finished."""
        return {key: record for key in plan if (record := self.load(*key)) is not None}

    def save(self, run: Run) -> Record:
        """Write a run; its record comes last and marks it finished."""
        record = run.record()
        path = self._path(run.backbone, run.strategy, run.seed)
        if all(
            run.validation_metrics["accuracy"] > other.validation_metrics["accuracy"]
            for other in self._others(run)
        ):
            save_model(run.model, self.model_path(run), self._facts(run))
        temporary = path.with_name(f".{os.getpid()}.npz")
        np.savez_compressed(temporary, **{name: getattr(run, name) for name in ARRAYS})
        temporary.replace(path.with_suffix(".npz"))
        facts = {k: v for k, v in vars(record).items() if k not in ARRAYS}
        _write(path, json.dumps(facts, indent=1))
        return record

    def model_path(self, run: Record) -> Path:
        """Where the best seed of a configuration keeps its model."""
        return self.folder / "models" / f"{run.backbone}-{run.strategy}.keras"

    def finish(self, comparison: Comparison, dataset: Dataset) -> None:
        """Write results.csv, best.keras and report.html."""
        _write(self.folder / "results.csv", comparison.table.to_csv(index=False))
        copy = self.folder / f".{os.getpid()}.best"
        copy.write_bytes(self.model_path(comparison.best).read_bytes())
        copy.replace(self.folder / "best.keras")
        write_report(comparison, dataset, self.folder / "report.html")

    def _others(self, run: Run) -> Iterator[Record]:
        for path in (self.folder / "runs").glob(f"{run.backbone}-{run.strategy}-*.json"):
            seed = int(path.stem.rpartition("-")[2])
            other = self.load(run.backbone, run.strategy, seed)
            if other is not None:
                yield other

    def _facts(self, run: Run) -> dict[str, Any]:
        return {
            "class_names": self.class_names,
            "image_size": list(run.model.input_shape[1:3]),
            "backbone": run.backbone,
            "strategy": run.strategy,
            "seed": run.seed,
            "validation_accuracy": run.validation_metrics["accuracy"],
            "test_accuracy": run.metrics["accuracy"],
        }

    def _path(self, backbone: str, strategy: str, seed: int) -> Path:
        return self.folder / "runs" / f"{backbone}-{strategy}-{seed}.json"


def _fingerprint(dataset: Dataset) -> dict[str, Any]:
    """Identify a data set by its name, classes, and a hash of all images and labels."""
    splits = [getattr(dataset, name) for name in SPLIT_NAMES]
    return {
        "name": dataset.name,
        "class_names": list(dataset.class_names),
        "sha256": content_hash(array for split in splits for array in (split.images, split.labels)),
    }


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    temporary.write_text(text, "utf-8")
    temporary.replace(path)

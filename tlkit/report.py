"""Writes what a comparison found as one HTML file that needs nothing else."""

import os
import platform
import shlex
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tlkit import report_figures as figures
from tlkit.evaluation import Interval, accuracy_interval
from tlkit.figure_style import in_order
from tlkit.strategies import STRATEGIES

if TYPE_CHECKING:
    from tlkit.comparison import Comparison
    from tlkit.dataset import Dataset
    from tlkit.runs import Record

PACKAGES = ("tlkit", "keras", "tensorflow", "numpy", "scikit-learn", "pandas", "matplotlib")
FIT_SETTINGS = (
    "until",
    "batchnorm",
    "batch_size",
    "steps_per_epoch",
    "learning_rate",
    "patience",
    "input_size",
)
METRICS = {
    "accuracy": "share of images predicted rightly",
    "balanced_accuracy": "the same, every class counting equally",
    "macro_f1": "mean over classes of F1 (precision and recall together)",
    "roc_auc": "area under the ROC curve, one class against the rest; 0.5 is guessing",
    "log_loss": "nats; 0 is best, confident mistakes cost most",
    "expected_calibration_error": "mean gap between confidence and accuracy; 0 is best",
}


def write_report(comparison: "Comparison", dataset: "Dataset", path: str | Path) -> Path:
    """Write a comparison as one self-contained page: no network, no script, no other file.

    Args:
        comparison: what `compare` found; at least one run has finished. If its `dataset_summary`
            has `loaded_with`, the arguments that `load_dataset` was given, the page repeats them.
        dataset: what it was run on, as `load_dataset` returned it.
        path: file to write, replaced in one step if it exists.

    Returns:
        The path.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("tlkit"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html.j2").render(_content(comparison, dataset))
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    # Names of files may hold bytes that are no text; they come out as question marks.
    unfinished.write_bytes(page.encode("utf-8", "replace"))
    os.replace(unfinished, path)
    return path


def _content(comparison: "Comparison", dataset: "Dataset") -> dict[str, Any]:
    records, best = comparison.records, comparison.best
    table = comparison.table.dropna(subset=["test_accuracy"])
    test, names = dataset.test, dataset.class_names
    intervals = _intervals(records, test.labels)
    guess = float(np.bincount(test.labels).max() / len(test.labels))
    return {
        "dataset": dataset,
        "splits": [(name, len(getattr(dataset, name))) for name in ("train", "validation", "test")],
        "class_rows": _class_rows(dataset),
        "recommendation": comparison.recommendation.split("\n"),
        "runs": table.to_dict("records"),
        "failed": len(comparison.table) - len(table),
        "seeds": sorted({int(seed) for seed in table["seed"]}),
        "backbones": list(dict.fromkeys(record.backbone for record in records)),
        "strategies": in_order(record.strategy for record in records),
        "intervals": intervals,
        "top": (best.backbone, best.strategy),
        "guess": guess,
        "best": best,
        "metrics": [
            (name.replace("_", " "), best.metrics[name], meaning)
            for name, meaning in METRICS.items()
            if name in best.metrics
        ],
        "trained": _trained_rows(records),
        "totals": {record.backbone: record.total_parameters for record in records},
        "descriptions": {name: (s.label, s.description) for name, s in STRATEGIES.items()},
        "accuracy": figures.accuracy_picture(table, intervals, guess),
        "curves": figures.curve_pictures(records, best.backbone),
        "costs": figures.cost_pictures(table) if len(intervals) > 1 else [],
        "stages": figures.stage_pictures(records, best.backbone),
        "confusion": figures.confusion_picture(test, best, names),
        "wrong": figures.wrong_picture(test, best, names),
        "command": reproduction_command(comparison, dataset),
        "code": reproduction_code(comparison, dataset),
        "settings": sorted((key, str(value)) for key, value in best.settings.items()),
        "versions": _versions(),
    }


def reproduction_command(comparison: "Comparison", dataset: "Dataset") -> str:
    """Put together the shell command that repeats a comparison, quoted where needed."""
    loading, given, fitting = _arguments(comparison, dataset)
    words = ["tlkit", "compare", str(loading["name_or_path"])]
    words += [word for name in given["backbones"] for word in ("--backbone", name)]
    words += [word for name in given["strategies"] for word in ("--strategy", name)]
    options = {
        "seeds": len(given["seeds"]),
        "epochs": given["epochs"],
        "size": loading["size"] if isinstance(loading["size"], int) else None,
        "train-per-class": loading.get("train_per_class"),
        "split-seed": loading.get("seed"),
        "batch-size": fitting.get("batch_size"),
        "learning-rate": fitting.get("learning_rate"),
        "out": given["out"],
    }
    for name, value in options.items():
        words += [f"--{name}", str(value)] if value is not None else []
    return shlex.join(words)


def reproduction_code(comparison: "Comparison", dataset: "Dataset") -> str:
    """Put together the Python lines that repeat a comparison."""
    loading, given, fitting = _arguments(comparison, dataset)
    data = {name: value for name, value in loading.items() if name != "name_or_path"}
    words = "".join(f", {name}={value!r}" for name, value in data.items())
    lines = "".join(f"    {name}={value!r},\n" for name, value in (given | fitting).items())
    return (
        "import tlkit\n\n"
        f"dataset = tlkit.load_dataset({loading['name_or_path']!r}{words})\n"
        f"result = tlkit.compare(\n    dataset,\n{lines})\n"
        "print(result.recommendation)"
    )


def _arguments(
    comparison: "Comparison", dataset: "Dataset"
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """What `load_dataset`, `compare` and, through it, `fit` have to be given."""
    records = comparison.records
    height, width = dataset.train.images.shape[1:3]
    loading = {"name_or_path": dataset.name, "size": height if height == width else (height, width)}
    given = {
        "backbones": list(dict.fromkeys(record.backbone for record in records)),
        "strategies": in_order(record.strategy for record in records),
        "seeds": sorted({int(record.seed) for record in records}),
        "epochs": records[0].settings.get("epochs", max(record.epochs for record in records)),
        "out": str(comparison.folder or "runs/again"),
    }
    # From scratch BatchNormalization always learns, whatever was asked for.
    settings = [r.settings for r in records if r.strategy != "scratch"] or [records[0].settings]
    fitting = {name: settings[0].get(name) for name in FIT_SETTINGS}
    if len({record.settings.get("input_size") for record in records}) > 1:
        fitting.pop("input_size")  # each backbone's own
    fitting = {name: value for name, value in fitting.items() if value is not None}
    return loading | comparison.dataset_summary.get("loaded_with", {}), given, fitting


def _intervals(records: "Sequence[Record]", labels: np.ndarray) -> dict[tuple[str, str], Interval]:
    intervals = {}
    for backbone, strategy in dict.fromkeys((r.backbone, r.strategy) for r in records):
        correct = [
            record.test_predictions.argmax(axis=1) == labels
            for record in records
            if (record.backbone, record.strategy) == (backbone, strategy)
        ]
        intervals[backbone, strategy] = accuracy_interval(np.stack(correct))
    return intervals


def _class_rows(dataset: "Dataset") -> list[tuple[str, list[int]]]:
    count = len(dataset.class_names)
    splits = (dataset.train, dataset.validation, dataset.test)
    counts = np.stack([np.bincount(split.labels, minlength=count) for split in splits], axis=1)
    return list(zip(dataset.class_names, counts.tolist(), strict=True))


def _trained_rows(records: "Sequence[Record]") -> list[dict[str, Any]]:
    """One row a strategy: the stages that it trains, and how many parameters of each backbone."""
    rows = []
    for strategy in in_order(record.strategy for record in records):
        runs = [record for record in records if record.strategy == strategy]
        stages = pd.DataFrame(runs[-1].trainable_table)
        trained = stages.loc[stages["trainable"] > 0, "stage"]
        batchnorm = sorted({str(mode) for mode in stages["batchnorm"]} - {"none"})
        rows.append(
            {
                "strategy": strategy,
                "stages": "all" if len(trained) == len(stages) else ", ".join(trained),
                "batchnorm": " and ".join(batchnorm) or "none",
                "parameters": {run.backbone: run.trainable_parameters for run in runs},
            }
        )
    return rows


def _versions() -> list[tuple[str, str]]:
    found = [("Python", platform.python_version())]
    for package in PACKAGES:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            continue
    return [*found, ("machine", f"{platform.system()} {platform.machine()}")]

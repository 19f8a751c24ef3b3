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
    from tlkit.training import Record

PACKAGES = ("tlkit", "keras", "tensorflow", "numpy", "scikit-learn", "pandas", "matplotlib")
METRICS = {
    "accuracy": "share of images predicted rightly",
    "balanced_accuracy": "the same, every class counting equally",
    "macro_f1": "mean over classes of F1 (precision and recall together)",
    "roc_auc": "area under the ROC curve, one class against the rest; 0.5 is guessing",
    "log_loss": "nats; 0 is best, confident mistakes cost most",
    "expected_calibration_error": "mean gap between confidence and accuracy; 0 is best",
}


def write_report(
    comparison: "Comparison", dataset: "Dataset", path: str | Path, *, command: str | None = None
) -> Path:
    """Write a comparison as one self-contained page: no network, no script, no other file.

    Args:
        comparison: what `compare` found; at least one run has finished.
        dataset: what it was run on, as `load_dataset` returned it.
        path: file to write, replaced in one step if it exists.
        command: shell command that repeats the comparison; put together from it if None.

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
    page = environment.get_template("report.html.j2").render(_content(comparison, dataset, command))
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    # Names of files may hold bytes that are no text; they come out as question marks.
    unfinished.write_bytes(page.encode("utf-8", "replace"))
    os.replace(unfinished, path)
    return path


def _content(comparison: "Comparison", dataset: "Dataset", command: str | None) -> dict[str, Any]:
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
        "command": command or reproduction_command(comparison, dataset),
        "code": reproduction_code(comparison, dataset),
        "settings": sorted((key, str(value)) for key, value in best.settings.items()),
        "versions": _versions(),
    }


def reproduction_command(comparison: "Comparison", dataset: "Dataset") -> str:
    """Put together the shell command that repeats a comparison, quoted where needed."""
    given = _arguments(comparison, dataset)
    words = ["tlkit", "compare", str(given["data"])]
    words += [word for name in given["backbones"] for word in ("--backbone", name)]
    words += [word for name in given["strategies"] for word in ("--strategy", name)]
    words += ["--seeds", str(given["seeds"]), "--epochs", str(given["epochs"])]
    words += ["--out", str(given["out"])]
    return shlex.join(words)


def reproduction_code(comparison: "Comparison", dataset: "Dataset") -> str:
    """Put together the Python lines that repeat a comparison."""
    given = _arguments(comparison, dataset)
    return (
        "import tlkit\n\n"
        f"dataset = tlkit.load_dataset({given['data']!r})\n"
        "result = tlkit.compare(\n"
        "    dataset,\n"
        f"    backbones={given['backbones']!r},\n"
        f"    strategies={given['strategies']!r},\n"
        f"    seeds={given['seeds']},\n"
        f"    epochs={given['epochs']},\n"
        f"    out={given['out']!r},\n"
        ")\n"
        "print(result.recommendation)"
    )


def _arguments(comparison: "Comparison", dataset: "Dataset") -> dict[str, Any]:
    records = comparison.records
    longest = max(record.epochs for record in records)
    return {
        "data": str(comparison.dataset_summary.get("source", dataset.name)),
        "backbones": list(dict.fromkeys(record.backbone for record in records)),
        "strategies": in_order(record.strategy for record in records),
        "seeds": len({record.seed for record in records}),
        "epochs": int(records[0].settings.get("epochs", longest)),
        "out": str(comparison.folder or "runs/again"),
    }


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

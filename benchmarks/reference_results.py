"""Regenerates data/results: what the README, lessons and tests quote, over five or six seeds.

    python benchmarks/reference_results.py pretraining [FAMILY...]
    python benchmarks/reference_results.py transfer
    python benchmarks/reference_results.py figure
    python benchmarks/reference_results.py comparison

Each run is appended when it is finished, so an interrupted call goes on where it was.
`pretraining` also measures real image sets where they lie in ../shared/data.
"""

import functools
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pandas as pd

import tlkit
from tlkit.backbones import load_backbone
from tlkit.mini import MINI
from tlkit.paths import DATA, ROOT

SEEDS = range(5)
REAL = ROOT.parent / "shared" / "data"
TARGETS = {  # target -> (data set or folder, labels a class)
    "wild_digits": ("wild_digits", (20, 50)),
    "sign_language": (REAL / "sign_language_digits", (10,)),
    "clothing": (REAL / "clothing", (50,)),
}
STARTS = {  # what is compared -> (strategy, weights)
    "full": ("full", "pretrained"),
    "scratch": ("scratch", None),
    "frozen": ("feature_extraction", "pretrained"),
    "random frozen": ("feature_extraction", None),
}
STEPS = {"epochs": 8, "steps_per_epoch": 25}  # the same for every start
ALL_LABELS = {"epochs": 5}  # passes over all pictures of wild_digits
ALL_LABELS_SEEDS = range(3)
LESSON_SEEDS = range(6)
TRANSFER = [  # (task, labels a class, strategy, until)
    *[("digits", n, start, "") for n in (5, 100) for start in ("full", "scratch")],
    *[("wild_digits", n, start, "") for n in (5, 20, 100) for start in ("full", "scratch")],
    *[("wild_digits", n, "feature_extraction", "") for n in (20, 100)],
    *[("wild_digits", 20, "partial", until) for until in ("block4", "block3", "block2")],
    *[("oct_phantom", 100, strategy, "") for strategy in ("full", "feature_extraction")],
]


def append(path, row):
    """Add one row to a CSV file."""
    pd.DataFrame([row]).to_csv(path, mode="a", header=not path.exists(), index=False)
    print(row, flush=True)


def finished(path, key):
    """Return the runs that a CSV file holds, as tuples of the columns `key`."""
    if not path.exists():
        return set()
    table = pd.read_csv(path, dtype=dict.fromkeys(("labels", "labels per class"), str))
    return set(table[key].fillna("").itertuples(index=False, name=None))


def pretraining(families):
    """Pretrained against random starts, trained and frozen, on four targets."""
    path = DATA / "results" / "pretraining.csv"
    key = ["family", "target", "labels", "start", "seed"]
    plan = [
        (family, target, str(labels), start, seed)
        for family in families
        for target, (source, sizes) in TARGETS.items()
        if not hasattr(source, "exists") or source.exists()
        for labels in sizes
        for start in STARTS
        for seed in SEEDS
    ]
    plan += [(f, "wild_digits", "all", "scratch", s) for f in families for s in ALL_LABELS_SEEDS]
    done = finished(path, key)
    for family, target, labels, start, seed in plan:
        if (family, target, labels, start, seed) in done:
            continue
        count = None if labels == "all" else int(labels)
        dataset = tlkit.load_dataset(TARGETS[target][0], train_per_class=count, seed=seed)
        strategy, weights = STARTS[start]
        run = tlkit.fit(
            dataset,
            backbone=load_backbone(family, weights=weights, seed=seed),
            strategy=strategy,
            seed=seed,
            **(ALL_LABELS if count is None else STEPS),
        )
        append(
            path,
            dict(zip(key, (family, target, labels, start, seed), strict=True))
            | {
                "steps": run.epochs * run.settings["steps_per_epoch"],
                "validation_accuracy": round(run.validation_metrics["accuracy"], 4),
                "test_accuracy": round(run.metrics["accuracy"], 4),
                "seconds": round(run.seconds, 1),
            },
        )


def transfer():
    """The two grids of lesson 07, with the lesson's own functions."""
    lesson = lesson_functions("07_transfer_learning", ("SETTINGS", "def transplant"))
    path = DATA / "results" / "transfer.csv"
    done = finished(path, ["task", "labels per class", "strategy", "until", "seed"])
    for task, labels, strategy, until in TRANSFER:
        for seed in LESSON_SEEDS:
            if (task, str(labels), strategy, until, seed) not in done:
                row = lesson["measure"](task, labels, strategy, seed, until or None)
                rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}
                append(path, rounded)
    path = DATA / "results" / "transplants.csv"
    done = finished(path, ["target", "kept", "seed"])
    for target in ("wild_digits", "oct_phantom"):
        for kept in range(6):
            for seed in LESSON_SEEDS:
                if (target, kept, seed) not in done:
                    row = lesson["graft"](target, kept, seed)
                    append(path, row | {"test_accuracy": round(row["test_accuracy"], 4)})


def figure():
    """Draw pretraining.csv: one panel a target, one row a family, 95 % intervals over seeds."""
    import matplotlib.pyplot as plt

    from tlkit.evaluation import mean_interval

    results = pd.read_csv(DATA / "results" / "pretraining.csv", dtype={"labels": str})
    results["panel"] = results["target"] + ", " + results["labels"] + " labels a class"
    panels, families = results["panel"].unique(), list(MINI)
    colours = dict(zip(STARTS, ("#0072B2", "#D55E00", "#009E73", "#999999"), strict=True))
    picture, axes = plt.subplots(
        1, len(panels), figsize=(3 * len(panels), 3.2), sharey=True, layout="constrained"
    )
    for ax, panel in zip(axes, panels, strict=True):
        for number, start in enumerate(STARTS):
            chosen = results[(results["panel"] == panel) & (results["start"] == start)]
            for family, accuracies in chosen.groupby("family")["test_accuracy"]:
                found = mean_interval(accuracies.to_numpy())
                height = families.index(family) + 0.18 * (number - 1.5)
                ax.plot([found.low, found.high], [height, height], color=colours[start])
                ax.plot(found.value, height, "o", color=colours[start], markersize=4)
        ax.set(title=panel.replace(", ", "\n"), xlabel="test accuracy", xlim=(0, 1))
        ax.set_yticks(range(len(families)), families)
        ax.grid(axis="x", alpha=0.3)
    axes[0].invert_yaxis()
    picture.legend(
        handles=[plt.Line2D([], [], marker="o", color=c, label=s) for s, c in colours.items()],
        loc="outside lower center",
        ncols=len(colours),
        frameon=False,
    )
    picture.savefig(DATA / "results" / "pretraining.png", dpi=110)
    means = results.groupby(["family", "panel", "start"])["test_accuracy"].mean().unstack()
    print(means[list(STARTS)].round(2).to_string())


def comparison():
    """The README's example: `tlkit compare wild_digits --train-per-class 20`, table and figure."""
    import matplotlib.pyplot as plt

    from tlkit.plots import plot_accuracy

    dataset = tlkit.load_dataset("wild_digits", train_per_class=20)
    found = tlkit.compare(dataset)
    found.table.round(4).to_csv(DATA / "results" / "comparison.csv", index=False)
    _, ax = plt.subplots(figsize=(7, 2.8), layout="constrained")
    plot_accuracy(found.table, chance=0.1, ax=ax)
    ax.figure.savefig(DATA / "results" / "comparison.png", dpi=110)
    print(found.recommendation)


def lesson_functions(name, wanted):
    """Run the cells of a lesson's script that contain one of `wanted`; return what they define."""
    script = (ROOT / "notebooks" / "sources" / f"{name}.py").read_text("utf-8")
    namespace = {"tlkit": tlkit, "pd": pd, "functools": functools}
    for cell in script.split("# %%"):
        if any(f"\n{start}" in cell for start in wanted):
            exec(cell[cell.index("\n") :], namespace)
    return namespace


if __name__ == "__main__":
    task, *arguments = sys.argv[1:]
    if task == "pretraining":
        pretraining(arguments or list(MINI))
    elif task in ("transfer", "figure", "comparison"):
        globals()[task]()
    else:
        sys.exit(__doc__)

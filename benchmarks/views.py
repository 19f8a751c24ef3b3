"""Measures what `views=k` costs in accuracy against new augmented copies in every epoch.

    python benchmarks/views.py

On wild_digits, 20 labels a class, mini_resnet, frozen up to its fourth stage or altogether, over
five seeds. Each run is appended to data/results/views.csv when it is finished, so that an
interrupted call goes on; the table in RESULTS.md is made from that file.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pandas as pd
from reference_results import append, finished
from results_file import put
from scipy.stats import t

import tlkit
from tlkit.paths import DATA

PATH = DATA / "results" / "views.csv"
KINDS = ["rotation", "translation", "scaling", "colour", "noise"]  # all that keep a digit's class
CHOICES = [("none", None), ("1", 1), ("2", 2), ("4", 4), ("8", 8), ("new every epoch", None)]
STRATEGIES = ("feature_extraction", "partial")
SEEDS = range(5)
KEY = ["strategy", "views", "seed"]


def main():
    dataset = tlkit.load_dataset("wild_digits", train_per_class=20, seed=0)
    done = finished(PATH, KEY)
    for strategy in STRATEGIES:
        for name, views in CHOICES:
            for seed in SEEDS:
                if (strategy, name, seed) in done:
                    continue
                run = tlkit.fit(
                    dataset,
                    strategy=strategy,
                    seed=seed,
                    epochs=20,
                    patience=20,
                    augmentation=None if name == "none" else KINDS,
                    views=views,
                )
                row = {
                    "strategy": strategy,
                    "views": name,
                    "seed": seed,
                    "test_accuracy": run.metrics["accuracy"],
                    "seconds": run.seconds + run.engine["feature_seconds"],
                }
                append(PATH, row)
    table = pd.read_csv(PATH)
    put("views", "`python benchmarks/views.py`:\n\n" + as_markdown(table))


def as_markdown(table):
    """Means over seeds, with their spread and the difference from new copies in every epoch."""
    lines = [
        "| strategy | views | test accuracy | standard deviation | difference from new copies, "
        "95 % interval over seeds | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for strategy, rows in table.groupby("strategy", sort=False):
        accuracy = rows.pivot(index="seed", columns="views", values="test_accuracy")
        for views in [name for name, _ in CHOICES]:
            one = accuracy[views]
            gap = one - accuracy["new every epoch"]
            half = t.ppf(0.975, len(gap) - 1) * gap.sem()
            interval = f"{gap.mean():+.3f} [{gap.mean() - half:+.3f}, {gap.mean() + half:+.3f}]"
            seconds = rows.loc[rows["views"] == views, "seconds"].mean()
            lines.append(
                f"| {strategy} | {views} | {one.mean():.3f} | {one.std():.3f} | "
                f"{'' if views == 'new every epoch' else interval} | {seconds:.1f} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()

"""Measures what `views=k` costs in accuracy against new augmented copies in every epoch.

    python benchmarks/views.py

On wild_digits, 20 labels a class, mini_resnet, frozen up to its fourth stage or altogether, over
five seeds. Each run is appended to data/results/views.csv when it is finished, so that an
interrupted call goes on; the table is printed from that file.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pandas as pd
from reference_results import append, finished

import tlkit
from tlkit.evaluation import accuracy_interval  # noqa: F401
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
    means = table.groupby(KEY[:2], sort=False)[["test_accuracy", "seconds"]].agg(["mean", "std"])
    print(means.round(3).to_string())


if __name__ == "__main__":
    main()

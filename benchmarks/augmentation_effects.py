"""Regenerates data/results/augmentation.csv, which lesson 06 quotes, with its own functions.

    python benchmarks/augmentation_effects.py [SEED...]

For each seed (0 to 5 by default): gap and accuracy without augmentation, with each of seven kinds
and with several, for small and large training sets; random labels; and two questions asked of the
same images. Each training is appended when it is finished, so that an interrupted call goes on.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pandas as pd
from reference_results import finished, lesson_functions

from tlkit.paths import DATA

PATH = DATA / "results" / "augmentation.csv"
KEY = ["question", "labels per class", "augmentation", "seed"]
LESSON = "06_data_augmentation"
CELLS = (  # the lesson's cells that hold a line that begins so
    "import colorsys",
    "SIDE = ",
    "handwriting = ",
    "def load(",
    "KINDS = ",
    "model = ",
    "STEPS = ",
    "def scores(",
    "def measure(",
)
SEEDS = range(6)
SMALL, LARGE = 10, 100
BETWEEN = (20, 40)  # labels a class
FEW_STEPS = (150, 300)  # the colour is learnt at once
MANY_STEPS = (150, 300, 600, 1200, 2400)


def plan(settings):
    """List (question, labels a class, augmentation, steps or None for the lesson's)."""
    runs = [
        ("digit", size, setting, MANY_STEPS if setting in ("none", "six without flip") else None)
        for size in (SMALL, LARGE)
        for setting in settings
    ]
    runs += [("digit", size, s, None) for size in BETWEEN for s in ("none", "six without flip")]
    runs += [("digit", SMALL, "ten kept copies", None)]
    runs += [("random", SMALL, setting, None) for setting in ("none", "six without flip")]
    other = ("none", "flip", "upside down", "any angle", "any hue")
    return runs + [("colour", SMALL, setting, FEW_STEPS) for setting in other]


def main(seeds):
    """Train what is not in the file yet."""
    lesson = lesson_functions(LESSON, CELLS)
    done = finished(PATH, KEY)
    for seed in seeds:
        for question, size, setting, steps in plan(lesson["SETTINGS"]):
            if (question, str(size), setting, seed) in done:
                continue
            rows = lesson["measure"](question, size, setting, seed, steps or lesson["STEPS"])
            table = pd.DataFrame(rows).reindex(columns=columns())
            table.round(4).to_csv(PATH, mode="a", header=not PATH.exists(), index=False)
            print(table.iloc[-1].to_dict(), flush=True)


def columns():
    """Name the columns of the file."""
    accuracies = [f"{split}_accuracy" for split in ("train", "validation", "test")]
    return [*KEY, "steps", *accuracies, "six_nine"]


if __name__ == "__main__":
    main([int(seed) for seed in sys.argv[1:]] or SEEDS)

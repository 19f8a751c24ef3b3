"""Regenerates data/results/activations.csv: accuracy by activation, depth and task, twenty seeds.

    python benchmarks/activations.py [PATH [FIRST_SEED]]

Takes about six minutes on one core. For each task, activation and depth, first weights and
learning rate are chosen by the validation accuracy of three seeds that are not used again. A
finished combination is appended at once, so an interrupted call goes on where it was. The networks
are those of lesson 01: its own functions run here.
"""

import itertools
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd

from tlkit.paths import DATA, ROOT

LESSON = ROOT / "notebooks" / "sources" / "01_activation_functions.py"
FUNCTIONS = (  # one of each cell that is needed
    *("spirals", "stack", "forward", "error", "relu"),
    *("sigmoid", "leaky_relu", "gradient_norms", "measure"),
)
TASKS = ("digits", "spirals")
DEPTHS = (2, 4, 8, 16)
RULES = ("Glorot", "He")  # where layers are equally wide, LeCun's variance is Glorot's
RATES = (0.001, 0.003, 0.01, 0.03, 0.1)
TUNING_SEEDS = (1000, 1001, 1002)
SEEDS = range(20)


def lesson_functions():
    """Run the cells of the lesson that import and that define `FUNCTIONS`; return their names."""
    namespace = {}
    for cell in LESSON.read_text("utf-8").split("\n# %%"):
        starts = ("import", *(f"def {name}(" for name in FUNCTIONS))
        kept = [line for line in cell.split("\n")[1:] if not line.startswith("# ")]
        if any(line.startswith(starts) for line in kept):
            exec("\n".join(kept), namespace)
    return namespace


def tuned(measure, task, name, depth):
    """Return rule and rate with the best validation accuracy, mean over the tuning seeds."""
    rates, seeds = zip(*itertools.product(RATES, TUNING_SEEDS), strict=True)
    runs = pd.concat([measure(task, name, depth, rule, rates, seeds) for rule in RULES])
    return runs.groupby(["rule", "rate"])["validation"].mean().idxmax()


def main(path=DATA / "results" / "activations.csv", first_seed=0):
    """Measure every combination that the table does not hold yet."""
    path = Path(path)
    done = set()
    if path.exists():
        done = set(pd.read_csv(path)[["task", "activation", "depth"]].itertuples(False, None))
    lesson = lesson_functions()
    for task, name, depth in itertools.product(TASKS, lesson["ACTIVATIONS"], DEPTHS):
        if (task, name, depth) not in done:
            rule, rate = tuned(lesson["measure"], task, name, depth)
            seeds = [int(first_seed) + seed for seed in SEEDS]
            rows = lesson["measure"](task, name, depth, rule, rate, seeds).round(4)
            rows.to_csv(path, mode="a", header=not path.exists(), index=False)
            found = np.round(rows["test"].mean(), 3)
            print(task, name, depth, rule, rate, found, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

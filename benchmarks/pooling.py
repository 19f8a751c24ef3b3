"""Regenerates data/results/pooling.csv: the training runs that lesson 05 quotes.

    python benchmarks/pooling.py [PART ...] [--seeds 0 1 2 3 4]

Parts are shifts, gaps, wild, neighbours, heads and rates; all of them take about an hour on one
core. The functions are the lesson's own, read from its script: the cells tagged "stored". Each run
is appended when it is finished, so an interrupted call goes on where it was. `--out` writes to
another file, to see whether other seeds say the same.
"""

import argparse
import os
import sys
from itertools import product
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import jupytext
from reference_results import append, finished

from tlkit.paths import DATA, NOTEBOOKS

SCRIPT = NOTEBOOKS / "sources" / "05_pooling_flatten_dense.py"
PATH = DATA / "results" / "pooling.csv"
KEY = ["task", "pooling", "head", "rate", "seed"]
KINDS = ("max", "average", "strided", "blurred", "none")
RATE, SLOW = 0.003, 0.001
SEEDS_TO_CHOOSE_BY = 3  # enough to see which rate suits a head
COLUMNS = [
    "parameters",
    *("train_loss", "train_accuracy", "validation_accuracy", "test_accuracy", "gap", "seconds"),
    *(f"same_{shift}" for shift in range(1, 9)),
    *("probe_features", "probe_pixels"),
]
HEADS = ("linear", "global", "large", "large, affine")
PLANS = {  # part -> (task, pooling, head, learning rate)
    "shifts": list(product(["centred"], KINDS, ["linear", "global"], [RATE])),
    "gaps": list(product(["few"], ["max", "none"], ["linear", "global"], [RATE])),
    "wild": list(product(["wild"], [*KINDS, "late"], ["linear"], [SLOW])),
    "neighbours": list(product(["moved", "permuted"], ["max"], ["linear"], [RATE]))
    + list(product(["moved", "permuted"], ["no convolution"], ["small"], [RATE])),
    "heads": list(product(["moved"], ["max"], HEADS, [RATE]))
    + list(product(["wild"], ["max"], ["linear", "global", "large"], [SLOW])),
    "rates": list(product(["moved"], ["max"], HEADS, [SLOW])),
}


def lesson_functions(script=SCRIPT):
    """Run the cells that the lesson's runs are made with."""
    namespace = {}
    cells = [cell for cell in jupytext.read(script).cells if cell.cell_type == "code"]
    imports = cells[0]
    for cell in [imports, *(c for c in cells if "stored" in c.metadata.get("tags", ()))]:
        exec(cell.source, namespace)
    return namespace


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PLANS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(5)))
    parser.add_argument("--out", default=PATH, type=Path)
    options = parser.parse_args()
    for unknown in set(options.parts) - set(PLANS):
        sys.exit(f"{unknown!r} is none of {', '.join(PLANS)}")
    measure = lesson_functions()["measure"]
    for seed, part in product(options.seeds, options.parts or PLANS):
        if part == "rates" and seed >= SEEDS_TO_CHOOSE_BY:
            continue
        for task, pooling, head, rate in PLANS[part]:
            if (task, pooling, head, rate, seed) in finished(options.out, KEY):
                continue
            row = measure(task, pooling, head, seed, rate)
            columns = [*KEY, *COLUMNS]
            row = {
                c: round(row[c], 4) if isinstance(row.get(c), float) else row.get(c)
                for c in columns
            }
            append(options.out, row)


if __name__ == "__main__":
    main()

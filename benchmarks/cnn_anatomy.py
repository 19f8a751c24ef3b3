"""Regenerates data/results/cnn_anatomy_*.csv: the training runs that lesson 04 quotes.

    python benchmarks/cnn_anatomy.py [shifts] [equal] [dropout] [probes] [--seeds 0 1 2 3 4 5]

The functions are the lesson's own, read from its script. Each run is appended when it is finished,
so an interrupted call goes on where it was. About 25 minutes on one core for all four tables;
`--out` writes to another folder, to see whether other seeds say the same.
"""

import argparse
import ast
import dataclasses
import os
import sys
from itertools import product
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pandas as pd

import tlkit
from tlkit import explain, repeated
from tlkit.mini import MINI
from tlkit.paths import DATA, NOTEBOOKS

SCRIPT = NOTEBOOKS / "sources" / "04_cnn_anatomy.py"
SEEDS = range(6)
NETWORKS = ("dense, flatten", "stride 2, flatten", "max pooling, flatten", "max pooling, global")
PLANS = (  # (table, its function in the lesson, values of the arguments besides the seed)
    (
        "shifts",
        "measure_shifts",
        {
            "network": (*NETWORKS, "stride 2, global", "stride 1, global"),
            "augmented": (False, True),
        },
    ),
    (
        "equal",
        "measure_equal",
        {
            "network": (*NETWORKS, "local, flatten"),
            "moved": (False, True),
            "labels": (5, 20, 100),
            "rate": (0.003,),
        },
    ),
    (
        "equal",
        "measure_equal",
        {
            "network": (*NETWORKS, "local, flatten"),
            "moved": (True,),
            "labels": (100,),
            "rate": (0.001, 0.01),
        },
    ),
    ("dropout", "measure_dropout", {"rate": (0.0, 0.2, 0.4, 0.6, 0.8), "labels": (10, 100)}),
    (
        "probes",
        "measure_probes",
        {
            "family": tuple(MINI),
            "weights": ("pretrained", "random"),
            "target": ("glyphs", "wild_digits", "oct_phantom"),
        },
    ),
)


def lesson_functions(script=SCRIPT):
    """Return the functions, classes and WIDTHS of the lesson's script; run no more of it."""
    modules = {"keras": keras, "np": np, "pd": pd, "tlkit": tlkit, "dataclasses": dataclasses}
    namespace = modules | {"explain": explain, "repeated": repeated}
    tree = ast.parse(script.read_text("utf-8"))
    tree.body = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "WIDTHS")
    ]
    exec(compile(tree, str(script), "exec"), namespace)
    return namespace


def complete(path, measure, grid, seeds):
    """Append the runs that a table still lacks."""
    key = [*grid, "seed"]
    done = set()
    if path.exists():
        done = set(pd.read_csv(path)[key].astype(str).itertuples(index=False, name=None))
    for seed, *values in product(seeds, *grid.values()):
        named = tuple(str(value) for value in (*values, seed))
        if named in done:
            continue
        found = measure(**dict(zip(grid, values, strict=True)), seed=seed)
        for row in found if isinstance(found, list) else [found]:
            rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}
            pd.DataFrame([rounded]).to_csv(path, mode="a", header=not path.exists(), index=False)
        print(path.stem, *named, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    tables = list(dict.fromkeys(table for table, *_ in PLANS))
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=", ".join(tables))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--out", default=DATA / "results", type=Path)
    parser.add_argument("--script", default=SCRIPT, type=Path, help="the lesson's script")
    options = parser.parse_args()
    for unknown in set(options.tables) - set(tables):
        sys.exit(f"{unknown!r} is none of {', '.join(tables)}")
    functions = lesson_functions(options.script)
    for table, function, grid in PLANS:
        if table in (options.tables or tables):
            path = options.out / f"cnn_anatomy_{table}.csv"
            seeds = options.seeds[:3] if table == "probes" else options.seeds  # they differ little
            complete(path, functions[function], grid, seeds)

"""Shows that memory does not grow with the number of images.

    python benchmarks/bench_memory.py [--write] [COUNT...]

Makes a folder of COUNT synthetic JPEG files of 160 by 160 pixels (1,000, 5,000 and 20,000 if none
is given), compares two strategies on it in a process of its own, and prints that process's peak
memory above what it had after its imports. One epoch of one seed: the memory is that of reading
the folder, computing and keeping the frozen part, training from it and predicting, none of which
a second epoch or seed adds to.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from results_file import machine, put

COUNTS = (1_000, 5_000, 20_000)
SIDE, CLASSES = 160, 4
MEASURED = """
import os, re, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow, keras, sklearn.linear_model, pandas, matplotlib.pyplot, scipy.stats
import tlkit, tlkit.comparison, tlkit.backbones
from pathlib import Path
def memory(kind):
    return int(re.search(kind + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
before = memory("VmHWM")
dataset = tlkit.load_dataset(sys.argv[1], size=160)
found = tlkit.compare(
    dataset,
    backbones=["mobilenet_v2" if sys.argv[2] == "imagenet" else "mini_mobilenet"],
    strategies=["feature_extraction", "partial"],
    seeds=1,
    epochs=1,
    out=sys.argv[3],
    progress=False,
)
assert len(found.table) == 2
print(before, memory("VmHWM") - before)
"""


def make_folder(folder, count):
    """Write JPEG files of noise over a colour, 160 by 160, in four class folders."""
    rng = np.random.default_rng(0)
    for number in range(count):
        kind = number % CLASSES
        pixels = rng.integers(0, 120, (SIDE // 8, SIDE // 8, 3)).repeat(8, 0).repeat(8, 1)
        pixels[..., kind % 3] += 40 * (1 + kind // 3)
        path = folder / f"class{kind}" / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True, parents=True)
        Image.fromarray(pixels.astype(np.uint8)).save(path, quality=80)


def measure(count, weights):
    """Return memory after the imports, peak above it, and seconds, for one folder."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        make_folder(root / "images", count)
        start = time.perf_counter()
        output = subprocess.run(
            [sys.executable, "-c", MEASURED, str(root / "images"), weights, str(root / "out")],
            env={**os.environ, "TLKIT_CACHE": str(root / "cache")},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
    before, peak = map(float, output.split()[-2:])
    return before, peak, time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("counts", nargs="*", type=int, default=COUNTS)
    parser.add_argument("--backbone", choices=("mini", "imagenet"), default="mini")
    parser.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    given = parser.parse_args()
    lines = [
        "| images | after imports (MiB) | peak above that (MiB) | seconds |",
        "|---|---|---|---|",
    ]
    for count in given.counts:
        before, peak, seconds = measure(count, given.backbone)
        lines.append(f"| {count:,} | {before:,.0f} | {peak:,.0f} | {seconds:.0f} |")
        print(lines[-1], flush=True)
    if given.write:
        command = f"python benchmarks/bench_memory.py --backbone {given.backbone} --write"
        put("bench_memory", f"`{command}` on {machine()}:\n\n" + "\n".join(lines))


if __name__ == "__main__":
    main()

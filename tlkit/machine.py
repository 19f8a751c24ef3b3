"""What the machine has that the course can use: shown by `tlkit doctor`."""

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version

import pandas as pd
import psutil

from tlkit.paths import cache_folder

PACKAGES = ("tensorflow", "keras", "numpy", "scikit-learn", "jupyterlab", "nbgrader")


def describe_machine() -> pd.DataFrame:
    """Return a table of `what` and `found`: system, versions, cores, memory, cache, sandbox."""
    rows = {
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{package: _version(package) for package in PACKAGES},
        "processor cores": f"{psutil.cpu_count(logical=False)} ({os.cpu_count()} threads)",
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB, "
        f"{psutil.virtual_memory().available / 2**30:.1f} GiB free",
        "disk": f"{shutil.disk_usage(cache_folder()).free / 2**30:.0f} GiB free",
        "tlkit's cache": str(cache_folder()),
        "sandbox (bubblewrap)": shutil.which("bwrap") or "missing: needed to grade homework only",
    }
    return pd.DataFrame(rows.items(), columns=["what", "found"])


def describe_backbones() -> pd.DataFrame:
    """Return the catalogue with a column that says whether the weights are on this machine."""
    from tlkit.applications import APPLICATIONS, weights_folder
    from tlkit.backbones import list_backbones
    from tlkit.weights import FOLDER

    def found(name: str) -> str:
        if name in APPLICATIONS:
            present = (weights_folder() / APPLICATIONS[name].weights_file).is_file()
        else:
            present = (FOLDER / f"{name}.npz").is_file()
        return "here" if present else "not here"

    table = list_backbones()[["name", "input_size", "parameters", "weights"]]
    return table.assign(found=table["name"].map(found))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"

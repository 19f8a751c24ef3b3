"""Writes what a benchmark measured between its two marks in RESULTS.md."""

import os
import platform
from pathlib import Path

PATH = Path(__file__).with_name("RESULTS.md")


def put(name, text):
    """Replace what stands between the marks of benchmark `name`."""
    begin, end = f"<!-- {name} begin -->", f"<!-- {name} end -->"
    head, rest = PATH.read_text("utf-8").split(begin)
    tail = rest.split(end)[1]
    temporary = PATH.with_suffix(".tmp")
    temporary.write_text(f"{head}{begin}\n{text}\n{end}{tail}", "utf-8")
    temporary.replace(PATH)


def lines(name):
    """Return the lines that stand between the marks of benchmark `name`."""
    begin, end = f"<!-- {name} begin -->", f"<!-- {name} end -->"
    return PATH.read_text("utf-8").split(begin)[1].split(end)[0].splitlines()


def machine():
    """Describe what the figures were measured on."""
    import keras
    import psutil
    import tensorflow as tf

    return (
        f"{os.cpu_count()} cores ({_processor()}), "
        f"{psutil.virtual_memory().total / 2**30:.0f} GiB, Python {platform.python_version()}, "
        f"TensorFlow {tf.__version__}, Keras {keras.__version__}"
    )


def _processor():
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

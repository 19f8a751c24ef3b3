"""Gives back the memory through which mapped files are read and written.

The pages of a mapped file count as the process's memory until they are given back. The system
keeps them as long as it has room, so reading them again costs little.
"""

import mmap
from typing import Any

import numpy as np

RELEASE_AFTER = 64 * 2**20  # bytes of a mapped file to read or write before giving them back


def release(array: np.ndarray) -> None:
    """Give back the memory of the mapped file that an array is part of; else do nothing.

    What was written to the array is kept, in the file.

    Example:
        >>> release(np.zeros(3))
    """
    mapping = _mapping(array)
    if mapping is not None:
        mapping.madvise(mmap.MADV_DONTNEED)


def _mapping(array: np.ndarray) -> mmap.mmap | None:
    if not hasattr(mmap, "MADV_DONTNEED") or getattr(array, "mode", "c") == "c":
        return None  # giving back a copy-on-write page would lose what was written to it
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) else None

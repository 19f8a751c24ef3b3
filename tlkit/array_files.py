"""Writes NumPy's `.npy` files row by row, for arrays that do not fit into memory."""

import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

Wanted = Mapping[str, tuple[tuple[int, ...], str]]  # key -> (shape of one row, dtype)


def header(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return the bytes with which a `.npy` file of this shape begins, uint8 [bytes]."""
    text = io.BytesIO()
    description = np.lib.format.dtype_to_descr(dtype)
    facts = {"descr": description, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(text, facts)
    return np.frombuffer(text.getvalue(), np.uint8)


def append(file: io.FileIO, array: np.ndarray) -> None:
    """Write the bytes of an array; an unbuffered file may take a part of them at a time."""
    left = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
    while len(left):
        left = left[file.write(left) :]


def publish(temporary: Path, path: Path) -> None:
    """Give a finished file its name, in one step."""
    try:
        temporary.replace(path)
    except PermissionError:
        # Windows does not replace a file that somebody reads; it has the same content.
        if os.name != "nt" or not path.exists():
            raise


def checked(
    blocks: Iterable[Sequence[np.ndarray]], wanted: Wanted, rows: int
) -> Iterator[Sequence[np.ndarray]]:
    """Pass blocks on as long as they are what was promised."""
    done = 0
    for block in blocks:
        if len(block) != len(wanted):
            raise ValueError(f"{len(block)} arrays in a block; promised: {len(wanted)}")
        count = len(block[0])
        for array, (key, (row, kind)) in zip(block, wanted.items(), strict=True):
            if array.shape != (count, *row) or array.dtype != np.dtype(kind):
                raise ValueError(
                    f"key {key}: a block has shape {array.shape} and dtype {array.dtype}; "
                    f"promised: {(count, *row)} and {kind}"
                )
        done += count
        if done > rows:
            break
        yield block
    if done != rows:
        raise ValueError(f"{done} rows {'or more ' * (done > rows)}in all; promised: {rows}")

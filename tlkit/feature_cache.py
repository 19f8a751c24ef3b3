"""Arrays on disk that can be computed again, such as the features of a frozen network.

Each array is one `.npy` file, read through a memory map. A process that is killed at any moment
leaves at most a temporary file, which never counts as an entry and which a later `make` removes.
"""

import math
import os
import shutil
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np
from filelock import FileLock

from tlkit.array_files import Wanted, append, checked, header, publish
from tlkit.errors import InputError
from tlkit.paths import cache_folder

if TYPE_CHECKING:
    import pandas as pd

LIMIT = "TLKIT_CACHE_LIMIT"
DEFAULT_LIMIT = 20.0  # GiB


def folder() -> Path:
    """Folder of the arrays, in tlkit's cache folder; made when it is missing.

    Raises:
        InputError: when it cannot be made.

    Example:
        >>> folder().name
        'features'
    """
    place = cache_folder() / "features"
    try:
        place.mkdir(exist_ok=True)
    except OSError as error:
        allowed = "set TLKIT_CACHE to a folder that can be written to"
        raise InputError(f"{place} cannot be made ({error.strerror}); {allowed}") from None
    return place


def limit() -> int:
    """Bytes that the arrays may take: `TLKIT_CACHE_LIMIT` in GiB, else 20 GiB.

    Raises:
        InputError: when the variable is not a number of GiB.

    Example:
        >>> from unittest.mock import patch
        >>> with patch.dict(os.environ, TLKIT_CACHE_LIMIT="0.5"):
        ...     limit()
        536870912
    """
    given = os.environ.get(LIMIT) or str(DEFAULT_LIMIT)
    with suppress(ValueError, OverflowError):  # OverflowError: infinity
        if (gigabytes := float(given)) >= 0:
            return int(gigabytes * 2**30)
    raise InputError(f"{LIMIT}={given!r} is not a size; allowed: a number of GiB, 0 or more")


def find(key: str) -> np.ndarray | None:
    """Open an array for reading and mark it as just used.

    A damaged file is removed with a warning, as if it had never been made.

    Args:
        key: hexadecimal digits that identify the content, such as a SHA-256.

    Returns:
        The array, memory-mapped and read-only, or None when there is none.

    Example:
        >>> find("0" * 64) is None
        True
    """
    path = _path(key)
    try:
        array = np.lib.format.open_memmap(path, mode="r")
        if path.stat().st_size != array.offset + array.nbytes:
            raise ValueError("its size does not fit its header")
    except FileNotFoundError:
        return None
    except OSError as error:  # such as too many open files: says nothing about the content
        warnings.warn(f"{path} cannot be opened: {error}", stacklevel=2)
        return None
    except Exception as error:  # what a header of arbitrary bytes can lead to
        warnings.warn(f"{path} is damaged and is removed: {error}", stacklevel=2)
        _discard(path)
        return None
    with suppress(OSError):  # a folder that cannot be written to can still be read
        os.utime(path)
    return array


def make(
    wanted: Wanted,
    blocks: Callable[[], Iterable[Sequence[np.ndarray]]],
    about: str,
    *,
    rows: int,
) -> list[np.ndarray]:
    """Compute arrays that belong together, once, whichever process comes first.

    If another process is computing one of them, wait for it. If some arrays are there and others
    are not, all are computed. Afterwards the least recently used arrays are removed until all
    together are within `limit()`, but never those just made, nor one that shares the first two
    digits of its key with an array that another process is making.

    Args:
        wanted: for each key the shape of one row and the dtype; see `find` for keys.
        blocks: returns, for successive rows, one array [block, *row] for each key, in their order.
            It is not called when all arrays are there. It must not call `make`.
        about: what the arrays are, for `entries`.
        rows: number of rows of each array.

    Returns:
        The arrays [rows, *row], memory-mapped and read-only, in the order of `wanted`.

    Raises:
        InputError: when the folder cannot be written to or its disk is full.
        ValueError: when `blocks` does not return what `wanted` and `rows` promise.

    Example:
        >>> import tempfile
        >>> from unittest.mock import patch
        >>> wanted = {"a1" * 32: ((2,), "float32")}
        >>> def blocks():
        ...     yield [np.zeros((3, 2), "float32")]
        ...     yield [np.ones((1, 2), "float32")]
        >>> with patch.dict(os.environ, TLKIT_CACHE=tempfile.mkdtemp()):
        ...     array = make(wanted, blocks, "three zeros and a one", rows=4)[0]
        >>> array.shape, float(array.sum())
        ((4, 2), 2.0)
    """
    bound = limit()
    if (arrays := _find_all(wanted, rows)) is not None:
        return arrays
    size = sum(rows * math.prod(row) * np.dtype(kind).itemsize for row, kind in wanted.values())
    with ExitStack() as held:
        with _explained(size):
            held.enter_context(_locked(wanted))
        if (arrays := _find_all(wanted, rows)) is not None:  # made while this process waited
            return arrays
        _write(wanted, blocks, about, rows, size)
        arrays = _find_all(wanted, rows)
    if arrays is None:
        raise InputError(f"{folder()}: what was just written there cannot be read")
    _evict(wanted, bound)
    return arrays


def entries() -> "pd.DataFrame":
    """List the arrays, the most recently used first.

    Returns:
        A row for each array: about, megabytes (10**6 bytes), last_used (local time) and key.

    Example:
        >>> list(entries().columns)
        ['about', 'megabytes', 'last_used', 'key']
    """
    import pandas as pd

    rows = [
        (_about(path), size / 1e6, datetime.fromtimestamp(used), path.stem)
        for used, size, path in reversed(_by_age())
    ]
    return pd.DataFrame(rows, columns=["about", "megabytes", "last_used", "key"])


def clear() -> int:
    """Remove everything but what another process is making at this moment.

    At most 256 empty lock files stay: removing one could let two processes in at once.

    Returns:
        Bytes freed.

    Example:
        >>> import tempfile
        >>> from unittest.mock import patch
        >>> with patch.dict(os.environ, TLKIT_CACHE=tempfile.mkdtemp()):
        ...     clear()
        0
    """
    paths = (path for kind in ("npy", "txt", "tmp") for path in folder().glob(f"*.{kind}"))
    return sum(map(_discard, paths))


def _path(key: str, suffix: str = "npy") -> Path:
    return folder() / f"{key}.{suffix}"


def _find_all(wanted: Wanted, rows: int) -> list[np.ndarray] | None:
    arrays = []
    for key, (row, kind) in wanted.items():
        array = find(key)
        if array is None or (array.shape, array.dtype) != ((rows, *row), np.dtype(kind)):
            return None
        arrays.append(array)
    return arrays


@contextmanager
def _locked(keys: Iterable[str], timeout: float = -1) -> Iterator[None]:
    """Hold what decides who may write and remove files of these keys."""
    with ExitStack() as held:
        # Few files, shared by keys, so that they do not pile up. Sorted: two processes that want
        # the same locks in different orders would wait for each other for ever.
        for name in sorted({key[:2] for key in keys}):
            held.enter_context(FileLock(folder() / f"{name}.lock", timeout=timeout))
        yield


@contextmanager
def _explained(size: int) -> Iterator[None]:
    """Turn a full disk or a folder that cannot be written to into the user's words."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{folder()} cannot take {size:,} bytes ({error.strerror or error}); free some space "
            "there, empty the cache with `tlkit cache --clear`, or set TLKIT_CACHE to a folder on "
            "another disk"
        ) from error


def _write(
    wanted: Wanted,
    blocks: Callable[[], Iterable[Sequence[np.ndarray]]],
    about: str,
    rows: int,
    size: int,
) -> None:
    """Write all arrays under temporary names, then rename them; the caller holds their locks."""
    for key in wanted:
        for left_over in folder().glob(f"{key}.*.tmp"):  # of a process that was killed
            left_over.unlink(missing_ok=True)
    temporary = [_path(key, f"{uuid4().hex}.tmp") for key in wanted]
    try:
        with ExitStack() as opened:
            files = []
            with _explained(size):
                if (free := shutil.disk_usage(folder()).free) < size:
                    raise OSError(f"{free:,} bytes are free")
                for path, (row, kind) in zip(temporary, wanted.values(), strict=True):
                    # Unbuffered, so that a full disk is noticed in `write` and not in `close`.
                    files.append(opened.enter_context(path.open("xb", buffering=0)))
                    append(files[-1], header((rows, *row), np.dtype(kind)))
            for block in checked(blocks(), wanted, rows):
                with _explained(size):
                    for file, array in zip(files, block, strict=True):
                        append(file, array)
            with _explained(size):
                for file in files:
                    os.fsync(file.fileno())
        with _explained(size):
            for path, key in zip(temporary, wanted, strict=True):
                _path(key, "txt").write_text(about, "utf-8", errors="backslashreplace")
                publish(path, _path(key))
    finally:
        for path in temporary:
            path.unlink(missing_ok=True)


def _by_age() -> list[tuple[float, int, Path]]:
    """Last use in seconds, bytes and path of each array, the longest unused first."""
    found = []
    for path in folder().glob("*.npy"):
        with suppress(FileNotFoundError):  # removed by another process
            facts = path.stat()
            found.append((facts.st_mtime, facts.st_size, path))
    return sorted(found)


def _about(path: Path) -> str:
    try:
        return path.with_suffix(".txt").read_text("utf-8", errors="replace")
    except OSError:
        return "?"


def _evict(kept: Collection[str], bound: int) -> None:
    for left_over in folder().glob("*.tmp"):  # of processes that were killed
        _discard(left_over)
    found = _by_age()
    excess = sum(size for _, size, _ in found) - bound
    for _, _, path in found:
        if excess > 0 and path.stem not in kept:
            if freed := _discard(path):
                _discard(path.with_suffix(".txt"))
            excess -= freed


def _discard(path: Path) -> int:
    """Remove a file unless a process is writing files of its key; return the bytes freed."""
    try:
        with _locked([path.name.partition(".")[0]], timeout=0):
            size = path.stat().st_size
            path.unlink()
    except OSError:  # locked, gone, or, on Windows, in use
        return 0
    return size

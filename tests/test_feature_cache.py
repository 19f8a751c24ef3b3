"""The cache of arrays: never wrong, never partial, computed once, within its limit."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import namedtuple
from datetime import datetime

import numpy as np
import pytest
from typer.testing import CliRunner

from tlkit import feature_cache as module
from tlkit.cli import app
from tlkit.errors import InputError
from tlkit.feature_cache import clear, entries, find, limit, make

KEY, OTHER, THIRD = "0a" * 32, "0b" * 32, "0c" * 32
ROW = {KEY: ((2, 3), "float32")}
MEBI = 2**20


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TLKIT_CACHE_LIMIT", raising=False)
    return module.folder()


def names(cache, suffix=".npy"):
    return sorted(path.name for path in cache.iterdir() if path.suffix == suffix)


def only_locks(cache):
    return all(path.suffix == ".lock" and not path.stat().st_size for path in cache.iterdir())


def blocks_of(*arrays, size=2):
    return lambda: (
        [array[start : start + size] for array in arrays]
        for start in range(0, len(arrays[0]), size)
    )


def numbers(rows=5):
    return np.arange(rows * 6, dtype="float32").reshape(rows, 2, 3)


def never():
    pytest.fail("blocks was called")


def keep(key, size, used=None):
    """Make an entry of `size` bytes, and pretend that it was last used at `used`."""
    row = np.zeros((1, size - 128), "uint8")  # beside 128 bytes of header
    make({key: (row.shape[1:], "uint8")}, lambda: [[row]], key, rows=1)
    if used is not None:
        os.utime(module.folder() / f"{key}.npy", (used, used))


def python(code, *arguments):
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)])


def test_an_array_comes_back_as_it_was(cache):
    made = make(ROW, blocks_of(numbers()), "five", rows=5)
    for array in (*made, find(KEY)):
        assert isinstance(array, np.memmap)
        assert not array.flags.writeable
        assert array.dtype == np.float32
        assert np.array_equal(array, numbers())
    assert np.array_equal(np.load(cache / f"{KEY}.npy"), numbers()), "a plain .npy file"
    assert not names(cache, ".tmp")


def test_several_arrays_come_back_in_their_order():
    wanted = {OTHER: ((), "int64"), KEY: ((2, 3), "float32"), THIRD: ((4,), "float16")}
    arrays = np.arange(5), numbers(), np.ones((4, 5), "float16").T  # the last not contiguous
    for found in (make(wanted, blocks_of(*arrays), "three", rows=5), map(find, wanted)):
        for array, expected in zip(found, arrays, strict=True):
            assert array.dtype == expected.dtype
            assert np.array_equal(array, expected)


def test_keys_that_share_a_lock_are_made_together():
    """The first two digits name the lock, which must not be taken twice."""
    wanted = {"ab1": ((), "int8"), "ab2": ((), "int8")}
    one, two = np.arange(3, dtype="int8"), np.arange(3, 6, dtype="int8")
    assert [list(array) for array in make(wanted, blocks_of(one, two), "", rows=3)] == [
        [0, 1, 2],
        [3, 4, 5],
    ]


def test_no_rows_and_no_keys():
    assert make({}, never, "", rows=3) == []
    assert make(ROW, list, "nothing", rows=0)[0].shape == (0, 2, 3)
    assert find(KEY).shape == (0, 2, 3)


def test_what_is_there_is_not_made_again():
    make(ROW, blocks_of(numbers()), "five", rows=5)
    assert np.array_equal(make(ROW, never, "five", rows=5)[0], numbers())


def test_another_key_is_another_array():
    make(ROW, blocks_of(numbers()), "five", rows=5)
    assert find(OTHER) is None
    make({OTHER: ((2, 3), "float32")}, blocks_of(numbers() + 1), "five more", rows=5)
    assert np.array_equal(find(KEY), numbers())
    assert np.array_equal(find(OTHER), numbers() + 1)


def test_all_are_made_again_when_one_is_missing():
    make(ROW, blocks_of(numbers()), "five", rows=5)
    wanted = ROW | {OTHER: ((), "int64")}
    made = make(wanted, blocks_of(numbers() + 1, np.arange(5)), "both", rows=5)
    assert np.array_equal(made[0], numbers() + 1)
    assert np.array_equal(made[1], np.arange(5))


def test_an_entry_of_another_shape_is_made_again():
    make(ROW, blocks_of(numbers()), "five", rows=5)
    assert make(ROW, blocks_of(numbers(4)), "four", rows=4)[0].shape == (4, 2, 3)
    wanted = {KEY: ((2, 3), "int32")}
    assert make(wanted, blocks_of(numbers(4).astype("int32")), "", rows=4)[0].dtype == np.int32


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_an_exception_while_computing_leaves_nothing(cache, error):
    def blocks():
        yield [numbers(2)]
        assert names(cache, ".tmp"), "written block by block"
        raise error("stop")

    with pytest.raises(error, match="stop"):
        make(ROW, blocks, "five", rows=5)
    assert find(KEY) is None
    assert only_locks(cache)
    make(ROW, blocks_of(numbers()), "five", rows=5)  # the lock is free


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (numbers(4), "4 rows in all; promised: 5"),
        (numbers(7), "6 rows or more in all; promised: 5"),
        (numbers().reshape(5, 3, 2), r"\(2, 3, 2\).*promised: \(2, 2, 3\)"),
        (numbers().astype("float64"), "float64; promised.*float32"),
        (numbers().astype(">f4"), ">f4; promised.*float32"),
    ],
)
def test_a_broken_promise_is_named_and_leaves_nothing(cache, array, message):
    with pytest.raises(ValueError, match=message):
        make(ROW, blocks_of(array), "five", rows=5)
    assert only_locks(cache)


def test_arrays_of_a_block_must_be_as_many_and_as_long_as_promised(cache):
    wanted = ROW | {OTHER: ((), "int64")}
    with pytest.raises(ValueError, match="1 arrays in a block; promised: 2"):
        make(wanted, blocks_of(numbers()), "", rows=5)
    with pytest.raises(ValueError, match=OTHER):
        make(wanted, lambda: [[numbers(), np.arange(4)]], "", rows=5)
    assert not names(cache)


def test_the_least_recently_used_go_first(cache, monkeypatch):
    for used, key in enumerate((KEY, OTHER, THIRD), start=1000):
        keep(key, 1000, used)
    find(KEY)  # now the oldest is OTHER
    monkeypatch.setenv("TLKIT_CACHE_LIMIT", str(3500 / 2**30))
    keep("dd", 1000)
    assert names(cache) == sorted(f"{key}.npy" for key in (KEY, THIRD, "dd"))
    assert names(cache, ".txt") == sorted(f"{key}.txt" for key in (KEY, THIRD, "dd"))
    assert find(OTHER) is None
    monkeypatch.setenv("TLKIT_CACHE_LIMIT", str(2000 / 2**30))
    keep("ee", 1000)
    assert len(names(cache)) == 2
    assert find(THIRD) is None


def test_what_was_just_made_stays_whatever_the_limit(cache, monkeypatch):
    monkeypatch.setenv("TLKIT_CACHE_LIMIT", "0")
    keep(OTHER, 1000)
    wanted = ROW | {THIRD: ((), "int64")}
    make(wanted, blocks_of(numbers(), np.arange(5)), "both", rows=5)
    assert names(cache) == [f"{KEY}.npy", f"{THIRD}.npy"]


def test_what_another_process_is_making_is_neither_evicted_nor_cleared(cache):
    with module._locked([KEY]):
        (cache / f"{KEY}.1.tmp").write_bytes(b"half")
        (cache / f"{OTHER}.1.tmp").write_bytes(b"left over")
        keep(THIRD, 1000)
        assert names(cache, ".tmp") == [f"{KEY}.1.tmp"]
        clear()
        assert names(cache, ".tmp") == [f"{KEY}.1.tmp"]
        assert not names(cache)
    assert clear() == 4
    assert not names(cache, ".tmp")


def test_an_array_in_use_stays_readable_when_it_is_removed():
    made = make(ROW, blocks_of(numbers()), "five", rows=5)
    clear()
    assert find(KEY) is None
    assert np.array_equal(made[0], numbers())


def make_and_count(place, log, start):
    """In a process of its own: wait for the others, then want the same as they."""
    os.environ["TLKIT_CACHE"] = place

    def blocks():
        with open(log, "a") as file:
            file.write("called\n")
        for i in range(5):
            time.sleep(0.1)
            yield [numbers()[i : i + 1]]

    start.wait(60)
    made = make(ROW, blocks, "five", rows=5)
    assert np.array_equal(made[0], numbers())


def test_two_processes_compute_it_once(cache, tmp_path):
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    arguments = str(cache.parent), str(tmp_path / "log"), start
    workers = [context.Process(target=make_and_count, args=arguments) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert (tmp_path / "log").read_text() == "called\n"


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_a_killed_process_leaves_no_entry(cache):
    code = (
        "import time, numpy as np\n"
        "from tlkit.feature_cache import make\n"
        "def blocks():\n"
        "    yield [np.zeros((4, 2, 3), 'float32')]\n"
        "    time.sleep(60)\n"
        f"make({ROW!r}, blocks, 'killed', rows=5)\n"
    )
    process = python(code)
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size > 128 for path in cache.glob("*.tmp")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    left_over = names(cache, ".tmp")
    assert len(left_over) == 1
    assert find(KEY) is None
    assert entries().empty

    def blocks():
        assert not set(names(cache, ".tmp")) & set(left_over), "no need to keep both"
        return blocks_of(numbers())()

    assert np.array_equal(make(ROW, blocks, "five", rows=5)[0], numbers())
    assert not names(cache, ".tmp")


def cut(path):
    os.truncate(path, path.stat().st_size - 1)


def lengthen(path):
    path.write_bytes(path.read_bytes() + b"x")


def empty(path):
    path.write_bytes(b"")


def spoil_the_header(path):
    path.write_bytes(path.read_bytes().replace(b"descr", b"d\0\xff(]"))


@pytest.mark.parametrize("damage", [cut, lengthen, empty, spoil_the_header])
def test_a_damaged_file_is_dropped_with_a_warning_and_made_again(cache, damage):
    path = cache / f"{KEY}.npy"
    make(ROW, blocks_of(numbers()), "five", rows=5)
    damage(path)
    with pytest.warns(UserWarning, match=f"{KEY}.*damaged"):
        assert find(KEY) is None
    assert not path.exists()
    make(ROW, blocks_of(numbers()), "five", rows=5)
    damage(path)
    with pytest.warns(UserWarning, match="damaged"):
        made = make(ROW, blocks_of(numbers()), "five", rows=5)
    assert np.array_equal(made[0], numbers())


def test_a_file_that_cannot_be_opened_now_is_not_removed(cache, monkeypatch):
    def too_many(*args, **kwargs):
        raise OSError(24, "Too many open files")

    make(ROW, blocks_of(numbers()), "five", rows=5)
    with monkeypatch.context() as patched:
        patched.setattr(np.lib.format, "open_memmap", too_many)
        with pytest.warns(UserWarning, match="Too many open files"):
            assert find(KEY) is None
    assert np.array_equal(find(KEY), numbers())


def test_a_folder_that_cannot_be_written_to_can_be_read(cache, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    make(ROW, blocks_of(numbers()), "five", rows=5)
    monkeypatch.setattr(os, "utime", refuse)
    monkeypatch.setattr(module, "FileLock", refuse)
    assert np.array_equal(make(ROW, never, "five", rows=5)[0], numbers())
    with pytest.raises(InputError, match=r"Permission denied.*TLKIT_CACHE"):
        make({OTHER: ((), "int8")}, never, "", rows=5)


def test_too_little_space_is_said_before_anything_is_computed(cache, monkeypatch):
    usage = namedtuple("usage", "total used free")(1000, 900, 100)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(InputError) as caught:
        make(ROW, never, "five", rows=5)
    for word in (str(cache), "120 bytes", "100 bytes", "tlkit cache --clear", "TLKIT_CACHE"):
        assert word in str(caught.value)


@pytest.mark.skipif(os.name == "nt", reason="no limit on the size of files")
def test_a_disk_that_fills_up_is_the_same_error_and_leaves_nothing(cache):
    """A limit on the size of files stands for the end of the disk: the last write is short."""
    code = (
        "import resource, numpy as np\n"
        "from tlkit.errors import InputError\n"
        "from tlkit.feature_cache import make\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "block = [np.zeros((1, 1000), 'uint8')]\n"
        "try:\n"
        f"    make({{{KEY!r}: ((1000,), 'uint8')}}, lambda: [block] * 5, 'five', rows=5)\n"
        "except InputError as error:\n"
        "    assert '5,000 bytes' in str(error) and 'tlkit cache --clear' in str(error), error\n"
        "else:\n"
        "    raise AssertionError('written past the end of the disk')\n"
    )
    assert python(code).wait(60) == 0
    assert only_locks(cache)


@pytest.mark.skipif(os.name == "nt", reason="no resource module")
def test_memory_does_not_grow_with_what_is_written():
    code = (
        "import resource, numpy as np\n"
        "from tlkit.feature_cache import make\n"
        "block = [np.ones((1, 2**20), 'uint8')]\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"make({{{OTHER!r}: ((2**20,), 'uint8')}}, lambda: [block] * 5, 'warm up', rows=5)\n"
        "before = peak()\n"
        f"made = make({{{KEY!r}: ((2**20,), 'uint8')}}, lambda: [block] * 200, '', rows=200)\n"
        "assert made[0].nbytes == 200 * 2**20\n"
        "unit = 1 if __import__('sys').platform == 'darwin' else 1024\n"
        "grown = (peak() - before) * unit / 2**20\n"
        "assert grown < 50, f'{grown:.0f} MiB more'\n"
    )
    assert python(code).wait(120) == 0
    assert find(KEY).nbytes == 200 * MEBI
    clear()


@pytest.mark.parametrize("given", ["much", "-1", "nan", "inf", "20 GiB"])
def test_a_limit_that_is_none_is_named_before_anything_is_computed(given, monkeypatch):
    monkeypatch.setenv("TLKIT_CACHE_LIMIT", given)
    with pytest.raises(InputError, match=f"TLKIT_CACHE_LIMIT='{given}'.*a number of GiB"):
        make(ROW, never, "five", rows=5)


@pytest.mark.parametrize(("given", "expected"), [("", 20), ("0.25", 0.25), ("1e3", 1000)])
def test_the_limit_is_in_gib(given, expected, monkeypatch):
    monkeypatch.setenv("TLKIT_CACHE_LIMIT", given)
    assert limit() == expected * 2**30


def test_a_folder_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    (tmp_path / "features").write_text("a file")
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="TLKIT_CACHE"):
        find(KEY)


def test_entries_are_listed_by_last_use(cache):
    keep(KEY, 1000, 1000)
    keep(OTHER, 3000, 3000)
    keep(THIRD, 2000, 2000)
    (cache / f"{THIRD}.txt").unlink()
    found = entries()
    assert list(found["key"]) == [OTHER, THIRD, KEY]
    assert list(found["about"]) == [OTHER, "?", KEY]
    assert list(found["megabytes"]) == [0.003, 0.002, 0.001]
    assert list(found["last_used"]) == [datetime.fromtimestamp(at) for at in (3000, 2000, 1000)]


def test_any_text_can_be_kept_beside_an_array():
    make(ROW, blocks_of(numbers()), "grün \udcff", rows=5)
    assert entries()["about"].item().startswith("grün ")


def test_clear_frees_everything_but_locks(cache):
    keep(KEY, 1000)
    (cache / f"{OTHER}.1.tmp").write_bytes(b"1234")
    (cache / f"{THIRD}.txt").write_text("an orphan")
    assert clear() == 1000 + len(KEY) + 4 + len("an orphan")
    assert only_locks(cache)


def test_the_command_shows_and_clears(cache, monkeypatch):
    monkeypatch.setenv("TLKIT_CACHE_LIMIT", "1.5")
    keep(KEY, 2_500_000)
    keep(OTHER, 500_000)
    (cache / f"{KEY}.txt").write_text("[b]mobilenet, 600 images")
    shown = CliRunner().invoke(app, ["cache"], catch_exceptions=False)
    text = " ".join(shown.stdout.split())
    assert shown.exit_code == 0
    for words in ("[b]mobilenet, 600 images", "2.5", "0.5", "Total: 3.0 MB", "at most 1.5 GiB"):
        assert words in text
    assert str(cache) in shown.stdout.replace("\n", "")
    cleared = CliRunner().invoke(app, ["cache", "--clear"], catch_exceptions=False)
    assert "3.0 MB freed" in cleared.stdout
    assert not names(cache)
    assert "empty" in CliRunner().invoke(app, ["cache"], catch_exceptions=False).stdout

"""`compare` in several processes and on a Dask cluster: no run lost, none counted twice."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from tlkit.comparison import compare
from tlkit.errors import InputError
from tlkit.parallel import processes

PLAN = {
    "backbones": ["mini_vgg"],
    "strategies": ["feature_extraction", "partial"],
    "seeds": 2,
    "epochs": 2,
    "steps_per_epoch": 2,
    "batch_size": 8,
    "input_size": 32,
    "progress": False,
}
RESULTS = ["backbone", "strategy", "seed", "validation_accuracy", "test_accuracy", "test_log_loss"]
PATIENCE = 120


@pytest.fixture(scope="module")
def here(tiny_dataset):
    """The same comparison in this process."""
    return compare(tiny_dataset, **PLAN)


def test_processes_give_the_same_table_in_the_same_order(here, tiny_dataset, tmp_path):
    found = compare(tiny_dataset, n_jobs=2, out=tmp_path / "runs", **PLAN)
    pd.testing.assert_frame_equal(found.table[RESULTS], here.table[RESULTS], atol=1e-4)
    assert len(list((tmp_path / "runs" / "runs").glob("*.json"))) == 4
    assert (tmp_path / "runs" / "best.keras").is_file()
    assert np.allclose(found.best.test_predictions, here.best.test_predictions, atol=1e-4)


def test_cores_are_divided_among_processes(tiny_dataset):
    import joblib

    from tlkit.parallel import _limit_threads

    def threads_after(limit):
        import tensorflow as tf

        _limit_threads(limit)
        return tf.config.threading.get_intra_op_parallelism_threads()

    with joblib.parallel_config(backend="loky"):
        assert joblib.Parallel(n_jobs=2)(joblib.delayed(threads_after)(1) for _ in range(2)) == [
            1,
            1,
        ]


@pytest.mark.parametrize("value", [0, 1.5, "two", True])
def test_bad_numbers_of_processes_are_named(value):
    with pytest.raises(InputError, match="n_jobs="):
        processes(value)


def test_a_scheduler_that_does_not_answer_is_named(tiny_dataset, monkeypatch):
    monkeypatch.setattr("tlkit.parallel.CONNECT_SECONDS", 1)
    with pytest.raises(InputError, match=r"scheduler='tcp://127.0.0.1:9'.*no Dask scheduler"):
        compare(tiny_dataset, scheduler="tcp://127.0.0.1:9", **PLAN)


@pytest.fixture
def cluster(tmp_path):
    """A scheduler and two workers, real processes that listen on loopback only."""
    address_file = tmp_path / "scheduler.json"
    started = []

    def start(*command):
        log = (tmp_path / f"log{len(started)}").open("w")
        quiet = {"DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "error"}
        command = [sys.executable, "-m", "distributed.cli." + command[0], *command[1:]]
        started.append(
            subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **quiet})
        )
        return started[-1]

    start(
        "dask_scheduler",
        *("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-show"),
        *("--scheduler-file", str(address_file)),
    )
    _wait_for(address_file.exists)
    workers = [
        start(
            "dask_worker",
            *("--scheduler-file", str(address_file), "--host", "127.0.0.1"),
            *("--nthreads", "1", "--no-dashboard", "--no-nanny"),
            *("--local-directory", str(tmp_path / f"worker{number}")),
        )
        for number in range(2)
    ]
    import json

    yield json.loads(address_file.read_text())["address"], workers
    for process in reversed(started):
        process.kill()
        process.wait()


def _wait_for(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


@pytest.mark.slow
def test_a_killed_worker_of_a_cluster_loses_nothing(here, tiny_dataset, tmp_path, cluster):
    from distributed import Client

    from tlkit.comparison import _Store

    address, workers = cluster
    with Client(address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=PATIENCE)
    saved = []
    save = _Store.save

    def save_and_kill(store, run):
        saved.append((run.strategy, run.seed))
        if len(saved) == 1:
            workers[0].send_signal(signal.SIGKILL)
        return save(store, run)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Store, "save", save_and_kill)
        found = compare(tiny_dataset, scheduler=address, out=tmp_path / "runs", **PLAN)
    assert workers[0].wait(PATIENCE) == -signal.SIGKILL
    assert sorted(saved) == sorted(set(saved)), "a run was counted twice"
    assert len(saved) == 4
    pd.testing.assert_frame_equal(found.table[RESULTS], here.table[RESULTS], atol=1e-4)

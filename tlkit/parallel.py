"""Carries out runs one after another, in several processes, or on a Dask cluster."""

import os
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import joblib

from tlkit.dataset import Dataset
from tlkit.errors import InputError
from tlkit.runs import Run
from tlkit.training import fit

CONNECT_SECONDS = 10


def carry_out(
    tasks: Sequence[dict[str, Any]],
    dataset: Dataset,
    *,
    n_jobs: int = 1,
    scheduler: str | None = None,
) -> Iterator[Run]:
    """Carry out runs in other processes, and give each as soon as it is finished.

    Processes share what is kept of frozen parts. The processor cores of this machine are divided
    among its processes; a worker of a cluster uses as many as it has threads. A worker that dies
    loses nothing: its run starts anew on another one.

    Args:
        tasks: arguments of `tlkit.fit` besides the data set, one dictionary a run.
        dataset: what all runs are trained on.
        n_jobs: processes on this machine; negative as in joblib: -1 for one a core.
        scheduler: address of a Dask scheduler, such as "tcp://10.0.0.1:8786"; its workers need
            tlkit and, for full-size backbones, their weights. `n_jobs` is then ignored.

    Returns:
        Iterator of runs, in the order in which they finish.

    Raises:
        InputError: no scheduler answers, or the extra `tlkit[cluster]` is not installed.
    """
    if scheduler:
        yield from _on_cluster(tasks, dataset, scheduler)
        return
    threads = max(1, (os.cpu_count() or 1) // processes(n_jobs))
    with joblib.parallel_config(backend="loky", inner_max_num_threads=threads):
        parallel = joblib.Parallel(n_jobs, return_as="generator_unordered", batch_size=1)
        yield from parallel(joblib.delayed(_run)(dataset, task, threads) for task in tasks)


def processes(n_jobs: int) -> int:
    """Return how many processes `n_jobs` means on this machine.

    Raises:
        InputError: it is 0 or no whole number.

    Example:
        >>> processes(2), processes(-1) == joblib.cpu_count()
        (2, True)
    """
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or n_jobs == 0:
        raise InputError(f"n_jobs={n_jobs!r}: give a number of processes, or -1 for one a core")
    return joblib.effective_n_jobs(n_jobs)


def _run(dataset: Dataset, task: dict[str, Any], threads: int) -> Run:
    """Do one run in another process."""
    _limit_threads(threads)
    return fit(dataset, **task)


def _run_on_worker(dataset: Dataset, task: dict[str, Any]) -> Run:
    """Do one run on a Dask worker, with as many threads as it was given."""
    import distributed

    return _run(dataset, task, distributed.get_worker().state.nthreads)


def _unchanged(dataset: Dataset) -> Dataset:
    return dataset


def _limit_threads(threads: int) -> None:
    """Let TensorFlow use so many threads, unless it is at work in this process already."""
    import tensorflow as tf

    if tf.config.threading.get_intra_op_parallelism_threads() == threads:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:  # what TensorFlow raises once it has started its threads
        return


def _on_cluster(tasks: Sequence[dict[str, Any]], dataset: Dataset, scheduler: str) -> Iterator[Run]:
    """Do runs on a Dask cluster.

    Dask's own interface, as joblib's way to Dask loses a run whose worker dies between finishing
    it and handing it over.
    """
    try:
        import distributed
    except ImportError:
        raise InputError(
            f"scheduler={scheduler!r} needs Dask: pip install 'tlkit[cluster]'"
        ) from None
    try:
        client = distributed.Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"scheduler={scheduler!r}: no Dask scheduler answers there ({error}); give an address "
            "such as tcp://127.0.0.1:8786"
        ) from None
    with client:
        # A task and no scattered data: a task is done again where the worker that held it dies.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph")
            data = client.submit(_unchanged, dataset, pure=False)
        futures = [client.submit(_run_on_worker, data, task, pure=False) for task in tasks]
        for future in distributed.as_completed(futures, loop=client.loop):
            yield future.result()
            future.release()

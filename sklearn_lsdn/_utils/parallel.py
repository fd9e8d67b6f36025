"""Work shared as joblib is told: among threads, processes or a Dask cluster."""

import asyncio
import pickle
import warnings
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache

from joblib import Parallel, delayed, parallel_config
from joblib.parallel import get_active_backend

from .optional import require

_ANSWER_WITHIN = 10  # seconds


def cluster_client():
    """Client of the Dask cluster that does the work, if one does.

    Returns
    -------
    client : distributed.Client or None
        None unless a `joblib.parallel_config` names Dask, and within a task on a
        worker, which does its work itself.
    """
    return None if _is_task() else getattr(_dask_backend(), "client", None)


def _dask_backend():
    backend, _ = get_active_backend()
    return backend if type(backend).__module__ == "joblib._dask" else None


def _is_task():
    """Whether this runs on a worker of Dask."""
    if _dask_backend() is None:
        return False
    from distributed import get_worker

    try:
        get_worker()
    except ValueError:
        return False
    return True


def parallel_map(function, shared, jobs, *, n_jobs=None, prefer=None, lost=None):
    """Call ``function(*shared, *job)`` for each job, and yield the results in order.

    On a Dask cluster, ``shared`` is sent once, and can be made again there if the
    worker that holds it dies; a job may then run twice.

    Parameters
    ----------
    function : callable
        Importable, where processes or machines share the work.
    shared : tuple
        What all jobs have in common.
    jobs : iterable of tuple
        What each has of its own: little, as images by their paths.
    n_jobs : int, default=None
        Jobs at once; a cluster has as many as its workers have threads.
    prefer : {"threads", "processes"}, default=None
        What shares the work where no `joblib.parallel_config` names a backend.
    lost : callable, default=None
        ``lost(job, error)`` stands for the result of a job that a cluster gave up,
        such as one that killed its workers. By default the error is raised.

    Yields
    ------
    result : object

    Raises
    ------
    OSError
        If a cluster gave up a job.
    TypeError
        If a job cannot be sent to a cluster.
    """
    if _is_task():
        yield from (function(*shared, *job) for job in jobs)
        return
    client = cluster_client()
    if client is None:
        parallel = Parallel(n_jobs, prefer=prefer, return_as="generator")
        yield from parallel(delayed(function)(*shared, *job) for job in jobs)
        return
    jobs = list(jobs)
    shared = _kept_on(client, shared)
    # All at once: workers that come later find work, too.
    parallel = Parallel(
        backend=_patient_backend(type(_dask_backend()))(client=client),
        batch_size=1,
        pre_dispatch="all",
        return_as="generator",
    )
    tasks = (delayed(_call)(shared, _pickled((function, job))) for job in jobs)
    with _cancelling(parallel(tasks)) as results:
        for job, result in zip(jobs, results, strict=True):
            if isinstance(result, _Lost):
                if lost is None:
                    raise result.error
                result = lost(job, result.error)
            yield result


@contextmanager
def _cancelling(results):
    try:
        yield results
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # joblib's, that work was in vain
            results.close()


@contextmanager
def on_scheduler(address):
    """Let joblib share work among the workers of a Dask scheduler.

    Parameters
    ----------
    address : str
        Such as ``tcp://host:8786``.

    Raises
    ------
    ImportError
        If dask.distributed is missing, here or, as this package, on a worker.
    OSError
        If no scheduler answers, it has no workers, or the connection is lost.
    ValueError
        If the address is none, or a worker has another version of this package.
    """
    distributed = require("distributed")
    try:
        with ThreadPoolExecutor(1) as pool:  # where no other loop of events runs
            pool.submit(asyncio.run, _answer(address)).result()
        client = distributed.Client(address, timeout=_ANSWER_WITHIN)
    except ValueError as error:
        raise ValueError(
            f"{address} is not the address of a scheduler ({error}). Give one such as "
            "tcp://host:8786."
        ) from error
    except OSError as error:
        raise OSError(
            f"No Dask scheduler answers at {address} within {_ANSWER_WITHIN} s. Is "
            "it running, and can it be reached from here?"
        ) from error
    with client:
        _check_workers(client, address)
        with parallel_config(backend="dask", client=client):
            yield


async def _answer(address):
    """Wait for a scheduler to answer, as its client does without end."""
    from distributed import rpc

    async with rpc(address) as scheduler:
        await asyncio.wait_for(scheduler.identity(), _ANSWER_WITHIN)


def _check_workers(client, address):
    """Raise an error unless there are workers with this version of the package."""
    from .._version import __version__

    def installed():  # sent by value, as a worker may lack this module
        try:
            from sklearn_lsdn._version import __version__
        except ImportError:
            return None
        return __version__

    versions = client.run(installed)
    if not versions:
        raise OSError(f"The scheduler at {address} has no workers yet. Start some.")
    for worker, version in versions.items():
        if version is None:
            raise ImportError(
                f"The worker at {worker} lacks sklearn_lsdn. Install version "
                f"{__version__} there."
            )
        if version != __version__:
            raise ValueError(
                f"The worker at {worker} has sklearn_lsdn {version}, and here it is "
                f"{__version__}. Install the same version everywhere."
            )


class _Lost:
    """Stands for the result of a job that a cluster gave up."""

    def __init__(self, reason):
        if type(reason).__name__ == "KilledWorker":
            text = (
                "its worker died, again and again. The memory of the workers may not "
                "do for it"
            )
        elif isinstance(reason, CancelledError):
            text = "the connection to the scheduler was lost"
        else:
            text = f"{type(reason).__name__}: {reason}"
        self.error = OSError(f"The cluster gave up a task: {text}.")


@cache
def _patient_backend(base):
    """joblib's backend for Dask, cured of waiting for ever for what cannot come."""

    class Backend(base):
        def effective_n_jobs(self, n_jobs):
            # With one, joblib would do the work here and leave the cluster idle.
            return max(2, super().effective_n_jobs(n_jobs))

        def submit(self, func, callback=None):
            future = super().submit(func, callback)

            def tell(future):  # which joblib does only of tasks that ran
                if (error := future.exception()) is not None:
                    callback(_Lost(error))

            future.add_done_callback(tell)
            return future

        def retrieve_result_callback(self, out):
            if isinstance(out, CancelledError):
                out = _Lost(out)
            if isinstance(out, _Lost):
                return [out]
            return super().retrieve_result_callback(out)

    return Backend


def _kept_on(client, value):
    """A future of a value, which the scheduler can have made again on any worker."""
    import dask

    # Large on purpose, and once; scattered data would be lost with their worker.
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"}):
        return client.submit(pickle.loads, _pickled(value), pure=False)


def _pickled(value):
    import cloudpickle

    try:
        return cloudpickle.dumps(value)
    except Exception as error:  # whatever the objects within raise
        raise TypeError(
            f"The work cannot be sent to the cluster: {error}. Give images as paths, "
            "and what can be pickled."
        ) from error


def _call(shared, data):
    function, job = pickle.loads(data)
    return function(*shared, *job)

"""Work shared as joblib is told: among threads, processes or a Dask cluster."""

import asyncio
import pickle
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager

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
    backend = _dask_backend()
    return None if backend is None or _is_task() else backend.client


def _dask_backend():
    backend, _ = get_active_backend()
    return backend if type(backend).__module__ == "joblib._dask" else None


def _is_task():
    """Whether this runs on a worker of Dask."""
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
    if (client := cluster_client()) is not None:
        yield from _on_cluster(client, function, shared, jobs, lost)
        return
    backend, _ = get_active_backend(prefer)
    parallel = Parallel(
        n_jobs,
        backend=None if _dask_backend() is None else "sequential",
        prefer=prefer,
        return_as="generator" if backend.supports_return_generator else "list",
    )
    yield from parallel(delayed(function)(*shared, *job) for job in jobs)


def _on_cluster(client, function, shared, jobs, lost):
    import dask
    from distributed import KilledWorker

    jobs, shared = list(jobs), _pickled(shared)
    # Large on purpose, and once; scattered data would be lost with their worker.
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"}):
        shared = client.submit(pickle.loads, shared, pure=False)
    # All at once: workers that come later find work, too.
    futures = [
        client.submit(_call, shared, _pickled((function, job)), pure=False)
        for job in jobs
    ]
    try:
        for job, future in zip(jobs, futures, strict=True):
            try:
                result = future.result()
            except (KilledWorker, CancelledError) as error:
                why = (
                    "the connection to the scheduler was lost"
                    if isinstance(error, CancelledError)
                    else "its worker died, again and again. The memory of the workers "
                    "may not do for it"
                )
                given_up = OSError(f"The cluster gave up a task: {why}.")
                if lost is None:
                    raise given_up from error
                result = lost(job, given_up)
            future.release()
            yield result
    finally:
        for future in futures:  # what has not begun then never does
            future.release()


def _call(shared, data):
    function, job = pickle.loads(data)
    with parallel_config(backend="sequential"):  # a thread of a worker is one
        return function(*shared, *job)


def _pickled(value):
    import cloudpickle

    try:
        return cloudpickle.dumps(value)
    except Exception as error:  # whatever the objects within raise
        raise TypeError(
            f"The work cannot be sent to the cluster: {error}. Give images as paths, "
            "and what can be pickled."
        ) from error


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
        If dask.distributed is missing.
    OSError
        If no scheduler answers, it has no workers, or the connection is lost.
    ValueError
        If the address is none, or a worker lacks this version of this package.
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
        if version != __version__:
            raise ValueError(
                f"The worker at {worker} has {version or 'no'} sklearn_lsdn, and here "
                f"it is {__version__}. Install the same version everywhere."
            )

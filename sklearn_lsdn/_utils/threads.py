"""How many threads ``n_jobs`` stands for."""

from joblib import cpu_count, effective_n_jobs
from joblib.parallel import get_active_backend
from threadpoolctl import threadpool_info


def effective_n_threads(n_jobs) -> int:
    """Threads to use, as joblib counts them and threadpoolctl limits them.

    Parameters
    ----------
    n_jobs : int or None
        None is 1 unless a `joblib.parallel_config` says otherwise, -1 all cores. A
        backend that is not joblib's own counts cores of other machines: there, None
        is the ``n_jobs`` of the `joblib.parallel_config`, or 1.

    Returns
    -------
    n_threads : int
        Never more than a thread pool of a native library (BLAS, OpenMP) may use at
        this moment, so that `threadpoolctl.threadpool_limits`, ``OMP_NUM_THREADS``
        and the limits in joblib's workers hold here too.
    """
    if n_jobs is None:
        backend, given = get_active_backend()
        if not type(backend).__module__.startswith("joblib._parallel_backends"):
            n_jobs = given or 1
    if n_jobs is None or n_jobs == 0:  # joblib has its say about 0
        n = effective_n_jobs(n_jobs)
    else:
        n = n_jobs if n_jobs > 0 else max(1, cpu_count() + 1 + n_jobs)
    if n == 1:
        return 1
    pools = [pool["num_threads"] for pool in threadpool_info()]
    return min(n, max(pools, default=n))

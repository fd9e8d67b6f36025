"""Threads that give the same bits whatever their number."""

from concurrent.futures import ThreadPoolExecutor


def for_each_slice(function, n_items, step, n_threads):
    """Call ``function(slice)`` on consecutive slices of ``step`` items.

    The slices do not depend on ``n_threads``. An exception in one is raised here.
    """
    slices = [slice(start, start + step) for start in range(0, n_items, step)]
    if n_threads == 1 or len(slices) < 2:
        for part in slices:
            function(part)
        return
    with ThreadPoolExecutor(min(n_threads, len(slices))) as pool:
        for _ in pool.map(function, slices):
            pass


def run_together(function, n_threads):
    """Call ``function`` at the same time in up to ``n_threads`` threads, this one too.

    Whether all of them start does not matter: they share what is to be done.
    """
    if n_threads == 1:
        function()
        return
    with ThreadPoolExecutor(n_threads - 1) as pool:
        others = []
        try:
            for _ in range(n_threads - 1):
                others.append(pool.submit(function))
        except RuntimeError:  # the system grants no more threads
            pass
        function()
        for other in others:
            other.result()

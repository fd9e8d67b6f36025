"""Threads and processes: how many, the same bits, and nothing that aborts."""

import importlib.util
import multiprocessing
import os
import pty
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import numpy as np
import pytest
from joblib import Parallel, delayed, parallel_config
from numba.core import caching
from numpy.testing import assert_array_equal
from threadpoolctl import threadpool_limits

import sklearn_lsdn
from sklearn_lsdn import LSDNRegressor
from sklearn_lsdn._network.kernels import compilation
from sklearn_lsdn._network.kernels.compilation import kernel
from sklearn_lsdn._utils.threads import effective_n_threads


@pytest.fixture(scope="module")
def data():
    X = np.random.RandomState(0).uniform(-1, 1, (3000, 7))
    return X, X[:, 0] * X[:, 6]


def train_and_predict(data, n_jobs=2):
    """What one job does: batches of several tiles, so that threads share them."""
    network = LSDNRegressor(
        (9, 4), batch_size=700, max_iter=3, n_jobs=n_jobs, random_state=0
    )
    return network.fit(*data).predict(data[0])


@pytest.fixture(scope="module")
def expected(data):
    return train_and_predict(data, n_jobs=1)


def test_rows_shared_among_threads_get_the_same_bits():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((9000, 7))  # blocks of 4096, the last one not full
    network = LSDNRegressor((9, 4), max_iter=1, n_jobs=1, random_state=0)
    network.fit(X[:500], X[:500, 0])
    alone = network.predict(X)
    assert_array_equal(network.set_params(n_jobs=3).predict(X), alone)
    assert_array_equal(network.predict(X[8000:]), alone[8000:])


@pytest.mark.parametrize("n_jobs", [2, 3, -1])
def test_n_jobs_does_not_change_the_bits(n_jobs, data, expected):
    assert_array_equal(train_and_predict(data, n_jobs), expected)


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_networks_train_side_by_side_in_joblib(backend, data, expected):
    results = Parallel(n_jobs=3, backend=backend)(
        delayed(train_and_predict)(data) for _ in range(4)
    )
    for result in results:
        assert_array_equal(result, expected)


def test_networks_train_side_by_side_in_a_thread_pool(data, expected):
    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(train_and_predict, [data] * 6):
            assert_array_equal(result, expected)


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="no fork here"
)
def test_networks_train_in_a_forked_child(data, expected):
    code = """
import multiprocessing, sys, warnings
sys.path.insert(0, {folder!r})
import numpy as np
from test_threads import train_and_predict
X = np.random.RandomState(0).uniform(-1, 1, (3000, 7))
data = X, X[:, 0] * X[:, 6]
before = train_and_predict(data)  # threads have been there when it forks
with multiprocessing.get_context("fork").Pool(2) as pool:
    for after in pool.map(train_and_predict, [data] * 3):
        assert np.array_equal(before, after)
print(repr(float(before.sum())))
"""
    done = subprocess.run(
        [sys.executable, "-c", code.format(folder=os.path.dirname(__file__))],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == expected.sum()


def test_joblib_and_threadpoolctl_limit_the_threads():
    assert effective_n_threads(None) == 1
    assert effective_n_threads(1) == 1
    with threadpool_limits(1):
        assert effective_n_threads(4) == 1
        assert effective_n_threads(-1) == 1
    with threadpool_limits(3), parallel_config(n_jobs=2):
        assert effective_n_threads(None) == 2
    with threadpool_limits(3):
        assert effective_n_threads(2) == 2
        assert effective_n_threads(7) == 3


def test_never_more_threads_than_asked_for(data, monkeypatch):
    started = []

    class Pool(ThreadPoolExecutor):
        def __init__(self, max_workers):
            started.append(max_workers)
            super().__init__(max_workers)

    monkeypatch.setattr("sklearn_lsdn._network.threads.ThreadPoolExecutor", Pool)
    with threadpool_limits(8):
        train_and_predict(data, n_jobs=1)
        assert started == []
        train_and_predict(data, n_jobs=2)
        assert started  # training in two threads: one more than the caller's own
        assert set(started) == {1}


def test_kernels_compile_without_a_place_for_a_cache(monkeypatch):
    implementation = getattr(caching, "CacheImpl", None) or caching._CacheImpl
    monkeypatch.setattr(implementation, "_locator_classes", [])

    def double(x):
        return 2 * x

    assert kernel(double)(21) == 42


def test_the_cache_is_stale_where_parts_have_changed(tmp_path, monkeypatch):
    path = tmp_path / "kernels.py"
    path.write_text(
        "from sklearn_lsdn._network.kernels.compilation import kernel\n"
        "@kernel\ndef double(x):\n    return 2 * x\n"
    )

    def hits():
        spec = importlib.util.spec_from_file_location("kernels", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert module.double(21) == 42
        return sum(module.double.stats.cache_hits.values())

    assert [hits(), hits()] == [0, 1]
    monkeypatch.setattr(compilation, "_SOURCES", "of parts that were edited")
    assert [hits(), hits()] == [0, 1]


def test_kernels_compile_where_nothing_can_be_written(tmp_path):
    """A package in a container, say: no place for a cache, not even for root."""
    package = Path(sklearn_lsdn.__file__).parent / "network"
    copy = shutil.copytree(
        package, tmp_path / "network", ignore=shutil.ignore_patterns("__pycache__")
    )
    occupied = copy / "__pycache__"
    occupied.touch()
    places = "NUMBA_CACHE_DIR", "HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"
    code = _TINY.replace("sklearn_lsdn.", "")
    done = subprocess.run(
        [sys.executable, "-B", "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, **dict.fromkeys(places, str(occupied))},
    )
    assert (done.stdout, done.stderr) == ("8\n", "")
    assert occupied.is_file()


def test_what_others_compile_is_left_alone():
    namespace = {}
    exec("def triple(x):\n    return 3 * x", {"__name__": None}, namespace)
    assert namespace["triple"].__module__ is None
    assert numba.njit(namespace["triple"])(7) == 21


_TINY = """
from sklearn_lsdn._network import compilation
from sklearn_lsdn._network.kernels.compilation import kernel
from sklearn_lsdn._network.kernels.matmul import padded
print(kernel(padded.py_func)(3))
"""


def run_at_a_terminal(tmp_path):
    """What a person sees who runs the smallest kernel."""
    outer, inner = pty.openpty()
    subprocess.run(
        [sys.executable, "-c", _TINY],
        stderr=inner,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        check=True,
    )
    os.write(inner, b"end")
    return os.read(outer, 1000).decode()


def test_compiling_is_announced_to_a_person_once(tmp_path):
    assert "compiling its kernels" in run_at_a_terminal(tmp_path)
    assert run_at_a_terminal(tmp_path) == "end"  # from the cache now


def test_compiling_is_not_announced_to_a_pipe(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", _TINY],
        capture_output=True,
        text=True,
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        check=True,
    )
    assert (done.stdout, done.stderr) == ("8\n", "")

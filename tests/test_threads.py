"""Threads and processes: how many, the same bits, and nothing that aborts."""

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from joblib import Parallel, delayed, parallel_config
from numpy.testing import assert_array_equal
from threadpoolctl import threadpool_limits

from sklearn_lsdn import LSDNRegressor
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
    X = rng.standard_normal((9000, 7))  # blocks of 8192, the last one not full
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

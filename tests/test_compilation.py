"""How kernels are compiled: cached where that is possible, and announced."""

import importlib.util
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import numba
from numba.core import caching

import sklearn_lsdn
from sklearn_lsdn._network.kernels import compilation
from sklearn_lsdn._network.kernels.compilation import kernel
from sklearn_lsdn._network.kernels.vectors import LANES

TINY = """
from sklearn_lsdn._network.kernels.compilation import kernel
from sklearn_lsdn._network.kernels.vectors import padded
print(kernel(padded.py_func)(3))
"""


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
    package = Path(sklearn_lsdn.__file__).parent / "_network"
    copy = shutil.copytree(
        package, tmp_path / "_network", ignore=shutil.ignore_patterns("__pycache__")
    )
    occupied = copy / "__pycache__"
    occupied.touch()
    places = "NUMBA_CACHE_DIR", "HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"
    code = TINY.replace("sklearn_lsdn.", "")
    done = subprocess.run(
        [sys.executable, "-B", "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, **dict.fromkeys(places, str(occupied))},
    )
    assert (done.stdout, done.stderr) == (f"{LANES}\n", "")
    assert occupied.is_file()


def test_what_others_compile_is_left_alone():
    namespace = {}
    exec("def triple(x):\n    return 3 * x", {"__name__": None}, namespace)
    assert namespace["triple"].__module__ is None
    assert numba.njit(namespace["triple"])(7) == 21


def run_at_a_terminal(tmp_path):
    """What a person sees who runs the smallest kernel."""
    outer, inner = pty.openpty()
    subprocess.run(
        [sys.executable, "-c", TINY],
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


FIT_AND_PREDICT = """
import numpy as np
from sklearn_lsdn import LSDNRegressor
from sklearn_lsdn._network.kernels.epoch import epoch
from sklearn_lsdn._network.kernels.strips import forward
X = np.random.RandomState(0).uniform(size=(90, 7))
network = LSDNRegressor((5, 2), max_iter=3).fit(X, X[:, 0])
frozen = X.astype(np.float32)
frozen.flags.writeable = False
for rows in X, frozen, frozen[::2], np.asfortranarray(frozen):
    network.predict(rows)
for kernel in epoch, forward:
    assert len(kernel.signatures) == 1, kernel.signatures
    print(sum(kernel.stats.cache_hits.values()), end=" ")
"""


def test_a_new_process_finds_what_another_compiled(tmp_path):
    """And neither announces anything to a pipe."""

    def hits():
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", FIT_AND_PREDICT],
            capture_output=True,
            text=True,
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        )
        assert (done.returncode, done.stderr) == (0, "")
        files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nb?")}
        return done.stdout, files

    compiled, first = hits()
    found, second = hits()
    assert (compiled, found) == ("0 0 ", "1 1 ")
    assert first == second

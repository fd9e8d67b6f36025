"""`lsdn selftest`: what it says of a sound installation, and of one that is not."""

import sys

import numpy as np
import pytest
from small_commands import run

from sklearn_lsdn._network import threads
from sklearn_lsdn.jobs import _selftest as selftest


@pytest.fixture
def only(monkeypatch):
    """Leave one check."""

    def leave(name):
        monkeypatch.setattr(selftest, "_CHECKS", {name: selftest._CHECKS[name]})

    return leave


def test_this_installation_passes(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("selftest") == 0
    said, errors = capsys.readouterr()
    for name in selftest._CHECKS:
        assert f"\n{name} " in said
    assert "FAILED" not in said
    assert "sklearn_lsdn " in said
    assert "numba " in said
    assert "self-test passed" in said
    assert errors == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["outputs by the reference", "a known hash"])
def test_kernels_that_are_wrong_are_told(kind, only, capsys, monkeypatch):
    (name,) = (each for each in selftest._CHECKS if kind in each)
    only(name)
    right = selftest.predict_rows
    monkeypatch.setattr(selftest, "predict_rows", lambda *a: right(*a) + 1e-3)
    assert run("selftest") == 1
    said, errors = capsys.readouterr()
    assert "FAILED: largest difference 1.0e-03, above 1e-05" in said
    assert "self-test FAILED" in said
    assert errors.startswith("lsdn selftest: error: this installation does not compute")
    assert "Traceback" not in errors


def test_outputs_that_are_not_numbers_are_wrong(only, capsys, monkeypatch):
    only("kernels: outputs by the reference")
    nothing = np.full((1000, 2), np.nan, dtype=np.float32)
    monkeypatch.setattr(selftest, "predict_rows", lambda *_: nothing)
    assert run("selftest") == 1
    assert "largest difference nan" in capsys.readouterr().out


def test_other_bits_within_rounding_pass_and_are_told(only, capsys, monkeypatch):
    only("kernels: outputs with a known hash")
    monkeypatch.setattr(selftest, "_KNOWN_HASH", "of others")
    assert run("selftest") == 0
    assert "where processors with FMA have of others" in capsys.readouterr().out


def test_gradients_that_are_wrong_are_told(only, capsys, monkeypatch):
    only("kernels: gradients by the reference")
    right = selftest.reference.loss_and_gradient

    def wrong(*arguments):
        loss, gradient = right(*arguments)
        return loss, 1.001 * gradient

    monkeypatch.setattr(selftest.reference, "loss_and_gradient", wrong)
    assert run("selftest") == 1
    assert "FAILED: largest difference" in capsys.readouterr().out


def test_what_breaks_is_told_in_a_line(only, capsys, monkeypatch):
    only("images: files")

    def broken():
        raise ImportError("no libgfortran here")

    monkeypatch.setattr(selftest, "_synthesis", broken)
    assert run("selftest") == 1
    assert "FAILED: ImportError: no libgfortran here" in capsys.readouterr().out


def test_two_threads_do_train_and_predict(only, capsys, monkeypatch):
    only("kernels: threads")
    pools, pool = [], threads.ThreadPoolExecutor

    def counted(n_threads):
        pools.append(n_threads)
        return pool(n_threads)

    monkeypatch.setattr(threads, "ThreadPoolExecutor", counted)
    assert run("selftest") == 0
    assert pools == [1, 2]  # beside the one that trains; to predict


@pytest.mark.parametrize("what", ["predict_rows", "Trainer"])
def test_threads_that_round_otherwise_are_told(what, only, capsys, monkeypatch):
    only("kernels: threads")
    right = getattr(selftest, what)

    def predict_rows(architecture, theta, S, X, n_threads=1):
        return right(architecture, theta, S, X) * np.float32(1 + 1e-7 * (n_threads - 1))

    def trainer(architecture, theta, samples, settings, rng):
        theta += np.float32(1e-7 * (settings.n_threads - 1))
        return right(architecture, theta, samples, settings, rng)

    monkeypatch.setattr(
        selftest, what, {"predict_rows": predict_rows}.get(what, trainer)
    )
    assert run("selftest") == 1
    assert "FAILED: on 1 thread " in capsys.readouterr().out


def test_a_missing_extra_is_no_failure(only, capsys, monkeypatch):
    only("model files")
    monkeypatch.setitem(sys.modules, "skops.io", None)
    assert run("selftest") == 0
    said = capsys.readouterr().out
    assert (
        'not checked: A model file needs skops: pip install "sklearn_lsdn[io]"' in said
    )

"""The benchmarks of speed and growth: their smoke tests, and what peers compute."""

import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import REPOSITORY

FOLDER = REPOSITORY / "benchmarks"


@pytest.fixture
def folder(monkeypatch):
    """Where the benchmarks lie, from where they may be imported."""
    for name in ("onnx", "onnxruntime", "torch"):
        pytest.importorskip(name)
    monkeypatch.syspath_prepend(FOLDER)
    return FOLDER


def run(script, *options):
    command = [sys.executable, FOLDER / script, "--quick", *options]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def cells(table):
    lines = [
        line.strip("| ").split(" | ") for line in table.splitlines() if "|" in line
    ]
    return lines[2:]


def test_all_contestants_are_timed(folder):
    rows = cells(run("speed.py", "--no-compiled", "--threads", "1"))
    names = [(row[0], row[3].split(",")[0]) for row in rows]
    exported = "onnxruntime of to_onnx"
    peers = ["PyTorch eager", "onnxruntime", exported, "NumPy", "MLPRegressor"]
    training = ["LSDNRegressor", "PyTorch eager", "NumPy", "MLPRegressor"]
    expected = ["LSDNRegressor"] * 2 + peers + ["HistGradientBoostingRegressor"]
    assert names == [
        *(("prediction", name) for name in expected),
        *(("training, batch 64", name) for name in training),
    ]
    for row in rows:
        assert float(row[4]) > 0
        assert row[7] == "-" or float(row[7]) < 1e-4
        assert row[7] != "-" or row[3].split(",")[0] in expected[-2:]


def test_fits_on_simulated_scans(folder):
    rows = cells(run("speed.py", "--fit", "--threads", "1"))
    assert [row[1] for row in rows] == [
        "LSDNRegressor",
        "HistGradientBoostingRegressor",
    ]
    for row in rows:
        assert 0 < float(row[4]) < float(row[3]) < 1  # seen, held back, the mean


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_scaling_prints_lines_and_draws(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(FOLDER)
    import scaling

    figure = tmp_path / "scaling.png"
    command = ["scaling.py", "--quick", "--figure", str(figure)]
    monkeypatch.setattr(sys, "argv", command)
    scaling.main()
    printed = capsys.readouterr().out
    growths = [line for line in printed.splitlines() if line.startswith("- ")]
    assert len(growths) == 6
    for line in growths:
        assert re.search(r"R\^2 = -?(\d\.\d+|nan)", line)
    assert {row[1] for row in cells(printed)} == {
        "voxels",
        "multiply-adds a voxel",
        "threads",
        "samples",
        "voxels of the grid",
        "subjects",
    }
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_a_line_is_fitted(folder):
    from scaling import Growth

    x = [1e5, 2e5, 4e5]
    straight = Growth("s", "voxels", x, x, [3.0, 5.0, 9.0])
    assert straight.slope == pytest.approx(2e-5)
    assert straight.intercept == pytest.approx(1.0)
    assert straight.r2 == pytest.approx(1.0)
    assert Growth("s", "voxels", x, x, [1.0, 9.0, 3.0]).r2 < 0.5


def test_peers_learn_as_the_reference_does(folder):
    """All parameters' gradients in NumPy and PyTorch, in both layouts."""
    import peers
    import torch

    from sklearn_lsdn._network import reference
    from sklearn_lsdn._network.architecture import Architecture

    rng = np.random.RandomState(0)
    architecture = Architecture((6, 8, 5, 2), 3, 0.5)
    theta = rng.normal(size=architecture.n_parameters)
    S, C, T = rng.normal(size=(30, 6)), rng.uniform(-1, 1, (30, 3)), rng.rand(30, 2)
    truth = reference.loss_and_gradient(architecture, theta, S, C, T, np.ones(30))[1]
    truth = architecture.layers(truth)
    expected = [truth.filters[0], truth.filters[1] / 2, truth.filters[2], *truth.biases]
    expected.append(truth.latent * 0.5)  # in units of sigma

    S, C, T = (array.astype(np.float32) for array in (S, C, T))
    weights = peers.Weights.of(architecture, theta.astype(np.float32))
    P = peers.places(architecture, C)
    gradients = [peers.NumpyNetwork(weights).gradient(S, P, T)]
    for columns in (False, True):
        training = peers.TorchTraining(weights, columns, "foreach")
        training.gradient(*map(torch.from_numpy, (S, P, T)))
        network = training.network
        gradients.append(
            [
                *(F.grad.numpy().T for F in network.filters),
                *(b.grad.numpy() for b in network.biases),
                network.latent.grad.numpy().T,
            ]
        )
    # The loss of PyTorch is the mean over outputs too.
    for factor, gradient in zip((1, 2, 2), gradients, strict=True):
        for computed, exact in zip(gradient, expected, strict=True):
            np.testing.assert_allclose(computed * factor, exact, rtol=1e-4, atol=1e-7)

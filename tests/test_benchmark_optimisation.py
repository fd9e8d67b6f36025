"""The benchmark of other ways to train: its smoke test, and what its rows are."""

import sys

import numpy as np
import pytest
from conftest import REPOSITORY
from numpy.testing import assert_allclose

from sklearn_lsdn import LSDNRegressor, VolumeSynthesizer
from sklearn_lsdn._regressors import network_regressor
from sklearn_lsdn._regressors.training import hold_out
from sklearn_lsdn.datasets import make_brain_cohort

pytest.importorskip("sklearn.callback", reason="a row averages by a callback")

BRIEF = dict(hidden_layer_sizes=(12, 4), max_iter=4, random_state=0)


@pytest.fixture(scope="module")
def optimisation():
    """The script as a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(REPOSITORY / "benchmarks")
        import optimisation

        yield optimisation


@pytest.fixture(scope="module")
def data():
    rng = np.random.RandomState(0)
    X = rng.uniform(-1, 1, (3000, 5))
    return X, X[:, 0] * X[:, 3] + X[:, 1], rng.randint(3, size=3000)


def test_smoke(optimisation, tmp_path, monkeypatch, capsys):
    names = [name for name in optimisation.networks() if "PyTorch" not in name]
    options = ["--quick", "--cohort", "simulated", "--jobs", "1", "--rows", *names]
    command = ["optimisation", *options, "--cache", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", command)
    optimisation.main()
    lines = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [line[0] for line in lines[2:] if line[0]] == [f"| {name}" for name in names]
    for _, mean, each, *_ in filter(lambda line: line[0], lines[2:]):
        scores = [float(score) for score in each.split()]
        assert float(mean) == pytest.approx(sum(scores) / len(scores), abs=0.02)


def test_the_average_is_that_of_the_last_epochs(optimisation, data):
    X, y, _ = data
    after = [LSDNRegressor(**BRIEF | {"max_iter": n}).fit(X, y) for n in (3, 4)]
    average = optimisation.AveragedLSDN(**BRIEF)
    average.n_averaged = 2
    average.fit(X, y)
    for name in ("coefs_", "intercepts_"):
        arrays = zip(*(getattr(network, name) for network in after), strict=True)
        for mean, both in zip(getattr(average, name), arrays, strict=True):
            assert_allclose(mean, np.mean(both, axis=0), rtol=1e-6, atol=1e-9)
    both = [network.latent_coordinates_ for network in after]
    assert_allclose(average.latent_coordinates_, np.mean(both, axis=0), rtol=1e-6)


def test_epochs_are_chosen_on_subjects_held_out(optimisation, monkeypatch):
    held_out = []

    def spy(data, fraction, groups, rng):
        held_out.append(groups)
        return hold_out(data, fraction, groups, rng)

    monkeypatch.setattr(network_regressor, "hold_out", spy)
    images = make_brain_cohort(3, voxel_size=8, random_state=0).images
    network = optimisation.networks()["stop early, then all"].set_params(**BRIEF)
    VolumeSynthesizer(network, n_voxels=300).fit(images["T1w"], images["T2w"])
    (groups,) = held_out  # once, of all three
    assert set(groups) == {0, 1, 2}


def test_the_best_number_of_epochs_is_trained_on_all(optimisation, data):
    X, _, groups = data
    y = X[:, 0] + np.random.RandomState(1).normal(0, 5, len(X))  # hardly to be learned
    many = BRIEF | {"max_iter": 20, "early_stopping": True, "learning_rate_init": 0.05}
    network = optimisation.StoppedThenWholeLSDN(**many).fit(X, y, groups=groups)
    assert network.best_ < 20
    brief = many | {"max_iter": network.best_, "early_stopping": False}
    whole = LSDNRegressor(**brief).fit(X, y)
    assert (network.predict(X) == whole.predict(X)).all()
    assert (
        network.get_params() == optimisation.StoppedThenWholeLSDN(**many).get_params()
    )


@pytest.mark.parametrize("name", ["KMeansLSDN", "ErrorDrivenLSDN"])
def test_latent_coordinates_start_elsewhere(optimisation, data, name):
    X, y, _ = data
    still = BRIEF | {"max_iter": 1, "learning_rate_init": 1e-12}
    started = getattr(optimisation, name)(**still).fit(X, y).latent_coordinates_
    drawn = LSDNRegressor(**still).fit(X, y)
    assert started.shape == drawn.latent_coordinates_.shape
    assert not np.allclose(started, drawn.latent_coordinates_, atol=0.01)
    assert (abs(started) <= 1).all()
    if name == "ErrorDrivenLSDN":
        distances = abs(started[:, None] - X[:, 2:]).max(axis=2)
        assert distances.min(axis=1).max() < 1e-5  # each is a voxel


@pytest.fixture
def torch():
    torch = pytest.importorskip("torch")
    n_threads = torch.get_num_threads()
    yield torch
    torch.set_num_threads(n_threads)


def test_the_network_in_pytorch_is_the_same(optimisation, data, torch, monkeypatch):
    X, y, _ = data
    untrained = dict(max_iter=1, learning_rate_init=1e-12, random_state=0)
    ours = LSDNRegressor(**untrained).fit(X, y).predict(X)
    monkeypatch.setattr(optimisation.TorchLSDN, "_train", lambda *_: None)
    theirs = optimisation.TorchLSDN(random_state=0).fit(X, y).predict(X)
    assert_allclose(theirs, ours, atol=1e-5 * np.ptp(y))


def test_the_network_in_pytorch_is_trained_alike(optimisation, data, torch):
    X, y, _ = (values[:500] for values in data)
    ours = LSDNRegressor(random_state=0).fit(X, y).predict(X)
    theirs = optimisation.TorchLSDN(random_state=0).fit(X, y)
    assert theirs.sigma_ == pytest.approx([0.5])
    assert np.corrcoef(ours, theirs.predict(X))[0, 1] > 0.999
    learned = optimisation.TorchLSDN("learned for each node", random_state=0).fit(X, y)
    assert len(learned.sigma_) == 200
    assert np.ptp(learned.sigma_) > 0.01

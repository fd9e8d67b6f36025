"""EnsembleRegressor: means, deviations, and groups held back."""

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_lsdn import (
    EnsembleRegressor,
    LSDNRegressor,
    ShrinkConnect,
    load_model,
    save_model,
)
from sklearn_lsdn._network.optimizers import Trainer

NETWORK = LSDNRegressor((8, 3), max_iter=5)


@pytest.fixture(scope="module")
def data():
    rng = np.random.RandomState(0)
    X = rng.uniform(size=(600, 5))
    noise = rng.normal(size=600) * np.where(X[:, 0] > 0.5, 0.5, 0.02)
    return X, X[:, 0] + X[:, 1] + noise, np.repeat([3, 1, 2], 200)


def test_the_mean_is_that_of_the_members(data):
    X, y, _ = data
    ensemble = EnsembleRegressor(NETWORK, 4, random_state=0).fit(X, y)
    each = [member.predict(X) for member in ensemble.estimators_]
    assert len(each) == 4
    assert np.std(each, axis=0).min() > 0
    np.testing.assert_allclose(ensemble.predict(X), np.mean(each, axis=0))


def test_the_variance_is_disagreement_and_noise(data):
    X, y, _ = data
    ensemble = EnsembleRegressor(NETWORK, 3, random_state=0).fit(X, y)
    mean, std = ensemble.predict(X, return_std=True)
    np.testing.assert_array_equal(mean, ensemble.predict(X))
    each = [member.predict(X) for member in ensemble.estimators_]
    noise = np.maximum(ensemble.noise_estimator_.predict(X), 0)
    noise *= ensemble.noise_scale_[0]
    expected = np.sqrt(np.var(each, axis=0, ddof=1) + noise**2)
    np.testing.assert_allclose(std, expected)


def test_the_deviation_is_the_size_of_errors():
    rng = np.random.RandomState(0)
    X = rng.uniform(size=(4000, 5))
    noisy = X[:, 0] > 0.5
    y = X[:, 0] + X[:, 1] + rng.normal(size=4000) * np.where(noisy, 0.5, 0.05)
    network = LSDNRegressor((20, 5), max_iter=20)
    ensemble = EnsembleRegressor(network, 3, random_state=0).fit(X[:3000], y[:3000])
    mean, std = ensemble.predict(X, return_std=True)
    assert std[noisy].mean() == pytest.approx(0.5, rel=0.25)
    assert std[~noisy].mean() < 0.2
    inside = (abs(y - mean) < std)[3000:]
    assert 0.55 < inside.mean() < 0.85
    assert 0.55 < inside[noisy[3000:]].mean() < 0.8


def test_several_outputs(data):
    X, y, _ = data
    ensemble = EnsembleRegressor(NETWORK, 2, random_state=0)
    mean, std = ensemble.fit(X, np.c_[y, 10 * y]).predict(X, return_std=True)
    assert mean.shape == std.shape == (600, 2)
    assert ensemble.n_outputs_ == 2
    assert 5 < std[:, 1].mean() / std[:, 0].mean() < 20


class Recorder(RegressorMixin, BaseEstimator):
    """A mean that remembers what it was trained on."""

    def fit(self, X, y):
        self.rows_, self.mean_ = X[:, 0].astype(int), np.mean(y, axis=0)
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_)


def test_noise_is_that_of_groups_held_back():
    groups = np.repeat([0, 1, 2, 3], 50)
    X = np.c_[np.arange(200), np.zeros(200)]
    offsets = np.array([0.0, 0.0, 0.0, 10.0])  # the last group is unlike the others
    y = offsets[groups]
    ensemble = EnsembleRegressor(Recorder(), 2).fit(X, y, groups=groups)
    for member in ensemble.estimators_:
        np.testing.assert_array_equal(member.rows_, np.arange(200))
    apart = EnsembleRegressor(Recorder(), 2, random_state=0).fit(X, y)
    held_back = ensemble.noise_estimator_.mean_
    assert held_back > 1.05 * apart.noise_estimator_.mean_


def test_groups_reach_members_that_stop_early(data):
    X, y, groups = data
    network = clone(NETWORK).set_params(early_stopping=True)
    with_groups = EnsembleRegressor(network, 2, random_state=0).fit(X, y, groups=groups)
    without = EnsembleRegressor(network, 2, random_state=0).fit(X, y)
    curves = [e.estimators_[0].validation_loss_curve_ for e in (with_groups, without)]
    assert curves[0] != curves[1]


class RecordingShrinkConnect(ShrinkConnect):
    """One that remembers the groups it was given."""

    def fit(self, X, y, groups=None):
        self.groups_ = groups
        return super().fit(X, y, groups=groups)


def test_groups_reach_networks_that_are_shrunken(data):
    X, y, groups = data
    network = clone(NETWORK).set_params(early_stopping=True)
    base = RecordingShrinkConnect(network, keep=0.5, max_iter=0)
    ensemble = EnsembleRegressor(base, 2, random_state=0).fit(X, y, groups=groups)
    for member in ensemble.estimators_:
        np.testing.assert_array_equal(member.groups_, groups)


def test_samples_of_weight_0_are_left_out(data):
    X, y, groups = data
    weight = np.where(np.arange(600) % 3, np.linspace(0.5, 2, 600), 0)
    used = np.flatnonzero(weight)
    frame = pd.DataFrame(X, columns=list("abxyz"))
    one = EnsembleRegressor(NETWORK, 2, random_state=0)
    one.fit(frame, y, sample_weight=weight, groups=groups)
    other = EnsembleRegressor(NETWORK, 2, random_state=0).fit(
        frame.iloc[used], y[used], sample_weight=weight[used], groups=groups[used]
    )
    for a, b in zip(
        one.predict(frame, return_std=True),
        other.predict(frame, return_std=True),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    with_others = EnsembleRegressor(NETWORK, 2, random_state=0)
    with_others.fit(frame.iloc[used], y[used], groups=groups[used])
    assert (with_others.predict(frame) != one.predict(frame)).any()


def test_weights_count_in_the_deviation(data):
    X, y, _ = data
    ensemble = EnsembleRegressor(LinearRegression(), 2, random_state=0)
    quiet = ensemble.fit(X, y, np.where(X[:, 0] > 0.5, 0.01, 1)).noise_scale_
    noisy = ensemble.fit(X, y, np.where(X[:, 0] > 0.5, 1, 0.01)).noise_scale_
    assert noisy.item() != pytest.approx(quiet.item(), rel=0.01)


def test_weights_that_members_do_not_take(data):
    X, y, _ = data
    with pytest.raises(TypeError, match="Recorder takes no sample_weight"):
        EnsembleRegressor(Recorder(), 2).fit(X, y, sample_weight=np.ones(600))


@pytest.mark.parametrize("default", [False, True])
def test_metadata_are_routed_to_members(data, default):
    X, y, groups = data
    weight = np.linspace(0.5, 2, 600)
    network = None if default else clone(NETWORK).set_params(early_stopping=True)
    ensemble = EnsembleRegressor(network, 2, random_state=0)
    expected = clone(ensemble).fit(X, y, sample_weight=weight, groups=groups)
    with config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(
            StandardScaler().set_fit_request(sample_weight=False), ensemble
        ).set_params(standardscaler="passthrough")
        with pytest.raises(UnsetMetadataPassedError, match="EnsembleRegressor"):
            pipeline.fit(X, y, sample_weight=weight, groups=groups)
        ensemble.set_fit_request(sample_weight=True)
        if not default:
            with pytest.raises(UnsetMetadataPassedError, match="LSDNRegressor"):
                pipeline.fit(X, y, sample_weight=weight, groups=groups)
            network.set_fit_request(sample_weight=True)
        pipeline.fit(X, y, sample_weight=weight, groups=groups)
    np.testing.assert_array_equal(pipeline.predict(X), expected.predict(X))


def test_groups_are_routed_through_a_pipeline_of_members(data):
    X, y, groups = data
    network = clone(NETWORK).set_params(early_stopping=True)
    ensemble = EnsembleRegressor(make_pipeline(network), 2, random_state=0)
    with config_context(enable_metadata_routing=True):
        routed = clone(ensemble).fit(X, y, groups=groups)
    plain = clone(ensemble).set_params(estimator=network).fit(X, y, groups=groups)
    np.testing.assert_array_equal(routed.predict(X), plain.predict(X))
    without = ensemble.fit(X, y, groups=groups)  # which a Pipeline does not take
    assert (without.predict(X) != plain.predict(X)).any()


@pytest.mark.parametrize("wrong", [np.zeros(5), np.zeros((600, 2))])
def test_groups_that_cannot_be(data, wrong):
    X, y, _ = data
    with pytest.raises(ValueError, match="one entry for each of 600 samples"):
        EnsembleRegressor(LinearRegression(), 2).fit(X, y, groups=wrong)


def test_groups_are_kept_from_others_that_stop_early(data):
    X, y, groups = data
    trees = HistGradientBoostingRegressor(max_iter=5, early_stopping=True)
    ensemble = EnsembleRegressor(trees, 2, random_state=0).fit(X, y, groups=groups)
    assert np.isfinite(ensemble.predict(X)).all()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda network: make_pipeline(StandardScaler(), network),
        lambda network: ShrinkConnect(network, keep=0.5, max_iter=0),
    ],
    ids=["pipeline", "shrink"],
)
def test_members_differ_whatever_holds_the_network(data, wrap):
    X, y, _ = data
    base = wrap(clone(NETWORK).set_params(random_state=0))
    ensemble = EnsembleRegressor(base, 3, random_state=0).fit(X, y)
    each = [member.predict(X) for member in ensemble.estimators_]
    assert np.std(each, axis=0).max() > 1e-4


def test_whole_numbers_have_errors_between(data):
    X, y, _ = data
    y = (y > 1).astype(int)
    ensemble = EnsembleRegressor(LinearRegression(), 2, random_state=0)
    std, expected = (
        clone(ensemble).fit(X, target).predict(X, return_std=True)[1]
        for target in (y, y.astype(float))
    )
    assert expected.mean() > 0.2
    np.testing.assert_allclose(std, expected)


def test_members_without_random_numbers_agree(data):
    X, y, _ = data
    ensemble = EnsembleRegressor(LinearRegression(), 3).fit(X, y)
    expected = LinearRegression().fit(X, y).predict(X)
    np.testing.assert_allclose(ensemble.predict(X), expected)


@pytest.mark.parametrize("n_jobs", [2, 4])
def test_threads_change_no_bit(data, n_jobs):
    X, y, groups = data
    one, many = (
        EnsembleRegressor(NETWORK, 3, n_jobs=n, random_state=0).fit(X, y, groups=groups)
        for n in (1, n_jobs)
    )
    for a, b in zip(
        one.predict(X, return_std=True), many.predict(X, return_std=True), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_coordinates_by_name(data):
    X, y, _ = data
    frame = pd.DataFrame(X, columns=["z", "y", "x", "t1w", "flair"])
    named = clone(NETWORK).set_params(coordinates=["x", "y", "z"])
    ensemble = EnsembleRegressor(named, 2, random_state=0).fit(frame, y)
    assert ensemble.feature_names_in_.tolist() == list(frame.columns)
    numbered = clone(NETWORK).set_params(coordinates=[2, 1, 0])
    other = EnsembleRegressor(numbered, 2, random_state=0).fit(X, y)
    np.testing.assert_array_equal(ensemble.predict(frame), other.predict(X))


def test_a_single_sample_has_no_noise_to_learn():
    ensemble = EnsembleRegressor(LinearRegression(), 2).fit([[1.0, 2.0]], [3.0])
    mean, std = ensemble.predict([[1.0, 2.0]], return_std=True)
    assert (mean.item(), std.item()) == (3.0, 0.0)


def test_model_files_hold_ensembles(data, tmp_path):
    X, y, _ = data
    ensemble = EnsembleRegressor(NETWORK, 2, random_state=0).fit(X, y)
    save_model(ensemble, tmp_path / "model.skops")
    loaded = load_model(tmp_path / "model.skops")
    for a, b in zip(
        ensemble.predict(X, return_std=True),
        loaded.predict(X, return_std=True),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_a_column_of_targets_is_like_a_vector(data):
    X, y, _ = data
    plain = EnsembleRegressor(LinearRegression(), 2, random_state=0).fit(X, y)
    column = EnsembleRegressor(LinearRegression(), 2, random_state=0).fit(X, y[:, None])
    np.testing.assert_allclose(column.noise_scale_, plain.noise_scale_)


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (FrozenEstimator(LinearRegression()), "FrozenEstimator forbids"),
        (ShrinkConnect(FrozenEstimator(NETWORK)), "FrozenEstimator forbids"),
    ],
)
def test_members_that_cannot_be_trained_are_refused(data, estimator, message):
    X, y, _ = data
    with pytest.raises(ValueError, match=message):
        EnsembleRegressor(estimator, 2).fit(X, y)


def test_an_interrupt_ends_all_members(data, monkeypatch):
    X, y, _ = data
    epoch, calls = Trainer.epoch, []

    def interrupted(self):
        calls.append(self)
        if len(calls) == NETWORK.max_iter + 2:  # of the second member
            raise KeyboardInterrupt
        return epoch(self)

    monkeypatch.setattr(Trainer, "epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        EnsembleRegressor(NETWORK, 3).fit(X, y)
    assert len(calls) == NETWORK.max_iter + 2

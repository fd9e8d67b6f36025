"""ShrinkConnect, against naive maths and the contract."""

import copy
import inspect
import pickle
from dataclasses import replace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import gaussian_filter
from scipy.special import expit
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small_volumes import framed

from sklearn_lsdn import (
    CDNRegressor,
    LSDNRegressor,
    ShrinkConnect,
    VDNRegressor,
    VolumeSynthesizer,
    load_model,
    save_model,
    simultaneous_omp,
)
from sklearn_lsdn._network.optimizers import Trainer
from sklearn_lsdn.exceptions import TrainingInterrupted

NETWORKS = [LSDNRegressor, CDNRegressor, VDNRegressor]
SELECTIONS = ["absolute", "squared", "residual"]
SMALL = (12, 6)
NAMES = ["a", "b", "x", "y", "z"]


# Networks to shrink


def make_data(n=300, n_outputs=None, seed=0):
    """Columns of various units, and targets that depend on all of them."""
    rng = np.random.RandomState(seed)
    Z = rng.uniform(-1, 1, (n, 5))
    X = Z * [3, 1, 50, 2, 10] + [100, 0, -20, 5, 0]
    y = np.stack([Z[:, 0] * Z[:, 4] + Z[:, 1], Z[:, 1] * Z[:, 3] - Z[:, 2]], axis=1)
    return X, 40 + 10 * y[:, :n_outputs] if n_outputs else 40 + 10 * y[:, 0]


def small(network=LSDNRegressor, sizes=SMALL, **parameters):
    return network(sizes, **{"max_iter": 5, "random_state": 0, **parameters})


def shrink(network, **parameters):
    """Of a fitted network, without further training unless asked for."""
    defaults = dict(prefit=True, keep=0.5, max_iter=0, random_state=0)
    return ShrinkConnect(network, **(defaults | parameters))


def weights_of(network):
    return [*network.coefs_, *network.intercepts_, network.latent_coordinates_]


def assert_same_network(first, second):
    for a, b in zip(weights_of(first), weights_of(second), strict=True):
        assert_array_equal(a, b)


def first_layer(network, X, training):
    """Responses by equation (2), the coordinates being the last three columns."""
    n_inputs = len(network.coefs_[0])
    h = expit(X[:, :n_inputs] @ network.coefs_[0] + network.intercepts_[0])
    if network.latent_coordinates_.shape[1]:
        unit = np.ptp(training[:, 2:], axis=0) / 2
        x = (X[:, None, 2:] - network.latent_coordinates_) / unit
        h *= 2 * expit(-(x**2).sum(axis=2) / network.sigma**2)
    return h


def hidden_layers(network, X, training=None):
    """Responses of all hidden layers, by equations (2) to (4)."""
    h = [first_layer(network, X, X if training is None else training)]
    for F, b in zip(network.coefs_[1:-1], network.intercepts_[1:-1], strict=True):
        h.append(expit(h[-1] @ F + b))
    return h


# The maths of shrinking


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("sizes", [(10,), (16, 8), (14, 9, 5)])
@pytest.mark.parametrize("n_outputs", [None, 2])
@pytest.mark.parametrize("preserve", ["inputs", "responses"])
def test_next_layers_inputs_move_by_no_more_than_the_residual(
    network, sizes, n_outputs, preserve
):
    X, y = make_data(n_outputs=n_outputs)
    full = small(network, sizes, learning_rate_init=0.02).fit(X, y)
    shrunk = shrink(full, keep=0.4, preserve=preserve).fit(X, y)
    smaller, h = shrunk.estimator_, hidden_layers(full, X)[0]
    for k, kept in enumerate(hidden_layers(smaller, X)):
        support, A = shrunk.support_[k], shrunk.coefficients_[k]
        assert_allclose(kept, h[:, support], rtol=1e-9)
        F = full.coefs_[k + 1]
        after = kept @ A.T @ F
        moved = np.linalg.norm(h @ F - after)
        if preserve == "inputs":
            assert_allclose(shrunk.residuals_[k], moved, rtol=1e-3, atol=1e-4)
        else:
            residual = np.linalg.norm(h - kept @ A.T)
            assert_allclose(shrunk.residuals_[k], residual, rtol=1e-3, atol=1e-5)
            bound = shrunk.residuals_[k] * np.linalg.norm(F, 2)
            assert 0 < moved <= bound * (1 + 1e-6) + 1e-5
        if k + 1 < len(sizes):
            h = expit(after + full.intercepts_[k + 1])
            after = after[:, shrunk.support_[k + 1]]
        assert_allclose(kept @ smaller.coefs_[k + 1], after, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_mixed_rows_are_targets_like_any_other(selection):
    rng = np.random.RandomState(3)
    H, mixing = rng.randn(9, 40), rng.randn(4, 9)
    expected = simultaneous_omp(
        H, 5, targets=mixing @ H, selection=selection, return_residuals=True
    )
    for matrix in ({"responses": H}, {"gram": H @ H.T}):
        found = simultaneous_omp(
            **matrix,
            n_nonzero=5,
            mixing=mixing,
            selection=selection,
            return_residuals=True,
        )
        for one, other in zip(found, expected, strict=True):
            assert_allclose(one, other, rtol=1e-8, atol=1e-8)


def test_mixing_must_fit():
    with pytest.raises(ValueError, match="mixing must have 3 columns, got 2"):
        simultaneous_omp(np.eye(3), 1, mixing=np.ones((2, 2)))
    with pytest.raises(ValueError, match="either targets or mixing"):
        simultaneous_omp(np.eye(3), 1, mixing=np.eye(3), targets=np.eye(3))


@pytest.mark.parametrize("selection", SELECTIONS)
def test_nodes_are_those_of_the_pursuit(selection):
    X, y = make_data()
    full = small().fit(X, y)
    shrunk = shrink(full, selection=selection, keep=[5, 3], preserve="responses").fit(
        X, y
    )
    h = hidden_layers(full, X)[0]
    indices, A = simultaneous_omp(h.T, 5, selection=selection)
    assert_array_equal(shrunk.support_[0], indices)
    assert_allclose(shrunk.coefficients_[0], A, atol=1e-3)
    h = expit(h[:, indices] @ A.T @ full.coefs_[1] + full.intercepts_[1])
    indices, A = simultaneous_omp(h.T, 3, selection=selection)
    assert_array_equal(shrunk.support_[1], indices)
    assert_allclose(shrunk.coefficients_[1], A, atol=1e-3)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("sizes", [(10,), (12, 6), (10, 6, 4)])
def test_rows_of_kept_nodes_stay(network, sizes):
    X, y = make_data()
    full = small(network, sizes).fit(X, y)
    shrunk = shrink(full).fit(X, y)
    smaller, first = shrunk.estimator_, shrunk.support_[0]
    assert type(smaller) is network
    assert smaller.hidden_layer_sizes == tuple(n // 2 for n in sizes)
    assert_array_equal(smaller.coefs_[0], full.coefs_[0][:, first])
    latent = full.latent_coordinates_
    assert_array_equal(smaller.latent_coordinates_, latent[first])
    for n, layer in enumerate(shrunk.support_):
        assert len(set(layer)) == len(layer) == sizes[n] // 2
        assert_array_equal(smaller.intercepts_[n], full.intercepts_[n][layer])
        assert shrunk.coefficients_[n].shape == (sizes[n], len(layer))
    assert_array_equal(smaller.intercepts_[-1], full.intercepts_[-1])


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("sizes", [8, (12, 6), (10, 6, 4)])
@pytest.mark.parametrize("n_outputs", [None, 2])
def test_all_nodes_predict_the_same(network, sizes, n_outputs):
    X, y = make_data(n_outputs=n_outputs)
    full = small(network, sizes, max_iter=20).fit(X, y)
    shrunk = shrink(full, keep=1.0).fit(X, y)
    expected = full.predict(X)
    assert shrunk.predict(X).shape == expected.shape == y.shape
    assert_allclose(shrunk.predict(X), expected, rtol=0, atol=1e-3 * np.ptp(expected))


def holding(model, filters, biases, latent):
    """A copy of a model with these layers."""
    network = replace(
        model.network_,
        filters=tuple(filters),
        biases=tuple(biases),
        latent_coordinates=latent,
    )
    other = copy.copy(model)
    other.network_ = network
    return other.set_params(hidden_layer_sizes=network.hidden_layer_sizes)


def doubled(network):
    """The same function with every hidden node twice, at half the effect."""
    filters, biases = network.coefs_, network.intercepts_
    for k in range(len(filters) - 1):
        filters[k] = np.repeat(filters[k], 2, axis=1)
        biases[k] = np.repeat(biases[k], 2)
        filters[k + 1] = np.repeat(filters[k + 1], 2, axis=0) / 2
    latent = np.repeat(network.latent_coordinates_, 2, axis=0)
    return holding(network, filters, biases, latent)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("keep", [0.5, 1.0])
def test_nodes_that_say_the_same_go_first(network, keep):
    X, y = make_data()
    full = small(network, sizes=(8, 4), max_iter=20).fit(X, y)
    shrunk = shrink(doubled(full), keep=keep).fit(X, y)
    for chosen, n in zip(shrunk.support_, (8, 4), strict=True):
        assert len(set(chosen // 2)) == len(chosen) <= n
    expected = full.predict(X)
    assert_allclose(shrunk.predict(X), expected, rtol=0, atol=1e-3 * np.ptp(expected))
    assert shrunk.estimator_.hidden_layer_sizes == tuple(map(len, shrunk.support_))


def test_a_layer_that_never_responds_keeps_a_node():
    X, y = make_data()
    full = small().fit(X, y)
    biases = [np.full(12, -1e4), *full.intercepts_[1:]]
    full = holding(full, full.coefs_, biases, full.latent_coordinates_ + 1e4)
    shrunk = shrink(full).fit(X, y)
    assert not hidden_layers(full, X)[0].any()
    assert shrunk.estimator_.hidden_layer_sizes == (1, 1)
    assert_allclose(shrunk.predict(X), full.predict(X), rtol=1e-6)
    further = shrink(full, max_iter=2).fit(X, y)
    assert np.isfinite(further.predict(X)).all()


def test_weights_count_as_repetitions_in_the_choice():
    X, y = make_data()
    full = small().fit(X, y)
    weight = np.random.RandomState(0).randint(0, 4, len(X))
    weighted = shrink(full).fit(X, y, sample_weight=weight)
    repeated = shrink(full).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    for a, b in zip(weighted.support_, repeated.support_, strict=True):
        assert_array_equal(a, b)
    assert_allclose(weighted.residuals_, repeated.residuals_, rtol=1e-4)
    assert_allclose(weighted.full_loss_, repeated.full_loss_, rtol=1e-5)
    plain = shrink(full).fit(X, y)
    assert abs(weighted.full_loss_ / plain.full_loss_ - 1) > 1e-3


def test_weights_reach_both_trainings():
    X, y = make_data()
    half = np.arange(len(X)) % 2
    weighted = ShrinkConnect(small(), keep=0.5, max_iter=2, random_state=0)
    weighted.fit(X, y, sample_weight=half)
    selected = clone(weighted).fit(X[half == 1], y[half == 1])
    assert_same_network(weighted.estimator_, selected.estimator_)


# Signature and attributes


def test_signature():
    first, *others = inspect.signature(ShrinkConnect).parameters.values()
    assert first.name == "estimator"
    assert first.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert {p.kind for p in others} == {inspect.Parameter.KEYWORD_ONLY}
    promised = dict(estimator=None, keep="auto", max_degradation=0.02, max_iter=10)
    promised |= dict(prefit=False, random_state=None, verbose=0)
    defaults = ShrinkConnect().get_params()
    assert {name: defaults[name] for name in promised} == promised
    assert list(inspect.signature(simultaneous_omp).parameters)[:3] == [
        "responses",
        "n_nonzero",
        "gram",
    ]


def test_fitted_attributes():
    X, y = make_data()
    shrunk = ShrinkConnect(small(), keep=0.5, max_iter=3)
    assert shrunk.fit(pd.DataFrame(X, columns=NAMES), y) is shrunk
    assert [len(support) for support in shrunk.support_] == [6, 3]
    assert [A.shape for A in shrunk.coefficients_] == [(12, 6), (6, 3)]
    assert len(shrunk.residuals_) == 2
    assert len(shrunk.path_) == 1
    assert shrunk.n_features_in_ == 5
    assert list(shrunk.feature_names_in_) == NAMES
    assert shrunk.estimator_.n_features_in_ == 5
    assert list(shrunk.estimator_.feature_names_in_) == NAMES
    assert shrunk.n_iter_ == shrunk.estimator_.n_iter_ == 5 + 3
    assert len(shrunk.estimator_.loss_curve_) == 5 + 3
    assert shrunk.estimator_.loss_curve_[-1] == shrunk.path_[-1]["loss"]


def test_names_are_forgotten_in_a_fit_without_names():
    X, y = make_data()
    shrunk = ShrinkConnect(small(), keep=0.5, max_iter=0)
    shrunk.fit(pd.DataFrame(X, columns=NAMES), y).fit(X, y)
    assert not hasattr(shrunk, "feature_names_in_")


def test_no_estimator_stands_for_lsdn():
    X, y = make_data()
    shrunk = ShrinkConnect(keep=0.1, max_iter=0, random_state=3).fit(X, y)
    expected = shrink(LSDNRegressor(random_state=3).fit(X, y), keep=0.1).fit(X, y)
    assert shrunk.estimator is None
    assert shrunk.estimator_.hidden_layer_sizes == (20, 2)
    assert_same_network(shrunk.estimator_, expected.estimator_)


@pytest.mark.parametrize("method", ["predict", "transform"])
def test_unfitted(method):
    with pytest.raises(NotFittedError):
        getattr(ShrinkConnect(), method)(np.zeros((1, 5)))


# The network given


@pytest.mark.parametrize("network", NETWORKS)
def test_a_clone_is_fitted(network):
    X, y = make_data()
    given = small(network)
    before = given.get_params()
    shrunk = ShrinkConnect(given, keep=0.5, max_iter=2, random_state=0).fit(X, y)
    assert vars(given) == before
    expected = shrink(clone(given).fit(X, y), max_iter=2).fit(X, y)
    assert_same_network(shrunk.estimator_, expected.estimator_)


def test_a_fitted_network_is_fitted_anew_unless_prefit():
    X, y = make_data()
    given = small().fit(X, y)
    before = pickle.dumps(given)
    shrunk = shrink(given, prefit=False).fit(X[:, ::-1], y)
    assert pickle.dumps(given) == before
    fresh = shrink(small(), prefit=False).fit(X[:, ::-1], y)
    assert_same_network(shrunk.estimator_, fresh.estimator_)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("frozen", [True, False])
def test_a_fitted_network_is_left_as_it_is(network, solver, frozen):
    X, y = make_data()
    given = small(network, solver=solver).fit(X, y)
    before = pickle.dumps(given)
    shrunk = shrink(given, max_iter=3)
    if frozen:
        shrunk.set_params(estimator=FrozenEstimator(given), prefit=False)
    shrunk.fit(X, y)
    assert pickle.dumps(given) == before
    same = shrink(pickle.loads(before), max_iter=3).fit(X, y)
    assert_same_network(shrunk.estimator_, same.estimator_)


def test_training_the_smaller_network_leaves_the_full_one_as_it_is():
    X, y = make_data()
    given = small().fit(X, y)
    untouched = copy.deepcopy(given)
    shrunk = shrink(given).fit(X, y)
    shrunk.estimator_.partial_fit(X, y)
    assert_same_network(given, untouched)
    assert_same_network(given.partial_fit(X, y), untouched.partial_fit(X, y))


def test_other_data_than_the_full_network_saw():
    X, y = make_data()
    other, z = make_data(200, seed=1)
    full = small().fit(X, y)
    shrunk = shrink(full, preserve="responses").fit(other, z)
    h = hidden_layers(full, other, training=X)[0]
    kept = h[:, shrunk.support_[0]] @ shrunk.coefficients_[0].T
    assert_allclose(shrunk.residuals_[0], np.linalg.norm(h - kept), rtol=1e-3)


@pytest.mark.parametrize("estimator", [Ridge(), StandardScaler(), "network"])
def test_what_is_no_network_is_refused(estimator):
    with pytest.raises((TypeError, ValueError), match="Regressor|'estimator'"):
        ShrinkConnect(estimator).fit(*make_data())


@pytest.mark.parametrize(
    "estimator", [FrozenEstimator(Ridge()), make_pipeline(Ridge()), ShrinkConnect()]
)
def test_networks_must_be_bare(estimator):
    with pytest.raises(TypeError, match="ShrinkConnect shrinks LSDNRegressor"):
        ShrinkConnect(estimator).fit(*make_data())


def test_prefit_needs_a_fitted_network():
    for shrunk in (shrink(small()), ShrinkConnect(FrozenEstimator(small()))):
        with pytest.raises(NotFittedError):
            shrunk.fit(*make_data())


def test_data_must_suit_the_fitted_network():
    X, y = make_data(n_outputs=2)
    full = small().fit(X, y[:, 0])
    with pytest.raises(ValueError, match="X has 4 features"):
        shrink(full).fit(X[:, :4], y[:, 0])
    with pytest.raises(ValueError, match="2 outputs"):
        shrink(full).fit(X, y)


# How many nodes stay


@pytest.mark.parametrize(
    ("keep", "sizes"),
    [
        (0.5, (6, 3)),
        (np.float64(0.25), (3, 2)),
        (1.0, (12, 6)),
        (0.001, (1, 1)),
        ([4, 5], (4, 5)),
        ((12, 1), (12, 1)),
        (np.array([7, 2]), (7, 2)),
        ([np.int64(3), np.int64(2)], (3, 2)),
        ([0.25, 0.5], (3, 3)),
        ([1.0, 0.01], (12, 1)),
        (np.array([0.75, 1.0]), (9, 6)),
    ],
)
def test_ways_to_say_how_many_nodes_stay(keep, sizes):
    X, y = make_data()
    # Initial networks' nodes are far from linear combinations of each other.
    full = small(sigma=0.3, learning_rate_init=1e-9, max_iter=1).fit(X, y)
    shrunk = shrink(full, keep=keep).fit(X, y)
    assert shrunk.estimator_.hidden_layer_sizes == sizes
    assert tuple(len(support) for support in shrunk.support_) == sizes
    assert [F.shape for F in shrunk.estimator_.coefs_] == [
        (2, sizes[0]),
        sizes,
        (sizes[1], 1),
    ]


def test_a_lone_number_is_a_fraction():
    X, y = make_data()
    full = small().fit(X, y)
    by_int, by_float = (shrink(full, keep=keep).fit(X, y) for keep in (1, 1.0))
    assert_same_network(by_int.estimator_, by_float.estimator_)


@pytest.mark.parametrize(
    ("keep", "sizes"), [([4, 0.5], (4, 3)), ([1, 0.5], (1, 3)), ([0.5, 1], (6, 1))]
)
def test_numbers_and_fractions_may_stand_side_by_side(keep, sizes):
    X, y = make_data()
    shrunk = shrink(small().fit(X, y), keep=keep).fit(X, y)
    assert shrunk.estimator_.hidden_layer_sizes == sizes


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ([0.5], "keep has 1 numbers, but the network has 2 hidden"),
        ([4, 4, 4], "keep has 3 numbers, but the network has 2 hidden"),
        ([], "keep has 0 numbers"),
        ([0, 3], "asks for 0 of the 12 nodes"),
        ([3, 7], "asks for 7 of the 6 nodes"),
        ([-1, 3], "asks for -1 of the 12 nodes"),
        ([0.5, 0.0], "asks for 0.0 of the 6 nodes"),
        ([0.5, -0.5], "asks for -0.5 of the 6 nodes"),
        ([1.5, 0.5], "asks for 1.5 of the 12 nodes"),
        (0.0, "'keep' parameter of ShrinkConnect"),
        (-0.5, "'keep' parameter of ShrinkConnect"),
        (1.1, "'keep' parameter of ShrinkConnect"),
        (5, "'keep' parameter of ShrinkConnect"),
        ("half", "'keep' parameter of ShrinkConnect"),
        (None, "'keep' parameter of ShrinkConnect"),
    ],
)
def test_keep_that_cannot_be(keep, message):
    X, y = make_data()
    with pytest.raises(ValueError, match=message):
        shrink(small().fit(X, y), keep=keep).fit(X, y)


@pytest.mark.parametrize(
    "parameters",
    [
        dict(max_iter=-1),
        dict(max_degradation=-0.1),
        dict(learning_rate_init=0.0),
        dict(selection="best"),
        dict(prefit="yes"),
    ],
)
def test_parameters_that_cannot_be(parameters):
    with pytest.raises(ValueError, match=f"'{next(iter(parameters))}' parameter"):
        ShrinkConnect(small()).set_params(**parameters).fit(*make_data())


# The search


def loss_of(model, X, y):
    """Equation (1) on the logistic range, 0.9 of which the targets span."""
    return 0.5 * np.mean(((model.predict(X) - y) / (np.ptp(y) / 0.9)) ** 2)


def search(max_degradation=0.02, **parameters):
    X, y = make_data()
    full = small(sizes=(30, 10), max_iter=30, learning_rate_init=0.02).fit(X, y)
    parameters = dict(keep="auto", max_degradation=max_degradation) | parameters
    return full, shrink(full, **parameters).fit(X, y)


@pytest.mark.parametrize("max_iter", [0, 3])
@pytest.mark.parametrize("max_degradation", [0.0, 0.02, 0.5, 2.0, 1e9])
def test_path_records_what_was_tried(max_degradation, max_iter):
    full, shrunk = search(max_degradation, max_iter=max_iter)
    X, y = make_data()
    assert_allclose(shrunk.full_loss_, loss_of(full, X, y), rtol=1e-4)
    assert 1 <= len(shrunk.path_) <= 5
    for tried in shrunk.path_:
        keep = tried["keep"]
        sizes = tuple(max(1, round(n * keep)) for n in (30, 10))
        actual = tried["hidden_layer_sizes"]
        assert all(0 < a <= b for a, b in zip(actual, sizes, strict=True))
        degradation = tried["loss"] / shrunk.full_loss_ - 1
        assert_allclose(tried["degradation"], degradation, atol=1e-12)
        assert tried["accepted"] == (degradation <= max_degradation)
    fractions = [tried["keep"] for tried in shrunk.path_]
    assert len(set(fractions)) == len(fractions)
    assert set(fractions) <= {1.0, *(np.arange(1, 10) / 10)}


@pytest.mark.parametrize("max_iter", [0, 3])
@pytest.mark.parametrize("max_degradation", [0.0, 0.02, 0.5, 2.0, 1e9])
def test_the_smallest_accepted_is_taken(max_degradation, max_iter):
    _, shrunk = search(max_degradation, max_iter=max_iter)
    accepted = [tried for tried in shrunk.path_ if tried["accepted"]]
    chosen = min(accepted, key=lambda t: t["keep"]) if accepted else shrunk.path_[-1]
    assert accepted or chosen["keep"] == 1.0
    assert shrunk.estimator_.hidden_layer_sizes == chosen["hidden_layer_sizes"]
    assert_allclose(loss_of(shrunk, *make_data()), chosen["loss"], rtol=1e-4)
    _, alone = search(keep=chosen["keep"], max_iter=max_iter)
    assert_same_network(shrunk.estimator_, alone.estimator_)
    for a, b in zip(shrunk.support_, alone.support_, strict=True):
        assert_array_equal(a, b)


@pytest.mark.parametrize("max_degradation", [0.02, 0.1, 0.3, 0.5, 1.0, 1.5, 2.0])
def test_one_step_less_would_not_do(max_degradation):
    _, shrunk = search(max_degradation)
    chosen = min(t["keep"] for t in shrunk.path_ if t["accepted"])
    assert chosen > 0.1
    _, less = search(keep=round(chosen - 0.1, 1))
    assert less.path_[0]["degradation"] > max_degradation


def test_the_more_may_be_lost_the_smaller():
    sizes = [sum(search(d)[1].estimator_.hidden_layer_sizes) for d in (0.02, 0.5, 2)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1]
    assert search(1e9)[1].estimator_.hidden_layer_sizes == (3, 1)


def test_a_fixed_size_is_on_the_path_too():
    X, y = make_data()
    full = small().fit(X, y)
    (tried,) = shrink(full, keep=[4, 2]).fit(X, y).path_
    assert tried["keep"] == [4, 2]
    assert tried["hidden_layer_sizes"] == (4, 2)


def test_verbose_says_what_was_tried(capsys):
    _, shrunk = search(verbose=1)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(shrunk.path_)
    for line, tried in zip(lines, shrunk.path_, strict=True):
        assert str(tried["hidden_layer_sizes"]) in line
    search()
    assert capsys.readouterr().out == ""


# Training after shrinking


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_training_further_makes_up_for_what_was_lost(network, solver):
    X, y = make_data(1000)
    rate = 0.5 if solver == "sgd" else 0.02
    full = small(network, solver=solver, learning_rate_init=rate, max_iter=40)
    full.fit(X, y)
    before, after = (
        shrink(full, keep=0.25, max_iter=max_iter).fit(X, y) for max_iter in (0, 10)
    )
    assert after.path_[0]["loss"] < before.path_[0]["loss"]
    assert 0 < after.n_iter_ - full.n_iter_ <= 10
    assert after.estimator_.get_params()["max_iter"] == 40
    assert before.n_iter_ == full.n_iter_


def test_the_smaller_network_can_be_trained_in_steps():
    X, y = make_data()
    full = small(sizes=(80, 40), learning_rate_init=0.02).fit(X, y)
    smaller = shrink(full).fit(X, y).estimator_
    losses = [loss_of(smaller.partial_fit(X, y), X, y) for _ in range(10)]
    assert losses[-1] < losses[0]
    assert smaller.n_iter_ == 5 + 10


def test_the_full_networks_optimizer_has_no_say_in_the_smaller_ones_training():
    X, y = make_data()
    full = small(shuffle=False).fit(X, y)
    later = copy.deepcopy(full).partial_fit(X, y)
    later.network_ = full.network_
    networks = (shrink(given).fit(X, y).estimator_ for given in (full, later))
    first, second = (network.partial_fit(X, y) for network in networks)
    assert_same_network(first, second)


def test_learning_rate_is_four_times_the_networks_unless_given():
    X, y = make_data()
    full = small(learning_rate_init=0.004).fit(X, y)
    usual, same, other = (
        shrink(full, max_iter=2, learning_rate_init=rate).fit(X, y).estimator_
        for rate in (None, 0.016, 0.004)
    )
    assert_same_network(usual, same)
    assert (usual.coefs_[0] != other.coefs_[0]).any()


@pytest.mark.parametrize("keep", ["auto", 0.5])
def test_same_seed_same_bits(keep):
    X, y = make_data()
    network = small(random_state=None)
    first, second, other = (
        ShrinkConnect(network, keep=keep, max_iter=2, random_state=seed).fit(X, y)
        for seed in (0, 0, 1)
    )
    assert_same_network(first.estimator_, second.estimator_)
    assert first.path_ == second.path_
    assert (first.predict(X) != other.predict(X)).any()


def test_seed_orders_the_samples_after_shrinking():
    X, y = make_data()
    full = small().fit(X, y)
    first, other = (shrink(full, max_iter=2, random_state=s).fit(X, y) for s in (0, 1))
    assert_array_equal(first.support_[0], other.support_[0])
    assert (first.predict(X) != other.predict(X)).any()


def make_smooth_data(n=4000, seed=0):
    """A feature whose effect fades smoothly away from an axis."""
    rng = np.random.RandomState(seed)
    feature, *x = rng.uniform(-1, 1, (4, n))
    y = feature * np.exp(-2 * (x[0] ** 2 + x[1] ** 2)) + 0.5 * x[2]
    return np.column_stack([feature, *x]), y


def without_random_nodes(network, sizes, seed):
    """Remove rows and nothing else."""
    rng = np.random.RandomState(seed)
    filters, biases = network.coefs_, network.intercepts_
    latent = network.latent_coordinates_
    for k, size in enumerate(sizes):
        kept = rng.permutation(len(biases[k]))[:size]
        filters[k], biases[k] = filters[k][:, kept], biases[k][kept]
        filters[k + 1] = filters[k + 1][kept]
        if k == 0:
            latent = latent[kept]
    return holding(network, filters, biases, latent)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_quarter_of_the_nodes_does_nearly_as_well_and_random_ones_do_not(seed):
    X, y = make_smooth_data()
    new = make_smooth_data(seed=1)
    full = small(sizes=(80, 20), max_iter=30, random_state=seed).fit(X, y)
    pursued, further = (shrink(full, keep=0.25, max_iter=n).fit(X, y) for n in (0, 10))
    assert further.estimator_.hidden_layer_sizes == (20, 5)
    assert full.score(*new) > 0.99
    assert further.score(*new) > full.score(*new) - 0.02
    removed = [without_random_nodes(full, (20, 5), i) for i in range(3)]
    assert max(rest.score(*new) for rest in removed) < pursued.score(*new) - 0.2
    removed = [shrink(n, keep=1.0, max_iter=10).fit(X, y) for n in removed]
    errors = [1 - rest.score(*new) for rest in removed]
    assert np.mean(errors) > 1.2 * (1 - further.score(*new))
    losses = [loss_of(rest, X, y) for rest in removed]
    assert min(losses) > loss_of(further, X, y)


# The transformer


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("sizes", [8, (12, 6), (10, 6, 4)])
@pytest.mark.parametrize("max_iter", [0, 2])
def test_transform_gives_the_last_hidden_layers_responses(network, sizes, max_iter):
    X, y = make_data()
    shrunk = shrink(small(network, sizes).fit(X, y), max_iter=max_iter).fit(X, y)
    X_new, _ = make_data(70, seed=1)
    expected = hidden_layers(shrunk.estimator_, X_new, training=X)[-1]
    responses = shrunk.transform(X_new)
    assert responses.shape == (70, len(shrunk.support_[-1]))
    assert responses.dtype == np.float64
    assert_allclose(responses, expected, rtol=0, atol=1e-5)
    single = shrunk.transform(X_new.astype(np.float32))
    assert single.dtype == np.float32
    assert_allclose(single, expected, rtol=0, atol=1e-4)


def test_transform_of_many_rows():
    X, y = make_data()
    shrunk = shrink(small().fit(X, y)).fit(X, y)
    many = np.tile(X, (120, 1))
    assert_allclose(shrunk.transform(many), np.tile(shrunk.transform(X), (120, 1)))


def test_names_of_the_responses():
    X, y = make_data()
    shrunk = shrink(small().fit(X, y)).set_output(transform="pandas").fit(X, y)
    names = [f"shrinkconnect{i}" for i in range(3)]
    assert list(shrunk.get_feature_names_out()) == names
    frame = shrunk.transform(X)
    assert list(frame.columns) == names
    assert_array_equal(frame, shrunk.set_output(transform="default").transform(X))


def test_the_output_is_made_of_what_transform_gives():
    X, y = make_data()
    shrunk = shrink(small(max_iter=20).fit(X, y), max_iter=2).fit(X, y)
    F, b = shrunk.estimator_.coefs_[-1], shrunk.estimator_.intercepts_[-1]
    span = np.ptp(y) / 0.9
    predicted = expit(shrunk.transform(X) @ F + b)[:, 0] * span + y.min() - 0.05 * span
    assert_allclose(shrunk.predict(X), predicted, rtol=0, atol=1e-5 * span)


# Among scikit-learn's tools


def capable():
    return small(sizes=(24, 8), max_iter=30, learning_rate_init=0.02)


def test_last_in_a_pipeline():
    X, y = make_data(1000)
    shrunk = ShrinkConnect(capable(), keep=0.5)
    model = make_pipeline(StandardScaler(), shrunk.set_params(random_state=0))
    assert model.fit(X, y).score(X, y) > 0.85
    Z = model[0].transform(X)
    assert_array_equal(model.predict(X), model[-1].estimator_.predict(Z))
    assert_array_equal(model.transform(X), model[-1].transform(Z))


def test_before_another_regressor():
    X, y = make_data(1000)
    shrunk = ShrinkConnect(capable(), keep=0.5)
    model = make_pipeline(shrunk.set_params(random_state=0), Ridge(1e-3)).fit(X, y)
    assert model[-1].coef_.shape == (4,)
    assert model.score(X, y) > 0.85
    assert model.score(X, y) > Ridge().fit(X, y).score(X, y) + 0.1


def test_grid_search():
    X, y = make_data()
    grid = {
        "keep": [0.25, [2, 2], "auto"],
        "estimator__hidden_layer_sizes": [(8, 4), (12, 6)],
    }
    shrunk = ShrinkConnect(small(), max_iter=1, random_state=0)
    search = GridSearchCV(shrunk, grid, cv=2, error_score="raise").fit(X, y)
    assert len(search.cv_results_["params"]) == 6
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    best = clone(shrunk).set_params(**search.best_params_).fit(X, y)
    assert_same_network(search.best_estimator_.estimator_, best.estimator_)


def test_clone_forgets_and_pickle_does_not():
    X, y = make_data()
    shrunk = shrink(small().fit(X, y), max_iter=2).fit(X, y)
    assert not hasattr(clone(shrunk), "estimator_")
    assert clone(shrunk).get_params()["keep"] == 0.5
    loaded = pickle.loads(pickle.dumps(shrunk))
    assert_array_equal(loaded.predict(X), shrunk.predict(X))
    assert_array_equal(loaded.transform(X), shrunk.transform(X))


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("frozen", [True, False])
def test_model_files(network, frozen, tmp_path):
    X, y = make_data(n_outputs=2)
    estimator = small(network)
    if frozen:
        estimator = FrozenEstimator(estimator.fit(X, y))
    shrunk = ShrinkConnect(estimator, max_iter=2, random_state=0).fit(X, y)
    save_model(shrunk, tmp_path / "model.skops")
    loaded = load_model(tmp_path / "model.skops")
    assert type(loaded) is ShrinkConnect
    assert_same_network(loaded.estimator_, shrunk.estimator_)
    assert_array_equal(loaded.predict(X), shrunk.predict(X))
    assert_array_equal(loaded.transform(X), shrunk.transform(X))
    assert loaded.path_ == shrunk.path_
    assert_array_equal(loaded.support_[0], shrunk.support_[0])


# Volumes


def make_images(seed):
    """A scan and another that follows it, differently from place to place."""
    rng = np.random.RandomState(seed)
    source = gaussian_filter(rng.normal(size=(12, 14, 10)), 1.5)
    source = 100 + 20 * source / source.std()
    target = 300 - source + 4 * np.arange(12)[:, None, None]
    affine = nib.affines.from_matvec(np.diag([2.0, 2.0, 2.5]), [-11, -13, -11])
    brain = framed(np.ones((10, 12, 8), dtype=np.float32))
    return [nib.Nifti1Image(np.float32(v * brain), affine) for v in (source, target)]


SOURCES, TARGETS = map(
    list, zip(*[make_images(seed) for seed in range(3)], strict=True)
)


def synthesizer(estimator, **parameters):
    parameters = dict(n_voxels=400, random_state=0) | parameters
    model = VolumeSynthesizer(estimator, **parameters)
    return model.fit(SOURCES[:2], TARGETS[:2])


def voxels(images):
    return np.stack([image.get_fdata() for image in images])


@pytest.mark.parametrize("network", NETWORKS)
def test_volumes_by_either_path(network, monkeypatch):
    shrunk = ShrinkConnect(small(network), keep=0.5, max_iter=2)
    fused = synthesizer(shrunk)
    assert fused.estimator_.estimator_.hidden_layer_sizes == (6, 3)
    assert fused.score(SOURCES[2:], TARGETS[2:]) > 5
    generic = copy.copy(fused)
    generic.estimator_ = make_pipeline(fused.estimator_)
    expected = voxels(generic.predict(SOURCES))
    monkeypatch.delattr(ShrinkConnect, "predict")  # the network reads the volume
    actual = voxels(fused.predict(SOURCES))
    assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.ptp(expected))


def test_volumes_with_the_same_seed_give_the_same_bits():
    shrunk = ShrinkConnect(small(random_state=None), keep=0.5, max_iter=2)
    first, second = (voxels(synthesizer(shrunk).predict(SOURCES)) for _ in range(2))
    assert_array_equal(first, second)
    other = voxels(synthesizer(shrunk, random_state=1).predict(SOURCES))
    assert (first != other).any()


@pytest.mark.parametrize("estimator", [small(max_iter=1), None])
def test_volumes_without_coordinates(estimator):
    shrunk = ShrinkConnect(estimator, keep=0.1, max_iter=0)
    model = synthesizer(shrunk, places=None)
    network = model.estimator_.estimator_
    assert network.latent_coordinates_.shape[1] == 0
    assert network.coefs_[0].shape[0] == 54


def test_a_frozen_network_keeps_its_parameters():
    model = synthesizer(small())
    X, y = model.sample_voxels(SOURCES, TARGETS, random_state=0)
    frozen = small().fit(X[:, :54], y)
    before = frozen.get_params()
    shrunk = ShrinkConnect(FrozenEstimator(frozen), keep=0.5, max_iter=0)
    synthesizer(shrunk, places=None)
    assert frozen.get_params() == before


@pytest.mark.parametrize("network", NETWORKS)
def test_shrinking_a_fitted_synthesizer(network):
    full = synthesizer(small(network, max_iter=20))
    before = pickle.dumps(full)
    arguments = dict(keep=0.5, max_iter=4, random_state=3)
    smaller = full.shrink(SOURCES, TARGETS, **arguments)
    assert type(smaller) is VolumeSynthesizer
    assert type(smaller.estimator_) is ShrinkConnect
    assert smaller.estimator_.estimator_.hidden_layer_sizes == (6, 3)
    assert smaller.estimator_.max_iter == 4
    assert pickle.dumps(full) == before
    again = full.shrink(SOURCES, TARGETS, **arguments)
    assert_same_network(again.estimator_.estimator_, smaller.estimator_.estimator_)
    score = full.score(SOURCES[2:], TARGETS[2:])
    assert smaller.score(SOURCES[2:], TARGETS[2:]) > score - 3


def test_shrinking_starts_from_the_fitted_network():
    full = synthesizer(small())
    same = full.shrink(SOURCES, TARGETS, keep=1.0, max_iter=0, random_state=0)
    expected = voxels(full.predict(SOURCES))
    actual = voxels(same.predict(SOURCES))
    assert_allclose(actual, expected, rtol=0, atol=1e-3 * np.ptp(expected))


def test_shrinking_a_shrunken_synthesizer():
    full = synthesizer(ShrinkConnect(small(), keep=0.5, max_iter=0))
    smaller = full.shrink(SOURCES, TARGETS, keep=[2, 1], max_iter=1, random_state=0)
    assert smaller.estimator_.estimator_.hidden_layer_sizes == (2, 1)
    assert full.estimator_.estimator_.hidden_layer_sizes == (6, 3)


def test_shrinking_a_synthesizer_without_a_network():
    with pytest.raises(TypeError, match="can be shrunk, not a Ridge"):
        synthesizer(Ridge()).shrink(SOURCES, TARGETS)


def test_shrinking_searches_by_default():
    smaller = synthesizer(small()).shrink(SOURCES, TARGETS, random_state=0)
    assert smaller.estimator_.keep == "auto"
    assert len(smaller.estimator_.path_) > 1


def test_model_file_of_a_shrunken_synthesizer(tmp_path):
    full = synthesizer(small())
    smaller = full.shrink(SOURCES, TARGETS, keep=0.5, max_iter=1, random_state=0)
    save_model(smaller, tmp_path / "model.skops")
    loaded = load_model(tmp_path / "model.skops")
    expected = voxels(smaller.predict(SOURCES))
    assert_array_equal(voxels(loaded.predict(SOURCES)), expected)


# Interrupts


@pytest.mark.parametrize("at", [3, 7, 8])
@pytest.mark.parametrize("keep", [0.5, "auto"])
def test_an_interrupt_leaves_a_usable_network(monkeypatch, at, keep):
    """In the training of the full network or of the smaller one."""
    X, y = make_data()
    epoch, calls = Trainer.epoch, []

    def interrupted(self):
        calls.append(self)
        if len(calls) == at:
            raise KeyboardInterrupt
        return epoch(self)

    monkeypatch.setattr(Trainer, "epoch", interrupted)
    model = ShrinkConnect(small(), keep=keep, max_iter=4, random_state=0)
    with pytest.warns(TrainingInterrupted, match="interrupted after") as record:
        model.fit(X, y)
    assert [each.filename for each in record] == [__file__]
    assert np.isfinite(model.predict(X)).all()
    assert model.estimator_.hidden_layer_sizes == model.path_[-1]["hidden_layer_sizes"]
    if at > 5:  # the search goes no further
        assert len(model.path_) == 1
        assert len(calls) == at


@pytest.mark.parametrize("network", [small(), ShrinkConnect(small(), keep=0.5)])
def test_the_warning_points_to_the_line_that_called_fit(monkeypatch, network):
    epoch, calls = Trainer.epoch, []

    def interrupted(self):
        calls.append(self)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return epoch(self)

    monkeypatch.setattr(Trainer, "epoch", interrupted)
    model = VolumeSynthesizer(network, n_voxels=400, random_state=0)
    with pytest.warns(TrainingInterrupted) as record:
        model.fit(SOURCES[:2], TARGETS[:2])
    assert [each.filename for each in record] == [__file__]

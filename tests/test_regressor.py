"""The three networks as scikit-learn regressors."""

import inspect
import pickle
from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from joblib import parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_lsdn import CDNRegressor, LSDNRegressor, VDNRegressor
from sklearn_lsdn._network.optimizers import Trainer

NETWORKS = [LSDNRegressor, CDNRegressor, VDNRegressor]
SMALL = (8, 3)
NAMES = ["a", "b", "x", "y", "z"]


def make_data(n=300, n_features=5, n_outputs=None, seed=0):
    """Columns of various units, and targets that depend on all of them."""
    rng = np.random.RandomState(seed)
    X = rng.normal(size=(n, n_features)) * [3, 1, 50, 2, 10][:n_features]
    X += [100, 0, -20, 5, 0][:n_features]
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    W = np.array([1.5, -1, 0.7, -0.5, 0.3])[:n_features]
    W = np.stack([np.roll(W, i) for i in range(n_outputs or 1)], axis=1)
    y = 40 + 10 * (np.tanh(Z @ W) + 0.3 * Z[:, :1] * Z[:, -1:])
    return X, y if n_outputs else y[:, 0]


def make_located_data(n=2000, seed=0, where="front"):
    """A feature whose sign tells nothing unless one knows where it was measured."""
    rng = np.random.RandomState(seed)
    feature, *x = rng.uniform(-1, 1, (4, n))
    there = x[1] > 0 if where == "front" else np.square(x).sum(axis=0) < 0.75
    return np.column_stack([feature, *x]), np.where(there, feature, -feature)


def small(network=LSDNRegressor, **parameters):
    return network(**{"hidden_layer_sizes": SMALL, "random_state": 0, **parameters})


def assert_same_network(first, second):
    for name in ("coefs_", "intercepts_"):
        for a, b in zip(getattr(first, name), getattr(second, name), strict=True):
            assert_array_equal(a, b)
    assert_array_equal(first.latent_coordinates_, second.latent_coordinates_)


# Signature and attributes


@pytest.mark.parametrize("network", NETWORKS)
def test_signature(network):
    parameters = inspect.signature(network).parameters
    assert list(parameters) == [
        "hidden_layer_sizes",
        "coordinates",
        "sigma",
        "solver",
        "alpha",
        "batch_size",
        "learning_rate_init",
        "learning_rate_decay",
        "max_iter",
        "tol",
        "n_iter_no_change",
        "early_stopping",
        "validation_fraction",
        "shuffle",
        "average",
        "warm_start",
        "n_jobs",
        "random_state",
        "verbose",
    ]
    first, *others = parameters.values()
    assert first.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert {p.kind for p in others} == {inspect.Parameter.KEYWORD_ONLY}
    defaults = network().get_params()
    promised = {
        "hidden_layer_sizes": (200, 20),
        "coordinates": "auto",
        "sigma": 0.5,
        "solver": "adam",
        "early_stopping": False,
        "validation_fraction": 0.1,
        "shuffle": True,
        "warm_start": False,
        "random_state": None,
        "verbose": 0,
    }
    assert {name: defaults[name] for name in promised} == promised


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize(
    ("network", "n_inputs", "n_coordinates"),
    [(LSDNRegressor, 3, 2), (CDNRegressor, 5, 0), (VDNRegressor, 3, 0)],
)
def test_fitted_attributes(network, n_inputs, n_coordinates, solver):
    X, y = make_data(n_outputs=2)
    model = small(network, coordinates=2, solver=solver, max_iter=4)
    assert model.fit(pd.DataFrame(X, columns=NAMES), y) is model
    shapes = [(n_inputs, 8), (8, 3), (3, 2)]
    assert [F.shape for F in model.coefs_] == shapes
    assert [b.shape for b in model.intercepts_] == [(8,), (3,), (2,)]
    assert model.latent_coordinates_.shape == (8, n_coordinates)
    assert 1 <= len(model.loss_curve_) == model.n_iter_ <= 4
    assert np.isfinite(model.loss_curve_).all()
    assert model.validation_loss_curve_ is None
    assert model.n_features_in_ == 5
    assert list(model.feature_names_in_) == NAMES
    assert model.n_outputs_ == 2


@pytest.mark.parametrize(
    ("sizes", "shapes"),
    [
        (7, [(2, 7), (7, 1)]),
        (np.array([4, 3, 2]), [(2, 4), (4, 3), (3, 2), (2, 1)]),
        ([5], [(2, 5), (5, 1)]),
    ],
)
def test_hidden_layer_sizes(sizes, shapes):
    X, y = make_data()
    model = small(hidden_layer_sizes=sizes, max_iter=1).fit(X, y)
    assert [F.shape for F in model.coefs_] == shapes


@pytest.mark.parametrize("sizes", [(), (0,), (5, -1), 0, ((5, 3), (2, 1)), (5.5,), ""])
def test_hidden_layer_sizes_must_be_positive_integers(sizes):
    with pytest.raises(ValueError, match="hidden_layer_sizes"):
        small(hidden_layer_sizes=sizes).fit(*make_data())


def test_what_copies_share_cannot_be_written_to():
    model = small().fit(*make_data())
    arrays = [*model.coefs_, *model.intercepts_, model.latent_coordinates_]
    for array in arrays:
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0
    with pytest.raises(AttributeError):
        model.coefs_ = []


def test_unfitted():
    with pytest.raises(NotFittedError):
        LSDNRegressor().predict(np.zeros((1, 5)))


@pytest.mark.parametrize("network", NETWORKS)
def test_docstring_has_its_sections_at_the_margin(network):
    doc = inspect.getdoc(network)
    sections = ["Parameters", "Attributes", "See Also", "Notes", "References"]
    at = [doc.find(f"\n\n{name}\n{'-' * len(name)}\n") for name in sections]
    assert -1 not in at
    assert at == sorted(at)
    for name in inspect.signature(network).parameters:
        assert f"\n{name} : " in doc


# Which columns are coordinates


def n_coordinates_of(X, **parameters):
    model = small(max_iter=1, **parameters).fit(X, X[:, 0])
    assert model.coefs_[0].shape[0] + model.latent_coordinates_.shape[1] == X.shape[1]
    return model.latent_coordinates_.shape[1]


@pytest.mark.parametrize(
    ("n_columns", "expected"), [(1, 0), (2, 1), (3, 2), (4, 3), (5, 3)]
)
def test_auto_takes_three_columns_or_leaves_one_feature(n_columns, expected):
    X, _ = make_data(n_features=n_columns)
    assert n_coordinates_of(X) == expected


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(
    ("coordinates", "same"),
    [
        ("auto", [2, 3, 4]),
        (3, [2, 3, 4]),
        (np.int64(1), [4]),
        (0, []),
        ([-3, -1], [2, 4]),
        ((1, 0), [1, 0]),
        (np.array([4, 2]), [4, 2]),
        (["x", "a"], [2, 0]),
        (["z", 1, -2], [4, 1, 3]),
        (pd.Index(["b"]), [1]),
    ],
)
def test_ways_to_name_the_same_coordinates(network, coordinates, same):
    X, y = make_data()
    frame = pd.DataFrame(X, columns=NAMES)
    model = small(network, coordinates=coordinates, max_iter=2).fit(frame, y)
    expected = small(network, coordinates=same, max_iter=2).fit(X, y)
    assert_same_network(model, expected)
    assert_array_equal(model.predict(frame), expected.predict(X))


def test_columns_are_used_as_named():
    X, y = make_data()
    model = small(coordinates=[3, 0], max_iter=2).fit(X, y)
    moved = small(coordinates=2, max_iter=2).fit(X[:, [1, 2, 4, 3, 0]], y)
    assert_same_network(model, moved)


@pytest.mark.parametrize(
    ("coordinates", "message"),
    [
        (["x", "q"], "'q', which X does not have.*'a', 'b', 'x', 'y', 'z'"),
        ([0, 5], "column index 5, but X has 5 columns"),
        ([-6], "column index -6, but X has 5 columns"),
        (["x", 2], "names a column twice"),
        ([1, -4], "names a column twice"),
        (5, "coordinates=5 leaves no feature"),
        (9, "coordinates=9 leaves no feature"),
        (NAMES, "leaves no feature"),
        ([0, 1, 2, 3, 4], "leaves no feature"),
        ("x", "'coordinates' parameter of LSDNRegressor must be"),
        (-1, "'coordinates' parameter of LSDNRegressor must be"),
        ([1.5], "coordinates"),
        ([False, False, False, False, True], "coordinates"),
    ],
)
def test_coordinates_that_cannot_be(coordinates, message):
    X, y = make_data()
    with pytest.raises(ValueError, match=message):
        small(coordinates=coordinates).fit(pd.DataFrame(X, columns=NAMES), y)


def test_names_need_a_dataframe():
    with pytest.raises(ValueError, match="'x', but X has no column names"):
        small(coordinates=["x"]).fit(*make_data())


def test_without_coordinates_all_three_are_the_same_network():
    X, y = make_data()
    lsdn, cdn, vdn = (small(n, coordinates=0, max_iter=3).fit(X, y) for n in NETWORKS)
    assert_same_network(lsdn, cdn)
    assert_same_network(lsdn, vdn)


def test_which_network_sees_the_coordinates():
    X, y = make_data()
    moved = X + [0, 0, 0, 0, 5]
    for network in (LSDNRegressor, CDNRegressor):
        model = small(network, max_iter=3).fit(X, y)
        assert abs(model.predict(moved) - model.predict(X)).max() > 1e-3
    model = small(VDNRegressor, max_iter=3).fit(X, y)
    assert_array_equal(model.predict(moved), model.predict(X))


# What is learned


def test_latent_coordinates_start_at_training_samples_in_the_units_of_x():
    X, y = make_data()
    model = small(hidden_layer_sizes=(50, 3), learning_rate_init=1e-12, max_iter=1)
    latent = model.fit(X, y).latent_coordinates_
    ranges = np.ptp(X[:, 2:], axis=0)
    away = abs(latent[:, None] - X[:, 2:]) / ranges
    assert away.max(axis=2).min(axis=1).max() < 1e-6
    assert len(np.unique(latent.round(3), axis=0)) > 25


def test_latent_coordinates_start_where_the_weight_is():
    X, y = make_data()
    weight = np.where(X[:, 4] > 0, 1.0, 1e-9)
    model = small(hidden_layer_sizes=(50, 3), learning_rate_init=1e-12, max_iter=1)
    latent = model.fit(X, y, sample_weight=weight).latent_coordinates_
    assert (latent[:, 2] > 0).all()


def test_latent_coordinates_are_learned():
    X, y = make_located_data()
    start = small(learning_rate_init=1e-12, max_iter=1).fit(X, y)
    model = small().fit(X, y)
    moved = abs(model.latent_coordinates_ - start.latent_coordinates_)
    assert (moved.max(axis=0) > 0.05).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_location_matters_to_those_who_see_it(seed):
    X, y = make_located_data(seed=seed, where="centre")
    X_new, y_new = make_located_data(500, seed + 10, where="centre")
    parameters = {"learning_rate_init": 0.01, "learning_rate_decay": 0.95}
    parameters |= {"hidden_layer_sizes": (40, 10), "max_iter": 60, "tol": 0.0}
    models = [small(network, **parameters).fit(X, y) for network in NETWORKS]
    lsdn, cdn, vdn = (model.score(X_new, y_new) for model in models)
    assert lsdn > 0.6
    assert lsdn > cdn + 0.1
    assert vdn < 0.25


def test_coordinates_as_features_tell_the_location_too():
    X, y = make_located_data()
    parameters = {"learning_rate_init": 0.01, "hidden_layer_sizes": (40, 10)}
    cdn, vdn = (small(network, **parameters).fit(X, y) for network in NETWORKS[1:])
    assert cdn.score(X, y) > vdn.score(X, y) + 0.5


def test_training_of_the_paper_learns():
    X, y = make_data(2000)
    model = small(
        hidden_layer_sizes=(30, 10),
        solver="sgd",
        learning_rate_init=0.25,
        learning_rate_decay=0.99,
        max_iter=300,
        batch_size=10,
    ).fit(X, y)
    assert model.score(X, y) > 0.7


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_loss_falls(network, solver):
    X, y = make_data(1000)
    parameters = {"learning_rate_init": 0.02, "batch_size": 10}
    if solver == "sgd":
        parameters = {"learning_rate_init": 2.0, "batch_size": 5}
    model = small(network, solver=solver, **parameters).fit(X, y)
    assert model.loss_curve_[-1] < 0.6 * model.loss_curve_[0]
    assert model.score(X, y) > 0.5


@pytest.mark.parametrize("network", NETWORKS)
def test_lbfgs_leaves_the_plateau_where_it_starts(network):
    X, y = make_data()
    model = small(network, solver="lbfgs", max_iter=30).fit(X, y)
    assert model.loss_curve_[-1] < 0.5 * model.loss_curve_[0]
    assert model.score(X, y) > 0.5


def test_penalty_shrinks_the_filters():
    X, y = make_data()
    free, bound = (small(alpha=alpha).fit(X, y) for alpha in (0.0, 10.0))
    assert abs(bound.coefs_[1]).sum() < 0.5 * abs(free.coefs_[1]).sum()


def test_a_narrow_spatial_response_is_narrow():
    X, y = make_located_data()
    far = X + [0, 100, 0, 0]
    assert np.ptp(small(sigma=0.05, max_iter=2).fit(X, y).predict(far)) < 1e-6
    assert np.ptp(small(sigma=1e4, max_iter=2).fit(X, y).predict(far)) > 1e-3


@pytest.mark.parametrize("network", NETWORKS)
def test_attributes_are_the_network_in_the_units_of_x(network):
    X, y = make_data(n_outputs=2)
    model = small(network, coordinates=[1, 3], max_iter=5).fit(X, y)
    C = X[:, [1, 3]]
    S = {
        LSDNRegressor: X[:, [0, 2, 4]],
        CDNRegressor: X[:, [0, 2, 4, 1, 3]],
        VDNRegressor: X[:, [0, 2, 4]],
    }[network]
    F, b = model.coefs_, model.intercepts_
    h = expit(S @ F[0] + b[0])
    if network is LSDNRegressor:
        difference = C[:, None] - model.latent_coordinates_
        unit = difference / (np.ptp(C, axis=0) / 2)  # sigma's unit
        h *= 2 * expit(-(unit**2).sum(axis=2) / 0.5**2)
    h = expit(h @ F[1] + b[1])
    psi = expit(h @ F[2] + b[2])
    expected = model.network_.scaling.inverse_targets(psi)
    assert_allclose(model.predict(X), expected, rtol=0, atol=1e-5 * np.ptp(y))


# Units, types and shapes


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("unit", [1e6, 1e-6])
def test_predictions_do_not_depend_on_the_units_of_x(network, unit):
    X, y = make_data()
    scale, shift = unit * np.array([1, 0.2, 3, 1, 70]), unit * np.arange(5) * 10
    model = small(network, max_iter=10)
    expected = clone(model).fit(X, y).predict(X)
    other = X * scale + shift
    actual = model.fit(other, y).predict(other)
    assert_allclose(actual, expected, rtol=0, atol=1e-3 * np.ptp(y))


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(("scale", "shift"), [(1e6, -3e6), (1e-6, 5), (1, 1e4)])
def test_predictions_follow_the_units_of_y(network, scale, shift):
    X, y = make_data()
    model = small(network, max_iter=10)
    expected = clone(model).fit(X, y).predict(X)
    actual = model.fit(X, y * scale + shift).predict(X)
    assert_allclose((actual - shift) / scale, expected, rtol=0, atol=1e-3 * np.ptp(y))


@pytest.mark.parametrize("network", NETWORKS)
def test_float32_gives_float32(network):
    X, y = make_data()
    double = small(network, max_iter=3).fit(X, y)
    single = small(network, max_iter=3)
    single.fit(X.astype(np.float32), y.astype(np.float32))
    predicted = single.predict(X.astype(np.float32))
    assert predicted.dtype == np.float32
    assert double.predict(X).dtype == np.float64
    assert_allclose(predicted, double.predict(X), rtol=0, atol=1e-3 * np.ptp(y))


def test_integers_are_numbers():
    X, y = make_data()
    X, y = X.round().astype(np.int16), y.round().astype(np.uint8)
    expected = small(max_iter=2).fit(X.astype(float), y.astype(float)).predict(X)
    assert_array_equal(small(max_iter=2).fit(X, y).predict(X), expected)


@pytest.mark.parametrize("shape", [(300,), (300, 1), (300, 3)])
def test_predictions_have_the_shape_of_y(shape):
    X, y = make_data(n_outputs=3)
    y = y[:, 0] if len(shape) == 1 else y[:, : shape[1]]
    model = small(max_iter=2).fit(X, y)
    assert model.predict(X).shape == shape
    assert model.predict(X[:1]).shape == (1, *shape[1:])


def test_several_outputs_are_learned_each():
    X, y = make_data(1000, n_outputs=3)
    y[:, 1] *= 1e-3
    model = small(hidden_layer_sizes=(30, 10), solver="lbfgs", max_iter=200, tol=1e-7)
    predicted = model.fit(X, y).predict(X)
    unexplained = ((y - predicted) ** 2).sum(axis=0) / ((y - y.mean(0)) ** 2).sum(0)
    assert (unexplained < 0.1).all()


def test_rows_are_predicted_one_by_one():
    X, y = make_data()
    model = small(max_iter=2).fit(X, y)
    expected = model.predict(X)
    order = np.random.RandomState(0).permutation(len(X))
    assert_array_equal(model.predict(X[order]), expected[order])
    assert_array_equal([model.predict(row[None])[0] for row in X], expected)


def test_constant_columns_and_targets():
    X, y = make_data()
    X[:, [1, 4]] = 7.0
    assert np.isfinite(small(max_iter=2).fit(X, y).predict(X)).all()
    for constant in (12.0, 0.0, 1e-6):
        model = small(max_iter=2).fit(X, np.full(len(X), constant))
        assert_allclose(model.predict(X), constant, rtol=1e-6)


# Weights


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_weight_zero_is_absence(solver, early_stopping):
    X, y = make_data()
    weight = np.random.RandomState(1).randint(0, 3, len(X)).astype(float)
    used = weight > 0
    X_dirty = np.where(used[:, None], X, 1e8)
    model = small(max_iter=3, solver=solver, early_stopping=early_stopping)
    expected = clone(model).fit(X[used], y[used], sample_weight=weight[used])
    assert_same_network(model.fit(X_dirty, y, sample_weight=weight), expected)


def test_the_unit_of_weights_does_not_matter():
    X, y = make_data()
    weight = np.random.RandomState(1).uniform(0.5, 2, len(X))
    models = [
        small(max_iter=3).fit(X, y, sample_weight=unit * weight) for unit in (1, 64)
    ]
    assert_same_network(*models)


def test_heavy_samples_are_fitted_best():
    X, _ = make_data()
    y = np.arange(len(X)) % 2  # X cannot tell
    for heavy in (0, 1):
        model = small(max_iter=10).fit(X, y, sample_weight=np.where(y == heavy, 20, 1))
        assert abs(model.predict(X).mean() - heavy) < 0.3


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize(
    ("weight", "message"),
    [(np.zeros(300), "weight"), (np.full(300, -1.0), "[Nn]egative"), ([1, 2], "shape")],
)
def test_weights_that_cannot_be(method, weight, message):
    with pytest.raises(ValueError, match=message):
        getattr(small(), method)(*make_data(), sample_weight=weight)


# When training ends


def test_early_stopping_keeps_the_best_epoch():
    X, _ = make_data(100)
    y = np.random.RandomState(0).normal(size=100)  # nothing to learn but noise
    parameters = {"early_stopping": True, "learning_rate_init": 0.05}
    parameters |= {"validation_fraction": 0.3, "n_iter_no_change": 4, "max_iter": 100}
    model = small(**parameters).fit(X, y)
    curve = np.array(model.validation_loss_curve_)
    assert len(curve) == len(model.loss_curve_) == model.n_iter_ < 100
    best = curve.argmin()
    assert best < len(curve) - 1
    expected = small(**{**parameters, "max_iter": best + 1}).fit(X, y)
    assert_same_network(model, expected)


def test_early_stopping_holds_out_samples():
    X, y = make_data()
    whole = small(max_iter=3, batch_size=30).fit(X, y)
    part = small(max_iter=3, batch_size=30, early_stopping=True).fit(X, y)
    assert len(part.validation_loss_curve_) == 3
    assert part.validation_loss_curve_[-1] < part.validation_loss_curve_[0]
    assert abs(part.predict(X) - whole.predict(X)).max() > 1e-3


@pytest.mark.parametrize("patience", [1, 3])
def test_training_ends_without_progress(patience):
    parameters = {"max_iter": 50, "n_iter_no_change": patience}
    impossible = small(tol=1.0, **parameters).fit(*make_data())
    assert impossible.n_iter_ == len(impossible.loss_curve_) == patience
    curve = small(tol=0.05, **parameters).fit(*make_data()).loss_curve_
    assert patience < len(curve) < 50
    for i in range(len(curve) - patience, len(curve)):
        assert curve[i] >= 0.95 * min(curve[:i])


def test_lbfgs_ends_by_tol():
    X, y = make_data()
    loose, tight = (
        small(solver="lbfgs", max_iter=200, tol=tol).fit(X, y) for tol in (0.05, 1e-6)
    )
    assert loose.n_iter_ < tight.n_iter_
    assert tight.loss_curve_[-1] < loose.loss_curve_[-1]


def test_an_interrupt_leaves_a_usable_network(monkeypatch):
    X, y = make_data()
    expected = small(max_iter=2).fit(X, y)
    epoch, calls = Trainer.epoch, []

    def interrupted(self):
        calls.append(self)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return epoch(self)

    monkeypatch.setattr(Trainer, "epoch", interrupted)
    with pytest.warns(UserWarning, match="interrupted after 2 epochs") as record:
        model = small(max_iter=10).fit(X, y)
    assert record[0].filename == __file__
    assert len(model.loss_curve_) == model.n_iter_ == 2
    assert_same_network(model, expected)
    assert_array_equal(model.predict(X), expected.predict(X))


def test_an_interrupt_before_anything_is_learned_ends_fit(monkeypatch):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        small(max_iter=10).fit(*make_data())


def test_verbose_prints_each_epoch(capsys):
    model = small(max_iter=3, early_stopping=True, verbose=1).fit(*make_data())
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert f"{model.loss_curve_[1]:.6g}" in lines[1]
    assert f"{model.validation_loss_curve_[1]:.6g}" in lines[1]
    small(max_iter=3).fit(*make_data())
    assert capsys.readouterr().out == ""


# Going on


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_warm_start_goes_on(network, solver):
    X, y = make_data()
    model = small(network, solver=solver, warm_start=True, max_iter=10).fit(X, y)
    first = model.loss_curve_
    model.fit(X, y)
    assert model.n_iter_ == len(model.loss_curve_) <= 10
    assert model.loss_curve_[0] < first[0]
    assert min(model.loss_curve_) < min(first)
    assert model.loss_curve_[0] < 1.2 * first[-1]


@pytest.mark.parametrize("network", NETWORKS)
def test_warm_start_keeps_the_network_and_its_scales(network):
    X, y = make_data(n_outputs=2)
    model = small(network, warm_start=True, max_iter=5).fit(X, y)
    before, latent = model.predict(X), model.latent_coordinates_
    model.set_params(learning_rate_init=1e-12, max_iter=1).fit(X[:9] + 1, 2 * y[:9])
    assert_allclose(model.predict(X), before, rtol=0, atol=1e-5 * np.ptp(y))
    assert_allclose(model.latent_coordinates_, latent, rtol=0, atol=1e-4)


def test_without_warm_start_fit_starts_anew():
    X, y = make_data()
    model = small(max_iter=3)
    expected = clone(model).fit(X, y)
    assert_same_network(model.fit(X[:50], y[:50]).fit(X, y), expected)
    assert_same_network(model.partial_fit(X, y).fit(X, y), expected)


def test_without_warm_start_fit_takes_other_data():
    X, y = make_data(n_outputs=2)
    model = small(max_iter=2).fit(X, y).fit(X[:, :3], y[:, 0])
    assert model.predict(X[:, :3]).shape == (300,)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_network_keeps_its_number_of_outputs(method):
    X, y = make_data(n_outputs=2)
    model = small(warm_start=True, max_iter=1).fit(X, y)
    with pytest.raises(ValueError, match="y has 3 outputs.* trained on 2"):
        getattr(model, method)(X, np.column_stack([y, y[:, 0]]))


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_network_keeps_its_number_of_features(method):
    X, y = make_data()
    model = small(warm_start=True, max_iter=1).fit(X, y)
    with pytest.raises(ValueError, match="4 features, but .* 5 features"):
        getattr(model, method)(X[:, :4], y)


@pytest.mark.parametrize("average", [2, 10])
def test_fit_ends_with_the_mean_of_the_last_networks(average):
    X, y = make_data()
    model = small(max_iter=5, average=1)
    last = min(average, 3)  # half of all at most
    after = [clone(model).set_params(max_iter=n) for n in range(6 - last, 6)]
    after = [each.fit(X, y) for each in after]
    mean = clone(model).set_params(average=average).fit(X, y)
    for name in ("coefs_", "intercepts_"):
        networks = [getattr(each, name) for each in after]
        for ours, theirs in zip(
            getattr(mean, name), zip(*networks, strict=True), strict=True
        ):
            assert_allclose(ours, np.mean(theirs, axis=0), rtol=1e-4, atol=1e-6)
    latent = [each.latent_coordinates_ for each in after]
    assert_allclose(mean.latent_coordinates_, np.mean(latent, axis=0), rtol=1e-4)
    assert mean.loss_curve_ == after[-1].loss_curve_


def test_early_stopping_watches_the_mean():
    X, y = make_data()
    model = small(max_iter=6, average=4, early_stopping=True)
    model.fit(X, y, X_val=X[:50], y_val=y[:50])
    n_best = 1 + int(np.argmin(model.validation_loss_curve_))
    best = (
        clone(model).set_params(max_iter=n_best).fit(X, y, X_val=X[:50], y_val=y[:50])
    )
    assert_same_network(model, best)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_partial_fit_is_an_epoch_of_fit(network, solver):
    X, y = make_data()
    weight = np.random.RandomState(1).uniform(0, 2, len(X))
    model = small(network, solver=solver, learning_rate_decay=1.0, average=1)
    for n in (1, 2, 4):
        whole = clone(model).set_params(max_iter=n).fit(X, y, sample_weight=weight)
        parts = clone(model)
        for _ in range(n):
            assert parts.partial_fit(X, y, sample_weight=weight) is parts
        if n == 1:
            assert_same_network(parts, whole)
        # Between calls the network goes through the units of X and back.
        assert_allclose(
            parts.predict(X), whole.predict(X), rtol=0, atol=1e-3 * np.ptp(y)
        )
        assert_allclose(parts.loss_curve_, whole.loss_curve_, rtol=1e-4)
        assert parts.n_iter_ == n


def test_partial_fit_goes_on_learning():
    X, y = make_located_data()
    model = small(hidden_layer_sizes=(30, 10), learning_rate_decay=0.5)
    for rows in np.array_split(np.arange(len(X)).repeat(10), 100):
        model.partial_fit(X[rows], y[rows])
    early = model.score(X, y)
    for _ in range(30):
        model.partial_fit(X, y)
    assert model.score(X, y) > early + 0.1


@pytest.mark.parametrize("weight", [1e-50, 1e39, 1e45])
def test_only_ratios_of_weights_matter(weight):
    X, y = make_data()
    plain = small().fit(X, y)
    weighted = small().fit(X, y, sample_weight=np.full(len(X), weight))
    assert_allclose(weighted.predict(X), plain.predict(X), rtol=1e-4)


def test_weights_beyond_float32_of_each_other():
    X, y = make_data()
    weight = np.where(np.arange(len(X)) % 2, 1.0, 1e-50)
    uneven = small(shuffle=False, batch_size=16).fit(X, y, sample_weight=weight)
    half = small(shuffle=False, batch_size=16).fit(X[1::2], y[1::2])
    assert_array_equal(uneven.predict(X), half.predict(X))


def test_diverged_training_is_an_error():
    with pytest.raises(ValueError, match="Training diverged.*learning_rate_init"):
        small(learning_rate_init=1e300).fit(*make_data())


def test_partial_fit_learns():
    X, y = make_located_data()
    model = small(hidden_layer_sizes=(30, 10))
    for _ in range(10):
        for start in range(0, len(X), 500):
            rows = slice(start, start + 500)
            model.partial_fit(X[rows], y[rows])
    assert model.n_iter_ == len(model.loss_curve_) == 40
    assert model.loss_curve_[-1] < 0.5 * model.loss_curve_[0]
    assert model.score(X, y) > 0.5


def test_partial_fit_goes_on_from_fit():
    X, y = make_data()
    model = small(max_iter=10, average=1).fit(X, y)
    before = model.loss_curve_[-1]
    model.partial_fit(X, y)
    assert model.n_iter_ == len(model.loss_curve_) == 11
    assert model.loss_curve_[-1] < before


def test_partial_fit_after_fit_visits_samples_in_new_orders(monkeypatch):
    orders, epoch = [], Trainer.epoch

    def spied(self):
        orders.append(list(deepcopy(self._rng).permutation(len(X))))
        return epoch(self)

    X, y = make_data()
    model = small(max_iter=1).fit(X, y)
    monkeypatch.setattr(Trainer, "epoch", spied)
    model.partial_fit(X, y).partial_fit(X, y)
    assert orders[0] != orders[1]


def test_partial_fit_is_not_for_lbfgs():
    model = small(solver="lbfgs")
    assert not hasattr(model, "partial_fit")
    with pytest.raises(AttributeError, match="has no attribute 'partial_fit'") as error:
        model.partial_fit(*make_data())
    assert 'partial_fit needs solver="adam"' in str(error.value.__cause__)


def test_curves_keep_step_through_partial_fit():
    X, y = make_data()
    model = small(early_stopping=True, max_iter=2).fit(X, y)
    model.partial_fit(X, y)
    assert len(model.loss_curve_) == len(model.validation_loss_curve_) == 3
    assert np.isnan(model.validation_loss_curve_).tolist() == [False, False, True]
    assert small(early_stopping=True).partial_fit(X, y).validation_loss_curve_ is None


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_a_first_part_with_a_constant_target_is_refused(n_outputs):
    X, y = make_data(n_outputs=n_outputs)
    y = np.array(y)
    y.reshape(len(y), -1)[:50, -1] = 7.0
    name = "y" if n_outputs == 1 else "output 1 of y"
    model = small()
    with pytest.raises(ValueError, match=rf"^{name} is constant \(value 7\)"):
        model.partial_fit(X[:50], y[:50])
    model.partial_fit(X, y).partial_fit(X[:50], y[:50])
    assert model.n_iter_ == 2


# Randomness


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_the_same_random_state_gives_the_same_bits(network, solver):
    X, y = make_data()
    parameters = {"max_iter": 4, "solver": solver, "early_stopping": solver != "lbfgs"}
    models = [small(network, **parameters).fit(X, y) for _ in range(2)]
    assert_same_network(*models)
    assert models[0].loss_curve_ == models[1].loss_curve_
    other = small(network, **{**parameters, "random_state": 1}).fit(X, y)
    assert abs(other.coefs_[0] - models[0].coefs_[0]).max() > 0


def test_a_random_state_instance_is_drawn_from():
    X, y = make_data()
    rng = np.random.RandomState(0)
    first, second = (small(random_state=rng, max_iter=1).fit(X, y) for _ in range(2))
    assert_same_network(first, small(max_iter=1).fit(X, y))
    assert abs(first.coefs_[0] - second.coefs_[0]).max() > 0


def test_the_order_of_samples_matters_only_with_shuffle():
    X, y = make_data()
    models = [
        small(max_iter=2, shuffle=shuffle, batch_size=10).fit(X, y)
        for shuffle in (True, False)
    ]
    assert abs(models[0].coefs_[0] - models[1].coefs_[0]).max() > 0
    one_batch = [
        small(max_iter=2, shuffle=shuffle, batch_size=1000).fit(X, y)
        for shuffle in (True, False)
    ]
    first, second = (model.predict(X) for model in one_batch)
    assert_allclose(first, second, rtol=0, atol=1e-3 * np.ptp(y))


# Among scikit-learn's tools


def test_grid_search_in_a_pipeline_over_subjects():
    X, y = make_located_data(600)
    groups = np.arange(600) % 3
    pipeline = make_pipeline(
        StandardScaler(),
        LSDNRegressor((30, 10), solver="lbfgs", tol=1e-7, random_state=0),
    )
    search = GridSearchCV(
        pipeline,
        {"lsdnregressor__max_iter": [1, 100]},
        cv=LeaveOneGroupOut(),
    ).fit(X, y, groups=groups)
    assert search.n_splits_ == 3
    assert search.best_params_ == {"lsdnregressor__max_iter": 100}
    assert search.best_score_ > 0.8
    assert search.best_estimator_.score(X, y) > 0.8


def test_cross_validation_in_threads_gives_the_same_scores():
    X, y = make_data()
    with parallel_config("threading"):
        alone, together = (
            cross_val_score(small(max_iter=2), X, y, cv=4, n_jobs=n_jobs)
            for n_jobs in (1, 4)
        )
    assert_array_equal(alone, together)


@pytest.mark.parametrize("network", NETWORKS)
def test_clone_and_pickle(network):
    X, y = make_data()
    model = small(network, sigma=0.7, coordinates=[1], max_iter=3).fit(X, y)
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert not hasattr(copy, "coefs_")
    restored = pickle.loads(pickle.dumps(model))
    assert_array_equal(restored.predict(X), model.predict(X))
    assert_same_network(restored.partial_fit(X, y), model.partial_fit(X, y))


def test_predictions_are_those_of_fit_whatever_becomes_of_parameters():
    X, y = make_data()
    model = small(max_iter=2).fit(X, y)
    expected = model.predict(X)
    model.set_params(sigma=3.0, coordinates=1, hidden_layer_sizes=(4,))
    assert_array_equal(model.predict(X), expected)


# Input that cannot be


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_must_be_finite(network, bad):
    X, y = make_data()
    X_bad, y_bad = X.copy(), y.copy()
    X_bad[3, 1] = y_bad[7] = bad
    what = "NaN" if np.isnan(bad) else "infinity"
    for method in ("fit", "partial_fit"):
        with pytest.raises(ValueError, match=f"Input X contains {what}"):
            getattr(small(network), method)(X_bad, y)
        with pytest.raises(ValueError, match=f"Input y contains {what}"):
            getattr(small(network), method)(X, y_bad)
    model = small(network, max_iter=1).fit(X, y)
    with pytest.raises(ValueError, match=f"Input X contains {what}"):
        model.predict(X_bad)


@pytest.mark.parametrize("network", NETWORKS)
def test_predict_wants_the_columns_of_fit(network):
    X, y = make_data()
    model = small(network, max_iter=1).fit(X, y)
    with pytest.raises(ValueError, match="4 features, but .* 5 features"):
        model.predict(X[:, :4])
    model.fit(pd.DataFrame(X, columns=NAMES), y)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(pd.DataFrame(X, columns=NAMES[::-1]))


@pytest.mark.parametrize(
    "parameters",
    [
        {"sigma": 0.0},
        {"solver": "adagrad"},
        {"alpha": -1.0},
        {"batch_size": 0},
        {"learning_rate_init": 0.0},
        {"learning_rate_decay": 1.1},
        {"max_iter": 0},
        {"tol": -1e-3},
        {"n_iter_no_change": 0},
        {"validation_fraction": 1.0},
        {"early_stopping": "yes"},
    ],
)
def test_parameters_out_of_range(parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"'{name}' parameter of LSDNRegressor"):
        small(**parameters).fit(*make_data())


def test_lbfgs_ignores_early_stopping():
    X, y = make_data()
    model = small(solver="lbfgs", early_stopping=True, max_iter=3).fit(X, y)
    assert_same_network(model, small(solver="lbfgs", max_iter=3).fit(X, y))


# Anything finite


def assert_within_documented_range(predicted, y):
    """Within the range of y, widened by 5 % of the output's range."""
    low, high = float(y.min()), float(y.max())
    margin = 0.05 * (high - low) / 0.9
    margin += 1e-6 * margin + 1e-12 * max(abs(low), abs(high))  # rounding
    assert np.isfinite(predicted).all()
    assert (predicted >= low - margin).all()
    assert (predicted <= high + margin).all()


def numbers(bound, width=32):
    return st.floats(-bound, bound, width=width)


@pytest.fixture(scope="module")
def trained():
    X, y = make_data()
    return {network: small(network, max_iter=20).fit(X, y) for network in NETWORKS}


@given(
    network=st.sampled_from(NETWORKS),
    X=arrays(
        np.float64, st.tuples(st.integers(1, 9), st.just(5)), elements=numbers(2.0**99)
    ),
)
def test_predictions_for_any_numbers(trained, network, X):
    assert_within_documented_range(trained[network].predict(X), make_data()[1])


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("huge", [1e37, 1e39, 1e300])
def test_predictions_for_numbers_beyond_float32(trained, network, huge):
    X = np.array([[1, -1, 1, -1, 1], [0, 1, 0, 0, -1], [1, 1, 1, 1, 1]]) * huge
    assert_within_documented_range(trained[network].predict(X), make_data()[1])


@given(
    network=st.sampled_from(NETWORKS),
    solver=st.sampled_from(["adam", "sgd", "lbfgs"]),
    X=arrays(
        np.float64,
        st.tuples(st.integers(2, 12), st.integers(1, 5)),
        elements=numbers(2.0**30),
    ),
    data=st.data(),
)
def test_training_on_any_numbers(network, solver, X, data):
    y = data.draw(arrays(np.float64, len(X), elements=numbers(2.0**30)))
    model = small(network, solver=solver, max_iter=3)
    assert_within_documented_range(model.fit(X, y).predict(X), y)
    assert np.isfinite(model.loss_curve_).all()

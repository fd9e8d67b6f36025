"""Coupled dictionaries against scikit-learn's pieces, put together plainly."""

import inspect
import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.decomposition import MiniBatchDictionaryLearning
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Lasso, LinearRegression

from sklearn_lsdn import (
    CoupledSparseRegressor,
    VolumeSynthesizer,
    load_model,
    save_model,
)
from sklearn_lsdn.datasets import make_brain_cohort

NAMES = ["a", "b", "x", "y", "z"]


def make_data(n=500, n_outputs=None, seed=0):
    """Two features, three coordinates, all in units of their own."""
    rng = np.random.RandomState(seed)
    Z = rng.normal(size=(n, 5))
    columns = [abs(Z[:, 0]), Z[:, 1] + Z[:, 4], np.tanh(Z[:, 0]) * Z[:, 2]]
    y = 40 + 10 * np.column_stack(columns)
    X = Z * [3, 1, 50, 2, 10] + [100, 0, -20, 5, 0]
    return X, y[:, :n_outputs] if n_outputs else y[:, 0]


def small(**parameters):
    return CoupledSparseRegressor(
        **{"n_components": 40, "alpha": 0.2, "random_state": 0, **parameters}
    )


def reference_vectors(X, fitted_on, model, n_coordinates=3):
    """Standardised features and coordinates with their weights, and the constant."""
    Z = (X - fitted_on.mean(axis=0)) / fitted_on.std(axis=0)
    p = X.shape[1] - n_coordinates
    weight = model.coordinate_weight / np.sqrt(max(n_coordinates, 1))
    return np.column_stack(
        [
            Z[:, :p] / np.sqrt(p),
            Z[:, p:] * weight,
            np.full(len(X), model.intercept_scaling),
        ]
    )


def lasso_codes(Z, atoms, alpha):
    lasso = Lasso(alpha / Z.shape[1], fit_intercept=False, tol=1e-12, max_iter=10**6)
    return lasso.fit(atoms.T, Z.T).coef_


# What is computed


@pytest.mark.parametrize("refit", [True, False])
@pytest.mark.parametrize("n_coordinates", [0, 2, 3])
def test_predictions_decode_the_codes_of_the_source(refit, n_coordinates):
    X, y = make_data(n_outputs=3)
    model = small(
        refit=refit,
        coordinates=n_coordinates,
        coordinate_weight=0.6,
        intercept_scaling=1.5,
    ).fit(X, y)
    Q = make_data(50, seed=1)[0]
    Z = reference_vectors(Q, X, model, n_coordinates)
    codes = lasso_codes(Z, model.source_components_, model.alpha)
    expected = y.mean(axis=0) + y.std(axis=0) * (codes @ model.target_components_)
    assert_allclose(model.predict(Q), expected, rtol=1e-6)
    assert model.predict(Q).std(axis=0).min() > 1


@pytest.mark.filterwarnings("ignore:Objective did not converge")
def test_dictionaries_are_learned_together_by_scikit_learn():
    X, y = make_data(n_outputs=3)
    model = small(refit=False, max_samples=300, target_weight=0.8, max_iter=2)
    model.fit(X, y)
    rng = np.random.RandomState(0)
    rows = rng.permutation(len(X))[:300]
    T = (y - y.mean(axis=0)) / y.std(axis=0)
    share = 0.8 / np.sqrt(3)
    joint = np.hstack([reference_vectors(X, X, model), share * T])[rows]
    learner = MiniBatchDictionaryLearning(
        40,
        alpha=0.2,
        fit_algorithm="cd",
        max_iter=2,
        dict_init=joint[:40] / np.linalg.norm(joint[:40], axis=1, keepdims=True),
        tol=0.0,
        max_no_improvement=None,
        transform_max_iter=100,
        random_state=rng,
    ).fit(joint)
    norm = np.linalg.norm(learner.components_[:, :6], axis=1, keepdims=True)
    assert_allclose(
        model.source_components_, learner.components_[:, :6] / norm, atol=1e-9
    )
    expected = learner.components_[:, 6:] / (share * norm)
    assert_allclose(model.target_components_, expected, atol=1e-9)
    assert model.n_iter_ == 2


def test_refit_solves_for_the_target_dictionary():
    X, y = make_data(2000, n_outputs=3)
    learned, refitted = (small(refit=refit).fit(X, y) for refit in (False, True))
    assert_array_equal(learned.source_components_, refitted.source_components_)
    Z = reference_vectors(X, X, refitted)
    codes = lasso_codes(Z, refitted.source_components_, refitted.alpha)
    ridge = 1e-3 * (codes**2).sum() / codes.shape[1]
    T = (y - y.mean(axis=0)) / y.std(axis=0)
    gradient = codes.T @ (codes @ refitted.target_components_ - T)
    gradient += ridge * (refitted.target_components_ - learned.target_components_)
    assert_allclose(gradient, 0, atol=1e-6 * len(X))
    errors = [((model.predict(X) - y) ** 2).mean() for model in (learned, refitted)]
    assert errors[1] < 0.8 * errors[0]


def test_atoms_of_the_source_are_of_norm_1():
    model = small().fit(*make_data())
    assert model.source_components_.shape == (40, 6)
    assert_allclose(np.linalg.norm(model.source_components_, axis=1), 1)


def test_units_do_not_matter():
    X, y = make_data(n_outputs=2)
    expected = small().fit(X, y).predict(X)
    scale, shift = np.array([2, 1e3, 0.1, 5, 1e-4]), np.array([1, 0, 5, -3, 2])
    model = small().fit(X * scale + shift, 1e6 * y)
    assert_allclose(model.predict(X * scale + shift), 1e6 * expected, rtol=1e-6)


def test_learning_takes_a_sample_and_refit_all():
    X, y = make_data()
    rng = np.random.RandomState(0)
    others = rng.permutation(len(X))[100:]  # whose targets learning does not see
    shuffled = y.copy()
    shuffled[others] = rng.permutation(y[others])
    learned, refitted = (
        [small(max_samples=100, refit=refit).fit(X, t) for t in (y, shuffled)]
        for refit in (False, True)
    )
    assert_allclose(learned[0].predict(X), learned[1].predict(X), rtol=1e-6)
    assert abs(refitted[0].predict(X) - refitted[1].predict(X)).max() > 5


# Coordinates


def test_without_weight_coordinates_have_no_part():
    X, y = make_data()
    model = small(coordinate_weight=0.0).fit(X, y)
    moved = X.copy()
    moved[:, 2:] += 1e3
    assert_array_equal(model.predict(moved), model.predict(X))
    alone = small(coordinates=0, coordinate_weight=0.0).fit(X[:, :2], y)
    assert_array_equal(alone.predict(X[:, :2]), model.predict(X))


def test_coordinates_tell_where_the_feature_changes_its_meaning():
    rng = np.random.RandomState(0)
    X = rng.uniform(-1, 1, (3000, 4))
    y = np.where(X[:, 2] > 0, X[:, 0], -X[:, 0])
    scores = [
        small(coordinate_weight=weight, n_components=200).fit(X, y).score(X, y)
        for weight in (0.0, 1.0)
    ]
    assert scores[0] < 0.1
    assert scores[1] > 0.7


@pytest.mark.parametrize(
    ("coordinates", "same"),
    [("auto", 3), ([2, 3, 4], 3), (["x", "y", "z"], 3), ([-1], 1), (["z"], [4])],
)
def test_coordinates_by_number_index_and_name(coordinates, same):
    X, y = make_data()
    frame = pd.DataFrame(X, columns=NAMES)
    models = [small(coordinates=c).fit(frame, y) for c in (coordinates, same)]
    assert_array_equal(models[0].predict(frame), models[1].predict(frame))
    assert list(models[0].feature_names_in_) == NAMES


def test_coordinates_that_cannot_be():
    X, y = make_data()
    with pytest.raises(ValueError, match="coordinates=5 leaves no feature"):
        small(coordinates=5).fit(X, y)
    with pytest.raises(ValueError, match="column index 9"):
        small(coordinates=[9]).fit(X, y)


# Contract


def test_signature():
    first, *others = inspect.signature(CoupledSparseRegressor).parameters.values()
    assert first.name == "n_components"
    assert {p.kind for p in others} == {inspect.Parameter.KEYWORD_ONLY}
    assert {"coordinates", "n_jobs", "random_state"} < {p.name for p in others}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_outputs", [None, 1, 3])
def test_shapes_and_dtypes_follow_the_data(dtype, n_outputs):
    X, y = make_data(n_outputs=n_outputs)
    X = X.astype(dtype)
    X.flags.writeable = y.flags.writeable = False
    predicted = small().fit(X, y).predict(X)
    assert predicted.shape == y.shape
    assert predicted.dtype == dtype
    expected = small().fit(X.astype(float), y).predict(X.astype(float))
    assert_allclose(predicted, expected, rtol=1e-5)


def test_the_same_random_state_gives_the_same_bits():
    X, y = make_data()
    one, other, third = (small(random_state=seed).fit(X, y) for seed in (0, 0, 1))
    assert_array_equal(one.source_components_, other.source_components_)
    assert_array_equal(one.target_components_, other.target_components_)
    assert_array_equal(one.predict(X), other.predict(X))
    assert abs(one.source_components_ - third.source_components_).max() > 0


def test_a_row_has_the_same_bits_in_any_batch_and_thread():
    X, y = make_data(2000)
    model = small().fit(X, y)
    together = model.predict(X)
    alone = [model.predict(X[i : i + 1])[0] for i in range(0, 2000, 300)]
    assert_array_equal(together[::300], alone)
    threaded = small(n_jobs=3).fit(X, y)
    assert_array_equal(threaded.predict(X), together)


def test_predictions_are_those_of_fit_whatever_becomes_of_parameters():
    X, y = make_data()
    model = small().fit(X, y)
    expected = model.predict(X)
    model.set_params(alpha=9.0, intercept_scaling=0.0, coordinates=1)
    assert_array_equal(model.predict(X), expected)


def test_fewer_samples_than_atoms():
    X, y = make_data(12)
    model = small().fit(X, y)
    assert model.source_components_.shape == (12, 6)
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize("intercept_scaling", [0.0, 4.0])
def test_columns_that_are_constant(intercept_scaling):
    X, y = np.full((30, 5), 7.0), make_data(30)[1]
    model = small(intercept_scaling=intercept_scaling).fit(X, y)
    assert_allclose(model.predict(X), y.mean(), rtol=1e-4)
    X = make_data(30)[0]
    assert_allclose(small().fit(X, np.full(30, 3.0)).predict(X), 3.0)


@pytest.mark.parametrize("far", [1e9, 1e300])
def test_predictions_for_rows_far_away_are_finite(far):
    X, y = make_data()
    model = small().fit(X, y)
    assert np.isfinite(model.predict(np.array([[1, -1, 1, -1, 1.0]]) * far)).all()


def test_clone_and_pickle():
    X, y = make_data(n_outputs=2)
    model = small(coordinates=[1]).fit(X, y)
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    with pytest.raises(NotFittedError):
        copy.predict(X)
    restored = pickle.loads(pickle.dumps(model))
    assert_array_equal(restored.predict(X), model.predict(X))


@pytest.mark.parametrize(
    "parameters",
    [
        {"n_components": 0},
        {"coordinates": "world"},
        {"coordinate_weight": -1.0},
        {"intercept_scaling": -1.0},
        {"target_weight": 0.0},
        {"alpha": 0.0},
        {"refit": "yes"},
        {"max_samples": 0},
        {"max_iter": 0},
        {"n_jobs": "all"},
    ],
)
def test_parameters_out_of_range(parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"'{name}' parameter of Coupled"):
        small(**parameters).fit(*make_data())


# Volumes


@pytest.fixture(scope="module")
def cohort():
    return make_brain_cohort(3, voxel_size=4, random_state=0)


@pytest.mark.parametrize(
    ("source", "target", "target_patch_size", "n_voxels", "ahead"),
    [("T1w", "T2w", 1, 8000, 0.2), ("T2w", "T1w", 3, 3000, 0.5)],
)
def test_ahead_of_linear_regression(
    cohort, source, target, target_patch_size, n_voxels, ahead
):
    sources, targets = cohort.images[source], cohort.images[target]
    scores = [
        VolumeSynthesizer(
            estimator,
            target_patch_size=target_patch_size,
            n_voxels=n_voxels,
            random_state=0,
        )
        .fit(sources[:2], targets[:2])
        .score(sources[2:], targets[2:])
        for estimator in (CoupledSparseRegressor(256), LinearRegression())
    ]
    assert scores[0] > scores[1] + ahead  # dB


def test_model_files(cohort, tmp_path):
    sources, targets = cohort.images["T1w"], cohort.images["T2w"]
    synthesizer = VolumeSynthesizer(
        small(alpha=0.8), target_patch_size=3, n_voxels=500, random_state=0
    ).fit(sources[:2], targets[:2])
    save_model(synthesizer, tmp_path / "model.skops")
    loaded = load_model(tmp_path / "model.skops")
    for one, other in zip(
        loaded.predict(sources[2:]), synthesizer.predict(sources[2:]), strict=True
    ):
        assert_array_equal(one.dataobj, other.dataobj)

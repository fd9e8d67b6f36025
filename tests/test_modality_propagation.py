"""Modality propagation against a search that looks at every sample."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression

from sklearn_lsdn import (
    ModalityPropagationRegressor,
    VolumeSynthesizer,
    load_model,
    save_model,
)
from sklearn_lsdn.datasets import make_brain_cohort


def make_data(n=600, n_features=12, n_coordinates=3, n_outputs=2, seed=0):
    """Correlated features, places within some 100 mm, targets that need both."""
    rng = np.random.RandomState(seed)
    S = rng.normal(size=(n, n_features)) @ rng.normal(size=(n_features, n_features))
    C = rng.uniform(-50, 50, (n, n_coordinates))
    y = np.tanh(S[:, :n_outputs]) * 20 + 100 + 0.1 * C.sum(axis=1, keepdims=True)
    return np.hstack([S, C]), y


def reference(model, X, y, Q, n_coordinates, estimate=None):
    """Equations of the docstring, sample by sample, in float64."""
    p = X.shape[1] - n_coordinates
    centre, scale = X[:, :p].mean(axis=0), X[:, :p].std(axis=0)
    S, C = (X[:, :p] - centre) / scale, X[:, p:] / model.window
    T = (y - y.mean(axis=0)) / y.std(axis=0)
    out = []
    for i, row in enumerate(Q):
        space = ((C - row[p:] / model.window) ** 2).sum(axis=1)
        d = ((S - (row[:p] - centre) / scale) ** 2).mean(axis=1)
        d += model.coordinate_weight * space
        if estimate is not None:
            t = (estimate[i] - y.mean(axis=0)) / y.std(axis=0)
            d += model.target_weight * ((T - t) ** 2).mean(axis=1)
        radius = 1
        while (space <= radius**2).sum() < model.n_neighbors:
            radius *= 2
        d[space > radius**2] = np.inf
        nearest = np.argsort(d)[: model.n_neighbors]
        weights = np.ones(len(nearest))
        if model.bandwidth is not None:
            weights = np.exp(-d[nearest] / (model.bandwidth * d[nearest].mean()))
        out.append(weights @ y[nearest] / weights.sum())
    return np.array(out)


@pytest.mark.parametrize("n_features", [1, 5, 12])
@pytest.mark.parametrize("n_coordinates", [0, 1, 2, 3, 5])
def test_equals_a_search_of_all_samples(n_features, n_coordinates):
    X, y = make_data(n_features=n_features, n_coordinates=n_coordinates, n_outputs=1)
    Q, _ = make_data(100, n_features, n_coordinates, 1, seed=1)
    model = ModalityPropagationRegressor(5, coordinates=n_coordinates)
    expected = reference(model, X, y, Q, n_coordinates)
    assert_allclose(model.fit(X, y).predict(Q), expected, rtol=1e-4)


@pytest.mark.parametrize(
    "parameters",
    [
        dict(n_neighbors=1),
        dict(n_neighbors=40),
        dict(window=1.0),
        dict(window=1e4),
        dict(coordinate_weight=0.0),
        dict(coordinate_weight=10.0),
        dict(bandwidth=None),
        dict(bandwidth=2.0),
    ],
    ids=str,
)
def test_parameters_mean_what_they_say(parameters):
    X, y = make_data()
    Q, _ = make_data(80, seed=1)
    Q[0, -3:] = 1e4  # far from all samples
    model = ModalityPropagationRegressor(**parameters)
    expected = reference(model, X, y, Q, 3)
    assert_allclose(model.fit(X, y).predict(Q), expected, rtol=1e-4)


@pytest.mark.parametrize("target_weight", [0.0, 0.1, 5.0])
def test_refine_equals_a_search_of_all_samples(target_weight):
    X, y = make_data()
    Q, estimate = make_data(80, seed=1)
    model = ModalityPropagationRegressor(5, target_weight=target_weight)
    expected = reference(model, X, y, Q, 3, estimate)
    assert_allclose(model.fit(X, y).refine(Q, estimate), expected, rtol=1e-4)


def test_refine_takes_the_sample_that_fits_the_estimate():
    """Two samples that differ in nothing but their targets."""
    X = np.array([[0.0, 1.0], [0.0, 1.0], [5.0, 1.0]])
    model = ModalityPropagationRegressor(1, coordinates=1).fit(X, [10.0, 20.0, 99.0])
    assert_allclose(model.refine(X[:1], [11.0]), [10])
    assert_allclose(model.refine(X[:1], [17.0]), [20])


def test_samples_beyond_the_window_do_not_count():
    X = np.array([[0.0, 0.0], [1.0, 3.0], [0.0, 30.0]])
    model = ModalityPropagationRegressor(1, coordinates=1, window=5).fit(X, [1, 2, 3])
    assert_allclose(model.predict([[1.0, 1.0]]), [2])
    assert_allclose(model.predict([[1.0, 33.0]]), [3])


def test_an_empty_window_is_widened():
    X, y = make_data()
    model = ModalityPropagationRegressor(1, window=1e-3, coordinate_weight=0.1)
    places = X.copy()
    places[:, -3:] += 0.01
    # The place outweighs all else where the window is this small.
    assert_allclose(model.fit(X, y).predict(places), y, rtol=1e-6)


def test_a_training_sample_is_its_own_nearest():
    X, y = make_data()
    model = ModalityPropagationRegressor(1).fit(X, y)
    assert_allclose(model.predict(X), y, rtol=1e-6)


def test_fewer_samples_than_neighbors():
    X, y = make_data(4)
    model = ModalityPropagationRegressor(30, bandwidth=None).fit(X, y)
    assert model.n_samples_fit_ == 4
    assert_allclose(model.predict(X), np.tile(y.mean(axis=0), (4, 1)))


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_units_do_not_matter(unit):
    X, y = make_data()
    model = ModalityPropagationRegressor().fit(X, y)
    scales = np.r_[np.linspace(0.5, 2, 12) * unit, np.full(3, unit)]
    scaled = ModalityPropagationRegressor(window=20 * unit).fit(X * scales, y * unit)
    Q, _ = make_data(50, seed=1)
    assert_allclose(scaled.predict(Q * scales), model.predict(Q) * unit, rtol=1e-3)


@pytest.mark.parametrize("huge", [1e20, 1e200, -1e300])
@pytest.mark.parametrize("column", [0, 14])
def test_predictions_for_huge_numbers_are_means_of_targets(huge, column):
    X, y = make_data()
    model = ModalityPropagationRegressor().fit(X, y)
    Q = X[:20].copy()
    Q[:, column] = huge
    for predicted in (model.predict(Q), model.refine(Q, y[:20] * 1e100)):
        assert (predicted >= y.min(axis=0) - 1e-3).all()
        assert (predicted <= y.max(axis=0) + 1e-3).all()


def test_constant_columns_and_targets():
    X, y = make_data()
    X[:, 2] = 7.0
    X[:, -1] = 3.0
    y[:, 1] = 42.0
    assert_allclose(
        ModalityPropagationRegressor().fit(X, y).predict(X)[:, 1], 42, rtol=1e-6
    )


def test_float32_gives_float32():
    X, y = make_data()
    model = ModalityPropagationRegressor()
    single = model.fit(X.astype("f4"), y.astype("f4")).predict(X.astype("f4"))
    assert single.dtype == np.float32
    double = model.fit(X, y).predict(X)
    assert double.dtype == np.float64
    assert_allclose(single, double, rtol=1e-3)


def test_predictions_have_the_shape_of_y():
    X, y = make_data()
    for target in (y[:, 0], y[:, :1], y):
        model = ModalityPropagationRegressor().fit(X, target)
        predicted = model.predict(X)
        assert predicted.shape == target.shape
        assert model.refine(X, predicted).shape == target.shape


def test_ways_to_name_the_same_coordinates():
    X, y = make_data(n_features=3)
    frame = pd.DataFrame(X, columns=list("abcxyz"))
    expected = ModalityPropagationRegressor().fit(X, y).predict(X)
    for coordinates in (3, [3, 4, 5], [-3, -2, -1]):
        model = ModalityPropagationRegressor(coordinates=coordinates).fit(X, y)
        assert_array_equal(model.predict(X), expected)
    model = ModalityPropagationRegressor(coordinates=["x", "y", "z"]).fit(frame, y)
    assert_array_equal(model.predict(frame), expected)


def test_a_row_has_the_same_bits_alone_in_any_order_and_on_any_thread():
    X, y = make_data(5000)
    model = ModalityPropagationRegressor().fit(X, y)
    expected = model.predict(X)
    order = np.random.RandomState(0).permutation(len(X))
    assert_array_equal(model.predict(X[order]), expected[order])
    assert_array_equal(
        np.vstack([model.predict(row[None]) for row in X[:9]]), expected[:9]
    )
    assert_array_equal(model.set_params(n_jobs=3).predict(X), expected)


def test_inputs_may_be_read_only_and_stay_as_they_are():
    X, y = make_data()
    before = X.copy(), y.copy()
    X.setflags(write=False)
    y.setflags(write=False)
    model = ModalityPropagationRegressor().fit(X, y)
    model.refine(X, model.predict(X))
    assert_array_equal(X, before[0])
    assert_array_equal(y, before[1])


def test_clone_and_pickle():
    X, y = make_data()
    model = ModalityPropagationRegressor(7, window=15.0).fit(X, y)
    assert clone(model).get_params() == model.get_params()
    copy = pickle.loads(pickle.dumps(model))
    assert_array_equal(copy.predict(X), model.predict(X))


@pytest.mark.parametrize("coordinates", ["auto", 0, [0, 4]])
def test_a_model_file_holds_it(coordinates, tmp_path):
    X, y = make_data()
    model = ModalityPropagationRegressor(coordinates=coordinates).fit(X, y)
    save_model(model, tmp_path / "model.skops")
    loaded = load_model(tmp_path / "model.skops")
    assert loaded.get_params() == model.get_params()
    assert_array_equal(loaded.predict(X), model.predict(X))
    assert_array_equal(loaded.refine(X, y), model.refine(X, y))


@pytest.mark.parametrize(
    "parameters",
    [
        dict(n_neighbors=0),
        dict(window=0.0),
        dict(coordinate_weight=-1.0),
        dict(bandwidth=0.0),
        dict(n_refinements=-1),
        dict(target_weight=-0.1),
        dict(coordinates=-1),
    ],
    ids=str,
)
def test_parameters_out_of_range(parameters):
    X, y = make_data(20)
    with pytest.raises(ValueError, match=next(iter(parameters))):
        ModalityPropagationRegressor(**parameters).fit(X, y)


def test_refine_wants_an_estimate_of_each_output():
    X, y = make_data()
    model = ModalityPropagationRegressor()
    with pytest.raises(NotFittedError):
        model.refine(X, y)
    model.fit(X, y)
    for wrong in (y[:, :1], y[:5], np.hstack([y, y])):
        with pytest.raises(ValueError, match=r"estimate of 2 output.*600 row"):
            model.refine(X, wrong)
    with pytest.raises(ValueError, match="NaN"):
        model.refine(X, np.full_like(y, np.nan))


# Images


@pytest.fixture(scope="module")
def cohort():
    images = make_brain_cohort(3, voxel_size=4, random_state=0).images
    return images["T1w"], images["T2w"]


def test_on_images_it_beats_a_linear_model_and_patches_beat_voxels(cohort):
    t1w, t2w = cohort

    def score(estimator, **parameters):
        s = VolumeSynthesizer(estimator, random_state=0, **parameters)
        return s.fit(t1w[:2], t2w[:2]).score(t1w[2:], t2w[2:])

    voxels = score(ModalityPropagationRegressor(30))
    patches = score(ModalityPropagationRegressor(4), target_patch_size=3)
    assert score(LinearRegression()) + 0.5 < voxels < patches  # dB


def test_a_model_file_holds_a_synthesizer_with_it(cohort, tmp_path):
    t1w, t2w = cohort
    s = VolumeSynthesizer(
        ModalityPropagationRegressor(),
        target_patch_size=3,
        n_voxels=500,
        random_state=0,
    ).fit(t1w[:1], t2w[:1])
    save_model(s, tmp_path / "model.skops")
    loaded = load_model(tmp_path / "model.skops")
    (ours,), (theirs,) = loaded.predict(t1w[2:]), s.predict(t1w[2:])
    assert_array_equal(ours.dataobj, theirs.dataobj)


@pytest.mark.parametrize("n_neighbors", [1, 5])
def test_a_tiny_bandwidth_is_the_nearest_sample(n_neighbors):
    rng = np.random.RandomState(0)
    X = rng.randint(0, 5, (300, 6)).astype(float)
    y = rng.normal(size=300)
    model = ModalityPropagationRegressor(n_neighbors, bandwidth=1e-3, window=0.5)
    assert np.isfinite(model.fit(X, y).predict(X + 0.1)).all()


def test_infinite_distances_are_refused():
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(50, 6)), rng.normal(size=50)
    model = ModalityPropagationRegressor(3, coordinate_weight=1e30).fit(X, y)
    with pytest.raises(ValueError, match="infinitely far"):
        model.predict(X + 1e6)

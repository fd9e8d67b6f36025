"""scikit-learn's tools around the networks: each works as with its own estimators."""

import inspect
import pickle
import tracemalloc
from importlib.util import find_spec

import joblib
import numpy as np
import pandas as pd
import pytest
from numpydoc.docscrape import NumpyDocString
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import BaggingRegressor
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import permutation_importance
from sklearn.model_selection import (
    GroupKFold,
    HalvingGridSearchCV,
    cross_val_predict,
    learning_curve,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr

from sklearn_lsdn import (
    CoupledSparseRegressor,
    EnsembleRegressor,
    LSDNRegressor,
    ModalityPropagationRegressor,
    ShrinkConnect,
    VolumeSynthesizer,
)
from sklearn_lsdn.volumes import ZScoreNormalizer

NETWORK = LSDNRegressor((12, 4), max_iter=15, random_state=0)
GROUPS = np.repeat([0, 1, 2], 200)


@pytest.fixture(scope="module")
def data():
    """What follows a feature on one side of the room, and is 0 on the other."""
    X = np.random.RandomState(0).uniform(-1, 1, (600, 5)).astype(np.float32)
    return X, np.where(X[:, 4] > 0, X[:, 0], 0).astype(np.float64)


def test_bagging(data):
    X, y = data
    bagging = BaggingRegressor(NETWORK, 3, random_state=0).fit(X, y)
    each = [network.predict(X) for network in bagging.estimators_]
    np.testing.assert_allclose(bagging.predict(X), np.mean(each, axis=0), rtol=1e-6)
    assert bagging.score(X, y) > 0.3


def test_transformed_targets(data):
    X, y = data
    regressor = TransformedTargetRegressor(NETWORK, func=np.exp, inverse_func=np.log)
    assert regressor.fit(X, y).score(X, y) > 0.6


def test_a_learning_curve_by_groups(data):
    X, y = data
    sizes, train, test = learning_curve(
        NETWORK, X, y, groups=GROUPS, cv=GroupKFold(3), train_sizes=[100, 400]
    )
    assert sizes.tolist() == [100, 400]
    assert test[1].mean() > test[0].mean()
    assert train.shape == (2, 3)


def test_permutation_importance_finds_what_matters(data):
    X, y = data
    network = clone(NETWORK).fit(X, y)
    importance = permutation_importance(network, X, y, n_repeats=3, random_state=0)
    assert set(importance.importances_mean.argsort()[-2:]) == {0, 4}


def test_a_halving_search(data):
    X, y = data
    grid = {"hidden_layer_sizes": [(2,), (12, 4)], "sigma": [0.5, 1.0]}
    search = HalvingGridSearchCV(
        NETWORK, grid, resource="max_iter", max_resources=12, cv=2, random_state=0
    )
    search.fit(X, y)
    assert search.best_params_["hidden_layer_sizes"] == (12, 4)
    assert search.n_iterations_ > 1


def test_predictions_of_groups_held_back(data):
    X, y = data
    predicted = cross_val_predict(NETWORK, X, y, groups=GROUPS, cv=GroupKFold(3))
    for group in range(3):
        inside = group == GROUPS
        network = clone(NETWORK).fit(X[~inside], y[~inside])
        np.testing.assert_array_equal(predicted[inside], network.predict(X[inside]))


@pytest.mark.parametrize("parameter", ["lsdnregressor__sigma", "standardscaler"])
def test_nested_parameters_are_set(data, parameter):
    pipeline = make_pipeline(StandardScaler(), clone(NETWORK))
    value = 0.9 if "sigma" in parameter else "passthrough"
    pipeline.set_params(**{parameter: value})
    assert pipeline.get_params()[parameter] == value
    assert pipeline.fit(*data).score(*data) > 0.5


def test_steps_of_a_pipeline_are_cached(data, tmp_path):
    X, y = data
    memory = joblib.Memory(tmp_path, verbose=0)
    cached = make_pipeline(StandardScaler(), NETWORK, memory=memory).fit(X, y)
    plain = make_pipeline(StandardScaler(), clone(NETWORK)).fit(X, y)
    np.testing.assert_array_equal(cached.predict(X), plain.predict(X))
    assert list(tmp_path.rglob("output.pkl"))


@pytest.mark.parametrize("kind", ["read-only", "memory-mapped", "Fortran order"])
def test_input_is_taken_as_it_comes(data, kind, tmp_path):
    X, y = (array.copy() for array in data)
    expected = clone(NETWORK).fit(X, y).predict(X)
    if kind == "read-only":
        X.setflags(write=False)
        y.setflags(write=False)
    elif kind == "memory-mapped":
        joblib.dump((X, y), tmp_path / "data")
        X, y = joblib.load(tmp_path / "data", mmap_mode="r")
        assert isinstance(X, np.memmap)
    else:
        X = np.asfortranarray(X)
    predicted = clone(NETWORK).fit(X, y).predict(X)
    np.testing.assert_allclose(predicted, expected, rtol=1e-5, atol=1e-6)
    assert predicted.dtype == np.float32


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_prediction_makes_no_copy_of_its_input(order, dtype):
    X = np.zeros((100_000, 30), dtype=dtype, order=order)
    network = LSDNRegressor((2,), max_iter=1).fit(X[:100], X[:100, 0])
    network.predict(X[:100])  # compiles
    tracemalloc.start()
    network.predict(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < X.nbytes / 2


def test_a_fitted_network_travels_between_processes(data, elsewhere):
    X, y = data
    network = clone(NETWORK).fit(X, y)
    predicted = elsewhere(network.predict, X)
    np.testing.assert_array_equal(predicted, network.predict(X))
    again = pickle.loads(pickle.dumps(network))
    np.testing.assert_array_equal(again.predict(X), predicted)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_coordinates_by_the_names_of_a_frames_columns(data, library):
    frames = pytest.importorskip(library)
    X, y = data
    names = ["t1w", "flair", "z", "y", "x"]
    order = [4, 0, 3, 1, 2]
    columns = {names[i]: X[:, i] for i in order}
    network = clone(NETWORK).set_params(coordinates=["x", "y", "z"])
    network.fit(frames.DataFrame(columns), y)
    assert network.feature_names_in_.tolist() == [names[i] for i in order]
    other = clone(NETWORK).set_params(coordinates=[0, 2, 4]).fit(X[:, order], y)
    predicted = network.predict(frames.DataFrame(columns))
    np.testing.assert_allclose(predicted, other.predict(X[:, order]), rtol=1e-5)
    with pytest.raises(ValueError, match="'w'"):
        clone(network).set_params(coordinates=["w"]).fit(frames.DataFrame(columns), y)


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda network: ShrinkConnect(network, keep=0.5, max_iter=1, random_state=0),
        lambda network: EnsembleRegressor(network, 2, random_state=0),
        lambda network: make_pipeline(StandardScaler(), network).set_output(
            transform="pandas"
        ),
        lambda network: CoupledSparseRegressor(
            16, coordinates=network.coordinates, random_state=0
        ),
        lambda network: ModalityPropagationRegressor(coordinates=network.coordinates),
    ],
    ids=["shrink", "ensemble", "pipeline", "sparse", "propagation"],
)
def test_names_reach_what_is_within(data, library, wrap):
    frames = pytest.importorskip(library)
    X, y = data
    frame = frames.DataFrame(
        dict(zip(["z", "t1w", "y", "flair", "x"], X.T, strict=True))
    )
    named = wrap(clone(NETWORK).set_params(coordinates=["x", "y", "z"]))
    numbered = wrap(clone(NETWORK).set_params(coordinates=[4, 2, 0]))
    predicted = named.fit(frame, y).predict(frame)
    expected = numbered.fit(X, y).predict(X)
    np.testing.assert_allclose(predicted, expected, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="'w', which X does not have.*'flair'"):
        wrap(clone(NETWORK).set_params(coordinates=["w"])).fit(frame, y)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_responses_come_as_frames(data, library):
    frames = pytest.importorskip(library)
    X, y = data
    shrink = ShrinkConnect(NETWORK, keep=0.5, max_iter=1).set_output(transform=library)
    responses = shrink.fit(X, y).transform(X)
    assert isinstance(responses, frames.DataFrame)
    assert list(responses.columns) == ["shrinkconnect0", "shrinkconnect1"]
    assert list(responses.columns) == list(shrink.get_feature_names_out())


def test_frames_with_other_columns_are_refused(data):
    X, y = data
    frame = pd.DataFrame(X, columns=list("abxyz"))
    network = clone(NETWORK).fit(frame, y)
    with pytest.raises(ValueError, match="feature names"):
        network.predict(frame.rename(columns={"a": "c"}))


DIAGRAMS = [
    LSDNRegressor(),
    ShrinkConnect(LSDNRegressor()),
    ModalityPropagationRegressor(),
    VolumeSynthesizer(LSDNRegressor()),
    ZScoreNormalizer(),
]


@pytest.mark.parametrize("estimator", DIAGRAMS, ids=lambda each: type(each).__name__)
def test_notebooks_show_a_diagram(estimator):
    html = estimator_html_repr(estimator)
    assert type(estimator).__name__ in html
    assert ("LSDNRegressor" in html) == ("LSDNRegressor" in repr(estimator))


@pytest.mark.parametrize(
    "estimator",
    [
        LSDNRegressor((3,), max_iter=2, early_stopping=True),
        EnsembleRegressor(LSDNRegressor((3,), max_iter=2), 2),
        ShrinkConnect(LSDNRegressor((3,), max_iter=2), keep=0.5),
        ModalityPropagationRegressor(),
        CoupledSparseRegressor(),
    ],
    ids=lambda each: type(each).__name__,
)
def test_what_fit_leaves_is_documented(data, estimator):
    X, y = data
    fitted = clone(estimator).fit(pd.DataFrame(X[:100], columns=[*"abxyz"]), y[:100])
    left = {name for name in dir(fitted) if name[0] != "_" and name[-1] == "_"}
    sections = NumpyDocString(inspect.getdoc(type(fitted)))
    documented = {each.name for each in sections["Attributes"]}
    assert "feature_names_in_" in left <= {*", ".join(documented).split(", ")}


def test_releases_without_callbacks_refuse_them_in_words():
    if find_spec("sklearn.callback"):
        pytest.skip("this scikit-learn has callbacks")
    network = LSDNRegressor()
    assert network.set_callbacks() is network
    with pytest.raises(ImportError, match="need scikit-learn 1.9: pip install"):
        network.set_callbacks(print)

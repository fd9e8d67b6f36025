"""ONNX models: what a runtime computes from them is what `predict` does."""

import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.ensemble import VotingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_lsdn import (
    CDNClassifier,
    CDNRegressor,
    EnsembleRegressor,
    LSDNClassifier,
    LSDNRegressor,
    ShrinkConnect,
    VDNClassifier,
    VDNRegressor,
    VolumeSynthesizer,
    register_onnx_converters,
    to_onnx,
)

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

SETTINGS = dict(
    max_iter=30, learning_rate_init=0.01, learning_rate_decay=0.95, random_state=0
)


def make_data(n_outputs=1, offset=0.0, scale=1.0, seed=0):
    """Four features, the units of which are asked for, and three coordinates."""
    rng = np.random.RandomState(seed)
    unit = rng.uniform(-1, 1, (3000, 7))
    targets = [unit[:, i] * (0.5 + unit[:, 4 + i % 3]) for i in range(n_outputs)]
    X = (offset + scale * unit).astype(np.float32)
    return X, np.squeeze(np.transpose(targets))


def run(model, X):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(["y"], {"X": X})[0]


def assert_same(estimator, X, y):
    """The runtime gives what `predict` does, to 1e-5 of the target's spread."""
    estimator.fit(X, y)
    assert estimator.score(X, y) > 0.5  # the parts of the network matter
    computed = run(to_onnx(estimator), X)
    assert computed.dtype == np.float32
    assert computed.shape == (len(X), 1 if y.ndim == 1 else y.shape[1])
    expected = estimator.predict(X).reshape(computed.shape)
    assert_allclose(computed, expected, rtol=0, atol=1e-5 * y.std())


@pytest.mark.parametrize("network", [LSDNRegressor, CDNRegressor, VDNRegressor])
@pytest.mark.parametrize("hidden", [(20,), (30, 7), (20, 10, 5)])
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_runtime_computes_what_predict_does(network, hidden, n_outputs):
    X, y = make_data(n_outputs)
    if network is VDNRegressor:  # which sees nothing of places
        y = X[:, :n_outputs].squeeze() ** 2
    assert_same(network(hidden, **SETTINGS), X, y)


@pytest.mark.parametrize(
    "coordinates", [1, 2, 6, [0, 5, 2], pytest.param(0, id="none at all")]
)
def test_coordinates_anywhere(coordinates):
    X, _ = make_data()
    y = X[:, 0] * (0.5 + X[:, 5]) + X[:, 6]
    network = LSDNRegressor((30, 7), coordinates=coordinates, **SETTINGS)
    assert_same(network, X, y)


@pytest.mark.parametrize(
    ("offset", "scale"),
    [(1e6, 100), (-3e4, 1), (2, 1e-4), (0, 1e-30), (1e30, 1e29), (1e7, 1e3)],
)
def test_units_of_features_do_not_matter(offset, scale):
    X, y = make_data(offset=offset, scale=scale)
    assert_same(LSDNRegressor((30, 7), **SETTINGS), X, y)


@pytest.mark.parametrize(("offset", "scale"), [(100, 50), (0, 1e-20), (-1e25, 1e25)])
def test_units_of_targets_do_not_matter(offset, scale):
    X, y = make_data(2)
    assert_same(LSDNRegressor((30, 7), **SETTINGS), X, offset + scale * y)


def test_narrow_spatial_responses_far_from_the_origin():
    rng = np.random.RandomState(0)
    X = rng.uniform(-1, 1, (2000, 2)).astype(np.float32)
    X[:, 1] = 5000 + 90 * X[:, 1]
    y = X[:, 0] * np.sin(X[:, 1] / 20)
    network = LSDNRegressor((100, 10), coordinates=1, sigma=0.05, **SETTINGS)
    assert_same(network, X, y)


@pytest.mark.parametrize("value", [1e9, -1e20, 3e38])
def test_extreme_samples_saturate_as_in_predict(value):
    X, y = make_data()
    network = LSDNRegressor((30, 7), **SETTINGS).fit(X, y)
    extreme = np.tile(X[:1], (7, 1))
    np.fill_diagonal(extreme, value)
    computed = run(to_onnx(network), extreme)[:, 0]
    assert_allclose(computed, network.predict(extreme), rtol=0, atol=1e-5 * y.std())


def test_constant_target():
    X, y = make_data()
    network = LSDNRegressor((5,), **SETTINGS).fit(X, np.full_like(y, 0.1))
    assert_array_equal(run(to_onnx(network), X), np.full((len(X), 1), np.float32(0.1)))


def test_shrink_connect_writes_the_smaller_network():
    X, y = make_data()
    shrunk = ShrinkConnect(LSDNRegressor((40, 10), **SETTINGS), keep=0.5)
    assert_same(shrunk, X, y)
    widths = {c.dims[0] for c in to_onnx(shrunk).graph.initializer if len(c.dims) == 1}
    assert {20, 5} <= widths
    assert not {40, 10} & widths


LABELS = [
    np.array([0, 1]),
    np.array([False, True]),
    np.array([7, -3, 2**40]),
    np.array(["white", "grey", "lesion"]),
    np.array(["b", "a"], dtype=object),
]


@pytest.mark.parametrize("network", [LSDNClassifier, CDNClassifier, VDNClassifier])
@pytest.mark.parametrize("labels", LABELS, ids=str)
def test_classifiers_give_labels_and_probabilities(network, labels):
    X, _ = make_data()
    y = labels[np.digitize(X[:, 0], [-0.3, 0.3][: len(labels) - 1])]
    model = network((20, 7), **SETTINGS).fit(X, y)
    session = onnxruntime.InferenceSession(to_onnx(model).SerializeToString())
    label, p = session.run(["label", "probabilities"], {"X": X})
    assert p.dtype == np.float32
    assert_allclose(p, model.predict_proba(X), rtol=0, atol=2e-5)
    sure = np.sort(p, axis=1)[:, -1] - np.sort(p, axis=1)[:, -2] > 1e-4
    assert sure.mean() > 0.99
    assert_array_equal(label[sure], model.predict(X)[sure])
    assert label.dtype == (object if labels.dtype.kind in "OU" else np.int64)


def test_labels_that_onnx_has_not():
    X, y = make_data()
    model = LSDNClassifier((5,), **SETTINGS).fit(X, np.where(y > 0, 1.0, 2.0))
    with pytest.raises(ValueError, match="whole numbers or strings"):
        to_onnx(model)


def test_a_shrunken_classifier_is_one():
    X, y = make_data()
    shrunk = ShrinkConnect(LSDNClassifier((20, 6), **SETTINGS), keep=0.5)
    shrunk.fit(X, y > 0)
    session = onnxruntime.InferenceSession(to_onnx(shrunk).SerializeToString())
    p = session.run(["probabilities"], {"X": X})[0]
    assert_allclose(p, shrunk.predict_proba(X), rtol=0, atol=2e-5)


def test_a_parameter_set_after_training_does_not_count():
    X, y = make_data()
    network = LSDNRegressor((30, 7), **SETTINGS).fit(X, y)
    before = run(to_onnx(network), X)
    network.set_params(sigma=3.0, hidden_layer_sizes=(2,))
    assert_array_equal(run(to_onnx(network), X), before)


def test_model_is_valid_and_for_runtimes_of_some_years_ago():
    X, y = make_data()
    model = to_onnx(LSDNRegressor((5,), **SETTINGS).fit(X, y))
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version <= 8
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 17)]
    kinds = [each.data_type for each in model.graph.initializer]
    assert onnx.TensorProto.DOUBLE not in kinds
    (column,) = model.graph.input
    assert column.type.tensor_type.shape.dim[1].dim_value == 7
    assert run(model, X[:0]).shape == (0, 1)
    assert run(model, X[:1]).shape == (1, 1)


@pytest.mark.parametrize("estimator", [LSDNRegressor(), ShrinkConnect()])
def test_unfitted(estimator):
    with pytest.raises(NotFittedError, match=type(estimator).__name__):
        to_onnx(estimator)


@pytest.mark.parametrize("estimator", [LinearRegression(), None, LSDNRegressor])
def test_what_is_no_network(estimator):
    with pytest.raises(TypeError, match="to_onnx writes LSDNRegressor"):
        to_onnx(estimator)


@pytest.mark.parametrize(
    ("columns", "of_target", "named"),
    [(1e-50, 1, "of X in training"), (1e50, 1, "of X in"), (1, 1e-45, "of y in")],
)
def test_scales_that_float32_lacks(columns, of_target, named):
    rng = np.random.RandomState(0)
    X = rng.uniform(-1, 1, (50, 4))
    network = LSDNRegressor((3,), max_iter=1, random_state=0)
    network.fit(X * columns, X[:, 0] * of_target)
    with pytest.raises(ValueError, match=f"{named}.*other units"):
        to_onnx(network)


# Real patches


@pytest.fixture(scope="module")
def real_voxels(open_ms):
    """Rows of two subjects to learn from, and of a third, towards two contrasts."""

    def scans(contrast):
        file = "{0}/anat/{0}_space-MNI152_desc-preproc_{1}.nii.gz"
        return [
            open_ms / file.format(s, contrast) for s in ("sub-07", "sub-19", "sub-26")
        ]

    t1w = scans("T1w")
    both = [list(pair) for pair in zip(scans("T2w"), scans("FLAIR"), strict=True)]
    sampler = VolumeSynthesizer(LinearRegression(), n_voxels=1500, random_state=0)
    sampler.fit(t1w[:2], both[:2])
    return (
        *sampler.sample_voxels(t1w[:2], both[:2], random_state=0),
        sampler.sample_voxels(t1w[2:], both[2:], random_state=0)[0],
    )


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize(
    "network",
    [
        LSDNRegressor((100, 10), random_state=0),
        CDNRegressor((100, 10), random_state=0),
        VDNRegressor((100, 10), random_state=0),
        ShrinkConnect(LSDNRegressor((100, 10), random_state=0), keep=0.25),
    ],
    ids=lambda network: type(network).__name__,
)
def test_real_patches(real_voxels, skl2onnx, network, n_outputs):
    X, y, unseen = real_voxels
    y = y[:, :n_outputs].squeeze()
    network = clone(network).fit(X, y)
    pipeline = make_pipeline(StandardScaler(), clone(network)).fit(X, y)
    for estimator, model in [
        (network, to_onnx(network)),
        (pipeline, skl2onnx.to_onnx(pipeline, X[:1])),
    ]:
        session = onnxruntime.InferenceSession(model.SerializeToString())
        (computed,) = session.run(None, {"X": unseen})
        expected = estimator.predict(unseen).reshape(computed.shape)
        assert expected.std() > 0.5  # of the normalised intensities
        assert_allclose(computed, expected, rtol=0, atol=1e-5)


# Through skl2onnx


@pytest.fixture
def skl2onnx():
    package = pytest.importorskip("skl2onnx")
    register_onnx_converters()
    return package


def assert_converted(model, estimator, columns, X, y):
    """The runtime gives what `predict` does, of input in one column or several."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (computed,) = session.run(None, columns)
    expected = estimator.predict(X).reshape(computed.shape)
    assert computed.shape == (len(X), 1 if y.ndim == 1 else y.shape[1])
    assert_allclose(computed, expected, rtol=0, atol=1e-5 * y.std())


@pytest.mark.parametrize("network", [LSDNRegressor, CDNRegressor, VDNRegressor])
@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_pipeline_is_converted(skl2onnx, network, n_outputs, dtype):
    X, y = make_data(n_outputs, offset=100, scale=50)
    if network is VDNRegressor:
        y = X[:, :n_outputs].squeeze() ** 2
    X = X.astype(dtype)
    pipeline = make_pipeline(StandardScaler(), network((30, 7), **SETTINGS)).fit(X, y)
    assert pipeline.score(X, y) > 0.5
    model = skl2onnx.to_onnx(pipeline, X[:1])
    assert_converted(model, pipeline, {"X": X}, X, y)


@pytest.mark.parametrize("scaled", [False, True])
def test_shrink_connect_is_converted(skl2onnx, scaled):
    X, y = make_data()
    shrink = ShrinkConnect(LSDNRegressor((40, 10), **SETTINGS), keep=0.5)
    estimator = make_pipeline(StandardScaler(), shrink) if scaled else shrink
    estimator.fit(X, y)
    assert estimator.score(X, y) > 0.5
    model = skl2onnx.to_onnx(estimator, X[:1])
    assert_converted(model, estimator, {"X": X}, X, y)


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: FeatureUnion([("s", s)])])
def test_shrink_connect_that_transforms_is_refused(skl2onnx, wrap):
    X, y = make_data()
    shrink = ShrinkConnect(LSDNRegressor((8, 4), max_iter=1), keep=0.5, max_iter=1)
    pipeline = make_pipeline(wrap(shrink), LinearRegression()).fit(X, y)
    with pytest.raises(NotImplementedError, match="ShrinkConnect transforms"):
        skl2onnx.to_onnx(pipeline, X[:1])


def test_networks_side_by_side_are_converted(skl2onnx):
    X, y = make_data()
    pair = [(str(i), LSDNRegressor((8,), max_iter=3, random_state=i)) for i in (0, 1)]
    pair.append(("shrunk", ShrinkConnect(pair[0][1], keep=0.5, max_iter=1)))
    both = VotingRegressor(pair).fit(X, y)
    assert_converted(skl2onnx.to_onnx(both, X[:1]), both, {"X": X}, X, y)


@pytest.mark.parametrize("labels", LABELS, ids=str)
def test_a_pipeline_that_classifies_is_converted(skl2onnx, labels):
    X, _ = make_data(offset=100, scale=50)
    y = labels[np.digitize(X[:, 0], [85, 115][: len(labels) - 1])]
    pipeline = make_pipeline(StandardScaler(), LSDNClassifier((20, 7), **SETTINGS))
    pipeline.fit(X, y)
    model = skl2onnx.to_onnx(pipeline, X[:1], options={"zipmap": False})
    session = onnxruntime.InferenceSession(model.SerializeToString())
    label, p = session.run(None, {"X": X})
    assert_allclose(p, pipeline.predict_proba(X), rtol=0, atol=2e-5)
    assert (label == pipeline.predict(X)).mean() > 0.99


def test_a_search_and_dictionaries_of_skl2onnx(skl2onnx):
    X, y = make_data()
    network = LSDNClassifier((5,), max_iter=2, random_state=0)
    search = GridSearchCV(network, {"alpha": [0.0]}, cv=2)
    search.fit(X, np.where(y > 0, "yes", "no"))
    model = skl2onnx.to_onnx(search, X[:1])
    session = onnxruntime.InferenceSession(model.SerializeToString())
    _, p = session.run(None, {"X": X[:3]})
    expected = search.predict_proba(X[:3])[:, 1]
    assert_allclose([each["yes"] for each in p], expected, rtol=0, atol=2e-5)


def test_skl2onnx_converts_no_shrunken_classifier(skl2onnx):
    X, y = make_data()
    shrunk = ShrinkConnect(LSDNClassifier((8, 4), max_iter=1), keep=0.5, max_iter=1)
    with pytest.raises(NotImplementedError, match="Give it the estimator_"):
        skl2onnx.to_onnx(shrunk.fit(X, y > 0), X[:1])


def test_an_ensemble_is_its_members_averaged(skl2onnx):
    X, y = make_data()
    network = LSDNRegressor((20, 5), **SETTINGS)
    ensemble = EnsembleRegressor(network, 2, random_state=0).fit(X, y)
    each = [run(to_onnx(member), X)[:, 0] for member in ensemble.estimators_]
    assert_allclose(
        np.mean(each, axis=0), ensemble.predict(X), rtol=0, atol=1e-5 * y.std()
    )
    with pytest.raises(TypeError, match="not EnsembleRegressor"):
        to_onnx(ensemble)


def test_columns_may_be_inputs_of_their_own(skl2onnx):
    X, y = make_data()
    network = LSDNRegressor((30, 7), **SETTINGS).fit(X, y)
    kind = skl2onnx.common.data_types.FloatTensorType([None, 1])
    model = skl2onnx.convert_sklearn(
        network, initial_types=[(name, kind) for name in "abcdefg"]
    )
    columns = {name: X[:, [i]] for i, name in enumerate("abcdefg")}
    assert_converted(model, network, columns, X, y)


def test_without_skl2onnx(monkeypatch):
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(ImportError, match=r"sklearn_lsdn\[onnx\]"):
        register_onnx_converters()


def test_without_onnx(monkeypatch):
    X, y = make_data()
    network = LSDNRegressor((3,), **SETTINGS).fit(X, y)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"sklearn_lsdn\[onnx\]"):
        to_onnx(network)

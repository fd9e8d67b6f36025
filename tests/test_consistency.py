"""Model files whose parts do not fit together: refused when they are loaded."""

import copy
import zipfile
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from small_volumes import framed

from sklearn_lsdn import (
    CDNRegressor,
    CoupledSparseRegressor,
    EnsembleRegressor,
    LSDNRegressor,
    ModalityPropagationRegressor,
    ShrinkConnect,
    VDNRegressor,
    VolumeSynthesizer,
    load_model,
    save_model,
)
from sklearn_lsdn._persistence.parts import check_parts

SHAPE = (7, 8, 6)
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
NETWORK = LSDNRegressor((6, 4), max_iter=1, random_state=0)


def _samples():
    X = np.random.RandomState(0).uniform(-1, 1, (200, 6))
    return X, np.column_stack([X[:, 0] * X[:, 5], X[:, 1] ** 2])


def _images():
    data = np.random.RandomState(0).uniform(1, 2, SHAPE)
    scans = framed(data), framed(3 - data)
    return [[nib.Nifti1Image(each, AFFINE)] for each in scans]


def _synthesizer(estimator=NETWORK, **parameters):
    return VolumeSynthesizer(estimator, n_voxels=200, random_state=0, **parameters)


@pytest.fixture(scope="module")
def mask(tmp_path_factory):
    path = tmp_path_factory.mktemp("mask") / "mask.nii"
    nib.save(nib.Nifti1Image(framed(np.ones(SHAPE, np.uint8)), AFFINE), path)
    return str(path)


@pytest.fixture(scope="module")
def models(mask):
    X, y = _samples()
    partly = LSDNRegressor((6, 4), random_state=0).partial_fit(X, y)
    on_arrays = {
        "lsdn": NETWORK,
        "cdn": CDNRegressor((6, 4), max_iter=1),
        "vdn": VDNRegressor((6,), max_iter=1),
        "ensemble": EnsembleRegressor(NETWORK, 2),
        "shrunken": ShrinkConnect(NETWORK, keep=0.5, max_iter=1),
        "propagation": ModalityPropagationRegressor(),
        "sparse": CoupledSparseRegressor(8),
        "pipeline": make_pipeline(LinearRegression()),
    }
    trees = HistGradientBoostingRegressor(max_iter=2, min_samples_leaf=5)
    on_images = {
        "synthesizer": _synthesizer(mask_img=mask),
        "nyul": _synthesizer(normalization="nyul"),
        "ensembles": _synthesizer(n_estimators=2),
        "shrinking": _synthesizer(ShrinkConnect(NETWORK, keep=0.5, max_iter=1)),
        "trees": _synthesizer(trees),
        "forest": _synthesizer(RandomForestRegressor(3, max_depth=5)),
        "extra": _synthesizer(ExtraTreesRegressor(2, max_depth=5)),
        "boosted": _synthesizer(GradientBoostingRegressor(n_estimators=3)),
        "linear": _synthesizer(LinearRegression()),
    }
    fitted = {name: model.fit(X, y) for name, model in on_arrays.items()}
    fitted |= {name: model.fit(*_images()) for name, model in on_images.items()}
    return fitted | {"partly": partly}


NAMES = ["lsdn", "cdn", "vdn", "partly", "ensemble", "shrunken", "propagation"]
NAMES += ["sparse", "pipeline", "synthesizer", "nyul", "ensembles", "shrinking"]
NAMES += ["trees", "forest", "extra", "boosted", "linear"]


@pytest.mark.parametrize("name", NAMES)
def test_what_fit_has_made_is_consistent(models, name, tmp_path):
    save_model(models[name], tmp_path / "model.skops")
    loaded = load_model(tmp_path / "model.skops")
    if hasattr(loaded, "target_normalizers_"):
        given = expected = _images()[0]
        expected, predicted = (
            model.predict(given)[0].get_fdata() for model in (models[name], loaded)
        )
    else:
        X = _samples()[0]
        expected, predicted = models[name].predict(X), loaded.predict(X)
    np.testing.assert_array_equal(predicted, expected)


def _set(path, change):
    """Change what lies at a path of attributes, keys and indices."""

    def put(holder, way):
        if not way:
            return change(copy.deepcopy(holder))
        name, *rest = way
        if isinstance(holder, list | tuple):
            values = list(holder)
            values[int(name)] = put(values[int(name)], rest)
            return type(holder)(values)
        content = holder if isinstance(holder, dict) else vars(holder)
        content[name] = put(content[name], rest)  # also of what is frozen
        return holder

    return lambda model: put(model, path.split("/"))


def _forget(path):
    *way, last = path.split("/")

    def tamper(model):
        for name in way:
            model = getattr(model, name)
        del vars(model)[last]

    return tamper


def _prepare(**parts):
    """Put something else in the place of a preparation's parts."""
    return _set("preparation_", lambda preparation: replace(preparation, **parts))


def _window(**parts):
    def change(preparation):
        return replace(preparation, window=replace(preparation.window, **parts))

    return _set("preparation_", change)


def _shorter(value):
    return value[:-1]


def _with_nan(value):
    value.flat[0] = np.nan
    return value


def _to(value):
    return lambda _: value


def _up(value):
    return value + 10_000


DAMAGES = {
    "filters of another shape": ("lsdn", _set("network_/filters/1", _shorter)),
    "wide filters": ("lsdn", _set("network_/filters/0", lambda F: np.hstack([F, F]))),
    "one row for all": ("lsdn", _set("network_/filters/0", lambda F: F[:1])),
    "NaN in filters": ("lsdn", _set("network_/filters/0", _with_nan)),
    "NaN in biases": ("cdn", _set("network_/biases/1", _with_nan)),
    "biases of another shape": ("vdn", _set("network_/biases/0", _shorter)),
    "no biases": ("lsdn", _set("network_/biases", _to(()))),
    "latent coordinates": ("lsdn", _set("network_/latent_coordinates", _shorter)),
    "filters as a list": ("lsdn", _set("network_/filters/0", lambda F: F.tolist())),
    "filters as text": ("lsdn", _set("network_/filters/0", lambda F: F.astype(str))),
    "float32": ("lsdn", _set("network_/filters/0", lambda F: F.astype(np.float32))),
    "no filters": ("lsdn", _forget("network_/filters")),
    "no scaling": ("lsdn", _forget("network_/scaling")),
    "no columns": ("lsdn", _forget("network_/feature_columns")),
    "columns beyond": (
        "lsdn",
        _set("network_/feature_columns", lambda c: (*c[:-1], 999)),
    ),
    "columns before": (
        "lsdn",
        _set("network_/coordinate_columns", lambda c: (-7, *c[1:])),
    ),
    "columns twice": (
        "lsdn",
        _set("network_/coordinate_columns", lambda c: (0, *c[1:])),
    ),
    "columns of text": (
        "lsdn",
        _set("network_/feature_columns", lambda c: ("0", *c[1:])),
    ),
    "whitening": ("lsdn", _set("network_/scaling/whitening", _shorter)),
    "no scale": ("lsdn", _forget("network_/scaling/feature_scale")),
    "scale of targets": ("lsdn", _set("network_/scaling/target_span", _with_nan)),
    "features": ("lsdn", _set("n_features_in_", _to(2))),
    "sigma": ("lsdn", _set("network_/sigma", _to(0.0))),
    "flat targets": ("lsdn", _set("_flat_target", _to(True))),
    "a parameter": ("lsdn", _set("n_jobs", _to("all"))),
    "moments": ("partly", _set("_moments/first_moment", _shorter)),
    "steps": ("partly", _set("_moments/n_steps", _to("1"))),
    "a member": ("ensemble", _set("estimators_/1/network_/filters/0", _shorter)),
    "no members": ("ensemble", _set("estimators_", _to([]))),
    "another member": ("ensemble", _set("noise_estimator_", _to(LinearRegression()))),
    "scale of noise": ("ensemble", _set("noise_scale_", _shorter)),
    "support": ("shrunken", _set("support_", _to([]))),
    "shrunken network": ("shrunken", _set("estimator_/network_/filters/0", _shorter)),
    "another network": ("shrunken", _set("estimator_", _to(LinearRegression()))),
    "grid": ("propagation", _set("_samples/starts", _up)),
    "grid shape": ("propagation", _set("_samples/shape", _up)),
    "grid order": ("propagation", _set("_samples/starts", lambda s: s[::-1].copy())),
    "grid side": ("propagation", _set("_samples/side", lambda s: s * 1e-38)),
    "smoothing": ("synthesizer", _set("smoothing", _to(2**40))),
    "samples": ("propagation", _set("_samples/columns", _shorter)),
    "targets": ("propagation", _set("_targets", _shorter)),
    "axes": ("propagation", _set("_axes", _shorter)),
    "neighbours": ("propagation", _set("n_neighbors", _to(-1))),
    "flatness": ("propagation", _forget("_flat_target")),
    "atoms": ("sparse", _set("target_components_", _shorter)),
    "no atoms": ("sparse", _set("source_components_", lambda a: a[:0])),
    "coding": ("sparse", _set("_alpha", _to(0.0))),
    "network in pipeline": (
        "synthesizer",
        _set("estimator_/network_/filters/0", _shorter),
    ),
    "patch": ("synthesizer", _window(patch_size=1)),
    "larger patch": ("synthesizer", _window(patch_size=5)),
    "even patch": ("synthesizer", _window(patch_size=2)),
    "coarse patch": ("synthesizer", _window(scales=(10**6,))),
    "target patch": ("synthesizer", _window(target_patch_size=3)),
    "places": ("synthesizer", _window(places=None)),
    "places on the moon": ("synthesizer", _window(places="moon")),
    "patch of another": ("linear", _window(patch_size=1)),
    "no normalizers": ("synthesizer", _prepare(target_normalizers=[])),
    "normalizer": (
        "synthesizer",
        _set("preparation_/source_normalizers/0/typical_", _with_nan),
    ),
    "landmarks": (
        "nyul",
        _set("preparation_/target_normalizers/0/landmarks_", _shorter),
    ),
    "not a normalizer": (
        "synthesizer",
        _set("preparation_/source_normalizers/0", _to(LinearRegression())),
    ),
    "not fitted": ("synthesizer", _set("estimator_", _to(LSDNRegressor()))),
    "size of voxels": ("synthesizer", _prepare(voxel_size=np.ones(2))),
    "kind of mask": (
        "synthesizer",
        _set("preparation_/masker/strategy", _to("skull")),
    ),
    "mask": ("synthesizer", _set("preparation_/masker/data", lambda d: d[0])),
    "affine of mask": (
        "synthesizer",
        _set("preparation_/masker/affine", np.zeros_like),
    ),
    "ensemble of images": ("ensembles", _set("estimator_/estimators_/0", _to(NETWORK))),
    "shrunken of images": ("shrinking", _set("estimator_/support_", _shorter)),
}


def _first_tree(change):
    def tamper(model):
        tree = model.estimator_._predictors[0][0]
        tree.nodes = tree.nodes.copy()
        change(tree.nodes)

    return tamper


def _loop(nodes):
    nodes["left"][0] = 0


def _beyond(nodes):
    nodes["right"][0] = 10_000


def _feature_beyond(nodes):
    nodes["feature_idx"][0] = 10_000


def _category_beyond(model):
    bins = model.estimator_._bin_mapper
    bins.is_categorical_ = np.ones_like(bins.is_categorical_)


DAMAGES |= {
    "categories": ("trees", _category_beyond),
    "tree that loops": ("trees", _first_tree(_loop)),
    "tree without end": ("trees", _first_tree(_beyond)),
    "tree of other features": ("trees", _first_tree(_feature_beyond)),
}


def _in_tree(name, change):
    """Change an array of the first tree, which is one with the tree's own memory."""

    def tamper(model):
        trees = np.ravel(model.estimator_.estimators_)
        array = getattr(trees[0].tree_, name)
        array[...] = change(array.copy())

    return tamper


def _at_root(value):
    def change(array):
        array[0] = value
        return array

    return change


def _leaf_with_child(left):
    left[(left == -1).argmax()] = len(left) - 1
    return left


def _half_a_leaf(right):
    right[(right == -1).argmax()] = 0
    return right


def _other_features(model):
    model.estimator_.estimators_[0].n_features_in_ += 1


def _two_columns(model):
    model.estimator_.estimators_ = np.repeat(model.estimator_.estimators_, 2, axis=1)


for kind in "forest", "extra", "boosted":
    DAMAGES |= {
        f"{kind}: {what}": (kind, tamper)
        for what, tamper in {
            "loop": _in_tree("children_left", _at_root(0)),
            "child beyond": _in_tree("children_left", _at_root(10**6)),
            "child before": _in_tree("children_right", _at_root(-7)),
            "the same child": _in_tree("children_right", _at_root(1)),
            "root is half a leaf": _in_tree("children_left", _at_root(-1)),
            "leaf with a child": _in_tree("children_left", _leaf_with_child),
            "half a leaf": _in_tree("children_right", _half_a_leaf),
            "feature beyond": _in_tree("feature", _at_root(10**6)),
            "feature before": _in_tree("feature", _at_root(-2)),
            "threshold": _in_tree("threshold", _at_root(np.nan)),
            "samples": _in_tree("n_node_samples", _at_root(-1)),
            "weights": _in_tree("weighted_n_node_samples", _at_root(np.nan)),
            "values": _in_tree("value", _at_root(np.inf)),
            "depth": (
                lambda model: setattr(
                    np.ravel(model.estimator_.estimators_)[0].tree_, "max_depth", 0
                )
            ),
        }.items()
    }
DAMAGES |= {
    "tree of fewer features": ("forest", _other_features),
    "trees with nowhere to add": ("boosted", _two_columns),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_does_not_fit_together_is_refused(models, damage, tmp_path):
    name, tamper = DAMAGES[damage]
    model = copy.deepcopy(models[name])
    tamper(model)
    save_model(model, tmp_path / "bad.skops")
    with pytest.raises(ValueError, match=r"bad\.skops is .*damaged.+"):
        load_model(tmp_path / "bad.skops")


def test_an_archive_that_would_fill_the_memory_is_refused(models, tmp_path):
    path = tmp_path / "bomb.skops"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b" " * 10**7)
    with pytest.raises(ValueError, match="claim to hold 10000000"):
        load_model(path)


def test_lists_within_lists_are_walked_once(models):
    """What a small file with references can make: 10^20 objects unfolded."""
    lists = [0]
    for _ in range(20):
        lists = [lists] * 10
    model = copy.copy(models["lsdn"])
    model.laughs_ = lists
    check_parts(model)

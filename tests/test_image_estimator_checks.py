"""What scikit-learn's check_estimator asks of estimators, for those that take images.

Each check has the name of scikit-learn's where there is one.
"""

import copy
import inspect
import pickle

import joblib
import nibabel as nib
import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr, get_tags

from sklearn_lsdn import (
    CoupledSparseRegressor,
    LSDNRegressor,
    ModalityPropagationRegressor,
    ShrinkConnect,
    VDNRegressor,
    VolumeSynthesizer,
)
from sklearn_lsdn.datasets import make_brain_cohort
from sklearn_lsdn.volumes import (
    NyulNormalizer,
    PeakNormalizer,
    PercentileNormalizer,
    ZScoreNormalizer,
)

NETWORK = LSDNRegressor((8, 4), max_iter=2)
FEW = dict(n_voxels=200, random_state=0)
SYNTHESIZERS = {
    "network": VolumeSynthesizer(NETWORK, **FEW),
    "vanilla": VolumeSynthesizer(
        VDNRegressor((5,), max_iter=2), patch_scales=(1,), places=None, **FEW
    ),
    "stops early": VolumeSynthesizer(
        LSDNRegressor((8,), max_iter=3, early_stopping=True), **FEW
    ),
    "shrunken": VolumeSynthesizer(ShrinkConnect(NETWORK, keep=0.5, max_iter=1), **FEW),
    "ensemble": VolumeSynthesizer(NETWORK, n_estimators=2, **FEW),
    "linear": VolumeSynthesizer(LinearRegression(), normalization="nyul", **FEW),
    "pipeline": VolumeSynthesizer(make_pipeline(StandardScaler(), NETWORK), **FEW),
    "propagation": VolumeSynthesizer(
        ModalityPropagationRegressor(), target_patch_size=3, **FEW
    ),
    "sparse": VolumeSynthesizer(CoupledSparseRegressor(16), **FEW),
}
NORMALIZERS = [
    NyulNormalizer(),
    PeakNormalizer(),
    PercentileNormalizer(),
    ZScoreNormalizer(),
]


@pytest.fixture(scope="module")
def images():
    cohort = make_brain_cohort(3, voxel_size=8, random_state=0)
    return cohort.images["T1w"], cohort.images["T2w"]


@pytest.fixture(params=SYNTHESIZERS, scope="module")
def name(request):
    return request.param


@pytest.fixture
def synthesizer(name):
    return clone(SYNTHESIZERS[name])


@pytest.fixture(scope="module")
def fitted(name, images):
    """The same, fitted: not to be changed."""
    return clone(SYNTHESIZERS[name]).fit(*images)


@pytest.fixture(scope="module")
def expected(fitted, images):
    """What it predicts."""
    return values(fitted.predict(images[0]))


def values(images):
    """Voxels of images in one array."""
    return np.array([np.asanyarray(image.dataobj) for image in images])


def fingerprint(images):
    return joblib.hash(
        [(values([i]), i.affine, bytes(i.header._structarr)) for i in images]
    )


@pytest.mark.parametrize("cls", [VolumeSynthesizer, *map(type, NORMALIZERS)])
def test_no_attributes_set_in_init(cls):
    """Nor are parameters changed, checked or forgotten."""
    parameters = inspect.signature(cls).parameters
    marks = {name: object() for name in parameters}
    estimator = cls(**marks)
    assert vars(estimator) == marks
    assert cls().get_params(deep=False).keys() == parameters.keys()


def test_get_params_invariance(synthesizer):
    shallow, deep = synthesizer.get_params(deep=False), synthesizer.get_params()
    assert shallow.items() <= deep.items()
    assert any(name.startswith("estimator__") for name in deep)


def test_set_params(synthesizer):
    assert synthesizer.set_params(n_voxels=7) is synthesizer
    assert synthesizer.n_voxels == 7
    with pytest.raises(ValueError, match="Invalid parameter 'nonsense'"):
        synthesizer.set_params(nonsense=1)
    with pytest.raises(ValueError, match="Invalid parameter 'nonsense'"):
        synthesizer.set_params(estimator__nonsense=1)


def test_set_params_of_what_is_nested():
    synthesizer = clone(SYNTHESIZERS["pipeline"])
    synthesizer.set_params(estimator__lsdnregressor__sigma=0.9)
    assert synthesizer.estimator[-1].sigma == 0.9


@pytest.mark.parametrize(
    "estimator",
    [*SYNTHESIZERS.values(), *NORMALIZERS],
    ids=[*SYNTHESIZERS, *(type(each).__name__ for each in NORMALIZERS)],
)
def test_estimator_cloneable(estimator):
    other = clone(estimator)
    assert repr(other) == repr(estimator)
    assert type(estimator).__name__ in repr(estimator)
    assert type(estimator).__name__ in estimator_html_repr(estimator)


def test_tags_and_requests(synthesizer):
    assert is_regressor(synthesizer)
    tags = get_tags(synthesizer)
    assert tags.target_tags.required
    assert not tags.input_tags.two_d_array
    requests = synthesizer.get_metadata_routing()
    with config_context(enable_metadata_routing=True):
        assert requests.consumes("fit", ["groups", "sample_weight"]) == {"groups"}


@pytest.mark.parametrize("method", ["predict", "score", "score_volumes", "shrink"])
def test_estimators_unfitted(synthesizer, images, method):
    arguments = images[:1] if method == "predict" else images
    with pytest.raises(NotFittedError, match="VolumeSynthesizer"):
        getattr(synthesizer, method)(*arguments)


def test_fit_leaves_parameters_and_images_alone(synthesizer, images):
    """check_dict_unchanged, check_dont_overwrite_attributes and their like."""
    parameters = joblib.hash(synthesizer.get_params())
    before, given = vars(synthesizer).copy(), [fingerprint(each) for each in images]
    assert synthesizer.fit(*images) is synthesizer
    assert joblib.hash(synthesizer.get_params()) == parameters
    added = vars(synthesizer).keys() - before.keys()
    assert all(name.endswith("_") or name.startswith("_") for name in added)
    assert all(vars(synthesizer)[name] is value for name, value in before.items())

    fitted = vars(synthesizer).copy()
    synthesizer.predict(images[0])
    synthesizer.score(*images)
    assert vars(synthesizer) == fitted
    assert [fingerprint(each) for each in images] == given


def test_a_second_fit_forgets_the_first(synthesizer, images, expected):
    """check_fit_idempotent and check_n_features_in_after_fitting, for contrasts."""
    t1w, t2w = images
    both = [list(pair) for pair in zip(t1w, t2w, strict=True)]
    synthesizer.fit(both, t2w)
    assert synthesizer.n_contrasts_in_ == 2
    with pytest.raises(ValueError, match=r"1 contrast\(s\)"):
        synthesizer.predict(t1w)
    synthesizer.fit(t1w, t2w)
    assert synthesizer.n_contrasts_in_ == 1
    assert np.isfinite(expected).all()
    np.testing.assert_array_equal(values(synthesizer.predict(t1w)), expected)


def test_estimators_pickle(fitted, images, expected):
    for other in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
        np.testing.assert_array_equal(values(other.predict(images[0])), expected)


def test_methods_subset_and_order_invariance(fitted, images, expected):
    for image, alone in zip(images[0], expected, strict=True):
        np.testing.assert_array_equal(values(fitted.predict([image]))[0], alone)
    turned = values(fitted.predict(images[0][::-1]))
    np.testing.assert_array_equal(turned[::-1], expected)
    each = fitted.score_volumes(*images)
    assert fitted.score(*images) == pytest.approx(each.mean())


def test_readonly_memmap_input(synthesizer, images, expected, tmp_path):
    """Files that are mapped, and arrays that cannot be written to."""
    mapped, locked = [], []
    for number, contrast in enumerate(images):
        paths = [tmp_path / f"sub-{i}_{number}.nii" for i in range(len(contrast))]
        for image, path in zip(contrast, paths, strict=True):
            nib.save(image, path)
        mapped.append([nib.load(path, mmap="r") for path in paths])
        copies = [values([image])[0] for image in contrast]
        for data in copies:
            data.setflags(write=False)
        locked.append(
            [
                nib.Nifti1Image(data, image.affine, image.header)
                for data, image in zip(copies, contrast, strict=True)
            ]
        )
    for given in (mapped, locked):
        predicted = clone(synthesizer).fit(*given).predict(given[0])
        np.testing.assert_array_equal(values(predicted), expected)


def test_n_jobs_changes_no_bit(synthesizer, images, expected):
    several = synthesizer.set_params(n_jobs=2).fit(*images)
    np.testing.assert_array_equal(values(several.predict(images[0])), expected)


def test_model_selection(synthesizer, images):
    scores = cross_val_score(synthesizer, *images, cv=KFold(2), error_score="raise")
    assert np.isfinite(scores).all()


def test_fit2d_1sample(synthesizer, images):
    """One subject will do; none is refused with a sentence."""
    t1w, t2w = images
    assert np.isfinite(values(synthesizer.fit(t1w[:1], t2w[:1]).predict(t1w[:1]))).all()
    with pytest.raises(ValueError, match="sources"):
        synthesizer.fit([], [])


@pytest.mark.parametrize("targets", [None, "few"])
def test_requires_y(synthesizer, images, targets):
    given = images[1][:2] if targets == "few" else None
    with pytest.raises((TypeError, ValueError), match="targets"):
        synthesizer.fit(images[0], given)


def test_sample_weight_equivalence(images):
    """Subjects of weight 0 are not there, and weights that are all 1 change nothing."""
    t1w, t2w = images
    synthesizer = clone(SYNTHESIZERS["network"])
    all_alike = clone(synthesizer).fit(t1w, t2w, sample_weight=[1, 1, 1])
    np.testing.assert_array_equal(
        values(all_alike.predict(t1w)), values(synthesizer.fit(t1w, t2w).predict(t1w))
    )
    weighted = clone(synthesizer).fit(t1w, t2w, sample_weight=[2, 3, 0])
    expected = synthesizer.fit(t1w[:2], t2w[:2], sample_weight=[2, 3])
    np.testing.assert_array_equal(
        values(weighted.predict(t1w)), values(expected.predict(t1w))
    )
    unweighted = clone(synthesizer).fit(t1w[:2], t2w[:2])
    assert (values(unweighted.predict(t1w)) != values(expected.predict(t1w))).any()
    assert synthesizer.score(t1w, t2w, sample_weight=[0, 1, 0]) == pytest.approx(
        synthesizer.score(t1w[1:2], t2w[1:2])
    )


@pytest.mark.parametrize(
    ("weight", "message"),
    [([0, 0, 0], "at least one non-zero"), ([1, 1], "shape"), ([1, -1, 1], "Negative")],
)
def test_sample_weights_that_cannot_be(images, weight, message):
    with pytest.raises(ValueError, match=message):
        clone(SYNTHESIZERS["network"]).fit(*images, sample_weight=weight)


def test_sample_weights_that_nobody_takes(images, monkeypatch):
    monkeypatch.setattr(VolumeSynthesizer, "_draw", None)  # said before
    with pytest.raises(TypeError, match="Pipeline takes no sample_weight"):
        clone(SYNTHESIZERS["pipeline"]).fit(*images, sample_weight=[1, 2, 3])


# Normalisers


@pytest.mark.parametrize("normalizer", NORMALIZERS, ids=lambda n: type(n).__name__)
def test_normalizers(normalizer, images):
    volumes = values(images[0])
    masks = volumes != 0
    normalizer = clone(normalizer)
    with pytest.raises(NotFittedError, match=type(normalizer).__name__):
        normalizer.inverse_transform(volumes[0])
    parameters = repr(normalizer)
    given = joblib.hash(volumes)
    assert normalizer.fit(volumes, masks) is normalizer
    typical = normalizer.typical_.copy()
    np.testing.assert_array_equal(normalizer.fit(volumes, masks).typical_, typical)
    assert repr(normalizer) == parameters
    shared = normalizer.transform(volumes[0], masks[0])
    assert joblib.hash(volumes) == given
    assert shared.dtype == np.float32
    back = normalizer.inverse_transform(shared, volumes[0], masks[0])
    spread = volumes[0][masks[0]].std()
    np.testing.assert_allclose(
        back[masks[0]], volumes[0][masks[0]], rtol=1e-4, atol=1e-3 * spread
    )
    other = pickle.loads(pickle.dumps(normalizer))
    np.testing.assert_array_equal(
        other.inverse_transform(shared), normalizer.inverse_transform(shared)
    )

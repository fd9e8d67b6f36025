"""VolumeSynthesizer: the contract with users, from lists of images to images."""

import pickle
import tracemalloc

import nibabel as nib
import numpy as np
import pytest
from joblib import parallel_config
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from scipy.ndimage import affine_transform, gaussian_filter
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import (
    GridSearchCV,
    LeaveOneGroupOut,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small_volumes import (
    AFFINE,
    SHAPE,
    Cohort,
    count_reads,
    make_brain,
    make_image,
    small,
    small_network,
)

from sklearn_lsdn import (
    CDNRegressor,
    LSDNRegressor,
    VDNRegressor,
    VolumeSynthesizer,
    volume_snr_scorer,
)
from sklearn_lsdn.exceptions import UnlikeWarning
from sklearn_lsdn.metrics import snr_score
from sklearn_lsdn.volumes import PercentileNormalizer, ZScoreNormalizer
from sklearn_lsdn.volumes import _preparation as preparation

NETWORKS = [LSDNRegressor, CDNRegressor, VDNRegressor]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return Cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture(scope="module")
def fitted(cohort):
    """Trained on all three subjects, a to c; not to be changed."""
    return small().fit(cohort.a, cohort.c)


def _voxels(image):
    return np.asanyarray(image.dataobj)


def _assert_same_images(images, others):
    assert len(images) == len(others)
    for image, other in zip(images, others, strict=True):
        np.testing.assert_array_equal(_voxels(image), _voxels(other))


# Model selection


def test_cross_validation_over_paths(cohort):
    synthesizer = small()
    scores = cross_validate(
        synthesizer,
        cohort.a,
        cohort.c,
        groups=["sub-0", "sub-1", "sub-2"],
        cv=LeaveOneGroupOut(),
        scoring=volume_snr_scorer,
    )["test_score"]
    first = clone(synthesizer).fit(cohort.a[1:], cohort.c[1:])
    assert scores[0] == first.score(cohort.a[:1], cohort.c[:1])
    assert scores.shape == (3,)
    assert scores.min() > 10


def test_cross_validation_over_images_and_several_contrasts(cohort):
    images = [subject[:2] for subject in cohort.images]
    targets = [subject[2] for subject in cohort.images]
    scores = cross_val_score(small(LinearRegression()), images, targets, cv=3)
    paths = cross_val_score(small(LinearRegression()), cohort.ab, cohort.c, cv=3)
    np.testing.assert_allclose(scores, paths)


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_grid_search(cohort, n_jobs):
    grid = {
        "estimator__hidden_layer_sizes": [(3,), (20, 5)],
        "patch_size": [1, 3],
    }
    search = GridSearchCV(small(), grid, cv=3, n_jobs=n_jobs)
    with parallel_config("threading"):  # processes take seconds to start
        search.fit(cohort.a, cohort.c)
    assert len(search.cv_results_["params"]) == 4
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    best = search.best_estimator_
    assert best.patch_size == search.best_params_["patch_size"]
    assert best.estimator_.n_features_in_ == best.patch_size**3 + 3
    sizes = search.best_params_["estimator__hidden_layer_sizes"]
    assert [len(b) for b in best.estimator_.intercepts_] == [*sizes, 1]
    assert search.predict(cohort.a[:1])[0].shape == SHAPE


def _count_draws(monkeypatch):
    """Sources of which voxels are drawn."""
    draws, draw = [], preparation.draw_sample

    def counted(sources, *args):
        draws.append(sources)
        return draw(sources, *args)

    monkeypatch.setattr(preparation, "draw_sample", counted)
    return draws


@pytest.mark.parametrize("kind", ["paths", "images"])
def test_memory_reads_once_and_changes_nothing(cohort, kind, tmp_path, monkeypatch):
    sources, targets = cohort.a, cohort.c
    if kind == "images":
        sources, targets = ([s[i] for s in cohort.images] for i in (0, 2))
    expected = small().fit(sources, targets).predict(sources)
    synthesizer = small(memory=str(tmp_path))
    draws = _count_draws(monkeypatch)
    first = clone(synthesizer).fit(sources, targets)
    assert len(draws) == 3
    draws.clear()
    reads = count_reads(monkeypatch)
    second = clone(synthesizer).set_params(estimator__sigma=0.7).fit(sources, targets)
    second.set_params(estimator__sigma=0.5).fit(sources, targets)
    assert draws == []
    if kind == "paths":  # images in memory are compared voxel by voxel
        assert reads == []
    _assert_same_images(first.predict(sources), expected)
    _assert_same_images(second.predict(sources), expected)


@pytest.mark.parametrize(
    "changed",
    [
        dict(patch_size=5),
        dict(n_voxels=300),
        dict(random_state=1),
        dict(normalization="percentile"),
        dict(mask_img=make_image(np.uint8(make_brain(SHAPE)[0]))),
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_memory_notices_what_changes_the_draw(cohort, changed, tmp_path, monkeypatch):
    small(memory=str(tmp_path)).fit(cohort.a, cohort.c)
    expected = small(**changed).fit(cohort.a, cohort.c)
    reads = count_reads(monkeypatch)
    cached = small(memory=str(tmp_path), **changed).fit(cohort.a, cohort.c)
    assert len(reads) >= 6
    _assert_same_images(cached.predict(cohort.b), expected.predict(cohort.b))


def test_memory_notices_a_file_that_changed(cohort, tmp_path):
    sources = [tmp_path / f"{i}.nii.gz" for i in range(3)]
    for path, subject in zip(sources, cohort.images, strict=True):
        nib.save(subject[0], path)
    synthesizer = small(memory=str(tmp_path / "cache")).fit(sources, cohort.c)
    nib.save(cohort.images[0][1], sources[0])
    synthesizer.fit(sources, cohort.c)
    expected = small().fit(sources, cohort.c)
    _assert_same_images(synthesizer.predict(cohort.a), expected.predict(cohort.a))


# The contract of scikit-learn


def test_parameters_are_kept_and_cloned():
    estimator = small_network()
    synthesizer = small(estimator, patch_size=5, memory="somewhere", n_jobs=2)
    copy = clone(synthesizer)
    assert copy.estimator is not estimator
    assert copy.get_params()["estimator__hidden_layer_sizes"] == (20, 5)
    for name in ("patch_size", "memory", "n_jobs", "n_voxels", "random_state"):
        assert getattr(copy, name) == getattr(synthesizer, name)


def test_fit_returns_self_and_leaves_parameters_alone(cohort):
    estimator = small_network()
    synthesizer = small(estimator)
    before = repr(synthesizer)
    assert synthesizer.fit(cohort.a, cohort.c) is synthesizer
    assert repr(synthesizer) == before
    assert not hasattr(estimator, "coefs_")
    assert synthesizer.estimator_ is not estimator
    assert estimator.random_state is None


def test_pickling_changes_neither_model_nor_parameters(cohort, tmp_path):
    path = tmp_path / "mask.nii"
    nib.save(make_image(np.uint8(make_brain(SHAPE)[0])), path)
    s = small(mask_img=path).fit(cohort.a, cohort.c)
    copy = pickle.loads(pickle.dumps(s))
    assert s.mask_img is path
    _assert_same_images(copy.predict(cohort.a), s.predict(cohort.a))


def test_fitted_attributes(cohort, fitted):
    assert fitted.n_contrasts_in_ == 1
    assert fitted.n_voxels_ == [400] * 3
    assert fitted.mask_strategy_ == "background"
    np.testing.assert_allclose(fitted.voxel_size_, [2, 2, 2.5])
    assert fitted.estimator_.n_features_in_ == 30
    assert fitted.bids_query_ is None
    several = small(LinearRegression()).fit(cohort.ab, cohort.cd)
    assert several.n_contrasts_in_ == len(several.source_normalizers_) == 2
    assert len(several.target_normalizers_) == len(several.background_) == 2


def test_what_was_looked_for_in_a_dataset_is_forgotten_by_a_fit(cohort):
    synthesizer = small(LinearRegression()).fit(cohort.a, cohort.c)
    synthesizer.bids_query_ = {"source": ["T1w"], "target": ["T2w"]}
    assert synthesizer.fit(cohort.a, cohort.c).bids_query_ is None


def test_all_voxels_are_drawn_where_there_are_fewer(cohort):
    synthesizer = small(LinearRegression(), n_voxels=10**6).fit(cohort.a, cohort.c)
    assert synthesizer.n_voxels_ == [make_brain(SHAPE)[0].sum()] * 3


class Recorder(RegressorMixin, BaseEstimator):
    """Keeps what it is trained on; predicts the patch's centre."""

    def fit(self, X, y):
        self.X_, self.y_ = X, y
        return self

    def predict(self, X):
        return X[:, 13]


def test_training_rows_are_patches_coordinates_and_targets(cohort):
    zscore = ZScoreNormalizer(trim=0)
    s = small(Recorder(), n_voxels=10**6, normalization=zscore)
    s.fit(cohort.a[:1], cohort.c[:1])
    a, c = cohort.arrays[0][0], cohort.arrays[0][2]
    mask = a != 0
    z = np.where(mask, (a - a[mask].mean()) / a[mask].std(), s.background_[0])
    z = np.pad(z, 1, constant_values=s.background_[0])
    patches = np.lib.stride_tricks.sliding_window_view(z, (3, 3, 3))[mask]
    where = nib.affines.apply_affine(AFFINE, np.argwhere(mask))
    X, y = s.estimator_.X_, s.estimator_.y_
    np.testing.assert_allclose(X[:, :27], patches.reshape(-1, 27), atol=1e-4)
    np.testing.assert_allclose(X[:, 27:], where, atol=1e-4)
    np.testing.assert_allclose(y, (c[mask] - c[mask].mean()) / c[mask].std(), atol=1e-4)


def test_patches_predicted_are_patches_trained_on(cohort):
    """The centre of the patch, in the source's own normalisation, comes back."""
    s = small(Recorder()).fit(cohort.a, cohort.a)
    for path, image in zip(
        cohort.a, s.predict(cohort.a, scale_to=cohort.a), strict=True
    ):
        np.testing.assert_allclose(
            _voxels(image), nib.load(path).get_fdata(), rtol=1e-4
        )


def test_background_is_zero_intensity_of_a_typical_scan(fitted):
    location, scale = fitted.source_normalizers_[0].typical_
    np.testing.assert_allclose(fitted.background_, [-location / scale], rtol=1e-6)


def test_one_target_gives_images_and_several_give_lists(cohort):
    single = small(LinearRegression()).fit(cohort.ab, cohort.c).predict(cohort.ab[:2])
    nested = small(LinearRegression()).fit(cohort.ab, cohort.cd).predict(cohort.ab[:2])
    assert all(isinstance(image, nib.Nifti1Image) for image in single)
    assert [len(subject) for subject in nested] == [2, 2]
    for one, several in zip(single, nested, strict=True):
        np.testing.assert_allclose(
            _voxels(one), _voxels(several[0]), rtol=1e-3, atol=0.1
        )


@pytest.mark.parametrize("call", ["predict", "score", "score_volumes"])
def test_methods_need_a_fit(cohort, call):
    arguments = [cohort.a] if call == "predict" else [cohort.a, cohort.c]
    with pytest.raises(NotFittedError):
        getattr(small(), call)(*arguments)


def test_a_failed_fit_does_not_count_as_fitted(cohort):
    synthesizer = small()
    data = cohort.arrays[0][0].copy()
    data[5, 5, 5] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        synthesizer.fit([make_image(data)], cohort.c[:1])
    with pytest.raises(NotFittedError):
        synthesizer.predict(cohort.a[:1])


# Output on the grid of the input


def _turn(image, codes):
    wanted = axcodes2ornt(codes)
    return image.as_reoriented(ornt_transform(io_orientation(image.affine), wanted))


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.uint8, np.float64])
def test_outputs_lie_on_the_grid_of_the_input(cohort, fitted, dtype, tmp_path):
    image = _turn(nib.Nifti1Image(np.rint(cohort.arrays[0][0]), AFFINE), "PIL")
    image.set_data_dtype(dtype)
    shifted = image.affine.copy()
    shifted[:3, 3] += 1
    image.set_sform(image.affine, 2)
    image.set_qform(shifted, 1)
    nib.save(image, tmp_path / "in.nii.gz")
    stored = nib.load(tmp_path / "in.nii.gz")
    (output,) = fitted.predict([tmp_path / "in.nii.gz"])
    assert output.shape == stored.shape
    assert output.get_data_dtype() == np.float32
    np.testing.assert_array_equal(output.affine, stored.affine)
    for form in ("get_sform", "get_qform"):
        ours, theirs = getattr(output, form)(True), getattr(stored, form)(True)
        np.testing.assert_array_equal(ours[0], theirs[0])
        assert ours[1] == theirs[1]


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("codes", [("LAS", "RAS", "PIR"), ("SRA", "LPI", "ASL")])
def test_orientation_changes_nothing_but_rounding(cohort, network, codes):
    def turned(index):
        return [
            _turn(subject[index], code)
            for subject, code in zip(cohort.images, codes, strict=True)
        ]

    expected = small(small_network(network)).fit(cohort.a, cohort.c)
    s = small(small_network(network)).fit(turned(0), turned(2))
    assert s.score(turned(0), turned(2)) == pytest.approx(
        expected.score(cohort.a, cohort.c), abs=1e-3
    )
    for output, given_, plain in zip(
        s.predict(turned(0)), turned(0), expected.predict(cohort.a), strict=True
    ):
        np.testing.assert_array_equal(output.affine, given_.affine)
        back = _turn(output, "RAS")
        np.testing.assert_allclose(back.affine, AFFINE, atol=1e-6)
        np.testing.assert_allclose(_voxels(back), _voxels(plain), rtol=1e-4, atol=1e-2)


def test_prediction_follows_each_image_whatever_training_had(cohort, fitted):
    (plain,) = fitted.predict(cohort.a[:1])
    for codes in ("LAS", "IPR", "ASR"):
        (output,) = fitted.predict([_turn(cohort.images[0][0], codes)])
        back = _voxels(_turn(output, "RAS"))
        np.testing.assert_allclose(back, _voxels(plain), rtol=1e-4, atol=1e-2)


def _resampled(data, affine, shape):
    to_data = np.linalg.inv(AFFINE) @ affine
    return affine_transform(
        data.astype(np.float64), to_data[:3, :3], to_data[:3, 3], shape, order=1
    ).astype(np.float32)


def test_another_voxel_size_is_predicted_on_its_own_grid(cohort, fitted):
    affine = nib.affines.from_matvec(np.diag([1.6, 1.8, 2.0]), [-11, -13, -11])
    shape = (15, 15, 12)
    mask = _resampled(make_brain(SHAPE)[0], affine, shape) > 0.9
    a, c = (_resampled(cohort.arrays[2][i], affine, shape) * mask for i in (0, 2))
    source, scan = make_image(a, affine), make_image(c, affine)
    with pytest.warns(UnlikeWarning, match="voxels of 1.6 x 1.8 x 2 mm"):
        (output,) = fitted.predict([source])
    assert output.shape == shape
    np.testing.assert_array_equal(output.affine, source.affine)
    np.testing.assert_array_equal(_voxels(output) != 0, a != 0)
    own_grid = fitted.score(cohort.a[2:], cohort.c[2:])
    assert fitted.score([source], [scan], on_unlike="ignore") > own_grid - 3


def test_voxels_outside_the_mask_are_exactly_zero(cohort):
    brain = np.zeros(SHAPE, np.uint8)
    brain[3:8, 4:9, 2:7] = 1
    s = small(mask_img=make_image(brain)).fit(cohort.a, cohort.c)
    assert s.mask_strategy_ == "image"
    (output,) = s.predict(cohort.a[:1])
    outside = _voxels(output)[brain == 0]
    np.testing.assert_array_equal(outside, np.zeros_like(outside))
    assert (_voxels(output)[brain == 1] != 0).all()


def test_what_lies_outside_the_mask_does_not_matter(cohort):
    brain = np.uint8(make_brain(SHAPE)[0])
    brain[:, :4] = 0
    s = small(mask_img=make_image(brain)).fit(cohort.a, cohort.c)
    clean, dirty = (cohort.arrays[0][0].copy() for _ in range(2))
    clean[brain == 0] = 0
    dirty[brain == 0] = 1e4
    _assert_same_images(s.predict([make_image(dirty)]), s.predict([make_image(clean)]))
    other = [make_image(dirty), *cohort.a[1:]]
    again = small(mask_img=make_image(brain)).fit(other, cohort.c)
    _assert_same_images(again.predict(cohort.a), s.predict(cohort.a))


def test_without_coordinates_no_voxel_is_taken_for_one(cohort):
    s = small(places=None).fit(cohort.a, cohort.c)
    assert s.estimator_.latent_coordinates_.shape == (20, 0)
    assert s.estimator_.coefs_[0].shape == (27, 20)


def test_the_default_mask_is_the_common_brain_of_the_sources(cohort, fitted):
    (output,) = fitted.predict(cohort.a[:1])
    np.testing.assert_array_equal(_voxels(output) != 0, cohort.arrays[0][0] != 0)
    a, b = (cohort.arrays[0][i].copy() for i in (0, 1))
    a[:, 6], b[5] = 0, 0
    several = small(LinearRegression()).fit(cohort.ab, cohort.c)
    with pytest.warns(UnlikeWarning, match="a further piece"):
        (output,) = several.predict([[make_image(a), make_image(b)]])
    np.testing.assert_array_equal(_voxels(output) != 0, (a != 0) & (b != 0))


# Units


def test_predictions_come_in_the_units_of_a_typical_scan(cohort, fitted):
    trimmed = [np.clip(v, *np.quantile(v, [0.01, 0.99])) for v in _brains(cohort, 2)]
    each = [[v.mean(), v.std()] for v in trimmed]
    typical = fitted.target_normalizers_[0].typical_
    np.testing.assert_allclose(typical, np.median(each, axis=0), rtol=1e-5)
    (scaled,) = fitted.predict(cohort.a[:1], scale_to=cohort.c[:1])
    (plain,) = fitted.predict(cohort.a[:1])
    mask = cohort.arrays[0][0] != 0
    mean, deviation = each[0]
    normalised = (_voxels(scaled)[mask] - mean) / deviation
    expected = normalised * typical[1] + typical[0]
    np.testing.assert_allclose(_voxels(plain)[mask], expected, rtol=1e-4)


def _brains(cohort, index):
    """Voxels of each subject's brain, float64."""
    arrays = [subject[index].astype(np.float64) for subject in cohort.arrays]
    return [v[v != 0] for v in arrays]


@pytest.mark.parametrize("normalization", ["zscore", "percentile"])
def test_scores_are_those_of_predictions_scaled_to_the_targets(cohort, normalization):
    s = small(normalization=normalization).fit(cohort.ab, cohort.cd)
    scores = s.score_volumes(cohort.ab, cohort.cd)
    assert scores.shape == (3, 2)
    predicted = s.predict(cohort.ab, scale_to=cohort.cd)
    for i, subject in enumerate(predicted):
        for j, image in enumerate(subject):
            scan = cohort.arrays[i][2 + j]
            expected = snr_score(scan[scan != 0], _voxels(image)[scan != 0])
            assert scores[i, j] == pytest.approx(expected, abs=1e-4)
    assert s.score(cohort.ab, cohort.cd) == pytest.approx(scores.mean())


def test_another_metric_is_called_with_brain_voxels(cohort, fitted):
    seen = []

    def metric(y_true, y_pred):
        seen.append((y_true, y_pred))
        return len(seen)

    scores = fitted.score_volumes(cohort.a, cohort.c, metric=metric)
    np.testing.assert_array_equal(scores, [[1], [2], [3]])
    for (y_true, y_pred), expected in zip(seen, _brains(cohort, 2), strict=True):
        np.testing.assert_allclose(y_true, expected, rtol=1e-6)
        assert y_pred.shape == y_true.shape


def test_units_of_the_source_do_not_matter(cohort, fitted):
    (plain,) = fitted.predict(cohort.a[:1])
    (scaled,) = fitted.predict([make_image(7 * cohort.arrays[0][0])])
    np.testing.assert_allclose(_voxels(scaled), _voxels(plain), rtol=1e-3, atol=1e-2)


def test_a_normalizer_of_the_users_own(cohort):
    own = PercentileNormalizer(5, 95)
    s = small(LinearRegression(), normalization=own).fit(cohort.ab, cohort.c)
    assert not hasattr(own, "typical_")
    assert [n.low for n in s.source_normalizers_] == [5, 5]
    assert s.source_normalizers_[0] is not s.source_normalizers_[1]
    assert s.target_normalizers_[0].get_params() == own.get_params()
    default = small(LinearRegression()).fit(cohort.ab, cohort.c)
    assert type(default.target_normalizers_[0]) is ZScoreNormalizer


# Any regressor, and the fused path of networks


def _assert_fused_is_generic(synthesizer, sources):
    fused = synthesizer.predict(sources)
    synthesizer.estimator_ = make_pipeline(synthesizer.estimator_)
    for ours, theirs in zip(fused, synthesizer.predict(sources), strict=True):
        pairs = (
            zip(ours, theirs, strict=True) if type(ours) is list else [(ours, theirs)]
        )
        for pair, normalizer in zip(
            pairs, synthesizer.target_normalizers_, strict=True
        ):
            one, other = (_voxels(image).astype(np.float64) for image in pair)
            assert np.ptp(one) > 0
            assert np.abs(one - other).max() / normalizer.typical_[1] < 1e-5


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("patch_size", [1, 3, 5])
@pytest.mark.parametrize("places", ["world", None])
def test_fused_path_equals_the_generic_one(cohort, network, patch_size, places):
    s = small(small_network(network), patch_size=patch_size, places=places)
    s.fit(cohort.a, cohort.c)
    n_coordinates = 3 if places else 0
    assert s.estimator_.n_features_in_ == patch_size**3 + n_coordinates
    _assert_fused_is_generic(s, [_turn(cohort.images[0][0], "PIR")])


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("targets", ["c", "cd"])
def test_fused_path_for_several_contrasts(cohort, network, targets):
    s = small(small_network(network)).fit(cohort.ab, getattr(cohort, targets))
    assert s.estimator_.n_features_in_ == 57
    assert s.estimator_.n_outputs_ == len(targets)
    _assert_fused_is_generic(s, cohort.ab)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(
    "coordinates", [[29, 27], [28], 1, 2, 0, [26, 27, 28, 29], [0, 29]], ids=str
)
def test_fused_path_for_other_choices_of_coordinates(cohort, network, coordinates):
    s = small(small_network(network, coordinates=coordinates)).fit(cohort.a, cohort.c)
    _assert_fused_is_generic(s, cohort.a[:1])


def test_fused_path_on_an_oblique_grid(cohort):
    rotation = nib.eulerangles.euler2mat(0.2, 0.1, -0.3)
    affine = nib.affines.from_matvec(rotation, [3, -4, 5]) @ AFFINE
    sources, targets = (
        [make_image(subject[i], affine) for subject in cohort.arrays] for i in (0, 2)
    )
    _assert_fused_is_generic(small().fit(sources, targets), sources)


@pytest.mark.parametrize(
    "estimator",
    [
        LinearRegression(),
        HistGradientBoostingRegressor(max_iter=20, min_samples_leaf=5),
        make_pipeline(StandardScaler(), small_network()),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_any_regressor_serves(cohort, estimator):
    s = small(estimator).fit(cohort.a, cohort.c)
    assert type(s.estimator_) is type(estimator)
    assert s.score(cohort.a, cohort.c) > 10
    assert s.predict(cohort.a[:1])[0].shape == SHAPE
    copy = small(estimator).fit(cohort.a, cohort.c)
    _assert_same_images(copy.predict(cohort.a), s.predict(cohort.a))


def test_the_default_estimator_is_lsdn(cohort):
    s = VolumeSynthesizer(n_voxels=50, random_state=0).fit(cohort.a, cohort.c)
    assert type(s.estimator_) is LSDNRegressor
    assert s.estimator_.hidden_layer_sizes == (400, 40)


def test_location_pays_where_the_relation_depends_on_it(cohort):
    scores = {}
    for network in (LSDNRegressor, VDNRegressor):
        s = small(network((20, 5)), n_voxels=1000)
        scores[network] = s.fit(cohort.ab, cohort.c).score(cohort.ab, cohort.c)
    assert scores[LSDNRegressor] > scores[VDNRegressor] + 2


# The same bits


def test_the_seed_decides(cohort):
    one, again, other = (
        small(random_state=seed).fit(cohort.a, cohort.c) for seed in (3, 3, 4)
    )
    _assert_same_images(one.predict(cohort.a), again.predict(cohort.a))
    assert (one.estimator_.coefs_[0] != other.estimator_.coefs_[0]).any()


def test_without_a_seed_the_estimators_own_is_kept(cohort):
    s = small(small_network(random_state=7), random_state=None).fit(cohort.a, cohort.c)
    assert s.estimator_.random_state == 7


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Enough voxels that threads share them."""
    return Cohort(tmp_path_factory.mktemp("large"), (40, 42, 38))


@pytest.mark.parametrize("network", NETWORKS)
def test_threads_change_no_bit(large, network):
    one, two = (
        small(small_network(network), n_jobs=n, n_voxels=5000).fit(large.a, large.c)
        for n in (1, 2)
    )
    for ours, theirs in zip(one.estimator_.coefs_, two.estimator_.coefs_, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    latent = one.estimator_.latent_coordinates_, two.estimator_.latent_coordinates_
    np.testing.assert_array_equal(*latent)
    assert make_brain((40, 42, 38))[0].sum() > 2**14  # several slices of work
    first, second = one.predict(large.a[:1]), two.predict(large.a[:1])
    _assert_same_images(first, second)
    scores = [s.score_volumes(large.a[:1], large.c[:1]) for s in (one, two)]
    np.testing.assert_array_equal(*scores)
    _assert_same_images(two.set_params(n_jobs=1).predict(large.a[:1]), second)


# The caller's images


def _state(image):
    data = np.asanyarray(image.dataobj)
    return data.tobytes(), data.dtype, image.affine.tobytes(), image.header.binaryblock


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.float64])
@pytest.mark.parametrize("codes", ["RAS", "LPS"])
@pytest.mark.parametrize("cached", [False, True])
def test_images_in_memory_are_never_modified(cohort, dtype, codes, cached, tmp_path):
    images = [
        [_turn(nib.Nifti1Image(v.astype(dtype), AFFINE), codes) for v in subject]
        for subject in cohort.arrays[:2]
    ]
    mask = _turn(nib.Nifti1Image(make_brain(SHAPE)[0].astype(dtype), AFFINE), codes)
    everything = [mask, *(image for subject in images for image in subject)]
    if cached:
        for image in everything:
            image.get_fdata(dtype=np.float32)
    before = [_state(image) for image in everything]
    sources, targets = [s[:2] for s in images], [s[2:] for s in images]
    s = small(LinearRegression(), memory=str(tmp_path), mask_img=mask)
    s.fit(sources, targets)
    s.predict(sources)
    s.predict(sources, scale_to=targets)
    s.score(sources, targets)
    assert [_state(image) for image in everything] == before
    for image in everything:
        data = np.asanyarray(image.dataobj)
        np.testing.assert_array_equal(image.get_fdata(dtype=np.float32), data)


def test_an_output_shares_nothing_with_its_input(cohort, fitted):
    image = make_image(cohort.arrays[0][0].copy())
    before = _state(image)
    (output,) = fitted.predict([image])
    _voxels(output)[:] = -1
    output.affine[:] = 0
    output.header["descrip"] = b"changed"
    assert _state(image) == before


# Memory


@pytest.fixture(scope="module")
def head():
    """A volume of brain and nothing else: the most there is to predict."""
    rng = np.random.RandomState(0)
    volume = gaussian_filter(rng.normal(size=(96, 96, 96)).astype(np.float32), 2)
    return make_image(100 + 10 * volume / volume.std())


@pytest.mark.filterwarnings("ignore:.*fills the border:UserWarning")
@pytest.mark.filterwarnings("ignore:.*those of training had:UserWarning")
@pytest.mark.filterwarnings("ignore:.*unlike the scans of training:UserWarning")
@pytest.mark.parametrize("estimator", [small_network(), LinearRegression()], ids=str)
@pytest.mark.parametrize("patch_size", [3, 5])
def test_prediction_never_holds_the_patches(cohort, head, estimator, patch_size):
    s = small(estimator, patch_size=patch_size).fit(cohort.a, cohort.c)
    s.predict(cohort.a[:1])  # compile and import first
    tracemalloc.start()
    s.predict([head])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Patches would take 108 bytes a voxel, or 500.
    assert peak / np.prod(head.shape) < 80


# Real brains


@pytest.fixture(scope="module")
def scans(open_ms):
    def of(contrast):
        names = "sub-07", "sub-26"
        file = "{0}/anat/{0}_space-MNI152_desc-preproc_{1}.nii.gz"
        return [open_ms / file.format(name, contrast) for name in names]

    return of("T1w"), of("T2w")


def test_real_brains_from_end_to_end(scans):
    t1w, t2w = scans
    s = VolumeSynthesizer(
        LSDNRegressor((50, 5), max_iter=15), n_voxels=5000, random_state=0, n_jobs=2
    )
    s.fit(t1w[:1], t2w[:1])
    (output,) = s.predict(t1w[1:], scale_to=t2w[1:])
    source, scan = nib.load(t1w[1]), nib.load(t2w[1])
    assert output.shape == source.shape
    np.testing.assert_array_equal(output.affine, source.affine)
    assert output.header["sform_code"] == source.header["sform_code"]
    assert output.header["qform_code"] == source.header["qform_code"]
    assert output.get_data_dtype() == np.float32

    brain = source.get_fdata(dtype=np.float32) != 0
    np.testing.assert_array_equal(_voxels(output) != 0, brain)
    truth = scan.get_fdata(dtype=np.float32)
    brain &= truth != 0
    assert snr_score(truth[brain], _voxels(output)[brain]) > 8
    assert s.score(t1w[1:], t2w[1:]) > 8

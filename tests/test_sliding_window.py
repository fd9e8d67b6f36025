"""Several scales, ensembles, and how far their members disagree."""

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from sklearn.base import clone
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from sklearn_lsdn import (
    EnsembleRegressor,
    LSDNRegressor,
    ShrinkConnect,
    VolumeSynthesizer,
)
from sklearn_lsdn.volumes import Augmentation, NyulNormalizer
from sklearn_lsdn.volumes._estimator import make_estimator
from sklearn_lsdn.volumes._images import open_image
from sklearn_lsdn.volumes._scales import at_scale, smoothed

SHAPE = (12, 14, 10)
AFFINE = nib.affines.from_matvec(np.diag([2.0, 2.0, 2.5]), [-11, -13, -11])


def _subject(seed):
    """Source and target, whose relation hangs on what lies around."""
    rng = np.random.RandomState(seed)
    mask = np.zeros(SHAPE, dtype=bool)
    mask[1:-1, 1:-1, 1:-1] = True
    source = 100 + 20 * gaussian_filter(rng.normal(size=SHAPE), 1) * 5
    around = at_scale(source.astype(np.float32), mask, 4)
    target = 300 + around - 0.5 * source + 2 * rng.normal(size=SHAPE)
    return [nib.Nifti1Image(np.float32(v * mask), AFFINE) for v in (source, target)]


@pytest.fixture(scope="module")
def cohort():
    return list(zip(*[_subject(seed) for seed in range(3)], strict=True))


def _synthesizer(estimator=None, **parameters):
    estimator = estimator or LSDNRegressor((20, 5), max_iter=4)
    plain = dict(patch_scales=(1,), augmentation=None, smoothing=0)
    parameters = plain | dict(n_voxels=500, random_state=0) | parameters
    return VolumeSynthesizer(estimator, **parameters)


def _open(image):
    """What a synthesizer reads of a scan."""
    file = open_image(image, "scan")
    volume = file.read()
    return [file], [volume], volume != 0


def _values(images):
    return np.array([image.get_fdata() for image in images])


def test_scales_see_what_a_patch_does_not(cohort):
    sources, targets = cohort
    near, wide = (
        _synthesizer(LinearRegression(), patch_scales=scales).fit(sources, targets)
        for scales in [(1,), (1, 4)]
    )
    assert near.estimator_.n_features_in_ == 27 + 3
    assert wide.estimator_.n_features_in_ == 2 * 27 + 3
    assert wide.score(sources, targets) > near.score(sources, targets) + 3


def test_each_scale_is_the_smoothed_scan_read_further_apart(cohort):
    (source, *_), (target, *_) = cohort
    s = _synthesizer(LinearRegression(), patch_scales=(3, 1), n_voxels=10_000)
    s.fit([source], [target])
    X, _ = s.sample_voxels([source], [target], random_state=0)
    scan = source.get_fdata(dtype=np.float32)
    mask = scan != 0
    (normalizer,) = s.source_normalizers_
    shared = [
        np.where(
            mask,
            normalizer.to_shared(volume, normalizer.describe(scan, mask)),
            np.float32(s.background_[0]),
        )
        for volume in (at_scale(scan, mask, 3), scan)
    ]
    padded = [np.pad(v, 3, constant_values=s.background_[0]) for v in shared]
    for row, (i, j, k) in zip(X[::97], np.argwhere(mask)[::97] + 3, strict=True):
        coarse = padded[0][i - 3 : i + 4 : 3, j - 3 : j + 4 : 3, k - 3 : k + 4 : 3]
        fine = padded[1][i - 1 : i + 2, j - 1 : j + 2, k - 1 : k + 2]
        expected = np.concatenate([coarse.ravel(), fine.ravel()])
        np.testing.assert_allclose(row[:-3], expected, atol=1e-6)


@pytest.mark.parametrize("target_patch_size", [1, 3])
@pytest.mark.parametrize("n_estimators", [1, 2])
def test_networks_read_scales_from_the_volume(cohort, n_estimators, target_patch_size):
    sources, targets = cohort
    s = _synthesizer(
        patch_scales=(1, 2),
        n_estimators=n_estimators,
        target_patch_size=target_patch_size,
    ).fit(sources, targets)
    fused = _values(s.predict(sources[:1]))
    s.estimator_ = make_pipeline(s.estimator_)  # which hides the networks
    rows = _values(s.predict(sources[:1]))
    assert np.ptp(fused) > 10
    np.testing.assert_allclose(fused, rows, rtol=0, atol=1e-3)


def test_smoothing_is_in_mm_and_within_the_brain(cohort):
    sources, targets = cohort
    s = _synthesizer().fit(sources, targets)
    plain = _values(s.predict(sources[:1]))[0]
    s.set_params(smoothing=5.0)
    smooth = _values(s.predict(sources[:1]))[0]
    mask = sources[0].get_fdata() != 0
    expected = smoothed(plain.astype(np.float32), mask, [2.5, 2.5, 2.0])
    np.testing.assert_allclose(smooth[mask], expected[mask], rtol=1e-5)
    assert (smooth[~mask] == 0).all()


def test_smoothing_keeps_the_detail_of_small_voxels(cohort):
    sources, targets = ([_shrunken(i, 0.3) for i in images] for images in cohort)
    s = _synthesizer().fit(sources, targets)
    plain = _values(s.predict(sources[:1]))[0]
    smooth = _values(s.set_params(smoothing=1.5).predict(sources[:1]))[0]
    mask = sources[0].get_fdata() != 0
    expected = smoothed(plain.astype(np.float32), mask, 1.5)
    np.testing.assert_allclose(smooth[mask], expected[mask], rtol=1e-5)


def _shrunken(image, factor):
    return nib.Nifti1Image(
        image.get_fdata(dtype=np.float32), image.affine @ np.diag([*[factor] * 3, 1])
    )


def test_an_ensemble_is_the_mean_of_its_members(cohort):
    sources, targets = cohort
    s = _synthesizer(n_estimators=3).fit(sources, targets)
    assert isinstance(s.estimator_, EnsembleRegressor)
    images, std_images = s.predict(sources[:1], return_std=True)
    each = []
    for member in s.estimator_.estimators_:
        alone = _synthesizer().fit(sources, targets)
        alone.estimator_ = member
        each.append(_values(alone.predict(sources[:1])))
    mask = sources[0].get_fdata() != 0
    assert np.std(each, axis=0)[0][mask].min() > 0
    np.testing.assert_allclose(_values(images), np.mean(each, axis=0), rtol=1e-5)
    noise = _synthesizer().fit(sources, targets)
    noise.estimator_ = s.estimator_.noise_estimator_
    (files,), _ = noise.preparation_.open(sources[:1])
    noise, *_ = noise._synthesize(noise.preparation_.read(files))
    noise = noise * s.estimator_.noise_scale_
    noise = np.maximum(noise.ravel(), 0) * s.target_normalizers_[0].typical_[1]
    expected = np.sqrt(np.var(each, axis=0, ddof=1)[0][mask] + noise**2)
    std = _values(std_images)[0]
    np.testing.assert_allclose(std[mask], expected, rtol=1e-3)
    assert (std[~mask] == 0).all()
    np.testing.assert_array_equal(_values(s.predict(sources[:1])), _values(images))


def test_members_train_on_the_same_voxels(cohort):
    sources, targets = cohort
    s = _synthesizer(LinearRegression(), n_estimators=3).fit(sources, targets)
    alone = _synthesizer(LinearRegression()).fit(sources, targets)
    np.testing.assert_allclose(
        _values(s.predict(sources)), _values(alone.predict(sources)), rtol=1e-5
    )


def test_the_deviation_is_about_the_size_of_the_error(cohort):
    sources, targets = cohort
    s = _synthesizer(n_estimators=3, n_voxels=2000).fit(sources[:2], targets[:2])
    images, std_images = s.predict(sources[2:], scale_to=targets[2:], return_std=True)
    mask = sources[2].get_fdata() != 0
    error = (_values(images) - _values(targets[2:]))[0][mask]
    std = _values(std_images)[0][mask]
    assert 0.5 < np.sqrt((error**2).mean() / (std**2).mean()) < 2
    assert 0.5 < (abs(error) < std).mean() < 0.9


@pytest.mark.parametrize("n_jobs", [2, 3])
def test_threads_change_no_bit_of_an_ensemble(cohort, n_jobs):
    sources, targets = cohort
    one, many = (
        _synthesizer(n_estimators=2, n_jobs=n).fit(sources, targets)
        for n in (1, n_jobs)
    )
    for a, b in zip(
        one.predict(sources, return_std=True),
        many.predict(sources, return_std=True),
        strict=True,
    ):
        np.testing.assert_array_equal(_values(a), _values(b))


def test_the_deviation_comes_in_the_units_of_the_synthesis(cohort):
    sources, targets = cohort
    s = _synthesizer(n_estimators=2).fit(sources, targets)
    brighter = [
        nib.Nifti1Image(
            np.float32(7 * t.get_fdata() + 100 * (t.get_fdata() != 0)), AFFINE
        )
        for t in targets
    ]
    _, std = s.predict(sources, scale_to=targets, return_std=True)
    _, larger = s.predict(sources, scale_to=brighter, return_std=True)
    np.testing.assert_allclose(_values(larger), 7 * _values(std), rtol=1e-3, atol=1e-3)


def test_the_deviation_passes_through_a_curved_scale(cohort):
    sources, targets = cohort
    s = _synthesizer(n_estimators=2, normalization=NyulNormalizer())
    images, std_images = s.fit(sources, targets).predict(sources, return_std=True)
    mask = sources[0].get_fdata() != 0
    assert (_values(std_images)[0][mask] >= 0).all()
    assert np.isfinite(_values(std_images)).all()
    assert s.score(sources, targets) > 10


def test_several_targets_have_several_deviations(cohort):
    sources, targets = cohort
    both = [[t, s] for t, s in zip(targets, sources, strict=True)]
    s = _synthesizer(n_estimators=2).fit(sources, both)
    images, std_images = s.predict(sources[:2], return_std=True)
    assert [len(each) for each in images] == [2, 2]
    assert [len(each) for each in std_images] == [2, 2]


def test_a_single_network_has_no_deviation(cohort):
    sources, targets = cohort
    s = _synthesizer().fit(sources, targets)
    with pytest.raises(ValueError, match="needs an ensemble.*n_estimators=2 or more"):
        s.predict(sources, return_std=True)


def test_parameters_changed_after_fit_wait_for_the_next(cohort):
    sources, targets = cohort
    s = _synthesizer().fit(sources, targets)
    expected = _values(s.predict(sources[:1]))
    s.set_params(patch_size=5, patch_scales=(1, 2), target_patch_size=3)
    np.testing.assert_array_equal(_values(s.predict(sources[:1])), expected)


def test_random_changes_are_drawn_anew_for_another_seed(cohort):
    sources, targets = cohort
    changes = Augmentation(mirror=True, shift=2.0, bias_field=0.1)
    s = _synthesizer(LinearRegression(), augmentation=changes).fit(sources, targets)
    same = clone(s).fit(sources, targets)
    np.testing.assert_array_equal(s.estimator_.coef_, same.estimator_.coef_)
    for name, value in changes.get_params().items():
        without = clone(s).set_params(**{f"augmentation__{name}": type(value)(0)})
        without.fit(sources, targets)
        assert (without.estimator_.coef_ != s.estimator_.coef_).any(), name


@pytest.mark.parametrize(
    ("estimator", "n_estimators"),
    [(ShrinkConnect(keep=0.5, max_iter=0), 2), (EnsembleRegressor(None, 2), 1)],
    ids=["shrink in an ensemble", "ensemble"],
)
def test_networks_by_default_know_that_there_are_no_places(estimator, n_estimators):
    synthesizer = VolumeSynthesizer(
        estimator, n_estimators=n_estimators, places=None, random_state=0
    )
    made = make_estimator(synthesizer, np.random.RandomState(0))
    while not isinstance(made, LSDNRegressor):
        made = made.estimator
    assert made.coordinates == 0


def test_an_ensemble_is_not_shrunk_afterwards(cohort):
    sources, targets = cohort
    s = _synthesizer(n_estimators=2).fit(sources, targets)
    with pytest.raises(TypeError, match="shrunk in training.*ShrinkConnect"):
        s.shrink(sources, targets)

"""Target patches: what is learned, how predictions are averaged, and refined."""

import warnings

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LinearRegression

from sklearn_lsdn import (
    CDNRegressor,
    EnsembleRegressor,
    LSDNRegressor,
    ShrinkConnect,
    VolumeSynthesizer,
)
from sklearn_lsdn.exceptions import ScanWarning
from sklearn_lsdn.volumes import ZScoreNormalizer
from sklearn_lsdn.volumes._aggregation import (
    PatchAverage,
    VolumePatches,
    filled_patches,
)

# Voxels as they are.
PLAIN = dict(patch_scales=(1,), augmentation=None, smoothing=0.0)
SHAPE = (9, 8, 10)
SIZES = pytest.mark.parametrize("patch_size", [1, 3, 5])


@pytest.fixture
def mask():
    mask = np.random.RandomState(0).uniform(size=SHAPE) < 0.6
    mask[0, 0, 0] = mask[-1, -1, -1] = True
    return mask


def _patches(volume, mask, patch_size):
    """Patches around the voxels of a mask, NaN outside of it."""
    margin = patch_size // 2
    padded = np.pad(np.where(mask, volume, np.nan), margin, constant_values=np.nan)
    shape = (patch_size,) * 3
    windows = np.lib.stride_tricks.sliding_window_view(padded, shape)
    return windows[mask].reshape(mask.sum(), -1)


def test_the_centre_stands_for_what_lies_outside():
    patches = np.array([[np.nan, 1, 2, 3, 4], [5, np.nan, 6, np.nan, 7]])
    expected = [[2, 1, 2, 3, 4], [5, 6, 6, 6, 7]]
    np.testing.assert_array_equal(filled_patches(patches), expected)


@SIZES
def test_patches_of_a_volume_average_to_the_volume(mask, patch_size):
    volumes = np.random.RandomState(1).normal(size=(2, *SHAPE))
    values = volumes[:, mask].T
    patches = np.hstack([_patches(v, mask, patch_size) for v in volumes])
    average = PatchAverage(mask, 2, patch_size)
    for start in range(0, len(values), 100):  # NaN would show where it does not belong
        rows = slice(start, start + 100)
        average.add(rows, patches[rows])
    np.testing.assert_allclose(average.means(), values)


@SIZES
def test_means_are_over_the_patches_that_reach_a_voxel(mask, patch_size):
    n, size = mask.sum(), patch_size**3
    values = np.random.RandomState(1).normal(size=(n, size))
    average = PatchAverage(mask, 1, patch_size)
    average.add(slice(0, n), values)
    where, margin = np.argwhere(mask), patch_size // 2
    for voxel in (0, n // 2, n - 1):
        steps = where[voxel] - where
        reach = (abs(steps) <= margin).all(axis=1)
        i, j, k = (steps[reach] + margin).T
        column = (i * patch_size + j) * patch_size + k
        expected = values[np.flatnonzero(reach), column].mean()
        np.testing.assert_allclose(average.means()[voxel], [expected])


@SIZES
def test_volumes_are_read_patch_by_patch(mask, patch_size):
    volumes = np.random.RandomState(1).normal(size=(2, *SHAPE)).astype(np.float32)
    read = VolumePatches(volumes[:, mask].T, mask, patch_size)
    expected = np.hstack(
        [filled_patches(_patches(v, mask, patch_size)) for v in volumes]
    )
    np.testing.assert_array_equal(read[10:50], expected[10:50])


# In the synthesizer


def _scans(seed):
    """A brain in the middle, and two contrasts of it."""
    rng = np.random.RandomState(seed)
    a = 100 + 20 * gaussian_filter(rng.normal(size=SHAPE), 1)
    a[:1], a[-1:] = 0, 0
    b = np.where(a != 0, 300 - 2 * a, 0)
    return [nib.Nifti1Image(v.astype(np.float32), np.eye(4)) for v in (a, b)]


@pytest.fixture(scope="module")
def scans():
    return [list(contrast) for contrast in zip(*map(_scans, range(2)), strict=True)]


class Teacher(RegressorMixin, BaseEstimator):
    """Knows the training patches; refines by adding 1, and remembers calls."""

    n_refinements = 2

    def fit(self, X, y):
        self.y_, self.given_ = y, []
        return self

    def predict(self, X):
        return np.resize(self.y_, (len(X), self.y_.shape[1]))

    def refine(self, X, y):
        self.given_.append(y)
        return y + 1


def test_training_targets_are_patches(scans):
    a, b = scans
    s = VolumeSynthesizer(Teacher(), target_patch_size=3, **PLAIN)
    s.set_params(normalization=ZScoreNormalizer(trim=0)).fit(a[:1], b[:1])
    values, brain = np.asarray(b[0].dataobj), np.asarray(a[0].dataobj) != 0
    z = (values - values[brain].mean()) / values[brain].std()
    expected = filled_patches(_patches(z, brain, 3))
    np.testing.assert_allclose(s.estimator_.y_, expected, rtol=1e-4, atol=1e-4)


def test_contrasts_follow_each_other_in_the_columns(scans):
    a, b = scans
    both = [[a[0], b[0]]]
    s = VolumeSynthesizer(Teacher(), target_patch_size=3, random_state=0)
    alone = [s.fit(a[:1], image[:1]).estimator_.y_ for image in (a, b)]
    together = s.fit(a[:1], both)
    np.testing.assert_allclose(together.estimator_.y_, np.hstack(alone))
    X, y = together.sample_voxels(a[:1], both, random_state=0)
    assert y.shape == (len(X), 54)
    assert len(together.predict(a[:1])[0]) == 2


def test_known_patches_come_back_as_the_scan(scans):
    a, b = scans
    teacher = Teacher()
    s = VolumeSynthesizer(teacher, target_patch_size=3, **PLAIN).fit(a[:1], b[:1])
    s.estimator_.n_refinements = 0
    inside = np.asarray(a[0].dataobj) != 0
    # Patches filled at the edge agree with the scan only further inside.
    inside[:2], inside[-2:] = False, False
    inside[:, [0, -1]], inside[:, :, [0, -1]] = False, False
    (image,) = s.predict(a[:1], scale_to=b[:1])
    np.testing.assert_allclose(
        np.asarray(image.dataobj)[inside], np.asarray(b[0].dataobj)[inside], rtol=0.05
    )


def test_refinement_is_shown_the_average_and_asked_again(scans):
    a, b = scans
    s = VolumeSynthesizer(Teacher(), target_patch_size=3, **PLAIN).fit(a[:1], b[:1])
    s.estimator_.n_refinements = 0
    (before,) = s.predict(a[:1])
    assert s.estimator_.given_ == []
    s.estimator_.n_refinements = 3
    (after,) = s.predict(a[:1])
    first, second, third = s.estimator_.given_
    brain = np.asarray(a[0].dataobj) != 0
    location, scale = s.target_normalizers_[0].typical_
    z = (np.asarray(before.dataobj) - location) / scale
    np.testing.assert_allclose(first, filled_patches(_patches(z, brain, 3)), atol=1e-4)
    # Averaged over patches whose edges repeat their centre, hence only on average.
    assert second.mean() - first.mean() == pytest.approx(1, abs=0.1)
    assert third.mean() - second.mean() == pytest.approx(1, abs=0.1)
    rise = (np.asarray(after.dataobj) - np.asarray(before.dataobj))[brain].mean()
    assert rise == pytest.approx(3 * scale, rel=0.1)


def test_single_voxels_are_not_refined(scans):
    a, b = scans

    class Voxels(Teacher):
        def predict(self, X):
            return np.zeros(len(X))

    s = VolumeSynthesizer(Voxels()).fit(a[:1], b[:1])
    s.predict(a[:1])
    assert s.estimator_.given_ == []


@pytest.mark.parametrize(
    "estimator",
    [
        LinearRegression(),
        LSDNRegressor((20, 5), max_iter=5),
        ShrinkConnect(LSDNRegressor((20, 5), max_iter=5), keep=0.5),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_any_regressor_of_several_outputs_serves(scans, estimator):
    a, b = scans
    s = VolumeSynthesizer(estimator, target_patch_size=3, random_state=0)
    s.fit(a[:1], b[:1])
    assert s.score(a[1:], b[1:]) > 10  # dB
    (image,) = s.predict(a[1:])
    np.testing.assert_array_equal(
        np.asarray(image.dataobj) != 0, np.asarray(a[1].dataobj) != 0
    )


def test_target_patches_have_a_centre(scans):
    a, b = scans
    with pytest.raises(ValueError, match="target_patch_size must be odd, got 2"):
        VolumeSynthesizer(Teacher(), target_patch_size=2).fit(a, b)
    with pytest.raises(ValueError, match="target_patch_size"):
        VolumeSynthesizer(Teacher(), target_patch_size=0).fit(a, b)


@pytest.mark.parametrize(
    ("estimator", "voxel_size", "size"),
    [
        (LSDNRegressor((4,), max_iter=1), 1.4, 3),
        (LSDNRegressor((4,), max_iter=1), 1.5, 1),
        (EnsembleRegressor(CDNRegressor((4,), max_iter=1), 2), 1.0, 3),
        (ShrinkConnect(LSDNRegressor((8,), max_iter=1), keep=0.5), 1.0, 3),
        (LinearRegression(), 1.0, 1),
    ],
)
def test_networks_predict_patches_of_small_voxels(estimator, voxel_size, size):
    rng = np.random.RandomState(0)
    affine = np.diag([voxel_size] * 3 + [1])
    a, b = (
        [nib.Nifti1Image(np.pad(v, 2), affine) for v in rng.uniform(1, 2, (2, 9, 9, 9))]
        for _ in range(2)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScanWarning)  # of noise in a cube
        s = VolumeSynthesizer(estimator, n_voxels=300, random_state=0).fit(a, b)
    assert s.preparation_.window.target_patch_size == size
    assert s.target_patch_size == "auto"

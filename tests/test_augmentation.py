"""Random changes to training voxels."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV

from sklearn_lsdn import VolumeSynthesizer
from sklearn_lsdn.datasets import make_brain_cohort
from sklearn_lsdn.volumes import Augmentation

N = 4000
BACKGROUND = np.array([-2.0, -1.0])
AXES = np.arange(-1, 2) * [[2.0], [1.0], [3.0]]  # mm
STEPS = np.stack(
    [scale * np.stack(np.meshgrid(*AXES, indexing="ij"), -1) for scale in (1, 2)]
).reshape(2, 27, 3)


def _voxels(seed=0):
    rng = np.random.RandomState(seed)
    patches = rng.normal(size=(N, 2, 2, 27)).astype(np.float32)
    coordinates = rng.normal(0, 40, (N, 3)).astype(np.float32)
    targets = rng.normal(size=(N, 1, 27)).astype(np.float32)
    return patches, coordinates, targets


def _changed(seed=0, middle=1.5, **parameters):
    voxels = [v.copy() for v in _voxels()]
    rng = np.random.RandomState(seed)
    nothing = dict(mirror=False, shift=0.0)
    Augmentation(**nothing | parameters).apply(*voxels, BACKGROUND, STEPS, middle, rng)
    return voxels


def test_nothing_changes_without_being_asked_for():
    for actual, expected in zip(_changed(), _voxels(), strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_the_seed_decides():
    everything = dict(mirror=True, bias_field=0.1, shift=2.0)
    pairs = zip(_changed(1, **everything), _changed(1, **everything), strict=True)
    for same, other in pairs:
        np.testing.assert_array_equal(same, other)
    assert (_changed(1, **everything)[0] != _changed(2, **everything)[0]).mean() > 0.9


def test_a_mirror_exchanges_left_and_right_of_patch_and_place():
    patches, coordinates, targets = _voxels()
    mirrored = _changed(mirror=1.0)
    cubes = patches.reshape(N, 2, 2, 3, 3, 3)
    np.testing.assert_array_equal(
        mirrored[0].reshape(cubes.shape), cubes[:, :, :, ::-1]
    )
    np.testing.assert_allclose(mirrored[1][:, 0], 3 - coordinates[:, 0], atol=1e-5)
    np.testing.assert_array_equal(mirrored[1][:, 1:], coordinates[:, 1:])
    cubes = targets.reshape(N, 1, 3, 3, 3)
    np.testing.assert_array_equal(mirrored[2].reshape(cubes.shape), cubes[:, :, ::-1])


def test_half_of_the_voxels_are_mirrored_whole():
    plain, mirrored, some = _voxels(), _changed(mirror=1.0), _changed(mirror=True)
    turned = (some[1] == mirrored[1]).all(axis=1)
    assert 0.45 < turned.mean() < 0.55
    for a, b, c in zip(plain, mirrored, some, strict=True):
        np.testing.assert_array_equal(c[turned], b[turned])
        np.testing.assert_array_equal(c[~turned], a[~turned])


def test_a_shift_moves_places_alone():
    patches, coordinates, targets = _changed(shift=5.0)
    before = _voxels()
    np.testing.assert_array_equal(patches, before[0])
    np.testing.assert_array_equal(targets, before[2])
    moved = coordinates - before[1]
    np.testing.assert_allclose(moved.mean(axis=0), 0, atol=0.3)
    np.testing.assert_allclose(moved.std(axis=0), 5, rtol=0.05)


def test_a_bias_field_varies_across_the_patch_and_more_so_further_out():
    patches = _changed(bias_field=0.2)[0]
    above = _voxels()[0] - BACKGROUND[:, None, None].astype(np.float32)
    far = abs(above) > 0.5
    factors = (patches - BACKGROUND[:, None, None]) / above
    logarithms = np.where(far, np.log(np.where(far, factors, 1)), np.nan)
    assert np.nanstd(logarithms) == pytest.approx(0.2, rel=0.1)
    near, wide = np.nanstd(logarithms, axis=3).mean(axis=(0, 1))
    assert 1.6 < wide / near < 2.4
    smooth = logarithms[:, 0, 1] - logarithms[:, 0, 0]  # one field at both scales
    assert np.nanstd(smooth) < 0.05


# As a parameter


def test_each_of_its_parameters_can_be_searched_over():
    images = make_brain_cohort(3, voxel_size=8, random_state=0).images
    synthesizer = VolumeSynthesizer(LinearRegression(), n_voxels=200, random_state=0)
    shifts = [0.0, 40.0]
    search = GridSearchCV(synthesizer, {"augmentation__shift": shifts}, cv=3)
    search.fit(images["T1w"], images["T2w"])
    scores = search.cv_results_["mean_test_score"]
    assert scores[0] != scores[1]
    assert search.best_estimator_.augmentation.shift in shifts
    assert search.best_estimator_.augmentation.mirror is True


def test_synthesizers_share_no_augmentation():
    one, other = VolumeSynthesizer(), VolumeSynthesizer()
    one.set_params(augmentation__mirror=False)
    assert other.augmentation == "default"
    copy = clone(one).set_params(augmentation__mirror=0.3)
    assert one.augmentation.mirror is False
    assert copy.augmentation.mirror == 0.3


@pytest.mark.parametrize("name", ["gain", "hue"])
def test_an_unknown_parameter_is_refused_by_name(name):
    with pytest.raises(ValueError, match=f"Invalid parameter '{name}'"):
        VolumeSynthesizer().set_params(**{f"augmentation__{name}": 1.0})


def test_the_default_is_that_of_its_own_parameters():
    images = make_brain_cohort(2, voxel_size=8, random_state=0).images.values()
    drawn = [
        VolumeSynthesizer(
            LinearRegression(), n_voxels=200, random_state=0, augmentation=augmentation
        )
        .fit(*images)
        .sample_voxels(*images, random_state=0)[0]
        for augmentation in ("default", Augmentation(), None)
    ]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).mean() > 0.2


@pytest.mark.parametrize("before", ["default", None])
def test_parts_are_set_whatever_stood_there(before):
    synthesizer = VolumeSynthesizer(augmentation=before)
    synthesizer.set_params(augmentation__shift=3.0)
    assert synthesizer.augmentation.shift == 3.0
    assert bool(synthesizer.augmentation.mirror) == (before == "default")
    synthesizer.set_params(augmentation="default", augmentation__shift=2.0)
    assert synthesizer.augmentation.shift == 2.0
    assert synthesizer.augmentation.mirror

"""Random changes to training voxels."""

import numpy as np
import pytest

from sklearn_lsdn.volumes._augmentation import Augmentation

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
    Augmentation(**parameters).apply(*voxels, BACKGROUND, STEPS, middle, rng)
    return voxels


def test_nothing_changes_without_being_asked_for():
    for actual, expected in zip(_changed(), _voxels(), strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_the_seed_decides():
    everything = dict(mirror=0.5, gain=0.1, offset=0.1, gamma=0.1, shift=2.0)
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
    plain, mirrored, some = _voxels(), _changed(mirror=1.0), _changed(mirror=0.5)
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


def test_a_gain_is_a_factor_from_the_background_for_each_contrast_of_a_voxel():
    patches, _, targets = _changed(gain=0.2)
    above = _voxels()[0] - BACKGROUND[:, None, None].astype(np.float32)
    factors = (patches - BACKGROUND[:, None, None]) / above
    far = abs(above) > 0.5
    logarithms = np.log(np.where(far, factors, np.nan)).reshape(N, 2, -1)
    assert np.nanstd(logarithms, axis=2).max() < 1e-3
    each = np.nanmean(logarithms, axis=2)
    np.testing.assert_allclose(each.std(axis=0), 0.2, rtol=0.05)
    assert abs(np.corrcoef(each.T)[0, 1]) < 0.1
    np.testing.assert_array_equal(targets, _voxels()[2])


def test_an_offset_is_added_to_all_of_a_contrast():
    added = (_changed(offset=0.3)[0] - _voxels()[0]).reshape(N, 2, -1)
    assert added.std(axis=2).max() < 1e-6
    np.testing.assert_allclose(added.mean(axis=2).std(axis=0), 0.3, rtol=0.05)


def test_gamma_keeps_background_brightest_and_order():
    changed, before = _changed(gamma=0.3)[0], _voxels()[0]
    assert np.isfinite(changed).all()
    for c, background in enumerate(BACKGROUND):
        old, new = before[:, c].ravel(), changed[:, c].ravel()
        dark = old <= background
        np.testing.assert_array_equal(new[dark], old[dark])
        assert (new[~dark] >= background - 1e-5).all()
        assert new.max() == pytest.approx(old.max())
        assert abs(new - old).mean() > 0.05
        one = np.argsort(before[0, c].ravel())
        assert (np.diff(changed[0, c].ravel()[one]) >= -1e-6).all()


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

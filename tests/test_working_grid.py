"""A subject's voxels at the model's voxel size, and back."""

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.affines import apply_affine
from scipy import ndimage
from scipy.ndimage import zoom
from scipy.spatial.transform import Rotation
from sklearn.linear_model import LinearRegression

from sklearn_lsdn import VolumeSynthesizer, snr_score
from sklearn_lsdn.datasets import make_brain_cohort
from sklearn_lsdn.volumes import _preparation
from sklearn_lsdn.volumes._working_grid import WorkingGrid, voxels_of

SHAPE = (24, 28, 22)
AFFINE = nib.affines.from_matvec(np.diag([2.0, 2.0, 2.0]), [-23, -27, -21])
AXES = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
BRAIN = sum(axis**2 for axis in AXES) < 0.8


def smooth_volume(affine, shape):
    """Of world coordinates, so that every grid shows the same."""
    x, y, z = apply_affine(affine, np.argwhere(np.ones(shape, bool))).T
    values = 100 + x + 5 * np.sin(y / 6) + 5 * np.cos(z / 7)
    return values.reshape(shape).astype(np.float32)


@pytest.mark.parametrize("wanted", [(1, 1, 1), (3, 3, 3), (2, 2, 1), (1.5, 4, 2)])
def test_it_shows_what_is_there(wanted):
    volume = smooth_volume(AFFINE, SHAPE)
    grid = WorkingGrid.of(BRAIN, AFFINE, np.array(wanted, float))
    assert not grid.is_own
    np.testing.assert_allclose(grid.voxel_size, wanted, rtol=1e-6)
    taken = grid.take(volume)
    there = smooth_volume(grid.affine, grid.mask.shape)
    wrong = np.abs(taken - there)[grid.mask]
    assert np.sqrt(np.mean(wrong**2)) < 0.6
    assert np.median(wrong) < 0.3
    millilitres = np.prod(wanted) * grid.mask.sum() / (8 * BRAIN.sum())
    assert 0.93 < millilitres < 1.07
    back = grid.give_back(taken[grid.mask][:, None])
    wrong = np.abs(back[:, 0] - volume[BRAIN])
    assert np.sqrt(np.mean(wrong**2)) < 0.8
    assert np.median(wrong) < 0.3


@pytest.mark.parametrize("wanted", [(1, 1, 1), (3, 3, 3), (2, 5, 1.5)])
def test_it_lies_where_its_affine_says(wanted):
    """A ramp along each axis shows a shift of a hundredth of a voxel."""
    inner = ndimage.binary_erosion(BRAIN, iterations=3)
    grid = WorkingGrid.of(BRAIN, AFFINE, np.array(wanted, float))
    deep = ndimage.binary_erosion(grid.mask, iterations=4)
    for axis in range(3):
        ramp = apply_affine(AFFINE, np.argwhere(np.ones(SHAPE)))[:, axis]
        taken = grid.take(ramp.reshape(SHAPE).astype(np.float32))
        wrong = taken[deep] - apply_affine(grid.affine, np.argwhere(deep))[:, axis]
        back = np.zeros(SHAPE)
        back[BRAIN] = grid.give_back(taken[grid.mask])
        wrong_back = (back - ramp.reshape(SHAPE))[inner]
        for each in (wrong, wrong_back):
            assert abs(each.mean()) < 0.005  # mm
            assert np.percentile(abs(each), 90) < 0.15


def test_what_is_about_as_large_is_left_alone():
    volume = smooth_volume(AFFINE, SHAPE)
    grid = WorkingGrid.of(BRAIN, AFFINE, np.array([2.2, 1.8, 2.0]))
    assert grid.is_own
    assert grid.take(volume) is volume
    assert grid.mask is BRAIN
    mixed = WorkingGrid.of(BRAIN, AFFINE, np.array([2.2, 1.8, 1.0]))
    assert mixed.mask.shape == (24, 28, 44)
    np.testing.assert_allclose(mixed.voxel_size, [2, 2, 1])


@given(
    st.tuples(*[st.integers(1, 9)] * 3),
    st.tuples(*[st.floats(0.2, 5.0)] * 3),
    st.tuples(*[st.floats(0.2, 5.0)] * 3),
    st.sampled_from([0.5, 0.9, 1.0]),
)
def test_every_voxel_of_any_brain_gets_a_value(shape, size, wanted, sparse):
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(n // 2 for n in shape)] = True
    mask |= np.random.RandomState(0).uniform(size=shape) > sparse
    affine = np.diag([*size, 1.0])
    grid = WorkingGrid.of(mask, affine, np.array(wanted))
    assert grid.mask.any()
    assert grid.mask.shape == voxels_of(shape, np.array(size), np.array(wanted))
    taken = grid.take(np.full(shape, 7, dtype=np.float32))
    np.testing.assert_allclose(taken[grid.mask], 7, rtol=1e-4)
    back = grid.give_back(np.full((grid.mask.sum(), 2), 3.0))
    assert back.shape == (mask.sum(), 2)
    np.testing.assert_allclose(back, 3, rtol=1e-4)
    corner = apply_affine(grid.affine, [0, 0, 0])
    assert (np.abs(corner) <= np.maximum(size, wanted) / 2 + 1e-6).all()


def in_voxels(image, factor):
    data = image.get_fdata(dtype=np.float32)
    mask = zoom((data != 0).astype(np.float32), factor, order=1) > 0.5
    data = np.where(mask, zoom(data, factor, order=1), 0)
    ratio = np.divide(image.shape, data.shape)
    first = np.subtract(image.shape, 1) / 2 - ratio * (np.subtract(data.shape, 1) / 2)
    to_old = nib.affines.from_matvec(np.diag(ratio), first)
    return nib.Nifti1Image(data, image.affine @ to_old)


@pytest.fixture(scope="module")
def cohort():
    return make_brain_cohort(3, voxel_size=4, random_state=0).images


def linear():
    return VolumeSynthesizer(LinearRegression(), n_voxels=5000, random_state=0)


@pytest.fixture(scope="module")
def fitted(cohort):
    return linear().fit(cohort["T1w"][:2], cohort["T2w"][:2])


@pytest.mark.parametrize("factor", [0.5, 1.5, (1, 1, 0.4)])
def test_scans_of_other_voxels_are_predicted_on_their_own_grid(cohort, fitted, factor):
    source, target = (in_voxels(cohort[c][2], factor) for c in ("T1w", "T2w"))
    options = dict(on_unlike="ignore")
    (found,) = fitted.predict([source], **options)
    assert found.shape == source.shape
    np.testing.assert_array_equal(found.affine, source.affine)
    brain = source.get_fdata() != 0
    np.testing.assert_array_equal(found.get_fdata() != 0, brain)
    at_its_own = linear().fit(
        *[[in_voxels(each, factor) for each in cohort[c][:2]] for c in ("T1w", "T2w")]
    )
    assert fitted.score([source], [target], **options) > (
        at_its_own.score([source], [target]) - 2.5
    )


@pytest.mark.parametrize("factor", [0.5, 2])
def test_std_interval_and_novelty_come_back_too(cohort, factor):
    source = in_voxels(cohort["T1w"][2], factor)
    from sklearn_lsdn import LSDNRegressor

    ensemble = VolumeSynthesizer(
        LSDNRegressor((5,), max_iter=2), n_estimators=2, n_voxels=2000, random_state=0
    ).fit(cohort["T1w"][:2], cohort["T2w"][:2])
    made = ensemble.synthesize(
        source, return_std=True, return_interval=0.5, return_novelty=True
    )
    brain = source.get_fdata() != 0
    (mean,), (std,), (low,), (high,), (novelty,) = made.all_images
    for image in (mean, std, low, high, novelty):
        assert image.shape == source.shape
        assert np.isfinite(image.get_fdata()).all()
    assert (std.get_fdata()[brain] > 0).all()
    assert (low.get_fdata() <= mean.get_fdata()).all()
    assert (mean.get_fdata() <= high.get_fdata()).all()
    assert (novelty.get_fdata() >= 0).all()


def test_training_on_several_voxel_sizes_has_one_between(cohort):
    sources, targets = (
        [*cohort[c][:2], in_voxels(cohort[c][2], 0.5)] for c in ("T1w", "T2w")
    )
    synthesizer = linear().fit(sources, targets)
    np.testing.assert_allclose(synthesizer.voxel_size_, 4)
    (found,) = synthesizer.predict(sources[:1], scale_to=targets[:1])
    truth, brain = targets[0].get_fdata(), targets[0].get_fdata() != 0
    assert snr_score(truth[brain], found.get_fdata()[brain]) > 10


def test_the_headers_of_others_do_not_undo_a_cache(cohort, tmp_path, monkeypatch):
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("x", 3, degrees=True).as_matrix()
    scans = [
        [nib.Nifti1Image(each.get_fdata(), turn @ each.affine) for each in cohort[c]]
        for c in ("T1w", "T2w")
    ]
    cached = linear().set_params(memory=tmp_path)
    cached.fit(*[each[:2] for each in scans])
    drawn = []
    draw = _preparation.draw_sample
    monkeypatch.setattr(
        _preparation, "draw_sample", lambda *given: drawn.append(1) or draw(*given)
    )
    cached.fit(*scans)
    assert len(drawn) == 1

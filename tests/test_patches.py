"""Patches: rows of arrays against indexing voxel by voxel."""

import numpy as np
import pytest
from nibabel.affines import apply_affine, from_matvec

from sklearn_lsdn.volumes._patches import PaddedVolumes

SHAPE = (5, 7, 6)
AFFINE = from_matvec([[2, 0.1, 0], [-0.1, 2, 0.3], [0, -0.3, 2.5]], [-5, 8, 13])
SIZES = pytest.mark.parametrize("patch_size", [1, 3, 5])


@pytest.fixture
def volumes():
    return list(np.random.RandomState(0).normal(size=(2, *SHAPE)).astype(np.float32))


@pytest.fixture
def mask():
    """Some voxels, corners among them."""
    mask = np.random.RandomState(1).uniform(size=SHAPE) < 0.4
    mask[0, 0, 0] = mask[-1, -1, -1] = mask[0, -1, 0] = True
    return mask


def _naive(volume, index, patch_size, fill):
    """The patch around a voxel, its first axis slowest."""
    steps = range(-(patch_size // 2), patch_size // 2 + 1)
    values = []
    for i in steps:
        for j in steps:
            for k in steps:
                at = np.add(index, (i, j, k))
                inside = (at >= 0).all() and (at < volume.shape).all()
                values.append(volume[tuple(at)] if inside else fill)
    return values


@SIZES
def test_patches_equal_naive_indexing(volumes, mask, patch_size):
    fill = [-7.0, 9.0]
    padded = PaddedVolumes(volumes, AFFINE, patch_size, fill)
    rows = padded.patches(padded.centers(mask))
    expected = [
        _naive(volumes[0], index, patch_size, fill[0])
        + _naive(volumes[1], index, patch_size, fill[1])
        for index in np.argwhere(mask)
    ]
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, np.array(expected, dtype=np.float32))


@SIZES
def test_every_voxel_has_a_whole_patch(volumes, patch_size):
    padded = PaddedVolumes(volumes[:1], AFFINE, patch_size, [np.nan])
    rows = padded.patches(padded.centers(np.ones(SHAPE, dtype=bool)))
    assert rows.shape == (np.prod(SHAPE), patch_size**3)
    np.testing.assert_array_equal(rows[:, patch_size**3 // 2], volumes[0].ravel())
    outside = np.isnan(rows).any(axis=1).reshape(SHAPE)
    margin = patch_size // 2
    inner = np.zeros(SHAPE, dtype=bool)
    inner[tuple(slice(margin, n - margin) for n in SHAPE)] = True
    np.testing.assert_array_equal(outside, ~inner)


@SIZES
def test_coordinates_are_the_affine_of_the_indices(volumes, mask, patch_size):
    padded = PaddedVolumes(volumes, AFFINE, patch_size, [0.0, 0.0])
    coordinates = padded.coordinates(padded.centers(mask))
    expected = apply_affine(AFFINE, np.argwhere(mask))
    assert coordinates.dtype == np.float32
    np.testing.assert_allclose(coordinates, expected, rtol=1e-6, atol=1e-5)


@SIZES
def test_centers_are_in_c_order(volumes, mask, patch_size):
    padded = PaddedVolumes(volumes, AFFINE, patch_size, [0.0, 0.0])
    centers = padded.centers(mask)
    assert len(centers) == mask.sum()
    assert (np.diff(centers) > 0).all()
    np.testing.assert_array_equal(padded.channels[1][centers], volumes[1][mask])


@SIZES
def test_offsets_follow_the_strides(volumes, patch_size):
    padded = PaddedVolumes(volumes, AFFINE, patch_size, [0.0, 0.0])
    margin = patch_size // 2
    shape = np.array(SHAPE) + 2 * margin
    strides = [shape[1] * shape[2], shape[2], 1]
    np.testing.assert_array_equal(padded.strides, strides[:2])
    steps = np.indices((patch_size,) * 3).reshape(3, -1).T - margin
    np.testing.assert_array_equal(padded.offsets, [steps @ strides] * 2)


def test_a_spacing_reads_every_second_voxel(volumes, mask):
    fill = [-7.0, 9.0]
    padded = PaddedVolumes(volumes, AFFINE, 3, fill, spacings=[1, 2])
    rows = padded.patches(padded.centers(mask))
    near = PaddedVolumes(volumes[:1], AFFINE, 3, fill[:1])
    np.testing.assert_array_equal(rows[:, :27], near.patches(near.centers(mask)))
    far = PaddedVolumes(volumes[1:], AFFINE, 5, fill[1:])
    every = far.patches(far.centers(mask)).reshape(-1, 5, 5, 5)
    expected = every[:, ::2, ::2, ::2].reshape(len(every), -1)
    np.testing.assert_array_equal(rows[:, 27:], expected)
    coordinates = padded.coordinates(padded.centers(mask))
    np.testing.assert_array_equal(coordinates, near.coordinates(near.centers(mask)))


def test_inputs_are_left_alone(volumes):
    before, affine = np.copy(volumes), AFFINE.copy()
    padded = PaddedVolumes(volumes, affine, 3, [0.0, 0.0])
    padded.channels[:] = 1
    np.testing.assert_array_equal(volumes, before)
    np.testing.assert_array_equal(affine, AFFINE)

"""Masks: where the brain is."""

import sys

import nibabel as nib
import numpy as np
import pytest

from sklearn_lsdn.volumes._images import open_image
from sklearn_lsdn.volumes._masks import Masker

SHAPE = (6, 7, 5)
AFFINE = nib.affines.from_matvec(np.diag([2.0, 2.0, 2.0]), [-10, -20, 4])


def _volume(seed=0, zeros=()):
    volume = np.random.RandomState(seed).uniform(-1, 1, SHAPE).astype(np.float32)
    for where in zeros:
        volume[where] = 0
    return volume


def _file(volume, affine=AFFINE, name="scan"):
    return open_image(nib.Nifti1Image(np.float32(volume), affine), name)


def _find(masker, *volumes, affine=AFFINE):
    files = [_file(v, affine, f"scan{i}") for i, v in enumerate(volumes)]
    return masker.find(files, list(volumes))


def test_by_default_the_brain_is_nonzero_in_all_images():
    a, b = _volume(0, [(0,), (2, 3)]), _volume(1, [(0,), (slice(None), 6)])
    masker = Masker.resolve(None)
    assert masker.strategy == "nonzero"
    np.testing.assert_array_equal(_find(masker, a), a != 0)
    np.testing.assert_array_equal(_find(masker, a, b), (a != 0) & (b != 0))
    assert (a[_find(masker, a)] < 0).any()  # negative voxels are brain


def test_a_mask_image_counts_where_it_differs_from_zero():
    mask = np.zeros(SHAPE, dtype=np.int16)
    mask[1:3, 2:5, 1:4] = 1
    mask[2, 2, 2] = -3
    masker = Masker.resolve(nib.Nifti1Image(mask, AFFINE))
    found = _find(masker, _volume())
    assert found.dtype == bool
    np.testing.assert_array_equal(found, mask != 0)


def test_a_mask_image_holds_voxels_where_scans_are_zero():
    masker = Masker.resolve(nib.Nifti1Image(np.ones(SHAPE, np.uint8), AFFINE))
    assert _find(masker, _volume(zeros=[(0,)])).all()


@pytest.mark.parametrize("kind", [str, lambda p: p, nib.load])
def test_a_mask_comes_as_path_or_image(kind, tmp_path):
    mask = (_volume() > 0).astype(np.uint8)
    nib.save(nib.Nifti1Image(mask, AFFINE), tmp_path / "mask.nii.gz")
    masker = Masker.resolve(kind(tmp_path / "mask.nii.gz"))
    np.testing.assert_array_equal(_find(masker, _volume(1)), mask != 0)


def test_a_mask_in_another_orientation_is_turned():
    mask = (_volume() > 0).astype(np.uint8)
    image = nib.Nifti1Image(mask, AFFINE)
    turned = image.as_reoriented([[1, -1], [2, 1], [0, -1]])
    assert turned.shape != image.shape
    found = _find(Masker.resolve(turned), _volume(1))
    np.testing.assert_array_equal(found, mask != 0)


def _nearest(mask, mask_affine, shape, affine):
    """Nearest neighbours, voxel by voxel."""
    found = np.zeros(shape, dtype=bool)
    to_mask = np.linalg.inv(mask_affine) @ affine
    for index in np.ndindex(shape):
        at = np.rint(nib.affines.apply_affine(to_mask, index)).astype(int)
        if (at >= 0).all() and (at < mask.shape).all():
            found[index] = mask[tuple(at)]
    return found


@pytest.mark.parametrize("step", [(1.0, 1.0, 1.0), (2.8, 1.7, 3.3)])
def test_a_mask_on_another_grid_gives_its_nearest_voxels(step):
    mask = _volume() > 0
    affine = nib.affines.from_matvec(np.diag(step), [-9.7, -18.9, 4.3])
    masker = Masker.resolve(nib.Nifti1Image(mask.astype(np.uint8), AFFINE))
    volume = np.ones((5, 4, 6), np.float32)
    found = _find(masker, volume, affine=affine)
    np.testing.assert_array_equal(found, _nearest(mask, AFFINE, volume.shape, affine))
    assert 0 < found.sum() < found.size


def test_a_mask_of_the_same_shape_elsewhere_is_resampled():
    mask = _volume() > 0
    affine = AFFINE.copy()
    affine[0, 3] += 2  # one voxel
    masker = Masker.resolve(nib.Nifti1Image(mask.astype(np.uint8), AFFINE))
    found = _find(masker, _volume(1), affine=affine)
    np.testing.assert_array_equal(found[:-1], mask[1:])
    assert not found[-1].any()


def test_mni152_is_nilearns_mask():
    from nilearn.datasets import load_mni152_brain_mask

    affine = nib.affines.from_matvec(np.diag([8.0, 8.0, 8.0]), [-80, -116, -72])
    volume = np.zeros((20, 25, 20), np.float32)
    found = _find(Masker.resolve("mni152"), volume, affine=affine)
    image = load_mni152_brain_mask(resolution=1)
    mask = np.asanyarray(image.dataobj) != 0
    expected = _nearest(mask, image.affine, volume.shape, affine)
    np.testing.assert_array_equal(found, expected)
    assert 2000 < found.sum() < 5000  # 1 to 2.5 l in voxels of 0.5 ml


@pytest.mark.parametrize("mask_img", [None, "mni152", "image"])
def test_an_empty_mask_names_images_and_remedy(mask_img):
    remedy = {
        None: "differs from zero",
        "mni152": "register",
        "image": "same space",
    }[mask_img]
    if mask_img == "image":
        mask_img = nib.Nifti1Image(np.ones(SHAPE, np.uint8), AFFINE)
    affine = AFFINE.copy()
    affine[:3, 3] += 1000
    with pytest.raises(ValueError, match="mask is empty.*scan0 and scan1.*") as error:
        _find(Masker.resolve(mask_img), *np.zeros((2, *SHAPE), "f4"), affine=affine)
    assert remedy in str(error.value)


def test_brains_that_share_no_voxel_have_an_empty_mask():
    a, b = _volume(zeros=[slice(3, None)]), _volume(zeros=[slice(0, 3)])
    with pytest.raises(ValueError, match="mask is empty"):
        _find(Masker.resolve(None), a, b)


def test_a_mask_image_of_zeros_is_refused():
    with pytest.raises(ValueError, match="mask_img is empty"):
        Masker.resolve(nib.Nifti1Image(np.zeros(SHAPE, np.uint8), AFFINE))


def test_a_missing_mask_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"mask_img .*brain\.nii.*Check"):
        Masker.resolve(tmp_path / "brain.nii")


def test_mni152_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "nilearn.datasets", None)
    with pytest.raises(ImportError, match=r"pip install .*sklearn_lsdn\[demo\]"):
        _find(Masker.resolve("mni152"), _volume())

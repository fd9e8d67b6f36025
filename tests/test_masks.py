"""Masks: where the brain is.

Syntheses of scans whose background is not zero are in test_what_is_brain.py.
"""

import sys

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage
from small_volumes import make_brain

from sklearn_lsdn import LSDNRegressor, VolumeSynthesizer
from sklearn_lsdn.exceptions import BrainWarning, MaskWarning
from sklearn_lsdn.volumes._images import open_image
from sklearn_lsdn.volumes._masks import Masker

SHAPE = (14, 16, 12)
AFFINE = nib.affines.from_matvec(np.diag([2.0, 2.0, 2.0]), [-10, -20, 4])
BRAIN, _ = make_brain(SHAPE)


def _volume(seed=0, brain=BRAIN, background=0):
    tissue = np.random.RandomState(seed).uniform(50, 150, SHAPE)
    return np.where(brain, tissue, background).astype(np.float32)


def _file(volume, affine=AFFINE, name="scan"):
    return open_image(nib.Nifti1Image(np.float32(volume), affine), name)


def _find(masker, *volumes, affine=AFFINE):
    """The mask, of which nothing is doubtful."""
    brain = _brain(masker, *volumes, affine=affine)
    assert brain.doubts == []
    return brain.mask


def _brain(masker, *volumes, affine=AFFINE):
    files = [_file(v, affine, f"scan{i}") for i, v in enumerate(volumes)]
    return masker.find(files, list(volumes))


def _image(mask, affine=AFFINE):
    return nib.Nifti1Image(mask, affine)


# Without a mask


@pytest.mark.parametrize("background", [0, -5, 7.3, -1024, 3e4, np.nan])
def test_the_brain_is_what_differs_from_a_constant_background(background):
    masker = Masker.resolve(None)
    assert masker.strategy == "background"
    found = _find(masker, _volume(background=background))
    assert found.dtype == bool
    np.testing.assert_array_equal(found, BRAIN)


@pytest.mark.parametrize("background", [0, 200])
def test_a_background_that_hardly_differs_is_none_of_it(background):
    noise = np.random.RandomState(1).normal(background, 1e-6, SHAPE)
    found = _find(Masker.resolve(None), _volume(background=noise))
    np.testing.assert_array_equal(found, BRAIN)


def test_negative_tissue_is_brain():
    volume = _volume() - 100 * BRAIN.astype(np.float32)
    assert (volume < 0).any()
    assert (volume > 0).any()
    np.testing.assert_array_equal(_find(Masker.resolve(None), volume), BRAIN)


def test_the_brain_of_several_images_is_in_all_of_them():
    second = BRAIN.copy()
    second[:, :4] = False
    pair = _volume(0), _volume(1, second)
    np.testing.assert_array_equal(_find(Masker.resolve(None), *pair), second)


def test_z_scores_keep_tissue_that_is_as_the_background():
    volume = _volume()
    volume[BRAIN] = (volume[BRAIN] - 100) / 29
    volume[ndimage.binary_erosion(BRAIN) & (abs(volume) < 0.1)] = 0  # as of rounding
    assert np.count_nonzero(volume[BRAIN] == 0) > 10
    np.testing.assert_array_equal(_find(Masker.resolve(None), volume), BRAIN)


@pytest.mark.parametrize("intercept", [-1024, 0, 0.7, 300])
def test_scaled_integers_keep_their_background(intercept, tmp_path):
    image = _image(np.float32(_volume() + np.float32(intercept)))
    image.set_data_dtype(np.int16)
    nib.save(image, tmp_path / "scan.nii")
    file = open_image(tmp_path / "scan.nii", "scan")
    brain = Masker.resolve(None).find([file], [file.read()])
    np.testing.assert_array_equal(brain.mask, BRAIN)
    assert brain.doubts == []


def test_what_splines_leave_around_a_brain_is_none_of_it():
    fine, _ = make_brain((60, 66, 60))
    noise = np.random.RandomState(0).normal(size=fine.shape)
    tissue = ndimage.gaussian_filter(noise, 2)
    scan = np.where(fine, 100 + 20 * tissue / tissue.std(), 0)
    coarse = ndimage.zoom(scan, 1 / 3, order=3).astype(np.float32)  # of 3 mm
    truth = ndimage.zoom(fine.astype(np.float32), 1 / 3, order=1) > 0.5
    assert np.mean((coarse != 0)[~truth]) > 0.2
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    found = _find(Masker.resolve(None), coarse, affine=affine)
    assert np.count_nonzero(found & ~truth) < 0.1 * np.count_nonzero(truth)
    assert np.count_nonzero(truth & ~found) < 0.02 * np.count_nonzero(truth)


def test_specks_are_dropped_and_small_holes_filled():
    volume = _volume()
    volume[0, 0, :2] = volume[-1, -1, -1] = 90
    volume[6, 8, 5:7] = 0
    np.testing.assert_array_equal(_find(Masker.resolve(None), volume), BRAIN)


def test_large_holes_stay():
    brain = BRAIN.copy()
    brain[5:8, 6:10, 5:8] = False
    found = _find(Masker.resolve(None), _volume(brain=brain))
    np.testing.assert_array_equal(found, brain)


def test_the_brain_has_a_volume():
    brain = _brain(Masker.resolve(None), _volume())
    assert brain.millilitres == pytest.approx(8e-3 * BRAIN.sum())


# Images of masks


@pytest.mark.parametrize(
    ("outside", "inside"),
    [(0, 1), (-1, 1), (0, 255), (0, 0.3), (1, 2), (0, 50), (-3, -1)],
)
@pytest.mark.parametrize("residue", [0, 1e-6])
def test_of_two_values_the_larger_is_inside(outside, inside, residue):
    mask = np.where(BRAIN, inside, outside).astype(np.float32)
    mask += residue * np.random.RandomState(0).normal(size=SHAPE).astype(np.float32)
    found = _find(Masker.resolve(_image(mask)), _volume())
    np.testing.assert_array_equal(found, BRAIN)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64])
def test_masks_are_of_any_kind_of_numbers(dtype):
    found = _find(Masker.resolve(_image(BRAIN.astype(dtype))), _volume())
    np.testing.assert_array_equal(found, BRAIN)


@pytest.mark.parametrize("whole", [1, 100])
def test_probabilities_count_from_one_half_with_a_warning(whole):
    share = ndimage.gaussian_filter(BRAIN.astype(np.float32), 1)
    with pytest.warns(MaskWarning, match=f"mask_img .*what is above {whole / 2:g} is"):
        masker = Masker.resolve(_image(whole * share))
    np.testing.assert_array_equal(_find(masker, _volume()), share > 0.5)


def test_a_mask_that_splines_resampled_counts_from_one_half():
    fine, _ = make_brain((40, 44, 38))
    turned = ndimage.rotate(fine.astype(np.float32), 13, order=3, reshape=False)
    assert turned.min() < -0.2
    assert turned.max() > 1.2
    with pytest.warns(MaskWarning, match="taken for probabilities"):
        masker = Masker.resolve(_image(turned))
    np.testing.assert_array_equal(masker.data, turned > 0.5)


@pytest.mark.parametrize("labels", [(0, 1, 2, 3), (-3, 0, 1), (0, 10, 100)])
def test_labels_are_no_mask(labels):
    data = np.zeros(SHAPE, dtype=np.int16)
    for i, label in enumerate(labels):
        data[i * 3 : (i + 1) * 3] = label
    words = f"mask_img holds values between {min(labels)} and {max(labels)}"
    with pytest.raises(ValueError, match=words):
        Masker.resolve(_image(data))


def test_a_scan_is_no_mask():
    with pytest.raises(ValueError, match=r"neither a mask .* Give a mask of the brain"):
        Masker.resolve(_image(_volume()))


@pytest.mark.parametrize("value", [1, 255, -1])
def test_a_single_value_shows_no_brain(value):
    with pytest.raises(ValueError, match=f"mask_img holds nothing but {value}, which"):
        Masker.resolve(_image(np.full(SHAPE, value, np.int16)))


def test_a_mask_image_holds_voxels_where_scans_are_background():
    volume = _volume()
    volume[:5] = 0
    masker = Masker.resolve(_image(BRAIN.astype(np.uint8)))
    np.testing.assert_array_equal(_find(masker, volume), BRAIN)


def test_a_mask_of_which_much_is_background_is_doubted():
    volume = _volume()
    volume[:9] = 0
    brain = _brain(Masker.resolve(_image(BRAIN.astype(np.uint8))), _volume(1), volume)
    np.testing.assert_array_equal(brain.mask, BRAIN)
    (doubt,) = brain.doubts
    assert type(doubt) is BrainWarning
    empty = f"{np.mean(volume[BRAIN] == 0):.0%}"
    assert str(doubt).startswith(f"scan1: {empty} of the mask's voxels are background.")


def test_what_is_not_finite_outside_the_brain_is_taken_for_background():
    scan, lost = _volume(), np.random.RandomState(0).uniform(size=SHAPE) < 0.2
    broken = np.where(lost & ~BRAIN, np.nan, scan)
    network = LSDNRegressor((4,), max_iter=1)
    for mask_img in (None, _image(BRAIN.astype(np.uint8))):
        s = VolumeSynthesizer(network, mask_img=mask_img, n_voxels=100, random_state=0)
        predicted = [
            s.fit([_image(data)], [_image(200 * BRAIN - scan)]).predict([_image(data)])
            for data in (scan, broken)
        ]
        np.testing.assert_array_equal(*[image.get_fdata() for (image,) in predicted])


@pytest.mark.parametrize("kind", [str, lambda p: p, nib.load])
def test_a_mask_comes_as_path_or_image(kind, tmp_path):
    nib.save(_image(BRAIN.astype(np.uint8)), tmp_path / "mask.nii.gz")
    masker = Masker.resolve(kind(tmp_path / "mask.nii.gz"))
    np.testing.assert_array_equal(_find(masker, _volume()), BRAIN)


def test_a_mask_in_another_orientation_is_turned():
    mask = BRAIN.copy()
    mask[:5, 9:] = False  # which tells its sides
    image = _image(mask.astype(np.uint8))
    turned = image.as_reoriented([[1, -1], [2, 1], [0, -1]])
    assert turned.shape != image.shape
    np.testing.assert_array_equal(_find(Masker.resolve(turned), _volume()), mask)


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
    mask = np.random.RandomState(0).uniform(size=SHAPE) < 0.5
    affine = nib.affines.from_matvec(np.diag(step), [-9.7, -18.9, 4.3])
    masker = Masker.resolve(_image(mask.astype(np.uint8)))
    volume = np.random.RandomState(1).uniform(50, 150, (9, 8, 7)).astype(np.float32)
    found = _find(masker, volume, affine=affine)
    np.testing.assert_array_equal(found, _nearest(mask, AFFINE, volume.shape, affine))
    assert 0 < found.sum() < found.size


def test_a_mask_of_the_same_shape_elsewhere_is_resampled():
    affine = AFFINE.copy()
    affine[0, 3] += 2  # one voxel
    masker = Masker.resolve(_image(BRAIN.astype(np.uint8)))
    found = _find(masker, _volume(), affine=affine)
    np.testing.assert_array_equal(found[:-1], BRAIN[1:])
    assert not found[-1].any()


def test_mni152_is_nilearns_mask():
    from nilearn.datasets import load_mni152_brain_mask

    affine = nib.affines.from_matvec(np.diag([8.0, 8.0, 8.0]), [-80, -116, -72])
    volume = np.random.RandomState(0).uniform(50, 150, (20, 25, 20)).astype(np.float32)
    found = _find(Masker.resolve("mni152"), volume, affine=affine)
    image = load_mni152_brain_mask(resolution=1)
    mask = np.asanyarray(image.dataobj) != 0
    expected = _nearest(mask, image.affine, volume.shape, affine)
    np.testing.assert_array_equal(found, expected)
    assert 2000 < found.sum() < 5000  # 1 to 2.5 l in voxels of 0.5 ml


@pytest.mark.parametrize("mask_img", [None, "mni152", "image"])
def test_an_empty_mask_names_images_and_remedy(mask_img):
    remedy = {
        None: "differs from the background",
        "mni152": "give its own mask",
        "image": "same space",
    }[mask_img]
    if mask_img == "image":
        mask_img = _image(BRAIN.astype(np.uint8))
    affine = AFFINE.copy()
    affine[:3, 3] += 1000
    with pytest.raises(ValueError, match="mask is empty.*scan0 and scan1.*") as error:
        _find(Masker.resolve(mask_img), *np.zeros((2, *SHAPE), "f4"), affine=affine)
    assert remedy in str(error.value)


def test_brains_that_share_no_voxel_have_an_empty_mask():
    left = BRAIN & (np.arange(SHAPE[0])[:, None, None] < 7)
    a, b = _volume(brain=left), _volume(brain=BRAIN & ~left)
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

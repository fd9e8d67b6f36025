"""What is brain: the synthesis is that of a clean scan, or the doubt is told."""

import warnings

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage
from small_phantoms import (
    AFFINE,
    SHAPE,
    brain,
    clean,
    contrasts,
    fitted,
    image,
    small,
    snr,
)

from sklearn_lsdn.exceptions import BrainWarning
from sklearn_lsdn.volumes._brain import foreground, in_large_pieces

T1W, T2W = contrasts(3)
INSIDE = T1W != 0


def noisy(data, seed, size=1e-6):
    noise = np.random.RandomState(seed).normal(size=SHAPE)
    return (data + size * noise).astype(np.float32)


def outside(value):
    return lambda data, seed: np.where(data != 0, data, value).astype(np.float32)


def z_scored(data, seed):
    values = data[data != 0]
    return np.where(data != 0, (data - values.mean()) / values.std(), 0)


def with_hot_voxels(data, seed):
    changed = data.copy()
    places = np.argwhere(data != 0)
    chosen = np.random.RandomState(seed).choice(len(places), 3, replace=False)
    changed[tuple(places[chosen].T)] = 5000
    return changed


def with_specks(data, seed):
    changed = data.copy()
    changed[0, 0, :3] = changed[-2, 1, 1] = 90
    return changed


# What is done to a scan before it is given, and what it then means.
ORDINARY = {
    "noise of 1e-6": noisy,
    "noise of 0.1": lambda data, seed: noisy(data, seed, 0.1),
    "-1024 outside": outside(-1024),
    "0.25 outside": outside(0.25),
    "NaN outside": outside(np.nan),
    "hot voxels": with_hot_voxels,
    "specks": with_specks,
}
COHORTS = ORDINARY | {"negative": lambda data, seed: -data}  # another contrast alone


@pytest.mark.parametrize("change", ORDINARY.values(), ids=ORDINARY)
def test_the_synthesis_of_a_new_scan_is_that_of_a_clean_one(change):
    (synthesis,) = fitted().predict([image(change(T1W, 1))])
    assert snr(synthesis) > clean() - 0.5


@pytest.mark.parametrize("change", COHORTS.values(), ids=COHORTS)
def test_the_synthesis_of_a_cohort_is_that_of_a_clean_one(change):
    scans = [contrasts(seed) for seed in range(3)]
    sources = [image(change(each[0], i)) for i, each in enumerate(scans)]
    targets = [image(change(each[1], i + 9)) for i, each in enumerate(scans)]
    model = small().fit(sources, targets)
    (synthesis,) = model.predict([image(change(T1W, 5))])
    sign = -1 if change is COHORTS["negative"] else 1
    assert snr(synthesis, truth=sign * T2W) > clean() - 0.5


def test_scores_are_of_the_brain_whatever_the_background():
    score = fitted().score([image(T1W)], [image(outside(-1024)(T2W, 0))])
    assert abs(score - fitted().score([image(T1W)], [image(T2W)])) < 0.01


def test_z_scores_keep_voxels_that_are_as_the_background():
    normalised = z_scored(T1W, 0).astype(np.float32)
    normalised[abs(normalised) < 0.02] = 0  # as many as rounding would
    found = in_large_pieces(foreground(normalised))
    assert np.mean(found != INSIDE) < 0.001


@pytest.mark.parametrize("share", [1, 4, 8, 12, 20, 50, 80, 88, 92, 96, 99])
def test_tissue_on_the_other_side_of_the_background_is_brain(share):
    zero = np.percentile(T1W[INSIDE], share)
    shifted = np.where(INSIDE, T1W - zero, 0).astype(np.float32)
    found = in_large_pieces(foreground(shifted))
    assert np.count_nonzero(found != INSIDE) < 0.001 * np.count_nonzero(INSIDE)


def test_scaled_integers_keep_their_brain():
    shifted = np.where(INSIDE, T1W - 130, 0).astype(np.float32)
    stored = image(shifted, dtype=np.int16)
    read = nib.Nifti1Image.from_bytes(stored.to_bytes()).get_fdata(dtype=np.float32)
    assert len(np.unique(read[~INSIDE])) == 1
    assert (read[~INSIDE] != 0).all()  # by rounding
    assert np.mean(in_large_pieces(foreground(read)) != INSIDE) < 0.001


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_what_a_spline_leaves_around_a_brain_is_no_brain(dtype):
    fine = ndimage.zoom(brain().astype(np.float32), 2, order=1) > 0.5
    texture = ndimage.gaussian_filter(
        np.random.RandomState(0).normal(size=fine.shape), 2
    )
    scan = np.where(fine, 100 + 20 * texture / texture.std(), 0)
    coarse = ndimage.zoom(scan, 1 / 3, order=3).astype(dtype).astype(np.float32)
    truth = ndimage.zoom(fine.astype(np.float32), 1 / 3, order=1) > 0.5
    found, brain_size = in_large_pieces(foreground(coarse)), np.count_nonzero(truth)
    assert np.count_nonzero((coarse != 0) & ~truth) > 0.15 * brain_size
    assert np.count_nonzero(found & ~truth) < 0.05 * brain_size
    assert np.count_nonzero(truth & ~found) < 0.01 * brain_size


def test_small_holes_are_brain_and_large_ones_are_not():
    scan = T1W.copy()
    scan[10, 12, 12:14] = 0
    scan[15:20, 15:22, 10:16] = 0
    found = in_large_pieces(foreground(scan))
    assert found[10, 12, 12:14].all()
    assert not found[15:20, 15:22, 10:16].any()


def test_two_constants_may_fill_the_border():
    scan = np.where(INSIDE, T1W, -3.5).astype(np.float32)
    scan[:, :6][~INSIDE[:, :6]] = 0  # where a rotation brought in what was not there
    assert (in_large_pieces(foreground(scan)) == INSIDE).all()


def head():
    """A brain in a skull that reaches the noise of the air."""
    noise = abs(np.random.RandomState(0).normal(0, 2, SHAPE))
    return np.where(brain(0.97), T1W + 60, noise).astype(np.float32)


AIR = np.random.RandomState(0).uniform(20, 150, SHAPE)
LARGE = AFFINE @ np.diag([4.0, 4.0, 4.0, 1])
DOUBTFUL = {
    "no background": (np.where(INSIDE, T1W, AIR), AFFINE),
    "a head": (head(), AFFINE @ np.diag([3.0, 3.0, 3.0, 1])),
    "a giant": (T1W, LARGE),
    "a midge": (T1W, AFFINE @ np.diag([0.05, 0.05, 0.05, 1])),
    "half of it": (np.where(np.arange(30)[:, None, None] < 14, T1W, 0), AFFINE),
}


@pytest.mark.filterwarnings("ignore:.*unlike the scans of training:UserWarning")
@pytest.mark.parametrize(("data", "affine"), DOUBTFUL.values(), ids=DOUBTFUL)
def test_what_can_hardly_be_a_brain_is_named(data, affine, tmp_path):
    path = tmp_path / "sub-03_T1w.nii.gz"
    nib.save(image(data.astype(np.float32), affine), path)
    with pytest.warns(BrainWarning, match="sub-03_T1w.nii.gz"):
        fitted().predict([path])


def test_contrasts_that_do_not_show_one_brain_are_named():
    with pytest.warns(BrainWarning, match=r"targets\[0\]: .*% of what is not"):
        fitted().score([image(T1W)], [image(head())])


def test_one_who_is_not_stripped_is_named_in_training():
    scans = [contrasts(seed) for seed in range(4)]
    sources = [image(each[0]) for each in scans]
    targets = [image(each[1]) for each in scans]
    skull = np.where(brain(0.999), 150, 0)
    sources[1], targets[1] = (
        image(np.where(each != 0, each, skull).astype(np.float32)) for each in scans[1]
    )
    with pytest.warns(BrainWarning) as record:
        small().fit(sources, targets)
    assert all("sources[1]" in str(each.message) for each in record)


def test_clean_heads_are_not_doubted():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted().predict([image(T1W)])
        fitted().score([image(T1W)], [image(T2W)])
        fitted().shrink([image(T1W)], [image(T2W)], keep=0.5)

"""Rigid registration: known displacements are found again, doubts are raised."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sklearn_lsdn.datasets import make_brain_cohort
from sklearn_lsdn.exceptions import PlaceWarning
from sklearn_lsdn.volumes._bias_field import correct_bias
from sklearn_lsdn.volumes._registration import (
    AffineTransform,
    RegistrationWarning,
    align,
    estimate,
    register_affine,
    register_rigid,
    resample,
)

sitk = pytest.importorskip("SimpleITK", reason="registration needs SimpleITK")


@pytest.fixture(scope="module")
def scans():
    """T1w and T2w of two subjects, 4 mm."""
    return make_brain_cohort(2, voxel_size=4, random_state=0).images


@pytest.fixture(scope="module")
def t1w(scans):
    return scans["T1w"][0]


@pytest.fixture(scope="module")
def t2w(scans):
    return scans["T2w"][0]


def _points(image):
    """Places in the brain, in world mm."""
    voxels = np.argwhere(np.asarray(image.dataobj) != 0)
    return nib.affines.apply_affine(image.affine, voxels[::97])


def _rigid(image, angles=(0, 0, 0), shift=(0, 0, 0)):
    """Turn by degrees about the middle of the brain, then shift by mm."""
    middle = _points(image).mean(axis=0)
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    matrix[:3, 3] = middle - matrix[:3, :3] @ middle + shift
    return AffineTransform(matrix)


def _errors(moving, fixed, displacement):
    """Largest displacement in mm, and degrees, that are left after registration."""
    moved = resample(moving, fixed, displacement, interpolation="linear")
    _, found = register_rigid(moved, fixed)
    left = found.then(displacement)
    return left.displacement(_points(fixed)).max(), left.angle


MOTIONS = [
    ((0, 0, 0), (0, 0, 0)),
    ((5, -3, 8), (6, -4, 9)),
    ((-12, 10, 15), (-20, 15, 10)),
]


@pytest.mark.parametrize(("angles", "shift"), MOTIONS)
def test_known_displacements_are_found(t1w, t2w, angles, shift):
    mm, degrees = _errors(t2w, t1w, _rigid(t1w, angles, shift))
    assert mm < 0.5
    assert degrees < 0.5


@pytest.mark.parametrize(
    ("subject", "moving", "fixed"), [("sub-19", "T2w", "T1w"), ("sub-26", "T1w", "T2w")]
)
def test_known_displacements_of_real_scans_are_found(open_ms, subject, moving, fixed):
    """As measured against the images where the archive has put them, which mutual
    information would put up to 0.9 mm elsewhere; with every other voxel, for time."""
    stem = open_ms / subject / "anat" / f"{subject}_space-MNI152_desc-preproc_"
    moving, fixed = (
        nib.load(f"{stem}{name}.nii.gz").slicer[::2, ::2, ::2]
        for name in (moving, fixed)
    )
    at_rest, points = estimate(moving, fixed), _points(fixed)
    assert at_rest.displacement(points).max() < 1
    displacement = _rigid(fixed, (-9, 6, 12), (12, -15, 8))
    moved = resample(moving, fixed, displacement, interpolation="linear")
    found = estimate(moved, fixed).then(displacement)
    apart = found.apply(points) - at_rest.apply(points)
    assert np.linalg.norm(apart, axis=1).max() < 0.5
    turn = found.matrix[:3, :3] @ at_rest.matrix[:3, :3].T
    assert Rotation.from_matrix(turn).magnitude() < np.radians(0.5)


def test_headers_far_apart_are_bridged(t1w, t2w):
    affine = t2w.affine.copy()
    affine[:3, 3] += 300
    far = nib.Nifti1Image(t2w.get_fdata(), affine)
    _, transform = register_rigid(far, t1w)
    assert np.abs(transform.displacement(_points(t1w)) - 300 * 3**0.5).max() < 1


def test_the_same_bits_every_time(t1w, t2w):
    first, second = (register_rigid(t2w, t1w) for _ in range(2))
    assert (first[1].matrix == second[1].matrix).all()
    assert (first[0].get_fdata() == second[0].get_fdata()).all()


def test_the_same_bits_whatever_the_threads(t1w, t2w):
    """Of ITK, and of this process."""
    found, few = [], t1w.slicer[::2, ::2, ::2]
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    try:
        for n in (1, 3):
            sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(n)
            found.append((estimate(t2w, t1w).matrix, correct_bias(few).read()))
        with ThreadPoolExecutor(2) as pool:
            tasks = [pool.submit(estimate, t2w, t1w) for _ in range(2)]
            found += [(task.result().matrix, found[0][1]) for task in tasks]
        assert sitk.ProcessObject.GetGlobalDefaultNumberOfThreads() == 3
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)
    for matrix, voxels in found[1:]:
        assert (matrix == found[0][0]).all()
        assert (voxels == found[0][1]).all()


def test_a_head_of_another_size_is_fitted(t1w, t2w):
    """By an affine transform, which tells zooms and rotation; rigidly it cannot be."""
    truth = _rigid(t1w, (6, -4, 8), (5, -3, 6)).matrix @ np.diag([0.9, 0.95, 0.85, 1])
    stretched = AffineTransform(truth)
    moved = resample(t2w, t1w, stretched, interpolation="linear")
    image, found = register_affine(moved, t1w)
    left = found.then(stretched)
    assert left.displacement(_points(t1w)).max() < 1
    assert found.zooms == pytest.approx(
        AffineTransform(np.linalg.inv(truth)).zooms, abs=0.02
    )
    assert found.angle == pytest.approx(stretched.angle, abs=1)
    expected = t2w.get_fdata()
    both = (image.get_fdata() != 0) & (expected != 0)
    assert both.sum() > 0.95 * (expected != 0).sum()
    alone = align(moved, t1w)
    assert alone.transform.zooms == pytest.approx([1, 1, 1])
    fitted = align(moved, t1w, degrees="affine")
    assert fitted.dice > alone.dice + 0.05
    assert fitted.information[1] > alone.information[1] > alone.information[0]


def test_the_pose_of_another_head(t1w, t2w):
    """However a head lies, and of whatever size it is, it comes to lie the same way;
    averaged voxels do for that."""
    size = AffineTransform(np.diag([0.9, 0.95, 0.85, 1]))
    points, places = _points(t1w), []
    for angles, shift in (((0, 0, 0), (0, 0, 0)), ((10, -8, 12), (15, -10, 9))):
        motion = _rigid(t1w, angles, shift)
        head = nib.Nifti1Image(t2w.dataobj, size.then(motion).matrix @ t2w.affine)
        for options in ({}, {"voxel_size": 8}):
            found = estimate(head, t1w, degrees="pose", **options)
            assert found.zooms == pytest.approx([1, 1, 1])
            back = AffineTransform(np.linalg.inv(motion.matrix))
            places.append(found.then(back).apply(points))
    for other, mm in zip(places[1:], (4, 1, 4), strict=True):
        assert np.linalg.norm(other - places[0], axis=1).mean() < mm
    with pytest.raises(ValueError, match="degrees must be rigid, affine or pose"):
        estimate(t2w, t1w, degrees="spline")


def test_a_mirror_is_told():
    mirror = AffineTransform(np.diag([-1.0, 1.0, 1.0, 1.0]))
    assert mirror.mirrors
    assert not AffineTransform(np.eye(4)).mirrors
    assert 0 <= mirror.angle <= 180


def test_the_numbers_of_an_alignment(t1w, t2w):
    moved = resample(t2w, t1w, _rigid(t1w, (0, 0, 12), (3, 4, 12)))
    alignment = align(moved, t1w)
    assert alignment.transform.angle == pytest.approx(12, abs=0.5)
    assert alignment.shift == pytest.approx(13, abs=1)
    assert alignment.dice > 0.97
    assert not alignment.doubts


def test_threads_of_others_are_left_alone(t1w, t2w):
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    register_rigid(t2w, t1w)
    assert sitk.ProcessObject.GetGlobalDefaultNumberOfThreads() == before


def test_a_result_lies_on_the_grid_of_the_fixed_image(t1w, t2w):
    to_lpi = nib.orientations.axcodes2ornt("LPI")
    turned = t1w.slicer[2:, :, :-3].as_reoriented(to_lpi)
    image, transform = register_rigid(t2w, turned)
    assert image.shape == turned.shape
    assert (image.affine == turned.affine).all()
    assert transform.displacement(_points(t1w)).max() < 0.5
    expected = t2w.slicer[2:, :, :-3].as_reoriented(to_lpi).get_fdata()
    brain = (image.get_fdata() != 0) & (expected != 0)
    assert np.corrcoef(image.get_fdata()[brain], expected[brain])[0, 1] > 0.98


@pytest.mark.parametrize("interpolation", ["linear", "bspline"])
def test_resampling_keeps_surroundings_and_range(t2w, interpolation):
    shift = _rigid(t2w, shift=(1.5, -2.0, 0.7))
    image = resample(t2w, t2w, shift, interpolation=interpolation)
    before, after = t2w.get_fdata(), image.get_fdata()
    assert after.max() <= before.max()
    assert after.min() == 0
    assert (after != 0).sum() == pytest.approx((before != 0).sum(), rel=0.05)


def test_the_identity_changes_nothing(t2w):
    image = resample(t2w, t2w, AffineTransform(np.eye(4)))
    assert np.abs(image.get_fdata() - t2w.get_fdata()).max() < 1e-3 * np.max(
        t2w.dataobj
    )


def test_two_steps_are_one_transform(t1w):
    first = _rigid(t1w, (3, 0, -5), (1, 2, 3))
    second = _rigid(t1w, (0, 8, 1), (-4, 0, 2))
    points = _points(t1w)
    both = first.then(second).apply(points)
    assert np.allclose(both, second.apply(first.apply(points)))


def test_a_transform_file_means_the_same_to_itk(t1w, t2w, tmp_path):
    transform = _rigid(t1w, (10, -4, 6), (5, 8, -3))
    path = tmp_path / "x.tfm"
    transform.save(path)
    with pytest.raises(FileExistsError):
        transform.save(path)
    for name, image in (("fixed", t1w), ("moving", t2w)):
        nib.save(image, tmp_path / f"{name}.nii")
    fixed, moving = (
        sitk.ReadImage(str(tmp_path / f"{name}.nii")) for name in ("fixed", "moving")
    )
    read = sitk.ReadTransform(str(path))
    theirs = sitk.GetArrayFromImage(sitk.Resample(moving, fixed, read)).T
    ours = resample(t2w, t1w, transform, interpolation="linear").get_fdata()
    brain = (ours != 0) & (theirs != 0)
    assert brain.sum() > 0.9 * (ours != 0).sum()
    assert np.allclose(ours[brain], theirs[brain], rtol=1e-3, atol=1e-3)


def test_a_mask_says_where_to_look(t1w, t2w):
    """Half of the moving image is replaced by another's; the mask leaves that out."""
    displacement = _rigid(t1w, (3, 2, -4), (4, -3, 2))
    moved = resample(t2w, t1w, displacement, interpolation="linear")
    voxels, half = moved.get_fdata(), moved.shape[0] // 2
    voxels[half:] = voxels[half:][:, ::-1, ::-1]
    broken = nib.Nifti1Image(voxels, moved.affine)
    keep = np.zeros(moved.shape, dtype=np.uint8)
    keep[: half - 1] = 1
    mask = nib.Nifti1Image(keep, moved.affine)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RegistrationWarning)
        found = estimate(broken, t1w, moving_mask=mask)
    assert found.then(displacement).displacement(_points(t1w)).max() < 2


@pytest.mark.parametrize(
    ("name", "doubt"), [("upside down", "of the smaller head"), ("noise", "share")]
)
def test_what_looks_wrong_is_said(t1w, t2w, name, doubt):
    voxels = t2w.get_fdata()
    if name == "noise":
        voxels = np.random.default_rng(0).uniform(size=voxels.shape)
    else:
        voxels = voxels[:, :, ::-1]
    image = nib.Nifti1Image(voxels.astype(np.float32), t2w.affine)
    with pytest.warns(RegistrationWarning, match=doubt):
        register_rigid(image, t1w)


def test_another_subject_raises_no_doubt(scans):
    register_rigid(scans["T1w"][1], scans["T1w"][0])


def test_an_image_that_shows_nothing_is_refused(t1w):
    nothing = nib.Nifti1Image(np.ones(t1w.shape, dtype=np.float32), t1w.affine)
    with pytest.raises(ValueError, match="cannot be registered"):
        register_rigid(nothing, t1w)
    with pytest.raises(ValueError, match="interpolation must be one of"):
        resample(t1w, t1w, AffineTransform(np.eye(4)), interpolation="cubic")


def test_metres_are_registered_as_mm(t1w, t2w):
    """The image and the reference; the outcome lies on the reference's grid."""
    shift = _rigid(t1w, shift=(5, -4, 6))
    moved = resample(t2w, t1w, shift, interpolation="linear")
    expected, straight = register_rigid(moved, t1w)
    scans = []
    for image in (moved, t1w):
        affine = np.diag([1e-3, 1e-3, 1e-3, 1]) @ image.affine
        scans.append(nib.Nifti1Image(image.dataobj, affine))
        scans[-1].header.set_xyzt_units("meter")
    aligned, transform = register_rigid(*scans)
    assert aligned.header.get_xyzt_units()[0] == "meter"
    np.testing.assert_allclose(aligned.affine, scans[1].affine, rtol=1e-6)
    np.testing.assert_allclose(transform.matrix, straight.matrix, atol=0.05)
    np.testing.assert_allclose(
        aligned.get_fdata().mean(), expected.get_fdata().mean(), rtol=0.01
    )


@pytest.mark.filterwarnings("always::sklearn_lsdn.exceptions.PlaceWarning")
def test_a_doubtful_header_is_told(t1w, t2w):
    doubtful = nib.Nifti1Image(t2w.dataobj, t2w.affine)
    doubtful.header.set_xyzt_units("meter")
    with pytest.warns(PlaceWarning, match="moving says that it is measured in metres"):
        estimate(doubtful, t1w)


def test_n4_takes_a_bias_field_out(t1w):
    """What it makes of a scan with a field differs little from what of one without."""
    t1w = t1w.slicer[::2, ::2, ::2]  # for time
    voxels = t1w.get_fdata()
    brain = voxels != 0
    x, y, _ = np.indices(voxels.shape) / np.reshape(voxels.shape, (3, 1, 1, 1))
    field = np.exp(0.6 * x - 0.4 * y**2)
    uneven = nib.Nifti1Image(np.float32(voxels * field), t1w.affine)
    as_it_was, corrected = (correct_bias(image).read() for image in (t1w, uneven))
    left = np.log(corrected[brain] / as_it_was[brain])
    assert left.std() < 0.3 * np.log(field[brain]).std()
    assert (corrected[~brain] == 0).all()
    inside = nib.Nifti1Image(np.uint8(brain), t1w.affine)
    assert (correct_bias(uneven, inside).read() == corrected).all()
    with pytest.raises(ValueError, match="its intensities are not positive"):
        correct_bias(nib.Nifti1Image(voxels - voxels[brain].mean(), t1w.affine))

"""Syntheses lie where their scans lie, for whoever reads them."""

import itertools

import nibabel as nib
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nibabel.affines import apply_affine, from_matvec
from scipy.spatial.transform import Rotation
from sklearn.linear_model import LinearRegression
from small_volumes import Cohort, framed, make_image

from sklearn_lsdn import VolumeSynthesizer
from sklearn_lsdn.exceptions import ScanWarning
from sklearn_lsdn.jobs import predict_files

ORIENTATIONS = [
    np.eye(3)[list(order)] * np.array(signs)[:, None]
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]
OBLIQUE = Rotation.from_euler("xyz", [12, -20, 31], degrees=True).as_matrix()


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    arrays = Cohort(tmp_path_factory.mktemp("grid")).arrays
    return [[make_image(framed(each)) for each in subject] for subject in arrays]


@pytest.fixture(scope="module")
def fitted(cohort):
    sources, targets = ([subject[i] for subject in cohort[:2]] for i in (0, 2))
    synthesizer = VolumeSynthesizer(LinearRegression(), n_voxels=400, random_state=0)
    return synthesizer.fit(sources, targets)


@pytest.mark.filterwarnings("ignore::sklearn_lsdn.exceptions.UnlikeWarning")
def test_it_overlays_its_scan_in_every_orientation(cohort, fitted, tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    image = pytest.importorskip("nilearn.image")
    scan = cohort[2][0]
    paths = []
    for i, (turn, tilt) in enumerate(
        itertools.product(ORIENTATIONS, (np.eye(3), OBLIQUE))
    ):
        axes, signs = np.abs(turn).argmax(axis=1), turn.sum(axis=1)
        data = scan.get_fdata(dtype=np.float32)
        data = np.transpose(np.flip(data, np.flatnonzero(signs < 0)), np.argsort(axes))
        matrix = tilt @ turn.T * np.array(scan.header.get_zooms())[np.argsort(axes)]
        placed = nib.Nifti1Image(data, from_matvec(matrix, [9, -8, 7]))
        placed.set_qform(placed.affine, 1)
        placed.set_sform(placed.affine, 1)
        paths.append(tmp_path / f"sub-{i}_T1w.nii.gz")
        nib.save(placed, paths[-1])
    written = predict_files(fitted, paths, tmp_path / "out")
    for path, output in zip(paths, written, strict=True):
        ours, theirs = image.load_img(output), image.load_img(path)
        corners = np.argwhere(np.ones((2, 2, 2))) * np.subtract(ours.shape, 1)
        apart = np.linalg.inv(theirs.affine) @ ours.affine
        assert np.abs(apply_affine(apart, corners) - corners).max() < 0.01
        np.testing.assert_array_equal(ours.get_fdata() != 0, theirs.get_fdata() != 0)
        itk, scan = sitk.ReadImage(str(output)), sitk.ReadImage(str(path))
        for corner in corners.tolist():
            there = scan.TransformPhysicalPointToContinuousIndex(
                itk.TransformIndexToPhysicalPoint(corner)
            )
            np.testing.assert_allclose(there, corner, atol=0.01)
        brain = sitk.GetArrayFromImage(itk) != 0
        np.testing.assert_array_equal(brain, sitk.GetArrayFromImage(scan) != 0)


def as_bytes(image):
    """As a file has it, whose sform may be any."""
    header = image.header
    header["vox_offset"] = 352
    data = np.asarray(image.dataobj).astype("<f4").tobytes(order="F")
    return header.binaryblock + bytes(4) + data


finite = st.floats(-4, 4)


@settings(max_examples=60)
@given(
    st.lists(finite, min_size=9, max_size=9),
    st.lists(st.floats(-1e4, 1e4), min_size=3, max_size=3),
)
@example([-2, 0, 0, 0, 2, 0, 0, 0, 2.5], [0, 0, 0])
@example([1e-7, 0, 0, 0, 2, 0, 0, 0, 2], [0, 0, 0])
@example([2, 2, 0, 2, 2.0001, 0, 0, 0, 2], [0, 0, 0])
@example([2, 2, 2, 2, 2, 2, 2, 2, 2], [0, 0, 0])
@example([0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0])
def test_any_affine_is_used_or_refused_in_words(cohort, fitted, matrix, origin):
    affine = from_matvec(np.reshape(matrix, (3, 3)), origin)
    scan = cohort[2][0]
    scan = nib.Nifti1Image(scan.get_fdata(dtype=np.float32), np.eye(4))
    scan.header.set_sform(affine, 1)
    scan = nib.Nifti1Image.from_bytes(as_bytes(scan))
    try:
        made = fitted.synthesize(scan)
    except ValueError as error:
        refusal = str(error)
        assert "affine that does not place its voxels" in refusal
        return
    assert all(isinstance(doubt, ScanWarning) for doubt in made.doubts)
    (found,) = made.images
    np.testing.assert_array_equal(found.affine, scan.affine)
    assert np.isfinite(found.get_fdata()).all()
    np.testing.assert_array_equal(found.get_fdata() != 0, scan.get_fdata() != 0)

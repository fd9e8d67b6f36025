"""RegistrationDisplay: lines lie where borders are."""

import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
import pytest

from sklearn_lsdn.datasets import make_brain_cohort
from sklearn_lsdn.display import RegistrationDisplay


@pytest.fixture(autouse=True)
def _close_figures():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def scans():
    cohort = make_brain_cohort(1, voxel_size=4, random_state=0)
    return cohort.images["T1w"][0], cohort.images["T2w"][0]


def _cube(low, high):
    voxels = np.zeros((40, 40, 40), dtype=np.float32)
    voxels[low:high, low:high, low:high] = 1
    return nib.Nifti1Image(voxels, np.diag([2.0, 2.0, 2.0, 1.0]))


@pytest.mark.parametrize("kind", ["mask", "image"])
def test_edges_are_drawn_where_the_border_is(kind):
    """Of an image in six panels, of which three are close; of a mask in three, with
    lines through its middle."""
    below, above = _cube(5, 35), _cube(12, 28)
    if kind == "image":
        above.dataobj[20, 20, 20] = 1.1
    display = RegistrationDisplay.from_images([("cube", below, above)])
    assert len(display.figure_.axes) == {"mask": 3, "image": 6}[kind]
    for i, ax in enumerate(display.figure_.axes):
        lines = {tuple(map(tuple, line.get_xydata())) for line in ax.lines}
        crossing = {((39, 0), (39, 1)), ((0, 39), (1, 39))}
        assert lines == (crossing if kind == "mask" else set())
        width = np.ptp(ax.get_xlim())
        assert width == pytest.approx(33 if i >= 3 else 66)
        (contour,) = ax.collections
        points = np.concatenate([path.vertices for path in contour.get_paths()])
        # The border runs between voxels 11 and 12, and 27 and 28, of 2 mm.
        nearest = np.abs(points[:, :, None] - [23, 55]).min(axis=(1, 2))
        assert len(points) > 40
        assert nearest.max() < 1


def test_a_row_for_each_pair_and_a_file(scans, tmp_path):
    t1w, t2w = scans
    pairs = [("a$^$b", t1w, t2w), ("two", t2w, t1w)]
    display = RegistrationDisplay.from_images(pairs, title="both")
    display.figure_.draw_without_rendering()
    assert display.axes_.shape == (4, 3)
    path = tmp_path / "edges.png"
    display.save(path)
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(FileExistsError):
        display.save(path)


def test_an_image_without_edges_is_drawn_all_the_same(scans):
    empty = nib.Nifti1Image(np.zeros(scans[0].shape, dtype=np.float32), scans[0].affine)
    RegistrationDisplay.from_images([("empty", scans[0], empty)])
    RegistrationDisplay.from_images([("empty", empty, scans[0])])


def test_images_of_one_value_below_0_are_drawn_all_the_same(scans):
    dark = nib.Nifti1Image(np.full(scans[0].shape, -5.0), scans[0].affine)
    display = RegistrationDisplay.from_images([("dark", dark, scans[0])])
    low, high = display.axes_[0, 0].images[0].get_clim()
    assert low == -5 < high


def test_no_images_are_refused():
    with pytest.raises(ValueError, match="pairs is empty"):
        RegistrationDisplay.from_images([])


def test_other_grids_are_refused(scans):
    with pytest.raises(ValueError, match="different grids"):
        RegistrationDisplay.from_images([("cut", scans[0], scans[1].slicer[1:])])

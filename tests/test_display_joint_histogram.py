"""JointHistogramDisplay: the right voxels in the right bins, on comparable axes."""

import subprocess
import sys

import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from sklearn_lsdn.display import JointHistogramDisplay

SHAPE = (12, 14, 10)
AFFINE = nib.affines.from_matvec(np.diag([2.0, 2.0, 3.0]), [-10, -20, -15])


@pytest.fixture(autouse=True)
def _close_figures():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def _image(volume, axes="RAS"):
    image = nib.Nifti1Image(np.asarray(volume, dtype=np.float32), AFFINE)
    return image.as_reoriented(
        ornt_transform(io_orientation(AFFINE), axcodes2ornt(axes))
    )


def _volumes():
    """Two contrasts of a box-shaped brain of 10 x 12 x 8 voxels."""
    x, y = np.random.RandomState(0).uniform(1, 100, (2, *SHAPE))
    brain = np.zeros(SHAPE, dtype=bool)
    brain[1:-1, 1:-1, 1:-1] = True
    return np.where(brain, x, 0), np.where(brain, y, 0), brain


def _world(index):
    return nib.affines.apply_affine(AFFINE, index)


def _expected(display, volumes, where):
    x, y, _ = volumes
    edges = display.edges_x, display.edges_y
    return np.histogram2d(x[where].astype("f4"), y[where].astype("f4"), bins=edges)[0]


def test_the_whole_brain_is_counted_once():
    volumes = _volumes()
    x, y, brain = volumes
    display = JointHistogramDisplay.from_images(_image(x), _image(y), bins=16)
    assert display.counts.shape == (16, 16)
    np.testing.assert_array_equal(display.counts, _expected(display, volumes, brain))
    left_out = brain.sum() - display.counts.sum()
    assert 0 < left_out <= 0.004 * brain.sum() + 4
    for edges, volume in ((display.edges_x, x), (display.edges_y, y)):
        ends = np.percentile(volume[brain], [0.1, 99.9])
        assert edges[[0, -1]] == pytest.approx(ends, rel=1e-5)


@pytest.mark.parametrize("axes", ["RAS", "LPI", "SRA"])
@pytest.mark.parametrize(
    ("size", "cube"),
    [
        (1, np.s_[5:6, 6:7, 4:5]),
        (3, np.s_[4:7, 5:8, 3:6]),
        (4, np.s_[3:7, 4:8, 2:6]),
    ],
)
def test_a_neighbourhood_lies_around_its_world_coordinates(axes, size, cube):
    volumes = _volumes()
    x, y, _ = volumes
    display = JointHistogramDisplay.from_images(
        _image(x, axes), _image(y, axes), center=_world([5, 6, 4]), size=size
    )
    where = np.zeros(SHAPE, dtype=bool)
    where[cube] = True
    np.testing.assert_array_equal(display.counts, _expected(display, volumes, where))


def test_a_neighbourhood_ends_where_the_brain_and_the_grid_do():
    volumes = _volumes()
    x, y, brain = volumes
    display = JointHistogramDisplay.from_images(
        _image(x), _image(y), center=_world([0, 0, 0]), size=7
    )
    where = np.zeros(SHAPE, dtype=bool)
    where[:4, :4, :4] = True
    where &= brain
    assert where.sum() == 27
    np.testing.assert_array_equal(display.counts, _expected(display, volumes, where))


def test_neighbourhood_and_brain_share_their_axes():
    x, y, _ = _volumes()
    whole, part = (
        JointHistogramDisplay.from_images(_image(x), _image(y), center=center, size=4)
        for center in (None, _world([5, 6, 4]))
    )
    assert (whole.edges_x == part.edges_x).all()
    assert whole.ax_.get_xlim() == part.ax_.get_xlim()
    assert whole.ax_.get_ylim() == part.ax_.get_ylim()


def test_a_mask_limits_the_brain():
    volumes = _volumes()
    x, y, brain = volumes
    half = brain.copy()
    half[6:] = False
    display = JointHistogramDisplay.from_images(_image(x), _image(y), mask=_image(half))
    np.testing.assert_array_equal(display.counts, _expected(display, volumes, half))


def test_axes_and_scale_are_labelled():
    x, y, brain = _volumes()
    display = JointHistogramDisplay.from_images(
        _image(x), _image(y), name_x="$^$", name_y="FLAIR"
    )
    display.figure_.draw_without_rendering()
    assert display.ax_.get_xlabel() == "$^$ (scanner units)"
    assert display.ax_.get_ylabel() == "FLAIR (scanner units)"
    assert display.ax_.get_title() == f"whole brain\n{brain.sum()} voxels"
    assert display.im_.colorbar.ax.get_ylabel() == "voxels per bin"
    part = JointHistogramDisplay.from_images(
        _image(x), _image(y), center=(0, -8, -3), size=4
    )
    assert part.ax_.get_title() == "4 × 4 × 4 voxels\naround (0, -8, -3) mm"


def test_y_goes_up_and_fuller_bins_are_brighter_in_grey():
    counts = np.array([[0, 1, 10], [100, 1000, 10000]])
    display = JointHistogramDisplay(counts, np.arange(3), np.arange(4)).plot()
    assert (display.im_.get_array() == counts.T).all()
    luminance = display.im_.to_rgba(np.sort(counts.ravel()))[:, :3] @ [0.3, 0.59, 0.11]
    assert (np.diff(luminance) > 0.02).all()
    assert display.im_.get_clim() == (0, 10000)


def test_drawn_on_given_axes_without_a_new_figure():
    x, y, _ = _volumes()
    figure, (left, right) = plt.subplots(1, 2)
    display = JointHistogramDisplay.from_images(
        _image(x), _image(y), ax=right, colorbar=False, vmax=7, cmap="gray"
    )
    assert display.ax_ is right
    assert display.figure_ is figure
    assert plt.get_fignums() == [figure.number]
    assert not left.collections
    assert len(figure.axes) == 2
    assert display.im_.get_clim() == (0, 7)
    assert display.im_.get_cmap().name == "gray"


def test_what_was_drawn_on_axes_before_goes():
    display = JointHistogramDisplay(np.ones((2, 2)), np.arange(3), np.arange(3)).plot()
    figure, shown = display.figure_, display.ax_.get_position().bounds
    more = JointHistogramDisplay(np.full((2, 2), 9), np.arange(3), np.arange(3))
    more.plot(ax=display.ax_)
    assert len(figure.axes) == 2
    assert more.ax_.collections[:] == [more.im_]
    assert more.im_.colorbar.ax.get_ylim() == pytest.approx((0, 9))
    assert more.ax_.get_position().bounds == pytest.approx(shown)


def test_paths_are_read(tmp_path):
    x, y, _ = _volumes()
    for name, volume in (("x", x), ("y", y)):
        nib.save(_image(volume), tmp_path / f"{name}.nii")
    ours = JointHistogramDisplay.from_images(tmp_path / "x.nii", tmp_path / "y.nii")
    theirs = JointHistogramDisplay.from_images(_image(x), _image(y))
    assert (ours.counts == theirs.counts).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"center": (500, 0, 0)}, r"No brain lies within 10 voxels around \(500, 0, 0"),
        ({"center": (0, 0)}, "three world coordinates"),
        ({"center": (0, 0, np.nan)}, "three world coordinates"),
        ({"vmax": 0}, "vmax must be above 0"),
        ({"mask": np.ones((2, 2, 2))}, "mask is an array of shape"),
        ({"size": 0}, "'size' parameter"),
        ({"bins": 0}, "'bins' parameter"),
    ],
)
def test_refusals_name_the_parameter(parameters, message):
    x, y, _ = _volumes()
    with pytest.raises(ValueError, match=message):
        JointHistogramDisplay.from_images(_image(x), _image(y), **parameters)
    assert not plt.get_fignums()


def test_images_on_different_grids_are_refused():
    x, y, _ = _volumes()
    with pytest.raises(ValueError, match=r"image_x and image_y lie on different grids"):
        JointHistogramDisplay.from_images(_image(x), _image(y[1:]))


def test_missing_matplotlib_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    display = JointHistogramDisplay(np.ones((2, 2)), np.arange(3), np.arange(3))
    with pytest.raises(ImportError, match=r'pip install "sklearn_lsdn\[demo\]"'):
        display.plot()


def test_importing_displays_does_not_import_matplotlib():
    code = "import sys, sklearn_lsdn.display; print('matplotlib' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"

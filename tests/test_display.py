"""SynthesisDisplay: the right slices, the right way up, in comparable windows."""

import re
import sys

import matplotlib.image
import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
import pytest
from matplotlib.figure import Figure
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from sklearn_lsdn.display import SynthesisDisplay

SHAPE, ZOOMS = (9, 11, 7), (1.0, 2.0, 3.0)
CENTRE = (6, 5, 3)  # of the brain below; across the sagittal plane beside the fissure
PLANES = {"sagittal": 0, "coronal": 1, "axial": 2}
AFFINE = nib.affines.from_matvec(np.diag(ZOOMS), [-4, -9, -8])
COLUMNS = ["source", "target", "synthesis", "error"]


@pytest.fixture(autouse=True)
def _close_figures():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def _volumes():
    """Source, target and synthesis of a box-shaped brain, every voxel its own value."""
    brain = np.zeros(SHAPE, dtype=bool)
    brain[2:9, 1:10, 1:6] = True
    rng = np.random.RandomState(0)
    source, target = rng.uniform(1, [[10], [1000]], (2, brain.size))
    synthesis = target + rng.normal(0, 50, brain.size)
    return [np.where(brain, v.reshape(SHAPE), 0) for v in (source, target, synthesis)]


def _images(axes="RAS", zooms=ZOOMS):
    """The same subject, its axes stored in another order or direction."""
    affine = nib.affines.from_matvec(np.diag(zooms), AFFINE[:3, 3])
    images = []
    for volume in _volumes():
        image = nib.Nifti1Image(volume.astype(np.float32), affine)
        turn = ornt_transform(io_orientation(affine), axcodes2ornt(axes))
        images.append(image.as_reoriented(turn))
    assert "".join(nib.aff2axcodes(images[0].affine)) == axes
    return images


def _display(*args, **kwargs):
    return SynthesisDisplay.from_images(*_images(*args, **kwargs))


def _panels(display):
    """Pictures by plane and column."""
    panels = np.reshape([ax.images[0] for ax in display.axes_.flat], (3, 4))
    return {
        (plane, column): panels[i, j]
        for i, plane in enumerate(PLANES)
        for j, column in enumerate(COLUMNS)
    }


def _bars(display):
    """Axes of the colour bars, from left to right."""
    bars = [ax for ax in display.figure_.axes if not ax.images]
    return sorted(bars, key=lambda ax: ax.get_position().x0)


@pytest.fixture(scope="module")
def display():
    images = _images()
    plt.switch_backend("Agg")
    names = dict(source_name="T1w", target_name="FLAIR")
    return SynthesisDisplay.from_images(*images, **names, title="sub-01")


def test_twelve_panels_and_four_colour_bars(display):
    assert len(_panels(display)) == 12
    assert len(_bars(display)) == 4
    assert len(display.figure_.axes) == 16


def test_titles_name_contrasts_and_planes(display):
    panels = _panels(display)
    titles = [panels["sagittal", column].axes.get_title() for column in COLUMNS]
    assert titles == [
        "T1w (source)",
        "FLAIR (target)",
        "FLAIR (synthesis)",
        "synthesis - target",
    ]
    for plane, axis in PLANES.items():
        place, *sides = (text.get_text() for text in panels[plane, "source"].axes.texts)
        assert re.fullmatch(rf"{plane}, {'xyz'[axis]} = -?\d+ mm", place)
        assert sides == (["P", "A"] if plane == "sagittal" else ["L", "R"])
    assert display.figure_.get_suptitle().strip() == "sub-01"
    assert _display().figure_.get_suptitle() == ""


def test_rows_and_columns_lie_where_their_titles_say(display):
    display.figure_.draw_without_rendering()
    places = {
        key: panel.axes.get_position(original=False)
        for key, panel in _panels(display).items()
    }
    for plane in PLANES:
        lefts = [places[plane, column].x0 for column in COLUMNS]
        assert lefts == sorted(lefts)
    bottoms = [places[plane, "source"].y0 for plane in PLANES]
    assert bottoms == sorted(bottoms, reverse=True)


def test_colour_bars_belong_to_their_columns_and_carry_units(display):
    for bar, column in zip(_bars(display), COLUMNS, strict=True):
        panel = _panels(display)["axial", column]
        assert panel.colorbar.ax is bar
        assert bar.get_xlim() == pytest.approx(panel.get_clim())
        assert bar.get_xlabel() == "scanner units"
        values, (low, high) = display.volumes[column], panel.get_clim()
        ends = (values < low).any(), (values > high).any()
        arrows = {(0, 0): "neither", (0, 1): "max", (1, 0): "min", (1, 1): "both"}
        assert panel.colorbar.extend == arrows[ends]


def test_panels_show_slices_through_the_middle_of_the_brain(display):
    source, target, synthesis = _volumes()
    volumes = [source, target, synthesis, synthesis - target]
    for (plane, column), panel in _panels(display).items():
        axis = PLANES[plane]
        volume = volumes[COLUMNS.index(column)]
        expected = np.take(volume, CENTRE[axis], axis=axis).T
        shown = panel.get_array().filled(0)  # no error where there is no brain
        np.testing.assert_allclose(shown, expected, atol=1e-3)
        assert panel.origin == "lower"  # so that rows rise to superior or anterior


def test_outside_the_synthesis_there_is_no_error():
    source, target, synthesis = _images()
    cut = synthesis.get_fdata()
    cut[:, :5] = 0
    cut = nib.Nifti1Image(cut, synthesis.affine)
    panels = _panels(SynthesisDisplay.from_images(source, target, cut))
    error = panels["axial", "error"].get_array()
    assert error.mask[:5].all()
    assert (error[5:10, 2:] != 0).all()
    assert (panels["axial", "target"].get_array()[1:5, 2:] != 0).all()


@pytest.mark.parametrize("background", [0, -1])
def test_the_brain_is_where_the_synthesis_is_not_background(background):
    source, target, synthesis = _volumes()
    brain = synthesis != 0
    synthesis = np.where(brain, synthesis, background)
    images = [nib.Nifti1Image(each, AFFINE) for each in (source, target, synthesis)]
    display = SynthesisDisplay.from_images(*images)
    np.testing.assert_array_equal(display.mask, brain)


@pytest.mark.parametrize("kind", ["array", "image", "path"])
def test_a_mask_limits_the_brain(kind, tmp_path):
    images = _images("LPI")
    half = images[0].get_fdata() != 0
    half[:5] = False
    mask = half
    if kind != "array":
        mask = nib.Nifti1Image(np.uint8(half), images[0].affine)
    if kind == "path":
        nib.save(mask, tmp_path / "mask.nii")
        mask = tmp_path / "mask.nii"
    display = SynthesisDisplay.from_images(*images, mask=mask)
    np.testing.assert_array_equal(display.mask, half[::-1, ::-1, ::-1])


def test_a_mask_that_fits_no_image_is_refused():
    with pytest.raises(ValueError, match="mask is an array of shape"):
        SynthesisDisplay.from_images(*_images(), mask=np.ones((2, 2, 2)))


def test_without_a_synthesis_there_is_nothing_to_show():
    source = _volumes()[0]
    with pytest.raises(ValueError, match="volumes holds no 'synthesis'"):
        SynthesisDisplay({"target": source}, source != 0, AFFINE)


def test_target_and_synthesis_share_a_window(display):
    source, target, _ = _volumes()
    panels = _panels(display)
    for column, scan in (("source", source), ("target", target), ("synthesis", target)):
        top = np.percentile(scan[scan != 0], 99.5)
        for plane in PLANES:
            assert panels[plane, column].get_clim() == pytest.approx((0, top), rel=1e-5)
            assert panels[plane, column].get_cmap().name == "gray"


def test_the_error_window_is_symmetric_from_blue_to_red(display):
    panels = _panels(display)
    for plane in PLANES:
        panel = panels[plane, "error"]
        low, high = panel.get_clim()
        assert high == -low
        assert high == pytest.approx(panels[plane, "target"].get_clim()[1] / 2)
        dark, none, bright = panel.to_rgba(np.array([low, 0, high]))[:, :3]
        assert dark[2] > dark[0]
        assert bright[0] > bright[2]
        assert none == pytest.approx([0.97] * 3, abs=0.03)


@pytest.mark.parametrize("axes", ["LAS", "LPI", "SRA", "PIR"])
def test_orientation_of_the_files_makes_no_difference(display, axes):
    turned = _panels(_display(axes))
    for key, panel in _panels(display).items():
        assert (turned[key].get_array() == panel.get_array()).all()
        assert turned[key].get_clim() == panel.get_clim()
        assert turned[key].get_extent() == pytest.approx(panel.get_extent())


@pytest.mark.parametrize("axes", ["RAS", "LAS", "SRA"])
def test_anisotropic_voxels_keep_their_shape(axes):
    for (plane, _), panel in _panels(_display(axes)).items():
        left, right, bottom, top = panel.get_extent()
        n_up, n_across = panel.get_array().shape
        across, up = np.delete(ZOOMS, PLANES[plane])
        assert panel.axes.get_aspect() == 1
        assert ((right - left) / n_across, (top - bottom) / n_up) == (across, up)


def test_images_on_another_grid_are_refused():
    source, target, synthesis = _images()
    elsewhere = nib.Nifti1Image(target.get_fdata(), np.diag([1, 2, 3, 1]))
    with pytest.raises(ValueError, match="source and target lie on different grids"):
        SynthesisDisplay.from_images(source, elsewhere, synthesis)


def test_several_sources_and_no_target():
    source, _, synthesis = _volumes()
    volumes = {"source 1": source, "source 2": source, "synthesis": synthesis}
    volumes["standard deviation"] = abs(synthesis)
    display = SynthesisDisplay(volumes, synthesis != 0, np.diag([*ZOOMS, 1])).plot()
    above = display.axes_[0]
    assert [ax.get_title() for ax in above] == [*volumes]
    low, top = np.percentile(synthesis[synthesis != 0], [0.5, 99.5])
    tops = [ax.images[0].get_clim()[1] for ax in above]
    assert tops[0] == tops[1] < tops[2]
    assert tops[2:] == pytest.approx([top, (top - min(0, low)) / 2])


def test_a_display_can_be_drawn_again_from_its_parts(display):
    again = SynthesisDisplay(
        display.volumes, display.mask, display.affine, display.names
    )
    assert not hasattr(again, "figure_")
    assert again.plot() is again
    for key, panel in _panels(again).items():
        assert (panel.get_array() == _panels(display)[key].get_array()).all()


def test_missing_matplotlib_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r'pip install "sklearn_lsdn\[demo\]"'):
        _display()


def test_save_writes_a_picture_with_panels(display, tmp_path):
    path = tmp_path / "picture.png"
    display.save(path)
    assert list(tmp_path.iterdir()) == [path]
    picture = matplotlib.image.imread(path)[..., :3]
    assert picture.shape[0] > 500
    assert len(np.unique(picture[..., 0])) > 100
    display.save(path, dpi=300, overwrite=True)
    sharp = matplotlib.image.imread(path)
    assert sharp.shape[:2] == pytest.approx(2 * np.array(picture.shape[:2]), abs=1)


def test_save_overwrites_only_upon_request(display, tmp_path):
    path = tmp_path / "picture.png"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match=r"picture\.png exists already"):
        display.save(path)
    assert path.read_text() == "mine"
    display.save(str(path), overwrite=True)
    assert matplotlib.image.imread(path).ndim == 3
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_save_leaves_nothing_half_written(display, tmp_path, monkeypatch, error):
    def fail(self, file, **parameters):
        file.write(b"\x89PNG")
        raise error

    path = tmp_path / "picture.png"
    path.write_text("old")
    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(type(error)):
        display.save(path, overwrite=True)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "old"


@pytest.mark.parametrize(
    ("ending", "first"),
    [("pdf", b"%PDF"), ("svg", b"<?xml"), ("PNG", b"\x89PNG"), ("webp", b"RIFF")],
)
def test_save_writes_what_the_ending_says(display, tmp_path, ending, first):
    path = tmp_path / f"picture.{ending}"
    display.save(path)
    assert path.read_bytes().startswith(first)


@pytest.mark.parametrize("name", ["picture", "picture.nii.gz"])
def test_save_refuses_other_endings(display, tmp_path, name):
    with pytest.raises(ValueError, match=r"does not end in a format.*\.pdf.*\.png"):
        display.save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_save_needs_a_picture(display, tmp_path):
    again = SynthesisDisplay(display.volumes, display.mask, display.affine)
    with pytest.raises(ValueError, match="no picture yet: call plot"):
        again.save(tmp_path / "picture.png")


def test_save_writes_the_whole_figure(display, tmp_path):
    figure = plt.figure(figsize=(8, 4))
    left, _ = figure.subfigures(1, 2)
    again = SynthesisDisplay(display.volumes, display.mask, display.affine)
    again.plot(figure=left).save(tmp_path / "picture.png")
    assert again.figure_ is left
    picture = matplotlib.image.imread(tmp_path / "picture.png")
    assert picture.shape[:2] == (600, 1200)


def test_save_needs_a_folder(display, tmp_path):
    with pytest.raises(OSError, match="not an existing folder"):
        display.save(tmp_path / "missing" / "picture.png")

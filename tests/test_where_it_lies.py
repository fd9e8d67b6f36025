"""Where a scan lies: units, codes of forms, one grid in whatever order and digits."""

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from sklearn.linear_model import LinearRegression
from small_volumes import AFFINE, SHAPE, Cohort, small

from sklearn_lsdn.display import SynthesisDisplay
from sklearn_lsdn.exceptions import PlaceWarning
from sklearn_lsdn.volumes._images import check_same_grid, open_image, save_image

ROTATION = nib.eulerangles.euler2mat(0.1, 0.2, 0.3)
OBLIQUE = nib.affines.from_matvec(ROTATION @ np.diag([0.9, 1.1, 1.3]), [-80, -60, 40])


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return Cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture(scope="module")
def fitted(cohort):
    return small(LinearRegression()).fit(cohort.a[:2], cohort.c[:2])


def _image(affine=AFFINE, shape=SHAPE, dtype=np.float32, seed=0):
    data = np.random.RandomState(seed).uniform(1, 2, shape).astype(dtype)
    return nib.Nifti1Image(data, affine)


def _measured_in(unit, scan, factor):
    """The same scan in another unit of length."""
    affine = np.diag([factor, factor, factor, 1]) @ scan.affine
    image = nib.Nifti1Image(scan.dataobj, affine)
    image.header.set_xyzt_units(unit)
    return image


def _turn(image, codes):
    wanted = axcodes2ornt(codes)
    return image.as_reoriented(ornt_transform(io_orientation(image.affine), wanted))


def _same(one, two):
    return check_same_grid(open_image(one, "first"), open_image(two, "second"))


def _voxels(image):
    return np.asanyarray(image.dataobj)


# Units


@pytest.mark.parametrize(("unit", "factor"), [("meter", 1e-3), ("micron", 1e3)])
def test_metres_and_microns_become_mm(unit, factor, cohort, fitted, tmp_path):
    scan = nib.load(cohort.a[2])
    path = tmp_path / "in.nii.gz"
    nib.save(_measured_in(unit, scan, factor), path)
    file = open_image(path, "source")
    np.testing.assert_allclose(file.affine, scan.affine, rtol=1e-5)
    np.testing.assert_allclose(file.voxel_size, [2, 2, 2.5], rtol=1e-5)
    assert file.doubts == ()
    _same(path, scan)
    # The synthesis is that of the scan in mm, in the unit and place of this file.
    (expected,), (synthesis,) = fitted.predict([scan]), fitted.predict([path])
    np.testing.assert_allclose(_voxels(synthesis), _voxels(expected), rtol=1e-4)
    assert synthesis.header.get_xyzt_units()[0] == unit
    np.testing.assert_array_equal(synthesis.affine, nib.load(path).affine)


def test_a_mask_in_metres_lies_where_it_does_in_mm(cohort):
    brain = nib.Nifti1Image((_voxels(cohort.images[2][0]) != 0).astype("u1"), AFFINE)
    masks = brain, _measured_in("meter", brain, 1e-3)
    synthesised = [
        small(LinearRegression(), mask_img=mask)
        .fit(cohort.a[:2], cohort.c[:2])
        .predict(cohort.a[2:])[0]
        for mask in masks
    ]
    np.testing.assert_array_equal(*map(_voxels, synthesised))


@pytest.mark.parametrize("unit", ["meter", "micron"])
def test_a_unit_that_no_head_has_is_not_believed(unit):
    image = _image()
    image.header.set_xyzt_units(unit)
    file = open_image(image, "source")
    np.testing.assert_allclose(file.affine, AFFINE)
    (doubt,) = file.doubts
    assert isinstance(doubt, PlaceWarning)
    assert "source says that it is measured in" in str(doubt)
    assert 'set_xyzt_units("mm")' in str(doubt)


@pytest.mark.parametrize("side", [0.002, 1000])
@pytest.mark.parametrize("unit", ["mm", "unknown"])
def test_metres_and_microns_that_do_not_say_so_are_doubted(side, unit):
    image = _image(np.diag([side, side, side, 1]))
    image.header.set_xyzt_units(unit)
    (doubt,) = open_image(image, "source").doubts
    assert f"source has voxels of {side} x" in str(doubt)
    assert "If they are in metres or microns, say so" in str(doubt)


@pytest.mark.parametrize("sides", [(0.05, 0.05, 0.05), (0.4, 0.4, 10), (4, 4, 20)])
def test_rodents_and_thick_slices_raise_no_doubt(sides):
    for kind in (nib.Nifti1Image, nib.MGHImage):
        image = kind(np.ones((200, 200, 20), np.float32), np.diag([*sides, 1]))
        assert open_image(image, "source").doubts == ()


def test_a_code_that_stands_for_no_unit_counts_as_mm():
    image = _image()
    image.header["xyzt_units"] = 7
    file = open_image(image, "source")
    np.testing.assert_allclose(file.affine, AFFINE)
    assert file.doubts == ()


# Forms


def _without_codes(path):
    image = _image()
    image.set_sform(None, 0)
    image.set_qform(None, 0)
    nib.save(image, path)
    return path


def test_a_header_that_places_nothing_is_refused(tmp_path, cohort, fitted):
    path = _without_codes(tmp_path / "in.nii.gz")
    for given in (path, nib.load(path)):
        with pytest.raises(ValueError, match=r"in\.nii\.gz\) does not say where") as e:
            fitted.predict([given])
        assert "codes of its sform and qform are both 0" in str(e.value)
        assert "image.set_sform(image.affine, 1)" in str(e.value)
    image = nib.load(path)
    image.set_sform(image.affine, 1)
    open_image(image, "source")
    mask = small(LinearRegression(), mask_img=path)
    with pytest.raises(ValueError, match="mask_img .*does not say where"):
        mask.fit(cohort.a[:2], cohort.c[:2])


@pytest.mark.parametrize("kind", [nib.MGHImage, nib.AnalyzeImage, nib.Nifti2Image])
def test_outputs_say_where_they_lie(kind, tmp_path):
    name = "in.mgz" if kind is nib.MGHImage else "in.img"
    kind = nib.Nifti2Pair if kind is nib.Nifti2Image else kind
    nib.save(kind(_voxels(_image()), AFFINE.astype(np.float32)), tmp_path / name)
    file = open_image(tmp_path / name, "source")
    save_image(file.like(file.read()), tmp_path / "out.nii")
    header = nib.load(tmp_path / "out.nii").header
    assert header["sform_code"] > 0


def test_analyze_files_are_doubted(tmp_path):
    nib.save(nib.AnalyzeImage(_voxels(_image()), AFFINE), tmp_path / "in.img")
    (doubt,) = open_image(tmp_path / "in.img", "source").doubts
    assert isinstance(doubt, PlaceWarning)
    assert "in.img) is an Analyze file" in str(doubt)
    assert "which side is left" in str(doubt)
    # An affine in memory, or in the .mat file of SPM, is no convention.
    assert open_image(nib.AnalyzeImage(np.ones(SHAPE), AFFINE), "a").doubts == ()
    nib.save(nib.Spm99AnalyzeImage(np.ones(SHAPE, "f4"), AFFINE), tmp_path / "s.img")
    assert open_image(tmp_path / "s.img", "source").doubts == ()


@pytest.mark.parametrize(
    ("codes", "mm", "doubted"),
    [((1, 1), 0, 0), ((1, 1), 0.5, 0), ((1, 1), 10, 1), ((4, 1), 10, 0)],
)
def test_two_forms_for_one_space_must_agree(codes, mm, doubted):
    image = _image(OBLIQUE)
    moved = OBLIQUE + mm * np.eye(4, k=3)
    image.set_sform(OBLIQUE, codes[0])
    image.set_qform(moved, codes[1])
    doubts = open_image(image, "source").doubts
    assert len(doubts) == doubted
    if doubted:
        assert "source has an sform and a qform of one code, 1" in str(doubts[0])


# Grids


@pytest.mark.parametrize("codes", ["LAS", "PSR", "IAL"])
def test_contrasts_stored_in_other_orders_are_on_one_grid(codes, cohort, tmp_path):
    """In training, prediction, scores and pictures; outputs lie as the first source."""
    turned = []
    for i, path in enumerate(cohort.b):
        turned.append(tmp_path / f"sub-{i}_b.nii.gz")
        nib.save(_turn(nib.load(path), codes), turned[-1])
    plain = small(LinearRegression()).fit(cohort.ab[:2], cohort.c[:2])
    other = small(LinearRegression())
    mixed = [list(pair) for pair in zip(cohort.a, turned, strict=True)]
    other.fit(mixed[:2], cohort.c[:2])
    (expected,), (synthesis,) = plain.predict(cohort.ab[2:]), other.predict(mixed[2:])
    np.testing.assert_allclose(_voxels(synthesis), _voxels(expected), rtol=1e-5)
    np.testing.assert_array_equal(synthesis.affine, nib.load(cohort.a[2]).affine)
    (first,) = other.predict([mixed[2][::-1]])
    np.testing.assert_array_equal(first.affine, nib.load(turned[2]).affine)
    target = _turn(nib.load(cohort.c[2]), codes)
    score = plain.score(cohort.ab[2:], cohort.c[2:])
    assert other.score(mixed[2:], [target]) == pytest.approx(score, abs=1e-3)
    SynthesisDisplay.from_images(cohort.a[2], target, synthesis, scale_to_target=True)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SAR"])
@pytest.mark.parametrize("shape", [(20, 24, 18), (256, 320, 192)])
def test_headers_rounded_to_four_decimals_are_on_one_grid(shape, codes):
    image = nib.Nifti1Image(np.broadcast_to(np.float32(1), shape), OBLIQUE)
    image = _turn(image, codes)
    rounded = nib.Nifti1Image(image.dataobj, image.affine.round(4))
    _same(image, rounded)
    _same(rounded, image)
    _same(_turn(image, "LPI"), rounded)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SAR"])
def test_a_round_trip_by_simpleitk_stays_on_one_grid(codes, tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    nib.save(_turn(_image(OBLIQUE), codes), tmp_path / "in.nii.gz")
    image = sitk.ReadImage(str(tmp_path / "in.nii.gz"))
    sitk.WriteImage(sitk.Cast(image, sitk.sitkFloat32), str(tmp_path / "out.nii.gz"))
    _same(tmp_path / "in.nii.gz", tmp_path / "out.nii.gz")
    assert open_image(tmp_path / "out.nii.gz", "source").doubts == ()


@pytest.mark.parametrize("size", [0.05, 1.0, 2.0])
@pytest.mark.parametrize("shift", [0.5, 0.05, -0.02])
def test_shifts_by_parts_of_a_voxel_are_refused(size, shift):
    affine = np.diag([size, size, size, 1])
    moved = affine + size * shift * np.eye(4, k=3)
    words = f"up to {abs(shift):.2g} voxels .{abs(shift) * size:.2g} mm. apart"
    for codes in ("RAS", "PIL"):
        with pytest.raises(ValueError, match=f"first and second lie.*{words}.*Regist"):
            _same(_image(affine), _turn(_image(moved), codes))


def test_a_larger_voxel_is_another_grid():
    scale = np.diag([1.01, 1, 1, 1])
    with pytest.raises(ValueError, match="different grids"):
        _same(_image(OBLIQUE), _image(OBLIQUE @ scale))


# Series of one volume


@pytest.mark.parametrize("more", [(1,), (1, 1)])
def test_a_series_of_one_volume_is_that_volume(more, cohort, fitted, tmp_path):
    scan = nib.load(cohort.a[2])
    path = tmp_path / "in.nii.gz"
    nib.save(nib.Nifti1Image(_voxels(scan).reshape(*SHAPE, *more), AFFINE), path)
    assert open_image(path, "source").shape == SHAPE
    (expected,), (synthesis,) = fitted.predict([scan]), fitted.predict([path])
    assert synthesis.shape == SHAPE
    np.testing.assert_array_equal(_voxels(synthesis), _voxels(expected))
    _same(path, scan)
    score = fitted.score([scan], cohort.c[2:])
    assert fitted.score([path], cohort.c[2:]) == pytest.approx(score)
    SynthesisDisplay.from_images(path, cohort.c[2], synthesis, scale_to_target=True)


def test_a_series_of_two_volumes_is_refused():
    with pytest.raises(ValueError, match="source is 4-D.*Give a 3-D image"):
        open_image(_image(shape=(*SHAPE, 2)), "source")


# NaN


def test_the_caller_may_look_for_nan_where_it_matters():
    image = _image()
    image.dataobj[0, 0, :3] = np.nan
    file = open_image(image, "source")
    assert np.isnan(file.read(finite=False)).sum() == 3
    with pytest.raises(ValueError, match="holds 3 NaN"):
        file.read()


# What else a header says


def test_what_a_scan_says_of_itself_is_not_handed_on(tmp_path):
    image = _image(OBLIQUE, (*SHAPE, 1), np.int16)
    header = image.header
    header.set_intent("z score", (), name="activation")
    header["intent_p1"] = 7
    for name in ("descrip", "aux_file", "db_name"):
        header[name] = f"{name} of Jane Doe"[:17]
    header["cal_max"], header["cal_min"], header["toffset"] = 99, 5, 3
    header["slice_code"], header["slice_end"], header["slice_duration"] = 1, 9, 0.1
    header.set_dim_info(0, 1, 2)
    header.set_xyzt_units("mm", "sec")
    header["pixdim"][4] = 2.5
    note = nib.nifti1.Nifti1Extension("comment", b"of Jane Doe")
    header.extensions.append(note)
    nib.save(image, tmp_path / "in.nii")
    for kind in (nib.Nifti1Image, nib.Nifti2Image):
        nib.save(kind.from_image(nib.load(tmp_path / "in.nii")), tmp_path / "in2.nii")
        file = open_image(tmp_path / "in2.nii", "source")
        out = file.like(file.read())
        assert type(out) is kind
        assert len(out.header.extensions) == 0
        blank = kind.header_class()
        for field in (
            *("intent_code", "intent_name", "intent_p1", "descrip", "aux_file"),
            *("cal_max", "cal_min", "toffset", "slice_code", "slice_end", "dim_info"),
            *("slice_duration", "slice_start", "db_name"),
        ):
            if field in blank:  # NIfTI-2 has fewer
                assert out.header[field] == blank[field], field
        np.testing.assert_array_equal(out.header["pixdim"][4:], 1)

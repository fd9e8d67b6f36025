"""Images in and out: orientation, geometry, data types, refusals, whole files."""

import itertools

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from sklearn_lsdn.volumes import _images as images
from sklearn_lsdn.volumes._images import check_same_grid, open_image, save_image

SHAPE = (5, 6, 7)
OBLIQUE = np.array(
    [
        [1.9, -0.2, 0.1, -20.0],
        [0.2, 1.9, 0.3, -30.0],
        [-0.1, -0.3, 2.4, -10.0],
        [0, 0, 0, 1.0],
    ]
)
AXCODES = [
    "".join(pair[turn] for pair, turn in zip(axes, turns, strict=True))
    for axes in itertools.permutations(["RL", "AP", "SI"])
    for turns in itertools.product([0, 1], repeat=3)
]


def _data(dtype=np.float32):
    return np.random.RandomState(0).randint(1, 100, SHAPE).astype(dtype)


def _image(affine=OBLIQUE):
    return nib.Nifti1Image(_data(), affine)


def _turn(image, codes):
    wanted = axcodes2ornt(codes)
    return image.as_reoriented(ornt_transform(io_orientation(image.affine), wanted))


def _geometry(header):
    names = ["qform_code", "sform_code", "pixdim", "dim", "xyzt_units"]
    names += [f"quatern_{c}" for c in "bcd"] + [f"qoffset_{c}" for c in "xyz"]
    names += [f"srow_{c}" for c in "xyz"]
    return {name: np.array(header[name]).tolist() for name in names}


def test_there_are_48_orientations():
    assert len(set(AXCODES)) == 48


@pytest.mark.parametrize("codes", AXCODES)
def test_every_orientation_is_read_as_one_and_written_back(codes):
    turned = _turn(_image(), codes)
    assert "".join(nib.aff2axcodes(turned.affine)) == codes
    file = open_image(turned, "source")
    data = file.read()
    np.testing.assert_array_equal(data, _data())
    np.testing.assert_allclose(file.affine, OBLIQUE, atol=1e-10)
    assert nib.aff2axcodes(file.affine) == ("R", "A", "S")
    back = file.like(data)
    np.testing.assert_array_equal(np.asanyarray(back.dataobj), turned.dataobj)
    np.testing.assert_array_equal(back.affine, turned.affine)
    assert back.shape == turned.shape
    assert file.shape == SHAPE


@pytest.mark.parametrize("codes", ["RAS", "LAS", "PSR"])
@pytest.mark.parametrize(("sform", "qform"), [(4, 4), (2, 1), (0, 1), (1, 0), (0, 3)])
def test_sform_and_qform_survive(codes, sform, qform, tmp_path):
    rotation = nib.eulerangles.euler2mat(0.1, 0.2, 0.3) @ np.diag([1.0, 1.5, 2.0])
    affine = nib.affines.from_matvec(rotation, [-10, -20, -30])
    image = _turn(_image(affine), codes)
    other = image.affine.copy()
    other[:3, 3] += 5  # so that confusing the two is noticed
    image.set_sform(image.affine, sform)
    image.set_qform(other, qform)
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, tmp_path / "in.nii.gz")
    stored = nib.load(tmp_path / "in.nii.gz")

    file = open_image(tmp_path / "in.nii.gz", "source")
    save_image(file.like(file.read()), tmp_path / "out.nii.gz")
    written = nib.load(tmp_path / "out.nii.gz")
    assert _geometry(written.header) == _geometry(stored.header)
    np.testing.assert_array_equal(written.affine, stored.affine)
    np.testing.assert_array_equal(written.get_fdata(), stored.get_fdata())


@pytest.mark.parametrize("with_isal", [True, False])
def test_compressed_files_are_the_same_every_time(with_isal, tmp_path, monkeypatch):
    if with_isal:
        pytest.importorskip("isal")
    else:
        monkeypatch.setattr(images, "igzip", None)
    image = nib.Nifti1Image(_data(), OBLIQUE)
    for name in ("one.nii.gz", "two.nii.gz"):
        save_image(image, tmp_path / name)
        written = nib.load(tmp_path / name)
        np.testing.assert_array_equal(written.get_fdata(), _data())
        np.testing.assert_array_equal(written.affine, np.float32(OBLIQUE))
    one, two = (tmp_path / f"{name}.nii.gz" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    assert one.read_bytes()[:2] == b"\x1f\x8b"
    assert one.stat().st_size < _data().nbytes + 352


def _stored(tmp_path, dtype, slope=None, inter=None, endianness="<"):
    header = nib.Nifti1Header(endianness=endianness)
    image = nib.Nifti1Image(_data(np.float64), OBLIQUE, header)
    image.set_data_dtype(dtype)
    if slope is not None:
        image.header.set_slope_inter(slope, inter)
    nib.save(image, tmp_path / "in.nii.gz")
    return tmp_path / "in.nii.gz"


@pytest.mark.parametrize(
    "stored",
    [
        dict(dtype=np.int16),
        dict(dtype=np.int16, slope=0.5, inter=-12.0),
        dict(dtype=np.uint8),
        dict(dtype=np.uint16, slope=2.0, inter=1.0),
        dict(dtype=np.float64),
        dict(dtype=np.int32),
        dict(dtype=np.dtype(">i2"), endianness=">"),
        dict(dtype=np.dtype(">f4"), endianness=">"),
    ],
    ids=str,
)
def test_any_real_data_type_comes_back_as_float32(stored, tmp_path):
    path = _stored(tmp_path, **stored)
    expected = nib.load(path).get_fdata()
    file = open_image(path, "source")
    data = file.read()
    assert data.dtype == np.dtype("=f4")
    np.testing.assert_allclose(data, expected, rtol=1e-6)

    output = data / 3  # which no integer type would hold
    save_image(file.like(output), tmp_path / "out.nii")
    written = nib.load(tmp_path / "out.nii")
    assert written.get_data_dtype().newbyteorder("=") == np.float32
    assert written.header.get_slope_inter() in [(None, None), (1.0, 0.0)]
    np.testing.assert_array_equal(np.asanyarray(written.dataobj), output)
    assert _geometry(written.header) == _geometry(nib.load(path).header)


def test_a_slope_wanted_for_the_input_does_not_scale_the_output(tmp_path):
    image = _image()
    image.header.set_slope_inter(0.5, 3.0)
    save_image(open_image(image, "source").like(_data()), tmp_path / "out.nii")
    stored = nib.load(tmp_path / "out.nii").dataobj
    assert (stored.slope, stored.inter) == (1.0, 0.0)
    np.testing.assert_array_equal(stored.get_unscaled(), _data())


def test_display_range_and_extensions_are_dropped(tmp_path):
    image = _image()
    image.header["cal_max"] = 99
    image.header["cal_min"] = 5
    note = nib.nifti1.Nifti1Extension("comment", b"of the input alone")
    image.header.extensions.append(note)
    nib.save(image, tmp_path / "in.nii.gz")
    stored = nib.load(tmp_path / "in.nii.gz")
    assert len(stored.header.extensions) == 1

    for given in (image, stored):
        out = open_image(given, "source").like(_data())
        assert len(out.header.extensions) == 0
        assert (out.header["cal_min"], out.header["cal_max"]) == (0, 0)
        assert len(given.header.extensions) == 1
    save_image(out, tmp_path / "out.nii.gz")
    assert len(nib.load(tmp_path / "out.nii.gz").header.extensions) == 0


def test_nifti2_stays_nifti2():
    image = nib.Nifti2Image(_data(), OBLIQUE)
    assert isinstance(open_image(image, "source").like(_data()), nib.Nifti2Image)


def test_other_formats_come_out_as_nifti(tmp_path):
    nib.save(nib.MGHImage(_data(), OBLIQUE.astype("f4")), tmp_path / "in.mgz")
    file = open_image(tmp_path / "in.mgz", "source")
    out = file.like(file.read())
    assert isinstance(out, nib.Nifti1Image)
    np.testing.assert_allclose(out.affine, nib.load(tmp_path / "in.mgz").affine)
    np.testing.assert_array_equal(np.asanyarray(out.dataobj), _data())


@pytest.mark.parametrize("codes", ["RAS", "LIP"])
@pytest.mark.parametrize("cached", [False, True])
def test_reading_gives_an_array_of_its_own(codes, cached):
    image = _turn(_image(), codes)
    before = np.array(image.dataobj)
    if cached:
        image.get_fdata(dtype=np.float32)
    data = open_image(image, "source").read()
    assert data.flags.owndata
    assert data.flags.c_contiguous
    data[:] = -1
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), before)
    np.testing.assert_array_equal(image.get_fdata(), before)


def test_reading_leaves_no_cache_behind(tmp_path):
    nib.save(_image(), tmp_path / "in.nii.gz")
    image = nib.load(tmp_path / "in.nii.gz")
    open_image(image, "source").read()
    assert not image.in_memory


def test_names_say_label_and_path(tmp_path):
    path = tmp_path / "in.nii"
    nib.save(_image(), path)
    for given in (path, str(path), nib.load(path)):
        assert open_image(given, "sources[3]").name == f"sources[3] ({path})"
    assert open_image(_image(), "sources[3]").name == "sources[3]"


def test_opening_reads_no_voxels(tmp_path):
    path = tmp_path / "in.nii"
    nib.save(_image(), path)
    path.write_bytes(path.read_bytes()[:360])
    file = open_image(path, "source")
    assert file.shape == SHAPE
    with pytest.raises(ValueError, match=r"(?s)in\.nii.*truncated or damaged.*again"):
        file.read()


def _corrupted(tmp_path, name, at, value):
    path = tmp_path / name
    nib.save(_image(), path)
    content = bytearray(path.read_bytes())
    content[at : at + len(value)] = value
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "at", "value"),
    [
        ("datatype.nii", 70, b"\x39\x05"),  # no such code
        ("magic.nii", 344, b"what"),
        ("stream.nii.gz", 20, b"\xff" * 8),  # inside the compressed header
        ("gzip.nii.gz", 0, b"\x00\x00"),
    ],
)
@pytest.mark.filterwarnings("default")
def test_damaged_headers_are_refused(tmp_path, name, at, value):
    path = _corrupted(tmp_path, name, at, value)
    with pytest.raises(ValueError, match=rf"sources\[0\] .*{name}"):
        open_image(path, "sources[0]").read()


def test_a_surface_is_refused_even_if_it_cannot_be_parsed(tmp_path):
    (tmp_path / "in.gii").write_text("no surface")
    with pytest.raises(ValueError, match=r"in\.gii.*not an image that can be read"):
        open_image(tmp_path / "in.gii", "source")


def test_an_image_without_affine_is_refused():
    with pytest.raises(ValueError, match="source has .*affine"):
        open_image(nib.Nifti1Image(_data(), None), "source")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_no_numbers_are_counted(bad):
    data = _data()
    data[0, 0, :3] = bad
    file = open_image(nib.Nifti1Image(data, OBLIQUE), "source")
    with pytest.raises(ValueError, match="source holds 3 NaN or infinite.*Replace"):
        file.read()


def test_values_beyond_float32_count_as_infinite():
    image = nib.Nifti1Image(np.full(SHAPE, 1e300), OBLIQUE)
    with pytest.raises(ValueError, match="infinite voxels"):
        open_image(image, "source").read()


def test_an_image_without_voxels_is_refused():
    with pytest.raises(ValueError, match="holds no voxels"):
        open_image(nib.Nifti1Image(np.zeros((4, 0, 3), "f4"), np.eye(4)), "source")


def _shifted(mm):
    affine = OBLIQUE.copy()
    affine[0, 3] += mm
    return open_image(nib.Nifti1Image(_data(), affine), "second")


def test_grids_are_compared_in_parts_of_a_voxel():
    first = open_image(_image(), "first")
    check_same_grid(first, first)
    check_same_grid(first, _shifted(0.01))
    with pytest.raises(
        ValueError, match=r"first and second .*0.05\d? voxels .0.1 mm. apart.*resample"
    ):
        check_same_grid(first, _shifted(0.1))


def test_grids_are_compared_at_their_far_corners():
    affine = OBLIQUE.copy()
    affine[2, 2] *= 1.01
    second = open_image(nib.Nifti1Image(_data(), affine), "second")
    with pytest.raises(ValueError, match="voxels .* apart"):
        check_same_grid(open_image(_image(), "first"), second)


@pytest.mark.parametrize("codes", ["LAS", "PSR", "SAL"])
def test_a_grid_is_the_same_in_any_order(codes):
    turned = open_image(_turn(_image(), codes), "second")
    check_same_grid(open_image(_image(), "first"), turned)


@pytest.mark.parametrize("name", ["out.nii", "out.nii.gz"])
def test_saving_compresses_by_the_name(tmp_path, name):
    save_image(_image(), tmp_path / name)
    compressed = (tmp_path / name).read_bytes()[:2] == b"\x1f\x8b"
    assert compressed == name.endswith(".gz")
    np.testing.assert_array_equal(nib.load(tmp_path / name).get_fdata(), _data())


def test_saving_replaces_a_file_only_when_told(tmp_path):
    path = tmp_path / "out.nii"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match=r"out\.nii exists already"):
        save_image(_image(), path)
    assert path.read_text() == "precious"
    save_image(_image(), path, overwrite=True)
    assert nib.load(path).shape == SHAPE
    assert [p.name for p in tmp_path.iterdir()] == ["out.nii"]


def test_a_failed_save_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "old.nii").write_text("precious")

    def full(image, path):
        raise OSError("No space left on device")

    monkeypatch.setattr(nib, "save", full)
    with pytest.raises(OSError, match="No space"):
        save_image(_image(), tmp_path / "old.nii", overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["old.nii"]
    assert (tmp_path / "old.nii").read_text() == "precious"


def test_saving_needs_the_folder(tmp_path):
    with pytest.raises(OSError, match=r"nowhere"):
        save_image(_image(), tmp_path / "nowhere" / "out.nii")

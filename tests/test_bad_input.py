"""What is accepted and what is refused: a test for each row of docs/input.md.

Refusals of every call, by role and place, are in test_refusals.py; orientations,
data types and damaged headers in test_images.py; the command's in test_cli.py.
"""

import gzip
import os
import resource
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from small_volumes import framed

from sklearn_lsdn import VolumeSynthesizer, save_model
from sklearn_lsdn._commands.main import main
from sklearn_lsdn.exceptions import BrainWarning
from sklearn_lsdn.jobs import leave_one_subject_out
from sklearn_lsdn.volumes import _images as images
from sklearn_lsdn.volumes._images import open_image

SHAPE = (9, 10, 8)
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
GRIDS = {
    "anisotropic": np.diag([0.5, 1.0, 7.0, 1.0]),
    "sheared": AFFINE + 0.7 * np.eye(4, k=1) * [[1], [1], [0], [0]],
    "far away": AFFINE + 1e6 * np.eye(4, k=3),
}
SHAPES = {
    "one slice": (9, 10, 1),
    "a row": (1, 1, 12),
    "smaller than the patch": (2, 2, 2),
}
FORMATS = {
    "NIfTI-1": (nib.Nifti1Image, "in.nii"),
    "NIfTI-1 pair": (nib.Nifti1Pair, "in.img"),
    "NIfTI-2": (nib.Nifti2Image, "in.nii.gz"),
    "Analyze": (nib.AnalyzeImage, "in.img"),
    "MGZ": (nib.MGHImage, "in.mgz"),
    "bzip2": (nib.Nifti1Image, "in.nii.bz2"),
    "capitals": (nib.Nifti1Image, "IN.NII.GZ"),
}


def _filled(shape, seed=0):
    return np.random.RandomState(seed).uniform(1, 2, shape).astype(np.float32)


def _data(seed=0):
    """A brain of noise in a background of one voxel."""
    return framed(_filled(np.subtract(SHAPE, 2), seed))


def _save(folder, data=None, affine=AFFINE, kind=nib.Nifti1Image, name="in.nii.gz"):
    data = _data() if data is None else data
    nib.save(kind(data, affine), folder / name)
    return folder / name


def _pair(folder, change, source=None, **given):
    """A source and the target that follows from it, each changed within the brain."""
    source = _data() if source is None else source
    paths = []
    for name, data in (("source", source), ("target", 3 - source)):
        (folder / name).mkdir()
        brain = np.where(source, change(data), np.float32(0))
        paths.append(_save(folder / name, brain, **given))
    return paths


def _synthesizer():
    plain = dict(patch_scales=(1,), augmentation=None, smoothing=0)
    return VolumeSynthesizer(LinearRegression(), n_voxels=200, random_state=0, **plain)


def _assert_accepted(source, target):
    """It is trained on, and predicted on its own grid in its own units."""
    synthesizer = _synthesizer().fit([source], [target])
    predicted = synthesizer.predict([source])[0]
    scan = nib.load(source)
    assert predicted.shape == scan.shape
    np.testing.assert_array_equal(predicted.affine, scan.affine)
    expected = nib.load(target).get_fdata()
    tolerance = 0.02 * np.ptp(expected)
    np.testing.assert_allclose(predicted.get_fdata(), expected, atol=tolerance)


@pytest.mark.parametrize("grid", GRIDS)
def test_any_grid_that_places_voxels_is_accepted(grid, tmp_path):
    _assert_accepted(*_pair(tmp_path, lambda data: data, affine=GRIDS[grid]))


@pytest.mark.filterwarnings("ignore:.*has voxels of 0.001:UserWarning")
def test_microscopic_voxels_are_accepted_with_a_warning(tmp_path):
    affine = np.diag([1e-3, 1e-3, 1e-3, 1.0])
    with pytest.warns(BrainWarning, match="less than the brain of a mouse"):
        _assert_accepted(*_pair(tmp_path, lambda data: data, affine=affine))


@pytest.mark.parametrize("shape", SHAPES)
def test_small_volumes_are_accepted_with_a_warning(shape, tmp_path):
    with pytest.warns(BrainWarning, match="fills the border of the volume"):
        _assert_accepted(*_pair(tmp_path, lambda data: data, _filled(SHAPES[shape])))


@pytest.mark.filterwarnings("ignore:.*is an Analyze file:UserWarning")
@pytest.mark.parametrize("format", FORMATS)
def test_formats_are_accepted(format, tmp_path):
    kind, name = FORMATS[format]
    _assert_accepted(*_pair(tmp_path, lambda data: data, kind=kind, name=name))


@pytest.mark.parametrize("unit", [1e30, 1e-30, -1.0, 1e37])
def test_any_unit_is_accepted(unit, tmp_path):
    _assert_accepted(*_pair(tmp_path, lambda data: np.float32(unit) * data))


def test_negative_and_positive_intensities_are_accepted(tmp_path):
    _assert_accepted(*_pair(tmp_path, lambda data: data - np.float32(1.6)))


@pytest.mark.parametrize("name", ["Müller, Jörg ß.nii.gz", "a b.nii", "脳.nii.gz"])
def test_names_with_spaces_and_umlauts(name, tmp_path):
    source, target = _pair(tmp_path, lambda data: data, name=name)
    _assert_accepted(source, target)
    model = tmp_path / "mein Modell ü.skops"
    save_model(_synthesizer().fit([source], [target]), model)
    assert main(["predict", str(model), str(source), "-o", str(tmp_path / "ö ö")]) == 0
    stem = name.partition(".")[0]
    assert [p.name for p in (tmp_path / "ö ö").iterdir()] == [
        name.replace(stem, f"{stem}_synth")
    ]


def test_links_are_followed(tmp_path):
    source, target = _pair(tmp_path, lambda data: data)
    (tmp_path / "link.nii.gz").symlink_to(source)
    _assert_accepted(tmp_path / "link.nii.gz", target)


def test_a_link_to_an_input_is_no_output(tmp_path, capsys):
    source, target = _pair(tmp_path, lambda data: data)
    model = tmp_path / "model.skops"
    save_model(_synthesizer().fit([source], [target]), model)
    (tmp_path / "in_synth.nii.gz").symlink_to(source)
    before = source.read_bytes()
    line = ["predict", model, source, "-o", tmp_path, "--overwrite"]
    assert main([str(argument) for argument in line]) == 1
    assert "is among the inputs" in capsys.readouterr().err
    assert source.read_bytes() == before


def test_the_sform_counts_where_it_and_the_qform_disagree(tmp_path):
    moved = AFFINE + 50 * np.eye(4, k=3)
    image = nib.Nifti1Image(_data(), AFFINE)
    image.set_sform(AFFINE, 2)
    image.set_qform(moved, 1)
    nib.save(image, tmp_path / "in.nii.gz")
    file = open_image(tmp_path / "in.nii.gz", "source")
    np.testing.assert_array_equal(file.affine, AFFINE)
    back = file.like(file.read())
    np.testing.assert_allclose(back.get_qform(), moved)


@pytest.mark.parametrize("mask", ["another grid", "elsewhere"])
def test_masks_of_another_grid(mask, tmp_path):
    source, target = _pair(tmp_path, lambda data: data)
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    if mask == "elsewhere":
        affine[0, 3] = 500
    data = framed(np.ones((4, 4, 3), np.uint8))
    path = _save(tmp_path, data, affine, name="mask.nii.gz")
    synthesizer = _synthesizer().set_params(mask_img=path)
    if mask == "elsewhere":
        with pytest.raises(ValueError, match="does not overlap its mask"):
            synthesizer.fit([source], [target])
    else:
        synthesizer.fit([source], [target])


def test_a_subject_given_twice_counts_twice(tmp_path):
    source, target = _pair(tmp_path, lambda data: data)
    synthesizer = _synthesizer().fit([source, source], [target, target])
    assert synthesizer.n_voxels_ == [200, 200]


def test_a_subject_given_twice_is_not_held_back(tmp_path):
    source, target = _pair(tmp_path, lambda data: data)
    (tmp_path / "link.nii.gz").symlink_to(source)
    with pytest.raises(ValueError, match="given as A and as B.*Give it once"):
        leave_one_subject_out(
            {"linear": _synthesizer()},
            [source, tmp_path / "link.nii.gz"],
            [target, target],
            ["A", "B"],
        )


@pytest.mark.parametrize("command", ["fit", "evaluate", "shrink"])
def test_the_command_takes_no_source_for_a_target(command, tmp_path, capsys):
    path, model = _save(tmp_path), tmp_path / "model.skops"
    line = [command, "--source", path, "--target", path]
    if command == "shrink":
        save_model(_synthesizer().fit([path], [path]), model)
        line.insert(1, model)
    if command != "evaluate":
        line += ["-o", tmp_path / "new.skops"]
    assert main([str(argument) for argument in line]) == 1
    assert f"{path} is among its own sources. Give" in capsys.readouterr().err


# What is refused


def _cut(path, n=4):
    path.write_bytes(path.read_bytes()[:-n])


def _patch(path, at, value):
    content = bytearray(path.read_bytes())
    content[at : at + len(value)] = value
    path.write_bytes(content)


def _uncompressed(folder):
    return _save(folder, name="in.nii")


def _claims(folder, shape):
    path = _uncompressed(folder)
    _patch(path, 42, np.array(shape, "<i2").tobytes())
    return path


def _claims_zipped(folder):
    path = _claims(folder, (10000, 10000, 10000))
    zipped = folder / "in.nii.gz"
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    return zipped


def _without_checksum(folder):
    path = _save(folder)
    _cut(path)
    return path


def _wrong_checksum(folder):
    path = _save(folder)
    content = path.read_bytes()
    _patch(path, len(content) - 6, bytes([content[-6] ^ 255]))
    return path


def _followed_by_another_file(folder):
    path = _save(folder)
    path.write_bytes(path.read_bytes() + b"something else")
    return path


def _half(folder):
    path = _save(folder)
    _cut(path, path.stat().st_size // 2)
    return path


def _wrong_magic(folder):
    path = _uncompressed(folder)
    _patch(path, 344, b"what")
    return path


def _pipe(folder):
    os.mkfifo(folder / "in.nii.gz")
    return folder / "in.nii.gz"


def _dangling_link(folder):
    (folder / "in.nii.gz").symlink_to(folder / "gone.nii.gz")
    return folder / "in.nii.gz"


def _rgb(folder):
    return _save(folder, np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")]))


def _singular(folder):
    path = _uncompressed(folder)
    _patch(path, 252, np.array([0, 1], "<i2").tobytes())  # no qform
    _patch(path, 296, bytes(16))  # srow_y
    return path


def _parallel_axes(folder):
    path = _uncompressed(folder)
    _patch(path, 252, np.array([0, 1], "<i2").tobytes())  # no qform
    _patch(path, 284, np.array([1e38], "<f4").tobytes())  # srow_x[1]
    return path


REFUSED = {
    "cut in the middle": (_half, "truncated or damaged: copy or download it again"),
    "cut before the checksum": (_without_checksum, "truncated or damaged"),
    "wrong checksum": (_wrong_checksum, "truncated or damaged"),
    "something after the end": (_followed_by_another_file, "truncated or damaged"),
    "10^12 voxels": (lambda f: _claims(f, (10000,) * 3), "its header claims 4000000"),
    "10^12 voxels, zipped": (_claims_zipped, "its header claims 40000000"),
    "negative size": (lambda f: _claims(f, (-9, 10, 8)), "holds no voxels"),
    "no voxels": (lambda f: _save(f, _filled((4, 0, 3))), "holds no voxels"),
    "wrong magic": (_wrong_magic, "not an image that can be read"),
    "2-D": (lambda f: _save(f, _filled((9, 10))), "is 2-D.*Give a 3-D image"),
    "4-D": (lambda f: _save(f, _filled((*SHAPE, 2))), "is 4-D.*four_to_three"),
    "5-D": (lambda f: _save(f, _filled((*SHAPE, 1, 3))), "is 5-D.*Give a 3-D image"),
    "NaN": (lambda f: _save(f, np.sqrt(_data() - 1.5)), "NaN or infinite.*Replace"),
    "infinite": (lambda f: _save(f, _data() / 0), "720 NaN or infinite.*Replace"),
    "beyond float32": (lambda f: _save(f, np.full(SHAPE, 1e300)), "infinite"),
    "complex": (lambda f: _save(f, 1j * _data()), "complex.*Give a magnitude image"),
    "RGB": (_rgb, "not real numbers"),
    "singular affine": (_singular, "does not place its voxels.*Repair"),
    "axes that coincide": (_parallel_axes, "does not place its voxels.*Repair"),
    "directory": (lambda folder: folder, "is a directory. Give an image file in it"),
    "pipe": (_pipe, "is not a regular file"),
    "missing": (lambda f: f / "in.nii.gz", "does not exist. Check the path"),
    "dangling link": (
        _dangling_link,
        "is a link to .*gone.*, which is not here. Fetch",
    ),
}


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_name_and_remedy(case, tmp_path):
    make, words = REFUSED[case]
    path = make(tmp_path)
    with pytest.raises((ValueError, FileNotFoundError), match=f"(?s){words}") as caught:
        open_image(path, "sources[0]").read()
    assert f"sources[0] ({path})" in str(caught.value)


UNTRAINABLE = {
    "one voxel": (_filled((1, 1, 1)), "its brain is constant"),
    "one voxel of brain": (framed(np.ones((1, 1, 1))), "its brain is constant"),
    "constant brain": (framed(np.full(SHAPE, 5.0)), "its brain is constant"),
    "constant": (np.full(SHAPE, 5.0), "No voxel of .* differs from the background"),
    "zero": (np.zeros(SHAPE), "No voxel of .* differs from the background"),
}


@pytest.mark.parametrize("case", UNTRAINABLE)
def test_refused_for_want_of_contrast(case, tmp_path):
    data, words = UNTRAINABLE[case]
    path = _save(tmp_path, data.astype(np.float32))
    with pytest.raises(ValueError, match=words) as caught:
        _synthesizer().fit([path], [nib.Nifti1Image(1 + data, AFFINE)])
    assert f"sources[0] ({path})" in str(caught.value)


def test_a_claim_is_refused_before_memory_is_taken(tmp_path):
    """With room for no more than half a gigabyte beyond what is in use."""
    cases = _claims(tmp_path, (1000, 1000, 1000)), _claims_zipped(tmp_path)
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * 4096
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (in_use + 2**29, limits[1]))
    try:
        for path in cases:
            with pytest.raises(ValueError, match="its header claims"):
                open_image(path, "source").read()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def test_no_permission_to_read(tmp_path, monkeypatch):
    path = _save(tmp_path)
    path.chmod(0)
    if os.access(path, os.R_OK):  # who may read everything
        monkeypatch.setattr(os, "access", lambda *args: False)
    with pytest.raises(PermissionError, match=r"in\.nii\.gz\) cannot be read: no perm"):
        open_image(path, "source")


@pytest.mark.parametrize("with_isal", [True, False])
def test_checksums_are_verified_with_and_without_isal(with_isal, tmp_path, monkeypatch):
    if with_isal:
        pytest.importorskip("isal")
    else:
        monkeypatch.setattr(images, "igzip", None)
    good = _save(tmp_path)
    np.testing.assert_array_equal(open_image(good, "source").read(), _data())
    for make in (_without_checksum, _wrong_checksum, _followed_by_another_file, _half):
        with pytest.raises(ValueError, match="truncated or damaged"):
            open_image(make(tmp_path), "source").read()


def test_scaled_integers_in_a_zipped_file(tmp_path):
    image = nib.Nifti1Image(_data(), AFFINE)
    image.set_data_dtype(np.int16)
    nib.save(image, tmp_path / "in.nii.gz")
    data = open_image(tmp_path / "in.nii.gz", "source").read()
    np.testing.assert_array_equal(
        data, nib.load(tmp_path / "in.nii.gz").get_fdata(dtype=np.float32)
    )
    np.testing.assert_allclose(data, _data(), atol=1e-4)

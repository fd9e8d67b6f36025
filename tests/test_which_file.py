"""Which file it was: what is kept of a scan is taken for that of no other one."""

import os
import pickle
import struct

import nibabel as nib
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from small_volumes import framed

from sklearn_lsdn import VolumeSynthesizer, save_model
from sklearn_lsdn._commands.main import main
from sklearn_lsdn.jobs import leave_one_subject_out
from sklearn_lsdn.volumes import _preparation as preparation
from sklearn_lsdn.volumes._images import open_image

SHAPE = (7, 8, 6)
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
SUBJECTS = ["sub-0", "sub-1"]
REPAIRS = {  # place in a header of NIfTI-1, how it is packed, and what to
    "units": (123, "<b", 2),
    "slope": (112, "<f", 3.0),
    "intercept": (116, "<f", 3.0),
    "qform": (268, "<f", 50.0),
    "sform": (292, "<f", 50.0),
    "sform code": (254, "<h", 4),
    "descrip": (148, "<4s", b"mine"),
}


def _write(path, seed, kind=nib.Nifti1Image):
    data = np.random.RandomState(seed).uniform(10, 200, SHAPE)
    image = kind(framed(data.astype(np.int16)), AFFINE)
    image.set_qform(AFFINE, 1)
    nib.save(image, path)
    return path


def _edit(path, at, form, value):
    """Change bytes in place, and let neither size nor time tell of it."""
    before, content = os.stat(path), bytearray(path.read_bytes())
    struct.pack_into(form, content, at, value)
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = os.stat(path)
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def _fingerprint(image):
    return open_image(image, "source").fingerprint()


@pytest.fixture
def paths(tmp_path):
    """Sources, which are pairs of files, and targets."""
    pair = nib.Nifti1Pair
    return (
        [_write(tmp_path / f"{s}_T1w.img", i, pair) for i, s in enumerate(SUBJECTS)],
        [_write(tmp_path / f"{s}_T2w.nii", i + 9) for i, s in enumerate(SUBJECTS)],
    )


@pytest.fixture
def work(monkeypatch):
    """Names what is done anew."""
    done = []
    fit, draw = VolumeSynthesizer.fit, preparation.draw_sample

    def fitted(self, *args, **more):
        done.append("fit")
        return fit(self, *args, **more)

    def drawn(*args, **more):
        done.append("draw")
        return draw(*args, **more)

    monkeypatch.setattr(VolumeSynthesizer, "fit", fitted)
    monkeypatch.setattr(preparation, "draw_sample", drawn)
    return done


def _linear(**parameters):
    return VolumeSynthesizer(
        LinearRegression(), n_voxels=50, random_state=0, **parameters
    )


@pytest.mark.parametrize("what", REPAIRS)
@pytest.mark.parametrize("name", ["in.nii", "in.img"])
def test_a_repaired_header_is_another_file(name, what, tmp_path):
    kind = nib.Nifti1Pair if name == "in.img" else nib.Nifti1Image
    path = _write(tmp_path / name, 0, kind)
    header = path.with_suffix(".hdr") if name == "in.img" else path
    before = _fingerprint(path)
    assert _fingerprint(path) == before
    _edit(header, *REPAIRS[what])
    assert _fingerprint(path) != before


def test_edited_voxels_are_another_file(tmp_path):
    for name, kind in (("in.nii", nib.Nifti1Image), ("in.img", nib.Nifti1Pair)):
        path = _write(tmp_path / name, 0, kind)
        before = _fingerprint(path)
        _edit(path, os.path.getsize(path) - 2, "<h", 7)
        assert _fingerprint(path) != before


def test_a_mat_file_of_spm_counts(tmp_path):
    image = nib.Spm99AnalyzeImage(np.ones(SHAPE, np.int16), AFFINE)
    nib.save(image, tmp_path / "in.img")
    before = _fingerprint(tmp_path / "in.img")
    (tmp_path / "in.mat").unlink()
    assert _fingerprint(tmp_path / "in.img") != before


def test_a_copy_is_the_same_file(tmp_path):
    path = _write(tmp_path / "in.nii", 0)
    (tmp_path / "copy.nii").write_bytes(path.read_bytes())
    assert _fingerprint(tmp_path / "copy.nii") == _fingerprint(path)
    opened = open_image(path, "source")
    assert pickle.loads(pickle.dumps(opened)).fingerprint() == _fingerprint(path)


def _changed(image, what):
    data = np.asanyarray(image.dataobj)
    if what == "voxel":
        image.dataobj[1, 1, 1] += 1
    elif what == "shape":
        return nib.Nifti1Image(data.reshape(8, 7, 6), AFFINE)
    elif what == "affine":
        return nib.Nifti1Image(data, AFFINE + 5 * np.eye(4, k=3))
    elif what == "kind of numbers":
        return nib.Nifti1Image(data.astype(np.float32), AFFINE)
    elif what == "units":
        image.header.set_xyzt_units("meter")
    elif what == "sform code":
        image.header["sform_code"] = 4
    return image


@pytest.mark.parametrize(
    "what", ["voxel", "shape", "affine", "kind of numbers", "units", "sform code"]
)
def test_images_in_memory_are_told_apart(what):
    image = nib.Nifti1Image(np.ones(SHAPE, np.int16), AFFINE)
    before = _fingerprint(image)
    assert _fingerprint(nib.Nifti1Image(np.ones(SHAPE, np.int16), AFFINE)) == before
    assert _fingerprint(_changed(image, what)) != before


def test_what_was_changed_since_it_was_loaded_counts(tmp_path):
    """As it does when the image is read."""
    path = _write(tmp_path / "in.nii", 0)
    before = _fingerprint(path)
    image = nib.load(path)
    image.header.set_xyzt_units("micron")
    assert _fingerprint(image) != before
    image = nib.load(path)
    image.get_fdata(dtype=np.float32)[1, 1, 1] += 1
    assert (
        open_image(image, "source").read().sum() != open_image(path, "a").read().sum()
    )
    assert _fingerprint(image) != before


REPAIRED = [("T2w.nii", "units"), ("T2w.nii", "slope"), ("T1w.hdr", "sform code")]


@pytest.mark.parametrize(("ending", "what"), REPAIRED)
def test_voxels_drawn_from_another_header_are_not_taken(
    ending, what, paths, tmp_path, work
):
    cached = _linear(memory=tmp_path / "cache")
    cached.fit(*paths)
    work.clear()
    cached.fit(*paths)
    assert work == ["fit"]
    work.clear()
    _edit(tmp_path / f"sub-1_{ending}", *REPAIRS[what])
    cached.fit(*paths)
    assert work == ["fit", "draw"]


@pytest.mark.parametrize("what", ["slope", "sform code", "voxels"])
def test_folds_of_another_header_are_not_taken(what, paths, tmp_path, work):
    def run():
        work.clear()
        leave_one_subject_out(
            {"a": _linear()}, *paths, SUBJECTS, resume=tmp_path / "folds"
        )
        return work.count("fit")

    assert run() == 2
    assert run() == 0
    if what == "voxels":
        _edit(paths[0][1], 20, "<h", 7)
    else:
        _edit(paths[0][1].with_suffix(".hdr"), *REPAIRS[what])
    assert run() == 2


@pytest.mark.parametrize("what", ["units", "slope", "qform", "sform code", "voxels"])
def test_a_synthesis_of_another_header_is_not_taken(what, paths, tmp_path, capsys):
    model, out = tmp_path / "model.skops", tmp_path / "out"
    save_model(_linear().fit(*paths), model)
    line = ["predict", model, *paths[0], "-o", out, "--resume"]
    line = [str(argument) for argument in line]

    def run():
        assert main(line) == 0
        return capsys.readouterr().err

    run()
    assert "2 of 2 were done before" in run()
    if what == "voxels":
        _edit(paths[0][1], 20, "<h", 7)
    else:
        _edit(paths[0][1].with_suffix(".hdr"), *REPAIRS[what])
    assert "1 of 2 were done before; outputs of 1 are replaced" in run()
    assert "2 of 2 were done before" in run()

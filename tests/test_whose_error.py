"""Whose error it is: a sentence with file and remedy, and the others are done."""

import gzip
import os

import nibabel as nib
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from small_volumes import AFFINE, SHAPE, Cohort, small

from sklearn_lsdn import VolumeSynthesizer, save_model
from sklearn_lsdn._commands.main import main
from sklearn_lsdn.jobs import _demo as demo
from sklearn_lsdn.jobs import predict_files
from sklearn_lsdn.volumes._images import open_image

DATA = np.random.RandomState(0).uniform(1, 2, SHAPE).astype(np.float32)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return Cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture(scope="module")
def model(cohort, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.skops"
    save_model(small(LinearRegression()).fit(cohort.a[:2], cohort.c[:2]), path)
    return path


def _run(*argv):
    return main([str(argument) for argument in argv])


def _save(path, data=DATA, kind=nib.Nifti1Image):
    nib.save(kind(data, AFFINE), path)
    return path


def _renamed(path, name):
    """A file whose content is not what its new name says."""
    return path.rename(path.with_name(name))


def _link(folder):
    path = folder / "sub-01_T1w.nii.gz"
    path.symlink_to(".git/annex/objects/MD5E-s7--0.nii.gz")
    return path


def _folder_link(folder):
    (folder / "sub-01").symlink_to(folder / "nowhere")
    return folder / "sub-01" / "T1w.nii.gz"


def _written(name, content):
    def write(folder):
        (folder / name).write_bytes(content)
        return folder / name

    return write


def _half_of_a_pair(other):
    def make(folder):
        path = _save(folder / "in.img", kind=nib.Nifti1Pair)
        (folder / other).unlink()
        return path if other == "in.hdr" else folder / "in.hdr"

    return make


def _bad_qform(folder):
    path = _save(folder / "in.nii")
    content = bytearray(path.read_bytes())
    content[252:256] = np.array([1, 0], "<i2").tobytes()
    content[256:260] = np.array([np.float32(9)], "<f4").tobytes()
    path.write_bytes(content)
    return path


POINTER = b"/annex/objects/MD5E-s7--0.nii.gz\n"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n"
UNUSABLE = {
    "a link of DataLad": (_link, r"is a link to \.git/annex.*not here.*datalad get"),
    "a folder that is such a link": (_folder_link, "nowhere.*not here.*datalad get"),
    "a pointer of git-annex": (_written("in.nii.gz", POINTER), "datalad get"),
    "a pointer of Git LFS": (_written("in.nii", LFS), "git lfs pull"),
    "a wildcard": (lambda f: f / "*_T1w.nii.gz", "no file matches it. Check.*pattern"),
    "another wildcard": (lambda f: f / "sub-0[1-3]_T1w.nii", "no file matches it"),
    "gzip named .nii": (
        lambda f: _renamed(_save(f / "in.nii.gz"), "in.nii"),
        r"is compressed by gzip.*Rename it to in\.nii\.gz",
    ),
    "gzip named .mgh": (
        lambda f: _renamed(_save(f / "in.mgz", kind=nib.MGHImage), "in.mgh"),
        r"is compressed by gzip.*Rename it to in\.mgz",
    ),
    "NIfTI named .nii.gz": (
        lambda f: _renamed(_save(f / "in.nii"), "in.nii.gz"),
        r"is not compressed.*Rename it to in\.nii\.",
    ),
    "MGH named .mgz": (
        lambda f: _renamed(_save(f / "in.mgh", kind=nib.MGHImage), "in.mgz"),
        r"is not compressed.*Rename it to in\.mgh",
    ),
    "0 bytes": (_written("in.nii.gz", b""), "is empty .0 bytes.*download"),
    "0 bytes in gzip": (_written("in.nii.gz", gzip.compress(b"")), "unpacks to 0 byt"),
    "a web page": (_written("in.nii.gz", b"<html>404</html>"), "is not an image"),
    "no header": (_half_of_a_pair("in.hdr"), r"other half.*in\.hdr does not exist"),
    "no voxels": (_half_of_a_pair("in.img"), r"other half.*in\.img does not exist"),
    "a qform that is none": (_bad_qform, "is not an image that can be read|affine"),
}


@pytest.mark.filterwarnings("default:.*:UserWarning:nibabel")
@pytest.mark.parametrize("case", UNUSABLE)
def test_files_that_are_no_images(case, tmp_path):
    make, words = UNUSABLE[case]
    path = make(tmp_path)
    with pytest.raises((ValueError, FileNotFoundError), match=f"(?s){words}") as e:
        open_image(path, "sources[0]").read()
    assert f"sources[0] ({path})" in str(e.value)


@pytest.mark.parametrize("case", ["a link of DataLad", "a wildcard", "gzip named .nii"])
def test_the_command_says_so_in_a_sentence(case, model, tmp_path, capsys):
    make, words = UNUSABLE[case]
    assert _run("predict", model, make(tmp_path), "-o", tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert "lsdn predict: error: sources[0] (" in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_predict_does_the_others(cohort, model, tmp_path, capsys):
    bad = [make(tmp_path) for make, _ in list(UNUSABLE.values())[:5]]
    out = tmp_path / "out"
    line = ["predict", model, bad[0], cohort.a[2], *bad[4:], "-o", out, "--keep-going"]
    assert _run(*line) == 1
    error = capsys.readouterr().err
    assert "2 of 3 subjects could not be predicted" in error
    assert str(bad[0]) in error
    assert str(bad[4]) in error
    assert [path.name for path in out.iterdir()] == ["sub-2_a_synth.nii.gz"]


# Registration


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    """Two subjects and a reference, of 4 mm."""
    pytest.importorskip("SimpleITK")
    from sklearn_lsdn.datasets import make_brain_cohort

    folder = tmp_path_factory.mktemp("heads")
    images = make_brain_cohort(3, voxel_size=4, random_state=0).images["T1w"]
    for i, image in enumerate(images):
        nib.save(image, folder / f"sub-{i}_T1w.nii.gz")
    return [folder / f"sub-{i}_T1w.nii.gz" for i in range(3)]


def _like(path, data, new):
    nib.save(nib.Nifti1Image(data, nib.load(path).affine), new)
    return new


@pytest.mark.parametrize("value", [0, 5])
def test_a_scan_that_shows_nothing_is_refused(value, heads, tmp_path, capsys):
    data = np.full(nib.load(heads[0]).shape, value, np.float32)
    blank = _like(heads[0], data, tmp_path / "blank.nii.gz")
    for source, reference in ((blank, heads[0]), (heads[0], blank)):
        line = ["register", "--source", source, "--reference", reference]
        assert _run(*line, "-o", tmp_path / "out") == 1
        error = capsys.readouterr().err
        assert f"{blank}) cannot be registered: it shows nothing" in error
        assert f"all its voxels are {value}. Check whether" in error
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("what", ["one slice", "a mask of zeros"])
def test_what_itk_says_comes_in_a_sentence(what, heads, tmp_path):
    from sklearn_lsdn.volumes import register_rigid

    image, more = nib.load(heads[0]), {}
    data = np.asanyarray(image.dataobj)
    if what == "one slice":
        data = data[:, :, 20:21]
    else:
        more["fixed_mask"] = nib.Nifti1Image(np.zeros(image.shape, "u1"), image.affine)
    path = _like(heads[0], data, tmp_path / "in.nii.gz")
    with pytest.raises(ValueError, match=r"in\.nii\.gz\) cannot be re") as e:
        register_rigid(path, heads[1], **more)
    assert "hxx" not in str(e.value)
    assert "\n" not in str(e.value)


def test_register_does_the_others(heads, tmp_path, capsys):
    blank = np.zeros(nib.load(heads[0]).shape, np.float32)
    blank = _like(heads[0], blank, tmp_path / "blank.nii.gz")
    link, out = _link(tmp_path), tmp_path / "out"
    sources = ["--source", blank, heads[1], link]
    line = ["register", *sources, "--reference", heads[0], "-o", out]
    assert _run(*line) == 1
    assert f"{link}) does not exist" in capsys.readouterr().err  # before the work
    assert not out.exists()
    assert _run(*line, "--keep-going") == 1
    error = capsys.readouterr().err
    assert "2 of 3 subjects could not be registered:" in error
    assert f"{blank}) cannot be registered" in error
    assert f"{link}) does not exist" in error
    assert sorted(path.name for path in out.iterdir()) == [
        f"sub-1_T1w_reg.{ending}" for ending in ("json", "nii.gz", "png", "tfm")
    ]


def test_of_a_subject_that_fails_nothing_is_written(heads, tmp_path):
    """Though its first image could be registered."""
    blank = np.zeros(nib.load(heads[0]).shape, np.float32)
    blank = _like(heads[0], blank, tmp_path / "sub-1_T2w.nii.gz")
    images = ["--source", heads[1], "--target", blank, "--reference", heads[0]]
    assert _run("register", *images, "-o", tmp_path / "out", "--keep-going") == 1
    assert not (tmp_path / "out").exists()


# Folders


def _interrupt(*args, **more):
    raise KeyboardInterrupt


def _fail(*args, **more):
    raise ValueError("it cannot be used")


@pytest.mark.parametrize(("end", "code"), [(_interrupt, 130), (_fail, 1)])
def test_no_empty_folder_is_left(end, code, cohort, model, tmp_path, monkeypatch):
    monkeypatch.setattr(VolumeSynthesizer, "synthesize", end)
    monkeypatch.setattr(demo, "make_brain_cohort", end)
    (tmp_path / "mine").mkdir()
    for folder in ("out", "mine", "mine/a/b"):
        line = ["predict", model, *cohort.a, "-o", tmp_path / folder, "-j", "1"]
        assert _run(*line) == code
        assert _run(*line, "--keep-going") == code
    pytest.importorskip("matplotlib")
    assert _run("demo", "-o", tmp_path / "demo") == code
    assert list(tmp_path.rglob("*")) == [tmp_path / "mine"]


@pytest.mark.parametrize(("end", "code"), [(_interrupt, 130), (_fail, 1)])
def test_no_empty_folder_is_left_by_register(end, code, heads, tmp_path, monkeypatch):
    monkeypatch.setattr("sklearn_lsdn.jobs._aligned.align", end)
    line = ["register", "--source", heads[1], "--reference", heads[0]]
    assert _run(*line, "-o", tmp_path / "out" / "deep") == code
    assert list(tmp_path.iterdir()) == []


def test_no_dataset_without_an_image_is_left(cohort, tmp_path, monkeypatch):
    pytest.importorskip("ancpbids")
    raw, out = tmp_path / "raw", tmp_path / "out"
    for i in range(2):
        anat = raw / f"sub-{i}" / "anat"
        anat.mkdir(parents=True)
        os.link(cohort.a[i], anat / f"sub-{i}_T1w.nii.gz")
    model = tmp_path / "model.skops"
    save_model(small(LinearRegression()).fit(cohort.a, cohort.c), model)
    line = ["predict", model, raw, "-o", out, "--source", "T1w", "--target", "T2w"]
    synthesize = VolumeSynthesizer.synthesize
    with monkeypatch.context() as patch:
        patch.setattr(VolumeSynthesizer, "synthesize", _interrupt)
        assert _run(*line) == 130
        assert not out.exists()

        def second_fails(self, source, **more):
            if "sub-1" in str(source):
                raise ValueError("it cannot be used")
            return synthesize(self, source, **more)

        patch.setattr(VolumeSynthesizer, "synthesize", second_fails)
        assert _run(*line, "--keep-going") == 1
        assert (out / "dataset_description.json").is_file()
        assert [path.name for path in out.glob("sub-*")] == ["sub-0"]
        patch.setattr(VolumeSynthesizer, "synthesize", _interrupt)
        assert _run(*line, "--resume") == 130
        # What another run has begun stays.
        assert (out / "dataset_description.json").is_file()
        assert [path.name for path in out.glob("sub-*")] == ["sub-0"]
    assert _run(*line, "--resume") == 0
    assert sorted(path.name for path in out.glob("sub-*")) == ["sub-0", "sub-1"]


def test_a_folder_that_another_run_removed_is_made_again(cohort, tmp_path, monkeypatch):
    out, synthesize = tmp_path / "out", VolumeSynthesizer.synthesize

    def synthesized(self, *args, **more):
        out.rmdir()
        return synthesize(self, *args, **more)

    synthesizer = small(LinearRegression()).fit(cohort.a[:2], cohort.c[:2])
    monkeypatch.setattr(VolumeSynthesizer, "synthesize", synthesized)
    (path,) = predict_files(synthesizer, cohort.a[2:], out)
    assert path.is_file()


def test_an_evaluation_of_what_cannot_be_read_keeps_no_folder(cohort, tmp_path):
    line = ["evaluate", "--source", *cohort.a[:2], "--target", cohort.c[0]]
    line += [_link(tmp_path), "--resume", tmp_path / "folds"]
    assert _run(*line) == 1
    assert not (tmp_path / "folds").exists()

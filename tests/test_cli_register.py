"""`lsdn register` and `lsdn fit --register`: files in, aligned files out."""

import json
import re
import sys

import nibabel as nib
import numpy as np
import pytest

from sklearn_lsdn import load_model
from sklearn_lsdn._commands.main import main
from sklearn_lsdn.datasets import make_brain_cohort
from sklearn_lsdn.volumes._registration import AffineTransform, resample

sitk = pytest.importorskip("SimpleITK", reason="registration needs SimpleITK")

SMALL = ["--max-iter", "2", "--n-voxels", "2000", "--hidden-layer-sizes", "20", "8"]
SUBJECTS = ["sub-01", "sub-02"]


def _shift(*mm):
    matrix = np.eye(4)
    matrix[:3, 3] = mm
    return AffineTransform(matrix)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two subjects off the reference; their T2w are off their T1w as well."""
    folder = tmp_path_factory.mktemp("data")
    cohort = make_brain_cohort(3, voxel_size=4, random_state=0).images
    nib.save(cohort["T1w"][2], folder / "reference.nii.gz")
    for i, subject in enumerate(SUBJECTS):
        for contrast, shift in (("T1w", _shift(8, -5, 3)), ("T2w", _shift(0, 4, -6))):
            image = cohort[contrast][i]
            nib.save(image, folder / f"{subject}_true_{contrast}.nii.gz")
            moved = resample(image, image, shift, interpolation="linear")
            nib.save(moved, folder / f"{subject}_{contrast}.nii.gz")
    return folder


@pytest.fixture
def roughly(monkeypatch):
    """Where it does not matter how well images are aligned, they are in less time."""
    few = 2000, 2000, 3000, 6000
    monkeypatch.setattr("sklearn_lsdn.volumes._mutual_information._SAMPLES", few)


def _run(*argv):
    return main([str(argument) for argument in argv])


def _files(data, contrast, subjects=SUBJECTS):
    return [data / f"{subject}_{contrast}.nii.gz" for subject in subjects]


def _register(data, subjects=SUBJECTS):
    sources, targets = (_files(data, c, subjects) for c in ("T1w", "T2w"))
    images = ["--source", *sources, "--target", *targets]
    return ["register", *images, "--reference", data / "reference.nii.gz"]


def _likeness(one, two):
    one, two = (nib.load(path).get_fdata() for path in (one, two))
    brain = (one != 0) & (two != 0)
    return np.corrcoef(one[brain], two[brain])[0, 1]


def _refused(capsys, *argv):
    capsys.readouterr()
    assert _run(*argv) == 1
    return capsys.readouterr().err


def test_subjects_are_aligned_to_a_reference(data, tmp_path, capsys):
    out = tmp_path / "out"
    assert _run(*_register(data), "-o", out) == 0
    captured = capsys.readouterr()
    assert re.search(r"1/2 sub-01_T1w.nii.gz \(.*\n2/2 sub-02", captured.err)
    names = ["sub-01_T1w_reg.nii.gz", "sub-01_T2w_reg.nii.gz", "sub-01_T1w_reg.png"]
    lines = captured.out.splitlines()
    assert lines[:3] == [str(out / name) for name in names]
    assert len(lines) == 6
    for subject in SUBJECTS:
        for contrast in ("T1w", "T2w"):
            path = out / f"{subject}_{contrast}_reg.nii.gz"
            truth = data / f"{subject}_true_{contrast}.nii.gz"
            assert nib.load(path).shape == nib.load(data / "reference.nii.gz").shape
            assert nib.load(path).header.get_xyzt_units()[0] == "mm"
            assert _likeness(path, truth) > _likeness(
                data / f"{subject}_{contrast}.nii.gz", truth
            )
    # Both transforms lead from the reference: (8, -5, 3) and (0, 4, -6) mm back, in
    # ITK's axes, but for what differs between two subjects' brains.
    ends = []
    for contrast, expected in (("T1w", (8, -5, -3)), ("T2w", (0, 4, 6))):
        itk = sitk.ReadTransform(str(out / f"sub-01_{contrast}_reg.tfm"))
        found = itk.TransformPoint((0.0, 0.0, 0.0))
        assert np.linalg.norm(np.subtract(found, expected)) < 5
        ends.append(np.array(found))
    # Between the contrasts of one subject it is exact.
    assert np.linalg.norm(ends[0] - ends[1] - [8, -9, -9]) < 1


def test_by_two_at_once_with_n4_and_affine(
    data, tmp_path, capsys, monkeypatch, roughly
):
    """All the same bits; the page has the failure first, then the worst."""
    monkeypatch.setattr("sklearn_lsdn.volumes._bias_field._ITERATIONS", [2, 2])
    pytest.importorskip("jinja2", reason="pages need jinja2")
    lost = tmp_path / "sub-00_T1w.nii.gz"
    nothing = nib.load(_files(data, "T1w")[0])
    nib.save(nib.Nifti1Image(np.zeros(nothing.shape, "f4"), nothing.affine), lost)
    more = [
        "--reference",
        data / "reference.nii.gz",
        "--n4",
        "--affine",
        "--keep-going",
    ]
    task = ["register", "--source", *_files(data, "T1w"), lost, *more]
    for jobs in ("1", "2"):
        page = tmp_path / f"{jobs}.html"
        out = ["-o", tmp_path / jobs, "-j", jobs, "--report", page]
        assert "1 of 3 subjects" in _refused(capsys, *task, *out)
    one, two = (
        {path.name: path.read_bytes() for path in (tmp_path / jobs).iterdir()}
        for jobs in ("1", "2")
    )
    assert one == two
    assert page.read_bytes() == (tmp_path / "1.html").read_bytes()
    html = page.read_text()
    assert "3 subjects, of whom 1 could not be" in re.sub(r"\s+", " ", html)
    assert html.index("sub-00_T1w.nii.gz</strong> failed") < html.index('<h2 id="sub-')
    image = nib.load(tmp_path / "1" / "sub-01_T1w_reg.nii.gz")
    assert image.header["descrip"].item().endswith(b"affine registration after N4")
    about = json.loads((tmp_path / "1" / "sub-01_T1w_reg.json").read_text())
    assert about["BiasFieldCorrected"] is True
    assert about["Description"].startswith("Bias field taken out by N4, then aligned")
    zooms = about["Registration"]["Zooms"]
    assert all(0.8 < zoom < 1.25 for zoom in zooms)
    assert zooms != [1, 1, 1]
    shown = " ".join(f"{zoom:.2f}" for zoom in zooms)
    assert f'<td data-label="zooms">{shown}</td>' in html


def test_a_page_that_cannot_be_written_is_said_before_the_work(
    data, tmp_path, capsys, monkeypatch
):
    pytest.importorskip("jinja2", reason="pages need jinja2")
    work = "sklearn_lsdn.jobs._aligned.align"
    monkeypatch.setattr(work, lambda *args, **more: pytest.fail("work began"))
    task = [*_register(data), "-o", tmp_path / "out", "--report"]
    assert "does not end in .html" in _refused(capsys, *task, tmp_path / "x.txt")
    (tmp_path / "x.html").write_text("mine")
    assert "x.html exists already" in _refused(capsys, *task, tmp_path / "x.html")
    assert not (tmp_path / "out").exists()


def test_sources_alone_to_mni152(data, tmp_path, roughly):
    source = _files(data, "T1w")[0]
    assert _run("register", "--source", source, "-o", tmp_path, "-q") == 0
    image = nib.load(tmp_path / "sub-01_T1w_reg.nii.gz")
    assert image.header.get_zooms() == (1, 1, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "sub-01_T1w_reg.json",
        "sub-01_T1w_reg.nii.gz",
        "sub-01_T1w_reg.png",
        "sub-01_T1w_reg.tfm",
    ]


def test_a_dataset_becomes_a_derivative_dataset(data, tmp_path, capsys):
    pytest.importorskip("ancpbids", reason="BIDS datasets need ancpbids")
    raw, out, model = tmp_path / "raw", tmp_path / "out", tmp_path / "model.skops"
    for subject in SUBJECTS:
        (raw / subject / "anat").mkdir(parents=True)
        for contrast in ("T1w", "T2w"):
            name = f"{subject}_{contrast}.nii.gz"
            (raw / subject / "anat" / name).write_bytes((data / name).read_bytes())
    (raw / "sub-02" / "anat" / "sub-02_T2w.nii.gz").unlink()
    (raw / "sub-03" / "anat").mkdir(parents=True)
    lonely = raw / "sub-03" / "anat" / "sub-03_T2w.nii.gz"
    lonely.write_bytes((data / "sub-01_T2w.nii.gz").read_bytes())
    names = ["--source", "T1w", "--target", "T2w"]
    reference = ["--reference", data / "reference.nii.gz"]
    assert _run("register", raw, *names, *reference, "-o", out) == 0
    error = capsys.readouterr().err
    assert "Left out: sub-03 lacks T1w" in error
    assert "Without target: sub-02 lacks T2w" in error
    assert "Left out: sub-02" not in error
    alone = "sub-02_space-reference_desc-reg_T1w"
    endings = (".json", ".nii.gz", ".png", ".tfm")
    names_of = sorted(path.name for path in (out / "sub-02").rglob("*.*"))
    assert names_of == [f"{alone}{ending}" for ending in endings]
    about = json.loads((out / "sub-02" / "anat" / f"{alone}.json").read_text())
    assert about["Sources"] == ["bids:source:sub-02/anat/sub-02_T1w.nii.gz"]
    assert about["SkullStripped"] is True
    assert about["BiasFieldCorrected"] is False
    fit = about["Registration"]
    assert fit["MutualInformation"]["After"] > fit["MutualInformation"]["Before"]
    assert 0.8 < fit["Dice"] < 1
    assert fit["Shift"]["Value"] == pytest.approx(98**0.5, abs=5)
    assert fit["Rotation"]["Value"] < 5
    assert fit["Zooms"] == [1, 1, 1]
    assert about["SpatialReference"].endswith("reference.nii.gz")
    stem = "sub-01_space-reference_desc-reg_T2w"
    assert (out / "sub-01" / "anat" / f"{stem}.nii.gz").is_file()
    assert (out / "sub-01" / "anat" / f"{stem}.tfm").is_file()
    description = json.loads((out / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert (out / ".bidsignore").read_text() == "*.tfm\n*.png\n"
    # What comes out is what lsdn fit takes.
    assert _run("fit", out, *names, "--space", "reference", *SMALL, "-o", model) == 0


def test_existing_outputs_are_found_before_the_work(
    data, tmp_path, capsys, monkeypatch
):
    path = tmp_path / "sub-01_T2w_reg.tfm"
    path.write_text("mine")
    work = "sklearn_lsdn.jobs._aligned.align"
    monkeypatch.setattr(work, lambda *args, **more: pytest.fail("work began"))
    task = [*_register(data, SUBJECTS[:1]), "-o", tmp_path]
    assert f"{path} exists already" in _refused(capsys, *task)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_overwriting(data, tmp_path, roughly):
    path = tmp_path / "sub-01_T2w_reg.nii.gz"
    path.write_text("old")
    task = [*_register(data, SUBJECTS[:1]), "-o", tmp_path, "--overwrite"]
    assert _run(*task) == 0
    assert path.stat().st_size > 1000


def test_two_inputs_with_one_output_are_refused(data, tmp_path, capsys):
    source = _files(data, "T1w")[0]
    task = ["register", "--source", source, source, "-o", tmp_path / "out"]
    assert "Two images would become" in _refused(capsys, *task)
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_read_is_named(data, tmp_path, capsys):
    bad = tmp_path / "sub-01_T1w.nii.gz"
    bad.write_text("T1w")
    task = ["register", "--source", bad, "-o", tmp_path / "out"]
    assert str(bad) in _refused(capsys, *task)
    good = _files(data, "T1w")[0]
    task = ["register", "--source", good, "-o", tmp_path / "out", "--reference", bad]
    assert str(bad) in _refused(capsys, *task)
    assert not (tmp_path / "out").exists()


def test_sources_and_targets_must_be_as_many(data, tmp_path, capsys, monkeypatch):
    """Which is said before the reference is read."""
    reading = "sklearn_lsdn.jobs._aligned.Reference.resolve"
    monkeypatch.setattr(reading, lambda *args: pytest.fail("the reference was read"))
    images = ["--source", *_files(data, "T1w"), "--target", _files(data, "T2w")[0]]
    error = _refused(capsys, "register", *images, "-o", tmp_path / "out")
    assert "sources lists 2 subjects and targets 1." in error
    assert not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("always:.*may be badly aligned")
def test_doubts_are_said_on_standard_error(data, tmp_path, capsys):
    noise = np.random.default_rng(0).uniform(size=(40, 40, 40)).astype(np.float32)
    path = tmp_path / "noise.nii.gz"
    nib.save(nib.Nifti1Image(noise, np.diag([4.0, 4, 4, 1])), path)
    reference = ["--reference", data / "reference.nii.gz"]
    assert _run("register", "--source", path, *reference, "-o", tmp_path / "o") == 0
    assert re.search(
        r"^Warning: .*noise.*may be badly aligned",
        capsys.readouterr().err,
        re.MULTILINE,
    )


def test_missing_simpleitk_is_said(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    error = _refused(capsys, *_register(data), "-o", tmp_path / "out")
    assert 'pip install "sklearn_lsdn[register]"' in error
    images = _register(data)[1:-2]
    fit = ["fit", *images, "--register", "-o", tmp_path / "model.skops"]
    assert 'pip install "sklearn_lsdn[register]"' in _refused(capsys, *fit)


def test_fit_aligns_targets_to_sources(data, tmp_path):
    """A target on another grid and out of place is as good as one in place."""
    paths, targets = {}, []
    for path in _files(data, "T2w"):
        image = nib.load(path).slicer[1:, :, :-1]
        targets.append(tmp_path / path.name)
        nib.save(image, targets[-1])
    sources = ["--source", *_files(data, "T1w")]
    paths["given"] = [*sources, "--target", *_files(data, "T2w")]
    paths["aligned"] = [*sources, "--target", *targets, "--register"]
    snr = {}
    for name, images in paths.items():
        model = tmp_path / f"{name}.skops"
        assert _run("fit", *images, *SMALL, "-o", model, "-j", "1", "-q") == 0
        truth = [_files(data, f"true_{c}") for c in ("T1w", "T2w")]
        snr[name] = load_model(model).score(*truth)
    assert snr["aligned"] > snr["given"] + 1


def test_fit_refuses_other_grids_without_registration(data, tmp_path, capsys):
    source, target = _files(data, "T1w")[0], tmp_path / "sub-01_T2w.nii.gz"
    nib.save(nib.load(_files(data, "T2w")[0]).slicer[1:], target)
    fit = ["fit", "--source", source, "--target", target, *SMALL]
    assert "different grids" in _refused(capsys, *fit, "-o", tmp_path / "m.skops")

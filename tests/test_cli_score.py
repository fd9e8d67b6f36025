"""`lsdn score`: a model as it is, on subjects who have both contrasts."""

import json

import nibabel as nib
import numpy as np
import pytest
from small_commands import BRIEF, SUBJECTS, files_of, refused, run
from small_commands import training as pairs

from sklearn_lsdn import load_model, psnr_score
from sklearn_lsdn.datasets import make_brain_cohort


@pytest.fixture(scope="module")
def model(data):
    path = data / "t2w.skops"
    assert run("fit", *pairs(data), *BRIEF, "-q", "-o", path) == 0
    return path


@pytest.fixture(scope="module")
def ensemble(data):
    path = data / "ensemble.skops"
    options = [*BRIEF, "--n-estimators", "2", "-q"]
    assert run("fit", *pairs(data), *options, "-o", path) == 0
    return path


@pytest.fixture
def dataset(tmp_path):
    """Three subjects, of which the last lacks the target."""
    folder = tmp_path / "bids"
    folder.mkdir()
    description = {"Name": "Brains", "BIDSVersion": "1.10.0"}
    (folder / "dataset_description.json").write_text(json.dumps(description))
    images = make_brain_cohort(3, ("T1w", "T2w"), voxel_size=8, random_state=0).images
    for contrast, scans in images.items():
        for subject, scan in zip(SUBJECTS, scans, strict=True):
            if (subject, contrast) != ("sub-03", "T2w"):
                anat = folder / subject / "anat"
                anat.mkdir(parents=True, exist_ok=True)
                nib.save(scan, anat / f"{subject}_{contrast}.nii.gz")
    return folder


def _table(out):
    """Cells of the rows before what the numbers mean."""
    lines = out.split("\n\n")[0].splitlines()
    return [[cell for cell in line.split("  ") if cell] for line in lines]


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_scores_are_those_of_the_model(data, model, tmp_path, capsys, jobs):
    path = tmp_path / "scores.json"
    given = [*pairs(data, SUBJECTS)[:-1], jobs]
    assert run("score", model, *given, "-q", "--json", path) == 0
    out = capsys.readouterr().out
    header, row, brain = _table(out)
    assert header[:4] == ["SNR (dB)", *SUBJECTS]
    assert "fit (s)" not in out  # nothing was trained
    synthesizer = load_model(model)
    sources, targets = files_of(data), files_of(data, "T2w")
    snr = synthesizer.score_volumes(sources, targets)[:, 0]
    psnr = synthesizer.score_volumes(sources, targets, metric=psnr_score)[:, 0]
    assert row[0].strip() == "t2w"
    assert [cell.strip() for cell in row[1:4]] == [f"{each:.2f}" for each in snr]
    content = json.loads(path.read_text(), parse_constant=pytest.fail)
    volumes = content["volumes"]
    assert [volume["subject"] for volume in volumes] == SUBJECTS
    np.testing.assert_allclose([v["snr"] for v in volumes], snr)
    np.testing.assert_allclose([v["psnr"] for v in volumes], psnr, rtol=1e-5)
    assert all("fit_seconds" not in v and v["warnings"] == [] for v in volumes)
    voxels = np.count_nonzero(nib.load(targets[0]).get_fdata())
    assert volumes[0]["brain_ml"] == pytest.approx(voxels * 0.8**3, rel=0.02)
    assert brain[1].strip() == f"{volumes[0]['brain_ml']:.0f}"


def test_the_report_shows_each_subject_and_the_network(data, ensemble, tmp_path):
    pytest.importorskip("jinja2")
    page = tmp_path / "page.html"
    given = pairs(data, SUBJECTS[1:])
    assert run("score", ensemble, *given, "-q", "--report", page) == 0
    html = page.read_text()
    assert "sub-01" not in html
    of_each = [html.count(f'alt="Slices of {name}:') for name in SUBJECTS[1:]]
    assert of_each == [5, 5]  # source, target, synthesis, error, standard deviation
    assert "ensemble.skops" in html
    assert "SNR (dB)" in html
    assert html.count("EnsembleRegressor") == 1


def test_doubtful_scans_are_told_and_strictly_refused(data, model, tmp_path, capsys):
    scan = nib.load(files_of(data)[2])
    half = scan.get_fdata()
    half[: len(half) // 2] = 0
    path = tmp_path / "sub-03_T1w.nii.gz"
    nib.save(nib.Nifti1Image(half.astype(np.float32), scan.affine), path)
    given = "--source", path, "--target", files_of(data, "T2w")[2]
    assert run("score", model, *given, "-q") == 0
    out, err = capsys.readouterr()
    warnings = [line for line in err.splitlines() if line.startswith("Warning: ")]
    assert warnings
    assert all(line.removeprefix("Warning: ") in out for line in warnings)
    assert str(path) in refused(capsys, "score", model, *given, "-q", "--strict")


def test_a_wrong_pair_is_named(data, model, tmp_path, capsys):
    rng = np.random.RandomState(0)
    scan = nib.load(files_of(data, "T2w")[2])
    voxels = scan.get_fdata()
    brain = voxels != 0
    voxels[brain] = rng.permutation(voxels[brain])
    wrong = tmp_path / "sub-03_T2w.nii.gz"
    nib.save(nib.Nifti1Image(voxels.astype(np.float32), scan.affine), wrong)
    targets = [*files_of(data, "T2w")[:2], wrong]
    given = ["--source", *files_of(data), "--target", *targets, "-j", "1", "-q"]
    assert run("score", model, *given) == 0
    out, err = capsys.readouterr()
    text = "sub-03: predicted no better than by the mean"
    assert text in out
    assert text in err


def test_a_dataset_is_searched_for_what_the_model_remembers(dataset, tmp_path, capsys):
    pytest.importorskip("ancpbids", reason="BIDS datasets need ancpbids")
    model = tmp_path / "model.skops"
    names = "--source", "T1w", "--target", "T2w"
    assert run("fit", dataset, *names, *BRIEF, "-q", "-j", "1", "-o", model) == 0
    capsys.readouterr()
    assert run("score", model, dataset, "-q") == 0
    out, err = capsys.readouterr()
    assert _table(out)[0][1:3] == SUBJECTS[:2]
    assert "sub-03" in err  # left out
    assert run("score", model, dataset, *names, "-q") == 0
    assert _table(capsys.readouterr().out)[0][1:3] == SUBJECTS[:2]


def test_a_model_of_plain_files_asks_for_names(dataset, model, capsys):
    pytest.importorskip("ancpbids", reason="BIDS datasets need ancpbids")
    assert "--source" in refused(capsys, "score", model, dataset, "-q")


@pytest.mark.parametrize("missing", ["--source", "--target"])
def test_both_contrasts_are_needed(data, model, capsys, missing):
    given = {"--source": files_of(data), "--target": files_of(data, "T2w")}
    del given[missing]
    ((option, paths),) = given.items()
    error = refused(capsys, "score", model, option, *paths)
    assert f"There is no {missing}." in error


def test_nothing_is_overwritten(data, model, tmp_path, capsys):
    path = tmp_path / "scores.json"
    path.write_text("mine")
    given = [*pairs(data), "-q", "--json", path]
    assert "exists already" in refused(capsys, "score", model, *given)
    assert path.read_text() == "mine"
    own = files_of(data)[0]
    given = [*pairs(data), "-q", "--overwrite", "--json", own]
    assert "among the inputs" in refused(capsys, "score", model, *given)
    assert run("score", model, *pairs(data), "-q", "--overwrite", "--json", path) == 0
    assert json.loads(path.read_text())["unit"] == "dB"


@pytest.mark.parametrize("option", ["--json", "--report"])
def test_a_model_is_no_output(data, model, capsys, option):
    before = model.read_bytes()
    sources, targets = (files_of(data, c)[:2] for c in ("T1w", "T2w"))
    argv = ["score", model, "--source", *sources, "--target", *targets]
    argv += [option, model, "--overwrite"]
    assert run(*argv) == 1
    assert "among the inputs" in capsys.readouterr().err
    assert model.read_bytes() == before

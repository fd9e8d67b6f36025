"""What is doubtful reaches whoever looks: errors, JSON, sidecars, report."""

import json
import warnings

import nibabel as nib
import numpy as np
import pytest
from small_commands import BRIEF, SUBJECTS, files_of, run

from sklearn_lsdn import load_model
from sklearn_lsdn.exceptions import BrainWarning, ScanWarning, SubjectsFailed
from sklearn_lsdn.jobs import Evaluation, leave_one_subject_out, predict_files


@pytest.fixture
def half(data, tmp_path):
    """A T1w of which half of the brain is missing."""
    scan = nib.load(files_of(data)[2])
    voxels = scan.get_fdata()
    voxels[: voxels.shape[0] // 2] = 0
    path = tmp_path / "sub-03_T1w.nii.gz"
    nib.save(nib.Nifti1Image(voxels.astype(np.float32), scan.affine), path)
    return path


def _warned(capsys):
    err = capsys.readouterr().err
    return [line for line in err.splitlines() if line.startswith("Warning:")]


def test_predict_warns_and_writes(model, half, tmp_path, capsys):
    assert run("predict", model, half, "-q", "-o", tmp_path / "out") == 0
    lines = _warned(capsys)
    assert lines
    assert all(str(half) in line for line in lines)
    assert (tmp_path / "out" / "sub-03_T1w_synth.nii.gz").exists()


@pytest.mark.parametrize("jobs", [1, 2])
def test_strict_predict_fails_and_writes_nothing(model, half, tmp_path, capsys, jobs):
    out = tmp_path / "out"
    assert run("predict", model, half, "-q", "-o", out, "--strict", "-j", jobs) == 1
    err = capsys.readouterr().err
    assert err.startswith("lsdn predict: error: ")
    assert str(half) in err
    assert not out.exists()


def test_strict_predict_does_the_others(model, data, half, tmp_path, capsys):
    out, fine = tmp_path / "out", files_of(data)[0]
    argv = ["predict", model, half, fine, "-q", "-o", out, "--strict", "--keep-going"]
    assert run(*argv) == 1
    assert "1 of 2 subjects" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["sub-01_T1w_synth.nii.gz"]


def test_a_pipeline_makes_errors_of_doubts(model, half, tmp_path):
    synthesizer = load_model(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ScanWarning)
        with pytest.raises(BrainWarning):
            synthesizer.predict([half])
        with pytest.raises(BrainWarning):
            predict_files(synthesizer, [half], tmp_path / "out")
        with pytest.raises(SubjectsFailed):
            predict_files(synthesizer, [half], tmp_path / "out", keep_going=True)
    assert not (tmp_path / "out").exists()


def test_sidecars_tell_volume_and_doubts(data, half, tmp_path):
    dataset = tmp_path / "bids"
    for i, subject in enumerate(SUBJECTS):
        for contrast in ("T1w", "T2w"):
            path = dataset / subject / "anat" / f"{subject}_{contrast}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(files_of(data, contrast)[i].read_bytes())
    (dataset / "dataset_description.json").write_text(
        json.dumps({"Name": "made", "BIDSVersion": "1.9.0"})
    )
    model, out = tmp_path / "model.skops", tmp_path / "out"
    argv = [dataset, "--source", "T1w", "--target", "T2w", *BRIEF, "-q", "-o", model]
    assert run("fit", *argv) == 0
    (dataset / "sub-03/anat/sub-03_T1w.nii.gz").write_bytes(half.read_bytes())
    assert run("predict", model, dataset, "-q", "-o", out) == 0
    about = {
        subject: json.loads(next(out.rglob(f"{subject}_*T2w.json")).read_text())
        for subject in SUBJECTS
    }
    volumes = [each["BrainVolume"]["Value"] for each in about.values()]
    assert volumes[2] < 0.6 * volumes[1]
    assert about["sub-01"]["BrainVolume"]["Units"] == "mL"
    assert "Warnings" not in about["sub-01"]
    assert "the brain has" in about["sub-03"]["Warnings"][0]


def test_evaluate_tells_in_table_json_and_report(data, half, tmp_path, capsys):
    argv = ["--source", *files_of(data)[:2], half, "--target", *files_of(data, "T2w")]
    argv += [*BRIEF, "-j", "1", "--json", tmp_path / "a.json"]
    assert run("evaluate", *argv, "--report", tmp_path / "a.html") == 0
    out, err = capsys.readouterr()
    told = [line for line in err.splitlines() if line.startswith("Warning:")]
    assert len(told) == len(set(told)) > 0
    content = json.loads((tmp_path / "a.json").read_text())
    first, _, last = content["volumes"]
    assert first["warnings"] == []
    assert last["brain_ml"] < 0.6 * first["brain_ml"]
    assert any("the brain has" in text for text in last["warnings"])
    page = (tmp_path / "a.html").read_text()
    for text in last["warnings"]:
        assert text.split("(")[0] in out
        assert text.split(": ")[-1] in page.replace("&#39;", "'")
    assert f"brain {first['brain_ml']:.0f} ml" in page


@pytest.mark.parametrize("jobs", [1, 2])
def test_strict_evaluate_fails(data, half, jobs, capsys):
    argv = ["--source", *files_of(data)[:2], half, "--target", *files_of(data, "T2w")]
    assert run("evaluate", *argv, *BRIEF, "-q", "-j", jobs, "--strict") == 1
    assert "lsdn evaluate: error: " in capsys.readouterr().err


def test_folds_in_processes_tell_as_well(data, half, capfd):
    synthesizer = {"model": load_small()}
    pairs = [*map(str, files_of(data)[:2]), str(half)], files_of(data, "T2w")
    with pytest.warns(BrainWarning) as record:
        evaluation = leave_one_subject_out(synthesizer, *pairs, SUBJECTS, n_jobs=2)
    texts = [str(each.message) for each in record]
    assert len(texts) == len(set(texts))
    assert evaluation.records[2]["warnings"]
    assert "Warning" not in capfd.readouterr().err  # of workers


def load_small():
    from sklearn.linear_model import LinearRegression

    from sklearn_lsdn import VolumeSynthesizer

    return VolumeSynthesizer(LinearRegression(), n_voxels=500, random_state=0)


def test_info_tells_brains_of_training(model, capsys):
    assert run("info", model) == 0
    line = next(
        line for line in capsys.readouterr().out.splitlines() if "brain volume" in line
    )
    assert "ml in training" in line


def test_a_doubtful_scan_is_not_done(model, half, data, tmp_path, capsys):
    out, fine = tmp_path / "out", files_of(data)[0]
    argv = ["predict", model, fine, half, "-q", "-o", out, "--resume"]
    assert run(*argv) == 0
    first = [path.stat().st_mtime_ns for path in sorted(out.iterdir())]
    assert _warned(capsys)
    assert run(*argv) == 0
    assert _warned(capsys)  # again
    again = [path.stat().st_mtime_ns for path in sorted(out.iterdir())]
    assert first[0] == again[0]
    assert first[1] < again[1]
    assert run(*argv, "--strict") == 1


def test_a_doubt_names_the_subject_by_its_place(model, half, data, tmp_path, capsys):
    scans = [files_of(data)[0], half]
    assert run("predict", model, *scans, "-q", "-o", tmp_path / "out") == 0
    assert all("sources[1]" in line for line in _warned(capsys))
    first, _, last = files_of(data, "T2w")
    pairs = ["--source", *scans, "--target", first, last]
    assert run("score", model, *pairs, "-q") == 0
    assert all("[1]" in line for line in _warned(capsys))


def test_strict_tells_what_was_worked_out():
    times = dict(fit_seconds=1.0, predict_seconds=1.0, snr=9.0, psnr=9.0)
    records = [
        dict(model="a", subject=f"sub-{i}", r2=r2, warnings=[], **times)
        for i, r2 in enumerate((0.8, 0.7, -0.5))
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error", ScanWarning)
        with pytest.raises(ScanWarning, match="sub-2") as raised:
            Evaluation(records).warn()
    assert "9.00" in raised.value.result

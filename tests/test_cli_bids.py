"""`lsdn` on BIDS datasets: what is left out, and what is written."""

import json
import shutil
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import sklearn_lsdn
from sklearn_lsdn import load_model
from sklearn_lsdn._commands.main import main
from sklearn_lsdn.datasets import make_brain_cohort
from sklearn_lsdn.jobs._bids import find_sessions

pytest.importorskip("ancpbids", reason="BIDS datasets need ancpbids")

SMALL = ["--max-iter", "2", "--n-voxels", "500", "--hidden-layer-sizes", "20", "8"]
BRIEF = [*SMALL, "-j", "1"]


@pytest.fixture(scope="module")
def scans():
    """Three subjects in three contrasts."""
    contrasts = ("T1w", "T2w", "FLAIR")
    return make_brain_cohort(3, contrasts, voxel_size=8, random_state=0).images


@pytest.fixture
def dataset(scans, tmp_path):
    """A raw dataset: sub-01 complete, sub-02 with two sessions, sub-03 without T2w."""
    folder = tmp_path / "raw"
    description = {"Name": "Three brains", "BIDSVersion": "1.10.0", "DatasetDOI": "x"}
    _write(folder / "dataset_description.json", json.dumps(description))
    for contrast, (first, second, third) in scans.items():
        _save(first, folder, f"sub-01_{contrast}")
        _save(second, folder, f"sub-02_ses-a_{contrast}")
        _save(first, folder, f"sub-02_ses-b_{contrast}")
        if contrast != "T2w":
            _save(third, folder, f"sub-03_{contrast}")
    return folder


def _save(image, folder, stem):
    levels = [p for p in stem.split("_") if p.split("-")[0] in ("sub", "ses")]
    path = folder.joinpath(*levels, "anat", f"{stem}.nii.gz")
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    return path


def _write(path, text=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _run(*argv):
    return main([str(argument) for argument in argv])


def _state(folder):
    return {p: p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}


def _refused(capsys, *argv):
    capsys.readouterr()
    assert _run(*argv) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    return err[err.index("error: ") :]


# lsdn fit, evaluate, shrink


@pytest.mark.parametrize("command", ["fit", "evaluate", "register"])
def test_a_dataset_after_the_options_is_told_where_to_go(
    dataset, tmp_path, capsys, command
):
    if command == "register":
        pytest.importorskip("SimpleITK", reason="registration needs SimpleITK")
    output = [] if command == "evaluate" else ["-o", tmp_path / "out.skops"]
    task = [command, "--source", "T1w", "--target", "T2w", dataset, *output]
    assert f"lsdn {command} {dataset} --source" in _refused(capsys, *task)


def test_fit_and_predict_a_dataset(dataset, tmp_path, capsys):
    model, out = tmp_path / "t2w.skops", dataset / "derivatives" / "lsdn"
    fit = ["fit", dataset, "--source", "T1w", "--target", "T2w", *BRIEF, "-o", model]
    assert _run(*fit) == 0
    captured = capsys.readouterr()
    assert captured.out == f"Saved {model}\n"
    assert "Left out: sub-03 lacks T2w\n" in captured.err
    assert _run("info", model) == 0
    assert "1 (T1w)" in capsys.readouterr().out

    assert _run("predict", model, dataset, "-o", out) == 0
    expected = [
        out / "sub-01" / "anat" / "sub-01_desc-synth_T2w.nii.gz",
        out / "sub-02" / "ses-a" / "anat" / "sub-02_ses-a_desc-synth_T2w.nii.gz",
        out / "sub-02" / "ses-b" / "anat" / "sub-02_ses-b_desc-synth_T2w.nii.gz",
        out / "sub-03" / "anat" / "sub-03_desc-synth_T2w.nii.gz",
    ]
    assert capsys.readouterr().out.splitlines() == list(map(str, expected))
    source = dataset / "sub-03" / "anat" / "sub-03_T1w.nii.gz"
    (image,) = load_model(model).predict([source])
    assert (nib.load(expected[3]).get_fdata() == image.get_fdata()).all()

    description = json.loads((out / "dataset_description.json").read_text())
    assert description["Name"] == "Three brains: T2w synthesised from T1w"
    assert description["DatasetType"] == "derivative"
    assert description["BIDSVersion"]
    assert description["SourceDatasets"] == [{"URL": "bids:source:", "DOI": "x"}]
    assert description["DatasetLinks"] == {"source": "../.."}
    (generator,) = description["GeneratedBy"]
    assert generator["Name"] == "sklearn_lsdn"
    assert generator["Version"] == sklearn_lsdn.__version__
    sidecar = json.loads((out / _sidecar(expected[1])).read_text())
    assert sidecar["Sources"] == [
        "bids:source:sub-02/ses-a/anat/sub-02_ses-a_T1w.nii.gz"
    ]
    assert sidecar["Model"]["File"] == "t2w.skops"
    assert sidecar["Versions"]["sklearn_lsdn"] == sklearn_lsdn.__version__
    normalisation = sidecar["Model"]["normalisation"]
    assert normalisation == "z-scores over the brain (ZScoreNormalizer)"
    assert sidecar["Parameters"]["estimator__hidden_layer_sizes"] == [20, 8]
    assert sidecar["Parameters"]["patch_size"] == 3
    assert sidecar["Parameters"]["smoothing"] == 0
    # What was written is a dataset in its turn, and not part of its source.
    sessions, _ = find_sessions(out, ["T2w"], desc="synth")
    assert len(sessions) == 4
    assert len(find_sessions(dataset, ["T2w"])[0]) == 3


def _sidecar(path):
    return path.with_name(path.name.replace(".nii.gz", ".json"))


def test_a_dataset_and_its_files_give_the_same_model(dataset, tmp_path):
    whole, listed = tmp_path / "whole.skops", tmp_path / "listed.skops"
    names = ["--source", "T1w", "--target", "T2w"]
    assert _run("fit", dataset, *names, *BRIEF, "-o", whole) == 0
    sessions, _ = find_sessions(dataset, ["T1w", "T2w"])
    t1w, t2w = zip(*([scan.path for scan in s.scans] for s in sessions), strict=True)
    files = ["--source", *t1w, "--target", *t2w]
    assert _run("fit", *files, *BRIEF, "-o", listed) == 0
    source = [dataset / "sub-03" / "anat" / "sub-03_T1w.nii.gz"]
    (one,), (two,) = (load_model(path).predict(source) for path in (whole, listed))
    assert (one.get_fdata() == two.get_fdata()).all()
    assert load_model(listed).bids_query_ is None


@pytest.mark.parametrize("repeat", [False, True])
def test_several_contrasts(dataset, tmp_path, repeat):
    model, out = tmp_path / "model.skops", tmp_path / "out"
    names = ["--source", "T1w", *(["--source"] if repeat else []), "FLAIR"]
    fit = ["fit", dataset, *names, "--target", "T2w", *BRIEF, "-o", model]
    assert _run(*fit) == 0
    assert load_model(model).n_contrasts_in_ == 2
    assert _run("predict", model, dataset, "-o", out) == 0
    (sidecar,) = out.rglob("sub-03*.json")
    assert len(json.loads(sidecar.read_text())["Sources"]) == 2


def test_several_targets_are_named_by_contrast(dataset, tmp_path):
    model, out = tmp_path / "model.skops", tmp_path / "out"
    names = ["--source", "T1w", "--target", "T2w", "FLAIR"]
    assert _run("fit", dataset, *names, *BRIEF, "-o", model) == 0
    assert _run("predict", model, dataset, "-o", out) == 0
    names = sorted(path.name for path in out.rglob("sub-03*.nii.gz"))
    assert names == ["sub-03_desc-synth_FLAIR.nii.gz", "sub-03_desc-synth_T2w.nii.gz"]


def test_a_shrunken_model_remembers_its_contrasts(dataset, tmp_path):
    model, small = tmp_path / "model.skops", tmp_path / "small.skops"
    names = ["--source", "T1w", "--target", "T2w"]
    assert _run("fit", dataset, *names, *BRIEF, "-o", model) == 0
    keep = ["--keep", "0.5", "--n-voxels", "300", "-o", small]
    assert _run("shrink", model, dataset, *names, *keep) == 0
    assert _run("predict", small, dataset, "-o", tmp_path / "out") == 0
    (sidecar,) = (tmp_path / "out").rglob("sub-03*.json")
    assert json.loads(sidecar.read_text())["Model"]["estimator"] == "ShrinkConnect"


def test_evaluate_holds_sessions_of_a_subject_back_together(dataset, capsys):
    names = ["--source", "T1w", "--target", "T2w"]
    assert _run("evaluate", dataset, *names, *BRIEF) == 0
    out, err = capsys.readouterr()
    assert out.split("\n")[0].split()[2:4] == ["sub-01", "sub-02"]
    assert "sub-03 lacks T2w" in err


def test_nobody_complete_is_an_error(dataset, tmp_path, capsys):
    model = tmp_path / "model.skops"
    names = ["--source", "T1w", "--target", "PDw"]
    error = _refused(capsys, "fit", dataset, *names, *BRIEF, "-o", model)
    assert "No session in" in error
    assert "sub-01 lacks PDw; sub-02_ses-a lacks PDw" in error
    assert not model.exists()


def test_no_dataset_is_an_error(tmp_path, capsys):
    names = ["--source", "T1w", "--target", "T2w", "-o", tmp_path / "model.skops"]
    error = _refused(capsys, "fit", tmp_path / "missing", *names)
    assert "missing is not the folder of a dataset" in error
    assert "No session in" in _refused(capsys, "fit", tmp_path, *names)


def test_choices_without_a_dataset_are_refused(dataset, tmp_path, capsys):
    pair = [dataset / "sub-01" / "anat" / f"sub-01_{c}.nii.gz" for c in ("T1w", "T2w")]
    files = ["--source", pair[0], "--target", pair[1], *BRIEF]
    model = tmp_path / "model.skops"
    error = _refused(capsys, "fit", *files, "--space", "MNI", "-o", model)
    assert "--space chooses among the images of a BIDS dataset" in error
    assert _run("fit", *files, "-o", model) == 0
    predict = ["predict", model, pair[0], "-o", tmp_path / "out", "--target", "T2w"]
    assert "--target chooses" in _refused(capsys, *predict)


def test_missing_ancpbids_is_said(dataset, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ancpbids", None)
    names = ["--source", "T1w", "--target", "T2w", "-o", tmp_path / "model.skops"]
    error = _refused(capsys, "fit", dataset, *names)
    assert 'pip install "sklearn_lsdn[bids]"' in error
    assert str(dataset) in error


# lsdn predict


@pytest.fixture
def model(dataset, tmp_path):
    path = tmp_path / "model.skops"
    names = ["--source", "T1w", "--target", "T2w"]
    assert _run("fit", dataset, *names, *BRIEF, "-q", "-o", path) == 0
    return path


def test_a_model_of_plain_files_needs_names(dataset, tmp_path, capsys):
    pair = [dataset / "sub-01" / "anat" / f"sub-01_{c}.nii.gz" for c in ("T1w", "T2w")]
    model, out = tmp_path / "model.skops", tmp_path / "out"
    files = ["--source", pair[0], "--target", pair[1], *BRIEF]
    assert _run("fit", *files, "-o", model) == 0
    error = _refused(capsys, "predict", model, dataset, "-o", out)
    assert error.endswith("Give --source, such as T1w, and --target, such as T2w.\n")
    half = ["predict", model, dataset, "-o", out, "--source", "T1w"]
    assert _refused(capsys, *half).endswith("Give --target, such as T2w.\n")
    names = ["--source", "T1w", "--target", "T2w"]
    predict = ["predict", model, dataset, "-o", out]
    error = _refused(capsys, *predict, *names, "FLAIR")
    assert "1 target contrast(s), but --target names 2: T2w, FLAIR" in error
    assert not out.exists()
    assert _run(*predict, *names) == 0
    assert len(list(out.rglob("*_desc-synth_T2w.nii.gz"))) == 4


def test_space_and_desc_are_remembered_unless_given(scans, tmp_path, capsys):
    folder, model = tmp_path / "prepared", tmp_path / "model.skops"
    for contrast in ("T1w", "T2w"):
        _save(scans[contrast][0], folder, f"sub-1_space-MNI_desc-preproc_{contrast}")
        _save(scans[contrast][1], folder, f"sub-1_desc-raw_{contrast}")
    names = ["--source", "T1w", "--target", "T2w", "--space", "MNI"]
    desc = ["--desc", "preproc"]
    assert _run("fit", folder, *names, *desc, *BRIEF, "-o", model) == 0
    assert _run("predict", model, folder, "-o", tmp_path / "a") == 0
    (path,) = (tmp_path / "a").rglob("*.nii.gz")
    assert path.name == "sub-1_space-MNI_desc-synth_T2w.nii.gz"
    other = ["-o", tmp_path / "b", "--space", "", "--desc", "raw"]
    assert _run("predict", model, folder, *other) == 0
    (path,) = (tmp_path / "b").rglob("*.nii.gz")
    assert path.name == "sub-1_desc-synth_T2w.nii.gz"


def test_a_model_of_prepared_images_is_not_given_others(scans, tmp_path, capsys):
    folder, model = tmp_path / "raw", tmp_path / "model.skops"
    registered, out = folder / "derivatives" / "registered", tmp_path / "out"
    for contrast in ("T1w", "T2w"):
        for n, image in enumerate(scans[contrast]):
            _save(image, folder, f"sub-{n}_{contrast}")
            _save(image, registered, f"sub-{n}_space-MNI_desc-reg_{contrast}")
    names = ["--source", "T1w", "--target", "T2w"]
    assert _run("fit", registered, *names, *BRIEF, "-o", model) == 0
    predict = ["predict", model, folder, "-o", out]
    error = _refused(capsys, *predict)
    assert "T1w, with space-MNI, with desc-reg; sub-0 lacks T1w" in error
    hint = "trained on images with space-MNI and with desc-reg; to take any, give "
    assert f'{hint}--space "" and --desc "".' in error
    error = _refused(capsys, *predict, "--space", "")
    assert 'trained on images with desc-reg; to take any, give --desc "".' in error
    assert _run(*predict, "--space", "", "--desc", "") == 0
    assert _run("predict", model, registered, "-o", tmp_path / "registered") == 0


def test_a_model_of_images_of_several_kinds_takes_any(scans, tmp_path):
    folder, model = tmp_path / "raw", tmp_path / "model.skops"
    for contrast in ("T1w", "T2w"):
        for desc, image in zip("abc", scans[contrast], strict=True):
            _save(image, folder, f"sub-{desc}_space-MNI_desc-{desc}_{contrast}")
    names = ["--source", "T1w", "--target", "T2w"]
    assert _run("fit", folder, *names, *BRIEF, "-o", model) == 0
    query = {"source": ["T1w"], "target": ["T2w"], "space": "MNI", "desc": None}
    query |= {"masks": False, "subjects": ["sub-a", "sub-b", "sub-c"]}
    assert load_model(model).bids_query_ == query


def test_every_run_is_predicted(dataset, model, tmp_path, scans):
    for run in (1, 2):
        _save(scans["T1w"][run], dataset, f"sub-04_run-{run}_T1w")
    out = tmp_path / "out"
    assert _run("predict", model, dataset, "-o", out) == 0
    names = sorted(path.name for path in out.rglob("sub-04*.nii.gz"))
    assert names == [f"sub-04_run-{run}_desc-synth_T2w.nii.gz" for run in (1, 2)]


@pytest.mark.parametrize("more", [["{}"], ["--also", "x.nii"], ["--also", "{}"]])
def test_a_dataset_is_predicted_by_itself(dataset, tmp_path, capsys, more):
    more = [each.format(dataset) for each in more]
    predict = ["predict", "no model", dataset, *more, "-o", tmp_path / "out"]
    error = _refused(capsys, *predict)
    assert "one BIDS_DIR at a time, without --also; name further contrasts" in error


@pytest.mark.parametrize("kind", ["*.nii.gz", "*_T2w.json"])
def test_an_existing_output_is_found_before_the_work(
    dataset, model, tmp_path, capsys, kind
):
    out = tmp_path / "out"
    assert _run("predict", model, dataset, "-o", out) == 0
    for path in out.rglob("*_T2w.*"):
        if not path.match(f"sub-03{kind}"):
            path.unlink()
    before = _state(out)
    assert "exists already" in _refused(capsys, "predict", model, dataset, "-o", out)
    assert _state(out) == before
    assert _run("predict", model, dataset, "-o", out, "--overwrite") == 0
    assert len(list(out.rglob("*_T2w.*"))) == 8


def test_a_derivative_dataset_can_grow(dataset, model, tmp_path, scans):
    out = tmp_path / "out"
    moved = tmp_path / "sub-03"
    shutil.move(dataset / "sub-03", moved)
    assert _run("predict", model, dataset, "-o", out) == 0
    shutil.rmtree(dataset / "sub-01")
    shutil.rmtree(dataset / "sub-02")
    shutil.move(moved, dataset / "sub-03")
    assert _run("predict", model, dataset, "-o", out) == 0
    assert len(list(out.rglob("*_T2w.nii.gz"))) == 4


def test_another_dataset_is_not_mixed_with(dataset, model, tmp_path, capsys):
    out = tmp_path / "out"
    _write(out / "dataset_description.json", json.dumps({"Name": "mine"}))
    before = _state(out)
    for option in ([], ["--overwrite"], ["--resume"]):
        error = _refused(capsys, "predict", model, dataset, "-o", out, *option)
        assert f"{out} is the folder of another dataset (mine). Give another" in error
    assert _state(out) == before
    before = _state(dataset)
    for option in ([], ["--overwrite"]):
        error = _refused(capsys, "predict", model, dataset, "-o", dataset, *option)
        assert "is the dataset itself" in error
    assert _state(dataset) == before


def test_another_derivative_of_the_same_dataset_is_left_alone(
    dataset, model, tmp_path, capsys
):
    out, other = tmp_path / "out", tmp_path / "other.skops"
    assert _run("predict", model, dataset, "-o", out) == 0
    names = ["--source", "T1w", "--target", "FLAIR"]
    assert _run("fit", dataset, *names, *BRIEF, "-o", other) == 0
    before = _state(out)
    for option in ([], ["--overwrite"]):
        error = _refused(capsys, "predict", other, dataset, "-o", out, *option)
        assert "dataset (Three brains: T2w synthesised from T1w). Give" in error
    assert _state(out) == before


def test_a_damaged_image_is_named(dataset, model, tmp_path, capsys):
    bad = dataset / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    bad.write_bytes(b"")
    assert str(bad) in _refused(capsys, "predict", model, dataset, "-o", tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_an_interruption_leaves_whole_files_alone(
    dataset, model, tmp_path, monkeypatch
):
    from sklearn_lsdn import VolumeSynthesizer

    synthesize, calls = VolumeSynthesizer.synthesize, []

    def interrupted(self, source, **kwargs):
        calls.append(source)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return synthesize(self, source, **kwargs)

    monkeypatch.setattr(VolumeSynthesizer, "synthesize", interrupted)
    out = tmp_path / "out"
    assert _run("predict", model, dataset, "-o", out, "-j", "1") == 130
    names = sorted(path.name for path in out.rglob("*") if path.is_file())
    stem = "sub-01_desc-synth_T2w"
    assert names == ["dataset_description.json", f"{stem}.json", f"{stem}.nii.gz"]


def test_uncertainty_has_a_name_and_a_sidecar_of_its_own(dataset, tmp_path):
    path, out = tmp_path / "model.skops", tmp_path / "out"
    fit = ["fit", dataset, "--source", "T1w", "--target", "T2w", "-o", path, *BRIEF]
    assert _run(*fit, "--n-estimators", "2") == 0
    assert _run("predict", path, dataset, "-o", out, "--uncertainty") == 0
    folder = out / "sub-01" / "anat"
    names = {file.name for file in folder.iterdir()}
    stems = [f"sub-01_desc-{desc}_T2w" for desc in ("synth", "synthstd")]
    assert names == {f"{s}{ending}" for s in stems for ending in (".nii.gz", ".json")}
    about = json.loads((folder / f"{stems[1]}.json").read_text())
    assert about["Description"].startswith("Standard deviation of the T2w synthesised")
    assert about["Parameters"]["n_estimators"] == 2
    synthesis, std = (nib.load(folder / f"{stem}.nii.gz").get_fdata() for stem in stems)
    ratio = (np.sum(synthesis**2) + np.sum(std**2)) / np.sum(std**2)
    expected = {"Value": pytest.approx(10 * np.log10(ratio), abs=0.006), "Units": "dB"}
    assert about["ExpectedSNR"] == expected
    before = _state(out)
    resume = ["predict", path, dataset, "-o", out, "--uncertainty", "--resume"]
    assert _run(*resume) == 0
    assert _state(out) == before


# lsdn predict --resume


def _times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_resume_leaves_sessions_alone_that_are_done(dataset, model, tmp_path, capsys):
    out = tmp_path / "out"
    predict = ["predict", model, dataset, "-o", out]
    assert _run(*predict) == 0
    (sidecar,) = out.rglob("sub-01*.json")
    assert json.loads(sidecar.read_text())["Model"]["estimator"] == "LSDNRegressor"
    before = _times(out)
    capsys.readouterr()
    assert _run(*predict, "--resume") == 0
    assert "4 of 4 were done before" in capsys.readouterr().err
    assert _times(out) == before


def test_resume_and_overwrite_after_an_update(
    dataset, model, tmp_path, capsys, monkeypatch
):
    out = tmp_path / "out"
    predict = ["predict", model, dataset, "-o", out]
    assert _run(*predict) == 0
    path = out / "dataset_description.json"
    description = json.loads(path.read_text())
    description["GeneratedBy"][0]["Version"] = "0.0.1"
    _write(path, json.dumps(description | {"Authors": ["A"]}))
    before = _times(out)
    with monkeypatch.context() as patch:
        patch.setattr("sklearn_lsdn._utils.store._VERSIONS", "0.0.1")
        capsys.readouterr()
        assert _run(*predict, "--resume") == 0
        assert "0 of 4 were done before; outputs of 4" in capsys.readouterr().err
    changed = {p for p, time in _times(out).items() if time != before[p]}
    assert changed >= set(out.rglob("sub-*.*"))
    assert path not in changed
    assert _run(*predict, "--overwrite") == 0
    description = json.loads(path.read_text())
    assert description["GeneratedBy"][0]["Version"] == sklearn_lsdn.__version__
    assert description["Authors"] == ["A"]


def test_resume_does_again_what_another_model_did(dataset, model, tmp_path, capsys):
    out, other = tmp_path / "out", tmp_path / "other.skops"
    assert _run("predict", model, dataset, "-o", out) == 0
    names = ["--source", "T1w", "--target", "T2w", "--seed", "1"]
    assert _run("fit", dataset, *names, *BRIEF, "-o", other) == 0
    other.replace(model)
    capsys.readouterr()
    assert _run("predict", model, dataset, "-o", out, "--resume") == 0
    assert "0 of 4 were done before" in capsys.readouterr().err

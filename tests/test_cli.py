"""The `lsdn` command: files in, files and text out, and what it says of mistakes."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from small_commands import (
    BRIEF,
    SMALL,
    SUBJECTS,
    WORK,
    contents,
    files_of,
    misused,
    must_not_be_reached,
    refused,
    run,
    tasks,
    training,
)

import sklearn_lsdn
from sklearn_lsdn import load_model

OPTIONS = {
    "demo": ["--output"],
    "fit": ["--source", "--target", "--model", "--shrink", "--register", "--output"],
    "shrink": ["--source", "--target", "--n-voxels", "--seed", "--keep", "--output"],
    "predict": ["NIFTI", "--also", "--output", "--resume", "--keep-going"],
    "evaluate": ["--source", "--target", "--model", "--json", "--report"],
    "score": ["--source", "--target", "--json", "--report", "--max-memory"],
    "info": ["model"],
    "register": ["--source", "--target", "--reference", "--output"],
    "bids-app": ["OUT", "participant", "--model", "--skip-bids-validator", "--resume"],
}
DATA = ["--mask", "--normalization", "--n-voxels", "--patch-size", "--seed"]
NETWORK = ["--hidden-layer-sizes", "--sigma", "--max-iter"]
RUNNING = ["--jobs", "--overwrite", "--quiet", "--traceback"]
DATASET = ["BIDS_DIR", "--space", "--desc"]
for _command in OPTIONS.keys() - {"info", "demo"}:
    OPTIONS[_command] += DATASET
for _command in ("shrink", "predict", "score", "bids-app"):
    OPTIONS[_command] += ["--mask"]
for _command in ("predict", "bids-app"):
    OPTIONS[_command] += ["--participant-label"]
OPTIONS["register"] += ["--overwrite", "--quiet", "--traceback"]
OPTIONS["predict"] += ["--source", "--target"]
for _command in ("fit", "evaluate"):
    OPTIONS[_command] += ["--resume", "--register"]
for _command in ("fit", "shrink", "predict", "evaluate"):
    OPTIONS[_command] += ["--max-memory"]
OPTIONS["fit"] += DATA + NETWORK
OPTIONS["evaluate"] += DATA + NETWORK
for _command in OPTIONS.keys() - {"info", "demo"}:
    OPTIONS[_command] += ["--verbose"]
for _command in OPTIONS.keys() - {"info", "register"}:
    OPTIONS[_command] += RUNNING
OPTIONS["export"] = ["model", "--output", "--overwrite", "--traceback"]
OPTIONS["selftest"] = []


def _voxels(path):
    return nib.load(path).get_fdata()


# The whole way


def test_round_trip(data, tmp_path, capsys):
    path, small = tmp_path / "t2w.skops", tmp_path / "small.skops"
    assert run("fit", *training(data), "-o", path, *BRIEF) == 0
    assert capsys.readouterr().out == f"Saved {path}\n"
    assert run("info", path) == 0
    assert _facts(capsys.readouterr().out)["layers"] == "57-400-40-1"

    new = files_of(data)[2]
    assert run("predict", path, new, "-o", tmp_path / "out") == 0
    (written,) = (tmp_path / "out").iterdir()
    assert written.name == "sub-03_T1w_synth.nii.gz"
    assert capsys.readouterr().out == f"{written}\n"

    assert run("evaluate", *training(data), *BRIEF) == 0
    assert len(_table(capsys.readouterr().out)) == 2

    shrink = [*training(data), "--keep", "0.25", "--n-voxels", "500", "-o", small]
    assert run("shrink", path, *shrink) == 0
    assert capsys.readouterr().out == f"Saved {small} with 100-10 hidden nodes\n"
    assert run("predict", small, new, "-o", tmp_path / "small") == 0
    truth = _voxels(files_of(data, "T2w")[2])
    for folder in ("out", "small"):
        synthesis = _voxels(tmp_path / folder / written.name)
        brain = (synthesis != 0) & (truth != 0)
        assert np.corrcoef(synthesis[brain], truth[brain])[0, 1] > 0.5


def test_the_command_runs_as_a_module(data, model, tmp_path):
    command = ["-m", "sklearn_lsdn", "predict", model, "-o", tmp_path / "out"]
    done = _python(*command, *files_of(data))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == list(map(str, sorted((tmp_path / "out").iterdir())))
    assert "3/3 sub-03_T1w_synth.nii.gz" in done.stderr


def test_the_module_hands_its_exit_code_on():
    done = _python("-m", "sklearn_lsdn", "info")
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: lsdn info" in done.stderr


def _python(*argv):
    return subprocess.run(
        [sys.executable, *map(str, argv)],
        cwd=Path(sklearn_lsdn.__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=120,
    )


def _facts(description):
    return dict(re.split(r"  +", line, maxsplit=1) for line in description.splitlines())


def _table(text):
    """Rows of scores; the last, of the brain's volume, is left out."""
    *lines, brains = text.partition("\n\n")[0].splitlines()
    assert brains.startswith("brain (ml)")
    return [re.split(r"  +", line) for line in lines]


# lsdn predict


def test_predictions_lie_on_the_grid_of_their_input(data, model, tmp_path):
    flipped = tmp_path / "sub-09_T1w.nii"
    image = nib.load(files_of(data)[2]).slicer[::-1, 2:, 1:-3]
    image.set_qform(image.affine, 2)
    image.set_sform(image.affine, 4)
    nib.save(image, flipped)
    assert run("predict", model, flipped, "-o", tmp_path / "a" / "b") == 0
    written = nib.load(tmp_path / "a" / "b" / "sub-09_T1w_synth.nii")
    assert written.shape == image.shape
    assert (written.affine == image.affine).all()
    assert written.header["qform_code"] == 2
    assert written.header["sform_code"] == 4
    inside = image.get_fdata() != 0
    assert ((written.get_fdata() != 0) == inside).all()


def test_predictions_are_those_of_the_python_interface(data, model, tmp_path, capsys):
    sources = files_of(data)
    assert run("predict", model, *sources, "-o", tmp_path / "out", "-j", "2") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [Path(line).name for line in lines] == [
        f"{subject}_T1w_synth.nii.gz" for subject in SUBJECTS
    ]
    expected = load_model(model).predict(sources)
    for line, image in zip(lines, expected, strict=True):
        assert (_voxels(line) == image.get_fdata()).all()


def test_uncertainty_is_written_beside_the_synthesis(data, tmp_path, capsys):
    path, out = tmp_path / "model.skops", tmp_path / "out"
    ensemble = ["--n-estimators", "2", "--patch-scales", "1", "3"]
    assert run("fit", *training(data), "-o", path, *SMALL, *ensemble) == 0
    capsys.readouterr()
    assert run("info", path) == 0
    facts = _facts(capsys.readouterr().out)
    assert (facts["members"], facts["each"]) == ("2", "LSDNRegressor")
    assert facts["patch"] == "3 x 3 x 3 voxels, spaced by 1 and by 3 voxels"
    source = files_of(data)[2]
    assert run("predict", path, source, "-o", out, "--uncertainty") == 0
    names = ["sub-03_T1w_synth.nii.gz", "sub-03_T1w_std.nii.gz"]
    written = capsys.readouterr().out.splitlines()
    assert written == [str(out / name) for name in names]
    expected = load_model(path).predict([source], return_std=True)
    for name, (image,) in zip(names, expected, strict=True):
        assert (_voxels(out / name) == image.get_fdata()).all()
    assert (_voxels(out / names[1])[_voxels(source) != 0] > 0).all()


def test_target_patches_and_smoothing(data, tmp_path, capsys):
    path = tmp_path / "model.skops"
    options = ["--target-patch-size", "3", "--smoothing", "0"]
    assert run("fit", *training(data), "-o", path, *SMALL, *options) == 0
    synthesizer = load_model(path)
    assert (synthesizer.target_patch_size, synthesizer.smoothing) == (3, 0)
    assert synthesizer.estimator_.n_outputs_ == 27
    capsys.readouterr()
    assert run("info", path) == 0
    facts = _facts(capsys.readouterr().out)
    assert facts["target patch"] == "3 x 3 x 3 voxels"
    assert facts["smoothing"] == "0 mm"
    assert run("evaluate", *training(data), *SMALL, *options) == 0
    assert "LSDN 20-8" in capsys.readouterr().out


def test_uncertainty_of_a_single_network_is_refused(data, model, tmp_path, capsys):
    out = tmp_path / "out"
    error = refused(
        capsys, "predict", model, files_of(data)[2], "-o", out, "--uncertainty"
    )
    assert "--n-estimators" in error
    assert not out.exists()


def test_an_existing_folder_keeps_its_other_files(data, model, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    assert run("predict", model, *files_of(data)[:1], "-o", tmp_path) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "notes.txt",
        "sub-01_T1w_synth.nii.gz",
    ]
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_two_inputs_with_one_output_are_refused(data, model, tmp_path, capsys):
    inputs = [tmp_path / name / "sub-01_T1w.nii.gz" for name in "ab"]
    for path in inputs:
        path.parent.mkdir()
        shutil.copy(files_of(data)[0], path)
    error = refused(capsys, "predict", model, *inputs, "-o", tmp_path / "out")
    assert all(str(path) in error for path in inputs)
    assert not (tmp_path / "out").exists()


def test_several_source_contrasts(data, tmp_path, capsys):
    path, out = tmp_path / "model.skops", tmp_path / "out"
    flair = files_of(data, "FLAIR")
    fit = [*training(data), "--source", *flair[:2], "-o", path, *SMALL]
    assert run("fit", *fit) == 0
    assert load_model(path).n_contrasts_in_ == 2
    assert run("predict", path, files_of(data)[2], "--also", flair[2], "-o", out) == 0
    (written,) = out.iterdir()
    assert written.name == "sub-03_T1w_synth.nii.gz"
    (expected,) = load_model(path).predict([[files_of(data)[2], flair[2]]])
    assert (_voxels(written) == expected.get_fdata()).all()

    error = refused(capsys, "predict", path, files_of(data)[1], "-o", out)
    assert "contrast" in error
    also = ["--also", *flair[:2]]
    error = refused(capsys, "predict", path, files_of(data)[1], *also, "-o", out)
    assert "1, 2 images" in error


def test_several_target_contrasts(data, tmp_path, capsys):
    path, out = tmp_path / "model.skops", tmp_path / "out"
    flair = files_of(data, "FLAIR")[:2]
    assert run("fit", *training(data), "--target", *flair, "-o", path, *SMALL) == 0
    assert run("predict", path, files_of(data)[2], "-o", out) == 0
    names = sorted(written.name for written in out.iterdir())
    assert names == ["sub-03_T1w_synth1.nii.gz", "sub-03_T1w_synth2.nii.gz"]
    (expected,) = load_model(path).predict([files_of(data)[2]])
    for name, image in zip(names, expected, strict=True):
        assert (_voxels(out / name) == image.get_fdata()).all()


# lsdn fit and lsdn info


def test_fit_passes_its_options_on(data, tmp_path):
    path = tmp_path / "model.skops"
    options = "--model cdn --hidden-layer-sizes 7 3 --sigma 0.7 --max-iter 3 --seed 5 "
    options += "--n-voxels 200 --patch-size 1 --normalization percentile"
    assert run("fit", *training(data), *options.split(), "-o", path) == 0
    model = load_model(path)
    parameters = model.get_params()
    assert type(model.estimator_).__name__ == "CDNRegressor"
    assert parameters["estimator__hidden_layer_sizes"] == (7, 3)
    assert parameters["estimator__sigma"] == 0.7
    assert model.estimator_.n_iter_ == 3
    assert model.n_voxels_ == [200, 200]
    assert parameters["random_state"] == 5
    assert parameters["patch_size"] == 1
    assert type(model.source_normalizers_[0]).__name__ == "PercentileNormalizer"


@pytest.mark.parametrize("name", ["lsdn", "cdn", "vdn"])
def test_networks_have_the_papers_larger_size(data, tmp_path, name):
    path = tmp_path / "model.skops"
    fit = [*training(data), "--model", name, "--max-iter", "1", "--n-voxels", "50"]
    assert run("fit", *fit, "-o", path) == 0
    network = load_model(path).estimator_
    assert type(network).__name__ == f"{name.upper()}Regressor"
    assert [len(bias) for bias in network.intercepts_] == [400, 40, 1]


def test_best_quality_is_what_options_leave_open(data, tmp_path):
    path = tmp_path / "model.skops"
    fit = ["fit", *training(data), *SMALL, "--quality", "best", "-o", path]
    assert run(*fit) == 0
    model = load_model(path)
    assert (model.n_estimators, model.patch_scales) == (3, (1, 2, 4))
    assert run(*fit, "--n-estimators", "1", "--overwrite") == 0
    model = load_model(path)
    assert (model.n_estimators, model.patch_scales) == (1, (1, 2, 4))


def test_info_says_what_the_model_holds(model, capsys):
    assert run("info", model) == 0
    out, err = capsys.readouterr()
    assert err == ""
    facts = _facts(out)
    assert facts["file"].startswith(f"{model}, protocol")
    assert facts["written by"] == f"sklearn_lsdn {sklearn_lsdn.__version__}"
    assert facts["estimator"] == "LSDNRegressor"
    assert facts["layers"] == "57-20-8-1"
    # filters and biases, and places of the 8 nodes of the last hidden layer
    weights = [coefs.size for coefs in load_model(model).estimator_.coefs_]
    assert weights == [54 * 20, 20 * 8, 8]
    assert facts["voxel size"].startswith("8 x 8 x 8 mm")
    assert (facts["training images"], facts["training voxels"]) == ("2", "1000")
    assert facts["epochs"].startswith("2, ")


def test_the_mask_bounds_training_and_prediction(data, tmp_path):
    path, out = tmp_path / "model.skops", tmp_path / "out"
    mask = ["--mask", data / "left.nii.gz"]
    assert run("fit", *training(data), *mask, "-o", path, *SMALL) == 0
    assert run("predict", path, files_of(data)[2], "-o", out) == 0
    (written,) = out.iterdir()
    inside = _voxels(data / "left.nii.gz") != 0
    assert ((_voxels(written) != 0) == inside).all()


def test_the_mni152_mask(data, tmp_path, capsys):
    path = tmp_path / "model.skops"
    assert run("fit", *training(data), "--mask", "mni152", "-o", path, *SMALL) == 0
    capsys.readouterr()
    assert run("info", path) == 0
    assert "MNI152" in _facts(capsys.readouterr().out)["brain"]


def test_shrinking_while_fitting_to_a_fraction(data, tmp_path, capsys):
    path = tmp_path / "model.skops"
    assert run("fit", *training(data), *SMALL, "--shrink", "0.25", "-o", path) == 0
    assert load_model(path).estimator_.estimator_.hidden_layer_sizes == (5, 2)
    capsys.readouterr()
    assert run("info", path) == 0
    facts = _facts(capsys.readouterr().out)
    assert facts["shrunken from"] == "20-8 hidden nodes"
    assert facts["layers"] == "57-5-2-1"


def test_shrinking_while_fitting_as_far_as_the_error_allows(data, tmp_path):
    path = tmp_path / "model.skops"
    assert run("fit", *training(data), *SMALL, "--shrink", "auto", "-o", path) == 0
    shrunken = load_model(path).estimator_
    assert len(shrunken.path_) > 1
    accepted = [step for step in shrunken.path_ if step["accepted"]]
    smallest = min(step["hidden_layer_sizes"] for step in accepted)
    assert shrunken.estimator_.hidden_layer_sizes == smallest


@pytest.mark.parametrize("keep", ["0", "1.5", "-0.25", "half", "nan", ""])
def test_a_fraction_that_is_none_is_wrong_usage(data, model, tmp_path, capsys, keep):
    output = tmp_path / "small.skops"
    error = misused(capsys, "fit", *training(data), "-o", output, "--shrink", keep)
    assert "--shrink" in error
    shrink = [model, *training(data), "-o", output, "--keep", keep]
    assert "--keep" in misused(capsys, "shrink", *shrink)
    assert not output.exists()


def test_shrink_leaves_the_model_that_it_reads(data, model, tmp_path):
    before = model.read_bytes()
    small = tmp_path / "small.skops"
    shrink = [model, *training(data), "--n-voxels", "300", "-o", small]
    assert run("shrink", *shrink) == 0
    assert model.read_bytes() == before
    smaller = load_model(small).estimator_.estimator_
    assert smaller.hidden_layer_sizes < (20, 8)


def test_a_shrunken_model_has_the_smaller_file(data, tmp_path):
    path, small = tmp_path / "model.skops", tmp_path / "small.skops"
    assert run("fit", *training(data), *BRIEF, "-o", path) == 0
    shrink = [*training(data), "--n-voxels", "300", "--keep", "0.1", "-o", small]
    assert run("shrink", path, *shrink) == 0
    assert small.stat().st_size < path.stat().st_size


@pytest.mark.parametrize(
    "option",
    ["--mask missing.nii.gz", "--patch-size 5", "--normalization percentile"],
)
def test_shrink_ignores_no_option(data, model, tmp_path, option):
    """These are settled in training: refuse what contradicts it, or do not offer."""
    task = tasks(data, model, tmp_path)["shrink"]
    try:
        exit_code = run(*task, *option.split())
    except SystemExit as stop:
        exit_code = stop.code
    assert exit_code in (1, 2)


# lsdn evaluate


def _numbers(path):
    """Scores of each volume, without the times they took."""
    return [
        {key: value for key, value in volume.items() if not key.endswith("seconds")}
        for volume in json.loads(path.read_text())["volumes"]
    ]


def test_evaluate_prints_a_table_and_writes_all_of_it(data, tmp_path, capsys):
    path = tmp_path / "scores.json"
    models = ["--model", "lsdn", "vdn", "--json", path]
    assert run("evaluate", *training(data, SUBJECTS), *SMALL, *models) == 0
    header, *rows = _table(capsys.readouterr().out)
    assert header[:5] == ["SNR (dB)", *SUBJECTS, "mean +- sd"]
    assert [row[0] for row in rows] == ["LSDN 20-8", "VDN 20-8"]
    content = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert content["unit"] == "dB"
    assert len(content["volumes"]) == 6
    for name, *cells in rows:
        volumes = [v for v in content["volumes"] if v["model"] == name]
        assert [v["subject"] for v in volumes] == SUBJECTS
        scores = np.array([v["snr"] for v in volumes])
        assert cells[:3] == [f"{score:.2f}" for score in scores]
        assert cells[3] == f"{scores.mean():.2f} +- {scores.std():.2f}"
        assert content["summary"][name]["snr_mean"] == pytest.approx(scores.mean())
        assert content["summary"][name]["snr_sd"] == pytest.approx(scores.std())
        assert cells[4] == f"{np.mean([v['psnr'] for v in volumes]):.2f}"
        assert cells[5] == f"{np.mean([v['r2'] for v in volumes]):.3f}"


def test_evaluate_scores_a_subject_that_training_did_not_see(data, tmp_path):
    path, held_back = tmp_path / "scores.json", SUBJECTS[2]
    assert run("evaluate", *training(data, SUBJECTS), *SMALL, "--json", path) == 0
    fit = [*training(data, SUBJECTS[:2]), *SMALL, "-o", tmp_path / "model.skops"]
    assert run("fit", *fit) == 0
    pair = (files_of(data, contrast, [held_back]) for contrast in ("T1w", "T2w"))
    expected = load_model(tmp_path / "model.skops").score(*pair)
    assert _numbers(path)[2]["subject"] == held_back
    assert _numbers(path)[2]["snr"] == pytest.approx(expected, rel=1e-6)


def test_sessions_of_a_subject_share_a_column(data, tmp_path, capsys):
    for contrast in ("T1w", "T2w"):
        originals = files_of(data, contrast)
        for original, name in zip(
            originals, ("sub-01_ses-1", "sub-01_ses-2", "sub-02"), strict=True
        ):
            shutil.copy(original, tmp_path / f"{name}_{contrast}.nii.gz")
    names = ["sub-01_ses-1", "sub-01_ses-2", "sub-02"]
    assert run("evaluate", *training(tmp_path, names), *SMALL) == 0
    header, row = _table(capsys.readouterr().out)
    assert header[:4] == ["SNR (dB)", "sub-01", "sub-02", "mean +- sd"]


def test_one_subject_cannot_be_left_out(data, capsys):
    error = refused(capsys, "evaluate", *training(data, SUBJECTS[:1]), *SMALL)
    assert "two subjects" in error


@pytest.mark.parametrize("linked", [False, True])
def test_one_file_for_scores_and_report_is_refused(
    data, tmp_path, capsys, monkeypatch, linked
):
    monkeypatch.setattr(*WORK["evaluate"], must_not_be_reached)
    path = other = tmp_path / "scores"
    if linked:
        other = tmp_path / "link"
        other.symlink_to(path)
    outputs = ["--json", path, "--report", other, "--overwrite"]
    error = refused(capsys, "evaluate", *training(data), *SMALL, *outputs)
    assert "--json and --report" in error
    assert str(other) in error


def test_scores_are_printed_though_a_file_of_them_fails(
    data, tmp_path, capsys, monkeypatch
):
    path = tmp_path / "scores.json"
    replace = os.replace

    def full(source, target):
        if target == path:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr("os.replace", full)
    assert run("evaluate", *training(data), *SMALL, "--json", path) == 1
    out, err = capsys.readouterr()
    assert len(_table(out)) == 2
    assert err.endswith(f"{path} cannot be written: No space left on device.\n")


def test_report_and_resume_are_said_to_exclude_each_other(capsys):
    text = " ".join(_help(capsys, "evaluate").split())
    assert "not with --resume" in text
    assert "not with --report" in text


# Repeatability


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_seed_fixes_the_synthesis(data, model, tmp_path, jobs):
    again = tmp_path / "again.skops"
    assert run("fit", *training(data), "-j", jobs, "-o", again, *SMALL) == 0
    outputs = []
    for path, n_jobs in ((model, "1"), (again, jobs)):
        out = tmp_path / f"by_{path.stem}"
        predict = [path, *files_of(data), "-o", out, "-j", n_jobs]
        assert run("predict", *predict) == 0
        outputs.append({p.name: _voxels(p) for p in out.iterdir()})
    assert len(outputs[0]) == 3
    for name, voxels in outputs[0].items():
        assert (voxels == outputs[1][name]).all()


def test_another_seed_gives_another_synthesis(data, model, tmp_path):
    other, source = tmp_path / "other.skops", files_of(data)[2:]
    assert run("fit", *training(data), "--seed", "1", "-o", other, *SMALL) == 0
    (one,), (two,) = (load_model(path).predict(source) for path in (model, other))
    assert (one.get_fdata() != two.get_fdata()).any()


def test_evaluation_does_not_depend_on_the_number_of_jobs(data, tmp_path):
    scores = []
    for jobs in ("1", "1", "2"):
        path = tmp_path / f"{len(scores)}.json"
        evaluate = [*training(data, SUBJECTS), *SMALL, "--json", path, "-j", jobs]
        assert run("evaluate", *evaluate) == 0
        scores.append(_numbers(path))
    assert scores[0] == scores[1] == scores[2]


# Standard output and standard error


PROGRESS = {
    "fit": r"Read subject 1 of 2\n(.*\n)*Epoch 2: loss",
    "predict": r"1/3 sub-01_T1w_synth\.nii\.gz.*\n(.*\n)*3/3",
    "evaluate": r"LSDN \S+ on sub-01: [\d.]+ dB\n(.*\n)*.* on sub-02: ",
    "shrink": r"ShrinkConnect: ",
}


NAMING = (
    "import sys; from sklearn_lsdn._commands import info, main;"
    "info.run = lambda arguments: arguments.model; sys.exit(main.main())"
)
"""`lsdn` with an `info` that says the file's name, and need not read it."""


def _shell(line, *argv):
    """Run a line of bash in which "$@" is that command."""
    command = [sys.executable, "-c", NAMING, *map(str, argv)]
    return subprocess.run(
        ["bash", "-c", line, "bash", *command],
        cwd=Path(sklearn_lsdn.__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_reader_who_leaves_is_no_error():
    """Nobody reads the pipe any more when the result is written."""
    code = (
        "import os, sys, subprocess\n"
        "r, w = os.pipe()\n"
        "os.close(r)\n"
        "sys.exit(subprocess.run(sys.argv[1:], stdout=w).returncode)"
    )
    done = _python("-c", code, sys.executable, "-c", NAMING, "info", "m.skops")
    assert (done.returncode, done.stderr) == (141, "")


def test_a_result_that_cannot_be_written_is_told_in_a_sentence():
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    done = _shell('"$@" > /dev/full', "info", "m.skops")
    assert done.returncode == 1
    assert done.stderr == (
        "lsdn info: error: standard output cannot be written: "
        "No space left on device.\n"
    )


def test_a_name_that_the_terminal_cannot_show_is_no_error():
    done = _shell('PYTHONIOENCODING=ascii "$@"', "info", "m ü.skops")
    assert (done.returncode, done.stderr) == (0, "")
    assert "m \\xfc.skops" in done.stdout


@pytest.mark.parametrize("command", PROGRESS)
def test_progress_goes_to_standard_error(data, model, tmp_path, capsys, command):
    assert run(*tasks(data, model, tmp_path)[command]) == 0
    out, err = capsys.readouterr()
    assert re.search(PROGRESS[command], err)
    for line in err.splitlines():
        assert line not in out


@pytest.mark.parametrize("command", PROGRESS)
def test_quiet_leaves_the_result_alone(data, model, tmp_path, capsys, command):
    assert run(*tasks(data, model, tmp_path)[command], "--quiet") == 0
    out, err = capsys.readouterr()
    assert err == ""
    n_lines = {"fit": 1, "predict": 3, "evaluate": 5, "shrink": 1}[command]
    assert len(out.splitlines()) == n_lines


def test_quiet_is_not_a_property_of_the_model(data, tmp_path, capsys):
    loud = tmp_path / "loud.skops"
    assert run("fit", *training(data), *SMALL, "-o", loud) == 0
    capsys.readouterr()
    assert load_model(loud).verbose == 0
    assert run(*tasks(data, loud, tmp_path)["shrink"], "--quiet") == 0
    assert capsys.readouterr().err == ""


def test_an_input_is_never_an_output(data, model, tmp_path, capsys):
    """As when the same wildcard is predicted again into the images' own folder."""
    inputs = [tmp_path / "sub-01_T1w.nii.gz", tmp_path / "sub-01_T1w_synth.nii.gz"]
    for path, source in zip(inputs, files_of(data), strict=False):
        shutil.copy(source, path)
    before = contents(tmp_path)
    predict = ["predict", model, *inputs, "-o", tmp_path, "--overwrite"]
    assert str(inputs[1]) in refused(capsys, *predict)
    assert contents(tmp_path) == before


# Usage


@pytest.mark.parametrize(
    "line",
    [
        "",
        "synthesise",
        "info",
        "info a.skops --no-such-option",
        "predict a.skops -o out",
        "predict a.skops a.nii",
        "fit --source a.nii --target b.nii",
        "fit --source a.nii -o m.skops",
        "fit --source --target b.nii -o m.skops",
        "fit --source a.nii --target b.nii -o m.skops --model unet",
        "fit --source a.nii --target b.nii -o m.skops --normalization none",
        "fit --source a.nii --target b.nii -o m.skops --max-iter many",
        "evaluate --source a.nii --target b.nii --jobs all",
        "evaluate --source a.nii --target b.nii --model lsdn unet",
        "shrink --source a.nii --target b.nii -o m.skops",
    ],
)
def test_wrong_usage(capsys, line):
    misused(capsys, *shlex.split(line))


def _help(capsys, *command):
    with pytest.raises(SystemExit) as stop:
        run(*command, "--help")
    out, err = capsys.readouterr()
    assert (stop.value.code, err) == (0, "")
    return out


@pytest.mark.parametrize("command", OPTIONS)
def test_help_names_every_option(capsys, command):
    words = set(re.findall(r"[\w-]+", _help(capsys, command)))
    assert set(OPTIONS[command]) <= words


def test_help_names_every_command_and_gives_examples_that_parse(capsys, monkeypatch):
    text = _help(capsys)
    assert set(OPTIONS) <= set(re.findall(r"^    ([\w-]+) ", text, re.MULTILINE))
    examples = re.findall(r"^  lsdn (.*)$", text, re.MULTILINE)
    assert {line.split()[0] for line in examples} == set(OPTIONS)
    for line in examples:
        module = line.split()[0].replace("-", "_")
        command = f"sklearn_lsdn._commands.{module}.run"
        monkeypatch.setattr(command, lambda args: "")
        assert run(*shlex.split(line)) == 0


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        run("--version")
    assert stop.value.code == 0
    assert capsys.readouterr().out.strip() == sklearn_lsdn.__version__


@pytest.mark.parametrize("module", ["sklearn_lsdn", "sklearn_lsdn._commands.main"])
def test_importing_loads_nothing_heavy(module):
    heavy = ["numba", "sklearn", "nilearn", "SimpleITK", "matplotlib", "nibabel"]
    heavy += ["ancpbids"]
    code = f"import sys, {module}; print(sorted({{*sys.modules}} & {{*{heavy}}}))"
    done = _python("-c", code)
    assert done.stdout == "[]\n", done.stderr

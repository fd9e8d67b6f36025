"""What `lsdn` refuses, of inputs and of outputs, and that nothing is half done."""

import gzip
import re
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from small_commands import (
    SMALL,
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

from sklearn_lsdn import VolumeSynthesizer


def _interrupt(*args, **kwargs):
    raise KeyboardInterrupt


# Outputs


def _task_with_output(data, model, command, path):
    """A command line that is to write ``path``, after `_output` found it."""
    if command == "predict":
        return ["predict", model, files_of(data)[0], "-o", path.parent]
    if command == "demo":
        return ["demo", "-o", path.parent]
    task = tasks(data, model, Path("unused"))[command]
    if command == "evaluate":
        return [*task, "--json", path]
    return [*task, "-o", path]


def _output(command, folder):
    """An output of a command within a folder."""
    name = {"predict": "sub-01_T1w_synth.nii.gz", "demo": "synthesis.png"}
    return folder / name.get(command, "result.skops")


@pytest.mark.parametrize("command", WORK)
def test_an_existing_output_is_found_before_the_work(
    data, model, tmp_path, capsys, monkeypatch, command
):
    path = _output(command, tmp_path)
    path.write_text("precious")
    before = contents(tmp_path)
    monkeypatch.setattr(*WORK[command], must_not_be_reached)
    error = refused(capsys, *_task_with_output(data, model, command, path))
    assert f"{path} exists already" in error
    assert "--overwrite" in error
    assert contents(tmp_path) == before


@pytest.mark.parametrize("command", ["fit", "predict", "evaluate", "shrink"])
def test_overwrite_replaces_an_output(data, model, tmp_path, command):
    path = _output(command, tmp_path)
    path.write_text("old")
    task = _task_with_output(data, model, command, path)
    assert run(*task, "--overwrite") == 0
    assert path.stat().st_size > 100
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("command", ["fit", "evaluate", "shrink"])
@pytest.mark.parametrize("folder", ["missing", "file"])
@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_an_output_in_no_folder_is_found_before_the_work(
    data, model, tmp_path, capsys, monkeypatch, command, folder, overwrite
):
    (tmp_path / "file").write_text("mine")
    before = contents(tmp_path)
    monkeypatch.setattr(*WORK[command], must_not_be_reached)
    path = tmp_path / folder / "result.skops"
    task = _task_with_output(data, model, command, path)
    assert str(path) in refused(capsys, *task, *overwrite)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("command", ["fit", "evaluate", "shrink"])
def test_a_folder_is_never_replaced(
    data, model, tmp_path, capsys, monkeypatch, command
):
    monkeypatch.setattr(*WORK[command], must_not_be_reached)
    path = tmp_path / "folder.skops"
    path.mkdir()
    task = _task_with_output(data, model, command, path)
    assert "is a directory" in refused(capsys, *task, "--overwrite")
    assert path.is_dir()


@pytest.mark.parametrize("command", ["predict", "demo"])
@pytest.mark.parametrize("folder", ["file", "file/folder"])
def test_a_file_cannot_be_the_output_folder(
    data, model, tmp_path, capsys, monkeypatch, command, folder
):
    (tmp_path / "file").write_text("mine")
    monkeypatch.setattr(*WORK[command], must_not_be_reached)
    path = _output(command, tmp_path / folder)
    task = _task_with_output(data, model, command, path)
    assert str(tmp_path / "file") in refused(capsys, *task, "--overwrite")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("command", ["fit", "shrink"])
def test_missing_skops_is_found_before_the_work(
    data, model, tmp_path, capsys, monkeypatch, command
):
    monkeypatch.setattr(*WORK[command], must_not_be_reached)
    monkeypatch.setitem(sys.modules, "skops", None)
    monkeypatch.setitem(sys.modules, "skops.io", None)
    task = tasks(data, model, tmp_path)[command]
    assert 'pip install "sklearn_lsdn[io]"' in refused(capsys, *task)


@pytest.mark.parametrize("command", WORK)
def test_an_interruption_leaves_no_trace(
    data, model, tmp_path, capsys, monkeypatch, command
):
    path = _output(command, tmp_path)
    path.write_text("old")
    before = contents(tmp_path)
    monkeypatch.setattr(*WORK[command], _interrupt)
    task = _task_with_output(data, model, command, path)
    assert run(*task, "--overwrite") == 130
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith(f"lsdn {command}: interrupted\n")
    assert contents(tmp_path) == before


# Inputs


def _missing(good, bad):
    pass


def _truncated(good, bad):
    content = gzip.decompress(good.read_bytes())
    bad.write_bytes(gzip.compress(content[: len(content) // 2]))


def _cut(good, bad):
    content = good.read_bytes()
    bad.write_bytes(content[: len(content) // 2])


def _text(good, bad):
    bad.write_text("T1w")


def _empty(good, bad):
    bad.touch()


def _folder(good, bad):
    bad.mkdir()


def _other_grid(good, bad):
    nib.save(nib.load(good).slicer[1:], bad)


def _not_a_number(good, bad):
    image = nib.load(good)
    voxels = image.get_fdata()
    voxels[tuple(np.array(voxels.shape) // 2)] = np.nan  # in the brain
    nib.save(nib.Nifti1Image(voxels, image.affine), bad)


DAMAGES = [_missing, _truncated, _cut, _text, _empty, _folder, _not_a_number]


@pytest.mark.parametrize("damage", [*DAMAGES, _other_grid])
@pytest.mark.parametrize("command", ["fit", "evaluate", "shrink"])
@pytest.mark.parametrize("option", ["--source", "--target"])
def test_an_image_that_cannot_be_used_in_training_is_named(
    data, model, tmp_path, capsys, command, damage, option
):
    bad = tmp_path / "sub-02_bad.nii.gz"
    task = _task_with_output(data, model, command, tmp_path / "result.skops")
    at = task.index(option) + 2
    damage(task[at], bad)
    task[at] = bad
    assert str(bad) in refused(capsys, *task)
    assert not (tmp_path / "result.skops").exists()


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_image_that_cannot_be_predicted_is_named(
    data, model, tmp_path, capsys, damage
):
    bad, out = tmp_path / "sub-09_T1w.nii.gz", tmp_path / "out"
    damage(files_of(data)[0], bad)
    assert str(bad) in refused(capsys, "predict", model, bad, "-o", out)
    assert not out.exists() or list(out.iterdir()) == []


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_mask_that_cannot_be_used_is_named(data, tmp_path, capsys, damage):
    bad, output = tmp_path / "mask.nii.gz", tmp_path / "model.skops"
    damage(data / "left.nii.gz", bad)
    fit = ["fit", *training(data), *SMALL, "--mask", bad, "-o", output]
    assert str(bad) in refused(capsys, *fit)
    assert not output.exists()


@pytest.mark.parametrize("damage", [_missing, _cut, _text, _empty, _folder])
@pytest.mark.parametrize("command", ["predict", "info", "shrink"])
def test_a_model_that_cannot_be_used_is_named(
    data, model, tmp_path, capsys, command, damage
):
    bad = tmp_path / "bad.skops"
    damage(model, bad)
    rest = {
        "predict": [files_of(data)[0], "-o", tmp_path / "out"],
        "info": [],
        "shrink": [*training(data), "-o", tmp_path / "small.skops"],
    }
    assert str(bad) in refused(capsys, command, bad, *rest[command])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["fit", "evaluate", "shrink"])
def test_sources_and_targets_must_be_as_many(data, model, tmp_path, capsys, command):
    task = _task_with_output(data, model, command, tmp_path / "result.skops")
    task.insert(task.index("--target"), files_of(data)[2])
    error = refused(capsys, *task)
    assert "3 subjects" in error
    assert "2" in error
    assert not (tmp_path / "result.skops").exists()


def test_source_contrasts_must_be_as_many(data, tmp_path, capsys):
    second = ["--source", *files_of(data, "FLAIR")]
    task = [*training(data), *second, "-o", tmp_path / "model.skops"]
    assert "2, 3 images" in refused(capsys, "fit", *task)


@pytest.mark.parametrize(
    "given",
    [
        "--n-voxels 0",
        "--patch-size 2",
        "--patch-size 0",
        "--patch-scales 1 0",
        "--target-patch-size 2",
        "--smoothing -1",
        "--smoothing nan",
        "--max-iter 0",
        "--max-iter -1",
        "--sigma 0",
        "--sigma nan",
        "--sigma inf",
        "--hidden-layer-sizes 20 0",
        "--n-estimators 0",
        "--seed -1",
        "--seed 4294967296",
        "--jobs 0",
        "--max-memory little",
        "--max-memory 0",
    ],
)
def test_a_number_out_of_range_is_wrong_usage(data, tmp_path, capsys, given):
    output = tmp_path / "model.skops"
    error = misused(capsys, "fit", *training(data), "-o", output, *given.split())
    option, *_, value = given.split()
    assert re.search(rf"error: argument .*{option}: '{value}' is ", error)
    assert not output.exists()


@pytest.mark.parametrize("name", ["model.pkl", "model", "model.SKOPS.gz"])
def test_a_model_of_another_ending_is_wrong_usage(data, tmp_path, capsys, name):
    output = tmp_path / name
    for command in (["fit"], ["shrink", "model.skops"]):
        error = misused(capsys, *command, *training(data), "-o", output)
        assert f"{output} does not end in .skops" in error
    assert not output.exists()


def test_too_little_memory_is_told_in_a_sentence(data, tmp_path, capsys, monkeypatch):
    def too_much(*args, **more):
        np.empty(2**62, dtype=np.uint8)

    monkeypatch.setattr(VolumeSynthesizer, "fit", too_much)
    fit = [*training(data), "-o", tmp_path / "model.skops"]
    error = refused(capsys, "fit", *fit)
    assert "error: not enough memory" in error
    assert "--patch-size" in error
    assert "--max-memory" in error
    with pytest.raises(MemoryError):
        run("fit", *fit, "--traceback")


def test_a_traceback_upon_request(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing.skops"):
        run("predict", tmp_path / "missing.skops", "x.nii", "-o", "y", "--traceback")


# Interrupted, mistaken


def test_a_half_trained_network_is_no_model(data, tmp_path, monkeypatch, capsys):
    output = tmp_path / "model.skops"

    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr("sklearn_lsdn._network.optimizers.Trainer.epoch", interrupted)
    assert run("fit", *training(data), "-o", output) == 130
    assert "interrupted" in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.parametrize("command", ["fit", "evaluate"])
def test_no_input_is_ever_replaced(command, data, tmp_path, capsys):
    target = Path(files_of(data, "T2w")[0])
    before = target.read_bytes()
    link = tmp_path / "link.skops"
    link.symlink_to(target)
    option, path = {"fit": ("-o", link), "evaluate": ("--json", target)}[command]
    assert run(command, *training(data), option, path, "--overwrite") == 1
    assert "is among the inputs" in capsys.readouterr().err
    assert target.read_bytes() == before

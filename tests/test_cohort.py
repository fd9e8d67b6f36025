"""Cohorts that are resumed, and those in which a subject fails."""

import json
import os

import nibabel as nib
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from small_volumes import framed

from sklearn_lsdn import VolumeSynthesizer, save_model
from sklearn_lsdn._commands.main import main
from sklearn_lsdn.exceptions import SubjectsFailed
from sklearn_lsdn.jobs import predict_files

SHAPE = (7, 8, 6)
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
N = 4


def _image(seed, change=lambda data: data):
    data = np.random.RandomState(seed).uniform(1, 2, SHAPE).astype(np.float32)
    return nib.Nifti1Image(framed(change(data)), AFFINE)


@pytest.fixture
def cohort(tmp_path):
    """Sources in a BIDS dataset, a model file, and the synthesizer in it."""
    raw = tmp_path / "raw"
    sources = []
    for i in range(N):
        folder = raw / f"sub-{i}" / "anat"
        folder.mkdir(parents=True)
        sources.append(folder / f"sub-{i}_T1w.nii.gz")
        nib.save(_image(i), sources[-1])
    description = {"Name": "raw", "BIDSVersion": "1.10.0"}
    (raw / "dataset_description.json").write_text(json.dumps(description))
    synthesizer = VolumeSynthesizer(LinearRegression(), n_voxels=100, random_state=0)
    synthesizer.fit([_image(0)], [_image(0, lambda data: 3 - data)])
    save_model(synthesizer, tmp_path / "model.skops")
    return sources, tmp_path / "model.skops", synthesizer


def _run(*argv):
    return main([str(argument) for argument in argv])


def _times(folder):
    """When each file under a folder was last changed."""
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def _damage_cut(path):
    path.write_bytes(path.read_bytes()[:-10])


def _damage_grid(path):
    nib.save(nib.load(path).slicer[1:], path)


def _damage_link(path):
    path.unlink()
    path.symlink_to("nowhere")


@pytest.mark.parametrize("damage", [_damage_cut, _damage_grid, os.unlink, _damage_link])
def test_resuming_does_what_is_not_whole_again(cohort, tmp_path, damage, capsys):
    sources, model, _ = cohort
    out = tmp_path / "out"
    assert _run("predict", model, *sources, "-o", out) == 0
    before, contents = _times(out), {p: p.read_bytes() for p in out.iterdir()}
    bad = out / "sub-2_T1w_synth.nii.gz"
    damage(bad)
    capsys.readouterr()
    assert _run("predict", model, *sources, "-o", out, "--resume") == 0
    captured = capsys.readouterr()
    assert "3 of 4 were done before" in captured.err
    assert captured.out.splitlines() == sorted(map(str, contents))
    after = _times(out)
    assert {p for p in after if after[p] != before[p]} == {bad}
    assert {p: p.read_bytes() for p in out.iterdir()} == contents


def test_resuming_begins_and_ends(cohort, tmp_path):
    sources, model, _ = cohort
    line = ["predict", model, *sources, "-o", tmp_path / "out", "--resume"]
    assert _run(*line) == 0
    before = _times(tmp_path / "out")
    assert len(before) == N
    assert _run(*line) == 0
    assert _times(tmp_path / "out") == before


def _other_model(sources, model):
    synthesizer = VolumeSynthesizer(LinearRegression(), n_voxels=100, random_state=0)
    save_model(synthesizer.fit([_image(1)], [_image(2)]), model, overwrite=True)


def _other_image(sources, model):
    nib.save(_image(9), sources[0])


def _repaired_header(sources, model):
    image = nib.load(sources[0])
    data, header = image.get_fdata(dtype=np.float32), image.header
    header.set_sform(AFFINE, code=4)
    nib.save(nib.Nifti1Image(data, None, header), sources[0])


@pytest.mark.parametrize(
    ("change", "n_done"),
    [(_other_model, 0), (_other_image, 3), (_repaired_header, 3)],
)
def test_resuming_replaces_what_is_out_of_date(
    cohort, tmp_path, change, n_done, capsys
):
    sources, model, _ = cohort
    out, anew = tmp_path / "out", tmp_path / "anew"
    assert _run("predict", model, *sources, "-o", out) == 0
    change(sources, model)
    capsys.readouterr()
    assert _run("predict", model, *sources, "-o", out, "--resume") == 0
    word = f"{n_done} of 4 were done before; outputs of {4 - n_done} are replaced"
    assert word in capsys.readouterr().err
    assert _run("predict", model, *sources, "-o", anew) == 0
    for path in anew.iterdir():
        assert (out / path.name).read_bytes() == path.read_bytes()


def test_resuming_replaces_what_is_not_its_own(cohort, tmp_path, capsys):
    sources, model, _ = cohort
    out = tmp_path / "out"
    out.mkdir()
    nib.save(_image(5), out / "sub-1_T1w_synth.nii.gz")
    assert _run("predict", model, *sources, "-o", out, "--resume") == 0
    assert "0 of 4 were done before; outputs of 1 are" in capsys.readouterr().err


def test_a_sidecar_does_not_vouch_for_an_older_image(cohort, tmp_path, monkeypatch):
    """Work that was cut off when a sidecar was replaced, and its image not yet."""
    pytest.importorskip("ancpbids")
    sources, model, _ = cohort
    line = ["predict", model, tmp_path / "raw", "--source", "T1w", "--target", "T2w"]
    line += ["-j", "1", "-o", tmp_path / "out", "--resume"]
    assert _run(*line) == 0
    _other_model(sources, model)

    def cut_off(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("sklearn_lsdn.jobs._prediction.save_image", cut_off)
        assert _run(*line) == 130
    before = _times(tmp_path / "out")
    assert _run(*line) == 0
    after = _times(tmp_path / "out")
    assert len(after) == 1 + 2 * N
    assert all(after[path] != before[path] for path in after if ".nii" in path.name)


def test_resuming_replaces_no_input(cohort, tmp_path, capsys):
    sources, model, _ = cohort
    folder = sources[0].parent
    (folder / "sub-0_T1w_synth.nii.gz").symlink_to(sources[1])
    _damage_cut(sources[1])
    before = sources[1].read_bytes()
    assert _run("predict", model, *sources[:2], "-o", folder, "--resume") == 1
    assert "is among the inputs" in capsys.readouterr().err
    assert sources[1].read_bytes() == before


def test_resuming_a_dataset_looks_at_sidecars_and_model(cohort, tmp_path, capsys):
    pytest.importorskip("ancpbids")
    sources, model, synthesizer = cohort
    out = tmp_path / "derived"
    line = ["predict", model, tmp_path / "raw", "-o", out]
    line += ["--source", "T1w", "--target", "T2w"]
    assert _run(*line) == 0
    before = _times(out)
    assert _run(*line) == 1
    assert "exists already" in capsys.readouterr().err
    assert _run(*line, "--resume") == 0
    assert _times(out) == before
    image = out / "sub-1" / "anat" / "sub-1_desc-synth_T2w.nii.gz"
    sidecar = image.with_name("sub-1_desc-synth_T2w.json")
    sidecar.unlink()
    assert _run(*line, "--resume") == 0
    after = _times(out)
    assert {p for p in after if after[p] != before[p]} == {image, sidecar}
    save_model(synthesizer.fit([_image(1)], [_image(2)]), model, overwrite=True)
    capsys.readouterr()
    assert _run(*line, "--resume") == 0
    assert "0 of 4 were done before" in capsys.readouterr().err


def test_one_who_fails_does_not_take_the_others_along(cohort, tmp_path, capsys):
    sources, model, synthesizer = cohort
    out = tmp_path / "out"
    _damage_cut(sources[1])
    sources[3].write_text("no image")
    assert _run("predict", model, *sources, "-o", out, "--keep-going") == 1
    err = capsys.readouterr().err
    assert "error: 2 of 4 subjects could not be predicted:\n" in err
    for source in (sources[1], sources[3]):
        assert f"({source})" in err
    names = ["sub-0_T1w_synth.nii.gz", "sub-2_T1w_synth.nii.gz"]
    assert sorted(p.name for p in out.iterdir()) == names
    before = _times(out)
    nib.save(_image(1), sources[1])
    nib.save(_image(3), sources[3])
    line = ["predict", model, *sources, "-o", out, "--resume", "--keep-going"]
    assert _run(*line) == 0
    assert before.items() <= _times(out).items()
    assert len(_times(out)) == N


def test_without_it_the_first_failure_ends_the_work(cohort, tmp_path):
    sources, model, _ = cohort
    sources[3].write_text("no image")
    assert _run("predict", model, *sources, "-o", tmp_path / "out") == 1
    assert not (tmp_path / "out").exists()


def test_keeping_going_from_python(cohort, tmp_path):
    sources, _, synthesizer = cohort
    sources[0].unlink()
    with pytest.raises(SubjectsFailed, match="1 of 4 subjects.*\n.*does not exist"):
        predict_files(synthesizer, sources, tmp_path / "out", keep_going=True)
    assert len(list((tmp_path / "out").iterdir())) == N - 1


def test_one_who_lacks_a_contrast_does_not_take_the_others_along(tmp_path):
    pairs = [[tmp_path / f"{i}_{kind}.nii" for kind in "ab"] for i in range(2)]
    for i, path in enumerate(pairs[0] + pairs[1]):
        nib.save(_image(i), path)
    synthesizer = VolumeSynthesizer(LinearRegression(), n_voxels=100, random_state=0)
    synthesizer.fit([[_image(0), _image(1)]], [_image(2)])
    sources, out = [pairs[0], pairs[1][:1]], tmp_path / "out"
    with pytest.raises(SubjectsFailed, match="1 of 2 subjects.*\n.*had 2. Give"):
        predict_files(synthesizer, sources, out, keep_going=True)
    assert [path.name for path in out.iterdir()] == ["0_a_synth.nii"]


@pytest.mark.parametrize("keep_going", [False, True])
def test_one_without_images_is_refused(cohort, tmp_path, keep_going):
    sources, _, synthesizer = cohort
    with pytest.raises(ValueError, match=r"sources\[1\] is empty: it names no image"):
        predict_files(
            synthesizer, [sources[0], []], tmp_path / "out", keep_going=keep_going
        )
    assert not (tmp_path / "out").exists()

"""fMRIPrep's output as it is, and raw data with masks: images on their own grids."""

import json
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from small_commands import contents, refused, run
from small_fmriprep import MNI, STEMS, make_fmriprep, make_raw

from sklearn_lsdn import load_model

pytest.importorskip("ancpbids", reason="BIDS datasets need ancpbids")

SMALL = ["--max-iter", "2", "--n-voxels", "500", "--hidden-layer-sizes", "20", "8"]
NAMES = ["--source", "T1w", "--target", "T2w", "-j", "1", *SMALL]
VALIDATOR = shutil.which("bids-validator-deno", path=Path(sys.executable).parent)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Raw data, masks beside them, and fMRIPrep's output, by the commands used."""
    folder = tmp_path_factory.mktemp("study")
    make_raw(folder)
    make_fmriprep(folder / "raw" / "derivatives" / "fmriprep")
    fmriprep = "raw/derivatives/fmriprep"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run("fit", fmriprep, *NAMES, "-o", "prepared.skops") == 0
        assert run("predict", "prepared.skops", fmriprep, "-o", "prepared") == 0
        brains = ["--mask", "brains"]
        assert run("fit", "raw", *NAMES, *brains, "-o", "raw.skops") == 0
        assert run("predict", "raw.skops", "raw", *brains, "-o", "synthesised") == 0
    return folder


@pytest.fixture
def fmriprep(tmp_path):
    folder = tmp_path / "fmriprep"
    make_fmriprep(folder)
    return folder


def _anat(folder, stem):
    return folder.joinpath(*stem.split("_"), "anat")


def _about(folder, stem):
    path = _anat(folder, stem) / f"{stem}_desc-synth_T2w.json"
    return json.loads(path.read_text())


@pytest.mark.parametrize("name", ["prepared", "synthesised"])
def test_a_synthesis_lies_on_the_grid_of_its_t1w_within_its_mask(study, name):
    for stem in STEMS:
        path = _anat(study / name, stem) / f"{stem}_desc-synth_T2w.nii.gz"
        synthesis = nib.load(path)
        source = nib.load(_anat(study / "raw", stem) / f"{stem}_T1w.nii.gz")
        mask = nib.load(study / "brains" / f"{stem}_T1w_bet.nii.gz").get_fdata() > 0
        assert np.allclose(synthesis.affine, source.affine)
        assert ((synthesis.get_fdata() != 0) == mask).all()
    written = {path.name for path in (study / name).rglob("*.nii.gz")}
    assert written == {f"{stem}_desc-synth_T2w.nii.gz" for stem in STEMS}


def test_both_ways_give_the_same_images(study):
    """For fMRIPrep's images are those of the scanner here."""
    for stem in STEMS:
        one, other = (
            _anat(study / name, stem) / f"{stem}_desc-synth_T2w.nii.gz"
            for name in ("prepared", "synthesised")
        )
        data = nib.load(one).get_fdata()
        assert np.array_equal(data, nib.load(other).get_fdata())


def test_what_sidecars_tell(study):
    about = _about(study / "prepared", "sub-02_ses-pre")
    anat = "bids:source:sub-02/ses-pre/anat/sub-02_ses-pre"
    t1w, mask = f"{anat}_desc-preproc_T1w.nii.gz", f"{anat}_desc-brain_mask.nii.gz"
    assert about["Sources"] == [t1w, mask]
    assert about["SpatialReference"] == t1w
    fmriprep = "raw/derivatives/fmriprep"
    assert about["Command"] == f"lsdn predict prepared.skops {fmriprep} -o prepared"
    assert datetime.fromisoformat(about["Date"]).tzinfo is not None
    assert about["Model"]["TrainedOn"] == ["sub-01", "sub-02"]
    assert str(study) not in json.dumps(about)
    description = json.loads(
        (study / "prepared" / "dataset_description.json").read_text()
    )
    assert description["DatasetLinks"] == {"source": f"../{fmriprep}"}


def test_masks_of_another_folder_are_linked(study):
    about = _about(study / "synthesised", "sub-03")
    source = "bids:source:sub-03/anat/sub-03_T1w.nii.gz"
    assert about["Sources"] == [source, "bids:masks:sub-03_T1w_bet.nii.gz"]
    description = json.loads(
        (study / "synthesised" / "dataset_description.json").read_text()
    )
    links = {"source": "../raw", "masks": "../brains"}
    assert description["DatasetLinks"] == links
    assert str(study) not in json.dumps(description)


@pytest.mark.skipif(VALIDATOR is None, reason="bids-validator-deno is not installed")
@pytest.mark.parametrize("name", ["prepared", "synthesised"])
def test_outputs_are_valid(study, name):
    command = [VALIDATOR, str(study / name), "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300)
    issues = json.loads(ran.stdout)["issues"]["issues"]
    assert [each for each in issues if each["severity"] == "error"] == []


def test_what_is_remembered(study):
    query = load_model(study / "prepared.skops").bids_query_
    assert query["space"] == "none"
    assert query["desc"] == "preproc"
    assert query["masks"] is True


def test_resume_goes_by_images_and_masks(study, fmriprep, tmp_path, capsys):
    out = tmp_path / "out"
    predict = ["predict", study / "prepared.skops", fmriprep, "-o", out]
    assert run(*predict, "-q") == 0
    before = contents(out)
    capsys.readouterr()
    assert run(*predict, "--resume") == 0
    assert "3 of 3 were done before" in capsys.readouterr().err
    assert contents(out) == before
    mask = _anat(fmriprep, "sub-01") / "sub-01_desc-brain_mask.nii.gz"
    image = nib.load(mask)
    data = np.uint8(image.dataobj)
    data[len(data) // 2 :] = 0
    nib.save(nib.Nifti1Image(data, None, image.header), mask)
    assert run(*predict, "--resume") == 0
    assert "2 of 3 were done before" in capsys.readouterr().err


def test_a_native_model_takes_no_images_in_mni_space(study, fmriprep, tmp_path, capsys):
    for path in fmriprep.rglob("*_desc-preproc_T1w.nii.gz"):
        if MNI not in path.name:
            path.unlink()
    predict = ["predict", study / "prepared.skops", fmriprep, "-o", tmp_path / "out"]
    error = refused(capsys, *predict)
    assert "has T1w, without space, with desc-preproc; sub-01 lacks T1w" in error
    assert "trained on images without space and with desc-preproc; to take any" in error
    assert run(*predict, "--space", "") == 0
    assert len(list((tmp_path / "out").rglob(f"*_{MNI}_desc-synth_T2w.nii.gz"))) == 3


def test_a_space_is_taken_when_asked_for_and_with_its_masks(fmriprep, tmp_path):
    model, out = tmp_path / "mni.skops", tmp_path / "out"
    space = ["--space", "MNI152NLin2009cAsym"]
    assert run("fit", fmriprep, *NAMES, *space, "-o", model) == 0
    assert run("predict", model, fmriprep, "-o", out) == 0
    (path,) = out.rglob("sub-01*.json")
    about = json.loads(path.read_text())
    names = [source.split("/")[-1] for source in about["Sources"]]
    stem = f"sub-01_{MNI}_desc"
    assert names == [f"{stem}-preproc_T1w.nii.gz", f"{stem}-brain_mask.nii.gz"]
    assert "SpatialReference" not in about


def test_a_mask_of_all_subjects_stands_for_those_of_each(fmriprep, tmp_path):
    (mask,) = fmriprep.rglob(f"sub-03_{MNI}_desc-brain_mask.nii.gz")
    shutil.copy(mask, tmp_path / "mask.nii.gz")
    model, out = tmp_path / "mni.skops", tmp_path / "out"
    chosen = ["--space", "MNI152NLin2009cAsym", "--mask", tmp_path / "mask.nii.gz"]
    assert run("fit", fmriprep, *NAMES, *chosen, "-o", model) == 0
    assert load_model(model).bids_query_["masks"] is False
    assert run("predict", model, fmriprep, "-o", out) == 0
    (path,) = out.rglob("sub-01*.json")
    assert len(json.loads(path.read_text())["Sources"]) == 1


@pytest.mark.parametrize("lacking", [1, 3])
def test_sessions_without_a_mask_are_named(study, fmriprep, tmp_path, capsys, lacking):
    for stem in STEMS[:lacking]:
        (_anat(fmriprep, stem) / f"{stem}_desc-brain_mask.nii.gz").unlink()
    predict = ["predict", study / "prepared.skops", fmriprep, "-o", tmp_path / "out"]
    assert run(*predict) == 0
    named = ", ".join(STEMS[:lacking])
    assert f"Without a brain mask: {named}. What differs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("mask", "sentence"),
    [
        (["a.nii", "b.nii"], "--mask lists 2 masks. With BIDS_DIR, give one for all"),
        (["mni152"], "--mask mni152 is for training. With a model, give a mask of"),
    ],
)
def test_masks_that_cannot_be_meant(study, tmp_path, capsys, mask, sentence):
    task = ["predict", study / "raw.skops", study / "raw", "-o", tmp_path / "out"]
    assert sentence in refused(capsys, *task, "--mask", *mask)


def test_masks_beside_images(study, tmp_path, capsys):
    images = [_anat(study / "raw", stem) / f"{stem}_T1w.nii.gz" for stem in STEMS]
    predict = ["predict", study / "raw.skops", *images, "-o", tmp_path, "--mask"]
    error = refused(capsys, *predict, study / "brains")
    assert "brains is a folder. Give one mask for all subjects, or one for" in error
    masks = [study / "brains" / f"{stem}_T1w_bet.nii.gz" for stem in STEMS]
    assert run(*predict, *masks) == 0
    for stem in STEMS:
        one = tmp_path / f"{stem}_T1w_synth.nii.gz"
        other = _anat(study / "synthesised", stem) / f"{stem}_desc-synth_T2w.nii.gz"
        assert np.array_equal(nib.load(one).dataobj, nib.load(other).dataobj)
    assert "masks has 3 entries" in refused(capsys, *predict[:2], *predict[3:], *masks)


def test_scores_and_smaller_models_know_the_masks(study, tmp_path):
    prepared, raw = study / "raw" / "derivatives" / "fmriprep", study / "raw"
    model, small = study / "prepared.skops", tmp_path / "small.skops"
    names = ["--source", "T1w", "--target", "T2w", "--n-voxels", "300", "-j", "1"]
    assert run("shrink", model, prepared, *names, "--keep", "0.9", "-o", small) == 0
    brains = ["--mask", study / "brains", "--desc", ""]
    whole, smaller = tmp_path / "whole.json", tmp_path / "smaller.json"
    assert run("score", model, prepared, "-j", "1", "--json", whole) == 0
    assert run("score", small, raw, *brains, "-j", "1", "--json", smaller) == 0
    for path in (whole, smaller):
        records = json.loads(path.read_text())["volumes"]
        for record, stem in zip(records, STEMS[:2], strict=True):
            mask = nib.load(study / "brains" / f"{stem}_T1w_bet.nii.gz")
            volume = np.sum(mask.get_fdata()) * 8**3 / 1000
            assert record["brain_ml"] == pytest.approx(volume, abs=0.001)


def test_a_dataset_may_be_completed_by_subjects_with_masks(study, tmp_path):
    predict = ["predict", study / "raw.skops", study / "raw", "-o", tmp_path / "out"]
    assert run(*predict, "--participant-label", "01") == 0
    path = tmp_path / "out" / "dataset_description.json"
    begun = json.loads(path.read_text()) | {"Authors": ["A"]}
    path.write_text(json.dumps(begun))
    masks = ["--mask", study / "brains", "--participant-label", "03"]
    assert run(*predict, *masks) == 0
    links = begun.pop("DatasetLinks")
    assert list(links) == ["source"]
    grown = json.loads(path.read_text())
    links_now = grown.pop("DatasetLinks")
    assert grown == begun
    assert links_now["source"] == links["source"]
    assert (tmp_path / "out" / links_now["masks"]).resolve() == study / "brains"

"""`lsdn predict --report`: a page on subjects whose target nobody has."""

import json
import re

import nibabel as nib
import numpy as np
import pytest
from small_commands import (
    BRIEF,
    WORK,
    files_of,
    must_not_be_reached,
    refused,
    run,
    training,
)

from sklearn_lsdn import VolumeSynthesizer

pytest.importorskip("jinja2")
pytest.importorskip("skimage")


@pytest.fixture(scope="module")
def model(data):
    path = data / "t2w.skops"
    options = [*BRIEF, "--n-estimators", "2", "-q"]
    assert run("fit", *training(data), *options, "-o", path) == 0
    return path


@pytest.fixture
def damaged(data, tmp_path):
    path = tmp_path / "sub-04_T1w.nii.gz"
    path.write_bytes(files_of(data)[0].read_bytes()[:-100])
    return path


@pytest.fixture
def synthesised(monkeypatch):
    """Which subjects were, in this process."""
    names, synthesize = [], VolumeSynthesizer.synthesize

    def counted(self, source, *args, **options):
        names.append(source[0].name)
        return synthesize(self, source, *args, **options)

    monkeypatch.setattr(VolumeSynthesizer, "synthesize", counted)
    return names


@pytest.mark.parametrize("jobs", [1, 2])
def test_each_subject_is_predicted_once_and_shown(
    data, model, tmp_path, synthesised, jobs
):
    out, page = tmp_path / "out", tmp_path / "out" / "page.html"
    given = [model, *files_of(data), "-q", "-o", out, "-j", jobs]
    assert run("predict", *given, "--report", page) == 0
    assert len(synthesised) == 3
    html = page.read_text()
    for name in ("sub-01_T1w", "sub-02_T1w", "sub-03_T1w"):
        assert html.count(f'alt="Slices of {name}:') == 2  # source and synthesis
        assert (out / f"{name}_synth.nii.gz").exists()
    assert re.search(r"sub-03_T1w.nii.gz; brain \d{4} ml", html)
    assert "t2w.skops" in html
    assert 'id="scores"' not in html
    assert 'id="warnings"' not in html
    assert "Over the first source of sub-01_T1w" in html


def test_outputs_are_those_without_a_page(data, model, tmp_path):
    maps = "--uncertainty", "--novelty", "-q", "-o"
    scan = files_of(data)[2]
    assert run("predict", model, scan, *maps, tmp_path / "a") == 0
    page = "--report", tmp_path / "page.html"
    assert run("predict", model, scan, *maps, tmp_path / "b", *page) == 0
    paths = sorted((tmp_path / "a").iterdir())
    assert len(paths) == 3
    for path in paths:
        other = nib.load(tmp_path / "b" / path.name)
        assert (nib.load(path).get_fdata() == other.get_fdata()).all()


def test_maps_that_were_asked_for_are_drawn(data, model, tmp_path, monkeypatch):
    from sklearn_lsdn.display import SynthesisDisplay

    drawn, panels = [], SynthesisDisplay.panels

    def seen(self):
        drawn.append(dict(self.volumes))
        return panels(self)

    monkeypatch.setattr(SynthesisDisplay, "panels", seen)
    scan = files_of(data)[2]
    for i, maps in enumerate(([], ["--uncertainty", "--novelty"])):
        page = tmp_path / f"{i}.html"
        given = [model, scan, *maps, "-q", "-o", tmp_path / str(i), "--report", page]
        assert run("predict", *given) == 0
        assert ("one in a hundred" in page.read_text()) == bool(maps)
    assert [*drawn[0]] == ["source", "synthesis"]
    assert [*drawn[1]] == ["source", "synthesis", "standard deviation", "novelty"]
    source = nib.as_closest_canonical(nib.load(scan)).get_fdata()
    np.testing.assert_array_equal(drawn[1]["source"], source)
    for name, kind in (("synthesis", "synth"), ("novelty", "novelty")):
        path = tmp_path / "1" / f"sub-03_T1w_{kind}.nii.gz"
        written = nib.as_closest_canonical(nib.load(path)).get_fdata()
        np.testing.assert_array_equal(drawn[1][name], written)


def test_doubts_come_first(data, model, tmp_path, capsys):
    scan = nib.load(files_of(data)[2])
    half = scan.get_fdata()
    half[: len(half) // 2] = 0
    path, page = tmp_path / "sub-03_T1w.nii.gz", tmp_path / "page.html"
    nib.save(nib.Nifti1Image(half.astype(np.float32), scan.affine), path)
    given = model, path, "-q", "-o", tmp_path / "out", "--report", page
    assert run("predict", *given) == 0
    html = page.read_text()
    assert html.index("those of training had") < html.index("Slices of")
    assert "those of training had" in capsys.readouterr().err
    given = [*given, "--overwrite", "--cut-coords", "worst"]
    assert run("predict", *given) == 1
    assert "where targets are given, worst" in capsys.readouterr().err
    assert run("predict", *given[:5], "--worst-first") == 1  # without --report
    assert "the page of --report" in capsys.readouterr().err
    given[1:2] = files_of(data)[0], path
    given[-1:] = "-8", "0", "8", "--worst-first"
    assert run("predict", *given) == 0
    headings = re.findall("<h3 [^>]*>(sub-0.)", page.read_text())
    assert headings == ["sub-03", "sub-01"]
    page.unlink()
    given = [*given, "--strict"]
    assert run("predict", *given) == 1
    assert not page.exists()


def test_with_keep_going_the_page_says_what_failed(
    data, model, tmp_path, damaged, capsys
):
    page = tmp_path / "page.html"
    given = [model, damaged, files_of(data)[2], "-q", "-o", tmp_path / "out"]
    assert run("predict", *given, "--keep-going", "--report", page) == 1
    html = page.read_text()
    assert html.count("<figure ") == 2
    assert "1 of 2 subjects could not be predicted" in html
    assert "sub-04_T1w.nii.gz" in html
    assert "1 of 2 subjects could not be predicted" in capsys.readouterr().err
    assert run("predict", *given, "--report", page, "--overwrite") == 1
    assert page.read_text() == html  # nothing was predicted


def test_with_resume_the_page_is_on_the_new_ones_and_says_so(
    data, model, tmp_path, capsys
):
    out, page = tmp_path / "out", tmp_path / "page.html"
    assert run("predict", model, files_of(data)[0], "-q", "-o", out) == 0
    given = model, *files_of(data)[:2], "-q", "-o", out, "--resume"
    assert run("predict", *given, "--report", page) == 0
    html = page.read_text()
    assert html.count("<figure ") == html.count("Slices of sub-02_T1w:") == 2
    assert "Predicted now, and shown: 1." in html
    # It is replaced upon request alone, and not by one on nobody.
    assert "exists already" in refused(capsys, "predict", *given, "--report", page)
    loud = [each for each in given if each != "-q"]
    assert run("predict", *loud, "--report", page, "--overwrite") == 0
    assert "no subject was left to predict" in capsys.readouterr().err
    assert page.read_text() == html


def test_sessions_of_a_dataset(data, model, tmp_path):
    pytest.importorskip("ancpbids", reason="BIDS datasets need ancpbids")
    folder, page = tmp_path / "raw", tmp_path / "page.html"
    for session in ("a", "b"):
        anat = folder / "sub-03" / f"ses-{session}" / "anat"
        anat.mkdir(parents=True)
        path = anat / f"sub-03_ses-{session}_T1w.nii.gz"
        path.write_bytes(files_of(data)[2].read_bytes())
    description = {"Name": "Brains", "BIDSVersion": "1.10.0"}
    (folder / "dataset_description.json").write_text(json.dumps(description))
    names = "--source", "T1w", "--target", "T2w", "-q"
    given = model, folder, *names, "-o", tmp_path / "out", "--report", page
    assert run("predict", *given) == 0
    html = page.read_text()
    assert html.count("Slices of sub-03_ses-a_T1w:") == 2
    assert html.count("Slices of sub-03_ses-b_T1w:") == 2


@pytest.mark.parametrize("what", ["exists", "input"])
def test_a_page_that_cannot_be_written_is_refused_before_the_work(
    data, model, tmp_path, capsys, monkeypatch, what
):
    monkeypatch.setattr(*WORK["predict"], must_not_be_reached)
    scan, page = files_of(data)[2], tmp_path / "page.html"
    page.write_text("mine")
    given = [model, scan, "-q", "-o", tmp_path / "out", "--report"]
    given += {"exists": [page], "input": [scan, "--overwrite"]}[what]
    text = {"exists": "exists already", "input": "among the inputs"}[what]
    assert text in refused(capsys, "predict", *given)
    assert page.read_text() == "mine"
    assert not (tmp_path / "out").exists()


def test_a_page_takes_no_name_of_a_synthesis(data, model, tmp_path, capsys):
    page = tmp_path / "out" / "sub-03_T1w_synth.nii.gz"
    argv = ["predict", model, files_of(data)[2], "-o", tmp_path / "out"]
    assert run(*argv, "--report", page, "--overwrite") == 1
    assert "does not end in .html" in capsys.readouterr().err
    assert not page.exists()

"""The benchmark of classifiers: a smoke test, and what its figures mean."""

import re
import sys

import nibabel as nib
import numpy as np
import pytest
from conftest import REPOSITORY
from numpy.testing import assert_allclose

SCRIPT = REPOSITORY / "benchmarks" / "classifier.py"


@pytest.fixture(scope="module")
def benchmark():
    """The script as a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPT.parent)
        import classifier

        yield classifier


@pytest.fixture
def scans(tmp_path, monkeypatch):
    """Three small subjects, whose lesions are bright in FLAIR."""
    rng = np.random.RandomState(0)
    for name in ("sub-1", "sub-2", "sub-3"):
        folder = tmp_path / "open_ms_mni" / name / "anat"
        folder.mkdir(parents=True)
        lesion = np.zeros((14, 15, 16), dtype=np.float32)
        lesion[4:8, 5:8, 6:9] = 1
        flair = 100 + 40 * lesion + rng.normal(size=lesion.shape)
        images = {
            "desc-preproc_T1w": 100 + rng.normal(size=lesion.shape),
            "desc-preproc_FLAIR": flair,
            "label-lesion_mask": lesion,
        }
        for what, image in images.items():
            path = folder / f"{name}_space-MNI152_{what}.nii.gz"
            nib.save(nib.Nifti1Image(image.astype(np.float32), np.eye(4)), path)
    monkeypatch.setenv("LSDN_DATA", str(tmp_path))


def test_every_contestant_has_a_row(benchmark, scans, monkeypatch, capsys, tmp_path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "curves.png"
    monkeypatch.setattr(
        sys, "argv", [SCRIPT.name, "--quick", "--picture", str(picture)]
    )
    benchmark.main()
    printed = capsys.readouterr().out
    for name in benchmark.contestants((3,), 1):
        table, same, new = re.findall(rf"^\| {re.escape(name)} \|.*$", printed, re.M)
        assert len(re.findall(r"\d\.\d+", table)) == 3 + 1 + 2 + 2
        assert re.search(r"\d\.\d{3}: \d\.\d{3}", same)
        assert re.search(r"\d\.\d{3}: \d\.\d{3}", new)
    assert picture.stat().st_size > 1000


def test_probabilities_are_brought_back_to_the_share_in_the_brain(benchmark):
    drawn, there = 0.5, 0.02
    feature = np.array([0.1, 0.4, 0.9])  # its density in lesion and in the rest
    lesion, rest = feature, 1.2 - feature
    p = drawn * lesion / (drawn * lesion + (1 - drawn) * rest)
    expected = there * lesion / (there * lesion + (1 - there) * rest)
    assert_allclose(benchmark.of_the_brain(p, drawn, there), expected)


def test_the_curve_of_what_is_calibrated_is_a_straight_line(benchmark):
    rng = np.random.RandomState(0)
    p = rng.uniform(size=200_000)
    n, mean, share = benchmark.curve(p, rng.uniform(size=len(p)) < p)
    assert n.sum() == len(p)
    assert_allclose(n, len(p) * np.diff(benchmark.EDGES), rtol=0.1)
    assert_allclose(share, mean, atol=0.01)

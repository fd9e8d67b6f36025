"""The benchmark of every cohort: its smoke test, and what its rows are."""

import sys

import numpy as np
import pytest
from conftest import REPOSITORY

from sklearn_lsdn import VolumeSynthesizer


@pytest.fixture(scope="module")
def cohorts():
    """The script as a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(REPOSITORY / "benchmarks")
        import cohorts

        yield cohorts


def test_rows_are_settings_of_a_synthesizer(cohorts):
    for parameters in cohorts.ROWS.values():
        VolumeSynthesizer().set_params(**parameters)
    assert cohorts.ROWS["the default"] == {}


def test_smoke(cohorts, tmp_path, monkeypatch, capsys):
    names = ["the default", "default, three networks"]
    options = ["--quick", "--jobs", "1", "--rows", *names]
    command = ["cohorts", *options, "--cache", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", command)
    cohorts.main()
    first = capsys.readouterr()
    lines = [line.strip("| ").split(" | ") for line in first.out.splitlines()]
    lines = [line for line in lines if line[0] in names]
    assert [line[0] for line in lines] == 2 * names  # both ways
    for _, mean, *others, each in lines:
        scores = [float(score) for score in each.split()]
        assert float(mean) == pytest.approx(np.mean(scores), abs=0.06)
        assert len(scores) == 3
        assert np.isfinite([float(cell) for cell in others]).all()
    cohorts.main()  # from what it kept
    again = capsys.readouterr()
    assert again.out == first.out
    assert "12 of 12 runs are there already" in again.err


def test_no_patient_is_trained_on_and_predicted(cohorts):
    for folds in ("subjects", "sites"):
        cohort = cohorts.patients(folds)
        if cohort is None:
            pytest.skip("no brats_tcia beside the checkout or in LSDN_DATA")
        held = sorted(i for fold in cohort.folds.values() for i in fold)
        assert held == list(range(len(cohort.subjects)))
    assert list(cohort.folds) == sorted({s[:10] for s in cohort.subjects})

"""The benchmark of table 1: its smoke test, and what it keeps between runs."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import REPOSITORY
from sklearn.linear_model import LinearRegression

SCRIPT = REPOSITORY / "benchmarks" / "table1.py"
DIRECTIONS = ["T1w -> T2w", "T2w -> T1w"]


@pytest.fixture(scope="module")
def table1():
    """The script as a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPT.parent)
        import table1

        yield table1


@pytest.fixture(scope="module")
def simulated(table1, tmp_path_factory):
    """Folder that holds simulated scans and no results."""
    folder = tmp_path_factory.mktemp("table1")
    table1.simulated_cohort(folder, 0, True)
    return folder


@pytest.fixture
def cache(simulated, tmp_path):
    return shutil.copytree(simulated, tmp_path / "results")


@pytest.fixture
def run(table1, cache, monkeypatch, capsys):
    """Run the script in this process; return its output, and what it said of it."""

    def run(*options):
        arguments = ["--quick", "--jobs", "1", "--cache", cache, *options]
        monkeypatch.setattr(sys, "argv", [SCRIPT.name, *map(str, arguments)])
        table1.main()
        return capsys.readouterr()

    return run


def rows_of(table):
    """Cells by row, without the header."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first: others for first, *others in cells[2:]}


def test_every_row_has_results_and_they_are_kept(run, cache, table1):
    printed = run("--folds", "1", "--repeats", "1").out
    rows = rows_of(printed)
    assert list(rows) == list(table1.ESTIMATORS)
    for cells in rows.values():
        numbers = re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", " ".join(cells))
        # SNR of two directions has a deviation too; PSNR, SSIM and two times. Only
        # networks have a loss.
        assert len(numbers) == 2 * 2 + 2 + 2 + 2 + (cells[-3] != "-")
        assert np.isfinite([float(number) for number in numbers]).all()
    for row in ("Coupled Sparse", "MP"):
        said = rf"ShrinkConnect synthesises [\d.]+ times faster than {row}"
        assert re.search(said, printed)

    n_runs = len(table1.ESTIMATORS) * 2
    report = json.loads((cache / "table1.json").read_text())
    assert len(report["results"]) == n_runs
    assert {result["direction"] for result in report["results"]} == set(DIRECTIONS)
    assert report["synthesis_seconds"]["simulated"].keys() == rows.keys()

    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    command = [sys.executable, SCRIPT, "--quick", "--folds", "1", "--repeats", "1"]
    again = subprocess.run(
        [*command, "--cache", cache], capture_output=True, text=True, check=True
    )
    assert f"{n_runs} of {n_runs} runs are there already" in again.stderr
    assert again.stdout == printed
    rewritten = {
        path for path in cache.rglob("*") if before.get(path) != path.stat().st_mtime_ns
    }
    assert rewritten <= {cache, cache / "table1.json"}


def test_only_what_is_missing_or_has_changed_is_computed(run, table1, monkeypatch):
    run("--rows", "linear regression", "--folds", "1")
    rows = "--rows", "linear regression", "VDN", "--folds", "1"
    assert "2 of 4 runs are there already" in run(*rows).err  # as if interrupted
    assert "4 of 4 runs are there already" in run(*rows).err

    other = LinearRegression(fit_intercept=False)
    monkeypatch.setitem(table1.ESTIMATORS, "linear regression", other)
    said = run(*rows).err
    assert "2 of 4 runs are there already" in said
    assert "VDN" not in said


class Failing(LinearRegression):
    def fit(self, X, y):
        raise ValueError("This regressor fails.")


def test_a_row_that_fails_is_told_and_others_go_on(
    run, table1, monkeypatch, capsys, tmp_path
):
    monkeypatch.setitem(table1.ESTIMATORS, "VDN", Failing())
    report = tmp_path / "report.json"
    rows = "--rows", "VDN", "linear regression", "--folds", "1", "--json", report
    with pytest.raises(SystemExit) as stopped:
        run(*rows)
    assert stopped.value.code == "2 runs failed, for the reasons above."
    printed = capsys.readouterr()
    assert "This regressor fails." in printed.err
    cells = rows_of(printed.out)
    assert set(cells["VDN"]) == {"-"}
    assert cells["linear regression"].count("-") == 1  # it has no training loss
    results = json.loads(report.read_text())["results"]
    assert {result["row"] for result in results} == {"linear regression"}


def test_scores_are_those_of_the_synthesizer(run, table1, cache):
    run("--rows", "linear regression", "--folds", "1")
    report = json.loads((cache / "table1.json").read_text())
    (result,) = [r for r in report["results"] if r["direction"] == "T1w -> T2w"]
    (folder,) = cache.glob("simulated-*")
    t1w, t2w = (sorted(folder.glob(f"*_{name}.nii")) for name in ("T1w", "T2w"))
    synthesizer = table1.VolumeSynthesizer(
        LinearRegression(), n_voxels=400, random_state=0, **table1.PAPER
    ).fit(t1w[1:], t2w[1:])
    assert result["subject"] == "sub-01"
    assert result["snr"] == pytest.approx(synthesizer.score(t1w[:1], t2w[:1]))
    (synthesis,) = synthesizer.predict(t1w[:1], scale_to=t2w[:1])
    scan = table1.nib.load(t2w[0]).get_fdata()
    ssim = table1.ssim_score(scan, synthesis.get_fdata(), mask=scan != 0)
    assert result["ssim"] == pytest.approx(ssim, abs=1e-4)

"""Images and models with random damages, and ordinary scans, for a short while."""

import re
import subprocess
import sys

import pytest
from conftest import REPOSITORY


def test_damaged_files_are_used_or_refused(tmp_path):
    command = [sys.executable, REPOSITORY / "benchmarks" / "fuzz.py", "--seed", "1"]
    command += ["--executions", "100", "--seconds", "90", "--keep", tmp_path / "kept"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    n = int(re.search(r"(\d+) executions, 0 findings", result.stdout).group(1))
    assert n > 50
    for outcome in ("images: success", "models: success", "models: ValueError"):
        assert outcome in result.stdout


def test_ordinary_scans_are_compared_with_the_clean_run(tmp_path):
    pytest.importorskip("pandas")
    pytest.importorskip("polars")
    command = [sys.executable, REPOSITORY / "benchmarks" / "fuzz.py", "--what", "scans"]
    command += ["--executions", "30", "--seconds", "90", "--keep", tmp_path / "kept"]
    result = subprocess.run(command, capture_output=True, text=True)
    said = result.stdout
    n, found = re.search(r"(\d+) executions, (\d+) findings", said).groups()
    assert (n, found) == ("30", str(said.count("scans: silently wrong: "))), said
    assert result.returncode == (found != "0")
    assert "scans: the same" in said

"""Images and models with random damages, for a short while."""

import re
import subprocess
import sys

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

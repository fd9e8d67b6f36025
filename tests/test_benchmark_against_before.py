"""The benchmark of two checkouts: its smoke test."""

import subprocess
import sys

from conftest import REPOSITORY


def test_a_checkout_is_as_fast_as_itself():
    script = REPOSITORY / "benchmarks" / "against_before.py"
    command = [sys.executable, script, REPOSITORY, REPOSITORY, "--quick"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    before, table = done.stdout.split("\n\n")
    assert "cores" in before
    header, _, *rows = ([c.strip() for c in r.split("|")] for r in table.splitlines())
    assert header[-2] == "bits"
    assert [row[-2] for row in rows] == ["-", *["same"] * 4]

"""The benchmark of what is said of scans unlike training: its smoke test."""

import json
import sys

import numpy as np
import pytest
from conftest import REPOSITORY


@pytest.fixture
def unlike(monkeypatch):
    """The script as a module."""
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    import unlike

    return unlike


def test_smoke(unlike, tmp_path, monkeypatch, capsys):
    found = tmp_path / "found.json"
    options = ["--quick", "--jobs", "1", "--repeats", "1", "--json", str(found)]
    monkeypatch.setattr(sys, "argv", ["unlike.py", *options])
    unlike.main()
    lines = capsys.readouterr().out.splitlines()
    cells = [line.strip("| ").split(" | ") for line in lines if line[:2] == "| "]
    heads = [i for i, row in enumerate(cells) if row[1] in ("flagged", "pairs")]
    tables = [
        {name: row for name, *row in cells[start + 1 : end]}
        for start, end in zip(heads, [*heads[1:], None], strict=True)
    ]
    spoilt, suitable, pairs, ranks = tables

    assert spoilt["T2w as T1w"][:2] == ["3 of 3", "3 of 3"]
    assert spoilt["flipped upside down"][:2] == ["3 of 3", "3 of 3"]
    assert spoilt["40 mm out of place"][:2] == ["12 of 12", "12 of 12"]
    n_flagged, n = map(int, spoilt["all"][0].split(" of "))
    assert 0.7 * n < n_flagged <= n
    assert suitable["patients, T1w to T2w"][0] == "0 of 4"
    assert pairs["patients, by a model of open MS, as they lie"][0] == "4 of 4"

    rows = json.loads(found.read_text())
    assert len(rows["spoilt"]) == n
    natural = [row for row in rows["natural"] if "as they lie" not in row["name"]]
    assert int(ranks["nothing spoilt, cohorts put over each other"][0]) == len(natural)
    assert np.isfinite([row["loss"] for row in rows["natural"]]).all()
    assert "kB of a model file" in lines[-1]

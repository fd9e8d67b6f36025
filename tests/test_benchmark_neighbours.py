"""The benchmark of neighbours: its smoke test."""

import json
import sys

import numpy as np
import pytest
from conftest import REPOSITORY


def test_smoke(tmp_path, monkeypatch, capsys):
    pytest.importorskip("SimpleITK")
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    import neighbours

    found = tmp_path / "found.json"
    options = ["--quick", "--folds", "1", "--json", str(found)]
    monkeypatch.setattr(sys, "argv", ["neighbours.py", *options])
    neighbours.main()
    assert "| simulated | default | T1w -> T2w | warped |" in capsys.readouterr().out
    without, with_ = json.loads(found.read_text())
    assert np.isfinite(without["snr"] + with_["snr"]).all()
    assert with_["costs"][2] > without["costs"][2]

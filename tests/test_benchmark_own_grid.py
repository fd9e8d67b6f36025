"""The benchmark of scans on their own grids: its smoke test, and how heads lie."""

import json
import sys

import nibabel as nib
import numpy as np
import pytest
from conftest import REPOSITORY

from sklearn_lsdn.datasets import make_brain_cohort


@pytest.fixture
def own_grid(monkeypatch):
    """The script as a module."""
    pytest.importorskip("SimpleITK")
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    import own_grid

    return own_grid


def test_smoke(own_grid, tmp_path, monkeypatch, capsys):
    found = tmp_path / "found.json"
    options = ["--quick", "--json", str(found)]
    monkeypatch.setattr(sys, "argv", ["own_grid.py", *options])
    own_grid.main()
    printed = capsys.readouterr().out
    for head in ("| scans | places |", "| cohort |", "| places | told |", "| size |"):
        assert head in printed
    parts = json.loads(found.read_text())
    assert list(parts) == ["scanner", "places", "tilts", "voxels"]
    assert all(np.isfinite(row["snr"]).all() for rows in parts.values() for row in rows)
    own = {(r["scans"], r["places"]): np.mean(r["snr"]) for r in parts["scanner"]}
    alike = "registered, resampled alike"
    assert own["own grids", "brain"] > own[alike, "brain"] - 2  # dB


def test_a_head_that_moves_keeps_its_voxels_values(monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    import moved_heads

    images = make_brain_cohort(1, voxel_size=8, random_state=0).images
    head = moved_heads.Head.of({name: scans[0] for name, scans in images.items()})
    quarter = nib.affines.from_matvec([[0, -1, 0], [1, 0, 0], [0, 0, 1]], [8, 16, -8])
    scan, mask = head.scans["T1w"], head.masks["T1w"]
    moved, itsmask = head.seen("T1w", quarter @ scan.affine, scan.shape, quarter)
    np.testing.assert_allclose(
        moved.get_fdata(), scan.get_fdata() * (mask.get_fdata() != 0), rtol=1e-3
    )
    np.testing.assert_array_equal(itsmask.get_fdata(), mask.get_fdata())
    np.testing.assert_allclose(
        head.resampled([8.0] * 3, move=dict.fromkeys(images, quarter)).middle,
        nib.affines.apply_affine(quarter, head.middle),
        atol=1,
    )

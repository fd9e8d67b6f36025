"""The benchmark beside a U-Net: its smoke test, what it trains on, how it scores."""

import subprocess
import sys

import numpy as np
import pytest
from conftest import REPOSITORY

from sklearn_lsdn.datasets import make_brain_cohort
from sklearn_lsdn.metrics import snr_score

SCRIPT = REPOSITORY / "benchmarks" / "unet.py"


@pytest.fixture(scope="module")
def unet():
    """The script as a module."""
    pytest.importorskip("torch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_WAIT_POLICY", "passive")  # lest the script leaves it behind
        patch.syspath_prepend(SCRIPT.parent)
        import unet

        yield unet


@pytest.fixture(scope="module")
def fitted(unet):
    """A small network, and the subject that it did not see."""
    cohort = make_brain_cohort(3, voxel_size=8, random_state=0).images
    small = unet.UNetSynthesizer((2, 4), crop=8, minutes=0.005)
    train, test = zip(*((i[1:], i[:1]) for i in cohort.values()), strict=True)
    return small.fit(*train), test


def test_smoke(unet, tmp_path):
    def run():
        return subprocess.run(
            [sys.executable, SCRIPT, "--quick", "--folds", "2", "--cache", tmp_path],
            capture_output=True,
            text=True,
        )

    first = run()
    assert first.returncode == 0, first.stderr
    lines = [line.strip("| ").split(" | ") for line in first.stdout.splitlines()]
    rows = [line for line in lines if line[0] in ("U-Net", "VolumeSynthesizer()")]
    assert len(rows) == 2 * len(unet.DIRECTIONS)
    for _, mean, *others, each in rows:
        scores = [float(snr) for snr in each.split()]
        assert len(scores) == 2
        assert float(mean) == pytest.approx(np.mean(scores), abs=0.06)
        assert np.isfinite([float(cell) for cell in others]).all()

    again = run()
    assert again.stdout == first.stdout
    assert not again.stderr  # of what it kept


def test_crops_show_sources_and_target_of_one_place(unet):
    rng = np.random.RandomState(0)
    mask = np.zeros((9, 10, 11), dtype=bool)
    mask[0:4, 5:9, 2:11] = True
    t1w, t2w = rng.uniform(1, 2, (2, *mask.shape)) * mask
    crops = unet.Crops(6, rng)
    crops.add(np.stack([t1w, t2w, t1w + 3 * t2w]), mask)
    x, t, inside = (tensor.numpy() for tensor in crops.draw(50))
    assert x.shape == (50, 2, 6, 6, 6)
    assert t == pytest.approx(x[:, :1] + 3 * x[:, 1:], abs=1e-5)
    assert np.array_equal(inside == 1, t != 0)
    centers = inside[:, 0, 2:4, 3, 3]  # mirrored, it lies on the other side
    assert centers.any(axis=1).all()
    assert len({crop.tobytes() for crop in x}) > 25


def test_scores_are_of_the_synthesis_in_the_scan_s_units(fitted):
    network, (t1w, t2w) = fitted
    (synthesis,) = network.predict(t1w, scale_to=t2w)
    scan, values = t2w[0].get_fdata(), synthesis.get_fdata()
    brain = (scan != 0) & (t1w[0].get_fdata() != 0)
    assert network.score(t1w, t2w) == pytest.approx(
        snr_score(scan[brain], values[brain]), abs=1e-3
    )
    assert not values[t1w[0].get_fdata() == 0].any()


def test_a_scan_is_predicted_wherever_it_lies(unet, fitted):
    network, (t1w, _) = fitted
    data, affine = t1w[0].get_fdata(dtype=np.float32), t1w[0].affine
    moved = unet.nib.Nifti1Image(np.pad(data, ((3, 0), (1, 2), (0, 5))), affine)
    one, other = (i.get_fdata() for i in network.predict([t1w[0], moved]))
    nx, ny, nz = data.shape
    assert other[3:, 1 : 1 + ny, :nz] == pytest.approx(one, rel=1e-4)

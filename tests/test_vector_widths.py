"""Kernels are as wide as the processor's vectors, with the same bits at any width."""

import os
import subprocess
import sys

import pytest
from conftest import REPOSITORY
from llvmlite import binding

from sklearn_lsdn._network.kernels.numba_internals import lanes
from sklearn_lsdn._network.kernels.vectors import LANES

X86, ARM = "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"


@pytest.fixture
def targets():
    """LLVM knows other processors than this one."""
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()


@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        ((X86, "x86-64", ""), 4),
        ((X86, "haswell", ""), 8),
        ((X86, "x86-64", "+avx2,+fma"), 8),
        ((X86, "skylake-avx512", ""), 16),
        ((X86, "sapphirerapids", ""), 16),
        ((X86, "icelake-server", ""), 16),
        ((X86, "icelake-server", "-avx512f"), 8),
        ((ARM, "apple-m1", ""), 4),
        ((ARM, "neoverse-v1", ""), 4),
    ],
)
def test_the_width_is_that_of_the_processor(targets, processor, expected):
    assert lanes(processor) == expected


def output(code, **variables):
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=REPOSITORY / "tests",
        env={**os.environ, **variables},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


WIDTH = """
from sklearn_lsdn._network.kernels.compilation import kernel
from sklearn_lsdn._network.kernels.vectors import padded
padded = kernel(padded.py_func)
print(padded(1), sum(padded.stats.cache_hits.values()))
"""


@pytest.mark.skipif(LANES < 8, reason="no wider vectors than those of all processors")
def test_a_cache_is_of_one_width(tmp_path):
    """Which Numba can be told, as whoever shares a cache among machines may do."""
    narrow = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": "+sse2,-avx"}
    for hits in 0, 1:
        for told, width in ({}, LANES), (narrow, 4):
            printed = output(WIDTH, NUMBA_CACHE_DIR=str(tmp_path), **told)
            assert printed == f"{width} {hits}\n"


BITS = """
import hashlib
import numpy as np
from small_networks import make_network, make_samples
from sklearn_lsdn._network.inference import Volume, predict_rows, predict_voxels
from sklearn_lsdn._network.optimizers import Trainer
from sklearn_lsdn._network.training import Settings

architecture, theta = make_network((27, 50, 21, 2))
samples = make_samples(architecture, 300)
settings = Settings("adam", 0.1, 140, learning_rate=0.01)
Trainer(architecture, theta, samples, settings, np.random.RandomState(0)).epoch()
rows = predict_rows(architecture, theta, *samples[:2])
scan = np.random.RandomState(0).uniform(size=(1, 9 * 9 * 70)).astype(np.float32)
offsets = np.arange(27).reshape(1, -1) * 13
to_coordinates = np.eye(3, 4) / 35
volume = Volume(
    scan, np.array([9 * 70, 70]), offsets, np.empty((0, 4)), to_coordinates
)
voxels = [predict_voxels(architecture, theta, volume, np.arange(3000))]
to_coordinates[0, 1] = 0.01  # no longer along the axes
voxels.append(predict_voxels(architecture, theta, volume, np.arange(0, 3000, 3)))
for array in theta, rows, *voxels:
    print(hashlib.sha256(array.tobytes()).hexdigest())
"""
AT_WIDTH = """
from sklearn_lsdn._network.kernels import numba_internals
numba_internals.lanes = lambda: {}
"""


def test_bits_are_the_same_at_every_width(tmp_path):
    """Widths that the processor lacks are made of narrower vectors."""
    here = output(BITS)
    for width in {4, 8, 16} - {LANES}:
        there = output(
            AT_WIDTH.format(width) + BITS, NUMBA_CACHE_DIR=str(tmp_path / str(width))
        )
        assert there == here, f"{width} lanes"

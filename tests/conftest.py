"""What all test modules share."""

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor

# SciPy reads this when it is imported, and scikit-learn's array API check skips
# without it.
os.environ.setdefault("SCIPY_ARRAY_API", "1")
# OpenMP and OpenBLAS read these: threads that wait for work sleep, rather than keep
# busy the core on which the work may be.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")

from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from joblib import cpu_count

settings.register_profile(
    "same_every_time", derandomize=True, deadline=None, database=None, max_examples=50
)
settings.load_profile("same_every_time")

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_xdist_auto_num_workers(config):
    """All tests run side by side; for a few, workers would take longer to start."""
    everything = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    return cpu_count() if everything else 0


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup():
    _start_over()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call():
    _start_over()


def _start_over():
    """What is given no random_state draws the same numbers every time."""
    np.random.seed(0)  # noqa: NPY002  (it is what scikit-learn then draws from)


@pytest.fixture(scope="session", autouse=True)
def _each_brain_is_drawn_once():
    """All tests simulate the same few subjects; anatomy is what takes their time."""
    from sklearn_lsdn.datasets import _cohort

    drawn, draw_anatomy = {}, _cohort.draw_anatomy

    def remembered(rng, grid):
        key = repr(rng.bit_generator.state), grid
        if key not in drawn:
            drawn[key] = draw_anatomy(rng, grid)
        return drawn[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_cohort, "draw_anatomy", remembered)
        yield


@pytest.fixture(scope="session")
def elsewhere():
    """Call a function in another process, where hashes of texts are others."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONHASHSEED", "12345")
            pool.submit(int).result()
        yield lambda function, *args: pool.submit(function, *args).result()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Folder of three subjects in three contrasts, and a mask of the left half."""
    from small_commands import save_subjects

    folder = tmp_path_factory.mktemp("data")
    save_subjects(folder)
    return folder


@pytest.fixture(scope="module")
def model(data, tmp_path_factory):
    """A model file from the first two subjects; copy it to change it."""
    from small_commands import SMALL, run, training

    path = tmp_path_factory.mktemp("model") / "t2w.skops"
    assert run("fit", *training(data), "-o", path, *SMALL, "-q") == 0
    return path


@pytest.fixture(autouse=True)
def no_figures_left():
    """Displays draw in pyplot, which keeps figures until they are closed."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(scope="session")
def open_ms():
    """Folder of the open MS scans; ``LSDN_DATA`` says where its parent is."""
    parent = os.environ.get("LSDN_DATA") or REPOSITORY.parent / "shared" / "data"
    folder = Path(parent) / "open_ms_mni"
    if not folder.is_dir():
        pytest.skip(f"needs the open MS scans at {folder} (LSDN_DATA names its parent)")
    return folder

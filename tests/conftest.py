"""What all test modules share."""

import os

# SciPy reads this when it is imported, and scikit-learn's array API check skips
# without it.
os.environ.setdefault("SCIPY_ARRAY_API", "1")

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile(
    "same_every_time", derandomize=True, deadline=None, database=None, max_examples=50
)
settings.load_profile("same_every_time")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def open_ms():
    """Folder of the open MS scans; ``LSDN_DATA`` says where its parent is."""
    parent = os.environ.get("LSDN_DATA") or REPOSITORY.parent / "shared" / "data"
    folder = Path(parent) / "open_ms_mni"
    if not folder.is_dir():
        pytest.skip(f"needs the open MS scans at {folder} (LSDN_DATA names its parent)")
    return folder

"""What comes with an extra, and what to install without it."""

import re
import sys
from importlib.metadata import requires

import pytest

from sklearn_lsdn._utils.optional import _NEEDS, require


def test_a_module_is_imported_whole():
    assert require("json.decoder").JSONDecoder


def test_what_is_missing_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.metrics", None)
    with pytest.raises(ImportError, match=r"scikit-image: pip.*sklearn_lsdn\[report"):
        require("skimage.metrics")


@pytest.mark.parametrize("package", _NEEDS)
def test_the_extra_that_is_named_brings_the_package(package):
    _, extra = _NEEDS[package]
    brought = [line.lower() for line in requires("sklearn_lsdn") if extra in line]
    assert any(re.search(rf"\b{package.lower()}\b.*>=", line) for line in brought)

"""Docstrings of everything public keep to numpydoc."""

import inspect
import re
import subprocess
import sys
from importlib import import_module

import pytest
from conftest import REPOSITORY
from numpydoc.validate import validate

MODULES = [
    "sklearn_lsdn",
    "sklearn_lsdn.datasets",
    "sklearn_lsdn.display",
    "sklearn_lsdn.exceptions",
    "sklearn_lsdn.report",
    "sklearn_lsdn.volumes",
]


def _api_reference():
    """Modules that docs/api.rst names, and their names there."""
    text = (REPOSITORY / "docs" / "api.rst").read_text(encoding="utf-8")
    sections = re.split(r"^\.\. currentmodule:: (\S+)$", text, flags=re.MULTILINE)[1:]
    for module, section in zip(sections[::2], sections[1::2], strict=True):
        for name in re.findall(r"^   (\w+)$", section, re.MULTILINE):
            yield module, name


# Codes of numpydoc that are not asked for, everywhere.
NOT_ASKED = {
    "ES01": "a summary that says it all needs no extended one",
    "RT02": "values returned are named, as scikit-learn names them",
    "RT03": "a name and a type may say it all: self : object",
    "PR07": "a name and a type may say it all: path : str or path-like",
}
# Not asked of methods: their class has both.
NOT_ASKED_OF_METHODS = {"SA01", "EX01"}
# Not asked of some objects.
NOT_ASKED_OF = {
    "sklearn_lsdn.dice_scorer": {"PR01", "SA01", "EX01"},  # objects
    "sklearn_lsdn.snr_scorer": {"PR01", "SA01", "EX01"},
}


# Not asked of exceptions: each says what it is, and the page lists them together.
NOT_ASKED_OF_EXCEPTIONS = {"SA01", "EX01", "PR01"}


def _public_objects():
    """Names of public objects and of their own public methods."""
    of_modules = [(m, name) for m in MODULES for name in import_module(m).__all__]
    for module, name in {*of_modules, *_api_reference()}:
        yield f"{module}.{name}"
        thing = getattr(import_module(module), name)
        if inspect.isclass(thing):
            yield from _methods(f"{module}.{name}", thing)


def _methods(name, cls):
    """Methods that this package defines, not scikit-learn."""
    for method, function in inspect.getmembers(cls, inspect.isfunction):
        ours = function.__module__.startswith("sklearn_lsdn")
        hook = "on_fit_task_end" in vars(cls) and method in HOOKS
        if ours and not hook and not method.startswith("_"):
            yield f"{name}.{method}"


WITHOUT_ATTRIBUTES = {"Augmentation", "Evaluation"}  # other than their parameters
HOOKS = {"setup", "teardown", "on_fit_task_begin", "on_fit_task_end"}  # of callbacks


def _is_method(name):
    parent = name.rpartition(".")[0].rpartition(".")[2]
    return not parent.islower()  # a class, not a module


def _is_exception(name):
    return name.startswith("sklearn_lsdn.exceptions.")


NAMES = sorted(set(_public_objects()))


def _violations(name):
    """What numpydoc finds, less what is not asked for."""
    excused = set(NOT_ASKED) | NOT_ASKED_OF.get(name, set())
    if _is_method(name):
        excused |= NOT_ASKED_OF_METHODS
    if _is_exception(name):
        excused |= NOT_ASKED_OF_EXCEPTIONS
    errors = validate(name)["errors"]
    return [f"{code}: {text}" for code, text in errors if code not in excused]


def test_all_floors_are_there():
    for name in ("LSDNRegressor.fit", "VolumeSynthesizer.predict", "snr_score"):
        assert f"sklearn_lsdn.{name}" in NAMES
    assert "sklearn_lsdn.datasets.make_brain_cohort" in NAMES
    assert "sklearn_lsdn.jobs.Evaluation" in NAMES
    assert "sklearn_lsdn.volumes.register_rigid" in NAMES
    assert "sklearn_lsdn.volumes.ZScoreNormalizer.describe" in NAMES
    assert "sklearn_lsdn.LSDNRegressor.get_params" not in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_docstring(name):
    assert _violations(name) == []


@pytest.mark.parametrize(
    "name", [n for n in NAMES if not _is_method(n) and not _is_exception(n)]
)
def test_attributes_and_parameters_are_typed(name):
    """Every parameter has a type, and estimators list their attributes."""
    from numpydoc.docscrape import get_doc_object

    module, _, attribute = name.rpartition(".")
    thing = getattr(import_module(module), attribute)
    document = get_doc_object(thing)
    for section in ("Parameters", "Attributes"):
        untyped = [p.name for p in document[section] if not p.type]
        assert untyped == []
    if inspect.isclass(thing) and attribute not in WITHOUT_ATTRIBUTES:
        assert document["Attributes"]


@pytest.mark.parametrize("name", [n for n in NAMES if not _is_exception(n)])
def test_parameters_and_results_have_type_hints(name):
    """For type checkers, and for those whose editor completes what they write."""
    thing = import_module("sklearn_lsdn")
    for part in name.removeprefix("sklearn_lsdn.").split("."):
        thing = getattr(thing, part)
    if not (inspect.isroutine(thing) or inspect.isclass(thing)):
        return  # an object, such as a scorer of scikit-learn's
    signature = inspect.signature(thing)
    empty = inspect.Signature.empty
    given = {p.name: p.annotation for p in signature.parameters.values()}
    given.pop("self", None)
    assert [name for name, hint in given.items() if hint is empty] == []
    if inspect.isroutine(thing):
        assert signature.return_annotation is not empty


def test_nothing_needs_docstrings_to_run():
    code = """
import numpy as np
from sklearn_lsdn import CDNRegressor, LSDNRegressor, VDNRegressor
assert LSDNRegressor.__doc__ is None
X = np.random.RandomState(0).uniform(size=(90, 7))
for network in LSDNRegressor, CDNRegressor, VDNRegressor:
    network((5, 2), max_iter=2, tol=0).fit(X, X[:, 0]).predict(X)
"""
    options = "-OO", "-W", "ignore"
    subprocess.run([sys.executable, *options, "-c", code], check=True)

"""Docstrings of everything public keep to numpydoc."""

import inspect
from importlib import import_module

import pytest
from numpydoc.validate import validate

MODULES = [
    "sklearn_lsdn",
    "sklearn_lsdn.datasets",
    "sklearn_lsdn.display",
    "sklearn_lsdn.report",
    "sklearn_lsdn.volumes",
]

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
    "sklearn_lsdn.snr_scorer": {"PR01", "SA01", "EX01"},  # an object
}


def _public_objects():
    """Names of public objects and of their own public methods."""
    for module in MODULES:
        for name in import_module(module).__all__:
            yield f"{module}.{name}"
            thing = getattr(import_module(module), name)
            if inspect.isclass(thing):
                yield from _methods(f"{module}.{name}", thing)


def _methods(name, cls):
    """Methods that this package defines, not scikit-learn."""
    for method, function in inspect.getmembers(cls, inspect.isfunction):
        ours = function.__module__.startswith("sklearn_lsdn")
        if ours and not method.startswith("_"):
            yield f"{name}.{method}"


def _is_method(name):
    parent = name.rpartition(".")[0]
    return parent not in MODULES


NAMES = sorted(set(_public_objects()))


def _violations(name):
    """What numpydoc finds, less what is not asked for."""
    excused = set(NOT_ASKED) | NOT_ASKED_OF.get(name, set())
    if _is_method(name):
        excused |= NOT_ASKED_OF_METHODS
    errors = validate(name)["errors"]
    return [f"{code}: {text}" for code, text in errors if code not in excused]


def test_all_floors_are_there():
    for name in ("LSDNRegressor.fit", "VolumeSynthesizer.predict", "snr_score"):
        assert f"sklearn_lsdn.{name}" in NAMES
    assert "sklearn_lsdn.datasets.make_brain_cohort" in NAMES
    assert "sklearn_lsdn.volumes.ZScoreNormalizer.describe" in NAMES
    assert "sklearn_lsdn.LSDNRegressor.get_params" not in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_docstring(name):
    assert _violations(name) == []


@pytest.mark.parametrize("name", [n for n in NAMES if not _is_method(n)])
def test_attributes_and_parameters_are_typed(name):
    """Every parameter has a type, and estimators list their attributes."""
    from numpydoc.docscrape import get_doc_object

    module, _, attribute = name.rpartition(".")
    thing = getattr(import_module(module), attribute)
    document = get_doc_object(thing)
    for section in ("Parameters", "Attributes"):
        untyped = [p.name for p in document[section] if not p.type]
        assert untyped == []
    if inspect.isclass(thing):
        assert document["Attributes"]

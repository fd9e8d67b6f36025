"""What a model consists of, and whether it fits together.

Each class says so itself, by ``_check_parts``; for scikit-learn's trees, `trees` does.
"""

from types import FunctionType, MethodType, ModuleType

import numpy as np
from sklearn.base import BaseEstimator

from .._utils.persistable import check_parts, is_persistable, younger_parameters
from .._utils.sklearn_private import _is_fitted, validate_parameters
from .old import upgrade
from .trees import check_trees

_PLAIN = str, bytes, int, float, complex, type(None)
_CODE = type, FunctionType, MethodType, ModuleType


def parts_within(value, kind=object, _seen=None):
    """The objects of a kind that a value consists of, each once, its own parts first.

    Parameters
    ----------
    value : object
    kind : type, default=object
        Others are not looked into, but for containers.
    """
    seen = {} if _seen is None else _seen
    if id(value) in seen or isinstance(value, _PLAIN + _CODE):
        return
    seen[id(value)] = value  # and so its id is not another's
    held = list(vars(value).values()) if _is_one(value, kind) else []
    if isinstance(value, dict):
        held += value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        held += value
    elif isinstance(value, np.ndarray) and value.dtype == object:
        held += np.asarray(value).ravel().tolist()
    for each in held:
        yield from parts_within(each, kind, seen)
    if _is_one(value, kind):
        yield value


def _is_one(value, kind):
    return isinstance(value, kind) and hasattr(value, "__dict__")


def bring_up_to_date(model, protocol):
    """Add and change what a file has otherwise since it is older."""
    for part in list(parts_within(model)):
        upgrade(part, protocol)
        for name, value in younger_parameters(type(part)).items():
            vars(part).setdefault(name, value)


def check_model(model):
    """Raise an error unless the parts of a loaded model fit together.

    Parameters
    ----------
    model : estimator
        Whatever it holds is checked too, and before it.

    Raises
    ------
    ValueError
        If sizes disagree, a number is not finite, or a parameter is out of range.
    AttributeError, TypeError
        If a part is missing, or something else is in its place.
    """
    for part in parts_within(model):
        check_trees(part)
        if is_persistable(part):
            validate_parameters(part)
        # An estimator may be another's parameter, and not fitted.
        whole = not isinstance(part, BaseEstimator) or _is_fitted(part)
        if whole:
            check_parts(part)

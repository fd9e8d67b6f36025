"""What was done before, found again by the identity of all that decides it."""

import os
import pickle
import platform
import uuid

import joblib
import numpy as np
import scipy
import sklearn
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_memory

from .._version import __version__
from .files import make_folder

_VERSIONS = __version__, np.__version__, scipy.__version__, sklearn.__version__
_FREE = {"n_jobs", "verbose", "memory", "max_memory"}  # how the work is done


def identity(*decisive) -> str:
    """Hash of what decides a result, of versions and of the kind of machine.

    Parameters
    ----------
    *decisive
        Arrays, parameters and the like. An estimator counts as it is, fitted or not,
        but for parameters such as ``n_jobs``; its callbacks count, for they may stop
        a training. What cannot be pickled makes an identity that is never met again.

    Returns
    -------
    identity : str of 32 characters

    Examples
    --------
    >>> from sklearn.linear_model import Lasso, LinearRegression
    >>> from sklearn_lsdn._utils.store import identity
    >>> identity(LinearRegression(n_jobs=2)) == identity(LinearRegression())
    True
    >>> identity(Lasso(0.5)) == identity(Lasso(1.0))
    False
    """
    try:
        return joblib.hash((_plain(decisive), _VERSIONS, platform.machine()))
    except (AttributeError, TypeError, pickle.PicklingError):
        return uuid.uuid4().hex


class Store:
    """Units of work, each kept whole in a joblib cache, or not at all.

    Parameters
    ----------
    memory : str, path-like, joblib.Memory or None
        A folder, which is made, or what has one; None keeps nothing.
    """

    def __init__(self, memory):
        if isinstance(memory, str | os.PathLike):
            make_folder(memory)
            memory = os.path.abspath(memory)  # for workers in other folders, too
        self._keeps = memory is not None
        self._made = check_memory(memory).cache(_made, ignore=["make"])

    def __bool__(self):
        return self._keeps

    def holds(self, *decisive) -> bool:
        """Whether a unit is there."""
        return self._keeps and self._made.check_call_in_cache(identity(*decisive), None)

    def made(self, make, *decisive):
        """What ``make()`` returns, or returned before.

        What cannot be read back is made again, and nothing is kept when it fails.

        Parameters
        ----------
        make : callable
        *decisive
            As `identity` takes it.
        """
        return self._made(identity(*decisive), make) if self._keeps else make()


def _made(key, make):
    return make()


def _plain(value):
    """Estimators as their classes and states, wherever they are."""
    if isinstance(value, BaseEstimator):
        state = {k: _plain(v) for k, v in vars(value).items() if k not in _FREE}
        return type(value), state
    if isinstance(value, np.random.RandomState):  # pickles hold more than its state
        return value.get_state()
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value

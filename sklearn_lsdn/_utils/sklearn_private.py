"""What scikit-learn keeps private, or has only of late: nobody else knows of it.

Callbacks came with 1.9 and are experimental. With older releases nobody is told of
a fit, and `set_callbacks` says so.
"""

from contextlib import nullcontext
from typing import Self

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    StrOptions,
    validate_params,
)
from sklearn.utils.validation import _check_sample_weight, _is_fitted

try:
    from sklearn.callback import (
        AutoPropagatedCallback,
        CallbackSupportMixin,
        with_callbacks,
    )
except ImportError:
    AutoPropagatedCallback = ()

    class _Nobody:
        """In the place of the context of callbacks, where there are none."""

        def subcontext(self, **named):
            return self

        def propagate_callback_context(self, estimator):
            return nullcontext()

        def call_on_fit_task_begin(self, **given):
            pass

        def call_on_fit_task_end(self, **given):
            return False

    class CallbackSupportMixin:
        def set_callbacks(self, *callbacks: object) -> Self:
            """Refuse callbacks: they need scikit-learn 1.9 or newer.

            Parameters
            ----------
            *callbacks : callback instances
                None, with this release.

            Returns
            -------
            self : object
                The estimator itself.
            """
            if callbacks:
                raise ImportError(
                    "Callbacks need scikit-learn 1.9: pip install -U scikit-learn"
                )
            return self

        def _init_callback_context(self, max_subtasks=0):
            return _Nobody()

    def with_callbacks(method):
        return method


__all__ = [
    "NOT_KEPT",
    "CallbackSupportMixin",
    "HasMethods",
    "Interval",
    "StrOptions",
    "_fit_context",
    "_is_fitted",
    "boosted_trees",
    "first_predictions",
    "check_weights",
    "own_callbacks",
    "validate_parameters",
    "tree_class",
    "validate_params",
    "with_callbacks",
]

NOT_KEPT = (
    "_metadata_request",
    "_skl_callbacks",
    "_skl_callbacks_to_teardown",
    "_callback_fit_ctx",
    "_parent_callback_ctx",
)
"""Attributes of estimators about their training, which model files do not keep:
callbacks, and requests of metadata, in which skops would go round in circles."""


def check_weights(sample_weight, X):
    """Weights of the rows of X as float64, one each where there are none.

    Raises
    ------
    ValueError
        If one is negative, missing or infinite, or none is more than 0.
    """
    weight = _check_sample_weight(
        sample_weight, X, dtype=np.float64, ensure_non_negative=True
    )
    if not weight.any():  # which releases before 1.9 let pass
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return weight


def own_callbacks(estimator):
    """The callbacks set for an estimator, without those handed down to it."""
    callbacks = getattr(estimator, "_skl_callbacks", [])
    return [c for c in callbacks if not isinstance(c, AutoPropagatedCallback)]


def validate_parameters(estimator):
    """Raise ValueError for what `fit` would refuse, where an estimator says what."""
    if hasattr(estimator, "_parameter_constraints"):
        estimator._validate_params()


def boosted_trees(estimator):
    """The trees of histogram gradient boosting and what bins its columns, or None.

    Returns
    -------
    trees : list of TreePredictor
    bins : _BinMapper
    columns_change : bool
        Whether columns are encoded or put in another order before they are binned.
    """
    if not hasattr(estimator, "_predictors"):
        return None
    trees = [tree for each in estimator._predictors for tree in each]
    return trees, estimator._bin_mapper, estimator._preprocessor is not None


def first_predictions(estimator, X):
    """What the trees of gradient boosting add to, of shape (n_samples, n_columns)."""
    return estimator._raw_predict_init(X)


def tree_class() -> type:
    """What the nodes of a decision tree are kept in, imported by whom it concerns."""
    from sklearn.tree._tree import Tree

    return Tree

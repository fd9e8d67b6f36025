"""What scikit-learn keeps private, or is new there: nobody else imports it."""

from sklearn.base import _fit_context
from sklearn.callback import (
    AutoPropagatedCallback,
    CallbackSupportMixin,
    with_callbacks,
)
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    StrOptions,
    validate_params,
)
from sklearn.utils.validation import _check_sample_weight, _is_fitted

__all__ = [
    "AutoPropagatedCallback",
    "CallbackSupportMixin",
    "HasMethods",
    "Interval",
    "StrOptions",
    "_check_sample_weight",
    "_fit_context",
    "_is_fitted",
    "validate_params",
    "with_callbacks",
]

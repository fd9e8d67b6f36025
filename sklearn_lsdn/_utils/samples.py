"""X and y as arrays of floats, checked against what an estimator knows of them."""

from numbers import Integral

import numpy as np
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from .columns import resolve_coordinates
from .sklearn_private import Interval, StrOptions

COORDINATES = [
    StrOptions({"auto"}),
    "array-like",
    Interval(Integral, 0, None, closed="left"),
]
"""What the parameter ``coordinates`` may be."""

_FLOATS = np.float64, np.float32


def validate_samples(
    estimator, X, y, *, reset=True, allow_nan=False
) -> tuple[np.ndarray, np.ndarray]:
    """Samples to train on; y stays flat if it was."""
    finite = "allow-nan" if allow_nan else True
    how = dict(dtype=_FLOATS, multi_output=True, y_numeric=True, reset=reset)
    return validate_data(estimator, X, y, **how, ensure_all_finite=finite)


def validate_labelled(estimator, X, y, *, reset=True) -> tuple[np.ndarray, np.ndarray]:
    """Samples to train a classifier on, and the label of each."""
    X, y = validate_data(estimator, X, y, dtype=_FLOATS, reset=reset)
    check_classification_targets(y)
    return X, y


def validate_rows(estimator, X, *, allow_nan=False) -> np.ndarray:
    """Rows to predict for."""
    finite = "allow-nan" if allow_nan else True
    return validate_data(
        estimator, X, dtype=_FLOATS, reset=False, ensure_all_finite=finite
    )


def feature_names(regressor) -> np.ndarray | None:
    """Names of the columns that it was fitted to; None if they had none."""
    return vars(regressor).get("feature_names_in_")


def part_columns(regressor) -> tuple[list[int], list[int]]:
    """Columns of features and of coordinates in samples that were validated."""
    n, names = regressor.n_features_in_, feature_names(regressor)
    coordinates = resolve_coordinates(regressor.coordinates, n, names)
    return [i for i in range(n) if i not in coordinates], coordinates

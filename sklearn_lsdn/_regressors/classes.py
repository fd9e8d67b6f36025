"""Labels as targets: which classes there are, what they weigh, and their columns."""

import numpy as np
from sklearn.utils import compute_class_weight

from .._utils.samples import validate_labelled
from .._utils.sklearn_private import check_weights
from .training import with_weight


def validate_classes(
    estimator, X, y, sample_weight, groups=None, classes=None, *, reset
):
    """Arrays of the samples that have a part in training, of labels.

    Parameters
    ----------
    estimator : classifier
        Its ``class_weight`` counts.
    X, y, sample_weight, groups : as the user gave them
    classes : ndarray, default=None
        In order, where they are known; else those of the samples.
    reset : bool

    Returns
    -------
    data : tuple of ndarray
        X, targets as `columns` has them, and positive weights.
    groups : ndarray or None
    classes : ndarray of shape (n_classes,)

    Raises
    ------
    ValueError
        If a label is none of the classes, or there is one class alone.
    """
    X, y = validate_labelled(estimator, X, y, reset=reset)
    weight = check_weights(sample_weight, X)
    if classes is None:
        classes = np.unique(y[weight > 0])
        if len(classes) < 2:
            raise ValueError(
                f"y holds one class alone, {classes.tolist()[0]!r}. Give samples of "
                "two classes or more."
            )
        index = np.minimum(np.searchsorted(classes, y), len(classes) - 1)
    else:
        index = _index(y, classes)
    weight = weight * _weights(estimator.class_weight, classes, index, weight)[index]
    data, groups = with_weight(
        (X, _columns(index, len(classes), X.dtype)), weight, groups
    )
    return data, groups, classes


def check_classes(classes) -> np.ndarray:
    """The classes that a first call of `partial_fit` announces, in order."""
    if classes is None:
        raise ValueError(
            "The first call of partial_fit needs classes: all labels that this and "
            "later calls will bring."
        )
    classes = np.unique(classes)
    if len(classes) < 2:
        raise ValueError("classes must name two labels or more.")
    return classes


def _index(y, classes):
    """Which of the classes each label is."""
    unseen = np.setdiff1d(y, classes)
    if len(unseen):
        raise ValueError(
            f"y holds {unseen.tolist()[0]!r}, which is none of the classes that the "
            f"network knows: {', '.join(map(repr, classes.tolist()))}. Train a new one "
            "with all of them."
        )
    return np.searchsorted(classes, y)


def _weights(class_weight, classes, index, weight):
    """Of each class."""
    if class_weight != "balanced":  # with its equal share of the samples' weight
        return compute_class_weight(class_weight, classes=classes, y=classes[index])
    total = np.bincount(index, weight, len(classes))
    there = total > 0
    return np.divide(total.sum() / there.sum(), total, np.ones(len(total)), where=there)


def _columns(index, n_classes, dtype):
    """Targets: of two classes one column for the second, else one for each."""
    of = np.arange(1, 2) if n_classes == 2 else np.arange(n_classes)
    return (index[:, None] == of).astype(dtype)

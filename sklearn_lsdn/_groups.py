"""Who belongs together: groups of samples, or of subjects."""

import numpy as np
from sklearn.utils.validation import check_consistent_length, column_or_1d


def check_groups(groups, samples) -> np.ndarray:
    """Groups that can be told apart.

    Parameters
    ----------
    groups : array-like of shape (n_samples,)
        Of one type: numbers, names.
    samples : array-like with n_samples entries
        What is in these groups.

    Raises
    ------
    ValueError
        If there are not as many as samples, one is missing, or they are of types that
        have no common order.
    """
    groups = column_or_1d(groups, input_name="groups")
    check_consistent_length(samples, groups)
    if groups.dtype.kind in "fO":
        for i, group in enumerate(groups):
            if _is_missing(group):
                raise ValueError(
                    f"groups[{i}] is {group}. Say of each sample which group it is of."
                )
    try:
        np.unique(groups)
    except TypeError as error:
        types = sorted({type(group).__name__ for group in groups})
        raise ValueError(
            f"groups holds values of different types, {', '.join(types)}. Give them "
            "as one of these."
        ) from error
    return groups


def _is_missing(group):
    try:
        return group is None or bool(group != group)
    except TypeError:  # pandas.NA
        return True

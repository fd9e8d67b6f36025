"""Who belongs together: groups of samples, or of subjects."""

import numpy as np


def check_groups(groups, n_members, members="samples") -> np.ndarray:
    """Groups that can be told apart.

    Parameters
    ----------
    groups : array-like of shape (n_members,)
        Numbers or names, not both.
    n_members : int
    members : str, default="samples"
        Who is in these groups, for messages.

    Returns
    -------
    groups : ndarray of shape (n_members,)

    Raises
    ------
    ValueError
        If they are not as many as their members, one is missing, or they have no
        order.
    """
    if not isinstance(groups, np.ndarray):
        groups = np.asarray(groups, dtype=object)  # which keeps what is missing
    if groups.ndim != 1:
        raise ValueError(
            f"groups must be one-dimensional, but its shape is {groups.shape}."
        )
    if len(groups) != n_members:
        raise ValueError(
            f"groups has {len(groups)} entries, but there are {n_members} {members}."
        )
    if groups.dtype.kind not in "biuSU":
        for i, group in enumerate(groups):
            if _is_missing(group):
                raise ValueError(
                    f"groups[{i}] is {group}. Say of all {members} which group they "
                    "are of."
                )
    try:
        np.unique(groups)
    except TypeError as error:
        types = sorted({type(group).__name__ for group in groups})
        raise ValueError(
            f"groups cannot be put in order, as values of type {', '.join(types)}. "
            "Give numbers or names, and not both."
        ) from error
    return np.array(groups.tolist()) if groups.dtype == object else groups


def _is_missing(group):
    try:
        return group is None or bool(group != group)
    except TypeError:  # pandas.NA
        return True

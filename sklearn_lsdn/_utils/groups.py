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
    if groups.ndim == 2 and groups.shape[1] == 1:
        groups = groups[:, 0]
    if groups.ndim != 1:
        raise ValueError(
            f"groups must be one-dimensional, but its shape is {groups.shape}."
        )
    if len(groups) != n_members:
        raise ValueError(
            f"groups has {len(groups)} entries, but there are {n_members} {members}."
        )
    if groups.dtype.kind in "fcmM":
        missing = groups != groups
    elif groups.dtype == object:
        missing = [_is_missing(group) for group in groups]
    else:
        return groups  # which has no such value
    if np.any(missing):
        i = int(np.argmax(missing))
        raise ValueError(
            f"groups[{i}] is {groups[i]}. Say of all {members} which group they are of."
        )
    return groups if groups.dtype != object else _in_order(groups)


def _in_order(groups):
    """Names or numbers as an array of their own type, and others as they are."""
    try:
        different = sorted(set(groups))
    except TypeError as error:
        types = sorted({type(group).__name__ for group in groups})
        raise ValueError(
            f"groups cannot be put in order, as values of type {', '.join(types)}. "
            "Give numbers or names, and not both."
        ) from error
    plain = all(np.isscalar(group) for group in different)
    return np.array(groups.tolist()) if plain else groups


def _is_missing(group):
    try:
        return group is None or bool(group != group)
    except TypeError:  # pandas.NA
        return True

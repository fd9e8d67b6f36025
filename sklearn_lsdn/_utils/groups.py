"""Who belongs together: groups of samples, or of subjects."""

import numpy as np

_MISSING = {"None", "nan", "NaT", "<NA>"}


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
    if groups.shape != (n_members,):
        raise ValueError(
            f"groups must have one entry for each of {n_members} {members}, but their "
            f"shape is {groups.shape}."
        )
    values = groups.tolist()
    different = set(values)
    for value in different:
        if not isinstance(value, str) and str(value) in _MISSING:
            i = next(i for i, each in enumerate(values) if each is value)
            raise ValueError(
                f"groups[{i}] is {groups[i]}. Say of all {members} which group they "
                "are of."
            )
    try:
        sorted(different)
    except TypeError as error:
        types = sorted({type(value).__name__ for value in different})
        raise ValueError(
            f"groups cannot be put in order, as values of type {', '.join(types)}. "
            "Give numbers or names, and not both."
        ) from error
    plain = groups.dtype == object and all(map(np.isscalar, different))
    return np.array(values) if plain else groups

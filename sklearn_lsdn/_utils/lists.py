"""Lists as users have them: columns of frames, arrays, tuples; by position alone."""

import os
from collections.abc import Iterable, Mapping, Sized

import numpy as np

_UNORDERED = Mapping | set | frozenset


def as_list(entries, name) -> list:
    """Take a list-like as a plain list, its entries in the order in which they stand.

    What labels an index gives them does not matter.

    Parameters
    ----------
    entries : list-like
        An entry for each subject, in a list, tuple, array, or Series, Index or
        DataFrame of pandas or polars. Rows of a table are lists, as are entries that
        are list-likes.
    name : str
        What to call it in messages.

    Raises
    ------
    TypeError
        If it is no list-like.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lsdn._utils.lists import as_list
    >>> as_list(("a.nii", ("b.nii", "c.nii")), "sources")
    ['a.nii', ['b.nii', 'c.nii']]
    >>> as_list(np.array([["a.nii", "b.nii"]]), "sources")
    [['a.nii', 'b.nii']]
    >>> as_list("a.nii", "sources")
    Traceback (most recent call last):
        ...
    TypeError: sources must be a list with an entry for each subject, got str. Put a \
single image into a list.
    """
    found = _listed(entries, (1, 2))
    if found is None:
        remedy = "Put a single image into a list."
        if isinstance(entries, _UNORDERED):
            remedy = "It has no order: give a list of its entries."
        elif isinstance(entries, Iterable) and not isinstance(entries, Sized):
            remedy = "Make a list of it: list(...)."
        raise TypeError(
            f"{name} must be a list with an entry for each subject, got "
            f"{type(entries).__name__}. {remedy}"
        )
    return [one_or_list(entry) for entry in found]


def one_or_list(entry):
    """One image, as it is, or a plain list of a subject's images.

    Examples
    --------
    >>> from sklearn_lsdn._utils.lists import one_or_list
    >>> one_or_list("a.nii"), one_or_list(("a.nii", "b.nii"))
    ('a.nii', ['a.nii', 'b.nii'])
    """
    found = _listed(entry, (1,))
    return entry if found is None else found


def _listed(entries, dimensions):
    """A plain list, or None for what is no list-like of so many dimensions."""
    if isinstance(entries, str | bytes | os.PathLike | _UNORDERED):
        return None
    if not hasattr(entries, "__array__"):
        is_list = isinstance(entries, Sized) and isinstance(entries, Iterable)
        return list(entries) if is_list else None
    # Iterating over a frame gives names of columns, indexing a Series goes by labels.
    array = np.asarray(entries, dtype=object)
    return list(array) if array.ndim in dimensions else None

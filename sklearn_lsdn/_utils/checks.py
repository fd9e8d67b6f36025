"""Whether what comes from a file is what it should be."""

from numbers import Integral

import numpy as np


def ensure(true, what) -> None:
    """Raise ValueError, which says what is wrong, unless something is true."""
    if not true:
        raise ValueError(what)


def check_numbers(owner, name, array, shape, dtype="f8") -> None:
    """Raise ValueError unless an array is one, of a shape and type, and finite.

    Parameters
    ----------
    owner : object
        Whose it is, for messages.
    name : str
    array : object
    shape : tuple of int
    dtype : dtype-like, default="f8"
    """
    what = f"{name} of {type(owner).__name__}"
    ensure(isinstance(array, np.ndarray), f"{what} is no array")
    ensure(
        array.shape == shape, f"{what} has shape {array.shape} in the place of {shape}"
    )
    ensure(array.dtype == np.dtype(dtype), f"{what} holds {array.dtype}")
    ensure(np.isfinite(array).all(), f"{what} holds NaN or infinity")


def check_columns(n, *columns) -> None:
    """Raise ValueError unless sequences of columns are different ones among ``n``."""
    used = [column for part in columns for column in part]
    ensure(
        all(isinstance(column, Integral) for column in [n, *used]),
        "a column has no whole number",
    )
    ensure(
        not used or 0 <= min(used) <= max(used) < n,
        f"columns are not among the {n} of the training data",
    )
    ensure(len(used) == len(set(used)), "a column is used twice")


def check_flatness(flat, n_outputs) -> None:
    """Raise ValueError unless it is said whether targets were one-dimensional."""
    ensure(isinstance(flat, bool), "it is not said what y was")
    ensure(n_outputs == 1 or not flat, "y was not flat")

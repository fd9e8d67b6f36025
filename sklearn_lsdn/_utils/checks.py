"""Whether what comes from a file is what it should be."""

import numpy as np


def ensure(true, what) -> None:
    """Raise ValueError, which says what is wrong, unless something is true."""
    if not true:
        raise ValueError(what)


def check_array(owner, name, array, shape, dtype="f8") -> None:
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

"""What pictures are made of: the brain in images, and what has a name."""

from collections.abc import Mapping

import numpy as np

from ..volumes._masks import found_brain
from ..volumes._subjects import open_mask


def brain_in(mask, files, volumes) -> np.ndarray:
    """The brain in images on one grid.

    Parameters
    ----------
    mask : path, image, array, "mni152" or None
        An array lies on the grid of the first image as it is stored; None takes what
        differs from the background in all of them.
    files : list of ImageFile
    volumes : list of ndarray of shape (nx, ny, nz)

    Returns
    -------
    mask : ndarray of bool of shape (nx, ny, nz)

    Raises
    ------
    FileNotFoundError, TypeError, ValueError
        If the mask cannot be used, or there is no brain.
    """
    return found_brain(on_grid_of(files[0], mask), files, volumes)


def on_grid_of(file, mask):
    """A mask as an image, if it is an array, which lies on the grid of a file."""
    if isinstance(mask, list | np.ndarray):
        return open_mask(mask, "mask", file).image
    return mask


def check_named(given, name) -> None:
    """Check that something is a dict which is not empty.

    Raises
    ------
    TypeError
        If it is something else.
    ValueError
        If it is empty.
    """
    if not isinstance(given, Mapping):
        kind = type(given).__name__
        raise TypeError(f"{name} must be a dict by the names to show, got a {kind}.")
    if not given:
        raise ValueError(f"{name} is empty: there is nothing to draw.")

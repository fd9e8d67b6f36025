"""Volumes smoothed within the brain, for patches that reach further."""

import numpy as np
from scipy.ndimage import find_objects, gaussian_filter

FWHM = np.sqrt(8 * np.log(2))
"""Of a Gaussian, in standard deviations."""


def smoothed(volume, mask, fwhm) -> np.ndarray:
    """Smooth a volume by a Gaussian in which voxels outside the brain take no part.

    Parameters
    ----------
    volume : float32 array of shape (nx, ny, nz)
    mask : ndarray of bool of the same shape
        The brain.
    fwhm : float or array-like of shape (3,)
        Full width at half maximum, in voxels; along each axis, if there are three.

    Returns
    -------
    smooth : float32 array of shape (nx, ny, nz)
        Weighted means over brain voxels. Values outside the brain mean nothing.
    """
    sigma = np.broadcast_to(fwhm, 3) / FWHM
    # Around its own mean, so that float32 keeps what distinguishes its voxels.
    centre = volume[mask].mean(dtype=np.float64).astype(np.float32)
    smooth = np.full(mask.shape, centre)
    (box,) = find_objects(mask, max_label=1)
    inside = mask[box]
    within = np.where(inside, volume[box] - centre, np.float32(0))
    weight = inside.astype(np.float32)
    for values in (within, weight):
        gaussian_filter(values, sigma, output=values, truncate=3, mode="constant")
    weight[~inside] = 1
    within /= weight
    smooth[box] += within
    return smooth


def at_scale(volume, mask, scale) -> np.ndarray:
    """Make a volume ready to be read at every ``scale``-th voxel.

    Parameters
    ----------
    volume : float32 array of shape (nx, ny, nz)
    mask : ndarray of bool of the same shape
        The brain.
    scale : int
        In voxels; 1 leaves the volume as it is.

    Returns
    -------
    smooth : float32 array of shape (nx, ny, nz)
        Values outside the brain mean nothing.
    """
    return volume if scale == 1 else smoothed(volume, mask, scale)

"""Patches of volumes as rows of arrays, and the coordinates of their centres."""

import numpy as np
from nibabel.affines import apply_affine


def patch_offsets(shape, patch_size) -> np.ndarray:
    """Flat offsets from a voxel to those of the patch around it, in C order."""
    margin = patch_size // 2
    steps = np.arange(-margin, patch_size - margin)
    i, j, k = np.meshgrid(steps, steps, steps, indexing="ij")
    return ((i * shape[1] + j) * shape[2] + k).ravel()


class PaddedVolumes:
    """Volumes of one subject, padded so that every voxel has a whole patch.

    Parameters
    ----------
    volumes : list of float32 arrays of shape (nx, ny, nz)
        One for each channel.
    affine : ndarray of shape (4, 4)
        From voxel indices to world mm.
    patch_size : int
        Voxels along each side of a patch, odd.
    fill : list of float
        Value of the padding in each channel.
    """

    def __init__(self, volumes, affine, patch_size, fill):
        margin = patch_size // 2
        shape = np.array(volumes[0].shape) + 2 * margin
        self.channels = np.empty((len(volumes), shape.prod()), dtype=np.float32)
        inside = (slice(margin, -margin or None),) * 3
        for channel, volume, value in zip(self.channels, volumes, fill, strict=True):
            channel[:] = value
            channel.reshape(shape)[inside] = volume
        self.strides = np.array([shape[1] * shape[2], shape[2]])
        self._shape, self._margin = tuple(shape), margin
        self.offsets = patch_offsets(shape, patch_size)
        self.affine = affine.copy()  # from indices of the padded volume
        self.affine[:3, 3] -= affine[:3, :3] @ np.full(3, margin)

    def centers(self, mask) -> np.ndarray:
        """Flat padded indices of the voxels of a mask, in C order."""
        return np.flatnonzero(np.pad(mask, self._margin))

    def patches(self, centers) -> np.ndarray:
        """Patches around voxels; float32 of shape (n, n_channels * patch_size**3)."""
        where = centers[:, None] + self.offsets
        return np.concatenate([channel[where] for channel in self.channels], axis=1)

    def coordinates(self, centers) -> np.ndarray:
        """World coordinates of voxels in mm; float32 of shape (n, 3)."""
        indices = np.stack(np.unravel_index(centers, self._shape), axis=1)
        return apply_affine(self.affine, indices).astype(np.float32)

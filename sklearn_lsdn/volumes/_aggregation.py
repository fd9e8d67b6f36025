"""Target patches: whole at the brain's edge, and averaged where they overlap."""

import numpy as np

from ._patches import PaddedVolumes, in_brain, patch_offsets


def filled_patches(patches) -> np.ndarray:
    """Let voxels outside the brain repeat the centre of their patch.

    Parameters
    ----------
    patches : ndarray of shape (..., patch_size**3)
        NaN outside the brain, in which the centre lies.

    Returns
    -------
    patches : ndarray of the same shape
    """
    centre = patches.shape[-1] // 2
    return np.where(np.isnan(patches), patches[..., centre, None], patches)


class PatchAverage:
    """Mean, in each voxel of the brain, of all patches that reach it.

    Parameters
    ----------
    mask : ndarray of bool of shape (nx, ny, nz)
        The brain; what patches say of voxels outside of it is left out.
    n_contrasts : int
    patch_size : int
        Voxels along each side of a patch, odd.
    """

    def __init__(self, mask, n_contrasts, patch_size):
        self._alone = patch_size == 1  # and reaches no other voxel
        if self._alone:
            self._sums = np.zeros((n_contrasts, np.count_nonzero(mask)))
            return
        mask = np.pad(mask, patch_size // 2)
        self._centers = np.flatnonzero(mask)
        self._offsets = patch_offsets(mask.shape, patch_size)
        self._sums = np.zeros((n_contrasts, mask.size))
        self._counts = np.zeros(mask.size, dtype=np.min_scalar_type(patch_size**3))

    def add(self, rows, values):
        """Take in the patches around some voxels.

        Parameters
        ----------
        rows : slice
            Which of the brain's voxels, in C order.
        values : ndarray of shape (n_rows, n_contrasts * patch_size**3)
        """
        if self._alone:
            self._sums[:, rows] = values.reshape(-1, len(self._sums)).T
            return
        centers = self._centers[rows]
        values = values.reshape(len(centers), len(self._sums), len(self._offsets))
        for o, offset in enumerate(self._offsets):
            reached = centers + offset  # no voxel twice
            self._counts[reached] += 1
            for total, contrast in zip(self._sums, values[:, :, o].T, strict=True):
                total[reached] += contrast

    def means(self) -> np.ndarray:
        """Of the brain's voxels; float64 of shape (n_voxels, n_contrasts)."""
        if self._alone:
            return self._sums.T
        means = self._sums[:, self._centers]
        means /= self._counts[self._centers]
        return means.T


class VolumePatches:
    """Patches of volumes that are known in the brain alone.

    Parameters
    ----------
    values : ndarray of shape (n_voxels, n_contrasts)
        Of the brain's voxels, in C order.
    mask : ndarray of bool of shape (nx, ny, nz)
        The brain.
    patch_size : int
        Voxels along each side of a patch, odd.
    """

    def __init__(self, values, mask, patch_size):
        volumes = [in_brain(column, mask, np.nan) for column in values.T]
        nothing = [np.nan] * len(volumes)
        self._padded = PaddedVolumes(volumes, np.eye(4), patch_size, nothing)
        self._centers = self._padded.centers(mask)

    def __getitem__(self, rows) -> np.ndarray:
        """Those around some of the brain's voxels, as `PatchAverage` takes them."""
        patches = self._padded.patches(self._centers[rows])
        shape = len(patches), len(self._padded.channels), -1
        return filled_patches(patches.reshape(shape)).reshape(patches.shape)

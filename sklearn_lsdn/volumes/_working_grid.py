"""The grid that voxels are predicted on, between a subject's own and the model's."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import (
    affine_transform,
    binary_dilation,
    distance_transform_edt,
    find_objects,
)

from ._scales import FWHM, smoothed

_ALIKE = 1.15  # times the model's voxel size, or divided by it: no need to resample
_FARTHEST = 8.0  # times it: beyond, a header is wrong, of which is warned elsewhere
_MARGIN = 8  # voxels around the brain, after which splines have forgotten it


def working_voxel_size(sources) -> np.ndarray:
    """The voxel size to train at: the median of the training images'.

    Parameters
    ----------
    sources : list of list of ImageFile
    """
    sizes = [files[0].voxel_size for files in sources]
    return np.median(sizes, axis=0).round(4)  # so that rounding of headers is none


def other_voxel_size(voxel_size, wanted) -> np.ndarray | None:
    """The voxel size to bring a subject to, or None where nothing is resampled.

    Parameters
    ----------
    voxel_size : ndarray of shape (3,)
        The subject's own, in mm.
    wanted : ndarray of shape (3,)
        The model's.
    """
    return None if (_ratios(voxel_size, wanted) == 1).all() else wanted


def voxels_of(shape, voxel_size, wanted) -> tuple[int, ...]:
    """How many voxels a working grid has along each axis.

    Parameters
    ----------
    shape : tuple of int
        Of a subject's own grid.
    voxel_size : ndarray of shape (3,)
        Of it, in mm.
    wanted : ndarray of shape (3,) or None
        The model's.
    """
    ratios = _ratios(voxel_size, wanted)
    return tuple(int(np.ceil(n * r)) for n, r in zip(shape, ratios, strict=True))


@dataclass(frozen=True)
class WorkingGrid:
    """A subject's own axes, in steps of the model's voxel size.

    Along axes whose voxels are about as large as the model's, or farther from them than
    any scan's, it is the subject's own grid; where that is so along all, nothing is
    resampled.

    Parameters
    ----------
    own_mask : ndarray of bool of shape (nx, ny, nz)
        The brain on the subject's own grid.
    mask : ndarray of bool
        The same on this one.
    affine : ndarray of shape (4, 4)
        From indices of this grid to world mm.
    ratios : ndarray of shape (3,)
        The own voxel size divided by that of this grid, along each axis.
    """

    own_mask: np.ndarray
    mask: np.ndarray
    affine: np.ndarray
    ratios: np.ndarray

    @classmethod
    def of(cls, own_mask, affine, wanted=None) -> "WorkingGrid":
        """Find the grid for a subject.

        Parameters
        ----------
        own_mask : ndarray of bool of shape (nx, ny, nz)
        affine : ndarray of shape (4, 4)
            Of the subject's own grid.
        wanted : ndarray of shape (3,), default=None
            The model's voxel size in mm; None takes the own grid.
        """
        voxel_size = np.linalg.norm(affine[:3, :3], axis=0)
        ratios = _ratios(voxel_size, wanted)
        if (ratios == 1).all():
            return cls(own_mask, own_mask, affine, ratios)
        shape = voxels_of(own_mask.shape, voxel_size, wanted)
        # Their middles coincide.
        to_own = np.diag([*(1 / ratios), 1.0])
        middles = np.subtract(own_mask.shape, 1) / 2, np.subtract(shape, 1) / 2
        to_own[:3, 3] = middles[0] - middles[1] / ratios
        grid = cls(own_mask, np.zeros(shape, dtype=bool), affine @ to_own, ratios)
        grid.mask[:] = grid._resampled(own_mask.astype(np.float32), order=1) >= 0.5
        # Pieces too thin for these voxels have one nevertheless.
        nearest = np.rint((np.argwhere(own_mask) - to_own[:3, 3]) * ratios)
        nearest = np.clip(nearest.astype(int), 0, np.subtract(shape, 1))
        near = binary_dilation(grid.mask, np.ones((3, 3, 3)))
        lost = nearest[~near[tuple(nearest.T)]]
        grid.mask[tuple(lost.T)] = True
        return grid

    @property
    def is_own(self) -> bool:
        """Whether it is the subject's own grid."""
        return bool((self.ratios == 1).all())

    @property
    def voxel_size(self) -> np.ndarray:
        """In mm, along each axis."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    def take(self, volume) -> np.ndarray:
        """Bring a volume from the subject's own grid.

        Parameters
        ----------
        volume : float32 array of shape (nx, ny, nz)
            Only the brain's voxels are looked at.

        Returns
        -------
        volume : float32 array of the shape of ``mask``
        """
        if self.is_own:
            return volume
        widths = np.sqrt(np.maximum(1 / self.ratios**2 - 1, 0) / 12)
        if widths.any():  # what larger voxels see, beside what these saw
            volume = smoothed(volume, self.own_mask, FWHM * widths)
        return self._resampled(extended(volume, self.own_mask))

    def nearest(self, volume) -> np.ndarray:
        """Bring labels from the subject's own grid, each to the voxels nearest to it.

        Parameters
        ----------
        volume : int array of shape (nx, ny, nz)

        Returns
        -------
        volume : int array of the shape of ``mask``
        """
        return volume if self.is_own else self._resampled(volume, order=0)

    def give_back(self, values, order=3) -> np.ndarray:
        """Bring values of the brain's voxels to the subject's own.

        Parameters
        ----------
        values : ndarray of shape (n_voxels, ...)
            In the order of ``mask``.
        order : int, default=3
            Of the splines; 1 for what must stay within its limits.

        Returns
        -------
        values : ndarray of shape (n_own_voxels, ...)
        """
        if self.is_own:
            return values
        columns = values.reshape(len(values), -1).T
        own = np.empty((np.count_nonzero(self.own_mask), len(columns)), values.dtype)
        for c, column in enumerate(columns):
            volume = np.zeros(self.mask.shape, dtype=np.float32)
            volume[self.mask] = column
            volume = extended(volume, self.mask)
            own[:, c] = self._resampled(volume, order, back=True)[self.own_mask]
        return own.reshape(-1, *values.shape[1:])

    def _resampled(self, volume, order=3, back=False):
        """A volume on the other grid."""
        own, here = self.own_mask.shape, self.mask.shape
        source, target = (here, own) if back else (own, here)
        ratios = 1 / self.ratios if back else self.ratios
        offset = (np.subtract(source, 1) - np.subtract(target, 1) / ratios) / 2
        return affine_transform(
            volume, 1 / ratios, offset, target, order=order, mode="nearest"
        )


def _ratios(voxel_size, wanted):
    """Own voxel sizes by wanted ones; 1 where nothing is to be resampled."""
    if wanted is None:
        return np.ones(3)
    ratios = voxel_size / wanted
    apart = np.abs(np.log(ratios))
    return np.where(
        (apart <= np.log(_ALIKE)) | (apart > np.log(_FARTHEST)), 1.0, ratios
    )


def extended(volume, mask) -> np.ndarray:
    """A volume whose brain goes on beyond its edge, for splines.

    Parameters
    ----------
    volume : ndarray of shape (nx, ny, nz)
    mask : ndarray of bool of the same shape
        The brain.
    """
    (box,) = find_objects(mask, max_label=1)
    box = tuple(
        slice(max(side.start - _MARGIN, 0), side.stop + _MARGIN) for side in box
    )
    nearest = distance_transform_edt(
        ~mask[box], return_distances=False, return_indices=True
    )
    further = np.zeros_like(volume)
    further[box] = volume[box][tuple(nearest)]
    return further

"""Patches of volumes as rows of arrays, and the coordinates of their centres."""

import copy

import numpy as np
from nibabel.affines import apply_affine


def patch_offsets(shape, patch_size) -> np.ndarray:
    """Flat offsets from a voxel to those of the patch around it, in C order."""
    margin = patch_size // 2
    steps = np.arange(-margin, patch_size - margin)
    i, j, k = np.meshgrid(steps, steps, steps, indexing="ij")
    return ((i * shape[1] + j) * shape[2] + k).ravel()


def in_brain(values, mask, outside=0.0) -> np.ndarray:
    """A float32 volume of values of the brain's voxels, in C order."""
    volume = np.full(mask.shape, outside, dtype=np.float32)
    volume[mask] = values
    return volume


class PaddedVolumes:
    """Volumes of one subject, padded so that every voxel has a whole patch.

    Parameters
    ----------
    volumes : iterable of float32 arrays of shape (nx, ny, nz)
        One for each channel; they are copied one by one.
    affine : ndarray of shape (4, 4)
        From voxel indices to world mm.
    patch_size : int
        Voxels along each side of a patch, odd.
    fill : list of float
        Value of the padding in each channel.
    spacings : list of int, default=None
        From a voxel of a patch to the next, in each channel; None means 1.
    mask : ndarray of bool of shape (nx, ny, nz), default=None
        What lies outside becomes padding; None means nothing.
    places : ndarray of shape (4, 4), default=None
        From voxel indices to the coordinates that say where a voxel lies, in mm; None
        takes world mm.

    Attributes
    ----------
    channels : float32 array of shape (n_channels, n_padded_voxels)
    offsets : int64 array of shape (n_channels, patch_size**3)
        Flat, from the centre of a patch to its voxels.
    steps : ndarray of shape (n_channels, patch_size**3, 3)
        The same in mm.
    strides : int64 array of shape (2,)
        Flat steps along the first and second axis.
    places : ndarray of shape (4, 4)
        From indices of the padded volume to coordinates in mm.
    """

    def __init__(
        self,
        volumes,
        affine,
        patch_size,
        fill,
        spacings=None,
        mask=None,
        places=None,
    ):
        spacings = np.array(spacings or [1] * len(fill))
        margin = patch_size // 2 * spacings.max()
        shape = np.array((volumes[0] if mask is None else mask).shape) + 2 * margin
        self.channels = np.empty((len(fill), shape.prod()), dtype=np.float32)
        inside = (slice(margin, -margin or None),) * 3
        for channel, volume, value in zip(self.channels, volumes, fill, strict=True):
            channel[:] = value
            within = channel.reshape(shape)[inside]
            np.copyto(within, volume, where=True if mask is None else mask)
        self.strides = np.array([shape[1] * shape[2], shape[2]])
        self._shape, self._margin = tuple(shape), margin
        self.offsets = spacings[:, None] * patch_offsets(shape, patch_size)
        indices = np.indices((patch_size,) * 3).reshape(3, -1).T - patch_size // 2
        self.steps = np.multiply.outer(spacings, indices @ affine[:3, :3].T)
        self.places = (affine if places is None else places).copy()
        self.places[:3, 3] -= self.places[:3, :3] @ np.full(3, margin)

    @property
    def missing(self) -> np.ndarray:
        """Channels that hold nothing but NaN; ndarray of bool."""
        return np.isnan(self.channels[:, 0])  # which is padding

    def only(self, channels) -> "PaddedVolumes":
        """The same without all other channels; a copy unless it has no others.

        Parameters
        ----------
        channels : list of int
        """
        if len(channels) == len(self.channels):
            return self
        fewer = copy.copy(self)
        for name in ("channels", "offsets", "steps"):
            setattr(fewer, name, getattr(self, name)[channels])
        return fewer

    def centers(self, mask) -> np.ndarray:
        """Flat padded indices of the voxels of a mask, in C order."""
        return np.flatnonzero(np.pad(mask, self._margin))

    def patches(self, centers) -> np.ndarray:
        """Patches around voxels; float32 of shape (n, n_channels * patch_size**3)."""
        parts = zip(self.channels, self.offsets, strict=True)
        return np.concatenate([c[centers[:, None] + o] for c, o in parts], axis=1)

    def coordinates(self, centers) -> np.ndarray:
        """Where voxels lie, in mm; float32 of shape (n, 3)."""
        indices = np.stack(np.unravel_index(centers, self._shape), axis=1)
        return apply_affine(self.places, indices).astype(np.float32)

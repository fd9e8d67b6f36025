"""A brain on a grid: its voxels one by one, and volumes smoothed within it."""

import numpy as np

from ..volumes._scales import FWHM

_AT_ONCE = 1024  # voxels, whose responses fit the caches


class Grid:
    """The grid of a subject, and the brain on it.

    Parameters
    ----------
    mask : uint8 Value of shape (nx, ny, nz)
        Other than 0 in the brain.
    margin : int
        Voxels around the volumes that patches are read from.
    """

    def __init__(self, mask, margin):
        self.graph, self.margin = mask.graph, margin
        self.inside = mask.to(bool)
        self.weight = self.inside.to(np.float32)
        self.shape = mask.shape
        self.index = self.inside.apply("NonZero", dtype=np.int64)  # (3, n_voxels)
        self.index = self.index.apply("Transpose", perm=[1, 0])
        self.n_voxels = self.index.shape.take(0)
        rank = self.inside.reshape(-1).to(np.int32).apply("CumSum", np.int64(0)) - 1
        self.rank = rank.reshape(self.shape)  # of a voxel of the brain among those
        self._weights = {}

    def of_brain(self, volume):
        """The brain's values, of shape (n_voxels,)."""
        return volume.apply("GatherND", self.index)

    def volumes(self, values):
        """Volumes of the brain's values of shape (n_voxels, n); 0 outside."""
        values = values.apply("Transpose", perm=[1, 0])
        volumes = values.take(self.rank.clip(0, None), axis=1)
        return volumes.where(self.inside, 0)

    def padded(self, volume, outside):
        """With a margin, and one value there and outside the brain; flat."""
        volume = volume.where(self.inside, outside)
        pads = np.full(6, self.margin, dtype=np.int64)
        value = np.array(outside, dtype=volume.dtype)
        return volume.apply("Pad", pads, value).reshape(-1)

    @property
    def strides(self):
        """Steps along each axis of padded volumes; int64 of shape (3,)."""
        sizes = self.shape + 2 * self.margin
        last = sizes.take([2])
        steps = sizes.take([1]) * last, last
        return self.graph.apply("Concat", *steps, np.array([1]), axis=0)

    def map(self, function):
        """Rows for each voxel of the brain, of a function of indices of voxels.

        Parameters
        ----------
        function : callable
            From an int64 Value of shape (n, 3) to one of shape (n, n_columns).

        Returns
        -------
        rows : Value of shape (n_voxels, n_columns)
        """
        one, n = np.int64(1), self.n_voxels
        n_parts = (n + (_AT_ONCE - 1)) / _AT_ONCE
        stop = n_parts * _AT_ONCE
        every = self.graph.apply("Range", np.int64(0), stop, one, dtype=np.int64)
        every = every.apply("Min", n - 1)  # the last is repeated
        parts = self.index.take(every).reshape(-1, _AT_ONCE, 3)
        rows = self.graph.map(function, parts)
        size = rows.shape.take([2])
        rows = rows.reshape(self.graph.apply("Concat", np.array([-1]), size, axis=0))
        ends = self.n_voxels.reshape(1)
        return rows.apply("Slice", np.array([0]), ends, np.array([0]))

    def smoothed(self, volume, kernels):
        """A volume, in which voxels outside the brain take no part.

        Parameters
        ----------
        volume : Value of shape (nx, ny, nz)
            It may be anything outside the brain, and means nothing there afterwards.
        kernels : list of Value or ndarray of shape (n_weights,)
            Along each axis.
        """
        centre = self.of_brain(volume).mean()
        within = _convolved((volume - centre).where(self.inside, 0), kernels)
        key = tuple(map(id, kernels))
        if key not in self._weights:
            weight = _convolved(self.weight, kernels).where(self.inside, 1)
            self._weights[key] = kernels, weight  # kept, lest an id be another's
        return within / self._weights[key][1] + centre


def gaussian(fwhm):
    """Weights of a Gaussian in steps of a voxel, as `smoothed` of `volumes` has it."""
    sigma = fwhm / FWHM
    reach = int(3 * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return (weights / weights.sum()).astype(np.float32)


def _convolved(volume, kernels):
    shape, volume = volume.shape, volume.apply("Unsqueeze", np.array([0, 1]))
    for axis, kernel in enumerate(kernels):
        sizes = np.ones(5, dtype=np.int64)
        sizes[2 + axis] = -1
        if isinstance(kernel, np.ndarray):
            kernel = volume.graph.constant(kernel.reshape(sizes))
        else:
            kernel = kernel.reshape(*sizes)
        volume = volume.apply("Conv", kernel, auto_pad="SAME_UPPER")
    return volume.reshape(shape)

"""A brain on a grid: its voxels one by one, and volumes smoothed within it."""

import numpy as np

from ..volumes._scales import FWHM

_AT_ONCE = 1024  # voxels, whose responses fit the caches


class Grid:
    """The box around a subject's brain, and the brain in it.

    Parameters
    ----------
    mask : uint8 Value of shape (nx, ny, nz)
        Other than 0 in the brain.
    margin : int
        Voxels around the volumes that patches are read from.

    Attributes
    ----------
    inside : bool Value of the box's shape
    weight : float32 Value of the box's shape
        The same as numbers.
    start : int64 Value of shape (3,)
        The box's first voxel.
    """

    def __init__(self, mask, margin):
        self.graph, self.margin = mask.graph, margin
        ends = [_ends(mask, axis) for axis in range(3)]
        self.start, self.stop = (self.joined(*each) for each in zip(*ends, strict=True))
        self._after = mask.shape - self.stop
        self.inside = self.cropped(mask).to(bool)
        self.weight = self.inside.to(np.float32)
        self.shape = self.inside.shape
        index = self.inside.apply("NonZero", dtype=np.int64)
        self.index = index.apply("Transpose", perm=[1, 0])  # (n_voxels, 3)
        rank = self.inside.reshape(-1).to(np.int32).apply("CumSum", np.int64(0)) - 1
        self.rank = rank.reshape(self.shape)  # of a voxel among those of the brain
        steps = (self.shape + 2 * margin).take([1, 2])
        last = steps.take([1])
        self.strides = self.joined(steps.take([0]) * last, last, np.array([1]))
        self._weights = {}

    def joined(self, *parts):
        """Along the first axis."""
        return self.graph.apply("Concat", *parts, axis=0)

    def cropped(self, volume):
        """What of it is in the box."""
        return volume.apply("Slice", self.start, self.stop)

    def of_brain(self, volume):
        """The brain's values, of shape (n_voxels,)."""
        return volume.apply("GatherND", self.index)

    def volumes(self, values, n):
        """The box's volumes of n columns of `map`."""
        values = values.apply("Transpose", perm=[1, 0])
        volumes = values.take(self.rank.clip(0, None), axis=1)
        return [volumes.take(i) for i in range(n)]

    def whole(self, volumes):
        """Whole volumes of some of the box, as one array; 0 outside the brain."""
        axis, n = np.array([0]), np.zeros(1, dtype=np.int64)
        volumes = self.joined(*(each.apply("Unsqueeze", axis) for each in volumes))
        pads = self.joined(n, self.start, n, self._after)
        return volumes.where(self.inside, 0).apply("Pad", pads)

    def padded(self, volume, outside):
        """With a margin, and one value there and outside the brain; flat."""
        volume = volume.where(self.inside, outside)
        pads = np.full(6, self.margin, dtype=np.int64)
        value = np.array(outside, dtype=volume.dtype)
        return volume.apply("Pad", pads, value).reshape(-1)

    def patches(self, volume, outside, size, spacing=1):
        """What reads patches.

        Parameters
        ----------
        volume : Value of the box's shape
        outside : float
            What stands for voxels outside the brain.
        size : int
            Voxels along each side of a patch, odd.
        spacing : int, default=1
            From a voxel of a patch to the next.

        Returns
        -------
        read : callable
            From int64 indices of voxels, of shape (n, 3), to their patches, of shape
            (n, size**3).
        """
        flat, reach = self.padded(volume, outside), size // 2 * spacing
        # Runs along the last axis, which are read at once.
        n = flat.shape - 2 * reach
        starts = [np.array([i * spacing]) for i in range(size)]
        runs = [flat.apply("Slice", s, n + s).reshape(-1, 1) for s in starts]
        runs = self.graph.apply("Concat", *runs, axis=1) if size > 1 else runs[0]
        steps = spacing * (np.indices((size, size)).reshape(2, -1).T - size // 2)
        steps = np.insert(steps + self.margin, 2, self.margin - reach, axis=1)
        offsets = (self.strides * steps).sum(1)

        def read(index):
            first = (index * self.strides).sum(1, keep=True)
            return runs.take(first + offsets).reshape(-1, size**3)

        return read

    def map(self, function, n_columns):
        """Rows for each voxel of the brain, and for the last one several.

        Parameters
        ----------
        function : callable
            From an int64 Value of shape (n, 3), the indices of voxels in the box, to
            one of shape (n, n_columns).
        n_columns : int

        Returns
        -------
        rows : Value of shape (n_rows, n_columns)
        """
        n = self.index.shape.take(0)
        stop = (n + (_AT_ONCE - 1)) / _AT_ONCE * _AT_ONCE
        one = np.int64(1)
        every = self.graph.apply("Range", np.int64(0), stop, one, dtype=np.int64)
        every = every.apply("Min", n - 1)
        entries = self.index.take(every).reshape(-1, _AT_ONCE, 3)
        shapes = [_AT_ONCE, 3], [_AT_ONCE, n_columns]
        return self.graph.map(function, entries, shapes).reshape(-1, n_columns)

    def smoothed(self, volume, kernels):
        """A volume, in which voxels outside the brain take no part.

        Parameters
        ----------
        volume : Value of the box's shape
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


def _ends(mask, axis):
    """First voxel of a mask along an axis, and the one after the last."""
    others = sorted({0, 1, 2} - {axis})
    shadow = mask.apply("ReduceMax", axes=others, keepdims=0)
    where = shadow.to(bool).apply("NonZero", dtype=np.int64).reshape(-1)
    return where.take([0]), where.take([-1]) + 1


def gaussian(fwhm):
    """Weights of a Gaussian in steps of a voxel, as `smoothed` of `volumes` has it."""
    sigma = fwhm / FWHM
    reach = int(3 * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return (weights / weights.sum()).astype(np.float32)


def gaussian_in_mm(fwhm, affine):
    """The same along each axis, by the size of voxels, as `Subject.smooth` has it.

    Parameters
    ----------
    fwhm : float
        In mm or, where voxels are smaller than 1 mm, in voxels.
    affine : Value of shape (4, 4)

    Returns
    -------
    kernels : list of float32 Value of shape (n_weights,)
    """
    turn = affine.to(np.float64).take([0, 1, 2]).take([0, 1, 2], axis=1)
    sizes = (turn * turn).sum(0).apply("Sqrt").apply("Max", 1)
    sigmas = affine.graph.constant(np.float64(fwhm / FWHM)) / sizes
    farthest = len(gaussian(fwhm)) // 2
    steps = np.arange(-farthest, farthest + 1, dtype=np.float64)
    kernels = []
    for axis in range(3):
        sigma = sigmas.take(axis)
        u = affine.graph.constant(steps) / sigma
        reach = (sigma * 3 + 0.5).apply("Floor")
        near = reach.apply("GreaterOrEqual", np.abs(steps)).to(np.float64)
        weights = (u * u * -0.5).apply("Exp") * near
        kernels.append((weights / weights.sum()).to(np.float32))
    return kernels


def _convolved(volume, kernels):
    shape, volume = volume.shape, volume.apply("Unsqueeze", np.array([0, 1]))
    for axis, kernel in enumerate(kernels):
        sizes = np.ones(5, dtype=np.int64)
        sizes[2 + axis] = -1
        if isinstance(kernel, np.ndarray):
            kernel = kernel.reshape(sizes)
        else:
            kernel = kernel.reshape(*sizes)
        volume = volume.apply("Conv", kernel, auto_pad="SAME_UPPER")
    return volume.reshape(shape)

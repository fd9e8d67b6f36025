"""Scans spoilt in ways that happen to scans, for benchmarks of what is said of them."""

import itertools

import nibabel as nib
import numpy as np
from novelty import moved
from scipy import ndimage

AXES = "left-right", "front-back", "vertical"
CONTRAST = "its intensities go with what is expected"
TOWARDS = (1, 0, 0), (0, 1, 0), (0, 0, -1), (1, 1, 1)


def with_data(image, data, affine=None):
    affine = image.affine if affine is None else affine
    return nib.Nifti1Image(np.ascontiguousarray(data, dtype=np.float32), affine)


def _of_values(function):
    """A change of the intensities, by a function of the data and the brain."""

    def change(image):
        data = image.get_fdata(dtype=np.float32)
        return with_data(image, function(data, data != 0))

    return change


def _resampled(function):
    """A change of the grid, by a function of the data and the affine, or of a mask."""

    def change(image):
        data = image.get_fdata(dtype=np.float32)
        values, affine = function(data, image.affine)
        brain, _ = function(np.float32(data != 0), image.affine)
        return with_data(image, np.where(brain > 0.5, values, 0), affine)

    return change


def flipped(axis):
    return lambda image: with_data(
        image, np.flip(image.get_fdata(dtype=np.float32), axis)
    )


def tilted(axis, degrees):
    axes = [i for i in range(3) if i != axis]
    return _resampled(
        lambda data, affine: (
            ndimage.rotate(data, degrees, axes, reshape=False, order=1),
            affine,
        )
    )


def in_voxels_of(mm):
    def zoomed(data, affine):
        factors = nib.affines.voxel_sizes(affine) / mm
        data = ndimage.zoom(data, factors, order=1, grid_mode=True, mode="nearest")
        to_old = np.diag([*(1 / factors), 1])
        to_old[:3, 3] = (1 / factors - 1) / 2
        return data, affine @ to_old

    return _resampled(zoomed)


def displaced(mm, direction):
    by = mm * np.array(direction) / np.linalg.norm(direction)
    return lambda image: moved(image, by)


def inverted(data, brain):
    return np.where(brain, data[brain].max() + data[brain].min() - data, 0)


def biased(axis, times):
    def change(data, brain):
        where = np.flatnonzero(brain.any(tuple(i for i in range(3) if i != axis)))
        field = (np.arange(data.shape[axis]) - where[0]) / np.ptp(where)
        shape = [-1 if i == axis else 1 for i in range(3)]
        return data * times ** field.clip(0, 1).reshape(shape)

    return change


def with_ring(nearest, farthest, brightness):
    """Noisy tissue around the brain, so many mm from it."""

    def change(data, brain):
        away = ndimage.distance_transform_edt(~brain)
        noise = 1 + 0.2 * np.random.RandomState(0).randn(*data.shape)
        ring = (away > nearest) & (away <= farthest)
        return np.where(ring, brightness * data[brain].mean() * noise, data)

    return change


def smoothed(fwhm):
    def change(data, brain):
        sigma = fwhm / np.sqrt(8 * np.log(2))
        weight = ndimage.gaussian_filter(np.float32(brain), sigma)
        return np.where(
            brain, ndimage.gaussian_filter(data, sigma) / weight.clip(1e-3), 0
        )

    return change


def cases(voxel_sizes=(2, 0.8)):
    """Row of the table, what the first reason should say, change, and of the truth."""
    yield "inverted", (CONTRAST,), _of_values(inverted), None
    half_turn = "turned by about 180 degrees about the"
    for name, axis, same in (("front to back", 1, 2), ("upside down", 2, 1)):
        said = f"flipped {name}", f"{half_turn} {AXES[same]} axis"
        yield f"flipped {name}", said, flipped(axis), flipped(axis)
    for times, axis in itertools.product((2, 7), (0, 1)):
        name = f"bias of {times}x across the head"
        yield name, ("rise smoothly",), _of_values(biased(axis, times)), None
    for name, ring, said in (
        ("a ring of skull 4 mm away", (4, 9, 1.3), "a further piece"),
        ("a ring of skull that adheres", (0, 6, 1), "times as large as the largest"),
    ):
        yield name, (said,), _of_values(with_ring(*ring)), None
    for mm, direction in itertools.product((20, 40, 90), TOWARDS):
        change = displaced(mm, direction)
        yield f"{mm} mm out of place", ("the brain lies",), change, change
    for degrees, axis in itertools.product((30, -70), (0, 1, 2)):
        said, change = f"about the {AXES[axis]} axis", tilted(axis, degrees)
        yield f"tilted by {abs(degrees)} degrees", (said,), change, change
    for mm in voxel_sizes:
        change = in_voxels_of(mm)
        yield f"voxels of {mm:g} mm", ("voxels of",), change, change
    yield "smoothed by 4 mm", ("neighbouring voxels",), _of_values(smoothed(4)), None

"""Images as ITK has them: in, out, resampled."""

from contextlib import contextmanager
from threading import Lock

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes

from .._utils.optional import require
from ._images import open_image
from ._transforms import TO_LPS

_counting, _alone, _usual = Lock(), 0, 1


@contextmanager
def one_thread():
    """Let ITK add up in one order, with one thread, whatever it usually has.

    Threads of this process may enter together: the last to leave restores it.
    """
    global _alone, _usual
    process = require("SimpleITK").ProcessObject
    with _counting:
        if not _alone:
            _usual = process.GetGlobalDefaultNumberOfThreads()
            process.SetGlobalDefaultNumberOfThreads(1)
        _alone += 1
    try:
        yield
    finally:
        with _counting:
            _alone -= 1
            if not _alone:
                process.SetGlobalDefaultNumberOfThreads(_usual)


@contextmanager
def in_a_sentence(what, remedy):
    """Tell what ITK raises as a ValueError."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).rpartition("ERROR: ")[2].partition("\n")[0].strip(" .")
        raise ValueError(f"{what} ({reason}). {remedy}") from error


def to_itk(file, voxels=None):
    """An image of ITK with the voxels of a file, and its place in the world.

    Parameters
    ----------
    file : ImageFile
    voxels : ndarray of its shape, default=None
        To have in the place of its own.
    """
    sitk = require("SimpleITK")
    voxels = file.read() if voxels is None else voxels
    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels.T))
    affine = TO_LPS @ file.affine
    spacing = voxel_sizes(affine)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    return image


def to_itk_with_contrast(file):
    """The same, but for a file that shows nothing."""
    image = to_itk(file)
    voxels = require("SimpleITK").GetArrayViewFromImage(image)
    if voxels.min() == voxels.max():
        raise ValueError(
            f"{file.name} cannot be registered: it shows nothing, for all its voxels "
            f"are {voxels.min():g}. Check whether it is the right file."
        )
    return image


def shrunken(image, voxel_size):
    """An image of ITK whose voxels are averaged to about such a size in mm."""
    factors = [max(1, round(voxel_size / side)) for side in image.GetSpacing()]
    return require("SimpleITK").BinShrink(image, factors)


def array_of(image) -> np.ndarray:
    """Voxels of an image of ITK, as `ImageFile.read` gives them."""
    return require("SimpleITK").GetArrayFromImage(image).T


def is_stripped(image) -> bool:
    """Whether the surroundings of a brain, or head, are exactly 0."""
    voxels = require("SimpleITK").GetArrayViewFromImage(image)
    return np.count_nonzero(voxels) < 0.9 * voxels.size


def head_of(file) -> np.ndarray:
    """A mask of the brain, if all else is 0 in a file, or of what is bright."""
    image = to_itk(file)
    sitk = require("SimpleITK")
    brain = image != 0 if is_stripped(image) else sitk.OtsuThreshold(image, 0, 1)
    return array_of(brain)


def volume_of(mask) -> float:
    """In cubic mm."""
    voxels = require("SimpleITK").GetArrayViewFromImage(mask)
    return np.count_nonzero(voxels) * np.prod(mask.GetSpacing())


def resample(moving, fixed, transform, *, interpolation="bspline") -> nib.Nifti1Image:
    """Bring an image onto the grid of another.

    Parameters
    ----------
    moving, fixed : path or nibabel image
        As `register_rigid` takes them; only the grid of ``fixed`` matters.
    transform : AffineTransform
        From points of the fixed image to those of the moving one.
    interpolation : {"bspline", "linear"}, default="bspline"
        Between voxels. Surroundings that are 0 remain 0.

    Returns
    -------
    image : Nifti1Image
    """
    sitk = require("SimpleITK")
    kinds = {"bspline": sitk.sitkBSpline, "linear": sitk.sitkLinear}
    if interpolation not in kinds:
        raise ValueError(
            f"interpolation must be one of {', '.join(kinds)}; got {interpolation!r}."
        )
    moving, fixed = open_image(moving, "moving"), open_image(fixed, "fixed")
    with in_a_sentence(f"{moving.name} cannot be resampled", "Is it a volume?"):
        voxels = _resampled(
            to_itk(moving),
            to_itk(fixed, np.zeros(fixed.shape, np.uint8)),
            transform,
            kinds[interpolation],
        )
    aligned = fixed.like(voxels)
    if not aligned.header["xyzt_units"] % 8:  # no unit of length, as of templates
        aligned.header.set_xyzt_units("mm")
    return aligned


def _resampled(image, grid, transform, interpolator):
    """Voxels of an image of ITK on the grid of another."""
    sitk = require("SimpleITK")
    resampler = sitk.ResampleImageFilter()
    resampler.SetReferenceImage(grid)
    resampler.SetTransform(transform.to_itk())
    resampler.SetInterpolator(interpolator)
    resampler.SetOutputPixelType(sitk.sitkFloat32)
    voxels = array_of(resampler.Execute(image))
    known = sitk.GetArrayViewFromImage(image)  # splines overshoot
    np.clip(voxels, min(0, known.min()), known.max(), out=voxels)
    if is_stripped(image):
        resampler.SetInterpolator(sitk.sitkLinear)
        brain = sitk.Cast(image != 0, sitk.sitkFloat32)
        voxels[array_of(resampler.Execute(brain)) < 0.5] = 0
    return voxels

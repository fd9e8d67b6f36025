"""Deformable registration of one brain onto another, in one contrast."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._utils.optional import require
from ._images import ImageFile
from ._itk import array_of, in_a_sentence, one_thread, to_itk

_LEVELS = (4, 50), (2, 50), (1, 50)  # voxels averaged to one, and iterations
_FEWEST = 8  # voxels along each side of an image that is averaged
_STIFFNESS = 0.7  # voxels, by which displacements are smoothed in each iteration


@dataclass(frozen=True)
class Warp:
    """A deformation of one brain onto another.

    Parameters
    ----------
    transform : transform of ITK
        From points of the fixed image to those of the moving one.
    """

    transform: Any

    def bring(self, moving, grid) -> np.ndarray:
        """Bring an image of the moving brain to a grid, linearly between voxels.

        Parameters
        ----------
        moving, grid : ImageFile
            Of ``grid`` only shape and place matter.

        Returns
        -------
        volume : float32 array of the shape of ``grid``
            0 where there is nothing to bring.
        """
        with one_thread():
            empty = to_itk(grid, np.zeros(grid.shape, np.uint8))
            return array_of(_resampled(to_itk(moving), empty, self.transform))


def warp_onto(fixed: ImageFile, moving: ImageFile) -> Warp:
    """Find the deformation that makes a brain look like another.

    First their middles are laid on each other, then an affine transform is found, and
    then demons, with symmetric forces, move each voxel to where the images agree, from
    coarse to fine.

    Parameters
    ----------
    fixed, moving : ImageFile
        Of comparable intensities, 0 outside the brain.

    Raises
    ------
    ImportError
        If SimpleITK is not installed.
    ValueError
        If they cannot be registered.
    """
    sitk = require("SimpleITK")
    what = f"{moving.name} cannot be registered to {fixed.name}"
    with one_thread(), in_a_sentence(what, "Have they more than a few slices?"):
        images = [to_itk(each) for each in (fixed, moving)]
        affine = _affine(*images)
        images[1], field = _resampled(*images[::-1], affine), None
        for factor, n_iterations in _LEVELS:
            coarse = [_averaged(image, factor) for image in images]
            demons = sitk.FastSymmetricForcesDemonsRegistrationFilter()
            demons.SetNumberOfIterations(n_iterations)
            demons.SetStandardDeviations(_STIFFNESS)
            begin = [] if field is None else [_resampled(field, coarse[0])]
            field = demons.Execute(*coarse, *begin)
        field = sitk.Cast(field, sitk.sitkVectorFloat64)
        free = sitk.DisplacementFieldTransform(field)
    return Warp(sitk.CompositeTransform([affine, free]))


def _affine(fixed, moving):
    sitk = require("SimpleITK")
    middles = sitk.CenteredTransformInitializerFilter.MOMENTS
    start = sitk.AffineTransform(3)
    start = sitk.CenteredTransformInitializer(fixed, moving, start, middles)
    start = sitk.AffineTransform(start)
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMeanSquares()
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(4.0, 1e-2, 100, 0.7)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(start, inPlace=True)
    for factor in (4, 2):
        method.Execute(_averaged(fixed, factor), _averaged(moving, factor))
    # Libraries round otherwise elsewhere: drop the digits that depend on it.
    start.SetParameters(np.round(start.GetParameters(), 8).tolist())
    return start


def _averaged(image, factor):
    sides = [max(1, min(factor, side // _FEWEST)) for side in image.GetSize()]
    return require("SimpleITK").BinShrink(image, sides)


def _resampled(image, grid, transform=None):
    sitk = require("SimpleITK")
    transform = sitk.Transform() if transform is None else transform
    return sitk.Resample(
        image, grid, transform, sitk.sitkLinear, 0.0, image.GetPixelID()
    )

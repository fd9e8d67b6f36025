"""What coils make brighter in one place than in another, taken out by N4."""

import numpy as np

from .._utils.optional import require
from ._images import ImageFile, open_image
from ._itk import array_of, in_a_sentence, is_stripped, one_thread, shrunken, to_itk

_VOXEL_SIZE = 4.0  # mm, at which fields, which are smooth, are fitted
_ITERATIONS = [50] * 4  # at most, each time with twice the control points


def correct_bias(image, mask=None) -> ImageFile:
    """Take out the bias field, by N4, on the image's own grid.

    It is fitted to averaged voxels, and taken from those of the scan.

    Parameters
    ----------
    image : path, nibabel image or ImageFile
    mask : path, nibabel image or ImageFile, default=None
        The brain, or head, on any grid; by default what is not 0 or, where nothing
        is, the brighter part.

    Returns
    -------
    corrected : ImageFile
        In memory, called as the image is; float32.

    Raises
    ------
    ImportError
        If SimpleITK is missing.
    ValueError
        If it is not positive, as magnitudes are, or shows nothing.
    """
    sitk = require("SimpleITK")
    file = open_image(image, "image")
    voxels = file.read()
    whole = to_itk(file, voxels)
    if mask is not None:
        own = to_itk(open_image(mask, "mask")) != 0
        inside = sitk.Resample(own, whole, sitk.Transform(), sitk.sitkNearestNeighbor)
    elif is_stripped(whole):
        inside = whole != 0
    else:
        inside = sitk.OtsuThreshold(whole, 0, 1)
    shown = voxels[array_of(inside) != 0]
    if not shown.size or np.percentile(shown, 5) <= 0 or shown.min() == shown.max():
        raise ValueError(
            f"{file.name} has no bias field that N4 could find: its intensities are "
            "not positive, or all the same. Give the scan as it was, or leave out n4."
        )
    few = shrunken(whole, _VOXEL_SIZE)
    fit = shrunken(sitk.Cast(inside & (whole > 0), sitk.sitkFloat32), _VOXEL_SIZE)
    with one_thread(), in_a_sentence(f"N4 fails on {file.name}", "Leave it out."):
        n4 = sitk.N4BiasFieldCorrectionImageFilter()
        n4.SetMaximumNumberOfIterations(_ITERATIONS)
        n4.Execute(few, fit > 0.99)
        field = np.exp(array_of(n4.GetLogBiasFieldAsImage(whole)))
    corrected = file.like(voxels / field)
    return ImageFile(corrected, file.name)

"""Which voxels are brain."""

from dataclasses import dataclass

import nibabel as nib
import numpy as np
from nibabel.processing import resample_from_to

from .._utils.checks import check_numbers, ensure
from .._utils.optional import require
from .._utils.persistable import persistable
from ._images import ImageFile, open_image


@persistable()
@dataclass
class Masker:
    """How to find the brain in the images of a subject.

    Parameters
    ----------
    strategy : {"nonzero", "mni152", "image"}
    data : uint8 array of shape (nx, ny, nz) or None
        The mask, for "image".
    affine : ndarray of shape (4, 4) or None
        Its affine.
    """

    strategy: str
    data: np.ndarray | None = None
    affine: np.ndarray | None = None

    @classmethod
    def resolve(cls, mask_img) -> "Masker":
        """Turn the ``mask_img`` parameter into a masker."""
        if mask_img is None:
            return cls("nonzero")
        if isinstance(mask_img, str) and mask_img == "mni152":
            return cls("mni152")
        file = open_image(mask_img, "mask_img")
        data = (file.read() != 0).astype(np.uint8)
        if not data.any():
            raise ValueError(f"{file.name} is empty: no voxel differs from zero.")
        return cls("image", data, file.affine)

    def find(self, files: list[ImageFile], volumes: list[np.ndarray]) -> np.ndarray:
        """Brain voxels of a subject.

        Parameters
        ----------
        files : list of ImageFile
            Images on one grid.
        volumes : list of ndarray of shape (nx, ny, nz)
            What they hold.

        Returns
        -------
        mask : ndarray of bool of shape (nx, ny, nz)

        Raises
        ------
        ValueError
            If it is empty.
        """
        names = " and ".join(file.name for file in files)
        shape, affine = volumes[0].shape, files[0].affine
        if self.strategy == "nonzero":
            mask = np.logical_and.reduce([volume != 0 for volume in volumes])
            remedy = f"No voxel of {names} differs from zero in all of them."
        elif self.strategy == "mni152":
            mask = _mni152_mask(shape, affine)
            remedy = f"{names} does not overlap the MNI152 brain: register it first."
        else:
            mask = _resample(self.data, self.affine, shape, affine)
            remedy = f"{names} does not overlap mask_img: are they in the same space?"
        if not mask.any():
            raise ValueError(f"The mask is empty. {remedy}")
        return mask

    def _check_parts(self):
        known = self.strategy in ("nonzero", "mni152", "image")
        ensure(known, "the kind of mask is not known")
        if self.strategy == "image":
            shape = self.data.shape
            ensure(len(shape) == 3 and min(shape) > 0, "the mask has no volume")
            check_numbers(self, "data", self.data, shape, "u1")
            check_numbers(self, "affine", self.affine, (4, 4))
            np.linalg.inv(self.affine)


def _resample(data, data_affine, shape, affine):
    """Nearest neighbours of a mask on another grid."""
    if data.shape == shape and np.allclose(data_affine, affine, atol=1e-3):
        return data.astype(bool)
    image = nib.Nifti1Image(data, data_affine)
    resampled = resample_from_to(image, (shape, affine), order=0)
    return np.asanyarray(resampled.dataobj).astype(bool)


def _mni152_mask(shape, affine):
    datasets = require("nilearn.datasets")
    file = open_image(
        datasets.load_mni152_brain_mask(resolution=1), "the MNI152 brain mask"
    )
    return _resample(file.read().astype(np.uint8), file.affine, shape, affine)

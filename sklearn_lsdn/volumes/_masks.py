"""Which voxels are brain."""

from dataclasses import dataclass, field, replace

import nibabel as nib
import numpy as np
from nibabel.processing import resample_from_to

from .._utils.checks import check_numbers, ensure
from .._utils.doubts import warn_of
from .._utils.optional import require
from .._utils.persistable import persistable
from ..exceptions import MaskWarning
from ._brain import foreground, in_large_pieces, recorded
from ._doubts import doubts_of_brain
from ._images import ImageFile, open_image

_BETWEEN = 0.001  # share of voxels that may lie between the two values of a mask
_CLOSE = 0.01  # of the distance of both: what lies so close to one is that one
_PERCENTAGES = 50  # so many different whole numbers are no labels
_BEYOND = 0.4  # of the range of probabilities: how far splines overshoot it


@dataclass
class Brain:
    """The brain of a subject, and what is doubtful of it.

    Parameters
    ----------
    mask : ndarray of bool of shape (nx, ny, nz)
    millilitres : float
        Its volume.
    doubts : list of BrainWarning
    """

    mask: np.ndarray
    millilitres: float
    doubts: list = field(default_factory=list)


@persistable()
@dataclass
class Masker:
    """How to find the brain in the images of a subject.

    Parameters
    ----------
    strategy : {"background", "mni152", "image"}
        What differs from the background of every image, or a mask.
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
        """Turn the ``mask_img`` parameter into a masker.

        Raises
        ------
        ValueError
            If an image is neither of two values nor of probabilities.

        Warns
        -----
        MaskWarning
            If it holds probabilities, of which one half is the threshold.
        """
        if mask_img is None:
            return cls("background")
        if isinstance(mask_img, str) and mask_img == "mni152":
            return cls("mni152")
        file = open_image(mask_img, "mask_img")
        masker, doubts = cls._of(file)
        warn_of(doubts)
        return masker

    @classmethod
    def _of(cls, file):
        values = file.read()
        threshold, doubts = _threshold(values, file.name)
        data = (values > threshold).astype(np.uint8)
        return cls("image", data, file.affine), [*file.doubts, *doubts]

    def find(
        self, files: list[ImageFile], volumes: list[np.ndarray], n_sources=None
    ) -> Brain:
        """Find the brain of a subject.

        Parameters
        ----------
        files : list of ImageFile
            Images on one grid. A mask that belongs to the first is taken before all
            else, as far as targets reach.
        volumes : list of ndarray of shape (nx, ny, nz)
            What they hold; without a given mask, voxels that are not finite are
            background.
        n_sources : int, default=None
            So many are sources, the others targets; all, by default.

        Raises
        ------
        ValueError
            If there is none.
        """
        if files[0].mask is not None:
            masker, doubts = self._of(files[0].mask)
            bare = [replace(files[0], mask=None), *files[1:]]
            try:
                return masker._find_within(bare, volumes, n_sources, doubts)
            except ValueError as error:
                raise ValueError(f"{files[0].mask.name}: {error}") from error
        names = " and ".join(file.name for file in files)
        shape, affine = volumes[0].shape, files[0].affine
        foregrounds = [foreground(volume) for volume in volumes]
        if self.strategy == "background":
            mask = in_large_pieces(np.logical_and.reduce(foregrounds))
            remedy = f"No voxel of {names} differs from the background in all of them."
        elif self.strategy == "mni152":
            mask = _mni152_mask(shape, affine)
            remedy = f"{names} does not overlap the MNI152 brain: give its own mask."
        else:
            mask = _resample(self.data, self.affine, shape, affine)
            remedy = f"{names} does not overlap its mask: are they in the same space?"
        if not mask.any():
            raise ValueError(f"The mask is empty. {remedy}")
        millilitres = np.count_nonzero(mask) * abs(np.linalg.det(affine[:3, :3])) / 1e3
        given = self.strategy != "background"
        doubts = doubts_of_brain(mask, millilitres, files, foregrounds, given)
        return Brain(mask, float(millilitres), doubts)

    def _find_within(self, files, volumes, n_sources, doubts):
        """A brain that was given, where stripped targets were not cut closer."""
        brain = self.find(files, volumes)
        missing = np.zeros_like(brain.mask)
        for volume in volumes[n_sources:] if n_sources else []:
            missing |= ~recorded(volume)
        if (missing & brain.mask).any():
            within = in_large_pieces(brain.mask & ~missing) & brain.mask
            if not within.any():
                names = " and ".join(file.name for file in files)
                raise ValueError(
                    f"The mask is empty where {names} have a brain in common. Do they "
                    "show the same head, registered to one another?"
                )
            share = np.count_nonzero(within) / np.count_nonzero(brain.mask)
            brain = replace(brain, mask=within, millilitres=brain.millilitres * share)
        return replace(brain, doubts=[*doubts, *brain.doubts])

    def _check_parts(self):
        known = self.strategy in ("background", "mni152", "image")
        ensure(known, "the kind of mask is not known")
        if self.strategy == "image":
            shape = self.data.shape
            ensure(len(shape) == 3 and min(shape) > 0, "the mask has no volume")
            check_numbers(self, "data", self.data, shape, "u1")
            check_numbers(self, "affine", self.affine, (4, 4))
            np.linalg.inv(self.affine)


def found_brain(mask_img, files, volumes) -> np.ndarray:
    """The mask that `Masker.find` finds, after a warning of what is doubtful."""
    brain = Masker.resolve(mask_img).find(files, volumes)
    warn_of(brain.doubts)
    return brain.mask


def _threshold(values, name):
    """Above which the values of a mask are inside, and what is doubtful about it.

    Two values are a mask, however they are written; values in between are
    probabilities, if they keep to the range of those.
    """
    low, high = float(values.min()), float(values.max())
    if low == high == 0:
        raise ValueError(f"{name} is empty: no voxel differs from zero.")
    if low == high:
        raise ValueError(
            f"{name} holds nothing but {low:g}, which shows no brain. Give a mask "
            "whose voxels are larger inside the brain than outside."
        )
    close = _CLOSE * (high - low)
    between = np.mean((values > low + close) & (values < high - close))
    if between < _BETWEEN and not _holds_labels(values, low, high):
        return (low + high) / 2, []
    for whole in (1.0, 100.0):
        in_range = -_BEYOND * whole <= low and whole / 2 < high <= (1 + _BEYOND) * whole
        if in_range and not _holds_labels(values, low, high):
            return whole / 2, [
                MaskWarning(
                    f"{name} holds values between {low:.3g} and {high:.3g}, which are "
                    f"taken for probabilities: what is above {whole / 2:g} is brain."
                )
            ]
    raise ValueError(
        f"{name} holds values between {low:.6g} and {high:.6g}, and is neither a mask "
        "of two values nor of probabilities from 0 to 1 or to 100. Give a mask of the "
        "brain."
    )


def _holds_labels(values, low, high):
    """Whether there are a few whole numbers, more than two, as in a segmentation."""
    if high - low < 1.5 or (values % 1).any():
        return False
    return 2 < len(np.unique(values)) < _PERCENTAGES


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

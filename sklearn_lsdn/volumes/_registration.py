"""Rigid and affine registration of images, across contrasts, by mutual information."""

from dataclasses import dataclass

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine

from .._utils.doubts import warn_of
from .._utils.optional import require
from ..exceptions import ScanWarning
from ._images import Image, open_image
from ._itk import (
    in_a_sentence,
    one_thread,
    resample,
    shrunken,
    to_itk,
    to_itk_with_contrast,
)
from ._mutual_information import MutualInformation
from ._transforms import TO_LPS, AffineTransform

_NOISE = 0.1  # nats of mutual information, which voxel grids that coincide feign
_LEAST_OVERLAP = 0.9  # of the smaller of two brains
_LEAST_DICE = 0.75  # of two brains, once one is fitted to the other in size
_LARGEST_ANGLE = 45.0  # degrees by which heads in scanners differ
_LARGEST_ZOOM = 1.5  # by which heads of one species do


class RegistrationWarning(ScanWarning):
    """An alignment that does not look right."""


@dataclass(frozen=True)
class Alignment:
    """How an image lies to another, and how well that fits.

    Parameters
    ----------
    transform : AffineTransform
        From points of the fixed image to those of the moving one.
    information : tuple of float
        What the images tell of each other before and after: mutual information in
        nats, which is minus infinity where they do not meet.
    dice : float or None
        Overlap of the brains, or the heads, where both show either.
    shift : float
        Of the middle of the fixed brain, in mm.
    doubts : tuple of Warning
        What is doubtful about either image, or looks wrong.
    """

    transform: AffineTransform
    information: tuple[float, float]
    dice: float | None
    shift: float
    doubts: tuple[Warning, ...]


def register_rigid(
    moving: Image,
    fixed: Image,
    *,
    moving_mask: Image | None = None,
    fixed_mask: Image | None = None,
    interpolation: str = "bspline",
    random_state: int = 0,
) -> tuple[nib.Nifti1Image, AffineTransform]:
    """Align an image to another of the same head, of any contrast, and resample it.

    Parameters
    ----------
    moving : path or nibabel image
        The image to be aligned.
    fixed : path or nibabel image
        What to align it to.
    moving_mask, fixed_mask : path or nibabel image, default=None
        Where the images are looked at; by default everywhere, or around the brain
        where all else is 0.
    interpolation : {"bspline", "linear"}, default="bspline"
        How the moving image is resampled, once.
    random_state : int, default=0
        Seed of the voxels that are looked at.

    Returns
    -------
    image : Nifti1Image
        The moving image on the grid of the fixed one: float32, 0 where it has no
        data.
    transform : AffineTransform
        From points of the fixed image to those of the moving one.

    Raises
    ------
    ImportError
        If SimpleITK is not installed.
    FileNotFoundError, TypeError, ValueError
        If an image cannot be used, or shows nothing.

    Warns
    -----
    PlaceWarning
        If a header is doubtful.
    RegistrationWarning
        If the alignment looks wrong: mutual information fell, the brains overlap
        little, or the head was turned far.

    See Also
    --------
    sklearn_lsdn.display.RegistrationDisplay : To look at the result.

    Examples
    --------
    >>> from sklearn_lsdn.datasets import make_brain_cohort
    >>> from sklearn_lsdn.volumes import register_rigid
    >>> cohort = make_brain_cohort(1, voxel_size=4, random_state=0)
    >>> t1w, t2w = cohort.images["T1w"][0], cohort.images["T2w"][0]
    >>> aligned, transform = register_rigid(t2w, t1w)
    >>> bool(transform.angle < 0.5)
    True
    """
    masks = {"moving_mask": moving_mask, "fixed_mask": fixed_mask}
    options = dict(masks, random_state=random_state)
    return _register(moving, fixed, interpolation, options)


def register_affine(
    moving: Image,
    fixed: Image,
    *,
    moving_mask: Image | None = None,
    fixed_mask: Image | None = None,
    interpolation: str = "bspline",
    random_state: int = 0,
) -> tuple[nib.Nifti1Image, AffineTransform]:
    """Fit an image to that of another head, in size too, and resample it.

    Else it does as `register_rigid`. Twelve numbers are found: rotation, shift, and
    zooms and shears as one head differs from another.

    Parameters
    ----------
    moving : path or nibabel image
        The image to be aligned.
    fixed : path or nibabel image
        What to align it to.
    moving_mask, fixed_mask : path or nibabel image, default=None
        Where the images are looked at.
    interpolation : {"bspline", "linear"}, default="bspline"
        How the moving image is resampled, once.
    random_state : int, default=0
        Seed of the voxels that are looked at.

    Returns
    -------
    image : Nifti1Image
        The moving image on the grid of the fixed one.
    transform : AffineTransform
        From points of the fixed image to those of the moving one; ``zooms`` tells by
        how much the moving head is larger along each axis.

    Raises
    ------
    ImportError, FileNotFoundError, TypeError, ValueError
        As `register_rigid`.

    Warns
    -----
    PlaceWarning, RegistrationWarning
        As `register_rigid`; also if the brains, once fitted, hardly overlap.

    See Also
    --------
    register_rigid : For images of one head.

    Examples
    --------
    >>> from sklearn_lsdn.datasets import make_brain_cohort
    >>> from sklearn_lsdn.volumes import register_affine
    >>> cohort = make_brain_cohort(2, voxel_size=4, random_state=0)
    >>> one, other = cohort.images["T1w"]
    >>> aligned, transform = register_affine(other, one)
    >>> transform.zooms.shape
    (3,)
    """
    masks = {"moving_mask": moving_mask, "fixed_mask": fixed_mask}
    options = dict(masks, degrees="affine", random_state=random_state)
    return _register(moving, fixed, interpolation, options)


def _register(moving, fixed, interpolation, options):
    files = open_image(moving, "moving"), open_image(fixed, "fixed")
    transform = estimate(*files, **options)
    return resample(*files, transform, interpolation=interpolation), transform


def estimate(moving, fixed, **options) -> AffineTransform:
    """Find a transform, resample nothing, and warn where it looks wrong.

    Parameters
    ----------
    moving, fixed, **options
        As `align` takes them.

    Returns
    -------
    transform : AffineTransform
        Whose ``matrix`` takes points of the fixed image to those of the moving one.
    """
    alignment = align(moving, fixed, **options)
    warn_of(alignment.doubts)
    return alignment.transform


def align(
    moving,
    fixed,
    *,
    degrees="rigid",
    moving_mask=None,
    fixed_mask=None,
    voxel_size=None,
    random_state=0,
) -> Alignment:
    """Find how an image lies to another; nothing is warned of, for threads' sake.

    Parameters
    ----------
    moving, fixed : path, nibabel image or ImageFile
    degrees : {"rigid", "affine", "pose"}, default="rigid"
        Of freedom: 6, for images of one head, or 12. Between heads of different sizes
        a rigid transform is ill defined; "pose" is rigid, with the rotation of the
        affine one, and takes the middle of the head where that does.
    moving_mask, fixed_mask : path, nibabel image or ImageFile, default=None
        Where the images are looked at.
    voxel_size : float, default=None
        In mm, of what is looked at: smaller voxels are averaged, for speed.
    random_state : int, default=0

    Returns
    -------
    alignment : Alignment

    Raises
    ------
    ImportError, FileNotFoundError, TypeError, ValueError
        As of `register_rigid`.
    """
    if degrees not in ("rigid", "affine", "pose"):
        raise ValueError(f"degrees must be rigid, affine or pose; got {degrees!r}.")
    moving, fixed = open_image(moving, "moving"), open_image(fixed, "fixed")
    why = "Do they overlap, and have more than a few slices? Check their affines."
    what = f"{moving.name} cannot be registered to {fixed.name}"
    with one_thread(), in_a_sentence(what, why):
        images = [to_itk_with_contrast(file) for file in (fixed, moving)]
        masks = [
            None if mask is None else to_itk(open_image(mask, name)) != 0
            for mask, name in ((fixed_mask, "fixed_mask"), (moving_mask, "moving_mask"))
        ]
        if voxel_size is not None:
            images = [shrunken(image, voxel_size) for image in images]
            masks = [mask and shrunken(mask, voxel_size) for mask in masks]
        likeness = MutualInformation(*images, masks, random_state)
        starts = likeness.starts()
        at_start = [likeness.at(start) for start in starts]
        found = starts[int(np.argmax(at_start))]
        likeness.climb(found)
        middle = np.array(likeness.middle())
        if degrees != "rigid":
            found = _affine(found)
            likeness.climb(found, step=1.0)
        if degrees == "pose":
            stretched = AffineTransform.from_itk(found)
            found = stretched.pose(apply_affine(TO_LPS, middle)).to_itk()
        information = at_start[0], likeness.at(found)
        shared, dice = likeness.overlap(found)
    transform = AffineTransform.from_itk(found)
    shift = float(np.linalg.norm(np.subtract(found.TransformPoint(middle), middle)))
    doubts = [*moving.doubts, *fixed.doubts]
    fitted = dice if degrees == "affine" else None
    if wrong := _what_is_wrong(information, shared, fitted, transform):
        doubts.append(
            RegistrationWarning(
                f"{moving.name} may be badly aligned to {fixed.name}: {wrong}. Look "
                "at it."
            )
        )
    return Alignment(transform, information, dice, shift, tuple(doubts))


def _affine(rigid):
    """The same transform of ITK, free to stretch."""
    affine = require("SimpleITK").AffineTransform(3)
    affine.SetCenter(rigid.GetCenter())
    affine.SetMatrix(rigid.GetMatrix())
    affine.SetTranslation(rigid.GetTranslation())
    return affine


def _what_is_wrong(information, shared, dice, transform):
    """In words; nothing if all is well."""
    wrong = []
    before, after = information
    if after - before < -_NOISE:
        wrong.append("the images tell less of each other than before")
    if shared < _LEAST_OVERLAP:
        wrong.append(f"they share {shared:.0%} of the smaller head")
    if dice is not None and dice < _LEAST_DICE:
        wrong.append(f"they overlap with a Dice coefficient of {dice:.2f}")
    if transform.angle > _LARGEST_ANGLE:
        wrong.append(f"the head is turned by {transform.angle:.0f} degrees")
    if transform.mirrors:
        wrong.append("the head is mirrored")
    zooms = np.maximum(transform.zooms, 1 / transform.zooms)
    if (largest := zooms.max()) > _LARGEST_ZOOM:
        wrong.append(f"the head is stretched {largest:.2g}-fold")
    return ", ".join(wrong)

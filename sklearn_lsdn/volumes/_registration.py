"""Rigid registration of images, across contrasts, by mutual information."""

import warnings
from contextlib import contextmanager
from dataclasses import dataclass

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from scipy.spatial.transform import Rotation

from .._utils.doubts import warn_of
from .._utils.files import written_whole
from .._utils.optional import require
from ._images import open_image
from ._subjects import Image

_SMOOTHING = {4: 2.0, 2: 1.0, 1: 0.0}  # mm, where so many voxels are made one
_SAMPLES = [20_000, 30_000, 60_000]  # voxels of the fixed image, at each level
_BORDER = 5  # voxels around a brain whose surroundings are 0: its outline tells much
_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # world axes of ITK, from those of NIfTI
_NOISE = 0.1  # nats of mutual information, which voxel grids that coincide feign
_LEAST_OVERLAP = 0.9  # of the smaller of two brains
_LARGEST_ANGLE = 45.0  # degrees by which heads in scanners differ


class RegistrationWarning(UserWarning):
    """An alignment that does not look right."""


@dataclass(frozen=True)
class RigidTransform:
    """A rotation and translation, from the world mm of one image to another's.

    Parameters
    ----------
    matrix : ndarray of shape (4, 4)
        Takes points of the fixed image to those of the moving one.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lsdn.volumes._registration import RigidTransform
    >>> shift = RigidTransform(np.array([[1, 0, 0, 3], [0, 1, 0, 0], [0, 0, 1, 4],
    ...                                  [0, 0, 0, 1.0]]))
    >>> shift.angle, shift.displacement([[10, 20, 30]])
    (0.0, array([5.]))
    >>> shift.then(shift).matrix[:3, 3]
    array([6., 0., 8.])
    """

    matrix: np.ndarray

    @property
    def angle(self) -> float:
        """Of the rotation, in degrees."""
        rotation = Rotation.from_matrix(self.matrix[:3, :3])
        return float(np.degrees(rotation.magnitude()))

    def apply(self, points) -> np.ndarray:
        """Take world points (n, 3) of the fixed image to the moving image."""
        return apply_affine(self.matrix, points)

    def displacement(self, points) -> np.ndarray:
        """How far each of the points (n, 3) is moved, in mm."""
        return np.linalg.norm(self.apply(points) - np.asarray(points), axis=1)

    def then(self, following) -> "RigidTransform":
        """Both in turn, as one: for images that are registered in two steps."""
        return RigidTransform(following.matrix @ self.matrix)

    def save(self, path, *, overwrite=False):
        """Write an ITK transform file, which ITK, ANTs and 3D Slicer read.

        Parameters
        ----------
        path : path-like
            Ending in ``.tfm``.
        overwrite : bool, default=False
            Replace an existing file.
        """
        sitk = require("SimpleITK")
        with written_whole(path, suffix=".tfm", overwrite=overwrite) as temporary:
            sitk.WriteTransform(_to_itk(self), str(temporary))


def register_rigid(
    moving: Image,
    fixed: Image,
    *,
    moving_mask: Image | None = None,
    fixed_mask: Image | None = None,
    interpolation: str = "bspline",
    random_state: int = 0,
) -> tuple[nib.Nifti1Image, RigidTransform]:
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
    transform : RigidTransform
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
    transform = estimate_rigid(
        moving,
        fixed,
        moving_mask=moving_mask,
        fixed_mask=fixed_mask,
        random_state=random_state,
    )
    return resample(moving, fixed, transform, interpolation=interpolation), transform


def estimate_rigid(
    moving, fixed, *, moving_mask=None, fixed_mask=None, random_state=0
) -> RigidTransform:
    """Find the transform of `register_rigid`, which see, and resample nothing."""
    moving, fixed = open_image(moving, "moving"), open_image(fixed, "fixed")
    warn_of([*moving.doubts, *fixed.doubts])
    why = "Do they overlap, and have more than a few slices? Check their affines."
    with _in_a_sentence(f"{moving.name} cannot be registered to {fixed.name}", why):
        images = [_read_with_contrast(fixed), _read_with_contrast(moving)]
        masks = [
            None if mask is None else _read(open_image(mask, name)) != 0
            for mask, name in ((fixed_mask, "fixed_mask"), (moving_mask, "moving_mask"))
        ]
        found, doubts = _search(images, masks, random_state)
    if doubts:
        warnings.warn(
            f"{moving.name} may be badly aligned to {fixed.name}: {doubts}. Look "
            "at it.",
            RegistrationWarning,
            stacklevel=2,
        )
    return _from_itk(found)


def _search(images, masks, random_state):
    """From points of the fixed of two images of ITK to the moving one, and doubts."""
    sitk = require("SimpleITK")
    brains = [image != 0 if _is_stripped(image) else None for image in images]
    if masks[0] is None and brains[0] is not None:
        # The outline of a brain says much, unless the other image shows a head.
        border = 0 if brains[1] is None else _BORDER
        masks[0] = sitk.BinaryDilate(brains[0], [border] * 3)

    def method(masks):
        method = sitk.ImageRegistrationMethod()
        method.SetMetricAsMattesMutualInformation(32)
        method.SetInterpolator(sitk.sitkLinear)
        if masks[0] is not None:
            method.SetMetricFixedMask(masks[0])
        if masks[1] is not None:
            method.SetMetricMovingMask(masks[1])
        return method

    n_voxels = float(np.prod(images[0].GetSize()))
    step = max(1, int((n_voxels / _SAMPLES[0]) ** (1 / 3)))
    sparse = [
        None if each is None else sitk.Shrink(each, [step] * 3)
        for each in (images[0], masks[0])
    ]

    def information(transform):
        coarse = method([sparse[1], masks[1]])
        coarse.SetInitialTransform(transform)
        coarse.SetMetricUseFixedImageGradientFilter(False)  # no need of gradients
        coarse.SetMetricUseMovingImageGradientFilter(False)
        try:
            return -coarse.MetricEvaluate(sparse[0], images[1])
        except RuntimeError:  # the images do not meet
            return -np.inf

    starts = _starts(*images)
    before = [information(start) for start in starts]
    found = starts[int(np.argmax(before))]
    search = method(masks)
    search.SetShrinkFactorsPerLevel(list(_SMOOTHING))
    search.SetSmoothingSigmasPerLevel(list(_SMOOTHING.values()))
    # A jittered grid has less noise than voxels drawn at random.
    search.SetMetricSamplingStrategy(search.REGULAR)
    shares = [
        min(1.0, n * shrink**3 / n_voxels)
        for n, shrink in zip(_SAMPLES, _SMOOTHING, strict=True)
    ]
    search.SetMetricSamplingPercentagePerLevel(shares, random_state + 1)
    search.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-4, 200)
    search.SetOptimizerScalesFromPhysicalShift()
    search.SetInitialTransform(found, inPlace=True)
    search.Execute(*images)
    # Threads add up in any order: drop the digits that depend on it.
    found.SetParameters(np.round(found.GetParameters(), 8).tolist())
    return found, _doubts(images, brains, found, information(found) - before[0])


def resample(moving, fixed, transform, *, interpolation="bspline") -> nib.Nifti1Image:
    """Bring an image onto the grid of another.

    Parameters
    ----------
    moving, fixed : path or nibabel image
        As `register_rigid` takes them; only the grid of ``fixed`` matters.
    transform : RigidTransform
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
    with _in_a_sentence(f"{moving.name} cannot be resampled", "Is it a volume?"):
        voxels = _resampled(
            _read(moving), _read(fixed), transform, kinds[interpolation]
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
    resampler.SetTransform(_to_itk(transform))
    resampler.SetInterpolator(interpolator)
    voxels = _array(resampler.Execute(image))
    known = sitk.GetArrayViewFromImage(image)  # splines overshoot
    np.clip(voxels, min(0, known.min()), known.max(), out=voxels)
    if _is_stripped(image):
        resampler.SetInterpolator(sitk.sitkLinear)
        brain = sitk.Cast(image != 0, sitk.sitkFloat32)
        voxels[_array(resampler.Execute(brain)) < 0.5] = 0
    return voxels


@contextmanager
def _in_a_sentence(what, remedy):
    """Tell what ITK raises as a ValueError."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).rpartition("ERROR: ")[2].partition("\n")[0].strip(" .")
        raise ValueError(f"{what} ({reason}). {remedy}") from error


def _read_with_contrast(file):
    """The same as `_read`, but for a file that shows nothing."""
    image = _read(file)
    voxels = require("SimpleITK").GetArrayViewFromImage(image)
    if voxels.min() == voxels.max():
        raise ValueError(
            f"{file.name} cannot be registered: it shows nothing, for all its voxels "
            f"are {voxels.min():g}. Check whether it is the right file."
        )
    return image


def _read(file):
    """An image of ITK with the voxels of a file, and its place in the world."""
    sitk = require("SimpleITK")
    image = sitk.GetImageFromArray(np.ascontiguousarray(file.read().T))
    affine = _TO_LPS @ file.affine
    spacing = voxel_sizes(affine)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    return image


def _array(image):
    return require("SimpleITK").GetArrayFromImage(image).T


def _to_itk(transform):
    matrix = _TO_LPS @ transform.matrix @ _TO_LPS
    itk = require("SimpleITK").Euler3DTransform()
    itk.SetMatrix(matrix[:3, :3].ravel().tolist(), 1e-6)
    itk.SetTranslation(matrix[:3, 3].tolist())
    return itk


def _from_itk(itk):
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(itk.GetMatrix(), (3, 3))
    matrix[:3, 3] = itk.TransformPoint((0.0, 0.0, 0.0))
    return RigidTransform(_TO_LPS @ matrix @ _TO_LPS)


def _is_stripped(image):
    """Whether the surroundings of a brain, or head, are exactly 0."""
    voxels = require("SimpleITK").GetArrayViewFromImage(image)
    return np.count_nonzero(voxels) < 0.9 * voxels.size


def _starts(fixed, moving):
    """As the headers place the images; their middles, or masses, on each other."""
    sitk = require("SimpleITK")
    kinds = sitk.CenteredTransformInitializerFilter
    starts = [
        sitk.Euler3DTransform(
            sitk.CenteredTransformInitializer(
                fixed, moving, sitk.Euler3DTransform(), kind
            )
        )
        for kind in (kinds.GEOMETRY, kinds.GEOMETRY, kinds.MOMENTS)
    ]
    starts[0].SetTranslation((0.0, 0.0, 0.0))
    return starts


def _doubts(images, brains, found, gain):
    """What looks wrong about an alignment, in words; nothing if all is well."""
    sitk = require("SimpleITK")
    doubts = []
    if gain < -_NOISE:
        doubts.append("the images tell less of each other than before")
    fixed, moving = (
        sitk.OtsuThreshold(image, 0, 1) if brain is None else brain
        for image, brain in zip(images, brains, strict=True)
    )
    smaller = min(_volume(fixed), _volume(moving))
    moved = sitk.Resample(moving, fixed, found, sitk.sitkNearestNeighbor, 0)
    overlap = _volume(sitk.And(fixed, moved)) / max(smaller, 1e-12)
    if overlap < _LEAST_OVERLAP:
        doubts.append(f"they share {overlap:.0%} of the smaller head")
    if (angle := _from_itk(found).angle) > _LARGEST_ANGLE:
        doubts.append(f"the head is turned by {angle:.0f} degrees")
    return ", ".join(doubts)


def _volume(mask):
    """In cubic mm."""
    voxels = require("SimpleITK").GetArrayViewFromImage(mask)
    return np.count_nonzero(voxels) * np.prod(mask.GetSpacing())

"""NIfTI in and out: reading with clear refusals, one orientation, whole files."""

import gzip
import hashlib
import math
import os
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from nibabel.arrayproxy import ArrayProxy
from nibabel.orientations import (
    apply_orientation,
    inv_ornt_aff,
    io_orientation,
    ornt_transform,
)
from nibabel.wrapstruct import WrapStruct

from .._utils.files import written_whole
from .._utils.store import identity
from ..exceptions import PlaceWarning
from ._headers import doubts_about, is_placed, millimetres, on_grid_of
from ._loading import ZIPPED, ZIPPED_OTHERWISE, load

try:
    from isal import igzip  # as small as nibabel's own, in a fraction of the time
except ImportError:
    igzip = None

Image = str | os.PathLike | nib.spatialimages.SpatialImage

_CANONICAL = np.array(
    [[0, 1], [1, 1], [2, 1]]
)  # axes towards right, anterior, superior
_ONE_GRID = 0.01  # voxels by which its corners may lie apart
_ROUNDING = 1e-4  # of affines that were written with four decimals
_BYTES_FROM_ONE = 1032  # at most, by deflate


@dataclass(frozen=True)
class ImageFile:
    """An image whose header has been checked and whose voxels wait to be read."""

    image: nib.spatialimages.SpatialImage
    name: str  # for messages
    location: str = ""  # absolute path, if it was given by its path
    mask: "ImageFile | None" = None  # the brain in it, where it was given
    contrast: int = 0  # which of the sources or targets of its subject it is,
    among: int = 1  # and of how many

    def __reduce__(self):
        # By its path, not its header: little to send, and found from any folder.
        if self.location:
            return _opened, (self.location, self.name, *self._about)
        return ImageFile, (self.image, self.name, "", *self._about)

    @property
    def _about(self):
        return self.mask, self.contrast, self.among

    @property
    def path(self) -> str:
        """Path of the file; empty for an image in memory."""
        return str(self.image.get_filename() or "")

    @property
    def doubts(self) -> tuple[PlaceWarning, ...]:
        """What is doubtful about where it lies, by its header."""
        return tuple(
            PlaceWarning(f"{self.name} {doubt}") for doubt in doubts_about(self.image)
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array that `read` returns, in whole numbers without end."""
        axes = np.argsort(self._orientation[:, 0])
        shape = tuple(map(int, self.image.shape))  # MGH's overflow
        return tuple(shape[axis] for axis in axes)

    def read(self, *, finite: bool = True) -> np.ndarray:
        """A new float32 array of the voxels, turned towards right, anterior, superior.

        Parameters
        ----------
        finite : bool, default=True
            Refuse NaN and infinity, rather than leave them to the caller.

        Raises
        ------
        ValueError
            If the file is damaged or, unless told otherwise, holds NaN or infinity.
        """
        try:
            with np.errstate(over="ignore"):  # infinite voxels are reported below
                data = _read_voxels(self.image)
        except MemoryError:
            raise
        except Exception as error:  # of readers and unpackers
            raise ValueError(
                f"{self.name} cannot be read to its end ({error}). The file seems "
                "truncated or damaged: copy or download it again."
            ) from error
        bad = finite and data.size - np.count_nonzero(np.isfinite(data))
        if bad:
            raise ValueError(
                f"{self.name} holds {bad} NaN or infinite voxels. Replace them, for "
                "example by 0 outside the brain."
            )
        data = data.reshape(data.shape[:3])  # a series of one volume is that volume
        # A copy, since an image in memory hands out its own voxels.
        return np.array(apply_orientation(data, self._orientation), order="C")

    def fingerprint(self) -> str:
        """Identity of voxels, grid, header and mask, wherever the files lie."""
        image, header = self.image, self.image.header
        files = sorted(
            os.path.realpath(holder.filename)
            for holder in image.file_map.values()
            if holder.filename and os.path.exists(holder.filename)
        )
        if files and nib.is_proxy(image.dataobj) and not image.in_memory:
            data = [_digest(path) for path in files]
        else:
            data = self.read(finite=False)
        header = header.binaryblock if isinstance(header, WrapStruct) else None
        stored = image.get_data_dtype()
        own = identity(data, image.shape, image.affine, str(stored), header)
        return own if self.mask is None else identity(own, self.mask.fingerprint())

    @property
    def _orientation(self):
        return io_orientation(self.image.affine)

    @property
    def affine(self) -> np.ndarray:
        """From indices of the array that `read` returns to world mm."""
        unit = np.diag([*[millimetres(self.image)] * 3, 1.0])
        turned = inv_ornt_aff(self._orientation, self.image.shape[:3])
        return unit @ self.image.affine @ turned

    @property
    def voxel_size(self) -> np.ndarray:
        """In mm, towards right, anterior and superior."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    def like(self, data, dtype=np.float32) -> nib.Nifti1Image:
        """Image of an array on the grid of `read`, on the grid of the file.

        Affine, sform, qform, their codes and the unit are the file's; the data are
        float32, or of another type, without scaling.
        """
        back = ornt_transform(_CANONICAL, self._orientation)
        data = np.ascontiguousarray(apply_orientation(data, back), dtype=dtype)
        return on_grid_of(self.image, data)


def _digest(path):
    """Of a file's content, whatever its size and times say of changes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _opened(location, name, *about):
    return ImageFile(nib.load(location), name, location, *about)


def _read_voxels(image):
    """Voxels as float32; a zipped file is read to its end, where its checksum is."""
    proxy = image.dataobj
    path = getattr(proxy, "file_like", None)
    if type(proxy) is not ArrayProxy or image.in_memory or not isinstance(path, str):
        return image.get_fdata(dtype=np.float32, caching="unchanged")
    zipped = path.lower().endswith(ZIPPED)
    compressed = zipped or path.lower().endswith(ZIPPED_OTHERWISE)
    _check_room(proxy, os.path.getsize(path), compressed)
    if not zipped:
        return image.get_fdata(dtype=np.float32, caching="unchanged")
    with (igzip or gzip).open(path) as stream:
        layout = proxy.shape, proxy.dtype, proxy.offset, proxy.slope, proxy.inter
        voxels = ArrayProxy(stream, layout, order=proxy.order)
        data = np.asanyarray(voxels, dtype=np.float32)
        while stream.read(2**20):
            pass
    return data


def _check_room(proxy, size, compressed):
    """Raise ValueError, before memory is taken, if a file cannot hold its voxels."""
    claimed = proxy.offset + math.prod(map(int, proxy.shape)) * proxy.dtype.itemsize
    if claimed > size * (_BYTES_FROM_ONE if compressed else 1):
        raise ValueError(f"it has {size} bytes, and its header claims {claimed}")


def with_gaps(images) -> list:
    """Images of a subject, one a contrast: None, where opened ones lack it.

    Parameters
    ----------
    images : list
        As users give them, which is returned, or of ImageFile.
    """
    if not images or not all(isinstance(image, ImageFile) for image in images):
        return images
    held = {file.contrast: file for file in images}
    return [held.get(c) for c in range(images[0].among)]


def fingerprints(files) -> list:
    """What tells images of a subject from others, and which contrasts they are."""
    found = [file.fingerprint() for file in files]
    contrasts = [file.contrast for file in files]
    return found if contrasts == [*range(len(files))] else [found, contrasts]


def open_image(image, label) -> ImageFile:
    """Check a path or nibabel image without reading its voxels.

    Parameters
    ----------
    image : str, path-like or nibabel image
        Or what this made of one, which is returned.
    label : str
        What to call it in messages, beside its path.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    PermissionError
        If it may not be read.
    TypeError
        If it is neither a path nor an image.
    ValueError
        If it is no image, not three-dimensional, empty, not of real numbers, or
        its header does not place its voxels.
    """
    if isinstance(image, ImageFile):
        return image
    location = ""
    if isinstance(image, str | os.PathLike):
        location = os.path.abspath(image)
        name = f"{label} ({Path(image)})"
        image = load(Path(image), name)
    else:
        name = label
        filename = getattr(image, "get_filename", lambda: None)()
        if filename:
            name = f"{label} ({filename})"
    if image is None:
        raise ValueError(f"{name} is missing. Every subject needs every contrast.")
    if not isinstance(image, nib.spatialimages.SpatialImage):
        raise TypeError(
            f"{name} must be a path or a nibabel image, got {type(image).__name__}."
        )
    if len(image.shape) < 3 or math.prod(map(int, image.shape[3:])) > 1:
        raise ValueError(
            f"{name} is {len(image.shape)}-D, of shape {image.shape}. Give a 3-D "
            "image; of a series, one volume (nibabel.four_to_three splits it)."
        )
    if min(image.shape) < 1:
        raise ValueError(f"{name} holds no voxels: its shape is {image.shape}.")
    if np.dtype(image.get_data_dtype()).kind not in "biuf":
        raise ValueError(
            f"{name} holds {image.get_data_dtype()}, not real numbers. Give a "
            "magnitude image of one channel."
        )
    affine = image.affine
    if affine is None or not _places_voxels(affine):
        raise ValueError(
            f"{name} has an affine that does not place its voxels in space:\n{affine}\n"
            "Repair its sform or qform."
        )
    if not is_placed(image):
        raise ValueError(
            f"{name} does not say where its voxels lie: the codes of its sform and "
            "qform are both 0. Take both from the scan that it was made of or, if you "
            "know that its affine is right, say so: image.set_sform(image.affine, 1)."
        )
    return ImageFile(image, name, location)


def _places_voxels(affine):
    return (
        np.isfinite(affine).all()
        and abs(np.linalg.det(affine[:3, :3])) > 1e-12
        and np.isfinite(io_orientation(affine)).all()
    )


def check_same_grid(first: ImageFile, second: ImageFile):
    """Raise ValueError unless both lie on one grid of voxels, in whatever order."""
    remedy = "Register and resample one onto the other's grid."
    if first.shape != second.shape:
        raise ValueError(
            f"{first.name} and {second.name} lie on different grids: {first.shape} and "
            f"{second.shape} voxels. {remedy}"
        )
    corners = np.array(list(np.ndindex(2, 2, 2))) * np.subtract(first.shape, 1)
    ours, theirs = first.affine, second.affine
    there = apply_affine(np.linalg.inv(ours) @ theirs, corners)
    voxels = np.abs(there - corners).max()
    apart = np.abs(apply_affine(theirs - ours, corners))  # mm along each axis
    tolerance = min(_ROUNDING, _ONE_GRID * first.voxel_size.min())
    # What headers were rounded by adds up from their first voxel to the last.
    turned = np.abs(theirs - ours)[:3, :3].max()
    rounded = max(turned, apart.max(axis=1).min()) <= tolerance
    if voxels > _ONE_GRID and not rounded:
        raise ValueError(
            f"{first.name} and {second.name} lie on different grids: their affines put "
            f"the same voxel up to {voxels:.2g} voxels ({apart.max():.2g} mm) apart. "
            f"{remedy}"
        )


def read_on_one_grid(labelled) -> tuple[list[ImageFile], list[np.ndarray]]:
    """Open images that lie on one grid, and read them.

    Parameters
    ----------
    labelled : iterable of tuple
        For each image what to call it in messages, and what `open_image` takes.
    """
    files = [open_image(image, label) for label, image in labelled]
    for file in files[1:]:
        check_same_grid(files[0], file)
    return files, [file.read() for file in files]


def save_image(image, path, *, overwrite=False):
    """Write an image whole or not at all.

    Parameters
    ----------
    image : nibabel image
    path : str or path-like
        Its ending decides about compression: ``.nii`` or ``.nii.gz``.
    overwrite : bool, default=False
        Replace an existing file.

    Raises
    ------
    FileExistsError
        If the file exists and ``overwrite`` is false.
    OSError
        If the file cannot be written.
    """
    suffix = ".nii.gz" if str(path).endswith(".gz") else ".nii"
    with written_whole(path, suffix=suffix, overwrite=overwrite) as temporary:
        if igzip is None or suffix == ".nii" or not isinstance(image, nib.Nifti1Image):
            nib.save(image, temporary)
        else:
            with (
                open(temporary, "wb") as file,
                igzip.IGzipFile("", "wb", fileobj=file, mtime=0) as zipped,
            ):
                image.to_stream(zipped)

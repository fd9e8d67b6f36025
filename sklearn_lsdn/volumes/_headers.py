"""What a header says of where its voxels lie, and what outputs take over of it."""

import contextlib

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from nibabel.spatialimages import HeaderDataError

_UNITS = {1: ("metres", 1e3), 3: ("microns", 1e-3)}  # in mm, by NIfTI's codes
_VOXELS = 0.01, 50.0  # mm along a side; rodents have 0.05, thick slices 10
_LONGEST = 1000.0  # mm, of a box around a head
_APART = 1.0  # voxels by which two forms of one code may differ
_PLACE = ("qform_code", "sform_code", "xyzt_units", "srow_x", "srow_y", "srow_z")
_PLACE += ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z")


def is_placed(image) -> bool:
    """Whether a header says where its voxels lie; formats without codes always do."""
    header = image.header
    if not isinstance(header, nib.Nifti1Header):
        return True
    return bool(header["sform_code"] > 0 or header["qform_code"] > 0)


def millimetres(image) -> float:
    """How many are one unit of an image's affine."""
    _, scale = _unit(image)
    sides = voxel_sizes(image.affine)
    if _fit_a_head(sides, image) and not _fit_a_head(sides * scale, image):
        return 1.0  # the unit is wrong
    return scale


def doubts_about(image) -> list[str]:
    """What is doubtful about where an image lies: what it does, and what to do."""
    doubts, header = [], image.header
    unit, scale = _unit(image)
    sides = voxel_sizes(image.affine)
    if scale != millimetres(image):
        doubts.append(
            f"says that it is measured in {unit}, but its voxels would be "
            f"{_sides(sides * scale)} mm large. They are taken for mm; if that is "
            'right, say so: image.header.set_xyzt_units("mm").'
        )
    elif not _fit_a_head(sides * scale, image):
        doubts.append(
            f"has voxels of {_sides(sides * scale)} mm, by its header, and no scan of "
            "a head has. If they are in metres or microns, say so: "
            'image.header.set_xyzt_units("meter"), or "micron".'
        )
    if isinstance(header, nib.Nifti1Header):
        apart = _forms_apart(image)
        if apart > _APART:
            doubts.append(
                f"has an sform and a qform of one code, {int(header['sform_code'])}, "
                f"that put its voxels up to {apart:.3g} voxels apart. The sform is "
                "taken; if that is right, say so: image.set_qform(image.affine, 1)."
            )
    elif isinstance(header, nib.AnalyzeHeader) and _is_a_convention(image):
        doubts.append(
            "is an Analyze file, which does not say where its voxels lie, nor which "
            "side is left. A convention is taken; convert the original scan to NIfTI, "
            "or look whether left is left."
        )
    return doubts


def on_grid_of(image, data) -> nib.Nifti1Image:
    """Image of an array, placed as another is.

    Nothing else that the other's header says of itself is handed on, such as intent,
    description, display range, timing and extensions.
    """
    header = image.header
    if not isinstance(header, nib.Nifti1Header):
        return nib.Nifti1Image(data, image.affine)
    second = isinstance(header, nib.Nifti2Header)
    kind = nib.Nifti2Image if second else nib.Nifti1Image
    new = kind.header_class(endianness=header.endianness)
    new.set_data_shape(data.shape)
    new.set_data_dtype(data.dtype)
    for field in _PLACE:
        new[field] = header[field]
    new["pixdim"][:4] = header["pixdim"][:4]
    return kind(data, image.affine, new)


def _unit(image):
    if not isinstance(image.header, nib.Nifti1Header):
        return "mm", 1.0
    return _UNITS.get(int(image.header["xyzt_units"]) % 8, ("mm", 1.0))


def _fit_a_head(sides, image):
    low, high = _VOXELS
    box = sides * image.shape[:3]
    return low <= sides.min() and sides.max() <= high and box.max() <= _LONGEST


def _sides(sides):
    return " x ".join(f"{side:.4g}" for side in sides)


def _forms_apart(image):
    """In voxels, how far sform and qform put one apart; 0 if they may differ."""
    header = image.header
    if int(header["sform_code"]) != int(header["qform_code"]):
        return 0.0  # they lead to different spaces
    with contextlib.suppress(HeaderDataError, np.linalg.LinAlgError):
        corners = np.array(list(np.ndindex(2, 2, 2))) * np.subtract(image.shape[:3], 1)
        there = np.linalg.inv(header.get_sform()) @ header.get_qform()
        return float(np.abs(apply_affine(there, corners) - corners).max())
    return 0.0  # a qform that is none


def _is_a_convention(image):
    """Rather than what a ``.mat`` file, or the user, says."""
    return np.allclose(image.affine, image.header.get_best_affine())

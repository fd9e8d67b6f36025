"""Where a voxel lies, as the three coordinates that a network sees."""

from functools import cache

import nibabel as nib
import numpy as np

from .._utils.optional import require
from ..exceptions import PlaceWarning
from ._images import ImageFile, open_image
from ._registration import align

_ENDS = ("left", "right"), ("back", "front"), ("bottom", "top")
_CUT = 0.5  # of a brain's largest cross-section, which an end that cuts it shows

PLACES = ("world", "brain", "template", None)
"""What may say where a voxel lies."""

EDGES = 0.01, 0.99  # shares of a brain that lie below its box's ends
BOX = np.array([[-64.0, -96.0, -56.0], [64.0, 63.0, 72.0]])
"""Ends of the box, in mm towards right, anterior and superior: where those of the brain
of MNI152 lie."""


def places_of(kind, mask, affine, volume, name):
    """Find the map to coordinates.

    Parameters
    ----------
    kind : {"world", "brain", "template"} or None
    mask : ndarray of bool of shape (nx, ny, nz)
        The brain.
    affine : ndarray of shape (4, 4)
        From indices to world mm.
    volume : float32 array of shape (nx, ny, nz)
        The scan, for a registration.
    name : str
        Of the scan, for messages.

    Returns
    -------
    places : ndarray of shape (4, 4)
        From indices to coordinates in mm.
    doubts : list of ScanWarning
        What is doubtful of them.
    """
    if kind == "brain":
        return _to_box(mask), _doubts_of_ends(mask, name)
    if kind == "template":
        return _to_template(mask, affine, volume, name)
    return affine, []


def _to_box(mask):
    """Map a brain's extent along each axis to that of a standard box."""
    places = np.eye(4)
    for axis in range(3):
        others = tuple({0, 1, 2} - {axis})
        below = np.concatenate([[0], np.cumsum(mask.sum(axis=others))])
        edges = np.interp(EDGES, below / below[-1], np.arange(len(below)) - 0.5)
        scale = np.diff(BOX[:, axis])[0] / max(np.diff(edges)[0], 1e-6)
        places[axis, axis] = scale
        places[axis, 3] = BOX[0, axis] - scale * edges[0]
    return places


def _doubts_of_ends(mask, name):
    """Say that a brain is cut off by an end of the volume, which moves its box."""
    cut = []
    for axis in range(3):
        areas = mask.sum(axis=tuple({0, 1, 2} - {axis}))
        cut.append(areas[[0, -1]] > _CUT * areas.max())
    # A brain that fills the volume from end to end is told elsewhere.
    if not np.any(cut) or np.all(cut, axis=1).any():
        return []
    ends = ", ".join(np.array(_ENDS)[np.array(cut)])
    return [
        PlaceWarning(
            f"{name}: the volume ends within the brain, at its {ends}. The box around "
            "the brain tells where voxels lie, and a part is missing: give the whole, "
            "or use other places."
        )
    ]


def _to_template(mask, affine, volume, name):
    """The same by an affine registration, and what is doubtful of it."""
    brain = nib.Nifti1Image(np.where(mask, volume, 0), affine)
    # Coordinates need no more: at 2 mm it takes a fifth of the time.
    options = dict(degrees="affine", voxel_size=2.0)
    alignment = align(ImageFile(brain, name), _template(), **options)
    return np.linalg.inv(alignment.transform.matrix) @ affine, [*alignment.doubts]


@cache
def _template():
    template = require("nilearn.datasets").load_mni152_template(resolution=1)
    return open_image(template, "MNI152")

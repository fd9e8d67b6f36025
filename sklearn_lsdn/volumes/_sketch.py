"""A sketch of a subject: what its scans are like, in a few thousand numbers."""

from dataclasses import dataclass, replace

import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage
from scipy.linalg import polar

CELL = 8.0  # mm
LEVELS = np.linspace(0.01, 0.99, 50)
"""Of the quantiles of intensities that are compared."""

_VOXELS = 150_000  # of the brain, that a sketch is made of, about
_SLAB = 5  # voxels through the middle, that texture is measured in


@dataclass
class Sketch:
    """What a subject's scans are like.

    Parameters
    ----------
    voxel_size : ndarray of shape (3,)
        Of the scans' own grid, in mm.
    millilitres : float
        Volume of the brain.
    centre : ndarray of shape (3,)
        Of the brain's places, in mm.
    cells : ndarray of int of shape (n_cells, 3)
        Cells of 8 mm a side that hold brain, counted from the origin of places.
    share : ndarray of shape (n_cells,)
        How much of each is brain.
    intensities : ndarray of shape (n_contrasts, n_cells)
        Mean over the brain there, in each source contrast; NaN, as in what follows, for
        one that is missing.
    quantiles : ndarray of shape (n_contrasts, n_levels)
        Of all intensities.
    texture : ndarray of shape (n_contrasts,)
        Natural logarithm of what a voxel differs by from the mean of its six
        neighbours, beside the spread of all; NaN where too little was to be seen.
    further : float
        Volume of the brain's further pieces beside that of its largest.
    """

    voxel_size: np.ndarray
    millilitres: float
    centre: np.ndarray
    cells: np.ndarray
    share: np.ndarray
    intensities: np.ndarray
    quantiles: np.ndarray
    texture: np.ndarray
    further: float

    @classmethod
    def of(cls, subject, volumes) -> "Sketch":
        """Sketch a subject that has been read, in the units of its scans.

        Parameters
        ----------
        subject : Subject
        volumes : list of float32 arrays, or None
            What its source contrasts hold.
        """
        step = max(round((np.count_nonzero(subject.mask) / _VOXELS) ** (1 / 3)), 1)
        lattice = (slice(None, None, step),) * 3
        seen = subject.mask[lattice]
        if not seen.any():
            step, lattice, seen = 1, (slice(None),) * 3, subject.mask
        matrix, middle = _in_millimetres(subject.places, subject.affine, seen, step)
        # Sums, not a BLAS, whose threads would take longer to wake.
        seen_at = np.argwhere(seen).T * float(step)
        located = np.einsum("kj,ji->ki", matrix, seen_at).T
        located += middle - located.mean(axis=0)
        places = np.floor(located / CELL).astype(int)
        low = places.min(axis=0)
        shape = places.max(axis=0) - low + 1
        where = np.ravel_multi_index((places - low).T, shape)
        counts = np.bincount(where, minlength=np.prod(shape))
        held = np.flatnonzero(counts)
        counts = counts[held]
        nothing = np.full(len(seen_at.T), np.nan)
        values = [nothing if v is None else v[lattice][seen] for v in volumes]
        whole = CELL**3 / (abs(np.linalg.det(matrix)) * step**3)
        return cls(
            subject.sources[0].voxel_size,
            subject.brain.millilitres,
            located.mean(axis=0),
            np.column_stack(np.unravel_index(held, shape)) + low,
            np.minimum(counts / whole, 1),
            np.array([np.bincount(where, each)[held] / counts for each in values]),
            np.array([np.quantile(each, LEVELS) for each in values]),
            np.array([_texture(each, subject.mask) for each in volumes]),
            _further(seen),
        )

    @property
    def contrasts(self) -> list[int]:
        """Source contrasts that are not missing."""
        return np.flatnonzero(np.isfinite(self.quantiles[:, 0])).tolist()

    @property
    def n_voxels(self) -> float:
        """Of the brain, on the scans' own grid."""
        return 1e3 * self.millilitres / np.prod(self.voxel_size)

    def normalised(self, normalizers, descriptions) -> "Sketch":
        """The same on the scale that scans share.

        Parameters
        ----------
        normalizers : list of normalizers
            Of the source contrasts.
        descriptions : dict of int to ndarray
            What they say of these scans.
        """

        def shared(rows):
            rows = rows.copy()
            for c, description in descriptions.items():
                rows[c] = normalizers[c].to_shared(rows[c], description)
            return rows

        return replace(
            self,
            intensities=shared(self.intensities),
            quantiles=shared(self.quantiles),
        )


def _in_millimetres(places, affine, seen, step):
    """Turn and middle of a brain as places have it, and its size as the world has it.

    Places may even out what tells that a brain is none: its size.
    """
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    turn, _ = polar(places[:3, :3] / sizes)
    middle = apply_affine(places, step * np.argwhere(seen).mean(axis=0))
    return turn * sizes, middle


def _texture(volume, mask):
    if volume is None:
        return np.nan
    middle = round(np.flatnonzero(mask.any(axis=(0, 1))).mean())
    slab = slice(max(middle - _SLAB // 2, 0), middle + _SLAB // 2 + 1)
    part, inside = volume[..., slab].astype(np.float64), mask[..., slab]
    deep = ndimage.binary_erosion(inside)
    if np.count_nonzero(deep) < 30:
        return np.nan
    around = sum(
        np.roll(part, shift, axis) for axis in range(3) for shift in (-1, 1)
    )  # what is rolled in from beyond the edge is not looked at
    rest, values = (part - around / 6)[deep], part[deep]
    # Without what is farthest out, vessels and artefacts.
    rest, values = (
        np.clip(each, *np.percentile(each, [1, 99])) for each in (rest, values)
    )
    if not values.std():
        return np.nan
    return float(np.log(max(rest.std() / values.std(), 1e-9)))


def _further(mask):
    pieces, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    sizes = np.bincount(pieces.ravel())[1:]
    return float(sizes.sum() / sizes.max() - 1)

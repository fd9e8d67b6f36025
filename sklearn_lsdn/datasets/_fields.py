"""Grids around the brain and smooth fields on them."""

from dataclasses import dataclass

import numpy as np
from nibabel.affines import from_matvec

# The cropped brain may grow by this much on every side, and no more.
MAX_DISPLACEMENT = 8.0  # mm, per axis
# Bounds of every grid and of every spline lattice: the template's brain mask,
# whose outer voxel faces are at these coordinates, plus MAX_DISPLACEMENT.
BOX = np.array([[-80.5, -115.5, -80.5], [80.5, 81.5, 90.5]])  # mm, MNI152


@dataclass(frozen=True)
class Grid:
    """Isotropic voxels covering the brain, in MNI152 world space (RAS+).

    Parameters
    ----------
    voxel_size : float
        Edge of a voxel, in mm.
    """

    voxel_size: float

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of voxels along each axis."""
        return tuple(int(n) for n in np.ceil((BOX[1] - BOX[0]) / self.voxel_size))

    @property
    def axes(self) -> list[np.ndarray]:
        """Coordinates of the voxel centres along each axis, in mm."""
        return [
            low + self.voxel_size * (np.arange(n) + 0.5)
            for low, n in zip(BOX[0], self.shape, strict=True)
        ]

    @property
    def affine(self) -> np.ndarray:
        """Voxel indices to mm, of shape (4, 4)."""
        return from_matvec(self.voxel_size * np.eye(3), BOX[0] + self.voxel_size / 2)


def lattice(spacing) -> list[np.ndarray]:
    """Knots of the splines along each axis: `BOX`, overhung by a step or two."""
    return [
        low + spacing * np.arange(-1, np.ceil((high - low) / spacing) + 2)
        for low, high in BOX.T
    ]


def spline(coefficients, axes, spacing) -> np.ndarray:
    """Evaluate a tensor-product cubic B-spline.

    Parameters
    ----------
    coefficients : ndarray of shape (m_x, m_y, m_z)
        One for each knot of ``lattice(spacing)``.
    axes : list of 3 ndarrays
        Coordinates to evaluate at along each axis, in mm; within `BOX`.
    spacing : float
        Step of the lattice, in mm.

    Returns
    -------
    values : ndarray of float32 of shape (n_x, n_y, n_z)
        Values on the grid; a local average of the coefficients.
    """
    for points, knots in zip(axes, lattice(spacing), strict=True):
        t = np.abs(points[:, None] - knots) / spacing
        basis = np.where(
            t < 1, 2 / 3 - t**2 + t**3 / 2, np.maximum(2 - t, 0) ** 3 / 6
        ).astype(np.float32)
        # The contracted axis goes last: three turns restore the order.
        coefficients = np.tensordot(coefficients.astype(np.float32), basis, (0, 1))
    return coefficients


def smooth_field(rng, axes, spacing) -> np.ndarray:
    """Draw a smooth random field: a cubic B-spline with normal coefficients.

    Parameters
    ----------
    rng : Generator
        Source of the coefficients. They lie on a lattice fixed in space, so that
        the same state gives the same field on any grid.
    axes : list of 3 ndarrays
        Coordinates to evaluate at, in mm; within `BOX`.
    spacing : float
        Step of the lattice, in mm.

    Returns
    -------
    field : ndarray of float32
        Mean 0 and, on average over space, standard deviation 1.
    """
    coefficients = rng.standard_normal([len(a) for a in lattice(spacing)])
    # 151 / 315 is the integral of the squared cubic B-spline.
    return spline(coefficients * (315 / 151) ** 1.5, axes, spacing)

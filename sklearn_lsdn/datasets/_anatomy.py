"""Anatomy of simulated subjects: the ICBM152 tissue maps under random warps."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.ndimage import find_objects, gaussian_filter, map_coordinates

from .._utils.optional import require
from ._fields import BOX, MAX_DISPLACEMENT, Grid, lattice, smooth_field, spline

_WARP_SPACING = 4.0  # mm
_COARSE, _FINE = (40.0, 2.4), (16.0, 1.0)  # (spacing mm, standard deviation mm)
_SCALING = 0.03  # standard deviation of the log size, per axis
_SQUARINGS = 6
_SHARPENING = 2.0

# Centre (right) and radii of the ellipsoids that hold the lateral ventricles, mm.
VENTRICLES = (16, -20, 17), (14, 42, 18)


@dataclass(frozen=True)
class Anatomy:
    """A subject's brain on a grid.

    Parameters
    ----------
    grid : Grid
        Voxels of the subject.
    mask : ndarray of bool of shape ``grid.shape``
        Brain voxels, ``n_voxels`` of them.
    fractions : ndarray of float32 of shape (3, n_voxels)
        Shares of grey matter, white matter and cerebrospinal fluid; sum to 1.
    points : ndarray of float32 of shape (3, n_voxels)
        Where each voxel lies in the template, in mm.
    """

    grid: Grid
    mask: np.ndarray
    fractions: np.ndarray
    points: np.ndarray


@lru_cache(maxsize=1)
def load_template() -> tuple[np.ndarray, np.ndarray]:
    """Load the ICBM152 tissue maps that nilearn ships.

    The grey matter map takes in the third ventricle and the walls of the
    lateral ones. Voxels darker than grey matter on the T1-weighted template
    hold CSF in proportion to how much darker they are.

    Returns
    -------
    tissues : ndarray of float32 of shape (3, n_x, n_y, n_z)
        Probabilities of grey matter, white matter and CSF on a 1 mm grid; they
        sum to 1 in the brain and to 0 outside.
    origin : ndarray of shape (3,)
        Coordinates of the first voxel, in mm.

    Raises
    ------
    ImportError
        If nilearn is not installed.
    """
    datasets = require("nilearn.datasets")
    mask_image = datasets.load_mni152_brain_mask(resolution=1)
    mask = np.asanyarray(mask_image.dataobj) > 0
    (box,) = find_objects(mask, max_label=1)
    crop = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in box)
    mask = mask[crop]
    names = "template", "gm_template", "wm_template"
    images = [getattr(datasets, f"load_mni152_{name}")(resolution=1) for name in names]
    t1w, grey, white = (i.get_fdata(dtype=np.float32)[crop] * mask for i in images)
    fluid = np.clip(mask - grey - white, 0, 1)
    t1w_grey, t1w_fluid = np.median(t1w[grey > 0.9]), np.median(t1w[fluid > 0.9])
    darkness = np.clip((t1w_grey - t1w) / (t1w_grey - t1w_fluid), 0, 1)
    fluid = np.maximum(fluid, darkness * mask)
    solid = (mask - fluid) / np.maximum(grey + white, 1e-6)
    origin = mask_image.affine[:3, 3] + [s.start for s in crop]
    return np.stack([grey * solid, white * solid, fluid]), origin


def draw_displacement(rng, atrophy) -> np.ndarray:
    """Draw a diffeomorphism from a subject to the template.

    A random stationary velocity, less its rigid motion over the brain, flows for
    unit time by scaling and squaring [1]_. Subjects are thus aligned as a rigid
    registration would leave them, and differ in size and in shape.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    atrophy : float
        Enlargement of the ventricles, in standard deviations of the cohort.

    Returns
    -------
    displacement : ndarray of shape (3, n_x, n_y, n_z)
        Displacement in mm on a lattice of 4 mm, at most `MAX_DISPLACEMENT`
        along any axis; evaluate it with `displacement_on`.

    References
    ----------
    .. [1] Arsigny et al. (2006). A log-Euclidean framework for statistics on
       diffeomorphisms. MICCAI. :doi:`10.1007/11866565_113`
    """
    axes = lattice(_WARP_SPACING)
    # Fields are defined in the box; the lattice overhangs it by one step.
    clipped = [np.clip(a, *b) for a, b in zip(axes, BOX.T, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"))
    tissues, origin = load_template()
    brain = _sample(tissues.sum(0), points, origin) > 0.5

    velocity = rng.normal(0, _SCALING, (3, 1, 1, 1)) * points
    for spacing, deviation in (_COARSE, _FINE):
        for component in velocity:
            component += deviation * smooth_field(rng, clipped, spacing)
    velocity -= _rigid_part(velocity, points, brain)
    velocity += max(0.0, 1 + atrophy) * _towards_ventricles()
    velocity = MAX_DISPLACEMENT * np.tanh(velocity / MAX_DISPLACEMENT)

    displacement = velocity / 2**_SQUARINGS
    first = np.array([a[0] for a in axes]).reshape(3, 1, 1, 1)
    for _ in range(_SQUARINGS):
        target = (points + displacement - first) / _WARP_SPACING
        displacement = displacement + np.stack(
            [map_coordinates(d, target, order=1, mode="nearest") for d in displacement]
        )
    return displacement


def displacement_on(displacement, axes) -> np.ndarray:
    """Evaluate a displacement at the points of a grid, by cubic B-splines.

    Parameters
    ----------
    displacement : ndarray of shape (3, ...)
        As drawn by `draw_displacement`, in mm.
    axes : list of 3 ndarrays
        Coordinates of the grid along each axis, in mm.

    Returns
    -------
    displacement : ndarray of float32 of shape (3, n_x, n_y, n_z)
        Displacement at each point, in mm.
    """
    return np.stack([spline(d, axes, _WARP_SPACING) for d in displacement])


def ellipsoid(points, centre, radii) -> np.ndarray:
    """Membership of a pair of ellipsoids, one in each hemisphere.

    Parameters
    ----------
    points : ndarray of shape (3, ...)
        Coordinates in the template, in mm.
    centre, radii : tuple of 3 floats
        In mm, the centre in the right hemisphere.

    Returns
    -------
    membership : ndarray of shape (...)
        1 at the centres, 1/e at the radii and 0 far away.
    """
    points = [np.abs(points[0]), *points[1:]]
    distance = sum(
        ((x - c) / r) ** 2 for x, c, r in zip(points, centre, radii, strict=True)
    )
    return np.exp(-(distance**2))


def draw_anatomy(rng, grid) -> Anatomy:
    """Draw a subject.

    The template's maps average many brains and are blurred by it: squaring the
    odds sharpens them. A factor on the odds of CSF widens or closes the sulci.

    Parameters
    ----------
    rng : Generator
        Source of randomness; the same state gives the same brain on any grid.
    grid : Grid
        Voxels of the subject. Voxels above 1 mm average the tissues within.

    Returns
    -------
    anatomy : Anatomy
        The subject.
    """
    atrophy = float(np.clip(rng.normal(), -2, 2))
    displacement = displacement_on(draw_displacement(rng, atrophy), grid.axes)
    points = np.stack(np.meshgrid(*grid.axes, indexing="ij")) + displacement

    template, origin = load_template()
    tissues = template**_SHARPENING
    tissues[2] *= np.exp(0.4 + 0.3 * atrophy)
    tissues /= np.maximum(tissues.sum(0), 1e-6)
    if grid.voxel_size > 1:
        # Same variance as a box of the voxel's width, less the template's own.
        sigma = np.sqrt((grid.voxel_size**2 - 1) / 12)
        for tissue in tissues:
            gaussian_filter(tissue, sigma, output=tissue, mode="constant", truncate=3)

    mask = _sample(tissues.sum(0), points, origin) >= 0.5
    points = points[:, mask].astype(np.float32)
    fractions = np.stack([_sample(tissue, points, origin) for tissue in tissues])
    return Anatomy(grid, mask, fractions / fractions.sum(0), points)


def _sample(volume, points, origin):
    """Interpolate a 1 mm volume at points in mm; zero outside."""
    index = np.stack([p - p.dtype.type(o) for p, o in zip(points, origin, strict=True)])
    return map_coordinates(volume, index, order=1, mode="grid-constant")


def _rigid_part(velocity, points, brain):
    """Least-squares translation and infinitesimal rotation over the brain."""
    modes = [np.eye(3)[i].reshape(3, 1, 1, 1) + 0 * points for i in range(3)]
    modes += [np.cross(np.eye(3)[i], points, axisb=0, axisc=0) for i in range(3)]
    design = np.stack([mode[:, brain].ravel() for mode in modes], axis=1)
    weights = np.linalg.lstsq(design, velocity[:, brain].ravel(), rcond=None)[0]
    return sum(w * mode for w, mode in zip(weights, modes, strict=True))


@lru_cache(maxsize=1)
def _towards_ventricles():
    """Unit-peak field on the warp lattice pointing into the lateral ventricles."""
    tissues, origin = load_template()
    axes = [o + np.arange(n) for o, n in zip(origin, tissues.shape[1:], strict=True)]
    voxels = np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)
    potential = gaussian_filter(tissues[2] * ellipsoid(voxels, *VENTRICLES), 6.0)
    points = np.stack(np.meshgrid(*lattice(_WARP_SPACING), indexing="ij"))
    field = np.stack(np.gradient(_sample(potential, points, origin)))
    return field / np.sqrt((field**2).sum(0)).max()

"""Slices of a brain: which are shown, and how one is drawn, in world mm."""

from numbers import Integral

import numpy as np
from nibabel.affines import apply_affine
from scipy.ndimage import gaussian_gradient_magnitude, gaussian_laplace

from .._utils.optional import require

PLANES = {"sagittal": 0, "coronal": 1, "axial": 2}
_SIDES = ("P", "A"), ("L", "R"), ("L", "R")  # of a plane, as it is drawn
_MARGIN = 3  # mm shown around the brain
_NARROW = 1.1  # inches of a picture, in which a plane has no room for its name
_FOOT = 10  # mm below it, where the position is written
_FISSURE = 0.1  # of the brain's width: nearer to the middle no sagittal slice lies
_BEYOND = 0.12  # of the brain's length, at either end: no slice of several lies there
_LARGE = 0.5  # of the largest slice: a smaller one is never the worst
_BLUR = 1.0  # voxels, against noise
_TILTED = 0.01  # sine of the angle from which a grid is
_STRONG = 60  # percentile of the slopes from which there is an edge


class Brain:
    """What slices are chosen by: where a brain lies on its grid, in world mm.

    Parameters
    ----------
    mask : ndarray of bool of shape (nx, ny, nz)
        The brain, which the middle and the part shown depend on.
    affine : ndarray of shape (4, 4)

    Raises
    ------
    ValueError
        If there is no brain.
    """

    def __init__(self, mask, affine):
        self.mask = mask
        self.sizes = [mask.sum(axis=tuple(np.delete(range(3), i))) for i in range(3)]
        if not self.sizes[0].any():
            raise ValueError("There is no brain to show.")
        self.middle = np.array(
            [np.average(np.arange(len(each)), weights=each) for each in self.sizes]
        )
        ends = [np.flatnonzero(each)[[0, -1]] for each in self.sizes]
        self.low, self.high = np.transpose(ends)
        # World mm = origin + step * index, which of a tilted grid holds in the middle.
        self.step = np.linalg.norm(affine[:3, :3], axis=0)
        off = affine[:3, :3] / self.step - np.eye(3)
        self.is_tilted = bool(abs(off).max() > _TILTED)
        self.affine = affine
        self._origin = (affine @ [*self.middle, 1])[:3] - self.step * self.middle

    def mm(self, index):
        """World mm of an index along each axis."""
        return self._origin + self.step * index

    def through(self, points) -> np.ndarray:
        """Positions of the slices that meet in points of world mm."""
        return self.mm(apply_affine(np.linalg.inv(self.affine), points))

    def index(self, position, axis):
        """Of the slice with brain nearest to a position along an axis, in world mm."""
        low, high = self.mm(self.low)[axis], self.mm(self.high)[axis]
        index = (position - self._origin[axis]) / self.step[axis]
        if not self.low[axis] - 0.5 <= index <= self.high[axis] + 0.5:  # nor NaN
            raise ValueError(
                f"There is no brain at {position:g} mm: give a position from "
                f"{low:.0f} to {high:.0f} mm."
            )
        return self._with_brain(index, axis)

    def _with_brain(self, index, axis):
        known = np.flatnonzero(self.sizes[axis])
        return int(known[abs(known - index).argmin()])

    def spread(self, axis, number) -> list[float]:
        """Positions of so many slices, or of as many as there are, off the fissure."""
        low, high = self.low[axis], self.high[axis]
        if number == 1:
            shares = np.array([(self.middle[axis] - low) / (high - low or 1)])
            if axis == 0 and abs(shares[0] - 0.5) < _FISSURE:
                shares[:] = 0.5 + _FISSURE
        elif axis == 0:  # as many on the left as on the right, or one less
            left = np.linspace(_BEYOND, 0.5 - _FISSURE, number // 2)
            right = np.linspace(1 - _BEYOND, 0.5 + _FISSURE, number - number // 2)
            shares = np.concatenate([left, right[::-1]])
        else:
            shares = np.linspace(_BEYOND, 1 - _BEYOND, number)
        indices = [self._with_brain(low + (high - low) * each, axis) for each in shares]
        return [self.mm(index)[axis] for index in dict.fromkeys(indices)]

    def worst(self, axis, error) -> float:
        """Position of the slice with the largest mean absolute error."""
        sizes, others = self.sizes[axis], tuple(np.delete(range(3), axis))
        sums = np.where(self.mask, abs(error), 0).sum(axis=others)
        means = np.where(sizes >= _LARGE * sizes.max(), sums / np.maximum(sizes, 1), -1)
        return self.mm(means.argmax())[axis]


class Slice:
    """A plane through a brain.

    Parameters
    ----------
    brain : Brain
    axis : {0, 1, 2}
        Across the plane.
    position : float, default=None
        In world mm along the axis; by default in the middle of the brain. The nearest
        voxels are shown where there is brain.

    Attributes
    ----------
    position : float
        Of the voxels shown.
    window : ndarray of shape (2, 2)
        What is shown, across and up, in world mm.
    brain : ndarray of bool
        The mask in the slice, its rows from bottom to top.

    Raises
    ------
    ValueError
        If the position lies beyond the brain.
    """

    def __init__(self, brain, axis, position=None):
        if position is None:
            position = brain.mm(brain.middle.astype(int))[axis]
        self._index = brain.index(position, axis)
        self.position = brain.mm(self._index)[axis]
        self._axis, self._shown = axis, np.delete(range(3), axis)
        grid = np.array([brain.mm(-0.5), brain.mm(np.array(brain.mask.shape) - 0.5)])
        ends = brain.mm(brain.low - 0.5) - _MARGIN, brain.mm(brain.high + 0.5) + _MARGIN
        window = np.array(ends)
        self._middle = window.mean(axis=0)[self._shown]
        window[0, self._shown[1]] -= _FOOT - _MARGIN
        self._extent = grid[:, self._shown].T.ravel()
        self.window = window[:, self._shown].T
        self.brain = self._of(brain.mask)
        self._whole = brain

    @property
    def places(self) -> np.ndarray:
        """World mm of each voxel, an array of shape (n_up, n_across, 3)."""
        up, across = np.indices(self.brain.shape)
        indices = np.full((*up.shape, 3), self._index)
        indices[..., self._shown] = np.stack([across, up], axis=-1)
        return apply_affine(self._whole.affine, indices)

    def flat(self, points):
        """Where points in world mm lie in the picture, across and up."""
        return self._whole.through(points)[:, self._shown]

    def distance(self, points):
        """Of points in world mm from the plane, in mm."""
        return self._whole.through(points)[:, self._axis] - self.position

    def is_above_the_position(self, flat):
        """Whether points in the picture lie above what is written below the brain."""
        return flat[:, 1] > self.window[1, 0] + _FOOT - _MARGIN

    def _of(self, volume):
        return np.moveaxis(volume, self._axis, 0)[self._index].T  # no copy

    def draw(self, ax, volume, *, size=None, **parameters):
        """Draw a volume's voxels in the plane, the brain in the middle.

        Parameters
        ----------
        ax : matplotlib axes
        volume : ndarray of shape (nx, ny, nz)
        size : ndarray of shape (2,), default=None
            Width and height shown, in mm; by default, of the brain and a margin.
        **parameters
            Of ``imshow``.

        Returns
        -------
        image : matplotlib.image.AxesImage
        """
        image = ax.imshow(
            self._of(volume), origin="lower", extent=self._extent, **parameters
        )
        window = self.window
        if size is not None:
            window = window.mean(axis=1, keepdims=True) + np.outer(size, [-0.5, 0.5])
        ax.set(xlim=window[0], ylim=window[1], xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        return image

    def draw_over(self, ax, image, **parameters):
        """Draw an array of the shape of ``brain`` over what is there."""
        place = dict(origin="lower", extent=self._extent, zorder=2)
        return ax.imshow(image, **place, **parameters)

    def mark(self, ax, color):
        """Write which sides are left and right, and where the plane lies."""
        name = [*PLANES][self._axis]
        millimetres = np.floor(self.position + 0.5)  # as the view of a report has it
        where = f"{'xyz'[self._axis]} = {millimetres:.0f} mm"
        where += " (tilted)" * self._whole.is_tilted
        if ax.get_window_extent().width > _NARROW * ax.figure.dpi:
            where = f"{name}, {where}"
        place = dict(transform=ax.transAxes, color=color, fontsize=7, zorder=5)
        place["in_layout"] = False  # where panels are small
        place["path_effects"] = [_halo(color)]
        ax.text(0.02, 0.01, where, **place)
        for x, side in zip((0.02, 0.98), _SIDES[self._axis], strict=True):
            align = dict(ha="left" if x < 0.5 else "right", va="top")
            ax.text(x, 0.99, side, **align, **place, fontweight="bold")

    def draw_outline(self, ax, **parameters):
        """Draw a line around the brain."""
        if self.brain.any() and not self.brain.all():
            place = dict(origin="lower", extent=self._extent)
            ax.contour(self.brain, levels=[0.5], **place, **parameters)

    def draw_edges(self, ax, volume, **parameters):
        """Lines where the intensity changes most, in the slice."""
        image = self._of(volume)
        slope = gaussian_gradient_magnitude(image, _BLUR)
        if not (slope > 0).any():
            return
        weak = slope < np.percentile(slope[slope > 0], _STRONG)
        curvature = np.ma.array(gaussian_laplace(image, _BLUR), mask=weak)
        place = dict(origin="lower", extent=self._extent)
        ax.contour(curvature, levels=[0], **place, **parameters)

    def draw_middle(self, ax, **parameters):
        """Lines through the middle of the brain, as large as it is in all slices."""
        across, up = self._middle
        ax.axvline(across, **parameters)
        ax.axhline(up, **parameters)


def _halo(color):
    """A rim around letters, lest they vanish where the brain lies below."""
    patheffects = require("matplotlib.patheffects")
    rim = "white" if color == "black" else "black"
    return patheffects.withStroke(linewidth=1.5, foreground=rim)


def approach(ax, times):
    """Show the middle of what is drawn alone, so many times larger."""
    for get, put in ((ax.get_xlim, ax.set_xlim), (ax.get_ylim, ax.set_ylim)):
        low, high = get()
        middle, half = (low + high) / 2, (high - low) / 2 / times
        put(middle - half, middle + half)


def choose_slices(mask, affine, plane=None, cut_coords=None, error=None) -> list[list]:
    """Slices of a plane, or of each.

    Parameters
    ----------
    mask : ndarray of bool of shape (nx, ny, nz)
    affine : ndarray of shape (4, 4)
    plane : {"sagittal", "coronal", "axial"} or None, default=None
        None takes all three.
    cut_coords : int, float, sequence of float, "worst" or None, default=None
        A whole number is how many slices of a plane, which are spread over the brain
        and miss the fissure; None is one. Numbers in a list are world mm along the axis
        across the plane or, for all three planes, x, y and z. Slices of a tilted grid
        are tilted: one number holds in the middle of the brain, and where three are
        given, slices meet in that point. "worst" is where the error is largest, among
        slices that are not small.
    error : ndarray of shape (nx, ny, nz), default=None
        For "worst".

    Returns
    -------
    cuts : list of list of Slice
        For each plane.

    Raises
    ------
    ValueError
        If there is no such plane, no brain, or no error by which to choose.
    """
    if plane is not None and plane not in PLANES:
        raise ValueError(f"plane must be one of {', '.join(PLANES)}, got {plane!r}.")
    axes = [*PLANES.values()] if plane is None else [PLANES[plane]]
    brain = Brain(mask, affine)
    match cut_coords:
        case bool() | np.bool_():
            raise ValueError(
                f"cut_coords={cut_coords}: give a number of slices, or positions in mm."
            )
        case str():
            if cut_coords != "worst":
                raise ValueError(
                    "cut_coords must be a number of slices, positions in mm or "
                    f"'worst', got {cut_coords!r}."
                )
            if error is None:
                raise ValueError(
                    "Which slice is worst is not known without a target. Give "
                    "cut_coords in mm, or how many slices."
                )
            positions = [[brain.worst(axis, error)] for axis in axes]
        case Integral() | None:
            number = 1 if cut_coords is None else int(cut_coords)
            if number < 1:
                raise ValueError(
                    f"cut_coords={number}, as a number of slices, must be 1 or more. "
                    f"Give a position in mm in a list, as [{number}]."
                )
            positions = [brain.spread(axis, number) for axis in axes]
        case _:
            given = np.ravel(cut_coords).astype(float).tolist()
            if not given:
                raise ValueError("cut_coords is empty: give a position in mm at least.")
            if plane is None and len(given) != 3:
                raise ValueError(
                    "cut_coords of all three planes are x, y and z in mm, got "
                    f"{len(given)} numbers. Name a plane to see several slices of it."
                )
            if plane is not None:
                positions = [given]
            else:
                positions = [[each] for each in brain.through(given)]
    return [
        [Slice(brain, axis, each) for each in row]
        for axis, row in zip(axes, positions, strict=True)
    ]

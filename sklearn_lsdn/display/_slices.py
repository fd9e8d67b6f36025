"""Slices of volumes, drawn in world mm."""

import numpy as np
from scipy.ndimage import gaussian_gradient_magnitude, gaussian_laplace

PLANES = {"sagittal": 0, "coronal": 1, "axial": 2}
_MARGIN = 3  # mm shown around the brain
_BLUR = 1.0  # voxels, against noise
_STRONG = 60  # percentile of the slopes from which there is an edge
_AXES = ("x, left to right", "y, back to front", "z, bottom to top")


class Slice:
    """A plane through a volume, drawn in world mm.

    Parameters
    ----------
    mask : ndarray of bool of shape (nx, ny, nz)
        The brain, which the middle and the part shown depend on.
    affine : ndarray of shape (4, 4)
    axis : {0, 1, 2}
        Across the plane.
    position : float, default=None
        In world mm along the axis; by default in the middle of the brain.

    Raises
    ------
    ValueError
        If there is no brain.
    """

    def __init__(self, mask, affine, axis, position=None):
        inside = np.nonzero(mask)
        middle = np.array([np.mean(i) for i in inside])
        size = np.linalg.norm(affine[:3, :3], axis=0)
        # World mm = origin + size * index, which is exact but for tilted grids.
        origin = (affine @ [*middle, 1])[:3] - size * middle
        if position is None:
            position = origin[axis] + size[axis] * int(middle[axis])
        self._index = round((position - origin[axis]) / size[axis])
        first, last = np.min(inside[axis]), np.max(inside[axis])
        if not first <= self._index <= last:
            low, high = origin[axis] + size[axis] * np.array([first, last])
            raise ValueError(
                f"There is no brain at {position:g} mm: give a position from "
                f"{low:.0f} to {high:.0f} mm."
            )
        self._axis = axis
        self._shown = [i for i in range(3) if i != axis]
        self.position = origin[axis] + size[axis] * self._index
        grid = np.array([np.full(3, -0.5), np.array(mask.shape) - 0.5])
        brain = np.array([[np.min(i) - 0.5, np.max(i) + 0.5] for i in inside])
        self._extent = (origin + size * grid)[:, self._shown].T.ravel()
        borders = origin[:, None] + size[:, None] * brain + [-_MARGIN, _MARGIN]
        self.window = borders[self._shown]  # mm across and up

    def draw(self, ax, volume, **parameters):
        ax.imshow(
            np.take(volume, self._index, axis=self._axis).T,
            origin="lower",
            extent=self._extent,
            interpolation="nearest",
            **parameters,
        )
        ax.set(xlim=self.window[0], ylim=self.window[1])
        ax.tick_params(bottom=False, left=False, labelbottom=False, labelleft=False)
        ax.spines[:].set_visible(False)

    def draw_edges(self, ax, volume, **parameters):
        """Lines where the intensity changes most, in the slice."""
        image = np.take(volume, self._index, axis=self._axis).T
        slope = gaussian_gradient_magnitude(image, _BLUR)
        if not (slope > 0).any():
            return
        weak = slope < np.percentile(slope[slope > 0], _STRONG)
        curvature = np.ma.array(gaussian_laplace(image, _BLUR), mask=weak)
        place = dict(origin="lower", extent=self._extent)
        ax.contour(curvature, levels=[0], **place, **parameters)

    def label_across(self, ax):
        ax.set_xlabel(f"{_AXES[self._shown[0]]} (mm)")
        ax.tick_params(bottom=True, labelbottom=True)
        ax.locator_params("x", nbins=4)

    def label_up(self, ax):
        place = f"at {'xyz'[self._axis]} = {self.position:.0f} mm"
        ax.set_ylabel(f"{_AXES[self._shown[1]]} (mm)\n{place}")
        ax.tick_params(left=True, labelleft=True)
        ax.locator_params("y", nbins=4)

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
        inside = np.argwhere(mask)
        middle, low, high = inside.mean(axis=0), inside.min(axis=0), inside.max(axis=0)
        size = np.linalg.norm(affine[:3, :3], axis=0)
        # World mm = origin + size * index, which is exact but for tilted grids.
        origin = (affine @ [*middle, 1])[:3] - size * middle

        def mm(index):
            return origin + size * index

        if position is None:
            position = mm(middle.astype(int))[axis]
        self._index = round((position - origin[axis]) / size[axis])
        if not low[axis] <= self._index <= high[axis]:
            raise ValueError(
                f"There is no brain at {position:g} mm: give a position from "
                f"{mm(low)[axis]:.0f} to {mm(high)[axis]:.0f} mm."
            )
        self.position = mm(self._index)[axis]
        self._axis, self._shown = axis, np.delete(range(3), axis)
        grid = np.array([mm(-0.5), mm(np.array(mask.shape) - 0.5)])
        brain = np.array([mm(low - 0.5) - _MARGIN, mm(high + 0.5) + _MARGIN])
        self._extent = grid[:, self._shown].T.ravel()
        self.window = brain[:, self._shown].T  # mm across and up

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

    def draw_middle(self, ax, **parameters):
        """Lines through the middle of what is shown."""
        across, up = self.window.mean(axis=1)
        ax.axvline(across, **parameters)
        ax.axhline(up, **parameters)

    def approach(self, ax, times):
        """Show the middle alone, so many times larger."""
        middle = self.window.mean(axis=1, keepdims=True)
        window = middle + (self.window - middle) / times
        ax.set(xlim=window[0], ylim=window[1])

    def label_across(self, ax):
        ax.set_xlabel(f"{_AXES[self._shown[0]]} (mm)")
        ax.tick_params(bottom=True, labelbottom=True)
        ax.locator_params("x", nbins=4)

    def label_up(self, ax):
        place = f"at {'xyz'[self._axis]} = {self.position:.0f} mm"
        ax.set_ylabel(f"{_AXES[self._shown[1]]} (mm)\n{place}")
        ax.tick_params(left=True, labelleft=True)
        ax.locator_params("y", nbins=4)

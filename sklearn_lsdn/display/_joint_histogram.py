"""How often each pair of intensities of two contrasts occurs."""

from dataclasses import KW_ONLY, dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from nibabel.affines import apply_affine
from numpy.typing import ArrayLike

from .._utils.names import contrast_of
from .._utils.sklearn_private import Interval, validate_params
from ..volumes._images import read_on_one_grid
from ..volumes._subjects import Image, Mask
from ._figures import Display, as_written, axes_or_new, empty
from ._reading import brain_in

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

_RANGE = 0.1, 99.9  # percentiles over the brain


@dataclass(eq=False, repr=False)
class JointHistogramDisplay(Display):
    """Joint histogram of two contrasts of a subject, with logarithmic colours.

    Create it with `from_images`, which draws it.

    Parameters
    ----------
    counts : ndarray of shape (n_bins_x, n_bins_y)
        Voxels in each bin.
    edges_x, edges_y : ndarray of shape (n_bins + 1,)
        Borders of the bins, in scanner units.
    name_x, name_y : str, default="x" and "y"
        The contrasts.
    title : str, default=None
        Which voxels were counted.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        What was drawn on; as an array, ``axes_``.
    figure_ : matplotlib.figure.Figure
        Its figure.
    im_ : matplotlib.collections.QuadMesh
        The histogram.

    See Also
    --------
    ComparisonDisplay : What methods make of one contrast.

    References
    ----------
    H. V. Nguyen, K. Zhou and R. Vemulapalli, "Cross-domain synthesis of medical
    images using efficient location-sensitive deep network", MICCAI 2015, figure 1.
    :doi:`10.1007/978-3-319-24553-9_83`

    Examples
    --------
    >>> from sklearn_lsdn.datasets import make_brain_cohort
    >>> from sklearn_lsdn.display import JointHistogramDisplay
    >>> cohort = make_brain_cohort(1, voxel_size=8, random_state=0)
    >>> t1w, t2w = cohort.images["T1w"][0], cohort.images["T2w"][0]
    >>> display = JointHistogramDisplay.from_images(
    ...     t1w, t2w, center=(20, -20, 10), size=4, name_x="T1w", name_y="T2w")
    >>> display.ax_.get_xlabel()
    'T1w (scanner units)'
    >>> int(display.counts.sum()) <= 4**3
    True
    """

    counts: np.ndarray
    edges_x: np.ndarray
    edges_y: np.ndarray
    _: KW_ONLY
    name_x: str = "x"
    name_y: str = "y"
    title: str | None = None

    @classmethod
    @validate_params(
        {
            "size": [Interval(Integral, 1, None, closed="left")],
            "bins": [Interval(Integral, 1, None, closed="left")],
            "center": ["array-like", None],
        },
        prefer_skip_nested_validation=True,
    )
    def from_images(
        cls,
        image_x: Image,
        image_y: Image,
        *,
        mask: Mask | None = None,
        center: ArrayLike | None = None,
        size: int = 10,
        bins: int = 64,
        name_x: str | None = None,
        name_y: str | None = None,
        **plot_parameters: Any,
    ) -> Self:
        """Count the pairs of intensities of two images, and draw them.

        Parameters
        ----------
        image_x, image_y : path or nibabel image
            Two contrasts of a subject, on one grid.
        mask : path, image, array, "mni152" or None, default=None
            The brain; None takes what differs from the background in both images.
        center : array-like of shape (3,), default=None
            Where a neighbourhood lies, in world mm; None takes the whole brain.
        size : int, default=10
            Voxels along each side of the neighbourhood.
        bins : int, default=64
            Bins of each contrast. They reach from the 0.1th to the 99.9th
            percentile over the whole brain, also where a neighbourhood is counted,
            so that both can be compared. What lies beyond is left out.
        name_x, name_y : str, default=None
            The contrasts; by default, what the files' names end in, such as T1w, or
            else x and y.
        **plot_parameters
            Parameters of `plot`, such as ``ax``.

        Returns
        -------
        display : JointHistogramDisplay
            Drawn.

        Raises
        ------
        FileNotFoundError, TypeError, ValueError
            If an image cannot be used, the images lie on different grids, or there
            is no brain in the neighbourhood.
        """
        labelled = [("image_x", image_x), ("image_y", image_y)]
        files, volumes = read_on_one_grid(labelled)
        brain = brain_in(mask, files, volumes)
        ranges = [np.percentile(volume[brain], _RANGE) for volume in volumes]
        place = f"whole brain\n{np.count_nonzero(brain):,} voxels"
        if center is not None:
            brain = brain & _neighbourhood(brain.shape, files[0].affine, center, size)
            where = ", ".join(f"{x:g}" for x in center)
            place = f"{size} × {size} × {size} voxels\naround ({where}) mm"
            if not brain.any():
                raise ValueError(
                    f"No brain lies within {size} voxels around ({where}) mm. Give "
                    "center as x, y and z in the world mm of the images."
                )
        counts, *edges = np.histogram2d(
            volumes[0][brain], volumes[1][brain], bins=bins, range=ranges
        )
        known = [contrast_of(file.path) for file in files]
        names = dict(name_x=name_x or known[0] or "x", name_y=name_y or known[1] or "y")
        return cls(counts, *edges, **names, title=place).plot(**plot_parameters)

    def plot(
        self,
        ax: "Axes | None" = None,
        *,
        figure: "Figure | None" = None,
        cmap: "str | Colormap" = "viridis",
        vmax: float | None = None,
        colorbar: bool = True,
    ) -> Self:
        """Draw the histogram.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Where to draw, in place of what was there; by default, the axes of a new
            figure.
        figure : matplotlib.figure.Figure, default=None
            What to fill instead of its axes.
        cmap : str or matplotlib Colormap, default="viridis"
            From empty bins to the fullest.
        vmax : float, default=None
            Count that gets the last colour; by default, the largest.
        colorbar : bool, default=True
            Draw the scale of the counts.

        Returns
        -------
        self : JointHistogramDisplay
            With ``ax_``, ``figure_`` and ``im_``.

        Raises
        ------
        ImportError
            If matplotlib is missing.
        ValueError
            If ``ax`` and ``figure`` are both given, or ``vmax`` is not above 0.
        """
        if vmax is not None and not vmax > 0:
            raise ValueError(f"vmax must be above 0, got {vmax}.")
        ax = axes_or_new(ax, figure, (5.2, 4.2))
        empty(ax)
        from matplotlib.colors import SymLogNorm

        # Linear from 0 to 1, so that empty bins have a place on the scale.
        highest = max(self.counts.max(), 1) if vmax is None else vmax
        self.im_ = ax.pcolormesh(
            self.edges_x,
            self.edges_y,
            self.counts.T,
            cmap=cmap,
            norm=SymLogNorm(1, linscale=0.5, vmin=0, vmax=highest),
            rasterized=True,
        )
        ax.set(
            xlabel=f"{self.name_x} (scanner units)",
            ylabel=f"{self.name_y} (scanner units)",
            title=self.title,
        )
        as_written(ax.xaxis.label, ax.yaxis.label)
        if colorbar:
            full = "max" if self.counts.max() > highest else "neither"
            look = dict(label="voxels per bin", format="{x:g}", extend=full)
            ax.figure.colorbar(self.im_, ax=ax, **look)
        return self._on_one(ax)


def _neighbourhood(shape, affine, center, size):
    """Mask of a cube of voxels around a place in world mm."""
    center = np.asarray(center, dtype=np.float64)
    if center.shape != (3,) or not np.isfinite(center).all():
        raise ValueError(
            "center must be three world coordinates x, y and z in mm, got "
            f"{center.tolist()}."
        )
    middle = apply_affine(np.linalg.inv(affine), center)
    # Rounded, lest noise of the inverse decide between two voxels.
    first = np.ceil(np.round(middle, 6) - size / 2).astype(int)
    cube = tuple(slice(max(i, 0), max(i + size, 0)) for i in first)
    mask = np.zeros(shape, dtype=bool)
    mask[cube] = True
    return mask

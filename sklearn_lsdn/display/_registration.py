"""RegistrationDisplay: whether images lie as they should."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from ..volumes._images import read_on_one_grid
from ..volumes._subjects import Image
from ._figures import Display, figure_to_save
from ._slices import PLANES, Slice

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_RED, _BLUE = "#ff3b3b", "#4fc3ff"  # on grey


@dataclass(eq=False, repr=False)
class RegistrationDisplay(Display):
    """Edges of one image over another, or the outline of a mask.

    Of two images of one head, edges are drawn, and the middle of the head once more at
    twice the size: red lines must follow the borders of ventricles and sulci to the
    millimetre, all around. A shift of 2 mm shows as a gap on one side.

    A mask tells where a head of another size should be, and no more: the head must
    lie in the middle of its outline, upright and looking the same way, with the cleft
    between the hemispheres on the vertical line, which like the other goes through the
    middle of the outline. Its border need not follow the outline.

    Make one by `from_images`.

    Parameters
    ----------
    pairs : list of tuple
        Name, volume below and volume whose edges are drawn, as arrays of one shape
        turned towards right, anterior and superior.
    affine : ndarray of shape (4, 4)
        From their indices to world mm.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        Set by `plot`.

    See Also
    --------
    SynthesisDisplay : Source, target and synthesis.

    Examples
    --------
    >>> from sklearn_lsdn.datasets import make_brain_cohort
    >>> from sklearn_lsdn.display import RegistrationDisplay
    >>> cohort = make_brain_cohort(1, voxel_size=4, random_state=0)
    >>> t1w, t2w = cohort.images["T1w"][0], cohort.images["T2w"][0]
    >>> display = RegistrationDisplay.from_images([("T2w on T1w", t1w, t2w)]).plot()
    >>> len(display.figure_.axes)
    6
    """

    pairs: Sequence[tuple[str, np.ndarray, np.ndarray]]
    affine: np.ndarray

    @classmethod
    def from_images(cls, pairs: Sequence[tuple[str, Image, Image]]) -> Self:
        """Put images together.

        Parameters
        ----------
        pairs : list of tuple
            Name, image below, and image whose edges are drawn, which is taken for a
            mask if it has two values; all on one grid.

        Returns
        -------
        display : RegistrationDisplay
            Not yet drawn.

        Raises
        ------
        FileNotFoundError, TypeError, ValueError
            If an image cannot be used, or lies on another grid.
        """
        labelled = []
        for name, below, above in pairs:
            labelled += [(f"{name}, below", below), (name, above)]
        files, volumes = read_on_one_grid(labelled)
        names = [name for name, *_ in pairs]
        drawn = zip(names, volumes[::2], volumes[1::2], strict=True)
        return cls(list(drawn), files[0].affine)

    def plot(self, *, title: str | None = None, figure: "Figure | None" = None) -> Self:
        """Draw three planes of each pair, through the middle of what lies below.

        Parameters
        ----------
        title : str, default=None
            Over the whole figure.
        figure : matplotlib.figure.Figure, default=None
            Where to draw; by default, a new figure that pyplot does not know of.

        Returns
        -------
        self : RegistrationDisplay
            With ``figure_``.

        Raises
        ------
        ImportError
            If matplotlib is missing.
        """
        masked = [_is_mask(above) for *_, above in self.pairs]
        heights = [1 if mask else 2 for mask in masked]
        size = 10, 3.6 * sum(heights) + 0.4
        self.figure_ = figure = figure or figure_to_save(size)
        rows = figure.subfigures(
            len(self.pairs), 1, squeeze=False, height_ratios=heights
        )[:, 0]
        for row, pair, mask in zip(rows, self.pairs, masked, strict=True):
            row.suptitle(pair[0], fontsize="medium")
            draw = self._draw_outline if mask else self._draw_edges
            draw(row, *pair[1:])
        if title:
            figure.suptitle(title)
        return self

    def _draw_edges(self, row, below, above):
        """Three planes, and the middle of each at twice the size."""
        for axes, closer in zip(row.subplots(2, len(PLANES)), (1, 2), strict=True):
            for ax, plane in self._planes(axes, below, below):
                plane.draw_edges(ax, above, colors=_RED, linewidths=0.6 * closer)
                plane.approach(ax, closer)

    def _draw_outline(self, row, below, mask):
        """Three planes, with lines through the middle of the mask."""
        axes = row.subplots(1, len(PLANES))
        shown = np.maximum(below != 0, mask == mask.max())
        planes = self._planes(axes, below, shown)
        for axis, (ax, plane) in zip(PLANES.values(), planes, strict=True):
            plane.draw_edges(ax, mask, colors=_RED, linewidths=1)
            place = dict(color=_BLUE, linewidth=0.8, linestyle="--")
            Slice(mask == mask.max(), self.affine, axis).draw_middle(ax, **place)

    def _planes(self, axes, below, shown):
        """Axes where the image below is drawn, each with its plane."""
        inside, shown = (
            each != 0 if each.any() else np.ones_like(each, dtype=bool)
            for each in (below, shown)
        )
        low, high = np.percentile(below[inside], [0.5, 99.5])
        for ax, axis in zip(axes, PLANES.values(), strict=True):
            position = Slice(inside, self.affine, axis).position
            plane = Slice(shown, self.affine, axis, position)
            plane.draw(ax, below, cmap="gray", vmin=min(0, low), vmax=high)
            yield ax, plane


def _is_mask(volume):
    """Whether it has two values."""
    low, high = volume.min(), volume.max()
    return low < high and bool(((volume == low) | (volume == high)).all())

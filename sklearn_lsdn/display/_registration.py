"""RegistrationDisplay: whether images lie as they should."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..volumes._images import read_on_one_grid
from ..volumes._subjects import Image
from ._figures import Display, as_written
from ._panels import Panel, draw_panels, window_of
from ._slices import Brain, Slice, approach, choose_slices

if TYPE_CHECKING:
    from matplotlib.axes import Axes
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

    Create it with `from_images`, which draws it.

    Parameters
    ----------
    pairs : list of tuple
        Name, volume below and volume whose edges are drawn, as arrays of one shape
        turned towards right, anterior and superior.
    affine : ndarray of shape (4, 4)
        From their indices to world mm.

    Attributes
    ----------
    axes_ : ndarray of matplotlib.axes.Axes of shape (n_rows, 3)
        What was drawn on.
    figure_ : matplotlib.figure.Figure
        Their figure.

    See Also
    --------
    SynthesisDisplay : Source, target and synthesis.

    Examples
    --------
    >>> from sklearn_lsdn.datasets import make_brain_cohort
    >>> from sklearn_lsdn.display import RegistrationDisplay
    >>> cohort = make_brain_cohort(1, voxel_size=4, random_state=0)
    >>> t1w, t2w = cohort.images["T1w"][0], cohort.images["T2w"][0]
    >>> display = RegistrationDisplay.from_images([("T2w on T1w", t1w, t2w)])
    >>> display.axes_.shape
    (2, 3)
    """

    pairs: Sequence[tuple[str, np.ndarray, np.ndarray]]
    affine: np.ndarray

    @classmethod
    def from_images(
        cls, pairs: Sequence[tuple[str, Image, Image]], **plot_parameters: Any
    ) -> Self:
        """Draw images over each other.

        Parameters
        ----------
        pairs : list of tuple
            Name, image below, and image whose edges are drawn, which is taken for a
            mask if it has two values; all on one grid.
        **plot_parameters
            Parameters of `plot`.

        Returns
        -------
        display : RegistrationDisplay
            Drawn.

        Raises
        ------
        FileNotFoundError, TypeError, ValueError
            If an image cannot be used, or lies on another grid, or there is none.
        """
        if not pairs:
            raise ValueError("pairs is empty: there is nothing to draw.")
        labelled = []
        for name, below, above in pairs:
            labelled += [(f"{name}, below", below), (name, above)]
        files, volumes = read_on_one_grid(labelled)
        names = [name for name, *_ in pairs]
        drawn = zip(names, volumes[::2], volumes[1::2], strict=True)
        return cls(list(drawn), files[0].affine).plot(**plot_parameters)

    def plot(
        self,
        ax: "Axes | np.ndarray | None" = None,
        *,
        figure: "Figure | None" = None,
        title: str | None = None,
    ) -> Self:
        """Draw three planes of each pair, through the middle of what lies below.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or ndarray of them, default=None
            Axes whose place is taken, or an array like ``axes_``; what was drawn there
            before goes.
        figure : matplotlib.figure.Figure, default=None
            What to fill instead of its axes; by default, a new figure of pyplot.
        title : str, default=None
            Over the whole figure.

        Returns
        -------
        self : RegistrationDisplay
            With ``axes_`` and ``figure_``.

        Raises
        ------
        ImportError
            If matplotlib is missing.
        ValueError
            If ``ax`` and ``figure`` are both given.
        """
        cells, lines = [], []
        for name, below, above in self.pairs:
            mask = above == above.max() if _is_mask(above) else None
            row = self._row(below, below if mask is None else (below != 0) | mask)
            for closer in (1, 2) if mask is None else (1,):
                cells.append(row)
                lines.append((name if closer == 1 else "", above, mask, closer))
        room = 0.1, 0.3 * (len(self.pairs) + bool(title))
        axes = draw_panels(cells, figure=figure, ax=ax, room=room)
        for row, shown, line in zip(axes, cells, lines, strict=True):
            self._draw_lines(row, shown, *line)
        self._on(axes)
        if title:
            self.figure_.suptitle(title)
        return self

    def _row(self, below, shown):
        """Three planes of the image below."""
        inside, shown = (
            each != 0 if each.any() else np.ones_like(each, dtype=bool)
            for each in (below, shown)
        )
        panel = Panel.of_scan("", below, window_of(below, inside))
        cuts = choose_slices(inside, self.affine)
        brain = Brain(shown, self.affine)
        return [
            (panel, Slice(brain, axis, cut.position))
            for axis, (cut,) in enumerate(cuts)
        ]

    def _draw_lines(self, axes, cells, name, above, mask, closer):
        """Edges or, of a mask, its outline and lines through its middle."""
        as_written(axes[1].set_title(name, fontsize="medium"))
        for axis, (ax, (_, cut)) in enumerate(zip(axes, cells, strict=True)):
            width = 0.6 * closer if mask is None else 1
            cut.draw_edges(ax, above, colors=_RED, linewidths=width)
            approach(ax, closer)
            if mask is not None:
                place = dict(color=_BLUE, linewidth=0.8, linestyle="--")
                Slice(Brain(mask, self.affine), axis).draw_middle(ax, **place)


def _is_mask(volume):
    """Whether it has two values."""
    low, high = volume.min(), volume.max()
    return low < high and bool(((volume == low) | (volume == high)).all())

"""RegistrationDisplay: edges of one image over another."""

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


@dataclass(eq=False, repr=False)
class RegistrationDisplay(Display):
    """Edges of registered images, drawn over what they were registered to.

    Where the red lines follow the borders below, the registration is good. Make one
    by `from_images`.

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
    3
    """

    pairs: Sequence[tuple[str, np.ndarray, np.ndarray]]
    affine: np.ndarray

    @classmethod
    def from_images(cls, pairs: Sequence[tuple[str, Image, Image]]) -> Self:
        """Put images together.

        Parameters
        ----------
        pairs : list of tuple
            Name, image below, and image whose edges are drawn; all on one grid.

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
        n_pairs = len(self.pairs)
        self.figure_ = figure = figure or figure_to_save((11, 4 * n_pairs + 0.6))
        rows = figure.subfigures(n_pairs, 1, squeeze=False)[:, 0]
        for row, (name, below, above) in zip(rows, self.pairs, strict=True):
            inside = below != 0 if below.any() else np.ones_like(below, dtype=bool)
            row.suptitle(name, fontsize="medium")
            low, high = np.percentile(below[inside], [0.5, 99.5])
            axes = row.subplots(1, len(PLANES))
            for ax, axis in zip(axes, PLANES.values(), strict=True):
                plane = Slice(inside, self.affine, axis)
                plane.draw(ax, below, cmap="gray", vmin=min(0, low), vmax=high)
                plane.draw_edges(ax, above, colors="red", linewidths=0.7)
        if title:
            figure.suptitle(title)
        return self

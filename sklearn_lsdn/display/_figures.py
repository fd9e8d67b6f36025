"""Where pictures are drawn: matplotlib, imported when a picture is asked for."""

import io
import os

import numpy as np

from .._utils.files import written_whole
from .._utils.optional import require

_WHITE = 99.5  # percentile of the brain that is drawn white


def new_figure(figsize):
    """Make a figure of pyplot, which notebooks and ``plt.show()`` know of.

    Parameters
    ----------
    figsize : tuple of float
        Width and height in inches.

    Returns
    -------
    figure : matplotlib.figure.Figure

    Raises
    ------
    ImportError
        If matplotlib is missing.
    """
    return require("matplotlib.pyplot").figure(figsize=figsize, layout="constrained")


def figure_to_save(figsize):
    """Make a figure that pyplot does not know of; else as `new_figure`."""
    return require("matplotlib.figure").Figure(figsize=figsize, layout="constrained")


def axes_or_new(ax, figsize):
    """Return ``ax``, or the only axes of a new figure if it is None."""
    return new_figure(figsize).subplots() if ax is None else ax


def as_png(figure, dpi=120) -> bytes:
    """A figure as a PNG that is the same in every release of matplotlib."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi, metadata={"Software": None})
    return file.getvalue()


def white_of(volume, mask) -> float:
    """Intensity to be drawn white."""
    return float(np.percentile(volume[mask], _WHITE)) or 1.0


class Display:
    """A picture, saved once it is drawn."""

    def save(self, path: str | os.PathLike, *, overwrite: bool = False) -> None:
        """Write the drawn figure as a PNG.

        Parameters
        ----------
        path : str or path-like
        overwrite : bool, default=False
            Replace an existing file.
        """
        with written_whole(path, suffix=".png", overwrite=overwrite) as temporary:
            temporary.write_bytes(as_png(self.figure_))

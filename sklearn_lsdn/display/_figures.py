"""Where pictures are drawn: matplotlib, imported when a picture is asked for."""

import io
import os

import numpy as np

from .._utils.files import written_whole
from .._utils.optional import require

_DPI = 150


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


def bare_figure(figsize):
    """The same without a layout engine, which takes half the time of small pictures."""
    return require("matplotlib.figure").Figure(figsize=figsize)


def as_png(figure, dpi=_DPI) -> bytes:
    """A figure as a PNG that is the same in every release of matplotlib."""
    return _encoded(figure, format="png", dpi=dpi, metadata={"Software": None})


def as_webp(figure, dpi=_DPI) -> bytes:
    """A figure for a page: a quarter of a PNG's bytes, and no difference to be seen."""
    look = dict(pil_kwargs={"quality": 85, "method": 2})
    return _encoded(figure, format="webp", dpi=dpi, **look)


def _encoded(figure, **parameters):
    file = io.BytesIO()
    figure.savefig(file, **parameters)
    return file.getvalue()


class Display:
    """A picture, with ``figure_`` and ``axes_`` once it is drawn."""

    def _on(self, axes):
        """Say where it was drawn."""
        self.axes_ = np.atleast_1d(axes)
        self.figure_ = self.axes_.flat[0].figure
        return self

    def _on_one(self, ax):
        """The same, of a picture that has only one pair of axes."""
        self.ax_ = ax
        return self._on(ax)

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


def axes_or_new(ax, figsize):
    """Return ``ax``, or the only axes of a new figure if it is None."""
    return new_figure(figsize).subplots() if ax is None else ax

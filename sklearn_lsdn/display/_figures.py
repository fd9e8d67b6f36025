"""Where pictures are drawn: matplotlib, imported when a picture is asked for."""

import io
import os
from pathlib import Path

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


def as_webp(figure, dpi=_DPI) -> bytes:
    """A figure for a page: a quarter of a PNG's bytes, and no difference to be seen."""
    look = dict(pil_kwargs={"quality": 85, "method": 2})
    return _encoded(figure, format="webp", dpi=dpi, **look)


def figure_for(figsize, figure=None, ax=None):
    """A figure to draw in.

    Parameters
    ----------
    figsize : tuple of float
        Width and height in inches, of a new one.
    figure : matplotlib figure or callable, default=None
        One to be emptied, or what makes one of a size; by default, `new_figure`.
    ax : matplotlib axes or ndarray of them, default=None
        What to draw on instead.

    Returns
    -------
    figure : matplotlib.figure.Figure or None
        None, where there is something to draw on instead.

    Raises
    ------
    TypeError
        If ``ax`` is a figure.
    ValueError
        If both are given.
    """
    if ax is not None and figure is not None:
        raise ValueError("ax and figure are both given: choose one to draw in.")
    if isinstance(ax, require("matplotlib.figure").FigureBase):
        raise TypeError("ax is a figure: pass it as figure=.")
    if ax is not None:
        return None
    if figure is None or callable(figure):
        return (figure or new_figure)(figsize)
    for each in figure.axes:
        each.remove()
    return figure


def empty(ax):
    """Remove what is drawn on axes, or in their place, and the colour bars of that."""
    for panel in vars(ax).pop("lsdn_panels", ()):
        empty(panel)
        panel.remove()
    for drawn in (*ax.images, *ax.collections):
        if drawn.colorbar:
            drawn.colorbar.remove()
    ax.clear()
    if spec := ax.get_subplotspec():
        ax.set_subplotspec(spec)  # as large as before there were bars


def _encoded(figure, **parameters):
    file = io.BytesIO()
    figure.savefig(file, **parameters)
    return file.getvalue()


def as_written(*texts):
    """Take dollars in these texts of a figure, which hold names, for dollars."""
    for text in texts:
        text.set_parse_math(False)


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

    def save(
        self, path: str | os.PathLike, *, dpi: float = _DPI, overwrite: bool = False
    ) -> None:
        """Write the drawn figure, all of it, to a file.

        Parameters
        ----------
        path : str or path-like
            Its ending says in which of matplotlib's formats, as .png, .pdf or .svg.
        dpi : float, default=150
            Pixels per inch; journals ask for 300 or more.
        overwrite : bool, default=False
            Replace an existing file.

        Raises
        ------
        ValueError
            If nothing is drawn yet, or the ending is of no such format.
        FileExistsError
            If the file exists and ``overwrite`` is false.
        OSError
            If the file cannot be written.
        """
        try:
            figure = self.figure_.figure  # of a part of one, the whole
        except AttributeError:
            missing = "There is no picture yet: call plot before save."
            raise ValueError(missing) from None
        suffix = Path(path).suffix.lower()
        known = figure.canvas.get_supported_filetypes()
        if suffix[1:] not in known:
            raise ValueError(
                f"{path} does not end in a format that matplotlib writes: give one of "
                f"{', '.join(f'.{each}' for each in known)}."
            )
        more = {"metadata": {"Software": None}} if suffix == ".png" else {}
        with written_whole(path, suffix=suffix, overwrite=overwrite) as temporary:
            data = _encoded(figure, format=suffix[1:], dpi=dpi, **more)
            temporary.write_bytes(data)


def axes_or_new(ax, figure, figsize):
    """Return ``ax`` or, if it is None, the only axes of `figure_for`."""
    figure = figure_for(figsize, figure, ax)
    return ax if figure is None else figure.subplots()

"""Where pictures are drawn: matplotlib, imported when a picture is asked for."""

from .._utils.optional import require


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


def axes_or_new(ax, figsize):
    """Return ``ax``, or the only axes of a new figure if it is None."""
    return new_figure(figsize).subplots() if ax is None else ax

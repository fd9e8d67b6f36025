"""Where pictures are drawn: matplotlib, imported when a picture is asked for."""


def require_matplotlib():
    """Import matplotlib.figure, or say how to install it.

    Returns
    -------
    figure : module

    Raises
    ------
    ImportError
        If matplotlib is missing.
    """
    try:
        import matplotlib.figure
    except ImportError as error:
        raise ImportError(
            'Pictures need matplotlib: pip install "sklearn_lsdn[demo]"'
        ) from error
    return matplotlib.figure


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
    require_matplotlib()
    import matplotlib.pyplot as plt

    return plt.figure(figsize=figsize, layout="constrained")


def axes_or_new(ax, figsize):
    """Return ``ax``, or the only axes of a new figure if it is None."""
    return new_figure(figsize).subplots() if ax is None else ax

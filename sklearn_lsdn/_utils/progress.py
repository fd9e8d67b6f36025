"""What work on several subjects tells of how far it is."""


def teller(verbose):
    """Turn the parameter ``verbose`` into a function to tell of progress.

    Parameters
    ----------
    verbose : int or callable
        0 says nothing, 1 prints lines. A callable is told instead.

    Returns
    -------
    tell : callable
        ``tell(work, done, total, line=None, note=None)``: so many of so many steps of
        this work are done; ``line`` is what to print, ``note`` what to show beside a
        count.
    """
    if callable(verbose):
        return verbose

    def tell(work, done, total, line=None, note=None):
        if verbose and line is not None:
            print(line, flush=True)

    return tell

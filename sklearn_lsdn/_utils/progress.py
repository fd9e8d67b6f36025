"""How far work is: lines that are printed, and bars where a command shows them."""

from contextlib import contextmanager

_bars = None  # of this process: in others, work is silent


@contextmanager
def shown_by(bars):
    """Let bars show, too, how far the work is that begins meanwhile.

    Parameters
    ----------
    bars : object or None
        With ``move(progress, note)`` and ``end(progress)``, which threads may call.
    """
    global _bars
    before, _bars = _bars, bars
    try:
        yield
    finally:
        _bars = before


class Progress:
    """How far a piece of work is.

    Parameters
    ----------
    work : str
        What is done.
    total : int
        Steps of it, at most.
    verbose : int, default=0
        0 prints nothing, 1 a line for each step that has one.
    """

    def __init__(self, work, total, verbose=0):
        self.work, self.total, self.done = work, total, 0
        self._verbose, self._bars = verbose, _bars

    def tell(self, done, line=None, note=""):
        """Say that so many steps are done.

        Parameters
        ----------
        done : int
        line : str, default=None
            What is printed.
        note : str, default=""
            What a bar shows beside the count.
        """
        self.done = done
        if self._verbose and line is not None:
            print(line, flush=True)
        if self._bars is not None:
            self._bars.move(self, note)

    def end(self):
        """Say that there are no more steps, and that the bar may make room."""
        if self._bars is not None:
            self._bars.end(self)

"""Progress of a command: bars on a terminal, else lines, or nothing."""

import sys
from contextlib import contextmanager
from threading import Lock

from .._utils.progress import shown_by


@contextmanager
def shown(arguments):
    """Show progress as the options ask and as standard error allows.

    Parameters
    ----------
    arguments : Namespace
        With ``quiet`` and ``verbose``.

    Yields
    ------
    verbose : int
        What estimators and functions are to print, above the bars if there are any.
    """
    display = None if arguments.quiet else _rich_progress()
    if display is None:
        yield int(not arguments.quiet)
        return
    with display, shown_by(Bars(display)):
        yield int(arguments.verbose)


class Bars:
    """A bar for each work in progress.

    Parameters
    ----------
    display : rich.progress.Progress
    """

    def __init__(self, display):
        self._display = display
        self._bars = {}
        self._ended = []
        self._moving = Lock()

    def move(self, progress, note):
        """Move the bar of this work, or add it."""
        with self._moving:
            if progress not in self._bars:
                while self._ended:
                    self._display.remove_task(self._ended.pop())
                self._bars[progress] = self._display.add_task(
                    progress.work, total=progress.total, note=""
                )
        bar = self._bars[progress]
        self._display.update(bar, completed=progress.done, note=note)

    def end(self, progress):
        """Fill the bar of this work, which goes when the next one comes."""
        bar = self._bars.pop(progress)
        self._display.update(bar, total=progress.done)
        self._ended.append(bar)


def _rich_progress():
    """Bars on standard error, if it is a terminal that can show them."""
    if not sys.stderr.isatty():
        return None
    try:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.table import Column
    except ImportError:
        return None
    console = Console(stderr=True)
    if console.is_dumb_terminal:
        return None
    rest = Column(no_wrap=True, overflow="ellipsis")
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[note]}", markup=False, table_column=rest),
        console=console,
    )


def tell(arguments, text):
    """Say something that is no result, unless nothing shall be said."""
    if not arguments.quiet:
        print(text, file=sys.stderr)

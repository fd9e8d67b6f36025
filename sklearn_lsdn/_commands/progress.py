"""Progress of a command: bars on a terminal, else lines, or nothing."""

import sys
from contextlib import contextmanager

_READING = "Reading subjects"
_EPOCHS = ("epoch", "iteration")  # what networks call them


@contextmanager
def shown(arguments):
    """Show progress as the options ask and as standard error allows.

    Parameters
    ----------
    arguments : Namespace
        With ``quiet`` and ``verbose``.

    Yields
    ------
    progress : Lines or Bars
        Its ``verbose`` is for estimators, its ``tell`` for functions that work on
        several subjects; its ``watch`` takes an estimator that is to be fitted.
    """
    progress = None if arguments.quiet else _rich_progress()
    if progress is None:
        yield Lines(not arguments.quiet)
    else:
        with progress:
            yield Bars(progress, arguments.verbose)


class Lines:
    """Progress printed line by line, by what does the work."""

    def __init__(self, verbose):
        self.verbose = self.tell = int(verbose)

    def watch(self, estimator):
        """Nothing; an estimator that is ``verbose`` prints by itself."""


class Bars:
    """Progress bars; also a callback of scikit-learn, for networks and synthesizers."""

    only_watches = True

    def __init__(self, progress, verbose):
        self.verbose = int(verbose)  # prints lines above the bars
        self._progress = progress
        self._bars = {}  # of each work, and of each network in training
        self._trained = []

    def __getstate__(self):
        return {"_progress": None}  # in other processes it is silent

    def tell(self, work, done, total, line=None, note=None):
        """Move the bar of this work."""
        if self.verbose and line is not None:
            print(line)
        bar = self._bar(work, work, total)
        self._progress.update(bar, completed=done, note=note or "")

    def watch(self, estimator):
        """Be told of the fits of this estimator and of its clones."""
        if hasattr(estimator, "set_callbacks"):
            callbacks = getattr(estimator, "_skl_callbacks", [])
            estimator.set_callbacks(*callbacks, self)

    def setup(self, estimator, context):
        """Wait for the first task that has a bar."""

    def teardown(self, estimator, context):
        """Leave the bars to be seen."""

    def on_fit_task_begin(self, estimator, context, *, X=None):
        """Add a bar, if this is the first task of its kind."""
        if self._progress is None:
            return
        if context.task_name == "read-subject":
            self._bar(_READING, _READING, len(X))
        elif context.task_name in _EPOCHS and estimator not in self._bars:
            while self._trained:  # networks before this one
                self._progress.remove_task(self._trained.pop())
            sizes = "-".join(map(str, estimator.hidden_layer_sizes))
            what = f"Training {type(estimator).__name__} {sizes}"
            self._bar(estimator, what, context.parent.max_subtasks)

    def on_fit_task_end(self, estimator, context):
        """Move the bar of tasks of this kind."""
        if self._progress is None:
            return
        if context.task_name == "read-subject":
            self._progress.advance(self._bars[_READING])
        elif context.task_name in _EPOCHS:
            losses = estimator.loss_curve_
            known = len(losses) == estimator.n_iter_  # not in training after shrinking
            note = f"loss {losses[-1]:.4g}" if known else ""
            self._progress.update(self._bars[estimator], advance=1, note=note)
        elif estimator in self._bars:  # trained, perhaps in fewer epochs than it might
            bar = self._bars.pop(estimator)
            done = {task.id: task.completed for task in self._progress.tasks}
            self._progress.update(bar, total=done[bar])
            self._trained.append(bar)

    def _bar(self, key, what, total):
        if key not in self._bars:
            self._bars[key] = self._progress.add_task(what, total=total, note="")
        return self._bars[key]


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

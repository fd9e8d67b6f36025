"""What scikit-learn's callbacks are told of a fit: its tasks, as they begin and end."""

from contextlib import contextmanager


class FitTasks:
    """The tasks of a fit, one after another.

    ``state`` is always what makes a copy of the estimator as good as fitted: a dict
    of attributes, or a function that returns it. The function is called only if a
    callback asks for a fitted estimator.

    Parameters
    ----------
    estimator : estimator with CallbackSupportMixin
    n_tasks : int or None
        At most, or None if that is not known.
    X, y, sample_weight : as the user gave them
        What callbacks get, and ``given`` keeps.
    """

    def __init__(self, estimator, n_tasks, X=None, y=None, sample_weight=None):
        self.given = X, y, sample_weight
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self._given = dict(estimator=estimator, X=X, y=y, metadata=metadata)
        self._fit = estimator._init_callback_context(max_subtasks=n_tasks)
        self._fit.call_on_fit_task_begin(**self._given)
        self._task = None
        self.stopping = False
        """Whether a callback asked that no further task begin."""

    def begin(self, name, state=None):
        """Begin a task."""
        self._task = self._fit.subcontext(task_name=name)
        self._task.call_on_fit_task_begin(
            **self._given, reconstruction_attributes=state
        )

    def end(self, state=None):
        """End the task that was begun."""
        task, self._task = self._task, None
        stop = task.call_on_fit_task_end(**self._given, reconstruction_attributes=state)
        self.stopping |= stop

    def planned(self, names):
        """Tasks for `delegated` in the order of their numbers, which threads take."""
        return [self._fit.subcontext(task_name=name) for name in names]

    @contextmanager
    def delegated(self, task, part, state=None):
        """A task, planned or new, that is the fit of another estimator."""
        if isinstance(task, str):
            (task,) = self.planned([task])
        with task.propagate_callback_context(part):
            task.call_on_fit_task_begin(**self._given)
            yield
            stop = task.call_on_fit_task_end(
                **self._given, reconstruction_attributes=state
            )
        self.stopping |= stop

    def close(self):
        """End the fit; its estimator is fitted."""
        if self._task is not None:
            self.end()
        self._fit.call_on_fit_task_end(**self._given, reconstruction_attributes={})

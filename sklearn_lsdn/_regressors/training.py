"""Between estimators and training: checked samples, held-out ones, and who is told."""

import copy
import math
import threading
import warnings
from contextlib import contextmanager

import numpy as np
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit

from .._network.training import History, Settings, train
from .._utils.callbacks import FitTasks
from .._utils.doubts import warn_user
from .._utils.groups import check_groups
from .._utils.progress import Progress
from .._utils.samples import validate_samples
from .._utils.sklearn_private import check_weights, own_callbacks, with_callbacks
from .._utils.threads import effective_n_threads
from ..exceptions import TrainingInterrupted


@contextmanager
def interrupts_end_all():
    """Let an interrupt end what trains several networks, and not one training alone."""
    if threading.current_thread() is not threading.main_thread():
        yield  # which interrupts do not reach, nor are its warnings its own
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error", TrainingInterrupted)
        try:
            yield
        except TrainingInterrupted as interrupted:
            raise KeyboardInterrupt from interrupted


def warn_if_interrupted(history: History):
    """Say that a network is not trained to the end."""
    if history.interrupted:
        said = f"Training interrupted after {len(history.losses)} epochs."
        warn_user(TrainingInterrupted(said))


def settings_of(regressor) -> Settings:
    """How a network regressor's parameters say to train."""
    return Settings(
        solver=regressor.solver,
        alpha=regressor.alpha,
        batch_size=regressor.batch_size,
        learning_rate=regressor.learning_rate_init,
        learning_rate_decay=regressor.learning_rate_decay,
        max_iter=regressor.max_iter,
        tol=regressor.tol,
        n_iter_no_change=regressor.n_iter_no_change,
        shuffle=regressor.shuffle,
        average=regressor.average,
        n_threads=effective_n_threads(regressor.n_jobs),
    )


def validate_training(estimator, X, y, sample_weight, groups=None, *, reset):
    """Arrays of the samples that have a part in training.

    Returns
    -------
    data : tuple of ndarray
        X, y of shape (n_samples, n_outputs), and positive weights.
    groups : ndarray or None
    flat : bool
        Whether y was one-dimensional.
    """
    X, y = validate_samples(estimator, X, y, reset=reset)
    weight = check_weights(sample_weight, X)
    data, groups = with_weight((X, y.reshape(len(y), -1)), weight, groups)
    return data, groups, y.ndim == 1


def with_weight(arrays, weight, groups):
    """Leave out what weighs nothing.

    Returns
    -------
    data : tuple of ndarray
        The arrays, and positive weights.
    groups : ndarray or None
    """
    if groups is not None:
        groups = check_groups(groups, len(weight))
    data = *arrays, weight
    # What float32 rounds to 0 beside the largest weight has no part either.
    used = (weight / max(weight.max(), np.finfo(float).tiny)).astype(np.float32) > 0
    if not used.all():
        data = tuple(array[used] for array in data)
        groups = None if groups is None else groups[used]
    return data, groups


def check_outputs(n_outputs, network, name="y"):
    """Raise ValueError unless a trained network has as many outputs."""
    if n_outputs != network.n_outputs:
        raise ValueError(
            f"{name} has {n_outputs} outputs, but the network was trained on "
            f"{network.n_outputs}. Give as many, or train a new one with "
            "warm_start=False."
        )


def check_hidden_layer_sizes(hidden_layer_sizes) -> list[int]:
    """One or more positive integers, as a list."""
    hidden = np.atleast_1d(hidden_layer_sizes)
    whole = hidden.ndim == 1 and len(hidden) > 0 and hidden.dtype.kind in "iu"
    if not whole or hidden.min() < 1:
        raise ValueError(
            "hidden_layer_sizes must be one or more positive integers, got "
            f"{hidden_layer_sizes!r}."
        )
    return hidden.tolist()


def check_watched(regressor, X_val, y_val):
    """Refuse validation data that cannot be watched before all else."""
    if (X_val is None) != (y_val is None):
        given, missing = ("y_val", "X_val") if X_val is None else ("X_val", "y_val")
        raise ValueError(f"{given} needs {missing}: give both, or neither.")
    stops_early = regressor.early_stopping and regressor.solver != "lbfgs"
    if X_val is not None and not stops_early:
        raise ValueError(
            "X_val and y_val are for early stopping. Set early_stopping=True, and "
            'solver="adam" or solver="sgd".'
        )


def hold_out(data, fraction, groups, rng):
    """Part samples at random, by whole groups where they are given.

    Returns
    -------
    data, held_out : tuples of ndarray
    """
    if len(data[0]) < 2:
        raise ValueError(
            "early_stopping=True holds out samples, but there is only 1 sample. "
            "Give more, or X_val and y_val."
        )
    splitter = ShuffleSplit
    if groups is not None:
        n_groups = len(np.unique(groups))
        if n_groups < 2:
            raise ValueError(
                "early_stopping=True holds out whole groups, but all samples are "
                "of one group. Give samples of more, or X_val and y_val."
            )
        fraction = min(math.ceil(fraction * n_groups), n_groups - 1)
        splitter = GroupShuffleSplit
    split = splitter(1, test_size=fraction, random_state=rng).split
    rows, held_out = next(split(data[0], groups=groups))
    return tuple(a[rows] for a in data), tuple(a[held_out] for a in data)


class EpochTasks:
    """Tells callbacks, and a person, of the epochs of `train`.

    Parameters
    ----------
    tasks : FitTasks
    attributes : callable
        ``attributes(network, history)`` gives what a fit sets that ends with them.
    progress : Progress
    n_before : int
        Epochs before this training.
    """

    def __init__(self, tasks, attributes, progress, n_before=0):
        self._tasks = tasks
        self._attributes = attributes
        self._progress = progress
        self._n_before = n_before
        progress.tell(0)

    @property
    def stopping(self) -> bool:
        """Whether a callback asked that no further epoch begin."""
        return self._tasks.stopping

    def begin(self, name, state):
        """Tell that an epoch begins."""
        self._tasks.begin(name, lambda: self._attributes(*state()))

    def end(self, state, history):
        """Tell that it ended."""
        n, loss = len(history.losses), history.losses[-1]
        line = f"Epoch {self._n_before + n}: loss {loss:.6g}"
        if history.validation_losses:
            line += f", validation loss {history.validation_losses[-1]:.6g}"
        self._progress.tell(n, line, f"loss {loss:.4g}")
        self._tasks.end(lambda: self._attributes(*state()))


def epochs_of(regressor, n_epochs, verbose=0) -> Progress:
    """How far the training of a network is."""
    sizes = "-".join(map(str, np.atleast_1d(regressor.hidden_layer_sizes)))
    work = f"Training {type(regressor).__name__} {sizes}"
    return Progress(work, n_epochs, verbose)


def holding(regressor, network):
    """A copy of a fitted regressor that holds another network."""
    other = copy.copy(regressor)
    rng = copy.deepcopy(vars(regressor).get("_random"))
    vars(other).update(network_=network, _moments=None, _random=rng)
    other.set_params(hidden_layer_sizes=network.hidden_layer_sizes)
    # Callbacks that meta-estimators hand down, it will not find where it is used.
    return other.set_callbacks(*own_callbacks(regressor))


@with_callbacks
def train_further(regressor, data, settings, rng, given) -> History:
    """Train the network that a regressor holds, which counts the epochs.

    Callbacks are told of ``given``: X, y and sample_weight as the user gave them.
    """
    tasks = FitTasks(regressor, settings.max_iter, *given)
    n_before = regressor.n_iter_

    def attributes(network, history):
        return {"network_": network, "n_iter_": n_before + len(history.losses)}

    history = History()
    if settings.max_iter:
        progress = epochs_of(regressor, settings.max_iter)
        told = EpochTasks(tasks, attributes, progress)
        trained = train(regressor.network_, data, settings, rng, told)
        progress.end()
        vars(regressor).update(attributes(*trained))
        history = trained[1]
        warn_if_interrupted(history)
    tasks.close()
    return history

"""Training as a function: of a network, data and settings, to another network."""

import math
from dataclasses import dataclass, field, replace

import numpy as np

from .network import Network

_BATCHES_PER_EPOCH = 400  # at least, as long as batches hold 4 samples


@dataclass(frozen=True)
class Settings:
    """How to train.

    Parameters
    ----------
    solver : {"adam", "sgd", "lbfgs"}
    alpha : float
        Strength of the L2 penalty, divided by the total weight of the samples.
    batch_size : int or "auto"
    learning_rate : float
        Of the first epoch.
    learning_rate_decay : float
        Factor on the learning rate after each epoch.
    max_iter : int
        Epochs; iterations of L-BFGS.
    tol : float
        A loss counts as progress below ``1 - tol`` times the best so far.
    n_iter_no_change : int or inf
        How many losses in a row without progress end the training.
    shuffle : bool
    average : int
        Epochs whose networks are averaged: the last, and half of all at most.
    n_threads : int
    """

    solver: str
    alpha: float
    batch_size: int | str
    learning_rate: float
    learning_rate_decay: float = 1.0
    max_iter: int = 1
    tol: float = 0.0
    n_iter_no_change: float = math.inf
    shuffle: bool = True
    average: int = 1
    n_threads: int = 1

    def further(self, max_iter, learning_rate, batch_size) -> "Settings":
        """The same for exactly so many epochs, whose rate falls by a factor of 20.

        At its low end nothing is left to average. L-BFGS, which has no rate, still ends
        when it is done.
        """
        if self.solver == "lbfgs":
            return replace(self, max_iter=max_iter)
        return replace(
            self,
            max_iter=max_iter,
            learning_rate=learning_rate,
            learning_rate_decay=0.05 ** (1.0 / max(1, max_iter - 1)),
            batch_size=batch_size,
            n_iter_no_change=math.inf,
            average=1,
        )

    def samples_per_batch(self, n_samples) -> int:
        """What ``batch_size`` stands for, and no more than there are."""
        if self.batch_size == "auto":
            size = int(np.clip(n_samples // _BATCHES_PER_EPOCH, 4, 256))
            return min(size, n_samples)
        return min(self.batch_size, n_samples)


@dataclass
class History:
    """What became of a training.

    Parameters
    ----------
    losses : list of float
        The loss in each epoch, averaged while it trained.
    validation_losses : list of float
        The same on what is watched, after each epoch; empty if nothing is.
    moments : dict or None
        What `Trainer.set_state` takes, to go on from here.
    interrupted : bool
        Whether a person ended it; the network is that of the last whole epoch.
    """

    losses: list = field(default_factory=list)
    validation_losses: list = field(default_factory=list)
    moments: dict | None = None
    interrupted: bool = False

    def then(self, later) -> "History":
        """The two as one; epochs in which nothing was watched count as NaN."""
        first, second = self.validation_losses, later.validation_losses
        if first or second:
            first = first or [math.nan] * len(self.losses)
            second = second or [math.nan] * len(later.losses)
        losses = self.losses + later.losses
        return History(losses, first + second, later.moments, later.interrupted)


def train(
    network: Network,
    data,
    settings: Settings,
    rng,
    tasks,
    *,
    watched=None,
    moments=None,
) -> tuple[Network, History]:
    """Train a network further.

    Parameters
    ----------
    network : Network
    data : tuple of ndarray
        X, y and weight, as `Network.scaled` takes them.
    settings : Settings
    rng : numpy.random.RandomState
        Order of the samples.
    tasks : object
        ``tasks.begin(name, state)`` and ``tasks.end(state, history)`` are called around
        each epoch; ``state()`` gives the network and the history that an end right now
        would leave. ``tasks.stopping`` ends the training.
    watched : tuple of ndarray, default=None
        As ``data``: progress is measured on it, and the network of the best epoch kept.
    moments : dict, default=None
        `History.moments` of an earlier training, to go on from there.

    Raises
    ------
    ValueError
        If it diverges.
    """
    settings = replace(settings, alpha=settings.alpha / data[-1].sum())
    if settings.solver == "lbfgs":
        samples = network.scaled(*data, np.float64)
        return _all_at_once(network, samples, settings, tasks)
    samples = network.scaled(*data, np.float32)
    return _by_epochs(network, samples, settings, rng, tasks, watched, moments)


def _by_epochs(network, samples, settings, rng, tasks, watched, moments):
    from .optimizers import Patience, TailAverage, Trainer, mean_loss

    theta = network.parameters(np.float32)
    trainer = Trainer(network.architecture, theta, samples, settings, rng)
    if moments is not None:
        trainer.set_state(moments)
    if watched is not None:
        watched = network.scaled(*watched, np.float32)
    patience = Patience(settings)
    average = TailAverage(trainer.theta, settings.average)
    history, best_theta = History(), None

    def state():
        theta = average.theta() if best_theta is None else best_theta
        return _trained(network, theta, settings), history

    try:
        for _ in range(settings.max_iter):
            tasks.begin("epoch", state)
            loss = judged = trainer.epoch()
            history.losses.append(loss)
            average.add(trainer.theta)
            if watched is not None:
                theta = average.theta()
                judged = mean_loss(trainer.architecture, theta, watched)
                history.validation_losses.append(judged)
                if judged < patience.best:
                    best_theta = theta
            tasks.end(state, history)
            if patience.ends_with(judged) or tasks.stopping:
                break
    except KeyboardInterrupt:
        if not history.losses:
            raise
        history.interrupted = True
    history.moments = trainer.get_state()
    return state()


def _all_at_once(network, samples, settings, tasks):
    from .optimizers import minimize_full_batch

    history = History()

    def after_iteration(theta, loss, last):
        def state():
            return _trained(network, theta, settings), history

        history.losses.append(loss)
        tasks.end(state, history)
        if not (last or tasks.stopping):
            tasks.begin("iteration", state)
        return tasks.stopping

    tasks.begin("iteration", lambda: (network, history))
    theta = network.parameters(np.float64)
    theta, losses = minimize_full_batch(
        network.architecture, theta, samples, settings, after_iteration
    )
    history.losses[:] = losses  # one, where there was nothing to improve
    return _trained(network, theta, settings), history


def _trained(network, theta, settings):
    try:
        return network.with_parameters(theta)
    except FloatingPointError as error:
        raise ValueError(
            "Training diverged: the network's parameters are not finite. Lower "
            f"learning_rate_init={settings.learning_rate}, and check the magnitude "
            "of y."
        ) from error

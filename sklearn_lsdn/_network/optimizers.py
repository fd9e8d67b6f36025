"""Optimizers: epochs of SGD or Adam on the kernels, and full-batch L-BFGS."""

from collections import deque

import numpy as np
from scipy.optimize import minimize
from scipy.special import xlogy

from . import reference
from .architecture import Architecture
from .inference import predict_rows
from .kernels.epoch import N_BUFFERS, Rule, Shared, Workspace, epoch
from .kernels.operands import LEAST, MOST, Parameters, Samples
from .kernels.responses import TILE
from .kernels.vectors import LANES, aligned
from .threads import run_together


class Trainer:
    """Stochastic training of one network, an epoch a call.

    Parameters
    ----------
    architecture : Architecture
    theta : float32 array of shape (n_parameters,)
        Trained in place.
    samples : tuple of float32 arrays
        S, X, T, weight: scaled features, coordinates, targets in [0, 1], and positive
        weights.
    settings : Settings
        Its ``alpha`` is that of a penalty alpha |F|^2 / 2 on the loss, its
        ``n_threads`` how many may share the work of a batch: one for each 128 of its
        samples, up to 8. The result does not depend on it.
    rng : numpy.random.RandomState
    """

    def __init__(self, architecture: Architecture, theta, samples, settings, rng):
        self.architecture = architecture
        self.theta = theta
        self._samples = Samples(*map(np.ascontiguousarray, samples))
        self._total_weight = float(samples[-1].sum(dtype=np.float64))
        self._settings = settings
        self._decay = (settings.alpha * architecture.filter_mask()).astype(np.float32)
        self._batch_size = settings.samples_per_batch(len(samples[0]))
        self._rng = rng
        self._first_moment = np.zeros_like(theta)
        self._second_moment = np.zeros_like(theta)
        self._n_epochs = 0
        self._n_steps = 0

    def get_state(self) -> dict:
        """What to hand to `set_state` of another trainer to go on from here."""
        return {
            "first_moment": self._first_moment,
            "second_moment": self._second_moment,
            "n_epochs": self._n_epochs,
            "n_steps": self._n_steps,
        }

    def set_state(self, state):
        """Go on with the moments and the learning rate of another trainer."""
        self._first_moment = state["first_moment"].copy()
        self._second_moment = state["second_moment"].copy()
        self._n_epochs = state["n_epochs"]
        self._n_steps = state["n_steps"]

    def epoch(self) -> float:
        """Visit every sample once; return the loss, weighted, without penalty."""
        n_samples = len(self._samples.S)
        order = np.arange(n_samples)
        if self._settings.shuffle:
            self._rng.shuffle(order)
        n_buffers = min(-(-self._batch_size // TILE), N_BUFFERS)
        n_threads = min(self._settings.n_threads, n_buffers)
        parameters = Parameters.of(self.architecture, self._widened(self.theta))
        settings = self._settings
        rule = Rule(
            settings.solver == "adam",
            settings.learning_rate * settings.learning_rate_decay**self._n_epochs,
            self._widened(self._decay),
            self._widened(self._first_moment),
            self._widened(self._second_moment),
            self._n_steps,
        )
        shared = Shared.of(n_threads, n_buffers, len(parameters.theta))

        def run():
            n_tile = min(TILE, self._batch_size)
            workspace = Workspace.of(parameters, self._samples, n_tile)
            epoch(
                parameters,
                self._samples,
                order,
                self._batch_size,
                rule,
                shared,
                workspace,
            )

        run_together(run, n_threads)
        for vector, padded in (
            (self.theta, parameters.theta),
            (self._first_moment, rule.first),
            (self._second_moment, rule.second),
        ):
            self.architecture.narrow(padded, LANES, vector)
        self._n_epochs += 1
        self._n_steps += -(-n_samples // self._batch_size)
        return shared.losses[-1] / (2.0 * self._total_weight)

    def _widened(self, vector):
        """As `Architecture.widen`, from the start of a cache line."""
        padded = self.architecture.widen(vector, LANES)
        out = aligned(padded.shape)
        out[:] = padded
        return out


def mean_loss(architecture: Architecture, theta, samples) -> float:
    """The loss, weighted, of a network that stands still."""
    S, X, T, weight = samples
    psi = predict_rows(architecture, theta, S, X)
    if architecture.cross_entropy:
        psi = np.clip(psi, LEAST, MOST).astype(np.float64)
        loss = 2.0 * -(xlogy(T, psi) + xlogy(1.0 - T, 1.0 - psi)).sum(axis=1)
    else:
        loss = ((psi - T).astype(np.float64) ** 2).sum(axis=1)
    return float(weight @ loss / (2.0 * weight.sum(dtype=np.float64)))


def minimize_full_batch(architecture, theta, samples, settings, after_iteration=None):
    """L-BFGS on the float64 reference, all samples at once.

    It ends after ``max_iter`` iterations, or ``n_iter_no_change`` in a row without
    a relative progress of ``tol``: a logistic network often starts on a plateau,
    which the optimizer's own test for convergence would take for the valley.

    It ends as well where ``after_iteration(theta, loss, last)``, if given, says so;
    ``last`` tells it whether this was the last iteration anyway.

    Returns
    -------
    theta : float64 array of shape (n_parameters,)
    losses : list of float
        Weighted and penalised, after each iteration.
    """
    losses = []
    patience = Patience(settings)

    def callback(intermediate_result):
        losses.append(float(intermediate_result.fun))
        last = len(losses) == settings.max_iter
        stop = patience.ends_with(losses[-1]) or last
        if after_iteration is not None:
            stop |= after_iteration(intermediate_result.x, losses[-1], stop)
        if stop:
            raise StopIteration

    n, alpha = settings.max_iter, settings.alpha
    result = minimize(
        lambda t: reference.loss_and_gradient(architecture, t, *samples, alpha),
        theta,
        method="L-BFGS-B",
        jac=True,
        callback=callback,
        options={"maxiter": n, "maxfun": 20 * n, "ftol": 0, "gtol": 0},
    )
    return result.x, losses or [float(result.fun)]


class TailAverage:
    """The mean of the parameters after each of the last epochs.

    Parameters
    ----------
    theta : float32 array of shape (n_parameters,)
        Before the first.
    n_epochs : int
        How many are averaged: of what there were so far, half at most.
    """

    def __init__(self, theta, n_epochs):
        self._last = deque([theta.copy()], maxlen=n_epochs)
        self._n_seen = 0

    def add(self, theta):
        """Take note of the parameters after one more epoch."""
        self._last.append(theta.copy())
        self._n_seen += 1

    def theta(self) -> np.ndarray:
        """The mean, in float32."""
        n = min(len(self._last), (self._n_seen + 1) // 2) or 1
        return np.mean([*self._last][-n:], axis=0, dtype=np.float64).astype(np.float32)


class Patience:
    """Whether a loss still falls.

    Parameters
    ----------
    settings : Settings
        A loss counts as progress below ``1 - tol`` times the best so far;
        ``n_iter_no_change`` losses in a row without progress are enough.
    """

    def __init__(self, settings):
        self.best = np.inf
        self._waiting = 0
        self._settings = settings

    def ends_with(self, loss) -> bool:
        """Take note of the next loss; say whether it is time to end."""
        progressed = loss < self.best * (1.0 - self._settings.tol)
        self._waiting = 0 if progressed else self._waiting + 1
        self.best = min(self.best, loss)
        return self._waiting >= self._settings.n_iter_no_change

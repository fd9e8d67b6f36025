"""Optimizers: epochs of SGD or Adam on the kernels, and full-batch L-BFGS."""

import numpy as np
from scipy.optimize import minimize

from . import reference
from .architecture import Architecture
from .inference import predict_rows
from .kernels.epoch import N_BUFFERS, Rule, Shared, Workspace, epoch
from .kernels.operands import Parameters, Samples
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
    S, X, T, weight : float32 arrays
        Scaled features, coordinates, targets in (0, 1) and positive weights.
    solver : {"sgd", "adam"}
    alpha : float
        L2 penalty: alpha |F|^2 / 2 is added to the loss.
    batch_size : int
    learning_rate : float
        Of the first epoch.
    learning_rate_decay : float
        Factor on the learning rate after each epoch.
    shuffle : bool
    rng : numpy.random.RandomState
    n_threads : int, default=1
        How many may share the work of a batch: one for each 128 of its samples, up
        to 8. The result does not depend on it.
    """

    def __init__(
        self,
        architecture: Architecture,
        theta,
        S,
        X,
        T,
        weight,
        *,
        solver,
        alpha,
        batch_size,
        learning_rate,
        learning_rate_decay,
        shuffle,
        rng,
        n_threads=1,
    ):
        self.architecture = architecture
        self.theta = theta
        self._samples = Samples(S, X, T, weight)
        self._total_weight = float(weight.sum(dtype=np.float64))
        self._adam = solver == "adam"
        self._decay = (alpha * architecture.filter_mask()).astype(np.float32)
        self._batch_size = min(batch_size, len(S))
        self._learning_rate = learning_rate
        self._learning_rate_decay = learning_rate_decay
        self._shuffle = shuffle
        self._rng = rng
        self._n_threads = n_threads
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
        """Visit every sample once; return equation (1), weighted, without penalty."""
        n_samples = len(self._samples.S)
        order = np.arange(n_samples)
        if self._shuffle:
            self._rng.shuffle(order)
        n_buffers = min(-(-self._batch_size // TILE), N_BUFFERS)
        n_threads = min(self._n_threads, n_buffers)
        parameters = Parameters.of(self.architecture, self._widened(self.theta))
        rule = Rule(
            self._adam,
            self._learning_rate * self._learning_rate_decay**self._n_epochs,
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


def mean_loss(architecture: Architecture, theta, S, X, T, weight) -> float:
    """Equation (1), weighted, of a network that stands still."""
    psi = predict_rows(architecture, theta, S, X)
    squared = ((psi - T).astype(np.float64) ** 2).sum(axis=1)
    return float(weight @ squared / (2.0 * weight.sum(dtype=np.float64)))


def minimize_full_batch(
    architecture: Architecture,
    theta,
    S,
    X,
    T,
    weight,
    *,
    alpha,
    max_iter,
    tol,
    n_iter_no_change,
    after_iteration=None,
):
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
        Equation (1), weighted and penalised, after each iteration.
    """
    losses = []
    progress = Progress(tol, n_iter_no_change)

    def callback(intermediate_result):
        losses.append(float(intermediate_result.fun))
        stop = len(losses) == max_iter or progress.stale_after(losses[-1])
        if after_iteration is not None:
            stop |= after_iteration(intermediate_result.x, losses[-1], stop)
        if stop:
            raise StopIteration

    result = minimize(
        lambda t: reference.loss_and_gradient(architecture, t, S, X, T, weight, alpha),
        theta,
        method="L-BFGS-B",
        jac=True,
        callback=callback,
        options={"maxiter": max_iter, "maxfun": 20 * max_iter, "ftol": 0, "gtol": 0},
    )
    return result.x, losses or [float(result.fun)]


class Progress:
    """Whether a loss still falls.

    Parameters
    ----------
    tol : float
        A loss counts as progress below ``1 - tol`` times the best so far.
    patience : int
        How many losses in a row without progress make it stale.
    """

    def __init__(self, tol, patience):
        self.best = np.inf
        self.waiting = 0
        self._tol = tol
        self._patience = patience

    @property
    def stale(self) -> bool:
        """Whether it is time to end."""
        return self.waiting >= self._patience

    def stale_after(self, loss) -> bool:
        """Take note of the next loss."""
        progressed = loss < self.best * (1.0 - self._tol)
        self.waiting = 0 if progressed else self.waiting + 1
        self.best = min(self.best, loss)
        return self.stale

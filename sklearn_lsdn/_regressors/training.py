"""How networks are trained: epochs, early stopping, and what is recorded of them."""

import copy
import math
import threading
import warnings
from contextlib import contextmanager

import numpy as np
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit
from sklearn.utils import check_random_state

from .._network.architecture import Architecture
from .._network.scaling import Scaling
from .._utils.callbacks import FitTasks
from .._utils.sklearn_private import own_callbacks, with_callbacks
from .._utils.threads import effective_n_threads
from .coordinates import as_slice, weighted_rows

_SHRINKAGE = 0.5  # of the features' correlation matrix towards the identity
_BATCHES_PER_EPOCH = 400  # at least, as long as batches hold 4 samples
ROWS_AT_ONCE = 16384  # of X, in float32, for responses and losses


class TrainingInterrupted(UserWarning):
    """Training was interrupted; the network is that of the last whole epoch."""


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


class NetworkTraining:
    """The part of a network regressor that trains it, on validated arrays."""

    def _initialize(self, X, y, weight, rng):
        """Scale, and draw a network that has seen nothing but the coordinates."""
        hidden = np.atleast_1d(self.hidden_layer_sizes)
        whole = hidden.ndim == 1 and len(hidden) > 0 and hidden.dtype.kind in "iu"
        if not whole or hidden.min() < 1:
            raise ValueError(
                "hidden_layer_sizes must be one or more positive integers, got "
                f"{self.hidden_layer_sizes!r}."
            )
        S = X[:, as_slice(self._feature_columns)]
        C = X[:, as_slice(self._coordinate_columns)]
        self._scaling = Scaling.fit(S, C, y, weight, _SHRINKAGE)
        architecture = Architecture(
            (S.shape[1], *map(int, hidden), self.n_outputs_), C.shape[1], self.sigma
        )
        self._sigma = self.sigma  # as trained, whatever becomes of the parameter
        drawn = C[weighted_rows(C, weight, hidden[0], rng)]
        latent = self._scaling.coordinates(drawn, np.float64)
        theta = architecture.initial_parameters(latent, rng)
        self._fold(architecture, theta)
        self._optimizer_state = None

    def _store(self, theta):
        if not np.isfinite(theta).all():
            raise ValueError(
                "Training diverged: the network's parameters are not finite. Lower "
                f"learning_rate_init={self.learning_rate_init}, and check the "
                "magnitude of y."
            )
        self._fold(self._architecture(), theta)

    def _fold(self, architecture, theta):
        folded = self._scaling.fold(architecture.layers(theta))
        self.coefs_, self.intercepts_, self.latent_coordinates_ = folded

    def _trained_parameters(self, dtype):
        """The network in the scaled units it is trained in, as a flat vector."""
        layers = self._scaling.unfold(
            self.coefs_, self.intercepts_, self.latent_coordinates_
        )
        return self._architecture().pack(*layers, dtype=dtype)

    def _scaled(self, X, y, weight, dtype):
        scaling = self._scaling
        return (
            scaling.features(X[:, as_slice(self._feature_columns)], dtype),
            scaling.coordinates(X[:, as_slice(self._coordinate_columns)], dtype),
            scaling.targets(y, dtype),
            (weight / weight.max()).astype(dtype),
        )

    def _samples_per_batch(self, n_samples):
        if self.batch_size == "auto":
            return int(np.clip(n_samples // _BATCHES_PER_EPOCH, 4, 256))
        return self.batch_size

    def _check_watched(self, X_val, y_val):
        """Refuse validation data that cannot be watched before all else."""
        if (X_val is None) != (y_val is None):
            given, missing = ("y_val", "X_val") if X_val is None else ("X_val", "y_val")
            raise ValueError(f"{given} needs {missing}: give both, or neither.")
        if X_val is not None and (not self.early_stopping or self.solver == "lbfgs"):
            raise ValueError(
                "X_val and y_val are for early stopping. Set early_stopping=True, and "
                'solver="adam" or solver="sgd".'
            )

    def _hold_out(self, arrays, groups, rng):
        """Part samples at random, by whole groups where they are given."""
        if len(arrays[0]) < 2:
            raise ValueError(
                "early_stopping=True holds out samples, but there is only 1 sample. "
                "Give more, or X_val and y_val."
            )
        if groups is None:
            share, splitter = self.validation_fraction, ShuffleSplit
        else:
            n_groups = len(np.unique(groups))
            if n_groups < 2:
                raise ValueError(
                    "early_stopping=True holds out whole groups, but all samples are "
                    "of one group. Give samples of more, or X_val and y_val."
                )
            share = min(math.ceil(self.validation_fraction * n_groups), n_groups - 1)
            splitter = GroupShuffleSplit
        split = splitter(1, test_size=share, random_state=rng).split
        rows, held_out = next(split(arrays[0], groups=groups))
        return [a[rows] for a in arrays], [a[held_out] for a in arrays]

    def _trainer(self, X, y, weight, rng, rate=None, decay=None, batch_size=None):
        from .._network.training import Trainer

        batch_size = batch_size or self._samples_per_batch(len(X))
        return Trainer(
            self._architecture(),
            self._trained_parameters(np.float32),
            *self._scaled(X, y, weight, np.float32),
            solver=self.solver,
            alpha=self.alpha / weight.sum(),
            batch_size=min(batch_size, len(X)),
            learning_rate=rate or self.learning_rate_init,
            learning_rate_decay=decay or self.learning_rate_decay,
            shuffle=self.shuffle,
            rng=rng,
            n_threads=effective_n_threads(self.n_jobs),
        )

    def _reset_history(self):
        self.loss_curve_ = []
        self.validation_loss_curve_ = [] if self.early_stopping else None
        self.n_iter_ = 0

    def _record(self, loss, validation_loss=None):
        self.loss_curve_.append(loss)
        self.n_iter_ += 1
        message = f"Epoch {self.n_iter_}: loss {loss:.6g}"
        if validation_loss is not None:
            self.validation_loss_curve_.append(validation_loss)
            message += f", validation loss {validation_loss:.6g}"
        if self.verbose:
            print(message)

    def _fit_full_batch(self, X, y, weight, tasks):
        from .._network.training import minimize_full_batch

        theta, first = self._trained_parameters(np.float64), self.n_iter_

        def after_iteration(theta, loss, last):
            self._record(loss)
            tasks.end(lambda: self._stopped_at(theta))
            if not (last or tasks.stopping):
                tasks.begin("iteration", lambda: self._stopped_at(theta))
            return tasks.stopping

        tasks.begin("iteration", lambda: self._stopped_at(theta))
        theta, losses = minimize_full_batch(
            self._architecture(),
            theta,
            *self._scaled(X, y, weight, np.float64),
            alpha=self.alpha / weight.sum(),
            max_iter=self.max_iter,
            tol=self.tol,
            n_iter_no_change=self.n_iter_no_change,
            after_iteration=after_iteration,
        )
        if self.n_iter_ == first:  # there was nothing to improve
            self._record(losses[0])
        self._store(theta)

    def _fit_epochs(self, X, y, weight, validation, rng, tasks):
        from .._network.training import Progress, mean_loss

        trainer = self._trainer(X, y, weight, rng)
        if validation is not None:
            validation = self._scaled(*validation, np.float32)
        progress = Progress(self.tol, self.n_iter_no_change)
        best_theta = None

        def state():
            return self._stopped_at(trainer.theta if best_theta is None else best_theta)

        try:
            while self.n_iter_ < self.max_iter and not (
                progress.stale or tasks.stopping
            ):
                tasks.begin("epoch", state)
                loss = watched = trainer.epoch()
                if validation is None:
                    self._record(loss)
                else:
                    watched = mean_loss(
                        trainer.architecture, trainer.theta, *validation
                    )
                    self._record(loss, watched)
                    if watched < progress.best:
                        best_theta = trainer.theta.copy()
                tasks.end(state)
                progress.stale_after(watched)
        except KeyboardInterrupt:
            if self.n_iter_ == 0:
                raise
            self._warn_of_interrupt()
        self._store(trainer.theta if best_theta is None else best_theta)
        self._optimizer_state = trainer.get_state()

    def _warn_of_interrupt(self):
        warnings.warn(
            f"Training interrupted after {self.n_iter_} epochs.",
            TrainingInterrupted,
            stacklevel=5,
        )

    def _stopped_at(self, theta):
        """What `fit` leaves behind if it ends with these parameters."""
        network = self._copy()
        network._store(theta)
        return vars(network)

    def _copy(self):
        """A fitted network to change, with the parameters and history of this one."""
        other = copy.copy(self)
        other.coefs_ = list(self.coefs_)
        other.intercepts_ = list(self.intercepts_)
        other.loss_curve_ = list(self.loss_curve_)
        if self.validation_loss_curve_ is not None:
            other.validation_loss_curve_ = list(self.validation_loss_curve_)
        other._random = copy.deepcopy(self._random)
        other._optimizer_state = None
        # Those that meta-estimators hand down, they will not find here.
        return other.set_callbacks(*own_callbacks(self))

    def _loss(self, X, y, weight):
        """Equation (1), weighted, on data that have been validated."""
        from .._network.training import mean_loss

        total = 0.0
        for start in range(0, len(X), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            arrays = self._scaled(X[rows], y[rows], weight[rows], np.float32)
            theta = self._trained_parameters(np.float32)
            share = weight[rows].sum() / weight.sum()
            total += float(share) * mean_loss(self._architecture(), theta, *arrays)
        return total

    @with_callbacks
    def _retrain(self, X, y, weight, max_iter, rate, batch_size, random_state, *given):
        """Train further at a rate that falls by a factor of 20.

        Callbacks are told of ``given``: X, y and sample_weight as the user gave them.
        It says whether it was interrupted.
        """
        interrupted = False
        tasks = FitTasks(self, max_iter, *given)
        if max_iter and self.solver == "lbfgs":
            limit, self.max_iter = self.max_iter, max_iter
            self._fit_full_batch(X, y, weight, tasks)
            self.max_iter = limit
        elif max_iter:
            decay = 0.05 ** (1.0 / max(1, max_iter - 1))
            rng = check_random_state(random_state)
            trainer = self._trainer(X, y, weight, rng, rate, decay, batch_size)
            try:
                for _ in range(max_iter):
                    tasks.begin("epoch", lambda: self._stopped_at(trainer.theta))
                    trainer.epoch()
                    self.n_iter_ += 1
                    tasks.end(lambda: self._stopped_at(trainer.theta))
                    if tasks.stopping:
                        break
            except KeyboardInterrupt:
                self._warn_of_interrupt()
                interrupted = True
            self._store(trainer.theta)
        tasks.close()
        return interrupted

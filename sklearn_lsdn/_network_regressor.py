"""The estimator that LSDN, CDN and VDN share: validate, call the network, store."""

import copy
import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin, _fit_context
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)

from ._coordinates import resolve_coordinates, weighted_rows
from ._threads import effective_n_threads
from .network.architecture import Architecture
from .network.scaling import Scaling
from .network.threads import for_each_slice

_SHRINKAGE = 0.5  # of the features' correlation matrix towards the identity
_BATCHES_PER_EPOCH = 400  # at least, as long as batches hold 4 samples
_ROWS_AT_ONCE = 16384  # of X, in float32, for responses and losses
_ROWS_OF_A_THREAD = 4096  # likewise in prediction: few enough for the cache


class TrainingInterrupted(UserWarning):
    """Training was interrupted; the network is that of the last whole epoch."""


class _NetworkRegressor(RegressorMixin, BaseEstimator):
    """Everything but what becomes of the coordinates."""

    _parameter_constraints: dict = {
        "hidden_layer_sizes": [
            "array-like",
            Interval(Integral, 1, None, closed="left"),
        ],
        "coordinates": [
            StrOptions({"auto"}),
            "array-like",
            Interval(Integral, 0, None, closed="left"),
        ],
        "sigma": [Interval(Real, 0, None, closed="neither")],
        "solver": [StrOptions({"adam", "sgd", "lbfgs"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "learning_rate_decay": [Interval(Real, 0, 1, closed="right")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "shuffle": ["boolean"],
        "warm_start": ["boolean"],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        hidden_layer_sizes=(200, 20),
        *,
        coordinates="auto",
        sigma=0.5,
        solver="adam",
        alpha=0.0,
        batch_size="auto",
        learning_rate_init=0.005,
        learning_rate_decay=0.85,
        max_iter=20,
        tol=1e-4,
        n_iter_no_change=5,
        early_stopping=False,
        validation_fraction=0.1,
        shuffle=True,
        warm_start=False,
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.coordinates = coordinates
        self.sigma = sigma
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.learning_rate_decay = learning_rate_decay
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.shuffle = shuffle
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _split_columns(self, coordinates, others):
        """Which columns enter as features, and which as latent-space coordinates."""
        raise NotImplementedError

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Feature columns and coordinate columns side by side, in any units.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets, in any units.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample in the loss; samples of weight 0 are left out.

        Returns
        -------
        self : object
            The fitted network.

        Raises
        ------
        ValueError
            If ``X`` or ``y`` hold NaN or infinity, if their lengths differ, or if
            ``coordinates`` names a column that ``X`` lacks or leaves no feature.
        """
        fresh = not (self.warm_start and hasattr(self, "coefs_"))
        X, y, weight = self._validate_training(X, y, sample_weight, fresh)
        rng = self._random = check_random_state(self.random_state)
        validation = None
        if self.early_stopping and self.solver != "lbfgs":
            X, X_validation, y, y_validation, weight, w_validation = train_test_split(
                X, y, weight, test_size=self.validation_fraction, random_state=rng
            )
            validation = X_validation, y_validation, w_validation
        if fresh:
            self._initialize(X, y, weight, rng)
        self._reset_history()
        if self.solver == "lbfgs":
            self._fit_full_batch(X, y, weight)
        else:
            self._fit_epochs(X, y, weight, validation, rng)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """Train for one epoch on the given samples.

        The first call fixes the scales of features, coordinates and targets, so
        that its samples should be representative. The optimizer keeps its state
        from call to call; the learning rate stays ``learning_rate_init``, since
        nobody knows how many calls will come.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Feature columns and coordinate columns side by side.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample in the loss.

        Returns
        -------
        self : object
            The network, one epoch further.

        Raises
        ------
        ValueError
            As `fit`, and if ``solver`` is "lbfgs", which has no epochs.
        """
        if self.solver == "lbfgs":
            raise ValueError(
                'partial_fit needs solver="adam" or solver="sgd": "lbfgs" works on '
                "all samples at once."
            )
        fresh = not hasattr(self, "coefs_")
        X, y, weight = self._validate_training(X, y, sample_weight, fresh)
        if fresh:
            self._random = check_random_state(self.random_state)
            self._initialize(X, y, weight, self._random)
            self._reset_history()
        trainer = self._trainer(X, y, weight, self._random, decay=1.0)
        if self._optimizer_state is not None:
            trainer.set_state(self._optimizer_state)
        self._record(trainer.epoch())
        self._optimizer_state = trainer.get_state()
        self._store(trainer.theta)
        return self

    def predict(self, X):
        """Predict the targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The columns of `fit`.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            In the units of the training targets; float32 if ``X`` is.
        """
        y = self._predict_validated(self._validate_rows(X))
        return y.ravel() if self._flat_target else y

    def _predict_validated(self, X):
        from .network.inference import predict_rows

        y = np.empty((len(X), self.n_outputs_), dtype=X.dtype)
        architecture, theta = self._architecture(), self._standardized_parameters()

        def run(rows):
            psi = predict_rows(architecture, theta, *self._standardized(X[rows]))
            y[rows] = self._scaling.inverse_targets(psi)

        n_threads = effective_n_threads(self.n_jobs)
        for_each_slice(run, len(X), _ROWS_OF_A_THREAD, n_threads)
        return y

    def _validate_rows(self, X):
        check_is_fitted(self)
        return validate_data(self, X, dtype=(np.float64, np.float32), reset=False)

    def _standardized(self, X):
        """Features and coordinates of checked ``X`` as the network takes them."""
        return (
            self._scaling.standardized(X[:, _as_slice(self._feature_columns)]),
            self._scaling.coordinates(X[:, _as_slice(self._coordinate_columns)]),
        )

    def _responses(self, X, layer):
        """Yield blocks of responses of hidden layer 1, 2, ... to checked ``X``."""
        from .network.inference import predict_rows

        theta = self._standardized_parameters()
        n_threads = effective_n_threads(self.n_jobs)
        for start in range(0, len(X), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            S, C = self._standardized(X[rows])
            yield (
                rows,
                predict_rows(self._architecture(), theta, S, C, n_threads, layer),
            )

    def _predict_voxels(self, padded, centers, n_threads):
        """Predict voxels of padded volumes without materialising their patches.

        The columns of ``X`` in training must have been the patch and then the
        world coordinates, if any.

        Parameters
        ----------
        padded : PaddedVolumes
            Volumes on the scale of the training features.
        centers : int64 array of shape (n_voxels,)
            Flat indices into them.
        n_threads : int

        Returns
        -------
        y : float64 array of shape (n_voxels, n_outputs)
        """
        from .network.inference import predict_voxels

        scaling = self._scaling
        n_patch = len(padded.channels) * len(padded.offsets)
        world = padded.affine[:3]
        features = [column - n_patch for column in self._feature_columns]
        to_coordinates = world[[c - n_patch for c in self._coordinate_columns]].copy()
        to_coordinates[:, 3] -= scaling.coordinate_centre
        to_coordinates /= scaling.coordinate_scale[:, None]
        layers = self.coefs_, self.intercepts_, self.latent_coordinates_
        latent = scaling.standardize_layers(*layers)[2]
        psi = predict_voxels(
            self._architecture(),
            self._architecture().pack(self.coefs_, self.intercepts_, latent),
            padded.channels,
            padded.offsets,
            centers,
            padded.strides,
            world[[row for row in features if row >= 0]],
            to_coordinates,
            n_threads,
        )
        return scaling.inverse_targets(psi)

    def _validate_training(self, X, y, sample_weight, fresh):
        X, y = validate_data(
            self,
            X,
            y,
            dtype=(np.float64, np.float32),
            multi_output=True,
            y_numeric=True,
            reset=fresh,
        )
        weight = _check_sample_weight(
            sample_weight, X, dtype=np.float64, ensure_non_negative=True
        )
        flat = y.ndim == 1
        y = y.reshape(len(y), -1)
        if fresh:
            coordinates = resolve_coordinates(
                self.coordinates,
                self.n_features_in_,
                getattr(self, "feature_names_in_", None),
            )
            others = [i for i in range(self.n_features_in_) if i not in coordinates]
            columns = self._split_columns(coordinates, others)
            self._feature_columns, self._coordinate_columns = columns
            self.n_outputs_ = y.shape[1]
            self._flat_target = flat
        elif y.shape[1] != self.n_outputs_:
            raise ValueError(
                f"y has {y.shape[1]} outputs, but the network was trained on "
                f"{self.n_outputs_}. Train a new one with warm_start=False."
            )
        # What float32 rounds to 0 beside the largest weight has no part either.
        used = (weight / max(weight.max(), np.finfo(float).tiny)).astype(np.float32) > 0
        return (X, y, weight) if used.all() else (X[used], y[used], weight[used])

    def _architecture(self):
        """The architecture of the fitted network."""
        sizes = [len(self._feature_columns), *(len(b) for b in self.intercepts_)]
        return Architecture(tuple(sizes), len(self._coordinate_columns), self._sigma)

    def _initialize(self, X, y, weight, rng):
        """Scale, and draw a network that has seen nothing but the coordinates."""
        hidden = np.atleast_1d(self.hidden_layer_sizes)
        whole = hidden.ndim == 1 and len(hidden) > 0 and hidden.dtype.kind in "iu"
        if not whole or hidden.min() < 1:
            raise ValueError(
                "hidden_layer_sizes must be one or more positive integers, got "
                f"{self.hidden_layer_sizes!r}."
            )
        S, C = X[:, self._feature_columns], X[:, self._coordinate_columns]
        self._scaling = Scaling.fit(S, C, y, weight, _SHRINKAGE)
        architecture = Architecture(
            (S.shape[1], *map(int, hidden), self.n_outputs_), C.shape[1], self.sigma
        )
        self._sigma = self.sigma  # as trained, whatever becomes of the parameter
        latent = self._scaling.coordinates(C, np.float64)
        latent = latent[weighted_rows(C, weight, hidden[0], rng)]
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

    def _standardized_parameters(self):
        """The network for standardised features, which float32 always holds."""
        layers = self._scaling.standardize_layers(
            self.coefs_, self.intercepts_, self.latent_coordinates_
        )
        return self._architecture().pack(*layers)

    def _scaled(self, X, y, weight, dtype):
        scaling = self._scaling
        return (
            scaling.features(X[:, self._feature_columns], dtype),
            scaling.coordinates(X[:, self._coordinate_columns], dtype),
            scaling.targets(y, dtype),
            (weight / weight.max()).astype(dtype),
        )

    def _samples_per_batch(self, n_samples):
        if self.batch_size == "auto":
            return int(np.clip(n_samples // _BATCHES_PER_EPOCH, 4, 256))
        return self.batch_size

    def _trainer(self, X, y, weight, rng, rate=None, decay=None, batch_size=None):
        from .network.training import Trainer

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

    def _fit_full_batch(self, X, y, weight):
        from .network.training import minimize_full_batch

        theta, losses = minimize_full_batch(
            self._architecture(),
            self._trained_parameters(np.float64),
            *self._scaled(X, y, weight, np.float64),
            alpha=self.alpha / weight.sum(),
            max_iter=self.max_iter,
            tol=self.tol,
            n_iter_no_change=self.n_iter_no_change,
        )
        for loss in losses:
            self._record(loss)
        self._store(theta)

    def _fit_epochs(self, X, y, weight, validation, rng):
        from .network.training import Progress, mean_loss

        trainer = self._trainer(X, y, weight, rng)
        if validation is not None:
            validation = self._scaled(*validation, np.float32)
        progress, best_theta = Progress(self.tol, self.n_iter_no_change), None
        try:
            for _ in range(self.max_iter):
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
                if progress.stale_after(watched):
                    break
        except KeyboardInterrupt:
            warnings.warn(
                f"Training interrupted after {self.n_iter_} epochs.",
                TrainingInterrupted,
                stacklevel=4,
            )
        self._store(trainer.theta if best_theta is None else best_theta)
        self._optimizer_state = trainer.get_state()

    def _copy(self):
        """A fitted network to change, with the parameters and history of this one."""
        other = copy.copy(self)
        other.coefs_ = list(self.coefs_)
        other.intercepts_ = list(self.intercepts_)
        other.loss_curve_ = list(self.loss_curve_)
        other._random = copy.deepcopy(self._random)
        other._optimizer_state = None
        return other

    def _loss(self, X, y, weight):
        """Equation (1), weighted, on data that have been validated."""
        from .network.training import mean_loss

        total = 0.0
        for start in range(0, len(X), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            arrays = self._scaled(X[rows], y[rows], weight[rows], np.float32)
            theta = self._trained_parameters(np.float32)
            share = weight[rows].sum() / weight.sum()
            total += float(share) * mean_loss(self._architecture(), theta, *arrays)
        return total

    def _retrain(self, X, y, weight, max_iter, rate, batch_size, random_state):
        """Train further at a rate that falls by a factor of 20."""
        if max_iter == 0:
            return
        if self.solver == "lbfgs":
            limit, self.max_iter = self.max_iter, max_iter
            self._fit_full_batch(X, y, weight)
            self.max_iter = limit
            return
        decay = 0.05 ** (1.0 / max(1, max_iter - 1))
        rng = check_random_state(random_state)
        trainer = self._trainer(X, y, weight, rng, rate, decay, batch_size)
        for _ in range(max_iter):
            trainer.epoch()
        self.n_iter_ += max_iter
        self._store(trainer.theta)


def _as_slice(columns):
    """Neighbouring columns as a slice, which needs no copy."""
    first, n = (columns[0] if len(columns) else 0), len(columns)
    together = list(columns) == list(range(first, first + n))
    return slice(first, first + n) if together else columns

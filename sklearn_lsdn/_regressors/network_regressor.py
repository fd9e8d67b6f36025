"""The estimator that LSDN, CDN and VDN share: validate, call the network, store."""

from numbers import Integral, Real
from typing import Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from .._network.architecture import Architecture
from .._network.threads import for_each_slice
from .._utils.callbacks import FitTasks
from .._utils.groups import check_groups
from .._utils.sklearn_private import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    _fit_context,
    check_weights,
)
from .._utils.threads import effective_n_threads
from .coordinates import as_slice, resolve_coordinates
from .training import ROWS_AT_ONCE, NetworkTraining

_ROWS_OF_A_THREAD = 4096  # in prediction: few enough for the cache


class _NetworkRegressor(
    CallbackSupportMixin,
    NetworkTraining,
    RegressorMixin,
    BaseEstimator,
):
    """Everything but what becomes of the coordinates."""

    __metadata_request__fit = {"groups": True}  # as scikit-learn's splitters do

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
    def fit(
        self, X, y, sample_weight=None, *, groups=None, X_val=None, y_val=None
    ) -> Self:
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Feature columns and coordinate columns side by side, in any units.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets, in any units.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample in the loss; samples of weight 0 are left out.
        groups : array-like of shape (n_samples,), default=None
            What each sample belongs to, such as its subject: ``early_stopping``
            then holds out ``validation_fraction`` of the groups, at least one, and
            each of them whole.
        X_val : array-like of shape (n_val_samples, n_features), default=None
            What ``early_stopping`` watches; nothing is then held out of ``X``.
        y_val : array-like of shape (n_val_samples,) or (n_val_samples, n_outputs), \
                default=None
            Targets of ``X_val``.

        Returns
        -------
        self : object
            The fitted network.

        Raises
        ------
        ValueError
            If ``X`` or ``y`` hold NaN or infinity, if their lengths differ, or if
            ``coordinates`` names a column that ``X`` lacks or leaves no feature;
            if there is but one group to hold out; if ``X_val`` comes without
            ``y_val``, or where nothing is watched.
        """
        self._check_watched(X_val, y_val)
        tasks = FitTasks(self, self.max_iter, X, y, sample_weight)
        fresh = not (self.warm_start and hasattr(self, "coefs_"))
        X, y, weight, groups = self._validate_training(
            X, y, sample_weight, fresh, groups
        )
        rng = self._random = check_random_state(self.random_state)
        validation = None
        if X_val is not None:
            validation = self._validate_watched(X_val, y_val)
        elif self.early_stopping and self.solver != "lbfgs":
            (X, y, weight), validation = self._hold_out((X, y, weight), groups, rng)
        if fresh:
            self._initialize(X, y, weight, rng)
        self._reset_history()
        if self.solver == "lbfgs":
            self._fit_full_batch(X, y, weight, tasks)
        else:
            self._fit_epochs(X, y, weight, validation, rng, tasks)
        tasks.close()
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None) -> Self:
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
        tasks = FitTasks(self, 1, X, y, sample_weight)
        fresh = not hasattr(self, "coefs_")
        X, y, weight, _ = self._validate_training(X, y, sample_weight, fresh)
        if fresh:
            self._random = check_random_state(self.random_state)
            self._initialize(X, y, weight, self._random)
            self._reset_history()
        trainer = self._trainer(X, y, weight, self._random, decay=1.0)
        if self._optimizer_state is not None:
            trainer.set_state(self._optimizer_state)
        tasks.begin("epoch", lambda: self._stopped_at(trainer.theta))
        self._record(trainer.epoch())
        self._optimizer_state = trainer.get_state()
        self._store(trainer.theta)
        tasks.end(lambda: self._stopped_at(trainer.theta))
        tasks.close()
        return self

    def predict(self, X) -> np.ndarray:
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
        from .._network.inference import predict_rows

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
            self._scaling.standardized(X[:, as_slice(self._feature_columns)]),
            self._scaling.coordinates(X[:, as_slice(self._coordinate_columns)]),
        )

    def _responses(self, X, layer):
        """Yield blocks of responses of hidden layer 1, 2, ... to checked ``X``."""
        from .._network.inference import predict_rows

        theta = self._standardized_parameters()
        n_threads = effective_n_threads(self.n_jobs)
        for start in range(0, len(X), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
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
        from .._network.inference import predict_voxels

        scaling = self._scaling
        n_patch = padded.offsets.size
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

    def _validate_watched(self, X_val, y_val):
        X, y = self._validate_samples(X_val, y_val, reset=False)
        y = y.reshape(len(y), -1)
        if y.shape[1] != self.n_outputs_:
            raise ValueError(
                f"y_val has {y.shape[1]} outputs, but y has {self.n_outputs_}."
            )
        return X, y, np.ones(len(X))

    def _validate_samples(self, X, y, reset):
        return validate_data(
            self,
            X,
            y,
            dtype=(np.float64, np.float32),
            multi_output=True,
            y_numeric=True,
            reset=reset,
        )

    def _validate_training(self, X, y, sample_weight, fresh, groups=None):
        """Arrays of the samples that have a part in training."""
        X, y = self._validate_samples(X, y, reset=fresh)
        weight = check_weights(sample_weight, X)
        if groups is not None:
            groups = check_groups(groups, len(X))
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
        if used.all():
            return X, y, weight, groups
        return X[used], y[used], weight[used], None if groups is None else groups[used]

    def _architecture(self):
        """The architecture of the fitted network."""
        sizes = [len(self._feature_columns), *(len(b) for b in self.intercepts_)]
        return Architecture(tuple(sizes), len(self._coordinate_columns), self._sigma)

    def _standardized_parameters(self):
        """The network for standardised features, which float32 always holds."""
        layers = self._scaling.standardize_layers(
            self.coefs_, self.intercepts_, self.latent_coordinates_
        )
        return self._architecture().pack(*layers)

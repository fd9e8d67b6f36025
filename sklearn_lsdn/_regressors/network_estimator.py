"""What LSDN, CDN and VDN share, regressors and classifiers: call the network, store."""

from collections.abc import Sequence
from dataclasses import replace
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._network.network import Network
from .._network.training import History, train
from .._utils.callbacks import FitTasks
from .._utils.checks import check_columns, check_numbers, ensure
from .._utils.samples import COORDINATES, part_columns, validate_rows
from .._utils.sklearn_private import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    _is_fitted,
)
from .._utils.threads import effective_n_threads
from .training import (
    EpochTasks,
    check_hidden_layer_sizes,
    check_watched,
    epochs_of,
    hold_out,
    settings_of,
    warn_if_interrupted,
)

PARAMETERS: dict = {
    "hidden_layer_sizes": [
        "array-like",
        Interval(Integral, 1, None, closed="left"),
    ],
    "coordinates": COORDINATES,
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
    "average": [Interval(Integral, 1, None, closed="left")],
    "warm_start": ["boolean"],
    "n_jobs": [Integral, None],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}
"""What the parameters of all networks may be."""


def has_epochs(estimator):
    """Whether it can be trained for one epoch; an error says why not."""
    if estimator.solver == "lbfgs":
        raise AttributeError(
            'partial_fit needs solver="adam" or solver="sgd": "lbfgs" works on all '
            "samples at once."
        )
    return True


class NetworkEstimator(CallbackSupportMixin, BaseEstimator):
    """Everything but what becomes of the coordinates, and what targets are.

    Parameters
    ----------
    hidden_layer_sizes : int or array-like of int, default=(200, 20)
        Number of nodes of each hidden layer, p_2 to p_(K-1). The default is the
        paper's LSDN-1; (400, 40) is its LSDN-2.
    coordinates : "auto", int or list of int or str, default="auto"
        Which columns of ``X`` are coordinates: "auto" for the last three (or as
        many as leave one feature), an int n for the last n, or a list of column
        indices or of DataFrame column names.
    sigma : float, default=0.5
        Width of the spatial response, where the coordinates of the training data
        span [-1, 1] along each axis: 0.5 is a quarter of the head's extent. Without
        effect in CDN and VDN, which have no such response.{class_weight}
    solver : {"adam", "sgd", "lbfgs"}, default="adam"
        "sgd" is the paper's; "lbfgs" sees all samples at once in float64 and
        suits a few thousand of them.
    alpha : float, default=0.0
        Strength of an L2 penalty on the filters, taken for whitened features:
        ``alpha / (2 * n_samples)`` times the sum of their squares is added to the
        loss (with the total of ``sample_weight`` for ``n_samples``, where given).
    batch_size : int or "auto", default="auto"
        Samples per update. "auto" takes 256, and fewer (4 at least) where an
        epoch would have less than 400 updates.
    learning_rate_init : float, default=0.005
        Learning rate of the first epoch.
    learning_rate_decay : float, default=0.95
        Factor on the learning rate after each epoch.
    max_iter : int, default=20
        Largest number of epochs (of iterations for "lbfgs").
    tol : float, default=1e-4
        An epoch counts as progress if it brings the loss below ``1 - tol`` times
        the best so far.
    n_iter_no_change : int, default=5
        Training ends after so many epochs (iterations for "lbfgs") in a row
        without progress.
    early_stopping : bool, default=False
        Hold out ``validation_fraction`` of the samples at random, watch progress
        on them, and keep the network of the best epoch. Not for "lbfgs". `fit`
        takes ``groups`` to hold out whole, or ``X_val`` and ``y_val`` to watch.
    validation_fraction : float, default=0.1
        Share of the samples, or groups, held out if ``early_stopping``.
    shuffle : bool, default=True
        Visit the samples in a new random order each epoch.
    average : int, default=10
        `fit` ends with the mean of the networks after each of the last epochs: so
        many, and half of all at most. It errs less than the last one, which still
        moves with its latest samples. 1 takes the last. Without effect on "lbfgs".
    warm_start : bool, default=False
        Start `fit` from the network as it is, on its scales, instead of anew.
    n_jobs : int, default=None
        Threads in training (useful up to one for each 128 samples of a batch) and
        prediction. None is 1 unless a `joblib.parallel_config` says otherwise, -1
        all cores. The result does not depend on it.
    random_state : int, RandomState instance or None, default=None
        Seed of initial parameters, held-out samples and sample order.
    verbose : int, default=0
        Print the loss of each epoch if positive.

    Attributes
    ----------{classes}
    network_ : Network
        The trained network, a value: the three attributes below are views of it.
    coefs_ : list of ndarray of shape (n_inputs, n_outputs)
        Filters of each layer, F(2) to F(K), transposed. The first layer's are for
        ``X`` as it came, in its units: standardisation and whitening are folded in.
    intercepts_ : list of ndarray of shape (n_outputs,)
        Biases of each layer, b(2) to b(K).
    latent_coordinates_ : ndarray of shape (p_2, n_coordinates)
        Centres of the spatial responses, in the units of ``X``.{latent}
    loss_curve_ : list of float
        Training loss of each epoch, {loss} averaged while the epoch trains.
    validation_loss_curve_ : list of float or None
        The same on the held-out samples after each epoch, if ``early_stopping``; NaN
        for epochs of ``partial_fit``, which watches nothing.
    n_iter_ : int
        Number of epochs.
    n_outputs_ : int
        {outputs}
    n_features_in_ : int
        Number of columns of ``X``.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if ``X`` had names that are strings.
    """

    __metadata_request__fit = {"groups": True}  # as scikit-learn's splitters do

    _parameter_constraints: dict = PARAMETERS

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (200, 20),
        *,
        coordinates: int | str | Sequence[int | str] = "auto",
        sigma: float = 0.5,
        solver: str = "adam",
        alpha: float = 0.0,
        batch_size: int | str = "auto",
        learning_rate_init: float = 0.005,
        learning_rate_decay: float = 0.95,
        max_iter: int = 20,
        tol: float = 1e-4,
        n_iter_no_change: int = 5,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        shuffle: bool = True,
        average: int = 10,
        warm_start: bool = False,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
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
        self.average = average
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    kind: str
    """What it is, for a person."""

    _cross_entropy = False  # is the loss, or else the squared error

    def _split_columns(self, coordinates, others):
        """Which columns enter as features, and which as latent-space coordinates."""
        raise NotImplementedError

    def _validated(self, X, y, sample_weight, groups=None, *, fresh, **known):
        """Samples that have a part in training, their targets in columns, and groups.

        ``fresh``: before a network is there. What they tell of targets is kept then.
        """
        raise NotImplementedError

    def _validated_to_watch(self, X_val, y_val, data):
        """The same of samples to watch, beside the data to train on."""
        raise NotImplementedError

    def _fit(self, X, y, sample_weight, groups, X_val, y_val):
        check_watched(self, X_val, y_val)
        tasks = FitTasks(self, self.max_iter, X, y, sample_weight)
        fresh = not (self.warm_start and _is_fitted(self, "network_"))
        data, groups = self._validated(X, y, sample_weight, groups, fresh=fresh)
        rng = self._random = check_random_state(self.random_state)
        watched = None
        if X_val is not None:
            watched = self._validated_to_watch(X_val, y_val, data)
        elif self.early_stopping and self.solver != "lbfgs":
            data, watched = hold_out(data, self.validation_fraction, groups, rng)
        network = self._initial_network(*data, rng) if fresh else self.network_
        self._train(network, data, settings_of(self), tasks, watched=watched)
        return self

    def _fit_partially(self, X, y, sample_weight, **known):
        tasks = FitTasks(self, 1, X, y, sample_weight)
        fresh = not _is_fitted(self, "network_")
        data, _ = self._validated(X, y, sample_weight, fresh=fresh, **known)
        if fresh:
            self._random = check_random_state(self.random_state)
            network, before = self._initial_network(*data, self._random), History()
            _check_scale(network, data[1])
        else:
            network, before = self.network_, self._history()
        settings = replace(settings_of(self), max_iter=1, learning_rate_decay=1.0)
        self._train(network, data, settings, tasks, before=before)
        return self

    @property
    def coefs_(self) -> list[np.ndarray]:
        """Filters of each layer, transposed."""
        return [_read_only(each) for each in self.network_.filters]

    @property
    def intercepts_(self) -> list[np.ndarray]:
        """Biases of each layer."""
        return [_read_only(each) for each in self.network_.biases]

    @property
    def latent_coordinates_(self) -> np.ndarray:
        """Centres of the spatial responses."""
        return _read_only(self.network_.latent_coordinates)

    @property
    def n_outputs_(self) -> int:
        """Number of outputs."""
        return self.network_.n_outputs

    def _outputs(self, X):
        check_is_fitted(self, "network_")
        X = validate_rows(self, X)
        return self.network_.predict(X, effective_n_threads(self.n_jobs))

    def _initial_network(self, X, y, weight, rng) -> Network:
        """What training starts from."""
        others, coordinates = part_columns(self)
        columns = self._split_columns(coordinates, others)
        hidden = check_hidden_layer_sizes(self.hidden_layer_sizes)
        how = hidden, self.sigma, rng, self._cross_entropy
        return Network.initial(X, y, weight, columns, *how)

    def _train(self, network, data, settings, tasks, *, watched=None, before=None):
        """Train, and become what came of it."""
        before = before or History()

        def attributes(network, history):
            whole = before.then(history)
            return {
                "network_": network,
                "loss_curve_": whole.losses,
                "validation_loss_curve_": whole.validation_losses or None,
                "n_iter_": len(whole.losses),
                "_moments": whole.moments,
            }

        progress = epochs_of(self, settings.max_iter, self.verbose)
        told = EpochTasks(tasks, attributes, progress, len(before.losses))
        trained = train(
            network,
            data,
            settings,
            self._random,
            told,
            watched=watched,
            moments=before.moments,
        )
        progress.end()
        vars(self).update(attributes(*trained))
        warn_if_interrupted(trained[1])
        tasks.close()

    def _history(self):
        watched = self.validation_loss_curve_ or []
        return History(list(self.loss_curve_), list(watched), self._moments)

    def _check_parts(self):
        network, moments = self.network_, self._moments
        columns = network.feature_columns, network.coordinate_columns
        check_columns(self.n_features_in_, *columns)
        ensure(network.cross_entropy == self._cross_entropy, "its loss is another's")
        ensure(isinstance(self.n_iter_, Integral), "epochs were not counted")
        ensure(isinstance(self.loss_curve_[-1], Real), "no loss was recorded")
        if moments is not None:
            n = network.architecture.n_parameters
            for name in ("first_moment", "second_moment"):
                check_numbers(self, name, moments[name], (n,), "f4")
            counts = moments["n_epochs"], moments["n_steps"]
            ensure(all(isinstance(n, Integral) for n in counts), "steps are no number")


def _read_only(array):
    """A view that cannot be written to, as copies and smaller networks share it."""
    view = array.view()
    view.flags.writeable = False
    return view


def _check_scale(network, y):
    """Raise ValueError if an output's first targets are alike: they fix its scale."""
    flat = np.flatnonzero(network.scaling.target_span == 0)
    if len(flat):
        which = f"output {flat[0]} of y" if y.shape[1] > 1 else "y"
        raise ValueError(
            f"{which} is constant (value {y[0, flat[0]]:g}) in the first call of "
            "partial_fit, which fixes the scale of the targets: no later call could "
            "teach the network anything else. Begin with samples whose targets differ."
        )


class ProductLayer:
    """LSDN: features are multiplied by the response to where they are."""

    kind = "location-sensitive deep network"

    def _split_columns(self, coordinates, others):
        return others, coordinates


class PlacesAsFeatures:
    """CDN: coordinates are features like any other."""

    kind = "deep network with coordinates among its inputs"

    def _split_columns(self, coordinates, others):
        return [*others, *coordinates], []


class NoPlaces:
    """VDN: coordinates are left out."""

    kind = "deep network without coordinates"

    def _split_columns(self, coordinates, others):
        return others, []


def documented(latent="", **parts):
    """Put what all networks share into a docstring, at ``{parameters}``."""

    def fill(cls):
        if cls.__doc__ is not None:  # as python -OO has it
            _, shared = NetworkEstimator.__doc__.split("\n\n", 1)
            for name, text in {"latent": latent, **parts}.items():
                shared = shared.replace(f"{{{name}}}", text)
            cls.__doc__ = cls.__doc__.replace(
                "    {parameters}", f"\n{shared.rstrip()}"
            )
        return cls

    return fill

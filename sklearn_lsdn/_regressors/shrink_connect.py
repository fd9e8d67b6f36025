"""ShrinkConnect: a smaller network that answers the same."""

from numbers import Integral, Real
from typing import Self

import numpy as np
from sklearn import get_config
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    MetaEstimatorMixin,
    RegressorMixin,
    TransformerMixin,
    clone,
)
from sklearn.frozen import FrozenEstimator
from sklearn.utils import metadata_routing as routing
from sklearn.utils.validation import check_is_fitted

from .._utils.callbacks import FitTasks
from .._utils.sklearn_private import (
    CallbackSupportMixin,
    HasMethods,
    Interval,
    StrOptions,
    _fit_context,
)
from .network_regressor import _NetworkRegressor
from .networks import LSDNRegressor
from .node_removal import sizes_to_keep, without_nodes
from .pursuit import SELECTIONS

_FRACTIONS = np.arange(1, 10) / 10  # "from 10% to 90%"


class ShrinkConnect(
    CallbackSupportMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    MetaEstimatorMixin,
    RegressorMixin,
    BaseEstimator,
):
    """Shrink a network to the hidden nodes that span the responses of all.

    In each hidden layer a few nodes' responses approximate those of all nodes as
    linear combinations. The others are removed, the next layer's filters take over
    the combinations, and the smaller network is trained a little further [1]_.

    It is a regressor, with the smaller network's predictions, and a transformer,
    which gives the responses of its last hidden layer.

    Parameters
    ----------
    estimator : LSDNRegressor, CDNRegressor or VDNRegressor, default=None
        What to shrink; it is cloned and fitted first, unless it is a
        :class:`~sklearn.frozen.FrozenEstimator` or ``prefit``. None stands for
        ``LSDNRegressor()``.
    keep : "auto", float or list of int or float, default="auto"
        How many nodes stay: a fraction of each hidden layer, a number (or a
        fraction) for each of them, or "auto" for the smallest of the fractions
        0.1 to 0.9 that ``max_degradation`` allows.
    max_degradation : float, default=0.02
        By how much of the full network's training error "auto" lets it rise.
    max_iter : int, default=10
        Epochs of training after shrinking.
    preserve : {"inputs", "responses"}, default="inputs"
        What the kept nodes must reproduce: the inputs of the next layer,
        F(k+1) h(k), or the responses h(k) of all nodes, as in [1]_.
    learning_rate_init : float, default=None
        Learning rate of the first of these epochs; it falls by a factor of 20 to
        the last. None takes four times the estimator's.
    batch_size : int, default=None
        Samples of a batch in these epochs. None takes a quarter of the estimator's:
        a small network has time for more steps.
    distillation : float, default=0.5
        Share of the full network's answers in the targets of these epochs; the
        rest are the targets given, as in [1]_, where it is 0.
    selection : {"squared", "absolute", "residual"}, default="squared"
        How `simultaneous_omp` chooses nodes.
    prefit : bool, default=False
        Take ``estimator`` as fitted already. It is left as it is.
    random_state : int, RandomState instance or None, default=None
        Order of the samples in the epochs after shrinking.
    verbose : int, default=0
        Print the sizes and errors tried.

    Attributes
    ----------
    estimator_ : regressor
        The smaller network, of the class of ``estimator``.
    support_ : list of ndarray of shape (n_kept,)
        Indices of the nodes kept in each hidden layer, in the order chosen.
    coefficients_ : list of ndarray of shape (n_nodes, n_kept)
        For each hidden layer, how the kept nodes' responses combine to those of
        all, before further training.
    residuals_ : list of float
        For each hidden layer, the Frobenius norm over the training samples of what
        these combinations leave of that which ``preserve`` names.
    path_ : list of dict
        What was tried: "keep", "hidden_layer_sizes", "loss" (half the mean squared
        error on the training data, in the logistic range), "degradation" (against
        the full network) and "accepted".
    full_loss_ : float
        The full network's loss on the training data.
    n_iter_ : int
        Epochs of training, before and after shrinking.
    n_features_in_ : int
        Number of columns of ``X``.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if ``X`` had names that are strings.

    See Also
    --------
    simultaneous_omp : Chooses the nodes.

    Notes
    -----
    Two defaults depart from [1]_: nodes are chosen for the next layer's inputs, and
    half of what further training aims at are the full network's own answers.
    ``preserve="responses", distillation=0`` is the paper's way.

    The search tries fractions by bisection: the error falls with the number of
    nodes, up to the randomness of training.

    References
    ----------
    .. [1] H. V. Nguyen, K. Zhou and R. Vemulapalli, "Cross-domain synthesis of
       medical images using efficient location-sensitive deep network", MICCAI
       2015, LNCS 9349, 677-684. :doi:`10.1007/978-3-319-24553-9_83`

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lsdn import LSDNRegressor, ShrinkConnect
    >>> rng = np.random.RandomState(0)
    >>> X = rng.uniform(-1, 1, (2000, 4))
    >>> y = X[:, 0] * X[:, 3]
    >>> network = LSDNRegressor((60, 12), coordinates=1, random_state=0)
    >>> shrunk = ShrinkConnect(network, keep=0.25, random_state=0).fit(X, y)
    >>> shrunk.estimator_.hidden_layer_sizes
    (15, 3)
    >>> shrunk.score(X, y) > 0.9
    True
    >>> shrunk.transform(X).shape
    (2000, 3)
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"]), None],
        "keep": [
            StrOptions({"auto"}),
            Interval(Real, 0, 1, closed="right"),
            "array-like",
        ],
        "max_degradation": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "preserve": [StrOptions({"inputs", "responses"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither"), None],
        "batch_size": [Interval(Integral, 1, None, closed="left"), None],
        "distillation": [Interval(Real, 0, 1, closed="both")],
        "selection": [StrOptions(set(SELECTIONS))],
        "prefit": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator=None,
        *,
        keep="auto",
        max_degradation=0.02,
        max_iter=10,
        preserve="inputs",
        learning_rate_init=None,
        batch_size=None,
        distillation=0.5,
        selection="squared",
        prefit=False,
        random_state=None,
        verbose=0,
    ):
        self.estimator = estimator
        self.keep = keep
        self.max_degradation = max_degradation
        self.max_iter = max_iter
        self.preserve = preserve
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.distillation = distillation
        self.selection = selection
        self.prefit = prefit
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, sample_weight=None, **fit_params) -> Self:
        """Fit the network, unless it is fitted, and shrink it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Feature columns and coordinate columns side by side.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample in the loss and in the choice of nodes.
        **fit_params : dict
            What else the network's ``fit`` takes, such as ``groups``. Where
            scikit-learn's metadata routing is enabled, ``estimator`` has to request
            all but ``groups``, and ``sample_weight`` too.

        Returns
        -------
        self : object
            The shrunken network.

        Raises
        ------
        TypeError
            If ``estimator`` is not a network of this package, or fitted already,
            which leaves no use for ``fit_params``.
        ValueError
            As `LSDNRegressor.fit`, or if ``keep`` does not suit the hidden layers.
        """
        self._check_keep()
        n_tasks = None if isinstance(self.keep, str) else 2 - self._is_prefit()
        tasks = FitTasks(self, n_tasks, X, y, sample_weight)
        network = self._fitted_network(fit_params, tasks)
        data = network._validate_training(X, y, sample_weight, fresh=False)[:3]
        self.n_features_in_ = network.n_features_in_
        if hasattr(network, "feature_names_in_"):
            self.feature_names_in_ = network.feature_names_in_
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        self.full_loss_ = network._loss(*data)
        answers = data[1]  # what the smaller network is trained to answer
        if self.distillation:
            full = network._predict_validated(data[0])
            answers = (1 - self.distillation) * answers + self.distillation * full
        self.path_ = []
        if isinstance(self.keep, str):
            attempt = self._search(network, data, answers, tasks)
        else:
            attempt = self._try(network, data, answers, self.keep, tasks)
        vars(self).update(self._outcome(attempt))
        tasks.close()
        return self

    def get_metadata_routing(self) -> routing.MetadataRouter:
        """Say what goes to the network that `fit` trains.

        Returns
        -------
        routing : MetadataRouter
        """
        mapping = routing.MethodMapping().add(caller="fit", callee="fit")
        router = routing.MetadataRouter(owner=self).add_self_request(self)
        return router.add(estimator=self._network(), method_mapping=mapping)

    def predict(self, X) -> np.ndarray:
        """Predict the targets by the smaller network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The columns of `fit`.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        """
        check_is_fitted(self)
        return self.estimator_.predict(X)

    def transform(self, X) -> np.ndarray:
        """Give the responses of the smaller network's last hidden layer.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The columns of `fit`.

        Returns
        -------
        responses : ndarray of shape (n_samples, n_nodes)
            Of the dtype of ``X``, float32 or float64, within 0 and 1 (0 and 2 if
            it is a product layer).
        """
        check_is_fitted(self)
        X = self.estimator_._validate_rows(X)
        responses = np.empty((len(X), self._n_features_out), dtype=X.dtype)
        for rows, block in self.estimator_._responses(X, len(self.support_)):
            responses[rows] = block
        return responses

    def _check_keep(self):
        """Refuse what does not suit an unfitted network before it is trained."""
        sizes = getattr(self._network(), "hidden_layer_sizes", None)
        if not isinstance(self.keep, str) and sizes is not None:
            sizes_to_keep(self.keep, np.atleast_1d(sizes).tolist())

    def _network(self):
        """What is to be shrunk; the default takes all metadata that there are."""
        if self.estimator is not None:
            return self.estimator
        network = LSDNRegressor()
        if get_config()["enable_metadata_routing"]:
            network.set_fit_request(sample_weight=True, X_val=True, y_val=True)
        return network

    def _is_prefit(self):
        return self.prefit or isinstance(self.estimator, FrozenEstimator)

    def _fitted_network(self, fit_params, tasks):
        network = self._network()
        if isinstance(network, FrozenEstimator):
            network = network.estimator
        if not isinstance(network, _NetworkRegressor):
            raise TypeError(
                "ShrinkConnect shrinks LSDNRegressor, CDNRegressor and VDNRegressor, "
                f"not {type(network).__name__}."
            )
        if self._is_prefit():
            check_is_fitted(network)
            if fit_params:
                raise TypeError(f"A fitted network needs no {', '.join(fit_params)}.")
            return network
        network = clone(network)
        if network.random_state is None:
            network.set_params(random_state=self.random_state)
        X, y, sample_weight = tasks.given
        fit_params = {"sample_weight": sample_weight, **fit_params}
        if get_config()["enable_metadata_routing"]:
            routed = routing.process_routing(self, "fit", **fit_params)
            fit_params = routed.estimator.fit
        with tasks.delegated("fit-estimator", network):
            return network.fit(X, y, **fit_params)

    def _search(self, network, data, answers, tasks):
        """The smallest fraction whose error is allowed, by bisection."""
        low, high = 0, len(_FRACTIONS)  # the answer's index; len for the full network
        best = None
        while low < high:
            middle = (low + high) // 2
            keep = float(_FRACTIONS[middle])
            attempt = self._try(network, data, answers, keep, tasks)
            if self.path_[-1]["accepted"]:
                best, high = attempt, middle
            else:
                low = middle + 1
            if tasks.stopping:
                return best or attempt
        return best or self._try(network, data, answers, 1.0, tasks)

    def _try(self, network, data, answers, keep, tasks):
        """Shrink and train further; record how it went."""
        sizes = sizes_to_keep(keep, [len(b) for b in network.intercepts_[:-1]])
        attempt = without_nodes(
            network, data[0], data[2], sizes, self.preserve, self.selection
        )
        smaller = attempt[0]
        rate = self.learning_rate_init or 4.0 * network.learning_rate_init
        X, _, weight = data
        batch_size = self.batch_size or -(-network._samples_per_batch(len(X)) // 4)
        how = self.max_iter, rate, batch_size, self.random_state
        with tasks.delegated("shrink", smaller, lambda: self._outcome(attempt)):
            interrupted = smaller._retrain(X, answers, weight, *how, *tasks.given)
            tasks.stopping |= interrupted
            loss = smaller._loss(*data)
            smaller.loss_curve_.append(loss)
            degradation = loss / self.full_loss_ - 1.0 if self.full_loss_ > 0 else 0.0
            self.path_.append(
                {
                    "keep": keep,
                    "hidden_layer_sizes": smaller.hidden_layer_sizes,
                    "loss": loss,
                    "degradation": degradation,
                    "accepted": bool(degradation <= self.max_degradation),
                }
            )
        if self.verbose:
            print(
                f"ShrinkConnect: {smaller.hidden_layer_sizes} nodes, training error "
                f"{degradation:+.1%} of the full network's"
            )
        return attempt

    def _outcome(self, attempt):
        """The attributes of a fit that ends with this network."""
        names = "estimator_", "support_", "coefficients_", "residuals_"
        return {
            **dict(zip(names, attempt, strict=True)),
            "path_": list(self.path_),
            "n_iter_": attempt[0].n_iter_,
            "_n_features_out": len(attempt[1][-1]),
        }

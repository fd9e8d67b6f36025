"""ShrinkConnect: a smaller network that answers the same."""

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn import get_config
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    MetaEstimatorMixin,
    TransformerMixin,
    clone,
    is_classifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state, get_tags
from sklearn.utils import metadata_routing as routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .._utils.callbacks import FitTasks
from .._utils.checks import ensure
from .._utils.persistable import persistable
from .._utils.samples import feature_names, validate_rows
from .._utils.sklearn_private import (
    CallbackSupportMixin,
    HasMethods,
    Interval,
    StrOptions,
    _fit_context,
)
from .._utils.threads import effective_n_threads
from .networks import LSDNRegressor
from .node_removal import sizes_to_keep, smaller_network
from .pursuit import SELECTIONS
from .roles import Role, facts_of_part, role_of
from .training import holding, settings_of, train_further

_FRACTIONS = np.arange(1, 10) / 10  # "from 10% to 90%"


def _classifies(shrinker):
    return is_classifier(shrinker)


@persistable("sklearn_lsdn")
class ShrinkConnect(
    CallbackSupportMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    MetaEstimatorMixin,
    BaseEstimator,
):
    """Shrink a network to the hidden nodes that span the responses of all.

    In each hidden layer a few nodes' responses approximate those of all nodes as
    linear combinations. The others are removed, the next layer's filters take over
    the combinations, and the smaller network is trained a little further [1]_.

    It is a regressor or a classifier as the network is, with the smaller one's
    predictions, and a transformer, which gives the responses of its last hidden layer.

    Parameters
    ----------
    estimator : LSDN, CDN or VDN, regressor or classifier, default=None
        What to shrink, such as an :class:`LSDNClassifier`; it is cloned and fitted
        first, unless it is a :class:`~sklearn.frozen.FrozenEstimator` or ``prefit``.
        None stands for ``LSDNRegressor()``.
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
    estimator_ : estimator
        The smaller network, of the class of ``estimator``.
    classes_ : ndarray of shape (n_classes,)
        Labels, in order, if it is a classifier.
    support_ : list of ndarray of shape (n_kept,)
        Indices of the nodes kept in each hidden layer, in the order chosen.
    coefficients_ : list of ndarray of shape (n_nodes, n_kept)
        For each hidden layer, how the kept nodes' responses combine to those of
        all, before further training. Model files leave it out: it would outweigh the
        network.
    residuals_ : list of float
        For each hidden layer, the Frobenius norm over the training samples of what
        these combinations leave of that which ``preserve`` names.
    path_ : list of dict
        What was tried: "keep", "hidden_layer_sizes", "loss" (that of training on all
        its data, for targets half the mean squared error in the logistic range),
        "degradation" (against the full network) and "accepted".
    full_hidden_layer_sizes_ : tuple of int
        Nodes of the full network's hidden layers.
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
        estimator: BaseEstimator | None = None,
        *,
        keep: str | float | Sequence[int | float] = "auto",
        max_degradation: float = 0.02,
        max_iter: int = 10,
        preserve: str = "inputs",
        learning_rate_init: float | None = None,
        batch_size: int | None = None,
        distillation: float = 0.5,
        selection: str = "squared",
        prefit: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
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

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        **fit_params: Any,
    ) -> Self:
        """Fit the network, unless it is fitted, and shrink it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Feature columns and coordinate columns side by side.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets, or labels.
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
        regressor = self._fitted_regressor(fit_params, tasks)
        network = regressor.network_
        data = role_of(regressor).samples(X, y, sample_weight)
        self.n_features_in_ = regressor.n_features_in_
        vars(self).pop("feature_names_in_", None)
        if (names := feature_names(regressor)) is not None:
            self.feature_names_in_ = names
        self.full_hidden_layer_sizes_ = network.hidden_layer_sizes
        self.full_loss_ = network.loss(*data)
        answers = data[1]  # what the smaller network is trained to answer
        if self.distillation:
            full = network.predict(data[0], effective_n_threads(regressor.n_jobs))
            answers = (1 - self.distillation) * answers + self.distillation * full
        self.path_ = []
        if isinstance(self.keep, str):
            attempt = self._search(regressor, data, answers, tasks)
        else:
            attempt = self._try(regressor, data, answers, self.keep, tasks)
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
        return router.add(estimator=self._unfitted(), method_mapping=mapping)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Predict the targets, or labels, by the smaller network.

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

    @available_if(_classifies)
    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Predict the probability of each class, if it is a classifier.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The columns of `fit`.

        Returns
        -------
        p : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``.
        """
        check_is_fitted(self)
        return self.estimator_.predict_proba(X)

    @available_if(_classifies)
    def predict_log_proba(self, X: ArrayLike) -> np.ndarray:
        """Predict the logarithm of these probabilities.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The columns of `fit`.

        Returns
        -------
        log_p : ndarray of shape (n_samples, n_classes)
        """
        check_is_fitted(self)
        return self.estimator_.predict_log_proba(X)

    def score(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """Score the smaller network: R2, or the accuracy of a classifier.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The columns of `fit`.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets, or labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample.

        Returns
        -------
        score : float
        """
        check_is_fitted(self)
        return self.estimator_.score(X, y, sample_weight)

    @property
    def classes_(self) -> np.ndarray:
        """Labels, in order, of a classifier."""
        return self.estimator_.classes_

    def __sklearn_tags__(self):
        tags, network = super().__sklearn_tags__(), get_tags(self._unfitted())
        tags.estimator_type = network.estimator_type
        tags.classifier_tags = network.classifier_tags
        tags.regressor_tags = network.regressor_tags
        tags.target_tags = network.target_tags
        return tags

    def transform(self, X: ArrayLike) -> np.ndarray:
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
        X = validate_rows(self, X)
        network = self.estimator_.network_
        n_threads = effective_n_threads(self.estimator_.n_jobs)
        responses = np.empty((len(X), self._n_features_out), dtype=X.dtype)
        for rows, block in network.responses(X, len(self.support_), n_threads):
            responses[rows] = block
        return responses

    @property
    def _n_features_out(self):
        return self.estimator_.network_.hidden_layer_sizes[-1]

    def _check_keep(self):
        """Refuse what does not suit an unfitted network before it is trained."""
        unfitted = self._unfitted()
        if not isinstance(self.keep, str) and role_of(unfitted).is_network:
            sizes_to_keep(self.keep, np.atleast_1d(unfitted.hidden_layer_sizes))

    def _unfitted(self):
        """What is to be shrunk; the default takes all metadata that there are."""
        if self.estimator is not None:
            return self.estimator
        network = LSDNRegressor()
        if get_config()["enable_metadata_routing"]:
            network.set_fit_request(sample_weight=True, X_val=True, y_val=True)
        return network

    def _is_prefit(self):
        return self.prefit or isinstance(self.estimator, FrozenEstimator)

    def _fitted_regressor(self, fit_params, tasks):
        network = self._unfitted()
        if isinstance(network, FrozenEstimator):
            network = network.estimator
        if not role_of(network).is_network:
            raise TypeError(
                "ShrinkConnect shrinks LSDNRegressor, LSDNClassifier, and CDN and VDN "
                f"of either kind, not {type(network).__name__}."
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

    def _search(self, regressor, data, answers, tasks):
        """The smallest fraction whose error is allowed, by bisection."""
        low, high = 0, len(_FRACTIONS)  # the answer's index; len for the full network
        best = None
        while low < high:
            middle = (low + high) // 2
            keep = float(_FRACTIONS[middle])
            attempt = self._try(regressor, data, answers, keep, tasks)
            if self.path_[-1]["accepted"]:
                best, high = attempt, middle
            else:
                low = middle + 1
            if tasks.stopping:
                return best or attempt
        return best or self._try(regressor, data, answers, 1.0, tasks)

    def _try(self, regressor, data, answers, keep, tasks):
        """Shrink and train further; record how it went."""
        X, _, weight = data
        network, settings = regressor.network_, settings_of(regressor)
        sizes = sizes_to_keep(keep, network.hidden_layer_sizes)
        how = self.preserve, self.selection, settings.n_threads
        network, *found = smaller_network(network, X, weight, sizes, *how)
        smaller = holding(regressor, network)
        settings = settings.further(
            self.max_iter,
            self.learning_rate_init or 4.0 * settings.learning_rate,
            self.batch_size or -(-settings.samples_per_batch(len(X)) // 4),
        )
        attempt = smaller, *found
        rng = check_random_state(self.random_state)
        with tasks.delegated("shrink", smaller, lambda: self._outcome(attempt)):
            history = train_further(
                smaller, (X, answers, weight), settings, rng, tasks.given
            )
            tasks.stopping |= history.interrupted
            loss = smaller.network_.loss(*data)
            if history.losses:  # the last as it stands, on the targets given
                losses = [*history.losses[:-1], loss]
                smaller.loss_curve_ = [*regressor.loss_curve_, *losses]
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
        }

    def _kept_in_files(self):
        """All but the full network, and what outweighs the small one."""
        state = dict(vars(self))
        state.pop("coefficients_", None)
        if self._is_prefit():
            network = getattr(self.estimator, "estimator", self.estimator)
            state |= {"estimator": clone(network), "prefit": False}
        return state

    def _check_parts(self):
        network = self.estimator_
        n_hidden = len(network.intercepts_) - 1
        ensure(
            len(self.support_) == len(self.full_hidden_layer_sizes_) == n_hidden,
            "support_ is not that of the hidden layers",
        )
        ensure(
            self.n_features_in_ == network.n_features_in_,
            "ShrinkConnect and its network differ in size",
        )


class _ShrunkenRole(Role):
    shares_layers = True
    memorises = False

    @property
    def takes_groups(self):
        return role_of(self.regressor.estimator).takes_groups

    @property
    def copies(self):
        return role_of(self.regressor.estimator).copies

    @property
    def network(self):
        check_is_fitted(self.regressor)
        return self.regressor.estimator_

    @property
    def n_outputs(self):
        return role_of(self.network).n_outputs

    def networks(self):
        return role_of(self.network).networks()

    def reader(self, n_patch):
        return role_of(self.network).reader(n_patch)

    def to_be_shrunk(self):
        return self.network

    def tried(self):
        return list(self.regressor.path_)

    def join(self, *, verbose, has_coordinates):
        if self.regressor.estimator is None:
            self.regressor.set_params(estimator=LSDNRegressor())
        if verbose:
            self.regressor.set_params(verbose=verbose)

    def facts(self):
        full = "-".join(map(str, self.regressor.full_hidden_layer_sizes_))
        network = facts_of_part("network", self.network)
        return {"shrunken from": f"{full} hidden nodes", **network}


@role_of.register
def _(regressor: ShrinkConnect):
    return _ShrunkenRole(regressor)

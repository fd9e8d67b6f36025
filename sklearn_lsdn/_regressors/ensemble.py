"""EnsembleRegressor: a mean of networks, and how far to trust it."""

import os
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn import get_config
from sklearn.base import (
    BaseEstimator,
    MetaEstimatorMixin,
    MultiOutputMixin,
    RegressorMixin,
    clone,
)
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GroupKFold, KFold
from sklearn.utils import check_random_state
from sklearn.utils import metadata_routing as routing
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from .._utils.callbacks import FitTasks
from .._utils.checks import check_numbers, ensure
from .._utils.groups import check_groups
from .._utils.parallel import parallel_map
from .._utils.persistable import persistable
from .._utils.samples import validate_rows, validate_samples
from .._utils.sklearn_private import (
    CallbackSupportMixin,
    HasMethods,
    Interval,
    _fit_context,
    check_weights,
)
from .._utils.store import Store
from .networks import LSDNRegressor
from .roles import Role, facts_of_part, role_of
from .training import interrupts_end_all

_FOLDS = 3  # at most, for the noise


@persistable("sklearn_lsdn", younger={"memory": None})
class EnsembleRegressor(
    CallbackSupportMixin,
    MetaEstimatorMixin,
    MultiOutputMixin,
    RegressorMixin,
    BaseEstimator,
):
    """Mean of networks that differ in their random numbers, and its deviation.

    All train on the same samples. Their disagreement says what training left open;
    what they have in common and err in is learned from groups of samples that were
    held back: a further network predicts the size of the residuals there.

    Parameters
    ----------
    estimator : regressor, default=None
        It is cloned; None stands for ``LSDNRegressor()``.
    n_estimators : int, default=5
        How many.
    memory : str, path or joblib.Memory, default=None
        Where to keep each member once it is trained, so that a training which was cut
        off goes on: the same `fit` finds the members that are there, of the same data,
        parameters and versions, and ends with the same bits. It needs a whole number
        as ``random_state``.
    n_jobs : int, default=None
        Members that train at once, in threads unless a
        :obj:`joblib.parallel_config` context names another backend. None means 1,
        unless in such a context.
    random_state : int, RandomState instance or None, default=None
        Seeds the members, and what they consist of, wherever they have a
        ``random_state``.

    Attributes
    ----------
    estimators_ : list of regressors
        The fitted members.
    noise_estimator_ : regressor
        Predicts the absolute residual of samples that training did not see.
    noise_scale_ : ndarray of shape (n_outputs,)
        Root mean square of the residuals beside that of their predicted size.
    n_features_in_ : int
        Columns of ``X``.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if ``X`` had names that are strings.
    n_outputs_ : int
        Columns of ``y``.

    See Also
    --------
    VolumeSynthesizer : Uses it where ``n_estimators`` is 2 or more.
    sklearn.ensemble.BaggingRegressor : Members that see different samples.

    Notes
    -----
    The variance is that between the members plus the square of the predicted
    residual. With ``groups`` (subjects) the residuals are those in groups held back,
    by at most three folds, and count what a new subject brings; without, they are
    those in samples held back at random.

    Callbacks are told of each training: "fit-member", "fit-fold" and "fit-noise", but
    not of what ``memory`` holds. With
    ``n_jobs`` they are called from several threads. One that asks to stop ends the
    training that it was told of, not the others.

    References
    ----------
    B. Lakshminarayanan, A. Pritzel, C. Blundell, "Simple and scalable predictive
    uncertainty estimation using deep ensembles", NeurIPS 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lsdn import EnsembleRegressor, LSDNRegressor
    >>> rng = np.random.RandomState(0)
    >>> X = rng.uniform(size=(2000, 4))
    >>> y = X[:, 0] + X[:, 1] * rng.normal(size=2000)  # noisy where column 1 is large
    >>> network = LSDNRegressor((10,), max_iter=10)
    >>> ensemble = EnsembleRegressor(network, 3, random_state=0).fit(X, y)
    >>> _, std = ensemble.predict(X, return_std=True)
    >>> bool(std[X[:, 1] > 0.8].mean() > 2 * std[X[:, 1] < 0.2].mean())
    True
    """

    __metadata_request__fit = {"groups": True}  # as scikit-learn's splitters do

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"]), None],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "memory": [str, os.PathLike, HasMethods(["cache"]), None],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: BaseEstimator | None = None,
        n_estimators: int = 5,
        *,
        memory: Any = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.memory = memory
        self.n_jobs = n_jobs
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Train the members, and what tells the size of their errors.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As the estimator takes it.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample, if the estimator takes weights; samples of weight
            0 are left out.
        groups : array-like of shape (n_samples,), default=None
            Samples that are held back together, such as those of a subject; a
            network of this package with ``early_stopping`` is given them too. Where
            scikit-learn's metadata routing is enabled, an estimator is given them,
            and has to request ``sample_weight``, as everywhere.

        Returns
        -------
        self : object
            The fitted ensemble.

        Raises
        ------
        TypeError
            If there is a ``sample_weight``, which the estimator does not take.
        ValueError
            If ``X`` or ``y`` hold NaN or infinity, or their lengths differ.
        """
        given = X, y, sample_weight
        base = self._base()
        _check_members(base)
        X, y, weight, groups = self._validate_training(*given, groups)
        if sample_weight is not None:
            sample_weight = weight
        metadata = given_to_fit(self, base, sample_weight=sample_weight, groups=groups)
        rng = check_random_state(self.random_state)
        seeds = rng.randint(np.iinfo(np.int32).max, size=self.n_estimators + _FOLDS + 1)
        folds = list(self._folds(len(y), groups, rng))
        names = ["fit-member"] * self.n_estimators + ["fit-fold"] * len(folds)
        tasks = FitTasks(self, len(names) + 1, *given)
        planned = tasks.planned([*names, "fit-noise"])

        jobs = [(seed, None) for seed in seeds[: self.n_estimators]]
        others = zip(seeds[self.n_estimators :], folds, strict=False)
        jobs += [(seed, rows) for seed, (rows, _) in others]
        jobs = [(task, *job) for task, job in zip(planned, jobs, strict=False)]
        store = Store(self.memory)
        shared = store, tasks, base, X, y, metadata
        trained = list(
            parallel_map(_train, shared, jobs, n_jobs=self.n_jobs, prefer="threads")
        )
        self.estimators_ = trained[: self.n_estimators]
        residuals = np.zeros(y.shape)
        for member, (_, rows) in zip(trained[self.n_estimators :], folds, strict=True):
            predicted = member.predict(_rows(X, rows)).reshape(y[rows].shape)
            residuals[rows] = y[rows] - predicted
        size = abs(residuals).astype(np.result_type(y, np.float32))
        last = planned[-1], seeds[-1]
        self.noise_estimator_ = _train(store, tasks, base, X, size, metadata, *last)
        predicted = np.maximum(self.noise_estimator_.predict(X), 0).reshape(len(y), -1)
        rms = _root_mean_square(residuals.reshape(predicted.shape), weight)
        rms_predicted = _root_mean_square(predicted, weight)
        # A network that predicts next to nothing has learned nothing to be scaled.
        self.noise_scale_ = np.ones(len(rms))
        learned = rms_predicted > 1e-3 * rms
        self.noise_scale_[learned] = rms[learned] / rms_predicted[learned]
        self.n_outputs_ = predicted.shape[1]
        tasks.close()
        return self

    def get_metadata_routing(self) -> routing.MetadataRouter:
        """Say what goes to the members.

        Returns
        -------
        routing : MetadataRouter
        """
        mapping = routing.MethodMapping().add(caller="fit", callee="fit")
        router = routing.MetadataRouter(owner=self).add_self_request(self)
        return router.add(estimator=self._base(), method_mapping=mapping)

    def predict(
        self, X: ArrayLike, return_std: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Predict the targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The columns of `fit`.
        return_std : bool, default=False
            Also return the standard deviation.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Mean of the members' predictions.
        std : ndarray of the same shape
            With ``return_std``, in the units of ``y``.
        """
        check_is_fitted(self)
        if getattr(X, "columns", None) is None:
            X = validate_rows(self, X)
        each = np.array([member.predict(X) for member in self.estimators_])
        mean = each.mean(axis=0)
        if not return_std:
            return mean
        noise = np.maximum(self.noise_estimator_.predict(X), 0)
        noise *= self.noise_scale_ if noise.ndim > 1 else self.noise_scale_[0]
        return mean, np.sqrt(each.var(axis=0, ddof=len(each) > 1) + noise**2)

    def _base(self):
        """What is cloned; the default takes all metadata that there are."""
        if self.estimator is not None:
            return self.estimator
        network = LSDNRegressor()
        if get_config()["enable_metadata_routing"]:
            network.set_fit_request(sample_weight=True)
        return network

    def _validate_training(self, X, y, sample_weight, groups):
        """What has a part in training; a frame stays one, for its names."""
        checked, y = validate_samples(self, X, y)
        X = checked if getattr(X, "columns", None) is None else X
        weight = check_weights(sample_weight, checked)
        if groups is not None:
            groups = check_groups(groups, len(y))
        if weight.all():
            return X, y, weight, groups
        used = np.flatnonzero(weight)
        groups = None if groups is None else groups[used]
        return _rows(X, used), y[used], weight[used], groups

    def _folds(self, n_samples, groups, rng):
        if groups is not None and len(np.unique(groups)) > 1:
            n_folds = min(_FOLDS, len(np.unique(groups)))
            return GroupKFold(n_folds).split(groups, groups=groups)
        if n_samples < 2:
            return ()
        splitter = KFold(min(_FOLDS, n_samples), shuffle=True, random_state=rng)
        return splitter.split(np.empty(n_samples))

    def _kept_in_files(self):
        """Without a cache."""
        return {**vars(self), "memory": None}

    def _check_parts(self):
        members = [*self.estimators_, self.noise_estimator_]
        ensure(len(members) > 1, "an ensemble has no members")
        for member in members:
            role_of(member).check_sizes(self.n_features_in_, self.n_outputs_)
        check_numbers(self, "noise_scale_", self.noise_scale_, (self.n_outputs_,))


def _check_members(base):
    """Raise ValueError if members are not trained."""
    parameters = [base, *base.get_params(deep=True).values()]
    if any(isinstance(each, FrozenEstimator) for each in parameters):
        raise ValueError(
            "An ensemble trains its members, which a FrozenEstimator forbids. Give the "
            "estimator itself, unfitted."
        )


def given_to_fit(owner, estimator, **metadata) -> dict:
    """What of its metadata a meta-estimator gives to its estimator's ``fit``.

    Parameters
    ----------
    owner : meta-estimator
        Whose ``get_metadata_routing`` counts where scikit-learn's routing is enabled.
    estimator : regressor
    **metadata
        ``sample_weight`` and ``groups``, which may be None.

    Raises
    ------
    TypeError
        If there is a ``sample_weight``, which the estimator does not take.
    """
    given = {name: value for name, value in metadata.items() if value is not None}
    if get_config()["enable_metadata_routing"]:
        return routing.process_routing(owner, "fit", **given).estimator.fit
    if "sample_weight" in given and not has_fit_parameter(estimator, "sample_weight"):
        raise TypeError(
            f"{type(estimator).__name__} takes no sample_weight. To pass it to what a "
            "Pipeline holds, enable scikit-learn's metadata routing."
        )
    if not role_of(estimator).takes_groups:
        given.pop("groups", None)
    return given


def _train(store, tasks, base, X, y, metadata, task, seed, rows=None):
    """Train a member, on all samples or some, unless it was trained before."""
    member = clone(base)
    # Also within a Pipeline or ShrinkConnect, lest all members be one.
    for name in member.get_params():
        if name.split("__")[-1] == "random_state":
            member.set_params(**{name: seed})
    if rows is not None:
        X, y = _rows(X, rows), y[rows]
        metadata = {name: values[rows] for name, values in metadata.items()}
    if "groups" in metadata and len(np.unique(metadata["groups"])) < 2:
        # None could be held out.
        metadata = {k: v for k, v in metadata.items() if k != "groups"}

    def fit():
        with interrupts_end_all(), tasks.delegated(task, member):
            return member.fit(X, y, **metadata)

    return store.made(fit, member, X, y, metadata)


def _root_mean_square(values, weight):
    return np.sqrt(np.average(np.square(values, dtype=float), axis=0, weights=weight))


def _rows(X, rows):
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


class _EnsembleRole(Role):
    maps = 10
    takes_groups = True

    @property
    def copies(self):  # and one of the samples of a fold
        return 1 + role_of(self.regressor.estimator).copies

    @property
    def noise(self):
        return self.regressor.noise_estimator_, self.regressor.noise_scale_

    def members(self):
        return self.regressor.estimators_

    def networks(self):
        each = [list(role_of(part).networks().values()) for part in self.members()]
        return {f"member {i}": found[0] for i, found in enumerate(each, 1) if found}

    def to_be_shrunk(self):
        raise TypeError(
            "An ensemble's networks are shrunk in training: fit with "
            "estimator=ShrinkConnect() (lsdn fit --shrink)."
        )

    def join(self, *, verbose, has_coordinates):
        if self.regressor.estimator is None:
            self.regressor.set_params(estimator=LSDNRegressor())

    def facts(self):
        first, *others = self.members()
        return {"members": 1 + len(others), **facts_of_part("each", first)}


@role_of.register
def _(regressor: EnsembleRegressor):
    return _EnsembleRole(regressor)

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
    is_classifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GroupKFold, KFold
from sklearn.utils import check_random_state
from sklearn.utils import metadata_routing as routing
from sklearn.utils.validation import check_is_fitted

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
from .conformal import HeldBackScores, scores_that_keep
from .metadata import given_to_fit, of_rows
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
    held_back_ : HeldBackScores or None
        Distributions of the residuals in such deviations, for intervals; None if
        nothing was held back, or an older release trained.
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

    Intervals come of split conformal prediction over groups [2]_: of each group held
    back, the absolute residuals in units of the predicted deviation have a distribution
    function F; the interval reaches as many deviations q as make the sum of all F(q)
    at least ``level`` (n + 1), for n groups, and so leaves to the new one to be worse
    than all. It promises ``level`` for a random sample of a random new group, on
    average over such cohorts, if groups are exchangeable and the members, which have
    seen all of them, err no more on a new one than the networks of the folds do, which
    have seen fewer. Without ``groups``, each sample is one. Where members may know
    samples by heart, as forests do, these deviations are learned without their fold;
    of a single nearest neighbour, say, that is not enough.

    Callbacks are told of each training: "fit-member", "fit-fold" and "fit-noise", but
    not of what ``memory`` holds. With
    ``n_jobs`` they are called from several threads. One that asks to stop ends the
    training that it was told of, not the others.

    References
    ----------
    .. [1] B. Lakshminarayanan, A. Pritzel, C. Blundell, "Simple and scalable predictive
       uncertainty estimation using deep ensembles", NeurIPS 2017.
    .. [2] Y. Lee, R. F. Barber, R. Willett, "Distribution-free inference with
       hierarchical data", 2023, arXiv:2306.06342.

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
    held_back_: HeldBackScores | None = None

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
        sizes_apart = folds if role_of(base).memorises else []
        names = ["fit-member"] * self.n_estimators + ["fit-fold"] * len(folds)
        names += ["fit-noise"] * (1 + len(sizes_apart))
        tasks = FitTasks(self, len(names), *given)
        planned = iter(tasks.planned(names))
        store = Store(self.memory)

        def trained(targets, seeds, folds):
            jobs = [(next(planned), s, f) for s, f in zip(seeds, folds, strict=False)]
            shared = store, tasks, base, X, targets, metadata
            return list(
                parallel_map(_train, shared, jobs, n_jobs=self.n_jobs, prefer="threads")
            )

        n_members = self.n_estimators
        every = [None] * n_members + [rows for rows, _ in folds]
        members = trained(y, seeds, every)
        self.estimators_ = members[:n_members]
        residuals = np.zeros(y.shape)
        for member, (_, rows) in zip(members[n_members:], folds, strict=True):
            predicted = member.predict(_rows(X, rows)).reshape(y[rows].shape)
            residuals[rows] = y[rows] - predicted
        size = abs(residuals).astype(np.result_type(y, np.float32))
        residuals = residuals.reshape(len(y), -1)
        last = next(planned), seeds[-1]
        self.noise_estimator_ = _train(store, tasks, base, X, size, metadata, *last)
        noise = _sizes(self.noise_estimator_, X)
        self.noise_scale_ = _scale(residuals, noise, weight)
        noise *= self.noise_scale_
        apart = [rows for rows, _ in sizes_apart]
        apart = zip(trained(size, seeds[n_members:], apart), sizes_apart, strict=True)
        for regressor, (known, rows) in apart:  # lest errors be known by heart
            sizes = _sizes(regressor, _rows(X, known))
            scale = _scale(residuals[known], sizes, weight[known])
            noise[rows] = scale * _sizes(regressor, _rows(X, rows))
        self.n_outputs_ = residuals.shape[1]
        self.held_back_ = self._scores(X, residuals, noise, weight, groups)
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
        self,
        X: ArrayLike,
        return_std: bool = False,
        return_interval: float | None = None,
    ) -> np.ndarray | tuple:
        """Predict the targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The columns of `fit`.
        return_std : bool, default=False
            Also return the standard deviation.
        return_interval : float, default=None
            Also return ends of an interval that holds the target of a random sample of
            a new group, or without ``groups`` of a new sample, with this probability.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Mean of the members' predictions.
        std : ndarray of the same shape
            With ``return_std``, in the units of ``y``.
        interval : (lower, upper), ndarrays of the same shape
            With ``return_interval``, after ``std`` where both are asked for.

        Raises
        ------
        ValueError
            If intervals cannot keep the level, or nothing was held back.
        """
        check_is_fitted(self)
        scores = None
        if return_interval is not None:
            scores = scores_that_keep(self.held_back_, return_interval)
        if getattr(X, "columns", None) is None:
            X = validate_rows(self, X)
        each = np.array([member.predict(X) for member in self.estimators_])
        mean = each.mean(axis=0)
        if not return_std and scores is None:
            return mean
        noise = self.noise_scale_ * _sizes(self.noise_estimator_, X)
        std = _deviations(each, noise.reshape(mean.shape))
        if scores is None:
            return mean, std
        reach = scores.reach(std.reshape(len(std), -1), return_interval)
        reach = reach.reshape(mean.shape)
        interval = mean - reach, mean + reach
        return (mean, std, interval) if return_std else (mean, interval)

    def _scores(self, X, residuals, noise, weight, groups):
        """Of the samples, each held back by a fold; None if groups could not be."""
        n_held_back = len(residuals) if groups is None else len(np.unique(groups))
        if n_held_back < 2:
            return None
        members = self.estimators_

        def deviations(rows):
            part, size = _rows(X, rows), noise[rows]
            each = [member.predict(part).reshape(size.shape) for member in members]
            return _deviations(np.array(each), size)

        return HeldBackScores.of(deviations, residuals, weight, groups)

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
        if self.held_back_ is not None:
            self.held_back_.check_size(self.n_outputs_)


def _check_members(base):
    """Raise ValueError if members are not trained, or their answers are no numbers."""
    if is_classifier(base):
        raise ValueError(
            "An EnsembleRegressor takes the mean of numbers, which labels are not. For "
            "several classifiers, take scikit-learn's BaggingClassifier or "
            "VotingClassifier."
        )
    parameters = [base, *base.get_params(deep=True).values()]
    if any(isinstance(each, FrozenEstimator) for each in parameters):
        raise ValueError(
            "An ensemble trains its members, which a FrozenEstimator forbids. Give the "
            "estimator itself, unfitted."
        )


def _train(store, tasks, base, X, y, metadata, task, seed, rows=None):
    """Train a member, on all samples or some, unless it was trained before."""
    member = clone(base)
    # Also within a Pipeline or ShrinkConnect, lest all members be one.
    for name in member.get_params():
        if name.split("__")[-1] == "random_state":
            member.set_params(**{name: seed})
    if rows is not None:
        X, y = _rows(X, rows), y[rows]
    metadata = of_rows(metadata, slice(None) if rows is None else rows)

    def fit():
        with interrupts_end_all(), tasks.delegated(task, member):
            return member.fit(X, y, **metadata)

    return store.made(fit, member, X, y, metadata)


def _sizes(regressor, X):
    """Sizes of residuals that a regressor predicts, of shape (n_samples, n_outputs)."""
    sizes = np.maximum(regressor.predict(X), 0)
    return sizes.reshape(len(sizes), -1)


def _scale(residuals, sizes, weight):
    """Root mean square of residuals beside that of their predicted sizes."""
    rms = _root_mean_square(residuals, weight)
    rms_of_sizes = _root_mean_square(sizes, weight)
    # A network that predicts next to nothing has learned nothing to be scaled.
    scale = np.ones(len(rms))
    learned = rms_of_sizes > 1e-3 * rms
    scale[learned] = rms[learned] / rms_of_sizes[learned]
    return scale


def _deviations(each, noise):
    """Disagreement of members, and noise, together."""
    return np.sqrt(each.var(axis=0, ddof=len(each) > 1) + noise**2)


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
    def shares_layers(self):
        return role_of(self.regressor.estimator).shares_layers

    @property
    def noise(self):
        return self.regressor.noise_estimator_, self.regressor.noise_scale_

    @property
    def held_back(self):
        return self.regressor.held_back_

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
        return {
            "members": 1 + len(others),
            "levels of intervals": str(self.held_back or "none"),
            **facts_of_part("each", first),
        }


@role_of.register
def _(regressor: EnsembleRegressor):
    return _EnsembleRole(regressor)

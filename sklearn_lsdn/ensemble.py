"""EnsembleRegressor: a mean of networks, and how far to trust it."""

from numbers import Integral

import numpy as np
from sklearn.base import (
    BaseEstimator,
    MetaEstimatorMixin,
    RegressorMixin,
    _fit_context,
    clone,
)
from sklearn.model_selection import GroupKFold, KFold
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.validation import check_is_fitted, validate_data

from ._network_regressor import _NetworkRegressor
from ._parallel import parallel_map
from .regressor import LSDNRegressor
from .shrink import ShrinkConnect

_FOLDS = 3  # at most, for the noise


class EnsembleRegressor(MetaEstimatorMixin, RegressorMixin, BaseEstimator):
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

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"]), None],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self, estimator=None, n_estimators=5, *, n_jobs=None, random_state=None
    ):
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.n_jobs = n_jobs
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, *, groups=None):
        """Train the members, and what tells the size of their errors.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As the estimator takes it.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        groups : array-like of shape (n_samples,), default=None
            Samples that are held back together, such as those of a subject; a
            network of this package with ``early_stopping`` is given them too.

        Returns
        -------
        self : object
            The fitted ensemble.

        Raises
        ------
        ValueError
            If ``X`` or ``y`` hold NaN or infinity, or their lengths differ.
        """
        feature_names = getattr(X, "columns", None)
        checked, y = validate_data(
            self,
            X,
            y,
            dtype=(np.float64, np.float32),
            multi_output=True,
            y_numeric=True,
        )
        X = checked if feature_names is None else X  # whose columns may be named
        groups = None if groups is None else np.asarray(groups)
        base = LSDNRegressor() if self.estimator is None else self.estimator
        rng = check_random_state(self.random_state)
        folds = list(self._folds(len(y), groups, rng))
        seeds = rng.randint(np.iinfo(np.int32).max, size=self.n_estimators + _FOLDS + 1)

        jobs = [(seed, None) for seed in seeds[: self.n_estimators]]
        others = zip(seeds[self.n_estimators :], folds, strict=False)
        jobs += [(seed, rows) for seed, (rows, _) in others]
        shared = base, X, y, groups
        trained = list(
            parallel_map(_train, shared, jobs, n_jobs=self.n_jobs, prefer="threads")
        )
        self.estimators_ = trained[: self.n_estimators]
        residuals = np.zeros(y.shape)
        for member, (_, rows) in zip(trained[self.n_estimators :], folds, strict=True):
            residuals[rows] = y[rows] - member.predict(_rows(X, rows))
        size = abs(residuals).astype(np.result_type(y, np.float32))
        self.noise_estimator_ = _train(base, X, size, groups, seeds[-1])
        predicted = np.maximum(self.noise_estimator_.predict(X), 0).reshape(len(y), -1)
        rms = np.sqrt(np.square(residuals.reshape(predicted.shape)).mean(axis=0))
        rms_predicted = np.sqrt(np.square(predicted, dtype=np.float64).mean(axis=0))
        # A network that predicts next to nothing has learned nothing to be scaled.
        self.noise_scale_ = np.ones(len(rms))
        learned = rms_predicted > 1e-3 * rms
        self.noise_scale_[learned] = rms[learned] / rms_predicted[learned]
        self.n_outputs_ = predicted.shape[1]
        return self

    def predict(self, X, return_std=False):
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
            X = validate_data(self, X, dtype=(np.float64, np.float32), reset=False)
        each = np.array([member.predict(X) for member in self.estimators_])
        mean = each.mean(axis=0)
        if not return_std:
            return mean
        noise = np.maximum(self.noise_estimator_.predict(X), 0)
        noise *= self.noise_scale_ if noise.ndim > 1 else self.noise_scale_[0]
        return mean, np.sqrt(each.var(axis=0, ddof=len(each) > 1) + noise**2)

    def _folds(self, n_samples, groups, rng):
        if groups is not None and len(np.unique(groups)) > 1:
            n_folds = min(_FOLDS, len(np.unique(groups)))
            return GroupKFold(n_folds).split(groups, groups=groups)
        if n_samples < 2:
            return ()
        splitter = KFold(min(_FOLDS, n_samples), shuffle=True, random_state=rng)
        return splitter.split(np.empty(n_samples))


def stops_early_by_groups(estimator) -> bool:
    """Whether it is a network, shrunken or not, whose ``fit`` can use ``groups``."""
    network = estimator.estimator if isinstance(estimator, ShrinkConnect) else estimator
    return isinstance(network, _NetworkRegressor) and bool(network.early_stopping)


def _train(base, X, y, groups, seed, rows=None):
    """Train a member, on all samples or some."""
    member = clone(base)
    # Also within a Pipeline or ShrinkConnect, lest all members be one.
    for name in member.get_params():
        if name.split("__")[-1] == "random_state":
            member.set_params(**{name: seed})
    if rows is not None:
        X, y = _rows(X, rows), y[rows]
        groups = None if groups is None else groups[rows]
    known = {}
    if groups is not None and stops_early_by_groups(member):
        known = {"groups": groups} if len(np.unique(groups)) > 1 else {}
    return member.fit(X, y, **known)


def _rows(X, rows):
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]

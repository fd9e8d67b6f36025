"""What makes a network a regressor: targets are numbers, in any units."""

from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import MultiOutputMixin, RegressorMixin
from sklearn.utils.metaestimators import available_if

from .._utils.checks import check_flatness
from .._utils.samples import validate_samples
from .._utils.sklearn_private import _fit_context
from .network_estimator import NetworkEstimator, has_epochs
from .roles import NetworkRole, role_of
from .training import check_outputs, validate_training

DOCUMENTED = dict(
    class_weight="",
    classes="",
    loss="""equation (1), on targets scaled to the range
        of the logistic function and""",
    outputs="Number of targets.",
)


class NetworkRegressor(MultiOutputMixin, RegressorMixin, NetworkEstimator):
    """LSDN, CDN or VDN as a regressor."""

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        groups: ArrayLike | None = None,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
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
        return self._fit(X, y, sample_weight, groups, X_val, y_val)

    @available_if(has_epochs)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Self:
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
            As `fit`, and if a target is constant in the first call.
        """
        return self._fit_partially(X, y, sample_weight)

    def predict(self, X: ArrayLike) -> np.ndarray:
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
        y = self._outputs(X)
        return y.ravel() if self._flat_target else y

    def _validated(self, X, y, sample_weight, groups=None, *, fresh):
        data, groups, flat = validate_training(
            self, X, y, sample_weight, groups, reset=fresh
        )
        if fresh:
            self._flat_target = flat
        else:
            check_outputs(data[1].shape[1], self.network_)
        return data, groups

    def _validated_to_watch(self, X_val, y_val, data):
        X, y = validate_samples(self, X_val, y_val, reset=False)
        y = y.reshape(len(y), -1)
        if y.shape[1] != data[1].shape[1]:
            raise ValueError(
                f"y_val has {y.shape[1]} outputs, but y has {data[1].shape[1]}."
            )
        return X, y, np.ones(len(X))

    def _check_parts(self):
        super()._check_parts()
        check_flatness(self._flat_target, self.n_outputs_)


class _RegressorRole(NetworkRole):
    def samples(self, X, y, sample_weight):
        data, *_ = validate_training(self.regressor, X, y, sample_weight, reset=False)
        check_outputs(data[1].shape[1], self.regressor.network_)
        return data


@role_of.register
def _(regressor: NetworkRegressor):
    return _RegressorRole(regressor)

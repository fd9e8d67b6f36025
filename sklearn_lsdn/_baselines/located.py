"""What both methods do alike: check samples, and answer in the units of the targets."""

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from .._network.kernels.compilation import kernel
from .._network.scaling import centre_and_scale
from .._regressors.roles import LocatedRole, role_of
from .._utils.checks import check_flatness, check_numbers
from .._utils.samples import validate_rows, validate_samples


class LocatedRegressor(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """A regressor of features and coordinates that predicts standardised targets."""

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
        check_is_fitted(self)
        return self._in_units(validate_rows(self, X))

    def _standardised(self, X, *given):
        """Yield rows and predictions of standardised targets, some rows at a time."""
        raise NotImplementedError

    def _in_units(self, X, *given):
        """What `_standardised` predicts, in the units and the shape of the targets."""
        centre, scale = self._target_scaling
        y = np.empty((len(X), self.n_outputs_), dtype=X.dtype)
        for rows, predicted in self._standardised(X, *given):
            y[rows] = centre + scale * predicted
        return y.ravel() if self._flat_target else y

    def _take(self, X, y):
        """Samples as arrays, with columns of targets, whose scaling is kept."""
        X, y = validate_samples(self, X, y)
        self._flat_target = y.ndim == 1
        y = y.reshape(len(y), -1)
        self.n_outputs_ = y.shape[1]
        self._target_scaling = centre_and_scale(y, np.ones(len(y)))
        return X, y

    def _check_parts(self):
        check_flatness(self._flat_target, self.n_outputs_)
        centre, scale = self._target_scaling
        check_numbers(self, "target centre", centre, (self.n_outputs_,))
        check_numbers(self, "target scale", scale, (self.n_outputs_,))


role_of.register(LocatedRegressor, LocatedRole)


def combined(indices, weights, table) -> np.ndarray:
    """Sums over k of ``weights[:, k] * table[indices[:, k]]``.

    Parameters
    ----------
    indices : int array of shape (n, n_terms)
    weights : float64 array of shape (n, n_terms)
    table : float array of shape (n_rows, n_columns)

    Returns
    -------
    sums : float64 array of shape (n, n_columns)
    """
    sums = np.zeros((len(indices), table.shape[1]))
    _combine(indices, weights, table, sums)
    return sums


@kernel
def _combine(indices, weights, table, sums):
    for i in range(len(sums)):
        for k in range(indices.shape[1]):
            weight, row = weights[i, k], table[indices[i, k]]
            for c in range(len(row)):
                sums[i, c] += weight * row[c]

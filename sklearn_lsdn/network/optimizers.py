"""Stochastic gradient descent and Adam: one epoch of updates."""

import numpy as np

from .backward import add_gradient
from .compilation import kernel

_ONE = np.float32(1.0)
_BETA1, _BETA2, _EPSILON = np.float32(0.9), np.float32(0.999), np.float32(1e-8)


@kernel
def _sgd_step(theta, slope, rate):
    for i in range(len(theta)):
        theta[i] -= rate * slope[i]


@kernel
def _adam_step(theta, slope, first, second, rate):
    """Kingma and Ba's update; ``rate`` carries the bias correction."""
    for i in range(len(theta)):
        g = slope[i]
        first[i] += (_ONE - _BETA1) * (g - first[i])
        second[i] += (_ONE - _BETA2) * (g * g - second[i])
        theta[i] -= rate * first[i] / (np.sqrt(second[i]) + _EPSILON)


@kernel
def epoch(
    theta,
    sizes,
    precision,
    S,
    X,
    T,
    weight,
    order,
    batch_size,
    decay,
    rate,
    adam,
    first,
    second,
    step,
):
    """Run through the samples once in ``order``, updating ``theta`` each batch.

    Parameters
    ----------
    theta, sizes, precision, S, X, T :
        As in `backward.add_gradient`.
    weight : float32 array of shape (n_samples,), positive
    order : int64 array
        Rows to visit.
    batch_size : int
    decay : float32 array of shape (n_parameters,)
        Strength of the L2 penalty on each parameter.
    rate : float
        Learning rate.
    adam : bool
        Adam if true, else plain stochastic gradient descent.
    first, second : float32 arrays of shape (n_parameters,)
        Adam's moments, updated.
    step : int
        Updates made before this epoch.

    Returns
    -------
    loss : float
        sum_n w_n |psi_n - t_n|^2 over the epoch, each batch before its update.
    """
    n_samples = len(order)
    n_batch = min(batch_size, n_samples)
    S_batch = np.empty((n_batch, S.shape[1]), dtype=np.float32)
    X_batch = np.empty((n_batch, X.shape[1]), dtype=np.float32)
    T_batch = np.empty((n_batch, T.shape[1]), dtype=np.float32)
    share = np.empty(n_batch, dtype=np.float32)
    slope = np.empty(len(theta), dtype=np.float32)
    loss = 0.0
    for start in range(0, n_samples, n_batch):
        n = min(n_batch, n_samples - start)
        total = 0.0
        for r in range(n):
            row = order[start + r]
            for j in range(S.shape[1]):
                S_batch[r, j] = S[row, j]
            for j in range(X.shape[1]):
                X_batch[r, j] = X[row, j]
            for j in range(T.shape[1]):
                T_batch[r, j] = T[row, j]
            total += weight[row]
        for r in range(n):
            share[r] = weight[order[start + r]] / total
        for i in range(len(theta)):
            slope[i] = decay[i] * theta[i]
        loss += total * add_gradient(
            theta,
            sizes,
            precision,
            S_batch[:n],
            X_batch[:n],
            T_batch[:n],
            share[:n],
            slope,
        )
        step += 1
        if adam:
            unbiased = np.sqrt(1.0 - np.float64(_BETA2) ** step)
            unbiased /= 1.0 - np.float64(_BETA1) ** step
            _adam_step(theta, slope, first, second, np.float32(rate * unbiased))
        else:
            _sgd_step(theta, slope, np.float32(rate))
    return loss

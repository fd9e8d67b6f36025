"""Stochastic gradient descent and Adam: one epoch of updates, by one thread or several.

The threads of an epoch all run `epoch`, and share first the tiles of a batch, then the
update. Which samples add to which buffer of the gradient, and the order in which
buffers are summed, do not depend on the number of threads, so that the bits do not.
"""

import numpy as np
from numba import void

from .backward import add_gradient, transpose_filters
from .compilation import kernel, part
from .forward import TILE
from .sharing import hand_in, take, wait
from .views import view

N_BUFFERS = 8  # of the gradient of a batch, and so the most threads of use

_ONE = np.float32(1.0)
_BETA1, _BETA2, _EPSILON = np.float32(0.9), np.float32(0.999), np.float32(1e-8)


@part(void)
def _sgd_step(theta, slope, rate):
    for i in range(len(theta)):
        theta[i] -= rate * slope[i]


@part(void)
def _adam_step(theta, slope, first, second, rate):
    """Kingma and Ba's update; ``rate`` carries the bias correction."""
    for i in range(len(theta)):
        g = slope[i]
        first[i] += (_ONE - _BETA1) * (g - first[i])
        second[i] += (_ONE - _BETA2) * (g * g - second[i])
        theta[i] -= rate * first[i] / (np.sqrt(second[i]) + _EPSILON)


@part(void)
def _sum_buffers(decay, theta, gradients, n_buffers, low, slope):
    """The penalty's gradient and that of all buffers, from element ``low``."""
    for i in range(len(theta)):
        slope[i] = decay[i] * theta[i]
    for b in range(n_buffers):
        gradient = view(gradients, b * gradients.shape[1] + low, (len(theta),))
        for i in range(len(theta)):
            slope[i] += gradient[i]


@part(void)
def _gather(rows, array, tile):
    """Copy ``rows`` of an array to a tile."""
    for r in range(len(rows)):
        row = rows[r]
        for j in range(array.shape[1]):
            tile[r, j] = array[row, j]


@kernel
def epoch(
    wide,
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
    gradients,
    losses,
    counters,
    n_threads,
    tiles,
    scratch,
):
    """Run through the samples once in ``order``, updating ``wide`` each batch.

    Parameters
    ----------
    wide : float32 array
        Padded parameters.
    sizes, precision, S, X, T :
        As in `backward.add_gradient`.
    weight : float32 array of shape (n_samples,), positive
    order : int64 array
        Rows to visit.
    batch_size : int
    decay : float32 array like ``wide``
        Strength of the L2 penalty on each parameter.
    rate : float
        Learning rate.
    adam : bool
        Adam if true, else plain stochastic gradient descent.
    first, second : float32 arrays like ``wide``
        Adam's moments, updated.
    step : int
        Updates made before this epoch.
    gradients : float32 array of shape (n_buffers, len(wide))
        Scratch that the threads share.
    losses : float64 array of shape (n_buffers + 1,)
        Shared too. The last becomes sum_n w_n |psi_n - t_n|^2 over the epoch, each
        batch before its update.
    counters : int64 array of shape (2,)
        As `sharing.take` takes them; 0 at first.
    n_threads : int
        How many threads run this.
    tiles : tuple of float32 arrays
        Of this thread alone: up to `TILE` rows for features, coordinates and targets,
        as many weights, and an array like ``wide``.
    scratch : tuple of float32 arrays
        As `backward.scratch` makes it for this thread.
    """
    n_samples = len(order)
    S_tile, X_tile, T_tile, share, slope = tiles
    H, D, spatial, transposed = scratch
    lines = -(-len(wide) // 16)  # a piece of an update is made of whole cache lines
    end_of_phase = 0
    for begin in range(0, n_samples, batch_size):
        end = begin + batch_size
        if end > n_samples:
            end = n_samples
        total = 0.0
        for r in range(begin, end):
            total += weight[order[r]]
        n_tiles = -(-(end - begin) // TILE)
        n_buffers = len(gradients)
        if n_buffers > n_tiles:
            n_buffers = n_tiles
        is_transposed = False
        first_piece, end_of_phase = end_of_phase, end_of_phase + n_buffers
        while True:
            b = take(counters, end_of_phase) - first_piece
            if b < 0:
                break
            if not is_transposed:
                transpose_filters(wide, sizes, X.shape[1], transposed)
                is_transposed = True
            gradient = gradients[b]
            for i in range(len(gradient)):
                gradient[i] = 0
            losses[b] = 0
            for tile in range(b, n_tiles, n_buffers):
                start = begin + tile * TILE
                n = end - start
                if n > TILE:
                    n = TILE
                rows = view(order, start, (n,))
                _gather(rows, S, S_tile)
                _gather(rows, X, X_tile)
                _gather(rows, T, T_tile)
                for r in range(n):
                    share[r] = weight[rows[r]] / total
                losses[b] += add_gradient(
                    wide,
                    transposed,
                    sizes,
                    precision,
                    view(S_tile, 0, (n, S.shape[1])),
                    view(X_tile, 0, (n, X.shape[1])),
                    view(T_tile, 0, (n, T.shape[1])),
                    share,
                    gradient,
                    H,
                    D,
                    spatial,
                )
            hand_in(counters)
        wait(counters, end_of_phase)
        step += 1
        first_piece, end_of_phase = end_of_phase, end_of_phase + n_threads
        while True:
            piece = take(counters, end_of_phase) - first_piece
            if piece < 0:
                break
            if piece == 0:
                loss = 0.0
                for b in range(n_buffers):
                    loss += losses[b]
                losses[len(losses) - 1] += total * loss
            low = lines * piece // n_threads * 16
            n = lines * (piece + 1) // n_threads * 16 - low
            if n > len(wide) - low:
                n = len(wide) - low
            theta, g = view(wide, low, (n,)), view(slope, 0, (n,))
            _sum_buffers(view(decay, low, (n,)), theta, gradients, n_buffers, low, g)
            if adam:
                unbiased = np.sqrt(1.0 - np.float64(_BETA2) ** np.float64(step))
                unbiased /= 1.0 - np.float64(_BETA1) ** np.float64(step)
                corrected = np.float32(rate * unbiased)
                moments = view(first, low, (n,)), view(second, low, (n,))
                _adam_step(theta, g, moments[0], moments[1], corrected)
            else:
                _sgd_step(theta, g, np.float32(rate))
            hand_in(counters)
        wait(counters, end_of_phase)

"""Stochastic gradient descent and Adam: one epoch of updates, by one thread or several.

The threads of an epoch all run `epoch`, and share first the tiles of a batch, then the
update. Which samples add to which buffer of the gradient, and the order in which
buffers are summed, do not depend on the number of threads, so that the bits do not.
"""

import numpy as np

from .backward import add_gradient, transpose_filters, transposed_size
from .compilation import kernel
from .forward import TILE, responses_size
from .matmul import padded
from .sharing import hand_in, take, wait

N_BUFFERS = 8  # of the gradient of a batch, and so the most threads of use

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
def _sum_buffers(decay, theta, gradients, slope):
    for i in range(len(theta)):
        slope[i] = decay[i] * theta[i]
    for b in range(len(gradients)):
        gradient = gradients[b]
        for i in range(len(theta)):
            slope[i] += gradient[i]


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
    """
    n_samples = len(order)
    n_tile = min(TILE, batch_size, n_samples)
    S_tile = np.empty((n_tile, S.shape[1]), dtype=np.float32)
    X_tile = np.empty((n_tile, X.shape[1]), dtype=np.float32)
    T_tile = np.empty((n_tile, T.shape[1]), dtype=np.float32)
    share = np.empty(n_tile, dtype=np.float32)
    H = np.empty(responses_size(sizes, n_tile), dtype=np.float32)
    D = np.empty_like(H)
    spatial = np.empty(n_tile * padded(sizes[1]), dtype=np.float32)
    transposed = np.zeros(transposed_size(sizes), dtype=np.float32)
    slope = np.empty(len(wide), dtype=np.float32)
    lines = -(-len(wide) // 16)  # a piece of an update is made of whole cache lines
    end_of_phase = 0
    for begin in range(0, n_samples, batch_size):
        end = min(begin + batch_size, n_samples)
        total = 0.0
        for r in range(begin, end):
            total += weight[order[r]]
        n_tiles = -(-(end - begin) // TILE)
        n_buffers = min(len(gradients), n_tiles)
        is_transposed = False
        first_piece, end_of_phase = end_of_phase, end_of_phase + n_buffers
        while True:
            b = take(counters, end_of_phase) - first_piece
            if b < 0:
                break
            if not is_transposed:
                transpose_filters(wide, sizes, X.shape[1], transposed)
                is_transposed = True
            gradients[b] = 0
            losses[b] = 0
            for tile in range(b, n_tiles, n_buffers):
                start = begin + tile * TILE
                n = min(TILE, end - start)
                for r in range(n):
                    row = order[start + r]
                    for j in range(S.shape[1]):
                        S_tile[r, j] = S[row, j]
                    for j in range(X.shape[1]):
                        X_tile[r, j] = X[row, j]
                    for j in range(T.shape[1]):
                        T_tile[r, j] = T[row, j]
                    share[r] = weight[row] / total
                losses[b] += add_gradient(
                    wide,
                    transposed,
                    sizes,
                    precision,
                    S_tile[:n],
                    X_tile[:n],
                    T_tile[:n],
                    share[:n],
                    gradients[b],
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
                losses[-1] += total * losses[:n_buffers].sum()
            low = lines * piece // n_threads * 16
            part = slice(low, lines * (piece + 1) // n_threads * 16)
            theta = wide[part]
            g = slope[: len(theta)]
            _sum_buffers(decay[part], theta, gradients[:n_buffers, part], g)
            if adam:
                unbiased = np.sqrt(1.0 - np.float64(_BETA2) ** step)
                unbiased /= 1.0 - np.float64(_BETA1) ** step
                corrected = np.float32(rate * unbiased)
                _adam_step(theta, g, first[part], second[part], corrected)
            else:
                _sgd_step(theta, g, np.float32(rate))
            hand_in(counters)
        wait(counters, end_of_phase)

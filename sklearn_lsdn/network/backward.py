"""Gradient of the loss: equations (5) to (8) of the paper, as kernels.

Equation (6) as printed lacks a transpose: it is F(3)' d(3) that goes back.
"""

import numpy as np

from .compilation import kernel
from .forward import TILE, forward_tile, pack_parameters, responses_size
from .matmul import matmul, pack, padded

_ONE = np.float32(1.0)
_TWO = np.float32(2.0)


@kernel
def _scratch_size(sizes, n):
    """Floats of the largest operand or product in `_gradient_tile`."""
    largest = 0
    for k in range(1, len(sizes)):
        largest = max(
            largest,
            n * padded(sizes[k]),
            sizes[k - 1] * padded(sizes[k]),
            sizes[k] * padded(sizes[k - 1]),
        )
    return largest


@kernel
def _add_bias_gradient(d, columns, gradient):
    for r in range(d.shape[0]):
        for j in range(columns):
            gradient[j] += d[r, j]


@kernel
def _add_filter_gradient(inputs, row, rows, d, columns, gradient, operand, product):
    """(7): gradient += d h' over the samples of a tile."""
    n, width = d.shape
    pack(d.reshape(-1), 0, width, 1, n, columns, operand)
    matmul(inputs, 1, row, rows, n, operand, columns, product)
    for i in range(rows):
        for j in range(columns):
            gradient[i * columns + j] += product[i * width + j]


@kernel
def _gradient_tile(
    theta, sizes, precision, S, X, T, share, gradient, H, D, spatial, operand, product
):
    """Add the gradient over one tile to ``gradient``.

    ``H`` and ``spatial`` are as `forward_tile` leaves them, ``share`` the weight of
    each sample in its batch; the others are scratch. Returns sum share |psi - t|^2.
    """
    n = S.shape[0]
    n_coordinates = X.shape[1]
    columns = sizes[-1]
    width = padded(columns)
    h = responses_size(sizes, n) - n * width
    psi = H[h : h + n * width].reshape(n, width)
    d = D[h : h + n * width].reshape(n, width)
    loss = 0.0
    for r in range(n):
        for j in range(columns):
            error = psi[r, j] - T[r, j]
            loss += np.float64(share[r]) * error * error
            d[r, j] = share[r] * error * psi[r, j] * (_ONE - psi[r, j])  # (6)

    p = len(theta)
    for k in range(len(sizes) - 1, 1, -1):
        rows, columns = sizes[k - 1], sizes[k]
        width = padded(rows)
        p -= columns
        _add_bias_gradient(d, columns, gradient[p : p + columns])
        p -= rows * columns
        h -= n * width
        inputs = H[h : h + n * width]
        _add_filter_gradient(
            inputs, width, rows, d, columns, gradient[p:], operand, product
        )
        back = D[h : h + n * width]
        pack(theta, p, 1, columns, columns, rows, operand)
        matmul(d.reshape(-1), d.shape[1], 1, n, columns, operand, rows, back)
        d = back.reshape(n, width)
        if k > 2 or n_coordinates == 0:
            responses = inputs.reshape(n, width)
            for r in range(n):
                for j in range(width):
                    response = responses[r, j]
                    d[r, j] *= response * (_ONE - response)  # (5)

    rows, columns = sizes[0], sizes[1]
    width = padded(columns)
    if n_coordinates > 0:
        p -= n_coordinates * columns
        latent = theta[p : p + n_coordinates * columns]
        latent = latent.reshape(n_coordinates, columns)
        slope = gradient[p : p + n_coordinates * columns]
        slope = slope.reshape(n_coordinates, columns)
        responses = H[: n * width].reshape(n, width)
        gate = spatial[: n * width].reshape(n, width)
        pull = product[:width]
        for r in range(n):
            for i in range(width):
                s = gate[r, i]
                chained = d[r, i] * responses[r, i]
                pull[i] = chained * (_TWO - s) * precision
                d[r, i] = chained * (_ONE - responses[r, i] / s)  # (6)
            for c in range(n_coordinates):
                x = X[r, c]
                for i in range(columns):
                    slope[c, i] += pull[i] * (x - latent[c, i])  # (8)
    p -= columns
    _add_bias_gradient(d, columns, gradient[p : p + columns])
    _add_filter_gradient(
        S.reshape(-1), rows, rows, d, columns, gradient, operand, product
    )
    return loss


@kernel
def add_gradient(theta, sizes, precision, S, X, T, share, gradient):
    """Add the gradient of sum_n share_n |psi_n - t_n|^2 / 2 to ``gradient``.

    Parameters
    ----------
    theta, sizes, precision, S, X :
        As in `forward.forward`.
    T : float32 array of shape (n_samples, p_K)
        Targets in the logistic range.
    share : float32 array of shape (n_samples,)
        Weight of each sample.
    gradient : float32 array of shape (n_parameters,), added to

    Returns
    -------
    loss : float
        sum_n share_n |psi_n - t_n|^2
    """
    tile = min(TILE, len(S))
    packed = pack_parameters(theta, sizes, X.shape[1])
    H = np.empty(responses_size(sizes, tile), dtype=np.float32)
    D = np.empty_like(H)
    spatial = np.empty(tile * padded(sizes[1]), dtype=np.float32)
    operand = np.empty(_scratch_size(sizes, tile), dtype=np.float32)
    product = np.empty_like(operand)
    loss = 0.0
    for start in range(0, len(S), TILE):
        rows = slice(start, min(start + TILE, len(S)))
        flat, p = S[rows].reshape(-1), S.shape[1]
        forward_tile(packed, sizes, precision, flat, p, 1, X[rows], H, spatial)
        loss += _gradient_tile(
            theta,
            sizes,
            precision,
            S[rows],
            X[rows],
            T[rows],
            share[rows],
            gradient,
            H,
            D,
            spatial,
            operand,
            product,
        )
    return loss

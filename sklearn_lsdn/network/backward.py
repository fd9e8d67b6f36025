"""Gradient of the loss: equations (5) to (8) of the paper, as kernels.

Equation (6) as printed lacks a transpose: it is F(3)' d(3) that goes back.
"""

import numpy as np

from .compilation import kernel
from .forward import forward_tile, responses_size
from .matmul import ONE, ZERO, add_product, padded

_ONE = np.float32(1.0)
_TWO = np.float32(2.0)


@kernel
def transposed_size(sizes):
    """Floats that hold what `transpose_filters` writes."""
    total = 0
    for k in range(2, len(sizes)):
        total += sizes[k] * padded(sizes[k - 1])
    return total


@kernel
def transpose_filters(wide, sizes, n_coordinates, transposed):
    """F(K)', ..., F(3)' of padded parameters, their own rows padded too.

    ``transposed`` has zeros where rows are padded, and keeps them.
    """
    at = len(wide)
    to = 0
    for k in range(len(sizes) - 1, 1, -1):
        rows, columns = sizes[k - 1], sizes[k]
        width = padded(columns)
        at -= (rows + 1) * width
        filters = wide[at : at + rows * width].reshape(rows, width)
        size = columns * padded(rows)
        out = transposed[to : to + size].reshape(columns, padded(rows))
        for i in range(rows):
            for j in range(columns):
                out[j, i] = filters[i, j]
        to += size


@kernel
def _output_gradient(psi, T, share, columns, d):
    """(6) for the output layer; returns sum share |psi - t|^2."""
    loss = 0.0
    d[:] = 0
    for r in range(len(T)):
        for j in range(columns):
            error = psi[r, j] - T[r, j]
            loss += np.float64(share[r]) * error * error
            d[r, j] = share[r] * error * psi[r, j] * (_ONE - psi[r, j])
    return loss


@kernel
def _add_bias_gradient(d, gradient):
    for r in range(d.shape[0]):
        for j in range(d.shape[1]):
            gradient[j] += d[r, j]


@kernel
def _through_product_layer(d, responses, spatial, X, latent, precision, pull, slope):
    """(6): d <- what goes back to the filters; (8): what moves latent coordinates."""
    for r in range(d.shape[0]):
        for i in range(d.shape[1]):
            s = spatial[r, i]
            chained = d[r, i] * responses[r, i]
            pull[i] = chained * (_TWO - s) * precision
            d[r, i] = chained * (_ONE - responses[r, i] / s)
        for c in range(X.shape[1]):
            x = X[r, c]
            for i in range(d.shape[1]):
                slope[c, i] += pull[i] * (x - latent[c, i])


@kernel
def add_gradient(
    wide, transposed, sizes, precision, S, X, T, share, gradient, H, D, spatial
):
    """Add the gradient of sum_n share_n |psi_n - t_n|^2 / 2 to ``gradient``.

    Parameters
    ----------
    wide : float32 array
        Padded parameters.
    transposed : float32 array
        As `transpose_filters` leaves it.
    sizes, precision, S, X :
        As in `strips.forward`.
    T : float32 array of shape (n_samples, p_K)
        Targets in the logistic range.
    share : float32 array of shape (n_samples,)
        Weight of each sample.
    gradient : float32 array like ``wide``, added to
    H, D : float32 arrays of `responses_size` elements
        Scratch, and ``spatial`` with n_samples * padded(p_2).

    Returns
    -------
    loss : float
        sum_n share_n |psi_n - t_n|^2
    """
    n, n_coordinates = X.shape
    forward_tile(wide, sizes, precision, S, X, H, spatial)
    width = padded(sizes[-1])
    h = responses_size(sizes, n) - n * width
    psi = H[h : h + n * width].reshape(n, width)
    d = D[h : h + n * width].reshape(n, width)
    loss = _output_gradient(psi, T, share, sizes[-1], d)
    at, back = len(wide), ZERO
    for k in range(len(sizes) - 1, 1, -1):
        rows, columns = sizes[k - 1], sizes[k]
        width, narrow = padded(rows), padded(columns)
        at -= narrow
        _add_bias_gradient(d, gradient[at : at + narrow])
        at -= rows * narrow
        after = h
        h -= n * width
        # (7): d h'
        add_product(
            H, h, ONE, width, rows, n, D, after, narrow, narrow, gradient, at, narrow
        )
        D[h : h + n * width] = 0
        add_product(
            D,
            after,
            narrow,
            ONE,
            n,
            columns,
            transposed,
            back,
            width,
            width,
            D,
            h,
            width,
        )
        back += columns * width
        d = D[h : h + n * width].reshape(n, width)
        if k > 2 or n_coordinates == 0:
            responses = H[h : h + n * width].reshape(n, width)
            for r in range(n):
                for j in range(width):
                    response = responses[r, j]
                    d[r, j] *= response * (_ONE - response)  # (5)
    rows, width = sizes[0], padded(sizes[1])
    if n_coordinates > 0:
        at -= n_coordinates * width
        latent = wide[at : at + n_coordinates * width]
        slope = gradient[at : at + n_coordinates * width]
        _through_product_layer(
            d,
            H[: n * width].reshape(n, width),
            spatial[: n * width].reshape(n, width),
            X,
            latent.reshape(n_coordinates, width),
            precision,
            np.empty(width, dtype=np.float32),
            slope.reshape(n_coordinates, width),
        )
    at -= width
    _add_bias_gradient(d, gradient[at : at + width])
    add_product(
        S.reshape(-1),
        ZERO,
        ONE,
        rows,
        rows,
        n,
        D,
        ZERO,
        width,
        width,
        gradient,
        ZERO,
        width,
    )
    return loss

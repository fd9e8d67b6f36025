"""Gradient of the loss: equations (5) to (8) of the paper, as kernels.

Equation (6) as printed lacks a transpose: it is F(3)' d(3) that goes back.
"""

import numpy as np
from numba import float64, void

from .compilation import part
from .forward import forward_tile
from .matmul import add_product, padded
from .views import view

_ONE = np.float32(1.0)
_TWO = np.float32(2.0)


def scratch(sizes, n):
    """What a thread writes to while it works on tiles of up to ``n`` samples.

    Returns
    -------
    H, D, spatial, pull, transposed : float32 arrays
        Responses and gradients of all layers; spatial responses, and a row for what
        moves latent coordinates; the transposed filters.
    """
    widths = padded.py_func(sizes)
    n_floats = n * widths[1:].sum()
    lengths = n_floats, n_floats, n * widths[1], widths[1], sizes[2:] @ widths[1:-1]
    return tuple(np.zeros(length, dtype=np.float32) for length in lengths)


@part(void)
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
        filters = view(wide, at, (rows, width))
        out = view(transposed, to, (columns, padded(rows)))
        for i in range(rows):
            for j in range(columns):
                out[j, i] = filters[i, j]
        to += columns * padded(rows)


@part(float64)
def _output_gradient(psi, T, share, columns, d):
    """(6) for the output layer; returns sum share |psi - t|^2."""
    loss = 0.0
    for r in range(len(T)):
        for j in range(d.shape[1]):
            d[r, j] = 0
        for j in range(columns):
            error = psi[r, j] - T[r, j]
            loss += np.float64(share[r]) * error * error
            d[r, j] = share[r] * error * psi[r, j] * (_ONE - psi[r, j])
    return loss


@part(void)
def _add_bias_gradient(d, gradient):
    for r in range(d.shape[0]):
        for j in range(d.shape[1]):
            gradient[j] += d[r, j]


@part(void)
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


@part(float64)
def add_gradient(
    wide, transposed, sizes, precision, S, X, T, share, gradient, H, D, spatial, pull
):
    """Add the gradient of sum_n share_n |psi_n - t_n|^2 / 2 to ``gradient``.

    Parameters
    ----------
    wide : float32 array
        Padded parameters.
    transposed : float32 array
        Of `scratch`, as `transpose_filters` leaves it.
    sizes, precision, S, X :
        As in `strips.forward`.
    T : float32 array of shape (n_samples, p_K)
        Targets in the logistic range.
    share : float32 array of shape (n_samples,)
        Weight of each sample.
    gradient : float32 array like ``wide``, added to
    H, D, spatial, pull :
        As `scratch` makes them.

    Returns
    -------
    loss : float
        sum_n share_n |psi_n - t_n|^2
    """
    n, n_coordinates = X.shape
    h = forward_tile(wide, sizes, precision, S, X, H, spatial)
    width = padded(sizes[len(sizes) - 1])
    psi, d = view(H, h, (n, width)), view(D, h, (n, width))
    loss = _output_gradient(psi, T, share, T.shape[1], d)
    at, back = len(wide), 0
    for k in range(len(sizes) - 1, 1, -1):
        rows, columns = sizes[k - 1], sizes[k]
        width, narrow = padded(rows), padded(columns)
        at -= narrow
        _add_bias_gradient(d, view(gradient, at, (narrow,)))
        at -= rows * narrow
        after = h
        h -= n * width
        # (7): d h'
        add_product(
            H, h, 1, width, rows, n, D, after, narrow, narrow, gradient, at, narrow
        )
        d, responses = view(D, h, (n, width)), view(H, h, (n, width))
        for r in range(n):
            for j in range(width):
                d[r, j] = 0
        add_product(
            D, after, narrow, 1, n, columns, transposed, back, width, width, D, h, width
        )
        back += columns * width
        if k > 2 or n_coordinates == 0:
            for r in range(n):
                for j in range(width):
                    response = responses[r, j]
                    d[r, j] *= response * (_ONE - response)  # (5)
    rows, width = sizes[0], padded(sizes[1])
    if n_coordinates > 0:
        at -= n_coordinates * width
        _through_product_layer(
            d,
            view(H, 0, (n, width)),
            view(spatial, 0, (n, width)),
            X,
            view(wide, at, (n_coordinates, width)),
            precision,
            pull,
            view(gradient, at, (n_coordinates, width)),
        )
    at -= width
    _add_bias_gradient(d, view(gradient, at, (width,)))
    features = view(S, 0, (S.size,))
    add_product(features, 0, 1, rows, rows, n, D, 0, width, width, gradient, 0, width)
    return loss

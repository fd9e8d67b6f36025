"""Gradient of the loss: equations (5) to (8) of the paper, as kernels.

Equation (6) as printed lacks a transpose: it is F(3)' d(3) that goes back.
"""

import numpy as np
from numba import float64, void

from .compilation import part
from .forward import forward_tile
from .matmul import add_product, padded
from .vectors import LANES, aligned, load, store
from .views import view

_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_TWO = np.float32(2.0)


def scratch(sizes, n):
    """What a thread writes to while it works on tiles of up to ``n`` samples.

    Returns
    -------
    H, D, spatial, transposed : float32 arrays
        Responses and gradients of all layers, spatial responses, transposed filters.
    """
    widths = padded.py_func(sizes)
    n_floats = n * widths[1:].sum()
    lengths = n_floats, n_floats, n * widths[1], sizes[2:] @ widths[1:-1]
    return tuple(aligned((length,)) for length in lengths)


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
def _add_bias_gradient(d, gradient, at):
    n, width = d.shape
    for j in range(0, width, LANES):
        total = load(gradient, at + j)
        for r in range(n):
            total = total + load(d, r * width + j)
        store(total, gradient, at + j)


@part(void)
def _through_logistic_layer(d, responses):
    """(5)"""
    for i in range(0, d.size, LANES):
        response = load(responses, i)
        store(load(d, i) * (response * (_ONE - response)), d, i)


@part(void)
def _through_product_layer(d, responses, spatial, X, latent, precision, slope):
    """(6): d <- what goes back to the filters; (8): what moves latent coordinates.

    ``spatial`` is written over.
    """
    n, width = d.shape
    for i in range(0, d.size, LANES):
        response, s = load(responses, i), load(spatial, i)
        chained = load(d, i) * response
        store(chained * (_ONE - response / s), d, i)
        store(chained * (_TWO - s) * precision, spatial, i)
    for j in range(0, width, LANES):
        if X.shape[1] == 3:  # in one go, since most images have three axes
            x, y, z = j, width + j, 2 * width + j
            at_x, at_y, at_z = load(latent, x), load(latent, y), load(latent, z)
            move_x, move_y, move_z = load(slope, x), load(slope, y), load(slope, z)
            for r in range(n):
                pull = load(spatial, r * width + j)
                move_x = move_x + pull * (X[r, 0] - at_x)
                move_y = move_y + pull * (X[r, 1] - at_y)
                move_z = move_z + pull * (X[r, 2] - at_z)
            store(move_x, slope, x)
            store(move_y, slope, y)
            store(move_z, slope, z)
        else:
            for c in range(X.shape[1]):
                at, move = load(latent, c * width + j), load(slope, c * width + j)
                for r in range(n):
                    move = move + load(spatial, r * width + j) * (X[r, c] - at)
                store(move, slope, c * width + j)


@part(float64)
def add_gradient(
    wide, transposed, sizes, precision, S, X, T, share, gradient, H, D, spatial
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
    H, D, spatial :
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
        _add_bias_gradient(d, gradient, at)
        at -= rows * narrow
        after = h
        h -= n * width
        # (7): d h'
        add_product(
            H, h, 1, width, rows, n, D, after, narrow, narrow, gradient, at, narrow
        )
        d, responses = view(D, h, (n, width)), view(H, h, (n, width))
        for i in range(0, n * width, LANES):
            store(_ZERO, D, h + i)
        add_product(
            D, after, narrow, 1, n, columns, transposed, back, width, width, D, h, width
        )
        back += columns * width
        if k > 2 or n_coordinates == 0:
            _through_logistic_layer(d, responses)
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
            view(gradient, at, (n_coordinates, width)),
        )
    at -= width
    _add_bias_gradient(d, gradient, at)
    features = view(S, 0, (S.size,))
    add_product(features, 0, 1, rows, rows, n, D, 0, width, width, gradient, 0, width)
    return loss

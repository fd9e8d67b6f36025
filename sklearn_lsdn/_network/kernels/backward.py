"""Gradient of the loss: equations (5) to (8) of the paper, as kernels.

Equation (6) as printed lacks a transpose: it is F(3)' d(3) that goes back.
"""

from typing import NamedTuple

import numpy as np
from numba import float64, void

from .compilation import part
from .matmul import add_product
from .operands import LEAST, MOST
from .responses import fill_responses
from .vectors import LANES, aligned, load, padded, store
from .views import spaced_view, view

_AT_ONCE = 64  # samples whose gradients by some nodes stay in the first cache
_ONE = np.float32(1.0)
_TWO = np.float32(2.0)


class Scratch(NamedTuple):
    """What a thread writes to while it works on tiles; flat float32 arrays."""

    H: np.ndarray  # responses of all layers
    D: np.ndarray  # gradients by them
    spatial: np.ndarray  # spatial responses
    turned: np.ndarray  # filters, as `turn_filters` leaves them
    zeros: np.ndarray  # which stay so

    @classmethod
    def of(cls, sizes, n):
        """For tiles of up to ``n`` samples."""
        widths = padded.py_func(sizes)
        n_floats = n * widths[1:].sum()
        lengths = n_floats, n_floats, n * widths[1], sizes[1:-1] @ widths[2:]
        lengths += (widths.max(),)
        return cls(*(aligned((length,)) for length in lengths))


@part(float64)
def _cross_entropy(psi, t):
    p, total = psi, 0.0
    if p < LEAST:
        p = LEAST
    elif p > MOST:
        p = MOST
    if t > 0:
        total -= np.float64(t) * np.log(np.float64(p))
    if t < 1:
        total -= np.float64(_ONE - t) * np.log(np.float64(_ONE - p))
    return total


@part(float64)
def _output_gradient(psi, T, share, cross_entropy, d):
    """(6) for the output layer; returns twice the loss.

    By cross-entropy, the derivative of the logistic function cancels.
    """
    loss = 0.0
    for r in range(len(T)):
        for j in range(d.shape[1]):
            d[r, j] = 0
        for j in range(T.shape[1]):
            error = psi[r, j] - T[r, j]
            if cross_entropy:
                loss += 2.0 * share[r] * _cross_entropy(psi[r, j], T[r, j])
                d[r, j] = share[r] * error
            else:
                loss += np.float64(share[r]) * error * error
                d[r, j] = share[r] * error * psi[r, j] * (_ONE - psi[r, j])
    return loss


@part(void)
def _add_bias_gradient(d, slope):
    for j in range(0, d.shape[1], LANES):
        total = load(slope, j)
        for r in range(d.shape[0]):
            total = total + load(d, (r, j))
        store(total, slope, j)


@part(void)
def _add_filter_gradient(left, n_rows, right, gradient, at):
    """(7): ``left`` of ``n_rows`` nodes times ``right``, summed over samples.

    It is added to what begins at element ``at`` of the gradient.
    """
    n, shape = len(left), (n_rows, right.shape[1])
    slope, sums = (
        view(gradient, at, shape),
        spaced_view(gradient, at, shape, (shape[1], 1)),
    )
    for first in range(0, n, _AT_ONCE):
        n_now = n - first
        if n_now > _AT_ONCE:
            n_now = _AT_ONCE
        samples = view(left, first * left.shape[1], (n_now, left.shape[1]))
        others = view(right, first * shape[1], (n_now, shape[1]))
        add_product(samples.T, others, sums, slope)


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
            x, y, z = (0, j), (1, j), (2, j)
            at_x, at_y, at_z = load(latent, x), load(latent, y), load(latent, z)
            move_x, move_y, move_z = load(slope, x), load(slope, y), load(slope, z)
            for r in range(n):
                pull = load(spatial, (r, j))
                move_x = move_x + pull * (X[r, 0] - at_x)
                move_y = move_y + pull * (X[r, 1] - at_y)
                move_z = move_z + pull * (X[r, 2] - at_z)
            store(move_x, slope, x)
            store(move_y, slope, y)
            store(move_z, slope, z)
        else:
            for c in range(X.shape[1]):
                at, move = load(latent, (c, j)), load(slope, (c, j))
                for r in range(n):
                    move = move + load(spatial, (r, j)) * (X[r, c] - at)
                store(move, slope, (c, j))


@part(float64)
def add_gradient(parameters, tile, gradient, scratch):
    """Add the gradient of the loss, sum_n weight_n E_n, to ``gradient``.

    E_n is |psi_n - t_n|^2 / 2 or the cross-entropy of psi_n and t_n.

    Parameters
    ----------
    parameters : Parameters
        Padded.
    tile : Samples
    gradient : float32 array like ``parameters.theta``, added to
    scratch : Scratch
        ``scratch.turned`` as `turn_filters` leaves it.

    Returns
    -------
    twice_the_loss : float
        2 sum_n weight_n E_n
    """
    wide, sizes, precision, cross_entropy = parameters
    S, X, T, share = tile
    H, D, spatial, turned, zeros = scratch
    n, n_coordinates = X.shape
    h = fill_responses(parameters, turned, S, X, H, spatial)
    width = padded(sizes[len(sizes) - 1])
    psi, d = view(H, h, (n, width)), view(D, h, (n, width))
    loss = _output_gradient(psi, T, share, cross_entropy, d)
    at = len(wide)
    for k in range(len(sizes) - 1, 1, -1):
        m, width = sizes[k], padded(sizes[k - 1])
        at -= padded(m)
        _add_bias_gradient(d, view(gradient, at, (padded(m),)))
        at -= m * width
        after = d
        h -= n * width
        d, responses = view(D, h, (n, width)), view(H, h, (n, width))
        _add_filter_gradient(after, m, responses, gradient, at)  # (7)
        filters, start = (
            view(wide, at, (m, width)),
            spaced_view(zeros, 0, d.shape, (0, 1)),
        )
        add_product(after, filters, start, d)
        if k > 2 or n_coordinates == 0:
            _through_logistic_layer(d, responses)
    width = padded(sizes[1])
    if n_coordinates > 0:
        at -= n_coordinates * width
        shape = n_coordinates, width
        latent, slope = view(wide, at, shape), view(gradient, at, shape)
        responses, spatial = view(H, 0, d.shape), view(spatial, 0, d.shape)
        _through_product_layer(d, responses, spatial, X, latent, precision, slope)
    at -= width
    _add_bias_gradient(d, view(gradient, at, (width,)))
    _add_filter_gradient(S, sizes[0], d, gradient, 0)
    return loss

"""Logistic functions over whole layers, by vectors and a polynomial exponential."""

import numpy as np
from numba import void

from .compilation import part
from .vectors import LANES, limited, load, store, times_power_of_2, vector

_LOG2E = np.float32(1.44269504)
_ROUND = np.float32(12582912.0)  # 1.5 * 2**23: adding it rounds to an integer
# gamma(-43) is 2e-19: beyond, nothing changes but that a product of two denominators
# would leave the range of float32.
_LIMIT = np.float32(43.0)
# Minimax coefficients of 2^f on |f| <= 1/2, relative error 8e-8.
_C0, _C1, _C2, _C3, _C4, _C5 = (
    np.float32(c)
    for c in (
        1.0000000716553,
        0.69314696706288,
        0.24022119720751,
        0.05550713275066,
        0.00967554150262,
        0.00132764719597,
    )
)
_ONE = np.float32(1.0)
_TWO = np.float32(2.0)


@part(vector)
def exp(x):
    """exp(x), with x limited to [-43, 43]."""
    x = limited(x, _LIMIT)
    shifted = x * _LOG2E + _ROUND
    f = x * _LOG2E - (shifted - _ROUND)
    p = _C0 + f * (_C1 + f * (_C2 + f * (_C3 + f * (_C4 + f * _C5))))
    return times_power_of_2(p, shifted)


@part(void)
def logistic(U):
    """U <- gamma(U), in place; rows are of a multiple of LANES."""
    for i in range(U.shape[0]):
        for j in range(0, U.shape[1], LANES):
            store(_ONE / (_ONE + exp(-load(U, (i, j)))), U, (i, j))


@part(void)
def product_layer(U, X, latent, precision, spatial):
    """Equations (2) and (3): U <- kappa * spatial, in place; spatial is filled.

    Nodes are columns. ``precision`` is 1 / sigma^2.
    """
    for r in range(U.shape[0]):
        for j in range(0, U.shape[1], LANES):
            distance = load(latent, (0, j)) - X[r, 0]
            distance = distance * distance
            for c in range(1, X.shape[1]):
                difference = load(latent, (c, j)) - X[r, c]
                distance = distance + difference * difference
            off = _ONE + exp(distance * precision)
            quiet = _ONE + exp(-load(U, (r, j)))
            both = _TWO / (off * quiet)  # one division for two logistic functions
            store(both * quiet, spatial, (r, j))
            store(both, U, (r, j))


@part(void)
def product_strip(U, X, latent, precision):
    """Equations (2) and (3): U <- kappa * spatial, in place, where nodes are rows."""
    for i in range(U.shape[0]):
        for j in range(0, U.shape[1], LANES):
            distance = load(X, (0, j)) - latent[0, i]
            distance = distance * distance
            for c in range(1, X.shape[0]):
                difference = load(X, (c, j)) - latent[c, i]
                distance = distance + difference * difference
            off = _ONE + exp(distance * precision)
            store(_TWO / (off * (_ONE + exp(-load(U, (i, j))))), U, (i, j))


@part(void)
def tabled_product_strip(U, row, along, k):
    """As `product_strip`; row[i] along[i, k + lane] is exp(|x - xhat_i|^2/sigma^2)."""
    for i in range(U.shape[0]):
        scale = row[i]
        for j in range(0, U.shape[1], LANES):
            off = _ONE + load(along, (i, k + j)) * scale
            store(_TWO / (off * (_ONE + exp(-load(U, (i, j))))), U, (i, j))

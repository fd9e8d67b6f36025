"""Logistic functions over whole layers, by vectors and a polynomial exponential."""

import numpy as np
from numba import void

from .compilation import part
from .vectors import (
    LANES,
    at_least,
    at_most,
    between,
    load,
    plus_product,
    power_of_2,
    store,
    vector,
)

_LOG2E = np.float32(1.44269504)
# Adding it, 1.5 2^23, rounds to an integer n; the last bits are then those of n + 126,
# and so a float's exponent of 2^(n - 1).
_ROUND = np.float32(12582912.0 + 126.0)
# gamma(-43) is 2e-19: beyond, nothing changes but that a product of two denominators
# would leave the range of float32.
_LIMIT = np.float32(43.0)
# Minimax coefficients of 2^f on |f| <= 1/2, relative error 8e-8; doubled.
_C0, _C1, _C2, _C3, _C4, _C5 = (
    np.float32(2.0) * np.float32(c)
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
def _one_plus_power(x):
    """1 + 2^x for |x| <= 126."""
    shifted = x + _ROUND
    f = x - (shifted - _ROUND)
    p = _C0 + f * (_C1 + f * (_C2 + f * (_C3 + f * (_C4 + f * _C5))))
    return p * power_of_2(shifted) + _ONE


@part(vector)
def _denominator(u):
    """1 + exp(-u), of which gamma(u) is the inverse."""
    return _one_plus_power(at_least(at_most(u, _LIMIT), -_LIMIT) * -_LOG2E)


@part(void)
def logistic(U):
    """U <- gamma(U), in place; rows are of a multiple of LANES."""
    for i in range(U.shape[0]):
        for j in range(0, U.shape[1], LANES):
            store(_ONE / _denominator(load(U, (i, j))), U, (i, j))


@part(vector)
def _squared_distance(vectors, j, numbers, i):
    """Of lanes j, ... of ``vectors`` from column i of ``numbers``, summed over rows."""
    difference = load(vectors, (0, j)) - numbers[0, i]
    distance = difference * difference
    if len(vectors) == 3:  # without a loop, since most images have three axes
        difference = load(vectors, (1, j)) - numbers[1, i]
        distance = plus_product(distance, difference, difference)
        difference = load(vectors, (2, j)) - numbers[2, i]
        return plus_product(distance, difference, difference)
    for c in range(1, len(vectors)):
        difference = load(vectors, (c, j)) - numbers[c, i]
        distance = plus_product(distance, difference, difference)
    return distance


@part(vector)
def _doubled_inverse(vectors, j, numbers, i, precision):
    """2 / s, of the spatial response s: 1 + exp(|x - xhat|^2 / sigma^2)."""
    exponent = _squared_distance(vectors, j, numbers, i) * precision
    return _one_plus_power(at_most(exponent, _LIMIT) * _LOG2E)


@part(void)
def product_layer(U, X, latent, precision, spatial):
    """Equations (2) and (3): U <- kappa * spatial, in place; spatial is filled.

    Nodes are columns. ``precision`` is 1 / sigma^2.
    """
    for r in range(U.shape[0]):
        for j in range(0, U.shape[1], LANES):
            off = _doubled_inverse(latent, j, X.T, r, precision)
            quiet = _denominator(load(U, (r, j)))
            both = _TWO / (off * quiet)  # one division for two logistic functions
            store(both * quiet, spatial, (r, j))
            store(both, U, (r, j))


@part(void)
def product_strip(U, X, latent, precision):
    """Equations (2) and (3): U <- kappa * spatial, in place, where nodes are rows."""
    for i in range(U.shape[0]):
        for j in range(0, U.shape[1], LANES):
            off = _doubled_inverse(X, j, latent, i, precision)
            store(_TWO / (off * _denominator(load(U, (i, j)))), U, (i, j))


@part(void)
def tabled_product_strip(U, across, along, k, first, stop):
    """As `product_strip`, from tables, for lanes ``first`` to before ``stop``.

    exp(|x - xhat_i|^2 / sigma^2) is along[i, k + lane] times the product of two
    numbers for node i in the arrays ``across``.
    """
    across_i, across_j = across
    for i in range(U.shape[0]):
        scale = across_i[i] * across_j[i]
        for j in range(first - first % LANES, stop, LANES):
            u = load(U, (i, j))
            off = _ONE + load(along, (i, k + j)) * scale
            response = _TWO / (off * _denominator(u))
            if j < first or j + LANES > stop:
                response = between(first - j, stop - j, response, u)
            store(response, U, (i, j))

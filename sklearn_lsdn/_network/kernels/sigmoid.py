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
def logistic_layer(U):
    """U <- gamma(U), in place; the size of U is a multiple of LANES."""
    for i in range(0, U.size, LANES):
        store(_ONE / (_ONE + exp(-load(U, i))), U, i)


@part(void)
def product_layer(U, X, latent, precision, spatial):
    """Equations (2) and (3): U <- kappa * spatial, in place; spatial is filled.

    ``precision`` is 1 / sigma^2.
    """
    width = U.shape[1]
    for r in range(U.shape[0]):
        for j in range(0, width, LANES):
            distance = load(latent, j) - X[r, 0]
            distance = distance * distance
            for c in range(1, X.shape[1]):
                difference = load(latent, c * width + j) - X[r, c]
                distance = distance + difference * difference
            i = r * width + j
            off = _ONE + exp(distance * precision)
            quiet = _ONE + exp(-load(U, i))
            both = _TWO / (off * quiet)  # one division for two logistic functions
            store(both * quiet, spatial, i)
            store(both, U, i)


@part(void)
def logistic_strip(H, h, m, n_panels):
    """u <- gamma(u) in rows h to h + m of ``H``, whose lanes are samples."""
    for i in range(h, h + m):
        for panel in range(n_panels):
            at = i * H.shape[1] + panel * LANES
            store(_ONE / (_ONE + exp(-load(H, at))), H, at)


@part(void)
def product_strip(H, h, m, theta, latent, X, precision, n_panels):
    """Equations (2) and (3) as `logistic_strip`: u <- kappa * spatial.

    ``latent`` is where the latent coordinates begin in ``theta``.
    """
    n_coordinates, width = X.shape
    for i in range(m):
        for panel in range(n_panels):
            first = panel * LANES
            distance = load(X, first) - theta[latent + i]
            distance = distance * distance
            for c in range(1, n_coordinates):
                difference = load(X, c * width + first) - theta[latent + c * m + i]
                distance = distance + difference * difference
            at = (h + i) * width + first
            off = _ONE + exp(distance * precision)
            store(_TWO / (off * (_ONE + exp(-load(H, at)))), H, at)


@part(void)
def tabled_product_strip(H, h, m, row, along, k, n_panels):
    """As `product_strip`; row[i] along[i, k + lane] is exp(|x - xhat_i|^2/sigma^2)."""
    for i in range(m):
        scale = row[i]
        for panel in range(n_panels):
            at = (h + i) * H.shape[1] + panel * LANES
            factors = load(along, i * along.shape[1] + k + panel * LANES)
            off = _ONE + factors * scale
            store(_TWO / (off * (_ONE + exp(-load(H, at)))), H, at)

"""Logistic functions over whole layers, vectorised by a polynomial exponential."""

import numpy as np
from numba import float32, void

from .compilation import part
from .matmul import LANES
from .views import view

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


@part(float32)
def exp(x):
    """exp(x) for float32, with x limited to [-43, 43]."""
    x = min(max(x, -_LIMIT), _LIMIT)
    shifted = np.float32(x * _LOG2E + _ROUND)
    f = x * _LOG2E - (shifted - _ROUND)
    p = _C0 + f * (_C1 + f * (_C2 + f * (_C3 + f * (_C4 + f * _C5))))
    # The integer in the last bits of ``shifted`` goes into the exponent of 2^f.
    exponent = np.int32(shifted.view(np.int32) << np.int32(23))
    return np.int32(np.float32(p).view(np.int32) + exponent).view(np.float32)


@part(void)
def logistic_layer(U):
    """U <- gamma(U), in place."""
    for r in range(U.shape[0]):
        for j in range(U.shape[1]):
            U[r, j] = _ONE / (_ONE + exp(-U[r, j]))


@part(void)
def product_layer(U, X, latent, precision, spatial):
    """Equations (2) and (3): U <- kappa * spatial, in place; spatial is filled.

    ``precision`` is 1 / sigma^2.
    """
    n_coordinates = X.shape[1]
    for r in range(U.shape[0]):
        if n_coordinates == 3:  # in one go, since most images have three axes
            x, y, z = X[r, 0], X[r, 1], X[r, 2]
            for i in range(U.shape[1]):
                dx, dy, dz = x - latent[0, i], y - latent[1, i], z - latent[2, i]
                spatial[r, i] = dx * dx + dy * dy + dz * dz
        else:
            for i in range(U.shape[1]):
                spatial[r, i] = 0
            for c in range(n_coordinates):
                x = X[r, c]
                for i in range(U.shape[1]):
                    difference = x - latent[c, i]
                    spatial[r, i] += difference * difference
        for i in range(U.shape[1]):
            off = _ONE + exp(spatial[r, i] * precision)
            quiet = _ONE + exp(-U[r, i])
            both = _TWO / (off * quiet)  # one division for two logistic functions
            spatial[r, i] = both * quiet
            U[r, i] = both


@part(void)
def logistic_strip(H, h, m, n_panels):
    """u <- gamma(u) in rows h to h + m of ``H``, whose lanes are samples."""
    for i in range(h, h + m):
        u = H[i]
        for lane in range(n_panels * LANES):
            u[lane] = _ONE / (_ONE + exp(-u[lane]))


@part(void)
def product_strip(H, h, m, theta, latent, X, precision, n_panels):
    """Equations (2) and (3) as `logistic_strip`: u <- kappa * spatial.

    ``latent`` is where the latent coordinates begin in ``theta``.
    """
    n_coordinates = len(X)
    for i in range(m):
        u, at = H[h + i], latent + i
        if n_coordinates == 3:  # in one go, since most images have three axes
            x, y, z = theta[at], theta[at + m], theta[at + 2 * m]
            for lane in range(n_panels * LANES):
                dx, dy, dz = X[0, lane] - x, X[1, lane] - y, X[2, lane] - z
                off = _ONE + exp((dx * dx + dy * dy + dz * dz) * precision)
                u[lane] = _TWO / (off * (_ONE + exp(-u[lane])))
        else:
            for lane in range(n_panels * LANES):
                distance = np.float32(0)
                for c in range(n_coordinates):
                    difference = X[c, lane] - theta[at + c * m]
                    distance += difference * difference
                off = _ONE + exp(distance * precision)
                u[lane] = _TWO / (off * (_ONE + exp(-u[lane])))


@part(void)
def tabled_product_strip(H, h, m, row, along, k, n_panels):
    """As `product_strip`; row[i] along[i, k + lane] is exp(|x - xhat_i|^2/sigma^2)."""
    for i in range(m):
        u, scale = H[h + i], row[i]
        factors = view(along, i * along.shape[1] + k, (n_panels * LANES,))
        for lane in range(n_panels * LANES):
            off = _ONE + scale * factors[lane]
            u[lane] = _TWO / (off * (_ONE + exp(-u[lane])))

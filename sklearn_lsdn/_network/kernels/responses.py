"""Responses of all layers to a tile of training samples: equations (2) to (4).

Samples are the rows of a tile, nodes its columns, rows padded to whole vectors; and so
are the parameters while a network trains, as `Architecture.widen` lays them out. What
pads a row is and stays zero. Networks that predict go through `strips`.
"""

from numba import int64, void

from .compilation import part
from .matmul import add_product
from .sigmoid import logistic, product_layer
from .transposition import transpose
from .vectors import LANES, lanes_below, load, padded, store
from .views import spaced_view, view

TILE = 128  # samples held at once, so that their responses stay in the L2 cache


@part(void)
def turn_filters(parameters, n_coordinates, turned):
    """F(3) to F(K) of padded parameters with a row for each input, padded too.

    ``turned`` has zeros where rows are padded, and keeps them.
    """
    wide, sizes, _, _ = parameters
    at = (sizes[0] + 1 + n_coordinates) * padded(sizes[1])
    to = 0
    for k in range(2, len(sizes)):
        p, m = sizes[k - 1], sizes[k]
        filters = spaced_view(wide, at, (m, p), (padded(p), 1))
        transpose(filters, view(turned, to, (p, padded(m))))
        at += m * padded(p) + padded(m)
        to += p * padded(m)


@part(void)
def _clear_padding(U, n):
    """Zeros for the nodes after the first ``n``."""
    if n < U.shape[1]:
        last = U.shape[1] - LANES
        for r in range(U.shape[0]):
            store(lanes_below(n - last, load(U, (r, last))), U, (r, last))


@part(int64)
def fill_responses(parameters, turned, S, X, H, spatial):
    """Fill ``H``, the responses of all layers one after another, for one tile.

    ``parameters`` are padded, ``turned`` as `turn_filters` leaves it. Layer k takes
    len(X) rows of padded(p_k) floats. ``spatial``, the spatial responses, is filled
    likewise. Returns where the last layer's responses begin.
    """
    wide, sizes, precision, _ = parameters
    n, n_coordinates = X.shape
    inputs, at, to, start, h = S, 0, 0, 0, 0
    for k in range(1, len(sizes)):
        p, width = sizes[k - 1], padded(sizes[k])
        U = view(H, h, (n, width))
        if k == 1:
            filters = view(wide, 0, (p, width))
            at += p * width
        else:
            filters = view(turned, to, (p, width))
            at += sizes[k] * padded(p)
            to += p * width
        add_product(inputs, filters, spaced_view(wide, at, (n, width), (0, 1)), U)
        at += width
        if k == 1 and n_coordinates > 0:
            latent = view(wide, at, (n_coordinates, width))
            at += n_coordinates * width
            product_layer(U, X, latent, precision, view(spatial, 0, (n, width)))
        else:
            logistic(U)
        if k < len(sizes) - 1:
            _clear_padding(U, sizes[k])
        inputs, start = U, h
        h += n * width
    return start

"""Responses of all layers to a tile of training samples: equations (2) to (4).

Samples are the rows of a tile, nodes its columns, rows padded to whole vectors; and so
are the parameters while a network trains. What pads a row is and stays zero.
"""

from numba import int64

from .compilation import part
from .matmul import add_product, padded
from .sigmoid import logistic_layer, product_layer
from .vectors import LANES, load, store
from .views import view

TILE = 128  # samples held at once, so that their responses stay in the L2 cache


@part(int64)
def forward_tile(wide, sizes, precision, S, X, H, spatial):
    """Fill ``H``, the responses of all layers one after another, for one tile.

    ``wide`` are padded parameters. Layer k takes len(X) rows of padded(p_k) floats.
    ``spatial``, the spatial responses, is filled likewise. Returns where the last
    layer's responses begin.
    """
    n, n_coordinates = X.shape
    inputs, i, step = view(S, 0, (S.size,)), 0, sizes[0]
    at, h = 0, 0
    for k in range(1, len(sizes)):
        rows, width = sizes[k - 1], padded(sizes[k])
        filters = at
        at += rows * width
        for j in range(0, width, LANES):
            bias = load(wide, at + j)
            for r in range(n):
                store(bias, H, h + r * width + j)
        add_product(
            inputs, i, step, 1, n, rows, wide, filters, width, width, H, h, width
        )
        at += width
        U = view(H, h, (n, width))
        if k == 1 and n_coordinates > 0:
            latent = view(wide, at, (n_coordinates, width))
            at += n_coordinates * width
            product_layer(U, X, latent, precision, view(spatial, 0, (n, width)))
        else:
            logistic_layer(U)
        inputs, i, step = H, h, width
        h += n * width
    return i

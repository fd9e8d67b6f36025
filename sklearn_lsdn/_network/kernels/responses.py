"""Responses of all layers to a tile of training samples: equations (2) to (4).

Samples are the rows of a tile, nodes its columns, rows padded to whole vectors; and so
are the parameters while a network trains. What pads a row is and stays zero. Networks
that predict go through `strips`.
"""

from numba import int64

from .compilation import part
from .matmul import add_product
from .sigmoid import logistic, product_layer
from .vectors import padded
from .views import spaced_view, view

TILE = 128  # samples held at once, so that their responses stay in the L2 cache


@part(int64)
def fill_responses(parameters, S, X, H, spatial):
    """Fill ``H``, the responses of all layers one after another, for one tile.

    ``parameters`` are padded. Layer k takes len(X) rows of padded(p_k) floats.
    ``spatial``, the spatial responses, is filled likewise. Returns where the last
    layer's responses begin.
    """
    wide, sizes, precision = parameters
    n, n_coordinates = X.shape
    inputs, at, start, h = S, 0, 0, 0
    for k in range(1, len(sizes)):
        rows, width = sizes[k - 1], padded(sizes[k])
        filters, U = view(wide, at, (rows, width)), view(H, h, (n, width))
        at += rows * width
        biases = spaced_view(wide, at, (n, width), (0, 1))
        at += width
        add_product(inputs, filters, biases, U)
        if k == 1 and n_coordinates > 0:
            latent = view(wide, at, (n_coordinates, width))
            at += n_coordinates * width
            product_layer(U, X, latent, precision, view(spatial, 0, (n, width)))
        else:
            logistic(U)
        inputs, start = U, h
        h += n * width
    return start

"""Responses of all layers to a tile of training samples: equations (2) to (4).

Samples are the rows of a tile, nodes its columns, rows padded to whole vectors; and so
are the parameters while a network trains. What pads a row is and stays zero.
"""

from .compilation import kernel
from .matmul import ONE, ZERO, add_product, padded
from .sigmoid import logistic_layer, product_layer

TILE = 128  # samples held at once, so that their responses stay in the L2 cache


@kernel
def responses_size(sizes, n):
    """Floats that hold the responses of all layers to ``n`` samples."""
    total = 0
    for k in range(1, len(sizes)):
        total += n * padded(sizes[k])
    return total


@kernel
def forward_tile(wide, sizes, precision, S, X, H, spatial):
    """Fill ``H``, the responses of all layers one after another, for one tile.

    ``wide`` are padded parameters. Layer k takes len(X) rows of padded(p_k) floats.
    ``spatial``, the spatial responses, is filled likewise.
    """
    n, n_coordinates = X.shape
    inputs, i, step = S.reshape(-1), ZERO, sizes[0]
    at, h = ZERO, ZERO
    for k in range(1, len(sizes)):
        rows, width = sizes[k - 1], padded(sizes[k])
        U = H[h : h + n * width].reshape(n, width)
        filters = at
        at += rows * width
        bias = wide[at : at + width]
        for r in range(n):
            for j in range(width):
                U[r, j] = bias[j]
        add_product(
            inputs, i, step, ONE, n, rows, wide, filters, width, width, H, h, width
        )
        at += width
        if k == 1 and n_coordinates > 0:
            latent = wide[at : at + n_coordinates * width]
            at += n_coordinates * width
            gate = spatial[: n * width].reshape(n, width)
            product_layer(U, X, latent.reshape(n_coordinates, width), precision, gate)
        else:
            logistic_layer(U)
        inputs, i, step = H, h, width
        h += n * width

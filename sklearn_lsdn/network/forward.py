"""Responses of all layers to a tile of training samples: equations (2) to (4).

Samples are the rows of a tile, nodes its columns, rows padded to whole vectors.
"""

import numpy as np

from .compilation import kernel
from .matmul import matmul, pack, padded
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
def _pad(values, out):
    out[: len(values)] = values
    out[len(values) :] = 0


@kernel
def pack_parameters(theta, sizes, n_coordinates):
    """Parameters in whole vectors, as `forward_tile` takes them.

    For each layer the filters, laid out for `matmul`, and the biases; after those of
    the product layer, the latent coordinates. Nodes that pad a layer have zeros.
    """
    total = n_coordinates * padded(sizes[1])
    for k in range(1, len(sizes)):
        total += (sizes[k - 1] + 1) * padded(sizes[k])
    packed = np.empty(total, dtype=np.float32)
    start, at = 0, 0
    for k in range(1, len(sizes)):
        rows, columns = sizes[k - 1], sizes[k]
        width = padded(columns)
        pack(theta, start, columns, 1, rows, columns, packed[at : at + rows * width])
        start += rows * columns
        at += rows * width
        vectors = 1 + (n_coordinates if k == 1 else 0)
        for _ in range(vectors):
            _pad(theta[start : start + columns], packed[at : at + width])
            start += columns
            at += width
    return packed


@kernel
def forward_tile(packed, sizes, precision, S, row, column, X, H, spatial):
    """Fill ``H``, the responses of all layers one after another, for one tile.

    Feature j of sample i is at ``i * row + j * column`` of the flat ``S``. Layer k
    takes len(X) rows of padded(p_k) floats. ``spatial``, the spatial responses, is
    filled likewise. Returns where the responses of the last layer begin.
    """
    n, n_coordinates = X.shape
    inputs = S
    at, h = 0, 0
    for k in range(1, len(sizes)):
        rows, columns = sizes[k - 1], sizes[k]
        width = padded(columns)
        U = H[h : h + n * width]
        matmul(inputs, row, column, n, rows, packed[at:], columns, U)
        at += rows * width
        bias = packed[at : at + width]
        at += width
        if k == 1 and n_coordinates > 0:
            latent = packed[at : at + n_coordinates * width]
            latent = latent.reshape(n_coordinates, width)
            at += n_coordinates * width
            gate = spatial[: n * width].reshape(n, width)
            product_layer(U.reshape(n, width), bias, X, latent, precision, gate)
        else:
            logistic_layer(U.reshape(n, width), bias)
        inputs, row, column = U, width, 1
        h += n * width
    return h - n * row

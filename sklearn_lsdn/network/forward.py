"""Responses of the network, tile by tile: equations (2) to (4) of the paper.

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
def pack_filters(theta, sizes, n_coordinates):
    """All filters, laid out for `matmul`, one after another."""
    total = 0
    for k in range(1, len(sizes)):
        total += sizes[k - 1] * padded(sizes[k])
    packed = np.empty(total, dtype=np.float32)
    start, at = 0, 0
    for k in range(1, len(sizes)):
        rows, columns = sizes[k - 1], sizes[k]
        size = rows * padded(columns)
        pack(theta, start, columns, 1, rows, columns, packed[at : at + size])
        at += size
        start += (rows + 1) * columns
        if k == 1:
            start += n_coordinates * columns
    return packed


@kernel
def forward_tile(theta, packed, sizes, precision, S, X, H, spatial):
    """Fill ``H``, the responses of all layers one after another, for one tile.

    Layer k takes len(S) rows of padded(p_k) floats. ``spatial``, the spatial
    responses, is filled likewise. Returns where the responses of the last begin.
    """
    n = S.shape[0]
    n_coordinates = X.shape[1]
    inputs, row = S.reshape(-1), S.shape[1]
    p, at, h = 0, 0, 0
    for k in range(1, len(sizes)):
        rows, columns = sizes[k - 1], sizes[k]
        width = padded(columns)
        U = H[h : h + n * width]
        matmul(inputs, row, 1, n, rows, packed[at:], columns, U)
        p += rows * columns
        bias = theta[p : p + columns]
        p += columns
        if k == 1 and n_coordinates > 0:
            latent = theta[p : p + n_coordinates * columns]
            latent = latent.reshape(n_coordinates, columns)
            p += n_coordinates * columns
            gate = spatial[: n * width].reshape(n, width)
            product_layer(U.reshape(n, width), bias, X, latent, precision, gate)
        else:
            logistic_layer(U.reshape(n, width), bias)
        inputs, row = U, width
        at += rows * width
        h += n * width
    return h - n * row


@kernel
def _copy_outputs(H, at, n, out):
    """Drop the padding of a layer's responses."""
    width = padded(out.shape[1])
    for r in range(n):
        for j in range(out.shape[1]):
            out[r, j] = H[at + r * width + j]


@kernel
def forward(theta, sizes, precision, S, X, psi):
    """psi(s, x) for rows of features and coordinates.

    Parameters
    ----------
    theta : float32 array of shape (n_parameters,)
    sizes : int64 array, p_1 to p_K
    precision : float32, 1 / sigma^2
    S : float32 array of shape (n_samples, p_1)
    X : float32 array of shape (n_samples, n_coordinates)
    psi : float32 array of shape (n_samples, p_K), written
    """
    tile = min(TILE, len(S))
    packed = pack_filters(theta, sizes, X.shape[1])
    H = np.empty(responses_size(sizes, tile), dtype=np.float32)
    spatial = np.empty(tile * padded(sizes[1]), dtype=np.float32)
    for start in range(0, len(S), TILE):
        rows = slice(start, min(start + TILE, len(S)))
        at = forward_tile(theta, packed, sizes, precision, S[rows], X[rows], H, spatial)
        _copy_outputs(H, at, len(S[rows]), psi[rows])


@kernel
def layer_responses(theta, sizes, precision, S, X, layer, responses):
    """h(layer + 1) for rows of features and coordinates.

    Parameters
    ----------
    theta, sizes, precision, S, X :
        As in `forward`.
    layer : int
        1 for the product layer, len(sizes) - 1 for the output.
    responses : float32 array of shape (n_samples, sizes[layer]), written
    """
    tile = min(TILE, len(S))
    packed = pack_filters(theta, sizes, X.shape[1])
    H = np.empty(responses_size(sizes, tile), dtype=np.float32)
    spatial = np.empty(tile * padded(sizes[1]), dtype=np.float32)
    for start in range(0, len(S), TILE):
        rows = slice(start, min(start + TILE, len(S)))
        n = len(S[rows])
        forward_tile(theta, packed, sizes, precision, S[rows], X[rows], H, spatial)
        at = responses_size(sizes[:layer], n)
        _copy_outputs(H, at, n, responses[rows])


@kernel
def _apply_affine(affine, i, j, k, out):
    for c in range(len(affine)):
        row = affine[c]
        out[c] = row[0] * i + row[1] * j + row[2] * k + row[3]


@kernel
def forward_voxels(
    theta,
    sizes,
    precision,
    channels,
    offsets,
    centers,
    strides,
    to_features,
    to_coordinates,
    psi,
):
    """psi over voxels of padded volumes, patches and coordinates read in place.

    Parameters
    ----------
    theta, sizes, precision :
        As in `forward`.
    channels : float32 array of shape (n_channels, n_padded_voxels)
        Padded volumes, flattened.
    offsets : int64 array
        Flat offsets from a patch's centre to its voxels.
    centers : int64 array of shape (n_voxels,)
        Flat indices of the voxels to predict.
    strides : int64 array of shape (2,)
        Flat steps along the first and second axis of the padded volume.
    to_features : float64 array of shape (n_more, 4)
        Affine map from padded voxel indices to the features after the patch.
    to_coordinates : float64 array of shape (n_coordinates, 4)
        Affine map from padded voxel indices to the network's coordinates.
    psi : float32 array of shape (n_voxels, p_K), written
    """
    n_offsets = len(offsets)
    n_coordinates = len(to_coordinates)
    tile = min(TILE, len(centers))
    packed = pack_filters(theta, sizes, n_coordinates)
    S = np.empty((tile, sizes[0]), dtype=np.float32)
    X = np.empty((tile, n_coordinates), dtype=np.float32)
    H = np.empty(responses_size(sizes, tile), dtype=np.float32)
    spatial = np.empty(tile * padded(sizes[1]), dtype=np.float32)
    for start in range(0, len(centers), TILE):
        stop = min(start + TILE, len(centers))
        n = stop - start
        for r in range(n):
            center = centers[start + r]
            for c in range(len(channels)):
                for o in range(n_offsets):
                    S[r, c * n_offsets + o] = channels[c, center + offsets[o]]
            i = center // strides[0]
            j = (center - i * strides[0]) // strides[1]
            k = center - i * strides[0] - j * strides[1]
            _apply_affine(to_features, i, j, k, S[r, len(channels) * n_offsets :])
            _apply_affine(to_coordinates, i, j, k, X[r])
        at = forward_tile(theta, packed, sizes, precision, S[:n], X[:n], H, spatial)
        _copy_outputs(H, at, n, psi[start:stop])

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


@kernel
def _copy_outputs(H, at, n, out):
    """Drop the padding of a layer's responses."""
    width = padded(out.shape[1])
    for r in range(n):
        for j in range(out.shape[1]):
            out[r, j] = H[at + r * width + j]


@kernel
def forward(theta, sizes, precision, S, X, layer, responses):
    """h(layer + 1) for rows of features and coordinates; psi, if it is the last.

    Parameters
    ----------
    theta : float32 array of shape (n_parameters,)
    sizes : int64 array, p_1 to p_K
    precision : float32, 1 / sigma^2
    S : float32 array of shape (n_samples, p_1)
    X : float32 array of shape (n_samples, n_coordinates)
    layer : int
        1 for the product layer, K - 1 for the output.
    responses : float32 array of shape (n_samples, sizes[layer]), written
    """
    tile = min(TILE, len(S))
    p = S.shape[1]
    packed = pack_parameters(theta, sizes, X.shape[1])
    H = np.empty(responses_size(sizes, tile), dtype=np.float32)
    spatial = np.empty(tile * padded(sizes[1]), dtype=np.float32)
    for start in range(0, len(S), TILE):
        rows = slice(start, min(start + TILE, len(S)))
        n = len(S[rows])
        flat = S[rows].reshape(-1)
        forward_tile(packed, sizes, precision, flat, p, 1, X[rows], H, spatial)
        _copy_outputs(H, responses_size(sizes[:layer], n), n, responses[rows])


@kernel
def _place(chosen, strides, affine, out):
    """out[c, r] <- affine[c] applied to the indices of voxel chosen[r]."""
    n_rows = strides[0] // strides[1]
    i, j, k, last = 0, 0, 0, 0
    for r in range(len(chosen)):
        k += chosen[r] - last
        if k < 0 or k >= 2 * strides[1]:
            i = chosen[r] // strides[0]
            j = (chosen[r] - i * strides[0]) // strides[1]
            k = chosen[r] - i * strides[0] - j * strides[1]
        elif k >= strides[1]:  # the next row, as most often: cheaper than dividing
            k -= strides[1]
            j += 1
            if j == n_rows:
                j = 0
                i += 1
        last = chosen[r]
        for c in range(len(affine)):
            place = affine[c, 0] * i + affine[c, 1] * j + affine[c, 2] * k
            out[c, r] = place + affine[c, 3]


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
    packed = pack_parameters(theta, sizes, n_coordinates)
    S = np.empty((sizes[0], tile), dtype=np.float32)  # a row for each feature
    C = np.empty((n_coordinates, tile), dtype=np.float32)
    X = np.empty((tile, n_coordinates), dtype=np.float32)
    H = np.empty(responses_size(sizes, tile), dtype=np.float32)
    spatial = np.empty(tile * padded(sizes[1]), dtype=np.float32)
    for start in range(0, len(centers), TILE):
        chosen = centers[start : start + TILE]
        n = len(chosen)
        for c in range(len(channels)):
            channel = channels[c]
            for o in range(n_offsets):
                offset = offsets[o]
                feature = S[c * n_offsets + o]
                for r in range(n):
                    feature[r] = channel[chosen[r] + offset]
        _place(chosen, strides, to_features, S[len(channels) * n_offsets :])
        _place(chosen, strides, to_coordinates, C)
        for r in range(n):
            for c in range(n_coordinates):
                X[r, c] = C[c, r]
        at = forward_tile(
            packed, sizes, precision, S.reshape(-1), 1, tile, X[:n], H, spatial
        )
        _copy_outputs(H, at, n, psi[start : start + n])

"""Outputs of the network, strip by strip: equations (2) to (4) of the paper.

The lanes of a vector are samples: voxels that follow one another along a row of a
volume, or rows of arrays. A strip of them goes through all layers while it is in the
first cache. Nothing passes between lanes, so a sample's bits depend on nothing else.
"""

import numpy as np
from numba import int64, void

from .compilation import kernel, part
from .matmul import STRIP, add_product
from .sigmoid import logistic_strip, product_strip, tabled_product_strip
from .vectors import LANES, aligned, store
from .views import view


def axis_tables(latent, precision, to_coordinates, shape):
    """Factors of exp(|x - xhat_i|^2 / sigma^2), one for each axis of a volume.

    Parameters
    ----------
    latent : float32 array of shape (n_coordinates, p_2)
    precision : float32, 1 / sigma^2
    to_coordinates : float64 array of shape (n_coordinates, 4)
        Affine map from voxel indices to the network's coordinates.
    shape : tuple of three int
        Voxels along each axis.

    Returns
    -------
    across_i, across_j : float32 arrays of shape (n_i, p_2) and (n_j, p_2)
    along : float32 array of shape (p_2, n_k + STRIP)
        All empty if the coordinates do not follow the axes one by one, so that
        there are no such factors.
    """
    steps = np.abs(to_coordinates[:, :3]) * shape
    if len(latent) == 0 or (np.sort(steps, axis=1)[:, :2] > 1e-6).any():
        return tuple(np.empty((0, 0), dtype=np.float32) for _ in range(3))
    axis_of = steps.argmax(axis=1)
    factors = []
    for axis, n in enumerate((shape[0], shape[1], shape[2] + STRIP)):
        exponent = np.zeros((n, latent.shape[1]))
        for c in np.flatnonzero(axis_of == axis):
            x = to_coordinates[c, axis] * np.arange(n) + to_coordinates[c, 3]
            exponent += float(precision) * (x[:, None] - latent[c]) ** 2
        with np.errstate(over="ignore"):  # infinitely far: no response
            factors.append(np.exp(exponent).astype(np.float32))
    across_i, across_j, along = factors
    return across_i, across_j, np.ascontiguousarray(along.T)


def scratch(sizes, n_coordinates):
    """What a thread writes to: a strip for each node, for each coordinate, and a row.

    Returns
    -------
    H, X, row : float32 arrays
    """
    shapes = (sizes.sum(), STRIP), (n_coordinates, STRIP), (sizes[1],)
    return tuple(map(aligned, shapes))


@part(int64)
def _forward_strip(theta, sizes, precision, H, X, n, along, row, k0, layer):
    """Fill ``H``, the features and then the responses of all layers to one strip.

    ``H`` and ``X`` hold a row of STRIP floats, of which ``n`` count, for each
    feature, node and coordinate. The spatial response comes from
    ``X``; or, if there is a table ``along``, from
    exp(|x - xhat_i|^2 / sigma^2) = row[i] along[i, k0 + lane]. Returns the row
    where the responses of ``layer`` begin.
    """
    n_panels = -(-n // LANES)
    flat = view(H, 0, (H.size,))
    at, h = 0, 0
    for k in range(1, layer + 1):
        p, m = sizes[k - 1], sizes[k]
        inputs = h * STRIP
        weights = at
        at += p * m
        h += p
        for i in range(m):
            for panel in range(n_panels):
                store(theta[at + i], H, (h + i) * STRIP + panel * LANES)  # the bias
        width = n_panels * LANES
        outputs = h * STRIP
        add_product(
            theta, weights, 1, m, m, p, flat, inputs, STRIP, width, flat, outputs, STRIP
        )
        if k > 1 or len(X) == 0:
            logistic_strip(H, h, m, n_panels)
        elif len(along) > 0:
            tabled_product_strip(H, h, m, row, along, k0, n_panels)
        else:
            product_strip(H, h, m, theta, at + m, X, precision, n_panels)
        at += m
        if k == 1:
            at += len(X) * m
    return h


@kernel
def forward(theta, sizes, precision, S, X, layer, responses, scratch):
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
    scratch : tuple of float32 arrays
        As `scratch` makes it for this thread.
    """
    H, C, row = scratch
    no_table = view(H, 0, (0, 0))
    for start in range(0, len(S), STRIP):
        n = len(S) - start
        if n > STRIP:
            n = STRIP
        for r in range(n):
            for j in range(S.shape[1]):
                H[j, r] = S[start + r, j]
            for c in range(X.shape[1]):
                C[c, r] = X[start + r, c]
        h = _forward_strip(theta, sizes, precision, H, C, n, no_table, row, 0, layer)
        for r in range(n):
            for j in range(sizes[layer]):
                responses[start + r, j] = H[h + j, r]


@part(void)
def _place(affine, i, j, k, n, out):
    """out[c, l] <- affine[c] applied to the voxel indices (i, j, k + l)."""
    for c in range(len(affine)):
        first = affine[c, 0] * i + affine[c, 1] * j + affine[c, 2] * k + affine[c, 3]
        for lane in range(n):
            out[c, lane] = first + affine[c, 2] * lane


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
    tables,
    psi,
    scratch,
):
    """psi over voxels of padded volumes, patches and coordinates read in place.

    Parameters
    ----------
    theta, sizes, precision :
        As in `forward`.
    channels : float32 array of shape (n_channels, n_padded_voxels)
        Padded volumes, flattened.
    offsets : int64 array of shape (n_channels, n_offsets)
        Flat offsets from a patch's centre to its voxels.
    centers : int64 array of shape (n_voxels,)
        Flat indices of the voxels to predict; quickest in ascending order.
    strides : int64 array of shape (2,)
        Flat steps along the first and second axis of the padded volume.
    to_features : float64 array of shape (n_more, 4)
        Affine map from padded voxel indices to the features after the patch.
    to_coordinates : float64 array of shape (n_coordinates, 4)
        Affine map from padded voxel indices to the network's coordinates.
    tables : tuple of three float32 arrays
        As `axis_tables` makes them; empty, to compute distances instead.
    psi : float32 array of shape (n_voxels, p_K), written
    scratch : tuple of float32 arrays
        As `scratch` makes it for this thread.
    """
    n_offsets = offsets.shape[1]
    n_layers = len(sizes)
    across_i, across_j, along = tables
    H, X, row = scratch
    more = len(channels) * n_offsets  # features beside the patch
    done = 0
    while done < len(centers):
        start = centers[done]
        i = start // strides[0]
        j = (start - i * strides[0]) // strides[1]
        k = start - i * strides[0] - j * strides[1]
        end = start - k + strides[1]
        if end > start + STRIP:
            end = start + STRIP
        stop = done + 1  # of the voxels that this strip takes: some, in one row
        while stop < len(centers) and centers[stop - 1] < centers[stop] < end:
            stop += 1
        n = centers[stop - 1] - start + 1
        for c in range(len(channels)):
            for o in range(n_offsets):
                first = c * channels.shape[1] + start + offsets[c, o]
                values = view(channels, first, (n,))
                feature = H[c * n_offsets + o]
                for lane in range(n):
                    feature[lane] = values[lane]
        _place(to_features, i, j, k, n, view(H, more * STRIP, (sizes[0] - more, STRIP)))
        if len(along) > 0:
            for node in range(len(row)):
                row[node] = across_i[i, node] * across_j[j, node]
        else:
            _place(to_coordinates, i, j, k, n, X)
        h = _forward_strip(
            theta, sizes, precision, H, X, n, along, row, k, n_layers - 1
        )
        for r in range(done, stop):
            lane = centers[r] - start
            for output in range(psi.shape[1]):
                psi[r, output] = H[h + output, lane]
        done = stop

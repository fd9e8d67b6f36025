"""Outputs of the network, strip by strip: equations (2) to (4) of the paper.

The lanes of a vector are samples: voxels that follow one another along a row of a
volume, or rows of arrays. A strip of them goes through all layers while it is in the
first cache. Nothing passes between lanes, so a sample's bits depend on nothing else.
"""

from typing import NamedTuple

import numpy as np
from numba import int64, void

from .compilation import kernel, part
from .matmul import STRIP, add_product
from .sigmoid import logistic, product_strip, tabled_product_strip
from .vectors import LANES, aligned, padded, store
from .views import spaced_view, view


class Volume(NamedTuple):
    """Padded volumes of a subject, and what is read from them at a voxel."""

    channels: np.ndarray  # float32, (n_channels, n_padded_voxels)
    strides: np.ndarray  # int64: flat steps along the first and second axis
    offsets: np.ndarray  # int64: flat, of a patch's voxels, (n_channels, n_offsets)
    # Affine maps from padded voxel indices, float64, to
    to_features: np.ndarray  # the features after the patch, (n_more, 4)
    to_coordinates: np.ndarray  # the network's coordinates, (n_coordinates, 4)

    @property
    def shape(self):
        """Padded voxels along each axis."""
        i, j = self.strides
        return self.channels.shape[1] // i, i // j, j


class Tables(NamedTuple):
    """Factors of exp(|x - xhat_i|^2 / sigma^2), one for each axis of a volume.

    All empty if the coordinates do not follow the axes one by one, so that there are
    no such factors. float32.
    """

    across_i: np.ndarray  # (n_i, p_2)
    across_j: np.ndarray  # (n_j, p_2)
    along: np.ndarray  # (p_2, n_k + STRIP)


class Strip(NamedTuple):
    """What a thread writes to: a row of STRIP floats for each of these; float32."""

    H: np.ndarray  # features and nodes of all layers
    X: np.ndarray  # coordinates
    row: np.ndarray  # for tables, the factor of each node across a row of voxels

    @classmethod
    def of(cls, sizes, n_coordinates):
        shapes = (sizes.sum(), STRIP), (n_coordinates, STRIP), (sizes[1],)
        return cls(*map(aligned, shapes))


def axis_tables(latent, precision, to_coordinates, shape):
    """Make the `Tables` of a volume.

    Parameters
    ----------
    latent : float32 array of shape (n_coordinates, p_2)
    precision : float32, 1 / sigma^2
    to_coordinates : float64 array of shape (n_coordinates, 4)
        Affine map from voxel indices to the network's coordinates.
    shape : tuple of three int
        Voxels along each axis.
    """
    steps = np.abs(to_coordinates[:, :3]) * shape
    if len(latent) == 0 or (np.sort(steps, axis=1)[:, :2] > 1e-6).any():
        return Tables(*np.empty((3, 0, 0), dtype=np.float32))
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
    return Tables(across_i, across_j, np.ascontiguousarray(along.T))


@part(int64)
def _forward_strip(parameters, strip, n, along, k0, layer):
    """Fill ``strip.H``, the features and then the responses of all layers.

    ``n`` samples of the strip count. The spatial response comes from ``strip.X``; or,
    if there is a table ``along``, from exp(|x - xhat_i|^2 / sigma^2) =
    strip.row[i] along[i, k0 + lane]. Returns the row where the responses of
    ``layer`` begin.
    """
    theta, sizes, precision = parameters
    H, X, row = strip
    width = padded(n)
    at, h = 0, 0
    for k in range(1, layer + 1):
        p, m = sizes[k - 1], sizes[k]
        inputs = spaced_view(H, h * STRIP, (p, width), STRIP)
        h += p
        U = spaced_view(H, h * STRIP, (m, width), STRIP)
        filters = view(theta, at, (p, m))
        at += p * m
        for i in range(m):
            for j in range(0, width, LANES):
                store(theta[at + i], U, (i, j))  # the bias
        at += m
        add_product(filters.T, inputs, U)
        if k > 1 or len(X) == 0:
            logistic(U)
        elif len(along) > 0:
            tabled_product_strip(U, row, along, k0)
        else:
            product_strip(U, X, view(theta, at, (len(X), m)), precision)
        if k == 1:
            at += len(X) * m
    return h


@kernel
def forward(parameters, S, X, layer, responses, strip):
    """h(layer + 1) for rows of features and coordinates; psi, if it is the last.

    Parameters
    ----------
    parameters : Parameters
    S : float32 array of shape (n_samples, p_1)
    X : float32 array of shape (n_samples, n_coordinates)
    layer : int
        1 for the product layer, K - 1 for the output.
    responses : float32 array of shape (n_samples, sizes[layer]), written
    strip : Strip
    """
    H = strip.H
    no_table = view(H, 0, (0, 0))
    for start in range(0, len(S), STRIP):
        n = len(S) - start
        if n > STRIP:
            n = STRIP
        for r in range(n):
            for j in range(S.shape[1]):
                H[j, r] = S[start + r, j]
            for c in range(X.shape[1]):
                strip.X[c, r] = X[start + r, c]
        h = _forward_strip(parameters, strip, n, no_table, 0, layer)
        for r in range(n):
            for j in range(responses.shape[1]):
                responses[start + r, j] = H[h + j, r]


@part(void)
def _place(affine, i, j, k, n, out):
    """out[c, l] <- affine[c] applied to the voxel indices (i, j, k + l)."""
    for c in range(len(affine)):
        first = affine[c, 0] * i + affine[c, 1] * j + affine[c, 2] * k + affine[c, 3]
        for lane in range(n):
            out[c, lane] = first + affine[c, 2] * lane


@kernel
def forward_voxels(parameters, volume, centers, tables, psi, strip):
    """psi over voxels of padded volumes, patches and coordinates read in place.

    Parameters
    ----------
    parameters : Parameters
    volume : Volume
    centers : int64 array of shape (n_voxels,)
        Flat indices of the voxels to predict; quickest in ascending order.
    tables : Tables
        As `axis_tables` makes them.
    psi : float32 array of shape (n_voxels, p_K), written
    strip : Strip
    """
    channels, strides, offsets, to_features, to_coordinates = volume
    across_i, across_j, along = tables
    H, X, row = strip
    n_offsets = offsets.shape[1]
    last = len(parameters.sizes) - 1
    more = len(channels) * n_offsets  # features beside the patch
    others = view(H, more * STRIP, (len(to_features), STRIP))
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
        _place(to_features, i, j, k, n, others)
        if len(along) > 0:
            for node in range(len(row)):
                row[node] = across_i[i, node] * across_j[j, node]
        else:
            _place(to_coordinates, i, j, k, n, X)
        h = _forward_strip(parameters, strip, n, along, k, last)
        for r in range(done, stop):
            lane = centers[r] - start
            for output in range(psi.shape[1]):
                psi[r, output] = H[h + output, lane]
        done = stop

"""Outputs of the network, strip by strip: equations (2) to (4) of the paper.

The lanes of a vector are samples: voxels that follow one another along a row of a
volume, or rows of arrays. A strip of them goes through all layers while it is in the
first cache. Nothing passes between lanes, so a sample's bits depend on nothing else.
"""

from typing import NamedTuple

import numpy as np
from numba import int64, void

from ..scaling import FAR
from .compilation import kernel, part
from .matmul import STRIP, add_product
from .sigmoid import logistic, product_strip, tabled_product_strip
from .transposition import transpose
from .vectors import (
    LANES,
    aligned,
    at_least,
    at_most,
    copy,
    load,
    padded,
    standardized,
    store,
)
from .views import spaced_view, view

_FAR = np.float32(FAR)


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
    along: np.ndarray  # (p_2, LANES + n_k + STRIP), from LANES before the first voxel


class Strip(NamedTuple):
    """What a thread writes to."""

    H: np.ndarray  # features and nodes of all layers; float32, (n_rows, STRIP)
    X: np.ndarray  # coordinates; float32, (n_coordinates, STRIP)
    # Runs of voxels along the third axis; int64, a row each:
    runs: np.ndarray  # first lane, the lane after the last, and i, j, k of the first

    @classmethod
    def of(cls, sizes, n_coordinates):
        H, X = aligned((sizes.sum(), STRIP)), aligned((n_coordinates, STRIP))
        return cls(H, X, np.empty((STRIP, 5), dtype=np.int64))


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
    ends = (0, shape[0]), (0, shape[1]), (-LANES, shape[2] + STRIP)
    for axis, (first, stop) in enumerate(ends):
        exponent = np.zeros((stop - first, latent.shape[1]))
        for c in np.flatnonzero(axis_of == axis):
            x = to_coordinates[c, axis] * np.arange(first, stop) + to_coordinates[c, 3]
            exponent += float(precision) * (x[:, None] - latent[c]) ** 2
        with np.errstate(over="ignore"):  # infinitely far: no response
            factors.append(np.exp(exponent).astype(np.float32))
    across_i, across_j, along = factors
    return Tables(across_i, across_j, np.ascontiguousarray(along.T))


@part(int64)
def _forward_strip(parameters, tables, strip, n, n_runs, layer):
    """Fill ``strip.H``, the features and then the responses of all layers.

    ``n`` samples of the strip count. The spatial response comes from ``strip.X``; or
    from tables, for the first ``n_runs`` of ``strip.runs``. Returns the row where the
    responses of ``layer`` begin.
    """
    theta, sizes, precision, _ = parameters
    H, X, runs = strip
    width = padded(n)
    at, h = 0, 0
    for k in range(1, layer + 1):
        p, m = sizes[k - 1], sizes[k]
        inputs = spaced_view(H, h * STRIP, (p, width), (STRIP, 1))
        h += p
        U = spaced_view(H, h * STRIP, (m, width), (STRIP, 1))
        filters, biases = view(theta, at, (p, m)), view(theta, at + p * m, (m,))
        at += (p + 1) * m
        add_product(filters.T, inputs, biases, U)
        if k > 1 or len(X) == 0:
            logistic(U)
        elif n_runs == 0:
            product_strip(U, X, view(theta, at, (len(X), m)), precision)
        else:
            for r in range(n_runs):
                begin, end = runs[r, 0], runs[r, 1]
                across = tables.across_i[runs[r, 2]], tables.across_j[runs[r, 3]]
                first = LANES + runs[r, 4] - begin
                tabled_product_strip(U, across, tables.along, first, begin, end)
        if k == 1:
            at += len(X) * m
    return h


@part(void)
def _standardize(values, units, first):
    """Rows of ``values``, in place, by the columns of ``units`` from ``first``."""
    for i in range(values.shape[0]):
        centre, scale = units[0, first + i], units[1, first + i]
        for j in range(0, STRIP, LANES):
            x = standardized(load(values, (i, j)), centre, scale)
            store(at_least(at_most(x, _FAR), -_FAR), values, (i, j))


@kernel
def forward(parameters, rows, units, layer, responses, strip):
    """h(layer + 1) for rows of features and coordinates; psi, if it is the last.

    Parameters
    ----------
    parameters : Parameters
    rows : float32 array of shape (n_samples, p_1 + n_coordinates)
    units : float64 array of shape (2, p_1 + n_coordinates)
        Centre and scale of each column, to standardise it; of shape (0, 0) if ``rows``
        are standardised.
    layer : int
        1 for the product layer, K - 1 for the output.
    responses : float32 array of shape (n_samples, sizes[layer]), written
    strip : Strip
    """
    H, X = strip.H, strip.X
    empty = view(H, 0, (0, 0))
    no_tables = Tables(empty, empty, empty)
    p, n_coordinates = parameters.sizes[0], len(X)
    width = p + n_coordinates
    features = view(H, 0, (p, STRIP))
    for start in range(0, len(rows), STRIP):
        n = len(rows) - start
        if n > STRIP:
            n = STRIP
        at = start * width
        transpose(spaced_view(rows, at, (n, p), (width, 1)), features)
        transpose(spaced_view(rows, at + p, (n, n_coordinates), (width, 1)), X)
        if len(units) > 0:
            _standardize(features, units, 0)
            _standardize(X, units, p)
        h = _forward_strip(parameters, no_tables, strip, n, 0, layer)
        for r in range(n):
            for j in range(responses.shape[1]):
                responses[start + r, j] = H[h + j, r]


@part(void)
def _place(affine, i, j, k, out, begin, end):
    """out[c, begin + l] <- affine[c] applied to the voxel indices (i, j, k + l)."""
    for c in range(len(affine)):
        first = affine[c, 0] * i + affine[c, 1] * j + affine[c, 2] * k + affine[c, 3]
        for lane in range(begin, end):
            out[c, lane] = first + affine[c, 2] * (lane - begin)


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
    H, X, runs = strip
    last, n_offsets = len(parameters.sizes) - 1, offsets.shape[1]
    more = len(channels) * n_offsets  # features beside the patch
    others = view(H, more * STRIP, (len(to_features), STRIP))
    tabled = len(tables.along) > 0
    for done in range(0, len(centers), STRIP):
        n = len(centers) - done
        if n > STRIP:
            n = STRIP
        begin, n_runs = 0, 0
        while begin < n:
            start = centers[done + begin]
            i = start // strides[0]
            j = (start - i * strides[0]) // strides[1]
            k = start - i * strides[0] - j * strides[1]
            end, n_in_row = begin + 1, strides[1] - k
            while (
                end < n
                and end - begin < n_in_row
                and centers[done + end] == start + end - begin
            ):
                end += 1
            for c in range(len(channels)):
                for o in range(n_offsets):
                    first = c * channels.shape[1] + start + offsets[c, o]
                    row = (c * n_offsets + o) * STRIP
                    copy(channels, first, H, row + begin, end - begin)
            _place(to_features, i, j, k, others, begin, end)
            if tabled:
                run = runs[n_runs]
                run[0], run[1], run[2], run[3], run[4] = begin, end, i, j, k
                n_runs += 1
            else:
                _place(to_coordinates, i, j, k, X, begin, end)
            begin = end
        h = _forward_strip(parameters, tables, strip, n, n_runs, last)
        for r in range(n):
            for output in range(psi.shape[1]):
                psi[done + r, output] = H[h + output, r]

"""Outputs of a trained network, over rows of arrays and over voxels of volumes."""

import numpy as np

from .architecture import Architecture
from .kernels.matmul import STRIP
from .kernels.strips import axis_tables, forward, forward_voxels, scratch
from .threads import for_each_slice

_SLICE = 640 * STRIP  # samples a thread takes at once


def predict_rows(
    architecture: Architecture, theta, S, X, n_threads=1, layer=None
) -> np.ndarray:
    """psi(s, x) for float32 rows, or the responses of hidden layer 1, 2, ...

    Returns
    -------
    responses : float32 array of shape (n_samples, n_nodes)
    """
    sizes = np.array(architecture.layer_sizes, dtype=np.int64)
    layer = len(sizes) - 1 if layer is None else layer
    responses = np.empty((len(S), sizes[layer]), dtype=np.float32)
    precision = architecture.precision

    def run(rows):
        forward(
            theta,
            sizes,
            precision,
            S[rows],
            X[rows],
            layer,
            responses[rows],
            scratch(sizes, X.shape[1]),
        )

    for_each_slice(run, len(S), _SLICE, n_threads)
    return responses


def predict_voxels(
    architecture: Architecture,
    theta,
    channels,
    offsets,
    centers,
    strides,
    to_features,
    to_coordinates,
    n_threads=1,
) -> np.ndarray:
    """psi over voxels of padded volumes; see `forward_voxels`."""
    sizes = np.array(architecture.layer_sizes, dtype=np.int64)
    psi = np.empty((len(centers), sizes[-1]), dtype=np.float32)
    precision = architecture.precision
    shape = (
        channels.shape[1] // strides[0],
        strides[0] // strides[1],
        strides[1],
    )
    latent = architecture.layers(theta).latent
    tables = axis_tables(latent, precision, to_coordinates, shape)

    def run(rows):
        forward_voxels(
            theta,
            sizes,
            precision,
            channels,
            offsets,
            centers[rows],
            strides,
            to_features,
            to_coordinates,
            tables,
            psi[rows],
            scratch(sizes, len(to_coordinates)),
        )

    for_each_slice(run, len(centers), _SLICE, n_threads)
    return psi

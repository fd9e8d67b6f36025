"""Outputs of a trained network, over rows of arrays and over voxels of volumes."""

import numpy as np

from .architecture import Architecture
from .forward import TILE, forward, forward_voxels, layer_responses
from .threads import for_each_slice

_SLICE = 128 * TILE  # samples a thread takes at once


def predict_rows(architecture: Architecture, theta, S, X, n_threads=1) -> np.ndarray:
    """psi(s, x) for float32 rows; (n_samples, n_outputs)."""
    sizes = np.array(architecture.layer_sizes, dtype=np.int64)
    psi = np.empty((len(S), sizes[-1]), dtype=np.float32)
    precision = architecture.precision

    def run(rows):
        forward(theta, sizes, precision, S[rows], X[rows], psi[rows])

    for_each_slice(run, len(S), _SLICE, n_threads)
    return psi


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
            psi[rows],
        )

    for_each_slice(run, len(centers), _SLICE, n_threads)
    return psi


def predict_layer(architecture: Architecture, theta, S, X, layer) -> np.ndarray:
    """Responses of hidden layer 1, 2, ... for float32 rows; (n_samples, n_nodes)."""
    sizes = np.array(architecture.layer_sizes, dtype=np.int64)
    responses = np.empty((len(S), sizes[layer]), dtype=np.float32)
    precision = architecture.precision
    layer_responses(theta, sizes, precision, S, X, layer, responses)
    return responses

"""Outputs of a trained network, over rows of arrays and over voxels of volumes."""

import numpy as np

from .architecture import Architecture
from .kernels.operands import Parameters
from .kernels.strips import Strip, Volume, axis_tables, forward, forward_voxels
from .threads import for_each_slice

_SLICE = 15360  # samples a thread takes at once, in whole strips at any width


def predict_rows(
    architecture: Architecture, theta, S, X, n_threads=1, layer=None
) -> np.ndarray:
    """psi(s, x) for float32 rows, or the responses of hidden layer 1, 2, ...

    Returns
    -------
    responses : float32 array of shape (n_samples, n_nodes)
    """
    table, units = np.hstack([S, X]), np.empty((0, 0))
    return predict_table(architecture, theta, table, units, n_threads, layer)


def predict_table(
    architecture: Architecture, theta, table, units, n_threads=1, layer=None
) -> np.ndarray:
    """As `predict_rows`, of features and coordinates side by side; see `forward`."""
    parameters = Parameters.of(architecture, theta)
    layer = len(parameters.sizes) - 1 if layer is None else layer
    responses = np.empty((len(table), parameters.sizes[layer]), dtype=np.float32)

    def run(rows):
        strip = Strip.of(parameters.sizes, architecture.n_coordinates)
        forward(parameters, table[rows], units, layer, responses[rows], strip)

    for_each_slice(run, len(table), _SLICE, n_threads)
    return responses


def predict_voxels(
    architecture: Architecture, theta, volume: Volume, centers, n_threads=1
) -> np.ndarray:
    """psi over voxels of padded volumes; see `forward_voxels`."""
    parameters = Parameters.of(architecture, theta)
    psi = np.empty((len(centers), parameters.sizes[-1]), dtype=np.float32)
    tables = axis_tables(
        architecture.layers(theta).latent,
        parameters.precision,
        volume.to_coordinates,
        volume.shape,
    )

    def run(rows):
        strip = Strip.of(parameters.sizes, len(volume.to_coordinates))
        forward_voxels(parameters, volume, centers[rows], tables, psi[rows], strip)

    for_each_slice(run, len(centers), _SLICE, n_threads)
    return psi

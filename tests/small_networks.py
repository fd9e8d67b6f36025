"""Networks and samples that tests of the kernels compute with."""

import numpy as np

from sklearn_lsdn._network.architecture import Architecture

SIZES = (27, 30, 11, 2)


def single(array):
    return np.ascontiguousarray(array, dtype=np.float32)


def make_network(sizes=SIZES, n_coordinates=3, sigma=0.5, seed=0, cross_entropy=False):
    """An architecture, and parameters as `initial_parameters` draws them."""
    rng = np.random.RandomState(seed)
    architecture = Architecture(tuple(sizes), n_coordinates, sigma, cross_entropy)
    latent = rng.uniform(-1, 1, (sizes[1], n_coordinates))
    return architecture, single(architecture.initial_parameters(latent, rng))


def make_samples(architecture, n, seed=1):
    """Features, coordinates, targets and weights."""
    rng = np.random.RandomState(seed)
    S = rng.normal(size=(n, architecture.layer_sizes[0]))
    X = rng.uniform(-1, 1, (n, architecture.n_coordinates))
    T = rng.uniform(0.1, 0.9, (n, architecture.layer_sizes[-1]))
    weight = rng.uniform(0.5, 2.0, n)
    return tuple(map(single, (S, X, T, weight)))


def double(*arrays):
    return [np.asarray(array, dtype=np.float64) for array in arrays]

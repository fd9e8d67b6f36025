"""What travels together from kernel to kernel."""

from typing import NamedTuple

import numpy as np

LEAST, MOST = np.float32(2.0**-126), np.float32(1.0 - 2.0**-24)
"""What float32 has nearest to 0 and 1: probabilities whose logarithms are finite."""


class Parameters(NamedTuple):
    """What kernels know of a network."""

    theta: np.ndarray  # float32, in the order of `Architecture`
    sizes: np.ndarray  # int64, p_1 to p_K
    precision: np.float32  # 1 / sigma^2
    cross_entropy: bool  # is the loss, or else the squared error

    @classmethod
    def of(cls, architecture, theta):
        """Those of an `Architecture`."""
        sizes = np.array(architecture.layer_sizes, dtype=np.int64)
        return cls(theta, sizes, architecture.precision, architecture.cross_entropy)


class Samples(NamedTuple):
    """What a network is trained on, a row each; float32."""

    S: np.ndarray  # scaled features, (n_samples, p_1)
    X: np.ndarray  # scaled coordinates, (n_samples, n_coordinates)
    T: np.ndarray  # targets in the logistic range, (n_samples, p_K)
    weight: np.ndarray  # positive, (n_samples,)

"""The shape of a network, and where each parameter lies in the flat vector."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Layers(NamedTuple):
    """Views of a flat parameter vector, one entry per layer of weights."""

    filters: list  # F(k) transposed: (n_inputs, n_outputs)
    biases: list  # b(k): (n_outputs,)
    latent: np.ndarray  # X-hat transposed: (n_coordinates, p_2)


@dataclass(frozen=True)
class Architecture:
    """Layer sizes of a location-sensitive network.

    Parameters
    ----------
    layer_sizes : tuple of int
        p_1 (features), p_2, ..., p_K (outputs).
    n_coordinates : int
        Dimension of x. With 0 the first hidden layer has no spatial response:
        a vanilla network.
    sigma : float
        Width of the spatial response, in the units of the coordinates.
    cross_entropy : bool, default=False
        Whether outputs are probabilities, and the loss is their cross-entropy with
        the targets, in the place of equation (1).

    Notes
    -----
    Parameters live in one flat vector, so that an optimizer is a loop over it:
    F(2), b(2), X-hat, F(3), b(3), ..., F(K), b(K), each filter stored with its
    inputs along rows and everything in C order.
    """

    layer_sizes: tuple
    n_coordinates: int
    sigma: float
    cross_entropy: bool = False

    @property
    def n_parameters(self) -> int:
        sizes = self.layer_sizes
        dense = sum((n + 1) * m for n, m in zip(sizes[:-1], sizes[1:], strict=True))
        return dense + self.n_coordinates * sizes[1]

    @property
    def width(self) -> float:
        """sigma, or what is as good as it and can be squared in float32."""
        return float(min(max(self.sigma, 1e-15), 1e15))

    @property
    def precision(self) -> np.float32:
        """1 / sigma^2."""
        return np.float32(1.0 / self.width**2)

    def layers(self, theta: np.ndarray) -> Layers:
        """Split ``theta`` into views; writing to them writes to ``theta``."""
        filters, biases, latent = [], [], None
        start = 0

        def take(*shape):
            nonlocal start
            stop = start + int(np.prod(shape))
            view = theta[start:stop].reshape(shape)
            start = stop
            return view

        for n, m in zip(self.layer_sizes[:-1], self.layer_sizes[1:], strict=True):
            filters.append(take(n, m))
            biases.append(take(m))
            if latent is None:
                latent = take(self.n_coordinates, m)
        return Layers(filters, biases, latent)

    def pack(self, filters, biases, latent, dtype=np.float32) -> np.ndarray:
        """Gather the arrays of `Layers` into one flat vector."""
        theta = np.empty(self.n_parameters, dtype=dtype)
        views = self.layers(theta)
        for view, array in zip(views.filters, filters, strict=True):
            view[...] = array
        for view, array in zip(views.biases, biases, strict=True):
            view[...] = array
        views.latent[...] = latent
        return theta

    def widen(self, theta: np.ndarray, multiple: int) -> np.ndarray:
        """Copy ``theta`` as training has it, rows padded to a multiple in length.

        Filters of the first layer have a row for each input; those of the others for
        each output, of which there are fewer, so that less is padding.
        """
        blocks = []
        for block in self._blocks(theta):
            n, m = block.shape
            wide = np.zeros((n, m + -m % multiple), dtype=theta.dtype)
            wide[:, :m] = block
            blocks.append(wide.ravel())
        return np.concatenate(blocks)

    def narrow(self, wide: np.ndarray, multiple: int, theta: np.ndarray):
        """Copy back to ``theta`` what `widen` gave."""
        start = 0
        for block in self._blocks(theta):
            width = block.shape[1] + -block.shape[1] % multiple
            stop = start + len(block) * width
            block[...] = wide[start:stop].reshape(-1, width)[:, : block.shape[1]]
            start = stop

    def _blocks(self, theta):
        """Views of ``theta``, in the order and with the rows of `widen`."""
        filters, biases, latent = self.layers(theta)
        yield from (filters[0], biases[0][None], latent)
        for F, b in zip(filters[1:], biases[1:], strict=True):
            yield from (F.T, b[None])

    def filter_mask(self) -> np.ndarray:
        """1 where the L2 penalty applies (the filters), 0 elsewhere; float32."""
        mask = np.zeros(self.n_parameters, dtype=np.float32)
        for view in self.layers(mask).filters:
            view[...] = 1
        return mask

    def initial_parameters(self, latent, rng) -> np.ndarray:
        """Draw filters and biases by Glorot and Bengio's rule for the logistic.

        Parameters
        ----------
        latent : ndarray of shape (p_2, n_coordinates)
            Where the latent coordinates start.
        rng : numpy.random.RandomState
        """
        theta = np.empty(self.n_parameters, dtype=np.float64)
        views = self.layers(theta)
        for filters, biases in zip(views.filters, views.biases, strict=True):
            bound = np.sqrt(2.0 / sum(filters.shape))
            filters[...] = rng.uniform(-bound, bound, filters.shape)
            biases[...] = rng.uniform(-bound, bound, biases.shape)
        views.latent[...] = np.asarray(latent).T
        return theta

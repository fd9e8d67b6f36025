"""Networks that slide over a brain, as `SlidingWindow`."""

import numpy as np

from .._regressors.roles import role_of
from .networks import forward, targets


class Sliding:
    """Predictions of networks, averaged where target patches overlap.

    Parameters
    ----------
    surroundings : Surroundings
    grid : Grid
    window : Window
    n_targets : int
    """

    def __init__(self, surroundings, grid, window, n_targets):
        self._surroundings, self._grid = surroundings, grid
        self._size, self._n_targets = window.target_patch_size, n_targets
        self._ranks = (
            grid.patches(grid.rank, -1, self._size) if self._size > 1 else None
        )

    def means(self, network):
        """Of the brain's voxels, as `Grid.map` gives them, of shape (n, n_targets)."""
        layers = network.architecture.layers(network.volume_parameters())
        see = self._surroundings.seen_by(network)

        def predict(index):
            psi = forward(*see(index), layers, network.architecture)
            return targets(psi, network)

        patches = self._grid.map(predict, network.n_outputs)
        return patches if self._size == 1 else self._averaged(patches)

    def means_and_deviations(self, members, noise, scale):
        """The mean of members, and how far it may be off.

        Parameters
        ----------
        members : list of Network
        noise : Network
            Of the size of errors.
        scale : float64 array of shape (n_targets * target_patch_size**3,)
            What it is to be multiplied by.
        """
        each = [self.means(member) for member in members]
        mean = mean_of(each)
        scale = scale.reshape(self._n_targets, -1).mean(axis=1).astype(np.float32)
        size = self.means(noise).apply("Max", 0) * scale
        squares = [(one - mean) * (one - mean) for one in each]
        variance = mean_of(squares) * (len(each) / max(len(each) - 1, 1))
        return mean, (variance + size * size).apply("Sqrt")

    def _averaged(self, patches):
        """Mean, in each voxel, of all patches that reach it."""
        n_patch, n = self._size**3, self._n_targets
        # In the patch around a neighbour, a voxel lies on the other side.
        columns = np.arange(n * n_patch).reshape(1, n, n_patch)[:, :, ::-1]
        values, axis = patches.reshape(-1), np.array([1])

        def mean(index):
            rank = self._ranks(index)
            there = rank.apply("GreaterOrEqual", 0)
            start = rank.clip(0, None).to(np.int64) * columns.size
            reached = values.take(start.apply("Unsqueeze", axis) + columns)
            reached = reached.where(there.apply("Unsqueeze", axis), 0)
            return reached.sum(2) / there.to(np.float32).sum(1, keep=True)

        return self._grid.map(mean, n)


def mean_of(values):
    """Of several Values."""
    return values[0].graph.apply("Sum", *values) / len(values)


def networks_of(estimator, n_patch):
    """The networks whose mean is predicted where no source is missing.

    Parameters
    ----------
    estimator : regressor
        A fitted one.
    n_patch : int
        Columns of a patch.

    Returns
    -------
    members : list of Network
    noise : (Network, ndarray) or None
        What predicts the size of errors, and factors on its outputs.

    Raises
    ------
    TypeError
        If anything else than networks has a part.
    ValueError
        If there is no network for all sources.
    """
    regressor = role_of(estimator).of_all_sources
    if regressor is None:
        raise ValueError(
            "An ONNX model takes all sources, and no training subject had all of them, "
            "so that this model has no network for that."
        )
    role = role_of(regressor)
    members = [_network(member, n_patch) for member in role.members()]
    noise = None
    if role.noise is not None:
        noise = _network(role.noise[0], n_patch), role.noise[1]
    return members, noise


def _network(regressor, n_patch):
    network = role_of(regressor).reader(n_patch)
    if network is None:
        raise TypeError(
            "An ONNX model of a synthesis holds networks of this package that see the "
            "whole patch, their ensembles and ShrinkConnect, not a "
            f"{type(regressor).__name__}. Fit with one of these as estimator."
        )
    return network

"""Every voxel of a brain, predicted from the patch around it."""

from contextlib import nullcontext

import numpy as np
from joblib import parallel_config

from .._regressors.roles import role_of
from .._utils.threads import effective_n_threads
from ._aggregation import PatchAverage, VolumePatches
from ._sampling import Window

_VOXELS_AT_ONCE = 16384  # at most, during prediction by any regressor
_BYTES_AT_ONCE = 48 * 2**20  # of their patches, and of what it answers
_OF_A_FEATURE = 24  # bytes: its place, and copies in float32 and float64
_OUTPUTS_AT_ONCE = 1_000_000  # of a network that reads patches from the volume


def shared_n_jobs(n_jobs):
    """Where None in a regressor's ``n_jobs`` stands for the synthesizer's."""
    return nullcontext() if n_jobs is None else parallel_config(n_jobs=n_jobs)


class SlidingWindow:
    """A regressor's predictions over volumes.

    Parameters
    ----------
    estimator : regressor
        A fitted one, from patches and coordinates to target patches.
    mask : ndarray of bool of shape (nx, ny, nz)
        The brain.
    n_targets : int
        Target contrasts.
    window : Window
        What the estimator sees and predicts; target patches are averaged.
    n_jobs : int or None
        Threads.
    """

    def __init__(self, estimator, mask, n_targets, window: Window, n_jobs):
        self.estimator = estimator
        self.mask = mask
        self.n_targets = n_targets
        self.window = window
        self.n_jobs = n_jobs

    def means(self, padded):
        """Predict every voxel of the brain.

        Parameters
        ----------
        padded : PaddedVolumes

        Returns
        -------
        means : float64 array of shape (n_voxels, n_targets)
        """
        return self._means_and_variances(padded)[0]

    def means_and_deviations(self, padded):
        """Predict every voxel of the brain by an ensemble, and how far it may be off.

        Parameters
        ----------
        padded : PaddedVolumes

        Returns
        -------
        means, deviations : float64 arrays of shape (n_voxels, n_targets)
        """
        means, variances = self._means_and_variances(padded)
        regressor, scale = role_of(self.estimator).noise
        scale = scale.reshape(self.n_targets, -1).mean(axis=1)
        noise = np.maximum(self._predict(regressor, padded), 0) * scale
        return means, np.sqrt(variances + noise**2)

    def _means_and_variances(self, padded):
        """Of the members of an ensemble, or of one regressor alone."""
        regressors = role_of(self.estimator).members()
        if len(regressors) == 1:
            means = self._refined(regressors[0], padded)
            return means, np.zeros(means.shape)
        shape = np.count_nonzero(self.mask), self.n_targets
        means, squares = np.zeros(shape), np.zeros(shape)
        for n, regressor in enumerate(regressors, start=1):
            values = self._refined(regressor, padded)
            change = values - means
            means += change / n
            values -= means
            values *= change
            squares += values
        squares /= len(regressors) - 1
        return means, squares

    def _refined(self, regressor, padded):
        values = self._predict(regressor, padded)
        if self.window.target_patch_size > 1:
            for _ in range(role_of(regressor).n_refinements):
                values = self._predict_rows(regressor, padded, values)
        return values

    def _predict(self, regressor, padded):
        network = role_of(regressor).reader(padded.offsets.size)
        if network is None:
            return self._predict_rows(regressor, padded)
        average = self._average()
        centers = padded.centers(self.mask)
        n_threads = effective_n_threads(self.n_jobs)
        step = max(1, _OUTPUTS_AT_ONCE // network.n_outputs)
        for start in range(0, len(centers), step):
            rows = slice(start, start + step)
            values = network.voxels(padded, centers[rows], n_threads)
            average.add(rows, values)
        return average.means()

    def _predict_rows(self, regressor, padded, means=None):
        """The same through arrays; with ``means``, refine these predictions."""
        average = self._average()
        centers = padded.centers(self.mask)
        if means is not None:
            estimate = VolumePatches(means, self.mask, self.window.target_patch_size)
        n_values = padded.offsets.size + 3
        n_values += self.n_targets * self.window.target_patch_size**3
        fitting = _BYTES_AT_ONCE // (_OF_A_FEATURE * n_values)
        step = max(1, min(_VOXELS_AT_ONCE, fitting))
        for start in range(0, len(centers), step):
            rows = slice(start, start + step)
            X = padded.patches(centers[rows])
            if self.window.n_coordinates:
                X = np.hstack([X, padded.coordinates(centers[rows])])
            with shared_n_jobs(self.n_jobs):
                if means is None:
                    values = regressor.predict(X)
                else:
                    values = regressor.refine(X, estimate[rows])
            average.add(rows, values)
        return average.means()

    def _average(self):
        return PatchAverage(self.mask, self.n_targets, self.window.target_patch_size)

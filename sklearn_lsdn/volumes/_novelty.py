"""How unlike training the surroundings of a voxel are."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import (
    affine_transform,
    find_objects,
    gaussian_filter,
    map_coordinates,
)

from .._utils.checks import check_numbers, ensure
from .._utils.persistable import persistable
from ._patches import in_brain

WHAT_COUNTS = (
    "Minus the decimal logarithm of the share of training voxels, each subject judged "
    "by the others, whose surroundings were as unusual for their place: 2 is one in a "
    "hundred, 3 one in a thousand; beyond 4 it is extrapolated."
)
_CELL = 16.0  # mm, within which places are one
_BLUR = 0.7  # cells
_PRIOR = 10.0  # voxels with which a cell begins, from anywhere in the brain
_STEP = 3.0  # mm from one patch that is looked at to the next
_AROUND = 12.0 / np.sqrt(8 * np.log(2))  # mm; a Gaussian's width, over which to average
_FLAT = 0.03  # standard deviations of a scan, which no texture falls below
_ROWS = 2**14  # at once
_SHARES = np.linspace(0, 4, 41)  # powers of ten


@persistable()
@dataclass(frozen=True, eq=False)
class Novelty:
    """What is usual of patches at each place, as training had them.

    Of the coarsest patch in each contrast two features count: its mean, and the
    logarithm of its standard deviation. Each is compared with its mean and deviation
    at the place; the mean square, averaged over the surroundings, is the energy.

    Parameters
    ----------
    coarsest : int
        Which of the scales.
    units : ndarray of shape (n_contrasts,)
        Standard deviations of intensities.
    centre, width : ndarray of shape (n_features,)
        Of the features, anywhere.
    origin : ndarray of shape (3,)
        Place of the first cell, in mm.
    means, deviations : float32 arrays of shape (n_features, nx, ny, nz)
        In cells of 16 mm, of features less ``centre`` in ``width``. Where places are
        not known, there is one cell.
    precision : ndarray of shape (n_features, n_features)
        Inverse of the correlations between what is left of the features.
    energies : ndarray of shape (41,)
        Those that 1, 10 ** -0.1, ... 10 ** -4 of the training voxels reach.
    """

    coarsest: int
    units: np.ndarray
    centre: np.ndarray
    width: np.ndarray
    origin: np.ndarray
    means: np.ndarray
    deviations: np.ndarray
    precision: np.ndarray
    energies: np.ndarray

    @classmethod
    def of(cls, patches, places, n_contrasts, scales, located) -> "Novelty":
        """Learn from the rows that a regressor is trained on.

        Parameters
        ----------
        patches : float32 array of shape (n, n_contrasts * n_scales * patch_size**3)
        places : list of ndarray of shape (n_i, 3)
            Of each subject's voxels, in mm, whose patches come one after another.
        n_contrasts : int
        scales : tuple of int
        located : bool
            Whether a place is the same in all subjects.
        """
        coarsest = int(np.argmax(scales))
        shape = n_contrasts, len(scales), -1
        coarse = patches.reshape(len(patches), *shape)[:, :, coarsest]
        units = np.maximum(coarse[:, :, coarse.shape[2] // 2].std(axis=0), 1e-6)
        features = _features(coarse, units)
        centre, width = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-6)
        ends = np.cumsum([len(each) for each in places])
        features = np.split((features - centre) / width, ends[:-1])
        every = np.concatenate(places)
        origin = every.min(axis=0).astype(np.float64)
        reach = np.ptp(every, axis=0) // _CELL + 2 if located else np.ones(3)
        cells = tuple(reach.astype(int))
        sums = [
            _sums(*pair, origin, cells) for pair in zip(features, places, strict=True)
        ]
        total = sum(sums)
        usual = _usual(total)
        left = np.concatenate(
            [
                _residuals(each, where, origin, *usual)
                for each, where in zip(features, places, strict=True)
            ]
        )
        n = left.shape[1]
        # Not by a BLAS, whose rounding may follow the number of its threads.
        correlation = np.einsum("ij,ik->jk", left, left) / len(left)
        correlation += 1e-3 * np.eye(n)
        precision = np.linalg.inv(correlation) / n
        energies = []
        for each, where, own in zip(features, places, sums, strict=True):
            by = _usual(total - own) if len(sums) > 1 else usual
            left = _residuals(each, where, origin, *by)
            energies.append(_averaged(_energy(left, precision), where))
        tails = np.quantile(np.concatenate(energies), 1 - 10**-_SHARES)
        # Each above the one before, in float32 too.
        tails += 1e-5 * max(tails[-1], 1.0) * np.arange(len(tails))
        arrays = units, centre, width, origin, *usual, precision, tails
        return cls(coarsest, *(np.asarray(each, dtype=np.float32) for each in arrays))

    def at(self, padded, mask, voxel_size, contrasts) -> np.ndarray:
        """Say how unlike training the surroundings of each voxel of a brain are.

        Parameters
        ----------
        padded : PaddedVolumes
            What the regressor reads.
        mask : ndarray of bool of shape (nx, ny, nz)
            The brain.
        voxel_size : ndarray of shape (3,)
            In mm.
        contrasts : list of int
            Those that the subject has; others are not asked.

        Returns
        -------
        novelty : float32 array of shape (n_voxels,)
            As `WHAT_COUNTS` says.
        """
        steps = np.maximum(1, np.round(_STEP / voxel_size).astype(int))
        lattice = _every(mask, steps)
        if not lattice.any():
            steps = np.ones(3, dtype=int)
            lattice = mask
        first = _first(mask.shape, steps)
        chosen = np.zeros_like(mask)
        where = tuple(slice(f, None, s) for f, s in zip(first, steps, strict=True))
        chosen[where] = lattice
        energies = self._energies(padded, padded.centers(chosen), contrasts)
        values = in_brain(energies, lattice)
        sigma = _AROUND / (voxel_size * steps)
        values, weights = _blurred(values, sigma), _blurred(lattice, sigma)
        values /= np.maximum(weights, 1e-6)
        values = self._rarity(values).astype(np.float32)
        (box,) = find_objects(mask, max_label=1)
        start = np.array([side.start for side in box])
        shape = mask[box].shape
        values = affine_transform(
            values, 1 / steps, (start - first) / steps, shape, order=1, mode="nearest"
        )
        return values[mask[box]]

    def _energies(self, padded, centers, contrasts):
        precision = self._precision_of(contrasts)
        energies = np.empty(len(centers), dtype=np.float32)
        shape = len(self.units), -1, padded.offsets.shape[1]
        for begin in range(0, len(centers), _ROWS):
            rows = centers[begin : begin + _ROWS]
            patches = padded.patches(rows).reshape(len(rows), *shape)
            features = _features(patches[:, :, self.coarsest], self.units)
            features = (features - self.centre) / self.width
            places = padded.coordinates(rows)
            usual = self.origin, self.means, self.deviations
            left = _residuals(features, places, *usual)
            left[np.isnan(left)] = 0  # of contrasts that are missing
            energies[begin : begin + _ROWS] = _energy(left, precision)
        return energies

    def _precision_of(self, contrasts):
        """The same where only these contrasts have features."""
        n = len(self.units)
        if len(contrasts) == n:
            return self.precision
        asked = np.ix_(*[[*contrasts, *(n + c for c in contrasts)]] * 2)
        correlation = np.linalg.inv(np.float64(self.precision) * 2 * n)
        precision = np.zeros_like(correlation)
        precision[asked] = np.linalg.inv(correlation[asked]) / (2 * len(contrasts))
        return precision

    def _rarity(self, energies):
        tails = self.energies
        beyond = np.maximum(energies - tails[-1], 0) / max(tails[-1] - tails[-11], 1e-3)
        return np.interp(energies, tails, _SHARES) + beyond

    def check_window(self, n_contrasts, scales) -> None:
        """Raise ValueError unless it is of so many contrasts at these scales."""
        ensure(len(self.units) == n_contrasts, "novelty is of other contrasts")
        ensure(0 <= self.coarsest < len(scales), "novelty is of no scale")

    def _check_parts(self):
        n = 2 * len(self.units)
        shapes = {
            "units": (n // 2,),
            "centre": (n,),
            "width": (n,),
            "origin": (3,),
            "means": (n, *np.shape(self.means)[1:]),
            "deviations": np.shape(self.means),
            "precision": (n, n),
            "energies": _SHARES.shape,
        }
        for name, shape in shapes.items():
            check_numbers(self, name, getattr(self, name), shape, "f4")
        positive = self.units, self.width, self.deviations, np.diff(self.energies)
        ensure(self.means.ndim == 4, "places have no axes")
        ensure(all((each > 0).all() for each in positive), "a spread is not above 0")


def _features(patches, units):
    """Mean and texture; patches of shape (n, n_contrasts, patch_size**3)."""
    textures = np.log(patches.std(axis=2) / units + _FLAT)
    return np.hstack([patches.mean(axis=2), textures]).astype(np.float64)


def _sums(features, places, origin, cells):
    """Counts, sums and sums of squares in each cell, a row for each of them."""
    index = np.clip((places - origin) / _CELL + 0.5, 0, np.subtract(cells, 1))
    index = np.ravel_multi_index(index.astype(int).T, cells)
    columns = [None, *features.T, *np.square(features).T]
    size = int(np.prod(cells))
    return np.stack([np.bincount(index, c, size).reshape(cells) for c in columns])


def _usual(sums):
    """Means and standard deviations in each cell, with what its neighbours say."""
    count, *sums = [gaussian_filter(each, _BLUR, mode="constant") for each in sums]
    n = len(sums) // 2
    means = np.stack(sums[:n]) / (count + _PRIOR)
    squares = (np.stack(sums[n:]) + _PRIOR) / (count + _PRIOR)
    return means, np.sqrt(np.maximum(squares - means**2, 0.01))


def _residuals(features, places, origin, means, deviations):
    """What the place does not explain, in its standard deviations."""
    index = ((places - origin) / _CELL).T

    def there(grids):
        drawn = [map_coordinates(g, index, order=1, mode="nearest") for g in grids]
        return np.stack(drawn, axis=1)

    return (features - there(means)) / there(deviations)


def _energy(residuals, precision):
    return np.einsum("ij,jk,ik->i", residuals, precision, residuals)


def _averaged(energy, places):
    """Over the surroundings, of voxels drawn at random."""
    index = ((places - places.min(axis=0)) / _STEP).astype(int).T
    shape = tuple(index.max(axis=1) + 1)
    flat, size = np.ravel_multi_index(index, shape), int(np.prod(shape))
    sums = (np.bincount(flat, w, size).reshape(shape) for w in (energy, None))
    total, count = (_blurred(each, _AROUND / _STEP) for each in sums)
    return (total / np.maximum(count, 1e-6)).ravel()[flat]


def _blurred(values, sigma):
    values = values.astype(np.float32)
    return gaussian_filter(values, sigma, truncate=3, mode="constant")


def _first(shape, steps):
    return np.minimum(steps // 2, np.subtract(shape, 1) // 2)


def _every(mask, steps):
    first = _first(mask.shape, steps)
    return mask[tuple(slice(f, None, s) for f, s in zip(first, steps, strict=True))]

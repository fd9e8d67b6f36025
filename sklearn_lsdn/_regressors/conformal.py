"""Intervals that keep their level on new groups, by split conformal prediction."""

import math
from dataclasses import dataclass
from numbers import Real

import numpy as np

from .._utils.checks import check_numbers, ensure
from .._utils.persistable import persistable

_N_QUANTILES = 512  # of a distribution of scores
_AT_MOST = 2**20  # of all distributions
_LEAST = 0.05  # of the root mean square of residuals: no deviation counts as smaller


@persistable()
@dataclass(frozen=True, eq=False)
class HeldBackScores:
    """How many deviations errors amounted to where training had been kept from.

    Of each group (subject) held back the distribution of its samples' scores counts as
    one observation, as in hierarchical conformal prediction; or, without groups, each
    sample does, as in plain split conformal prediction.

    Parameters
    ----------
    quantiles : float32 array of shape (n_distributions, n_outputs, n_quantiles)
        Scores in ascending order, each exceeded by equally many more samples: of each
        group, or of all samples together.
    n_held_back : int
        Groups, or samples.
    floors : float64 array of shape (n_outputs,)
        What deviations are raised to where they are smaller, so that next to nothing
        does not divide.
    """

    quantiles: np.ndarray
    n_held_back: int
    floors: np.ndarray

    @classmethod
    def of(cls, predict, residuals, weight, groups=None) -> "HeldBackScores":
        """Learn from residuals of samples held back.

        Parameters
        ----------
        predict : callable
            ``predict(rows)`` gives the deviations of the samples with these indices,
            as an array of shape (n_rows, n_outputs).
        residuals : ndarray of shape (n_samples, n_outputs)
        weight : ndarray of shape (n_samples,)
            Of samples within their group; groups count alike.
        groups : ndarray of shape (n_samples,), default=None
        """
        mean_square = np.average(residuals**2, axis=0, weights=weight)
        floors = _LEAST * np.sqrt(mean_square)
        if groups is None:
            n_held_back, parts = len(residuals), [np.arange(len(residuals))]
        else:
            different, group = np.unique(groups, return_inverse=True)
            n_held_back = len(different)
            order = np.argsort(group, kind="stable")
            parts = np.split(order, np.cumsum(np.bincount(group))[:-1])
        positive = np.where(floors > 0, floors, 1)  # else no residual differs from 0
        n_quantiles = min(_N_QUANTILES, max(1, _AT_MOST // (len(parts) * len(floors))))
        quantiles = []
        for rows in parts:
            scores = abs(residuals[rows]) / np.maximum(predict(rows), positive)
            quantiles.append(_quantiles(scores, weight[rows], n_quantiles))
        return cls(np.array(quantiles), n_held_back, floors)

    @property
    def of_groups(self) -> bool:
        """Whether groups were held back, rather than samples at random."""
        return self.n_held_back == len(self.quantiles)

    @property
    def highest(self) -> float:
        """The highest level that intervals can keep."""
        return self.n_held_back / (self.n_held_back + 1)

    def __str__(self):
        what = "groups" if self.of_groups else "samples"
        return f"up to {_floored(self.highest)}, {self.n_held_back} {what} held back"

    def check_level(self, level) -> None:
        """Raise ValueError unless intervals can keep a level."""
        _check_range(level)
        if level > self.highest + 1e-12:
            what = "groups (subjects)" if self.of_groups else "samples"
            raise ValueError(
                f"An interval of level {level:g} cannot be kept: {self.n_held_back} "
                f"{what} were held back in training, and n of them keep no level above "
                f"n / (n + 1), which is {_floored(self.highest)}. Ask for less, or "
                "train on more."
            )

    def reach(self, deviations, level) -> np.ndarray:
        """How far an interval reaches to either side of the prediction.

        Parameters
        ----------
        deviations : ndarray of shape (n_samples, n_targets)
            Of each output; or of what as many outputs in a row stand for together,
            such as the voxels of a patch.
        level : float
            Between 0 and 1.

        Returns
        -------
        reach : ndarray of shape (n_samples, n_targets)

        Raises
        ------
        ValueError
            If the level cannot be kept.
        """
        self.check_level(level)
        n_targets = deviations.shape[1]
        pooled = self.quantiles.reshape(len(self.quantiles), n_targets, -1)
        pooled = np.sort(np.moveaxis(pooled, 1, 0).reshape(n_targets, -1))
        # A new group may be worse than any, and has a share in the level as each has.
        n_inside = level / self.highest * pooled.shape[1]
        factor = pooled[:, max(0, math.ceil(n_inside - 1e-6) - 1)]
        floors = self.floors.reshape(n_targets, -1).mean(axis=1)
        return factor * np.maximum(deviations, floors)

    def check_size(self, n_outputs) -> None:
        """Raise ValueError unless they are of so many outputs."""
        ensure(len(self.floors) == n_outputs, "scores are of other outputs")

    def _check_parts(self):
        shape = np.shape(self.quantiles)
        ensure(len(shape) == 3 and all(shape), "there are no scores")
        check_numbers(self, "quantiles", self.quantiles, shape, "f4")
        check_numbers(self, "floors", self.floors, shape[1:2])
        n = self.n_held_back
        ensure(isinstance(n, int), "it is not said how many were held back")
        ensure(n > 1 and shape[0] in (1, n), "scores are lost")


def scores_that_keep(scores, level) -> HeldBackScores:
    """The same scores, of which a level can be asked.

    Parameters
    ----------
    scores : HeldBackScores or None
    level : float

    Raises
    ------
    ValueError
        If there are none, or intervals cannot keep the level.
    """
    _check_range(level)
    if scores is None:
        raise ValueError(
            "This model has no intervals: they take an ensemble that was trained on "
            "two or more groups (subjects), by this release or a later one. Fit again, "
            "with n_estimators=2 or more (lsdn fit --n-estimators)."
        )
    scores.check_level(level)
    return scores


def _check_range(level):
    if not (isinstance(level, Real) and 0 < level < 1):
        raise ValueError(
            f"The level of an interval must lie between 0 and 1, got {level!r}. Give "
            "0.9 for 90 %."
        )


def _quantiles(scores, weight, n_quantiles):
    """Smallest scores up to which at least 1/n, 2/n, ... of the weight lies.

    Returns
    -------
    quantiles : float32 array of shape (n_outputs, n_quantiles)
    """
    levels = np.arange(1, n_quantiles + 1) / n_quantiles
    quantiles = []
    for column in scores.T:
        order = np.argsort(column, kind="stable")
        share = np.cumsum(weight[order], dtype=float)
        at = np.searchsorted(share, levels * share[-1] * (1 - 1e-12))
        quantiles.append(column[order[at]])
    exact = np.array(quantiles)
    rounded = exact.astype(np.float32)
    return np.where(rounded < exact, np.nextafter(rounded, np.float32(np.inf)), rounded)


def _floored(level):
    """With three digits, none of which promises too much."""
    return f"{math.floor(1000 * level) / 1000:g}"

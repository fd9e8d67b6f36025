"""A glance at each subject's scans, to tell whether they are of one person.

Scans of one head share what no two heads share: where exactly tissue ends. So the
mutual information of a person's own scans exceeds that of theirs with another's at the
same places.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from nibabel.affines import apply_affine
from scipy.ndimage import find_objects

from ..exceptions import PairWarning

_POINTS = 20_000  # of the brain, about, to compare
_MOST = 500_000  # of its box
_UNIT = 2.0**-10  # mm; lattices are multiples of it, by powers of two
_REACH = 2**21  # of these units, beyond which no head lies
_LEVELS = 16  # of intensities, each as frequent as the others
_FEWEST = 500  # points of brain, to tell
_COARSEST = 7.01**3  # mm3 of a voxel, to tell: in larger ones heads are too much alike
_OTHERS = 8  # subjects to compare with
_MORE = 1.15  # times what strangers share: what scans of one person do, at least
_SOMETHING = 0.05  # nats that strangers share, for a comparison
_SAME_HEAD = 0.6  # nats that two first scans share, if they are of one head


@dataclass
class Glance:
    """Intensities of a subject's scans on a coarse lattice of places, as levels.

    Parameters
    ----------
    points : int64 array of shape (n_points,)
        Of the lattice within the brain, in ascending order. A coarser lattice is a
        part of a finer one, so that any two have points in common.
    levels : list of uint8 arrays of shape (n_points,)
        Of each scan; None where it is missing.
    weight : float
        Of a point: 1 unless some meet the same voxel, 0 if voxels are too coarse to
        tell heads apart.
    """

    points: np.ndarray
    levels: list[np.ndarray | None]
    weight: float

    @classmethod
    def at(cls, subject, volumes) -> "Glance":
        """Look at a subject that has been read.

        Parameters
        ----------
        subject : Subject
        volumes : list of float32 arrays, or None
            What its source and target contrasts hold.
        """
        points, where = _lattice(subject.mask, subject.places)
        levels = [
            None if volume is None else _levels(volume[where]) for volume in volumes
        ]
        weight = min(np.count_nonzero(subject.mask) / max(len(points), 1), 1.0)
        if abs(np.linalg.det(subject.affine[:3, :3])) > _COARSEST:
            weight = 0.0
        return cls(points, levels, weight)

    @property
    def scans(self) -> list[int]:
        """Those that are not missing."""
        return [k for k, levels in enumerate(self.levels) if levels is not None]

    def is_of_head_of(self, other) -> bool:
        """Whether the first scans that both have are of one head, as it seems."""
        both = [k for k in self.scans if k in other.scans]
        return self.shared(both[0], other, both[0]) >= _SAME_HEAD

    def shared(self, first, other, second) -> float:
        """Mutual information of one's scan with one of another's, in nats.

        0 where one is missing, or too little of the brain is at the same places.
        """
        mine, theirs = self.levels[first], other.levels[second]
        if mine is None or theirs is None:
            return 0.0
        if other is not self:
            _, own, there = np.intersect1d(
                self.points, other.points, assume_unique=True, return_indices=True
            )
            mine, theirs = mine[own], theirs[there]
        pairs = mine * np.uint16(_LEVELS) + theirs
        counts = np.bincount(pairs, minlength=_LEVELS**2).reshape(_LEVELS, _LEVELS)
        n = counts.sum() * min(self.weight, other.weight)
        if n < _FEWEST:
            return 0.0
        share = counts / counts.sum()
        alone = share.sum(axis=1, keepdims=True) * share.sum(axis=0)
        found = share > 0
        information = (share[found] * np.log(share[found] / alone[found])).sum()
        return float(information - (_LEVELS - 1) ** 2 / (2 * n))  # bias of few counts


def _levels(values):
    """Each value's, from 0 on."""
    if not len(values):
        return np.zeros(0, dtype=np.uint8)
    cuts = np.quantile(values, np.arange(1, _LEVELS) / _LEVELS)
    return np.searchsorted(cuts, values).astype(np.uint8)


def _lattice(mask, places):
    """Points of a lattice that lie in the brain, and the voxels nearest to them."""
    n_voxels = max(np.count_nonzero(mask), 1)
    volume = n_voxels * abs(np.linalg.det(places[:3, :3]))
    # Of few voxels none is passed over, though some may be met twice.
    whole = np.floor if n_voxels < _POINTS else np.round
    step = 2.0 ** whole(np.log2(volume / min(n_voxels, _POINTS)) / 3)
    step = max(step, _UNIT)
    (box,) = find_objects(mask, max_label=1)
    corners = [[side.start, side.stop] for side in box]
    corners = apply_affine(places, list(product(*corners)))
    sides = (np.ptp(corners, axis=0) / step + 2).prod()
    while sides > _MOST:  # of a mask that fills little of its box
        step, sides = 2 * step, sides / 8
    low, high = (f(corners / step) for f in (np.floor, np.ceil))
    sides = [np.arange(a, b + 1) for a, b in zip(low.min(0), high.max(0), strict=True)]
    lattice = np.stack(np.meshgrid(*sides, indexing="ij"), -1).reshape(-1, 3) * step
    voxels = np.rint(apply_affine(np.linalg.inv(places), lattice)).astype(int)
    units = np.round(lattice / _UNIT).astype(np.int64) + _REACH // 2
    within = ((voxels >= 0) & (voxels < mask.shape)).all(axis=1)
    within &= ((units >= 0) & (units < _REACH)).all(axis=1)
    within[within] = mask[tuple(voxels[within].T)]
    units, voxels = units[within], voxels[within]
    points = (units[:, 0] * _REACH + units[:, 1]) * _REACH + units[:, 2]
    return points, tuple(voxels.T)


def doubts_of_pairs(glances, names) -> list[PairWarning]:
    """Name subjects whose scans share no more than those of strangers do.

    Parameters
    ----------
    glances : list of Glance
        Of each subject.
    names : list of list of str
        Of the scans of each, those that are there.

    Returns
    -------
    doubts : list of PairWarning
    """
    doubts = []
    for i, mine in enumerate(glances):
        following = [*range(i + 1, len(glances)), *range(i)][:_OTHERS]
        strangers = [
            other
            for other in (glances[j] for j in following)
            if not mine.is_of_head_of(other)
        ]
        scans = mine.scans
        alien = [
            k
            for k in scans
            if scans[1:]
            and all(_are_strange(mine, strangers, o, k) for o in scans if o != k)
        ]
        if alien:
            of_scans = dict(zip(scans, names[i], strict=True))
            strange = of_scans.pop(alien[-1])
            others = of_scans.values()
            doubts.append(
                f"{strange} shares no more with {' and '.join(others)} "
                "than scans of different persons do. Are they of the same person and "
                "session, and registered to one another?"
            )
    return [*map(PairWarning, doubts)]


def _are_strange(mine, strangers, first, second):
    """Whether two scans of a subject share no more than with those of strangers."""
    most = 0.0
    for other in strangers:
        most = max(most, mine.shared(first, other, second))
        most = max(most, other.shared(first, mine, second))
    return most > _SOMETHING and mine.shared(first, mine, second) < _MORE * most

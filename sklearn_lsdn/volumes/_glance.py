"""A glance at each subject's scans, to tell whether they are of one person.

Scans of one head share what no two heads share: where exactly tissue ends. So the
mutual information of a person's own scans exceeds that of theirs with another's, where
both lie on one grid.
"""

from dataclasses import dataclass

import numpy as np

from ..exceptions import PairWarning

_POINTS = 60_000  # of the grid's lattice, about
_LEVELS = 16  # of intensities, each as frequent as the others
_FEWEST = 500  # points of brain, to tell
_OTHERS = 8  # subjects to compare with
_MORE = 1.15  # times what strangers share: what scans of one person do, at least
_SOMETHING = 0.05  # nats that strangers share, for a comparison
_SAME_HEAD = 0.6  # nats that two first scans share, if they are of one head


@dataclass
class Glance:
    """Intensities of a subject's scans on a coarse lattice, as levels.

    Parameters
    ----------
    grid : tuple
        By which lattices can be compared.
    levels : list of uint8 arrays of shape (n_points,)
        Of each scan, from 1 on; 0 outside the brain.
    """

    grid: tuple
    levels: list[np.ndarray]

    @classmethod
    def at(cls, subject) -> "Glance":
        """Look at a subject that has been read."""
        shape = subject.mask.shape
        step = max(round((np.prod(shape) / _POINTS) ** (1 / 3)), 1)
        lattice = (slice(None, None, step),) * 3
        inside = subject.mask[lattice].ravel()
        levels = []
        for volume in [*subject.volumes, *subject.scans]:
            values = volume[lattice].ravel()[inside]
            level = np.zeros(inside.size, dtype=np.uint8)
            if values.size:
                cuts = np.quantile(values, np.arange(1, _LEVELS) / _LEVELS)
                level[inside] = 1 + np.searchsorted(cuts, values)
            levels.append(level)
        return cls((shape, tuple(subject.affine.round(2).ravel())), levels)

    def shared(self, first, other, second) -> float:
        """Mutual information of one's scan with one of another's, in nats.

        0 where they have no lattice in common, or too little brain.
        """
        if self.grid != other.grid:
            return 0.0
        size = _LEVELS + 1
        pairs = self.levels[first] * np.uint16(size) + other.levels[second]
        counts = np.bincount(pairs, minlength=size**2).reshape(size, size)[1:, 1:]
        n = counts.sum()
        if n < _FEWEST:
            return 0.0
        share = counts / n
        alone = share.sum(axis=1, keepdims=True) * share.sum(axis=0)
        found = share > 0
        information = (share[found] * np.log(share[found] / alone[found])).sum()
        return float(information - (_LEVELS - 1) ** 2 / (2 * n))  # bias of few counts


def doubts_of_pairs(glances, names) -> list[PairWarning]:
    """Name subjects whose scans share no more than those of strangers do.

    Parameters
    ----------
    glances : list of Glance
        Of each subject.
    names : list of list of str
        Of the scans of each.

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
            if mine.shared(0, other, 0) < _SAME_HEAD
        ]
        scans = range(len(mine.levels))
        alien = [
            k
            for k in scans
            if all(_are_strange(mine, strangers, o, k) for o in scans if o != k)
        ]
        if alien:
            others = [names[i][k] for k in scans if k != alien[-1]]
            doubts.append(
                f"{names[i][alien[-1]]} shares no more with {' and '.join(others)} "
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

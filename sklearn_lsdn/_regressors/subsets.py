"""SubsetsRegressor: a regressor for each subset of the sources that may be there."""

from itertools import combinations
from typing import Self

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, RegressorMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._utils.callbacks import FitTasks
from .._utils.checks import ensure
from .._utils.persistable import persistable
from .._utils.samples import validate_rows, validate_samples
from .._utils.sklearn_private import CallbackSupportMixin
from .metadata import of_rows
from .roles import Role, facts_of_part, role_of

_SHARE = 0.65  # of the samples, for all but the regressor of every source


@persistable()
class SubsetsRegressor(
    CallbackSupportMixin, MetaEstimatorMixin, RegressorMixin, BaseEstimator
):
    """A regressor for each subset of the sources that may be there.

    Each trains on the samples which have all of its sources: that of every source on
    all of them, the others on a random part, so that all together take little more
    time than two.

    Parameters
    ----------
    estimator : regressor
        It is cloned.
    n_sources : int
    n_coordinates : int
        Columns after those of the sources, which are always there.
    random_state : int, RandomState instance or None, default=None
        Chooses the samples.

    Attributes
    ----------
    estimators_ : list of regressors
        Those that there were samples for, the one of most sources first.
    sources_ : list of tuple of int
        The sources of each.
    n_features_in_, n_outputs_ : int
        Columns of ``X`` and ``y``.
    """

    def __init__(self, estimator, n_sources, n_coordinates, random_state=None):
        self.estimator = estimator
        self.n_sources = n_sources
        self.n_coordinates = n_coordinates
        self.random_state = random_state

    def fit(self, X, y, **metadata) -> Self:
        """Train a regressor for each subset that some samples have.

        Parameters
        ----------
        X : float array of shape (n_samples, n_features)
            As many columns for each source, which are NaN where it is missing, and then
            the coordinates.
        y : float array of shape (n_samples,) or (n_samples, n_outputs)
        **metadata
            Arrays of n_samples, for the ``fit`` of each.

        Returns
        -------
        self : object
        """
        X, y = validate_samples(self, X, y, allow_nan=True)
        self.n_outputs_ = 1 if y.ndim == 1 else y.shape[1]
        there = ~self._missing(X)
        rng = check_random_state(self.random_state)
        self.estimators_, self.sources_ = [], []
        chosen = {}
        for sources in self._subsets():
            rows = np.flatnonzero(there[:, sources].all(axis=1))
            if len(sources) < self.n_sources:
                n_rows = int(np.ceil(_SHARE * len(rows)))
                rows = np.sort(rng.choice(rows, n_rows, replace=False))
            if rows.size:
                chosen[sources] = rows
        tasks = FitTasks(self, len(chosen), X, y, metadata.get("sample_weight"))
        for sources, rows in chosen.items():
            part = clone(self.estimator)
            given = of_rows(metadata, rows)
            with tasks.delegated("fit-subset", part):
                part.fit(self._columns(X[rows], sources), y[rows], **given)
            self.estimators_.append(part)
            self.sources_.append(sources)
        tasks.close()
        return self

    def predict(self, X) -> np.ndarray:
        """Predict each sample from the sources that it has.

        Parameters
        ----------
        X : float array of shape (n_samples, n_features)
            As in `fit`.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        """
        check_is_fitted(self)
        X = validate_rows(self, X, allow_nan=True)
        missing = self._missing(X)
        y = np.empty((len(X), self.n_outputs_))
        for pattern in np.unique(missing, axis=0):
            rows = (missing == pattern).all(axis=1)
            part, sources = self.choose(pattern)
            values = part.predict(self._columns(X[rows], sources))
            y[rows] = values.reshape(-1, self.n_outputs_)
        return y if self.n_outputs_ > 1 else y.ravel()

    def choose(self, missing) -> tuple:
        """The regressor of most sources among those that are there, and its sources.

        Parameters
        ----------
        missing : array of bool of shape (n_sources,)
        """
        for part, sources in zip(self.estimators_, self.sources_, strict=True):
            if not any(missing[c] for c in sources):
                return part, sources
        there = [str(c + 1) for c in range(self.n_sources) if not missing[c]]
        raise ValueError(
            f"Nothing was learned from source {' or '.join(there)} alone; one of those "
            f"that were: {self.sources_}."
        )

    def _subsets(self):
        """All but the empty one, the largest first."""
        every = range(self.n_sources)
        for size in range(self.n_sources, 0, -1):
            yield from combinations(every, size)

    def _width(self):
        return (self.n_features_in_ - self.n_coordinates) // self.n_sources

    def _missing(self, X):
        """Which samples lack which sources."""
        width = self._width()
        return np.isnan(X[:, : width * self.n_sources : width])

    def _columns(self, X, sources):
        """Those of some sources, and the coordinates."""
        kept = np.zeros(self.n_sources, dtype=bool)
        kept[list(sources)] = True
        kept = np.repeat(kept, self._width())
        return X[:, np.append(kept, np.ones(self.n_coordinates, dtype=bool))]

    def _check_parts(self):
        ensure(len(self.estimators_) == len(self.sources_) > 0, "a subset is missing")
        ensure(set(self.sources_) <= set(self._subsets()), "a subset is of no sources")
        for part, sources in zip(self.estimators_, self.sources_, strict=True):
            n_features = self._width() * len(sources) + self.n_coordinates
            role_of(part).check_sizes(n_features, self.n_outputs_)


class _SubsetsRole(Role):
    @property
    def _each(self):
        return role_of(self.regressor.estimator)

    @property
    def maps(self):
        return self._each.maps

    @property
    def copies(self):  # and one of the samples of a subset
        return 1 + self._each.copies

    @property
    def noise(self):
        return role_of(self.regressor.estimators_[0]).noise

    @property
    def held_back(self):
        """Of the part that promises least."""
        each = [role_of(part).held_back for part in self.regressor.estimators_]
        return None if None in each else min(each, key=_promise)

    @property
    def of_all_sources(self):
        whole = len(self.regressor.sources_[0]) == self.regressor.n_sources
        return self.regressor.estimators_[0] if whole else None

    def within(self, padded):
        size = len(padded.channels) // self.regressor.n_sources
        part, sources = self.regressor.choose(padded.missing[::size])
        channels = range(len(padded.channels))
        return part, padded.only([c for c in channels if c // size in sources])

    def networks(self):
        found = {}
        pairs = zip(self.regressor.estimators_, self.regressor.sources_, strict=True)
        for part, sources in pairs:
            networks, name = role_of(part).networks(), f"from {_described(sources)}"
            for each, network in networks.items():
                found[name if len(networks) == 1 else f"{name}, {each}"] = network
        return found

    def to_be_shrunk(self):
        raise TypeError(
            "A model for subjects who lack sources has several networks, which are "
            "shrunk in training: fit with estimator=ShrinkConnect() (lsdn fit "
            "--shrink)."
        )

    def facts(self):
        first = self.regressor.estimators_[0]
        subsets = ", ".join(map(_described, self.regressor.sources_))
        return {"one for each of": subsets, **facts_of_part("the first", first)}


def _promise(scores):
    return scores.of_groups, scores.highest


def _described(sources):
    return " and ".join(f"source {c + 1}" for c in sources)


@role_of.register
def _(regressor: SubsetsRegressor):
    return _SubsetsRole(regressor)

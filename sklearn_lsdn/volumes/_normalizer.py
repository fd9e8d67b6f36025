"""What normalisers have in common: there and back, by what describes a scan."""

from collections.abc import Iterable, Sequence
from typing import Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from .._utils.checks import check_numbers
from .._utils.persistable import persistable

NORMALIZER_METHODS = [
    "background",
    "describe",
    "fit_descriptions",
    "from_shared",
    "to_shared",
]
"""What a normalizer of a user's own must have."""

_BLOCK = 2**18  # intensities
_BY_NAME = {}
_WORDS = {}
_CHOICE = "auto"


class Normalizer(BaseEstimator):
    """What all have in common.

    Each brings `_describe`, `_normalise`, `_restore` and `_n_described`, the numbers
    that describe a scan. One with a name, and a place among those of `volumes`, is
    known by it everywhere: as a parameter, to the command, and in model files. Words
    say by what it normalises.
    """

    def __init_subclass__(cls, name=None, words=None, younger=None, **more):
        super().__init_subclass__(**more)
        if name is not None:
            register = persistable("sklearn_lsdn.volumes", younger=younger)
            _BY_NAME[name] = register(cls)
            _WORDS[cls] = words

    def fit(self, volumes: Iterable[np.ndarray], masks: Iterable[np.ndarray]) -> Self:
        """Learn the units of a typical scan.

        Parameters
        ----------
        volumes : iterable of ndarray of shape (nx, ny, nz)
            Scans of the training cohort.
        masks : iterable of ndarray of bool
            The brain of each.

        Returns
        -------
        self : object
        """
        return self.fit_descriptions(
            [self.describe(v, m) for v, m in zip(volumes, masks, strict=True)]
        )

    def fit_descriptions(self, descriptions: Sequence[np.ndarray]) -> Self:
        """Learn the units of a typical scan from what `describe` says of each.

        Parameters
        ----------
        descriptions : list of ndarray

        Returns
        -------
        self : object
        """
        self.typical_ = np.median(np.array(descriptions), axis=0)
        return self

    def transform(self, volume: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Bring a scan to the shared scale.

        Parameters
        ----------
        volume : ndarray of shape (nx, ny, nz)
            A scan, in its own units.
        mask : ndarray of bool of the same shape
            Its brain.

        Returns
        -------
        normalised : float32 array of shape (nx, ny, nz)
        """
        return self.to_shared(volume, self.describe(volume, mask))

    def inverse_transform(
        self,
        normalised: np.ndarray,
        scan: np.ndarray | None = None,
        mask: np.ndarray | None = None,
    ) -> np.ndarray:
        """Bring normalised intensities to the units of a scan.

        Parameters
        ----------
        normalised : ndarray
            Intensities on the shared scale.
        scan : ndarray of shape (nx, ny, nz), default=None
            The scan whose units to take; by default, those of a typical scan of
            the training cohort.
        mask : ndarray of bool of shape (nx, ny, nz), default=None
            Brain of ``scan``.

        Returns
        -------
        intensities : float32 array of the shape of ``normalised``
        """
        if scan is not None:
            return self.from_shared(normalised, self.describe(scan, mask))
        check_is_fitted(self)
        return self.from_shared(normalised, self.typical_)

    def background(self) -> float:
        """Bring the intensity 0 of a typical scan to the shared scale.

        Returns
        -------
        intensity : float
        """
        return float(self.to_shared(np.zeros(1), self.typical_)[0])

    def describe(self, volume: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Say what a scan's units are.

        Parameters
        ----------
        volume : ndarray of shape (nx, ny, nz)
            A scan.
        mask : ndarray of bool of the same shape
            Its brain.

        Returns
        -------
        description : float64 array
            Of one shape for all scans.

        Raises
        ------
        ValueError
            If the scan is constant over its brain, or nearly so.
        """
        return self._describe(volume[mask])

    def to_shared(self, values: np.ndarray, description: np.ndarray) -> np.ndarray:
        """Normalise intensities of a scan that has been described.

        Parameters
        ----------
        values : ndarray
            Intensities in the scan's units.
        description : ndarray
            What `describe` says of the scan.

        Returns
        -------
        normalised : float32 array of the shape of ``values``
        """
        return _by_blocks(self._normalise, values, description)

    def from_shared(self, values: np.ndarray, description: np.ndarray) -> np.ndarray:
        """Undo `to_shared`.

        Parameters
        ----------
        values : ndarray
            Intensities on the shared scale.
        description : ndarray
            What `describe` says of the scan whose units to take.

        Returns
        -------
        intensities : float32 array of the shape of ``values``
        """
        return _by_blocks(self._restore, values, description)

    def _check_parts(self):
        check_numbers(self, "typical_", self.typical_, (self._n_described,))


class LinearNormalizer(Normalizer):
    """Maps a location and a scale of each scan's brain to 0 and 1."""

    _n_described = 2

    def _describe(self, values):
        location, scale = self._location_and_scale(values)
        if not scale > 0:
            raise ValueError(is_constant(values))
        return np.array([location, scale], dtype=np.float64)

    def _normalise(self, values, description):
        location, scale = description
        return (values - location) / scale

    def _restore(self, values, description):
        location, scale = description
        return values * scale + location


def is_constant(values) -> str:
    """Say so."""
    return f"its brain is constant (value {values[0]:g} in {len(values)} voxels)"


def _by_blocks(function, values, description):
    """Apply a function in float64 without a float64 copy of a whole volume."""
    values = np.ascontiguousarray(values)
    out = np.empty(values.shape, dtype=np.float32)
    flat, flat_out = values.reshape(-1), out.reshape(-1)
    for start in range(0, flat.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        flat_out[block] = function(flat[block].astype(np.float64), description)
    return out


class NormalizerChoice(BaseEstimator):
    """Normalisers among which the training subjects are to decide.

    Parameters
    ----------
    names : tuple of str, default=("zscore", "nyul")
        Of those that do not ask which contrast they are of.
    """

    def __init__(self, names=("zscore", "nyul")):
        self.names = names

    def kinds(self) -> list:
        """An unfitted one of each."""
        return [_BY_NAME[name]() for name in self.names]

    def describe(self, volume, mask) -> list[np.ndarray]:
        """What each of them says of a scan."""
        return [kind.describe(volume, mask) for kind in self.kinds()]


def words_of(normalizer) -> str:
    """By what it normalises, for a person; of a user's own, its class."""
    name = type(normalizer).__name__
    words = _WORDS.get(type(normalizer))
    return f"{words} ({name})" if words else name


def normalizer_names() -> list[str]:
    """All that `resolve_normalizer` knows."""
    return [*_BY_NAME, _CHOICE]


def resolve_normalizer(normalization):
    """Turn the ``normalization`` parameter into an object.

    Raises
    ------
    ValueError
        If it is a name that is not known.
    """
    if not isinstance(normalization, str):
        return normalization
    if normalization == _CHOICE:
        return NormalizerChoice()
    if normalization not in _BY_NAME:
        names = ", ".join(map(repr, normalizer_names()))
        raise ValueError(
            f"normalization must be one of {names} or a normalizer, got "
            f"{normalization!r}."
        )
    return _BY_NAME[normalization]()

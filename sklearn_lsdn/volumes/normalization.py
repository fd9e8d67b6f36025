"""Intensity normalisation: from a scanner's units to a scale that scans share."""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

_BLOCK = 2**18  # intensities


class _LinearNormalizer(BaseEstimator):
    """Maps a location and a scale of each scan's brain to 0 and 1."""

    def describe(self, volume, mask) -> np.ndarray:
        """Location and scale of a scan, in its own units.

        Parameters
        ----------
        volume : ndarray of shape (nx, ny, nz)
            A scan.
        mask : ndarray of bool of the same shape
            Its brain.

        Returns
        -------
        description : float64 array of shape (2,)

        Raises
        ------
        ValueError
            If the scale is 0: the scan is constant, or nearly so.
        """
        values = volume[mask]
        location, scale = self._location_and_scale(values)
        if not scale > 0:
            raise ValueError(
                f"its brain is constant (value {values[0]:g} in {len(values)} voxels)"
            )
        return np.array([location, scale])

    def fit(self, volumes, masks):
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

    def fit_descriptions(self, descriptions):
        """Learn the units of a typical scan from what `describe` says of each.

        Parameters
        ----------
        descriptions : list of ndarray of shape (2,)

        Returns
        -------
        self : object
        """
        self.typical_ = np.median(np.array(descriptions), axis=0)
        return self

    def transform(self, volume, mask) -> np.ndarray:
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

    def inverse_transform(self, normalised, scan=None, mask=None) -> np.ndarray:
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

    def to_shared(self, values, description) -> np.ndarray:
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
        location, scale = description
        return _by_blocks(values, lambda block: (block - location) / scale)

    def from_shared(self, values, description) -> np.ndarray:
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
        location, scale = description
        return _by_blocks(values, lambda block: block * scale + location)


def _by_blocks(values, function):
    """Apply a function in float64 without a float64 copy of a whole volume."""
    values = np.ascontiguousarray(values)
    out = np.empty(values.shape, dtype=np.float32)
    flat, flat_out = values.reshape(-1), out.reshape(-1)
    for start in range(0, flat.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        flat_out[block] = function(flat[block].astype(np.float64))
    return out


class ZScoreNormalizer(_LinearNormalizer):
    """Mean 0 and standard deviation 1 over the brain.

    Attributes
    ----------
    typical_ : ndarray of shape (2,)
        Median over the training scans of their mean and standard deviation, in
        their units.

    See Also
    --------
    PercentileNormalizer : By two percentiles.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lsdn.volumes import ZScoreNormalizer
    >>> scan = np.arange(27.0).reshape(3, 3, 3)
    >>> brain = scan > 0
    >>> z = ZScoreNormalizer().fit([scan], [brain]).transform(scan, brain)
    >>> round(float(z[brain].std()), 5)
    1.0
    """

    def _location_and_scale(self, values):
        return values.mean(dtype=np.float64), values.std(dtype=np.float64)


class PercentileNormalizer(_LinearNormalizer):
    """Two percentiles over the brain become 0 and 1; nothing is clipped.

    Parameters
    ----------
    low, high : float, default=0.1 and 99.9
        The percentiles.

    Attributes
    ----------
    typical_ : ndarray of shape (2,)
        Median over the training scans of the lower percentile and of the distance
        between both, in their units.

    See Also
    --------
    ZScoreNormalizer : By mean and standard deviation.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lsdn.volumes import PercentileNormalizer
    >>> scan = np.arange(27.0).reshape(3, 3, 3)
    >>> brain = scan > 0
    >>> normalizer = PercentileNormalizer(0, 100).fit([scan], [brain])
    >>> normalised = normalizer.transform(scan, brain)
    >>> float(normalised[brain].min()), float(normalised.max())
    (0.0, 1.0)
    """

    def __init__(self, low=0.1, high=99.9):
        self.low = low
        self.high = high

    def _location_and_scale(self, values):
        low, high = np.percentile(values, [self.low, self.high]).astype(np.float64)
        return low, high - low


_BY_NAME = {"zscore": ZScoreNormalizer, "percentile": PercentileNormalizer}


def resolve_normalizer(normalization):
    """Turn the ``normalization`` parameter into an object.

    Raises
    ------
    ValueError
        If it is a name that is not known.
    """
    if not isinstance(normalization, str):
        return normalization
    if normalization not in _BY_NAME:
        raise ValueError(
            f"normalization must be one of {', '.join(map(repr, _BY_NAME))} or a "
            f"normalizer, got {normalization!r}."
        )
    return _BY_NAME[normalization]()

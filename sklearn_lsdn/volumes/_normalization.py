"""Intensity normalisation: from a scanner's units to a scale that scans share."""

from collections.abc import Sequence
from typing import Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._utils.checks import check_numbers
from ._normalizer import LinearNormalizer, Normalizer, is_constant

_QUANTILES = 10_000
FAR = 8.0  # standard deviations: in clean scans hardly any voxel lies beyond
STEEPEST = 10  # slope beyond the landmarks, beside that of the whole map


class ZScoreNormalizer(
    LinearNormalizer,
    name="zscore",
    words="z-scores over the brain",
    younger={"trim": 0.0},
):
    """Mean 0 and standard deviation 1 over the brain.

    Parameters
    ----------
    trim : float, default=0.01
        Share of the voxels, at either end of the histogram, that count as the first of
        those within does: a few bright vessels or artefacts move neither mean nor
        standard deviation. Where it is not 0, intensities beyond 8 standard deviations
        are drawn in as well.

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
    >>> normalizer = ZScoreNormalizer(trim=0).fit([scan], [brain])
    >>> z = normalizer.transform(scan, brain)
    >>> round(float(z[brain].std()), 5)
    1.0
    """

    def __init__(self, trim: float = 0.01) -> None:
        self.trim = trim

    def _location_and_scale(self, values):
        if not 0 <= self.trim < 0.5:
            raise ValueError(f"trim must be from 0 to below 0.5, got {self.trim!r}")
        if self.trim:
            ends = np.quantile(values, [self.trim, 1 - self.trim])
            values = np.clip(values, *ends)
        return values.mean(dtype=np.float64), values.std(dtype=np.float64)

    def _normalise(self, values, description):
        normalised = super()._normalise(values, description)
        return np.clip(normalised, -FAR, FAR) if self.trim else normalised


class PercentileNormalizer(
    LinearNormalizer, name="percentile", words="two percentiles over the brain"
):
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

    def __init__(self, low: float = 0.1, high: float = 99.9) -> None:
        self.low = low
        self.high = high

    def _location_and_scale(self, values):
        low, high = np.percentile(values, [self.low, self.high]).astype(np.float64)
        return low, high - low


class PeakNormalizer(
    LinearNormalizer, name="peak", words="the peak of the brain's histogram"
):
    """The peak of the brain's histogram becomes 1, the scanner's 0 remains 0.

    In T1-weighted scans the last peak is that of the white matter, in the others
    mostly the largest. A lesion or residue of the skull leaves it where it is; but
    where two peaks are about as high, it may be the one in one scan and the other in
    the next: then choose by place.

    Parameters
    ----------
    peak : {"largest", "last", "first"}, default="largest"
        Which, of those at least a quarter as high as the largest.

    Attributes
    ----------
    typical_ : ndarray of shape (2,)
        0, and the median over the training scans of their peaks, in their units.

    See Also
    --------
    ZScoreNormalizer : By mean and standard deviation.

    Notes
    -----
    The histogram is a Gaussian kernel density estimate of at most 10 000 quantiles of
    the brain's intensities between the first and the last per cent.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lsdn.volumes import PeakNormalizer
    >>> scan = np.random.RandomState(0).normal(600, 50, (16, 16, 16))
    >>> scan[:4] = np.random.RandomState(1).normal(200, 50, (4, 16, 16))
    >>> brain = np.ones(scan.shape, dtype=bool)
    >>> normalised = PeakNormalizer().fit([scan], [brain]).transform(scan, brain)
    >>> round(float(np.median(normalised[4:])), 1)
    1.0
    """

    def __init__(self, peak: str = "largest") -> None:
        self.peak = peak

    def _location_and_scale(self, values):
        from scipy.stats import gaussian_kde

        if self.peak not in ("largest", "last", "first"):
            raise ValueError(
                f'peak must be "largest", "last" or "first", got {self.peak!r}'
            )
        share = np.linspace(0.01, 0.99, min(len(values), _QUANTILES))
        quantiles = np.quantile(values.astype(np.float64), share)
        if not quantiles[-1] > quantiles[0]:
            return 0.0, 0.0
        grid = np.linspace(quantiles[0], quantiles[-1], 512)
        density = gaussian_kde(quantiles)(grid)
        ends = np.r_[-np.inf, density, -np.inf]
        is_peak = (density >= ends[:-2]) & (density > ends[2:])
        peaks = np.flatnonzero(is_peak & (density > density.max() / 4))
        chosen = {"last": peaks[-1], "first": peaks[0], "largest": density.argmax()}
        where = grid[chosen[self.peak]]
        if not where > 0:
            raise ValueError(
                f"the {self.peak} peak of its histogram lies at {where:g}, not above 0"
            )
        return 0.0, where


class NyulNormalizer(Normalizer, name="nyul", words="Nyul's landmarks over the brain"):
    """Percentiles of the brain become those of an average training scan.

    Parameters
    ----------
    percentiles : tuple of float, default=(1, 10, 20, ..., 90, 99)
        The landmarks, ascending. In between, and beyond, the map is linear.

    Attributes
    ----------
    landmarks_ : ndarray of shape (n_percentiles,)
        Where they come to lie, from 0 to 1.
    typical_ : ndarray of shape (n_percentiles,)
        Median of each over the training scans, in their units.

    See Also
    --------
    PercentileNormalizer : By two percentiles.

    Notes
    -----
    It makes histograms alike, also where anatomy made them differ: beside an
    atrophied brain, whose ventricles are large, others are not the same tissue at
    the same percentile.

    References
    ----------
    L. G. Nyul, J. K. Udupa, X. Zhang, "New variants of a method of MRI scale
    standardization", IEEE Transactions on Medical Imaging 19 (2000) 143-150,
    doi:10.1109/42.836373.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lsdn.volumes import NyulNormalizer
    >>> scan = np.random.RandomState(0).gamma(9, 30, (8, 8, 8))
    >>> brain = np.ones(scan.shape, dtype=bool)
    >>> normalizer = NyulNormalizer().fit([scan, scan**1.2], [brain, brain])
    >>> one = normalizer.transform(scan, brain)
    >>> other = normalizer.transform(scan**1.2, brain)
    >>> float(abs(one - other).max()) < 0.1
    True
    """

    def __init__(
        self, percentiles: Sequence[float] = (1, *range(10, 100, 10), 99)
    ) -> None:
        self.percentiles = percentiles

    def _describe(self, values):
        if len(self.percentiles) < 2 or np.min(np.diff(self.percentiles)) <= 0:
            raise ValueError(
                "percentiles must be two or more in ascending order, got "
                f"{self.percentiles!r}"
            )
        landmarks = np.percentile(values, self.percentiles).astype(np.float64)
        spread = landmarks[-1] - landmarks[0]
        if not spread > 0:
            raise ValueError(is_constant(values))
        # Landmarks that coincide would leave no way back.
        return np.maximum.accumulate(
            landmarks + 1e-6 * spread * np.arange(len(landmarks))
        )

    def fit_descriptions(self, descriptions: Sequence[np.ndarray]) -> Self:
        """Learn where the landmarks lie in an average scan.

        Parameters
        ----------
        descriptions : list of ndarray of shape (n_percentiles,)

        Returns
        -------
        self : object
        """
        super().fit_descriptions(descriptions)
        first, last = np.array(descriptions).T[[0, -1]]
        shares = (np.array(descriptions).T - first) / (last - first)
        self.landmarks_ = shares.mean(axis=1)
        return self

    def _check_parts(self):
        super()._check_parts()
        check_numbers(self, "landmarks_", self.landmarks_, (self._n_described,))

    @property
    def _n_described(self):
        return len(self.percentiles)

    def _normalise(self, values, description):
        check_is_fitted(self)
        return _piecewise(values, description, self.landmarks_)

    def _restore(self, values, description):
        check_is_fitted(self)
        return _piecewise(values, self.landmarks_, description)


def _piecewise(values, x, y):
    """Piecewise linear through the points (x, y), and straight on beyond them."""
    slopes = np.diff(y) / np.diff(x)
    # Landmarks that coincide, or nearly so, would send what lies beyond far away.
    overall = (y[-1] - y[0]) / (x[-1] - x[0])
    slopes = np.clip(slopes, overall / STEEPEST, overall * STEEPEST)
    low = np.minimum(values - x[0], 0) * slopes[0]
    high = np.maximum(values - x[-1], 0) * slopes[-1]
    return np.interp(values, x, y) + low + high

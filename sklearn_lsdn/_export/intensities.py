"""Intensities of scans, and the scale that scans share."""

import numpy as np

from ..volumes._normalization import (
    FAR,
    STEEPEST,
    NyulNormalizer,
    PercentileNormalizer,
    ZScoreNormalizer,
)
from ..volumes._subject import ARTEFACT


def in_order(values):
    """Ascending."""
    kinds = None, np.int64
    options = dict(largest=0, dtypes=kinds)
    return values.graph.apply_many("TopK", values, values.shape, **options)[0]


def quantiles(ordered, shares):
    """Between the values next to them, as NumPy has it.

    Parameters
    ----------
    ordered : Value of shape (n,)
        Ascending.
    shares : ndarray of shape (n_shares,)

    Returns
    -------
    quantiles : float64 Value of shape (n_shares,)
    """
    last = ordered.shape - 1
    where = last.to(np.float64) * np.asarray(shares, dtype=np.float64)
    below = where.apply("Floor")
    low = below.to(np.int64)
    ends = [ordered.take(i).to(np.float64) for i in (low, (low + 1).apply("Min", last))]
    return ends[0] + (ends[1] - ends[0]) * (where - below)


def without_artefacts(volume, ordered):
    """A volume, and its brain's values in order, without what no tissue reaches."""
    ends = quantiles(ordered, [0.01, 0.99])
    middle, deviation = _moments(_between(ordered, ends))
    reach = deviation * ARTEFACT
    reach = reach.where(reach.apply("Greater", 0.0), np.inf)
    ends = [(middle + each).to(np.float32) for each in (-reach, reach)]
    return volume.clip(*ends), ordered.clip(*ends)


def _between(values, ends):
    return values.to(np.float64).clip(ends.take(0), ends.take(1))


def _moments(values):
    """Mean and standard deviation."""
    mean = values.mean()
    apart = values - mean
    return mean, (apart * apart).mean().apply("Sqrt")


class _Writer:
    """What writes a normalizer into a graph: `to_shared` and `synthesis`."""

    def __init__(self, normalizer):
        self.normalizer = normalizer

    def deviation(self, means, deviations):
        """Standard deviations in the units of a typical scan; float32."""
        upper, lower = means + deviations, means - deviations
        return (self.synthesis(upper) - self.synthesis(lower)) / 2


class _Linear(_Writer):
    """A location and a scale become 0 and 1."""

    def to_shared(self, volume, ordered):
        """Normalise a volume by its brain's values in order; float32."""
        location, scale = self._location_and_scale(ordered)
        return ((volume.to(np.float64) - location) / scale).to(np.float32)

    def synthesis(self, values):
        """In the units of a typical scan; float32."""
        location, scale = self.normalizer.typical_.astype(np.float32)
        return values * scale + location


class _ZScore(_Linear):
    def to_shared(self, volume, ordered):
        shared = super().to_shared(volume, ordered)
        return shared.clip(-FAR, FAR) if self.normalizer.trim else shared

    def _location_and_scale(self, ordered):
        if not (trim := self.normalizer.trim):
            return _moments(ordered.to(np.float64))
        return _moments(_between(ordered, quantiles(ordered, [trim, 1 - trim])))


class _Percentile(_Linear):
    def _location_and_scale(self, ordered):
        of = np.array([self.normalizer.low, self.normalizer.high])
        ends = quantiles(ordered, of / 100)
        low = ends.take(0)
        return low, ends.take(1) - low


class _Nyul(_Writer):
    """Percentiles become those of an average scan."""

    def to_shared(self, volume, ordered):
        of = np.asarray(self.normalizer.percentiles, dtype=np.float64)
        landmarks = quantiles(ordered, of / 100)
        spread = landmarks.take(len(of) - 1) - landmarks.take(0)
        landmarks = landmarks + spread * (1e-6 * np.arange(len(of)))
        return _piecewise(volume, landmarks, self.normalizer.landmarks_)

    def synthesis(self, values):
        landmarks = values.graph.constant(self.normalizer.landmarks_)
        return _piecewise(values, landmarks, self.normalizer.typical_)


def _piecewise(values, x, y):
    """Piecewise linear through points, and straight on beyond them, in float32.

    Parameters
    ----------
    values : Value
    x : float64 Value of shape (n,)
    y : float64 array of shape (n,)
    """
    n = len(y)
    at = [x.take(i) for i in range(n)]
    overall = x.graph.constant(y[-1] - y[0]) / (at[-1] - at[0])
    gentle, steep = overall / STEEPEST, overall * STEEPEST
    parts = []
    for i in range(n - 1):
        width = at[i + 1] - at[i]
        slope = x.graph.constant(y[i + 1] - y[i]) / width
        beyond = slope.clip(gentle, steep).to(np.float32)
        slope, width = slope.to(np.float32), width.to(np.float32)
        apart = values - at[i].to(np.float32)
        parts.append(apart.clip(0, width) * slope)
        if i == 0:
            parts.append(apart.apply("Min", 0) * beyond)
        if i == n - 2:
            parts.append((apart - width).apply("Max", 0) * beyond)
    return values.graph.apply("Sum", *parts) + float(y[0])


_WRITERS = {
    ZScoreNormalizer: _ZScore,
    PercentileNormalizer: _Percentile,
    NyulNormalizer: _Nyul,
}


def writer_of(normalizer):
    """What writes a normalizer into a graph.

    Raises
    ------
    TypeError
        If nothing does.
    """
    writer = _WRITERS.get(type(normalizer))  # not of a subclass, which may do otherwise
    if writer is None:
        names = ", ".join(each.__name__ for each in _WRITERS)
        raise TypeError(
            f"An ONNX model holds the normalisation of {names}, but not that of "
            f"{type(normalizer).__name__}. Fit with another, such as "
            'normalization="zscore".'
        )
    return writer(normalizer)

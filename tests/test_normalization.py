"""Normalisers: a scale that scans share, and the way back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from sklearn_lsdn.volumes import PercentileNormalizer, ZScoreNormalizer
from sklearn_lsdn.volumes.normalization import resolve_normalizer

EACH = pytest.mark.parametrize(
    "normalizer",
    [ZScoreNormalizer(), PercentileNormalizer(), PercentileNormalizer(5, 75)],
)


def _scan(seed=0, gain=1.0, offset=0.0):
    """Scan and its brain; bright residue lies outside the brain."""
    rng = np.random.RandomState(seed)
    scan = (gain * rng.gamma(9, 30, (8, 9, 7)) + offset).astype(np.float32)
    mask = np.zeros(scan.shape, dtype=bool)
    mask[1:-1, 2:-1, 1:-2] = True
    scan[0] = 1e4
    return scan, mask


def test_zscore_has_mean_0_and_deviation_1_over_the_brain():
    scan, mask = _scan()
    values = ZScoreNormalizer().transform(scan, mask)[mask].astype(np.float64)
    assert values.mean() == pytest.approx(0, abs=1e-6)
    assert values.std() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("low", "high"), [(0.1, 99.9), (0, 100), (25, 75)])
def test_percentiles_become_0_and_1(low, high):
    scan, mask = _scan()
    values = PercentileNormalizer(low, high).transform(scan, mask)[mask]
    np.testing.assert_allclose(np.percentile(values, [low, high]), [0, 1], atol=1e-5)


def test_percentiles_do_not_clip():
    scan, mask = _scan()
    normalised = PercentileNormalizer(10, 90).transform(scan, mask)
    assert normalised[mask].min() < 0
    assert normalised[mask].max() > 1


@EACH
def test_normalisation_is_float32_of_the_whole_scan(normalizer):
    scan, mask = _scan()
    before = scan.copy()
    normalised = normalizer.transform(scan, mask)
    assert normalised.dtype == np.float32
    assert normalised.shape == scan.shape
    assert np.ptp(normalised[0]) == 0  # the residue outside, mapped alike
    assert normalised[0, 0, 0] > normalised[mask].max()
    np.testing.assert_array_equal(scan, before)


@EACH
def test_inverse_restores_a_scan(normalizer):
    scan, mask = _scan()
    normalised = normalizer.transform(scan, mask)
    restored = normalizer.inverse_transform(normalised, scan, mask)
    assert restored.dtype == np.float32
    np.testing.assert_allclose(restored, scan, rtol=1e-5)


@EACH
def test_inverse_takes_the_units_of_the_given_scan(normalizer):
    scan, mask = _scan()
    other = 3 * scan + 100
    normalised = normalizer.transform(scan, mask)
    restored = normalizer.inverse_transform(normalised, other, mask)
    np.testing.assert_allclose(restored, other, rtol=1e-4)


@EACH
@given(gain=st.floats(0.01, 100), offset=st.floats(-1000, 1000))
def test_a_scan_normalises_alike_in_any_units(normalizer, gain, offset):
    scan, mask = _scan()
    scan = scan.astype(np.float64)
    np.testing.assert_allclose(
        normalizer.transform(gain * scan + offset, mask),
        normalizer.transform(scan, mask),
        atol=1e-4,
    )


@EACH
def test_typical_units_are_medians_over_scans(normalizer):
    scans, masks = zip(*[_scan(i, g, o) for i, g, o in _UNITS], strict=True)
    fitted = clone(normalizer).fit(scans, masks)
    each = [
        normalizer.describe(scan, mask) for scan, mask in zip(scans, masks, strict=True)
    ]
    np.testing.assert_allclose(fitted.typical_, np.median(each, axis=0))
    assert fitted.typical_.shape == (2,)

    value = fitted.inverse_transform(np.array([0.0, 1.0]))
    location, scale = fitted.typical_
    np.testing.assert_allclose(value, [location, location + scale], rtol=1e-6)


_UNITS = [(0, 1.0, 0.0), (1, 2.0, 100.0), (2, 30.0, -5.0)]


def test_zscore_describes_mean_and_deviation():
    scan, mask = _scan()
    expected = [scan[mask].mean(dtype="f8"), scan[mask].std(dtype="f8")]
    np.testing.assert_allclose(ZScoreNormalizer().describe(scan, mask), expected)


def test_percentiles_describe_low_and_distance():
    scan, mask = _scan()
    low, high = np.percentile(scan[mask], [5, 75])
    described = PercentileNormalizer(5, 75).describe(scan, mask)
    np.testing.assert_allclose(described, [low, high - low], rtol=1e-6)


@EACH
def test_typical_units_need_a_fit(normalizer):
    with pytest.raises(NotFittedError):
        clone(normalizer).inverse_transform(np.zeros(3))


@EACH
@pytest.mark.parametrize("value", [7.0, 0.1, -1 / 3, 1234.567])
def test_a_constant_brain_is_refused(normalizer, value):
    scan, mask = _scan()
    scan[mask] = value
    with pytest.raises(ValueError, match="brain is constant"):
        normalizer.describe(scan, mask)


def test_names_stand_for_normalizers():
    assert type(resolve_normalizer("zscore")) is ZScoreNormalizer
    assert type(resolve_normalizer("percentile")) is PercentileNormalizer
    own = PercentileNormalizer(1, 99)
    assert resolve_normalizer(own) is own
    with pytest.raises(ValueError, match="'zscore', 'percentile'.*got 'minmax'"):
        resolve_normalizer("minmax")

"""Normalisers: a scale that scans share, and the way back."""

import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from sklearn_lsdn.volumes import (
    NyulNormalizer,
    PeakNormalizer,
    PercentileNormalizer,
    ZScoreNormalizer,
)
from sklearn_lsdn.volumes._normalizer import resolve_normalizer

LINEAR = [ZScoreNormalizer(0), PercentileNormalizer(), PercentileNormalizer(5, 75)]


def _scan(seed=0, gain=1.0, offset=0.0):
    """Scan and its brain; bright residue lies outside the brain."""
    rng = np.random.RandomState(seed)
    scan = (gain * rng.gamma(9, 30, (8, 9, 7)) + offset).astype(np.float32)
    mask = np.zeros(scan.shape, dtype=bool)
    mask[1:-1, 2:-1, 1:-2] = True
    scan[0] = 1e4
    return scan, mask


def _fitted(normalizer):
    return normalizer.fit(*zip(*[_scan(7), _scan(8)], strict=True))


EACH = pytest.mark.parametrize(
    "normalizer", [*LINEAR, PeakNormalizer(), _fitted(NyulNormalizer())], ids=repr
)
OF_ANY_OFFSET = pytest.mark.parametrize(
    "normalizer", [*LINEAR, _fitted(NyulNormalizer())], ids=repr
)


def test_zscore_has_mean_0_and_deviation_1_over_the_brain():
    scan, mask = _scan()
    values = ZScoreNormalizer(trim=0).transform(scan, mask)[mask].astype(np.float64)
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


@OF_ANY_OFFSET
def test_inverse_takes_the_units_of_the_given_scan(normalizer):
    scan, mask = _scan()
    other = 3 * scan + 100
    normalised = normalizer.transform(scan, mask)
    restored = normalizer.inverse_transform(normalised, other, mask)
    np.testing.assert_allclose(restored, other, rtol=1e-4)


@OF_ANY_OFFSET
@given(gain=st.floats(0.01, 100), offset=st.floats(-1000, 1000))
def test_a_scan_normalises_alike_in_any_units(normalizer, gain, offset):
    scan, mask = _scan()
    scan = scan.astype(np.float64)
    np.testing.assert_allclose(
        normalizer.transform(gain * scan + offset, mask),
        normalizer.transform(scan, mask),
        atol=1e-4,
    )


@pytest.mark.parametrize("normalizer", LINEAR, ids=repr)
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
    np.testing.assert_allclose(ZScoreNormalizer(0).describe(scan, mask), expected)
    low, high = np.quantile(scan[mask], [0.1, 0.9])
    values = np.clip(scan[mask], low, high)
    expected = [values.mean(dtype="f8"), values.std(dtype="f8")]
    np.testing.assert_allclose(ZScoreNormalizer(0.1).describe(scan, mask), expected)


def test_a_few_bright_voxels_hardly_move_mean_and_deviation():
    scan, mask = _scan()
    usual = ZScoreNormalizer()
    expected = usual.describe(scan, mask)
    normalised = usual.transform(scan, mask)
    scan[3, 3, 3] = 1e5
    np.testing.assert_allclose(usual.describe(scan, mask), expected, rtol=0.05)
    described = ZScoreNormalizer(trim=0).describe(scan, mask)
    assert (described > 2 * expected).all()
    bright = usual.transform(scan, mask)
    assert bright[3, 3, 3] == 8
    bright[3, 3, 3] = normalised[3, 3, 3]
    np.testing.assert_allclose(bright[mask], normalised[mask], atol=0.3)
    restored = usual.inverse_transform(usual.transform(scan, mask), scan, mask)
    scan[3, 3, 3] = restored[3, 3, 3]
    np.testing.assert_allclose(restored[mask], scan[mask], rtol=1e-5)


@pytest.mark.parametrize("trim", [-0.1, 0.5, np.nan])
def test_a_share_to_be_trimmed_is_less_than_half(trim):
    scan, mask = _scan()
    with pytest.raises(ValueError, match="trim must be from 0 to below 0.5, got"):
        ZScoreNormalizer(trim).describe(scan, mask)


def test_percentiles_describe_low_and_distance():
    scan, mask = _scan()
    low, high = np.percentile(scan[mask], [5, 75])
    described = PercentileNormalizer(5, 75).describe(scan, mask)
    np.testing.assert_allclose(described, [low, high - low], rtol=1e-6)


@pytest.mark.parametrize("gain", [0.01, 3.0, 1e4])
def test_a_peak_normalises_alike_at_any_gain(gain):
    scan, mask = _scan()
    expected = PeakNormalizer().transform(scan, mask)
    actual = PeakNormalizer().transform(gain * scan, mask)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("peak", "where"), [("largest", 400), ("last", 700), ("first", 100)]
)
def test_peaks_are_found(peak, where):
    rng = np.random.RandomState(0)
    parts = [(100, 3000), (400, 6000), (700, 4000), (1200, 300)]  # and a lesion
    scan = np.concatenate([rng.normal(m, 30, n) for m, n in parts]).reshape(-1, 10, 10)
    described = PeakNormalizer(peak).describe(scan, np.ones(scan.shape, dtype=bool))
    np.testing.assert_allclose(described, [0, where], atol=25)


def test_a_lesion_leaves_the_peak_where_it_is_and_moves_the_mean():
    rng = np.random.RandomState(0)
    scan = rng.normal(500, 50, (20, 20, 20))
    mask = np.ones(scan.shape, dtype=bool)
    with_lesion = scan.copy()
    with_lesion[:3] = 2000
    peaks = [PeakNormalizer().describe(s, mask)[1] for s in (scan, with_lesion)]
    means = [ZScoreNormalizer().describe(s, mask)[0] for s in (scan, with_lesion)]
    assert abs(peaks[1] - peaks[0]) < 10
    assert means[1] - means[0] > 200


@pytest.mark.parametrize(
    ("normalizer", "message"),
    [
        (PeakNormalizer("tallest"), "got 'tallest'"),
        (PeakNormalizer(), "peak of its histogram lies at -.*, not above 0"),
    ],
)
def test_peaks_that_cannot_serve_are_refused(normalizer, message):
    scan = np.random.RandomState(0).normal(-5, 1, (9, 9, 9))
    with pytest.raises(ValueError, match=message):
        normalizer.describe(scan, np.ones(scan.shape, dtype=bool))


def test_landmarks_become_those_of_an_average_scan():
    scans, masks = zip(*[_scan(i) for i in range(3)], strict=True)
    normalizer = NyulNormalizer((5, 25, 50, 75, 95)).fit(scans, masks)
    assert normalizer.landmarks_[[0, -1]].tolist() == [0, 1]
    shares = []
    for scan, mask in zip(scans, masks, strict=True):
        landmarks = np.percentile(scan[mask], normalizer.percentiles)
        shares.append((landmarks - landmarks[0]) / (landmarks[-1] - landmarks[0]))
        normalised = normalizer.transform(scan, mask)[mask]
        found = np.percentile(normalised, normalizer.percentiles)
        np.testing.assert_allclose(found, normalizer.landmarks_, atol=0.01)
    np.testing.assert_allclose(normalizer.landmarks_, np.mean(shares, 0), atol=1e-5)


def test_landmarks_undo_a_change_of_contrast():
    (scan, mask), (other, _) = _scan(0), _scan(1)
    normalizer = NyulNormalizer().fit([scan, other], [mask, mask])
    curved = 5 * scan**1.3
    gap = normalizer.transform(curved, mask) - normalizer.transform(scan, mask)
    straight = ZScoreNormalizer()
    before = straight.transform(curved, mask) - straight.transform(scan, mask)
    scale = np.ptp(straight.transform(scan, mask)[mask])
    assert abs(gap[mask]).mean() < abs(before[mask]).mean() / scale / 5


def test_what_lies_beyond_landmarks_that_coincide_stays_near():
    usual = np.random.RandomState(0).normal(600, 60, (20, 20, 20))
    mask = np.ones(usual.shape, dtype=bool)
    cut = usual.copy()
    cut[:4] = 0  # a fifth of the brain, and some voxels below
    cut[0, 0] = -3
    normalizer = NyulNormalizer().fit([usual, cut], [mask, mask])
    normalised = normalizer.transform(cut, mask)
    assert normalised.min() > -1
    restored = normalizer.inverse_transform(normalised, cut, mask)
    np.testing.assert_allclose(restored, cut, atol=1e-2)


@pytest.mark.parametrize("percentiles", [(50,), (99, 1), (1, 80, 50, 99)])
def test_landmarks_must_ascend(percentiles):
    scan, mask = _scan()
    with pytest.raises(ValueError, match=r"ascending order, got \("):
        NyulNormalizer(percentiles).describe(scan, mask)


def test_a_scan_of_few_values_has_a_way_back():
    scan = np.repeat([0.0, 1.0, 2.0, 50.0], 64).reshape(4, 8, 8)
    mask = np.ones(scan.shape, dtype=bool)
    normalizer = NyulNormalizer().fit([scan], [mask])
    normalised = normalizer.transform(scan, mask)
    assert np.isfinite(normalised).all()
    restored = normalizer.inverse_transform(normalised, scan, mask)
    np.testing.assert_allclose(restored, scan, atol=1e-3)


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
    assert type(resolve_normalizer("peak")) is PeakNormalizer
    assert type(resolve_normalizer("nyul")) is NyulNormalizer
    own = PercentileNormalizer(1, 99)
    assert resolve_normalizer(own) is own
    with pytest.raises(ValueError, match="'zscore', 'percentile'.*got 'minmax'"):
        resolve_normalizer("minmax")


OWN = """
import nibabel as nib
import numpy as np
from sklearn_lsdn import load_model
from sklearn_lsdn._commands.main import main
from sklearn_lsdn.volumes._normalizer import LinearNormalizer


class MedianNormalizer(LinearNormalizer, name="median"):
    def _location_and_scale(self, values):
        return np.median(values), values.std()


volumes = np.random.RandomState(0).uniform(1, 2, (2, 8, 7, 9))
images = {
    name: [nib.Nifti1Image(np.float32(np.pad(scan, 1)), np.eye(4)) for scan in scans]
    for name, scans in {"T1w": volumes, "T2w": 3 - volumes}.items()
}
paths = {name: [f"{name}{i}.nii" for i in range(2)] for name in images}
for name in images:
    for image, path in zip(images[name], paths[name]):
        image.to_filename(path)
fit = ["fit", "--source", *paths["T1w"], "--target", *paths["T2w"], "-o", "m.skops"]
fit += ["--max-iter", "1", "--hidden-layer-sizes", "5", "--n-voxels", "200"]
assert main([*fit, "--normalization", "median"]) == 0
model = load_model("m.skops")
assert type(model.target_normalizers_[0]) is MedianNormalizer
assert model.score(images["T1w"], images["T2w"]) > 0
main(["fit", "--help"])
"""


def test_a_new_one_is_known_by_its_name_everywhere(tmp_path):
    """As a parameter, to the command and in model files, with no further line."""
    pytest.importorskip("skops")
    (tmp_path / "own.py").write_text(OWN)
    command = [sys.executable, "own.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(r"zscore,\s+percentile,\s+peak,\s+nyul,\s+median", done.stdout)

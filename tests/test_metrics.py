"""Metrics: formulas, answers where a formula gives none, scorers."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel import Nifti1Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from sklearn.linear_model import LinearRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import cross_val_score
from sklearn.tree import DecisionTreeClassifier

from sklearn_lsdn import VolumeSynthesizer
from sklearn_lsdn.metrics import (
    dice_score,
    dice_scorer,
    psnr_score,
    snr_score,
    snr_scorer,
    ssim_score,
    volume_snr_scorer,
)
from sklearn_lsdn.volumes import ZScoreNormalizer

BOTH = pytest.mark.parametrize("score", [snr_score, psnr_score])


@pytest.fixture
def arrays():
    rng = np.random.RandomState(0)
    y_true = rng.normal(3, 1, (40, 3))
    return y_true, y_true + rng.normal(0, [0.1, 0.2, 0.5], (40, 3))


def test_snr_is_the_formula(arrays):
    t, y = (a[:, 0] for a in arrays)
    expected = 10 * np.log10(np.sum(t**2) / np.sum((t - y) ** 2))
    assert isinstance(snr_score(t, y), float)
    assert snr_score(t, y) == pytest.approx(expected, rel=1e-12)


def test_snr_with_weights_is_the_formula(arrays):
    t, y = (a[:, 0] for a in arrays)
    w = np.random.RandomState(1).uniform(0, 2, len(t))
    expected = 10 * np.log10(np.sum(w * t**2) / np.sum(w * (t - y) ** 2))
    assert snr_score(t, y, sample_weight=w) == pytest.approx(expected, rel=1e-12)


def test_psnr_is_the_formula(arrays):
    t, y = (a[:, 0] for a in arrays)
    w = np.random.RandomState(1).uniform(0, 2, len(t))
    mean_square = np.average((t - y) ** 2, weights=w)
    expected = 10 * np.log10(np.ptp(t) ** 2 / mean_square)
    assert psnr_score(t, y, sample_weight=w) == pytest.approx(expected, rel=1e-12)


def test_psnr_equals_scikit_image(arrays):
    t, y = (a[:, 0] for a in arrays)
    for data_range in (np.ptp(t), 4.0):
        expected = peak_signal_noise_ratio(t, y, data_range=data_range)
        assert psnr_score(t, y, data_range=data_range) == pytest.approx(expected)
    assert psnr_score(t, y) == psnr_score(t, y, data_range=np.ptp(t))


@BOTH
def test_weights_act_as_repetitions(score, arrays):
    t, y = arrays
    times = np.arange(len(t)) % 3
    times[[t[:, 0].argmin(), t[:, 0].argmax()]] = 1
    t, y = t[:, 0], y[:, 0]
    repeated = score(np.repeat(t, times), np.repeat(y, times))
    assert score(t, y, sample_weight=times) == pytest.approx(repeated, rel=1e-12)


@BOTH
def test_outputs_are_scored_one_by_one(score, arrays):
    t, y = arrays
    each = [score(t[:, j], y[:, j]) for j in range(3)]
    raw = score(t, y, multioutput="raw_values")
    assert raw == pytest.approx(each, rel=1e-12)
    assert score(t, y) == pytest.approx(np.mean(each))
    weights = [1, 0, 3]
    weighted = score(t, y, multioutput=weights)
    assert weighted == pytest.approx(np.average(each, weights=weights))


@BOTH
def test_unknown_multioutput_is_refused(score, arrays):
    with pytest.raises(ValueError, match="multioutput must be .* got 'mean'"):
        score(*arrays, multioutput="mean")


@pytest.mark.parametrize("score", [snr_score, psnr_score])
def test_a_weight_for_each_output(score):
    t = np.arange(6.0).reshape(3, 2)
    with pytest.raises(ValueError, match="shape .1,., but there are 2 outputs"):
        score(t, t + 1, multioutput=[1.0])


@BOTH
def test_a_perfect_prediction_scores_infinity(score):
    assert score([1.0, 2.0], [1.0, 2.0]) == np.inf


@pytest.mark.parametrize(
    ("score", "target"), [(snr_score, [0.0, 0.0]), (psnr_score, [3.0, 3.0])]
)
def test_targets_without_power(score, target):
    assert score(target, [1.0, 0.0]) == -np.inf
    assert score(target, target) == np.inf


def test_an_output_without_power_leaves_the_others(arrays):
    t, y = (a.copy() for a in arrays)
    t[:, 1] = 0
    raw = snr_score(t, y, multioutput="raw_values")
    assert raw[1] == -np.inf
    assert raw[0] == pytest.approx(snr_score(t[:, 0], y[:, 0]))


@BOTH
@pytest.mark.parametrize(
    ("y_true", "y_pred", "message"),
    [
        ([1.0, 2.0], [1.0], "same shape"),
        ([1.0, 2.0], [[1.0], [2.0]], "same shape"),
        ([1.0, np.nan], [1.0, 2.0], "y_true contains NaN"),
        ([1.0, 2.0], [1.0, np.inf], "y_pred contains infinity"),
    ],
)
def test_unusable_arrays_are_refused(score, y_true, y_pred, message):
    with pytest.raises(ValueError, match=message):
        score(y_true, y_pred)


_values = st.lists(st.floats(1.0, 100.0), min_size=2, max_size=20)


@given(_values, st.floats(1e-3, 1e3), st.integers(0, 2**16))
def test_snr_does_not_depend_on_a_gain(values, gain, seed):
    t = np.array(values)
    y = t + np.random.RandomState(seed).normal(0, 0.5, len(t))
    assert snr_score(gain * t, gain * y) == pytest.approx(snr_score(t, y), abs=1e-6)


@given(_values, st.floats(1.0, 1000.0), st.integers(0, 2**16))
def test_snr_depends_on_an_offset(values, offset, seed):
    t = np.array(values)
    y = t + np.random.RandomState(seed).normal(0, 0.5, len(t))
    assert snr_score(t + offset, y + offset) > snr_score(t, y)


@given(_values, st.floats(-1000.0, 1000.0), st.integers(0, 2**16))
def test_psnr_does_not_depend_on_an_offset(values, offset, seed):
    t = np.array([0.0, *values])
    y = t + np.random.RandomState(seed).normal(0, 0.5, len(t))
    shifted = psnr_score(t + offset, y + offset)
    assert shifted == pytest.approx(psnr_score(t, y), abs=1e-6)


def test_snr_scorer_in_cross_validation():
    rng = np.random.RandomState(0)
    X = rng.normal(size=(60, 3))
    y = 5 + X @ [1.0, 2.0, 3.0] + rng.normal(0, 0.1, 60)
    scores = cross_val_score(LinearRegression(), X, y, cv=2, scoring=snr_scorer)
    model = LinearRegression().fit(X[30:], y[30:])
    assert scores[0] == pytest.approx(snr_score(y[:30], model.predict(X[:30])))
    assert scores.min() > 20


@pytest.fixture
def volumes():
    rng = np.random.RandomState(0)
    y_true = np.zeros((14, 13, 12))
    y_true[2:11, 3:12, 1:10] = rng.uniform(1, 5, (9, 9, 9))
    return y_true, np.where(y_true != 0, y_true + rng.normal(0, 0.5, y_true.shape), 0)


def test_ssim_equals_scikit_image_over_the_box_of_the_mask(volumes):
    y_true, y_pred = volumes
    box = slice(2, 11), slice(3, 12), slice(1, 10)
    data_range = np.ptp(y_true[box])
    expected = structural_similarity(y_true[box], y_pred[box], data_range=data_range)
    assert ssim_score(y_true, y_pred) == pytest.approx(expected, rel=1e-12)
    assert ssim_score(y_true, y_pred, mask=y_true != 0) == pytest.approx(expected)
    assert 0 < expected < 1


def test_ssim_takes_the_range_inside_a_ragged_mask(volumes):
    y_true, y_pred = volumes
    mask = np.zeros(y_true.shape, dtype=bool)
    mask[np.arange(2, 10), np.arange(3, 11), np.arange(1, 9)] = True
    box = slice(2, 10), slice(3, 11), slice(1, 9)
    for given_range, used in ((None, np.ptp(y_true[mask])), (9.0, 9.0)):
        expected = structural_similarity(y_true[box], y_pred[box], data_range=used)
        score = ssim_score(y_true, y_pred, mask=mask, data_range=given_range)
        assert score == pytest.approx(expected)


def test_ssim_of_a_volume_with_itself(volumes):
    assert ssim_score(volumes[0], volumes[0]) == 1.0


@pytest.mark.parametrize(("value", "expected"), [(3.0, 1.0), (2.0, 0.0)])
def test_ssim_of_constant_volumes(value, expected):
    y_true, y_pred = np.full((8, 8, 8), 3.0), np.full((8, 8, 8), value)
    assert ssim_score(y_true, y_pred) == expected


@pytest.mark.parametrize(
    ("y_true", "y_pred", "mask", "message"),
    [
        (np.ones((8, 8, 8)), np.ones((8, 8, 9)), None, "same shape"),
        (np.ones((8, 8)), np.ones((8, 8)), None, "must be volumes"),
        (np.ones((8, 8, 8)), np.ones((8, 8, 8)), np.ones((8, 8, 1)), "same shape"),
        (np.zeros((8, 8, 8)), np.ones((8, 8, 8)), None, "mask is empty"),
        (np.ones((6, 8, 8)), np.ones((6, 8, 8)), None, "spans only 6 x 8 x 8"),
    ],
)
def test_ssim_refuses_what_it_cannot_compare(y_true, y_pred, mask, message):
    with pytest.raises(ValueError, match=message):
        ssim_score(y_true, y_pred, mask=mask)


def test_ssim_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.metrics", None)
    with pytest.raises(ImportError, match=r"pip install .*sklearn_lsdn\[report\]"):
        ssim_score(np.ones((8, 8, 8)), np.ones((8, 8, 8)))


def _subject(seed, gain):
    """Images of two contrasts with different holes: source, target, their data."""
    rng = np.random.RandomState(seed)
    source = rng.uniform(50, 150, (8, 9, 7)).astype(np.float32)
    target = (gain * (300 - source) + rng.normal(0, 5, source.shape)).astype("f4")
    source[:, :2] = 0
    target[:, :, -2:] = 0
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    return Nifti1Image(source, affine), Nifti1Image(target, affine), source, target


def _naive_patches(volume):
    padded = np.lib.stride_tricks.sliding_window_view(volume, (3, 3, 3))
    return padded.reshape(-1, 27)


def test_volume_scorer_works_in_the_units_of_the_target_scan_over_the_mask():
    training = [_subject(seed, gain) for seed, gain in enumerate((1.0, 3.0))]
    plain = dict(patch_scales=(1,), augmentation=None, smoothing=0)
    plain["normalization"] = ZScoreNormalizer(trim=0)
    s = VolumeSynthesizer(LinearRegression(), places=None, random_state=0, **plain)
    s.set_params(normalization=ZScoreNormalizer(trim=0))
    s.fit([t[0] for t in training], [t[1] for t in training])
    image, scan, source, target = _subject(9, gain=0.2)

    mask = (source != 0) & (target != 0)
    z = (source - source[mask].mean(dtype="f8")) / source[mask].std(dtype="f8")
    filled = np.pad(np.where(mask, z, s.background_[0]), 1, constant_values=np.nan)
    filled[np.isnan(filled)] = s.background_[0]
    normalised = s.estimator_.predict(_naive_patches(filled)[mask.ravel()])
    t = target[mask].astype(np.float64)
    y = normalised * t.std() + t.mean()
    expected = 10 * np.log10(np.sum(t**2) / np.sum((t - y) ** 2))

    assert volume_snr_scorer(s, [image], [scan]) == pytest.approx(expected, abs=1e-4)
    assert s.score([image], [scan]) == volume_snr_scorer(s, [image], [scan])


def test_volume_scorer_averages_over_volumes():
    subjects = [_subject(seed, gain=1.0) for seed in range(3)]
    sources, targets = [t[0] for t in subjects], [t[1] for t in subjects]
    s = VolumeSynthesizer(LinearRegression(), random_state=0).fit(sources, targets)
    each = [
        volume_snr_scorer(s, [a], [b]) for a, b in zip(sources, targets, strict=True)
    ]
    assert volume_snr_scorer(s, sources, targets) == pytest.approx(np.mean(each))
    assert isinstance(volume_snr_scorer(s, sources, targets), float)


# Labels


def test_dice_is_f1_of_each_label_but_0():
    rng = np.random.RandomState(0)
    y_true, y_pred = rng.randint(0, 4, (2, 500))
    weight = rng.uniform(size=500)
    for weights in ({}, {"sample_weight": weight}):
        of = dict(labels=[1, 2, 3], average="macro")
        expected = f1_score(y_true, y_pred, **of, **weights)
        assert dice_score(y_true, y_pred, **weights) == pytest.approx(expected)
    only = f1_score(y_true == 2, y_pred == 2)
    assert dice_score(y_true, y_pred, labels=[2]) == pytest.approx(only)


def test_dice_where_nothing_is():
    nothing, something = np.zeros(5, dtype=int), np.array([0, 0, 1, 0, 0])
    assert dice_score(nothing, nothing) == 1
    assert dice_score(nothing, something) == dice_score(something, nothing) == 0
    with pytest.raises(ValueError, match="same length"):
        dice_score(nothing, something[1:])


def test_the_scorer_of_labels():
    X, y = np.arange(10.0)[:, None], np.arange(10) > 6
    stump = DecisionTreeClassifier(max_depth=1).fit(X, y)
    assert dice_scorer(stump, X, y) == 1

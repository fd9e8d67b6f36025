"""Intervals: the level that they keep on new subjects, and when there are none."""

import json
import zipfile

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsRegressor
from sklearn.tree import DecisionTreeRegressor
from small_commands import SMALL, files_of, refused, run, save_subjects, training
from small_volumes import Cohort, small

from sklearn_lsdn import (
    EnsembleRegressor,
    LSDNRegressor,
    load_model,
    save_model,
)
from sklearn_lsdn._regressors.conformal import HeldBackScores
from sklearn_lsdn.jobs import predict_files

LEVELS = 0.5, 0.8, 0.9
NETWORK = LSDNRegressor((8, 3), max_iter=5)


def make_subjects(rng, n_subjects, n_samples=40):
    """Samples of subjects who differ in where they lie, and in how noisy they are."""
    groups = np.repeat(np.arange(n_subjects), n_samples)
    offset = rng.normal(scale=0.5, size=n_subjects)[groups]
    noise = np.exp(0.5 * rng.normal(size=n_subjects))[groups]
    X = rng.uniform(size=(len(groups), 3))
    size = noise * (0.1 + X[:, 1])
    return X, X[:, 0] + offset + size * rng.normal(size=len(groups)), groups


def share_inside(ensemble, X, y, level):
    _, (lower, upper) = ensemble.predict(X, return_interval=level)
    return np.mean((lower <= y) & (y <= upper))


def fitted(estimator, X, y, groups=None, **parameters):
    ensemble = EnsembleRegressor(estimator, 2, random_state=0, **parameters)
    return ensemble.fit(X, y, groups=groups)


@pytest.mark.parametrize(
    ("estimator", "n_cohorts"),
    [(LinearRegression(), 60), (DecisionTreeRegressor(min_samples_leaf=3), 15)],
    ids=["linear", "learns by heart"],
)
def test_new_subjects_are_covered(estimator, n_cohorts):
    shares = []
    for seed in range(n_cohorts):
        rng = np.random.RandomState(seed)
        ensemble = fitted(estimator, *make_subjects(rng, 9))
        X, y, _ = make_subjects(rng, 20)
        shares.append([share_inside(ensemble, X, y, level) for level in LEVELS])
    error = np.std(shares, axis=0) / np.sqrt(n_cohorts)
    assert (np.mean(shares, axis=0) > np.array(LEVELS) - 2 * error).all()
    assert np.mean(shares, axis=0)[0] < 0.75


def test_subjects_are_covered_where_samples_would_not_be():
    # Subjects differ by more than their samples do.
    few, many = [], []
    for seed in range(40):
        rng = np.random.RandomState(seed)
        X, y, groups = make_subjects(rng, 4)
        new_X, new_y, _ = make_subjects(rng, 20)
        ensemble = fitted(LinearRegression(), X, y, groups)
        few.append(share_inside(ensemble, new_X, new_y, 0.8))
        ensemble = fitted(LinearRegression(), X, y)
        many.append(share_inside(ensemble, new_X, new_y, 0.8))
    assert np.mean(many) < 0.77 < 0.8 < np.mean(few)


def test_new_samples_are_covered_without_groups():
    rng = np.random.RandomState(0)
    X = rng.uniform(size=(4000, 3))
    y = X[:, 0] + X[:, 1] * rng.normal(size=4000)
    ensemble = fitted(LinearRegression(), X[:500], y[:500])
    for level in LEVELS:
        inside = share_inside(ensemble, X[500:], y[500:], level)
        assert inside == pytest.approx(level, abs=0.05)
    assert ensemble.held_back_.highest == 500 / 501


def scores_of(residuals, groups, weight=None, deviation=2.0):
    """Of one output, whose deviations are all alike."""
    weight = np.ones(len(residuals)) if weight is None else weight
    return HeldBackScores.of(
        lambda rows: np.full((len(rows), 1), deviation),
        np.array(residuals, dtype=float)[:, None],
        weight,
        groups,
    )


def test_the_reach_is_that_of_distributions_of_equal_weight():
    # Scores are 1 to 4, and 5 to 12: the second subject has twice as many samples.
    scores = scores_of(2.0 * np.arange(1, 13), np.repeat([5, 3], [4, 8]))
    reaches = {1 / 12: 1, 1 / 3: 4, 1 / 3 + 0.01: 5, 0.5: 8, 2 / 3: 12}
    for level, score in reaches.items():
        for deviation in (1.0, 3.0):
            reach = scores.reach(np.full((1, 1), deviation), level).item()
            assert reach == pytest.approx(score * deviation)


def test_next_to_no_deviation_counts_as_a_small_one():
    scores = scores_of([10.0, -10.0], [0, 1], deviation=1e-9)
    assert scores.reach(np.zeros((1, 1)), 0.5).item() == pytest.approx(10)


def test_weights_count_within_a_subject():
    residuals, groups = [1.0, 2.0, 3.0, 4.0], [0, 0, 1, 1]
    one = np.ones((1, 1))
    reach = scores_of(residuals, groups, np.array([1, 0.1, 9, 9]), 1.0).reach(one, 0.3)
    assert reach == pytest.approx(1)
    reach = scores_of(residuals, groups, np.array([0.1, 1, 9, 9]), 1.0).reach(one, 0.3)
    assert reach == pytest.approx(2)


def test_what_is_always_right_has_no_width():
    X = np.random.RandomState(0).uniform(size=(60, 3))
    ensemble = fitted(LinearRegression(), X, np.ones(60), np.repeat([0, 1, 2], 20))
    y, (lower, upper) = ensemble.predict(X, return_interval=0.7)
    np.testing.assert_allclose(upper, lower, atol=1e-12)
    np.testing.assert_allclose(lower, y, atol=1e-12)


@pytest.fixture(scope="module")
def data():
    return make_subjects(np.random.RandomState(0), 4, 150)


def test_levels_are_nested(data):
    ensemble = fitted(NETWORK, *data)
    X = data[0]
    mean, std, _ = ensemble.predict(X, return_std=True, return_interval=0.1)
    np.testing.assert_array_equal(mean, ensemble.predict(X))
    np.testing.assert_array_equal(std, ensemble.predict(X, return_std=True)[1])
    reach = np.zeros(len(X))
    for level in (0.01, 0.1, 0.5, 0.79, 0.8):
        _, (lower, upper) = ensemble.predict(X, return_interval=level)
        np.testing.assert_allclose((lower + upper) / 2, mean)
        assert (upper - lower >= reach).all()
        reach = upper - lower
    assert (reach > 0).all()


def test_several_outputs(data):
    X, y, groups = data
    both = fitted(LinearRegression(), X, np.c_[y, 10 * y - 3], groups)
    alone = fitted(LinearRegression(), X, y, groups)
    _, (lower, upper) = both.predict(X, return_interval=0.8)
    _, expected = alone.predict(X, return_interval=0.8)
    np.testing.assert_allclose(lower[:, 0], expected[0])
    np.testing.assert_allclose(upper[:, 1], 10 * expected[1] - 3)


@pytest.mark.parametrize(
    ("n_groups", "highest"), [(2, "0.666"), (4, "0.8"), (9, "0.9")]
)
def test_levels_that_cannot_be_kept(n_groups, highest):
    X, y, groups = make_subjects(np.random.RandomState(0), n_groups)
    ensemble = fitted(LinearRegression(), X, y, groups)
    most = n_groups / (n_groups + 1)
    ensemble.predict(X, return_interval=most)
    sentence = f"{n_groups} groups .subjects. were held back .* which is {highest}[.] "
    with pytest.raises(ValueError, match=sentence):
        ensemble.predict(X, return_interval=most + 1e-6)


@pytest.mark.parametrize("level", [0, 1, 90, -0.1, np.nan, True, "0.9", [0.1, 0.9]])
def test_what_is_no_level(data, level):
    ensemble = fitted(LinearRegression(), *data)
    with pytest.raises(ValueError, match="must lie between 0 and 1"):
        ensemble.predict(data[0], return_interval=level)


def test_nothing_held_back(data):
    X, y, _ = data
    one_subject = fitted(LinearRegression(), X, y, np.zeros(len(X)))
    one_sample = fitted(LinearRegression(), X[:1], y[:1])
    for ensemble in (one_subject, one_sample):
        with pytest.raises(ValueError, match="two or more groups"):
            ensemble.predict(X, return_interval=0.5)


def same(one, other, X):
    pairs = (e.predict(X, return_std=True, return_interval=0.8) for e in (one, other))
    for a, b in zip(*pairs, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("estimator", [NETWORK, KNeighborsRegressor()])
def test_the_same_bits_however_it_was_trained(data, estimator, tmp_path):
    X, y, groups = data
    ensemble = fitted(estimator, X, y, groups)
    same(ensemble, fitted(estimator, X, y, groups, n_jobs=3), X)
    for _ in range(2):
        same(ensemble, fitted(estimator, X, y, groups, memory=str(tmp_path)), X)
    frame = pd.DataFrame(X, columns=list("abc"))
    of_frame = fitted(estimator, frame, y, groups)
    quantiles = (each.held_back_.quantiles for each in (of_frame, ensemble))
    np.testing.assert_array_equal(*quantiles)


def test_model_files_keep_intervals(data, tmp_path):
    X, y, groups = data
    for name, given in {"groups": groups, "samples": None}.items():
        ensemble = fitted(NETWORK, X, y, given)
        save_model(ensemble, tmp_path / f"{name}.skops")
        same(ensemble, load_model(tmp_path / f"{name}.skops"), X)


@pytest.mark.parametrize(
    "damage",
    [
        {"quantiles": np.full((4, 1, 3), np.nan, dtype=np.float32)},
        {"quantiles": np.ones((4, 2, 3), dtype=np.float32)},
        {"quantiles": np.ones((3, 1, 3), dtype=np.float32)},
        {"n_held_back": 2.5},
        {"floors": np.ones(3)},
    ],
)
def test_damaged_scores_are_refused(data, tmp_path, damage):
    ensemble = fitted(LinearRegression(), *data)
    vars(ensemble.held_back_).update(damage)
    save_model(ensemble, tmp_path / "model.skops")
    with pytest.raises(ValueError, match="damaged"):
        load_model(tmp_path / "model.skops")


def test_model_files_of_older_releases_have_none(tmp_path):
    archive = REPOSITORY / "tests" / "data" / "models-0.1.0.dev0.zip"
    with zipfile.ZipFile(archive) as models:
        model = load_model(models.extract("ensemble.skops", tmp_path))
    with pytest.raises(
        ValueError, match="two or more groups .subjects., by this release"
    ):
        model.check_interval(0.5)


# Images


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return Cohort(tmp_path_factory.mktemp("cohort"))


def values(images):
    return [image.get_fdata(dtype=np.float32) for image in images]


@pytest.mark.parametrize("normalization", ["zscore", "nyul"])
def test_volumes_are_like_rows(cohort, normalization):
    s = small(n_estimators=2, normalization=normalization).fit(cohort.a, cohort.cd)
    _, (lower, upper) = s.predict(cohort.a[:1], return_interval=0.7)
    preparation = s.preparation_
    (files,), _ = preparation.open(cohort.a[:1])
    subject = preparation.read(files)
    units = preparation.units(subject)
    padded = preparation.padded(subject)
    centers = padded.centers(subject.mask)
    X = np.hstack([padded.patches(centers), padded.coordinates(centers)])
    _, ends = s.estimator_.predict(X, return_interval=0.7)
    for images, expected in zip((lower, upper), ends, strict=True):
        expected = preparation.intensities(expected, units)
        for volume, each in zip(values(images[0]), expected, strict=True):
            np.testing.assert_allclose(volume[subject.mask], each, rtol=1e-3)
            assert (volume[~subject.mask] == 0).all()


@pytest.mark.parametrize("options", [{"smoothing": 4.0}, {"target_patch_size": 3}])
def test_intervals_lie_around_the_synthesis(cohort, options):
    s = small(n_estimators=2, **options).fit(cohort.a[:2], cohort.c[:2])
    given = dict(sources=cohort.a[2:], scale_to=cohort.c[2:])
    answers = s.predict(**given, return_std=True, return_interval=0.6)
    images, std_images, (lower, upper) = answers
    plain, plain_std = s.predict(**given, return_std=True)
    np.testing.assert_array_equal(values(images), values(plain))
    np.testing.assert_array_equal(values(std_images), values(plain_std))
    (middle,), (low,), (high,) = map(values, (images, lower, upper))
    mask = middle != 0
    assert (low < middle)[mask].all()
    assert (middle < high)[mask].all()
    np.testing.assert_allclose((low + high)[mask] / 2, middle[mask], rtol=1e-4)
    truth = nib.load(cohort.c[2]).get_fdata()
    assert np.mean(((low <= truth) & (truth <= high))[mask]) > 0.6
    np.testing.assert_array_equal(lower[0].affine, images[0].affine)


def test_what_has_no_intervals(cohort):
    single = small().fit(cohort.a[:2], cohort.c[:2])
    one_subject = small(n_estimators=2).fit(cohort.a[:1], cohort.c[:1])
    person = small(n_estimators=2).fit(cohort.a[:2], cohort.c[:2], groups=["x", "x"])
    of_one = "trained on one subject"
    for s, why in (
        (single, "n_estimators=2"),
        (one_subject, of_one),
        (person, "two or"),
    ):
        with pytest.raises(ValueError, match=why):
            s.predict(cohort.a[2:], return_interval=0.5)
    two = small(n_estimators=2).fit(cohort.a[:2], cohort.c[:2])
    with pytest.raises(ValueError, match="which is 0.666"):
        two.synthesize(cohort.a[2], return_interval=0.9)


def test_nothing_is_written_where_a_level_cannot_be_kept(cohort, tmp_path):
    s = small(n_estimators=2).fit(cohort.a[:2], cohort.c[:2])
    with pytest.raises(ValueError, match="which is 0.666"):
        predict_files(s, cohort.a[2:], tmp_path / "out", interval=0.9)
    assert not (tmp_path / "out").exists()


# The command


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    save_subjects(folder)
    fit = ["fit", *training(folder), *SMALL, "--n-estimators", "2"]
    assert run(*fit, "-o", folder / "model.skops") == 0
    return folder / "model.skops"


def test_the_command_writes_both_ends(model, tmp_path, capsys):
    (source,) = files_of(model.parent)[2:]
    predict = ["predict", model, source, "-o", tmp_path, "--interval"]
    assert run(*predict, "0.6") == 0
    names = [f"sub-03_T1w_{kind}.nii.gz" for kind in ("synth", "lower", "upper")]
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / n) for n in names]
    s = load_model(model)
    (image,), ends = s.predict([source], return_interval=0.6)
    for name, expected in zip(names, [image, *sum(ends, [])], strict=True):
        written = nib.load(tmp_path / name)
        np.testing.assert_array_equal(written.get_fdata(), expected.get_fdata())
    assert written.header["descrip"].item().endswith(b" interval 0.6")
    # Another level is another image, the same is not done again.
    for level, n_done in (("0.6", 1), ("0.5", 0), ("0.5", 1)):
        assert run(*predict, level, "--resume") == 0
        assert f"{n_done} of 1 were done before" in capsys.readouterr().err
    narrower = nib.load(tmp_path / names[2]).get_fdata()
    assert (narrower <= expected.get_fdata()).all()


def test_the_command_refuses_levels(model, tmp_path, capsys):
    (source,) = files_of(model.parent)[2:]
    for level, words in (("0.9", "which is 0.666"), ("90", "between 0 and 1")):
        predict = ["predict", model, source, "-o", tmp_path / "out"]
        with_level = [*predict[1:], "--interval", level]
        assert words in refused(capsys, "predict", *with_level)
    assert not (tmp_path / "out").exists()


def test_info_tells_the_highest_level(model, capsys):
    assert run("info", model) == 0
    assert "up to 0.666, 2 groups held back" in capsys.readouterr().out


def test_sidecars_tell_the_level(model, tmp_path):
    pytest.importorskip("ancpbids", reason="BIDS datasets need ancpbids")
    folder = tmp_path / "raw" / "sub-03" / "anat"
    folder.mkdir(parents=True)
    (source,) = files_of(model.parent)[2:]
    nib.save(nib.load(source), folder / source.name)
    about = {"Name": "One brain", "BIDSVersion": "1.10.0"}
    (tmp_path / "raw" / "dataset_description.json").write_text(json.dumps(about))
    names = ["--source", "T1w", "--target", "T2w"]
    predict = ["predict", model, tmp_path / "raw", "-o", tmp_path / "out", *names]
    assert run(*predict, "--interval", "0.6", "--uncertainty") == 0
    written = tmp_path / "out" / "sub-03" / "anat"
    contents = {}
    for desc in ("synth", "synthstd", "synthlower", "synthupper"):
        stem = f"sub-03_desc-{desc}_T2w"
        assert (written / f"{stem}.nii.gz").exists()
        contents[desc] = json.loads((written / f"{stem}.json").read_text())
    interval = {"Level": 0.6, "SubjectsHeldBack": 2}
    assert contents["synthlower"]["Interval"] == interval
    assert contents["synthupper"]["Interval"] == interval
    assert contents["synthupper"]["Description"].startswith("Upper end of an interval")
    assert "Interval" not in contents["synth"]

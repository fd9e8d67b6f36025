"""One model for whichever sources a subject has: `missing_sources`."""

import json
import pickle

import nibabel as nib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LinearRegression
from small_commands import SMALL, run, save_subjects
from small_volumes import Cohort, make_brain, small

from sklearn_lsdn import ShrinkConnect, load_model, save_model
from sklearn_lsdn._regressors.roles import role_of
from sklearn_lsdn._regressors.subsets import SubsetsRegressor
from sklearn_lsdn.jobs import leave_one_subject_out, predict_files


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return Cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture(scope="module")
def some(cohort):
    """Sources of three subjects: both, the first alone, and the second alone."""
    (first, second), (third, _), (_, last) = cohort.ab
    return [[first, second], [third, None], [None, last]]


@pytest.fixture(scope="module")
def fitted(cohort, some):
    """Trained on such subjects; not to be changed."""
    return small(missing_sources=True).fit(some, cohort.c)


def _voxels(image):
    return image.get_fdata(dtype=np.float32)


# Training


def _samples(rng, n, missing):
    """Of y = 3 (a + b) + c, where a and b are noisy blocks of two columns."""
    truth = rng.normal(size=(n, 3))
    blocks = np.repeat(truth[:, :2], 2, axis=1) + 0.1 * rng.normal(size=(n, 4))
    for c in missing:
        blocks[:, 2 * c : 2 * c + 2] = np.nan
    X = np.column_stack([blocks, truth[:, 2]])
    return X, 3 * truth[:, :2].sum(axis=1) + truth[:, 2]


def test_each_subset_has_a_regressor_of_its_own():
    rng = np.random.RandomState(0)
    parts = [_samples(rng, 4000, missing) for missing in ([], [0], [1])]
    X, y = (np.concatenate(each) for each in zip(*parts, strict=True))
    model = SubsetsRegressor(LinearRegression(), 2, 1, random_state=0).fit(X, y)
    assert model.sources_ == [(0, 1), (0,), (1,)]
    assert [each.n_features_in_ for each in model.estimators_] == [5, 3, 3]
    # What is left is what was not there: noise of 0.1, and 3 times the other source.
    for missing, left in (([], 0.3), ([0], 3.0), ([1], 3.0)):
        X, y = _samples(rng, 4000, missing)
        assert np.std(y - model.predict(X)) == pytest.approx(left, rel=0.1)


def test_of_what_nobody_had_together_the_first_is_taken():
    rng = np.random.RandomState(0)
    parts = [_samples(rng, 200, missing) for missing in ([0], [1])]
    X, y = (np.concatenate(each) for each in zip(*parts, strict=True))
    model = SubsetsRegressor(LinearRegression(), 2, 1, random_state=0).fit(X, y)
    assert model.sources_ == [(0,), (1,)]
    both, _ = _samples(rng, 10, [])
    first = np.where([[False, False, True, True, False]], np.nan, both)
    np.testing.assert_array_equal(model.predict(both), model.predict(first))
    model.estimators_.pop(), model.sources_.pop()
    with pytest.raises(ValueError, match="Nothing was learned from source 2 alone"):
        model.predict(_samples(rng, 10, [0])[0])


def test_rows_are_patches_then_places_and_nan_says_what_is_missing(cohort, some):
    model = small(LinearRegression(), missing_sources=True).fit(some, cohort.c)
    X, y = model.sample_voxels(some, cohort.c)
    assert X.shape[1] == 2 * 27 + 3 == model.estimator_.n_features_in_
    ends = np.cumsum(model.n_voxels_)
    first, second = (
        np.isnan(X[:, columns]).all(axis=1) for columns in (slice(27), slice(27, 54))
    )
    assert not first[: ends[1]].any()
    assert first[ends[1] :].all()
    np.testing.assert_array_equal(second, (ends[0] <= np.arange(len(X))) & ~first)
    finite = np.isfinite(X)
    assert finite[:, :27][~first].all()
    assert finite[:, 54:].all()


def test_nothing_is_lost_where_there_is_one_source(cohort):
    plain = small().fit(cohort.a, cohort.c).predict(cohort.a[:1])
    other = small(missing_sources=True).fit(cohort.a, cohort.c).predict(cohort.a[:1])
    np.testing.assert_array_equal(_voxels(plain[0]), _voxels(other[0]))


def test_by_default_all_sources_are_needed(cohort, some):
    sentence = r"needs 2 source contrasts.*sub-1_a\.nii\.gz\) has 1\..*missing_sources"
    with pytest.raises(ValueError, match=sentence):
        small().fit(some, cohort.c)
    model = small().fit(cohort.ab, cohort.c)
    for ask in (model.predict, lambda s: model.score(s, cohort.c[1:2])):
        with pytest.raises(ValueError, match=sentence):
            ask(some[1:2])


def test_who_has_none_is_named(cohort, fitted):
    for ask in (fitted.predict, lambda s: small().fit(s, cohort.c[:2])):
        with pytest.raises(ValueError, match=r"sources\[1\] names no image"):
            ask([cohort.ab[0], [None, None]])
    with pytest.raises(ValueError, match=r"targets\[0\]\[0\] is missing"):
        fitted.score(cohort.ab[:1], [[None]])


def test_gaps_are_said(cohort, fitted):
    with pytest.raises(ValueError, match=r"1 contrast.*None \(lsdn: none\) for what"):
        fitted.predict(cohort.a[:1])


def test_a_source_that_nobody_has_is_named(cohort):
    sources = [[a, None] for a in cohort.a]
    with pytest.raises(ValueError, match="No subject of sources has contrast 2 of 2"):
        small(missing_sources=True).fit(sources, cohort.c)


# Prediction


@pytest.mark.parametrize("target_patch_size", [1, 3])
def test_volumes_are_predicted_as_rows_are(
    cohort, some, target_patch_size, monkeypatch
):
    model = small(missing_sources=True, target_patch_size=target_patch_size)
    model.fit(some, cohort.c)
    subsets = [*some, cohort.ab[1]]
    fused = model.predict(subsets)
    cls = type(role_of(model.estimator_.estimators_[0]))
    monkeypatch.setattr(cls, "reader", lambda self, n_patch: None)
    for one, other in zip(fused, model.predict(subsets), strict=True):
        np.testing.assert_allclose(_voxels(one), _voxels(other), rtol=2e-4, atol=1e-2)


def test_any_subset_is_predicted_on_the_grid_of_what_is_there(cohort, fitted):
    a, b = cohort.ab[0]
    predictions = [
        _voxels(fitted.predict([s])[0]) for s in ([a, b], [a, None], [None, b])
    ]
    inside = nib.load(cohort.c[0]).get_fdata() != 0
    for values in predictions:
        assert values.shape == inside.shape
        np.testing.assert_array_equal(values != 0, inside)
    assert not np.allclose(predictions[0], predictions[1])
    assert not np.allclose(predictions[1], predictions[2])
    assert fitted.score([[None, b]], cohort.c[:1]) > 5  # dB


def test_a_mask_hangs_on_the_first_that_is_there(cohort, fitted):
    part = make_brain((12, 14, 10))[0]
    part[9:] = False
    (image,) = fitted.predict([[None, cohort.b[0]]], masks=[part], on_unlike="ignore")
    np.testing.assert_array_equal(_voxels(image) != 0, part)
    some, given = [[None, cohort.b[0]], cohort.ab[1]], {"masks": [part, None]}
    model = small(missing_sources=True, n_voxels=10**6)
    model.fit(some, cohort.c[:2], **given)
    whole = np.count_nonzero(make_brain((12, 14, 10))[0])
    assert model.n_voxels_ == [np.count_nonzero(part), whole]


def test_what_goes_with_a_model_goes_with_missing_sources(cohort, some, tmp_path):
    model = small(missing_sources=True, n_estimators=2, max_memory="4G")
    model.fit(some, cohort.cd)
    assert "may be missing" in model.preparation_.facts()
    save_model(model, tmp_path / "model.skops")
    again = load_model(tmp_path / "model.skops")
    asked = {"return_std": True, "return_novelty": True, "on_unlike": "ignore"}
    for sources in ([some[1]], [some[2]], [cohort.ab[2]]):
        both = [each.predict(sources, **asked) for each in (model, again)]
        flat = [np.concatenate([np.ravel(kind) for kind in every]) for every in both]
        for one, other in zip(*flat, strict=True):
            assert np.isfinite(_voxels(one)).all()
            np.testing.assert_array_equal(_voxels(one), _voxels(other))
    with pytest.raises(TypeError, match="shrunk in training"):
        model.shrink(some, cohort.cd)
    smaller = small(ShrinkConnect(small().estimator), missing_sources=True)
    assert smaller.fit(some, cohort.c).score(some, cohort.c) > 0  # dB


def test_likeness_is_of_what_is_there(cohort, fitted):
    (subject,), _ = fitted.preparation_.open([[None, cohort.b[0]]])
    told = fitted.preparation_.read(subject, on_unlike="warn").likeness.told()
    assert not any("1" in name for name in json.dumps(told).split() if "correl" in name)


def test_a_missing_source_is_not_novel(cohort, some):
    model = small(missing_sources=True).fit(
        [*cohort.ab, some[2]], [*cohort.c, cohort.c[2]]
    )
    for sources in some:
        asked = {"return_novelty": True, "on_unlike": "ignore"}
        _, (novelty,) = model.predict([sources], **asked)
        values = _voxels(novelty)
        assert 0 < np.median(values[values != 0]) < 2


def test_a_source_that_only_one_subject_has_is_told_before_training(cohort):
    sources = [cohort.ab[0], *([a, None] for a in cohort.a[1:])]
    model = small(LinearRegression(), missing_sources=True)
    with pytest.raises(ValueError, match="No subject of sources but A has contrast 2"):
        leave_one_subject_out({"one": model}, sources, cohort.c, ["A", "B", "C"])


def test_synthesizers_have_names(cohort):
    with pytest.raises(TypeError, match="must be a dict.*got a VolumeSynthesizer"):
        leave_one_subject_out(small(), cohort.a, cohort.c, ["A", "B", "C"])


def test_subjects_are_held_back_whatever_they_have(cohort, some):
    model = small(missing_sources=True)
    evaluation = leave_one_subject_out(
        {"one": model}, [*some, cohort.ab[1]], [*cohort.c, cohort.c[1]], [0, 1, 2, 1]
    )
    assert [record["subject"] for record in evaluation.records] == ["0", "1", "1", "2"]


def test_files_are_called_after_the_first_that_is_there(fitted, some, tmp_path):
    paths = predict_files(fitted, some, tmp_path, on_unlike="ignore")
    names = [path.name for path in paths]
    assert names == [f"sub-{i}_{c}_synth.nii.gz" for i, c in enumerate("aab")]
    times = [path.stat().st_mtime_ns for path in paths]
    predict_files(fitted, some, tmp_path, on_unlike="ignore", resume=True)
    assert [path.stat().st_mtime_ns for path in paths] == times


def test_it_is_copied_and_sent(fitted, some):
    assert clone(fitted).missing_sources
    again = pickle.loads(pickle.dumps(fitted))
    one, other = (model.predict(some[2:])[0] for model in (fitted, again))
    np.testing.assert_array_equal(_voxels(one), _voxels(other))


# The command


def test_sessions_are_predicted_from_what_is_there(tmp_path, capsys):
    pytest.importorskip("ancpbids", reason="BIDS datasets need ancpbids")
    raw, flat = tmp_path / "raw", tmp_path / "flat"
    flat.mkdir()
    save_subjects(flat)
    about = {"Name": "Three brains", "BIDSVersion": "1.10.0"}
    lacking = {"sub-02_FLAIR", "sub-03_T1w"}
    for path in flat.glob("sub-*"):
        stem = path.name.removesuffix(".nii.gz")
        if stem not in lacking:
            place = raw / stem.split("_")[0] / "anat" / path.name
            place.parent.mkdir(parents=True, exist_ok=True)
            path.rename(place)
    (raw / "dataset_description.json").write_text(json.dumps(about))
    names = ["--source", "T1w", "--source", "FLAIR", "--target", "T2w"]
    options = [*names, *SMALL, "-j", "1", "-q"]
    model, out = tmp_path / "any.skops", tmp_path / "out"
    assert run("fit", raw, *options, "--missing-sources", "-o", model) == 0
    assert run("predict", model, raw, "-o", out, "-j", "1", "-q") == 0
    for subject, used in (("01", "T1w FLAIR"), ("02", "T1w"), ("03", "FLAIR")):
        stem = out / f"sub-{subject}" / "anat" / f"sub-{subject}_desc-synth_T2w"
        sidecar = json.loads(stem.with_suffix(".json").read_text())
        sources = [uri.split("_")[-1] for uri in sidecar["Sources"]]
        assert sources == [f"{name}.nii.gz" for name in used.split()]
        assert " and ".join(used.split()) + "; not acquired" in sidecar["Description"]
    assert run("evaluate", raw, *options, "--missing-sources") == 0
    assert run("score", model, raw, "-j", "1", "-q") == 0
    assert "Left out" not in capsys.readouterr().err
    more = ["--also", "none", "-o", tmp_path / "plain", "-j", "1", "-q"]
    assert run("predict", model, raw / "sub-02/anat/sub-02_T1w.nii.gz", *more) == 0
    assert run("info", model) == 0
    assert "may be missing" in capsys.readouterr().out

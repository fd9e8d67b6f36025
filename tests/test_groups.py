"""Early stopping that watches whole groups, or data of the user's own."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_lsdn import (
    EnsembleRegressor,
    LSDNRegressor,
    ShrinkConnect,
    VolumeSynthesizer,
    load_model,
    save_model,
)
from sklearn_lsdn._regressors import network_estimator
from sklearn_lsdn._regressors.training import hold_out
from sklearn_lsdn.datasets import make_brain_cohort

SUBJECTS = np.repeat(np.arange(10), 30)
STOPPING = dict(early_stopping=True, max_iter=4)


def make_data(n=300, seed=0):
    X = np.random.RandomState(seed).uniform(-1, 1, (n, 5))
    return X, X[:, 0] * X[:, 4]


def small(**parameters):
    return LSDNRegressor((8, 3), random_state=0, **parameters)


@pytest.fixture
def splits(monkeypatch):
    """Every time samples are held out: them, their groups, and what came of them."""
    seen = []

    def spy(data, fraction, groups, rng):
        parts = hold_out(data, fraction, groups, rng)
        seen.append((data, groups, *parts))
        return parts

    monkeypatch.setattr(network_estimator, "hold_out", spy)
    return seen


def held_out(splits, groups, sample_weight=None, **parameters):
    """Which rows of ``X`` the network trains on, and which it watches."""
    X, y = make_data(len(groups))
    model = small(**STOPPING, **parameters)
    model.fit(X, y, sample_weight=sample_weight, groups=groups)
    rows = X[:, 0].tolist()
    return [[rows.index(x) for x in part[0][:, 0]] for part in splits[0][2:]]


@pytest.mark.parametrize(
    ("fraction", "n_held_out"), [(0.01, 1), (0.1, 1), (0.25, 3), (0.5, 5), (0.99, 9)]
)
def test_whole_groups_are_held_out(splits, fraction, n_held_out):
    kept, seen = held_out(splits, SUBJECTS, validation_fraction=fraction)
    assert len(set(SUBJECTS[seen])) == n_held_out
    assert not set(SUBJECTS[seen]) & set(SUBJECTS[kept])
    assert sorted(kept + seen) == list(range(300))


@pytest.mark.parametrize(
    "as_given",
    [
        list,
        lambda groups: [f"sub-{g}" for g in groups],
        lambda groups: pd.Series([f"sub-{g}" for g in groups]),
        lambda groups: pd.Series([f"sub-{g}" for g in groups], dtype="category"),
        lambda groups: pd.Series([("site", g) for g in groups]),
        lambda groups: pd.DataFrame({"subject": groups}),
    ],
)
def test_groups_may_be_names(splits, as_given):
    _, seen = held_out(splits, as_given(SUBJECTS))
    assert len(seen) == 30
    assert len(set(SUBJECTS[seen])) == 1


def test_groups_keep_to_their_samples_when_some_weigh_nothing(splits):
    weight = np.random.RandomState(1).randint(0, 2, 300)
    kept, seen = held_out(splits, SUBJECTS, weight, validation_fraction=0.3)
    assert not set(SUBJECTS[seen]) & set(SUBJECTS[kept])
    assert sorted(kept + seen) == list(np.flatnonzero(weight))


def test_a_single_group_is_refused():
    X, y = make_data()
    weight = (SUBJECTS == 3).astype(float)
    with pytest.raises(ValueError, match="all samples are of one group"):
        small(**STOPPING).fit(X, y, groups=np.zeros(300))
    with pytest.raises(ValueError, match="all samples are of one group"):
        small(**STOPPING).fit(X, y, sample_weight=weight, groups=SUBJECTS)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (SUBJECTS[:-1], "one entry for each of 300 samples.*299"),
        (np.zeros((300, 2)), r"their shape is \(300, 2\)"),
        ([None] * 300, r"groups\[0\] is None"),
        ([*SUBJECTS[:-1], np.nan], r"groups\[299\] is nan"),
        ([*"ab" * 149, "a", np.nan], r"groups\[299\] is nan"),
        (np.array(["2026-11-25"] * 299 + ["NaT"], "M8[D]"), r"groups\[299\] is NaT"),
        (np.array(["a"] * 299 + [np.nan], dtype=object), r"groups\[299\] is nan"),
        (pd.Series(["a"] * 299 + [pd.NA], dtype="string"), r"groups\[299\] is <NA>"),
        ([1, "a"] * 150, "cannot be put in order, as values of type int, str"),
    ],
)
@pytest.mark.parametrize("early_stopping", [False, True])
def test_groups_that_cannot_be(groups, message, early_stopping):
    with pytest.raises(ValueError, match=message):
        small(early_stopping=early_stopping).fit(*make_data(), groups=groups)
    with pytest.raises(ValueError, match=message):
        EnsembleRegressor(small(), 2).fit(*make_data(), groups=groups)


def test_a_sample_alone_is_not_held_out():
    with pytest.raises(ValueError, match="only 1 sample. Give more, or X_val"):
        small(**STOPPING).fit(*make_data(1))


def test_groups_have_no_part_without_early_stopping():
    X, y = make_data()
    with_groups = small(max_iter=2).fit(X, y, groups=np.zeros(300))
    assert_array_equal(with_groups.predict(X), small(max_iter=2).fit(X, y).predict(X))


# Validation data of the user's own


def test_the_given_data_are_watched():
    X, y = make_data()
    X_val, y_val = make_data(100, seed=1)
    model = small(**STOPPING, tol=0).fit(X, y, X_val=X_val, y_val=y_val)
    assert model.loss_curve_ == small(max_iter=4).fit(X, y).loss_curve_
    # The last epoch is the best here, so that its network is what predicts.
    error = np.mean((model.predict(X_val) - y_val) ** 2) / 2
    scale = model.network_.scaling.target_span[0] ** 2
    assert_allclose(model.validation_loss_curve_[-1], error / scale, rtol=1e-4)


def test_the_best_epoch_on_the_given_data_is_kept():
    X, _ = make_data(100)
    noise = np.random.RandomState(0).normal(size=(2, 100))
    parameters = dict(learning_rate_init=0.05, n_iter_no_change=4, early_stopping=True)
    watched = dict(X_val=make_data(100, seed=1)[0], y_val=noise[1])
    model = small(max_iter=60, **parameters).fit(X, noise[0], **watched)
    best = int(np.argmin(model.validation_loss_curve_))
    assert best < model.n_iter_ - 1 < 59
    expected = small(max_iter=best + 1, **parameters).fit(X, noise[0], **watched)
    assert_array_equal(model.predict(X), expected.predict(X))


def test_given_data_come_before_groups():
    X, y = make_data()
    watched = dict(zip(["X_val", "y_val"], make_data(50, seed=1), strict=True))
    model = small(**STOPPING).fit(X, y, groups=np.zeros(300), **watched)
    expected = small(**STOPPING).fit(X, y, **watched)
    assert_array_equal(model.predict(X), expected.predict(X))


@pytest.mark.parametrize(
    ("parameters", "watched", "message"),
    [
        (STOPPING, ["X_val"], "X_val needs y_val"),
        (STOPPING, ["y_val"], "y_val needs X_val"),
        (dict(early_stopping=False), ["X_val"], "X_val needs y_val"),
        (dict(early_stopping=False), ["X_val", "y_val"], "early_stopping=True"),
        (dict(STOPPING, solver="lbfgs"), ["X_val", "y_val"], 'solver="adam"'),
    ],
)
def test_data_that_nobody_watches_are_refused(parameters, watched, message):
    X, y = make_data()
    given = dict(X_val=X, y_val=y)
    with pytest.raises(ValueError, match=message):
        small(**parameters).fit(X, y, **{name: given[name] for name in watched})


@pytest.mark.parametrize(
    ("watched", "message"),
    [
        (lambda X, y: (X[:, 1:], y), "4 features, but LSDNRegressor is expecting 5"),
        (lambda X, y: (X, np.column_stack([y, y])), "y_val has 2 outputs, but y has 1"),
        (lambda X, y: (X, y[1:]), "inconsistent numbers"),
        (lambda X, y: (X * np.nan, y), "NaN"),
    ],
)
def test_validation_data_must_fit_the_training_data(watched, message):
    X, y = make_data()
    X_val, y_val = watched(X, y)
    with pytest.raises(ValueError, match=message):
        small(**STOPPING).fit(X, y, X_val=X_val, y_val=y_val)


# Metadata routing


def test_groups_reach_a_network_in_a_search(splits):
    X, y = make_data()
    with config_context(enable_metadata_routing=True):
        network = (
            small(**STOPPING)
            .set_fit_request(sample_weight=True)
            .set_score_request(sample_weight=True)
        )
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipeline = Pipeline([("scale", scaler), ("network", network)])
        search = GridSearchCV(
            pipeline.set_score_request(sample_weight=True),  # for releases before 1.9
            {"network__sigma": [0.5]},
            cv=LeaveOneGroupOut(),
        )
        search.fit(X, y, groups=SUBJECTS, sample_weight=np.full(300, 7.0))
    *folds, last = [sorted(set(groups)) for _, groups, _, _ in splits]
    assert folds == [[g for g in range(10) if g != left] for left in range(10)]
    assert last == list(range(10))
    assert all((weight == 7.0).all() for (_, _, weight), *_ in splits)


def test_validation_data_pass_through_a_pipeline():
    X, y = make_data()
    X_val, y_val = make_data(100, seed=1)
    scaler = StandardScaler().fit(X)
    with config_context(enable_metadata_routing=True):
        pipeline = Pipeline(
            [
                ("scale", StandardScaler()),
                ("net", small(**STOPPING).set_fit_request(X_val=True, y_val=True)),
            ],
            transform_input=["X_val"],
        ).fit(X, y, X_val=X_val, y_val=y_val)
    expected = small(**STOPPING).fit(
        scaler.transform(X), y, X_val=scaler.transform(X_val), y_val=y_val
    )
    assert_array_equal(pipeline.predict(X), expected.predict(scaler.transform(X)))


def test_a_network_can_decline_groups(splits):
    X, y = make_data()
    with config_context(enable_metadata_routing=True):
        network = small(**STOPPING).set_fit_request(groups=False)
        search = GridSearchCV(network, {}, cv=LeaveOneGroupOut())
        search.fit(X, y, groups=SUBJECTS)
    assert all(groups is None for _, groups, _, _ in splits)


# Through ShrinkConnect


def test_shrinking_passes_on_what_it_is_given(splits):
    X, y = make_data()
    shrink = ShrinkConnect(small(**STOPPING), keep=0.5, max_iter=1)
    shrink.fit(X, y, sample_weight=np.full(300, 7.0), groups=SUBJECTS)
    (_, _, weight), groups, *_ = splits[0]
    assert (weight == 7.0).all()
    assert_array_equal(groups, SUBJECTS)


def test_shrinking_passes_on_validation_data():
    X, y = make_data()
    watched = dict(zip(["X_val", "y_val"], make_data(50, seed=1), strict=True))
    shrink = ShrinkConnect(small(**STOPPING), keep=0.5, max_iter=1).fit(X, y, **watched)
    expected = small(**STOPPING).fit(X, y, **watched)
    curve = shrink.estimator_.validation_loss_curve_
    assert curve == expected.validation_loss_curve_


def test_shrinking_routes_metadata(splits):
    X, y = make_data()
    weight = np.full(300, 7.0)
    with config_context(enable_metadata_routing=True):
        network = small(**STOPPING).set_fit_request(sample_weight=True)
        shrink = ShrinkConnect(network, keep=0.5, max_iter=1)
        shrink.set_fit_request(sample_weight=True)
        pipeline = Pipeline([("shrink", shrink)])
        pipeline.fit(X, y, groups=SUBJECTS, sample_weight=weight)
        (_, _, given), groups, *_ = splits[0]
        assert_array_equal(given, weight)
        assert_array_equal(groups, SUBJECTS)
        network.set_fit_request(sample_weight=False)
        pipeline.fit(X, y, sample_weight=weight)
        assert (splits[1][0][2] == 1.0).all()
        network.set_fit_request(sample_weight=None)
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            pipeline.fit(X, y, sample_weight=weight)
        with pytest.raises(TypeError, match="nonsense"):
            shrink.fit(X, y, nonsense=1)


def test_the_network_that_is_shrunk_by_default_takes_all_metadata():
    X, y = make_data()
    shrink = ShrinkConnect(keep=0.05, max_iter=1, random_state=0)
    weight = np.arange(300) % 2
    expected = shrink.fit(X, y, sample_weight=weight).predict(X)
    with config_context(enable_metadata_routing=True):
        shrink.set_fit_request(sample_weight=True)
        pipeline = Pipeline([("shrink", shrink)])
        pipeline.fit(X, y, groups=SUBJECTS, sample_weight=weight)
    assert_array_equal(pipeline.predict(X), expected)


def test_without_routing_an_unknown_argument_is_refused():
    with pytest.raises(TypeError, match="nonsense"):
        ShrinkConnect(small(), keep=0.5).fit(*make_data(), nonsense=1)


def test_a_fitted_network_has_no_use_for_groups():
    X, y = make_data()
    network = small(max_iter=1).fit(X, y)
    for shrink in (
        ShrinkConnect(network, prefit=True),
        ShrinkConnect(FrozenEstimator(network)),
    ):
        with pytest.raises(TypeError, match="needs no groups"):
            shrink.fit(X, y, groups=SUBJECTS)
        with config_context(enable_metadata_routing=True):
            shrink.set_params(keep=0.5, max_iter=1).set_fit_request(sample_weight=True)
            Pipeline([("s", shrink)]).fit(X, y, sample_weight=np.ones(300))


# Subjects of a synthesizer


@pytest.fixture(scope="module")
def images():
    cohort = make_brain_cohort(3, voxel_size=8, random_state=0)
    return cohort.images["T1w"], cohort.images["T2w"]


@pytest.mark.parametrize("shrunken", [False, True])
@pytest.mark.parametrize("routing", [False, True])
def test_a_synthesizer_holds_out_whole_subjects(splits, images, shrunken, routing):
    network = small(**STOPPING, coordinates=3)
    estimator = ShrinkConnect(network, keep=0.5, max_iter=1) if shrunken else network
    synthesizer = VolumeSynthesizer(estimator, n_voxels=100, random_state=0)
    with config_context(enable_metadata_routing=routing):
        synthesizer.fit(*images)
    ((_, groups, kept, watched),) = splits
    assert_array_equal(groups, np.repeat([0, 1, 2], 100))
    assert (len(kept[0]), len(watched[0])) == (200, 100)


def test_scans_of_one_person_are_held_out_together(splits, images):
    synthesizer = VolumeSynthesizer(
        small(**STOPPING, coordinates=3), n_voxels=100, random_state=0
    )
    synthesizer.fit(*images, groups=["ann", "ann", "bob"])
    assert_array_equal(splits[0][1], np.repeat(["ann", "ann", "bob"], 100))
    named = pd.Series(["ann", "ann", "bob"], index=[5, 0, 1])  # counts by position
    synthesizer.fit(*images, groups=named, sample_weight=[1, 2, 3])
    assert_array_equal(splits.pop()[1], np.repeat(["ann", "ann", "bob"], 100))
    synthesizer.fit(*images, groups=[1, 1, 1])  # at random, then
    assert splits[1][1] is None
    with pytest.raises(ValueError, match="each of 3 subjects"):
        synthesizer.fit(*images, groups=["ann", "bob"])


def test_other_estimators_are_not_given_groups(images):
    for estimator in (LinearRegression(), small(max_iter=1)):
        VolumeSynthesizer(estimator, n_voxels=100).fit(*images, groups=[0, 1, 2])


def test_groups_reach_a_synthesizer_in_a_search(splits, images):
    with config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            VolumeSynthesizer(small(**STOPPING), n_voxels=100, random_state=0),
            {"estimator__sigma": [0.5]},
            cv=LeaveOneGroupOut(),
        ).fit(*images, groups=["ann", "bob", "eve"])
    names = [sorted(set(groups)) for _, groups, _, _ in splits]
    expected = [["bob", "eve"], ["ann", "eve"], ["ann", "bob"], ["ann", "bob", "eve"]]
    assert names == expected
    assert search.best_score_ > 0


def test_requests_do_not_keep_a_model_from_a_file(tmp_path):
    pytest.importorskip("skops")
    X, y = make_data()
    with config_context(enable_metadata_routing=True):
        model = small().set_fit_request(sample_weight=True).fit(X, y)
    save_model(model, tmp_path / "model.skops")
    assert model._metadata_request.fit.requests["sample_weight"] is True
    loaded = load_model(tmp_path / "model.skops")
    assert_array_equal(loaded.predict(X), model.predict(X))

"""The three networks as scikit-learn classifiers."""

import inspect
import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, logit
from sklearn.base import clone, is_classifier
from sklearn.calibration import calibration_curve
from sklearn.datasets import load_digits, make_blobs, make_circles
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss, recall_score
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut

from sklearn_lsdn import (
    CDNClassifier,
    EnsembleRegressor,
    LSDNClassifier,
    LSDNRegressor,
    ShrinkConnect,
    VDNClassifier,
    load_model,
    save_model,
)
from sklearn_lsdn._network.network import Network

NETWORKS = [LSDNClassifier, CDNClassifier, VDNClassifier]
SMALL = (8, 3)


def small(network=LSDNClassifier, **parameters):
    return network(**{"hidden_layer_sizes": SMALL, "random_state": 0, **parameters})


def make_data(n=400, n_classes=2, seed=0):
    """Columns of various units, and classes that depend on several of them."""
    rng = np.random.RandomState(seed)
    Z = rng.normal(size=(n, 5))
    score = Z[:, 0] + 0.5 * Z[:, 4] + 0.3 * rng.normal(size=n)
    edges = np.quantile(score, np.arange(1, n_classes) / n_classes)
    return Z * [3, 1, 50, 2, 10] + [100, 0, -20, 5, 0], np.digitize(score, edges)


def make_rare(n=3000, seed=0):
    """A class that a tenth of the samples have, which overlaps with the other."""
    rng = np.random.RandomState(seed)
    y = rng.uniform(size=n) < 0.1
    return rng.normal(size=(n, 4)) + 1.2 * y[:, None], y.astype(int)


def by_the_equations(model, X):
    """psi of a network without coordinates, of raw columns."""
    h = X
    for F, b in zip(model.coefs_, model.intercepts_, strict=True):
        h = expit(h @ F + b)
    return h


# Signature and attributes


@pytest.mark.parametrize("network", NETWORKS)
def test_parameters_are_those_of_the_regressor_and_class_weight(network):
    ours = inspect.signature(network).parameters
    theirs = inspect.signature(LSDNRegressor).parameters
    assert [name for name in ours if name != "class_weight"] == list(theirs)
    defaults = network().get_params()
    assert defaults.pop("class_weight") is None
    assert defaults == LSDNRegressor().get_params()


@pytest.mark.parametrize("network", NETWORKS)
def test_docstring_has_its_sections_and_parameters(network):
    doc = inspect.getdoc(network)
    for name in ("Parameters", "Attributes", "See Also", "Notes", "Examples"):
        assert f"\n\n{name}\n{'-' * len(name)}\n" in doc
    for name in [*inspect.signature(network).parameters, "classes_"]:
        assert f"\n{name} : " in doc
    assert "{" not in doc.replace('{"adam", "sgd", "lbfgs"}', "").split("Notes")[0]


@pytest.mark.parametrize(("n_classes", "n_outputs"), [(2, 1), (3, 3), (5, 5)])
def test_two_classes_take_one_output_and_more_one_each(n_classes, n_outputs):
    X, y = make_data(n_classes=n_classes)
    model = small(max_iter=2).fit(X, y)
    assert model.n_outputs_ == model.coefs_[-1].shape[1] == n_outputs
    assert_array_equal(model.classes_, np.arange(n_classes))
    p = model.predict_proba(X)
    assert p.shape == (len(X), n_classes)
    assert_allclose(p.sum(axis=1), 1)
    assert_array_equal(model.predict(X), p.argmax(axis=1))
    assert_array_equal(model.predict_log_proba(X), np.log(p))


@pytest.mark.parametrize("n_classes", [2, 4])
def test_probabilities_are_the_logistic_outputs(n_classes):
    X, y = make_data(n_classes=n_classes)
    model = small(coordinates=0, max_iter=5).fit(X, y)
    psi = by_the_equations(model, X)
    expected = (
        np.hstack([1 - psi, psi]) if n_classes == 2 else psi / psi.sum(1)[:, None]
    )
    assert_allclose(model.predict_proba(X), expected, rtol=1e-4, atol=1e-6)


def test_probabilities_have_the_dtype_of_the_input():
    X, y = make_data()
    model = small(max_iter=2).fit(X, y)
    for dtype in (np.float32, np.float64):
        assert model.predict_proba(X.astype(dtype)).dtype == dtype


def test_unfitted():
    for method in ("predict", "predict_proba", "predict_log_proba"):
        with pytest.raises(NotFittedError):
            getattr(LSDNClassifier(), method)(np.zeros((1, 5)))


def test_loss_is_cross_entropy():
    X, y = make_data()
    model = small(solver="lbfgs", max_iter=30).fit(X, y)
    expected = log_loss(y, model.predict_proba(X))
    assert_allclose(model.loss_curve_[-1], expected, rtol=1e-4)
    data = X, (y[:, None] == 1).astype(float), np.ones(len(y))
    assert_allclose(model.network_.loss(*data), expected, rtol=1e-4)


@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_saturated_outputs_have_finite_logarithms(kind):
    X, y = make_data()
    model = small(coordinates=0).fit(X, y)
    far = np.array([X[0], X[0]], dtype=kind)
    far[:, 0] = [1e12, -1e12]
    network = model.network_
    louder = network.with_parameters(1e3 * network.parameters())
    model.network_ = louder
    log_p = model.predict_log_proba(far)
    assert np.isfinite(log_p).all()
    assert log_p.min() < -10
    assert np.isfinite(louder.loss(far, np.eye(2)[:, :1], np.ones(2)))


# What is learned


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_ring_is_told_from_what_is_within(solver):
    X, y = make_circles(600, noise=0.06, factor=0.5, random_state=0)
    model = CDNClassifier(
        (30,), solver=solver, max_iter=60, n_iter_no_change=60, random_state=0
    ).set_params(learning_rate_init=0.03, learning_rate_decay=0.97)
    assert model.fit(X[:400], y[:400]).score(X[400:], y[400:]) > 0.98


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_digits_are_read(solver):
    X, y = load_digits(return_X_y=True)
    X, y = X[:1500], y[:1500]
    model = VDNClassifier(
        (40,), coordinates=0, solver=solver, max_iter=60, random_state=0
    )
    assert model.fit(X[:1000], y[:1000]).score(X[1000:], y[1000:]) > 0.9


def test_what_a_feature_means_depends_on_where():
    rng = np.random.RandomState(0)
    X = rng.uniform(-1, 1, (2500, 4))
    y = X[:, 0] * np.where(np.square(X[:, 1:]).sum(axis=1) < 0.75, 1, -1) > 0
    parameters = {"learning_rate_init": 0.01, "learning_rate_decay": 0.95}
    parameters |= {"hidden_layer_sizes": (40, 10), "max_iter": 40}
    models = [small(n, **parameters).fit(X[:2000], y[:2000]) for n in NETWORKS]
    lsdn, cdn, vdn = (model.score(X[2000:], y[2000:]) for model in models)
    assert lsdn > 0.85
    assert lsdn > cdn - 0.02
    assert vdn < 0.7


def test_probabilities_are_calibrated():
    rng = np.random.RandomState(0)
    X = rng.normal(size=(8000, 4))
    truth = expit(1.5 * X[:, 0] - 1.0)
    y = rng.uniform(size=len(X)) < truth
    model = small(learning_rate_init=0.02).fit(X[:4000], y[:4000])
    p = model.predict_proba(X[4000:])[:, 1]
    assert np.sqrt(np.mean((p - truth[4000:]) ** 2)) < 0.07
    share, mean = calibration_curve(y[4000:], p, n_bins=8, strategy="quantile")
    assert abs(share - mean).max() < 0.06


def test_training_starts_at_the_share_of_each_class():
    X, y = make_rare()
    weight = np.where(y, 3.0, 1.0)
    drawn = {}
    for name, of in ("plain", None), ("weighted", weight):
        model = small(max_iter=1, learning_rate_init=1e-9).fit(X, y, sample_weight=of)
        drawn[name] = model.intercepts_[-1]
    assert_allclose(drawn["plain"], logit(y.mean()), atol=1e-5)
    assert_allclose(drawn["weighted"], logit(weight @ y / weight.sum()), atol=1e-5)


def test_the_same_seed_gives_the_same_network_on_any_number_of_threads():
    X, y = make_data(n_classes=3)
    models = [small(max_iter=3, batch_size=400, n_jobs=n).fit(X, y) for n in (1, 1, 3)]
    for model in models[1:]:
        assert_array_equal(model.predict_proba(X), models[0].predict_proba(X))


# Labels


@pytest.mark.parametrize(
    "labels",
    [
        [0, 1, 2],
        [7, -2, 1000],
        ["white", "grey", "lesion"],
        np.array(["b", "a", "c"], dtype=object),
        [0.0, 2.0, 5.0],
        [False, True],
        ["ventricle", "other"],
        [-1, 1],
    ],
    ids=str,
)
def test_labels_are_of_any_kind(labels):
    labels = np.asarray(labels)
    X, y = make_data(n_classes=len(labels))
    named = small(learning_rate_init=0.02, max_iter=5).fit(X, labels[y])
    assert_array_equal(named.classes_, np.sort(labels))
    assert named.predict(X).dtype == labels.dtype
    assert set(named.predict(X)) == set(labels)
    numbered = clone(named).fit(X, np.argsort(np.argsort(labels))[y])
    assert_array_equal(named.predict_proba(X), numbered.predict_proba(X))
    assert named.score(X, labels[y]) > 0.6


def test_labels_in_a_frame():
    X, y = make_data()
    names = ["a", "b", "x", "y", "z"]
    series = pd.Series(np.array(["no", "yes"])[y], dtype="category")
    model = small(coordinates=["x", "y", "z"], max_iter=3)
    model.fit(pd.DataFrame(X, columns=names), series)
    assert_array_equal(model.feature_names_in_, names)
    plain = small(coordinates=3, max_iter=3).fit(X, y)
    assert_array_equal(
        model.predict(pd.DataFrame(X, columns=names)) == "yes", plain.predict(X)
    )


@pytest.mark.parametrize("fit", ["fit", "weighted"])
def test_one_class_is_too_few(fit):
    X, y = make_data()
    weight = None if fit == "weighted" else np.ones(len(y))
    weight, y = ((y == 1) * 1.0, y) if fit == "weighted" else (weight, 0 * y + 1)
    with pytest.raises(ValueError, match="y holds one class alone, 1. Give samples of"):
        small().fit(X, y, sample_weight=weight)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.linspace(0, 1, 400), "Unknown label type: continuous"),
        (np.eye(2)[np.arange(400) % 2], "1d array"),
        (np.where(np.arange(400) > 3, np.nan, 0.0), "NaN"),
    ],
)
def test_what_are_no_labels(y, message):
    with pytest.raises(ValueError, match=message):
        small().fit(make_data()[0], y)


# Weights


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("balanced", [False, True])
def test_weights_count_as_repetitions(network, balanced):
    X, y = make_data(150, n_classes=3)
    weight = np.random.RandomState(1).randint(0, 4, len(X))
    how = dict(
        solver="lbfgs", max_iter=10, class_weight="balanced" if balanced else None
    )
    weighted = small(network, **how).fit(X, y, sample_weight=weight)
    repeated = small(network, **how).fit(
        np.repeat(X, weight, axis=0), np.repeat(y, weight)
    )
    p, q = weighted.predict_proba(X), repeated.predict_proba(X)
    assert_allclose(p, q, atol=1e-3)
    assert abs(small(network, **how).fit(X, y).predict_proba(X) - p).max() > 0.01


def test_balanced_classes_are_recalled():
    X, y = make_rare()
    plain = small().fit(X, y)
    balanced = small(class_weight="balanced").fit(X, y)
    before, after = (recall_score(y, m.predict(X)) for m in (plain, balanced))
    assert after > before + 0.1
    assert abs(plain.predict_proba(X)[:, 1].mean() - y.mean()) < 0.02
    assert balanced.predict_proba(X)[:, 1].mean() > 1.5 * y.mean()


def test_class_weights_multiply_sample_weights():
    X, y = make_data()
    y = np.array(["a", "b"])[y]
    weight = np.random.RandomState(0).uniform(0.5, 2, len(X))
    by_class = small(class_weight={"b": 3}, max_iter=3).fit(X, y, sample_weight=weight)
    by_sample = small(max_iter=3).fit(
        X, y, sample_weight=weight * np.where(y == "b", 3, 1)
    )
    assert_array_equal(by_class.predict_proba(X), by_sample.predict_proba(X))


def test_a_class_that_weighs_nothing_has_no_part():
    X, y = make_data(n_classes=3)
    model = small(class_weight={0: 0}, max_iter=20).fit(X, y)
    assert set(model.predict(X)) == {1, 2}


@pytest.mark.parametrize("class_weight", ["equal", 3, {5: 1, 6: 2}])
def test_class_weights_that_cannot_be(class_weight):
    X, y = make_data()
    with pytest.raises(ValueError, match="class"):
        small(class_weight=class_weight).fit(X, y)


# Early stopping


def test_early_stopping_watches_cross_entropy():
    X, y = make_data()
    X_val, y_val = make_data(200, seed=1)
    model = small(early_stopping=True, max_iter=6).fit(X, y, X_val=X_val, y_val=y_val)
    best = log_loss(y_val, model.predict_proba(X_val))
    assert_allclose(min(model.validation_loss_curve_), best, rtol=1e-4)
    assert len(model.validation_loss_curve_) == model.n_iter_


def test_what_is_watched_weighs_as_classes_do():
    X, y = make_rare()
    how = dict(early_stopping=True, max_iter=3, class_weight={1: 5.0})
    model = small(**how).fit(X, y, X_val=X[:500], y_val=y[:500])
    p = model.predict_proba(X[:500])
    expected = log_loss(y[:500], p, sample_weight=np.where(y[:500], 5.0, 1.0))
    assert_allclose(min(model.validation_loss_curve_), expected, rtol=1e-4)


def test_training_ends_where_others_no_longer_gain():
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(300, 6)), rng.randint(2, size=300)  # nothing to learn
    model = small(hidden_layer_sizes=(60, 20), early_stopping=True, max_iter=200)
    model.fit(X, y, groups=np.arange(300) // 30)
    assert model.n_iter_ < 100
    assert model.validation_loss_curve_.index(min(model.validation_loss_curve_)) < 95


def test_labels_to_watch_must_be_known():
    X, y = make_data()
    with pytest.raises(ValueError, match="y holds 7, which is none of the classes"):
        small(early_stopping=True).fit(X, y, X_val=X[:9], y_val=np.full(9, 7))


# Further training


def test_partial_fit_learns_in_parts():
    X, y = make_blobs(1500, 4, centers=3, cluster_std=2.0, random_state=0)
    names = np.array(["a", "b", "c"])[y]
    model = small(learning_rate_init=0.02)
    for epoch in range(6):
        for start in range(0, 1200, 300):
            part = slice(start, start + 300)
            first = epoch == start == 0
            model.partial_fit(X[part], names[part], classes=names if first else None)
    assert model.n_iter_ == 24
    assert model.score(X[1200:], names[1200:]) > 0.9


def test_partial_fit_is_an_epoch_of_fit():
    X, y = make_data(n_classes=3)
    whole = small(max_iter=1).fit(X, y)
    part = small().partial_fit(X, y, classes=[0, 1, 2])
    assert_array_equal(part.predict_proba(X), whole.predict_proba(X))


def test_classes_may_come_later():
    X, y = make_data()
    model = small(learning_rate_init=0.05)
    model.partial_fit(X[y == 0], y[y == 0], classes=[0, 1])
    assert (model.predict(X) == 0).all()
    for _ in range(40):
        model.partial_fit(X, y)
    assert model.score(X, y) > 0.85


def test_partial_fit_refuses():
    X, y = make_data()
    with pytest.raises(ValueError, match="The first call of partial_fit needs classes"):
        small().partial_fit(X, y)
    with pytest.raises(ValueError, match="two labels or more"):
        small().partial_fit(X, y, classes=[1])
    with pytest.raises(ValueError, match="y holds 1, which is none of the classes"):
        small().partial_fit(X, y, classes=[0, 2])
    with pytest.raises(ValueError, match='class_weight="balanced"'):
        small(class_weight="balanced").partial_fit(X, y, classes=[0, 1])
    model = small().partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match=r"\[0, 1, 2\], but were \[0, 1\]"):
        model.partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="y holds 2, which is none of the classes"):
        model.partial_fit(X, y + 1)
    assert_array_equal(model.partial_fit(X, y, classes=[1, 0]).classes_, [0, 1])
    assert not hasattr(small(solver="lbfgs"), "partial_fit")


def test_warm_start_goes_on():
    X, y = make_data()
    model = small(max_iter=3, warm_start=True, random_state=1).fit(X, y)
    before = model.network_.loss(X, (y[:, None] == 1) * 1.0, np.ones(len(y)))
    model.fit(X, y)
    assert model.network_.loss(X, (y[:, None] == 1) * 1.0, np.ones(len(y))) < before
    with pytest.raises(ValueError, match="y holds 2, which is none of the classes"):
        model.fit(X, y + 1)
    assert_array_equal(clone(model).fit(X, y + 1).classes_, [1, 2])


# In company


@pytest.mark.parametrize("network", NETWORKS)
def test_model_files(network, tmp_path):
    X, y = make_data(n_classes=3)
    for name, labels in ("n", y), ("s", np.array(["a", "b", "c"])[y]):
        model = small(network, max_iter=2).fit(X, labels)
        save_model(model, tmp_path / name)
        for copy in (load_model(tmp_path / name), pickle.loads(pickle.dumps(model))):
            assert_array_equal(copy.predict(X), model.predict(X))
            assert_array_equal(copy.predict_proba(X), model.predict_proba(X))


def test_object_labels_in_model_files(tmp_path):
    X, y = make_data()
    model = small(max_iter=2).fit(X, np.array(["no", "yes"], dtype=object)[y])
    save_model(model, tmp_path / "model")
    assert_array_equal(load_model(tmp_path / "model").predict(X), model.predict(X))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda model: setattr(model, "classes_", np.array([1, 0])),
        lambda model: setattr(model, "classes_", np.array([0, 1, 2])),
        lambda model: setattr(model, "classes_", np.array([0])),
        lambda model: setattr(
            model, "network_", LSDNRegressor(SMALL).fit(*make_data()).network_
        ),
    ],
)
def test_files_that_do_not_fit_together_are_refused(spoil, tmp_path):
    model = small(max_iter=1).fit(*make_data())
    spoil(model)
    save_model(model, tmp_path / "model")
    with pytest.raises(ValueError, match="is damaged"):
        load_model(tmp_path / "model")


@pytest.mark.parametrize("keep", [0.5, 1.0])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_shrunk_it_is_a_classifier(keep, n_classes, tmp_path):
    X, y = make_data(n_classes=n_classes)
    labels = np.array(["a", "b", "c"])[y]
    full = LSDNClassifier((24, 8), max_iter=15, random_state=0).fit(X, labels)
    shrunk = ShrinkConnect(FrozenEstimator(full), keep=keep, random_state=0)
    shrunk.fit(X, labels)
    assert is_classifier(shrunk)
    assert_array_equal(shrunk.classes_, full.classes_)
    assert shrunk.estimator_.hidden_layer_sizes == (24 * keep, 8 * keep)
    p = shrunk.predict_proba(X)
    assert_allclose(p.sum(axis=1), 1)
    assert abs(p - full.predict_proba(X)).mean() < 0.1
    assert_array_equal(shrunk.predict_log_proba(X), np.log(p))
    assert_array_equal(shrunk.predict(X), shrunk.classes_[p.argmax(axis=1)])
    assert shrunk.score(X, labels) == np.mean(shrunk.predict(X) == labels) > 0.7
    assert shrunk.transform(X).shape == (len(X), 8 * keep)
    truth = labels[:, None] == (full.classes_ if n_classes > 2 else ["b"])
    loss = full.network_.loss(X, truth.astype(float), np.ones(len(X)))
    assert_allclose(shrunk.full_loss_, loss)
    save_model(shrunk, tmp_path / "model")
    assert_array_equal(load_model(tmp_path / "model").predict_proba(X), p)


def test_shrunk_a_regressor_has_no_classes():
    shrunk = ShrinkConnect(LSDNRegressor(SMALL, max_iter=2), keep=0.5)
    assert not is_classifier(shrunk)
    shrunk.fit(*make_data())
    for name in ("predict_proba", "predict_log_proba", "classes_"):
        assert not hasattr(shrunk, name)


def test_shrinking_weighs_classes():
    X, y = make_rare(1000)
    full = small(class_weight={1: 9.0}, max_iter=5).fit(X, y)
    weight = np.where(y, 9.0, 1.0)
    shrunk = ShrinkConnect(full, keep=0.5, prefit=True).fit(X, y)
    loss = full.network_.loss(X, y[:, None] * 1.0, weight)
    assert_allclose(shrunk.full_loss_, loss, rtol=1e-6)


def test_ensembles_are_those_of_scikit_learn():
    X, y = make_data(n_classes=3)
    network = small(max_iter=5, learning_rate_init=0.02)
    pair = [
        (name, clone(network).set_params(random_state=i)) for i, name in enumerate("ab")
    ]
    voting = VotingClassifier(pair, voting="soft").fit(X, y)
    each = [member.predict_proba(X) for member in voting.estimators_]
    assert_allclose(voting.predict_proba(X), np.mean(each, axis=0))
    bagging = BaggingClassifier(network, 2, random_state=0).fit(X, y)
    assert bagging.score(X, y) > 0.6
    with pytest.raises(ValueError, match="BaggingClassifier or VotingClassifier"):
        EnsembleRegressor(small()).fit(X, y)


def test_a_search_by_subject_scores_probabilities():
    X, y = make_data(300)
    search = GridSearchCV(
        small(max_iter=5, learning_rate_init=0.02),
        {"sigma": [0.3, 1.0]},
        scoring=["average_precision", "roc_auc", "neg_log_loss"],
        refit="roc_auc",
        cv=LeaveOneGroupOut(),
    )
    search.fit(X, y, groups=np.arange(300) // 100)
    assert (search.cv_results_["mean_test_roc_auc"] > 0.8).all()


def test_callbacks_get_classifiers():
    pytest.importorskip("sklearn.callback")
    seen = []

    class Listener:
        def setup(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context, *, fitted_estimator):
            seen.append(fitted_estimator.predict_proba(make_data()[0]).shape)

        def teardown(self, estimator, context):
            pass

    small(max_iter=3).set_callbacks(Listener()).fit(*make_data())
    assert seen == [(400, 2)] * 4


def test_a_network_of_an_older_release_has_no_cross_entropy():
    names = inspect.signature(Network).parameters
    assert names["cross_entropy"].default is False

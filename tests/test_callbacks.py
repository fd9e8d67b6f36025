"""scikit-learn's callbacks: told of every epoch, wherever the network stands."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_lsdn import (
    CDNRegressor,
    EnsembleRegressor,
    LSDNRegressor,
    ShrinkConnect,
    VDNRegressor,
    VolumeSynthesizer,
    load_model,
    save_model,
    volume_snr_scorer,
)
from sklearn_lsdn._network.network import Network
from sklearn_lsdn.datasets import make_brain_cohort

callback = pytest.importorskip(
    "sklearn.callback", reason="scikit-learn has callbacks from 1.9 on"
)
ProgressBar, ScoringMonitor = callback.ProgressBar, callback.ScoringMonitor

NETWORKS = [LSDNRegressor, CDNRegressor, VDNRegressor]
SOLVERS = ["adam", "sgd", "lbfgs"]


def make_data(n=300, seed=0):
    X = np.random.RandomState(seed).uniform(-1, 1, (n, 5))
    return X, X[:, 0] * X[:, 4]


def small(network=LSDNRegressor, **parameters):
    return network((8, 3), **{"random_state": 0, "max_iter": 4, **parameters})


class Diary:
    """Notes the hooks called, and asks to stop after so many epochs."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.setups = self.teardowns = 0
        self.begun, self.ended = [], []

    def setup(self, estimator, context):
        self.setups += 1

    def teardown(self, estimator, context):
        self.teardowns += 1

    def on_fit_task_begin(self, estimator, context):
        self.begun.append(self._name(context))

    def on_fit_task_end(self, estimator, context):
        self.ended.append(self._name(context))
        return self.ended.count("epoch") == self.stop_after

    def _name(self, context):
        names = {"iteration": "epoch"}  # of L-BFGS
        return names.get(context.task_name, context.task_name)


class Album(Diary):
    """Keeps what each epoch would leave behind, and what the hooks were given."""

    def __init__(self):
        super().__init__()
        self.before, self.after, self.given = [], [], []

    def on_fit_task_begin(self, estimator, context, *, fitted_estimator=None):
        if self._name(context) == "epoch":
            self.before.append(fitted_estimator)

    def on_fit_task_end(
        self, estimator, context, *, X, y, metadata, fitted_estimator=None
    ):
        self.given.append((X, y, metadata))
        if self._name(context) == "epoch":
            self.after.append(fitted_estimator)


class HandedDown(Diary):
    """Goes on from meta-estimators to what they hold."""

    max_propagation_depth = None


def assert_same_network(one, other):
    for name in ("coefs_", "intercepts_"):
        for a, b in zip(getattr(one, name), getattr(other, name), strict=True):
            assert_array_equal(a, b)
    assert_array_equal(one.latent_coordinates_, other.latent_coordinates_)
    assert one.loss_curve_ == other.loss_curve_
    assert one.validation_loss_curve_ == other.validation_loss_curve_
    assert one.n_iter_ == other.n_iter_


# Networks


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_hooks_are_called_at_every_epoch(network, solver):
    X, y = make_data()
    diary = Diary()
    model = small(network, solver=solver).set_callbacks(diary).fit(X, y)
    assert diary.setups == diary.teardowns == 1
    assert diary.begun == ["fit"] + ["epoch"] * 4
    assert diary.ended == ["epoch"] * 4 + ["fit"]
    assert_same_network(model, small(network, solver=solver).fit(X, y))


@pytest.mark.parametrize(
    "parameters",
    [dict(tol=0.05), dict(tol=0.0, n_iter_no_change=500, alpha=1.0)],
    ids=["without progress", "at the bottom"],
)
def test_lbfgs_that_ends_early_ends_its_tasks(parameters):
    X, y = make_data(20)
    diary = Diary()
    model = small(solver="lbfgs", max_iter=500, **parameters).set_callbacks(diary)
    model.fit(X, y)
    assert model.n_iter_ == len(model.loss_curve_) < 500
    assert sorted(diary.begun) == sorted(diary.ended)
    assert diary.ended[-1] == "fit"
    # Nobody knows that the optimizer is at the bottom before it has tried again.
    assert diary.ended.count("epoch") == model.n_iter_ + ("alpha" in parameters)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_fitted_estimator_is_what_an_end_would_leave(solver):
    X, y = make_data()
    album = Album()
    model = small(solver=solver).set_callbacks(album).fit(X, y)
    assert len(album.after) == len(album.before) == 4
    for n, network in enumerate(album.after, start=1):
        expected = small(solver=solver, max_iter=n).fit(X, y)
        assert_same_network(network, expected)
        assert_array_equal(network.predict(X), expected.predict(X))
    for before, after in zip(album.before[1:], album.after[:-1], strict=True):
        assert_same_network(before, after)
    assert album.before[0].n_iter_ == 0
    assert_same_network(model, album.after[-1])
    assert [*album.after[0].loss_curve_] == model.loss_curve_[:1]


def test_with_early_stopping_it_is_the_best_so_far():
    X, _ = make_data(100)
    y = np.random.RandomState(0).normal(size=100)  # nothing to learn but noise
    parameters = dict(early_stopping=True, validation_fraction=0.3, max_iter=12)
    parameters |= dict(learning_rate_init=0.05, n_iter_no_change=12)
    album = Album()
    model = small(**parameters).set_callbacks(album).fit(X, y)
    assert (np.diff(model.validation_loss_curve_) > 0).any()
    for n, network in enumerate(album.after, start=1):
        assert_same_network(network, small(**{**parameters, "max_iter": n}).fit(X, y))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("n", [1, 3])
def test_a_callback_can_end_training(solver, n):
    X, y = make_data()
    diary = Diary(stop_after=n)
    model = small(solver=solver, max_iter=30).set_callbacks(diary).fit(X, y)
    expected = small(solver=solver, max_iter=n).fit(X, y)
    assert_same_network(model, expected)
    assert_array_equal(model.predict(X), expected.predict(X))
    assert diary.begun == ["fit"] + ["epoch"] * n
    assert diary.ended == ["epoch"] * n + ["fit"]


def test_a_network_that_a_callback_ended_can_be_trained_on():
    X, y = make_data()
    stopped = small(learning_rate_decay=1.0).set_callbacks(Diary(stop_after=2))
    stopped.fit(X, y).set_callbacks()
    expected = small(learning_rate_decay=1.0, max_iter=2).fit(X, y)
    assert_same_network(stopped.partial_fit(X, y), expected.partial_fit(X, y))


def test_partial_fit_is_an_epoch():
    X, y = make_data()
    album, diary = Album(), Diary()
    model = small().set_callbacks(album, diary)
    for n in range(1, 3):
        model.partial_fit(X, y)
        assert diary.ended == ["epoch", "fit"] * n
        assert_array_equal(album.after[-1].predict(X), model.predict(X))
    assert [network.n_iter_ for network in album.before] == [0, 1]
    assert [len(network.loss_curve_) for network in album.after] == [1, 2]


def test_hooks_get_what_fit_was_given():
    X, y = make_data()
    frame, weight = pd.DataFrame(X, columns=list("abcde")), np.arange(300.0)
    album = Album()
    small().set_callbacks(album).fit(frame, y, sample_weight=weight)
    assert len(album.given) == 5
    for given, target, metadata in album.given:
        assert given is frame
        assert target is y
        assert list(metadata) == ["sample_weight"]
        assert metadata["sample_weight"] is weight


def test_nobody_asks_for_what_is_not_needed(monkeypatch):
    asked = []
    with_parameters = Network.with_parameters

    def counted(self, theta):
        asked.append(theta)
        return with_parameters(self, theta)

    monkeypatch.setattr(Network, "with_parameters", counted)
    for solver in SOLVERS:
        small(solver=solver).set_callbacks(Diary()).fit(*make_data())
        small(solver=solver).fit(*make_data())
    assert len(asked) == 2 * len(SOLVERS)  # each at its end


def test_a_failing_hook_is_heard_and_torn_down():
    class Failing(Diary):
        def on_fit_task_end(self, estimator, context):
            raise RuntimeError("no space left")

    failing = Failing()
    with pytest.raises(RuntimeError, match="no space left"):
        small().set_callbacks(failing).fit(*make_data())
    assert failing.teardowns == 1


def test_divergence_is_said_before_it_is_scored():
    network = small(learning_rate_init=1e38)
    with pytest.raises(ValueError, match="Training diverged"):
        network.set_callbacks(ScoringMonitor(scoring="r2")).fit(*make_data())


# scikit-learn's own callbacks


@pytest.mark.parametrize("solver", SOLVERS)
def test_scoring_monitor(solver):
    X, y = make_data()
    X = pd.DataFrame(X, columns=list("abcde"))  # whose names must not get lost
    monitor = ScoringMonitor(scoring="r2")
    model = small(solver=solver).set_callbacks(monitor).fit(X, y)
    log = monitor.get_logs().data
    assert len(log) == 5
    scores = {row["task_id_path"]: row["r2"] for row in log}
    assert scores[(0,)] == scores[(0, 3)] == model.score(X, y)
    assert scores[(0, 0)] == small(solver=solver, max_iter=1).fit(X, y).score(X, y)


def test_scoring_monitor_takes_the_weights():
    X, y = make_data()
    weight = np.arange(300) % 3
    monitor = ScoringMonitor(scoring="r2")
    model = small().set_callbacks(monitor).fit(X, y, sample_weight=weight)
    assert monitor.get_logs().data[0]["r2"] == model.score(X, y, weight)


def test_progress_bar(capsys):
    pytest.importorskip("rich")
    small().set_callbacks(ProgressBar()).fit(*make_data())
    line = capsys.readouterr().out
    assert "LSDNRegressor - fit" in line
    assert "100%" in line


def test_in_a_pipeline():
    X, y = make_data()
    diary, handed_down = Diary(), HandedDown()
    pipeline = make_pipeline(StandardScaler(), small().set_callbacks(diary))
    pipeline.set_callbacks(handed_down).fit(X, y)
    assert diary.ended.count("epoch") == 4
    assert handed_down.ended.count("epoch") == 4
    assert handed_down.setups == handed_down.teardowns == 1


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_in_a_search(n_jobs):
    X, y = make_data()
    monitor = ScoringMonitor(scoring="r2")
    search = GridSearchCV(
        small().set_callbacks(monitor), {"max_iter": [2, 3]}, cv=2, n_jobs=n_jobs
    ).fit(X, y)
    log = monitor.get_logs().data
    epochs = [row for row in log if row["task_name"] == "epoch"]
    assert len(epochs) == 2 * (2 + 3) + search.best_estimator_.n_iter_


def test_handed_down_through_a_search_over_shrunken_networks():
    handed_down = HandedDown()
    shrink = ShrinkConnect(small(), keep=0.5, max_iter=2)
    search = GridSearchCV(make_pipeline(StandardScaler(), shrink), {}, cv=2)
    search.set_callbacks(handed_down).fit(*make_data())
    assert handed_down.ended.count("epoch") == (2 + 1) * (4 + 2)
    assert handed_down.begun.count("epoch") == (2 + 1) * (4 + 2)


# ShrinkConnect


@pytest.mark.parametrize("solver", SOLVERS)
def test_shrinking_tells_the_callbacks_of_its_network(solver):
    X, y = make_data()
    monitor, diary = ScoringMonitor(scoring="r2"), Diary()
    network = small(solver=solver).set_callbacks(monitor, diary)
    shrunk = ShrinkConnect(network, keep=0.5, max_iter=3, random_state=0).fit(X, y)
    assert diary.begun.count("epoch") == diary.ended.count("epoch") == 4 + 3
    assert diary.setups == diary.teardowns == 2
    scores = {row["task_id_path"]: row["r2"] for row in monitor.get_logs().data}
    assert len(scores) == 2 + 4 + 3
    assert (
        scores[(0, 0)]
        == scores[(0, 0, 3)]
        == small(solver=solver).fit(X, y).score(X, y)
    )
    assert scores[(0, 1)] == scores[(0, 1, 2)] == shrunk.score(X, y)


def test_shrinking_has_callbacks_of_its_own():
    X, y = make_data()
    album, monitor = Album(), ScoringMonitor(scoring="r2")
    shrink = ShrinkConnect(small(), max_iter=2, random_state=0)
    shrink.set_callbacks(album, monitor).fit(X, y)
    tried = [row for row in monitor.get_logs().data if row["task_name"] == "shrink"]
    assert len(tried) == len(shrink.path_)
    chosen = [
        row["r2"]
        for row, path in zip(tried, shrink.path_, strict=True)
        if path["hidden_layer_sizes"] == shrink.estimator_.hidden_layer_sizes
    ]
    assert shrink.score(X, y) in chosen
    expected = ShrinkConnect(small(), max_iter=2, random_state=0).fit(X, y)
    assert_array_equal(shrink.predict(X), expected.predict(X))


def test_a_callback_can_end_the_training_of_a_shrunken_network():
    X, y = make_data()
    diary = Diary(stop_after=6)  # the second after shrinking
    shrink = ShrinkConnect(small().set_callbacks(diary), keep=0.5, max_iter=9).fit(X, y)
    assert shrink.n_iter_ == diary.ended.count("epoch") == 4 + 2
    assert np.isfinite(shrink.predict(X)).all()


def test_a_callback_can_end_the_search_for_a_size():
    class Once(Diary):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            self.last = fitted_estimator
            return context.task_name == "shrink"

    X, y = make_data()
    shrink = ShrinkConnect(small(), max_iter=2, random_state=0).set_callbacks(Once())
    assert len(shrink.fit(X, y).path_) == 1
    assert shrink.estimator_.hidden_layer_sizes == shrink.path_[0]["hidden_layer_sizes"]
    last = shrink._skl_callbacks[0].last
    assert_array_equal(shrink.predict(X), last.predict(X))
    assert_array_equal(shrink.transform(X), last.transform(X))


def test_a_trained_network_may_still_show_its_progress(capsys):
    pytest.importorskip("rich")
    X, y = make_data()
    network = small().set_callbacks(ProgressBar()).fit(X, y)
    shrink = ShrinkConnect(network, prefit=True, keep=0.5, max_iter=0)
    shrink.set_callbacks(ProgressBar()).fit(X, y)
    assert "ShrinkConnect - fit" in capsys.readouterr().out


# Ensembles


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_an_ensemble_tells_of_each_training(n_jobs):
    X, y = make_data()
    handed_down, own = HandedDown(), Diary()
    ensemble = EnsembleRegressor(small(), 2, n_jobs=n_jobs, random_state=0)
    ensemble.set_callbacks(handed_down, own).fit(X, y)
    trainings = ["fit-member"] * 2 + ["fit-fold"] * 3 + ["fit-noise"]
    for diary in (handed_down, own):
        assert diary.setups == diary.teardowns == 1
        assert sorted(diary.begun) == sorted(diary.ended)
    assert sorted(own.ended) == sorted(["fit", *trainings])
    assert own.ended[-2:] == ["fit-noise", "fit"]
    assert handed_down.ended.count("epoch") == 6 * 4
    expected = EnsembleRegressor(small(), 2, random_state=0).fit(X, y)
    assert_array_equal(ensemble.predict(X), expected.predict(X))
    assert not any(hasattr(each, "_skl_callbacks") for each in ensemble.estimators_)


def test_members_have_callbacks_of_their_own():
    X, y = make_data()
    monitor = ScoringMonitor(scoring="r2")
    ensemble = EnsembleRegressor(small().set_callbacks(monitor), 2, n_jobs=2)
    ensemble.fit(X, y)
    log = monitor.get_logs().data
    assert [row["task_name"] for row in log].count("epoch") == 6 * 4
    final = {row["r2"] for row in log if row["task_name"] == "fit"}
    assert {member.score(X, y) for member in ensemble.estimators_} <= final


def test_a_callback_ends_the_training_it_was_told_of():
    class Impatient(HandedDown):
        def on_fit_task_end(self, estimator, context):
            return context.task_name == "epoch"

    ensemble = EnsembleRegressor(small(), 2).set_callbacks(Impatient())
    ensemble.fit(*make_data())
    assert [each.n_iter_ for each in ensemble.estimators_] == [1, 1]
    assert ensemble.noise_estimator_.n_iter_ == 1


def test_a_progress_bar_over_an_ensemble(capsys):
    pytest.importorskip("rich")
    EnsembleRegressor(small(), 2, n_jobs=2).set_callbacks(ProgressBar()).fit(
        *make_data()
    )
    out = capsys.readouterr().out
    assert "EnsembleRegressor - fit" in out
    assert out.count("LSDNRegressor - fit") >= 6


# Images


def test_through_a_synthesizer_with_an_ensemble():
    cohort = make_brain_cohort(2, voxel_size=8, random_state=0)
    handed_down = HandedDown()
    synthesizer = VolumeSynthesizer(
        small(coordinates=3), n_estimators=3, n_jobs=2, n_voxels=200, random_state=0
    ).set_callbacks(handed_down)
    synthesizer.fit(cohort.images["T1w"], cohort.images["T2w"])
    # Three members, a fold for each subject, and what tells the size of errors.
    assert handed_down.ended.count("epoch") == (3 + 2 + 1) * 4
    assert handed_down.setups == handed_down.teardowns == 1


def test_through_a_synthesizer():
    cohort = make_brain_cohort(2, voxel_size=8, random_state=0)
    t1w, t2w = cohort.images["T1w"], cohort.images["T2w"]
    diary, handed_down = Diary(), HandedDown()
    monitor = ScoringMonitor(scoring={"snr": volume_snr_scorer})
    synthesizer = VolumeSynthesizer(
        small(coordinates=3).set_callbacks(diary), random_state=0
    ).set_callbacks(handed_down, monitor)
    synthesizer.fit(t1w, t2w)
    assert diary.ended.count("epoch") == handed_down.ended.count("epoch") == 4
    reading = ["read-subject", "read-subject"]
    assert handed_down.begun[:5] == ["fit", *reading, "fit", "epoch"]
    (row,) = monitor.get_logs().data
    assert row["snr"] == synthesizer.score(t1w, t2w)


# Copies and files


def test_copies():
    X, y = make_data()
    album = Album()
    model = small().set_callbacks(album).fit(X, y)
    assert clone(model)._skl_callbacks == [album]
    model.set_callbacks(ScoringMonitor(scoring="r2"), Diary()).fit(X, y)
    copy = pickle.loads(pickle.dumps(model))
    assert_array_equal(copy.predict(X), model.predict(X))
    assert len(copy.fit(X, y)._skl_callbacks[1].ended) == 2 * 5


def test_model_files_hold_no_callbacks(tmp_path):
    pytest.importorskip("skops")
    X, y = make_data()
    diary = Diary()
    shrink = ShrinkConnect(small().set_callbacks(diary), keep=0.5, max_iter=1)
    pipeline = make_pipeline(StandardScaler(), shrink)
    pipeline.set_callbacks(HandedDown()).fit(X, y)
    save_model(pipeline, tmp_path / "model.skops")
    assert len(pipeline._skl_callbacks) == 1
    assert shrink.estimator._skl_callbacks == [diary]
    assert shrink.estimator_._skl_callbacks == [diary]
    loaded = load_model(tmp_path / "model.skops")
    assert_array_equal(loaded.predict(X), pipeline.predict(X))
    for part in (loaded, loaded[-1].estimator, loaded[-1].estimator_):
        assert not hasattr(part, "_skl_callbacks")


def test_callbacks_come_back_when_a_file_is_refused(tmp_path):
    pytest.importorskip("skops")
    diary = Diary()
    model = small().set_callbacks(diary).fit(*make_data())
    model.extra = Diary()
    with pytest.raises(TypeError, match="Diary"):
        save_model(model, tmp_path / "model.skops")
    assert model._skl_callbacks == [diary]


def test_a_callback_can_save_every_epoch(tmp_path):
    pytest.importorskip("skops")

    class Checkpoints(Diary):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            path = tmp_path / f"{fitted_estimator.n_iter_}.skops"
            save_model(fitted_estimator, path, overwrite=True)

    X, y = make_data()
    small().set_callbacks(Checkpoints()).fit(X, y)
    expected = small(max_iter=2).fit(X, y)
    assert_same_network(load_model(tmp_path / "2.skops"), expected)

"""LossCurveDisplay: every epoch of every network, told apart without colours."""

import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import BaggingRegressor, VotingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_lsdn import (
    LSDNClassifier,
    LSDNRegressor,
    ShrinkConnect,
    VDNRegressor,
    VolumeSynthesizer,
)
from sklearn_lsdn.datasets import make_brain_cohort
from sklearn_lsdn.display import LossCurveDisplay

CURVES = {"A": [3.0, 2.0, 1.5], "B": [4.0, 1.0, 0.5], "C": [5.0, 4.0, 3.0]}


@pytest.fixture(autouse=True)
def _close_figures():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def _data():
    X = np.random.RandomState(0).uniform(-1, 1, (400, 5))
    return X, X[:, 0] * X[:, 4]


@pytest.fixture(scope="module")
def network():
    return LSDNRegressor((10, 4), max_iter=4, random_state=0).fit(*_data())


@pytest.fixture(scope="module")
def stopped():
    return VDNRegressor(
        (10, 4), max_iter=4, early_stopping=True, coordinates=3, random_state=0
    ).fit(*_data())


def test_the_axis_says_what_the_loss_is(network):
    X, y = _data()
    classifier = LSDNClassifier((10, 4), max_iter=2, random_state=0).fit(X, y > 0)
    label = LossCurveDisplay.from_estimator(classifier).ax_.get_ylabel()
    assert label == "cross-entropy"
    both = LossCurveDisplay.from_estimators({"a": network, "b": classifier})
    assert both.ax_.get_ylabel().endswith("or cross-entropy")


def _points(line):
    return np.array(line.get_xdata()), np.array(line.get_ydata())


def test_the_curve_of_a_network_from_its_first_epoch(network):
    display = LossCurveDisplay.from_estimator(network)
    epochs, errors = _points(display.lines_["LSDNRegressor"])
    assert epochs.tolist() == [1, 2, 3, 4]
    assert errors.tolist() == network.loss_curve_
    assert display.validation_lines_ == {}
    assert "half mean squared error" in display.ax_.get_ylabel()
    assert [t.get_text() for t in display.ax_.get_legend().get_texts()] == [
        "LSDNRegressor"
    ]


def test_validation_errors_are_drawn_where_there_are_any(network, stopped):
    display = LossCurveDisplay.from_estimators({"LSDN": network, "VDN": stopped})
    assert list(display.lines_) == ["LSDN", "VDN"]
    assert list(display.validation_lines_) == ["VDN"]
    line = display.validation_lines_["VDN"]
    assert _points(line)[1].tolist() == stopped.validation_loss_curve_
    assert line.get_label() == "VDN, validation"
    # Told apart by the marker, not by the colour.
    training = display.lines_["VDN"]
    assert line.get_color() == training.get_color()
    assert to_rgb(line.get_markerfacecolor()) == (1, 1, 1)
    assert to_rgb(training.get_markerfacecolor()) != (1, 1, 1)


@pytest.mark.parametrize("last", [2.0, 0.3, 0.02, 1e-4, 1e-9])
def test_some_errors_have_numbers(last):
    figure = plt.figure(figsize=(5, 3.5))
    display = LossCurveDisplay({"A": [3.0, last]}).plot(figure=figure)
    figure.draw_without_rendering()
    low, high = display.ax_.get_ylim()
    axis = display.ax_.yaxis
    shown = [
        label.get_text()
        for label in (*axis.get_majorticklabels(), *axis.get_minorticklabels())
        if label.get_text() and low <= label.get_position()[1] <= high
    ]
    assert 2 <= len(shown) <= 12
    assert all("10^" not in text for text in shown)


def test_what_is_frozen_is_opened(network):
    ensemble = BaggingRegressor(VDNRegressor((5,), max_iter=2), 2).fit(*_data())
    display = LossCurveDisplay.from_estimator(FrozenEstimator(ensemble))
    assert list(display.curves) == list(
        LossCurveDisplay.from_estimator(ensemble).curves
    )
    assert len(display.curves) == 2


def test_what_holds_a_network_is_opened(network):
    pipeline = make_pipeline(StandardScaler(), VDNRegressor((5,), max_iter=2))
    pipeline.fit(*_data())
    display = LossCurveDisplay.from_estimator(pipeline)
    assert list(display.curves) == ["VDNRegressor"]
    cohort = make_brain_cohort(1, voxel_size=8, random_state=0)
    synthesizer = VolumeSynthesizer(LSDNRegressor((5,), max_iter=2), n_voxels=100)
    synthesizer.fit(cohort.images["T1w"], cohort.images["T2w"])
    display = LossCurveDisplay.from_estimator(synthesizer, name="ours")
    assert display.curves == {"ours": synthesizer.estimator_.loss_curve_}


@pytest.mark.parametrize("n_estimators", [1, 2])
def test_each_network_of_a_synthesizer_is_drawn(n_estimators):
    cohort = make_brain_cohort(2, voxel_size=8, random_state=0)
    images = cohort.images["T1w"], cohort.images["T2w"]
    network = ShrinkConnect(LSDNRegressor((6, 4), max_iter=2), keep=0.5, max_iter=1)
    synthesizer = VolumeSynthesizer(network, n_estimators=n_estimators, n_voxels=100)
    synthesizer.fit(*images)
    display = LossCurveDisplay.from_estimator(synthesizer)
    if n_estimators == 1:
        curve = synthesizer.estimator_.estimator_.loss_curve_
        assert display.curves == {"LSDNRegressor": curve}
    else:
        assert display.curves == {
            f"LSDNRegressor, member {i}": member.estimator_.loss_curve_
            for i, member in enumerate(synthesizer.estimator_.estimators_, 1)
        }


def test_each_network_of_an_ensemble_of_scikit_learn_is_drawn():
    X = np.random.RandomState(0).uniform(-1, 1, (60, 2))
    small = LSDNRegressor((4,), max_iter=2)
    bagged = BaggingRegressor(small, n_estimators=2, random_state=0).fit(X, X[:, 0])
    display = LossCurveDisplay.from_estimator(bagged, name="bag")
    first, second = bagged.estimators_
    assert display.curves == {
        "bag, member 1": first.loss_curve_,
        "bag, member 2": second.loss_curve_,
    }


@pytest.mark.parametrize("kind", ["bagging", "voting"])
def test_pipelines_in_an_ensemble_stay_whole(kind):
    X = np.random.RandomState(0).uniform(-1, 1, (60, 2))
    pipeline = make_pipeline(StandardScaler(), LSDNRegressor((4,), max_iter=2))
    ensemble = {
        "bagging": BaggingRegressor(pipeline, n_estimators=2, random_state=0),
        "voting": VotingRegressor([("a", pipeline), ("b", pipeline)]),
    }[kind].fit(X, X[:, 0])
    display = LossCurveDisplay.from_estimator(ensemble, name="all")
    first, second = (each[-1].loss_curve_ for each in ensemble.estimators_)
    assert display.curves == {"all, member 1": first, "all, member 2": second}


def test_what_is_around_a_network_is_opened(network):
    X, y = _data()
    small = LSDNRegressor((4,), max_iter=2, random_state=0)
    search = GridSearchCV(small, {"alpha": [1e-4]}, cv=2).fit(X, y)
    around = TransformedTargetRegressor(small).fit(X, y)
    display = LossCurveDisplay.from_estimators({"search": search, "around": around})
    assert display.curves == {
        "search": search.best_estimator_.loss_curve_,
        "around": around.regressor_.loss_curve_,
    }


def test_each_name_is_in_the_legend_as_it_is(network, stopped):
    names = {"_hidden": network, "a$^$b": stopped, "$x$": network}
    display = LossCurveDisplay.from_estimators(names)
    display.figure_.draw_without_rendering()
    texts = display.ax_.get_legend().get_texts()
    assert [text.get_text().strip() for text in texts] == [
        "_hidden",
        "a$^$b",
        "a$^$b, validation",
        "$x$",
    ]
    assert not any(text.get_parse_math() for text in texts)


def test_a_figure_is_filled(network):
    figure = plt.figure()
    display = LossCurveDisplay.from_estimator(network, figure=figure)
    assert display.figure_ is figure
    assert len(display.plot(figure=figure).figure_.axes) == 1
    with pytest.raises(ValueError, match="ax and figure are both given"):
        display.plot(display.ax_, figure=figure)


def test_a_synthesizer_shrunk_later_shows_the_smaller_network():
    cohort = make_brain_cohort(2, voxel_size=8, random_state=0)
    images = cohort.images["T1w"], cohort.images["T2w"]
    full = VolumeSynthesizer(LSDNRegressor((6, 4), max_iter=2), n_voxels=100)
    smaller = full.fit(*images).shrink(*images, keep=0.5)
    (curve,) = LossCurveDisplay.from_estimator(smaller).curves.values()
    assert curve == smaller.estimator_.estimator_.loss_curve_


def test_networks_differ_without_colours():
    display = LossCurveDisplay({str(i): [2.0, 1.0] for i in range(6)}).plot()
    lines = display.lines_.values()
    assert len({line.get_marker() for line in lines}) == 6
    assert len({str(line._dash_pattern) for line in lines}) == 6
    assert len({tuple(to_rgb(line.get_color())) for line in lines}) == 6


def test_axes_are_labelled():
    ax = LossCurveDisplay(CURVES).plot().ax_
    assert ax.get_xlabel() == "epoch"
    assert ax.get_ylabel().startswith("half mean squared error")
    assert ax.get_yscale() == "log"
    ax.figure.draw_without_rendering()
    assert all(float(tick).is_integer() for tick in ax.get_xticks())
    assert LossCurveDisplay(CURVES).plot(yscale="linear").ax_.get_yscale() == "linear"


def test_drawn_on_given_axes_without_a_new_figure(network):
    figure, (left, right) = plt.subplots(1, 2)
    display = LossCurveDisplay.from_estimator(network, ax=right, yscale="linear")
    assert display.ax_ is right
    assert display.figure_ is figure
    assert not left.lines
    assert right.get_yscale() == "linear"
    assert plt.get_fignums() == [figure.number]


def test_the_display_keeps_its_own_copy(network):
    curves = LossCurveDisplay.from_estimator(network).curves
    curves["LSDNRegressor"].append(0.0)
    assert len(network.loss_curve_) == 4


def test_what_has_no_curve_is_refused():
    with pytest.raises(TypeError, match=r"LinearRegression has no loss_curve_"):
        LossCurveDisplay.from_estimator(LinearRegression().fit(*_data()))
    with pytest.raises(ValueError, match="estimators is empty"):
        LossCurveDisplay.from_estimators({})
    with pytest.raises(TypeError, match="estimators must be a dict"):
        LossCurveDisplay.from_estimators([LSDNRegressor()])
    with pytest.raises(NotFittedError):
        LossCurveDisplay.from_estimators({"new": LSDNRegressor()})
    with pytest.raises(NotFittedError):
        LossCurveDisplay.from_estimator(VolumeSynthesizer())
    assert not plt.get_fignums()


def test_missing_matplotlib_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r'pip install "sklearn_lsdn\[demo\]"'):
        LossCurveDisplay(CURVES).plot()


def test_a_drawn_curve_is_saved(tmp_path):
    LossCurveDisplay(CURVES).plot().save(tmp_path / "loss.png")
    assert plt.imread(tmp_path / "loss.png").shape[0] > 300

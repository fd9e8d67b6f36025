"""A memory budget: bounds that hold, work that keeps to it, and what is refused."""

import re
import threading
import tracemalloc

import joblib
import nibabel as nib
import numpy as np
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression

from sklearn_lsdn import (
    EnsembleRegressor,
    LSDNRegressor,
    ShrinkConnect,
    VDNRegressor,
    VolumeSynthesizer,
    load_model,
    save_model,
)
from sklearn_lsdn._commands.main import main
from sklearn_lsdn.jobs import leave_one_subject_out
from sklearn_lsdn.jobs._prediction import SubjectsFailed, predict_files
from sklearn_lsdn.volumes import _budget as budget
from sklearn_lsdn.volumes._budget import (
    OF_THE_PROGRAM,
    DoesNotFit,
    TrainingPlan,
    bytes_to_draw,
    bytes_to_predict,
    parse_size,
    share_among_folds,
    subjects_at_once,
)
from sklearn_lsdn.volumes._sampling import Window
from sklearn_lsdn.volumes._subjects import open_subjects

AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
SMALL, LARGE = (8, 9, 7), (60, 50, 55)
NETWORK = dict(hidden_layer_sizes=(8, 4), max_iter=1)
BLOCKS = budget._OF_A_SUBJECT


def _image(seed, shape=SMALL, dtype=np.int16):
    """All brain, which takes most; of integers with a slope, which take more."""
    data = np.random.RandomState(seed).uniform(1, 2, shape)
    if dtype == np.float32:
        return nib.Nifti1Image(data.astype(dtype), AFFINE)
    image = nib.Nifti1Image((1000 * data).astype(dtype), AFFINE)
    image.header.set_slope_inter(0.123, 4.5)
    return image


def _files(folder, n, shape=SMALL, kind="T1w", name="sub-{}"):
    paths = [str(folder / f"{name.format(i)}_{kind}.nii.gz") for i in range(n)]
    for i, path in enumerate(paths):
        nib.save(_image(i + 10 * (kind == "T2w"), shape), path)
    return paths


def _fitted(n_sources=1, n_targets=1, **parameters):
    parameters = dict(estimator=LSDNRegressor(**NETWORK), n_voxels=300) | parameters
    synthesizer = VolumeSynthesizer(random_state=0, **parameters)
    return synthesizer.fit(
        [[_image(i) for i in range(n_sources)]],
        [[_image(9 + i) for i in range(n_targets)]],
    )


def _traced_peak(function):
    """Bytes that NumPy allocates at most, beyond what is there."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# Sizes


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [
        ("4G", 4 * 2**30),
        ("800m", 800 * 2**20),
        (" 1.5 GiB ", 3 * 2**29),
        ("64KB", 64 * 2**10),
        ("2T", 2**41),
        ("1000", 1000),
        (1000, 1000),
    ],
)
def test_sizes(text, n_bytes):
    assert parse_size(text) == n_bytes


@pytest.mark.parametrize(
    "text", ["", "G", "-4G", "4 GG", "four", "1e9", "0", "0.0001K"]
)
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="must be a size such as 800M, 4G"):
        parse_size(text)


# Bounds


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        dict(patch_scales=(1,), smoothing=0),
        dict(patch_scales=(1, 2, 4)),
        dict(n_sources=2),
        dict(n_targets=2),
        dict(patch_size=5),
        dict(n_estimators=2),
        dict(target_patch_size=3),
        dict(estimator=LinearRegression()),
    ],
    ids=str,
)
def test_prediction_takes_no_more_than_is_reckoned(parameters, tmp_path):
    synthesizer = _fitted(**parameters)
    n_sources = parameters.get("n_sources", 1)
    several = "n_estimators" in parameters
    paths = _files(tmp_path, n_sources, LARGE)
    (files,) = open_subjects([paths], "sources")
    synthesizer.predict([paths], return_std=several)  # which imports and compiles
    peak = _traced_peak(lambda: synthesizer.predict([paths], return_std=several))
    reckoned = bytes_to_predict(synthesizer, files)
    assert peak < reckoned
    assert peak > 0.5 * (reckoned - BLOCKS)  # and the bound is no fantasy
    synthesizer.set_params(max_memory=reckoned + OF_THE_PROGRAM).predict([paths])
    synthesizer.set_params(max_memory=reckoned + OF_THE_PROGRAM - 1)
    with pytest.raises(DoesNotFit, match="Predicting"):
        synthesizer.predict([paths])


@pytest.mark.parametrize(
    "parameters",
    [
        dict(estimator=DummyRegressor(), patch_size=9, patch_scales=(1,)),
        dict(estimator=LinearRegression(), patch_size=9),
        dict(estimator=DummyRegressor(), target_patch_size=9),
    ],
    ids=str,
)
def test_large_patches_take_no_more_than_is_reckoned(parameters, tmp_path):
    synthesizer = _fitted(**parameters)
    paths = _files(tmp_path, 1, (27, 28, 26))
    peak = _traced_peak(lambda: synthesizer.predict(paths))
    assert peak < _need(synthesizer, paths)
    assert peak > 0.3 * BLOCKS  # for which few rows at once would be slow


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        dict(n_sources=2, n_targets=2),
        dict(patch_scales=(1,), target_patch_size=3),
        dict(patch_scales=(1, 2, 4)),
    ],
    ids=str,
)
def test_drawing_takes_no_more_than_is_reckoned(parameters, tmp_path):
    n_sources = parameters.pop("n_sources", 1)
    n_targets = parameters.pop("n_targets", 1)
    synthesizer = _fitted(n_sources, n_targets, **parameters)
    pair = (
        [_files(tmp_path, n_sources, LARGE, name="{}")],
        [_files(tmp_path, n_targets, LARGE, "T2w", name="{}")],
    )
    (sources,), (targets,) = (open_subjects(each, "images") for each in pair)
    synthesizer.sample_voxels(*pair)
    peak = _traced_peak(lambda: synthesizer.sample_voxels(*pair))
    window = synthesizer.preparation_.window
    reckoned = bytes_to_draw(window, 300, sources, targets)
    assert peak < reckoned
    assert peak > 0.5 * (reckoned - BLOCKS)


@pytest.mark.parametrize(
    "estimator",
    [
        LSDNRegressor(**NETWORK),
        LSDNRegressor(early_stopping=True, **NETWORK),
        VDNRegressor(**NETWORK),
        ShrinkConnect(LSDNRegressor(**NETWORK), keep=0.5, max_iter=1),
        EnsembleRegressor(LSDNRegressor(**NETWORK), 2),
        LinearRegression(),
        HistGradientBoostingRegressor(max_iter=1),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_training_takes_no_more_than_is_reckoned(estimator, monkeypatch):
    n_subjects, n_voxels = 8, 6_000
    synthesizer = VolumeSynthesizer(estimator, n_voxels=n_voxels, random_state=0)
    shape = (19, 19, 19)
    images = [[_image(i + seed, shape) for i in range(n_subjects)] for seed in (0, 20)]
    subjects = [open_subjects(each, "images") for each in images]
    window = Window.of(3, (1, 2), 1, "world")
    monkeypatch.setattr(budget, "_OF_A_SUBJECT", 2**22)
    plan = TrainingPlan(synthesizer, estimator, window, *subjects)
    synthesizer.fit(*images)  # which imports and compiles
    peak = _traced_peak(lambda: synthesizer.fit(*images))
    assert peak < plan.need
    assert peak > 0.2 * plan.need  # boosted trees take far more than a line
    limit = plan.need + OF_THE_PROGRAM
    TrainingPlan(synthesizer.set_params(max_memory=limit), estimator, window, *subjects)
    synthesizer.set_params(max_memory=limit - 2**20)
    with pytest.raises(DoesNotFit, match="Training on 8 subjects takes up to") as found:
        synthesizer.fit(*images)
    fewer = int(re.search(r"n_voxels=(\d+) in the place of 6000", str(found.value))[1])
    assert fewer < n_voxels
    synthesizer.set_params(n_voxels=fewer)
    TrainingPlan(synthesizer, estimator, window, *subjects)  # as was said


# Keeping to it


@pytest.fixture
def at_once(monkeypatch):
    """Most subjects that were predicted at the same time."""
    most, now, lock = [0], [0], threading.Lock()
    predict, together = VolumeSynthesizer.predict, threading.Event()

    def counted(self, *args, **kwargs):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        together.wait(0.1)  # for others that might come
        try:
            return predict(self, *args, **kwargs)
        finally:
            with lock:
                now[0] -= 1

    monkeypatch.setattr(VolumeSynthesizer, "predict", counted)
    return lambda: most[0]


def _need(synthesizer, paths):
    return bytes_to_predict(synthesizer, open_subjects(paths[:1], "sources")[0])


@pytest.mark.parametrize("n", [1, 2])
def test_no_more_subjects_are_under_way_than_fit(n, tmp_path, at_once):
    paths = _files(tmp_path, 5)
    synthesizer = _fitted()
    expected = [image.get_fdata() for image in synthesizer.predict(paths)]
    limit = OF_THE_PROGRAM + int((n + 0.5) * _need(synthesizer, paths))
    synthesizer.set_params(n_jobs=4, max_memory=limit)
    written = predict_files(synthesizer, paths, tmp_path / "out")
    assert at_once() <= n
    for path, image in zip(written, expected, strict=True):
        assert (nib.load(path).get_fdata() == image).all()


def test_large_subjects_count_for_more(tmp_path):
    small, large = _files(tmp_path, 3), _files(tmp_path, 1, LARGE, name="large{}")
    synthesizer = _fitted()
    needs = [_need(synthesizer, paths) for paths in (small, large)]
    assert needs[1] > needs[0]
    synthesizer.set_params(max_memory=OF_THE_PROGRAM + needs[0] + needs[1])
    subjects = open_subjects(small + large, "sources")
    assert subjects_at_once(synthesizer, subjects, 8) == 2
    assert subjects_at_once(synthesizer, subjects, 1) == 1
    synthesizer.set_params(max_memory=OF_THE_PROGRAM + 2 * needs[0])
    assert subjects_at_once(synthesizer, subjects[:3], 8) == 2


def test_each_process_takes_the_program(tmp_path):
    paths = _files(tmp_path, 3)
    synthesizer, subjects = _fitted(), open_subjects(paths, "sources")
    limit = 2 * OF_THE_PROGRAM + 3 * _need(synthesizer, paths)
    synthesizer.set_params(max_memory=limit)
    assert subjects_at_once(synthesizer, subjects, 3) == 3
    with joblib.parallel_config(backend="threading"):
        assert subjects_at_once(synthesizer, subjects, 3) == 3
    with joblib.parallel_config(backend="loky"):
        assert subjects_at_once(synthesizer, subjects, 3) == 1
        synthesizer.set_params(max_memory=limit + OF_THE_PROGRAM)
        assert subjects_at_once(synthesizer, subjects, 3) == 2


def test_a_subject_that_does_not_fit_is_refused_before_the_first(tmp_path):
    paths = _files(tmp_path, 1) + _files(tmp_path, 1, LARGE, name="large{}")
    synthesizer = _fitted()
    limit = OF_THE_PROGRAM + _need(synthesizer, paths)
    synthesizer.set_params(max_memory=limit)
    with pytest.raises(DoesNotFit, match=r"large0_T1w\.nii\.gz\) takes up to \d+M"):
        predict_files(synthesizer, paths, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
    with pytest.raises(SubjectsFailed, match="1 of 2 .*\n.*large0.*max_memory is"):
        predict_files(synthesizer, paths, tmp_path / "out", keep_going=True)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["sub-0_T1w_synth.nii.gz"]


def test_images_that_are_returned_count(tmp_path):
    paths = _files(tmp_path, 1, LARGE) * 40
    synthesizer = _fitted()
    limit = OF_THE_PROGRAM + int(1.1 * _need(synthesizer, paths))
    synthesizer.set_params(max_memory=limit)
    with pytest.raises(DoesNotFit, match="Predict fewer subjects at a time"):
        synthesizer.predict(paths)


def test_scoring_returns_no_images(tmp_path):
    paths = _files(tmp_path, 1, LARGE)
    targets = _files(tmp_path, 1, LARGE, kind="T2w")
    synthesizer = _fitted()
    (files,), (scans,) = (open_subjects(each, "images") for each in (paths, targets))
    need = bytes_to_predict(synthesizer, files, scans)
    synthesizer.set_params(max_memory=OF_THE_PROGRAM + need)
    one = synthesizer.score(paths, targets)
    assert synthesizer.score(3 * paths, 3 * targets) == pytest.approx(one)


def test_standard_deviations_are_returned_and_count(tmp_path):
    paths = _files(tmp_path, 1, LARGE) * 2
    synthesizer = _fitted(n_estimators=2)
    image = 4 * np.prod(LARGE)
    limit = OF_THE_PROGRAM + int(_need(synthesizer, paths) + 1.5 * image)
    synthesizer.set_params(max_memory=limit).predict(paths)
    with pytest.raises(DoesNotFit, match="Predict fewer subjects at a time"):
        synthesizer.predict(paths, return_std=True)


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_shrinking_shares_the_jobs(n_jobs, monkeypatch):
    fit, found = ShrinkConnect.fit, []

    def observed(self, X, y):
        found.append(joblib.effective_n_jobs(None))
        return fit(self, X, y)

    synthesizer = _fitted().set_params(n_jobs=n_jobs)
    monkeypatch.setattr(ShrinkConnect, "fit", observed)
    synthesizer.shrink([_image(0)], [_image(9)], keep=0.5, max_iter=1)
    assert found == [n_jobs or 1]


def test_shrinking_counts_as_training(monkeypatch):
    monkeypatch.setattr(budget, "_OF_A_SUBJECT", 2**16)
    images = [[_image(i + seed, (19, 19, 19)) for i in range(8)] for seed in (0, 20)]
    subjects = [open_subjects(each, "images") for each in images]
    synthesizer = _fitted().set_params(n_voxels=6000)
    window = synthesizer.preparation_.window
    drawing, training = (
        TrainingPlan(synthesizer, estimator, window, *subjects).need
        for estimator in (None, synthesizer.estimator_)
    )
    assert training > drawing
    synthesizer.set_params(max_memory=OF_THE_PROGRAM + drawing)
    synthesizer.sample_voxels(*images)
    with pytest.raises(DoesNotFit, match="Training on 8 subjects"):
        synthesizer.shrink(*images, keep=0.5, max_iter=1)
    synthesizer.set_params(max_memory=OF_THE_PROGRAM + training)
    peak = _traced_peak(lambda: synthesizer.shrink(*images, keep=0.5, max_iter=1))
    assert peak < training


def test_no_more_subjects_are_read_than_fit(monkeypatch):
    monkeypatch.setattr(budget, "effective_n_threads", lambda n_jobs: n_jobs)
    images = [[_image(i + seed, LARGE) for i in range(4)] for seed in (0, 20)]
    subjects = [open_subjects(each, "images") for each in images]
    synthesizer = VolumeSynthesizer(n_voxels=10, n_jobs=4, max_memory="1T")
    window = Window.of(3, (1, 2), 1, "world")
    plan = TrainingPlan(synthesizer, None, window, *subjects)
    assert plan.n_readers == 4
    reading = bytes_to_draw(window, 10, subjects[0][0], subjects[1][0])
    synthesizer.set_params(max_memory=plan.need + reading + OF_THE_PROGRAM)
    assert TrainingPlan(synthesizer, None, window, *subjects).n_readers == 2


def test_no_more_members_train_than_fit(monkeypatch):
    monkeypatch.setattr(budget, "effective_n_threads", lambda n_jobs: n_jobs)
    images = [[_image(i + seed, (30, 30, 30)) for i in range(4)] for seed in (0, 20)]
    subjects = [open_subjects(each, "images") for each in images]
    ensemble = EnsembleRegressor(LSDNRegressor(**NETWORK), 5)
    synthesizer = VolumeSynthesizer(n_voxels=27_000, n_jobs=4, max_memory="1T")
    window = Window.of(3, (1, 2), 1, "world")
    plan = TrainingPlan(synthesizer, ensemble, window, *subjects)
    assert plan.n_jobs == 4
    synthesizer.set_params(max_memory=plan.need + OF_THE_PROGRAM)
    assert TrainingPlan(synthesizer, ensemble, window, *subjects).n_jobs == 1
    synthesizer.set_params(max_memory=2 * plan.need + OF_THE_PROGRAM)
    assert TrainingPlan(synthesizer, ensemble, window, *subjects).n_jobs in (2, 3)


SUBJECTS = ["a", "b", "c"]


def test_each_fold_counts_as_a_process():
    images = [[_image(i + seed) for i in range(3)] for seed in (0, 20)]
    subjects = [open_subjects(each, "images") for each in images]
    tasks = [("LSDN", VolumeSynthesizer(n_voxels=10), ([0, 1], [2]))] * 3
    for max_memory, n_folds in [
        ("1T", 3),
        (3 * OF_THE_PROGRAM, 1),
        (4 * OF_THE_PROGRAM, 2),
    ]:
        found, shares = share_among_folds(tasks, *subjects, 3, max_memory)
        assert found == n_folds
        of_this_process = OF_THE_PROGRAM if n_folds > 1 else 0
        assert sum(shares[:n_folds]) <= parse_size(max_memory) - of_this_process
        assert sum(shares[:n_folds]) > parse_size(max_memory) - of_this_process - 99
    with pytest.raises(DoesNotFit, match="Training on 2 subjects"):
        share_among_folds(tasks, *subjects, 3, OF_THE_PROGRAM)
    with pytest.raises(DoesNotFit, match="Training on 2 subjects"):
        leave_one_subject_out(
            {"a": tasks[0][1]}, *images, SUBJECTS, max_memory=OF_THE_PROGRAM
        )


def test_larger_folds_get_larger_shares():
    shapes = [SMALL, SMALL, LARGE]
    images = [[_image(seed, shape) for shape in shapes] for seed in (0, 20)]
    subjects = [open_subjects(each, "images") for each in images]
    synthesizer = VolumeSynthesizer(n_voxels=10)
    tasks = [("a", synthesizer, ([0], [1])), ("a", synthesizer, ([0], [2]))]
    _, (small, large) = share_among_folds(tasks, *subjects, 2, "2G")
    assert large > small
    synthesizer.set_params(max_memory=OF_THE_PROGRAM)  # its own counts too
    with pytest.raises(DoesNotFit, match="max_memory is 400M"):
        share_among_folds(tasks, *subjects, 2, "2G")


def test_each_fold_keeps_to_its_share(monkeypatch):
    images = [[_image(i + seed) for i in range(3)] for seed in (0, 20)]
    fit, given = VolumeSynthesizer.fit, []

    def observed(self, *args):
        given.append(self.max_memory)
        return fit(self, *args)

    monkeypatch.setattr(VolumeSynthesizer, "fit", observed)
    free = VolumeSynthesizer(LinearRegression(), n_voxels=10, random_state=0)
    tight = VolumeSynthesizer(LinearRegression(), n_voxels=10, max_memory="1G")
    limit = 20 * OF_THE_PROGRAM
    with joblib.parallel_config(backend="threading"):
        leave_one_subject_out(
            {"a": free, "b": tight}, *images, SUBJECTS, n_jobs=2, max_memory=limit
        )
    assert sorted(given)[:3] == [2**30] * 3
    assert len(given) == 6
    assert 2**30 < max(given) <= (limit - OF_THE_PROGRAM) / 2
    assert free.max_memory is None


def test_a_fold_that_cannot_be_scored_is_refused_before_the_first(monkeypatch):
    monkeypatch.setattr(VolumeSynthesizer, "fit", None)  # which would be too soon
    images = [[_image(i + seed, LARGE) for i in range(3)] for seed in (0, 20)]
    subjects = [open_subjects(each[:2], "images") for each in images]
    synthesizer = VolumeSynthesizer(LinearRegression(), n_voxels=10)
    window = Window.of(3, (1, 2), 1, "world")
    need = TrainingPlan(synthesizer, LinearRegression(), window, *subjects).need
    with pytest.raises(DoesNotFit, match="Predicting"):
        leave_one_subject_out(
            {"a": synthesizer}, *images, SUBJECTS, max_memory=OF_THE_PROGRAM + need
        )


# The command


def test_the_command_keeps_a_budget_and_no_model_remembers_it(tmp_path, capsys):
    sources, targets = _files(tmp_path, 2), _files(tmp_path, 2, kind="T2w")
    pair = ["--source", *sources, "--target", *targets]
    network = ["--hidden-layer-sizes", "6", "4", "--max-iter", "1", "-j", "1"]
    model, small = tmp_path / "model.skops", tmp_path / "small.skops"
    out = ["-o", str(tmp_path / "out")]
    runs = [
        ["fit", *pair, *network, "-o", str(model)],
        ["shrink", str(model), *pair, "--keep", "0.5", "-o", str(small)],
        ["predict", str(model), *sources, *out],
        ["evaluate", *pair, *network],
    ]
    for run in runs:
        assert main([*run, "--max-memory", "401M"]) == 1, run
        assert "of it for the program itself, but max_memory is 401M." in (
            capsys.readouterr().err
        )
        with pytest.raises(SystemExit, match="2"):
            main([*run, "--max-memory", "lots"])
        assert "--max-memory: " in capsys.readouterr().err
        assert main([*run, "--max-memory", "1G"]) == 0, run
    for path in (model, small):
        assert load_model(path).max_memory is None


def test_a_budget_may_be_saved_and_damaged_ones_are_refused(tmp_path):
    synthesizer = _fitted().set_params(max_memory="2G")
    save_model(synthesizer, tmp_path / "a.skops")
    assert load_model(tmp_path / "a.skops").max_memory == "2G"
    synthesizer.max_memory = -1
    save_model(synthesizer, tmp_path / "b.skops")
    with pytest.raises(ValueError, match="max_memory"):
        load_model(tmp_path / "b.skops")

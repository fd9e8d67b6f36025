"""Work that is resumed: what is done again, and what is not trusted."""

import functools
import json
import os
import pickle
import signal
import subprocess
import sys

import joblib
import nibabel as nib
import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small_volumes import framed

from sklearn_lsdn import (
    EnsembleRegressor,
    LSDNRegressor,
    VolumeSynthesizer,
    load_model,
)
from sklearn_lsdn._commands.main import main
from sklearn_lsdn._network.optimizers import Trainer
from sklearn_lsdn.jobs import leave_one_subject_out

SUBJECTS = ["sub-0", "sub-1", "sub-2"]


@pytest.fixture
def paths(tmp_path):
    """Three sources and their targets."""
    pairs = [], []
    for i in range(len(SUBJECTS)):
        for files, kind in zip(pairs, ("T1w", "T2w"), strict=True):
            files.append(str(tmp_path / f"sub-{i}_{kind}.nii"))
            _write(files[-1], seed=i + 5 * (kind == "T2w"))
    return pairs


def _write(path, seed):
    data = np.random.RandomState(seed).uniform(1, 2, (7, 8, 6)).astype(np.float32)
    nib.save(nib.Nifti1Image(framed(data), np.diag([2.0, 2.0, 2.0, 1.0])), path)


@pytest.fixture
def fits(monkeypatch):
    """Counts the trainings of this process."""
    calls, fit = [], VolumeSynthesizer.fit

    def counted(self, *args, **kwargs):
        calls.append(self)
        return fit(self, *args, **kwargs)

    monkeypatch.setattr(VolumeSynthesizer, "fit", counted)
    return calls


def _linear(**parameters):
    return VolumeSynthesizer(
        LinearRegression(), n_voxels=50, random_state=0, **parameters
    )


def _scores(evaluation):
    names = "model", "subject", "snr", "psnr", "r2"
    return [tuple(record[name] for name in names) for record in evaluation.records]


def _units(folder):
    return sorted(folder.rglob("output.pkl"))


def _run(folder, paths, **methods):
    methods = methods or {"a": _linear()}
    return leave_one_subject_out(methods, *paths, SUBJECTS, resume=folder)


def test_an_evaluation_that_was_cut_off_goes_on(paths, tmp_path, fits, monkeypatch):
    expected = leave_one_subject_out({"a": _linear()}, *paths, SUBJECTS)
    synthesize, calls = VolumeSynthesizer.synthesize, []

    def interrupted(self, *args, **kwargs):
        calls.append(self)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return synthesize(self, *args, **kwargs)

    folder = tmp_path / "folds"
    with monkeypatch.context() as patch:
        patch.setattr(VolumeSynthesizer, "synthesize", interrupted)
        with pytest.raises(KeyboardInterrupt):
            _run(folder, paths)
    assert len(_units(folder)) == 1
    fits.clear()
    evaluation = _run(folder, paths)
    assert len(fits) == 2
    assert _scores(evaluation) == _scores(expected)
    fits.clear()
    again = _run(folder, paths)
    assert fits == []
    assert again.table() == evaluation.table()
    assert again.to_dict() == evaluation.to_dict()


def test_several_methods_and_processes(paths, tmp_path, fits):
    methods = {"a": _linear(), "b": _linear(patch_size=1)}
    first = leave_one_subject_out(
        methods, *paths, SUBJECTS, n_jobs=2, resume=tmp_path / "folds"
    )
    assert len(_units(tmp_path / "folds")) == 6
    fits.clear()
    assert _run(tmp_path / "folds", paths, **methods).table() == first.table()
    assert fits == []


def test_what_decides_nothing_may_change(paths, tmp_path, fits):
    _run(tmp_path / "folds", paths)
    fits.clear()
    free = _linear(n_jobs=2, verbose=1, max_memory="4G", memory=str(tmp_path / "cache"))
    _run(tmp_path / "folds", paths, a=free)
    assert fits == []


@pytest.mark.parametrize(
    "other",
    [
        dict(n_voxels=49),
        dict(random_state=1),
        dict(estimator__fit_intercept=False),
        dict(estimator=LSDNRegressor((4, 3), max_iter=1)),
    ],
    ids=str,
)
def test_a_changed_parameter_is_noticed(paths, tmp_path, fits, other):
    _run(tmp_path / "folds", paths)
    fits.clear()
    _run(tmp_path / "folds", paths, a=_linear().set_params(**other))
    assert len(fits) == 3


def test_a_changed_image_is_noticed(paths, tmp_path, fits):
    before = _run(tmp_path / "folds", paths)
    fits.clear()
    _write(paths[1][0], seed=99)
    after = _run(tmp_path / "folds", paths)
    assert len(fits) == 3  # it is trained on in two folds, and scored in one
    assert _scores(after) != _scores(before)


def test_a_changed_mask_or_version_is_noticed(paths, tmp_path, fits, monkeypatch):
    mask = str(tmp_path / "mask.nii")
    data = framed(np.ones((7, 8, 6), dtype=np.uint8))
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    nib.save(nib.Nifti1Image(data, affine), mask)
    _run(tmp_path / "folds", paths, a=_linear(mask_img=mask))
    data[:4] = 0
    nib.save(nib.Nifti1Image(data, affine), mask)
    fits.clear()
    _run(tmp_path / "folds", paths, a=_linear(mask_img=mask))
    assert len(fits) == 3
    monkeypatch.setattr("sklearn_lsdn._utils.store._VERSIONS", "99")
    _run(tmp_path / "folds", paths, a=_linear(mask_img=mask))
    assert len(fits) == 6


def test_a_changed_mask_of_the_second_method_is_noticed(paths, tmp_path, fits):
    mask = str(tmp_path / "mask.nii")
    data = framed(np.ones((7, 8, 6), dtype=np.uint8))
    methods = {"a": _linear(), "b": _linear(mask_img=mask)}
    for n_done in (6, 3):  # all, and those of the second
        nib.save(nib.Nifti1Image(data, np.diag([2.0, 2.0, 2.0, 1.0])), mask)
        fits.clear()
        _run(tmp_path / "folds", paths, **methods)
        assert len(fits) == n_done
        data[:4] = 0


def _frozen(seed):
    X = np.random.RandomState(seed).uniform(-1, 1, (50, 57))
    scale = FrozenEstimator(StandardScaler().fit(X))
    return _linear().set_params(estimator=make_pipeline(scale, LinearRegression()))


def test_what_is_frozen_counts_as_it_is_fitted(paths, tmp_path, fits):
    for seed, n_done in [(0, 3), (0, 0), (1, 3)]:
        fits.clear()
        _run(tmp_path / "folds", paths, a=pickle.loads(pickle.dumps(_frozen(seed))))
        assert len(fits) == n_done


def test_a_frozen_synthesizer_counts_as_it_is_fitted(paths, tmp_path):
    folder = tmp_path / "folds"
    for n_voxels, n_done in [(50, 3), (50, 3), (20, 6)]:
        synthesizer = _linear().set_params(n_voxels=n_voxels).fit(*paths)
        _run(folder, paths, a=FrozenEstimator(synthesizer))
        assert len(_units(folder)) == n_done


@pytest.mark.parametrize("subjects", [np.arange(3), range(3)], ids=str)
def test_subjects_may_be_numbers(paths, tmp_path, subjects, fits):
    for n_done in (3, 0):
        fits.clear()
        evaluation = leave_one_subject_out(
            {"a": _linear()}, *paths, subjects, resume=tmp_path / "folds"
        )
        assert [r["subject"] for r in evaluation.records] == ["0", "1", "2"]
        assert len(fits) == n_done


def _cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def _nothing(path):
    path.write_bytes(b"")


def _no_unit(path):
    path.write_text("[]")


@pytest.mark.parametrize("damage", [_cut, _nothing, _no_unit, os.unlink])
def test_a_file_that_is_not_whole_is_done_again(paths, tmp_path, fits, damage):
    folder = tmp_path / "folds"
    expected = _run(folder, paths)
    damage(_units(folder)[0])
    for n_done in (1, 0):
        fits.clear()
        assert _scores(_run(folder, paths)) == _scores(expected)
        assert len(fits) == n_done


def test_half_trained_networks_are_not_scored(paths, tmp_path, monkeypatch):
    """An interrupt that a network would take for the end of its training."""

    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "epoch", interrupted)
    network = _linear().set_params(estimator=LSDNRegressor((4, 3), max_iter=2))
    with pytest.raises(KeyboardInterrupt):
        leave_one_subject_out(
            {"a": network}, *paths, SUBJECTS, resume=tmp_path / "folds"
        )
    assert _units(tmp_path / "folds") == []


# Ensembles


X = np.random.RandomState(0).uniform(-1, 1, (300, 6))
N_TRAININGS = 3 + 3 + 1  # members, folds and the noise


class Stopped(Exception):  # noqa: N818
    """What ends the work in the middle."""


@pytest.fixture
def trainings(monkeypatch):
    """Counts networks as their training begins; the one of that number fails."""
    calls, fit = [], LSDNRegressor.fit
    calls_and_end = {"calls": calls, "end": None}

    @functools.wraps(fit)
    def counted(self, *args, **kwargs):
        calls.append(self)
        if len(calls) == calls_and_end["end"]:
            raise Stopped
        return fit(self, *args, **kwargs)

    monkeypatch.setattr(LSDNRegressor, "fit", counted)
    return calls_and_end


def _ensemble(memory=None, network=None, **parameters):
    network = network or LSDNRegressor((8,), max_iter=2)
    parameters = {"random_state": 0} | parameters
    return EnsembleRegressor(network, 3, memory=memory, **parameters)


def _fitted(*args, **parameters):
    return _ensemble(*args, **parameters).fit(X, X[:, 0] * X[:, 5])


def _assert_same(one, other):
    for a, b in zip(
        *(e.predict(X, return_std=True) for e in (one, other)), strict=True
    ):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_ensemble_that_was_cut_off_again_and_again(tmp_path, trainings, n_jobs):
    whole = _fitted()
    trainings["end"] = 3
    for n_kept in (2, 4, 6):
        trainings["calls"].clear()
        with pytest.raises(Stopped):
            _fitted(tmp_path)
        assert len(_units(tmp_path)) == n_kept
    trainings["calls"].clear()
    resumed = _fitted(str(tmp_path), n_jobs=n_jobs)
    assert len(trainings["calls"]) == 1
    _assert_same(resumed, whole)
    again = _fitted(joblib.Memory(str(tmp_path), verbose=0), n_jobs=n_jobs)
    assert len(trainings["calls"]) == 1
    _assert_same(again, whole)


@pytest.mark.parametrize(
    ("changed", "n_done"),
    [
        (dict(random_state=1), N_TRAININGS),
        (dict(network=LSDNRegressor((8,), max_iter=3)), N_TRAININGS),
        (dict(network=LSDNRegressor((8,), max_iter=2, n_jobs=2, verbose=1)), 0),
    ],
    ids=str,
)
def test_another_ensemble_is_another(tmp_path, trainings, changed, n_done):
    _fitted(tmp_path)
    trainings["calls"].clear()
    _assert_same(_fitted(tmp_path, **changed), _fitted(**changed))
    assert len(trainings["calls"]) == n_done + N_TRAININGS


def test_other_data_weights_and_groups_are_others(tmp_path, trainings):
    y, weight = X[:, 0], np.r_[np.full(150, 0.5), np.ones(150)]
    groups = np.arange(300) % 5
    for data in [(X, y), (X, 2 * y), (X[::-1], y), (X, y, weight)]:
        trainings["calls"].clear()
        _ensemble(tmp_path).fit(*data)
        assert len(trainings["calls"]) == N_TRAININGS
    trainings["calls"].clear()
    _ensemble(tmp_path).fit(X, y, groups=groups)
    assert len(trainings["calls"]) == 4  # members saw the same, folds and noise not


class Stop:
    """Ends each training after some epochs."""

    def __init__(self, after):
        self.after = after

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        if context.task_name != "epoch":
            return False
        return fitted_estimator.n_iter_ >= self.after


def test_what_a_callback_ended_is_not_taken_for_whole(tmp_path):
    pytest.importorskip("sklearn.callback", reason="scikit-learn before 1.9")
    stopped = LSDNRegressor((8,), max_iter=2).set_callbacks(Stop(1))
    _fitted(tmp_path, stopped)
    assert _fitted(tmp_path).estimators_[0].n_iter_ == 2
    assert _fitted(tmp_path, stopped).estimators_[0].n_iter_ == 1


# The commands


def test_fitting_goes_on_after_a_kill(paths, tmp_path, trainings):
    line = ["fit", "--source", *paths[0], "--target", *paths[1], "-j", "1"]
    line += ["--hidden-layer-sizes", "4", "3", "--max-iter", "1", "--n-voxels", "50"]
    line += ["--n-estimators", "3"]
    whole, resumed, kept = (tmp_path / name for name in ("a.skops", "b.skops", "c"))
    assert main([*line, "-o", str(whole)]) == 0
    line += ["-o", str(resumed), "--resume", str(kept)]
    script = f"""if True:
        import os, signal
        from sklearn_lsdn import LSDNRegressor
        from sklearn_lsdn._commands.main import main

        calls, fit = [], LSDNRegressor.fit

        def killed(self, *args, **kwargs):
            calls.append(self)
            if len(calls) == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return fit(self, *args, **kwargs)

        LSDNRegressor.fit = killed
        main({line})
    """
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(_units(kept)) == len(SUBJECTS) + 2
    assert not resumed.exists()
    trainings["calls"].clear()
    assert main(line) == 0
    assert len(trainings["calls"]) == N_TRAININGS - 2
    one, other = (load_model(path) for path in (whole, resumed))
    assert other.get_params()["memory"] is None
    assert other.estimator_.memory is None
    _assert_same_images(one.predict(paths[0]), other.predict(paths[0]))


def _assert_same_images(some, others):
    for one, other in zip(some, others, strict=True):
        np.testing.assert_array_equal(one.get_fdata(), other.get_fdata())


def test_the_command_resumes(paths, tmp_path, capsys):
    line = ["evaluate", "--source", *paths[0], "--target", *paths[1], "-j", "1"]
    line += ["--hidden-layer-sizes", "4", "3", "--max-iter", "1", "--n-voxels", "50"]
    folder = tmp_path / "folds"
    assert main([*line, "--resume", str(folder)]) == 0
    first = capsys.readouterr()
    assert "were done before" not in first.err
    _units(folder)[0].unlink()
    assert (
        main([*line, "--resume", str(folder), "--json", str(tmp_path / "a.json")]) == 0
    )
    second = capsys.readouterr()
    assert "2 of 3 were done before" in second.err
    columns = [
        [text.split()[:9] for text in out.splitlines()]  # without the times
        for out in (first.out, second.out)
    ]
    assert columns[0] == columns[1]
    assert len(json.loads((tmp_path / "a.json").read_text())["volumes"]) == 3


def test_a_report_needs_all_folds(paths, tmp_path, capsys):
    line = ["evaluate", "--source", *paths[0], "--target", *paths[1]]
    line += ["--resume", str(tmp_path / "folds"), "--report", str(tmp_path / "a.html")]
    assert main(line) == 1
    assert "inspecting needs all folds" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_refused(paths, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    line = ["evaluate", "--source", *paths[0], "--target", *paths[1]]
    assert main([*line, "--resume", str(tmp_path / "file")]) == 1
    assert "cannot be made a folder" in capsys.readouterr().err

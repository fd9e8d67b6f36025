"""Work on a Dask cluster of worker processes: the same bits, nothing lost or twice."""

import contextlib
import json
import os
import pickle
import re
import shutil
import signal
import socket
import sys
import threading
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from joblib import Parallel, delayed, parallel_config
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut, cross_validate

from sklearn_lsdn import (
    EnsembleRegressor,
    LSDNRegressor,
    VolumeSynthesizer,
    load_model,
    save_model,
)
from sklearn_lsdn._commands.main import main
from sklearn_lsdn._utils import parallel as _parallel
from sklearn_lsdn._utils.threads import effective_n_threads
from sklearn_lsdn.datasets import make_brain_cohort
from sklearn_lsdn.exceptions import SubjectsFailed
from sklearn_lsdn.jobs import leave_one_subject_out, predict_files
from sklearn_lsdn.volumes._images import open_image
from sklearn_lsdn.volumes._sliding_window import shared_n_jobs

distributed = pytest.importorskip("distributed")

N_WORKERS = 2
N_SUBJECTS = 4
SMALL = ["--n-voxels", "200", "--hidden-layer-sizes", "6", "--max-iter", "2"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Folder of the subjects' scans, and the paths of each contrast."""
    folder = tmp_path_factory.mktemp("data")
    cohort = make_brain_cohort(N_SUBJECTS, voxel_size=8, random_state=0)
    paths = []
    for name in ("T1w", "T2w"):
        paths.append([folder / f"sub-{i}_{name}.nii.gz" for i in range(N_SUBJECTS)])
        for image, path in zip(cohort.images[name], paths[-1], strict=True):
            nib.save(image, path)
    return folder, *paths


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(
        n_workers=N_WORKERS, threads_per_worker=1, dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def client(cluster):
    with distributed.Client(cluster) as client:
        yield client


@pytest.fixture
def on_cluster(client):
    """Give a context in which joblib works on the cluster."""
    client.wait_for_workers(1, timeout=60)  # those killed before come back
    return partial(parallel_config, backend="dask", client=client)


def _synthesizer(estimator=None, **parameters):
    if estimator is None:
        estimator = LSDNRegressor((6,), max_iter=2)
    return VolumeSynthesizer(estimator, n_voxels=200, random_state=0, **parameters)


def _contents(folder):
    """Every file under a folder, but for what a killed worker was writing."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


@pytest.mark.parametrize("n_estimators", [1, 2])
def test_cross_validation(data, on_cluster, n_estimators):
    _, sources, targets = data
    arguments = dict(groups=range(3), cv=LeaveOneGroupOut(), error_score="raise")
    synthesizer = _synthesizer(n_estimators=n_estimators)
    here = cross_validate(synthesizer, sources[:3], targets[:3], **arguments)
    with on_cluster():
        there = cross_validate(synthesizer, sources[:3], targets[:3], **arguments)
    assert_array_equal(there["test_score"], here["test_score"])


def test_grid_search(data, on_cluster):
    _, sources, targets = data
    grid = {"estimator__sigma": [0.3, 0.6]}
    search = GridSearchCV(_synthesizer(), grid, cv=2, error_score="raise")
    scores = search.fit(sources[:4], targets[:4]).cv_results_["mean_test_score"]
    with on_cluster():
        search.fit(sources[:4], targets[:4])
    assert_array_equal(search.cv_results_["mean_test_score"], scores)


class Centre(RegressorMixin, BaseEstimator):
    """Predicts the first column: no product, whose last bits are those of a BLAS."""

    def fit(self, X, y):
        self.shape_ = y.shape[1:]
        return self

    def predict(self, X):
        first = X[:, 0].reshape(-1, *[1] * len(self.shape_))
        return np.broadcast_to(first, (len(X), *self.shape_)).copy()


class Whereabouts(Centre):
    """Remembers the process that trained it."""

    def fit(self, X, y):
        self.process_ = os.getpid()
        return super().fit(X, y)


def test_an_ensemble(on_cluster):
    X = np.random.RandomState(0).uniform(-1, 1, (500, 5))
    y, groups = X[:, 0] * X[:, 4], np.repeat(range(5), 100)
    ensemble = EnsembleRegressor(
        LSDNRegressor((6,), max_iter=2, early_stopping=True), 3, random_state=0
    )
    here = ensemble.fit(X, y, groups=groups).predict(X, return_std=True)
    with on_cluster():
        there = ensemble.fit(X, y, groups=groups).predict(X, return_std=True)
        spread = EnsembleRegressor(Whereabouts(), 4).fit(X, y)
    assert_array_equal(there, here)
    assert os.getpid() not in {member.process_ for member in spread.estimators_}


def test_fitting_reads_on_the_workers(data, on_cluster, capsys):
    _, sources, targets = data
    synthesizer = _synthesizer(verbose=1)
    here = synthesizer.fit(sources[:3], targets[:3]).predict(sources[3:4])[0]
    capsys.readouterr()
    with on_cluster():
        there = synthesizer.fit(sources[:3], targets[:3]).predict(sources[3:4])[0]
    assert_array_equal(there.get_fdata(), here.get_fdata())
    assert "Read subject 3 of 3\n" in capsys.readouterr().out


def test_leaving_one_subject_out(data, on_cluster, monkeypatch):
    folder, sources, targets = data
    names = [f"sub-{i}" for i in range(3)]

    def scores(sources, targets, **parameters):
        models = {"LSDN": _synthesizer(**parameters)}
        records = leave_one_subject_out(models, sources, targets, names).records
        return [(record["subject"], record["snr"]) for record in records]

    mask = folder / "mask.nii.gz"
    brain = nib.load(sources[3])
    nib.save(nib.Nifti1Image(np.uint8(brain.get_fdata() != 0), brain.affine), mask)
    here = scores(sources[:3], targets[:3], mask_img=mask)
    monkeypatch.chdir(folder)  # where the workers are not
    relative = [[path.name for path in paths[:3]] for paths in (sources, targets)]
    with on_cluster():
        assert scores(*relative, mask_img=mask.name) == here


def test_a_cohort(data, on_cluster, tmp_path, capsys):
    _, sources, targets = data
    synthesizer = _synthesizer(n_estimators=2).fit(sources[:2], targets[:2])
    predict_files(synthesizer, sources, tmp_path / "here", uncertainty=True)
    with on_cluster():
        paths = predict_files(
            synthesizer, sources, tmp_path / "there", uncertainty=True, verbose=1
        )
        with pytest.raises(FileExistsError):
            predict_files(synthesizer, sources, tmp_path / "there", uncertainty=True)
    assert _contents(tmp_path / "there") == _contents(tmp_path / "here")
    assert [path.parent for path in paths] == [tmp_path / "there"] * 2 * N_SUBJECTS
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [f"{i + 1}/4" for i in range(4)]


class Noted(Centre):
    """Leaves a note of the process that predicts with it."""

    def __init__(self, folder=""):
        self.folder = folder

    def predict(self, X):
        Path(self.folder, str(os.getpid())).touch()
        return super().predict(X)


def test_processes_that_a_user_names(data, tmp_path):
    _, sources, targets = data
    notes = tmp_path / "notes"
    notes.mkdir()
    synthesizer = _synthesizer(Noted(str(notes))).fit(sources[:2], targets[:2])
    shutil.rmtree(notes)  # fitting predicts, too
    notes.mkdir()
    with parallel_config(backend="loky", n_jobs=2):
        predict_files(synthesizer, sources[:2], tmp_path / "there")
    assert str(os.getpid()) not in os.listdir(notes)
    predict_files(synthesizer, sources[:2], tmp_path / "here")
    assert _contents(tmp_path / "there") == _contents(tmp_path / "here")


def test_a_subject_that_fails(data, on_cluster, tmp_path):
    _, sources, targets = data
    synthesizer = _synthesizer(Centre()).fit(sources[:2], targets[:2])
    cut = tmp_path / "sub-9_T1w.nii.gz"
    cut.write_bytes(sources[0].read_bytes()[:-10])
    with on_cluster():
        with pytest.raises(ValueError, match="sub-9_T1w.nii.gz.*to its end"):
            predict_files(synthesizer, [cut, *sources[:2]], tmp_path / "first")
        with pytest.raises(SubjectsFailed, match="1 of 3 subjects"):
            predict_files(
                synthesizer, [cut, *sources[:2]], tmp_path / "out", keep_going=True
            )
    assert len(_contents(tmp_path / "out")) == 2


class Mortal(Centre):
    """Kills the worker that predicts with it, unless one has died; may leave a file."""

    def __init__(self, grave="", leaves=""):
        self.grave = grave
        self.leaves = leaves

    def fit(self, X, y):
        self.home_ = os.getpid()
        return super().fit(X, y)

    def predict(self, X):
        if os.getpid() != self.home_:
            self._die()
        return super().predict(X)

    def _die(self):
        with contextlib.suppress(FileExistsError):
            if self.grave:
                Path(self.grave).touch(exist_ok=False)
            if self.leaves:
                Path(self.leaves).touch(exist_ok=False)
            os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_loses_nothing(data, on_cluster, tmp_path):
    _, sources, targets = data
    grave, left = tmp_path / "grave", tmp_path / "there" / "sub-2_T1w_synth.nii.gz"
    synthesizer = _synthesizer(Mortal(str(grave), str(left)))
    synthesizer.fit(sources[:2], targets[:2])
    predict_files(synthesizer, sources, tmp_path / "here")
    with on_cluster():
        paths = predict_files(synthesizer, sources, tmp_path / "there")
    assert grave.exists()
    assert _contents(tmp_path / "there") == _contents(tmp_path / "here")
    assert len(set(paths)) == len(paths) == N_SUBJECTS


class Counted(Centre):
    """Writes down where it is unpickled."""

    def __init__(self, ledger=""):
        self.ledger = ledger

    def __setstate__(self, state):
        super().__setstate__(state)
        with open(self.ledger, "a") as file:
            file.write(f"{os.getpid()}\n")


def test_a_model_is_sent_once_and_volumes_as_paths(
    data, on_cluster, tmp_path, monkeypatch
):
    _, sources, targets = data
    ledger = tmp_path / "ledger"
    synthesizer = _synthesizer(Counted(str(ledger)))
    synthesizer.fit(sources[:2], targets[:2])
    sizes = []

    def pickled(value, pickled=_parallel._pickled):
        sizes.append(len(pickled(value)))
        return pickled(value)

    monkeypatch.setattr(_parallel, "_pickled", pickled)
    with on_cluster():
        predict_files(synthesizer, sources, tmp_path / "out")
    processes = ledger.read_text().split()
    assert len(set(processes)) <= N_WORKERS
    assert str(os.getpid()) not in processes
    n_estimators = 2  # unfitted and fitted
    assert len(processes) <= n_estimators * N_WORKERS
    model, *jobs = sizes
    assert len(jobs) == N_SUBJECTS
    assert max(jobs) < 1000 < sources[0].stat().st_size
    assert model < 100_000  # most of it is what it remembers of training


def test_a_file_is_sent_as_its_path(data, tmp_path, monkeypatch):
    folder, sources, _ = data
    monkeypatch.chdir(folder)
    file = open_image(sources[0].name, "sources[0]")
    file.read()
    sent = pickle.dumps(file)
    assert len(sent) < 500
    monkeypatch.chdir(tmp_path)
    arrived = pickle.loads(sent)
    assert arrived.name == file.name
    assert_array_equal(arrived.affine, file.affine)
    assert_array_equal(arrived.read(), open_image(sources[0], "").read())


def test_an_image_in_memory_is_sent_whole(data):
    _, sources, _ = data
    image = nib.load(sources[0])
    image = nib.Nifti1Image(image.get_fdata(), image.affine)
    arrived = pickle.loads(pickle.dumps(open_image(image, "")))
    assert_array_equal(arrived.image.get_fdata(), image.get_fdata())


def test_what_cannot_be_sent_is_refused(data, on_cluster, tmp_path):
    _, sources, targets = data
    synthesizer = _synthesizer(Centre()).fit(sources[:2], targets[:2])
    synthesizer.estimator_.lock = threading.Lock()
    with on_cluster(), pytest.raises(TypeError, match="cannot be sent to the cluster"):
        predict_files(synthesizer, sources, tmp_path)


def test_cores_of_the_cluster_are_no_threads_here(on_cluster, client):
    with on_cluster():
        assert effective_n_threads(None) == 1
        with shared_n_jobs(2):
            assert effective_n_threads(None) == 2
        there = Parallel()(delayed(effective_n_threads)(None) for _ in range(4))
    assert there == [1] * 4


def _run(*argv):
    return main([str(argument) for argument in argv])


@pytest.fixture
def scheduler(on_cluster, cluster, monkeypatch):
    monkeypatch.setattr(_parallel, "_ANSWER_WITHIN", 60)  # as others may be at work
    return ["--scheduler", cluster.scheduler_address]


def test_the_command(data, scheduler, tmp_path, monkeypatch, capsys):
    folder, sources, targets = data
    monkeypatch.chdir(folder)  # where the workers are not
    train = ["--source", *(path.name for path in sources[:3])]
    train += ["--target", *(path.name for path in targets[:3])]
    results = {}
    for place, where in (("here", []), ("there", scheduler)):
        out = tmp_path / place
        out.mkdir()
        model = out / "model.skops"
        fit = ["fit", *train, *SMALL, "--n-estimators", "2", "-o", model]
        assert _run(*fit, *where) == 0
        shown = capsys.readouterr().err
        assert "Read subject 3 of 3" in shown
        names = [path.name for path in sources]
        relative = os.path.relpath(out / "synth")
        predict = ["predict", model, *names, "--uncertainty", "-o", relative]
        assert _run(*predict, *where) == 0
        captured = capsys.readouterr()
        assert "4/4 sub-3_T1w_synth.nii.gz" in captured.err
        assert len(captured.out.splitlines()) == 2 * N_SUBJECTS
        assert _run("evaluate", *train, *SMALL, *where) == 0
        captured = capsys.readouterr()
        assert "on sub-2: " in captured.err
        table = re.sub(r"[\d.]+ +[\d.]+$", "", captured.out, flags=re.M)  # seconds
        single = out / "single.skops"
        assert _run("fit", *train, *SMALL, "-o", single, *where) == 0
        small = out / "small.skops"
        shrink = ["shrink", single, *train, "--n-voxels", "200", "--keep", "0.5"]
        assert _run(*shrink, "-o", small, *where) == 0
        capsys.readouterr()
        images = load_model(small).predict(sources[:1])
        images += [nib.load(path) for path in sorted((out / "synth").iterdir())]
        results[place] = table, [image.get_fdata() for image in images]
    assert results["there"][0] == results["here"][0]
    assert len(results["there"][1]) == 1 + 2 * N_SUBJECTS
    assert_array_equal(results["there"][1], results["here"][1])


def test_a_dataset_from_the_command(data, scheduler, tmp_path, capsys):
    pytest.importorskip("ancpbids")
    _, sources, targets = data
    for i, source in enumerate(sources[:3]):
        anat = tmp_path / "raw" / f"sub-{i}" / "anat"
        anat.mkdir(parents=True)
        (anat / source.name).write_bytes(source.read_bytes())
    description = '{"Name": "raw", "BIDSVersion": "1.10.0"}'
    (tmp_path / "raw" / "dataset_description.json").write_text(description)
    model = tmp_path / "model.skops"
    synthesizer = _synthesizer().fit(sources[:2], targets[:2])
    save_model(synthesizer, model)
    line = ["predict", model, tmp_path / "raw", "--source", "T1w", "--target", "T2w"]
    assert _run(*line, "-o", tmp_path / "here") == 0
    assert _run(*line, "-o", tmp_path / "there", *scheduler) == 0
    contents, here = (_contents(tmp_path / each) for each in ("there", "here"))
    assert contents.keys() == here.keys()
    for name, content in contents.items():
        pair = content, here[name]
        if name.endswith(".json"):
            pair = [json.loads(text) for text in pair]
            for told in pair:
                told.pop("Date", None)
                told.pop("Command", None)
        assert pair[0] == pair[1], name
    assert sum(name.endswith("_T2w.json") for name in contents) == 3
    assert _run(*line, "-o", tmp_path / "there", "--resume", *scheduler) == 0
    assert "3 of 3 were done before" in capsys.readouterr().err


def _error(line, capsys):
    assert _run(*line) == 1
    (error,) = capsys.readouterr().err.splitlines()
    return error


def test_without_dask(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)
    line = ["predict", "model", "image", "-o", "out", "--scheduler", "tcp://a:1"]
    assert 'pip install "sklearn_lsdn[dask]"' in _error(line, capsys)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("tcp://127.0.0.1:1", "No Dask scheduler answers at tcp://127.0.0.1:1"),
        ("nothing://here", "nothing://here is not the address of a scheduler"),
    ],
)
def test_where_no_scheduler_is(address, message, monkeypatch, capsys):
    monkeypatch.setattr(_parallel, "_ANSWER_WITHIN", 1)
    line = ["predict", "model", "image", "-o", "out", "--scheduler", address]
    assert message in _error(line, capsys)


def test_what_listens_and_says_nothing(monkeypatch, capsys):
    monkeypatch.setattr(_parallel, "_ANSWER_WITHIN", 1)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"tcp://127.0.0.1:{mute.getsockname()[1]}"
        line = ["predict", "model", "image", "-o", "out", "--scheduler", address]
        assert f"No Dask scheduler answers at {address}" in _error(line, capsys)


def test_workers_must_have_this_version(scheduler, monkeypatch, capsys):
    monkeypatch.setattr("sklearn_lsdn._version.__version__", "99")
    line = ["predict", "model", "image", "-o", "out", *scheduler]
    assert "and here it is 99. Install the same version" in _error(line, capsys)


@pytest.mark.parametrize(
    ("versions", "error", "message"),
    [
        ({}, OSError, "at tcp://a:1 has no workers yet"),
        (
            {"tcp://b:2": None},
            ValueError,
            "The worker at tcp://b:2 has no sklearn_lsdn",
        ),
    ],
)
def test_workers_must_be_there_and_have_the_package(versions, error, message):
    class Client:
        def run(self, function):
            return versions

    with pytest.raises(error, match=message):
        _parallel._check_workers(Client(), "tcp://a:1")


# The last test, since not every worker killed so soon is started again.
def test_what_always_kills_its_worker_is_given_up(
    data, on_cluster, cluster, tmp_path, monkeypatch
):
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)
    _, sources, targets = data
    synthesizer = _synthesizer(Mortal()).fit(sources[:2], targets[:2])
    with on_cluster(), pytest.raises(SubjectsFailed, match="sub-0.*its worker died"):
        predict_files(synthesizer, sources[:1], tmp_path, keep_going=True)
    with on_cluster(), pytest.raises(OSError, match="sub-0.*its worker died"):
        predict_files(synthesizer, sources[:1], tmp_path)

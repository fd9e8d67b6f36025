"""A limit on memory: what does not fit is refused before the work, what fits runs."""

import gzip
import re
import threading
import tracemalloc

import joblib
import nibabel as nib
import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression

from sklearn_lsdn import LSDNRegressor, VolumeSynthesizer, load_model, save_model
from sklearn_lsdn._commands.main import main
from sklearn_lsdn.exceptions import SubjectsFailed
from sklearn_lsdn.jobs import leave_one_subject_out, predict_files
from sklearn_lsdn.volumes._budget import (
    OF_THE_PROGRAM,
    DoesNotFit,
    at_once,
    folds_at_once,
    parse_size,
    subjects_at_once,
    tighter,
    training_jobs,
)
from sklearn_lsdn.volumes._sampling import Window
from sklearn_lsdn.volumes._subjects import open_subjects

# A brain up to the border takes most, and so does a large one.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fills the border:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*those of training had:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*unlike the scans of training:UserWarning"),
]

AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
SMALL, LARGE = (8, 9, 7), (60, 50, 55)
NETWORK = dict(hidden_layer_sizes=(8, 4), max_iter=1)
SUBJECTS = ["a", "b", "c"]
TOO_LITTLE = OF_THE_PROGRAM + 2**20


def _image(seed, shape=SMALL, kind="T1w"):
    """All brain, of integers with a slope, which take more."""
    data = np.random.RandomState(seed).uniform(1, 2, shape)
    data = data if kind == "T1w" else 3 - data
    image = nib.Nifti1Image((1000 * data).astype(np.int16), AFFINE)
    image.header.set_slope_inter(0.123, 4.5)
    return image


def _files(folder, n, shape=SMALL, kind="T1w", name="sub-{}"):
    paths = [str(folder / f"{name.format(i)}_{kind}.nii.gz") for i in range(n)]
    for i, path in enumerate(paths):
        nib.save(_image(i, shape, kind), path)
    return paths


def _cohort(n=3, shape=SMALL):
    return [[_image(i, shape, kind) for i in range(n)] for kind in ("T1w", "T2w")]


def _fitted(**parameters):
    parameters = dict(estimator=LSDNRegressor(**NETWORK), n_voxels=300) | parameters
    synthesizer = VolumeSynthesizer(random_state=0, **parameters)
    return synthesizer.fit(*_cohort(1))


def _refusal(work) -> str:
    with pytest.raises(DoesNotFit) as found:
        work()
    return str(found.value)


def _enough(refusal):
    """The size that a refusal names, rounded up."""
    size = re.search(r"takes up to ([\d.]+)([GM]) of memory", refusal)
    return int((float(size[1]) + (0.1 if size[2] == "G" else 1)) * 2**20) * (
        1024 if size[2] == "G" else 1
    )


def _traced_peak(work):
    """Bytes that NumPy allocates at most, beyond what is there."""
    work()  # which imports and compiles
    tracemalloc.start()
    try:
        work()
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


@pytest.mark.parametrize(
    ("limits", "smallest"),
    [(("1G", 2**20), 2**20), ((None, "2K"), "2K"), ((None, None), None)],
)
def test_the_tighter_of_two_limits_counts(limits, smallest):
    assert tighter(*limits) == smallest


# What does not fit


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        dict(n_estimators=2),
        dict(target_patch_size=3, patch_scales=(1, 2, 4)),
        dict(estimator=LinearRegression(), patch_size=7),
    ],
    ids=str,
)
def test_prediction_is_refused_before_the_work_and_takes_what_was_said(
    parameters, tmp_path
):
    paths = _files(tmp_path, 1, LARGE)
    synthesizer = _fitted(**parameters, max_memory="1T")
    options = dict(return_std="n_estimators" in parameters)
    said = _refusal(
        lambda: synthesizer.set_params(max_memory=TOO_LITTLE).predict(paths, **options)
    )
    assert said.startswith(f"Predicting sources[0] ({paths[0]}) takes up to ")
    assert "400M of it for the program itself, but max_memory is 401M." in said
    assert said.endswith("Give more, or crop or resample the image.")
    enough = _enough(said)
    synthesizer.set_params(max_memory=enough)
    peak = _traced_peak(lambda: synthesizer.predict(paths, **options))
    assert peak < enough - OF_THE_PROGRAM


@pytest.mark.parametrize(
    "estimator",
    [
        LSDNRegressor(**NETWORK),
        LSDNRegressor(early_stopping=True, **NETWORK),
        HistGradientBoostingRegressor(max_iter=1),
    ],
    ids=["network", "stops early", "trees"],
)
def test_training_is_refused_before_the_work_and_takes_what_was_said(estimator):
    images = _cohort(4, (32, 32, 32))
    synthesizer = VolumeSynthesizer(
        estimator, n_voxels=15_000, random_state=0, max_memory=TOO_LITTLE
    )
    said = _refusal(lambda: synthesizer.fit(*images))
    assert said.startswith("Training on 4 subjects takes up to ")
    assert "draw fewer voxels than n_voxels=15000" in said
    enough = _enough(said)
    synthesizer.set_params(max_memory=enough)
    peak = _traced_peak(lambda: synthesizer.fit(*images))
    assert peak < enough - OF_THE_PROGRAM


@pytest.mark.parametrize("work", ["sample_voxels", "shrink", "score"])
def test_whatever_reads_images_is_refused(work):
    synthesizer = _fitted().set_params(max_memory=TOO_LITTLE)
    assert "max_memory is 401M" in _refusal(
        lambda: getattr(synthesizer, work)(*_cohort(1, LARGE))
    )


def test_shapes_that_overflow_are_refused(tmp_path):
    """A header of FreeSurfer's has numbers of 32 bits, and so would their product."""
    header = nib.freesurfer.MGHImage(np.zeros(SMALL, np.uint8), AFFINE).header
    header.set_data_shape((512, 512, 512))
    with gzip.open(tmp_path / "large.mgz", "wb") as file:
        file.write(header.binaryblock)
    synthesizer = _fitted().set_params(max_memory="1G")
    with pytest.raises(DoesNotFit, match=r"large\.mgz\) takes up to \d+\.\dG"):
        synthesizer.predict([tmp_path / "large.mgz"])


def test_images_that_are_returned_count(tmp_path):
    paths = _files(tmp_path, 1, LARGE) * 40
    synthesizer = _fitted().set_params(max_memory=TOO_LITTLE)
    one = _enough(_refusal(lambda: synthesizer.predict(paths[:1])))
    synthesizer.set_params(max_memory=one).predict(paths[:1])
    said = _refusal(lambda: synthesizer.predict(paths))
    assert "predict fewer subjects at a time, or to files" in said
    assert synthesizer.score(paths[:2], paths[:2]) is not None  # which returns none


def test_a_subject_that_does_not_fit_is_refused_before_the_first(tmp_path):
    paths = _files(tmp_path, 1) + _files(tmp_path, 1, LARGE, name="large{}")
    synthesizer = _fitted().set_params(max_memory=TOO_LITTLE)
    enough = _enough(_refusal(lambda: synthesizer.predict(paths[:1])))
    synthesizer.set_params(max_memory=enough)
    with pytest.raises(DoesNotFit, match=r"large0_T1w\.nii\.gz\) takes up to \d+M"):
        predict_files(synthesizer, paths, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(SubjectsFailed, match="1 of 2 .*\n.*large0.*max_memory is"):
        predict_files(synthesizer, paths, tmp_path / "out", keep_going=True)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["sub-0_T1w_synth.nii.gz"]


def test_a_fold_that_does_not_fit_is_refused_before_the_first(monkeypatch):
    monkeypatch.setattr(VolumeSynthesizer, "fit", None)  # which would be too soon
    synthesizer = VolumeSynthesizer(LinearRegression(), n_voxels=10)
    with pytest.raises(DoesNotFit, match="Evaluating linear takes up to"):
        leave_one_subject_out(
            {"linear": synthesizer}, *_cohort(), SUBJECTS, max_memory=TOO_LITTLE
        )


# How much at once


def test_as_many_as_fit_and_one_at_least():
    def jobs(max_memory, **more):
        return at_once("It", 100, max_memory, "wait", n_jobs=4, **more)

    assert jobs(None) == 4
    assert jobs(OF_THE_PROGRAM + 1000) == 4
    assert jobs(OF_THE_PROGRAM + 250) == 2
    assert jobs(OF_THE_PROGRAM + 250, kept=60) == 1
    assert jobs(OF_THE_PROGRAM + 250, of_each=100) == 1
    with pytest.raises(DoesNotFit, match=r"It takes .* Give more, or wait\."):
        jobs(OF_THE_PROGRAM + 250, kept=160)


@pytest.fixture
def together(monkeypatch):
    """Most subjects that were predicted at the same time."""
    most, now, lock = [0], [0], threading.Lock()
    synthesize, others = VolumeSynthesizer.synthesize, threading.Event()

    def counted(self, *args, **kwargs):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        others.wait(0.1)  # who might come
        try:
            return synthesize(self, *args, **kwargs)
        finally:
            with lock:
                now[0] -= 1

    monkeypatch.setattr(VolumeSynthesizer, "synthesize", counted)
    return lambda: most[0]


def test_subjects_are_predicted_one_by_one_where_only_one_fits(tmp_path, together):
    paths = _files(tmp_path, 5)
    synthesizer = _fitted().set_params(max_memory=TOO_LITTLE)
    enough = _enough(_refusal(lambda: synthesizer.predict(paths[:1])))
    synthesizer.set_params(n_jobs=4, max_memory=enough)
    written = predict_files(synthesizer, paths, tmp_path / "out")
    assert together() == 1
    expected = synthesizer.predict(paths[:1])[0].get_fdata()
    assert (nib.load(written[0]).get_fdata() == expected).all()


def test_each_process_takes_the_program():
    synthesizer = _fitted().set_params(max_memory=3 * OF_THE_PROGRAM)
    subjects = open_subjects(_cohort()[0], "sources")
    assert subjects_at_once(synthesizer, subjects, n_jobs=3) == 3
    with joblib.parallel_config(backend="threading"):
        assert subjects_at_once(synthesizer, subjects, n_jobs=3) == 3
    with joblib.parallel_config(backend="loky"):
        assert subjects_at_once(synthesizer, subjects, n_jobs=3) == 1


def test_no_more_is_read_and_trained_than_fits():
    subjects = [open_subjects(each, "images") for each in _cohort(3, LARGE)]
    window = Window.of(3, (1, 2), 1, "world")

    def jobs(max_memory, n_voxels=10):
        synthesizer = VolumeSynthesizer(
            n_voxels=n_voxels, n_jobs=4, max_memory=max_memory
        )
        with joblib.parallel_config(backend="threading"):
            return training_jobs(synthesizer, LSDNRegressor(), window, *subjects)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "sklearn_lsdn.volumes._budget.effective_n_threads", lambda n_jobs: n_jobs
        )
        assert jobs("1T") == (4, 4)
        n_readers, n_jobs = jobs("600M")
        assert 1 <= n_readers < n_jobs == 4  # few voxels are drawn of large volumes
        n_readers, n_jobs = jobs("1G", 165_000)
        assert 1 <= n_jobs < 4


def test_each_fold_counts_as_a_process_and_has_its_share():
    subjects = [open_subjects(each, "images") for each in _cohort()]
    tasks = [("LSDN", VolumeSynthesizer(n_voxels=10), ([0, 1], [2]))] * 3
    assert folds_at_once(tasks, *subjects, 3, None) == (3, None)
    assert folds_at_once(tasks, *subjects, 3, "1T")[0] == 3
    assert folds_at_once(tasks, *subjects, 3, "900M") == (1, "900M")
    n_folds, share = folds_at_once(tasks, *subjects, 3, 4 * OF_THE_PROGRAM)
    assert n_folds == 2
    assert 2 * share <= 3 * OF_THE_PROGRAM


def test_each_fold_keeps_to_the_tighter_limit(monkeypatch):
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
            {"a": free, "b": tight}, *_cohort(), SUBJECTS, n_jobs=2, max_memory=limit
        )
    assert given.count("1G") == 3
    assert given.count((limit - OF_THE_PROGRAM) // 2) == 3
    assert free.max_memory is None


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

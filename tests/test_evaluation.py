"""Leaving one subject out: who is trained on, who is scored, and the table."""

import json
import re

import nibabel as nib
import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from small_volumes import framed

from sklearn_lsdn import VolumeSynthesizer, psnr_score, snr_score
from sklearn_lsdn.exceptions import PairWarning
from sklearn_lsdn.jobs import Evaluation, leave_one_subject_out
from sklearn_lsdn.jobs import _leave_one_out as evaluation_module

LABELS = ["sub-02", "sub-01", "sub-02", "sub-03"]  # two sessions of sub-02


class Guess:
    """What a recorder synthesises: voxels 3 and 4 become 3 and 3."""

    millilitres, doubts = 1200.0, []

    def __init__(self, source, target):
        self.source, self.target = source, target

    def scores(self, metric):
        return [metric(np.array([3.0, 4.0]), np.array([3.0, 3.0]))]


class Recorder(BaseEstimator):
    """Writes down what it is given, and scores a volume by its place in the list."""

    fits: list = []
    scored: list = []

    def __init__(self, name="recorder"):
        self.name = name

    def fit(self, sources, targets):
        self.trained_on_ = _paths(sources)
        self.estimator_ = LinearRegression()
        self.fits.append((self.name, self.trained_on_, _paths(targets)))
        return self

    def synthesize(self, source, target, return_std=False):
        assert not return_std  # which takes an ensemble
        (scanned,), (wanted,) = _paths([source]), _paths([target])
        assert scanned not in self.trained_on_
        self.scored.append((self.name, [scanned], [wanted]))
        return Guess(scanned, wanted)


def _paths(subjects):
    return [file.location for (file,) in subjects]


@pytest.fixture
def recorder(monkeypatch):
    monkeypatch.setattr(Recorder, "fits", [])
    monkeypatch.setattr(Recorder, "scored", [])
    return Recorder()


@pytest.fixture
def paths(tmp_path):
    """Four sources and their targets, which depend on the sources."""
    sources, targets = [], []
    for i in range(len(LABELS)):
        rng = np.random.RandomState(i)
        source = rng.uniform(1, 2, (5, 6, 4)).astype(np.float32)
        target = 10 * source**2 + rng.uniform(0, 3, source.shape)
        for kind, data, files in (("a", source, sources), ("b", target, targets)):
            files.append(str(tmp_path / f"{i}_{kind}.nii"))
            image = nib.Nifti1Image(framed(data.astype(np.float32)), np.eye(4))
            nib.save(image, files[-1])
    return sources, targets


def _record(model, subject, snr, psnr=20.0, r2=0.5, fit_seconds=1.0, **more):
    return dict(
        model=model,
        subject=subject,
        snr=snr,
        psnr=psnr,
        r2=r2,
        fit_seconds=fit_seconds,
        **{"predict_seconds": 0.5, **more},
    )


def _linear(**parameters):
    return VolumeSynthesizer(
        LinearRegression(), n_voxels=50, random_state=0, **parameters
    )


# Who is held back


def test_no_subject_is_trained_on_and_scored(recorder, paths):
    sources, targets = paths
    leave_one_subject_out({"recorder": recorder}, sources, targets, LABELS)
    trained = [[sources.index(path) for path in fit[1]] for fit in Recorder.fits]
    assert sorted(trained) == [[0, 1, 2], [0, 2, 3], [1, 3]]
    for _, fold_sources, fold_targets in Recorder.fits + Recorder.scored:
        pairs = [targets[sources.index(path)] for path in fold_sources]
        assert fold_targets == pairs


def test_every_image_is_scored_once_alone(recorder, paths):
    sources, targets = paths
    evaluation = leave_one_subject_out({"a": recorder}, sources, targets, LABELS)
    assert sorted(scored[1][0] for scored in Recorder.scored) == sources
    assert sorted(r["subject"] for r in evaluation.records) == sorted(LABELS)
    for record, scored in zip(evaluation.records, Recorder.scored, strict=True):
        assert record["subject"] == LABELS[sources.index(scored[1][0])]


def test_each_method_is_trained_in_each_fold(recorder, paths):
    methods = {"first": Recorder("x"), "second": Recorder("y")}
    evaluation = leave_one_subject_out(methods, *paths, LABELS)
    assert [fit[0] for fit in Recorder.fits] == ["x"] * 3 + ["y"] * 3
    models = [record["model"] for record in evaluation.records]
    assert models == ["first"] * 4 + ["second"] * 4
    assert not hasattr(methods["first"], "trained_on_")


def test_inspections_are_of_subjects_not_seen(recorder, paths):
    sources, targets = paths

    def inspect(synthesizer, synthesis, subject, model):
        assert synthesis.source not in synthesizer.trained_on_
        assert synthesis.target == targets[sources.index(synthesis.source)]
        return model, synthesis.source, subject

    Recorder.scored.clear()
    evaluation = leave_one_subject_out(
        {"a": recorder}, sources, targets, LABELS, inspect=inspect
    )
    models, inspected, subjects = zip(*evaluation.inspections, strict=True)
    assert sorted(inspected) == sources
    assert list(subjects) == [record["subject"] for record in evaluation.records]
    assert set(models) == {"a"}
    assert len(Recorder.scored) == len(sources)  # each was predicted once
    without = leave_one_subject_out({"a": recorder}, sources, targets, LABELS)
    assert without.inspections == []
    assert "inspections" not in evaluation.to_dict()


def test_what_is_inspected_of_an_ensemble_has_deviations(paths):
    given = {"a": _linear(n_estimators=2), "b": _linear()}, *paths, LABELS
    seen = leave_one_subject_out(*given, inspect=_deviations).inspections
    assert [each is None for each in seen] == 4 * [False] + 4 * [True]


def _deviations(synthesizer, synthesis, subject, model):
    return synthesis.deviations


def test_scores_are_those_of_the_metric(recorder, paths):
    evaluation = leave_one_subject_out({"a": recorder}, *paths, LABELS)
    # a power of 25 and a range of 1 against an error of 1
    for record in evaluation.records:
        assert record["snr"] == pytest.approx(10 * np.log10(25))
        assert record["psnr"] == pytest.approx(10 * np.log10(2))
        assert record["r2"] == pytest.approx(-1)


def test_scores_are_those_of_fitting_by_hand(paths):
    sources, targets = paths
    evaluation = leave_one_subject_out({"a": _linear()}, sources, targets, LABELS)
    expected = {}
    for held_back in set(LABELS):
        train = [i for i, label in enumerate(LABELS) if label != held_back]
        test = [i for i, label in enumerate(LABELS) if label == held_back]
        model = _linear().fit([sources[i] for i in train], [targets[i] for i in train])
        pair = [sources[i] for i in test], [targets[i] for i in test]
        scores = [
            model.score_volumes(*pair, metric=metric).ravel()
            for metric in (snr_score, psnr_score, r2_score)
        ]
        expected[held_back] = list(zip(*scores, strict=True))
    found = {label: [] for label in LABELS}
    for record in evaluation.records:
        found[record["subject"]].append((record["snr"], record["psnr"], record["r2"]))
        assert record["fit_seconds"] >= 0
        assert record["predict_seconds"] >= 0
    for label, scores in expected.items():
        np.testing.assert_allclose(found[label], scores, rtol=1e-6)


def test_scores_are_means_over_target_contrasts(paths):
    sources, targets = paths
    pairs = [[a, b] for a, b in zip(targets, sources, strict=True)]
    evaluation = leave_one_subject_out({"a": _linear()}, sources, pairs, LABELS)
    (record,) = (r for r in evaluation.records if r["subject"] == "sub-01")
    train = [0, 2, 3]
    model = _linear().fit([sources[i] for i in train], [pairs[i] for i in train])
    scores = model.score_volumes([sources[1]], [pairs[1]])
    assert scores.shape == (1, 2)
    assert record["snr"] == pytest.approx(scores.mean())


def test_several_source_contrasts_and_images_in_memory(paths):
    sources, targets = ([nib.load(path) for path in files] for files in paths)
    pairs = [[image, image] for image in sources]
    evaluation = leave_one_subject_out({"a": _linear()}, pairs, targets, LABELS)
    assert len(evaluation.records) == 4
    assert all(record["snr"] > 10 for record in evaluation.records)


def test_progress_is_printed_if_asked_for(recorder, paths, capsys):
    leave_one_subject_out({"LSDN": recorder}, *paths, LABELS)
    assert capsys.readouterr() == ("", "")
    leave_one_subject_out({"LSDN": recorder}, *paths, LABELS, verbose=1)
    lines = capsys.readouterr().out.splitlines()
    n = len(LABELS)
    assert lines[:n] == [f"Checking subject {i + 1} of {n}" for i in range(n)]
    assert lines[n].startswith("Training 1 x ")
    assert sorted(lines[n + 1 :]) == [
        f"LSDN on {label}: 13.98 dB" for label in sorted(LABELS)
    ]


# What is refused


@pytest.mark.parametrize("labels", [[], ["sub-01"] * 4])
def test_fewer_than_two_subjects_are_refused(recorder, paths, labels):
    images = [files[: len(labels)] for files in paths]
    with pytest.raises(
        ValueError, match=f"two subjects or more, got {len(set(labels))}"
    ):
        leave_one_subject_out({"a": recorder}, *images, labels)
    assert Recorder.fits == []


def _missing(path):
    path.unlink()


def _no_image(path):
    path.write_text("no image")


def _other_grid(path):
    nib.save(nib.load(path).slicer[1:], path)


def _series(path):
    volumes = [nib.load(path).get_fdata()] * 2
    nib.save(nib.Nifti1Image(np.stack(volumes, axis=-1), np.eye(4)), path)


@pytest.mark.parametrize("damage", [_missing, _no_image, _other_grid, _series])
@pytest.mark.parametrize("kind", ["a", "b"])
def test_a_bad_image_is_refused_before_any_fit(recorder, paths, tmp_path, damage, kind):
    damage(tmp_path / f"3_{kind}.nii")
    with pytest.raises((OSError, ValueError), match=rf"3_{kind}\.nii"):
        leave_one_subject_out({"a": recorder}, *paths, LABELS)
    assert Recorder.fits == []


def test_sources_and_targets_must_be_as_many(recorder, paths):
    sources, targets = paths
    with pytest.raises(ValueError, match=r"4 subjects and targets 3"):
        leave_one_subject_out({"a": recorder}, sources, targets[1:], LABELS)
    assert Recorder.fits == []


@pytest.mark.parametrize("labels", [LABELS[:3], [*LABELS, "sub-04"]], ids=len)
def test_every_source_needs_a_subject(recorder, paths, labels):
    with pytest.raises(ValueError, match=f"subjects has {len(labels)} .* sources 4"):
        leave_one_subject_out({"a": recorder}, *paths, labels)
    assert Recorder.fits == []


def test_a_method_is_needed(paths):
    with pytest.raises(ValueError, match="synthesizers is empty"):
        leave_one_subject_out({}, *paths, LABELS)


def test_each_method_is_checked_with_its_own_mask(paths, tmp_path, capsys):
    mask = np.zeros((7, 8, 6), dtype=np.uint8)
    mask[0, 0, 0] = 1  # where a scan is constant, as it were
    nib.save(nib.Nifti1Image(mask, np.eye(4)), tmp_path / "mask.nii")
    methods = {"a": _linear(), "b": _linear(mask_img=tmp_path / "mask.nii")}
    with pytest.raises(ValueError, match="cannot be normalised"):
        leave_one_subject_out(methods, *paths, LABELS, verbose=1)
    assert capsys.readouterr().out == "Checking subject 1 of 4\n"


def test_voxels_are_checked_once_for_methods_alike(paths, monkeypatch):
    checked, check = [], evaluation_module.check_voxels

    def counted(*args):
        checked.append(args)
        return check(*args)

    monkeypatch.setattr(evaluation_module, "check_voxels", counted)
    methods = {
        "a": _linear(),
        "b": _linear(patch_size=1),
        "c": _linear(normalization="nyul"),
    }
    leave_one_subject_out(methods, *paths, LABELS)
    assert len(checked) == 2 * len(LABELS)


def test_a_series_of_subjects_counts_by_its_values(paths):
    pandas = pytest.importorskip("pandas")
    names = ["sub-a", "sub-b", "sub-c", "sub-d"]
    series = pandas.Series(names, index=[3, 2, 1, 0])
    plain, found = (
        leave_one_subject_out({"a": _linear()}, *paths, subjects).records
        for subjects in (names, series)
    )
    for expected, record in zip(plain, found, strict=True):
        assert (record["subject"], record["snr"]) == (
            expected["subject"],
            expected["snr"],
        )


# Numbers


RECORDS = [
    _record("LSDN", "sub-01", 10.0, 20.0, 0.25, fit_seconds=2.0, predict_seconds=0.2),
    _record("LSDN", "sub-02", 13.0, 24.0, 0.5, fit_seconds=4.0, predict_seconds=0.4),
    _record("LSDN", "sub-02", 16.0, 22.0, 0.75, fit_seconds=4.0, predict_seconds=0.6),
    _record("A longer name", "sub-01", -1.25, 5.0, fit_seconds=100.0),
    _record("A longer name", "sub-02", 1.25, 7.0, fit_seconds=100.0),
    _record("A longer name", "sub-02", 1.25, 9.0, fit_seconds=100.0),
]


def test_summary_by_hand():
    summary = Evaluation(RECORDS).summary()
    assert list(summary) == ["LSDN", "A longer name"]
    assert summary["LSDN"] == pytest.approx(
        {
            "snr_mean": 13.0,
            "snr_sd": np.sqrt((9 + 0 + 9) / 3),
            "psnr_mean": 22.0,
            "psnr_sd": np.sqrt((4 + 4 + 0) / 3),
            "r2_mean": 0.5,
            "r2_sd": np.sqrt(0.125 / 3),
            "fit_seconds": 10 / 3,
            "predict_seconds": 0.4,
        }
    )
    assert summary["A longer name"]["snr_mean"] == pytest.approx(1.25 / 3)


TABLE = """\
SNR (dB)       sub-01  sub-02  mean +- sd     PSNR (dB)  R2     fit (s)  predict (s)
LSDN           10.00   14.50   13.00 +- 2.45  22.00      0.500  3.3      0.4
A longer name  -1.25   1.25    0.42 +- 1.18   7.00       0.500  100.0    0.5"""


def test_table_by_hand():
    table, below = Evaluation(RECORDS).table().split("\n\n")
    assert table == TABLE
    assert below.startswith("SNR counts from the scan's own zero")


def test_the_table_has_brains_and_warnings_where_records_do():
    records = [
        record | {"brain_ml": volume, "warnings": texts}
        for record, volume, texts in zip(
            RECORDS,
            [1000.0, 1200.0, 1300.0] * 2,
            [["is dark"], [], ["is flat", "is flat"]] * 2,
            strict=True,
        )
    ]
    evaluation = Evaluation(records)
    table, below = evaluation.table().split("\n\n")
    assert table == f"{TABLE}\nbrain (ml)     1000    1250    1125 +- 125"
    assert below.splitlines()[1:] == ["sub-01: is dark", "sub-02: is flat"]
    assert evaluation.to_dict()["volumes"] == records


def test_records_of_one_subject_for_one_model_or_none_at_all():
    table = Evaluation([RECORDS[0], RECORDS[4]]).table().split("\n\n")[0]
    rows = [re.split("  +", line)[1:4] for line in table.splitlines()[1:]]
    assert rows == [["10.00", "-", "10.00"], ["-", "1.25", "1.25"]]
    assert Evaluation([]).table().startswith("SNR (dB)")
    assert Evaluation([]).to_dict()["volumes"] == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("the brain has 1200 ml", "1: the brain has 1200 ml"),
        ("the mask: ends 1 mm off", "1: the mask: ends 1 mm off"),
        ("/data/sub-1_T1w.nii: is dark", "/data/sub-1_T1w.nii: is dark"),
        ("sources[0] (sub-1_T1w.nii) is dark", "sources[0] (sub-1_T1w.nii) is dark"),
        ("/data/sub-11_T1w.nii: is dark", "1: /data/sub-11_T1w.nii: is dark"),
    ],
)
def test_each_warning_names_its_subject(text, told):
    evaluation = Evaluation([_record("LSDN", "1", 10.0, warnings=[text])])
    assert evaluation.table().splitlines()[-1] == told


def test_warning_of_poor_scores_needs_no_list_and_adds_once():
    names = [f"sub-{i}" for i in range(4)]
    records = [_record("LSDN", name, 10.0, r2=0.9) for name in names]
    records[1]["r2"] = -0.5
    evaluation = Evaluation(records)
    for _ in range(2):
        with pytest.warns(PairWarning, match="sub-1: predicted no better"):
            evaluation.warn()
    assert [len(record.get("warnings", [])) for record in records] == [0, 1, 0, 0]


def test_what_json_has_no_number_for_is_null():
    scores = dict(snr=np.inf, psnr=np.nan)
    evaluation = Evaluation([_record("a", s, **scores) for s in ("sub-1", "sub-2")])
    content = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert [each["snr"] for each in content["volumes"]] == [None, None]
    assert content["summary"]["a"]["snr_mean"] is None
    assert content["summary"]["a"]["r2_mean"] == 0.5
    assert "inf +- nan" in evaluation.table()


def test_to_dict_is_json_with_every_volume():
    evaluation = Evaluation(RECORDS)
    content = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert content["unit"] == "dB"
    assert content["volumes"] == RECORDS
    assert content["summary"] == evaluation.summary()


def test_a_real_evaluation_becomes_json(paths):
    evaluation = leave_one_subject_out({"a": _linear()}, *paths, LABELS)
    content = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert len(content["volumes"]) == 4

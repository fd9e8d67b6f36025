"""Scores that count from the scan's own zero, and one that does not; and whom no
score excuses.
"""

import json
import re

import nibabel as nib
import numpy as np
import pytest
from small_volumes import AFFINE, make_contrasts, small

from sklearn_lsdn._commands.main import main
from sklearn_lsdn.exceptions import PairWarning
from sklearn_lsdn.jobs import Evaluation, leave_one_subject_out

SUBJECTS = ["sub-01", "sub-02", "sub-03", "sub-04", "sub-05"]
QUICK = "--model vdn --hidden 20 5 --max-iter 10 --n-voxels 600 --seed 0 -q -j 1"


def save_cohort(folder, change=lambda scan: scan):
    """Sources of five subjects, and targets that follow them, changed in the brain."""
    folder.mkdir()
    for seed, subject in enumerate(SUBJECTS):
        source, *_ = make_contrasts(seed)
        target = np.zeros_like(source)
        target[source > 0] = change(source.max() * 1.5 - source[source > 0])
        for kind, scan in (("T1w", source), ("T2w", target)):
            nib.save(nib.Nifti1Image(scan, AFFINE), folder / f"{subject}_{kind}.nii")
    return ([str(p) for p in sorted(folder.glob(f"*_{k}.nii"))] for k in ("T1w", "T2w"))


def evaluate(folder, sources, targets):
    """What `lsdn evaluate` says in JSON and report."""
    options = ["--json", folder / "a.json", "--report", folder / "a.html"]
    images = ["--source", *sources, "--target", *targets]
    assert main([*map(str, ["evaluate", *images, *options]), *QUICK.split()]) == 0
    return json.loads((folder / "a.json").read_text()), (folder / "a.html").read_text()


def test_z_scores_lose_snr_of_the_same_synthesis_and_keep_r2(tmp_path, capsys):
    said = {}
    for name, change in (
        ("scans", lambda scan: scan),
        ("z-scores", lambda scan: (scan - scan.mean()) / scan.std()),
    ):
        images = save_cohort(tmp_path / name, change)
        content, page = evaluate(tmp_path / name, *images)
        said[name] = content, capsys.readouterr().out, page
    for i in range(len(SUBJECTS)):
        scan, z = (said[name][0]["volumes"][i] for name in said)
        assert scan["snr"] - z["snr"] > 8
        assert scan["r2"] == pytest.approx(z["r2"], abs=1e-3)
        assert scan["r2"] > 0.5
        # Of z-scores, SNR is the share of variance that is not explained, in dB.
        assert z["snr"] == pytest.approx(-10 * np.log10(1 - z["r2"]), abs=1e-3)
    for content, table, page in said.values():
        (summary,) = content["summary"].values()
        assert re.search(r"PSNR \(dB\) +R2 ", table)
        assert f" {summary['r2_mean']:.3f} " in table
        assert f"<td>{summary['r2_mean']:.3f} ± {summary['r2_sd']:.3f}</td>" in page
        for text in (table, page.replace("&#39;", "'")):
            assert "SNR counts from the scan's own zero; R2 does not" in text
    # Subjects that belong together are not doubted.
    assert all(volume["warnings"] == [] for volume in said["scans"][0]["volumes"])


@pytest.mark.filterwarnings("always::sklearn_lsdn.exceptions.PairWarning")
def test_a_subject_that_is_predicted_as_by_the_mean_is_named(tmp_path, capsys):
    sources, targets = save_cohort(tmp_path / "pairs")
    stranger, *_ = make_contrasts(seed=17)
    nib.save(nib.Nifti1Image(stranger, AFFINE), targets[2])
    content, page = evaluate(tmp_path, sources, targets)
    told = [volume["warnings"] for volume in content["volumes"]]
    assert [len(texts) for texts in told] == [0, 0, 1, 0, 0]
    (text,) = told[2]
    assert text.startswith("sub-03: predicted no better than by the mean, while")
    out, err = capsys.readouterr()
    *others, last = err.splitlines()
    assert last == f"Warning: {text}"
    assert len(others) == 2  # what was seen of the pair, and in training with it
    assert all("sub-03_T1w.nii" in line for line in others)
    assert out.endswith(f"\n{text}\n")
    assert f"<strong>sub-03</strong>, VDN 20-5: {text}" in page

    with pytest.warns(PairWarning) as caught:
        leave_one_subject_out({"VDN": small()}, sources, targets, SUBJECTS)
    assert {w.filename for w in caught} == {__file__}
    *others, last = [str(w.message) for w in caught]
    assert last == text
    assert all("sub-03_T1w.nii" in line for line in others)


@pytest.mark.parametrize(
    ("scores", "named"),
    [
        ([0.9, 0.8, -0.05], ["c"]),
        ([0.9, 0.8, -2.0], ["c"]),
        ([0.9, 0.8, 0.05], []),  # poor, and yet more than the mean
        ([0.2, 0.1, -0.05], []),  # nobody is learned
        ([0.05, 0.02, -0.1], []),
    ],
)
def test_who_is_doubted(scores, named):
    records = [
        {"model": "LSDN", "subject": subject, "r2": r2}
        for subject, r2 in zip("abc", scores, strict=True)
    ]
    doubts = Evaluation(records).doubts()
    assert [records[i]["subject"] for i, _ in doubts] == named
    assert all(
        str(doubt).startswith(subject)
        for (_, doubt), subject in zip(doubts, named, strict=True)
    )


def test_each_method_is_judged_by_itself():
    records = [
        {"model": model, "subject": subject, "r2": r2}
        for model, scores in (("LSDN", [0.9, 0.9, -0.1]), ("mean", [0.0, -0.1, 0.0]))
        for subject, r2 in zip("abc", scores, strict=True)
    ]
    assert [i for i, _ in Evaluation(records).doubts()] == [2]


def test_sessions_of_one_subject_do_not_vouch_for_each_other():
    records = [
        {"model": "LSDN", "subject": subject, "r2": r2}
        for subject, r2 in (("a", 0.9), ("a", -0.1), ("b", 0.9))
    ]
    assert [i for i, _ in Evaluation(records).doubts()] == [1]

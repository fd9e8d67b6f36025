"""Scores on a page and in its methods: those of the synthesizer, by contrast."""

import re

import nibabel as nib
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from small_reports import Page, fitted, report, saved

from sklearn_lsdn import (
    VolumeSynthesizer,
    psnr_score,
    snr_score,
    ssim_score,
)
from sklearn_lsdn._commands.main import main
from sklearn_lsdn.datasets import make_brain_cohort

pytest.importorskip("jinja2")
pytest.importorskip("skimage")
pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def cohort():
    return make_brain_cohort(4, ("T1w", "T2w", "FLAIR"), voxel_size=8, random_state=0)


@pytest.fixture(scope="module")
def synthesizer(cohort):
    return fitted(cohort)


def test_scores_are_those_of_the_synthesizer(cohort, synthesizer, tmp_path):
    t1w, t2w = cohort.images["T1w"][2:], cohort.images["T2w"][2:]
    names = ["Ann", "Bob"]
    page = report(
        synthesizer, t1w, t2w, path=tmp_path / "a.html", subjects=names, title="A & B"
    )
    assert page.title == page.headings[0] == "A & B"
    header, *rows = page.rows[:4]
    assert header == ["subject", "SNR (dB)", "PSNR (dB)", "SSIM", "R2"]
    snr = synthesizer.score_volumes(t1w, t2w)[:, 0]
    psnr = synthesizer.score_volumes(t1w, t2w, metric=psnr_score)[:, 0]
    r2 = synthesizer.score_volumes(t1w, t2w, metric=r2_score)[:, 0]
    ssim = []
    for source, scan in zip(t1w, t2w, strict=True):
        (image,) = synthesizer.predict([source], scale_to=[scan])
        synthesis, truth = image.get_fdata(), scan.get_fdata()
        ssim.append(ssim_score(truth, synthesis, mask=truth != 0))
    for row, name, *scores in zip(rows[:2], names, snr, psnr, ssim, r2, strict=True):
        assert row == [name, *"{:.2f} {:.2f} {:.3f} {:.3f}".format(*scores).split()]
    assert rows[2][:2] == ["mean ± sd", f"{snr.mean():.2f} ± {snr.std():.2f}"]
    assert len(page.images) == 2 * 4 + 2  # of two subjects; losses, nodes
    assert page.warnings == []


def test_means_are_of_a_contrast_and_known_by_no_name_of_a_subject(cohort, tmp_path):
    t1w, t2w, flair = (
        [saved(tmp_path / f"sub-{i}_{contrast}.nii", image) for i, image in where]
        for contrast, images in cohort.images.items()
        for where in [enumerate(images[:3])]
    )
    pairs = [list(each) for each in zip(t2w, flair, strict=True)]
    both = VolumeSynthesizer(LinearRegression(), n_voxels=800, random_state=0)
    both.fit(t1w, pairs)
    names = ["meaning", "mean ± sd", "Ann"]
    page = report(both, t1w, pairs, path=tmp_path / "a.html", subjects=names)
    header, *rows = page.rows[:9]
    assert header[:3] == ["contrast", "subject", "SNR (dB)"]
    shown = [["T2w", name] for name in (*names, "mean ± sd")]
    assert [row[:2] for row in rows] == shown + [["FLAIR", name] for _, name in shown]
    scores = [
        both.score_volumes(t1w, pairs, metric=metric)
        for metric in (snr_score, psnr_score, r2_score)
    ]
    methods = re.search('class="methods">(.*?)</p>', page.html)[1]
    assert methods.count("(mean ± standard deviation of 3 subjects)") == 2
    assert methods.startswith("T2w and FLAIR were synthesised from T1w for 3 subjects.")
    for i, contrast in enumerate(("T2w", "FLAIR")):
        snr, psnr, r2 = (
            f"{each[:, i].mean():.{digits}f} ± {each[:, i].std():.{digits}f}"
            for each, digits in zip(scores, (2, 2, 3), strict=True)
        )
        ssim = rows[4 * i + 3][4]
        means = f"SNR {snr} dB, PSNR {psnr} dB, SSIM {ssim}, R2 {r2} (mean ±"
        assert f"{contrast}: {means}" in methods
        assert rows[4 * i + 3][2:] == [snr, psnr, ssim, r2]


def test_evaluate_writes_what_it_prints(cohort, tmp_path, capsys):
    files = {}
    for contrast in ("T1w", "T2w"):
        files[contrast] = [str(tmp_path / f"sub-{i}_{contrast}.nii") for i in range(3)]
        for image, name in zip(cohort.images[contrast], files[contrast], strict=False):
            nib.save(image, name)
    path = tmp_path / "page.html"
    command = ["evaluate", "--source", *files["T1w"], "--target", *files["T2w"]]
    command += ["--model", "lsdn", "vdn", "--hidden-layer-sizes", "12", "4", "-q"]
    command += ["--max-iter", "2", "--n-voxels", "300", "--report", str(path)]
    assert main(command) == 0
    _, *lines = capsys.readouterr().out.partition("\n\n")[0].splitlines()
    page = Page(path)
    page.check_self_contained()
    # Of three subjects both scans, and of two methods syntheses and errors.
    assert len(page.images) == 3 * (2 + 2 * 2) + 2 + 1
    assert len(page.mosaics) == len(page.views) == 3 * 2
    assert len(list(page.pictures())) == len(page.images) + len(page.mosaics)
    assert page.facts["command"].startswith("lsdn evaluate --source")
    assert "trained on all others" in page.html
    assert lines.pop().startswith("brain (ml) ")
    for line in lines:
        model, *cells = re.split(r"  +", line)
        rows = [row for row in page.rows if row[0] == model]
        assert [row[1] for row in rows] == ["sub-0", "sub-1", "sub-2", "mean ± sd"]
        assert [row[2] for row in rows[:3]] == cells[:3]
        assert rows[3][2] == cells[3].replace("+-", "±")
    assert main(command) == 1
    assert "exists already" in capsys.readouterr().err

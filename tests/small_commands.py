"""Command lines of `lsdn` on three small subjects, and how they end."""

from pathlib import Path

import nibabel as nib
import pytest

from sklearn_lsdn import VolumeSynthesizer
from sklearn_lsdn._commands.main import main
from sklearn_lsdn.datasets import make_brain_cohort
from sklearn_lsdn.jobs import _demo as demo

SUBJECTS = ["sub-01", "sub-02", "sub-03"]
BRIEF = ["--max-iter", "2", "--n-voxels", "500"]
SMALL = [*BRIEF, "--hidden-layer-sizes", "20", "8"]


def save_subjects(folder):
    """Save three subjects in three contrasts, and a mask of the left half."""
    contrasts = ("T1w", "T2w", "FLAIR")
    cohort = make_brain_cohort(3, contrasts, voxel_size=8, random_state=0)
    for contrast, images in cohort.images.items():
        for subject, image in zip(cohort.subjects, images, strict=True):
            nib.save(image, folder / f"{subject}_{contrast}.nii.gz")
    left = cohort.masks[0].get_fdata()
    left[left.shape[0] // 2 :] = 0
    nib.save(nib.Nifti1Image(left, image.affine), folder / "left.nii.gz")


def run(*argv):
    return main([str(argument) for argument in argv])


def files_of(data, contrast="T1w", subjects=SUBJECTS):
    return [data / f"{subject}_{contrast}.nii.gz" for subject in subjects]


def training(data, subjects=SUBJECTS[:2]):
    """Arguments for the training images, on one core."""
    sources, targets = (files_of(data, c, subjects) for c in ("T1w", "T2w"))
    return ["--source", *sources, "--target", *targets, "-j", "1"]


def contents(folder):
    """Every file under a folder with what it holds."""
    return {p: p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}


def refused(capsys, command, *argv):
    """Run what must fail with one sentence, and return that sentence."""
    capsys.readouterr()
    assert run(command, *argv) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    return err[err.index(f"lsdn {command}: error: ") :]


def misused(capsys, *argv):
    """Run what argparse must refuse, and return what it says."""
    with pytest.raises(SystemExit) as stop:
        run(*argv)
    out, err = capsys.readouterr()
    assert stop.value.code == 2
    assert out == ""
    assert "usage: lsdn" in err
    return err


def must_not_be_reached(*args, **kwargs):
    pytest.fail("work began before the output was checked")


def tasks(data, model, folder):
    """A command line for each command that works on data."""
    return {
        "fit": ["fit", *training(data), *SMALL, "-o", folder / "fit.skops"],
        "predict": ["predict", model, *files_of(data), "-o", folder / "out"],
        "evaluate": ["evaluate", *training(data), *SMALL],
        "shrink": [
            "shrink",
            model,
            *training(data),
            *("--n-voxels", "300", "--keep", "0.5", "-o", folder / "small.skops"),
        ],
    }


WORK = {
    "fit": (VolumeSynthesizer, "fit"),
    "predict": (VolumeSynthesizer, "synthesize"),
    "evaluate": (VolumeSynthesizer, "fit"),
    "shrink": (VolumeSynthesizer, "shrink"),
    "demo": (demo, "make_brain_cohort"),
}
"""Where the work of each command begins."""

"""The whole way of docs/pipeline.md, by its own commands, on small volumes."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conftest import REPOSITORY
from scipy.ndimage import binary_dilation
from scipy.spatial.transform import Rotation
from small_fmriprep import describe, save

from sklearn_lsdn._commands.main import main
from sklearn_lsdn.datasets import make_brain_cohort
from sklearn_lsdn.volumes._registration import AffineTransform, resample

pytest.importorskip("SimpleITK", reason="registration needs SimpleITK")
pytest.importorskip("ancpbids", reason="BIDS datasets need ancpbids")
pytest.importorskip("jinja2", reason="the report needs jinja2")

PAGE = (REPOSITORY / "docs" / "pipeline.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    lsdn (.+)$", re.sub(r" \\\n +", " ", PAGE), re.MULTILINE)
SUBJECTS = ("sub-01", "sub-02", "sub-03")
SMALL = ["--n-voxels", "3000", "--hidden-layer-sizes", "30", "8", "--max-iter", "15"]
MORE = {"evaluate": [*SMALL, "--jobs", "1"], "fit": SMALL}
VALIDATOR = shutil.which("bids-validator-deno", path=Path(sys.executable).parent)


def _head(cohort, contrast, i):
    """A scan with a skull, and room around it."""
    brain = np.pad(cohort.masks[i].get_fdata() > 0, 6)
    skull = binary_dilation(brain, iterations=2) & ~binary_dilation(brain)
    data = np.pad(cohort.images[contrast][i].get_fdata(), 6)
    affine = cohort.masks[i].affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ [6, 6, 6]
    data = np.float32(data + 1.5 * data.max() * skull)
    return nib.Nifti1Image(data, affine), nib.Nifti1Image(np.float32(brain), affine)


def _moved(rng):
    matrix, angles = np.eye(4), rng.uniform(-8, 8, 3)
    matrix[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    matrix[:3, 3] = rng.uniform(-8, 8, 3)
    return AffineTransform(matrix)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Raw data out of alignment, in which sub-03 lacks T2w; run the commands.

    The T2w that it lacks lies beside it, on the grid of its T1w.
    """
    folder = tmp_path_factory.mktemp("study")
    cohort = make_brain_cohort(3, voxel_size=4, random_state=0)
    rng = np.random.default_rng(0)
    describe(folder / "raw", "Study", DatasetType="raw")
    (folder / "brains").mkdir()
    for i, subject in enumerate(SUBJECTS):
        (t1w, brain), (t2w, _) = (_head(cohort, c, i) for c in ("T1w", "T2w"))
        move, other = _moved(rng), _moved(rng)
        save(resample(t1w, t1w, move), folder / "raw", f"{subject}_T1w")
        brain = resample(brain, t1w, move, interpolation="linear")
        brain = nib.Nifti1Image(np.uint8(brain.get_fdata() > 0.5), t1w.affine)
        nib.save(brain, folder / "brains" / f"{subject}_T1w_bet.nii.gz")
        if subject != "sub-03":
            save(resample(t2w, t2w, other), folder / "raw", f"{subject}_T2w")
    nib.save(resample(t2w, t1w, move), folder / "sub-03_T2w.nii.gz")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in COMMANDS:
            words = shlex.split(command)
            assert main([*words, *MORE.get(words[0], [])]) == 0
    return folder


def test_the_page_names_what_comes_out(folder):
    written = re.findall(r"^    (raw/derivatives/\S+)$", PAGE, re.MULTILINE)
    assert len(written) == 3
    for name in written:
        assert (folder / name).is_file()
    assert [command.split()[0] for command in COMMANDS] == [
        "evaluate",
        "fit",
        "predict",
    ]
    assert "sub-02" in (folder / "evaluation.html").read_text()


def test_the_missing_scan_is_synthesised_on_the_grid_of_its_t1w(folder):
    anat = Path("sub-03", "anat")
    source = nib.load(folder / "raw" / anat / "sub-03_T1w.nii.gz")
    synthesis = nib.load(
        folder / "raw" / "derivatives" / "lsdn" / anat / "sub-03_desc-synth_T2w.nii.gz"
    )
    assert synthesis.shape == source.shape
    assert np.allclose(synthesis.affine, source.affine)
    brain = nib.load(folder / "brains" / "sub-03_T1w_bet.nii.gz").get_fdata() > 0
    scan = nib.load(folder / "sub-03_T2w.nii.gz")
    scan, source, synthesis = (
        image.get_fdata()[brain] for image in (scan, source, synthesis)
    )
    likeness = np.corrcoef([scan, synthesis, source])[0]
    assert likeness[1] > max(0.7, abs(likeness[2]))


@pytest.mark.skipif(VALIDATOR is None, reason="bids-validator-deno is not installed")
@pytest.mark.parametrize("name", [".", "derivatives/lsdn"])
def test_datasets_are_valid(folder, name):
    command = [VALIDATOR, str(folder / "raw" / name), "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300)
    issues = json.loads(ran.stdout)["issues"]["issues"]
    assert [each for each in issues if each["severity"] == "error"] == []

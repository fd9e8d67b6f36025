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
from scipy.spatial.transform import Rotation

from sklearn_lsdn._commands.main import main
from sklearn_lsdn.datasets import make_brain_cohort
from sklearn_lsdn.volumes._registration import AffineTransform, register_rigid, resample

pytest.importorskip("SimpleITK", reason="registration needs SimpleITK")
pytest.importorskip("ancpbids", reason="BIDS datasets need ancpbids")
pytest.importorskip("jinja2", reason="the report needs jinja2")

PAGE = (REPOSITORY / "docs" / "pipeline.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    lsdn (.+)$", PAGE, re.MULTILINE)
SUBJECTS = ("sub-01", "sub-02", "sub-03")
SMALL = ["--n-voxels", "3000", "--hidden-layer-sizes", "30", "8", "--max-iter", "15"]
MORE = {"register": ["--reference", "reference.nii.gz"], "evaluate": SMALL}
MORE["fit"] = SMALL
VALIDATOR = shutil.which("bids-validator-deno", path=Path(sys.executable).parent)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A raw dataset out of alignment, in which sub-03 lacks T2w; run the commands."""
    folder = tmp_path_factory.mktemp("study")
    cohort = make_brain_cohort(4, voxel_size=4, random_state=0).images
    nib.save(cohort["T1w"][3], folder / "reference.nii.gz")
    rng = np.random.default_rng(0)
    for i, subject in enumerate(SUBJECTS):
        for contrast in ("T1w", "T2w"):
            image = cohort[contrast][i]
            nib.save(image, folder / f"{subject}_{contrast}.nii.gz")
            turn = Rotation.from_euler("xyz", rng.uniform(-6, 6, 3), degrees=True)
            matrix = np.eye(4)
            matrix[:3, :3], matrix[:3, 3] = turn.as_matrix(), rng.uniform(-8, 8, 3)
            moved = resample(image, image, AffineTransform(matrix))
            path = folder / "raw" / subject / "anat" / f"{subject}_{contrast}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            if (subject, contrast) != ("sub-03", "T2w"):
                nib.save(moved, path)
    about = {"Name": "Study", "BIDSVersion": "1.10.0", "DatasetType": "raw"}
    (folder / "raw" / "dataset_description.json").write_text(json.dumps(about))
    (folder / "raw" / "README").write_text("Simulated brains, turned and shifted.\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in COMMANDS:
            words = shlex.split(command)
            assert main([*words, *MORE.get(words[0], [])]) == 0
    return folder


def test_the_page_names_what_comes_out(folder):
    space = {"MNI152NLin2009aSym": "reference"}
    written = re.findall(r"^    (raw/derivatives/\S+)$", PAGE, re.MULTILINE)
    assert len(written) == 3
    for name in written:
        for old, new in space.items():
            assert (folder / name.replace(old, new)).is_file()
    assert [command.split()[0] for command in COMMANDS] == [
        "register",
        "evaluate",
        "fit",
        "predict",
    ]
    assert "sub-02" in (folder / "evaluation.html").read_text()


def test_the_missing_scan_is_synthesised(folder):
    """Against the scan that nobody saw, brought to where the T1w went."""
    derivatives = folder / "raw" / "derivatives"
    stem = "sub-03_space-reference_desc"
    anat = derivatives / "registered" / "sub-03" / "anat"
    source = nib.load(anat / f"{stem}-reg_T1w.nii.gz")
    path = derivatives / "lsdn" / "sub-03" / "anat" / f"{stem}-synth_T2w.nii.gz"
    synthesis = nib.load(path)
    assert synthesis.shape == source.shape
    assert np.allclose(synthesis.affine, source.affine)
    scan, t1w = (nib.load(folder / f"sub-03_{c}.nii.gz") for c in ("T2w", "T1w"))
    _, transform = register_rigid(t1w, source)
    scan, source, synthesis = (
        image.get_fdata()
        for image in (resample(scan, source, transform), source, synthesis)
    )
    brain = (scan != 0) & (synthesis != 0)
    likeness = np.corrcoef([scan[brain], synthesis[brain], source[brain]])[0]
    assert likeness[1] > max(0.8, abs(likeness[2]))


@pytest.mark.skipif(VALIDATOR is None, reason="bids-validator-deno is not installed")
@pytest.mark.parametrize("name", [".", "derivatives/registered", "derivatives/lsdn"])
def test_datasets_are_valid(folder, name):
    command = [VALIDATOR, str(folder / "raw" / name), "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300)
    issues = json.loads(ran.stdout)["issues"]["issues"]
    assert [each for each in issues if each["severity"] == "error"] == []

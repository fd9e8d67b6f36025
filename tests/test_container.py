"""The container's recipe, and what it runs; .ci/container takes its steps."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY
from small_commands import contents, misused, refused, run
from small_fmriprep import make_raw

pytest.importorskip("ancpbids", reason="BIDS datasets need ancpbids")

RECIPE = REPOSITORY / "container" / "Dockerfile"
PAGE = REPOSITORY / "docs" / "container.md"
LINTER = shutil.which("hadolint", path=Path(sys.executable).parent)
SMALL = ["--max-iter", "2", "--n-voxels", "500", "--hidden-layer-sizes", "20", "8"]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Raw data, masks beside them, and a model."""
    folder = tmp_path_factory.mktemp("study")
    make_raw(folder)
    names = ["--source", "T1w", "--target", "T2w", "--mask", folder / "brains"]
    model = folder / "model.skops"
    assert run("fit", folder / "raw", *names, *SMALL, "-q", "-o", model) == 0
    return folder


def _app(study, out, *more):
    return [
        *("bids-app", study / "raw", out, "participant"),
        *("--model", study / "model.skops", "--mask", study / "brains", *more),
    ]


def test_the_app_does_what_predict_does(study, tmp_path, capsys):
    app, predicted = tmp_path / "app", tmp_path / "predicted"
    assert run(*_app(study, app, "--skip-bids-validator")) == 0
    brains = ["--mask", study / "brains"]
    model = study / "model.skops"
    assert run("predict", model, study / "raw", *brains, "-o", predicted) == 0
    ours, theirs = contents(app), contents(predicted)
    assert {p.relative_to(app) for p in ours} == {
        p.relative_to(predicted) for p in theirs
    }
    for path, content in ours.items():
        if path.name.endswith(".nii.gz"):
            assert content == theirs[predicted / path.relative_to(app)]


def test_participants_are_predicted_one_after_the_other(study, tmp_path):
    for labels in (["03"], ["sub-01", "02"]):
        assert run(*_app(study, tmp_path, "--participant_label", *labels)) == 0
    assert len(list(tmp_path.rglob("*_desc-synth_T2w.nii.gz"))) == 3
    (sidecar,) = tmp_path.rglob("sub-03*.json")
    command = json.loads(sidecar.read_text())["Command"]
    assert command.startswith("lsdn bids-app ")
    assert command.endswith(" --participant_label 03")


def test_what_the_app_refuses(study, tmp_path, capsys):
    model = ["--model", study / "model.skops"]
    error = misused(capsys, "bids-app", study / "raw", tmp_path, "group", *model)
    assert "each subject is predicted by itself: give participant" in error
    task = ["bids-app", study / "missing", tmp_path, "participant", *model]
    assert "missing is not the folder of a dataset" in refused(capsys, *task)
    error = refused(capsys, *_app(study, tmp_path, "--participant-label", "7"))
    assert "raw has no images of sub-7." in error


def _instructions():
    text = re.sub(r"^#.*\n", "", RECIPE.read_text(), flags=re.MULTILINE)
    return [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]


def test_the_recipe_runs_what_is_tested_and_not_as_root():
    found = dict(each for each in _instructions() if len(each) == 2)
    assert json.loads(found["ENTRYPOINT"]) == ["lsdn", "bids-app"]
    assert found["USER"].split(":")[0] not in ("0", "root")
    assert found["COPY"] == "sklearn_lsdn-*.whl /wheels/"
    assert "NUMBA_CACHE_DIR=/cache/" in found["ENV"]


@pytest.mark.skipif(LINTER is None, reason="hadolint is not installed")
def test_the_recipe_is_clean():
    ran = subprocess.run([LINTER, str(RECIPE)], capture_output=True, text=True)
    assert ran.stdout == ""
    assert ran.returncode == 0

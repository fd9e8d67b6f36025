"""The README: its code runs and its commands parse."""

import re
import shlex
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from sklearn_lsdn._commands.main import _parser
from sklearn_lsdn.datasets import make_brain_cohort

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def _command_lines():
    """Arguments of every `lsdn` command line: indented, in a block or in the text."""
    indented = re.findall(r"^    lsdn (.+)$", README, re.MULTILINE)
    chained = re.findall(r"[\w./]*/lsdn (.+)$", "\n".join(_blocks("bash")), re.M)
    inline = re.findall(r"`lsdn ([a-z]+ [^`]*)`", README)
    return [*indented, *chained, *inline]


def test_two_blocks_of_one_command_line_each():
    install, test = (block.strip() for block in _blocks("bash"))
    for line in (install, test):
        assert "\n" not in line
        assert "\\" not in line
        assert line.startswith("python3 -m venv ")
    assert install.endswith("/lsdn demo")
    assert test.endswith("-m pytest")
    assert README.count("```") == 2 * len(_blocks("bash") + _blocks("python"))


def test_both_lines_use_the_environment_that_they_make():
    for block in _blocks("bash"):
        make, *rest = block.strip().split(" && ")
        environment = make.split()[-1]
        assert len(rest) == 2
        assert all(part.startswith(f"{environment}/bin/") for part in rest)


@pytest.fixture
def cohort(tmp_path, monkeypatch):
    """Names that the README's Python code takes for granted, and their files."""
    monkeypatch.chdir(tmp_path)
    cohort = make_brain_cohort(2, voxel_size=8, random_state=0)
    paths = {}
    for contrast, images in cohort.images.items():
        names = [f"{name}_{contrast}.nii.gz" for name in cohort.subjects]
        for name, image in zip(names, images, strict=True):
            nib.save(image, name)
        paths[f"{contrast.lower()}_paths"] = names
    nib.save(cohort.images["T1w"][0], "sub-09_T1w.nii.gz")
    return paths | {"subjects": cohort.subjects}


@pytest.fixture
def table():
    """Features and coordinates of three subjects, for the block on plain arrays."""
    X = np.random.RandomState(0).uniform(-1, 1, (300, 7))
    return {"X": X, "y": X[:, 0] * X[:, 6], "subjects": np.repeat([1, 2, 3], 100)}


def test_python_code_runs(cohort, table, tmp_path):
    volumes, arrays = _blocks("python")
    namespace = cohort
    exec(volumes, namespace)
    scores = namespace["scores"]["test_score"]
    assert scores.shape == (2,)
    assert (scores > 10).all()
    assert namespace["image"].shape == nib.load("sub-09_T1w.nii.gz").shape
    assert (tmp_path / "t2w.skops").is_file()
    namespace |= table
    exec(arrays, namespace)
    assert namespace["search"].best_score_ > 0


@pytest.mark.parametrize("line", _command_lines())
def test_command_lines_parse(line):
    arguments = _parser().parse_args(shlex.split(line))
    assert arguments.command == line.split()[0]


def test_every_kind_of_command_line_was_found():
    commands = {line.split()[0] for line in _command_lines()}
    assert commands >= {"fit", "predict", "evaluate", "info", "demo"}


@pytest.mark.parametrize("command", re.findall(r"`lsdn ([a-z]+)`", README))
def test_commands_mentioned_exist(command):
    with pytest.raises(SystemExit) as stop:
        _parser().parse_args([command, "--help"])
    assert stop.value.code == 0

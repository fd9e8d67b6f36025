"""Every example of the gallery runs, by itself, and draws labelled pictures.

On larger voxels and with fewer epochs: it is whole where the documentation is built.
"""

import ast
import functools
import os
import re
import runpy
import sys

import pytest
from conftest import REPOSITORY

from sklearn_lsdn import datasets

plt = pytest.importorskip("matplotlib.pyplot", reason="examples draw with matplotlib")
pytest.importorskip("nilearn", reason="simulated cohorts need nilearn's template")

EXAMPLES = sorted((REPOSITORY / "examples").glob("plot_*.py"))
ALLOWED = {"matplotlib", "nibabel", "numpy", "scipy", "sklearn", "sklearn_lsdn"}
ALLOWED |= {"dask", "joblib", "onnxruntime", "skl2onnx"}  # or it says what is missing
ALLOWED |= sys.stdlib_module_names
BRIEF = {
    r"\bvoxel_size=\d": "voxel_size=8",
    r"\bn_voxels=[\d_]+": "n_voxels=400",
    r"\b(max_iter|n_iter_no_change)=100\b": r"\1=3",
}


@pytest.fixture(scope="module", autouse=True)
def _one_simulation():
    """Simulate each cohort once for all examples."""
    with pytest.MonkeyPatch.context() as patch:
        simulated = functools.cache(datasets.make_brain_cohort)
        patch.setattr(datasets, "make_brain_cohort", simulated)
        yield


@pytest.fixture(autouse=True)
def _no_windows():
    plt.switch_backend("Agg")
    plt.close("all")
    yield
    plt.close("all")


def _unlabelled(figure):
    """Axes with ticks that nothing explains, neither they nor a neighbour of theirs."""
    figure.draw_without_rendering()
    for ax in figure.findobj(plt.Axes):
        for axis in (ax.xaxis, ax.yaxis) if ax.axison else ():
            shown = [
                t for t in axis.get_ticklabels() if t.get_visible() and t.get_text()
            ]
            if shown and not axis.label.get_text():
                yield ax, axis.axis_name


def test_there_are_examples():
    assert len(EXAMPLES) >= 10


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_documented_and_needs_the_package_alone(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    title, underline, *_ = ast.get_docstring(tree).split("\n")
    assert underline == "=" * len(title)
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(node.module.split(".")[0])
    assert imported <= ALLOWED


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs_and_labels_its_pictures(path, tmp_path, monkeypatch):
    code = path.read_text(encoding="utf-8")
    if "set_callbacks" in code:
        pytest.importorskip("sklearn.callback", reason="it shows callbacks")
    brief = code
    for pattern, replacement in BRIEF.items():
        brief = re.sub(pattern, replacement, brief)
    assert brief != code
    script = tmp_path / path.name
    script.write_text(brief, encoding="utf-8")
    if "LSDN_DATA" in code and "LSDN_DATA" not in os.environ:
        pytest.skip("it draws nothing without the scans that LSDN_DATA has")
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", [str(script)])
    runpy.run_path(str(script), run_name="__main__")
    figures = [plt.figure(number) for number in plt.get_fignums()]
    assert figures
    for figure in figures:
        assert list(_unlabelled(figure)) == []
    assert list(folder.iterdir()) == []  # an example leaves nothing behind


def test_an_example_without_its_scans_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LSDN_DATA", str(tmp_path))
    runpy.run_path(str(REPOSITORY / "examples" / "plot_real_scans.py"))
    assert "open MS scans are not here" in capsys.readouterr().out
    assert plt.get_fignums() == []

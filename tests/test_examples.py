"""Every example of the gallery runs, by itself, and draws labelled pictures."""

import ast
import runpy
import sys

import pytest
from conftest import REPOSITORY

plt = pytest.importorskip("matplotlib.pyplot", reason="examples draw with matplotlib")
pytest.importorskip("nilearn", reason="simulated cohorts need nilearn's template")

EXAMPLES = sorted((REPOSITORY / "examples").glob("plot_*.py"))
ALLOWED = {"matplotlib", "numpy", "sklearn", "sklearn_lsdn"}
ALLOWED |= {"onnxruntime", "skl2onnx"}  # which an example can do without


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
    assert len(EXAMPLES) >= 3


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
    if "set_callbacks" in path.read_text(encoding="utf-8"):
        pytest.importorskip("sklearn.callback", reason="it shows callbacks")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(path)])
    runpy.run_path(str(path), run_name="__main__")
    figures = [plt.figure(number) for number in plt.get_fignums()]
    assert figures
    for figure in figures:
        assert list(_unlabelled(figure)) == []
    assert list(tmp_path.iterdir()) == []  # an example leaves nothing behind

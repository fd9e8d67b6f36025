"""The folder of subjects' pages: as whole as the page, and for no file of others."""

import os
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from sklearn.linear_model import LinearRegression

from sklearn_lsdn import VolumeSynthesizer
from sklearn_lsdn.datasets import make_brain_cohort
from sklearn_lsdn.report import _page
from sklearn_lsdn.report._inspection import inspect_network, inspect_subject
from sklearn_lsdn.report._page import write_page

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")
pytest.importorskip("nilearn")
pytest.importorskip("skimage")


@pytest.fixture(scope="module")
def write():
    """A function that writes a page on two subjects."""
    cohort = make_brain_cohort(2, ("T1w", "T2w"), voxel_size=8, random_state=0)
    t1w, t2w = cohort.images.values()
    synthesizer = VolumeSynthesizer(LinearRegression(), n_voxels=800, random_state=0)
    synthesizer.fit(t1w, t2w)
    seen = [
        inspect_subject(synthesizer, *pair, "") for pair in zip(t1w, t2w, strict=True)
    ]
    networks = [inspect_network(synthesizer)]

    def write(path, subjects=("Ann", "Bob"), **more):
        results = [r | {"subject": s} for r, s in zip(seen, subjects, strict=True)]
        return write_page(path, "Page", results, networks, **more)

    return write


@pytest.fixture
def small_pages(monkeypatch):
    """Whatever is shown is more than a page affords."""
    monkeypatch.setattr(_page, "_AFFORDABLE", 1e4)


STEPS = (os, "rename"), (os, "replace"), (Path, "write_bytes")


def files_in(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def links(path):
    """Pages of subjects that a page has links to, which are there."""
    found = re.findall(r'<h3 id="subject.*?><a href="(.*?)"', path.read_text())
    found = [path.parent / unquote(link) for link in found]
    assert all(link.is_file() for link in found)
    return found


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), OSError(16, "Busy")])
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.usefixtures("small_pages")
def test_what_does_not_come_about_changes_nothing(
    write, tmp_path, monkeypatch, before, fault
):
    """Whichever step is interrupted or fails, on an older report or on none."""
    path = tmp_path / "a.html"
    if before:
        write(path, ["1", "2"])
    there = files_in(tmp_path)
    for n_steps in range(20):
        left = [n_steps]

        def stepped(step, left=left):
            def one(*arguments, **more):
                left[0] -= 1
                if left[0] == -1:
                    raise fault
                return step(*arguments, **more)

            return one

        with monkeypatch.context() as patch:
            for module, name in STEPS:
                patch.setattr(module, name, stepped(getattr(module, name)))
            try:
                write(path, overwrite=True)
                break
            except (KeyboardInterrupt, OSError):
                assert files_in(tmp_path) == there
                assert len([*tmp_path.iterdir()]) == 2 * before
    assert n_steps > 4
    folder = tmp_path / "a_subjects"
    assert sorted(p.name for p in folder.iterdir()) == ["1_Ann.html", "2_Bob.html"]
    assert links(path) == sorted(folder.iterdir())


@pytest.mark.parametrize("small", [False, True])
def test_files_of_others_stay(write, tmp_path, monkeypatch, small):
    path, folder = tmp_path / "f.html", tmp_path / "f_subjects"
    if not small:
        monkeypatch.setattr(_page, "_AFFORDABLE", 1e4)
    folder.mkdir()
    mine = folder / "2024_notes.html"
    mine.write_text("<!doctype html><title>mine</title>")
    with pytest.raises(FileExistsError, match="holds something else"):
        write(path, overwrite=True)
    assert files_in(tmp_path) == {mine: b"<!doctype html><title>mine</title>"}
    mine.unlink()
    write(path)  # an empty folder is in nobody's way
    assert len([*folder.iterdir()]) == (0 if small else 2)


@pytest.mark.usefixtures("small_pages")
def test_any_name_of_a_subject_can_be_a_file(write, tmp_path):
    path, names = tmp_path / "a.html", ["sub/../<1>", "\N{GOTHIC LETTER AHSA}" * 80]
    for overwrite in (False, True):
        write(path, names, overwrite=overwrite)
        assert len(links(path)) == 2

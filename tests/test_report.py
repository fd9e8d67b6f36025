"""The report: one file that holds all it shows, and shows what was computed."""

import re
from urllib.parse import unquote

import nibabel as nib
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from small_reports import SMALL, Page, fitted, nameless, report

from sklearn_lsdn import (
    LSDNRegressor,
    ShrinkConnect,
    VDNRegressor,
    VolumeSynthesizer,
)
from sklearn_lsdn.datasets import make_brain_cohort
from sklearn_lsdn.report import generate_report

pytest.importorskip("jinja2")
pytest.importorskip("skimage")
pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def cohort():
    return make_brain_cohort(4, ("T1w", "T2w", "FLAIR"), voxel_size=8, random_state=0)


@pytest.fixture(scope="module")
def synthesizer(cohort):
    return fitted(cohort)


def test_methods_stand_side_by_side_and_the_worst_comes_first(cohort, tmp_path):
    from sklearn_lsdn.report._inspection import inspect_network, inspect_subject
    from sklearn_lsdn.report._page import write_page

    t1w, t2w = cohort.images["T1w"][2:], cohort.images["T2w"][2:]
    models = {"LSDN": fitted(cohort), "linear": fitted(cohort, LinearRegression())}
    results = [
        inspect_subject(model, source, target, subject, name)
        for name, model in models.items()
        for source, target, subject in zip(t1w, t2w, ("Ann", "Bob"), strict=True)
    ]
    results[0]["scores"][0]["snr"] = 99.0
    networks = [inspect_network(model, None, name) for name, model in models.items()]
    path = tmp_path / "a.html"
    write_page(path, "Both", results, networks, command="lsdn x", worst_first=True)
    page = Page(path)
    assert [h for h in page.headings if h in ("Ann", "Bob")] == ["Bob", "Ann"]
    titles = re.findall("<figcaption>(.*?)</figcaption>", page.html)[:6]
    made = ["synthesis by LSDN", "synthesis by linear"]
    assert titles == ["source", "target", *made, *(f"{name} - target" for name in made)]
    assert page.facts["command"] == "lsdn x"
    assert len(page.facts["fingerprint of LSDN"]) == 32
    assert "Each subject" not in page.html  # none was held back
    for result, place in zip(results, (0, 0, 5, 5), strict=True):
        for picture in result["drawn"][0].pictures:
            if picture.kind == "scan" and place:  # slices that lie elsewhere
                object.__setattr__(picture, "data", picture.data + b"\0")
    write_page(path, "Both", results, networks, overwrite=True)
    roles = re.findall("<figcaption>(.*?)</figcaption>", path.read_text())[:8]
    rows = [["source", "target", name, f"{name} - target"] for name in made]
    assert roles == sum(rows, [])  # each method beside its own slices
    assert page.html.index("<nav>") < page.html.index("Scores</h2>")


def test_subjects_have_pages_where_one_would_be_too_large(
    cohort, tmp_path, monkeypatch
):
    from sklearn_lsdn.report import _page

    given = cohort.images["T1w"][2:], cohort.images["T2w"][2:]
    names = ["Ann", "../Bob <3 50%#?"]
    synthesizer = fitted(cohort, LinearRegression())
    whole = report(synthesizer, *given, path=tmp_path / "a.html", subjects=names)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.html"]
    monkeypatch.setattr(_page, "_AFFORDABLE", len(whole.html) / 20)
    path = tmp_path / "a b%#.html"
    generate_report(synthesizer, *given, path=path, subjects=names)
    folder = tmp_path / "a b%#_subjects"
    three = {"a.html", path.name, folder.name}
    assert {p.name for p in tmp_path.iterdir()} == three
    files = ["1_Ann.html", "2_..-Bob-3-50-.html"]
    assert sorted(p.name for p in folder.iterdir()) == files
    small, pages = Page(path), [Page(folder / file) for file in files]
    assert len(small.html) < len(whole.html) / 3
    assert small.headings == whole.headings
    assert len(small.images) == len(whole.images)
    assert small.mosaics == small.views == []
    linked = [tmp_path / unquote(each) for each in small.links if each[0] == "a"]
    for file in files:
        assert linked.count(folder / file) == 1 + 4  # from its name and its pictures
    for name, page in zip(names, pages, strict=True):
        assert page.title == name
        assert folder / unquote(page.links[0]) == folder / ".." / path.name
        assert page.images == whole.images[:4] or page.images == whole.images[4:8]
        assert set(page.mosaics) < set(whole.mosaics)
        assert len(page.mosaics) == 1
        assert len(page.views) == 1
    shapes = [[p.shape[0] for p in page.pictures()][:8] for page in (whole, small)]
    assert all(few < many for many, few in zip(*shapes, strict=True))

    again = dict(path=path, overwrite=True)
    generate_report(synthesizer, *given, **again, subjects=[1, 2], worst_first=True)
    assert sorted(p.name for p in folder.iterdir()) in (
        ["1_1.html", "2_2.html"],
        ["1_2.html", "2_1.html"],
    )
    path.unlink()
    with pytest.raises(FileExistsError, match="holds pages of an older report"):
        generate_report(synthesizer, *given, path=path)
    mine = folder / "sub-01_T1w.nii"
    mine.write_text("mine")
    with pytest.raises(FileExistsError, match="holds something else"):
        generate_report(synthesizer, *given, **again)
    assert mine.read_text() == "mine"
    mine.unlink()
    monkeypatch.undo()
    generate_report(synthesizer, *given, **again)
    assert {p.name for p in tmp_path.iterdir()} == {path.name, "a.html"}


def test_facts_and_parameters(cohort, synthesizer, tmp_path):
    page = report(synthesizer, cohort.images["T1w"][2:3], path=tmp_path / "a.html")
    network = synthesizer.estimator_
    assert page.facts["layers"] == "57-12-4-1"
    assert page.facts["training loss"] == f"{network.loss_curve_[-1]:.5g}"
    assert page.facts["training images"] == "2"
    assert page.facts["n_voxels"] == "800"
    assert page.facts["estimator__hidden_layer_sizes"] == "(12, 4)"
    assert page.facts["numpy"] == np.__version__
    assert not any("SNR" in cell for row in page.rows for cell in row)


def test_an_ensemble_has_uncertainty(cohort, synthesizer, tmp_path):
    t1w, t2w = cohort.images["T1w"][2:3], cohort.images["T2w"][2:3]
    ensemble = fitted(cohort, n_estimators=2)
    numbers = []
    for each in (synthesizer, ensemble):
        path = tmp_path / f"{each.n_estimators}.html"
        page = report(each, t1w, t2w, path=path)
        numbers.append(len(page.images))
    assert page.facts["members"] == "2"
    assert numbers[1] == numbers[0] + 1
    assert report(ensemble, t1w, path=tmp_path / "b.html").images


def test_shrink_connect_says_what_it_tried(cohort, tmp_path):
    shrunk = fitted(cohort, ShrinkConnect(LSDNRegressor(**SMALL), keep=0.5, max_iter=1))
    page = report(shrunk, cohort.images["T1w"][2:3], path=tmp_path / "a.html")
    assert page.facts["shrunken from"] == "12-4 hidden nodes"
    assert page.facts["layers"] == "57-6-2-1"
    (step,) = shrunk.estimator_.path_
    rows = [row for row in page.rows if len(row) == 5]
    assert rows[0][:2] == ["kept", "hidden nodes"]
    assert rows[1][1:3] == ["6-2", f"{step['loss']:.3g}"]


@pytest.mark.parametrize("network", [VDNRegressor(**SMALL), LinearRegression()])
def test_without_places_or_losses(cohort, network, tmp_path):
    page = report(
        fitted(cohort, network),
        cohort.images["T1w"][2:3],
        cohort.images["T2w"][2:3],
        path=tmp_path / "a.html",
    )
    assert len(page.images) == (5 if isinstance(network, VDNRegressor) else 4)


def test_several_contrasts(cohort, tmp_path):
    t1w, t2w, flair = cohort.images.values()
    pairs = [list(each) for each in zip(t2w, flair, strict=True)]
    network = LSDNRegressor(**SMALL)
    both = VolumeSynthesizer(network, n_voxels=800, random_state=0).fit(
        t1w[:2], pairs[:2]
    )
    page = report(both, t1w[2:3], pairs[2:3], path=tmp_path / "a.html")
    expected = both.score_volumes(t1w[2:3], pairs[2:3])[0]
    rows = [row for row in page.rows if row[1:2] == ["subject 1"]]
    assert [row[0] for row in rows] == ["contrast 1", "contrast 2"]
    assert [row[2] for row in rows] == [f"{snr:.2f}" for snr in expected]
    two = VolumeSynthesizer(network, n_voxels=800, random_state=0)
    two.fit(pairs[:2], t1w[:2])
    assert report(two, pairs[2:3], t1w[2:3], path=tmp_path / "b.html").images


def test_contrasts_in_memory_are_called_as_training_asked_for_them(cohort, tmp_path):
    synthesizer = fitted(cohort, LinearRegression())
    synthesizer.bids_query_ = {"source": ["T1w"], "target": ["T2w"]}
    given = [[nameless(cohort.images[contrast][2])] for contrast in ("T1w", "T2w")]
    page = report(synthesizer, *given, path=tmp_path / "a.html")
    assert "T2w was synthesised from T1w for 1 subject." in page.html
    titles = re.findall("<figcaption>(.*?)</figcaption>", page.html)
    assert titles[:3] == ["T1w (source)", "T2w (target)", "T2w (synthesis)"]


def test_a_scan_given_twice_is_shown_twice(cohort, tmp_path):
    pairs = [[image, image] for image in map(nameless, cohort.images["T1w"])]
    synthesizer = VolumeSynthesizer(LinearRegression(), n_voxels=800, random_state=0)
    synthesizer.fit(pairs[:2], cohort.images["T2w"][:2])
    page = report(synthesizer, pairs[2:3], path=tmp_path / "a.html")
    titles = re.findall("<figcaption>(.*?)</figcaption>", page.html)
    assert titles == ["source 1", "source 2", "synthesis"]


def moved(image, by=0.0, stretched=1.0):
    affine = image.affine.copy()
    affine[:3, :3] *= stretched
    affine[0, 3] += by
    return nib.Nifti1Image(image.get_fdata(), affine)


def test_a_brain_elsewhere(cohort, synthesizer, tmp_path):
    odd = moved(cohort.images["T1w"][2], by=60.0)
    page = report(synthesizer, [odd], path=tmp_path / "a.html", subjects=["Eve <3"])
    (text,) = page.warnings
    assert text.startswith("Eve <3: ")
    assert "mm from those of training" in text


def test_other_voxels(cohort, synthesizer, tmp_path):
    odd = moved(cohort.images["T1w"][2], stretched=0.5)
    page = report(synthesizer, [odd], path=tmp_path / "a.html")
    texts = "".join(page.warnings)
    assert "voxels of 4 x 4 x 4 mm, where training had 8 x 8 x 8 mm" in texts


def test_other_intensities(cohort, synthesizer, tmp_path):
    page = report(synthesizer, cohort.images["T2w"][2:], path=tmp_path / "a.html")
    assert any("another contrast" in text for text in page.warnings)


def test_names_of_files_name_the_subjects(cohort, synthesizer, tmp_path):
    path = tmp_path / "sub-03_T1w.nii"
    nib.save(cohort.images["T1w"][2], path)
    page = report(synthesizer, [path], path=tmp_path / "a.html")
    assert "sub-03" in page.headings
    assert "sub-03_T1w.nii" in page.html
    assert page.facts["data folder"] == str(tmp_path)
    assert "T1w (source)" in page.html


def test_an_existing_file_is_kept(cohort, synthesizer, tmp_path):
    path, sources = tmp_path / "a.html", cohort.images["T1w"][2:3]
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="exists already"):
        generate_report(synthesizer, sources, path=path)
    assert path.read_text() == "mine"
    assert report(synthesizer, sources, path=path, overwrite=True).images
    assert [p.name for p in tmp_path.iterdir()] == ["a.html"]


def test_a_negative_scan_and_a_thin_brain_are_drawn(cohort, tmp_path):
    """Intensities below 0, as of CT, and a brain of one slice."""
    synthesizer = fitted(cohort, LinearRegression())
    t1w, t2w = cohort.images["T1w"][2], cohort.images["T2w"][2]
    values, shape = t2w.get_fdata(), t2w.shape
    below = nib.Nifti1Image(np.where(values, values - 5000, 0), t2w.affine)
    path = tmp_path / "a.html"
    assert report(synthesizer, [t1w], [below], path=path).images
    thin = np.zeros(shape, dtype=np.uint8)
    thin[shape[0] // 2 - 2] = (values > 0)[shape[0] // 2 - 2]
    mask = nib.Nifti1Image(thin, t1w.affine)
    page = report(synthesizer, [t1w], [t2w], masks=[mask], path=path, overwrite=True)
    assert page.mosaics


def test_names_with_dollars_are_no_formulae(cohort, tmp_path):
    from sklearn_lsdn.report._inspection import inspect_network, inspect_subject
    from sklearn_lsdn.report._page import write_page

    synthesizer, name = fitted(cohort), r"$\x$ <5"
    pair = cohort.images["T1w"][2], cohort.images["T2w"][2]
    result = inspect_subject(synthesizer, *pair, name, model=name)
    network = inspect_network(synthesizer, pair[0], model=name, held_out=name)
    path = write_page(tmp_path / "a.html", name, [result], [network])
    page = Page(path)
    assert page.title == name
    assert len(page.images) == 4 + 2


def test_two_visits_of_a_subject_are_no_two_methods(cohort, synthesizer, tmp_path):
    given = cohort.images["T1w"][2:], cohort.images["T2w"][2:]
    page = report(synthesizer, *given, path=tmp_path / "a.html", subjects=["A", "A"])
    titles = re.findall("<figcaption>(.*?)</figcaption>", page.html)
    roles = [title.split()[-1].strip("()") for title in titles]
    assert roles == 2 * ["source", "target", "synthesis", "target"]


def test_a_subject_without_a_name_is_numbered(cohort, tmp_path):
    given = cohort.images["T1w"][2:], cohort.images["T2w"][2:]
    synthesizer = fitted(cohort, LinearRegression())
    page = report(synthesizer, *given, path=tmp_path / "a.html", subjects=["A", " "])
    assert [h for h in page.headings if h in ("A", "subject 2")] == ["A", "subject 2"]


def test_lists_must_match(cohort, synthesizer, tmp_path):
    sources, path = cohort.images["T1w"][2:], tmp_path / "a.html"
    with pytest.raises(ValueError, match="2, 1 and 2"):
        generate_report(synthesizer, sources, sources[:1], path=path)
    with pytest.raises(ValueError, match="entry for each subject"):
        generate_report(synthesizer, [], path=path)
    with pytest.raises(TypeError, match="sources must be a list"):
        generate_report(synthesizer, sources[0], path=path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given", [None, "worst", (0, -300, 15)])
def test_a_page_says_where_its_slices_lie(cohort, synthesizer, tmp_path, given):
    t1w, t2w = cohort.images["T1w"][2:], cohort.images["T2w"][2:]
    path = tmp_path / "a.html"
    generate_report(synthesizer, t1w, t2w, path=path, cut_coords=given)
    html = path.read_text()
    assert ("beside the fissure" in html) == (given is None)
    assert ("mean absolute error of the method is largest" in html) == (
        given == "worst"
    )
    assert ("x, y, z = 0, -300, 15 mm" in html) == (given == (0, -300, 15))
    moved = html.count("No brain at y = -300 mm: the middle is shown.")
    assert moved == (len(t1w) if given == (0, -300, 15) else 0)

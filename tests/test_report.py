"""The report: one file that holds all it shows, and shows what was computed."""

import base64
import html
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from urllib.parse import unquote

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

from sklearn_lsdn import (
    LSDNRegressor,
    ShrinkConnect,
    VDNRegressor,
    VolumeSynthesizer,
    psnr_score,
    snr_score,
    ssim_score,
)
from sklearn_lsdn._commands.main import main
from sklearn_lsdn.datasets import make_brain_cohort
from sklearn_lsdn.display._panels import Panel, window_of
from sklearn_lsdn.report import generate_report
from sklearn_lsdn.report._view import View

pytest.importorskip("jinja2")
pytest.importorskip("skimage")
pytest.importorskip("matplotlib")

SMALL = dict(hidden_layer_sizes=(12, 4), max_iter=3)


@pytest.fixture(scope="module")
def cohort():
    return make_brain_cohort(4, ("T1w", "T2w", "FLAIR"), voxel_size=8, random_state=0)


def fitted(cohort, network=None, sources="T1w", targets="T2w", **parameters):
    network = network or LSDNRegressor(**SMALL)
    parameters = dict(n_voxels=800, random_state=0, places="world") | parameters
    synthesizer = VolumeSynthesizer(network, **parameters)
    return synthesizer.fit(cohort.images[sources][:2], cohort.images[targets][:2])


@pytest.fixture(scope="module")
def synthesizer(cohort):
    return fitted(cohort)


class Page(HTMLParser):
    """What a browser would make of a file."""

    VOID = {"meta", "img", "br", "link", "input"}

    def __init__(self, path):
        super().__init__()
        self.html = path.read_text(encoding="utf-8")
        self.images, self.rows, self.headings, self.warnings = [], [], [], []
        self.mosaics, self.views = [], []
        self.title, self._open, self.links = "", [], []
        self.feed(self.html)
        assert self._open == []  # every tag that opens also closes

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.links += [attributes[n] for n in ("src", "href") if n in attributes]
        if tag == "img":
            assert attributes["alt"]
            folded = ("details", None) in self._open
            (self.mosaics if folded else self.images).append(attributes["src"])
        if tag == "iframe":
            assert attributes["title"]
            self.views.append(attributes["srcdoc"])
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag in ("h1", "h2", "h3"):
            self.headings.append("")
        if attributes.get("class") == "warning":
            self.warnings.append("")
        if tag not in self.VOID:
            self._open.append((tag, attributes.get("class")))

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag

    def handle_data(self, data):
        within = [tag for tag, _ in self._open]
        if "title" in within:
            self.title += data
        if {"td", "th"} & set(within):
            self.rows[-1][-1] += data
        if {"h1", "h2", "h3"} & set(within):
            self.headings[-1] += data
        if ("p", "warning") in self._open:
            self.warnings[-1] += data

    @property
    def facts(self):
        return {row[0]: row[1] for row in self.rows if len(row) == 2}

    def check_self_contained(self):
        text = re.sub(r"data:image/webp;base64,[\w+/=]+", "", self.html)
        outer = re.sub(r' srcdoc="[^"]*"', "", text)
        assert "http" not in text
        assert "//" not in outer
        assert not re.search(r"<(script|link|object)\b|@import|url\(", outer)
        for view in self.views:
            assert not re.search(r"<link |<[^>]+ src=.\s*(?!data:)", view)
        anchors = set(re.findall(r'id="([^"]+)"', self.html))
        for link in self.links:
            inside = link.startswith("#") and link[1:] in anchors
            assert inside or link.startswith("data:image/webp;base64,")

    def pictures(self):
        """Every image, decoded."""
        for uri in self.images + self.mosaics:
            data = base64.b64decode(uri.partition(",")[2], validate=True)
            yield np.asarray(Image.open(io.BytesIO(data)))


def report(synthesizer, sources, targets=None, *, path, **parameters):
    assert generate_report(synthesizer, sources, targets, path=path, **parameters)
    page = Page(path)
    page.check_self_contained()
    for picture in page.pictures():
        assert picture.shape[0] > 100
        assert picture.std() > 3  # something is drawn
    return page


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


@pytest.mark.parametrize("size", [0.5, 1.0])
def test_the_view_has_the_voxels_of_synthesis_and_error(size):
    """In voxels of a millimetre, errors of less than an eighth of white left out."""
    mask, wrong = np.zeros((2, 40, 48, 32), dtype=bool)
    mask[8:32, 8:40, 8:28] = wrong[10:14, 20:26, 12:20] = True
    error = np.where(wrong, 60.0, -10.0)
    synthesis = np.where(mask, 50.0, 7.0)  # half of white
    synthesis = Panel.of_scan("T2w (synthesis)", synthesis, (0, 100.0))
    affine = np.diag([size, size, size, 1])
    affine[:3, 3] = 5, -6, 7
    over = Panel.of_map("error", error, mask, (0, 100.0))
    given = mask, affine, affine[:3, 3] + 20 * size
    page = View.of(synthesis, over, *given).page
    below, above = _sprites(page)
    each = (1 / size) ** 3
    assert (abs(below[..., 0] - 127.0) < 10).sum() == mask.sum() / each
    drawn = above[(above[..., 3] > 0) & (np.ptp(above[..., :3], axis=-1) > 50)]
    assert len(drawn) == wrong.sum() / each
    assert (drawn[:, 0] > drawn[:, 2]).all()  # too bright is red
    where = re.search(r'"affine": (\[\[.*?\]\])', page)[1]
    step = 1 / size
    corner = affine[:3, 3] + size * (8 - 2 + (step - 1) / 2)
    corner -= 1  # of a voxel before it
    np.testing.assert_allclose(np.array(json.loads(where))[:3, 3], corner)
    nothing = Panel.of_map("error", np.zeros(mask.shape), mask, (0, 100.0))
    for small in (nothing, None):
        (alone,) = _sprites(View.of(synthesis, small, *given).page)
        assert (abs(alone[..., 0] - 127.0) < 10).sum() == mask.sum() / each


@pytest.mark.parametrize("scale", [1e-7, 1e7, -1.0])
def test_the_view_takes_any_unit_and_a_brain_that_fills_the_volume(scale):
    mask = np.ones((20, 24, 16), dtype=bool)
    synthesis = scale * np.random.default_rng(0).uniform(1, 2, mask.shape)
    window = window_of(synthesis, mask)
    over = Panel.of_map("error", synthesis, mask, window)
    panel = Panel.of_scan("synthesis", synthesis, window)
    for above, size in ((over, (1, 1, 1)), (None, (1, 1, 1)), (None, (0.9, 1.1, 4))):
        page = View.of(panel, above, mask, np.diag([*size, 1]), (8, 8, 8)).page
        assert min(len(np.unique(sprite)) for sprite in _sprites(page)) > 4


def _sprites(page):
    """Pictures of all slices that a view holds, but those of one colour."""
    found = re.findall(r"data:image/webp;base64,([\w+/=]+)", page)
    files = [io.BytesIO(base64.b64decode(each)) for each in found]
    sprites = [np.asarray(Image.open(file).convert("RGBA")) for file in files]
    return [s for s in sprites if len(s) > 1 and s[..., :3].any()]


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


def test_means_are_of_a_contrast_and_known_by_no_name_of_a_subject(cohort, tmp_path):
    t1w, t2w, flair = (
        [_saved(tmp_path / f"sub-{i}_{contrast}.nii", image) for i, image in where]
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


def _saved(path, image):
    nib.save(_nameless(image), path)
    return str(path)


def _nameless(image):
    """A copy that was not saved, and so knows no file."""
    return nib.Nifti1Image(image.get_fdata(), image.affine)


def test_contrasts_in_memory_are_called_as_training_asked_for_them(cohort, tmp_path):
    synthesizer = fitted(cohort, LinearRegression())
    synthesizer.bids_query_ = {"source": ["T1w"], "target": ["T2w"]}
    given = [[_nameless(cohort.images[contrast][2])] for contrast in ("T1w", "T2w")]
    page = report(synthesizer, *given, path=tmp_path / "a.html")
    assert "T2w was synthesised from T1w for 1 subject." in page.html
    titles = re.findall("<figcaption>(.*?)</figcaption>", page.html)
    assert titles[:3] == ["T1w (source)", "T2w (target)", "T2w (synthesis)"]


def test_a_scan_given_twice_is_shown_twice(cohort, tmp_path):
    pairs = [[image, image] for image in map(_nameless, cohort.images["T1w"])]
    synthesizer = VolumeSynthesizer(LinearRegression(), n_voxels=800, random_state=0)
    synthesizer.fit(pairs[:2], cohort.images["T2w"][:2])
    page = report(synthesizer, pairs[2:3], path=tmp_path / "a.html")
    titles = re.findall("<figcaption>(.*?)</figcaption>", page.html)
    assert titles == ["source 1", "source 2", "synthesis"]


# Warnings


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


# Files


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


# In a browser

BROWSERS = "chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"
BROWSER = next(
    filter(None, map(shutil.which, BROWSERS)),
    None,
)
FRAME = """\
<!doctype html><title>measuring</title>
<iframe style="border: 0; width: {width}px; height: 2000px" srcdoc="{page}"></iframe>
<script>
addEventListener("load", () => {{
  const frame = document.querySelector("iframe");
  const page = frame.contentDocument;
  let [broken, stretched, bent] = [0, 0, 0];
  for (const image of page.images) {{
    broken += !image.complete || !image.naturalWidth;
    const shape = image.getBoundingClientRect();
    stretched += shape.width > image.naturalWidth + 1;
    const ratio = image.naturalWidth / image.naturalHeight;
    bent += Math.abs(shape.width / shape.height / ratio - 1) > 0.02;
  }}
  const views = [...page.querySelectorAll("iframe")].map(each => each.contentWindow);
  const requests = [frame.contentWindow, ...views].flatMap(
    each => each.performance.getEntriesByType("resource"))
    .filter(entry => !/^(data|about):/.test(entry.name)).length;
  const drawn = views.filter(each => {{
    const canvas = each.document.querySelector("canvas");
    const page = each.document.documentElement;
    const cut =
      page.scrollWidth > each.innerWidth || page.scrollHeight > each.innerHeight;
    const colours = canvas.getContext("2d")
      .getImageData(0, 0, canvas.width, canvas.height).data;
    return !cut && new Set(colours).size > 20;
  }}).length;
  const widest = page.documentElement.scrollWidth;
  document.title =
    [page.images.length, drawn, broken, stretched, bent, requests, widest].join(" ");
}});
</script>
"""


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
def test_in_a_browser(cohort, tmp_path):
    """Nothing scrolls sideways, no picture is blown up or bent, nothing is fetched."""
    path = tmp_path / "a.html"
    network = ShrinkConnect(LSDNRegressor(**SMALL), keep=0.5, max_iter=1)
    long = "sub-01_ses-baseline_space-MNI152NLin2009cAsym_desc-preprocessed_T1w"
    generate_report(
        fitted(cohort, network),
        cohort.images["T1w"][2:],
        cohort.images["T2w"][2:],
        path=path,
        subjects=["sub-01", long],
    )
    text = path.read_text(encoding="utf-8")
    known = Page(path)
    n_images = len(known.images) + len(known.mosaics)
    assert text.count(' loading="lazy"') == n_images + len(known.views)
    text = text.replace(' loading="lazy"', "")  # so that all are there, and shown
    page = html.escape(text.replace("<details>", "<details open>"))
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += ["--disable-background-networking", "--disable-component-update"]
    command += ["--disable-sync", "--no-first-run"]
    command += ["--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}"]
    for width in (390, 1280):
        frame = tmp_path / f"{width}.html"
        frame.write_text(FRAME.format(width=width, page=page), encoding="utf-8")
        ran = subprocess.run(
            [*command, frame.as_uri()], capture_output=True, text=True, timeout=300
        )
        title = re.search("<title>(.*?)</title>", ran.stdout)[1]
        images, views, *faults, widest = map(int, title.split())
        assert images == n_images
        assert views == len(known.views)
        assert faults == [0, 0, 0, 0], (width, "broken, stretched, bent, requests")
        assert widest <= width
        logged = [line for line in ran.stderr.splitlines() if "CONSOLE" in line]
        # nilearn's view reads its pictures back, about which Chromium has advice.
        assert [line for line in logged if "willReadFrequently" not in line] == []


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

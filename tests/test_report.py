"""The report: one file that holds all it shows, and shows what was computed."""

import base64
import html
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser

import nibabel as nib
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

from sklearn_lsdn import (
    LSDNRegressor,
    ShrinkConnect,
    VDNRegressor,
    VolumeSynthesizer,
    psnr_score,
    ssim_score,
)
from sklearn_lsdn._commands.main import main
from sklearn_lsdn.datasets import make_brain_cohort
from sklearn_lsdn.report import generate_report

pytest.importorskip("jinja2")
pytest.importorskip("skimage")
pyplot = pytest.importorskip("matplotlib.pyplot")

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
        self.title, self._open, self._links = "", [], []
        self.feed(self.html)
        assert self._open == []  # every tag that opens also closes

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self._links += [attributes[n] for n in ("src", "href") if n in attributes]
        if tag == "img":
            assert attributes["alt"]
            self.images.append(attributes["src"])
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
        text = re.sub(r"data:image/png;base64,[\w+/=]+", "", self.html)
        assert "http" not in text
        assert "//" not in text
        assert not re.search(r"<(script|link|iframe|object)\b|@import|url\(", text)
        assert all(link.startswith("data:image/png;base64,") for link in self._links)

    def pictures(self):
        """Every image, decoded."""
        for uri in self.images:
            png = base64.b64decode(uri.partition(",")[2], validate=True)
            yield pyplot.imread(io.BytesIO(png), format="png")


def report(synthesizer, sources, targets=None, *, path, **parameters):
    assert generate_report(synthesizer, sources, targets, path=path, **parameters)
    page = Page(path)
    page.check_self_contained()
    for picture in page.pictures():
        assert picture.shape[0] > 100
        assert picture.std() > 0.01  # something is drawn
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
    assert len(page.images) == 4  # two subjects, losses, places
    assert page.warnings == []


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
    widths = []
    for each in (synthesizer, ensemble):
        path = tmp_path / f"{each.n_estimators}.html"
        page = report(each, t1w, t2w, path=path)
        widths.append(next(page.pictures()).shape[1])
    assert page.facts["members"] == "2"
    assert widths[1] == pytest.approx(widths[0] * 5 / 4, rel=0.01)
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
    assert len(page.images) == (2 if isinstance(network, VDNRegressor) else 1)


def test_several_contrasts(cohort, tmp_path):
    t1w, t2w, flair = cohort.images.values()
    pairs = [list(each) for each in zip(t2w, flair, strict=True)]
    network = LSDNRegressor(**SMALL)
    both = VolumeSynthesizer(network, n_voxels=800, random_state=0).fit(
        t1w[:2], pairs[:2]
    )
    page = report(both, t1w[2:3], pairs[2:3], path=tmp_path / "a.html")
    expected = both.score_volumes(t1w[2:3], pairs[2:3])[0]
    rows = [row for row in page.rows if row[0] == "subject 1"]
    assert [row[1] for row in rows] == [f"{snr:.2f}" for snr in expected]
    two = VolumeSynthesizer(network, n_voxels=800, random_state=0)
    two.fit(pairs[:2], t1w[:2])
    assert report(two, pairs[2:3], t1w[2:3], path=tmp_path / "b.html").images


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
    assert str(tmp_path) not in page.html  # folders are nobody's business


def test_an_existing_file_is_kept(cohort, synthesizer, tmp_path):
    path, sources = tmp_path / "a.html", cohort.images["T1w"][2:3]
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="exists already"):
        generate_report(synthesizer, sources, path=path)
    assert path.read_text() == "mine"
    assert report(synthesizer, sources, path=path, overwrite=True).images
    assert [p.name for p in tmp_path.iterdir()] == ["a.html"]


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
    assert len(list(page.pictures())) == 6 + 2 + 1
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

BROWSER = next(
    filter(
        None,
        map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome")),
    ),
    None,
)
FRAME = """\
<!doctype html><title>measuring</title>
<iframe style="border: 0; width: {width}px; height: 2000px" srcdoc="{page}"></iframe>
<script>
addEventListener("load", () => {{
  const page = document.querySelector("iframe").contentDocument;
  const broken = [...page.images].filter(i => !i.complete || !i.naturalWidth).length;
  const widest = page.documentElement.scrollWidth;
  document.title = `${{page.images.length}} ${{broken}} ${{widest}}`;
}});
</script>
"""


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
def test_in_a_browser(cohort, tmp_path):
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
    page = html.escape(path.read_text(encoding="utf-8"))
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += ["--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}"]
    for width in (390, 1280):
        frame = tmp_path / f"{width}.html"
        frame.write_text(FRAME.format(width=width, page=page), encoding="utf-8")
        ran = subprocess.run(
            [*command, frame.as_uri()], capture_output=True, text=True, timeout=300
        )
        title = re.search("<title>(.*?)</title>", ran.stdout)[1]
        images, broken, widest = map(int, title.split())
        assert (images, broken) == (len(Page(path).images), 0)
        assert widest <= width
        assert "CONSOLE" not in ran.stderr  # where errors of a page are logged

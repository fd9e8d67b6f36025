"""The report in a browser, at the widths of a phone and of a screen."""

import html
import re
import shutil
import subprocess

import pytest
from small_reports import SMALL, Page, fitted

from sklearn_lsdn import (
    LSDNRegressor,
    ShrinkConnect,
)
from sklearn_lsdn.datasets import make_brain_cohort
from sklearn_lsdn.report import generate_report

pytest.importorskip("jinja2")
pytest.importorskip("skimage")
pytest.importorskip("matplotlib")


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


@pytest.fixture(scope="module")
def cohort():
    return make_brain_cohort(4, ("T1w", "T2w", "FLAIR"), voxel_size=8, random_state=0)


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

"""Small reports: a synthesizer of a moment, and its page as a browser has it."""

import base64
import io
import re
from html.parser import HTMLParser

import nibabel as nib
import numpy as np
from PIL import Image

from sklearn_lsdn import (
    LSDNRegressor,
    VolumeSynthesizer,
)
from sklearn_lsdn.report import generate_report

SMALL = dict(hidden_layer_sizes=(12, 4), max_iter=3)


def fitted(cohort, network=None, sources="T1w", targets="T2w", **parameters):
    network = network or LSDNRegressor(**SMALL)
    parameters = dict(n_voxels=800, random_state=0, places="world") | parameters
    synthesizer = VolumeSynthesizer(network, **parameters)
    return synthesizer.fit(cohort.images[sources][:2], cohort.images[targets][:2])


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


def saved(path, image):
    nib.save(nameless(image), path)
    return str(path)


def nameless(image):
    """A copy that was not saved, and so knows no file."""
    return nib.Nifti1Image(image.get_fdata(), image.affine)

"""What a page shows of a subject: pictures in rows, and more that is folded."""

import re
from dataclasses import dataclass, replace

import numpy as np

from ._pictures import Drawn, Picture

_NO_NAME = re.compile(r"[^\w.-]+")  # what names of files had better not have,
_LONGEST = 80  # and of how many bytes they may be


@dataclass(frozen=True)
class Shown:
    """A subject on a page.

    Parameters
    ----------
    results : list of dict
        What `inspect_subject` made of it, one of each method.
    rows : list of list of Picture
        Scans and syntheses, then maps of each kind, of each contrast in turn.
    more : list of Drawn
        What is folded, of each synthesis.
    link : str, default=""
        To the subject's own page, if that shows what is folded.
    """

    results: list[dict]
    rows: list[list[Picture]]
    more: list[Drawn]
    link: str = ""

    @classmethod
    def of(cls, results) -> "Shown":
        """Put what is drawn in rows, methods side by side.

        Where they show other slices, as each its worst, a method has a row of its own.
        """
        rows, more, scans = {}, [], set()
        for i, drawn in enumerate(zip(*(r["drawn"] for r in results), strict=True)):
            more += drawn
            apart = len({each.scans for each in drawn}) > 1
            one_row = apart or len(drawn) == 1
            for j, each in enumerate(drawn):
                before = frozenset(scans)  # of other methods and contrasts
                for picture in each.pictures:
                    known = picture.title, picture.data
                    if known in before and not apart and picture.kind == "scan":
                        continue
                    scans.add(known)
                    above = one_row or picture.kind in ("scan", "synthesis")
                    row = i, j * apart, "" if above else picture.kind
                    rows.setdefault(row, []).append(picture)
        return cls(results, [*rows.values()], more)

    @property
    def name(self) -> str:
        """The subject's."""
        return self.results[0]["subject"]

    @property
    def file_name(self) -> str:
        """Of the subject's own page."""
        name = _NO_NAME.sub("-", self.name).encode()[:_LONGEST]
        return f"{name.decode(errors='ignore')}.html"

    @property
    def rank(self) -> tuple[float, int]:
        """Low where the synthesis is poor or, without scores, where there is doubt."""
        scores = [each["snr"] for r in self.results for each in r["scores"]]
        n_warnings = sum(len(r["warnings"]) for r in self.results)
        return np.mean(scores) if scores else 0.0, -n_warnings

    @property
    def n_bytes(self) -> float:
        """What pictures and views take on a page."""
        folded = sum(each.mosaic.n_bytes + len(each.view.page) for each in self.more)
        return folded + sum(picture.n_bytes for row in self.rows for picture in row)

    def as_thumbnails(self, factor, size, link) -> "Shown":
        """The same with small pictures and a link, and nothing folded."""
        rows = [[picture.scaled(factor, size) for picture in row] for row in self.rows]
        return replace(self, rows=rows, more=[], link=link)

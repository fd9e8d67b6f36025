"""A page on registrations, the worst first."""

from pathlib import Path

import numpy as np

from .._utils.optional import require
from ._page import versions_of, write_html

_PACKAGES = "numpy", "SimpleITK", "nibabel"


def require_page():
    """Raise ImportError, rather before the work, if what the page takes is missing."""
    require("jinja2")


def write_registrations(path, subjects, *, title="Registrations", overwrite=False):
    """Write the page.

    Parameters
    ----------
    path : path-like
    subjects : list of Aligned
        What became of each.
    title : str
    overwrite : bool, default=False
        Replace an existing file.

    Returns
    -------
    path : Path
    """
    usual = _usual(subjects)
    shown = [_shown(subject, usual) for subject in subjects]
    shown.sort(key=lambda each: each["rank"])
    return write_html(
        path,
        "registrations.html",
        overwrite=overwrite,
        title=title,
        subjects=shown,
        n_doubtful=sum(bool(each["warnings"]) for each in shown),
        n_failed=sum(each["failure"] is not None for each in shown),
        zoomed=any(row["zooms"] for each in shown for row in each["rows"]),
        versions=versions_of(*_PACKAGES),
    )


def _usual(subjects):
    """Median of the information after registration, of each contrast in turn."""
    after = {}
    for subject in subjects:
        for i, (*_, alignment) in enumerate(subject.pairs):
            after.setdefault(i, []).append(alignment.information[1])
    return {i: float(np.median(values)) for i, values in after.items()}


def _shown(subject, usual):
    """What the page shows of a subject, and where it comes in the order."""
    rows, shares = [], [1.0]
    for i, (name, onto, alignment) in enumerate(subject.pairs):
        before, after = alignment.information
        shares.append(after / usual[i] if usual[i] > 0 else 1.0)
        zooms = alignment.transform.zooms
        rows.append(
            {
                "image": name,
                "onto": onto,
                "before": f"{before:.2f}" if np.isfinite(before) else "-",
                "after": f"{after:.2f}",
                "share": f"{shares[-1]:.0%}",
                "dice": "-" if alignment.dice is None else f"{alignment.dice:.2f}",
                "angle": f"{alignment.transform.angle:.1f}",
                "shift": f"{alignment.shift:.1f}",
                "zooms": " ".join(f"{each:.2f}" for each in zooms)
                if np.abs(zooms - 1).max() > 1e-3
                else "",
            }
        )
    warnings = [str(doubt) for doubt in subject.doubts]
    return {
        "name": Path(subject.name).name,
        "rows": rows,
        "warnings": warnings,
        "failure": subject.failure,
        "picture": subject.picture,
        "rank": (subject.failure is None, not warnings, min(shares)),
    }

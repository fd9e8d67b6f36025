"""From results to one HTML file."""

import base64
import platform
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import numpy as np

from .._utils.files import written_whole
from .._utils.optional import require
from .._version import __version__
from ..jobs._evaluation import WHAT_COUNTS
from ._pictures import draw_losses

_PACKAGES = ("numpy", "scipy", "scikit-learn", "numba", "nibabel")
_CURVES = 6  # at most in one picture: so many can be told apart
_DIGITS = {"snr": 2, "psnr": 2, "ssim": 3, "r2": 3}


def require_report():
    """Raise ImportError, rather before the work, if what a report takes is missing."""
    for module in ("jinja2", "matplotlib.figure", "skimage.metrics"):
        require(module)


def check_ending(path):
    """Raise ValueError unless a file is called as pages are."""
    if Path(path).suffix not in (".html", ".htm"):
        raise ValueError(f"{path} does not end in .html, as pages do.")


def write_page(path, title, results, networks, *, notes=(), overwrite=False) -> Path:
    """Write the file.

    Parameters
    ----------
    path : path-like
    title : str
    results : list of dict
        As `inspect_subject` makes them.
    networks : list of dict
        As `inspect_network` does; the first of each model is shown whole, of the
        others their losses.
    notes : list of str, default=()
        What is to be said first.
    overwrite : bool, default=False
        Replace an existing file.
    """
    return write_html(
        path,
        "report.html",
        overwrite=overwrite,
        title=title,
        notes=notes,
        results=results,
        summary=_summary(results),
        what_counts=WHAT_COUNTS,
        models=[_model(group) for group in _by_model(networks).values()],
        versions=versions_of(*_PACKAGES),
    )


def write_html(path, template, *, overwrite=False, **shown) -> Path:
    """Fill a template of this folder in, and write it whole or not at all."""
    jinja2 = require("jinja2")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["uri"] = _data_uri
    text = files(__package__).joinpath(template).read_text(encoding="utf-8")
    html = environment.from_string(text).render(**shown)
    with written_whole(path, suffix=".html", overwrite=overwrite) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return Path(path)


def versions_of(*packages) -> dict:
    """Of this package, of others, and of what it all runs on."""
    return {
        "sklearn_lsdn": __version__,
        **{package: version(package) for package in packages},
        "Python": platform.python_version(),
        "on": platform.platform(),
    }


def _data_uri(png):
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def _by_model(items):
    models = {}
    for item in items:
        models.setdefault(item["model"], []).append(item)
    return models


def _summary(results):
    """Rows of the table of scores: text, as it is shown."""
    rows = []
    for model, group in _by_model(results).items():
        scored = [(r["subject"], scores) for r in group for scores in r["scores"]]
        rows += [[model, subject, *_shown([scores])] for subject, scores in scored]
        if len(scored) > 1:
            rows.append([model, "mean ± sd", *_shown([each for _, each in scored])])
    return rows


def _shown(scores):
    """Each kind of score or, of several, its mean and standard deviation."""
    for name, digits in _DIGITS.items():
        values = [each[name] for each in scores if each[name] is not None]
        if values and len(scores) > 1:
            values = np.mean(values), np.std(values)
        yield " ± ".join(f"{value:.{digits}f}" for value in values) or "-"


def _model(networks):
    """The first of a model's networks, with the losses of all."""
    curves = {}
    for network in networks:
        held_out = network["held_out"]
        for label, each in network["curves"].items():
            name = f"without {held_out}" if held_out else label
            name += f", {label}" if held_out and len(network["curves"]) > 1 else ""
            curves[name] = each
    shown = dict(list(curves.items())[:_CURVES])
    return {
        "first": networks[0],
        "losses": draw_losses(shown) if shown else None,
        "n_curves": len(shown),
        "n_all": len(curves),
    }

"""From results to one HTML file."""

import base64
import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path

import numpy as np

from .._utils.files import written_whole
from .._utils.optional import require
from .._version import __version__
from ._pictures import draw_losses

_PACKAGES = ("numpy", "scipy", "scikit-learn", "numba", "nibabel")
_CURVES = 6  # at most in one picture: so many can be told apart
_SCORES = ("snr", "psnr", "ssim")


def require_report():
    """Raise ImportError, rather before the work, if what a report takes is missing."""
    for module in ("jinja2", "matplotlib.figure", "skimage.metrics"):
        require(module)


def write_page(path, title, results, networks, *, overwrite=False) -> Path:
    """Write the file.

    Parameters
    ----------
    path : path-like
    title : str
    results : list of SubjectResult
    networks : list of NetworkResult
        The first of each model is shown whole, of the others their losses.
    overwrite : bool, default=False
        Replace an existing file.
    """
    require_report()
    jinja2 = require("jinja2")
    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["uri"] = _data_uri
    template = files(__package__).joinpath("report.html").read_text(encoding="utf-8")
    html = environment.from_string(template).render(
        title=title,
        results=results,
        summary=_summary(results),
        models=[_model(group) for group in _by_model(networks).values()],
        versions=_versions(),
    )
    with written_whole(path, suffix=".html", overwrite=overwrite) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return Path(path)


def _data_uri(png):
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def _by_model(items):
    models = {}
    for item in items:
        models.setdefault(item.model, []).append(item)
    return models


def _summary(results):
    """Rows of the table of scores: text, as it is shown."""
    rows = []
    for model, group in _by_model(results).items():
        scored = [(r.subject, scores) for r in group for scores in r.scores]
        for subject, scores in scored:
            rows.append([model, subject, *(_shown(name, scores) for name in _SCORES)])
        if len(scored) > 1:
            rows.append([model, "mean ± sd", *_means([s for _, s in scored])])
    return rows


def _shown(name, scores):
    digits = 3 if name == "ssim" else 2
    return "-" if scores[name] is None else f"{scores[name]:.{digits}f}"


def _means(scores):
    for name in _SCORES:
        values = [each[name] for each in scores if each[name] is not None]
        digits = 3 if name == "ssim" else 2
        mean = f"{np.mean(values):.{digits}f} ± {np.std(values):.{digits}f}"
        yield mean if values else "-"


def _model(networks):
    """The first of a model's networks, with the losses of all."""
    # Two scans of one subject are held out from the same network.
    networks = list({network.held_out: network for network in networks}.values())
    curves, validation = {}, {}
    for network in networks:
        for label, curve in network.curves.items():
            name = f"without {network.held_out}" if network.held_out else label
            name += f", {label}" if network.held_out and len(network.curves) > 1 else ""
            if len(curves) < _CURVES:
                curves[name] = curve
                if label in network.validation_curves:
                    validation[name] = network.validation_curves[label]
    return {
        "first": networks[0],
        "losses": draw_losses(curves, validation) if curves else None,
        "n_curves": len(curves),
        "n_all": sum(len(network.curves) for network in networks),
    }


def _versions():
    found = {"sklearn_lsdn": __version__}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # as some distributions install them
            continue
    return found | {"Python": platform.python_version(), "on": platform.platform()}

"""From results to one HTML file."""

import base64
import os
import platform
from collections import Counter
from datetime import datetime
from importlib.metadata import version
from importlib.resources import files
from operator import attrgetter
from pathlib import Path

from .._utils.files import written_whole, written_with_folder
from .._utils.optional import require
from .._version import __version__
from ..jobs._evaluation import WHAT_COUNTS
from ._folder import MARK, check_folder, folder_beside, remove_folder
from ._methods import CHECKLIST, CITATION, methods_of
from ._pictures import draw_losses
from ._scores import rows_of
from ._subject import Shown

_PACKAGES = ("numpy", "scipy", "scikit-learn", "numba", "nibabel")
_AFFORDABLE = 17e6  # bytes of pictures and views on a page
_BY_SIDE = 0.6  # power by which the sides of a picture grow with its bytes
_THUMBNAIL = 0.6  # of the sides of a picture, where each subject has its page
_CURVES = 6  # at most in one picture: so many can be told apart


def require_report():
    """Raise ImportError, rather before the work, if what a report takes is missing."""
    for module in ("jinja2", "matplotlib.figure", "nilearn", "skimage.metrics"):
        require(module)


def check_ending(path):
    """Raise ValueError unless a file is called as pages are."""
    if Path(path).suffix != ".html":
        raise ValueError(f"{path} does not end in .html, as pages do.")


def check_page(path, *, overwrite=False):
    """Raise an error if a page or its folder cannot be called or placed so."""
    check_ending(path)
    check_folder(path, overwrite=overwrite)


def write_page(
    path,
    title,
    results,
    networks,
    *,
    notes=(),
    command="",
    worst_first=False,
    overwrite=False,
) -> Path:
    """Write the file and, where all is more than a page affords, a folder beside it.

    What is in the way of either had better be refused before the work, by
    `check_output` and `check_page`.

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
    command : str, default=""
        As it was typed.
    worst_first : bool, default=False
        Show subjects in the order of their SNR or, without scores, of how many
        warnings there are.
    overwrite : bool, default=False
        Replace an existing file.
    """
    check_folder(path, overwrite=overwrite)
    scores = rows_of(results)
    models = [_model(group) for group in _by(networks, "model").values()]
    subjects = [Shown.of(group) for group in _by_subject(results)]
    if worst_first:
        subjects.sort(key=attrgetter("rank"))
    versions = versions_of(*_PACKAGES)
    shown = dict(
        title=title,
        notes=notes,
        results=results,
        scores=scores,
        what_counts=WHAT_COUNTS,
        models=models,
        facts=_facts(results, command),
        methods=methods_of(results, models, scores, versions),
        citation=CITATION,
        checklist=CHECKLIST,
        versions=versions,
        worst_first=worst_first,
    )
    if sum(subject.n_bytes for subject in subjects) <= _AFFORDABLE:
        write_html(path, "report.html", overwrite=overwrite, subjects=subjects, **shown)
        remove_folder(path)
        return Path(path)
    folder, links, digits = folder_beside(path), [], len(str(len(subjects)))
    to = dict(suffix=".html", overwrite=overwrite)
    with written_with_folder(Path(path), folder, **to) as (page, pages):
        for number, subject in enumerate(subjects, start=1):
            name = f"{number:0{digits}}_{subject.file_name}"
            of = dict(title=subject.name, subject=subject, back=Path(path).name)
            (pages / name).write_bytes(_html("subject.html", mark=MARK, **of))
            links.append(f"{folder.name}/{name}")
        small = _as_thumbnails(subjects, links)
        page.write_bytes(_html("report.html", subjects=small, **shown))
    return Path(path)


def _as_thumbnails(subjects, links):
    """Subjects with small pictures, of fewer pixels if there are many."""
    rows = [row for subject in subjects for row in subject.rows]
    size = sum(picture.n_bytes for row in rows for picture in row)
    factor = min(_THUMBNAIL, (_AFFORDABLE / size) ** _BY_SIDE)
    return [
        subject.as_thumbnails(factor, _THUMBNAIL, link)
        for subject, link in zip(subjects, links, strict=True)
    ]


def _facts(results, command):
    """When, how and from what it was made."""
    folders = {result["folder"] for result in results} - {""}
    now = datetime.now().astimezone()
    facts = {"date": f"{now:%d %B %Y, %H:%M %Z}", "command": command}
    if folders:
        facts["data folder"] = os.path.commonpath(folders)
    return {name: fact for name, fact in facts.items() if fact}


def write_html(path, template, *, overwrite=False, **shown) -> Path:
    """Fill a template of this folder in, and write it whole or not at all."""
    with written_whole(path, suffix=".html", overwrite=overwrite) as temporary:
        temporary.write_bytes(_html(template, **shown))
    return Path(path)


def _html(template, **shown):
    jinja2 = require("jinja2")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["uri"] = _data_uri
    html = environment.get_template(template).render(**shown)
    return html.encode(errors="backslashreplace")  # names of files need not be text


def _template(name):
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def versions_of(*packages) -> dict:
    """Of this package, of others, and of what it all runs on."""
    return {
        "sklearn_lsdn": __version__,
        **{package: version(package) for package in packages},
        "Python": platform.python_version(),
        "on": platform.platform(),
    }


def _data_uri(picture):
    return f"data:image/webp;base64,{base64.b64encode(picture).decode('ascii')}"


def _by_subject(results):
    """Results of a subject by each method; repeated scans are apart."""
    groups, before = {}, Counter()
    for result in results:
        whose = result["subject"], result["model"]
        groups.setdefault((result["subject"], before[whose]), []).append(result)
        before[whose] += 1
    return groups.values()


def _by(items, key):
    groups = {}
    for item in items:
        groups.setdefault(item[key], []).append(item)
    return groups


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

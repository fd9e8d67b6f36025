"""Syntheses as a BIDS derivative dataset, with what they were made from and how."""

import hashlib
from importlib.metadata import version
from pathlib import Path

from .._regressors.roles import role_of
from .._version import __version__
from ..volumes._novelty import WHAT_COUNTS
from ..volumes._subjects import open_subjects
from ._dataset import begun_dataset, read_json, source_uri
from ._names import beside, derived_path
from ._prediction import (
    SubjectFiles,
    check_outputs,
    kinds_of_outputs,
    predict_subjects,
)

_WHAT = {
    "synth": ("synth", "{} synthesised"),
    "std": ("synthstd", "Standard deviation of the {} synthesised"),
    "lower": ("synthlower", "Lower end of an interval around the {} synthesised"),
    "upper": ("synthupper", "Upper end of an interval around the {} synthesised"),
    "novelty": ("synthnovelty", "Novelty around each voxel of the {} synthesised"),
}
_NOT_TOLD = {"n_jobs", "verbose", "memory", "max_memory", "mask_img"}


def predict_dataset(
    synthesizer, dataset, sessions, folder, *, source, target, model_file, **options
):
    """Synthesise sessions of a BIDS dataset, and write a derivative dataset.

    Parameters
    ----------
    synthesizer : VolumeSynthesizer
        A fitted one.
    dataset : path-like
        Folder of the BIDS dataset.
    sessions : list of Session
        Of this dataset, with the source contrasts.
    folder : path-like
        Where the derivative dataset goes; it is made.
    source, target : list of str
        BIDS names of the contrasts.
    model_file : path-like
        Where the synthesizer was loaded from.
    **options
        As `predict_files` takes them; standard deviations are ``desc-synthstd``, ends
        of intervals ``desc-synthlower`` and ``desc-synthupper``, and novelty is
        ``desc-synthnovelty`` under the name of the first target.

    Returns
    -------
    paths : list of Path
        The images.

    Raises
    ------
    FileExistsError
        If an output exists that may not be replaced, or the folder is that of another
        dataset, whatever ``overwrite`` is.
    OSError, ValueError
        As `predict_files`.
    """
    dataset, folder = Path(dataset), Path(folder)
    asked = [options.get(name) for name in ("uncertainty", "interval", "novelty")]
    check_outputs(synthesizer, *asked)
    outputs = [
        (kind, mark, name)
        for kind, mark in kinds_of_outputs(*asked)
        for name in (target[:1] if kind == "novelty" else target)
    ]
    made_from = f"synthesised from {' and '.join(source)}"
    about = _about(synthesizer, model_file)
    scores = role_of(synthesizer.estimator_).held_back
    interval = {
        "Level": options.get("interval"),
        "SubjectsHeldBack": scores and scores.n_held_back,
    }
    subjects = []
    for i, session in enumerate(sessions):
        scans = [scan.path for scan in session.scans]
        shared = {
            "Sources": [source_uri(scan, dataset) for scan in scans],
            "SkullStripped": True,
        }
        if space := read_json(beside(scans[0], ".json")).get("SpatialReference"):
            shared["SpatialReference"] = space
        paths, sidecars, marks = [], [], []
        for kind, mark, name in outputs:
            desc, what = _WHAT[kind]
            paths.append(derived_path(folder, session.scans[0], name, desc=desc))
            text = f"{what.format(name)} from {' and '.join(source)}; not acquired"
            sidecars.append({"Description": text, **shared, **about})
            if kind in ("lower", "upper"):
                sidecars[-1]["Interval"] = interval
            if kind == "novelty":
                sidecars[-1]["Novelty"] = WHAT_COUNTS
            marks.append(mark)
        subjects.append(SubjectFiles(scans, paths, sidecars, marks, i))
    if not options.get("keep_going"):
        open_subjects([subject.source for subject in subjects], "sources")
    overwrite, resume = options.get("overwrite"), options.get("resume")
    new = [] if resume else [file for subject in subjects for file in subject.files]
    what = f"{' and '.join(target)} {made_from}"
    with begun_dataset(dataset, folder, what, new, overwrite=overwrite):
        return predict_subjects(synthesizer, subjects, **options)


def _about(synthesizer, model_file):
    """What a sidecar tells of the model."""
    model_file = Path(model_file)
    with open(model_file, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    packages = ("numpy", "scikit-learn", "nibabel")
    facts = role_of(synthesizer).facts()
    parameters = synthesizer.get_params().items()
    return {
        "Model": {"File": model_file.name, "SHA256": digest, **facts},
        "Versions": {"sklearn_lsdn": __version__} | {p: version(p) for p in packages},
        "Parameters": {name: v for name, v in parameters if _is_told(name, v)},
    }


def _is_told(name, value):
    """Whether a parameter can stand in JSON and shapes the result."""
    return _is_plain(value) and name.split("__")[-1] not in _NOT_TOLD


def _is_plain(value):
    if isinstance(value, list | tuple):
        return all(_is_plain(each) for each in value)
    return isinstance(value, int | float | str | None)

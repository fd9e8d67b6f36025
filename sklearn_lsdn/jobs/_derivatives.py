"""A BIDS derivative dataset of predictions, with what they were made from and how."""

import hashlib
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from .._regressors.roles import role_of
from .._version import __version__
from ..volumes._novelty import WHAT_COUNTS
from ..volumes._subjects import open_subjects
from ._dataset import begun_dataset, read_json, source_uri
from ._names import beside, derived_path
from ._outputs import outputs_of
from ._prediction import SubjectFiles, predict_subjects

_NOT_TOLD = {"n_jobs", "verbose", "memory", "max_memory", "mask_img"}


def predict_dataset(
    synthesizer,
    dataset,
    sessions,
    folder,
    *,
    source,
    target,
    model_file,
    masks=None,
    masks_folder=None,
    command=None,
    **options,
):
    """Predict sessions of a BIDS dataset, and write a derivative dataset.

    Parameters
    ----------
    synthesizer : VolumeSynthesizer or VolumeSegmenter
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
    masks : list of path-like, default=None
        Of each session the brain, or None.
    masks_folder : path-like, default=None
        Where they lie, unless in the dataset.
    command : str, default=None
        The command line, for the sidecars.
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
    names = "uncertainty", "interval", "novelty"
    asked = {name: options.get(name) for name in names}
    outputs = outputs_of(synthesizer, target, **asked)
    about = _about(synthesizer, model_file, command)
    scores = role_of(synthesizer.estimator_).held_back
    interval = {
        "Level": options.get("interval"),
        "SubjectsHeldBack": scores and scores.n_held_back,
    }
    links = {} if masks_folder is None else {"masks": Path(masks_folder)}
    masks, subjects = masks or [None] * len(sessions), []
    for i, (session, mask) in enumerate(zip(sessions, masks, strict=True)):
        scans = [scan and scan.path for scan in session.scans]
        files = [file for file in [*scans, mask] if file]
        names = [name for name, scan in zip(source, scans, strict=True) if scan]
        uris = [source_uri(file, dataset, **links) for file in files]
        shared = {"Sources": uris, "SkullStripped": True}
        if space := _spatial_reference(session.first, uris[0]):
            shared["SpatialReference"] = space
        paths, sidecars, marks = [], [], []
        for each in outputs:
            named = each.contrast, each.desc
            paths.append(derived_path(folder, session.first, *named))
            text = f"{each.what} from {' and '.join(names)}; {each.unlike}"
            sidecars.append({"Description": text, **shared, **about})
            if each.kind in ("lower", "upper"):
                sidecars[-1]["Interval"] = interval
            if each.kind == "novelty":
                sidecars[-1]["Novelty"] = WHAT_COUNTS
            marks.append(each.mark)
        subjects.append(SubjectFiles(scans, paths, sidecars, marks, i, mask=mask))
    if not options.get("keep_going"):
        sources = [subject.source for subject in subjects]
        opened = open_subjects(sources, "sources", masks=masks)
        synthesizer.preparation_.check_missing(opened)
    overwrite, resume = options.get("overwrite"), options.get("resume")
    new = [] if resume else [file for subject in subjects for file in subject.files]
    what = f"{' and '.join(target)} {outputs[0].done} from {' and '.join(source)}"
    with begun_dataset(dataset, folder, what, new, links=links, overwrite=overwrite):
        return predict_subjects(synthesizer, subjects, **options)


def _spatial_reference(scan, uri):
    """The image that a synthesis lies upon, where no name of a space tells.

    Parameters
    ----------
    scan : Scan
    uri : str
        Its own.
    """
    told = read_json(beside(scan.path, ".json")).get("SpatialReference")
    if isinstance(told, str) and "://" in told:  # the same from everywhere
        return told
    return uri if told or scan.space is None else None


def _about(synthesizer, model_file, command):
    """What a sidecar tells of the model, and of this run."""
    model_file = Path(model_file)
    with open(model_file, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    packages = ("numpy", "scikit-learn", "nibabel")
    facts = role_of(synthesizer).facts()
    trained_on = (synthesizer.bids_query_ or {}).get("subjects")
    if trained_on is not None:
        facts["TrainedOn"] = trained_on
    parameters = synthesizer.get_params().items()
    run = {"Command": command} if command else {}
    return {
        "Date": datetime.now().astimezone().isoformat(timespec="seconds"),
        **run,
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

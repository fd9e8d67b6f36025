"""Syntheses as a BIDS derivative dataset, with what they were made from and how."""

import hashlib
import json
import math
import os
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from .._utils.files import prepare_outputs, written_whole
from .._version import __version__
from ..volumes._images import open_image
from ..volumes._subjects import open_subjects
from ._bids import derived_name
from ._prediction import predict_to_files, split_name

_BIDS_VERSION = "1.10.0"


def complete_query(synthesizer, dataset, *, source, target, space, desc) -> dict:
    """Fill in what is None by what the synthesizer was trained on.

    Parameters
    ----------
    synthesizer : VolumeSynthesizer
        A fitted one, which may remember the images of its training in
        ``bids_query_``.
    dataset : path-like
        Folder of the dataset to predict, for messages.
    source, target : list of str or None
        BIDS names of the contrasts.
    space, desc : str or None
        What these entities of the sources must be; ``""`` takes any.

    Returns
    -------
    query : dict

    Raises
    ------
    ValueError
        If the contrasts are neither given nor remembered, or not as many as the
        synthesizer has.
    """
    remembered = getattr(synthesizer, "bids_query_", {})
    given = {"source": source, "target": target, "space": space, "desc": desc}
    query = {k: remembered.get(k) if v is None else v for k, v in given.items()}
    numbers = {
        "source": synthesizer.n_contrasts_in_,
        "target": len(synthesizer.target_normalizers_),
    }
    examples = {"source": "--source, such as T1w", "target": "--target, such as T2w"}
    if missing := [text for name, text in examples.items() if not query[name]]:
        raise ValueError(
            f"{dataset} is a folder, but the model was trained on plain files and "
            f"does not know what to look for. Give {', and '.join(missing)}."
        )
    for name, number in numbers.items():
        if len(query[name]) != number:
            raise ValueError(
                f"The model has {number} {name} contrast(s), but --{name} names "
                f"{len(query[name])}: {', '.join(query[name])}."
            )
    return query


def predict_dataset(
    synthesizer,
    dataset,
    sessions,
    folder,
    *,
    source,
    target,
    model_file,
    uncertainty=False,
    overwrite=False,
    resume=False,
    keep_going=False,
    verbose=0,
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
    uncertainty : bool, default=False
        Write the standard deviations as well, as ``desc-synthstd``.
    overwrite : bool, default=False
        Replace existing files.
    resume : bool, default=False
        Leave alone sessions whose outputs are there, whole, and by this model.
    keep_going : bool, default=False
        When a session fails, go on with the others, and say so in the end.
    verbose : int, default=0
        Whether to print each session as it is done.

    Returns
    -------
    paths : list of Path
        The images.

    Raises
    ------
    FileExistsError
        If an output exists and ``overwrite`` is false, or the folder is that of
        another dataset, whatever ``overwrite`` is.
    OSError
        If the folder cannot be written to.
    ValueError
        If an image cannot be used.
    SubjectsFailed
        With ``keep_going``, once the others are done.
    """
    dataset, folder = Path(dataset), Path(folder)
    if uncertainty:
        synthesizer.check_ensemble()
    outputs = [("synth", f"{name} synthesised", name) for name in target]
    if uncertainty:
        what = "Standard deviation of the {} synthesised"
        outputs += [("synthstd", what.format(name), name) for name in target]
    images = [
        [_output(folder, session, name, desc) for desc, _, name in outputs]
        for session in sessions
    ]
    extra = [sidecar_of(path) for paths in images for path in paths]
    about = _about(synthesizer, model_file)

    n_pairs = len(target) if uncertainty else 0

    def sidecars(i):  # but for what is known once the images are there
        scans = [scan.path for scan in sessions[i].scans]
        space = read_json(sidecar_of(scans[0])).get("SpatialReference")
        for path, (_, what, _) in zip(images[i], outputs, strict=True):
            content = {
                "Description": f"{what} from {' and '.join(source)}; not acquired",
                "Sources": [source_uri(scan, dataset) for scan in scans],
                "SkullStripped": True,
            }
            if space:
                content["SpatialReference"] = space
            yield path.absolute(), content | about

    def writer_of_sidecars(i):  # none is there by now that must not be replaced
        return partial(_write_sidecars, list(sidecars(i)), n_pairs)

    def has_sidecars(i):  # of the same model, by its digest
        files = _with_expectations(list(sidecars(i)), n_pairs)
        return all(_tell_alike(read_json(sidecar_of(p)), c) for p, c in files)

    paths = [[scan.path for scan in session.scans] for session in sessions]
    if not keep_going:
        open_subjects(paths, "sources")  # before anything is written
    what = f"{' and '.join(target)} synthesised from {' and '.join(source)}"
    new = [] if resume else extra
    begin_dataset(dataset, folder, what, new, overwrite=overwrite)
    return predict_to_files(
        synthesizer,
        paths,
        images,
        uncertainty=uncertainty,
        overwrite=overwrite,
        resume=resume,
        keep_going=keep_going,
        verbose=verbose,
        finish=writer_of_sidecars,
        is_finished=has_sidecars,
    )


def _output(folder, session, contrast, desc):
    scan = session.scans[0]
    return folder.joinpath(
        *scan.levels, "anat", derived_name(scan, contrast, desc=desc)
    )


def expected_snr(synthesis, std) -> float | None:
    """Signal-to-noise ratio that the standard deviations of a synthesis amount to.

    Parameters
    ----------
    synthesis, std : path-like
        Images, 0 outside the brain.

    Returns
    -------
    snr : float or None
        In dB, if there is any deviation.
    """
    error, signal = (
        np.square(open_image(path, "output").read(), dtype=np.float64).sum()
        for path in (std, synthesis)
    )
    # A scan is its synthesis and an error that does not depend on it.
    return round(10 * math.log10((signal + error) / error), 2) if error > 0 else None


def _with_expectations(files, n_pairs):
    """Add to sidecars what ``n_pairs`` images and their deviations amount to."""
    if not n_pairs:
        return files
    paths = [path for path, _ in files]

    def snr(n):
        value = expected_snr(paths[n % n_pairs], paths[n % n_pairs + n_pairs])
        return {"ExpectedSNR": {"Value": value, "Units": "dB"}}

    return [(path, content | snr(n)) for n, (path, content) in enumerate(files)]


def _tell_alike(*sidecars):
    """Whether sidecars differ in the versions of software at most."""
    contents = [dict(each, Versions=None) for each in sidecars]
    # In a file, tuples are lists.
    return len({json.dumps(each, sort_keys=True) for each in contents}) == 1


def _write_sidecars(files, n_pairs):
    for path, content in _with_expectations(files, n_pairs):
        write_json(sidecar_of(path), content, overwrite=True)


def source_uri(path, dataset) -> str:
    """BIDS URI of a file of the dataset that another one was made from."""
    return f"bids:source:{Path(path).relative_to(dataset).as_posix()}"


def sidecar_of(path) -> Path:
    """Where the JSON file of an image lies."""
    return path.with_name(split_name(path)[0] + ".json")


def write_json(path, content, overwrite):
    """Write a JSON file, whole or not at all."""
    with written_whole(path, overwrite=overwrite) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_json(path) -> dict:
    """What a JSON file holds, or nothing."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def begin_dataset(dataset, folder, what, outputs, *, ignored=(), overwrite=False):
    """Check the outputs of a derivative dataset, and describe it.

    Parameters
    ----------
    dataset : Path
        Folder of the dataset that it is made from.
    folder : Path
        Where it goes. Another run may have begun it.
    what : str
        What it holds, for its name.
    outputs : list of Path
        Files to be, whose folders are made.
    ignored : sequence of str
        Patterns of files that BIDS has no names for, for ``.bidsignore``.
    overwrite : bool, default=False
        Replace existing files.

    Raises
    ------
    OSError
        If an output exists or cannot be written, or the folder is that of another
        dataset, whatever ``overwrite`` is.
    """
    if folder.resolve() == dataset.resolve():
        raise FileExistsError(
            f"{folder} is the dataset itself. Give derivatives a folder of their own, "
            f"such as {folder / 'derivatives' / 'lsdn'}."
        )
    path = folder / "dataset_description.json"
    description = _description(dataset.resolve(), folder.resolve(), what)
    begun = read_json(path)
    if path.exists() and _identity(begun) != _identity(description):
        name = begun.get("Name") or f"{path.name} gives no name"
        raise FileExistsError(
            f"{folder} is the folder of another dataset ({name}). Give another."
        )
    new = [path] if overwrite or not path.exists() else []
    prepare_outputs([*outputs, *new], overwrite=overwrite)
    if new:  # with what others added, such as authors
        write_json(path, begun | description, overwrite)
    if ignored and not (path := folder / ".bidsignore").exists():
        with written_whole(path) as temporary:
            temporary.write_text("".join(f"{each}\n" for each in ignored))


def _identity(description):
    """What no two datasets share; not the version of the software, say."""
    return description.get("Name"), description.get("DatasetLinks")


def _description(dataset, folder, what):
    """Content of dataset_description.json."""
    origin = read_json(dataset / "dataset_description.json")
    within = folder.is_relative_to(dataset)
    link = Path(os.path.relpath(dataset, folder)).as_posix()
    link = link if within else dataset.as_uri()
    # A URL must not be relative, a link may be.
    url = "bids:source:" if within else link
    facts = {"URL": url, "DOI": origin.get("DatasetDOI")}
    return {
        "Name": f"{origin.get('Name') or dataset.name}: {what}",
        "BIDSVersion": _BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "sklearn_lsdn", "Version": __version__}],
        "SourceDatasets": [{key: value for key, value in facts.items() if value}],
        "DatasetLinks": {"source": link},
    }


def _about(synthesizer, model_file):
    """What a sidecar tells of the model."""
    model_file = Path(model_file)
    with open(model_file, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    normalizer = synthesizer.target_normalizers_[0]
    packages = ("numpy", "scikit-learn", "nibabel")
    return {
        "Model": {"File": model_file.name, "SHA256": digest},
        "Versions": {"sklearn_lsdn": __version__} | {p: version(p) for p in packages},
        "Normalization": {"Name": type(normalizer).__name__, **_plain(normalizer)},
        "Estimator": {
            "Name": type(synthesizer.estimator_).__name__,
            **_plain(synthesizer.estimator_),
        },
        "Parameters": {
            "brain": synthesizer.mask_strategy_,
            "n_estimators": synthesizer.n_estimators,
            "patch_size": synthesizer.patch_size,
            "patch_scales": [int(scale) for scale in synthesizer.patch_scales],
            "target_patch_size": synthesizer.target_patch_size,
            "smoothing": float(synthesizer.smoothing),
            "coordinates": synthesizer.coordinates,
        },
    }


def _plain(estimator):
    """Parameters of an estimator that JSON can hold and that shape its result."""
    return {
        name: value
        for name, value in estimator.get_params().items()
        if _is_plain(value) and name.split("__")[-1] not in ("n_jobs", "verbose")
    }


def _is_plain(value):
    if isinstance(value, list | tuple):
        return all(_is_plain(each) for each in value)
    return isinstance(value, int | float | str | None)

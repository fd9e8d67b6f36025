"""What a BIDS derivative dataset holds beside its images: description and sidecars."""

import json
import os
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from .._utils.files import prepared_outputs, written_whole
from .._version import __version__

_BIDS_VERSION = "1.10.0"


@contextmanager
def begun_dataset(
    dataset, folder, what, outputs, *, links=None, ignored=(), overwrite=False
):
    """Check the outputs of a derivative dataset, and describe it.

    If nothing else is there in the end, the description goes again, and with it the
    folders.

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
    links : dict of str to Path, default=None
        Further folders that it is made from, by the names that BIDS URIs give them.
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
    description = _description(dataset.resolve(), folder.resolve(), what, links or {})
    begun = read_json(path)
    if path.exists() and _identity(begun, folder) != _identity(description, folder):
        name = begun.get("Name") or f"{path.name} gives no name"
        raise FileExistsError(
            f"{folder} is the folder of another dataset ({name}). Give another."
        )
    new = [path] if overwrite or not path.exists() else []
    known = begun.get("DatasetLinks") or {}
    for name in known.keys() & description["DatasetLinks"].keys():
        before, now = (
            _linked(each["DatasetLinks"], folder)[name] for each in (begun, description)
        )
        if before != now:
            raise FileExistsError(
                f"{folder} was begun with {name} in {before}, and these are in {now}: "
                "what its sidecars name would be another file. Give another folder."
            )
    description["DatasetLinks"] = known | description["DatasetLinks"]
    ignore = folder / ".bidsignore"
    first = {each for each in (path, ignore) if not each.exists()}
    with prepared_outputs([*outputs, *new], overwrite=overwrite):
        try:
            if new:  # with what others added, such as authors
                write_json(path, begun | description, overwrite)
            elif known != description["DatasetLinks"]:
                links = {"DatasetLinks": description["DatasetLinks"]}
                write_json(path, begun | links, overwrite=True)
            if ignored and ignore in first:
                with written_whole(ignore) as temporary:
                    temporary.write_text("".join(f"{each}\n" for each in ignored))
            yield
        finally:
            if path in first and set(_files(folder)) <= first:
                for each in _files(folder):
                    each.unlink()


def _files(folder):
    return [path for path in folder.rglob("*") if not path.is_dir()]


def _identity(description, folder):
    """What no two datasets share; not the version of the software, say."""
    links = description.get("DatasetLinks") or {}
    return description.get("Name"), _linked(links, folder).get("source")


def _linked(links, folder):
    """Folders that links lead to, as relative paths or URIs."""
    paths = {name: link.removeprefix("file://") for name, link in links.items()}
    return {name: (folder / unquote(path)).resolve() for name, path in paths.items()}


def _description(dataset, folder, what, links):
    """Content of dataset_description.json."""
    origin = read_json(dataset / "dataset_description.json")
    # A URL must not be relative, a link may be.
    facts = {"URL": "bids:source:", "DOI": origin.get("DatasetDOI")}
    others = {name: path.resolve() for name, path in links.items()}
    links = {k: path for k, path in others.items() if not path.is_relative_to(dataset)}
    links = {"source": dataset} | links
    return {
        "Name": f"{origin.get('Name') or dataset.name}: {what}",
        "BIDSVersion": _BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "sklearn_lsdn", "Version": __version__}],
        "SourceDatasets": [{key: value for key, value in facts.items() if value}],
        "DatasetLinks": {name: _link(path, folder) for name, path in links.items()},
    }


def _link(dataset, folder):
    """How to come from one folder to another, even when both are moved."""
    try:
        return Path(os.path.relpath(dataset, folder)).as_posix()
    except ValueError:  # on another drive
        return dataset.as_uri()


def source_uri(path, dataset, **links) -> str:
    """BIDS URI of a file that another one was made from.

    Parameters
    ----------
    path : path-like
    dataset : path-like
        Folder of the source dataset.
    **links : path-like
        Further folders, as `begun_dataset` takes them.

    Examples
    --------
    >>> from sklearn_lsdn.jobs._dataset import source_uri
    >>> source_uri("raw/sub-1/anat/sub-1_T1w.nii.gz", "raw")
    'bids:source:sub-1/anat/sub-1_T1w.nii.gz'
    >>> source_uri("brains/sub-1_T1w_bet.nii.gz", "raw", masks="brains")
    'bids:masks:sub-1_T1w_bet.nii.gz'
    """
    for name, folder in {"source": dataset, **links}.items():
        within = Path(os.path.relpath(path, folder))
        if ".." not in within.parts:
            return f"bids:{name}:{within.as_posix()}"
    raise ValueError(f"{path} lies in none of the folders that are linked.")


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

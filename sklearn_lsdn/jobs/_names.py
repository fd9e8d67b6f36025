"""What files are called that are made from images."""

from pathlib import Path

from .._utils.names import split_name
from .._utils.optional import require
from ._bids import Contrast


def beside(path, ending) -> Path:
    """The file of an image's name with another ending."""
    return path.with_name(split_name(path)[0] + ending)


def named_after(source, what) -> str:
    """File name of an image that was made from another.

    Parameters
    ----------
    source : path-like
    what : str
        What it is, at the end of its name.

    Examples
    --------
    >>> from sklearn_lsdn.jobs._names import named_after
    >>> named_after("data/sub-01_T1w.nii.gz", "synth")
    'sub-01_T1w_synth.nii.gz'
    """
    stem, ending = split_name(source)
    return f"{stem}_{what}{ending}"


def derived_path(folder, scan, contrast, desc="synth", space=None) -> Path:
    """Where an image that was made from a scan lies, called as by `derived_name`."""
    name = derived_name(scan, contrast, desc=desc, space=space)
    return folder.joinpath(*scan.levels, "anat", name)


def derived_name(scan, contrast, *, desc="synth", space=None) -> str:
    """File name of an image that was made from a scan.

    Parameters
    ----------
    scan : Scan
        It hands on what tells of subject, session and grid.
    contrast : str
        The contrast that it was turned into.
    desc : str, default="synth"
        What was done.
    space : str, default=None
        The space that it was brought into, if it was.

    Returns
    -------
    name : str
        With the entities in the order that BIDS asks for.
    """
    contrast = Contrast.parse(contrast)
    handed_on = ("sub", "ses", "run", "space", "res", "den")
    entities = {key: scan.entities[key] for key in handed_on if key in scan.entities}
    entities |= contrast.entities | {"desc": desc}
    if space is not None:
        entities["space"] = space
    schema = require("ancpbids").model_latest
    order = [entity.value["name"] for entity in schema.EntityEnum]  # desc is last
    unknown = [key for key in entities if key not in order]
    parts = [key for key in [*order[:-1], *unknown, "desc"] if key in entities]
    name = "_".join(f"{key}-{entities[key]}" for key in parts)
    return f"{name}_{contrast.suffix}.nii.gz"

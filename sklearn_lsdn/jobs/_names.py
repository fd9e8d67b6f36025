"""What files are called that are made from images."""

from pathlib import Path

from .._utils.names import split_name
from .._utils.optional import require
from ._bids import Contrast


def beside(path, ending) -> Path:
    """The file of an image's name with another ending."""
    return path.with_name(split_name(path)[0] + ending)


def output_names(source, n_targets, kind="synth") -> list[str]:
    """File names of a subject's syntheses, after its first source.

    Parameters
    ----------
    source : path-like
    n_targets : int
    kind : str, default="synth"
        What they are, at the end of their names.

    Returns
    -------
    names : list of str

    Examples
    --------
    >>> from sklearn_lsdn.jobs._names import output_names
    >>> output_names("data/sub-01_T1w.nii.gz", 1)
    ['sub-01_T1w_synth.nii.gz']
    >>> output_names("data/sub-01_T1w.nii", 2)
    ['sub-01_T1w_synth1.nii', 'sub-01_T1w_synth2.nii']
    """
    stem, ending = split_name(source)
    numbers = [""] if n_targets == 1 else range(1, n_targets + 1)
    return [f"{stem}_{kind}{number}{ending}" for number in numbers]


def derived_path(folder, scan, contrast, **options) -> Path:
    """Where an image that was made from a scan lies; options as of `derived_name`."""
    name = derived_name(scan, contrast, **options)
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

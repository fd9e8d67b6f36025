"""BIDS datasets: which image of a subject and session has which contrast."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from .._utils.names import Name, entities_of, is_image, same_value, split_name
from .._utils.optional import require
from ._bids_masks import MaskFile, Masks

NONE = "none"
"""In the place of an entity's value: images without it."""

# Images of one suffix that differ in these differ in contrast: none stands for another
# unless it was asked for by name.
_OF_CONTRAST = ("ce", "trc", "stain", "mod", "echo", "flip", "inv", "mt", "part")
# Within a dataset's folder, but not of the dataset, and perhaps huge.
_OTHERS = ["derivatives", "sourcedata", "rawdata", "code", "stimuli", ".*"]
_SHOWN = 5  # of the sessions that an error lists
_FILES_SHOWN = 3  # of those passed over for one reason
# Where images are of other kinds, and may be called as they like.
_OTHER_KINDS = {"func", "dwi", "fmap", "perf", "pet", "meg", "eeg", "ieeg", "micr"}
_OTHER_KINDS |= {"beh", "nirs", "motion", "mrs"}
_LABEL = r"([^\W_]|[+-])+"
_NAME = re.compile(rf"((sub-{_LABEL}(_[0-9]+)*|[a-z]+-{_LABEL})_)+[^\W_]+")


@dataclass(frozen=True)
class Contrast:
    """A contrast by its BIDS name: a suffix, and entities that it must have.

    Parameters
    ----------
    suffix : str
    entities : dict of str to str

    Examples
    --------
    >>> from sklearn_lsdn.jobs._bids import Contrast
    >>> Contrast.parse("ce-gadolinium_T1w")
    Contrast(suffix='T1w', entities={'ce': 'gadolinium'})
    >>> Contrast.parse("scans/T1.nii.gz")
    Traceback (most recent call last):
        ...
    ValueError: 'scans/T1.nii.gz' is no BIDS name of a contrast. With the folder of a \
dataset, give a suffix such as T1w, or ce-gadolinium_T1w.
    """

    suffix: str
    entities: dict

    @classmethod
    def parse(cls, name) -> "Contrast":
        """Take a name such as ``"T1w"`` or ``"acq-mprage_T1w"`` apart."""
        if not re.fullmatch(r"([a-z]+-[0-9A-Za-z+]+_)*[0-9A-Za-z]+", name):
            raise ValueError(
                f"{name!r} is no BIDS name of a contrast. With the folder of a "
                "dataset, give a suffix such as T1w, or ce-gadolinium_T1w."
            )
        *entities, suffix = name.split("_")
        return cls(suffix, dict(entity.split("-") for entity in entities))

    def matches(self, scan) -> bool:
        """Whether a scan has this contrast."""
        foreign = set(_OF_CONTRAST) - set(self.entities)
        return (
            scan.suffix == self.suffix
            and self.entities.items() <= scan.entities.items()
            and foreign.isdisjoint(scan.entities)
        )


@dataclass(frozen=True)
class Scan:
    """An image of a dataset.

    Parameters
    ----------
    path : Path
    entities : dict of str to str
        As its file name gives them.
    suffix : str
    """

    path: Path
    entities: dict
    suffix: str

    @property
    def levels(self) -> list[str]:
        """Folders of its subject and session, such as ``["sub-01", "ses-2"]``."""
        present = (key for key in ("sub", "ses") if key in self.entities)
        return [f"{key}-{self.entities[key]}" for key in present]

    @property
    def space(self) -> str | None:
        """Label of the space that it was brought into, if it was."""
        return self.entities.get("space")

    def on_grid_of(self, suffix) -> "Scan":
        """The same without a space that is but the grid of that image."""
        if self.space != suffix:
            return self
        kept = {k: value for k, value in self.entities.items() if k != "space"}
        return replace(self, entities=kept)

    def is_within(self, limits) -> bool:
        """Whether entities have the values asked for."""
        return all(self.entities.get(k, NONE) == v for k, v in limits.items())


@dataclass(frozen=True)
class Session:
    """Scans of one subject in one session, or of a subject without sessions.

    Parameters
    ----------
    label : str
        Such as ``"sub-01_ses-2"``.
    scans : list of Scan
        One for each contrast that was asked for; None where it is missing.
    mask : Path, default=None
        The brain mask that belongs to the first of them.
    """

    label: str
    scans: list
    mask: Path | None = None

    @property
    def subject(self) -> str:
        """Such as ``"sub-01"``."""
        return self.first.levels[0]

    @property
    def first(self) -> Scan:
        """The first scan that there is."""
        return next(scan for scan in self.scans if scan)


def find_sessions(
    folder,
    contrasts,
    *,
    space=None,
    desc=None,
    masks=None,
    participants=None,
    every_run=False,
    may_lack=(),
    hint="",
):
    """Find the sessions of a BIDS dataset in which every contrast was taken.

    Parameters
    ----------
    folder : path-like
        The dataset, raw or derivative. What lies in ``derivatives`` below it is not
        looked at; give such a folder itself.
    contrasts : list of str
        Suffixes such as ``"T1w"``, with entities where they matter:
        ``"ce-gadolinium_T1w"``.
    space, desc : str, default=None
        What these entities of an image must be, "none" for images without; by default
        anything. Where images of a session differ in space, and none is given, those
        without are preferred, which lie on the scanner's own grid.
    masks : path-like or False, default=None
        Folder of the brain masks, which are called as BIDS or the tools that make
        them have it; by default the dataset itself. False looks for none.
    participants : list of str, default=None
        Subjects to look at, with or without ``sub-``; by default all.
    every_run : bool, default=False
        Make a session of each run of a contrast, if there is but one contrast. By
        default sessions with repeated runs are left out.
    may_lack : list of str, default=()
        Contrasts of which a session needs but one.
    hint : str, default=""
        What the error should say in the end if no session has all contrasts.

    Returns
    -------
    sessions : list of Session
        By label; sessions of a subject are kept apart.
    left_out : list of str
        A sentence about each other session, such as ``"sub-02 lacks T2w"``, and about
        images that were passed over.

    Raises
    ------
    ImportError
        If ancpbids is not installed.
    NotADirectoryError
        If there is no such folder.
    ValueError
        If a contrast's name is none, no session has all contrasts, a participant has
        no image, or none has a mask in a folder given for masks.
    """
    wanted = [Contrast.parse(name) for name in contrasts]
    limits = {k: v for k, v in {"space": space, "desc": desc}.items() if v}
    scans, passed_over = _read_dataset(folder, {c.suffix for c in wanted})
    brains = Masks.in_folder(masks) if masks else _masks_among(scans, masks)
    if space != wanted[0].suffix:
        scans = [scan.on_grid_of(wanted[0].suffix) for scan in scans]
    by_session = {}
    for scan in scans if participants is None else _of(participants, scans, folder):
        by_session.setdefault("_".join(scan.levels), []).append(scan)
    sessions, left_out, empty, seen = [], [], {}, set()
    for label, scans in sorted(by_session.items()):
        subject = scans[0].levels[0]
        scans = [scan for scan in scans if scan.is_within(limits)]
        choices = [[scan for scan in scans if c.matches(scan)] for c in wanted]
        if not any(choices):
            empty[subject] = f"{subject} lacks {' and '.join(contrasts)}"
            continue
        seen.add(subject)
        choices = _in_one_space(choices)
        if every_run and len(wanted) == 1 and _are_runs(*choices):
            runs = [(scan.entities.get("run"), [scan]) for scan in choices[0]]
            found = [(f"{label}_run-{n}" if n else label, scan) for n, scan in runs]
        elif fault := _fault(contrasts, choices, may_lack):
            left_out.append(f"{label} {fault}")
            continue
        else:
            found = [(label, [found[0] if found else None for found in choices])]
        for name, chosen in found:
            near = brains.of(Session(name, chosen).first)
            if len(near) > 1:
                left_out.append(
                    f"{name} has {len(near)} brain masks "
                    f"({' and '.join(path.name for path in near)}): keep one of them, "
                    "or give --mask the folder of those meant"
                )
            else:
                sessions.append(Session(name, chosen, *near))
    # Sessions without any of the contrasts, of functional images say, are worth a
    # word only where their subject has nothing else.
    left_out += [text for subject, text in empty.items() if subject not in seen]
    left_out.sort()
    if not sessions:
        limits = "".join(f", {described(*limit)}" for limit in limits.items())
        raise ValueError(
            f"No session in {folder} has {' and '.join(contrasts)}{limits}"
            + "".join(f"; {text}" for text in [*passed_over, *left_out[:_SHOWN]])
            + ("; ..." if len(left_out) > _SHOWN else ".")
            + (f" {hint}" if hint else "")
        )
    if masks and not any(session.mask for session in sessions):
        raise ValueError(
            f"No mask in {masks} belongs to {sessions[0].first.path}. Call it "
            f"{sessions[0].label}_desc-brain_mask.nii.gz, or as the image, with _mask."
        )
    return sessions, [*left_out, *passed_over]


def described(entity, value) -> str:
    """What images are asked for, such as "with space-MNI" or "without space"."""
    return f"without {entity}" if value == NONE else f"with {entity}-{value}"


def _masks_among(scans, masks):
    """Images of heads that may be masks, unless none are asked for."""
    if masks is False:
        return Masks([])
    return Masks(
        MaskFile(scan.path, scan.entities, scan.suffix)
        for scan in scans
        if scan.path.parent.name not in _OTHER_KINDS
    )


def _of(participants, scans, folder):
    """Scans of the subjects that are meant."""
    meant = [label.removeprefix("sub-") for label in participants]
    there = {scan.entities["sub"] for scan in scans}
    chosen = {each for each in there if any(same_value(each, m) for m in meant)}
    missing = [m for m in meant if not any(same_value(each, m) for each in there)]
    if missing:
        names = " and ".join(f"sub-{label}" for label in sorted(missing))
        raise ValueError(f"{folder} has no images of {names}.")
    return [scan for scan in scans if scan.entities["sub"] in chosen]


def _in_one_space(choices):
    """Of each contrast those on the scanner's own grid, or in the space of all."""
    spaces = [{scan.space for scan in found} for found in choices if found]
    shared = set.intersection(*spaces)
    if None not in shared and len(shared) != 1:
        return choices
    chosen = None if None in shared else shared.pop()
    return [[scan for scan in found if scan.space == chosen] for found in choices]


def _fault(contrasts, choices, may_lack):
    """What keeps a session from being used, if anything does."""
    found = dict(zip(contrasts, choices, strict=True))
    if any(found[name] for name in may_lack):
        found = {k: scans for k, scans in found.items() if scans or k not in may_lack}
    lacking = [name for name, scans in found.items() if not scans]
    if lacking:
        return f"lacks {' and '.join(lacking)}"
    choices = [scans for scans in choices if scans]
    contrasts = list(found)
    for name, found in zip(contrasts, choices, strict=True):
        if len(found) > 1:
            names = " and ".join(sorted(scan.path.name for scan in found))
            advice = _how_to_choose(name, found)
            return f"has {len(found)} images of {name} ({names}): {advice}"
    spaces = [scan.space or "no space" for (scan,) in choices]
    if len(set(spaces)) > 1:
        return f"has contrasts in different spaces ({', '.join(spaces)})"
    runs = [scan.entities["run"] for (scan,) in choices if "run" in scan.entities]
    if any(not same_value(runs[0], run) for run in runs[1:]):
        named = ", ".join(f"run-{run}" for run in runs)
        return f"has contrasts of different runs ({named})"
    return None


def _how_to_choose(name, scans):
    """Between images that differ in an entity or more."""
    differing = _differing(scans)
    if not differing:
        return "keep one of them"
    named = [
        f"{key}-{value}_{name}"
        for key, value in differing.items()
        if key not in ("space", "desc")
    ]
    options = " and ".join(f"--{key}" for key in ("space", "desc") if key in differing)
    ways = [f"name the one meant, such as {named[0]}"] if named else []
    ways += [f"choose by {options}"] if options else []
    return " or ".join(ways)


def _differing(scans):
    """Entities that scans differ in, with a value that one of them has."""
    values = {}
    for scan in scans:
        for key, value in scan.entities.items():
            values.setdefault(key, []).append(value)
    return {
        key: found[0]
        for key, found in values.items()
        if len(found) < len(scans) or len(set(found)) > 1
    }


def _are_runs(scans):
    """Whether several scans differ in the number of their run alone."""
    runs = {scan.entities.get("run") for scan in scans}
    return len(runs) == len(scans) > 1 and list(_differing(scans)) == ["run"]


def _read_dataset(folder, suffixes):
    """Images of all subjects, and a sentence about each reason to pass others over."""
    folder = Path(folder)
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not the folder of a dataset.")
    try:
        ancpbids = require("ancpbids")
    except ImportError as error:
        raise ImportError(f"{folder} is a folder. {error}") from error
    options = ancpbids.DatasetOptions(
        ignore=[*_OTHERS, *(f"{name}/*" for name in _OTHERS)],
        ignore_pickle_file=True,  # which could run code
    )
    dataset = ancpbids.load_dataset(str(folder), options)
    scans, passed_over = [], {}
    for path in sorted(Path(file.get_relative_path()) for file in dataset.query()):
        if not is_image(path) or path.name.startswith("."):
            continue
        stem, _ = split_name(path)
        name, places = Name.parse(stem), entities_of(path.parent / "in")
        places = {key: places[key] for key in ("sub", "ses") if key in places}
        told = name.entities
        bad_name = not _NAME.fullmatch(stem)
        if bad_name:
            reason = "whose name is no BIDS name such as sub-01_T1w.nii.gz"
        elif "sub" not in told:
            reason = "without sub- in the name"
        elif any(not same_value(told.get(k, v), v) for k, v in places.items()):
            reason = "in the folder of another subject or session than the name says"
        elif not path.name.lower().endswith((".nii", ".nii.gz")):
            reason = "that are neither .nii nor .nii.gz"
        else:
            scans.append(Scan(folder / path, places | told, name.suffix))
            continue
        of_use = bad_name or name.suffix in suffixes
        if of_use and path.parent.name not in _OTHER_KINDS:
            passed_over.setdefault(reason, []).append(path.as_posix())
    return scans, [_told(*each) for each in passed_over.items()]


def _told(reason, paths):
    """A sentence about files that are passed over for a reason."""
    number = "1 image" if len(paths) == 1 else f"{len(paths)} images"
    more = len(paths) - _FILES_SHOWN
    shown = ", ".join(paths[:_FILES_SHOWN])
    return f"{number} {reason}: {shown}" + (f" and {more} more" if more > 0 else "")

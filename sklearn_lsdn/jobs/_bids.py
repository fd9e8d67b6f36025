"""BIDS datasets: which image of a subject and session has which contrast."""

import re
from dataclasses import dataclass
from pathlib import Path

from .._utils.names import Name, entities_of, is_image, same_value, split_name
from .._utils.optional import require

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


@dataclass(frozen=True)
class Session:
    """Scans of one subject in one session, or of a subject without sessions.

    Parameters
    ----------
    label : str
        Such as ``"sub-01_ses-2"``.
    scans : list of Scan
        One for each contrast that was asked for.
    """

    label: str
    scans: list


def find_sessions(
    folder, contrasts, *, space=None, desc=None, every_run=False, hint=""
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
        What these entities of an image must be; by default anything.
    every_run : bool, default=False
        Make a session of each run of a contrast, if there is but one contrast. By
        default sessions with repeated runs are left out.
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
        If a contrast's name is none, or no session has all contrasts.
    """
    wanted = [Contrast.parse(name) for name in contrasts]
    limits = {k: v for k, v in {"space": space, "desc": desc}.items() if v}
    scans, passed_over = _read_dataset(folder, {c.suffix for c in wanted})
    by_session = {}
    for scan in scans:
        by_session.setdefault("_".join(scan.levels), []).append(scan)
    sessions, left_out, empty, seen = [], [], {}, set()
    for label, scans in sorted(by_session.items()):
        subject = scans[0].levels[0]
        scans = [scan for scan in scans if limits.items() <= scan.entities.items()]
        choices = [[scan for scan in scans if c.matches(scan)] for c in wanted]
        if not any(choices):
            empty[subject] = f"{subject} lacks {' and '.join(contrasts)}"
            continue
        seen.add(subject)
        if every_run and len(wanted) == 1 and _are_runs(*choices):
            for scan in choices[0]:
                run = scan.entities.get("run")
                sessions.append(Session(f"{label}_run-{run}" if run else label, [scan]))
        elif fault := _fault(contrasts, choices):
            left_out.append(f"{label} {fault}")
        else:
            sessions.append(Session(label, [scan for (scan,) in choices]))
    # Sessions without any of the contrasts, of functional images say, are worth a
    # word only where their subject has nothing else.
    left_out += [text for subject, text in empty.items() if subject not in seen]
    left_out.sort()
    if not sessions:
        limits = "".join(f", with {key}-{value}" for key, value in limits.items())
        raise ValueError(
            f"No session in {folder} has {' and '.join(contrasts)}{limits}"
            + "".join(f"; {text}" for text in [*passed_over, *left_out[:_SHOWN]])
            + ("; ..." if len(left_out) > _SHOWN else ".")
            + (f" {hint}" if hint else "")
        )
    return sessions, [*left_out, *passed_over]


def _fault(contrasts, choices):
    """What keeps a session from being used, if anything does."""
    lacking = [
        name for name, found in zip(contrasts, choices, strict=True) if not found
    ]
    if lacking:
        return f"lacks {' and '.join(lacking)}"
    for name, found in zip(contrasts, choices, strict=True):
        if len(found) > 1:
            names = " and ".join(sorted(scan.path.name for scan in found))
            advice = _how_to_choose(name, found)
            return f"has {len(found)} images of {name} ({names}): {advice}"
    spaces = [scan.entities.get("space") or "no space" for (scan,) in choices]
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
    remembered = synthesizer.bids_query_ or {}
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

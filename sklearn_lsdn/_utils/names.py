"""What the names of images tell: whose they are, and which of them belong together."""

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

_ENDING = re.compile(r"\.(nii|img|hdr|mgh|mgz)(\.(gz|bz2|zst))?$", re.IGNORECASE)
_ENTITY = re.compile(r"([a-z]+)-([\w+-]+)")
# As in sub-01-T1.nii.gz, where it is no part of the label.
_CONTRAST = re.compile(r"-(t[12]\w*|pdw?|flair|mp2?rage|swi|dwi|adc|ct|pet)$", re.I)
_IS_CONTRAST = re.compile(
    r"(inplane)?t[12](w|star|starw|map|rho)?|pd(w|t2|map)?|flair|unit1|mp2?rage|angio"
    r"|swi|dwi|adc|ct|pet",
    re.I,
)
_ZEROS = re.compile(r"(?<![0-9A-Za-z])0+(?=[0-9]+(?![0-9A-Za-z]))")
_OF_PERSON = "sub", "ses", "run"


def split_name(path) -> tuple[str, str]:
    """Take the name of an image apart, the ending being that of a NIfTI file.

    Examples
    --------
    >>> from sklearn_lsdn._utils.names import split_name
    >>> split_name("data/sub-01_T1w.nii"), split_name("T1.mgz")
    (('sub-01_T1w', '.nii'), ('T1', '.nii.gz'))
    """
    name = Path(path).name
    found = _ENDING.search(name)
    if found is None:
        return name, ".nii.gz"
    plain = found.group().lower() == ".nii"
    return name[: found.start()], ".nii" if plain else ".nii.gz"


def is_image(path) -> bool:
    """Whether a file's name ends as that of an image."""
    return bool(_ENDING.search(Path(path).name))


@dataclass(frozen=True)
class Name:
    """The stem of a file's name, or a folder's, taken apart.

    Parameters
    ----------
    entities : dict of str to str
        Its parts of the form ``key-value``; of ``sub`` with the parts of digits alone
        that follow it, unless they end a file's name: there they number contrasts.
    others : tuple of str
        Its other parts; in a BIDS name the suffix alone.
    """

    entities: dict
    others: tuple

    @property
    def suffix(self) -> str:
        """The last part, which in a BIDS name says what the image is."""
        return self.others[-1] if self.others else ""

    @classmethod
    def parse(cls, stem, *, of_file=True) -> "Name":
        """Take the stem of a file's name apart, or the name of a folder.

        Examples
        --------
        >>> from sklearn_lsdn._utils.names import Name
        >>> Name.parse("sub-CC-001_ses-2_T1w")
        Name(entities={'sub': 'CC-001', 'ses': '2'}, others=('T1w',))
        >>> Name.parse("sub-IXI_1_T1w_brain")
        Name(entities={'sub': 'IXI_1'}, others=('T1w', 'brain'))
        """
        entities, others, last = {}, [], None
        parts = stem.split("_")
        end = len(parts) - of_file
        for i, part in enumerate(parts):
            if found := _ENTITY.match(part):
                last, value = found.groups()
                entities.setdefault(last, _CONTRAST.sub("", value))
            elif last == "sub" and part.isdecimal() and i < end:
                entities["sub"] += f"_{part}"
            else:
                last = None
                others.append(part)
        return cls(entities, tuple(others))


def entities_of(path) -> dict:
    """Subject, session and run that a file's name tells, or else its folders.

    Examples
    --------
    >>> from sklearn_lsdn._utils.names import entities_of
    >>> entities_of("sub-all/sub-07/ses-1/anat/sub-07_run-2_T1w.nii.gz")
    {'sub': '07', 'ses': '1', 'run': '2'}
    """
    stem, *folders = _levels(path)
    names = [Name.parse(stem), *(Name.parse(f, of_file=False) for f in folders)]
    found = {}
    for key in _OF_PERSON:
        values = (name.entities[key] for name in names if key in name.entities)
        if value := next(values, None):
            found[key] = value
    return found


def contrast_of(path) -> str:
    """The contrast that a file's name ends in, or nothing.

    Examples
    --------
    >>> from sklearn_lsdn._utils.names import contrast_of
    >>> contrast_of("sub-07_ce-gadolinium_space-MNI152_T1w.nii.gz")
    'T1w, gadolinium'
    >>> contrast_of("sub-07_desc-synth_T2w.nii.gz"), contrast_of("brain.nii")
    ('T2w', '')
    """
    name = Name.parse(split_name(path)[0])
    if not _IS_CONTRAST.fullmatch(name.suffix):
        return ""
    return ", ".join(filter(None, [name.suffix, name.entities.get("ce")]))


def subject_label(path) -> str | None:
    """Return the ``sub-`` entity of a file's name, or else of its nearest folder.

    Examples
    --------
    >>> from sklearn_lsdn._utils.names import subject_label
    >>> subject_label("sub-all/sub-CC-07_ses-1_T1w.nii.gz")
    'sub-CC-07'
    >>> subject_label("sub-07/anat/T1w.nii.gz")
    'sub-07'
    >>> subject_label("T1w.nii.gz") is None
    True
    """
    label = entities_of(path).get("sub")
    return label and f"sub-{label}"


def subject_labels(paths) -> list[str]:
    """Which subject each file is of, by what tells their names apart, or by numbers.

    Parameters
    ----------
    paths : list of path-like

    Returns
    -------
    labels : list of str

    Examples
    --------
    >>> from sklearn_lsdn._utils.names import subject_labels
    >>> subject_labels(["sub-07_T1w.nii", "sub-07_ses-2_T1w.nii"])
    ['sub-07', 'sub-07']
    >>> subject_labels(["IXI002-Guys-0828-T1.nii.gz", "IXI012-HH-1211-T1.nii.gz"])
    ['IXI002', 'IXI012']
    >>> subject_labels(["a.nii", "a.nii"])
    ['subject 1', 'subject 2']
    """
    labels = [subject_label(path) for path in paths]
    named = all("sub" in Name.parse(split_name(path)[0]).entities for path in paths)
    if all(labels) and (named or len(set(labels)) > 1):
        return labels
    if len(paths) > len(set(labels)) == 1:
        for level in zip(*map(_levels, paths), strict=False):
            for column in zip(*map(_words, level), strict=False):
                if len(set(column)) == len(paths):
                    return list(column)
    return [f"subject {i + 1}" for i in range(len(paths))]


def check_pair(first, second, remedy) -> None:
    """Raise ValueError for two files that cannot be of one session.

    Parameters
    ----------
    first, second : str
        Paths; what is empty tells nothing.
    remedy : str
        What to do, for the message.
    """
    if difference := disagreement(first, second):
        raise ValueError(
            f"{first} and {second} do not belong together: {difference}. {remedy}"
        )


def check_order(firsts, seconds, remedy) -> None:
    """Raise ValueError where a name belongs to another than the one beside it.

    Parameters
    ----------
    firsts, seconds : list of str
        Paths, as many in both; what is empty tells nothing.
    remedy : str
        What to do, for the message.
    """
    named = [pair for pair in zip(firsts, seconds, strict=True) if all(pair)]
    if found := mispaired(*zip(*named, strict=True)) if named else None:
        i, j, words = found
        (first, second), (_, other) = named[i], named[j]
        raise ValueError(
            f"{first} and {second} do not seem to belong together: {first} has "
            f"{' and '.join(words)} in common with {other}. {remedy} If they do belong "
            "together, rename them."
        )


def disagreement(first, second) -> str:
    """In which entities two files cannot be of one scan session, if in any.

    Examples
    --------
    >>> from sklearn_lsdn._utils.names import disagreement
    >>> disagreement("sub-1_ses-0_run-1_T1w.nii", "sub-1_ses-1_run-01_T2w.nii")
    'ses-0 and ses-1'
    """
    ours, theirs = entities_of(first), entities_of(second)
    return ", ".join(
        f"{key}-{ours[key]} and {key}-{theirs[key]}"
        for key in _OF_PERSON
        if key in ours and key in theirs and not same_value(ours[key], theirs[key])
    )


def same_value(first, second) -> bool:
    """Whether two values of an entity are one, as 1 and 01 are."""
    return _ZEROS.sub("", first) == _ZEROS.sub("", second)


def mispaired(firsts, seconds) -> tuple[int, int, list] | None:
    """Find a name in a list that belongs to another name than the one beside it.

    Parts of names that occur in one list only, such as the contrast, say nothing. Of
    the others, those count that a name has in common with one name of the other list
    alone. So dates and numbers that coincide by accident refuse no pair that has more
    than them in common.

    Parameters
    ----------
    firsts, seconds : list of path-like
        As many in both.

    Returns
    -------
    found : tuple or None
        Where the name is in the first list, where in the second what it belongs to, and
        the words that say so.

    Examples
    --------
    >>> from sklearn_lsdn._utils.names import mispaired
    >>> mispaired(["a_T1.nii", "b_T1.nii"], ["b_T2.nii", "a_T2.nii"])
    (0, 1, ['a'])
    >>> mispaired(["a_T1.nii", "b_T1.nii"], ["a_T2.nii", "b_T2.nii"]) is None
    True
    """
    ours, theirs = [[_features(p) for p in paths] for paths in (firsts, seconds)]
    telling = frozenset.union(*ours) & frozenset.union(*theirs)
    telling -= frozenset.intersection(*ours, *theirs)
    ours, theirs = [[each & telling for each in names] for names in (ours, theirs)]
    if ours == theirs:
        return None
    names, found, n_told = _Partners(ours, theirs), [], 0
    for i, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        best = other if one == other else names.best(one, other)
        told = names.tell(one & best)
        n_told += told
        if told and best != other and not names.tell(one & other):
            found.append((i, theirs.index(best), one & best))
    for i, j, common in found:
        words = sorted(feature[0] for feature in common if len(feature) == 1)
        # Words do not coincide by accident; numbers may, but hardly in most names.
        if 2 * n_told > len(ours) or not all(map(str.isdecimal, words)):
            return i, j, words
    return None


class _Partners:
    """Which parts of names occur where.

    Parameters
    ----------
    firsts, seconds : list of frozenset
        The parts of each name.
    """

    def __init__(self, firsts, seconds):
        self.lists = []
        for names in map(set, (firsts, seconds)):
            having = {}
            for name in names:
                for part in name:
                    having.setdefault(part, set()).add(name)
            self.lists.append(having)
        self.tell = cache(self._tell)

    def best(self, one, other):
        """Of the second list the name with most in common, ``other`` if as good."""
        having = self.lists[1]
        common = Counter(name for part in one for name in having[part])
        best = max(
            common,
            key=lambda name: (common[name], -len(name), sorted(name)),
            default=other,
        )
        return best if common[best] > common[other] else other

    def _tell(self, parts):
        """Whether parts occur together in one name of each list, and in no other."""
        return bool(parts) and all(
            len(set.intersection(*(having[part] for part in parts))) == 1
            for having in self.lists
        )


def _levels(path):
    """A file's name without its ending, and those of its folders, from within."""
    return [split_name(path)[0], *reversed(Path(path).parts[:-1])]


def _words(name):
    """Parts of the name of a file or folder."""
    return [word for word in re.split(r"[-_.\s]+", name) if word]


def _features(path):
    """Words of a name and of its folders, and which follows which."""
    levels = reversed(_levels(path))
    words = [word for level in levels for word in _words(level)]
    return frozenset([*((word,) for word in words), *pairwise(words)])

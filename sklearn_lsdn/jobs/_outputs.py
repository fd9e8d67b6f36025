"""Which images are written of a subject, what they are called, and what they are."""

from dataclasses import dataclass

from .._regressors.roles import role_of
from ._bids import Contrast


@dataclass(frozen=True)
class Output:
    """An image that is written of each subject.

    Parameters
    ----------
    kind : str
        Such as ``"synth"``.
    ending : str
        Of its name beside plain files.
    contrast : str
        BIDS name of what it shows.
    desc : str
        BIDS label of what was done.
    what : str
        What it is, to be followed by what it was made from.
    done : str
        What was done, in a word.
    unlike : str
        What it is not.
    mark : str, default=""
        What its header tells, beside who made it.
    """

    kind: str
    ending: str
    contrast: str
    desc: str
    what: str
    done: str = "synthesised"
    unlike: str = "not acquired"
    mark: str = ""


_OF_INTENSITIES = {
    "synth": "{} synthesised",
    "std": "Standard deviation of the {} synthesised",
    "lower": "Lower end of an interval around the {} synthesised",
    "upper": "Upper end of an interval around the {} synthesised",
    "novelty": "Novelty around each voxel of the {} synthesised",
}
_SEGMENTED = {"desc": "segm", "done": "segmented", "unlike": "not drawn by a person"}


def outputs_of(model, targets=None, *, uncertainty, interval, novelty) -> list[Output]:
    """What is written, in the order in which a model makes it.

    Parameters
    ----------
    model : VolumeSynthesizer or VolumeSegmenter
        A fitted one.
    targets : list of str, default=None
        BIDS names of what it predicts, where they are known.
    uncertainty, interval, novelty
        As `predict_files` takes them.

    Raises
    ------
    ValueError
        If the model cannot give what is asked for.
    """
    role = role_of(model)
    role.check_asked(uncertainty, interval, novelty)
    if role.classes is not None:
        name = "" if targets is None else targets[0]
        return [_labels(name), *_probabilities(name, role.classes)]
    kinds = {"synth": ""}
    if uncertainty:
        kinds["std"] = ""
    if interval is not None:
        kinds |= dict.fromkeys(("lower", "upper"), f"interval {interval:g}")
    if novelty:
        kinds["novelty"] = ""
    return [
        Output(
            kind,
            f"{kind}{number}",
            name,
            kind if kind == "synth" else f"synth{kind}",
            _OF_INTENSITIES[kind].format(name),
            mark=mark,
        )
        for kind, mark in kinds.items()
        for number, name in _each(kind, role.n_targets, targets)
    ]


def _each(kind, n_targets, targets):
    """Numbers and names of the targets; of novelty there is one, whatever they are."""
    names = [""] * n_targets if targets is None else targets
    if kind == "novelty":
        return [("", names[0])]
    return zip([""] if n_targets == 1 else range(1, n_targets + 1), names, strict=True)


def _labels(name):
    what = f"{name} segmented".strip()
    return Output("dseg", "dseg", _as(name, "dseg"), what=what, **_SEGMENTED)


def _probabilities(name, classes):
    """One for each class, which is named by its number where there are several."""
    labels = [label for label in classes.tolist() if label != 0]
    for label in labels:
        number = "" if len(labels) == 1 else str(label)
        of = f"{number} of {name}" if number else name
        what = f"Probability of the {of} segmented"
        contrast = _as(name, "probseg", number)
        yield Output("probseg", f"probseg{number}", contrast, what=what, **_SEGMENTED)


def _as(name, suffix, number=""):
    """A label image's BIDS name with another suffix."""
    if not name:
        return ""
    entities = dict(Contrast.parse(name).entities)
    if number:
        entities["label"] = entities.get("label", "") + number.replace("-", "minus")
    return "_".join([*(f"{k}-{v}" for k, v in entities.items()), suffix])

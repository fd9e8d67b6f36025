"""`lsdn register`."""

from functools import partial
from pathlib import Path

from .arguments import by_subject, find_sessions, refuse_entities, refuse_folders
from .options import add_dataset, add_keep_going, running
from .progress import shown

HELP = "align images rigidly, within subjects and to a reference"
PARENTS = (partial(running, jobs=False),)
_ROLES = ("source", "target")


def add_arguments(command):
    """Declare what the command takes."""
    add_dataset(command)
    for name in _ROLES:
        command.add_argument(
            f"--{name}",
            nargs="+",
            action="append",
            required=name == "source",
            default=None if name == "source" else [],
            metavar="NIFTI",
            help=f"{name} images as in lsdn fit; with BIDS_DIR: suffixes",
        )
    command.add_argument(
        "--reference",
        default="mni152",
        metavar="NIFTI",
        help="image that the first source is aligned to (default: the MNI152 template "
        "of nilearn, at 1 mm)",
    )
    command.add_argument(
        "-o", "--output", required=True, metavar="DIR", help="folder; it is made"
    )
    add_keep_going(command)


def run(arguments):
    """Align targets to sources within each subject, and sources to a reference, by
    rigid registration. Each image is resampled once; its transform is written beside
    it, and a picture of edges for each subject: look at them. Of a BIDS dataset also
    the sources of subjects who have no target."""
    from .._utils.optional import require
    from ..jobs import _alignment as alignment

    require("SimpleITK")
    require("matplotlib.figure")
    folder = Path(arguments.output)
    if arguments.dataset is None:
        refuse_entities(arguments, ("space", "desc"))
        refuse_folders(arguments)
        _refuse_unpaired(arguments)
        contrasts = [*arguments.source, *arguments.target]
        subjects = [
            images if isinstance(images, list) else [images]
            for images in by_subject(contrasts)
        ]
        reference = alignment.Reference.resolve(arguments.reference)
        outputs = alignment.outputs_in_folder(subjects, folder)
    else:
        query = {role: sum(getattr(arguments, role), []) for role in _ROLES}
        query |= {"space": arguments.space, "desc": arguments.desc}
        sessions = find_sessions(arguments.dataset, query, _ROLES[:1])
        if query["target"]:
            sessions = _with_targets(arguments.dataset, query, sessions)
        subjects = [[str(scan.path) for scan in each.scans] for each in sessions]
        contrasts = [*query["source"], *query["target"]]
        reference = alignment.Reference.resolve(arguments.reference)
        outputs = alignment.outputs_in_dataset(
            sessions, contrasts, folder, reference.space
        )
    with shown(arguments) as verbose:
        written = alignment.align_subjects(
            subjects,
            outputs,
            reference,
            dataset=arguments.dataset,
            folder=folder,
            overwrite=arguments.overwrite,
            keep_going=arguments.keep_going,
            verbose=verbose,
        )
    return "\n".join(map(str, written))


def _refuse_unpaired(arguments):
    """Raise ValueError if there are targets, but not one for each source."""
    if not arguments.target:
        return
    n_sources, n_targets = (
        len(by_subject(getattr(arguments, role))) for role in _ROLES
    )
    if n_sources != n_targets:
        raise ValueError(
            f"sources lists {n_sources} subjects and targets {n_targets}. Give one "
            "target for each source, in the same order."
        )


def _with_targets(dataset, query, sessions):
    """Complete sessions by their targets, where they have them."""
    from ..jobs import _bids as bids

    complete, lacking = bids.find_sessions(
        dataset,
        [*query["source"], *query["target"]],
        space=query["space"],
        desc=query["desc"],
    )
    complete = {session.label: session for session in complete}
    for text in lacking:
        if text.split()[0] in {session.label for session in sessions}:
            print(f"Without target: {text}", flush=True)
    return [complete.get(session.label, session) for session in sessions]

"""`lsdn register`."""

from contextlib import contextmanager
from functools import partial
from pathlib import Path

from .arguments import by_subject, find_sessions, refuse_entities, refuse_folders
from .options import add_dataset, add_keep_going, running
from .progress import shown

HELP = "align images, within subjects and to a reference"
PARENTS = (partial(running, memory=False),)
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
        "--affine",
        action="store_true",
        help="fit the first source to the reference in size and shear, too; targets "
        "remain rigid to their source",
    )
    command.add_argument(
        "--n4",
        action="store_true",
        help="take the bias field out of each image first, by N4; not for images "
        "from which it was taken before",
    )
    command.add_argument(
        "--report",
        metavar="FILE",
        help="write an HTML page on all subjects, the worst first",
    )
    command.add_argument(
        "-o", "--output", required=True, metavar="DIR", help="folder; it is made"
    )
    add_keep_going(command)


def run(arguments):
    """Align targets to sources within each subject, rigidly, and sources to a
    reference. Each image is resampled once; beside it go its transform and the
    numbers that tell how well it fits, and for each subject a picture: look at them.
    Of a BIDS dataset also the sources of subjects who have no target. Each subject
    under way takes about a gigabyte of memory."""
    from .._utils.optional import require
    from ..jobs import _alignment as alignment
    from ..jobs._aligned import Reference, Steps

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
        reference = Reference.resolve(arguments.reference)
        outputs = alignment.outputs_in_folder(subjects, folder)
    else:
        query = {role: sum(getattr(arguments, role), []) for role in _ROLES}
        query |= {"space": arguments.space, "desc": arguments.desc}
        sessions = find_sessions(arguments.dataset, query, _ROLES[:1], masks=False)
        if query["target"]:
            sessions = _with_targets(arguments.dataset, query, sessions)
        subjects = [[str(scan.path) for scan in each.scans] for each in sessions]
        contrasts = [*query["source"], *query["target"]]
        reference = Reference.resolve(arguments.reference)
        outputs = alignment.outputs_in_dataset(
            sessions, contrasts, folder, reference.space
        )
    steps = Steps(arguments.n4, "affine" if arguments.affine else "rigid")
    inputs = sum(subjects, [])
    with _page(arguments, inputs) as keep, shown(arguments) as verbose:
        written = alignment.align_subjects(
            subjects,
            outputs,
            reference,
            steps,
            dataset=arguments.dataset,
            folder=folder,
            overwrite=arguments.overwrite,
            keep_going=arguments.keep_going,
            n_jobs=arguments.jobs,
            verbose=verbose,
            keep=keep,
        )
    return "\n".join(map(str, written))


@contextmanager
def _page(arguments, inputs):
    """Write the page, if one is asked for, once all subjects were tried.

    Yields
    ------
    keep : callable or None
        To be called with what became of each.
    """
    if not arguments.report:
        yield None
        return
    from .._utils.files import prepared_outputs
    from ..exceptions import SubjectsFailed
    from ..report._page import check_ending
    from ..report._registration import require_page, write_registrations

    require_page()
    path, overwrite = arguments.report, arguments.overwrite
    seen, failure = [], None
    with prepared_outputs([path], overwrite=overwrite, inputs=inputs):
        check_ending(path)
        try:
            yield seen.append
        except SubjectsFailed as error:
            failure = error
        write_registrations(path, seen, overwrite=overwrite)
    if failure:
        raise failure


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
        masks=False,
    )
    complete = {session.label: session for session in complete}
    for text in lacking:
        if text.split()[0] in {session.label for session in sessions}:
            print(f"Without target: {text}", flush=True)
    return [complete.get(session.label, session) for session in sessions]

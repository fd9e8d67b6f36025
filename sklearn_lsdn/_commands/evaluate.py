"""`lsdn evaluate`."""

import tempfile
from functools import partial

from .arguments import (
    align,
    by_subject,
    find_images,
    labels_of,
    make_synthesizer,
    title,
)
from .options import (
    NETWORKS,
    add_dataset,
    add_register,
    cluster,
    images,
    network,
    preparation,
    refuse_without_page,
    running,
)
from .progress import shown
from .scores import (
    add_scores_output,
    check_scores_output,
    refuse_one_file_for_two,
    written_scores,
)

HELP = "leave one subject out"
PARENTS = (images, preparation, network, running, cluster)


def add_arguments(command):
    """Declare what the command takes."""
    add_dataset(command)
    command.add_argument(
        "--model",
        choices=NETWORKS,
        nargs="+",
        default=["lsdn"],
        help="one or more (default: lsdn)",
    )
    add_register(command)
    add_scores_output(command, "; not with --resume")
    command.add_argument(
        "--resume",
        metavar="DIR",
        help="keep the scores of each fold in a folder; folds whose scores are there, "
        "of the same images, parameters and versions, are not done again; not with "
        "--report, which needs all folds",
    )


def run(arguments):
    """Train on all subjects but one and predict that one, for each in turn; print the
    signal-to-noise ratio of each synthesis in dB. Files of one subject, by the sub-
    entity of their names, are held back together."""
    from .._utils.optional import require
    from ..jobs._leave_one_out import leave_one_subject_out
    from ..volumes._labels import are_called_labels

    if arguments.register or arguments.neighbours:
        require("SimpleITK")
    refuse_without_page(arguments)
    refuse_one_file_for_two(arguments)
    find_images(arguments, arguments.missing_sources)
    if are_called_labels(arguments.target[0]):
        raise ValueError(
            f"{arguments.target[0][0]} is a label image, by its name. lsdn evaluate "
            "compares intensities; in Python, cross_val_score of a VolumeSegmenter "
            "compares labels."
        )
    check_scores_output(arguments)
    labels, inspect = labels_of(arguments), None
    if arguments.report:
        from ..report._inspection import inspect_fold
        from ..report._pictures import checked_places

        places = checked_places(arguments.cut_coords)
        inspect = partial(inspect_fold, first=min(labels), cut_coords=places)
    synthesizers = {
        title(arguments, model): make_synthesizer(arguments, model)
        for model in arguments.model
    }
    with tempfile.TemporaryDirectory() as folder, shown(arguments) as verbose:
        if arguments.register:
            align(arguments, folder, verbose)
        evaluation = leave_one_subject_out(
            synthesizers,
            by_subject(arguments.source),
            by_subject(arguments.target),
            labels,
            masks=arguments.masks,
            n_jobs=arguments.jobs,
            max_memory=arguments.max_memory,
            verbose=verbose,
            inspect=inspect,
            resume=arguments.resume,
        )
    pages = zip(*evaluation.inspections, strict=True) if inspect else ()
    headline = "Each subject predicted by networks that have not seen it"
    return written_scores(arguments, evaluation, headline, *pages)

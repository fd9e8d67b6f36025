"""`lsdn predict`."""

from pathlib import Path

from .arguments import QUERY, by_subject, completed, find_sessions, refuse_entities
from .options import add_entities, add_keep_going, cluster, running
from .progress import shown

HELP = "synthesise images by a model"
PARENTS = (running, cluster)


def add_arguments(command):
    """Declare what the command takes."""
    command.add_argument("model", help="model file of lsdn fit")
    command.add_argument(
        "images",
        nargs="+",
        metavar="NIFTI|BIDS_DIR",
        help="images, one a subject; or the folder of a BIDS dataset, to use all its "
        "sessions that have the source contrasts",
    )
    command.add_argument(
        "--also",
        nargs="+",
        action="append",
        default=[],
        metavar="NIFTI",
        help="images of the second source contrast, in the same order; repeat for more",
    )
    command.add_argument(
        "-o", "--output", required=True, metavar="DIR", help="folder; it is made"
    )
    command.add_argument(
        "--uncertainty",
        action="store_true",
        help="also write each voxel's standard deviation, as .._std; the model needs "
        "lsdn fit --n-estimators 2 or more",
    )
    command.add_argument(
        "--interval",
        type=float,
        metavar="LEVEL",
        help="also write the ends of an interval that keeps this level, such as 0.9, "
        "as .._lower and .._upper; the model needs --n-estimators 2 or more, and n "
        "subjects of training keep no level above n / (n + 1)",
    )
    command.add_argument(
        "--resume",
        action="store_true",
        help="leave alone subjects whose outputs are there and whole, by this model of "
        "these images, do the others",
    )
    add_keep_going(command)
    group = add_entities(command)
    group.description = (
        "By default those of training, if its images shared a space or a desc; "
        '--space "" and --desc "" take any. Repeated runs are all predicted where the '
        "model has one source contrast."
    )
    for name, example in (("source", "T1w"), ("target", "T2w")):
        group.add_argument(
            f"--{name}",
            nargs="+",
            metavar="SUFFIX",
            help=f"{name} contrasts, such as {example} (default: those of training)",
        )


def run(arguments):
    """Predict the target contrast of new subjects. Each output lies on the grid of its
    input and is called after it, with _synth before the ending. From the folder of a
    BIDS dataset, write a derivative dataset."""
    from .._persistence.model_files import load_synthesizer

    is_dataset = _is_dataset(arguments)
    synthesizer = load_synthesizer(arguments.model)
    synthesizer.set_params(n_jobs=arguments.jobs, max_memory=arguments.max_memory)
    predict = _predict_dataset if is_dataset else _predict_images
    with shown(arguments) as verbose:
        written = predict(synthesizer, arguments, verbose)
    return "\n".join(map(str, written))


def _is_dataset(arguments):
    """Whether a dataset's folder was given, rather than images."""
    given = sum(arguments.also, arguments.images)
    folders = [path for path in given if Path(path).is_dir()]
    if folders and len(given) > 1:
        raise ValueError(
            f"{folders[0]} is a folder. Give one BIDS_DIR at a time, without --also; "
            "name further contrasts by --source."
        )
    return bool(folders)


def _predict_images(synthesizer, arguments, verbose):
    from ..jobs._prediction import predict_files

    refuse_entities(arguments, QUERY)
    return predict_files(
        synthesizer,
        by_subject([arguments.images, *arguments.also]),
        arguments.output,
        uncertainty=arguments.uncertainty,
        interval=arguments.interval,
        overwrite=arguments.overwrite,
        resume=arguments.resume,
        keep_going=arguments.keep_going,
        verbose=verbose,
    )


def _predict_dataset(synthesizer, arguments, verbose):
    from ..jobs._derivatives import predict_dataset

    (dataset,) = arguments.images
    given = {name: getattr(arguments, name) for name in QUERY}
    query, hint = completed(synthesizer, dataset, given)
    return predict_dataset(
        synthesizer,
        dataset,
        find_sessions(dataset, query, ["source"], every_run=True, hint=hint),
        arguments.output,
        source=query["source"],
        target=query["target"],
        model_file=arguments.model,
        uncertainty=arguments.uncertainty,
        interval=arguments.interval,
        overwrite=arguments.overwrite,
        resume=arguments.resume,
        keep_going=arguments.keep_going,
        verbose=verbose,
    )

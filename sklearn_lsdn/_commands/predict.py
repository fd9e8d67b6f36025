"""`lsdn predict`."""

from contextlib import contextmanager
from functools import partial
from pathlib import Path

from .arguments import (
    QUERY,
    by_subject,
    find_masks,
    find_with_masks,
    masks_of_each,
    refuse_entities,
)
from .options import (
    add_entities,
    add_keep_going,
    add_mask,
    add_page,
    cluster,
    refuse_without_page,
    running,
)
from .progress import shown, tell

HELP = "synthesise or segment images by a model"
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
        help="images of the second source contrast, in the same order; repeat for "
        "more. Where the model was trained with --missing-sources, none stands for one "
        "that a subject lacks",
    )
    command.add_argument(
        "-o", "--output", required=True, metavar="DIR", help="folder; it is made"
    )
    add_prediction(command)


def add_prediction(command):
    """Declare what a prediction takes beside a model, images and a folder."""
    add_mask(command)
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
        "--novelty",
        action="store_true",
        help="also write how unlike training each voxel's surroundings are, as "
        ".._novelty: 2 is as unusual as one voxel of training in a hundred",
    )
    command.add_argument(
        "--refuse-unlike",
        action="store_true",
        help="refuse scans that are unlike those of training, rather than warn of them",
    )
    add_page(
        command,
        "slices and a view of every subject that this run predicts (with --resume of "
        "no others) with the maps of --uncertainty and --novelty, warnings, the "
        "networks and their training",
        "how many warnings they have",
        "",
    )
    command.add_argument(
        "--resume",
        action="store_true",
        help="leave alone subjects whose outputs are there and whole, by this model of "
        "these images and without a warning, do the others",
    )
    add_keep_going(command)
    group = add_entities(command)
    group.description = (
        "By default those of training, if its images shared a space or a desc; "
        '--space "" and --desc "" take any. Repeated runs are all predicted where the '
        "model has one source contrast."
    )
    group.add_argument(
        "--participant-label",
        "--participant_label",
        nargs="+",
        metavar="LABEL",
        help="subjects to predict, with or without sub- (default: all)",
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
    input and is called after it, with _synth before the ending; of a model of labels,
    with _dseg and, for the probability of each label, _probseg. From the folder of a
    BIDS dataset, write a derivative dataset."""
    from .._persistence.model_files import load_synthesizer
    from .._regressors.roles import role_of

    refuse_without_page(arguments)
    is_dataset = _is_dataset(arguments)
    arguments.dataset = arguments.images[0] if is_dataset else None
    synthesizer = load_synthesizer(arguments.model, of_labels=True)
    if arguments.report and role_of(synthesizer).classes is not None:
        raise ValueError(
            f"--report shows intensities, and {arguments.model} predicts labels. Leave "
            "it out."
        )
    synthesizer.set_params(n_jobs=arguments.jobs, max_memory=arguments.max_memory)
    predict = _predict_dataset if is_dataset else _predict_images
    with _page(arguments, synthesizer) as seen, shown(arguments) as verbose:
        written = predict(synthesizer, arguments, _options(arguments, seen, verbose))
    return "\n".join(map(str, written))


@contextmanager
def _page(arguments, synthesizer):
    """Write the page, if one is asked for, once subjects were predicted.

    Yields
    ------
    seen : list or None
        To be filled with the source of each subject, and what there is to see.
    """
    if not arguments.report:
        yield None
        return
    from .._utils.files import prepared_outputs
    from ..exceptions import SubjectsFailed
    from ..report._inspection import inspect_network
    from ..report._page import check_page, require_report, write_page

    require_report()
    inputs = [arguments.model, *sum(arguments.also, arguments.images)]
    overwrite = arguments.overwrite
    seen, notes, failure = [], [], None
    with prepared_outputs([arguments.report], overwrite=overwrite, inputs=inputs):
        check_page(arguments.report, overwrite=overwrite)
        try:
            yield seen
        except SubjectsFailed as error:
            failure, notes = error, str(error).splitlines()
        if not seen and failure is None:
            tell(arguments, "Report: not written, as no subject was left to predict")
            return
        if arguments.resume:
            notes.append(
                f"Predicted now, and shown: {len(seen)}. Subjects that were done "
                "before are not on this page."
            )
        sources, results = zip(*seen, strict=True) if seen else ([None], [])
        networks = [inspect_network(synthesizer, sources[0])]
        title = f"Syntheses by {Path(arguments.model).name}"
        write_page(
            arguments.report,
            title,
            results,
            networks,
            notes=notes,
            command=arguments.as_typed,
            worst_first=arguments.worst_first,
            overwrite=overwrite,
        )
        tell(arguments, f"Report: {arguments.report}")
    if failure:
        raise failure


def _options(arguments, seen, verbose):
    """What predictions of files and of datasets have in common."""
    names = "uncertainty interval novelty overwrite resume keep_going"
    options = {name: getattr(arguments, name) for name in names.split()}
    options["on_unlike"] = "raise" if arguments.refuse_unlike else "warn"
    if seen is not None:
        from ..report._inspection import inspect_synthesis
        from ..report._pictures import checked_places

        places = checked_places(arguments.cut_coords, targets=False)
        options["inspect"] = partial(inspect_synthesis, cut_coords=places)
        options["keep"] = lambda *each: seen.append(each)
    return options | {"verbose": verbose}


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


def _predict_images(synthesizer, arguments, options):
    from ..jobs._prediction import predict_files

    refuse_entities(arguments, [*QUERY, "participant_label"])
    find_masks(arguments)
    sources = by_subject([arguments.images, *arguments.also])
    return predict_files(
        synthesizer,
        sources,
        arguments.output,
        masks=masks_of_each(arguments, len(sources)),
        **options,
    )


def _predict_dataset(synthesizer, arguments, options):
    from ..jobs._bids_query import complete_query
    from ..jobs._derivatives import predict_dataset

    given = {name: getattr(arguments, name) for name in QUERY}
    query, hint = complete_query(synthesizer, arguments.dataset, **given)
    sessions = find_with_masks(
        arguments,
        query,
        ["source"],
        participants=arguments.participant_label,
        every_run=True,
        hint=hint,
    )
    return predict_dataset(
        synthesizer,
        arguments.dataset,
        sessions,
        arguments.output,
        source=query["source"],
        target=query["target"],
        masks=masks_of_each(arguments, len(sessions)),
        masks_folder=arguments.masks_folder,
        model_file=arguments.model,
        command=arguments.as_typed,
        **options,
    )

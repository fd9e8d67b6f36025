"""`lsdn evaluate`."""

import json
from pathlib import Path

from .arguments import by_subject, find_images, inputs, layers, make_synthesizer
from .options import (
    NETWORKS,
    add_dataset,
    cluster,
    images,
    network,
    preparation,
    running,
)
from .progress import shown

HELP = "leave one subject out"
PARENTS = (images, preparation, network, running, cluster)


def add_arguments(command):
    """Declare what the command takes."""
    add_dataset(command)
    command.add_argument(
        "--model",
        choices=tuple(NETWORKS),
        nargs="+",
        default=["lsdn"],
        help="one or more (default: lsdn)",
    )
    command.add_argument(
        "--json", metavar="FILE", help="write scores of every volume to a file"
    )
    command.add_argument(
        "--report",
        metavar="FILE",
        help="write a page for the browser, .html: slices of every subject with errors "
        "and scores, the networks and their training, warnings; not with --resume",
    )
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
    from .._utils.files import check_output
    from .._utils.names import subject_labels
    from ..jobs._leave_one_out import leave_one_subject_out

    inspect = None
    if arguments.report:
        from ..report._inspection import inspect_fold as inspect
        from ..report._page import require_report

        require_report()
    _refuse_one_file_for_two(arguments)
    find_images(arguments)
    for path in filter(None, (arguments.json, arguments.report)):
        check_output(path, overwrite=arguments.overwrite, inputs=inputs(arguments))
    synthesizers = {
        layers(arguments, model): make_synthesizer(arguments, model)
        for model in arguments.model
    }
    with shown(arguments) as verbose:
        evaluation = leave_one_subject_out(
            synthesizers,
            by_subject(arguments.source),
            by_subject(arguments.target),
            subject_labels(arguments.source[0]),
            n_jobs=arguments.jobs,
            max_memory=arguments.max_memory,
            verbose=verbose,
            inspect=inspect,
            resume=arguments.resume,
        )
    try:
        _write(arguments, evaluation)
    except Exception as error:
        error.result = evaluation.table()  # to be printed all the same
        raise
    return evaluation.table()


def _refuse_one_file_for_two(arguments):
    """Raise ValueError if scores and report would be written to one file."""
    outputs = [path for path in (arguments.json, arguments.report) if path]
    if len({Path(path).resolve() for path in outputs}) < len(outputs):
        raise ValueError(
            f"--json and --report would both be written to {arguments.report}. Give "
            "each a file of its own."
        )


def _write(arguments, evaluation):
    """Write the files that were asked for."""
    from .._utils.files import written_whole

    if arguments.json:
        with written_whole(arguments.json, overwrite=arguments.overwrite) as path:
            path.write_text(json.dumps(evaluation.to_dict(), indent=2) + "\n")
    if arguments.report:
        from ..report import write_page

        results, networks = zip(*evaluation.inspections, strict=True)
        for result, record in zip(results, evaluation.records, strict=True):
            told = [*result["warnings"], *record["warnings"]]
            result["warnings"] = list(dict.fromkeys(told))
        title = "Each subject predicted by networks that have not seen it"
        write_page(
            arguments.report, title, results, networks, overwrite=arguments.overwrite
        )

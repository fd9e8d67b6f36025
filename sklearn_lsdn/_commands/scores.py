"""What `lsdn evaluate` and `lsdn score` do with scores."""

import json
from pathlib import Path

from .arguments import inputs
from .options import add_page
from .progress import tell


def add_scores_output(command, unless=""):
    """Where scores go, beside standard output."""
    command.add_argument(
        "--json", metavar="FILE", help="write scores of every volume to a file"
    )
    shows = "slices and a view of every subject with errors and scores, the networks"
    add_page(command, f"{shows} and their training, warnings{unless}", "their SNR")


def refuse_one_file_for_two(arguments):
    """Raise ValueError if scores and report would be written to one file."""
    outputs = [path for path in (arguments.json, arguments.report) if path]
    if len({Path(path).resolve() for path in outputs}) < len(outputs):
        raise ValueError(
            f"--json and --report would both be written to {arguments.report}. Give "
            "each a file of its own."
        )


def check_scores_output(arguments, *more):
    """Raise an error unless files can be written, rather before the work."""
    from .._utils.files import check_output

    if arguments.report:
        from ..report._page import check_page, require_report

        require_report()
    for path in filter(None, (arguments.json, arguments.report)):
        check_output(
            path, overwrite=arguments.overwrite, inputs=[*inputs(arguments), *more]
        )
    if arguments.report:
        check_page(arguments.report, overwrite=arguments.overwrite)


def written_scores(arguments, evaluation, title, results=(), networks=()):
    """Write the files that were asked for, and return the table.

    Parameters
    ----------
    arguments : Namespace
    evaluation : Evaluation
    title : str
        Of the report.
    results, networks : list of dict
        What it shows, a result for each record.
    """
    try:
        _write(arguments, evaluation, title, results, networks)
    except Exception as error:
        error.result = evaluation.table()  # to be printed all the same
        raise
    return evaluation.table()


def _write(arguments, evaluation, title, results, networks):
    from .._utils.files import written_whole

    if arguments.json:
        with written_whole(arguments.json, overwrite=arguments.overwrite) as path:
            path.write_text(json.dumps(evaluation.to_dict(), indent=2) + "\n")
    if arguments.report:
        from ..report import write_page

        for result, record in zip(results, evaluation.records, strict=True):
            told = [*result["warnings"], *record["warnings"]]
            result["warnings"] = list(dict.fromkeys(told))
        write_page(
            arguments.report,
            title,
            results,
            networks,
            command=arguments.as_typed,
            worst_first=arguments.worst_first,
            overwrite=arguments.overwrite,
        )
        tell(arguments, f"Report: {arguments.report}")

"""The `lsdn` command: argparse in, the package's own functions to do the work."""

import argparse
import contextlib
import os
import shlex
import sys
import warnings
from importlib import import_module

from .._version import __version__
from ..exceptions import ScanWarning, TrainingInterrupted

_COMMANDS = (
    "demo",
    "register",
    "fit",
    "shrink",
    "predict",
    "score",
    "evaluate",
    "info",
    "export",
    "bids-app",
    "selftest",
)

_DESCRIPTION = """\
Synthesise a missing MR contrast from one that was taken.

Train on subjects who have both contrasts, predict the missing one of new subjects.
A subject's contrasts must lie on one grid (--register brings them there), which may be
the scanner's own, with everything but the brain set to one value, such as 0, or outside
a mask: --mask, or desc-brain_mask in a BIDS dataset.
"""

_EXAMPLES = """\
examples:
  lsdn selftest
  lsdn demo
  lsdn register --source raw/*_T1w.nii.gz --target raw/*_T2w.nii.gz -o aligned/
  lsdn fit --source train/*_T1w.nii.gz --target train/*_T2w.nii.gz -o t2w.skops
  lsdn predict t2w.skops new/*_T1w.nii.gz -o synthesised/
  lsdn score t2w.skops --source test/*_T1w.nii.gz --target test/*_T2w.nii.gz
  lsdn evaluate --source all/*_T1w.nii.gz --target all/*_T2w.nii.gz --model lsdn cdn vdn
  lsdn shrink t2w.skops --source a/*_T1w.nii.gz --target a/*_T2w.nii.gz -o small.skops
  lsdn info t2w.skops
  lsdn export t2w.skops -o t2w.onnx
  lsdn fit BIDS_DIR --source T1w --target T2w --desc preproc -o t2w.skops
  lsdn predict t2w.skops BIDS_DIR -o BIDS_DIR/derivatives/lsdn
  lsdn bids-app BIDS_DIR OUT participant --model t2w.skops --participant-label 01

Sources and targets are matched in the order in which they are given, so that file
names which sort alike, as BIDS names do, can be given with a wildcard. With the folder
of a BIDS dataset they are suffixes, and images are matched by subject and session.

exit codes: 0 done, 1 an input or output cannot be used, 2 wrong usage, 130 interrupted,
141 nobody reads the output
"""

_SPARING = {
    "n_voxels": "fewer --n-voxels",
    "patch_size": "a smaller --patch-size",
    "hidden_layer_sizes": "smaller --hidden-layer-sizes",
    "max_memory": "--max-memory, to be told before the work",
}
"""Options that save memory, for commands that have them."""


_FAILURES = ImportError, MemoryError, OSError, ScanWarning, TypeError, ValueError


def main(argv=None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : list of str, default=None
        Arguments; by default those of the process.

    Returns
    -------
    exit_code : int
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # file names may hold anything
            stream.reconfigure(errors="backslashreplace")
    arguments = _parser().parse_args(argv)
    arguments.as_typed = shlex.join(["lsdn", *(sys.argv[1:] if argv is None else argv)])
    try:
        _run(arguments)
    except BrokenPipeError:  # as of `lsdn info model.skops | head -1`
        _silence(sys.stdout, sys.stderr)
        return 141
    except _FAILURES as error:
        if arguments.traceback:
            raise
        if isinstance(error, MemoryError):
            error = _too_little_memory(arguments)
        print(f"lsdn {arguments.command}: error: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, TrainingInterrupted):
        print(f"lsdn {arguments.command}: interrupted", file=sys.stderr)
        return 130
    return 0


def _run(arguments):
    """Do the work and print its result, even if a file of it could not be written."""
    strict = getattr(arguments, "strict", False)
    try:
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
            # A half-trained network must not pass for a trained one.
            warnings.simplefilter("error", TrainingInterrupted)
            warnings.simplefilter("error" if strict else "always", ScanWarning)
            warnings.showwarning = _show_each_once()
            with _workers(arguments):
                result = arguments.run(arguments)
    except Exception as error:
        _print(getattr(error, "result", None))
        raise
    _print(result)


def _print(result):
    """Print now, while something can still be said of what fails."""
    if not result:
        return
    try:
        print(result, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        _silence(sys.stdout)
        reason = error.strerror or error
        raise OSError(f"standard output cannot be written: {reason}.") from error


def _silence(*streams):
    """Let what streams still hold go nowhere when the interpreter ends."""
    for stream in streams:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())


def _too_little_memory(arguments):
    advice = [text for name, text in _SPARING.items() if hasattr(arguments, name)]
    return f"not enough memory. Try {', or '.join(advice or ['smaller images'])}."


def _workers(arguments):
    """Where the work is done: here, or on a cluster."""
    if getattr(arguments, "scheduler", None) is None:
        return contextlib.nullcontext()
    from .._utils.parallel import on_scheduler

    return on_scheduler(arguments.scheduler)


def _show_each_once():
    told = set()

    def show(message, *where, **more):
        if str(message) not in told:
            told.add(str(message))
            print(f"Warning: {message}", file=sys.stderr, flush=True)

    return show


def _parser():
    parser = argparse.ArgumentParser(
        prog="lsdn",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", title="commands"
    )
    for name in _COMMANDS:
        module = import_module(f".{name.replace('-', '_')}", __package__)
        command = commands.add_parser(
            name,
            parents=[parent() for parent in module.PARENTS],
            help=module.HELP,
            description=module.run.__doc__,
        )
        command.set_defaults(run=module.run, traceback=False)
        module.add_arguments(command)
    return parser


if __name__ == "__main__":
    sys.exit(main())

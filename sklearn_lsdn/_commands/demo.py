"""`lsdn demo`."""

from functools import partial
from pathlib import Path

from .options import running

HELP = "the main job on simulated subjects"
PARENTS = (partial(running, memory=False, verbose=False),)


def add_arguments(command):
    """Declare what the command takes."""
    command.add_argument(
        "-o",
        "--output",
        default="lsdn-demo",
        metavar="DIR",
        help="folder for images and picture (default: %(default)s)",
    )


def run(arguments):
    """Train LSDN, CDN and VDN on simulated subjects, predict one held back, and save
    its images and a picture. No data are needed."""
    from ..jobs._demo import run_demo

    evaluation = run_demo(
        arguments.output,
        n_jobs=arguments.jobs,
        overwrite=arguments.overwrite,
        verbose=not arguments.quiet,
    )
    folder = Path(arguments.output).resolve()
    return f"{evaluation.table()}\n\nImages and synthesis.png are in {folder}"

"""`lsdn bids-app`."""

import argparse
import os

from .._version import __version__
from . import predict

HELP = "predict, called as BIDS Apps are"
PARENTS = predict.PARENTS


def add_arguments(command):
    """Declare what the command takes."""
    command.add_argument("dataset", metavar="BIDS_DIR", help="folder of the dataset")
    command.add_argument(
        "output", metavar="OUT", help="folder of the derivative dataset; it is made"
    )
    command.add_argument(
        "level", type=_level, metavar="participant", help="the level of analysis"
    )
    command.add_argument(
        "--model", required=True, metavar="MODEL", help="model file of lsdn fit"
    )
    predict.add_prediction(command)
    command.add_argument(
        "--skip-bids-validator",
        "--skip_bids_validator",
        action="store_true",
        help="taken because others take it: no validator is run",
    )
    command.add_argument("--version", action="version", version=__version__)


def _level(text):
    if text == "group":
        raise argparse.ArgumentTypeError(
            "there is no work at the level of group, for each subject is predicted by "
            "itself: give participant"
        )
    if text != "participant":
        raise argparse.ArgumentTypeError(f"{text!r} is not participant")
    return text


def run(arguments):
    """Do what lsdn predict does for a BIDS dataset, with the arguments in the order in
    which BIDS Apps take them. It is what the container runs."""
    if not os.path.isdir(arguments.dataset):
        raise NotADirectoryError(f"{arguments.dataset} is not the folder of a dataset.")
    arguments.images, arguments.also = [arguments.dataset], []
    return predict.run(arguments)

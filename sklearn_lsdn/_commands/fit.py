"""`lsdn fit`."""

import argparse
import tempfile

from .arguments import (
    align,
    at_rest,
    by_subject,
    find_images,
    inputs,
    learns_labels,
    make_segmenter,
    make_synthesizer,
)
from .options import (
    NETWORKS,
    add_dataset,
    add_model_output,
    add_register,
    cluster,
    images,
    keep,
    network,
    preparation,
    running,
)
from .progress import shown

HELP = "train, and save a model"
PARENTS = (images, preparation, network, running, cluster)


def add_arguments(command):
    """Declare what the command takes."""
    add_dataset(command)
    command.add_argument(
        "--model",
        choices=NETWORKS,
        default="lsdn",
        help="location-sensitive, coordinates concatenated, or vanilla network "
        "(default: %(default)s)",
    )
    command.add_argument(
        "--shrink",
        type=keep,
        metavar="auto|FRACTION",
        help="shrink the network by ShrinkConnect to this fraction of its hidden "
        "nodes, or as far as 2 %% of training error allow",
    )
    command.add_argument(
        "--labels",
        action=argparse.BooleanOptionalAction,
        help="targets are label images, of a whole number for each class: train a "
        "classifier, by which lsdn predict segments (default: if they are called "
        ".._mask or .._dseg)",
    )
    add_register(command)
    command.add_argument(
        "--resume",
        metavar="DIR",
        help="keep each subject's voxels and each of --n-estimators networks in a "
        "folder; if training is cut off, the same command goes on from there. The "
        "folder may go once the model is saved",
    )
    add_model_output(command)


def run(arguments):
    """Train a network to predict the target contrast from the source contrasts, or to
    tell labels, and save it."""
    from .._persistence.model_files import save_model
    from .._regressors.shrink_connect import ShrinkConnect
    from .._utils.files import check_output
    from .._utils.optional import require

    require("skops.io")
    if arguments.register or arguments.neighbours:
        require("SimpleITK")
    query = find_images(arguments, arguments.missing_sources)
    check_output(
        arguments.output, overwrite=arguments.overwrite, inputs=inputs(arguments)
    )
    make = make_segmenter if learns_labels(arguments) else make_synthesizer
    synthesizer = make(arguments, arguments.model)
    synthesizer.set_params(
        memory=arguments.resume, n_jobs=arguments.jobs, max_memory=arguments.max_memory
    )
    with tempfile.TemporaryDirectory() as folder, shown(arguments) as verbose:
        synthesizer.set_params(verbose=verbose)
        if arguments.shrink:
            network = ShrinkConnect(synthesizer.estimator, keep=arguments.shrink)
            synthesizer.set_params(estimator=network)
        if arguments.register:
            align(arguments, folder, verbose)
        synthesizer.fit(
            by_subject(arguments.source),
            by_subject(arguments.target),
            masks=arguments.masks,
        )
    if query:
        synthesizer.bids_query_ = query
    save_model(at_rest(synthesizer), arguments.output, overwrite=arguments.overwrite)
    return f"Saved {arguments.output}"

"""`lsdn shrink`."""

from .arguments import at_rest, by_subject, find_images, inputs, masks_of_each
from .options import (
    add_dataset,
    add_mask,
    add_model_output,
    cluster,
    images,
    keep,
    running,
)
from .progress import shown

HELP = "make a model smaller and faster"
PARENTS = (images, running, cluster)


def add_arguments(command):
    """Declare what the command takes."""
    command.add_argument("model", help="model file of lsdn fit")
    add_dataset(command)
    add_mask(command)
    command.add_argument(
        "--keep",
        type=keep,
        default="auto",
        metavar="auto|FRACTION",
        help="fraction of the hidden nodes to keep, or as few as 2 %% of training "
        "error allow (default: auto)",
    )
    add_model_output(command)


def run(arguments):
    """Make a trained model smaller by ShrinkConnect: keep the hidden nodes that span
    the responses of all, and train what is left a little further. Images of the
    training cohort serve best, others of both contrasts will do."""
    from .._persistence.model_files import load_synthesizer, save_model
    from .._utils.files import check_output

    find_images(arguments)
    check_output(
        arguments.output, overwrite=arguments.overwrite, inputs=inputs(arguments)
    )
    synthesizer = load_synthesizer(arguments.model).set_params(
        n_jobs=arguments.jobs,
        max_memory=arguments.max_memory,
        n_voxels=arguments.n_voxels,
    )
    with shown(arguments) as verbose:
        sources = by_subject(arguments.source)
        smaller = synthesizer.set_params(verbose=verbose).shrink(
            sources,
            by_subject(arguments.target),
            masks=masks_of_each(arguments, len(sources)),
            keep=arguments.keep,
            random_state=arguments.seed,
            verbose=verbose,
        )
    save_model(at_rest(smaller), arguments.output, overwrite=arguments.overwrite)
    sizes = smaller.estimator_.estimator_.hidden_layer_sizes
    return f"Saved {arguments.output} with {'-'.join(map(str, sizes))} hidden nodes"

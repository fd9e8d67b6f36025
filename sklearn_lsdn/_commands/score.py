"""`lsdn score`."""

from functools import partial
from pathlib import Path

from .arguments import by_subject, find_images_of_model, labels_of, masks_of_each
from .options import (
    add_dataset,
    add_mask,
    add_pairs,
    cluster,
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

HELP = "compare syntheses by a model with scans"
PARENTS = (running, cluster)


def add_arguments(command):
    """Declare what the command takes."""
    command.add_argument("model", help="model file of lsdn fit")
    add_dataset(command)
    add_mask(add_pairs(command, required=False))
    add_scores_output(command)


def run(arguments):
    """Predict subjects who have the target contrast as well, by a model as it is, and
    print the signal-to-noise ratio of each synthesis in dB. Of subjects that the model
    was trained on this says little; lsdn evaluate holds each back in turn."""
    from .._persistence.model_files import load_synthesizer
    from ..jobs._scoring import score_subjects

    refuse_without_page(arguments)
    refuse_one_file_for_two(arguments)
    synthesizer = load_synthesizer(arguments.model)
    synthesizer.set_params(n_jobs=arguments.jobs, max_memory=arguments.max_memory)
    find_images_of_model(arguments, synthesizer)
    check_scores_output(arguments, arguments.model)
    inspect = None
    if arguments.report:
        from ..report._inspection import inspect_network, inspect_synthesis
        from ..report._pictures import checked_places

        places = checked_places(arguments.cut_coords)
        inspect = partial(inspect_synthesis, cut_coords=places)
    sources = by_subject(arguments.source)
    masks = masks_of_each(arguments, len(sources))
    with shown(arguments) as verbose:
        evaluation = score_subjects(
            synthesizer,
            sources,
            by_subject(arguments.target),
            labels_of(arguments),
            masks=masks,
            model=Path(arguments.model).stem,
            verbose=verbose,
            inspect=inspect,
        )
    pages = ()
    if inspect:
        name = evaluation.records[0]["model"]
        mask = masks and masks[0]
        networks = [inspect_network(synthesizer, sources[0], name, mask=mask)]
        pages = evaluation.inspections, networks
    title = f"Scans and their syntheses by {Path(arguments.model).name}"
    return written_scores(arguments, evaluation, title, *pages)

"""The `lsdn` command: argparse in, the package's own functions to do the work."""

import argparse
import contextlib
import json
import sys
import warnings
from pathlib import Path

from . import __version__

_HIDDEN_LAYER_SIZES = {"lsdn": (200, 20), "cdn": (400, 40), "vdn": (400, 40)}

_DESCRIPTION = """\
Synthesise a missing MR contrast from one that was taken.

Train on subjects who have both contrasts, predict the missing one of new subjects.
All images must lie in one space (a rigid registration to a common reference will do),
a subject's contrasts on one grid, with everything but the brain set to 0 or outside
a mask given by --mask.
"""

_EXAMPLES = """\
examples:
  lsdn demo
  lsdn fit --source train/*_T1w.nii.gz --target train/*_T2w.nii.gz -o t2w.skops
  lsdn predict t2w.skops new/*_T1w.nii.gz -o synthesised/
  lsdn evaluate --source all/*_T1w.nii.gz --target all/*_T2w.nii.gz --model lsdn cdn vdn
  lsdn shrink t2w.skops --source a/*_T1w.nii.gz --target a/*_T2w.nii.gz -o small.skops
  lsdn info t2w.skops

Sources and targets are matched in the order in which they are given, so that file
names which sort alike, as BIDS names do, can be given with a wildcard.

exit codes: 0 done, 1 an input or output cannot be used, 2 wrong usage, 130 interrupted
"""


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
    arguments = _parser().parse_args(argv)
    try:
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
            # A half-trained network must not pass for a trained one.
            warnings.filterwarnings("error", message="Training interrupted")
            result = arguments.run(arguments)
    except (ImportError, OSError, TypeError, ValueError) as error:
        if arguments.traceback:
            raise
        print(f"lsdn {arguments.command}: error: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, UserWarning) as stop:
        interrupted = str(stop).startswith("Training interrupted")
        if isinstance(stop, UserWarning) and not interrupted:
            raise
        print(f"lsdn {arguments.command}: interrupted", file=sys.stderr)
        return 130
    if result:
        print(result)
    return 0


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

    common = argparse.ArgumentParser(add_help=False)
    group = common.add_argument_group("running")
    group.add_argument(
        "-j",
        "--jobs",
        type=int,
        default=-1,
        metavar="N",
        help="processor cores to use; -1 is all of them (default)",
    )
    group.add_argument(
        "--overwrite", action="store_true", help="replace existing files"
    )
    group.add_argument("-q", "--quiet", action="store_true", help="show no progress")
    group.add_argument(
        "--traceback", action="store_true", help="on an error, show where it arose"
    )

    images = argparse.ArgumentParser(add_help=False)
    group = images.add_argument_group("images")
    for name, what in (("source", "taken"), ("target", "to be synthesised")):
        group.add_argument(
            f"--{name}",
            nargs="+",
            action="append",
            required=True,
            metavar="NIFTI",
            help=f"images of the contrast {what}, one a subject; repeat the option for "
            "several contrasts",
        )
    group.add_argument(
        "--n-voxels",
        type=int,
        default=100_000,
        metavar="N",
        help="voxels drawn from each training subject (default: %(default)s)",
    )
    group.add_argument(
        "--seed",
        type=int,
        default=0,
        help="of everything random (default: %(default)s)",
    )

    preparation = argparse.ArgumentParser(add_help=False)
    group = preparation.add_argument_group("preparation")
    group.add_argument(
        "--mask",
        metavar="NIFTI",
        help='the brain, for all subjects, or "mni152"; by default the voxels that '
        "differ from 0 in all images of a subject",
    )
    group.add_argument(
        "--normalization",
        choices=("zscore", "percentile"),
        default="zscore",
        help="what makes the intensities of scans comparable (default: %(default)s)",
    )
    group.add_argument(
        "--patch-size",
        type=int,
        default=3,
        metavar="N",
        help="voxels along each side of a patch, odd (default: %(default)s)",
    )

    network = argparse.ArgumentParser(add_help=False)
    group = network.add_argument_group("network")
    group.add_argument(
        "--hidden-layer-sizes",
        type=int,
        nargs="+",
        metavar="N",
        help="nodes of each hidden layer (default: the paper's, 200 20 for lsdn and "
        "400 40 for cdn and vdn)",
    )
    group.add_argument(
        "--sigma",
        type=float,
        default=0.5,
        help="width of lsdn's spatial response, where the training data span -1 to 1 "
        "along each axis (default: %(default)s)",
    )
    group.add_argument(
        "--max-iter", type=int, metavar="N", help="largest number of training epochs"
    )

    def add(name, function, parents, help):
        command = commands.add_parser(
            name, parents=parents, help=help, description=function.__doc__
        )
        command.set_defaults(run=function)
        return command

    demo = add("demo", _demo, [common], "the main job on simulated subjects")
    demo.add_argument(
        "-o",
        "--output",
        default="lsdn-demo",
        metavar="DIR",
        help="folder for images and picture (default: %(default)s)",
    )

    fit = add(
        "fit", _fit, [images, preparation, network, common], "train, and save a model"
    )
    fit.add_argument(
        "--model",
        choices=tuple(_HIDDEN_LAYER_SIZES),
        default="lsdn",
        help="location-sensitive, coordinates concatenated, or vanilla network "
        "(default: %(default)s)",
    )
    fit.add_argument(
        "--shrink",
        type=_keep,
        metavar="auto|FRACTION",
        help="shrink the network by ShrinkConnect to this fraction of its hidden "
        "nodes, or as far as 2 %% of training error allow",
    )
    fit.add_argument(
        "-o", "--output", required=True, metavar="MODEL", help="model file, .skops"
    )

    shrink = add("shrink", _shrink, [images, common], "make a model smaller and faster")
    shrink.add_argument("model", help="model file of lsdn fit")
    shrink.add_argument(
        "--keep",
        type=_keep,
        default="auto",
        metavar="auto|FRACTION",
        help="fraction of the hidden nodes to keep, or as few as 2 %% of training "
        "error allow (default: auto)",
    )
    shrink.add_argument(
        "-o", "--output", required=True, metavar="MODEL", help="model file, .skops"
    )

    predict = add("predict", _predict, [common], "synthesise images by a model")
    predict.add_argument("model", help="model file of lsdn fit")
    predict.add_argument(
        "source", nargs="+", metavar="NIFTI", help="images, one a subject"
    )
    predict.add_argument(
        "--also",
        nargs="+",
        action="append",
        default=[],
        metavar="NIFTI",
        help="images of the second source contrast, in the same order; repeat for more",
    )
    predict.add_argument(
        "-o", "--output", required=True, metavar="DIR", help="folder; it is made"
    )

    evaluate = add(
        "evaluate",
        _evaluate,
        [images, preparation, network, common],
        "leave one subject out",
    )
    evaluate.add_argument(
        "--model",
        choices=tuple(_HIDDEN_LAYER_SIZES),
        nargs="+",
        default=["lsdn"],
        help="one or more (default: lsdn)",
    )
    evaluate.add_argument(
        "--json", metavar="FILE", help="write scores of every volume to a file"
    )

    info = add("info", _info, [], "say what a model file holds")
    info.add_argument("model", help="model file")
    info.set_defaults(traceback=False)
    return parser


def _demo(arguments):
    """Train LSDN, CDN and VDN on simulated subjects, predict one held back, and save
    its images and a picture. No data are needed."""
    from .demo import run_demo

    evaluation = run_demo(
        arguments.output,
        n_jobs=arguments.jobs,
        overwrite=arguments.overwrite,
        verbose=not arguments.quiet,
    )
    folder = Path(arguments.output).resolve()
    return f"{evaluation.table()}\n\nImages and synthesis.png are in {folder}"


def _fit(arguments):
    """Train a network to predict the target contrast from the source contrasts, and
    save it."""
    from ._files import check_output
    from .persistence import require_skops, save_model
    from .shrink import ShrinkConnect

    require_skops()
    check_output(
        arguments.output, overwrite=arguments.overwrite, inputs=_inputs(arguments)
    )
    synthesizer = _synthesizer(arguments, arguments.model)
    if arguments.shrink:
        network = ShrinkConnect(
            synthesizer.estimator, keep=arguments.shrink, verbose=not arguments.quiet
        )
        synthesizer.set_params(estimator=network)
    synthesizer.set_params(n_jobs=arguments.jobs, verbose=not arguments.quiet)
    synthesizer.fit(_by_subject(arguments.source), _by_subject(arguments.target))
    save_model(_at_rest(synthesizer), arguments.output, overwrite=arguments.overwrite)
    return f"Saved {arguments.output}"


def _shrink(arguments):
    """Make a trained model smaller by ShrinkConnect: keep the hidden nodes that span
    the responses of all, and train what is left a little further. Images of the
    training cohort serve best, others of both contrasts will do."""
    from ._files import check_output
    from .persistence import load_synthesizer, save_model

    check_output(
        arguments.output, overwrite=arguments.overwrite, inputs=_inputs(arguments)
    )
    synthesizer = load_synthesizer(arguments.model).set_params(
        n_jobs=arguments.jobs,
        n_voxels=arguments.n_voxels,
        verbose=not arguments.quiet,
    )
    smaller = synthesizer.shrink(
        _by_subject(arguments.source),
        _by_subject(arguments.target),
        keep=arguments.keep,
        random_state=arguments.seed,
        verbose=not arguments.quiet,
    )
    save_model(_at_rest(smaller), arguments.output, overwrite=arguments.overwrite)
    sizes = smaller.estimator_.estimator_.hidden_layer_sizes
    return f"Saved {arguments.output} with {'-'.join(map(str, sizes))} hidden nodes"


def _predict(arguments):
    """Predict the target contrast of new subjects. Each output lies on the grid of its
    input and is called after it, with _synth before the ending."""
    from .persistence import load_synthesizer
    from .volumes.cohort import predict_files

    synthesizer = load_synthesizer(arguments.model)
    synthesizer.set_params(n_jobs=arguments.jobs)
    written = predict_files(
        synthesizer,
        _by_subject([arguments.source, *arguments.also]),
        arguments.output,
        overwrite=arguments.overwrite,
        verbose=not arguments.quiet,
    )
    return "\n".join(map(str, written))


def _evaluate(arguments):
    """Train on all subjects but one and predict that one, for each in turn; print the
    signal-to-noise ratio of each synthesis in dB. Files of one subject, by the sub-
    entity of their names, are held back together."""
    from ._files import check_output, written_whole
    from .evaluation import leave_one_subject_out, subject_labels

    if arguments.json:
        check_output(
            arguments.json, overwrite=arguments.overwrite, inputs=_inputs(arguments)
        )
    evaluation = leave_one_subject_out(
        {
            _layers(arguments, model): _synthesizer(arguments, model)
            for model in arguments.model
        },
        _by_subject(arguments.source),
        _by_subject(arguments.target),
        subject_labels(arguments.source[0]),
        n_jobs=arguments.jobs,
        verbose=not arguments.quiet,
    )
    if arguments.json:
        with written_whole(arguments.json, overwrite=arguments.overwrite) as path:
            path.write_text(json.dumps(evaluation.to_dict(), indent=2) + "\n")
    return evaluation.table()


def _info(arguments):
    """Say what a model file holds: the network, what it was trained on, and how its
    inputs must look."""
    from .persistence import describe_model

    return describe_model(arguments.model)


def _inputs(arguments):
    mask = [arguments.mask] if getattr(arguments, "mask", None) else []
    return sum([*arguments.source, *arguments.target], mask)


def _at_rest(synthesizer):
    """Without what belongs to this run and not to the model."""
    networks = (part for part in vars(synthesizer).values() if hasattr(part, "predict"))
    for part in (synthesizer, *networks):
        names = part.get_params(deep=True)
        part.set_params(**{n: 0 for n in names if n.split("__")[-1] == "verbose"})
    return synthesizer.set_params(n_jobs=None)


def _keep(text):
    """Type of --shrink and --keep."""
    if text == "auto":
        return text
    with contextlib.suppress(ValueError):
        if 0 < (fraction := float(text)) <= 1:
            return fraction
    raise argparse.ArgumentTypeError(f"{text!r} is neither auto nor a fraction up to 1")


def _sizes(arguments, model):
    return arguments.hidden_layer_sizes or _HIDDEN_LAYER_SIZES[model]


def _layers(arguments, model):
    """The paper's name of a network, such as LSDN [30-200-20-1]."""
    n_features = arguments.patch_size**3 * len(arguments.source)
    n_coordinates = 0 if model == "vdn" else 3
    sizes = _sizes(arguments, model)
    layers = [n_features + n_coordinates, *sizes, len(arguments.target)]
    return f"{model.upper()} [{'-'.join(map(str, layers))}]"


def _synthesizer(arguments, model):
    from . import regressor
    from .volumes import VolumeSynthesizer

    network = getattr(regressor, f"{model.upper()}Regressor")(
        tuple(_sizes(arguments, model)), sigma=arguments.sigma
    )
    if arguments.max_iter is not None:
        network.set_params(max_iter=arguments.max_iter)
    return VolumeSynthesizer(
        network,
        patch_size=arguments.patch_size,
        mask_img=arguments.mask,
        normalization=arguments.normalization,
        n_voxels=arguments.n_voxels,
        random_state=arguments.seed,
    )


def _by_subject(contrasts):
    """One list a contrast -> one entry a subject."""
    lengths = [len(paths) for paths in contrasts]
    if len(set(lengths)) > 1:
        raise ValueError(
            f"The contrasts have {', '.join(map(str, lengths))} images. Give each "
            "contrast of every subject, in the same order."
        )
    if len(contrasts) == 1:
        return list(contrasts[0])
    return [list(images) for images in zip(*contrasts, strict=True)]


if __name__ == "__main__":
    sys.exit(main())

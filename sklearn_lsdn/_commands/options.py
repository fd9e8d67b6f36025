"""Options that several commands share, as parsers to inherit from."""

import argparse
import contextlib
import math

NETWORKS = "lsdn", "cdn", "vdn"
QUALITIES = {
    "default": {
        "patch_scales": (1, 2),
        "n_estimators": 1,
        "normalization": "zscore",
    },
    "best": {
        "patch_scales": (1, 2, 4),
        "n_estimators": 3,
        "normalization": "auto",
    },
}
"""Parameters of a synthesizer, where no options of their own are given."""


def _number(convert, fits, name):
    """Type of an option that takes such a number."""

    def number(text):
        with contextlib.suppress(ValueError):
            if fits(value := convert(text)):
                return value
        raise argparse.ArgumentTypeError(f"{text!r} is not {name}")

    return number


_count = _number(int, lambda n: n > 0, "a whole number from 1 on")
_odd = _number(int, lambda n: n > 0 and n % 2, "an odd number from 1 on")
_jobs = _number(int, lambda n: n != 0, "a number of cores, or -1 for all")
_seed = _number(int, lambda n: 0 <= n < 2**32, "a whole number from 0 to 4294967295")
_width = _number(float, lambda x: 0 < x < math.inf, "a number above 0")
_width_or_none = _number(float, lambda x: 0 <= x < math.inf, "a number from 0 on")


def _odd_or_auto(text):
    """Type of --target-patch-size."""
    return text if text == "auto" else _odd(text)


def _size(text):
    """Type of --max-memory."""
    from ..volumes._budget import parse_size

    try:
        parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a size such as 800M, 4G or a number of bytes"
        ) from error
    return text


class _Normalizations:
    """Names that `volumes` knows, imported no sooner than they are asked for."""

    def __iter__(self):
        from ..volumes._normalizer import normalizer_names

        return iter(normalizer_names())


def model_file(text):
    """Type of the file that a model is saved to."""
    if not text.endswith(".skops"):
        raise argparse.ArgumentTypeError(
            f"{text} does not end in .skops, as model files do"
        )
    return text


def add_model_output(command):
    """Where the model goes."""
    command.add_argument(
        "-o",
        "--output",
        type=model_file,
        required=True,
        metavar="MODEL",
        help="model file, .skops",
    )


def running(jobs=True, memory=True, verbose=True):
    """How to run, whatever is run."""
    parser = argparse.ArgumentParser(add_help=False)
    group = parser.add_argument_group("running")
    if jobs:
        group.add_argument(
            "-j",
            "--jobs",
            type=_jobs,
            default=-1,
            metavar="N",
            help="processor cores to use; -1 is all of them (default)",
        )
    if jobs and memory:
        group.add_argument(
            "--max-memory",
            type=_size,
            metavar="SIZE",
            help="memory that the work may take in all, such as 4G or 800M: fewer "
            "subjects at once where more would not fit, and none where one does not",
        )
    group.add_argument(
        "--overwrite", action="store_true", help="replace existing files"
    )
    group.add_argument("-q", "--quiet", action="store_true", help="show no progress")
    if verbose:
        group.add_argument(
            "-v",
            "--verbose",
            action="store_true",
            help="on a terminal, print each step above the progress bars, which need "
            "rich; elsewhere steps are printed anyway",
        )
    group.add_argument(
        "--strict",
        action="store_true",
        help="take warnings of doubtful scans for errors",
    )
    group.add_argument(
        "--traceback", action="store_true", help="on an error, show where it arose"
    )
    return parser


def cluster():
    """Where to run."""
    parser = argparse.ArgumentParser(add_help=False)
    group = parser.add_argument_group("cluster")
    group.add_argument(
        "--scheduler",
        metavar="tcp://HOST:PORT",
        help="share the work among the workers of a Dask scheduler, which must find "
        "all files under the same paths; --jobs then counts the cores of this machine "
        "for what stays here, the training of a single network",
    )
    return parser


def images():
    """Subjects who have both contrasts, to draw voxels from."""
    parser = argparse.ArgumentParser(add_help=False)
    group = add_pairs(parser)
    group.add_argument(
        "--n-voxels",
        type=_count,
        default=100_000,
        metavar="N",
        help="voxels drawn from each training subject (default: %(default)s)",
    )
    group.add_argument(
        "--seed",
        type=_seed,
        default=0,
        help="of everything random (default: %(default)s)",
    )
    return parser


def add_pairs(command, required=True):
    """Images of subjects who have both contrasts."""
    group = command.add_argument_group("images")
    what = {"source": ("taken", "T1w"), "target": ("to be synthesised", "T2w")}
    for name, (role, example) in what.items():
        group.add_argument(
            f"--{name}",
            nargs="+",
            action="append",
            required=required,
            metavar="NIFTI",
            help=f"images of the contrast {role}, one a subject; repeat the option for "
            f"several contrasts. With BIDS_DIR: suffixes, such as {example}"
            + ("" if required else " (default: those of training)"),
        )
    return group


def add_dataset(command):
    """Let a dataset's folder stand for the images."""
    command.add_argument(
        "dataset",
        nargs="?",
        metavar="BIDS_DIR",
        help="a BIDS dataset, to use all its sessions that have both contrasts",
    )
    add_entities(command)


def add_keep_going(command):
    """What becomes of the others when a subject fails."""
    command.add_argument(
        "--keep-going",
        action="store_true",
        help="when a subject fails, go on with the others and report it at the end; "
        "the exit code is then 1",
    )


def add_entities(command):
    """Choose among the images of a dataset."""
    group = command.add_argument_group("images of BIDS_DIR")
    for name, example in (("space", "MNI152NLin2009cAsym"), ("desc", "preproc")):
        group.add_argument(
            f"--{name}",
            metavar="LABEL",
            help=f"what their {name} entity must be, such as {example}",
        )
    return group


def add_mask(command, more=""):
    """What is brain."""
    command.add_argument(
        "--mask",
        nargs="+",
        metavar="NIFTI|DIR",
        help=f"the brain: a mask a subject, or one for all{more}; with BIDS_DIR also "
        "the folder of masks, such as sub-01_desc-brain_mask.nii.gz or "
        "sub-01_T1w_bet.nii.gz (default: masks in BIDS_DIR, or else what differs from "
        "the background in all images of a subject)",
    )


def add_register(command):
    """Bring contrasts onto one grid."""
    command.add_argument(
        "--register",
        action="store_true",
        help="first align each subject's images to its first source, rigidly, and "
        "resample them onto its grid",
    )


def preparation():
    """What is done to images before and after the network."""
    parser = argparse.ArgumentParser(add_help=False)
    group = parser.add_argument_group("preparation")
    add_mask(group, ', or "mni152"')
    group.add_argument(
        "--places",
        choices=("brain", "world", "template", "none"),
        default="brain",
        help="what says where a voxel lies: the box around the subject's brain "
        "(default), world coordinates, for images in one space, an affine registration "
        "to MNI152, or nothing; images are not resampled",
    )
    group.add_argument(
        "--neighbours",
        action="store_true",
        help="also show the network the target scans of other training subjects, "
        "deformed to the subject and averaged; it takes SimpleITK and, for each "
        "subject, seconds. The model then holds scans of training subjects, which "
        "whoever has it can see: pass it on as you may pass on those",
    )
    group.add_argument(
        "--normalization",
        choices=_Normalizations(),
        metavar="NAME",
        help="what makes the intensities of scans comparable: %(choices)s; auto takes "
        "zscore or nyul, whichever serves better on training subjects held back "
        "(default: zscore; auto for the best quality)",
    )
    group.add_argument(
        "--patch-size",
        type=_odd,
        default=3,
        metavar="N",
        help="voxels along each side of a patch, odd (default: %(default)s)",
    )
    group.add_argument(
        "--patch-scales",
        type=_count,
        nargs="+",
        metavar="N",
        help="voxels from one of a patch's to the next; a patch for each number, "
        "those from 2 on of the smoothed scan (default: 1 2; 1 2 4 for the best "
        "quality)",
    )
    group.add_argument(
        "--target-patch-size",
        type=_odd_or_auto,
        default="auto",
        metavar="N",
        help="voxels along each side of the patch that is predicted, odd; with more "
        "than one, patches are averaged where they overlap (default: 3 for voxels of "
        "less than 1.5 mm, else 1)",
    )
    group.add_argument(
        "--missing-sources",
        action="store_true",
        help="with several source contrasts, train a model for subjects who have any "
        "of them: a network for each subset. Say none in the place of a missing image; "
        "sessions of BIDS_DIR may lack some (default: all are needed)",
    )
    group.add_argument(
        "--smoothing",
        type=_width_or_none,
        default=0,
        metavar="MM",
        help="full width at half maximum of the Gaussian that smooths the synthesis; "
        "where voxels are smaller than 1 mm, in voxels; 0 for none (default: "
        "%(default)s)",
    )
    return parser


def network():
    """Size and training of a network."""
    parser = argparse.ArgumentParser(add_help=False)
    group = parser.add_argument_group("network")
    group.add_argument(
        "--quality",
        choices=tuple(QUALITIES),
        default="default",
        help="best: three networks that see further; about seven times the training, "
        "and four times the prediction",
    )
    group.add_argument(
        "--hidden-layer-sizes",
        type=_count,
        nargs="+",
        metavar="N",
        default=[400, 40],
        help="nodes of each hidden layer (default: 400 40)",
    )
    group.add_argument(
        "--sigma",
        type=_width,
        default=0.5,
        help="width of lsdn's spatial response, where the training data span -1 to 1 "
        "along each axis (default: %(default)s)",
    )
    group.add_argument(
        "--max-iter", type=_count, metavar="N", help="largest number of training epochs"
    )
    group.add_argument(
        "--n-estimators",
        type=_count,
        metavar="N",
        help="networks to average; with 2 or more, predict --uncertainty says how far "
        "the synthesis may be off (default: 1; 3 for the best quality)",
    )
    return parser


def keep(text):
    """Type of --shrink and --keep."""
    if text == "auto":
        return text
    with contextlib.suppress(ValueError):
        if 0 < (fraction := float(text)) <= 1:
            return fraction
    raise argparse.ArgumentTypeError(f"{text!r} is neither auto nor a fraction up to 1")


def add_page(command, shows, order, worst="; or worst, for those of largest error"):
    """The page of a command that makes syntheses."""
    command.add_argument(
        "--report",
        metavar="FILE",
        help=f"write a page for the browser, .html: {shows}; of large cohorts with a "
        "folder of pages beside it, one a subject",
    )
    command.add_argument(
        "--worst-first",
        action="store_true",
        help=f"on the page, show subjects in the order of {order}",
    )
    command.add_argument(
        "--cut-coords",
        nargs="+",
        metavar="MM",
        help="on the page, where the sagittal, coronal and axial slice lie, x y z in "
        f"world mm{worst} (default: the middle, off the fissure)",
    )


def refuse_without_page(arguments):
    """Raise ValueError if what is for a page is given, and no page."""
    if not arguments.report and (arguments.worst_first or arguments.cut_coords):
        raise ValueError(
            "--worst-first and --cut-coords are for the page of --report, which is not "
            "asked for."
        )

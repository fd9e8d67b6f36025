"""`lsdn export`."""

import argparse
from functools import partial

from .options import running

HELP = "write a model for programs without Python"
PARENTS = (partial(running, jobs=False, verbose=False),)


def add_arguments(command):
    """Declare what the command takes."""
    command.add_argument("model", help="model file of lsdn fit")
    command.add_argument(
        "-o",
        "--output",
        type=_onnx_file,
        required=True,
        metavar="FILE",
        help="ONNX file, .onnx",
    )


def run(arguments):
    """Write the synthesis of whole volumes, from those of the model's voxel size in the
    brain to those of the target contrast, as an ONNX file, which runtimes in C++,
    JavaScript and other languages read."""
    from .._export.models import to_onnx
    from .._persistence.model_files import load_model
    from .._utils.files import check_output, written_whole

    output, overwrite = arguments.output, arguments.overwrite
    check_output(output, overwrite=overwrite, inputs=[arguments.model])
    model = to_onnx(load_model(arguments.model)).SerializeToString()
    with written_whole(output, overwrite=overwrite) as temporary:
        temporary.write_bytes(model)
    return f"Saved {output}, {len(model) / 1e6:.2g} MB"


def _onnx_file(text):
    """Type of the file that is written."""
    if not text.endswith(".onnx"):
        raise argparse.ArgumentTypeError(
            f"{text} does not end in .onnx, as ONNX files do"
        )
    return text

"""Modules that come with an extra of this package, imported by what needs them."""

from importlib import import_module

# By the name under which it is installed: who needs it, and the extra.
_NEEDS = {
    "SimpleITK": ("Registration", "register"),
    "ancpbids": ("A BIDS dataset", "bids"),
    "distributed": ("--scheduler", "dask"),
    "jinja2": ("A report", "report"),
    "matplotlib": ("A picture", "demo"),
    "nilearn": ("The MNI152 template", "demo"),
    "onnx": ("An ONNX model", "onnx"),
    "scikit-image": ("SSIM", "report"),
    "skl2onnx": ("A converter", "onnx"),
    "skops": ("A model file", "io"),
}


def require(module):
    """Import a module, or say how to install it.

    Parameters
    ----------
    module : str
        Such as ``"nilearn.datasets"``.

    Returns
    -------
    module : module

    Raises
    ------
    ImportError
        If it is missing.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0].replace("skimage", "scikit-image")
        user, extra = _NEEDS[package]
        raise ImportError(
            f'{user} needs {package}: pip install "sklearn_lsdn[{extra}]"'
        ) from error

"""Model files: skops archives of trusted types, with a protocol number."""

from pathlib import Path

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ._files import written_whole

_FORMAT = "sklearn_lsdn model"
PROTOCOL = 1
"""Version of the file's layout; it rises when an older reader would misread it."""

# What models consist of, beyond what skops itself vouches for: most of scikit-learn's
# estimators, NumPy's arrays and Python's containers.
_TRUSTED = (
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn_lsdn.baselines.coupled_sparse.CoupledSparseRegressor",
    "sklearn_lsdn.baselines.modality_propagation.ModalityPropagationRegressor",
    "sklearn_lsdn.baselines.neighbors.WindowedSamples",
    "sklearn_lsdn.network.scaling.Scaling",
    "sklearn_lsdn.regressor.CDNRegressor",
    "sklearn_lsdn.regressor.LSDNRegressor",
    "sklearn_lsdn.regressor.VDNRegressor",
    "sklearn_lsdn.shrink.ShrinkConnect",
    "sklearn_lsdn.volumes.masks.Masker",
    "sklearn_lsdn.volumes.normalization.PercentileNormalizer",
    "sklearn_lsdn.volumes.normalization.ZScoreNormalizer",
    "sklearn_lsdn.volumes.synthesizer.VolumeSynthesizer",
)


def require_skops():
    """Import skops, or say how to install it before the work that needs it.

    Returns
    -------
    io : module
        ``skops.io``.

    Raises
    ------
    ImportError
        If skops is missing.
    """
    try:
        import skops.io
    except ImportError as error:
        raise ImportError(
            'Model files need skops: pip install "sklearn_lsdn[io]"'
        ) from error
    return skops.io


def save_model(estimator, path, *, overwrite=False):
    """Save a fitted estimator to a file that runs no code when it is loaded.

    Parameters
    ----------
    estimator : estimator
        A fitted network, synthesizer, or Pipeline of scikit-learn's with one.
    path : str or path-like
        Where to; customarily ``.skops``. The file appears whole or not at all.
    overwrite : bool, default=False
        Replace an existing file.

    Raises
    ------
    FileExistsError
        If the file exists and ``overwrite`` is false.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.
    TypeError
        If it holds something that `load_model` would not trust, such as an image
        or a cache among its parameters.

    See Also
    --------
    load_model : The way back.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import numpy as np
    >>> from sklearn_lsdn import LSDNRegressor, load_model, save_model
    >>> X = np.random.RandomState(0).uniform(size=(100, 4))
    >>> model = LSDNRegressor((5,), random_state=0).fit(X, X[:, 0])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "model.skops"
    ...     save_model(model, path)
    ...     bool((load_model(path).predict(X) == model.predict(X)).all())
    True
    """
    io = require_skops()
    from . import __version__

    check_is_fitted(estimator)
    content = {
        "format": _FORMAT,
        "protocol": PROTOCOL,
        "version": __version__,
        "estimator": estimator,
    }
    data = io.dumps(content)
    foreign = _foreign_types(io, data=data)
    if foreign:
        raise TypeError(
            f"{type(estimator).__name__} holds {', '.join(foreign)}, which is not "
            "trusted in a model file. Give images as paths, leave memory=None, and "
            "choose an estimator that skops trusts."
        )
    with written_whole(path, suffix=".skops", overwrite=overwrite) as temporary:
        temporary.write_bytes(data)


def load_model(path) -> BaseEstimator:
    """Load an estimator that `save_model` saved, running no code from the file.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    estimator : estimator

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not a model file of this package, or of a newer protocol, or holds
        types that are not trusted; they are named.

    See Also
    --------
    save_model : The way there.
    describe_model : What a file holds, in words.

    Examples
    --------
    >>> from sklearn_lsdn import load_model
    >>> load_model("no such file.skops")
    Traceback (most recent call last):
        ...
    FileNotFoundError: no such file.skops does not exist. Check the path.
    """
    return _load(path)["estimator"]


def load_synthesizer(path):
    """Load a model that must be a VolumeSynthesizer.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    synthesizer : VolumeSynthesizer

    Raises
    ------
    FileNotFoundError, ValueError
        As `load_model`, and if the file holds another estimator.
    """
    model = load_model(path)
    if not hasattr(model, "target_normalizers_"):
        raise ValueError(
            f"{path} holds a {type(model).__name__}, which knows nothing of images. "
            "Give a model file of lsdn fit."
        )
    return model


def describe_model(path) -> str:
    """Say what a model file holds.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    description : str
        A line for each fact.

    Raises
    ------
    FileNotFoundError, ValueError
        As `load_model`.
    """
    content = _load(path)
    model = content["estimator"]
    lines = {
        "file": f"{path}, protocol {content['protocol']}",
        "written by": f"sklearn_lsdn {content['version']}",
        "model": type(model).__name__,
    }
    if hasattr(model, "target_normalizers_"):
        mask = {
            "nonzero": "voxels that differ from 0 in every source",
            "mni152": "nilearn's MNI152 brain mask",
            "image": "the mask image given in training, kept in this file",
        }
        size = " x ".join(f"{side:g}" for side in model.voxel_size_.round(3))
        lines |= {
            "source contrasts": model.n_contrasts_in_,
            "target contrasts": len(model.target_normalizers_),
            "brain": mask[model.mask_strategy_],
            "normalisation": type(model.target_normalizers_[0]).__name__,
            "patch": f"{model.patch_size} voxels a side",
            "voxel size": f"{size} mm (mean of the training images)",
            "training images": len(model.n_voxels_),
            "training voxels": sum(model.n_voxels_),
        }
        model = model.estimator_
        lines["estimator"] = type(model).__name__
    if hasattr(model, "support_"):
        full = "-".join(str(len(each)) for each in model.coefficients_)
        lines["shrunken from"] = f"{full} hidden nodes"
        model = model.estimator_
        lines["network"] = type(model).__name__
    if hasattr(model, "latent_coordinates_"):
        sizes = [model.n_features_in_, *(len(bias) for bias in model.intercepts_)]
        lines |= {
            "layers": "-".join(map(str, sizes)),
            "parameters": model._architecture().n_parameters,
            "sigma": model.sigma,
            "epochs": f"{model.n_iter_}, {model.solver}",
            "training loss": f"{model.loss_curve_[-1]:.5g}",
        }
    width = max(map(len, lines))
    return "\n".join(f"{key.ljust(width)}  {value}" for key, value in lines.items())


def _load(path):
    io = require_skops()
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist. Check the path.")
    try:
        foreign = _foreign_types(io, file=path)
        content = None if foreign else io.load(path, trusted=list(_TRUSTED))
    except Exception as error:  # a damaged archive fails in many ways
        raise ValueError(
            f"{path} is not a model file, or damaged ({type(error).__name__}: {error})."
        ) from error
    if foreign:
        raise ValueError(
            f"{path} is refused: it holds {', '.join(foreign)}, which no model of this "
            "package does."
        )
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise ValueError(f"{path} was not written by sklearn_lsdn.save_model.")
    protocol = content.get("protocol")
    whole = isinstance(protocol, int) and protocol > 0 and "version" in content
    if not whole or not isinstance(content.get("estimator"), BaseEstimator):
        raise ValueError(f"{path} is damaged: parts of the model are missing.")
    if protocol > PROTOCOL:
        raise ValueError(
            f"{path} was written by sklearn_lsdn {content['version']} with protocol "
            f"{protocol}; this version reads up to {PROTOCOL}. Update sklearn_lsdn."
        )
    return content


def _foreign_types(io, **source):
    untrusted = io.get_untrusted_types(**source)
    return sorted(set(untrusted) - set(_TRUSTED))

"""Model files: skops archives of trusted types, with a protocol number."""

import io
import zipfile
from contextlib import contextmanager
from pathlib import Path

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from .._network.network import Network
from .._regressors.roles import role_of
from .._utils.files import written_whole
from .._utils.optional import require
from .consistency import check_consistency, estimators_within

_FORMAT = "sklearn_lsdn model"
PROTOCOL = 1
"""Version of the file's layout; it rises when an older reader would misread it."""

_MOST_UNPACKED = 100  # bytes from one

# What models consist of, beyond what skops itself vouches for: most of scikit-learn's
# estimators, NumPy's arrays and Python's containers.
_TRUSTED = (
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn_lsdn._baselines.coupled_sparse.CoupledSparseRegressor",
    "sklearn_lsdn._baselines.modality_propagation.ModalityPropagationRegressor",
    "sklearn_lsdn._baselines.neighbors.WindowedSamples",
    "sklearn_lsdn._regressors.ensemble.EnsembleRegressor",
    "sklearn_lsdn._network.network.Network",
    "sklearn_lsdn._network.scaling.Scaling",
    "sklearn_lsdn._regressors.networks.CDNRegressor",
    "sklearn_lsdn._regressors.networks.LSDNRegressor",
    "sklearn_lsdn._regressors.networks.VDNRegressor",
    "sklearn_lsdn._regressors.shrink_connect.ShrinkConnect",
    "sklearn_lsdn.volumes._augmentation.Augmentation",
    "sklearn_lsdn.volumes._masks.Masker",
    "sklearn_lsdn.volumes._normalization.NyulNormalizer",
    "sklearn_lsdn.volumes._normalization.PeakNormalizer",
    "sklearn_lsdn.volumes._normalization.PercentileNormalizer",
    "sklearn_lsdn.volumes._normalization.ZScoreNormalizer",
    "sklearn_lsdn.volumes._preparation.Preparation",
    "sklearn_lsdn.volumes._sampling.Window",
    "sklearn_lsdn.volumes._synthesizer.VolumeSynthesizer",
)

# Parameters that a file of this protocol may lack, since it is older than they are,
# and what such a file means by that.
_YOUNGER = {
    "EnsembleRegressor": {"memory": None},
    "VolumeSynthesizer": {"max_memory": None},
}

_MOVED = {
    "baselines.coupled_sparse": "_baselines.coupled_sparse",
    "baselines.modality_propagation": "_baselines.modality_propagation",
    "baselines.neighbors": "_baselines.neighbors",
    "ensemble": "_regressors.ensemble",
    "network.scaling": "_network.scaling",
    "regressor": "_regressors.networks",
    "shrink": "_regressors.shrink_connect",
    "volumes.masks": "volumes._masks",
    "volumes.normalization": "volumes._normalization",
    "volumes.synthesizer": "volumes._synthesizer",
}

# scikit-learn's own attributes of estimators, about their training: callbacks, and
# requests of metadata, in which skops would go round in circles.
_NOT_KEPT = (
    "_metadata_request",
    "_skl_callbacks",
    "_skl_callbacks_to_teardown",
    "_callback_fit_ctx",
    "_parent_callback_ctx",
)


def save_model(estimator, path, *, overwrite=False) -> None:
    """Save a fitted estimator to a file that runs no code when it is loaded.

    Parameters
    ----------
    estimator : estimator
        A fitted network, synthesizer, or Pipeline of scikit-learn's with one.
    path : str or path-like
        Where to; customarily ``.skops``. The file appears whole or not at all.
        Callbacks and requests of metadata have no part in it.
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
    io = require("skops.io")
    from .._version import __version__

    check_is_fitted(estimator)
    content = {
        "format": _FORMAT,
        "protocol": PROTOCOL,
        "version": __version__,
        "estimator": estimator,
    }
    with _as_kept(estimator):
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
        If it is not a model file of this package, or of a newer protocol, if it holds
        types that are not trusted, which are named, or its parts do not fit together.

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
        window = model.preparation_.window
        scales = ", ".join(map(str, window.scales))
        size = " x ".join(f"{side:g}" for side in model.voxel_size_.round(3))
        names = getattr(model, "bids_query_", {})
        lines |= {
            "source contrasts": _count(model.n_contrasts_in_, names.get("source")),
            "target contrasts": _count(
                len(model.target_normalizers_), names.get("target")
            ),
            "brain": mask[model.mask_strategy_],
            "normalisation": type(model.target_normalizers_[0]).__name__,
            "patch": f"{window.patch_size} voxels a side, scales {scales}",
            "target patch": f"{window.target_patch_size} voxels a side",
            "smoothing": f"{model.smoothing:g} mm",
            "voxel size": f"{size} mm (mean of the training images)",
            "training images": len(model.n_voxels_),
            "training voxels": sum(model.n_voxels_),
        }
        model = model.estimator_
    lines |= role_of(model).facts()
    width = max(map(len, lines))
    return "\n".join(f"{key.ljust(width)}  {value}" for key, value in lines.items())


@contextmanager
def _as_kept(estimator):
    """Take off an estimator and those within, for a while, what no file keeps."""
    taken = []
    for part in estimators_within(estimator):
        attributes = vars(part)
        names = [name for name in _NOT_KEPT if name in attributes]
        taken.append((attributes, {name: attributes.pop(name) for name in names}))
    try:
        yield
    finally:
        for attributes, own in taken:
            attributes.update(own)


def _count(number, names):
    return f"{number} ({', '.join(names)})" if names else number


def _load(path):
    skops_io = require("skops.io")
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist. Check the path.")
    try:
        _check_archive(path)
        data = _with_paths_of_today(path)
        foreign = _foreign_types(skops_io, data=data)
        content = None if foreign else skops_io.loads(data, trusted=list(_TRUSTED))
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
    for part in estimators_within(content["estimator"]):
        if "_scaling" in vars(part):
            _hold_network(vars(part))
        vars(part).pop("_n_features_out", None)
        for name, value in _YOUNGER.get(type(part).__name__, {}).items():
            vars(part).setdefault(name, value)
    try:
        check_consistency(content["estimator"])
    except Exception as error:  # whatever is missing, or in the place of what
        raise ValueError(f"{path} is damaged: {error}.") from error
    return content


def _hold_network(old):
    """Let attributes of protocol 1 be those of a regressor that holds a Network."""
    old["network_"] = Network(
        tuple(old.pop("coefs_")),
        tuple(old.pop("intercepts_")),
        old.pop("latent_coordinates_"),
        old.pop("_scaling"),
        tuple(old.pop("_feature_columns")),
        tuple(old.pop("_coordinate_columns")),
        old.pop("_sigma"),
    )
    old["_moments"] = old.pop("_optimizer_state")
    del old["n_outputs_"]


def _with_paths_of_today(path):
    """Content of a file, whose modules may since have moved."""
    made = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(made, "w") as new:
        for member in old.infolist():
            data = old.read(member)
            if member.filename == "schema.json":
                text = data.decode()
                for before, now in _MOVED.items():
                    text = text.replace(
                        f'"sklearn_lsdn.{before}"', f'"sklearn_lsdn.{now}"'
                    )
                data = text.encode()
            new.writestr(member, data)
    return made.getvalue()


def _check_archive(path):
    """Refuse what would unpack to far more than is there: `save_model` packs little."""
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    size = path.stat().st_size
    if unpacked > _MOST_UNPACKED * size:
        raise ValueError(f"its {size} bytes claim to hold {unpacked}")


def _foreign_types(io, **source):
    untrusted = io.get_untrusted_types(**source)
    return sorted(set(untrusted) - set(_TRUSTED))

"""Model files: skops archives of trusted types, with a protocol number."""

from collections.abc import Iterable
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from .._regressors.roles import facts_of_part, role_of
from .._utils.files import written_whole
from .._utils.optional import require
from .._utils.persistable import kept_in_files
from .._utils.sklearn_private import NOT_KEPT
from . import archives, parts
from .trees import TRUSTED

_FORMAT = "sklearn_lsdn model"
PROTOCOL = 2
"""Version of the file's layout; it rises when an older reader would misread it."""


def save_model(
    estimator: BaseEstimator,
    path: str | PathLike,
    *,
    overwrite: bool = False,
    trusted: Iterable[str | type] = (),
) -> None:
    """Save a fitted estimator to a file that runs no code when it is loaded.

    Parameters
    ----------
    estimator : estimator
        A fitted network, synthesizer, or Pipeline of scikit-learn's with one.
    path : str or path-like
        Where to; customarily ``.skops``. The file appears whole or not at all.
        Callbacks, requests of metadata and the network from which a smaller one was
        made have no part in it.
    overwrite : bool, default=False
        Replace an existing file.
    trusted : list of type or str, default=()
        Classes of your own that the estimator consists of, such as a normaliser, or
        their full names. `load_model` has to be given them too.

    Raises
    ------
    FileExistsError
        If the file exists and ``overwrite`` is false.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.
    TypeError
        If it holds something else that `load_model` would not trust, such as an
        image among its parameters.

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
        data = archives.with_names_that_stay(io.dumps(content))
    foreign = _foreign_types(archives.with_names_of_today(data), _names(trusted))
    if foreign:
        raise TypeError(
            f"{type(estimator).__name__} holds {', '.join(foreign)}, which is not "
            "trusted in a model file. Give images as paths; for "
            f"a class of your own, give trusted={foreign} here and to load_model."
        )
    with written_whole(path, suffix=".skops", overwrite=overwrite) as temporary:
        temporary.write_bytes(data)


def load_model(
    path: str | PathLike, trusted: Iterable[str | type] = ()
) -> BaseEstimator:
    """Load an estimator that `save_model` saved, running no code from the file.

    Parameters
    ----------
    path : str or path-like
        The file.
    trusted : list of type or str, default=()
        Classes that the file may hold beside those of this package and of
        scikit-learn, or their full names. Loading may run their code, and whether
        they fit together is not checked.

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
    return _load(path, trusted)["estimator"]


def load_synthesizer(path, *, of_labels=False):
    """Load a model that must be a VolumeSynthesizer.

    Parameters
    ----------
    path : str or path-like
        The file.
    of_labels : bool, default=False
        Whether a VolumeSegmenter will do.

    Returns
    -------
    synthesizer : VolumeSynthesizer

    Raises
    ------
    FileNotFoundError, ValueError
        As `load_model`, and if the file holds another estimator.
    """
    model = load_model(path)
    if not role_of(model).takes_images:
        raise ValueError(
            f"{path} holds a {type(model).__name__}, which knows nothing of images. "
            "Give a model file of lsdn fit."
        )
    if not of_labels and role_of(model).classes is not None:
        raise ValueError(
            f"{path} predicts labels, and not intensities. It is for lsdn predict, and "
            "in Python VolumeSegmenter.score says how good it is."
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
    lines = {
        "file": f"{path}, protocol {content['protocol']}",
        "written by": f"sklearn_lsdn {content['version']}",
        **facts_of_part("model", content["estimator"]),
    }
    width = max(map(len, lines))
    return "\n".join(f"{key.ljust(width)}  {value}" for key, value in lines.items())


@contextmanager
def _as_kept(estimator):
    """Let an estimator and those within be, for a while, what a file keeps of them."""
    whole = []
    try:
        for change in (_replace, _strip):
            for part in list(parts.parts_within(estimator, BaseEstimator)):
                whole.append((vars(part), dict(vars(part))))
                change(part)
        yield
    finally:
        for attributes, own in reversed(whole):
            attributes.update(own)


def _replace(part):
    """What a part keeps may hold others: they are looked for after this."""
    kept = kept_in_files(part)
    for name in vars(part).keys() - kept.keys():
        delattr(part, name)
    vars(part).update(kept)


def _strip(part):
    for name in NOT_KEPT:
        vars(part).pop(name, None)


def _load(path, trusted=()):
    skops_io = require("skops.io")
    trusted = _names(trusted)
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist. Check the path.")
    try:
        archives.check_size(path)
        data = archives.with_names_of_today(path.read_bytes())
        foreign = _foreign_types(data, trusted)
        content = None if foreign else skops_io.loads(data, trusted=_all(trusted))
    except Exception as error:  # a damaged archive fails in many ways
        raise ValueError(
            f"{path} is not a model file, or damaged ({type(error).__name__}: {error})."
        ) from error
    if foreign:
        raise ValueError(
            f"{path} is refused: it holds {', '.join(foreign)}, which no model of this "
            f"package does. If you know them: load_model(path, trusted={foreign})."
        )
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise ValueError(f"{path} was not written by sklearn_lsdn.save_model.")
    protocol = content.get("protocol")
    whole = isinstance(protocol, int) and protocol > 0 and "version" in content
    model = content.get("estimator")
    if not whole or not isinstance(model, BaseEstimator):
        raise ValueError(f"{path} is damaged: parts of the model are missing.")
    if protocol > PROTOCOL:
        raise ValueError(
            f"{path} was written by sklearn_lsdn {content['version']} with protocol "
            f"{protocol}; this version reads up to {PROTOCOL}. Update sklearn_lsdn."
        )
    try:
        parts.bring_up_to_date(model, protocol)
        parts.check_model(model)
    except Exception as error:  # whatever is missing, or in the place of what
        raise ValueError(f"{path} is damaged: {error}.") from error
    return content


def _foreign_types(data, trusted):
    untrusted = require("skops.io").get_untrusted_types(data=data)
    return sorted(set(untrusted) - set(_all(trusted)))


def _all(trusted):
    return [*archives.trusted_names(), *TRUSTED, *trusted]


def _names(trusted):
    given = [trusted] if isinstance(trusted, str | type) else trusted
    if not isinstance(given, Iterable) or not all(
        isinstance(each, str | type) for each in given
    ):
        raise TypeError(
            f"trusted must list classes or their names, got {trusted!r}. Give, for "
            'instance, trusted=["package.module.Class"].'
        )
    return [
        each if isinstance(each, str) else archives.full_name(each) for each in given
    ]

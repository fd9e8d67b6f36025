"""How much memory the work on volumes takes, and how much of it fits a budget.

The figures are bounds from headers and parameters, for a brain that fills its volume;
`benchmarks/memory.py` sets them against what is measured.
"""

import math
import re

import numpy as np
from joblib import effective_n_jobs
from joblib.parallel import get_active_backend
from sklearn.base import clone

from .._regressors.ensemble import EnsembleRegressor
from .._regressors.network_regressor import _NetworkRegressor
from .._regressors.shrink_connect import ShrinkConnect
from .._utils.threads import effective_n_threads
from ._estimator import make_estimator
from ._sampling import Window

OF_THE_PROGRAM = 400 * 2**20  # interpreter, libraries, compiled kernels
_OF_A_SUBJECT = 64 * 2**20  # blocks of work beside its volumes
_ROWS_AT_ONCE = 65536  # of training data, where they are scaled
_OF_A_ROW = 64  # of training data: weights, order, scaled targets, ...
_NOT_GIVEN_BACK = 0.6  # of the samples, by the allocator when they are given up
_COPIES_BY_OTHERS = 5  # of the training data, by regressors such as boosted trees
_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


class DoesNotFit(ValueError):  # noqa: N818, as scikit-learn's own are called
    """The work needs more memory than the budget allows."""


def parse_size(size) -> int:
    """Bytes of a size such as "4G".

    Parameters
    ----------
    size : int or str
        Bytes, or a number with one of the units K, M, G and T, of 1024 each.

    Returns
    -------
    n_bytes : int

    Raises
    ------
    ValueError
        If it is no size.

    Examples
    --------
    >>> from sklearn_lsdn.volumes._budget import parse_size
    >>> parse_size("4G"), parse_size("1.5 KiB"), parse_size(100)
    (4294967296, 1536, 100)
    """
    known = re.fullmatch(r"\s*(\d+\.?\d*)\s*([kmgt]?)(i?b)?\s*", str(size).lower())
    n_bytes = int(float(known[1]) * 1024 ** _UNITS[known[2]]) if known else 0
    if n_bytes < 1:
        raise ValueError(
            f"max_memory must be a size such as 800M, 4G or a number of bytes, got "
            f"{size!r}."
        )
    return n_bytes


def format_size(n_bytes) -> str:
    """Words for a number of bytes.

    Examples
    --------
    >>> from sklearn_lsdn.volumes._budget import format_size
    >>> format_size(3.4 * 2**30), format_size(800 * 2**20)
    ('3.4G', '800M')
    """
    unit = "G" if n_bytes >= 2**30 else "M"
    number = n_bytes / 1024 ** _UNITS[unit.lower()]
    digits = 1 if unit == "G" else 0
    return f"{round(number, digits):g}{unit}"


def room(max_memory) -> float:
    """Bytes for the work alone."""
    if max_memory is None:
        return math.inf
    return parse_size(max_memory) - OF_THE_PROGRAM


def n_that_fit(needs, n_bytes) -> int:
    """How many of several tasks fit at once, whichever they are.

    Examples
    --------
    >>> from sklearn_lsdn.volumes._budget import n_that_fit
    >>> n_that_fit([10, 30, 20], 55), n_that_fit([10, 30, 20], 20)
    (2, 0)
    """
    return int(np.searchsorted(np.cumsum(sorted(needs)[::-1]), n_bytes, side="right"))


def refuse(what, need, max_memory, remedy):
    """Raise DoesNotFit with a sentence for the person."""
    raise DoesNotFit(
        f"{what} takes up to {format_size(need + OF_THE_PROGRAM)} of memory, "
        f"{format_size(OF_THE_PROGRAM)} of it for the program itself, but max_memory "
        f"is {format_size(parse_size(max_memory))}. {remedy}"
    )


def _check_fits(what, need, max_memory, remedy):
    if need > room(max_memory):
        refuse(what, need, max_memory, remedy)


# Prediction


def bytes_to_predict(synthesizer, files, scan=()) -> int:
    """Peak of one subject's prediction, its images included.

    Parameters
    ----------
    synthesizer : VolumeSynthesizer
        A fitted one.
    files : list of ImageFile
        The subject's sources.
    scan : list of ImageFile
        Scans of the target that are read as well, and held.
    """
    n_targets = len(synthesizer.target_normalizers_)
    window = synthesizer.preparation_.window
    return _bytes_to_predict(synthesizer.estimator_, window, n_targets, files, scan)


def _bytes_to_predict(estimator, window, n_targets, files, scan):
    """The same by a regressor that need not be fitted."""
    n = math.prod(files[0].shape)
    volumes, held = 4 * n * len(files), 4 * n * len(scan)
    padded = _padded(files, window.patch_size, window.scales)
    means = 8 * n_targets
    per_voxel = 8 + means  # of the brain: places and means
    if window.target_patch_size > 1:
        per_voxel += 10 + means
    if isinstance(estimator, EnsembleRegressor):
        per_voxel, means = per_voxel + 4 * means, 2 * means
    return _OF_A_SUBJECT + max(
        held + volumes + 12 * n,  # reading the last image
        held + volumes + padded + 13 * n,  # smoothing, and the mask
        held + padded + n + per_voxel * n,
        held + n + (means + 20) * n,  # smoothing the synthesis
        held + n + (means + 12 + 8 * n_targets) * n,  # the images
    )


def subjects_at_once(synthesizer, sources, n_jobs) -> int:
    """How many subjects can be predicted at the same time, up to ``n_jobs``.

    Those that do not fit even alone are left out of account. Where a
    :obj:`joblib.parallel_config` names processes, each takes the program as well.

    Parameters
    ----------
    synthesizer : VolumeSynthesizer
        A fitted one.
    sources : list of list of ImageFile
    n_jobs : int
    """
    n_bytes = room(synthesizer.max_memory)
    needs = [bytes_to_predict(synthesizer, files) for files in sources]
    backend, _ = get_active_backend(prefer="threads")
    in_threads = getattr(backend, "supports_sharedmem", False)
    of_each = 0 if in_threads else OF_THE_PROGRAM
    fitting = [need + of_each for need in needs if need <= n_bytes]
    return max(1, min(n_jobs, n_that_fit(fitting, n_bytes)))  # one is done here


def check_prediction(synthesizer, sources, scans=None, *, n_images=0):
    """Raise DoesNotFit if subjects cannot be predicted one after another.

    Parameters
    ----------
    synthesizer : VolumeSynthesizer
        A fitted one.
    sources : list of list of ImageFile
    scans : list of list of ImageFile, default=None
        Scans of the target that are read as well.
    n_images : int, default=0
        Images of each target contrast that are returned, and held till then.
    """
    if synthesizer.max_memory is None:
        return
    n_targets = len(synthesizer.target_normalizers_)
    kept = 0
    for files, scan in zip(sources, scans or [()] * len(sources), strict=True):
        need = kept + bytes_to_predict(synthesizer, files, scan or ())
        remedy = "Give more, or crop or resample the image."
        if kept:
            remedy = "Predict fewer subjects at a time, or to files."
        _check_fits(f"Predicting {files[0].name}", need, synthesizer.max_memory, remedy)
        kept += 4 * n_images * n_targets * math.prod(files[0].shape)


# Training


def bytes_to_draw(window, n_voxels, sources, targets) -> int:
    """Peak of drawing one subject's voxels, without what is kept of them."""
    n = math.prod(sources[0].shape)
    outputs = 4 * n * len(targets)
    volumes = 4 * n * len(sources) + outputs
    channels = _padded(sources, window.patch_size, window.scales)
    scans = _padded(targets, window.target_patch_size, [1])
    n_voxels = min(n, n_voxels)
    largest = max(window.patch_size, window.target_patch_size) ** 3
    return _OF_A_SUBJECT + max(
        volumes + 12 * n,  # reading the last image
        volumes + 18 * n,  # choosing voxels
        volumes + channels + 14 * n,  # smoothing, and masks
        outputs + channels + 2 * n + 16 * largest * n_voxels,
        outputs + scans + 2 * n + 16 * largest * n_voxels,
    )


def bytes_of_data(window, n_voxels, sources, targets) -> tuple[int, int]:
    """Of the rows made of all subjects' voxels, and of blocks of them in float64."""
    n_features = len(sources[0]) * len(window.scales) * window.patch_size**3 + 3
    n_outputs = len(targets[0]) * window.target_patch_size**3
    n_rows = sum(min(n_voxels, math.prod(files[0].shape)) for files in sources)
    blocks = 24 * (n_features + n_outputs) * min(n_rows, _ROWS_AT_ONCE)
    return n_rows * (4 * (n_features + n_outputs) + _OF_A_ROW), blocks


class TrainingPlan:
    """How training fits a budget; it is refused where it cannot.

    Parameters
    ----------
    synthesizer : VolumeSynthesizer
        Whose ``max_memory`` counts, and ``n_jobs``.
    estimator : regressor or None
        What is to be trained on the voxels; None if they are only drawn.
    window : Window
    sources, targets : list of list of ImageFile

    Attributes
    ----------
    n_readers : int or None
        For joblib: subjects to read at once.
    n_jobs : int or None
        For joblib: what the estimator may do at once.
    need : int
        Bytes at the peak, with one subject or member at a time.
    """

    def __init__(self, synthesizer, estimator, window, sources, targets):
        self.n_readers = self.n_jobs = synthesizer.n_jobs
        n_voxels = synthesizer.n_voxels
        data, blocks = bytes_of_data(window, n_voxels, sources, targets)
        pairs = zip(sources, targets, strict=True)
        needs = [bytes_to_draw(window, n_voxels, *pair) for pair in pairs]
        training = 0
        if estimator is not None:
            training = round((copies_of_data(estimator) + _NOT_GIVEN_BACK) * data)
            training += blocks
        self.need = data + max(*needs, training)
        max_memory = synthesizer.max_memory
        if max_memory is None:
            return
        n_bytes = room(max_memory)
        if self.need > n_bytes:
            self._refuse(synthesizer, data, max(needs), training, sources)
        at_once = effective_n_threads(synthesizer.n_jobs)
        self.n_readers = min(at_once, n_that_fit(needs, n_bytes - data))
        if isinstance(estimator, EnsembleRegressor):
            members = int((n_bytes - data) // training)
            self.n_jobs = max(1, min(at_once, members))

    def _refuse(self, synthesizer, data, reading, training, sources):
        n_bytes = room(synthesizer.max_memory)
        share = min((n_bytes - reading) / data, n_bytes / (data + training))
        largest = max(math.prod(files[0].shape) for files in sources)
        fewer = int(share * min(synthesizer.n_voxels, largest))
        remedy = "Give more, or crop or resample the images."
        if fewer > 0:
            digits = 10 ** max(len(str(fewer)) - 2, 0)
            remedy = (
                f"Give more, or draw fewer voxels: n_voxels={fewer // digits * digits} "
                f"in the place of {synthesizer.n_voxels} would do."
            )
        what = f"Training on {len(sources)} subjects"
        refuse(what, self.need, synthesizer.max_memory, remedy)


def copies_of_data(estimator) -> int:
    """How many copies of its training data a regressor makes."""
    if isinstance(estimator, EnsembleRegressor):  # and one of the samples of a fold
        return 1 + copies_of_data(estimator.estimator)
    network = estimator.estimator if isinstance(estimator, ShrinkConnect) else estimator
    if isinstance(network, _NetworkRegressor) and network.solver != "lbfgs":
        return 1 + bool(network.early_stopping)
    return _COPIES_BY_OTHERS


def _padded(files, patch_size, scales) -> int:
    """Bytes of volumes that patches are read from."""
    margin = 2 * (patch_size // 2 * max(scales))
    voxels = math.prod(side + margin for side in files[0].shape)
    return 4 * voxels * len(scales) * len(files)


# Evaluation


def share_among_folds(tasks, sources, targets, n_jobs, max_memory):
    """How many folds may be under way at once, and what each may take.

    Parameters
    ----------
    tasks : list of (str, VolumeSynthesizer, (train, test))
    sources, targets : list of list of ImageFile
    n_jobs : int or None
    max_memory : int or str
        For all processes together.

    Returns
    -------
    n_folds : int
        At once, each in a process; one alone is done in this process.
    shares : list of int
        The ``max_memory`` of each.

    Raises
    ------
    DoesNotFit
        If one does not fit alone.
    """
    limits, needs = [], []
    for _, synthesizer, (train, test) in tasks:
        limit = parse_size(max_memory)
        if synthesizer.max_memory is not None:
            limit = min(limit, parse_size(synthesizer.max_memory))
        parts = [
            ([sources[i] for i in part], [targets[i] for i in part])
            for part in (train, test)
        ]
        limits.append(limit)
        needs.append(OF_THE_PROGRAM + _bytes_of_fold(synthesizer, *parts, limit))
    n_bytes = room(max_memory)
    n_folds = min(effective_n_jobs(n_jobs), n_that_fit(needs, n_bytes))
    if n_folds < 2:
        return 1, limits
    spare = int(n_bytes - sum(sorted(needs)[-n_folds:])) // n_folds
    shares = [
        min(limit, need + spare) for limit, need in zip(limits, needs, strict=True)
    ]
    return n_folds, shares


def _bytes_of_fold(synthesizer, train, test, max_memory):
    """Peak of training on some subjects and scoring others; DoesNotFit if too much."""
    estimator = make_estimator(synthesizer, np.random.RandomState(0))
    window = Window.of(
        synthesizer.patch_size,
        synthesizer.patch_scales,
        synthesizer.target_patch_size,
        synthesizer.places,
    )
    limited = clone(synthesizer).set_params(max_memory=max_memory)
    needs = [TrainingPlan(limited, estimator, window, *train).need]
    for files, scan in zip(*test, strict=True):
        need = _bytes_to_predict(estimator, window, len(scan), files, scan)
        remedy = "Give more, or crop or resample the image."
        _check_fits(f"Predicting {files[0].name}", need, max_memory, remedy)
        needs.append(need)
    return max(needs)

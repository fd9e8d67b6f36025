"""How much memory the work on volumes takes, and how much of it is done at once.

The bound comes from headers and parameters; `benchmarks/memory.py` sets it against what
is measured.
"""

import math
import re

import numpy as np
from joblib import effective_n_jobs
from joblib.parallel import get_active_backend

from .._regressors.roles import role_of
from .._utils.threads import effective_n_threads
from ._estimator import make_estimator, window_of
from ._subjects import n_contrasts_of
from ._working_grid import other_voxel_size, voxels_of, working_voxel_size

OF_THE_PROGRAM = 400 * 2**20  # interpreter, libraries, compiled kernels
_OF_RESAMPLING = 8  # volumes: two grids, the nearest brain, splines in float64
_OF_WARPING = 4  # volumes: a brain at 2 mm, its pyramid and displacements in float64
_OF_BLOCKS = 64 * 2**20  # of rows, beside a subject's volumes
_SAFETY = 1.25  # for what is allocated beside the arrays that are counted
_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


class DoesNotFit(ValueError):  # noqa: N818, as scikit-learn's own are called
    """The work needs more memory than it may take."""


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


def at_once(what, need, max_memory, remedy, *, kept=0, n_jobs=1, of_each=0) -> int:
    """How many tasks may be under way at once.

    Parameters
    ----------
    what : str
        What a person would call one of them.
    need : int
        Bytes that the largest takes at its peak.
    max_memory : int, str or None
        Bytes that may be taken in all; None is no limit.
    remedy : str
        What helps, beside giving more.
    kept : int, default=0
        Bytes that are held all the while.
    n_jobs : int, default=1
        Most.
    of_each : int, default=0
        Bytes that each takes beside where there are several, as a process does.

    Raises
    ------
    DoesNotFit
        If one alone does not fit.
    """
    if max_memory is None:
        return n_jobs
    limit = parse_size(max_memory)
    spare = limit - OF_THE_PROGRAM - kept
    if need > spare:
        total, program = map(format_size, (limit - spare + need, OF_THE_PROGRAM))
        raise DoesNotFit(
            f"{what} takes up to {total} of memory, {program} of it for the program "
            f"itself, but max_memory is {format_size(limit)}. Give more, or {remedy}."
        )
    return max(1, min(n_jobs, spare // (need + of_each)))


def _of_a_worker():
    """What the program takes in each of joblib's workers, unless they are threads."""
    backend, _ = get_active_backend(prefer="threads")
    return 0 if getattr(backend, "supports_sharedmem", False) else OF_THE_PROGRAM


def tighter(*limits) -> int | str | None:
    """The smallest of some ``max_memory``; None is none."""
    return min((each for each in limits if each), key=parse_size, default=None)


def subjects_at_once(synthesizer, sources, scans=None, *, n_images=0, n_jobs=1) -> int:
    """How many subjects to predict at the same time.

    Parameters
    ----------
    synthesizer : VolumeSynthesizer
        A fitted one.
    sources : list of list of ImageFile
    scans : list of list of ImageFile, default=None
        Scans of the target that are read as well.
    n_images : int, default=0
        Images of each target contrast that are returned, and held till then.
    n_jobs : int, default=1
        Most.

    Raises
    ------
    DoesNotFit
        If one alone does not fit.
    """
    window = synthesizer.preparation_.window
    n_sources = synthesizer.preparation_.n_contrasts
    n_targets = role_of(synthesizer).n_volumes
    scans = scans or [()] * len(sources)
    size = synthesizer.preparation_.voxel_size
    n_maps = role_of(synthesizer.estimator_).maps
    needs = [
        _of_subject(window, n_sources, n_targets, *pair, size, n_maps)
        for pair in zip(sources, scans, strict=True)
    ]
    held = [4 * n_images * n_targets * math.prod(files[0].shape) for files in sources]
    largest = sources[needs.index(max(needs))][0]
    remedy = "crop or resample the image"
    if len(sources) > 1 and n_images:
        remedy += ", or predict fewer subjects at a time, or to files"
    return at_once(
        f"Predicting {largest.name}",
        max(needs),
        synthesizer.max_memory,
        remedy,
        kept=sum(held) - max(held),
        n_jobs=n_jobs,
        of_each=_of_a_worker(),
    )


def training_jobs(synthesizer, estimator, window, sources, targets) -> tuple:
    """How many subjects to read, and how much of the training to do, at once.

    Parameters
    ----------
    synthesizer : VolumeSynthesizer
    estimator : regressor or None
        What is to be trained on the voxels; None if they are only drawn.
    window : Window
    sources, targets : list of list of ImageFile

    Returns
    -------
    n_readers, n_jobs : int or None
        As joblib counts.

    Raises
    ------
    DoesNotFit
        If not even one fits.
    """
    n_jobs, max_memory = synthesizer.n_jobs, synthesizer.max_memory
    if max_memory is None:
        return n_jobs, n_jobs
    rows, *needs = _of_training(synthesizer, estimator, window, sources, targets)
    what, remedy = f"Training on {len(sources)} subjects", _fewer(synthesizer)
    at_once(what, max(needs), max_memory, remedy, kept=rows)
    more = dict(kept=rows, n_jobs=effective_n_threads(n_jobs), of_each=_of_a_worker())
    return tuple(at_once(what, need, max_memory, remedy, **more) for need in needs)


def folds_at_once(tasks, sources, targets, n_jobs, max_memory) -> tuple:
    """How many folds of an evaluation to work on at once, and what each may take.

    Parameters
    ----------
    tasks : list of (str, VolumeSynthesizer, (train, test))
    sources, targets : list of list of ImageFile
    n_jobs : int or None
    max_memory : int, str or None
        For all processes together.

    Returns
    -------
    n_folds : int or None
        At once, each in a process; one alone is done in this process.
    share : int, str or None
        The ``max_memory`` of each.

    Raises
    ------
    DoesNotFit
        If one does not fit alone.
    """
    if max_memory is None:
        return n_jobs, None
    n_folds = n_jobs = effective_n_jobs(n_jobs)
    more = dict(n_jobs=n_jobs, of_each=OF_THE_PROGRAM)
    for name, synthesizer, fold in tasks:
        need = _of_fold(synthesizer, sources, targets, *fold)
        what, remedy = f"Evaluating {name}", _fewer(synthesizer)
        n_folds = min(n_folds, at_once(what, need, max_memory, remedy, **more))
    share = (parse_size(max_memory) - OF_THE_PROGRAM) // n_folds
    return n_folds, max_memory if n_folds == 1 else share


def _fewer(synthesizer):
    fewer = f"draw fewer voxels than n_voxels={synthesizer.n_voxels}"
    return f"{fewer}, or crop or resample the images"


def _of_subject(
    window, n_sources, n_targets, files, scans, voxel_size, n_maps, n_rows=0
):
    """Peak of one subject that is read, and predicted or drawn from."""
    n_maps += 4 * (window.target_patch_size > 1)  # sums and counts of patches
    margin = 2 * (window.patch_size // 2 * max(window.scales))
    shape = voxels_of(files[0].shape, files[0].voxel_size, voxel_size)
    n_voxels = math.prod(side + margin for side in shape)
    n_voxels = max(n_voxels, math.prod(files[0].shape))
    n_further = window.n_further(n_targets)
    n_volumes = (n_sources + n_further) * (1 + len(window.scales)) + len(scans)
    if n_further:
        n_volumes += _OF_WARPING
    if other_voxel_size(files[0].voxel_size, voxel_size) is not None:
        n_volumes += _OF_RESAMPLING
    n_volumes += n_maps * n_targets + 1  # places, masks
    largest = max(window.patch_size, window.target_patch_size) ** 3
    n_indices = min(n_rows, n_voxels) * largest
    return _OF_BLOCKS + round(_SAFETY * (4 * n_voxels * n_volumes + 16 * n_indices))


def _of_training(synthesizer, estimator, window, sources, targets):
    """All rows; beside them the peak of reading a subject, and that of training."""
    numbers, n_voxels = (n_contrasts_of(sources), len(targets[0])), synthesizer.n_voxels
    n_rows = sum(min(n_voxels, math.prod(files[0].shape)) for files in sources)
    n_columns = window.n_features(*numbers) + window.n_outputs(numbers[1])
    rows = round(_SAFETY * 4 * n_rows * (n_columns + 16))  # weights, order, ...
    pairs = zip(sources, targets, strict=True)
    size = working_voxel_size(sources)
    needs = (_of_subject(window, *numbers, *pair, size, 4, n_voxels) for pair in pairs)
    copies = 1 if estimator is None else role_of(estimator).copies
    return rows, max(needs), rows * copies


def _of_fold(synthesizer, sources, targets, train, test):
    """Peak of training on some subjects and scoring others."""
    estimator = make_estimator(synthesizer, np.random.RandomState(0))
    training = [[each[i] for i in train] for each in (sources, targets)]
    window = window_of(synthesizer, estimator, training[0])
    rows, *needs = _of_training(synthesizer, estimator, window, *training)
    size, n_maps = working_voxel_size(training[0]), role_of(estimator).maps
    numbers = n_contrasts_of(training[0]), len(targets[0])
    scoring = [
        _of_subject(window, *numbers, sources[i], targets[i], size, n_maps)
        for i in test
    ]
    return max(rows + max(needs), *scoring)

"""Leave one subject out: how well each method predicts a subject never seen."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.model_selection import LeaveOneGroupOut

from .._regressors.roles import refuse_labels
from .._regressors.training import interrupts_end_all
from .._utils.doubts import doubts_kept, warn_of
from .._utils.lists import as_list
from .._utils.parallel import parallel_map
from .._utils.progress import Progress, shown_by
from .._utils.store import Store, identity
from ..volumes import VolumeSynthesizer
from ..volumes._budget import folds_at_once, tighter
from ..volumes._images import fingerprints
from ..volumes._masks import Masker
from ..volumes._normalizer import resolve_normalizer
from ..volumes._subjects import (
    check_each_contrast,
    check_voxels,
    pair_subjects,
)
from ._evaluation import Evaluation
from ._scoring import MEASURES, score_subject


def leave_one_subject_out(
    synthesizers: Mapping[str, VolumeSynthesizer],
    sources: Sequence,
    targets: Sequence,
    subjects: ArrayLike,
    *,
    masks: Sequence | None = None,
    n_jobs: int | None = None,
    max_memory: int | str | None = None,
    verbose: int = 0,
    inspect: Callable | None = None,
    resume: str | os.PathLike | None = None,
) -> Evaluation:
    """Train on all subjects but one, predict that one, for each in turn.

    Parameters
    ----------
    synthesizers : dict of str to VolumeSynthesizer
        By the name they shall have in the table.
    sources, targets : list
        Images, as `VolumeSynthesizer.fit` takes them.
    subjects : array-like of str
        Subject of each; all images of one are held back together.
    masks : list, default=None
        The brain of each, as `VolumeSynthesizer.fit` takes them.
    n_jobs : int, default=None
        Folds to work on at once, in processes unless a
        :obj:`joblib.parallel_config` context names another backend.
    max_memory : int or str, default=None
        Bytes that all processes may take together, or a size such as "4G": fewer
        folds are worked on at once where more would not fit, and none where one
        does not; each keeps to its share. What ``inspect`` takes is not reckoned
        with.
    verbose : int, default=0
        Whether to print each fold's result as it comes.
    inspect : callable, default=None
        ``inspect(synthesizer, synthesis, subject, model)``, called in each fold with
        the fitted synthesizer, what its `~VolumeSynthesizer.synthesize` made of the
        subject that it has not seen, with the standard deviation of an ensemble, and
        their names. It and what it returns go from process to process.
    resume : path-like, default=None
        Folder in which the scores of each fold are kept, a cache of joblib. Folds
        whose scores are there, of the same images, parameters and versions, are not
        done again. With ``inspect`` it cannot be used, since only scores are kept.

    Returns
    -------
    evaluation : Evaluation

    Raises
    ------
    ValueError
        If there are fewer than two subjects, or not as many entries as images; if an
        image cannot be used, one file is of two subjects, or a fold does not fit
        ``max_memory``.
    KeyboardInterrupt
        Also where a network's training was interrupted: half-trained networks are not
        scored.

    Warns
    -----
    ScanWarning
        If scans are doubtful, as `VolumeSynthesizer.fit` finds them, or a subject is
        predicted no better than by the mean, while others are.

    See Also
    --------
    sklearn.model_selection.cross_validate : Takes a synthesizer as well.

    Examples
    --------
    >>> from sklearn_lsdn import VDNRegressor, VolumeSynthesizer
    >>> from sklearn_lsdn.datasets import make_brain_cohort
    >>> from sklearn_lsdn.jobs import leave_one_subject_out
    >>> cohort = make_brain_cohort(2, voxel_size=8, random_state=0)
    >>> vdn = VolumeSynthesizer(VDNRegressor((10,)), n_voxels=500, random_state=0)
    >>> evaluation = leave_one_subject_out(
    ...     {"VDN": vdn}, cohort.images["T1w"], cohort.images["T2w"], cohort.subjects)
    >>> evaluation.summary()["VDN"]["snr_mean"] > 8  # dB
    True
    """
    sources, targets = as_list(sources, "sources"), as_list(targets, "targets")
    subjects = [str(subject) for subject in as_list(subjects, "subjects")]
    _check_choices(synthesizers, subjects, inspect, resume)
    pairs = pair_subjects(sources, targets, masks=masks)
    _check_held_back(pairs[0], subjects)
    maskers, doubts = _check_images(synthesizers, pairs, verbose)

    folds = list(LeaveOneGroupOut().split(sources, groups=subjects))
    for train, test in folds:
        others = f"sources but {subjects[test[0]]}"
        check_each_contrast([pairs[0][i] for i in train], others)
    tasks = [
        (name, _with_absolute_mask(synthesizer), fold)
        for name, synthesizer in synthesizers.items()
        for fold in folds
    ]
    n_jobs, share = folds_at_once(tasks, *pairs, n_jobs, max_memory)
    keys, store = [None] * len(tasks), Store(resume)
    if store:
        keys = _identities(tasks, pairs, subjects, maskers)
    before = [store.holds(key) for key in keys]
    line = f"Training {len(synthesizers)} x {len(folds)} synthesizers"
    if any(before):
        line += f"; {sum(before)} of {len(tasks)} were done before"
    progress = Progress("Leaving one subject out", len(tasks), verbose)
    progress.tell(0, line)

    cases = list(zip(*pairs, subjects, strict=True))
    shared = store, cases, inspect
    jobs = [(key, *task, share) for key, task in zip(keys, tasks, strict=True)]
    left = [job for job, done in zip(jobs, before, strict=True) if not done]
    new = parallel_map(_kept_fold, shared, left, n_jobs=n_jobs)
    results = (
        _kept_fold(*shared, *job) if done else next(new)
        for job, done in zip(jobs, before, strict=True)
    )
    with shown_by(None):  # lest each fold show how far it is itself
        evaluation = _collected(results, progress, doubts)
    return evaluation.warn()


def _check_choices(synthesizers, subjects, inspect, resume):
    """Raise ValueError for what needs no image to be refused."""
    if resume is not None and inspect is not None:
        raise ValueError(
            "Only scores are kept for resuming, and inspecting needs all folds. Give "
            "one of resume and inspect (lsdn evaluate --resume and --report)."
        )
    if not isinstance(synthesizers, Mapping):
        raise TypeError(
            "synthesizers must be a dict, of each by its name, got a "
            f"{type(synthesizers).__name__}."
        )
    if not synthesizers:
        raise ValueError("synthesizers is empty. Give one or more, by their names.")
    for synthesizer in synthesizers.values():
        refuse_labels(synthesizer, "leave_one_subject_out")
    if len(set(subjects)) < 2:
        n = len(set(subjects))
        raise ValueError(
            f"Leaving one subject out needs two subjects or more, got {n}."
        )


def _check_held_back(sources, subjects):
    """Raise ValueError unless each source has a subject, and each file but one."""
    if len(subjects) != len(sources):
        raise ValueError(
            f"subjects has {len(subjects)} entries and sources {len(sources)}. Say of "
            "each source whose it is, in the same order."
        )
    owner = {}
    for files, subject in zip(sources, subjects, strict=True):
        for file in files:
            if not file.path:
                continue
            other = owner.setdefault(os.path.realpath(file.path), subject)
            if other != subject:
                raise ValueError(
                    f"{file.name} is given as {other} and as {subject}, and would be "
                    "trained on when it is held back. Give it once."
                )


def _check_images(synthesizers, pairs, verbose):
    """Read all images, rather than after the first folds.

    Returns
    -------
    maskers : dict of str to Masker
        Of each synthesizer.
    doubts : list of ScanWarning
        What was doubtful, and has been told.
    """
    maskers, ways, doubts = {}, {}, {}
    for name, synthesizer in synthesizers.items():
        masker = Masker.resolve(getattr(synthesizer, "mask_img", None))
        normalization = getattr(synthesizer, "normalization", "zscore")
        way = masker, resolve_normalizer(normalization)
        maskers[name] = masker
        ways[identity(masker, normalization)] = way
    n = len(pairs[0])
    progress = Progress("Checking images", n, verbose)
    for i, (source, target) in enumerate(zip(*pairs, strict=True)):
        progress.tell(i, f"Checking subject {i + 1} of {n}")
        for way in ways.values():
            for doubt in check_voxels(source, target, *way):
                if str(doubt) not in doubts:
                    doubts[str(doubt)] = doubt
                    warn_of([doubt])
    progress.tell(n)
    return maskers, list(doubts.values())


def _identities(tasks, pairs, subjects, maskers):
    """What decides the scores of each fold."""
    files = [
        [fingerprints(files) for files in pair] for pair in zip(*pairs, strict=True)
    ]
    return [
        identity(
            name,
            [*MEASURES],
            clone(synthesizer),
            maskers[name],
            [[(files[i], subjects[i]) for i in part] for part in fold],
        )
        for name, synthesizer, fold in tasks
    ]


def _with_absolute_mask(synthesizer):
    mask = getattr(synthesizer, "mask_img", None)
    if not isinstance(mask, str | os.PathLike) or mask == "mni152":
        return synthesizer
    return clone(synthesizer).set_params(mask_img=os.path.abspath(mask))


def _collected(results, progress, told):
    """Take in the folds' results as they come, and tell of them.

    Doubts are told unless they were told before.
    """
    evaluation, told = Evaluation([]), {str(doubt) for doubt in told}
    for n, (records, inspections, doubts) in enumerate(results, start=1):
        new = {str(doubt): doubt for doubt in doubts if str(doubt) not in told}
        told.update(new)
        warn_of(new.values())
        evaluation.warnings.extend(map(str, new.values()))
        evaluation.records.extend(records)
        evaluation.inspections.extend(inspections)
        for record in records:
            line = f"{record['model']} on {record['subject']}: {record['snr']:.2f} dB"
            progress.tell(n, line, line)
    return evaluation


def _kept_fold(store, cases, inspect, key, *task):
    """What a fold gave, or gives."""
    return store.made(partial(_evaluate_fold, cases, inspect, *task), key)


def _evaluate_fold(cases, inspect, name, synthesizer, fold, share):
    train, test = fold
    unfitted = clone(synthesizer)
    if share is not None:
        unfitted.set_params(max_memory=tighter(share, unfitted.max_memory))
    start = time.perf_counter()
    given = [[cases[i][role] for i in train] for role in range(2)]
    with doubts_kept() as doubts, interrupts_end_all():
        fitted = unfitted.fit(*given)
    fit_seconds = time.perf_counter() - start
    records, inspections = [], []
    for i in test:
        more = dict(inspect=inspect, fit_seconds=fit_seconds)
        with doubts_kept() as found:
            record, _, seen = score_subject(name, fitted, *cases[i], **more)
        records.append(record)
        if inspect is not None:
            inspections.append(seen)
        doubts += found
    return records, inspections, doubts

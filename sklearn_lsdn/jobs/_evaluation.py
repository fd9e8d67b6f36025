"""Leave one subject out: how well each method predicts a subject never seen."""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import LeaveOneGroupOut

from .._regressors.training import interrupts_end_all
from .._utils.parallel import parallel_map
from .._utils.progress import teller
from ..metrics import psnr_score, snr_score
from ..volumes._budget import share_among_folds
from ..volumes._masks import Masker
from ..volumes._normalization import resolve_normalizer
from ..volumes._subjects import (
    absolute_paths,
    check_voxels,
    pair_subjects,
    subject_label,
)
from ._fold_records import FoldRecords, fold_keys, mask_hash

_WORK = "Leaving one subject out"


@dataclass
class Evaluation:
    """Scores of methods on subjects held back.

    Parameters
    ----------
    records : list of dict
        One for each method and volume: "model", "subject", "snr" and "psnr" in
        dB, the mean over target contrasts; "fit_seconds" and "predict_seconds".
    inspections : list
        What ``inspect`` of `leave_one_subject_out` said, in the same order.

    See Also
    --------
    leave_one_subject_out : Makes one.

    Examples
    --------
    >>> from sklearn_lsdn.jobs import Evaluation
    >>> record = dict(model="LSDN", subject="sub-01", snr=12.0, psnr=20.0,
    ...               fit_seconds=1.0, predict_seconds=0.1)
    >>> print(Evaluation([record]).table())
    SNR (dB)  sub-01  mean +- sd     PSNR (dB)  fit (s)  predict (s)
    LSDN      12.00   12.00 +- 0.00  20.00      1.0      0.1
    """

    records: list
    inspections: list = field(default_factory=list)

    def summary(self) -> dict:
        """Mean and standard deviation over volumes of each method's scores.

        Returns
        -------
        summary : dict of str to dict
            For each model "snr_mean", "snr_sd", "psnr_mean", "psnr_sd" in dB, and
            mean "fit_seconds" and "predict_seconds".
        """
        summary = {}
        for model in dict.fromkeys(record["model"] for record in self.records):
            rows = [record for record in self.records if record["model"] == model]
            column = {key: [row[key] for row in rows] for key in rows[0]}
            summary[model] = {
                "snr_mean": float(np.mean(column["snr"])),
                "snr_sd": float(np.std(column["snr"])),
                "psnr_mean": float(np.mean(column["psnr"])),
                "psnr_sd": float(np.std(column["psnr"])),
                "fit_seconds": float(np.mean(column["fit_seconds"])),
                "predict_seconds": float(np.mean(column["predict_seconds"])),
            }
        return summary

    def table(self) -> str:
        """Show a row for each method and a column for each subject.

        Returns
        -------
        table : str
        """
        subjects = list(dict.fromkeys(record["subject"] for record in self.records))
        header = ["SNR (dB)", *subjects, "mean +- sd", "PSNR (dB)", "fit (s)"]
        rows = [[*header, "predict (s)"]]
        for model, mean in self.summary().items():
            by_subject = [
                np.mean(
                    [
                        record["snr"]
                        for record in self.records
                        if (record["model"], record["subject"]) == (model, subject)
                    ]
                )
                for subject in subjects
            ]
            rows.append(
                [
                    model,
                    *(f"{snr:.2f}" for snr in by_subject),
                    f"{mean['snr_mean']:.2f} +- {mean['snr_sd']:.2f}",
                    f"{mean['psnr_mean']:.2f}",
                    f"{mean['fit_seconds']:.1f}",
                    f"{mean['predict_seconds']:.1f}",
                ]
            )
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(
                cell.ljust(width) for cell, width in zip(row, widths, strict=True)
            ).rstrip()
            for row in rows
        )

    def to_dict(self) -> dict:
        """Give everything, for JSON.

        Returns
        -------
        content : dict
        """
        return {"unit": "dB", "summary": self.summary(), "volumes": self.records}


def subject_labels(paths) -> list[str]:
    """Which subject each file is of: its ``sub-`` entity, or else a number.

    Parameters
    ----------
    paths : list of path-like

    Returns
    -------
    labels : list of str

    Examples
    --------
    >>> from sklearn_lsdn.jobs._evaluation import subject_labels
    >>> subject_labels(["sub-07_T1w.nii", "sub-07_ses-2_T1w.nii"])
    ['sub-07', 'sub-07']
    >>> subject_labels(["a.nii", "b.nii"])
    ['subject 1', 'subject 2']
    """
    labels = [subject_label(path) for path in paths]
    named = all(Path(path).name.startswith("sub-") for path in paths)
    if all(labels) and (named or len(set(labels)) > 1):
        return labels
    return [f"subject {i + 1}" for i in range(len(paths))]


def leave_one_subject_out(
    synthesizers,
    sources,
    targets,
    subjects,
    *,
    n_jobs=None,
    max_memory=None,
    verbose=0,
    inspect=None,
    resume=None,
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
    n_jobs : int, default=None
        Folds to work on at once, in processes unless a
        :obj:`joblib.parallel_config` context names another backend.
    max_memory : int or str, default=None
        Bytes that all processes may take together, or a size such as "4G": fewer
        folds are worked on at once where more would not fit, and none where one
        does not; each keeps to its share. What ``inspect`` takes is not reckoned
        with.
    verbose : int or callable, default=0
        Print each fold's result as it comes. A callable is told instead:
        ``verbose(work, done, total, line=None, note=None)``.
    inspect : callable, default=None
        ``inspect(model, synthesizer, source, target, subject)``, called in each fold
        with the fitted synthesizer and what it has not seen. It and what it returns
        go from process to process.
    resume : path-like, default=None
        Folder in which the scores of each fold are kept. Folds whose scores are
        there, of the same images, parameters and versions, are not done again. With
        ``inspect`` it cannot be used, since only scores are kept.

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
    subjects = list(map(str, subjects))
    _check_choices(synthesizers, subjects, inspect, resume)
    pairs = pair_subjects(sources, targets)
    _check_held_back(pairs[0], subjects)
    tell = teller(verbose)
    maskers = _check_images(synthesizers, pairs, tell)

    folds = list(LeaveOneGroupOut().split(sources, groups=subjects))
    tasks = [
        (name, _with_absolute_mask(synthesizer), fold)
        for name, synthesizer in synthesizers.items()
        for fold in folds
    ]
    shares = [None] * len(tasks)
    if max_memory is not None:
        n_jobs, shares = share_among_folds(tasks, *pairs, n_jobs, max_memory)
    keys, kept, before = [None] * len(tasks), None, {}
    if resume is not None:
        kept = FoldRecords(resume)
        keys = fold_keys(tasks, pairs, subjects, maskers)
        before = kept.done_before(keys, tasks, subjects)
    line = f"Training {len(synthesizers)} x {len(folds)} synthesizers"
    if before:
        line += f"; {len(before)} of {len(tasks)} were done before"
    tell(_WORK, 0, len(tasks), line)

    # Whoever does the work may do it in another folder.
    places = absolute_paths(sources), absolute_paths(targets)
    shared = *places, subjects, inspect, kept
    jobs = [
        (*task, share, key)
        for task, share, key in zip(tasks, shares, keys, strict=True)
        if key not in before
    ]
    done = parallel_map(_evaluate_fold, shared, jobs, n_jobs=n_jobs)
    results = ((before[key], []) if key in before else next(done) for key in keys)
    return _collected(results, len(tasks), tell)


def _check_choices(synthesizers, subjects, inspect, resume):
    """Raise ValueError for what needs no image to be refused."""
    if resume is not None and inspect is not None:
        raise ValueError(
            "Only scores are kept for resuming, and inspecting needs all folds. Give "
            "one of resume and inspect (lsdn evaluate --resume and --report)."
        )
    if not synthesizers:
        raise ValueError("synthesizers is empty. Give one or more, by their names.")
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


def _check_images(synthesizers, pairs, tell):
    """Read all images, rather than after the first folds.

    Returns
    -------
    maskers : dict of str to Masker
        Of each synthesizer.
    """
    maskers, ways = {}, {}
    for name, synthesizer in synthesizers.items():
        masker = Masker.resolve(getattr(synthesizer, "mask_img", None))
        normalization = getattr(synthesizer, "normalization", "zscore")
        way = masker, resolve_normalizer(normalization)
        maskers[name] = masker
        ways[mask_hash(masker), repr(normalization)] = way
    work, n = "Checking images", len(pairs[0])
    for i, (source, target) in enumerate(zip(*pairs, strict=True)):
        tell(work, i, n, f"Checking subject {i + 1} of {n}")
        for way in ways.values():
            check_voxels(source, target, *way)
    tell(work, n, n)
    return maskers


def _with_absolute_mask(synthesizer):
    mask = getattr(synthesizer, "mask_img", None)
    if not isinstance(mask, str | os.PathLike) or mask == "mni152":
        return synthesizer
    return clone(synthesizer).set_params(mask_img=os.path.abspath(mask))


def _collected(results, n_tasks, tell):
    """Take in the folds' results as they come, and tell of them."""
    evaluation = Evaluation([])
    for n, (records, inspections) in enumerate(results, start=1):
        evaluation.records.extend(records)
        evaluation.inspections.extend(inspections)
        for record in records:
            line = f"{record['model']} on {record['subject']}: {record['snr']:.2f} dB"
            tell(_WORK, n, n_tasks, line, note=line)
    return evaluation


def _snr_and_psnr(y_true, y_pred):
    return snr_score(y_true, y_pred), psnr_score(y_true, y_pred)


def _evaluate_fold(
    sources, targets, subjects, inspect, kept, name, synthesizer, fold, share, key
):
    train, test = fold
    unfitted = clone(synthesizer)
    if share is not None:
        unfitted.set_params(max_memory=share)
    start = time.perf_counter()
    with interrupts_end_all():
        fitted = unfitted.fit([sources[i] for i in train], [targets[i] for i in train])
    fit_seconds = time.perf_counter() - start
    records, inspections = [], []
    for i in test:
        start = time.perf_counter()
        scores = fitted.score_volumes([sources[i]], [targets[i]], metric=_snr_and_psnr)
        snr, psnr = scores[0].mean(axis=0)
        records.append(
            {
                "model": name,
                "subject": subjects[i],
                "snr": float(snr),
                "psnr": float(psnr),
                "fit_seconds": fit_seconds,
                "predict_seconds": time.perf_counter() - start,
            }
        )
        if inspect is not None:
            case = sources[i], targets[i], subjects[i]
            inspections.append(inspect(name, fitted, *case))
    if kept is not None:
        kept.write(key, records)
    return records, inspections

"""Leave one subject out: how well each method predicts a subject never seen."""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.model_selection import LeaveOneGroupOut

from .metrics import psnr_score, snr_score
from .volumes.masks import Masker
from .volumes.normalization import resolve_normalizer
from .volumes.subjects import check_voxels, pair_subjects, subject_label


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
    >>> from sklearn_lsdn.evaluation import Evaluation
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
    >>> from sklearn_lsdn.evaluation import subject_labels
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
    synthesizers, sources, targets, subjects, *, n_jobs=None, verbose=0, inspect=None
) -> Evaluation:
    """Train on all subjects but one, predict that one, for each in turn.

    Parameters
    ----------
    synthesizers : dict of str to VolumeSynthesizer
        By the name they shall have in the table.
    sources, targets : list
        Images, as `VolumeSynthesizer.fit` takes them.
    subjects : list of str
        Subject of each; all images of one are held back together.
    n_jobs : int, default=None
        Folds to work on at once, in processes.
    verbose : int, default=0
        Print each fold's result as it comes.
    inspect : callable, default=None
        ``inspect(model, synthesizer, source, target, subject)``, called in each fold
        with the fitted synthesizer and what it has not seen. It and what it returns
        go from process to process.

    Returns
    -------
    evaluation : Evaluation

    Raises
    ------
    ValueError
        If there are fewer than two subjects, an image cannot be used, or one file
        is of two subjects.

    See Also
    --------
    sklearn.model_selection.cross_validate : Takes a synthesizer as well.

    Examples
    --------
    >>> from sklearn_lsdn import VDNRegressor, VolumeSynthesizer
    >>> from sklearn_lsdn.datasets import make_brain_cohort
    >>> from sklearn_lsdn.evaluation import leave_one_subject_out
    >>> cohort = make_brain_cohort(2, voxel_size=8, random_state=0)
    >>> vdn = VolumeSynthesizer(VDNRegressor((10,)), n_voxels=500, random_state=0)
    >>> evaluation = leave_one_subject_out(
    ...     {"VDN": vdn}, cohort.images["T1w"], cohort.images["T2w"], cohort.subjects)
    >>> evaluation.summary()["VDN"]["snr_mean"] > 8  # dB
    True
    """
    if len(set(subjects)) < 2:
        raise ValueError(
            "Leaving one subject out needs two subjects or more, got "
            f"{len(set(subjects))}."
        )
    pairs = pair_subjects(sources, targets)
    _check_held_back(pairs[0], subjects)
    first = next(iter(synthesizers.values()))
    masker = Masker.resolve(getattr(first, "mask_img", None))
    normalizer = resolve_normalizer(getattr(first, "normalization", "zscore"))
    for i, (source, target) in enumerate(zip(*pairs, strict=True)):
        if verbose:  # rather now than after the first folds
            print(f"Checking subject {i + 1} of {len(sources)}", flush=True)
        check_voxels(source, target, masker, normalizer)
    folds = list(LeaveOneGroupOut().split(sources, groups=subjects))
    if verbose:
        print(f"Training {len(synthesizers)} x {len(folds)} synthesizers", flush=True)
    jobs = (
        delayed(_evaluate_fold)(
            name, synthesizer, sources, targets, subjects, fold, inspect
        )
        for name, synthesizer in synthesizers.items()
        for fold in folds
    )
    records, inspections = [], []
    for each in Parallel(n_jobs=n_jobs, return_as="generator")(jobs):
        fold_records, fold_inspections = each
        records.extend(fold_records)
        inspections.extend(fold_inspections)
        if verbose:
            for record in fold_records:
                print(
                    f"{record['model']} on {record['subject']}: {record['snr']:.2f} dB"
                )
    return Evaluation(records, inspections)


def _check_held_back(sources, subjects):
    """Raise ValueError if a file of a subject held back is among those trained on."""
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


def _snr_and_psnr(y_true, y_pred):
    return snr_score(y_true, y_pred), psnr_score(y_true, y_pred)


def _evaluate_fold(name, synthesizer, sources, targets, subjects, fold, inspect):
    train, test = fold
    start = time.perf_counter()
    fitted = clone(synthesizer).fit(
        [sources[i] for i in train], [targets[i] for i in train]
    )
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
    return records, inspections

"""Scores of a trained model on subjects who have the scan that it synthesises."""

import copy
import time
from typing import Any

import numpy as np
from sklearn.metrics import r2_score

from .._regressors.roles import role_of
from .._utils.doubts import warn_of
from .._utils.parallel import cluster_client, parallel_map
from .._utils.progress import Progress
from .._utils.threads import effective_n_threads
from ..metrics import psnr_score, snr_score
from ..volumes._budget import subjects_at_once
from ..volumes._subjects import pair_subjects
from ..volumes._synthesis import Synthesis
from ._evaluation import Evaluation

MEASURES = {"snr": snr_score, "psnr": psnr_score, "r2": r2_score}


def measured(y_true, y_pred) -> dict:
    """Each of the `MEASURES` of a brain's voxels, in float64."""
    pair = np.float64(y_true), np.float64(y_pred)
    return {name: measure(*pair) for name, measure in MEASURES.items()}


def score_subjects(
    synthesizer,
    sources,
    targets,
    subjects,
    *,
    masks=None,
    model="",
    verbose=0,
    inspect=None,
) -> Evaluation:
    """Score a fitted synthesizer, as it is, on subjects who have both contrasts.

    As many subjects are under way at once as `predict_files` has.

    Parameters
    ----------
    synthesizer : VolumeSynthesizer
        A fitted one.
    sources, targets : list
        Images, as `VolumeSynthesizer.score` takes them.
    subjects : list of str
        What to call each.
    masks : list, default=None
        The brain of each, as `VolumeSynthesizer.score` takes them.
    model : str, default=""
        The name that the synthesizer shall have in the table.
    verbose : int, default=0
        Whether to print each subject's result as it comes.
    inspect : callable, default=None
        ``inspect(synthesizer, synthesis, subject, model)``, called where the synthesis
        was made, which has its standard deviation if it is that of an ensemble.

    Returns
    -------
    evaluation : Evaluation

    Raises
    ------
    FileNotFoundError, TypeError, ValueError
        As `VolumeSynthesizer.score`; headers of all images are checked first.

    Warns
    -----
    ScanWarning
        If a scan is doubtful, or a subject is predicted no better than by the mean,
        while others are.
    """
    pairs = pair_subjects(sources, targets, masks=masks)
    n_jobs = min(effective_n_threads(synthesizer.n_jobs), len(subjects))
    n_jobs = subjects_at_once(synthesizer, *pairs, n_jobs=n_jobs)
    elsewhere = cluster_client() is not None
    if n_jobs > 1 or elsewhere:
        synthesizer = copy.copy(synthesizer)
        synthesizer.n_jobs = 1  # a thread a subject
    results = parallel_map(
        _scored,
        (synthesizer, model, inspect),
        zip(*pairs, subjects, strict=True),
        n_jobs=n_jobs,
        prefer="threads",
    )
    evaluation, progress = Evaluation([]), Progress("Scoring", len(subjects), verbose)
    for n, (record, doubts, inspection) in enumerate(results, start=1):
        warn_of(doubts)
        evaluation.records.append(record)
        if inspect is not None:
            evaluation.inspections.append(inspection)
        line = f"{record['subject']}: {record['snr']:.2f} dB"
        progress.tell(n, line, line)
    return evaluation.warn()


def _scored(synthesizer, model, inspect, source, target, subject):
    """A record, what is doubtful, and what there is to see."""
    case = source, target, subject
    record, synthesis, seen = score_subject(model, synthesizer, *case, inspect=inspect)
    return record, synthesis.doubts, seen


def score_subject(
    model, fitted, source, target, subject, *, inspect=None, fit_seconds=None
) -> tuple[dict, Synthesis, Any]:
    """Predict a subject who has a scan of the target.

    Parameters
    ----------
    model : str
    fitted : VolumeSynthesizer
    source, target : path, image or list of them
    subject : str
    inspect : callable, default=None
        As `score_subjects` takes it.
    fit_seconds : float, default=None
        What training took, if it is to be told.

    Returns
    -------
    record : dict
        Of an `Evaluation`.
    synthesis : Synthesis
    seen : object
        What ``inspect`` returned.
    """
    asked = {}
    if inspect is not None:
        asked["return_std"] = role_of(fitted.estimator_).noise is not None
    start = time.perf_counter()
    synthesis = fitted.synthesize(source, target, **asked)
    scores = synthesis.scores(measured)
    record = {
        "model": model,
        "subject": subject,
        **{name: float(np.mean([s[name] for s in scores])) for name in MEASURES},
        "brain_ml": round(synthesis.millilitres, 3),
        "warnings": [str(doubt) for doubt in synthesis.doubts],
    }
    if fit_seconds is not None:
        record["fit_seconds"] = fit_seconds
    record["predict_seconds"] = time.perf_counter() - start
    seen = inspect and inspect(fitted, synthesis, subject, model)
    return record, synthesis, seen

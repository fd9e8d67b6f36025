"""What a fitted synthesizer makes of a subject, and what it consists of."""

from itertools import zip_longest
from pathlib import Path

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._regressors.roles import facts_of_part, role_of
from .._utils.names import contrast_of
from .._utils.store import identity
from ..display._nodes import located_network
from ..jobs._scoring import measured
from ..metrics import ssim_score
from ..volumes._patches import in_brain
from ._pictures import draw_nodes, draw_subject, how_chosen


def inspect_subject(
    synthesizer, source, target, subject, model="", mask=None, cut_coords=None
) -> dict:
    """Predict a subject, and see what `inspect_synthesis` makes of it.

    Parameters
    ----------
    synthesizer : VolumeSynthesizer
    source : path, image or list of them
    target : path, image, list of them or None
    subject, model : str
        What to call them.
    mask : path, image, array or None, default=None
        The brain.
    cut_coords : sequence of 3 float, "worst" or None, default=None
        Where slices lie.

    Returns
    -------
    result : dict
        As `inspect_synthesis` gives it.
    """
    check_is_fitted(synthesizer)
    ensemble = role_of(synthesizer.estimator_).noise is not None
    case = source, target
    synthesis = synthesizer.synthesize(*case, mask=mask, return_std=ensemble)
    return inspect_synthesis(synthesizer, synthesis, subject, model, cut_coords)


def inspect_synthesis(
    synthesizer, synthesis, subject, model="", cut_coords=None
) -> dict:
    """Draw a synthesis, and score it where there is a scan that it should be.

    Parameters
    ----------
    synthesizer : VolumeSynthesizer
        That made it.
    synthesis : Synthesis
    subject, model : str
        What to call them.
    cut_coords : sequence of 3 float, "worst" or None, default=None
        Where slices lie.

    Returns
    -------
    result : dict
        "model", "subject", the brain's volume in ml, "brain_ml", names of its "files",
        their "folder", contrasts of the "sources", and "warnings", statistics of its
        "likeness" to training, how "slices" were chosen; for each target contrast one
        of "contrasts", what is known of it, of "labels", what to call it, what is
        "drawn" and, with a target, one of "scores".
    """
    read = synthesis.subject
    mask = read.brain.mask

    def shown(values):
        return [in_brain(each, mask) for each in values]

    def scored(*pair):
        return measured(*pair) | {"ssim": _ssim(*shown(pair), mask)}

    truths = shown(scan[mask] for scan in read.scans)
    drawn = [truths, shown(synthesis.intensities), shown(synthesis.deviations or [])]
    novelty = synthesis.novelty
    if novelty is not None:
        novelty = in_brain(novelty, mask)
    files = [*read.sources, *read.targets]
    asked = synthesizer.bids_query_ or {}
    sources = _contrasts(read.sources, asked.get("source"))
    names = _contrasts(read.targets, asked.get("target"), len(synthesis.intensities))
    labels = names
    if len(names) > 1:
        labels = [name or f"contrast {i}" for i, name in enumerate(names, start=1)]
    return {
        "model": model,
        "subject": subject,
        "brain_ml": synthesis.millilitres,
        "files": [Path(file.path).name for file in files if file.path],
        "folder": str(Path(files[0].path).absolute().parent) if files[0].path else "",
        "contrasts": names,
        "labels": labels,
        "sources": sources,
        "slices": how_chosen(cut_coords),
        "drawn": [
            draw_subject(read, *each, novelty, sources, name, model, cut_coords)
            for name, each in zip(labels, zip_longest(*drawn), strict=True)
        ],
        "scores": synthesis.scores(scored) if truths else [],
        "warnings": [str(doubt) for doubt in synthesis.doubts],
        "likeness": synthesis.likeness.told() if synthesis.likeness else {},
    }


def inspect_fold(
    synthesizer, synthesis, subject, model, *, first, cut_coords=None
) -> tuple[dict, dict]:
    """What a report shows of a subject held back, and of the network.

    Its places are drawn over the ``first`` subject alone: a page shows no others.
    """
    case = synthesizer, synthesis, subject, model, cut_coords
    shown = synthesis.subject.sources if subject == first else None
    return inspect_synthesis(*case), inspect_network(synthesizer, shown, model, subject)


def _contrasts(files, asked, n=0):
    """Contrasts by the names of files, or else as training asked for them.

    Of files that are there or, without any, of ``n`` that may be.
    """
    found = {file.contrast: contrast_of(file.path) for file in files}
    found = found or dict.fromkeys(range(n), "")
    return [name or (asked[i] if asked else "") for i, name in found.items()]


def _ssim(scan, synthesis, mask):
    """SSIM, or None where the brain is too small for its windows."""
    box = [np.ptp(i) + 1 for i in np.nonzero(mask)]
    return ssim_score(scan, synthesis, mask=mask) if min(box) >= 7 else None


def inspect_network(
    synthesizer, source=None, model="", held_out=None, mask=None
) -> dict:
    """Say what a fitted synthesizer consists of, and draw its places over a brain.

    Parameters
    ----------
    synthesizer : VolumeSynthesizer
    source : path, image or list of them, default=None
        Of the subject whose brain is drawn; places need one.
    model : str, default=""
        What to call it.
    held_out : str, default=None
        The subject that it has not seen.
    mask : path, image, array or None, default=None
        The brain of the subject that is drawn.

    Returns
    -------
    result : dict
        "model", its "fingerprint", "held_out", "facts" and "parameters"; of each
        network training and validation errors, "curves"; what ShrinkConnect tried,
        "search"; a picture of "places", or None.
    """
    check_is_fitted(synthesizer)
    role = role_of(synthesizer.estimator_)
    places = None
    if source is not None and located_network(synthesizer) is not None:
        places = draw_nodes(synthesizer, source, mask)
    return {
        "model": model,
        "fingerprint": identity(synthesizer),
        "held_out": held_out,
        "facts": facts_of_part("model", synthesizer),
        "parameters": {k: repr(v) for k, v in synthesizer.get_params().items()},
        "curves": {
            label: (network.loss_curve_, network.validation_loss_curve_)
            for label, network in role.networks().items()
        },
        "search": role.tried(),
        "places": places,
    }

"""What a fitted synthesizer makes of a subject, and what it consists of."""

from itertools import zip_longest
from pathlib import Path

import numpy as np
from nibabel.affines import apply_affine
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_is_fitted

from .._regressors.roles import facts_of_part, role_of
from ..metrics import psnr_score, snr_score, ssim_score
from ..volumes._patches import in_brain
from ._pictures import draw_places, draw_subject

_FAR = 5  # standard deviations of the training patches
_MANY_FAR = 0.005  # share of voxels beyond, to be warned of
_MANY_OUTSIDE = 0.01  # share of voxels where training had none, likewise
_OTHER_SIZE = 0.1  # relative difference of voxel sizes, likewise


def inspect_subject(synthesizer, source, target, subject, model="") -> dict:
    """Predict a subject, and see what `inspect_synthesis` makes of it.

    Parameters
    ----------
    synthesizer : VolumeSynthesizer
    source : path, image or list of them
    target : path, image, list of them or None
    subject, model : str
        What to call them.

    Returns
    -------
    result : dict
        As `inspect_synthesis` gives it.
    """
    check_is_fitted(synthesizer)
    ensemble = role_of(synthesizer.estimator_).noise is not None
    synthesis = synthesizer.synthesize(source, target, return_std=ensemble)
    return inspect_synthesis(synthesizer, synthesis, subject, model)


def inspect_synthesis(synthesizer, synthesis, subject, model="") -> dict:
    """Draw a synthesis, and score it where there is a scan that it should be.

    Parameters
    ----------
    synthesizer : VolumeSynthesizer
        That made it.
    synthesis : Synthesis
    subject, model : str
        What to call them.

    Returns
    -------
    result : dict
        "model", "subject", the brain's volume in ml, "brain_ml", names of its "files"
        and "warnings", whether the picture "has_novelty"; for each target contrast one
        of "pictures" and, with a target, of "scores".
    """
    read = synthesis.subject.with_volumes()

    def shown(values):
        return [in_brain(each, read.mask) for each in values]

    def scored(y_true, y_pred):
        pair = np.float64(y_true), np.float64(y_pred)
        return {
            "snr": snr_score(*pair),
            "psnr": psnr_score(*pair),
            "ssim": _ssim(*shown(pair), read.mask),
            "r2": r2_score(*pair),
        }

    truths = shown(scan[read.mask] for scan in read.scans)
    drawn = [truths, shown(synthesis.intensities), shown(synthesis.deviations or [])]
    novelty = synthesis.novelty
    if novelty is not None:
        novelty = in_brain(novelty, read.mask)
    files = [*read.sources, *read.targets]
    doubts = [str(doubt) for doubt in synthesis.doubts]
    return {
        "model": model,
        "subject": subject,
        "brain_ml": synthesis.millilitres,
        "files": [Path(file.path).name for file in files if file.path],
        "pictures": [
            draw_subject(read, *each, novelty=novelty) for each in zip_longest(*drawn)
        ],
        "has_novelty": novelty is not None,
        "scores": synthesis.scores(scored) if truths else [],
        "warnings": doubts + _warnings(synthesizer, read),
    }


def inspect_fold(model, synthesizer, source, target, subject):
    """What a report shows of a subject held back, and of the network."""
    return (
        inspect_subject(synthesizer, source, target, subject, model),
        inspect_network(synthesizer, source, model, subject),
    )


def _ssim(scan, synthesis, mask):
    """SSIM, or None where the brain is too small for its windows."""
    box = [np.ptp(i) + 1 for i in np.nonzero(mask)]
    return ssim_score(scan, synthesis, mask=mask) if min(box) >= 7 else None


def _warnings(synthesizer, subject):
    """What a subject has that training had not, as far as the synthesizer knows."""
    found, preparation = [], synthesizer.preparation_
    size, trained = subject.voxel_size, preparation.voxel_size
    if (abs(size / trained - 1) > _OTHER_SIZE).any():
        found.append(
            f"Voxels of {_by(size)} mm, where training had {_by(trained)} mm: a patch "
            "covers other anatomy. Resample to the size of training."
        )
    networks = role_of(synthesizer.estimator_).networks()
    if not networks:
        return found
    network = next(iter(networks.values())).network_
    scaling, columns = network.scaling, network.feature_columns
    for c, values in enumerate(preparation.normalised(subject)):
        centre = preparation.window.centre(c)
        if centre not in columns:
            continue
        of = columns.index(centre)
        z = (values - scaling.feature_centre[of]) / scaling.feature_scale[of]
        share = np.mean(abs(z) > _FAR)
        if share > _MANY_FAR:
            found.append(
                f"{share:.1%} of the brain's voxels in source contrast {c + 1} are "
                f"more than {_FAR} standard deviations from the mean of training. Is "
                "it the same contrast, corrected for bias and without skull?"
            )
    if len(network.coordinate_columns) == 3:
        places = apply_affine(subject.affine, np.argwhere(subject.mask))
        scaled = (places - scaling.coordinate_centre) / scaling.coordinate_scale
        share = np.mean((abs(scaled) > 1).any(axis=1))
        if share > _MANY_OUTSIDE:
            found.append(
                f"{share:.1%} of the brain's voxels lie where no training brain did. "
                "Is the image in the space of training?"
            )
    return found


def inspect_network(synthesizer, source=None, model="", held_out=None) -> dict:
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

    Returns
    -------
    result : dict
        "model", "held_out", "facts" and "parameters"; of each network training and
        validation errors, "curves"; what ShrinkConnect tried, "search"; a picture of
        "places", or None.
    """
    check_is_fitted(synthesizer)
    role = role_of(synthesizer.estimator_)
    networks, places = role.networks(), None
    for network in networks.values() if source is not None else ():
        if network.latent_coordinates_.shape[1] == 3:
            (sources,), _ = synthesizer.preparation_.open([source])
            subject = synthesizer.preparation_.read(sources)
            places = draw_places(network.latent_coordinates_, subject)
            break
    return {
        "model": model,
        "held_out": held_out,
        "facts": facts_of_part("model", synthesizer),
        "parameters": {k: repr(v) for k, v in synthesizer.get_params().items()},
        "curves": {
            label: (network.loss_curve_, network.validation_loss_curve_)
            for label, network in networks.items()
        },
        "search": role.tried(),
        "places": places,
    }


def _by(sizes):
    return " x ".join(f"{size:.3g}" for size in sizes)

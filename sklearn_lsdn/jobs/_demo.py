"""`lsdn demo`: the main job on the simulated cohort, from cohort to picture."""

import time
from pathlib import Path

from .._regressors.networks import CDNRegressor, LSDNRegressor, VDNRegressor
from .._utils.files import prepared_outputs
from .._utils.optional import require
from ..datasets import make_brain_cohort
from ..display._figures import figure_to_save
from ..display._synthesis import SynthesisDisplay
from ..volumes import VolumeSynthesizer
from ..volumes._images import save_image
from ._evaluation import Evaluation
from ._scoring import score_subject


def run_demo(
    output="lsdn-demo",
    *,
    n_subjects=6,
    voxel_size=2.0,
    n_jobs=None,
    random_state=0,
    overwrite=False,
    verbose=1,
) -> Evaluation:
    """Train LSDN, CDN and VDN on simulated subjects and predict one held back.

    Parameters
    ----------
    output : str or path-like, default="lsdn-demo"
        Folder for the images and the picture; it is made.
    n_subjects : int, default=6
        Simulated subjects, the last of them held back.
    voxel_size : float, default=2.0
        In mm.
    n_jobs : int, default=None
        Threads.
    random_state : int, default=0
        Seed of the cohort and of the training.
    overwrite : bool, default=False
        Replace the files of an earlier demo.
    verbose : int, default=1
        Say what is being done.

    Returns
    -------
    evaluation : Evaluation
        Scores of the three networks on the subject held back.

    Raises
    ------
    FileExistsError
        If the folder holds an earlier demo and ``overwrite`` is false.
    """

    def say(message):
        if verbose:
            print(message, flush=True)

    require("matplotlib.figure")  # rather now than after the work
    if n_subjects < 2:
        raise ValueError(f"n_subjects must be 2 or more, got {n_subjects}.")
    output = Path(output)
    names = ("source_T1w", "target_T2w", "synthesis_T2w")
    paths = [output / f"{name}.nii.gz" for name in names]
    picture = output / "synthesis.png"
    with prepared_outputs([*paths, picture], overwrite=overwrite):
        records, images = _trained(n_subjects, voxel_size, n_jobs, random_state, say)
        for path, image in zip(paths, images, strict=True):
            save_image(image, path, overwrite=overwrite)
        display = SynthesisDisplay.from_images(
            *images,
            source_name="T1w",
            target_name="T2w",
            figure=figure_to_save,
            title=f"LSDN, {records[0]['subject']} (simulated, not seen in training): "
            f"SNR {records[0]['snr']:.1f} dB, R2 {records[0]['r2']:.2f}",
        )
        display.save(picture, overwrite=overwrite)
    return Evaluation(records)


def _trained(n_subjects, voxel_size, n_jobs, random_state, say):
    """Scores on the last subject, and its source, target and LSDN's synthesis."""
    say(f"Simulating T1w and T2w of {n_subjects} subjects at {voxel_size:g} mm ...")
    cohort = make_brain_cohort(
        n_subjects, voxel_size=voxel_size, random_state=random_state
    )
    t1w, t2w = cohort.images["T1w"], cohort.images["T2w"]
    networks = {
        "LSDN": LSDNRegressor((400, 40)),
        "CDN": CDNRegressor((400, 40)),
        "VDN": VDNRegressor((400, 40)),
    }
    say("Compiling the kernels; from the second run on they are cached ...")
    VolumeSynthesizer(LSDNRegressor(max_iter=1), n_voxels=100).fit(
        t1w[:1], t2w[:1]
    ).predict(t1w[:1])
    records = []
    for name, network in networks.items():
        say(f"Training {name} on {n_subjects - 1} subjects ...")
        start = time.perf_counter()
        synthesizer = VolumeSynthesizer(
            network, n_voxels=20_000, n_jobs=n_jobs, random_state=random_state
        ).fit(t1w[:-1], t2w[:-1])
        fit_seconds = time.perf_counter() - start
        if name.startswith("LSDN"):
            (shown,) = synthesizer.predict(t1w[-1:], scale_to=t2w[-1:])
        case = t1w[-1], t2w[-1], cohort.subjects[-1]
        record, *_ = score_subject(name, synthesizer, *case, fit_seconds=fit_seconds)
        records.append(record)
    return records, (t1w[-1], t2w[-1], shown)

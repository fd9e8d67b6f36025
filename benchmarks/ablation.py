"""What each choice is worth on subjects that training never saw.

    LSDN_DATA=<folder with open_ms_mni> python benchmarks/ablation.py --jobs 2
    ... --cohort simulated --rows "the default" "boosted trees"     a part of it
    ... --quick                 a smoke test on tiny simulated brains

One subject is left out at a time: SNR over the brain in the target scan's units for
each, its mean, mean PSNR and SSIM, and the mean SNR inside the lesions. First comes the
paper's setting with one change at a time, then the package's default with one of its
choices taken back at a time or one added; "larger" has more nodes, and averages target
patches instead of smoothing. Then come peers on the patches and coordinates of the
paper's setting, of the default's scales, smoothed or not, and in the default's whole
setting, voxels mirrored and shifted; boosted trees with each normalisation. Cohorts:
open MS (Lesjak et al., Neuroinformatics 2017, doi:10.1007/s12021-017-9348-7); ten
simulated subjects at 2 mm, of whom four are held back; and these four in scans of
another scanner's settings.

Each result is kept in the folder `--cache` under its settings, so that the next run
computes only what is missing. Remove the folder when the package's code has changed.
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import joblib
import nibabel as nib
import numpy as np
from open_ms import PAPER
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LinearRegression
from table1 import (
    digest,
    open_ms_cohort,
    say,
    simulated_cohort,
    write_json,
)
from threadpoolctl import threadpool_limits

from sklearn_lsdn import CDNRegressor, LSDNRegressor, VolumeSynthesizer, __version__
from sklearn_lsdn._utils.files import written_whole
from sklearn_lsdn.datasets import make_brain_cohort
from sklearn_lsdn.metrics import psnr_score, snr_score, ssim_score
from sklearn_lsdn.volumes import Augmentation
from sklearn_lsdn.volumes._images import open_image
from sklearn_lsdn.volumes._normalizer import normalizer_names

DEFAULT = {
    name: value for name, value in VolumeSynthesizer().get_params().items()
    if name in PAPER
}  # fmt: skip
NORMALIZATIONS = tuple(normalizer_names())
CHANGES = {
    "scales 1, 2": dict(patch_scales=(1, 2)),
    "scales 1, 2, 4": dict(patch_scales=(1, 2, 4)),
    "patches of 5 voxels": dict(patch_size=5),
    "mirror": dict(augmentation=Augmentation(shift=0.0)),
    "shift, 5 mm": dict(augmentation=Augmentation(mirror=False)),
    "shift, 10 mm": dict(augmentation=Augmentation(mirror=False, shift=10.0)),
    "bias field, 0.1": dict(
        augmentation=Augmentation(mirror=False, shift=0.0, bias_field=0.1)
    ),
    "smoothing, 1.2 mm": dict(smoothing=1.2),
    "target patches, not smoothed": dict(target_patch_size=3, smoothing=0.0),
    "3 networks": dict(n_estimators=3),
    **{name: dict(normalization=name) for name in NORMALIZATIONS[1:]},
    "sigma 0.25": dict(estimator=LSDNRegressor(sigma=0.25)),
    "sigma 1": dict(estimator=LSDNRegressor(sigma=1.0)),
    "400-40 nodes": dict(estimator=LSDNRegressor((400, 40))),
    "stop early, by subject": dict(
        estimator=LSDNRegressor(early_stopping=True, validation_fraction=0.5)
    ),
}
ADDED = (*NORMALIZATIONS[1:], "target patches, not smoothed", "sigma 1", "400-40 nodes")
LARGER = CHANGES["400-40 nodes"] | CHANGES["target patches, not smoothed"]
FOREST = RandomForestRegressor(
    60, min_samples_leaf=5, max_features=1 / 3, max_samples=0.25
)
PEERS = {
    "linear regression": LinearRegression(),
    "CDN": CDNRegressor((400, 40)),
    "random forest": FOREST,
    "boosted trees": HistGradientBoostingRegressor(),
}
N_SIMULATED_FOLDS = 4


def rows():
    """Parameters of a synthesizer for each row."""
    table = {"the paper's setting": PAPER}
    table |= {f"+ {name}": PAPER | change for name, change in CHANGES.items()}
    table["the default"] = DEFAULT
    for name, value in DEFAULT.items():
        if value != PAPER[name]:
            without = f"default, {name}={PAPER[name]!r}"
            table[without] = DEFAULT | {name: PAPER[name]}
    table["default without mirror"] = DEFAULT | CHANGES["shift, 5 mm"]
    table["default without shift"] = DEFAULT | CHANGES["mirror"]
    for name in ADDED:
        table[f"default + {name}"] = DEFAULT | CHANGES[name]
    table["larger"] = larger = DEFAULT | LARGER
    table["larger + scales 1, 2, 4"] = larger = larger | CHANGES["scales 1, 2, 4"]
    table["larger + scales 1, 2, 4 + 3 networks"] = larger | CHANGES["3 networks"]
    single = PAPER | dict(patch_scales=DEFAULT["patch_scales"])
    smooth = single | dict(smoothing=DEFAULT["smoothing"])
    for name, peer in PEERS.items():
        table[name] = PAPER | dict(estimator=peer)
        table[f"{name}, default's scales"] = single | dict(estimator=peer)
        table[f"{name}, default's scales, smoothed"] = smooth | dict(estimator=peer)
        table[f"{name}, default's setting"] = DEFAULT | dict(estimator=peer)
    wide = PAPER | CHANGES["scales 1, 2, 4"] | dict(estimator=PEERS["boosted trees"])
    table["boosted trees, scales 1, 2, 4"] = wide
    table["boosted trees, scales 1, 2, 4, nyul"] = wide | CHANGES["nyul"]
    for name in NORMALIZATIONS[1:]:
        peer = dict(estimator=PEERS["boosted trees"], normalization=name)
        table[f"boosted trees, {name}"] = PAPER | peer
        table[f"boosted trees, default's scales, {name}"] = single | peer
        table[f"boosted trees, default's scales, smoothed, {name}"] = smooth | peer
        table[f"boosted trees, default's setting, {name}"] = DEFAULT | peer
    return table


@dataclass
class Run:
    """A row in one direction, with one subject held back."""

    settings: dict  # all that the result depends on
    synthesizer: VolumeSynthesizer
    train: list  # paths of the sources, and of the targets
    test: list  # paths of the sources, and of the target
    lesions: Path | None
    path: Path  # of the result


def plan(cohort, directions, folds, arguments, test_images=None):
    """Every run of a cohort; tests may be on other scans than those of training."""
    runs = []
    for direction in directions:
        for row, parameters in rows().items():
            if arguments.rows and row not in arguments.rows:
                continue
            synthesizer = VolumeSynthesizer(
                n_voxels=cohort.n_voxels, random_state=arguments.seed
            )
            synthesizer = clone(synthesizer.set_params(**parameters))
            if arguments.quick:
                synthesizer.set_params(estimator=LSDNRegressor((20, 5), max_iter=2))
            for fold in folds:
                what = cohort, direction, row, synthesizer, fold
                runs.append(make_run(*what, arguments.cache, test_images))
    return runs


def make_run(cohort, direction, row, synthesizer, fold, cache, test_images=None):
    sources, target = direction.split(" -> ")
    sources = sources.split(" + ")
    others = [i for i in range(len(cohort.subjects)) if i != fold]

    def images(contrasts, chosen, where=cohort.images):
        return [[str(where[c][i]) for c in contrasts] for i in chosen]

    where = test_images or cohort.images
    settings = {
        **cohort.settings,
        "other scanner": test_images is not None,
        "direction": direction,
        "row": row,
        "subject": cohort.subjects[fold],
        "synthesizer": {k: repr(v) for k, v in synthesizer.get_params().items()},
        "version": __version__,
    }
    return Run(
        settings,
        synthesizer,
        [images(sources, others), images([target], others)],
        [images(sources, [fold], where)[0], images([target], [fold], where)[0][0]],
        lesions_of(cohort, fold),
        cache / f"{digest(settings)}.json",
    )


def lesions_of(cohort, fold):
    scan = Path(cohort.images["T1w"][fold])
    return next(scan.parent.glob("*_label-lesion_mask.nii.gz"), None)


def compute(run):
    """Train, score and store the result."""
    with threadpool_limits(1):
        start = time.process_time()
        fitted = clone(run.synthesizer).fit(*run.train)
        result = {"fit_seconds": time.process_time() - start}
        result |= score(fitted, run)
    write_json(run.path, {**run.settings, **result})
    return run


def score(fitted, run):
    sources, target = run.test
    paths = [*sources, target]
    mask = np.logical_and.reduce([open_image(p, "scan").read() != 0 for p in paths])
    lesions = np.zeros(mask.shape, dtype=bool)
    if run.lesions is not None:
        lesions = (open_image(run.lesions, "lesions").read() > 0) & mask
    inside = lesions[mask]

    def metrics(y_true, y_pred):
        scan, synthesis = np.zeros((2, *mask.shape))
        scan[mask], synthesis[mask] = y_true, y_pred
        ssim = ssim_score(scan, synthesis, mask=mask)
        in_lesions = np.nan
        if inside.any():
            in_lesions = snr_score(y_true[inside], y_pred[inside])
        return snr_score(y_true, y_pred), psnr_score(y_true, y_pred), ssim, in_lesions

    values = fitted.score_volumes([sources], [target], metric=metrics).ravel()
    return dict(
        zip(("snr", "psnr", "ssim", "lesions"), map(float, values), strict=True)
    )


def compute_missing(runs, n_jobs):
    missing = [run for run in runs if not run.path.exists()]
    say(f"{len(runs) - len(missing)} of {len(runs)} runs are there already.")
    done = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")(
        joblib.delayed(compute)(run) for run in missing
    )
    for n, run in enumerate(done, start=1):
        result = json.loads(run.path.read_text())
        what = "{direction}, {row}, {subject}: {snr:.2f} dB".format(**result)
        say(f"{n} of {len(missing)}: {what}")


def table(runs):
    """A line for each row, with the SNR of each subject and the means."""
    results = [json.loads(run.path.read_text()) for run in runs if run.path.exists()]
    directions = list(dict.fromkeys(result["direction"] for result in results))
    lesions = any(np.isfinite(result["lesions"]) for result in results)
    header = ["row"]
    for direction in directions:
        header += [f"{direction}: SNR, dB", "of each subject", "PSNR, dB", "SSIM"]
        header += ["SNR in lesions, dB"] if lesions else []
    lines = [[*header, "training, s"], ["---"] * (len(header) + 1)]
    for row in dict.fromkeys(result["row"] for result in results):
        ours = [result for result in results if result["row"] == row]
        line = [row]
        for direction in directions:
            each = [result for result in ours if result["direction"] == direction]
            snr = [result["snr"] for result in each]
            line += [f"{np.mean(snr):.2f}", " ".join(f"{value:.2f}" for value in snr)]
            line += [f"{np.mean([result['psnr'] for result in each]):.2f}"]
            line += [f"{np.mean([result['ssim'] for result in each]):.3f}"]
            if lesions:
                line += [f"{np.nanmean([result['lesions'] for result in each]):.2f}"]
        line.append(f"{np.mean([result['fit_seconds'] for result in ours]):.1f}")
        lines.append(line)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def simulated_folds(cohort):
    """Which of the simulated subjects are held back."""
    step = max(1, len(cohort.subjects) // (N_SIMULATED_FOLDS - 1))
    return range(0, len(cohort.subjects), step)


def carry_out(plans, n_jobs):
    """Compute what is missing of each cohort's runs, and print its table."""
    every = [run for runs in plans.values() for run in runs]
    compute_missing(every, joblib.effective_n_jobs(n_jobs))
    for name, runs in plans.items():
        print(f"{name}\n\n{table(runs)}\n", flush=True)


def add_options(parser, rows, cache):
    """Options of a script that computes runs and keeps them."""
    parser.add_argument("--rows", nargs="+", choices=rows, metavar="ROW")
    parser.add_argument("--jobs", type=int, default=-1, help="runs at a time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=Path(cache))
    parser.add_argument("--quick", action="store_true", help="a smoke test")


def other_scanner(cohort, cache, seed):
    """The simulated subjects as another scanner's settings show them."""
    make = {k: v for k, v in cohort.settings.items() if k != "cohort"}
    images = {}
    simulated = None
    for contrast in ("T1w", "T2w"):
        images[contrast] = []
        for i, subject in enumerate(cohort.subjects):
            path = cache / f"protocol-B-{digest(make)}_{subject}_{contrast}.nii"
            if not path.exists():
                if simulated is None:
                    simulated = make_brain_cohort(**make, protocol="B").images
                with written_whole(path, suffix=".nii", overwrite=True) as temporary:
                    nib.save(simulated[contrast][i], temporary)
            images[contrast].append(path)
    return images


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    names = ["open_ms", "simulated", "other_scanner"]
    parser.add_argument("--cohort", nargs="+", choices=names, default=names)
    parser.add_argument("--directions", nargs="+", help='such as "T1w -> T2w"')
    add_options(parser, rows(), "ablation_results")
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    both = arguments.directions or ["T1w -> T2w", "T2w -> T1w"]
    plans = {}
    if "open_ms" in arguments.cohort and not arguments.quick:
        cohort = open_ms_cohort()
        more = ["T1w -> FLAIR", "FLAIR -> T2w", "T1w + FLAIR -> T2w"]
        directions = arguments.directions or [*both, *more]
        plans["open_ms"] = plan(cohort, directions, range(3), arguments)
    if {"simulated", "other_scanner"} & set(arguments.cohort):
        cohort = simulated_cohort(arguments.cache, arguments.seed, arguments.quick)
        folds = simulated_folds(cohort)
        if "simulated" in arguments.cohort:
            plans["simulated"] = plan(cohort, both, folds, arguments)
        if "other_scanner" in arguments.cohort and not arguments.quick:
            images = other_scanner(cohort, arguments.cache, arguments.seed)
            plans["other_scanner"] = plan(cohort, both, folds, arguments, images)
    carry_out(plans, arguments.jobs)


if __name__ == "__main__":
    sys.exit(main())

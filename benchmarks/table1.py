"""The paper's table 1, with the peers that a user would otherwise pick.

    LSDN_DATA=<folder with open_ms_mni> python benchmarks/table1.py --jobs 2
    ... --cohort simulated --rows MP LSDN-1 --folds 1     a part of it
    ... --quick                 a smoke test on tiny simulated brains, in a minute

One subject is left out at a time. SNR, PSNR and SSIM are of the same synthesis, over
the brain (SSIM: the box around it), in the units of the target scan; means (+- standard
deviation, of n and not n - 1) are over subjects. Cohorts: the open MS data (Lesjak
et al., Neuroinformatics 2017, doi:10.1007/s12021-017-9348-7), there also towards FLAIR,
and ten simulated subjects at 2 mm. All rows train on the same voxels. Linear
regression, random forest (the recipe of REPLICA: Jog et al., Medical Image Analysis
2017; a quarter of the voxels for each tree, for time) and boosted trees get patch and
coordinates, as CDN does.

Training loss is the networks' own, equation (1), in the last epoch. Training time is
the processor's, of a fold on one thread, with reading the scans and drawing voxels.
Synthesis time is measured when all else is done: medians of alternating runs on one
thread, of a scan that has been read and normalised before.

Each result is kept in the folder `--cache` under its settings, so that the next run
computes only what is missing. Remove the folder when the package's code has changed.
"""

import argparse
import hashlib
import json
import sys
import time
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import joblib
import nibabel as nib
import numpy as np
from open_ms import LAST, PAPER, data_folder
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LinearRegression
from threadpoolctl import threadpool_limits

from sklearn_lsdn import (
    CDNRegressor,
    CoupledSparseRegressor,
    LSDNRegressor,
    ModalityPropagationRegressor,
    VDNRegressor,
    VolumeSynthesizer,
    __version__,
)
from sklearn_lsdn._utils.files import written_whole
from sklearn_lsdn.datasets import make_brain_cohort
from sklearn_lsdn.metrics import psnr_score, snr_score, ssim_score
from sklearn_lsdn.volumes._images import open_image
from sklearn_lsdn.volumes._masks import Brain
from sklearn_lsdn.volumes._subject import Subject
from sklearn_lsdn.volumes._working_grid import WorkingGrid

# The paper does not say how many samples an update sees.
SGD = LAST | dict(
    solver="sgd",
    batch_size=32,
    learning_rate_init=0.25,
    learning_rate_decay=0.99,
    max_iter=300,
    n_iter_no_change=300,
)
# As many epochs as take the same time, from Adam's usual first to its usual last rate.
ADAM = LAST | dict(
    max_iter=350, n_iter_no_change=350, learning_rate_decay=0.85 ** (20 / 350)
)
ESTIMATORS = {
    "MP": ModalityPropagationRegressor(n_neighbors=4),
    "Coupled Sparse": CoupledSparseRegressor(),
    "VDN": VDNRegressor((400, 40), **LAST),
    "CDN": CDNRegressor((400, 40), **LAST),
    "LSDN-Small": LSDNRegressor((50, 5), **LAST),
    "LSDN-1": LSDNRegressor((200, 20), **LAST),
    "LSDN-2": LSDNRegressor((400, 40), **LAST),
    "LSDN-1 + ShrinkConnect": LSDNRegressor((200, 20), **LAST),
    "LSDN-2 + ShrinkConnect": LSDNRegressor((400, 40), **LAST),
    "LSDN-1, patches averaged": LSDNRegressor((200, 20), **LAST),
    "LSDN-1, the paper's SGD": LSDNRegressor((200, 20), **SGD),
    "LSDN-1, Adam for as long": LSDNRegressor((200, 20), **ADAM),
    "linear regression": LinearRegression(),
    "random forest": RandomForestRegressor(
        60, min_samples_leaf=5, max_features=1 / 3, max_samples=0.25
    ),
    "boosted trees": HistGradientBoostingRegressor(),
}
TARGET_PATCH = {
    "MP": 3,
    "Coupled Sparse": 3,
    "LSDN-1, patches averaged": 3,
}  # voxels a side
KEEP = {"LSDN-1 + ShrinkConnect": 0.25, "LSDN-2 + ShrinkConnect": 0.25}
# Minutes a fold: between T1w and T2w of the open MS data, unless asked for.
LONG = ("LSDN-1, the paper's SGD", "LSDN-1, Adam for as long")
QUICK = dict(max_iter=2, n_iter_no_change=2, n_estimators=2, n_components=64)
LONG_ENOUGH = 60  # seconds for timing a row, from three runs on


@dataclass
class Cohort:
    """Scans of several subjects, and the directions of each table."""

    settings: dict  # all that the scans depend on
    images: dict  # paths by contrast
    subjects: list
    tables: tuple
    n_voxels: int  # drawn from each subject


@dataclass
class Run:
    """A row in one direction, with one subject held back."""

    settings: dict  # all that the result depends on
    synthesizer: VolumeSynthesizer
    train: list  # paths of the sources, and of the targets
    test: list  # path of the source, and of the target
    path: Path  # of the result
    model: Path | None = None  # of the fitted synthesizer, if it will be timed

    @property
    def done(self):
        return all(path.exists() for path in (self.path, self.model) if path)

    def result(self):
        return json.loads(self.path.read_text())


def open_ms_cohort():
    folder = data_folder()
    subjects = sorted(path.name for path in folder.glob("sub-*"))
    if not subjects:
        sys.exit(f"no subjects in {folder}: LSDN_DATA names the folder above it")
    images = {
        contrast: [
            next(folder.glob(f"{s}/anat/{s}_space-MNI152_*_{contrast}.nii.gz"))
            for s in subjects
        ]
        for contrast in ("T1w", "T2w", "FLAIR")
    }
    tables = ("T1w -> T2w", "T2w -> T1w"), ("T1w -> FLAIR", "T2w -> FLAIR")
    settings = {"cohort": "open_ms", "subjects": subjects}
    return Cohort(settings, images, subjects, tables, 100_000)


def simulated_cohort(cache, seed, quick, voxel_size=2.0, **more):
    n_subjects, n_voxels = 10, round(80_000 / voxel_size**3)
    if quick:
        n_subjects, voxel_size, n_voxels = 3, 8.0, 400
    make = dict(n_subjects=n_subjects, voxel_size=voxel_size, random_state=seed, **more)
    folder = cache / f"simulated-{digest(make)}"
    folder.mkdir(exist_ok=True)
    subjects = [f"sub-{i + 1:02d}" for i in range(n_subjects)]
    images = {
        contrast: [folder / f"{subject}_{contrast}.nii" for subject in subjects]
        for contrast in ("T1w", "T2w")
    }
    if not all(path.exists() for paths in images.values() for path in paths):
        simulated = make_brain_cohort(**make).images
        for contrast, paths in images.items():
            for path, image in zip(paths, simulated[contrast], strict=True):
                with written_whole(path, suffix=".nii", overwrite=True) as temporary:
                    nib.save(image, temporary)
    settings = {"cohort": "simulated", **make}
    tables = (("T1w -> T2w", "T2w -> T1w"),)
    return Cohort(settings, images, subjects, tables, n_voxels)


def digest(settings):
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_json(path, content):
    with written_whole(path, overwrite=True) as temporary:
        temporary.write_text(json.dumps(content, indent=1))


def plan(cohort, arguments):
    """Every run of a cohort."""
    first, *others = (direction for table in cohort.tables for direction in table)
    runs = []
    for direction in (first, *others):
        easy = "FLAIR" not in direction and cohort.settings["cohort"] == "open_ms"
        for row in arguments.rows or ESTIMATORS:
            if row in LONG and not (easy or arguments.rows or arguments.quick):
                continue
            for fold in range(len(cohort.subjects))[: arguments.folds]:
                run = make_run(cohort, direction, row, fold, arguments)
                if (direction, fold) == (first, 0):
                    run.model = run.path.with_suffix(".model")
                runs.append(run)
    return runs


def make_run(cohort, direction, row, fold, arguments):
    estimator = clone(ESTIMATORS[row])
    if arguments.quick:
        known = estimator.get_params()
        estimator.set_params(**{k: v for k, v in QUICK.items() if k in known})
    synthesizer = VolumeSynthesizer(
        estimator,
        **PAPER | dict(target_patch_size=TARGET_PATCH.get(row, 1)),
        n_voxels=cohort.n_voxels,
        random_state=arguments.seed,
    )
    settings = {
        **cohort.settings,
        "direction": direction,
        "row": row,
        "subject": cohort.subjects[fold],
        "keep": KEEP.get(row),
        "synthesizer": {k: repr(v) for k, v in synthesizer.get_params().items()},
        "estimator": {k: repr(v) for k, v in estimator.get_params().items()},
        "version": __version__,
    }
    pair = [cohort.images[contrast] for contrast in direction.split(" -> ")]
    train = [paths[:fold] + paths[fold + 1 :] for paths in pair]
    test = [paths[fold] for paths in pair]
    path = arguments.cache / f"{digest(settings)}.json"
    return Run(settings, synthesizer, train, test, path)


def fit(run, sources, targets):
    fitted = clone(run.synthesizer).fit(sources, targets)
    if run.settings["keep"] is None:
        return fitted
    seed = run.synthesizer.random_state  # for the same voxels
    return fitted.shrink(sources, targets, keep=run.settings["keep"], random_state=seed)


def compute(run):
    """Train, score and store the result; say what went wrong, if anything did."""
    start = time.perf_counter()
    try:
        with threadpool_limits(1):
            noise = np.random.RandomState(0).uniform(1, 2, (2, 8, 8, 8))
            noise = [
                [nib.Nifti1Image(np.pad(np.float32(v), 1), np.eye(4))] for v in noise
            ]
            fit(run, *noise).predict(noise[0])  # kernels are compiled before the clock
            before = time.process_time()
            fitted = fit(run, *run.train)
            result = {"fit_seconds": time.process_time() - before}
            result |= score(fitted, *run.test)
        network = getattr(fitted.estimator_, "estimator_", fitted.estimator_)
        result["training_loss"] = getattr(network, "loss_curve_", [None])[-1]
        if run.model:
            with written_whole(run.model, overwrite=True) as temporary:
                joblib.dump(fitted, temporary)
        result["seconds"] = time.perf_counter() - start
        write_json(run.path, {**run.settings, **result})
    except Exception:
        return run, traceback.format_exc()
    return run, None


def score(fitted, source, target):
    """SNR, PSNR and SSIM of one synthesis."""
    mask = np.logical_and(
        *(open_image(path, "scan").read() != 0 for path in (source, target))
    )

    def metrics(y_true, y_pred):
        scan, synthesis = np.zeros((2, *mask.shape))
        scan[mask], synthesis[mask] = y_true, y_pred
        ssim = ssim_score(scan, synthesis, mask=mask)
        return snr_score(y_true, y_pred), psnr_score(y_true, y_pred), ssim

    snr, psnr, ssim = fitted.score_volumes([source], [target], metric=metrics).ravel()
    return {"snr": float(snr), "psnr": float(psnr), "ssim": float(ssim)}


def compute_missing(runs, n_jobs):
    """Compute what has no result yet; return how many runs failed."""
    missing = [run for run in runs if not run.done]
    say(f"{len(runs) - len(missing)} of {len(runs)} runs are there already.")
    seconds = {}
    for run in runs:
        if run.done:
            key = run.settings["cohort"], run.settings["row"]
            seconds.setdefault(key, []).append(run.result()["seconds"])
    ahead = [(run.settings["cohort"], run.settings["row"]) for run in missing]
    if missing and seconds.keys() >= set(ahead):
        minutes = sum(np.mean(seconds[key]) for key in ahead) / n_jobs / 60
        say(f"By their times, the others take {minutes:.0f} minutes.")
    finished = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")(
        joblib.delayed(compute)(run) for run in missing
    )
    n_failed = 0
    for n, (run, error) in enumerate(finished, start=1):
        n_failed += error is not None
        outcome = f"failed\n{error}" if error else f"{run.result()['snr']:.2f} dB"
        what = "{cohort}, {direction}, {row}, {subject}".format(**run.settings)
        say(f"{n} of {len(missing)}: {what}: {outcome}")
    return n_failed


def measure_synthesis(runs, repeats):
    """Median seconds in which each row synthesises a scan of the brain."""
    file = open_image(runs[0].test[0], "source")
    volume = file.read()
    mask = volume != 0
    few = mask & (np.cumsum(mask).reshape(mask.shape) <= 1000)

    def subject(volume, mask):
        grid = WorkingGrid.of(mask, file.affine)
        volumes = [volume.copy()]
        return Subject([file], volumes, [], [], Brain(mask, 0.0), grid, file.affine)

    ready = {}
    for run in runs:
        synthesizer = joblib.load(run.model)
        preparation = synthesizer.preparation_
        (normalizer,) = preparation.source_normalizers
        normalised = normalizer.to_shared(volume, normalizer.describe(volume, mask))
        nothing_to_do = SimpleNamespace(
            describe=lambda volume, mask: None,
            to_shared=lambda volume, description: volume,
            background=normalizer.background,
        )
        synthesizer.preparation_ = replace(
            preparation, source_normalizers=[nothing_to_do]
        )
        synthesizer._synthesize(subject(normalised, few))  # compiles kernels
        ready[run.settings["row"]] = synthesizer, normalised
    seconds = {row: [] for row in ready}
    for _ in range(repeats):
        for row, (synthesizer, normalised) in ready.items():
            if len(seconds[row]) < 3 or sum(seconds[row]) < LONG_ENOUGH:
                whole = subject(normalised, mask)
                start = time.perf_counter()
                synthesizer._synthesize(whole)
                seconds[row].append(time.perf_counter() - start)
    return {row: float(np.median(values)) for row, values in seconds.items()}


def synthesis_seconds(runs, cache, repeats):
    """The same, measured unless it has been for these very rows."""
    runs = [run for run in runs if run.model and run.done]
    if not runs:
        return {}
    path = cache / f"{digest([repeats, *(run.path.stem for run in runs)])}.json"
    if not path.exists():
        say(f"Timing the synthesis of {len(runs)} rows.")
        with threadpool_limits(1):
            write_json(path, measure_synthesis(runs, repeats))
    return json.loads(path.read_text())


def table(runs, seconds):
    """Means over subjects, a line for each row; "-" where nothing was computed."""
    directions = list(dict.fromkeys(run.settings["direction"] for run in runs))
    scores = [f"{s}: {d}" for s in ("SNR, dB", "PSNR, dB", "SSIM") for d in directions]
    header = ["method", *scores, "training loss", "training, s", "synthesis, s"]
    lines = [header, ["---"] * len(header)]
    for row in dict.fromkeys(run.settings["row"] for run in runs):
        ours = [run for run in runs if run.settings["row"] == row and run.done]
        results = [run.result() for run in ours]
        by_direction = [
            [result for result in results if result["direction"] == direction]
            for direction in directions
        ]
        lines.append(
            [
                row,
                *(cell("{:.2f} +- {:.2f}", each, "snr") for each in by_direction),
                *(cell("{:.2f}", each, "psnr") for each in by_direction),
                *(cell("{:.3f}", each, "ssim") for each in by_direction),
                cell("{:.3g}", results, "training_loss"),
                cell("{:.1f}", results, "fit_seconds"),
                f"{seconds[row]:.3g}" if row in seconds else "-",
            ]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(show, results, key):
    values = [result[key] for result in results if result[key] is not None]
    return show.format(np.mean(values), np.std(values)) if values else "-"


def ratios(seconds):
    shrunk = "LSDN-1 + ShrinkConnect"
    return "".join(
        f"{shrunk} synthesises {seconds[row] / seconds[shrunk]:.1f} times faster than "
        f"{row} (in the paper: {paper}).\n"
        for row, paper in {"Coupled Sparse": 26, "MP": 100}.items()
        if {row, shrunk} <= seconds.keys()
    )


def say(message):
    print(message, file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    names = ["open_ms", "simulated"]
    parser.add_argument("--cohort", nargs="+", choices=names, default=names)
    parser.add_argument("--rows", nargs="+", choices=ESTIMATORS, metavar="ROW")
    parser.add_argument("--folds", type=int, help="hold back the first few subjects")
    parser.add_argument("--jobs", type=int, default=-1, help="runs at a time")
    parser.add_argument("--repeats", type=int, default=7, help="of timing synthesis")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=Path("table1_results"))
    parser.add_argument("--json", type=Path, help="file for all results")
    parser.add_argument("--quick", action="store_true", help="a smoke test")
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)

    cohorts = {}
    if "open_ms" in arguments.cohort and not arguments.quick:
        cohorts["open_ms"] = open_ms_cohort()
    if "simulated" in arguments.cohort or arguments.quick:
        cohorts["simulated"] = simulated_cohort(
            arguments.cache, arguments.seed, arguments.quick
        )
    runs = {name: plan(cohort, arguments) for name, cohort in cohorts.items()}
    every = [run for ours in runs.values() for run in ours]
    n_failed = compute_missing(every, joblib.effective_n_jobs(arguments.jobs))

    report = {"results": [run.result() for run in every if run.done]}
    report["synthesis_seconds"] = {}
    for name, cohort in cohorts.items():
        seconds = synthesis_seconds(runs[name], arguments.cache, arguments.repeats)
        report["synthesis_seconds"][name] = seconds
        for directions in cohort.tables:
            ours = [r for r in runs[name] if r.settings["direction"] in directions]
            print(f"{name}\n\n{table(ours, seconds)}\n", flush=True)
        print(ratios(seconds), flush=True)
    path = arguments.json or arguments.cache / "table1.json"
    write_json(path, report)
    say(f"All results are in {path}.")
    if n_failed:
        sys.exit(f"{n_failed} runs failed, for the reasons above.")


if __name__ == "__main__":
    main()

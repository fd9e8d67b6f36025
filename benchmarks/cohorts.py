"""The default and the best setting beside peers at their best, on several cohorts.

    LSDN_DATA=<folder with open_ms_mni and brats_tcia> python benchmarks/cohorts.py
    ... --cohorts brats_tcia --rows "the default" "boosted trees"     a part of it
    ... --what subjects     what more of them are worth; voxels, if of all as many
    ... --quick                 a smoke test on tiny simulated brains

SNR in dB, PSNR and R2 of subjects held back, over the brain in the target scan's units,
SSIM over the box around it; of patients with glioma also the SNR outside the tumour.
Training is the processor's time on one thread, with reading the scans, and so is
prediction.

Cohorts: open MS (Lesjak et al., Neuroinformatics 2017, doi:10.1007/s12021-017-9348-7),
one subject left out at a time; patients with glioma from many scanners (BraTS, the part
of The Cancer Imaging Archive: Menze et al. 2015, doi:10.1109/TMI.2014.2377694; Bakas et
al. 2017, doi:10.1038/sdata.2017.117; Bakas et al. 2018, arXiv:1811.02629), in three
folds drawn at random or by site of the challenge ("sites"); ten simulated subjects at
1 mm and at 2 mm, of whom four are held back in turn. Settings were chosen on open MS
and the simulated cohort, and none on the patients.

Peers have what the default has besides its network: places, normaliser, scales (or
more, where that is better for them); CDN and VDN target patches, mirrored and shifted
voxels and averaged networks too. Trees do better without these, smoothed or not.

Each result is kept in the folder `--cache` under its settings, so that the next run
computes only what is missing. Remove the folder when the package's code has changed.
"""

import argparse
import itertools
import json
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
from open_ms import LAST, PAPER, data_folder
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LinearRegression
from table1 import digest, say, simulated_cohort, write_json
from threadpoolctl import threadpool_limits

from sklearn_lsdn import CDNRegressor, LSDNRegressor, VDNRegressor, VolumeSynthesizer
from sklearn_lsdn import __version__ as version
from sklearn_lsdn._commands.options import QUALITIES
from sklearn_lsdn.exceptions import ScanWarning
from sklearn_lsdn.jobs._scoring import score_subject
from sklearn_lsdn.metrics import snr_score, ssim_score
from sklearn_lsdn.volumes import Augmentation
from sklearn_lsdn.volumes._images import open_image

TREES = dict(estimator=HistGradientBoostingRegressor(), augmentation=None)
FOREST = RandomForestRegressor(
    60, min_samples_leaf=5, max_features=1 / 3, max_samples=0.25
)
WIDE = dict(patch_scales=(1, 2, 4))
BEST = QUALITIES["best"]


def network(**parameters):
    return dict(estimator=LSDNRegressor((400, 40), **parameters))


CHIEF = {
    "the default": {},
    "best": BEST,
    "CDN": dict(estimator=CDNRegressor((400, 40))),
    "VDN": dict(estimator=VDNRegressor((400, 40))),
    "random forest": dict(estimator=FOREST, augmentation=None),
    "boosted trees, scales 1, 2, 4": TREES | WIDE,
    "boosted trees, scales 1, 2, 4, nyul": TREES | WIDE | dict(normalization="nyul"),
    "linear regression": dict(estimator=LinearRegression(), augmentation=None),
}
NORMALIZERS = {
    f"default, {name}": dict(normalization=name)
    for name in ("auto", "nyul", "peak", "percentile")
}
CHANGES = {
    "the paper's setting": PAPER | dict(estimator=LSDNRegressor(**LAST)),
    "default, 200-20 nodes": dict(estimator=LSDNRegressor((200, 20))),
    "default, scale 1": dict(patch_scales=(1,)),
    "default, scales 1, 2, 4": WIDE,
    "default, three networks": dict(n_estimators=3),
    "default, voxel by voxel": dict(target_patch_size=1),
    "default, voxel by voxel, smoothed": dict(target_patch_size=1, smoothing=1.2),
    "default, target patches": dict(target_patch_size=3),
    "default, last network": network(**LAST),
    "default, not mirrored": dict(augmentation=Augmentation(mirror=False)),
    "default, not shifted": dict(augmentation=Augmentation(shift=0.0)),
    "default, bias field of 10%": dict(augmentation=Augmentation(bias_field=0.1)),
    "default, places: world": dict(places="world"),
    "default, places: none": dict(places=None),
    "default, sigma 0.35": network(sigma=0.35),
    "default, sigma 0.7": network(sigma=0.7),
    "default, 40 epochs": network(max_iter=40, learning_rate_decay=0.975),
    "CDN, as best": BEST | dict(estimator=CDNRegressor((400, 40))),
    "boosted trees": TREES,
    "boosted trees, smoothed": TREES | dict(smoothing=1.2),
}
ROWS = CHIEF | NORMALIZERS | CHANGES
CURVE = 1, 2, 4, 8, 11  # training subjects
OF_EACH = 50_000  # voxels, of each of many subjects
DIRECTIONS = "T1w -> T2w", "T2w -> T1w", "T1w -> FLAIR", "T1w + FLAIR -> T2w"
N_FOLDS = 3  # of patients


@dataclass
class Cohort:
    """Scans of some subjects, and who is held back together."""

    name: str
    images: dict  # paths by contrast
    subjects: list
    folds: dict  # indices of those held back, by name
    n_voxels: int
    tumours: list | None = None
    test_images: dict | None = None  # of those held back, where they are others


def by_subject(subjects):
    return {subject: [i] for i, subject in enumerate(subjects)}


def on_disk(name, n_voxels):
    folder = data_folder().parent / name
    subjects = sorted(path.name for path in folder.glob("sub-*"))
    if not subjects:
        say(f"{folder} has no subjects, and is left out.")
        return None

    def paths(ending):
        pattern = f"{{0}}/anat/{{0}}_space-*_{ending}.nii.gz"  # and no ce- before it
        found = [[*folder.glob(pattern.format(each))] for each in subjects]
        return [path for (path,) in found] if all(found) else None

    images = {contrast: paths(contrast) for contrast in ("T1w", "T2w", "FLAIR")}
    tumours = paths("label-tumour_dseg")
    return Cohort(name, images, subjects, by_subject(subjects), n_voxels, tumours)


def patients(folds):
    """Those with glioma, in folds of "subjects" or "sites", or left out one by one."""
    cohort = on_disk("brats_tcia", OF_EACH)
    if cohort is None or folds is None:
        return cohort
    if folds == "sites":
        cohort.name = "brats_tcia, by site"
        cohort.folds = {}
        for i, subject in enumerate(cohort.subjects):
            site = subject[: len("sub-TCIA01")]
            cohort.folds.setdefault(site, []).append(i)
    else:
        order = np.random.RandomState(0).permutation(len(cohort.subjects))
        parts = map(sorted, np.array_split(order, N_FOLDS))
        cohort.folds = {str(n): [*map(int, part)] for n, part in enumerate(parts, 1)}
    return cohort


def simulated(arguments, voxel_size, protocol=None):
    """Ten subjects, those held back scanned by another protocol, if there is one."""
    made = simulated_cohort(arguments.cache, 0, arguments.quick, voxel_size)
    name = f"simulated, {made.settings['voxel_size']:g} mm"
    step = max(1, len(made.subjects) // N_FOLDS)
    folds = {made.subjects[i]: [i] for i in range(0, len(made.subjects), step)}
    cohort = Cohort(name, made.images, made.subjects, folds, made.n_voxels)
    if protocol is not None:
        cohort.name += ", another scanner"
        others = arguments.cache / f"protocol-{protocol}"
        others.mkdir(exist_ok=True)
        made = simulated_cohort(
            others, 0, arguments.quick, voxel_size, protocol=protocol
        )
        cohort.test_images = made.images
    return cohort


@dataclass
class Run:
    """A row in one direction, with some subjects held back."""

    settings: dict  # all that the result depends on
    synthesizer: VolumeSynthesizer
    train: list  # of sources, and of targets
    test: list  # (subject, sources, target, tumour)
    path: Path

    def result(self):
        return json.loads(self.path.read_text())


def make_synthesizer(parameters, n_voxels, arguments):
    """The package's default with some parameters."""
    synthesizer = VolumeSynthesizer(n_voxels=n_voxels, random_state=arguments.seed)
    synthesizer = clone(synthesizer.set_params(**parameters))
    if arguments.quick:
        small = LSDNRegressor((10,), max_iter=2)
        synthesizer.set_params(estimator=small, n_voxels=400)
    return synthesizer


def make_run(cohort, direction, row, synthesizer, fold, arguments, train=None):
    """A run; ``train`` lists who is trained on, by default all others."""
    held = cohort.folds[fold]
    everyone = range(len(cohort.subjects))
    train = [i for i in everyone if i not in held] if train is None else train
    *sources, target = contrasts_of(direction)

    def scans(i, images):
        return [str(images[c][i]) for c in sources], str(images[target][i])

    settings = {
        "cohort": cohort.name,
        "direction": direction,
        "row": row,
        "fold": fold,
        "train": [cohort.subjects[i] for i in train],
        "synthesizer": {k: repr(v) for k, v in synthesizer.get_params().items()},
        "version": version,
    }
    tumours = cohort.tumours or [None] * len(cohort.subjects)
    tested_on = cohort.test_images or cohort.images
    return Run(
        settings,
        synthesizer,
        [*map(list, zip(*(scans(i, cohort.images) for i in train), strict=True))],
        [(cohort.subjects[i], *scans(i, tested_on), tumours[i]) for i in held],
        arguments.cache / f"{digest(settings)}.json",
    )


def contrasts_of(direction):
    """Those of the source, and that of the target."""
    return direction.replace(" -> ", " + ").split(" + ")


def compute(run):
    """Train, score and store the result."""
    with threadpool_limits(1):
        start = time.process_time()
        fitted = clone(run.synthesizer).fit(*run.train)
        result = {"training": time.process_time() - start}
        write_json(run.path, {**run.settings, **result, **scored(fitted, run.test)})


def scored(fitted, test):
    """A record of each subject held back."""
    subjects = []
    for subject, sources, target, tumour in test:
        start = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ScanWarning)
            record, synthesis, _ = score_subject("", fitted, sources, target, subject)
        seconds = time.process_time() - start
        record = {k: record[k] for k in ("subject", "snr", "psnr", "r2")}
        record |= {"seconds": seconds, **more_measures(synthesis, tumour)}
        subjects.append(record)
    return {"subjects": subjects}


def more_measures(synthesis, tumour):
    """SSIM, and the SNR outside the tumour."""
    mask = synthesis.subject.brain.mask
    healthy = np.ones(np.count_nonzero(mask), dtype=bool)
    if tumour is not None:
        healthy = open_image(tumour, "tumour").read()[mask] == 0

    def measured(y_true, y_pred):
        scan, synthesised = np.zeros((2, *mask.shape))
        scan[mask], synthesised[mask] = y_true, y_pred
        ssim = ssim_score(scan, synthesised, mask=mask)
        return float(ssim), snr_score(y_true[healthy], y_pred[healthy])

    return dict(zip(("ssim", "healthy"), synthesis.scores(measured)[0], strict=True))


def carry_out(runs, n_jobs):
    """Compute what is missing."""
    missing = [run for run in runs if not run.path.exists()]
    say(f"{len(runs) - len(missing)} of {len(runs)} runs are there already.")
    n_jobs = joblib.effective_n_jobs(n_jobs)
    jobs = (joblib.delayed(compute)(run) for run in missing)
    done = joblib.Parallel(n_jobs=n_jobs, return_as="generator")(jobs)
    for run, _ in zip(missing, done, strict=True):
        result = run.result()
        scores = " ".join(f"{each['snr']:.2f}" for each in result["subjects"])
        say("{cohort}, {direction}, {row}, {fold}: ".format(**result) + scores)


def table(runs):
    """A line for each row: means over subjects, and the SNR of each."""
    results = [run.result() for run in runs]
    tumours = any(
        abs(s["snr"] - s["healthy"]) > 1e-6 for r in results for s in r["subjects"]
    )
    header = ["", "SNR, dB", *(["outside the tumour"] if tumours else [])]
    header += ["PSNR, dB", "SSIM", "R2", "training, s", "prediction, s", "each, dB"]
    lines = [header, ["---"] * len(header)]
    for row in dict.fromkeys(result["row"] for result in results):
        ours = [result for result in results if result["row"] == row]
        each = sorted((s for r in ours for s in r["subjects"]), key=_subject)

        def mean(name, digits=2, each=each):
            return f"{np.mean([subject[name] for subject in each]):.{digits}f}"

        seconds = np.mean([result["training"] for result in ours])
        lines.append(
            [
                str(row),
                mean("snr"),
                *([mean("healthy")] if tumours else []),
                *(mean("psnr"), mean("ssim", 3), mean("r2", 3)),
                *(f"{seconds:.1f}", mean("seconds", 1)),
                " ".join(f"{subject['snr']:.1f}" for subject in each),
            ]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _subject(record):
    return record["subject"]


def compare(cohorts, arguments):
    """Rows side by side."""
    plans = {}
    for cohort in cohorts:
        rows = {
            row: make_synthesizer(ROWS[row], cohort.n_voxels, arguments)
            for row in arguments.rows
        }
        for direction in arguments.directions:
            if {*contrasts_of(direction)} <= {*cohort.images}:
                plans[cohort.name, direction] = [
                    make_run(cohort, direction, *row, fold, arguments)
                    for row in rows.items()
                    for fold in cohort.folds
                ]
    carry_out([run for runs in plans.values() for run in runs], arguments.jobs)
    for (name, direction), runs in plans.items():
        print(f"{name}, {direction}\n\n{table(runs)}\n", flush=True)


def curve(cohort, arguments, total=None):
    """Ever more training subjects: ``OF_EACH`` voxels of each, or so many of all."""
    everyone, plans = range(len(cohort.subjects)), {}
    for direction in arguments.directions:
        plans[direction] = runs = []
        for row, n in itertools.product(arguments.rows, CURVE):
            n_voxels = total // n if total else OF_EACH
            synthesizer = make_synthesizer(ROWS[row], n_voxels, arguments)
            what = direction, f"{row}, {n}", synthesizer
            for i in everyone[::N_FOLDS]:
                others = [k for k in everyone if k != i]
                drawn = np.random.RandomState(i).permutation(others)[:n].tolist()
                fold = cohort.subjects[i]
                runs.append(make_run(cohort, *what, fold, arguments, sorted(drawn)))
    carry_out([run for runs in plans.values() for run in runs], arguments.jobs)
    voxels = f"{total} voxels of all" if total else f"{OF_EACH} voxels of each"
    for direction, runs in plans.items():
        title = f"{cohort.name}, {direction}, {voxels} training subjects"
        print(f"{title}\n\n{table(runs)}\n", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    names = ["open_ms", "brats_tcia", "sites", "simulated_2mm", "simulated_1mm"]
    names += ["another_scanner"]
    parser.add_argument("--cohorts", nargs="+", choices=names, default=names)
    parser.add_argument(
        "--what", choices=("rows", "subjects", "voxels"), default="rows"
    )
    parser.add_argument(
        "--rows", nargs="+", choices=ROWS, default=[*CHIEF], metavar="ROW"
    )
    parser.add_argument("--directions", nargs="+", default=DIRECTIONS)
    parser.add_argument("--jobs", type=int, default=-1, help="runs at a time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=Path("cohorts_results"))
    parser.add_argument("--quick", action="store_true", help="a smoke test")
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    if arguments.what != "rows":
        cohort = patients(None)
        if cohort is not None:
            curve(
                cohort, arguments, 4 * OF_EACH if arguments.what == "voxels" else None
            )
        return
    make = {
        "open_ms": lambda: on_disk("open_ms_mni", 100_000),
        "brats_tcia": lambda: patients("subjects"),
        "sites": lambda: patients("sites"),
        "simulated_2mm": lambda: simulated(arguments, 2.0),
        "simulated_1mm": lambda: simulated(arguments, 1.0),
        "another_scanner": lambda: simulated(arguments, 2.0, protocol="B"),
    }
    chosen = ["simulated_2mm"] if arguments.quick else arguments.cohorts
    cohorts = [make[name]() for name in chosen]
    compare([cohort for cohort in cohorts if cohort is not None], arguments)


if __name__ == "__main__":
    sys.exit(main())

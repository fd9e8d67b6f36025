"""What a synthesis is worth to the analysis it is made for.

    LSDN_DATA=<folder with open_ms_mni and brats_tcia> python benchmarks/downstream.py
    ... --what segmentation --only open_ms_mni         a part of it
    ... --cache downstream      keeps syntheses and results: what is there is not redone
    ... --quick                 a smoke test on tiny simulated brains

**Segmentation** of MS lesions (Lesjak et al., Neuroinformatics 2017,
doi:10.1007/s12021-017-9348-7), one of three patients left out, at 1 mm; and of tumours,
all labels as one, in twelve patients (BraTS, the part of The Cancer Imaging Archive:
Menze et al. 2015, doi:10.1109/TMI.2014.2377694; Bakas et al. 2017,
doi:10.1038/sdata.2017.117; Bakas et al. 2018, arXiv:1811.02629), in three folds, at
2 mm: means of 2 x 2 x 2 voxels. It is done by a VolumeSegmenter and by boosted trees on
the same voxels and patches.

FLAIR is synthesised from T1w by the default VolumeSynthesizer. A subject held back is
synthesised, and segmented, by what the others of the fold trained. For a segmenter
trained on syntheses the training subjects are synthesised out of fold, too: one part of
them by what the other part trained, and never by a subject held back.

Dice counts what is above a threshold that was chosen, for each fold and segmenter, as
the best on a fifth of the voxels drawn from its training subjects, which is set aside.
The error of the volume is that of what is above it, in per cent of the true volume.

**Registration**: T2w, moved by random rigid motions, is registered by SimpleITK to T1w
by mutual information, and to T2w synthesised from T1w, by a model of the other
subjects, by correlation. Everything else is the same: 2 mm, three levels, a share of
the voxels, one optimiser. The error is the mean distance, over the brain, between where
a point was and where it is put; above 2 mm a registration has failed.

Times are the processor's, on one thread.
"""

import argparse
import json
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from open_ms import data_folder
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import average_precision_score
from threadpoolctl import threadpool_limits

from sklearn_lsdn import LSDNClassifier, VolumeSegmenter, VolumeSynthesizer
from sklearn_lsdn.datasets import make_brain_cohort
from sklearn_lsdn.exceptions import ScanWarning
from sklearn_lsdn.metrics import dice_score
from sklearn_lsdn.volumes._segmenter import ALPHA

CLASSIFIERS = {
    "LSDN": LSDNClassifier((400, 40), alpha=ALPHA),
    "boosted trees": HistGradientBoostingClassifier(),
}
# What a segmenter sees: in training, and of a subject held back.
ROWS = {
    "T1w": (["T1w"], ["T1w"]),
    "T1w, FLAIR synthesised; trained on syntheses": (["T1w", "synth"],) * 2,
    "T1w, FLAIR synthesised; trained on scans": (["T1w", "FLAIR"], ["T1w", "synth"]),
    "T1w, FLAIR": (["T1w", "FLAIR"],) * 2,
    "T1w, T2w, FLAIR": (["T1w", "T2w", "FLAIR"],) * 2,
}
THRESHOLDS = np.arange(0.02, 1, 0.02)
FAILED = 2.0  # mm
SAMPLED = [0.3, 0.1, 0.02]  # of the voxels of each level
SPREAD = 12.0, 15.0  # standard deviations of motions: degrees and mm


class Thresholded(ClassifierMixin, BaseEstimator):
    """A classifier that sets a fifth of the voxels aside, and remembers its answers."""

    def __init__(self, classifier=None, random_state=None):
        self.classifier = classifier
        self.random_state = random_state

    def fit(self, X, y):
        order = np.random.RandomState(0).permutation(len(y))
        aside, rest = order[: len(y) // 5], order[len(y) // 5 :]
        inner = clone(self.classifier).set_params(random_state=self.random_state)
        self.inner_ = inner.fit(X[rest], y[rest])
        self.classes_ = inner.classes_
        self.aside_ = self.predict_proba(X[aside]), y[aside]
        return self

    def predict_proba(self, X):
        return self.inner_.predict_proba(X)

    def predict(self, X):
        return self.inner_.predict(X)


def threshold_of(segmenter):
    """The best on the voxels set aside, weighted as in the brains of training."""
    p, y = segmenter.estimator_.aside_
    weight = segmenter.class_shares_ / segmenter.drawn_shares_
    p = p * weight
    p = p[:, 1] / p.sum(axis=1)
    scores = [
        dice_score(y, (p > t).astype(int), sample_weight=weight[y]) for t in THRESHOLDS
    ]
    return np.median(THRESHOLDS[scores == np.max(scores)])


@dataclass
class Cohort:
    name: str
    subjects: list
    images: dict  # paths by contrast
    labels: list
    folds: list  # indices of those held back together
    n_voxels: int


def open_ms(cache):
    folder = data_folder()
    subjects = sorted(path.name for path in folder.glob("sub-*"))

    def paths(what):
        return [
            str(folder / f"{s}/anat/{s}_space-MNI152_{what}.nii.gz") for s in subjects
        ]

    images = {c: paths(f"desc-preproc_{c}") for c in ("T1w", "T2w", "FLAIR")}
    folds = [[i] for i in range(len(subjects))]
    labels = paths("label-lesion_mask")
    return Cohort("open_ms_mni", subjects, images, labels, folds, 50_000)


def brats(cache):
    folder = data_folder().parent / "brats_tcia"
    subjects = sorted(path.name for path in folder.glob("sub-*"))
    names = {c: f"desc-preproc_{c}" for c in ("T1w", "T2w", "FLAIR")}
    names["tumour"] = "label-tumour_dseg"
    images = {name: [] for name in names}
    for subject in subjects:
        for name, what in names.items():
            small = cache / "brats_2mm" / subject / f"{subject}_{name}.nii.gz"
            if not small.exists():
                path = (
                    folder / subject / "anat" / f"{subject}_space-SRI24_{what}.nii.gz"
                )
                save(halved(nib.load(path), name == "tumour"), small)
            images[name].append(str(small))
    order = np.random.RandomState(0).permutation(len(subjects))
    folds = [sorted(part.tolist()) for part in np.array_split(order, 3)]
    labels = images.pop("tumour")
    return Cohort("brats_tcia", subjects, images, labels, folds, 6_000)


def simulated(cache):
    """Of no meaning, but quick."""
    cohort = make_brain_cohort(3, ("T1w", "T2w", "FLAIR"), voxel_size=8, random_state=0)
    images, labels = {}, []
    for contrast, scans in cohort.images.items():
        images[contrast] = []
        for subject, scan in zip(cohort.subjects, scans, strict=True):
            path = cache / "simulated" / subject / f"{subject}_{contrast}.nii.gz"
            save(scan, path)
            images[contrast].append(str(path))
    for subject, scan in zip(cohort.subjects, cohort.images["FLAIR"], strict=True):
        values = scan.get_fdata()
        bright = values > np.quantile(values[values > 0], 0.8)
        path = cache / "simulated" / subject / f"{subject}_dseg.nii.gz"
        save(nib.Nifti1Image(bright.astype(np.uint8), scan.affine), path)
        labels.append(str(path))
    return Cohort("simulated", cohort.subjects, images, labels, [[0], [1], [2]], 500)


COHORTS = {"open_ms_mni": open_ms, "brats_tcia": brats}


def save(image, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)


def halved(image, is_label=False):
    """Means of blocks of 2 x 2 x 2 voxels; brain where all eight are."""
    values = np.asanyarray(image.dataobj).astype(np.float32)
    values = (values > 0).astype(np.float32) if is_label else values
    shape = [n // 2 for n in values.shape]
    blocks = values[tuple(slice(2 * n) for n in shape)]
    blocks = blocks.reshape(shape[0], 2, shape[1], 2, shape[2], 2)
    means = blocks.mean(axis=(1, 3, 5))
    if is_label:
        means = (means >= 0.5).astype(np.uint8)
    else:
        means[~(blocks != 0).all(axis=(1, 3, 5))] = 0
    affine = image.affine @ nib.affines.from_matvec(2 * np.eye(3), [0.5] * 3)
    return nib.Nifti1Image(means, affine)


def say(*what):
    print(f"[{time.strftime('%H:%M:%S')}]", *what, flush=True)


class Kept:
    """Results by name, in a file; with ``complete`` those that it lacks are made."""

    def __init__(self, path, complete=True):
        self.path = path
        self.complete = complete
        self.results = json.loads(path.read_text()) if path.exists() else {}

    def get(self, name, make):
        if name not in self.results and self.complete:
            start = time.process_time()
            self.results[name] = make()
            say(f"{name} ({time.process_time() - start:.0f} s)")
            self.path.write_text(json.dumps(self.results, indent=1))
        return self.results.get(name)


# Syntheses


def synthesised(cohort, target, train, test, folder):
    """Paths of the target synthesised in some subjects by what others trained."""
    paths = [folder / f"{cohort.subjects[i]}_{target}.nii.gz" for i in test]
    if not all(path.exists() for path in paths):
        start = time.process_time()
        t1w, targets = cohort.images["T1w"], cohort.images[target]
        synthesizer = VolumeSynthesizer(
            n_voxels=cohort.n_voxels, n_jobs=1, random_state=0
        ).fit([t1w[i] for i in train], [targets[i] for i in train])
        for i, path in zip(test, paths, strict=True):
            save(synthesizer.predict([t1w[i]])[0], path)
        say(f"{target} of {len(test)} ({time.process_time() - start:.0f} s)")
    return dict(zip(test, map(str, paths), strict=True))


def syntheses_of_fold(cohort, held_back, cache):
    """FLAIR of all subjects, none by a model that knows it, or one held back."""
    n = cohort.folds.index(held_back)
    rest = [i for i in range(len(cohort.subjects)) if i not in held_back]
    folder = cache / "syntheses" / f"{cohort.name}_{n}"
    paths = synthesised(cohort, "FLAIR", rest, held_back, folder / "test")
    for part in (0, 1):
        inner, others = rest[part::2], rest[1 - part :: 2]
        paths |= synthesised(cohort, "FLAIR", others, inner, folder / f"part{part}")
    return paths


# Segmentation


def segment(cohort, held_back, classifier, cache, rows):
    """Scores of each row and subject held back, by one kind of segmenter."""
    images = {c: dict(enumerate(paths)) for c, paths in cohort.images.items()}
    images["synth"] = syntheses_of_fold(cohort, held_back, cache)
    rest = [i for i in range(len(cohort.subjects)) if i not in held_back]

    def sources(contrasts, subjects):
        return [[images[c][i] for c in contrasts] for i in subjects]

    fitted, scores = {}, {}
    for row in rows:
        trained_on, given = ROWS[row]
        key = tuple(trained_on)
        if key not in fitted:
            segmenter = VolumeSegmenter(
                Thresholded(CLASSIFIERS[classifier]),
                n_voxels=cohort.n_voxels,
                augmentation="default" if classifier == "LSDN" else None,
                n_jobs=1,
                random_state=0,
            )
            segmenter.fit(sources(trained_on, rest), [cohort.labels[i] for i in rest])
            fitted[key] = segmenter, threshold_of(segmenter)
        segmenter, threshold = fitted[key]

        def metric(y, p, threshold=threshold):
            y, p = y > 0, p[:, 1]
            found = p > threshold
            return [
                dice_score(y.astype(int), found.astype(int)),
                average_precision_score(y, p),
                100 * (found.sum() / y.sum() - 1),
                threshold,
            ]

        for i in held_back:
            scored = segmenter.score_volumes(
                sources(given, [i]),
                [cohort.labels[i]],
                metric=metric,
                response="probabilities",
            )
            scores.setdefault(row, {})[cohort.subjects[i]] = scored[0].tolist()
    return scores


def segmentation_tables(cohort, cache, kept, classifiers):
    for name in classifiers:
        results = {row: {} for row in ROWS}
        for n, held_back in enumerate(cohort.folds):
            scores = kept.get(
                f"{cohort.name}, {name}, fold {n}",
                lambda held_back=held_back, name=name: segment(
                    cohort, held_back, name, cache, ROWS
                ),
            )
            for row, of_subjects in (scores or {}).items():
                results[row] |= of_subjects
        subjects = [s for s in cohort.subjects if s in results["T1w"]]
        if not subjects:
            continue
        print(f"\n{cohort.name}, {name}: Dice of each subject\n")
        short = [subject.removeprefix("sub-") for subject in subjects]
        head = ["seen", *short, "mean Dice", "average precision", "volume error"]
        print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
        for row, of_subjects in results.items():
            values = np.array([of_subjects[s] for s in subjects])
            dice, precision, volume, _ = values.T
            cells = [f"{d:.2f}" for d in dice]
            cells += [f"**{dice.mean():.3f}**", f"{precision.mean():.3f}"]
            cells += [f"{np.abs(volume).mean():.0f} %"]
            print("| " + " | ".join([row, *cells]) + " |")
        print(flush=True)


# Registration


def registration_table(cohort, cache, kept, n_starts):
    results = {"T1w, mutual information": [], "synthesised T2w, correlation": []}
    starts = np.array_split(np.arange(n_starts), len(cohort.subjects))
    for i, numbers in enumerate(starts):
        others = [j for j in range(len(cohort.subjects)) if j != i]
        folder = cache / "syntheses" / f"{cohort.name}_T2w_{i}"
        synthesis = synthesised(cohort, "T2w", others, [i], folder)[i]
        fixed = cohort.images["T1w"][i], synthesis
        moving = cohort.images["T2w"][i]
        for name, path in zip(results, fixed, strict=True):
            found = kept.get(
                f"{cohort.name}, {name}, {cohort.subjects[i]}, {len(numbers)} starts",
                lambda path=path, moving=moving, numbers=numbers, name=name: register(
                    path, moving, numbers.tolist(), "mutual" in name
                ),
            )
            results[name] += found or []
    n = min(map(len, results.values()))  # of as many starts each
    results = {name: of_starts[:n] for name, of_starts in results.items()}
    head = "T2w registered to", "median error, mm", "90 %, mm", "failed", "s"
    print(f"\n{cohort.name}, {n} starts: mm\n")
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for name, of_starts in results.items():
        errors, seconds = np.array(of_starts).T
        cells = f"{np.median(errors):.2f}", f"{np.quantile(errors, 0.9):.2f}"
        failed = f"{100 * np.mean(errors > FAILED):.0f} %"
        cells = [name, *cells, failed, f"{np.mean(seconds):.1f}"]
        print("| " + " | ".join(cells) + " |")
    good = np.array([[e for e, _ in r] for r in results.values()])
    good = good[:, (good <= FAILED).all(axis=0)]
    medians = " and ".join(f"{each:.2f}" for each in np.median(good, axis=1))
    print(f"\nMedians where both succeed: {medians} mm")


def register(fixed, moving, numbers, by_information):
    """Error in mm and seconds, for each random motion."""
    import SimpleITK as sitk  # noqa: N813

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    images = [sitk.ReadImage(path, sitk.sitkFloat32) for path in (fixed, moving)]
    at_2mm = [2 if image.GetSpacing()[0] < 1.5 else 1 for image in images]
    fixed, moving = (
        sitk.BinShrink(image, [k] * 3) for image, k in zip(images, at_2mm, strict=True)
    )
    brain = sitk.GetArrayViewFromImage(fixed) != 0
    where = np.argwhere(brain)[::997, ::-1]
    points = [fixed.TransformContinuousIndexToPhysicalPoint(p.tolist()) for p in where]
    middle = np.mean(points, axis=0)
    results = []
    for number in numbers:
        rng = np.random.RandomState(number)
        motion = sitk.Euler3DTransform(middle.tolist())
        motion.SetRotation(*np.deg2rad(rng.normal(0, SPREAD[0], 3)))
        motion.SetTranslation(rng.normal(0, SPREAD[1], 3))
        # What lies at x in the scan is at motion(x) in the moved one.
        moved = sitk.Resample(moving, moving, motion.GetInverse(), sitk.sitkBSpline)
        start = time.process_time()
        method = sitk.ImageRegistrationMethod()
        if by_information:
            method.SetMetricAsMattesMutualInformation(32)
        else:
            method.SetMetricAsCorrelation()
        method.SetMetricSamplingStrategy(method.RANDOM)
        method.SetMetricSamplingPercentagePerLevel(SAMPLED, seed=number + 1)
        method.SetInterpolator(sitk.sitkLinear)
        method.SetOptimizerAsRegularStepGradientDescent(
            1.0, 1e-3, 100, relaxationFactor=0.6
        )
        method.SetOptimizerScalesFromPhysicalShift()
        method.SetShrinkFactorsPerLevel([4, 2, 1])
        method.SetSmoothingSigmasPerLevel([4, 2, 0])
        method.SetInitialTransform(sitk.Euler3DTransform(middle.tolist()), True)
        try:
            found = method.Execute(fixed, moved)
            apart = [
                np.subtract(found.TransformPoint(p), motion.TransformPoint(p))
                for p in points
            ]
            error = float(np.linalg.norm(apart, axis=1).mean())
        except RuntimeError:  # they no longer overlap
            error = 1e3
        results.append([error, time.process_time() - start])
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parts = "segmentation", "registration"
    parser.add_argument("--what", nargs="+", choices=parts, default=parts)
    parser.add_argument("--only", nargs="+", choices=COHORTS, default=list(COHORTS))
    parser.add_argument("--classifiers", nargs="+", default=list(CLASSIFIERS))
    parser.add_argument("--starts", type=int, default=100)
    parser.add_argument("--cache", type=Path, default=Path("downstream"))
    parser.add_argument(
        "--kept", action="store_true", help="print what the cache holds, and no more"
    )
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    makers = [simulated] if arguments.quick else [COHORTS[n] for n in arguments.only]
    if arguments.quick:
        arguments.starts = 3
    kept = Kept(arguments.cache / "results.json", not arguments.kept)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ScanWarning)
        cohorts = [make(arguments.cache) for make in makers]
        if "registration" in arguments.what:
            for cohort in cohorts:
                if cohort.name != "brats_tcia":
                    registration_table(cohort, arguments.cache, kept, arguments.starts)
        if "segmentation" in arguments.what:
            for cohort in cohorts:
                given = cohort, arguments.cache, kept, arguments.classifiers
                segmentation_tables(*given)


if __name__ == "__main__":
    main()

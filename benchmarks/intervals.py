"""Whether intervals keep their level on subjects that training has not seen.

    LSDN_DATA=<folder with open_ms_mni and brats_tcia> python benchmarks/intervals.py

Open MS data (Lesjak et al., Neuroinformatics 2017, doi:10.1007/s12021-017-9348-7), one
of three subjects held back at a time, so that two are left, which keep no level above
2/3; and twelve subjects of the TCIA part of BraTS (Menze et al. 2015,
doi:10.1109/TMI.2014.2377694; Bakas et al. 2017, doi:10.1038/sdata.2017.117; Bakas et
al. 2018, arXiv:1811.02629), two at a time, so that ten are left. For each subject held
back the share of the brain's voxels whose scan lies in the interval, and in brackets
that of the voxels in lesions or tumour; half the width of the interval of level 0.5,
in standard deviations of the scan over the brain; and the share in that of 0.5 if the
synthesis is not smoothed.
"""

import argparse
import os
from pathlib import Path

import joblib
import nibabel as nib
import numpy as np
from threadpoolctl import threadpool_limits

from sklearn_lsdn import VolumeSynthesizer

COHORTS = {  # how scans are called, what is pathological, how many are held back
    "open_ms_mni": ("space-MNI152_desc-preproc", "label-lesion_mask", 1),
    "brats_tcia": ("space-SRI24_desc-preproc", "label-tumour_dseg", 2),
}
DIRECTIONS = ("T1w", "T2w"), ("T2w", "T1w")
LEVELS = 0.5, 0.8, 0.9


class Cohort:
    """Files of subjects."""

    def __init__(self, folder, prefix, pathology):
        self.subjects = sorted(folder.glob("sub-*"))
        self.prefix, self.pathology = prefix, pathology

    def scan(self, subject, contrast):
        name = f"{subject.name}_{self.prefix}_{contrast}.nii.gz"
        return subject / "anat" / name

    def pathological(self, subject):
        (path,) = subject.glob(f"anat/*_{self.pathology}.nii.gz")
        return load(path) != 0


def load(image):
    if isinstance(image, Path):
        image = nib.load(image)
    return np.asanyarray(getattr(image, "dataobj", image), dtype=float)


def evaluate(cohort, direction, test, options):
    """What is told of each of the subjects held back."""
    train = [subject for subject in cohort.subjects if subject not in test]
    with threadpool_limits(1):
        scans = ([cohort.scan(s, contrast) for s in train] for contrast in direction)
        synthesizer = VolumeSynthesizer(random_state=0, **options).fit(*scans)
        return [subject_row(synthesizer, cohort, direction, each) for each in test]


def subject_row(synthesizer, cohort, direction, subject):
    source, target = (cohort.scan(subject, contrast) for contrast in direction)
    given = {"sources": [source], "scale_to": [target]}
    (image,), ((lower,), (upper,)) = synthesizer.predict(**given, return_interval=0.5)
    smoothing = synthesizer.smoothing
    (plain,) = synthesizer.set_params(smoothing=0).predict(**given)
    synthesizer.set_params(smoothing=smoothing)
    truth = load(target)
    brain = (load(source) != 0) & (truth != 0)
    ill = cohort.pathological(subject)[brain]
    images = truth, image, plain, lower, upper
    truth, image, plain, lower, upper = (load(each)[brain] for each in images)
    half = (upper - lower) / 2
    scores, one = synthesizer.estimator_.held_back_, np.ones((1, 1))
    shares = []
    for level in LEVELS:
        if level > scores.highest:
            shares.append(None)
            continue
        # By z-scores, which are linear, intervals of all levels are multiples.
        wider = (scores.reach(one, level) / scores.reach(one, 0.5)).item()
        inside = abs(truth - image) <= wider * half
        shares.append((inside.mean(), inside[ill].mean()))
    width = half.mean() / truth.std()
    return shares, width, (abs(truth - plain) <= half).mean()


def row(name, shares, width, plain):
    cells = ["-" if s is None else f"{s[0]:.0%} ({s[1]:.0%})" for s in shares]
    return " | ".join(["", name, *cells, f"{width:.2f}", f"{plain:.0%}", ""]).strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--n-estimators", type=int, default=3)
    parser.add_argument("--target-patch-size", type=int, default=1)
    parser.add_argument("--n-voxels", type=int, default=5000, help="of each subject")
    arguments = parser.parse_args()
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    data = Path(os.environ.get("LSDN_DATA", beside))
    options = vars(arguments).copy()
    n_jobs = options.pop("jobs")
    header = ["", *map(str, LEVELS), "half width", "0.5, not smoothed", ""]
    print("| subject held back" + " | ".join(header).rstrip())
    print("|" + "---|" * 6)
    for name, (prefix, pathology, size) in COHORTS.items():
        cohort = Cohort(data / name, prefix, pathology)
        n = len(cohort.subjects)
        folds = [cohort.subjects[i : i + size] for i in range(0, n, size)]
        cases = [(direction, fold) for direction in DIRECTIONS for fold in folds]
        results = joblib.Parallel(n_jobs=n_jobs)(
            joblib.delayed(evaluate)(cohort, *case, options) for case in cases
        )
        for direction in DIRECTIONS:
            rows = []
            for (d, fold), result in zip(cases, results, strict=True):
                if d == direction:
                    rows += result
                    for subject, each in zip(fold, result, strict=True):
                        text = f"{' to '.join(direction)}, {subject.name}"
                        print(row(text, *each), flush=True)
            shares = [
                None if None in each else np.mean(each, axis=0)
                for each in zip(*(r[0] for r in rows), strict=True)
            ]
            others = (np.mean(each) for each in list(zip(*rows, strict=True))[1:])
            print(row(f"{name}, {' to '.join(direction)}, mean", shares, *others))


if __name__ == "__main__":
    main()

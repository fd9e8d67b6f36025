"""Whether to trust a synthesis: deviations beside errors, and changed input scans.

    LSDN_DATA=<folder with open_ms_mni> python benchmarks/trust.py [--jobs 2]

Open MS data (Lesjak et al., Neuroinformatics 2017, doi:10.1007/s12021-017-9348-7), one
subject left out at a time. The first table compares the standard deviation that an
ensemble predicts with the error: rank correlation over voxels, and beside it that of
sizes which boosted trees learn from the errors in half of these very voxels and tell of
the others, whose neighbours they are, so that they know more than can be known of a new
subject; share of voxels within one and two deviations (68 % and 95 % if errors were
normal), and the SNR of the ensemble beside that of its best member. The second says by
how many dB the synthesis changes when the scan it is made from is multiplied by a gain,
has an offset added within the brain, or is multiplied by a smooth bias field.
"""

import argparse

import joblib
import nibabel as nib
import numpy as np
from scipy.stats import spearmanr
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import HistGradientBoostingRegressor
from table1 import open_ms_cohort
from threadpoolctl import threadpool_limits

from sklearn_lsdn import VolumeSynthesizer, snr_score

DIRECTIONS = ("T1w", "T2w"), ("T2w", "T1w")
N_VOXELS = 100_000  # of each subject, for rank correlations


def changes(scan, brain, affine):
    """The scan as it might have come from the scanner, by what was changed."""
    typical = np.median(scan[brain])
    indices = np.argwhere(brain)
    x, y, z = nib.affines.apply_affine(affine, indices).T / 100  # decimetres
    field = np.sin(2 * x + 1) + np.cos(1.5 * y - 0.5) + np.sin(1.7 * z)
    field = (field - field.mean()) / field.std()
    for gain in (0.1, 7.0):
        yield f"gain {gain:g}", gain * scan[brain]
    for share in (-0.1, 0.3):
        yield f"offset {share:+.0%} of the median", scan[brain] + share * typical
    for deviation in (0.03, 0.1):
        yield f"bias field of {deviation:.0%}", scan[brain] * np.exp(deviation * field)


class Recorder(RegressorMixin, BaseEstimator):
    """Keeps what a synthesizer shows to its regressor of some of a brain's voxels."""

    def __init__(self, rows, n_outputs):
        self.rows = rows
        self.n_outputs = n_outputs
        self.features = np.zeros((len(rows), 0))
        self.n_seen = 0

    def predict(self, X):
        if not self.n_seen:
            self.features = np.empty((len(self.rows), X.shape[1]), dtype=np.float32)
        here = (self.rows >= self.n_seen) & (self.rows < self.n_seen + len(X))
        self.features[here] = X[self.rows[here] - self.n_seen]
        self.n_seen += len(X)
        return np.zeros((len(X), self.n_outputs))


def as_far_as_can_be_told(synthesizer, image, rows, error):
    """Rank correlation if sizes of error are learned from the subject itself."""
    n_outputs = synthesizer.preparation_.window.n_outputs(1)
    trained, synthesizer.estimator_ = synthesizer.estimator_, Recorder(rows, n_outputs)
    synthesizer.predict([image])
    X, synthesizer.estimator_ = synthesizer.estimator_.features, trained
    half = np.arange(len(rows)) % 2 == 0
    trees = HistGradientBoostingRegressor(loss="absolute_error", random_state=0)
    trees.fit(X[half], error[half])
    return spearmanr(error[~half], trees.predict(X[~half]))[0]


def compute(cohort, direction, fold, n_estimators):
    """All figures of one subject held back."""
    source, target = (cohort.images[contrast] for contrast in direction)
    others = [i for i in range(len(source)) if i != fold]
    with threadpool_limits(1):
        synthesizer = VolumeSynthesizer(random_state=0, n_estimators=n_estimators).fit(
            [source[i] for i in others], [target[i] for i in others]
        )
        images = [
            nib.as_closest_canonical(nib.load(paths[fold]))  # in the order of features
            for paths in (source, target)
        ]
        scan, truth = (image.get_fdata(dtype=np.float32) for image in images)
        brain = (scan != 0) & (truth != 0)
        test = {"sources": images[:1], "scale_to": images[1:]}
        (mean,), (std,) = synthesizer.predict(**test, return_std=True)
        error = (mean.get_fdata() - truth)[brain]
        deviation = std.get_fdata()[brain]
        drawn = np.random.RandomState(0).choice(len(error), N_VOXELS, replace=False)
        ensemble = synthesizer.estimator_
        members = []
        for member in ensemble.estimators_:
            synthesizer.estimator_ = member
            members.append(synthesizer.score([source[fold]], [target[fold]]))
        synthesizer.estimator_ = ensemble
        ratio = abs(error) / np.maximum(deviation, np.finfo(float).tiny)
        rows = np.flatnonzero(brain[scan != 0])[drawn]
        trust = [
            spearmanr(abs(error)[drawn], deviation[drawn])[0],
            as_far_as_can_be_told(synthesizer, images[0], rows, abs(error)[drawn]),
            (ratio < 1).mean(),
            (ratio < 2).mean(),
            np.sqrt(np.mean(error**2) / np.mean(deviation**2)),
            snr_score(truth[brain], mean.get_fdata()[brain]),
            max(members),
        ]
        as_it_is = synthesizer.score([source[fold]], [target[fold]])
        robust = {}
        for name, values in changes(scan, brain, images[0].affine):
            changed = np.zeros_like(scan)
            changed[brain] = values
            image = nib.Nifti1Image(changed, images[0].affine)
            snr = synthesizer.score([image], images[1:])
            robust[name] = snr - as_it_is
    return trust, robust


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--jobs", type=int, default=-1)
    parser.add_argument("--n-estimators", type=int, default=3)
    arguments = parser.parse_args()
    cohort = open_ms_cohort()
    cases = [(d, fold) for d in DIRECTIONS for fold in range(len(cohort.subjects))]
    results = joblib.Parallel(n_jobs=arguments.jobs)(
        joblib.delayed(compute)(cohort, d, fold, arguments.n_estimators)
        for d, fold in cases
    )
    header = [
        "",
        "rank correlation",
        "learned from the subject itself",
        "within 1",
        "within 2",
    ]
    header += ["error / deviation", "SNR, dB", "best member, dB"]
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for (direction, fold), (trust, _) in zip(cases, results, strict=True):
        name = f"{' -> '.join(direction)}, {cohort.subjects[fold]}"
        rank, most, one, two, size, snr, best = trust
        print(
            f"| {name} | {rank:.2f} | {most:.2f} | {one:.0%} | {two:.0%} "
            f"| {size:.2f} | {snr:.2f} | {best:.2f} |"
        )
    names = list(results[0][1])
    print("\n| change of SNR, dB | " + " | ".join(names) + " |")
    print("|" + "---|" * (len(names) + 1))
    for (direction, fold), (_, robust) in zip(cases, results, strict=True):
        cells = " | ".join(f"{robust[name]:+.2f}" for name in names)
        print(f"| {' -> '.join(direction)}, {cohort.subjects[fold]} | {cells} |")


if __name__ == "__main__":
    main()

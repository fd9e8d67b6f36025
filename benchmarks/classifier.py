"""Lesion or not, voxel by voxel: LSDNClassifier beside what else a user would pick.

    LSDN_DATA=<folder with open_ms_mni> python benchmarks/classifier.py
    ... --picture curves.png    also draw the reliability curves
    ... --quick                 a smoke test

200 000 voxels of two subjects train: half of them lesion, or all lesion that there is,
and the others from the rest of the brains. Rows are the patches of 3 x 3 x 3 voxels of
T1w and FLAIR, z-scored over the brain, and the voxel's place. The third subject is
predicted at all voxels of the brain. Contestants alternate on one thread; times are
the processor's, which others who use the machine disturb less, and medians over the
subjects held back.

MLPClassifier has the same hidden layers, batches and epochs, and standardised columns.

Lesions are drawn more often than they occur. Average precision does not mind; for the
reliability curves Bayes' rule brings probabilities back to the share of lesion in the
brains that trained. They are of the subject held back, and of a fifth of the voxels of
the subjects that trained, which was set aside.

Data: Lesjak et al., Neuroinformatics 2017, doi:10.1007/s12021-017-9348-7.
"""

import argparse
import time
import warnings

import nibabel as nib
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from open_ms import data_folder
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import average_precision_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from sklearn_lsdn import CDNClassifier, LSDNClassifier, VDNClassifier

EDGES = np.array([0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1])  # of the curves' bins
DRAWN = {  # on the picture
    "LSDNClassifier": ("o", "#000000"),
    "MLPClassifier, ReLU": ("s", "#0072b2"),
    "boosted trees": ("^", "#d55e00"),
}

TITLES = {
    "same": "Other voxels of the subjects that trained",
    "new": "The subject held back",
}


def contestants(hidden, epochs):
    same = dict(hidden_layer_sizes=hidden, max_iter=epochs, random_state=0)
    mlp = dict(same, batch_size=256, n_iter_no_change=epochs)
    return {
        "LSDNClassifier": LSDNClassifier(**same),
        "CDNClassifier": CDNClassifier(**same),
        "VDNClassifier": VDNClassifier(**same),
        "MLPClassifier, ReLU": make_pipeline(StandardScaler(), MLPClassifier(**mlp)),
        "MLPClassifier, logistic": make_pipeline(
            StandardScaler(),
            MLPClassifier(**mlp, activation="logistic", learning_rate_init=0.005),
        ),
        "boosted trees": HistGradientBoostingClassifier(random_state=0),
    }


class Subject:
    """The voxels of a brain: patches around them, and whether each is lesion."""

    def __init__(self, folder, name):
        def load(what):
            path = folder / name / "anat" / f"{name}_space-MNI152_{what}.nii.gz"
            return nib.load(path).get_fdata(dtype=np.float32)

        scans = [load(f"desc-preproc_{contrast}") for contrast in ("T1w", "FLAIR")]
        brain = (scans[0] != 0) & (scans[1] != 0)
        self.where = np.argwhere(brain)
        self.lesion = load("label-lesion_mask")[brain] > 0
        self._patches = []
        for scan in scans:
            scan = np.where(brain, (scan - scan[brain].mean()) / scan[brain].std(), 0)
            padded = np.pad(scan, 1).astype(np.float32)
            self._patches.append(sliding_window_view(padded, (3, 3, 3)))

    def rows(self, which):
        at = self.where[which]
        patches = [each[tuple(at.T)].reshape(len(at), -1) for each in self._patches]
        return np.hstack([*patches, at.astype(np.float32)])


class Cohort:
    """Several subjects, whose voxels are counted one after the other."""

    def __init__(self, subjects):
        self.subjects = subjects
        self.lesion = np.concatenate([subject.lesion for subject in subjects])
        self._ends = np.cumsum([len(subject.lesion) for subject in subjects])

    def samples(self, which):
        """Rows of these voxels, and whether each is lesion."""
        which = np.sort(which)
        parts = np.split(which, np.searchsorted(which, self._ends[:-1]))
        starts = [0, *self._ends[:-1]]
        rows = [
            subject.rows(part - start)
            for subject, part, start in zip(self.subjects, parts, starts, strict=True)
        ]
        return np.concatenate(rows), self.lesion[which]

    def draw(self, n, rng):
        """Voxels to train on, and up to as many of a fifth that is set aside."""
        aside, others = np.split(
            rng.permutation(len(self.lesion)), [len(self.lesion) // 5]
        )
        lesion, rest = others[self.lesion[others]], others[~self.lesion[others]]
        chosen = lesion[: n // 2]
        return np.concatenate([chosen, rest[: n - len(chosen)]]), aside[:n]


def timed(function, *args):
    start = time.process_time()
    result = function(*args)
    return result, time.process_time() - start


def of_the_brain(p, drawn, there):
    """Probabilities where lesion has another share than it had in training."""
    odds = there / (1 - there) * (1 - drawn) / drawn
    return p * odds / (p * odds + (1 - p))


def curve(p, lesion):
    """Voxels, mean probability and share of lesion, for each bin of probability."""
    bins = np.digitize(p, EDGES[1:-1])
    n = np.bincount(bins, minlength=len(EDGES) - 1)
    sums = np.bincount(bins, p, len(n)), np.bincount(bins, lesion, len(n))
    return np.array([n, *(each / np.maximum(n, 1) for each in sums)])


def compare(folder, names, models, n_voxels, n_predicted=None):
    """Scores, times and reliability curves: a list over subjects for each model."""
    rng = np.random.RandomState(0)
    results = {name: [] for name in models}
    subjects = {name: Subject(folder, name) for name in names}
    for held_back, new in subjects.items():
        known = Cohort([s for name, s in subjects.items() if name != held_back])
        drawn, aside = known.draw(n_voxels, rng)
        (X, y), (X_same, y_same) = known.samples(drawn), known.samples(aside)
        X_new, y_new = Cohort([new]).samples(
            rng.permutation(len(new.lesion))[:n_predicted]
        )
        shares = y.mean(), known.lesion.mean()
        for name, model in models.items():
            _, fitting = timed(model.fit, X, y)
            p, predicting = timed(model.predict_proba, X_new)
            p, p_same = p[:, 1], model.predict_proba(X_same)[:, 1]
            results[name].append(
                {
                    "precision": average_precision_score(y_new, p),
                    "fitting": fitting,
                    "predicting": 1e6 * predicting / len(X_new),
                    "same": (of_the_brain(p_same.astype(float), *shares), y_same),
                    "new": (of_the_brain(p.astype(float), *shares), y_new),
                }
            )
    return results


def table(results, names):
    head = [*names, "mean"]
    lines = [
        f"| average precision | {' | '.join(head)} | training, s | ratio | "
        "prediction, s per 10^6 | ratio |",
        "|---" * (len(head) + 5) + "|",
    ]
    first = None
    for name, each in results.items():
        scores = [one["precision"] for one in each]
        times = [np.median([o[k] for o in each]) for k in ("fitting", "predicting")]
        first = first or times
        cells = [name, *(f"{score:.3f}" for score in [*scores, np.mean(scores)])]
        for took, ours, digits in zip(times, first, (1, 2), strict=True):
            cells += f"{took:.{digits}f}", f"{took / ours:.1f}"
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def curves(results, of):
    """Pooled over subjects."""
    return {
        name: curve(*map(np.concatenate, zip(*(o[of] for o in each), strict=True)))
        for name, each in results.items()
    }


def table_of_curves(found):
    bins = [f"{a:g} to {b:g}" for a, b in zip(EDGES[:-1], EDGES[1:], strict=True)]
    lines = [f"| predicted | {' | '.join(bins)} |", "|---" * len(EDGES) + "|"]
    for name, each in found.items():
        cells = [f"{p:.3f}: {share:.3f}" if n else "-" for n, p, share in each.T]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(path, **found):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(found), figsize=(8, 4.2), layout="constrained")
    for axis, (title, of) in zip(axes, found.items(), strict=True):
        axis.plot([0, 1], [0, 1], color="0.7", label="calibrated")
        for name, (marker, color) in DRAWN.items():
            n, p, share = of[name]
            style = dict(marker=marker, color=color, label=name)
            axis.plot(p[n > 0], share[n > 0], **style, alpha=0.9, linewidth=1)
        axis.set(title=TITLES[title], xlabel="predicted probability", aspect="equal")
    axes[0].set_ylabel("share of lesion")
    axes[0].legend(frameon=False)
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--picture", help="where to draw the reliability curves")
    parser.add_argument("--quick", action="store_true", help="a smoke test")
    arguments = parser.parse_args()
    folder = data_folder()
    names = sorted(path.name for path in folder.glob("sub-*"))
    if not names:
        parser.error(f"no subjects in {folder}")
    warnings.simplefilter("ignore", ConvergenceWarning)
    size = ((8, 4), 2, 600, 900) if arguments.quick else ((200, 20), 20, 200_000, None)
    with threadpool_limits(1):
        for model in contestants(*size[:2]).values():  # compile
            X = np.random.RandomState(0).uniform(size=(300, 7)).astype(np.float32)
            model.fit(X, X[:, 0] > 0.5).predict_proba(X)
        results = compare(folder, names, contestants(*size[:2]), *size[2:])
    print(table(results, names))
    found = {of: curves(results, of) for of in TITLES}
    for of, title in TITLES.items():
        print(f"\n{title}: mean probability, and share of lesion\n")
        print(table_of_curves(found[of]))
    if arguments.picture:
        draw(arguments.picture, **found)


if __name__ == "__main__":
    main()

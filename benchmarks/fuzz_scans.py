"""Ordinary scans for `fuzz.py`: whether a synthesis is right, or something is said.

Small made brains get backgrounds, numbers, headers, masks, names and lists as people
have them, one to three at a time. What is predicted is compared with the clean run: the
same within 1.5 dB, warned of by a `ScanWarning`, refused, or silently wrong, which is a
finding.
"""

import json
import random
import warnings

import nibabel as nib
import numpy as np
from ordinary_scans import (
    SCHEMES,
    Scan,
    draw_changes,
    draw_list,
    draw_mask,
    make_subject,
    name_of,
    normal,
)
from scipy.ndimage import binary_dilation

from sklearn_lsdn import LSDNRegressor, VolumeSynthesizer, snr_score
from sklearn_lsdn.exceptions import ScanWarning
from sklearn_lsdn.jobs import predict_files

N_SUBJECTS, N_TRAINED = 6, 3
ALLOWED = 1.5  # dB
OFTEN = {"new": 80, "new_files": 8, "all": 5, "masks": 4, "names": 3}


class SilentlyWrong(Exception):  # noqa: N818
    """A synthesis far off, of which nothing was said."""


def make_synthesizer(**parameters):
    network = LSDNRegressor((16, 6), max_iter=8, learning_rate_init=0.02)
    return VolumeSynthesizer(network, n_voxels=1500, random_state=0, **parameters)


class Scans:
    """Clean subjects, what was trained on them, and what is tried."""

    def __init__(self):
        self.subjects = [make_subject(seed) for seed in range(N_SUBJECTS)]
        self.inside = np.all([source.brain for source, _ in self.subjects], axis=0)
        self.clean, self.best, self.best_masked = None, {}, {}

    def prepare(self, folder):
        """Train on clean scans, and note how well the others are predicted."""
        pairs = self._save(folder / "clean", self.subjects)
        self.clean = make_synthesizer().fit(*self._training(pairs))
        images = self.clean.predict(pairs[0][N_TRAINED:])
        held_out = range(N_TRAINED, N_SUBJECTS)
        self.best = {
            i: self._score(i, image) for i, image in zip(held_out, images, strict=True)
        }
        plain, rng = (self.inside * 1, np.uint8, "head"), random.Random(0)
        while len(self.best_masked) < len(self.best):
            i, image = self._masked(folder / "masked", *plain, rng)
            self.best_masked[i] = self._score(i, image, inside=self.inside)
        return self

    def use(self, path):
        """Try the case of a folder, which says by ``case.json`` how it is drawn."""
        rng = random.Random(json.loads((path / "case.json").read_text()))
        (kind,) = rng.choices(list(OFTEN), list(OFTEN.values()))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", ScanWarning)
            names, below = getattr(self, kind)(path, rng)
        warned = any(issubclass(each.category, ScanWarning) for each in caught)
        if below <= ALLOWED:
            return "scans: the same, but warned of" if warned else "scans: the same"
        if warned:
            return "scans: warned of"
        raise SilentlyWrong(f"{kind}: {' + '.join(names)}: {below:.1f} dB")

    def new(self, path, rng):
        """A new scan is not as those of training."""
        i = rng.randrange(N_TRAINED, N_SUBJECTS)
        if rng.random() < 0.02:
            changes, source = [("the target given", None)], self.subjects[i][1]
        else:
            changes = draw_changes(rng)
            source, _ = self._changed(i, changes, rng)
        source.save(path / "sub-04_T1w.nii")
        (image,) = self.clean.predict([str(path / "sub-04_T1w.nii")])
        return [name for name, _ in changes], self._below(i, image, source)

    def new_files(self, path, rng):
        """Several new scans, in some kind of list and order, become files."""
        scheme = rng.choice(SCHEMES)
        held_out = rng.sample(range(N_TRAINED, N_SUBJECTS), N_SUBJECTS - N_TRAINED)
        paths = [path / name_of(scheme, i, "T1") for i in held_out]
        for i, each in zip(held_out, paths, strict=True):
            self.subjects[i][0].save(each)
        kind, listed = draw_list(rng, [str(each) for each in paths])
        if scheme.startswith("P"):  # which have one name, and no place for two
            outputs = [
                predict_files(self.clean, [str(each)], each.parent / "out")[0]
                for each in paths
            ]
        else:
            outputs = predict_files(self.clean, listed, path / "out")
        below = [
            self._below(i, nib.load(self._output_of(each, outputs)))
            for i, each in zip(held_out, paths, strict=True)
        ]
        return [kind, scheme], max(below)

    @staticmethod
    def _output_of(path, outputs):
        stem = path.name.removesuffix(".nii")
        for output in outputs:
            if output.name.startswith(stem) and output.parents[1] in path.parents:
                return output
        raise SilentlyWrong(f"new files: {path.name} has become none of {outputs}")

    def all(self, path, rng):
        """All scans, those of training, or all sources are not clean."""
        where = rng.choice(["all", "training", "sources"])
        changes = draw_changes(rng)
        subjects = [self._changed(i, changes, rng) for i in range(N_SUBJECTS)]
        if where == "training":
            subjects[N_TRAINED:] = self.subjects[N_TRAINED:]
        elif where == "sources":
            pairs = zip(subjects, self.subjects, strict=True)
            subjects = [[source, target] for (source, _), (_, target) in pairs]
        pairs = self._save(path, subjects)
        kinds, lists = zip(
            *(draw_list(rng, each) for each in self._training(pairs)), strict=True
        )
        fitted = make_synthesizer().fit(*lists)
        i = rng.randrange(N_TRAINED, N_SUBJECTS)
        (image,) = fitted.predict([pairs[0][i]])
        below = self._below(i, image, subjects[i][0], subjects[0][1].offset)
        return [where, *(name for name, _ in changes), *set(kinds) - {"list"}], below

    def masks(self, path, rng):
        """Heads, and a mask that says where the brain is."""
        name, values, dtype = draw_mask(rng, self.inside)
        outside = rng.choice(["head", "NaN"])
        i, image = self._masked(path, values, dtype, outside, rng)
        return [f"mask of {name}", outside], self.best_masked[i] - self._score(
            i, image, inside=self.inside
        )

    def _masked(self, path, values, dtype, outside, rng):
        """Train behind a mask, and predict one of those held out."""
        subjects = [
            [self._with_head(s, outside, rng) for s in p] for p in self.subjects
        ]
        Scan(values.astype(float), self.inside, dtype=dtype).save(path / "mask.nii")
        pairs = self._save(path, subjects)
        fitted = make_synthesizer(mask_img=path / "mask.nii")
        fitted.fit(*self._training(pairs))
        i = rng.randrange(N_TRAINED, N_SUBJECTS)
        return i, fitted.predict([pairs[0][i]])[0]

    @staticmethod
    def _with_head(scan, outside, rng):
        """With what is around a brain, bright as tissue, or with nothing."""
        head = binary_dilation(scan.brain, iterations=2) & ~scan.brain
        air = 10 + abs(3 * normal(rng))
        around = np.where(head, np.median(scan.data[scan.brain]) / 2, air)
        around = np.nan if outside == "NaN" else around
        return Scan(np.where(scan.brain, scan.data, around), scan.brain)

    def names(self, path, rng):
        """Files that are called in some way, paired rightly or not."""
        scheme, exchanged = rng.choice(SCHEMES), rng.random() < 0.7
        subjects = self.subjects[:N_TRAINED]
        pairs = self._save(path, subjects, scheme)
        if exchanged:
            pairs[1].append(pairs[1].pop(0))
        fitted = make_synthesizer().fit(*(draw_list(rng, each)[1] for each in pairs))
        i = rng.randrange(N_TRAINED, N_SUBJECTS)
        self.subjects[i][0].save(path / "new_T1w.nii")
        (image,) = fitted.predict([str(path / "new_T1w.nii")])
        name = f"{scheme}{', exchanged' if exchanged else ''}"
        return [name], self._below(i, image)

    def _changed(self, i, changes, rng):
        pair = []
        for scan in self.subjects[i]:
            changed = Scan(scan.data.copy(), scan.brain)
            for _, change in changes:
                change(changed, rng)
            pair.append(changed)
        return pair

    @staticmethod
    def _save(folder, subjects, scheme=SCHEMES[0]):
        """Write all scans; the paths of sources and targets."""
        paths = [], []
        for i, scans in enumerate(subjects):
            for scan, contrast, of in zip(scans, ("T1", "T2"), paths, strict=True):
                path = folder / name_of(scheme, i, contrast)
                scan.save(path)
                of.append(str(path))
        return paths

    @staticmethod
    def _training(pairs):
        return [paths[:N_TRAINED] for paths in pairs]

    def _below(self, i, image, source=None, offset=0.0):
        """How many dB a synthesis is below the clean one."""
        return self.best[i] - self._score(i, image, source, offset)

    def _score(self, i, image, source=None, offset=0.0, inside=None):
        """SNR over the brain in dB, in clean units, less what is near to outliers."""
        source, target = source or self.subjects[i][0], self.subjects[i][1]
        inside = target.brain if inside is None else inside
        if source.spoiled is not None:
            inside = inside & ~binary_dilation(source.spoiled, iterations=6)
        values = np.nan_to_num(source.undone(image)[inside]) - offset
        return snr_score(target.data[inside], values)

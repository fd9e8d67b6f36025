"""What turns images into rows of numbers, and rows into images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from sklearn.base import clone

from .._utils.checks import check_numbers, ensure
from .._utils.parallel import parallel_map
from .._utils.persistable import persistable
from .._utils.progress import Progress
from .._utils.store import Store
from ..exceptions import UnlikeWarning
from ._aggregation import filled_patches
from ._augmentation import Augmentation
from ._doubts import doubt_of_size
from ._glance import doubts_of_pairs
from ._images import fingerprints
from ._likeness import Likeness
from ._masks import Masker
from ._neighbours import Neighbours
from ._normalizer import words_of
from ._novelty import Novelty
from ._patches import PaddedVolumes
from ._remembered import Remembered
from ._sampling import Sample, Window, draw_sample
from ._sketch import Sketch
from ._subject import Subject
from ._subjects import n_contrasts_of, open_subjects, pair_subjects
from ._working_grid import other_voxel_size, working_voxel_size

_BRAIN = {
    "background": "each subject's mask or, without, what differs from the background",
    "mni152": "nilearn's MNI152 brain mask",
    "image": "the mask image given in training, kept in the model",
}

_PLACES = {
    "world": "world coordinates",
    "brain": "in the box around the subject's own brain",
    "template": "by a registration to the MNI152 template",
    None: "not used",
}


@persistable(younger={"novelty": None, "remembered": None, "neighbours": None})
@dataclass(frozen=True, eq=False)
class Preparation:
    """How images become rows of numbers, and rows of predictions become images.

    Parameters
    ----------
    masker : Masker
        Finds the brain.
    window : Window
        What is read around a voxel.
    source_normalizers, target_normalizers : list of normalizers
        One for each contrast.
    voxel_size : ndarray of shape (3,)
        Of the grid that voxels are predicted on, in mm, towards right, anterior and
        superior: the median over the training images.
    novelty : Novelty, default=None
        What was usual of their patches; files of older releases have none.
    remembered : Remembered, default=None
        What their scans were like; files of older releases have none.
    neighbours : Neighbours, default=None
        Those of training subjects, if ``window`` sees them.
    """

    masker: Masker
    window: Window
    source_normalizers: list
    target_normalizers: list
    voxel_size: np.ndarray
    novelty: Novelty | None = None
    remembered: Remembered | None = None
    neighbours: Neighbours | None = None

    @classmethod
    def of(cls, masker, window, normalizer, sources, targets) -> "Preparation":
        """Begin with subjects that wait to be read; `fitted` completes it.

        Parameters
        ----------
        masker : Masker
        window : Window
        normalizer : normalizer
            Each contrast gets a clone.
        sources, targets : list of list of ImageFile
        """
        return cls(
            masker,
            window,
            [clone(normalizer) for _ in range(n_contrasts_of(sources))],
            [clone(normalizer) for _ in targets[0]],
            working_voxel_size(sources),
        )

    def with_neighbours(self, sources, targets, groups, **running) -> "Preparation":
        """The same that remembers training subjects, if other subjects are to be seen.

        Parameters
        ----------
        sources, targets, groups, **running
            As `Neighbours.of` takes them.
        """
        if self.window.neighbours is None:
            return self
        subjects = self.masker, sources, targets, groups, self.voxel_size
        return replace(self, neighbours=Neighbours.of(*subjects, **running))

    def normalised_by(self, normalizer) -> "Preparation":
        """The same with a clone of a normalizer for each contrast."""
        of_sources, of_targets = (
            [clone(normalizer) for _ in each]
            for each in (self.source_normalizers, self.target_normalizers)
        )
        return replace(
            self, source_normalizers=of_sources, target_normalizers=of_targets
        )

    def fitted(self, samples) -> "Preparation":
        """The same with the units of a typical scan of each contrast, and its brains.

        Parameters
        ----------
        samples : list of Sample
            What `draw` yields.
        """
        sources = [sample.source_descriptions for sample in samples]
        targets = [dict(enumerate(each.target_descriptions)) for each in samples]
        normalizers = _fitted(self.source_normalizers, sources)
        sketches = [
            sample.sketch.normalised(normalizers, sample.source_descriptions)
            for sample in samples
        ]
        return replace(
            self,
            source_normalizers=normalizers,
            target_normalizers=_fitted(self.target_normalizers, targets),
            remembered=Remembered.of(sketches),
        )

    def with_novelty(self, X, places) -> "Preparation":
        """The same that remembers what was usual of the patches trained on.

        Those of subjects who have all contrasts; without any, nothing is remembered.

        Parameters
        ----------
        X : float32 array of shape (n_voxels, n_features)
            What `arrays` gives.
        places : list of ndarray of shape (n_i, 3)
            Where each subject's voxels lie, in mm, in the same order.
        """
        window, n_patch = self.window, self.window.n_patch(self.n_volumes)
        patches = X[:, :n_patch]
        if window.missing_sources:
            ends = np.cumsum([len(each) for each in places])
            whole = [not np.isnan(patches[end - 1]).any() for end in ends]
            rows = np.repeat(whole, [len(each) for each in places])
            patches = patches if rows.all() else patches[rows]
            places = [each for each, used in zip(places, whole, strict=True) if used]
            if not places:
                return self
        located = window.places is not None
        return replace(
            self,
            novelty=Novelty.of(patches, places, self.n_volumes, window.scales, located),
        )

    @property
    def brain_volumes(self) -> Sequence[float]:
        """Of training subjects, in millilitres; none in files of older releases."""
        return () if self.remembered is None else self.remembered.millilitres

    @property
    def n_contrasts(self) -> int:
        """Of the source."""
        return len(self.source_normalizers)

    @property
    def n_volumes(self) -> int:
        """Of a subject that patches are read from: its sources, and neighbours."""
        n_targets = len(self.target_normalizers)
        return self.n_contrasts + self.window.n_further(n_targets)

    @property
    def background(self) -> np.ndarray:
        """A typical scan's 0 in each source contrast, normalised.

        It stands for voxels outside the brain or the image.
        """
        return np.array([each.background() for each in self.source_normalizers])

    # From images to rows

    def open(
        self, sources, targets=None, name="targets", masks=None
    ) -> tuple[list, list]:
        """Check the headers of subjects who have the contrasts of training.

        Parameters
        ----------
        sources : list
            As `VolumeSynthesizer.fit` takes them.
        targets : list, default=None
            Likewise, each on the grid of its source.
        name : str, default="targets"
            What to call them in messages.
        masks : list, default=None
            As `VolumeSynthesizer.fit` takes them.

        Returns
        -------
        sources, targets : list of list of ImageFile
            Without targets, a list of empty lists.

        Raises
        ------
        FileNotFoundError, TypeError, ValueError
            As `VolumeSynthesizer.fit`.
        """
        if targets is None:
            sources = open_subjects(sources, "sources", masks=masks)
            targets = [[] for _ in sources]
        else:
            sources, targets = pair_subjects(sources, targets, name, masks)
            _check_contrasts(len(targets[0]), name, len(self.target_normalizers))
        may_lack = self.window.missing_sources
        n_sources = n_contrasts_of(sources)
        _check_contrasts(n_sources, "sources", self.n_contrasts, may_lack)
        self.check_missing(sources)
        return sources, targets

    def check_missing(self, sources) -> None:
        """Raise ValueError if a subject lacks a contrast, unless that was learned.

        Parameters
        ----------
        sources : list of list of ImageFile
        """
        for files in sources if not self.window.missing_sources else ():
            if len(files) < self.n_contrasts:
                names = " and ".join(file.name for file in files)
                raise ValueError(
                    f"Every subject needs {self.n_contrasts} source contrasts, and "
                    f"that of {names} has {len(files)}. Give the missing, or fit a "
                    "VolumeSynthesizer with missing_sources=True (lsdn fit "
                    "--missing-sources), so that any will do."
                )

    def read(self, sources, targets=(), on_unlike="ignore") -> Subject:
        """Read scans of one person, and find the brain in them.

        Parameters
        ----------
        sources, targets : list of ImageFile
        on_unlike : {"ignore", "warn", "raise"}, default="ignore"
            What to do about sources that are unlike those of training.

        Raises
        ------
        ValueError
            If there is no brain, or as ``on_unlike`` asks.
        """
        where = self.voxel_size, self.window.places
        subject = Subject.read(self.masker, sources, targets, *where)
        volume = subject.brain.millilitres
        subject.doubts += doubt_of_size(volume, self.brain_volumes, subject.names)
        if on_unlike != "ignore" and self.remembered is not None:
            described = self._described(subject)
            sketch = Sketch.of(subject, subject.volumes_of(self.n_contrasts))
            subject.likeness = self.likeness(sketch, described)
            subject.doubts += self.unlike(subject.likeness, sources, on_unlike)
        return subject

    def likeness(self, sketch, descriptions) -> Likeness:
        """Compare a subject with those of training.

        Parameters
        ----------
        sketch : Sketch
            In the units of its scans.
        descriptions : dict of int to ndarray
            What the normalizers of the sources say of them.
        """
        shared = sketch.normalised(self.source_normalizers, descriptions)
        return self.remembered.compare(shared, self.window.places is not None)

    def unlike(self, likeness, files, on_unlike="warn") -> list:
        """Say that scans are unlike those of training, if they are.

        Parameters
        ----------
        likeness : Likeness
        files : list of ImageFile
            Of the sources.
        on_unlike : {"ignore", "warn", "raise"}, default="warn"

        Returns
        -------
        doubts : list of UnlikeWarning
            One, or none.

        Raises
        ------
        ValueError
            If ``on_unlike`` asks for it.
        """
        if on_unlike not in ("ignore", "warn", "raise"):
            raise ValueError(
                f"on_unlike must be 'warn', 'raise' or 'ignore', got {on_unlike!r}."
            )
        said = likeness.said_of({file.contrast: file.name for file in files})
        if not said or on_unlike == "ignore":
            return []
        if on_unlike == "raise":
            raise ValueError(said)
        return [UnlikeWarning(said)]

    def doubts_of_sample(self, sample, files, on_unlike) -> list:
        """Say that a subject is unlike those of training, by what was drawn from it.

        Parameters
        ----------
        sample : Sample
        files : list of ImageFile
            Of its sources.
        on_unlike : {"ignore", "warn", "raise"}
        """
        if self.remembered is None:
            return []
        likeness = self.likeness(sample.sketch, sample.source_descriptions)
        return self.unlike(likeness, files, on_unlike)

    def doubts_of_training(self, samples, sources, targets) -> list:
        """Say what is doubtful of subjects to train on.

        Parameters
        ----------
        samples : list of Sample
        sources, targets : list of list of ImageFile
            What they were drawn from.

        Returns
        -------
        doubts : list of ScanWarning
        """
        names = [
            [file.name for file in [*source, *target]]
            for source, target in zip(sources, targets, strict=True)
        ]
        doubts, typical = [], [np.median(self.brain_volumes)]
        for sample, (name, *_) in zip(samples, names, strict=True):
            doubts += sample.doubts
            doubts += doubt_of_size(sample.millilitres, typical, name)
        return doubts + doubts_of_pairs([sample.glance for sample in samples], names)

    def padded(self, subject) -> PaddedVolumes:
        """What patches are read from, of each source contrast at each scale.

        It empties ``subject.volumes``, so that they need not be held beside copies.
        """
        finish, fill = self._normalise(subject), [*self.background]
        fill = [np.nan if f is None else b for f, b in zip(finish, fill, strict=True)]
        subject.volumes = subject.volumes_of(self.n_contrasts)
        if self.neighbours is not None:
            further = self.neighbours.beside(subject)
            subject.volumes += further
            finish += [np.asarray] * len(further)
            fill += [0.0] * len(further)
        return self.window.sources(subject, fill, finish)

    def _normalise(self, subject):
        """A function for each source contrast, from the scan's units to the shared.

        None for one that is missing.
        """
        described = self._described(subject)
        return [
            partial(normalizer.to_shared, description=described[c])
            if c in described
            else None
            for c, normalizer in enumerate(self.source_normalizers)
        ]

    def _described(self, subject):
        """What the normalizers say of the sources, found once."""
        if subject.described is None:
            subject.described = subject.describe_sources(self.source_normalizers)
        return subject.described

    # From rows to images

    def units(self, subject, scans=()) -> list[np.ndarray]:
        """Units of each target contrast: those of scans or, without any, typical ones.

        Parameters
        ----------
        subject : Subject
            With target scans or without.
        scans : list of ImageFile, default=()
            Scans of the same person, to be read first.
        """
        if scans:
            subject = Subject.read(self.masker, subject.sources, scans)
        if subject.targets:
            return subject.describe_targets(self.target_normalizers)
        return [normalizer.typical_ for normalizer in self.target_normalizers]

    def intensities(self, values, units) -> list[np.ndarray]:
        """Bring predictions to such units.

        Parameters
        ----------
        values : ndarray of shape (n_voxels, n_targets)
            On the normalised scale.
        units : list of ndarray
            What `units` says.

        Returns
        -------
        intensities : list of float32 arrays of shape (n_voxels,)
            One for each target contrast.
        """
        parts = zip(self.target_normalizers, values.T, units, strict=True)
        return [normalizer.from_shared(*part) for normalizer, *part in parts]

    def ends(self, values, reach, units) -> tuple[list, list]:
        """Bring what lies so far below and above them to such units, likewise."""
        lower, upper = values - reach, values + reach
        return self.intensities(lower, units), self.intensities(upper, units)

    def deviations(self, values, deviations, units) -> list[np.ndarray]:
        """Bring standard deviations of predictions to such units, likewise."""
        ends = self.ends(values, deviations, units)
        return [(upper - lower) / 2 for lower, upper in zip(*ends, strict=True)]

    # What to train on

    def draw(
        self,
        sources,
        targets,
        seeds,
        n_voxels,
        *,
        memory=None,
        n_jobs=None,
        verbose=0,
        draw=None,
    ) -> Iterator[Sample]:
        """Draw voxels of each subject, in turn.

        Parameters
        ----------
        sources, targets : list of list of ImageFile
        seeds : list of int
            One for each subject.
        n_voxels : int
            From each; all, if the brain holds fewer.
        memory : str, path or joblib.Memory, default=None
            Where to keep what was drawn.
        n_jobs : int, default=None
            Threads that read.
        verbose : int, default=0
            Whether to print how far it is.
        draw : callable, default=None
            What draws from one, rather than `draw_sample`, with the same arguments.
        """
        normalizers = self.source_normalizers, self.target_normalizers
        options = self.masker, normalizers, self.window, n_voxels
        shared = draw, Store(memory), self.voxel_size, self.neighbours, options
        jobs = zip(sources, targets, seeds, strict=True)
        drawn = parallel_map(_draw, shared, jobs, n_jobs=n_jobs, prefer="threads")
        progress = Progress("Reading subjects", len(sources), verbose)
        for n, sample in enumerate(drawn, start=1):
            progress.tell(n, f"Read subject {n} of {len(sources)}")
            yield sample

    def arrays(
        self, samples, augmentation: Augmentation, seeds
    ) -> tuple[np.ndarray, np.ndarray]:
        """Normalise samples, and put them side by side.

        Parameters
        ----------
        samples : list of Sample
            It is emptied, so that they need not be held beside their copies.
        augmentation : Augmentation
        seeds : list of int
            For the augmentation.

        Returns
        -------
        X : float32 array of shape (n_voxels, n_features)
        y : float32 array of shape (n_voxels,) or (n_voxels, n_outputs)
        """
        n_rows = sum(len(sample.patches) for sample in samples)
        n_patch = samples[0].patches[0].size
        contrasts = self.n_contrasts, len(self.target_normalizers)
        n_features = self.window.n_features(*contrasts)
        X = np.empty((n_rows, n_features), dtype=np.float32)
        y = np.empty((n_rows, *samples[0].targets.shape[1:]), dtype=np.float32)
        middle = np.mean([sample.coordinates[:, 0].mean() for sample in samples])
        background, start = self.background, 0
        rng = np.random.RandomState(seeds)
        while samples:
            sample = samples.pop(0)
            rows = slice(start, start + len(sample.patches))
            start = rows.stop
            patches = np.empty_like(sample.patches)
            described = sample.source_descriptions
            for c, description in described.items():
                normalizer = self.source_normalizers[c]
                values = normalizer.to_shared(sample.patches[:, c], description)
                values[np.isnan(values)] = background[c]
                patches[:, c] = values
            further = slice(len(background), None)  # are on the shared scale
            patches[:, further] = np.nan_to_num(sample.patches[:, further])
            parts = zip(
                self.target_normalizers, sample.target_descriptions, strict=True
            )
            for c, (normalizer, description) in enumerate(parts):
                values = normalizer.to_shared(sample.targets[:, c], description)
                y[rows, c] = filled_patches(values)
            places = sample.coordinates.copy()
            augmentation.apply(
                patches, places, y[rows], background, sample.steps, middle, rng
            )
            missing = [c not in described for c in range(self.n_contrasts)]
            patches[:, np.flatnonzero(missing)] = np.nan
            X[rows, :n_patch] = patches.reshape(len(patches), -1)
            X[rows, n_patch:] = places[:, : self.window.n_coordinates]
        y = y.reshape(len(y), -1)
        return X, y.ravel() if y.shape[1] == 1 else y

    def facts(self, sources=None, targets=None) -> dict:
        """What a person wants to know, by name.

        Parameters
        ----------
        sources, targets : list of str, default=None
            Names of the contrasts, where they are known.
        """
        window = self.window
        patch = _cube(window.patch_size)
        if window.patch_size > 1:
            scales = " and by ".join(f"{scale:g}" for scale in window.scales)
            patch += f", spaced by {scales} voxels"
        size = " x ".join(f"{side:g}" for side in self.voxel_size.round(3))
        return {
            "source contrasts": _count(self.source_normalizers, sources),
            **({"may be missing": "all but one"} if window.missing_sources else {}),
            "target contrasts": _count(self.target_normalizers, targets),
            "brain": _BRAIN[self.masker.strategy],
            "normalisation": words_of(self.source_normalizers[0]),
            "brain volume": _range(self.brain_volumes),
            "limits of likeness": self._limits(),
            "patch": patch,
            "target patch": _cube(window.target_patch_size),
            "places": _PLACES[window.places],
            "voxel size": f"{size} mm (median of the training images)",
            "neighbours": self.neighbours.facts() if self.neighbours else "none",
        }

    def _limits(self):
        if self.remembered is None:
            return "not known"
        n_subjects = len(self.remembered.millilitres)
        if self.remembered.knows_spread:
            return f"by the spread of {n_subjects} training subjects"
        return f"those stated: {n_subjects} in training show no spread"

    def _check_parts(self):
        ensure(self.masker.strategy and self.window.scales, "there is no mask")
        check_numbers(self, "voxel_size", self.voxel_size, (3,))
        ensure(self.source_normalizers, "there is no source contrast")
        if self.novelty is not None:
            self.novelty.check_window(self.n_volumes, self.window.scales)
        n_seen = 0 if self.neighbours is None else self.neighbours.n_targets
        n_further = self.window.n_further(len(self.target_normalizers))
        ensure(n_seen == n_further, "neighbours are of other contrasts")
        for normalizer in [*self.source_normalizers, *self.target_normalizers]:
            ensure(np.isfinite(normalizer.background()), "a contrast is not normalised")


def _range(millilitres):
    if not len(millilitres):
        return "not known"
    return f"{min(millilitres):.4g} to {max(millilitres):.4g} ml in training"


def _cube(side):
    return f"{side} x {side} x {side} voxels" if side > 1 else "1 voxel"


def _count(contrasts, names):
    return f"{len(contrasts)} ({', '.join(names)})" if names else len(contrasts)


def _check_contrasts(n_given, name, n_contrasts, may_lack=False):
    if n_given != n_contrasts:
        gap = ", with None (lsdn: none) for what a subject lacks" if may_lack else ""
        raise ValueError(
            f"{name} has {n_given} contrast(s) a subject, but training "
            f"had {n_contrasts}. Give the same contrasts, in the same order{gap}."
        )


def _fitted(normalizers, descriptions):
    """Clones that know the units of a typical scan, of descriptions of each scan."""
    return [
        clone(normalizer).fit_descriptions(
            [each[c] for each in descriptions if c in each]
        )
        for c, normalizer in enumerate(normalizers)
    ]


def _draw(draw, store, voxel_size, neighbours, options, sources, targets, seed):
    """Draw voxels of one subject, from the files or from a cache."""
    # What others have decides nothing where the subject stays on its own grid.
    voxel_size = other_voxel_size(sources[0].voxel_size, voxel_size)
    options = *options, seed, voxel_size, neighbours
    make = partial(draw or draw_sample, sources, targets, *options)
    if not store:
        return make()
    images = [fingerprints(files) for files in (sources, targets)]
    kind = () if draw is None else (draw.__name__,)
    return store.made(make, images, *options, *kind)

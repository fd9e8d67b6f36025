"""What training subjects' target scans show at each place of another brain."""

import hashlib
from dataclasses import dataclass
from functools import cached_property, partial

import nibabel as nib
import numpy as np
from scipy.ndimage import find_objects

from .._utils.checks import check_numbers, ensure
from .._utils.names import subject_label
from .._utils.optional import require
from .._utils.parallel import parallel_map
from .._utils.persistable import persistable
from .._utils.progress import Progress
from .._utils.store import Store
from ._images import ImageFile
from ._normalization import ZScoreNormalizer
from ._subject import Subject
from ._warping import warp_onto
from ._working_grid import WorkingGrid, extended

NEIGHBOURS = ("warped", None)
"""What may be seen of other subjects."""

_TOO_FEW = (
    "Neighbours take two or more training subjects, for each sees scans of the others. "
    "Give more, or no neighbours."
)
_FINEST = 2.0  # mm: voxels of what is registered and kept
_MOST = 16  # training subjects that are kept, of whom a mean is taken
_MARGIN = 6  # voxels around a brain, whose outline tells a registration much
_LOW, _HIGH = -4.0, 6.0  # standard deviations from a scan's mean that are kept
_STEP = (_HIGH - _LOW) / 254  # from 1 to 255; 0 is outside the brain
_REACH = 3.0  # standard deviations that a registration looks at


@persistable()
@dataclass(frozen=True, eq=False)
class Neighbours:
    """Scans of training subjects, deformed to the brain of one of them.

    A subject's neighbours are their mean, deformed to it: of all but the subject's own,
    if it is one of them.

    Parameters
    ----------
    persons : int64 array of shape (n_subjects,)
        Whose the scans are; a person may have several.
    contents : list of str
        Hashes of the first source of each, by which it is known again.
    scans : uint8 array of shape (n_subjects, 1 + n_targets, nx, ny, nz)
        The first source of each, and its targets: steps from 4 standard deviations
        below a scan's mean to 6 above, from 1 on; 0 outside the brain.
    affine : ndarray of shape (4, 4)
        From indices to world mm.
    """

    persons: np.ndarray
    contents: list
    scans: np.ndarray
    affine: np.ndarray

    @classmethod
    def of(
        cls, masker, sources, targets, groups, voxel_size, *, memory, n_jobs, verbose
    ) -> "Neighbours":
        """Deform training subjects to the one whose brain is of median size.

        Parameters
        ----------
        masker : Masker
        sources, targets : list of list of ImageFile
        groups : sequence of length n_subjects
            Who belongs together; files with one ``sub-`` entity do as well.
        voxel_size : ndarray of shape (3,)
            Of the model, in mm; what is kept is no finer than 2 mm.
        memory : str, path or joblib.Memory
            Where to keep each registration; None for nowhere.
        n_jobs : int or None
            Threads that read and register.
        verbose : int

        Raises
        ------
        ImportError
            If SimpleITK is not installed.
        ValueError
            If there are not two persons, or an image cannot be used.
        """
        require("SimpleITK")
        persons = _persons(groups, sources)
        if len(np.unique(persons)) < 2:
            raise ValueError(_TOO_FEW)
        chosen = np.linspace(0, len(sources) - 1, min(len(sources), _MOST)).astype(int)
        jobs = [(sources[i], targets[i]) for i in chosen]
        threads = dict(n_jobs=n_jobs, prefer="threads")
        shared = masker, np.maximum(voxel_size, _FINEST)
        subjects = list(parallel_map(_Scans.read, shared, jobs, **threads))
        sizes = [each.millilitres for each in subjects]
        reference = subjects[int(np.argsort(sizes)[len(sizes) // 2])]
        progress = Progress("Registering neighbours", len(subjects), verbose)
        jobs, scans = ((each,) for each in subjects), []
        for each in parallel_map(_kept, (Store(memory), reference), jobs, **threads):
            scans.append(each)
            line = f"Registered neighbour {len(scans)} of {len(subjects)}"
            progress.tell(len(scans), line)
        progress.end()
        contents = [each.content for each in subjects]
        made = cls(persons[chosen], contents, np.array(scans), reference.affine)
        if not all(len(made.others(content)) for content in contents):
            raise ValueError(_TOO_FEW)
        return made

    @property
    def n_targets(self) -> int:
        """Target contrasts."""
        return self.scans.shape[1] - 1

    def others(self, content) -> np.ndarray:
        """Indices of all but the person who has a first source of such a content."""
        own = self.persons[np.array(self.contents) == content]
        return np.flatnonzero(~np.isin(self.persons, own))

    def beside(self, subject) -> list[np.ndarray]:
        """What the neighbours of a subject show at its voxels.

        Parameters
        ----------
        subject : Subject
            One that has been read.

        Returns
        -------
        volumes : list of float32 arrays of the shape of ``subject.mask``
            One for each target contrast, in standard deviations of a target scan from
            its mean. Values outside the brain mean nothing.
        """
        first, others = subject.sources[0], self.others(_content(subject.sources[0]))
        grid = WorkingGrid.of(subject.mask, subject.affine, self._voxel_size)
        values = ZScoreNormalizer().transform(grid.take(subject.volumes[0]), grid.mask)
        box, affine = _around(grid.mask, grid.affine)
        fixed = _file(_picture(values[box], grid.mask[box]), affine, first.name)
        mean = _picture(*self._mean(others, 0))
        mean = _file(mean, self.affine, "the mean of the training subjects")
        warp = warp_onto(fixed, mean)
        means = [self._mean(others, 1 + t)[0] for t in range(self.n_targets)]
        whole = _file(np.broadcast_to(np.uint8(0), subject.mask.shape), subject.affine)
        return [warp.bring(_file(each, self.affine), whole) for each in means]

    def facts(self) -> str:
        """What a person wants to know."""
        size = " x ".join(f"{side:.3g}" for side in self._voxel_size)
        return (
            f"scans of {len(self.scans)} training subjects at {size} mm, which the "
            f"model holds ({self.scans.nbytes / 1e6:.1f} MB): whoever has it sees them"
        )

    @property
    def _voxel_size(self):
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    def _mean(self, others, contrast):
        """Of a contrast, going on beyond the brain, and where most have brain."""
        codes = self.scans[others, contrast]
        counts = np.count_nonzero(codes, axis=0)
        total = codes.sum(axis=0, dtype=np.float32)
        means = _LOW + _STEP * (total / np.maximum(counts, 1) - 1)
        return extended(np.float32(means), counts > 0), 2 * counts >= len(others)

    def _check_parts(self):
        n, n_contrasts, *shape = self.scans.shape
        ensure(len(shape) == 3 and min(shape) > 0, "neighbours have no volume")
        ensure(n_contrasts > 1, "neighbours lack a contrast")
        check_numbers(self, "scans", self.scans, self.scans.shape, "u1")
        check_numbers(self, "persons", self.persons, (n,), "i8")
        check_numbers(self, "affine", self.affine, (4, 4))
        np.linalg.inv(self.affine)
        ensure(len(self.contents) == n > 1, "neighbours are not known")
        every = [None, *self.contents]  # new subjects, and those of training
        seen = [self.scans[self.others(each)].any(axis=(0, 2, 3, 4)) for each in every]
        ensure(np.all(seen), "neighbours show no brain")


@dataclass(frozen=True)
class _Scans:
    """A training subject's first source and targets on a coarse grid.

    Parameters
    ----------
    content, name : str
        Of the first source.
    millilitres : float
        Volume of the brain.
    values : list of float32 arrays of shape (nx, ny, nz)
        In z-scores, going on beyond the brain.
    mask : ndarray of bool of the same shape
    affine : ndarray of shape (4, 4)
    """

    content: str
    name: str
    millilitres: float
    values: list
    mask: np.ndarray
    affine: np.ndarray

    @classmethod
    def read(cls, masker, voxel_size, sources, targets) -> "_Scans":
        """Read it, at such a voxel size."""
        subject = Subject.read(masker, sources, targets, voxel_size)
        box, affine = _around(subject.mask, subject.affine)
        mask = subject.mask[box]
        values = [
            extended(ZScoreNormalizer().transform(volume[box], mask), mask)
            for volume in [subject.volumes[0], *subject.working_scans()]
        ]
        first, size = sources[0], subject.brain.millilitres
        return cls(_content(first), first.name, size, values, mask, affine)

    @cached_property
    def picture(self) -> ImageFile:
        """What a registration looks at."""
        return self._file(_picture(self.values[0], self.mask))

    def on(self, reference) -> np.ndarray:
        """What is kept of it, deformed to another subject."""
        values, mask, grid = self.values, self.mask, reference.picture
        if self is not reference:
            warp = warp_onto(grid, self.picture)
            mask = warp.bring(self._file(np.float32(mask)), grid) >= 0.5
            values = [warp.bring(self._file(each), grid) for each in values]
        codes = 1 + (np.clip(values, _LOW, _HIGH) - _LOW) / _STEP
        return np.where(mask, codes.round(), 0).astype(np.uint8)

    def _file(self, volume):
        return _file(volume, self.affine, self.name)


def _kept(store, reference, scans):
    """What `_Scans.on` gives, from a cache or made now."""
    decisive = scans.values, scans.mask, scans.affine
    return store.made(
        partial(scans.on, reference), decisive, reference.picture.fingerprint()
    )


def _picture(values, mask):
    """A brain for registration: above 0 where it is, and 0 around it."""
    shown = np.clip(values, -_REACH, _REACH) + np.float32(1 + _REACH)
    return np.where(mask, shown, np.float32(0))


def _around(mask, affine):
    """Slices of the brain and its surroundings, and the affine there."""
    (box,) = find_objects(mask, max_label=1)
    box = tuple(slice(max(s.start - _MARGIN, 0), s.stop + _MARGIN) for s in box)
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ [side.start for side in box]
    return box, moved


def _file(volume, affine, name="neighbours"):
    return ImageFile(nib.Nifti1Image(volume, affine), name)


def _content(file):
    """Hash of an image's voxels, whatever its header says."""
    return hashlib.sha256(file.read(finite=False)).hexdigest()


def _persons(groups, sources):
    """A number for each person, the same for all scans of one."""
    persons = np.unique(groups, return_inverse=True)[1].astype(np.int64)
    labels = np.array([subject_label(files[0].path) for files in sources], dtype=object)
    for label in {each for each in labels if each}:
        same = persons[labels == label]
        persons[np.isin(persons, same)] = same.min()
    return persons

"""What is read around a voxel, and voxels drawn from training subjects."""

from dataclasses import astuple, dataclass

import numpy as np

from .._utils.checks import ensure
from .._utils.persistable import persistable
from ._glance import Glance
from ._masks import Masker
from ._neighbours import NEIGHBOURS, Neighbours
from ._patches import PaddedVolumes
from ._places import PLACES
from ._scales import at_scale
from ._sketch import Sketch
from ._subject import Subject

_COARSEST = 256  # voxels from one of a patch's to the next: more would fill the memory


@persistable(younger={"neighbours": None, "missing_sources": False})
@dataclass(frozen=True)
class Window:
    """What is read around a voxel.

    Parameters
    ----------
    patch_size : int
        Voxels along each side of a source patch, odd.
    scales : tuple of int
        Of the source patches: voxels from one of theirs to the next.
    target_patch_size : int
        Voxels along each side of a target patch, odd.
    places : {"world", "brain", "template"} or None
        What says where the voxel lies, in the last columns.
    neighbours : "warped" or None, default=None
        What is seen of other subjects, as further patches: one for each target contrast
        and scale, after those of the sources.
    missing_sources : bool, default=False
        Whether subjects may lack sources, whose patches are NaN.
    """

    patch_size: int
    scales: tuple
    target_patch_size: int
    places: str | None
    neighbours: str | None = None
    missing_sources: bool = False

    @classmethod
    def of(
        cls,
        patch_size,
        patch_scales,
        target_patch_size,
        places,
        neighbours=None,
        missing_sources=False,
    ) -> "Window":
        """Check the parameters of a synthesizer.

        Raises
        ------
        ValueError
            If a size is even, or the scales are not distinct whole numbers from 1.
        """
        sizes = {"patch_size": patch_size, "target_patch_size": target_patch_size}
        for name, size in sizes.items():
            if size % 2 == 0:
                raise ValueError(f"{name} must be odd, got {size}.")
        if neighbours is not None and missing_sources:
            raise ValueError(
                "neighbours are found by the first source, which subjects may lack "
                "with missing_sources=True. Use one of the two."
            )
        scales = np.asarray(patch_scales)
        whole = scales.ndim == 1 and scales.size > 0 and scales.dtype.kind in "iu"
        if not whole or scales.min() < 1 or len(set(scales.tolist())) < len(scales):
            raise ValueError(
                "patch_scales must be one or more different positive integers, got "
                f"{patch_scales!r}."
            )
        return cls(
            int(patch_size),
            tuple(scales.tolist()),
            int(target_patch_size),
            places,
            neighbours,
            bool(missing_sources),
        )

    @property
    def n_coordinates(self) -> int:
        """Columns that say where a voxel lies."""
        return 0 if self.places is None else 3

    def n_further(self, n_targets) -> int:
        """Volumes beside the sources, with so many target contrasts."""
        return 0 if self.neighbours is None else n_targets

    def n_patch(self, n_volumes) -> int:
        """Columns of the patches in so many volumes."""
        return n_volumes * len(self.scales) * self.patch_size**3

    def n_features(self, n_contrasts, n_targets) -> int:
        """Columns of what is learned from, with so many contrasts."""
        n_volumes = n_contrasts + self.n_further(n_targets)
        return self.n_patch(n_volumes) + self.n_coordinates

    def n_outputs(self, n_contrasts) -> int:
        """Columns of what is predicted, with so many target contrasts."""
        return n_contrasts * self.target_patch_size**3

    def centre(self, contrast) -> int:
        """Column of the voxel itself in a source contrast, at the first scale."""
        size = self.patch_size**3
        return contrast * len(self.scales) * size + size // 2

    def sources(self, subject, fill, finish=None) -> PaddedVolumes:
        """Make a volume of each contrast at each scale ready to be read.

        Parameters
        ----------
        subject : Subject
            Its ``volumes`` are emptied, so that they need not be held beside copies.
        fill : list of float
            What stands for voxels outside the brain, in each of its volumes.
        finish : list of callable, default=None
            For each, what makes of a smoothed volume what is to be read.
        """

        def channels():
            for c in range(len(fill)):
                volume = subject.volumes.pop(0)
                if volume is None:
                    yield from [np.nan] * len(self.scales)
                    continue
                for scale in self.scales:
                    channel = at_scale(volume, subject.mask, scale)
                    yield channel if finish is None else finish[c](channel)
                    del channel

        return PaddedVolumes(
            channels(),
            subject.affine,
            self.patch_size,
            np.repeat(fill, len(self.scales)),
            list(self.scales) * len(fill),
            subject.mask,
            subject.places,
        )

    def _check_parts(self):
        checked = Window.of(*astuple(self))
        ensure(
            min(checked.patch_size, checked.target_patch_size) > 0
            and max(checked.scales) <= _COARSEST,
            "a patch has no size",
        )
        ensure(isinstance(self.missing_sources, bool), "it is not said who may lack")
        ensure(self.places in PLACES, "the kind of places is not known")
        ensure(self.neighbours in NEIGHBOURS, "the kind of neighbours is not known")


@dataclass
class Sample:
    """Voxels drawn from one subject, in its scans' own units.

    Parameters
    ----------
    patches : float32 array of shape (n_voxels, n_volumes, n_scales, patch_size**3)
        Of the sources, and of neighbours; NaN outside the brain, and where a source is
        missing.
    steps : ndarray of shape (n_scales, patch_size**3, 3)
        In mm, from the centre of a patch to its voxels.
    coordinates : float32 array of shape (n_voxels, 3)
        Of their places, in mm.
    targets : float32 array of shape (n_voxels, n_targets, target_patch_size**3)
        NaN outside the brain.
    source_descriptions : dict of int to ndarray
        What the normalizers say of each source contrast that is there.
    target_descriptions : list of ndarray
        The same of the targets.
    millilitres : float
        Volume of the brain.
    doubts : list of ScanWarning
        What is doubtful of the scans.
    glance : Glance
        At the scans.
    sketch : Sketch
        Of the scans, in their own units.
    """

    patches: np.ndarray
    steps: np.ndarray
    coordinates: np.ndarray
    targets: np.ndarray
    source_descriptions: dict
    target_descriptions: list
    millilitres: float
    doubts: list
    glance: Glance
    sketch: Sketch


def draw_sample(
    sources,
    targets,
    masker: Masker,
    normalizers,
    window: Window,
    n_voxels,
    seed,
    voxel_size=None,
    neighbours: Neighbours | None = None,
) -> Sample:
    """Read one subject and draw voxels of its brain at random.

    Parameters
    ----------
    sources, targets : list of ImageFile
        On one grid.
    masker : Masker
    normalizers : pair of lists of normalizers
        Of the sources and of the targets; only `describe` is called.
    window : Window
    n_voxels, seed : int
        If the brain holds fewer voxels, all are taken.
    voxel_size : ndarray of shape (3,), default=None
        Of the working grid, in mm; None takes that of the scans.
    neighbours : Neighbours, default=None
        Of the subject.
    """
    subject = Subject.read(masker, sources, targets, voxel_size, window.places)
    of_sources = subject.describe_sources(normalizers[0])
    of_targets = subject.describe_targets(normalizers[1])
    scans = subject.working_scans()
    chosen = _choose(subject.mask, n_voxels, np.random.RandomState(seed))
    sample = sample_at(subject, chosen, of_sources, window, neighbours, scans)
    nothing, size = [np.nan] * len(targets), window.target_patch_size
    padded = PaddedVolumes(scans, subject.affine, size, nothing, mask=subject.mask)
    reached = padded.patches(padded.centers(chosen))
    sample.targets = reached.reshape(len(reached), len(targets), -1)
    sample.target_descriptions = of_targets
    return sample


def sample_at(subject, chosen, described, window, neighbours=None, scans=()) -> Sample:
    """What is around some voxels of a subject, without targets.

    Parameters
    ----------
    subject : Subject
        Its ``volumes`` are emptied.
    chosen : ndarray of bool of shape (nx, ny, nz)
        The voxels, on the working grid.
    described : dict of int to ndarray
        What the normalizers say of the sources.
    window : Window
    neighbours : Neighbours, default=None
        Of the subject.
    scans : list of float32 arrays of shape (nx, ny, nz), default=()
        What targets hold, to be glanced at.
    """
    subject.volumes = subject.volumes_of(subject.sources[0].among)
    glance = Glance.at(subject, [*subject.volumes, *scans])
    sketch = Sketch.of(subject, subject.volumes)
    if neighbours is not None:
        subject.volumes += neighbours.beside(subject)
    n_volumes = len(subject.volumes)
    padded = window.sources(subject, [np.nan] * n_volumes)
    centers = padded.centers(chosen)
    patches = padded.patches(centers)
    shape = len(patches), n_volumes, len(window.scales), -1
    return Sample(
        patches.reshape(shape),
        padded.steps[: len(window.scales)],
        padded.coordinates(centers),
        np.empty((len(patches), 0, 1), dtype=np.float32),
        described,
        [],
        subject.brain.millilitres,
        subject.doubts,
        glance,
        sketch,
    )


def _choose(mask, n_voxels, rng):
    """Some voxels of a mask, as another mask."""
    inside = np.flatnonzero(mask)
    drawn = rng.choice(len(inside), min(n_voxels, len(inside)), replace=False)
    chosen = np.zeros(mask.size, dtype=bool)
    chosen[inside[drawn]] = True
    return chosen.reshape(mask.shape)

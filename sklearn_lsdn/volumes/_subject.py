"""Scans of one person, read, and images of what is said of their brain."""

from dataclasses import dataclass, field

import nibabel as nib
import numpy as np

from ..exceptions import ScanWarning
from ._images import ImageFile
from ._likeness import Likeness
from ._masks import Brain, Masker
from ._patches import in_brain
from ._places import places_of
from ._scales import smoothed
from ._working_grid import WorkingGrid

ARTEFACT = 20.0  # standard deviations; enhanced vessels reach 18


@dataclass
class Subject:
    """Scans of one person on one grid, read, and the brain in all of them.

    Parameters
    ----------
    sources, targets : list of ImageFile
    volumes : list of float32 arrays
        What sources hold, on the working grid.
    scans : list of float32 arrays of shape (nx, ny, nz)
        What targets hold.
    brain : Brain
    grid : WorkingGrid
    places : ndarray of shape (4, 4)
        From indices of the working grid to coordinates in mm.
    doubts : list of ScanWarning
        What is doubtful of the scans.
    likeness : Likeness or None
        How like those of training the sources are, if that was asked.
    described : dict of int to ndarray, or None
        What the normalizers of training say of each source contrast that is there, once
        it was asked.
    """

    sources: list[ImageFile]
    volumes: list[np.ndarray]
    targets: list[ImageFile]
    scans: list[np.ndarray]
    brain: Brain
    grid: WorkingGrid
    places: np.ndarray
    doubts: list[ScanWarning] = field(default_factory=list)
    likeness: Likeness | None = None
    described: dict[int, np.ndarray] | None = None

    @classmethod
    def read(
        cls, masker: Masker, sources, targets=(), voxel_size=None, places="world"
    ) -> "Subject":
        """Read images, and find the brain in them.

        Parameters
        ----------
        masker : Masker
        sources, targets : list of ImageFile
            Targets on the grid of the sources.
        voxel_size : ndarray of shape (3,), default=None
            Of the working grid; None takes that of the scans.
        places : {"world", "brain", "template"} or None, default="world"
            What says where a voxel lies.

        Raises
        ------
        ValueError
            If an image is damaged or not finite in the brain, or there is no brain.
        """
        files = [*sources, *targets]
        volumes = [file.read(finite=False) for file in files]
        brain = masker.find(files, volumes, len(sources))
        for file, volume in zip(files, volumes, strict=True):
            _keep_finite(volume, brain.mask, file.name)
        scans = volumes[len(sources) :]
        del volumes[len(sources) :]
        for volume in volumes:
            _draw_in_artefacts(volume, brain.mask)
        grid = WorkingGrid.of(brain.mask, sources[0].affine, voxel_size)
        for i in range(len(volumes)):  # one by one, lest all be held twice
            volumes[i] = grid.take(volumes[i])
        seen = grid.mask, grid.affine, volumes[0], sources[0].name
        located, more = places_of(places, *seen)
        doubts = [doubt for file in files for doubt in file.doubts]
        return cls(
            sources,
            volumes,
            targets,
            scans,
            brain,
            grid,
            located,
            [*doubts, *brain.doubts, *more],
        )

    @property
    def contrasts(self) -> list[int]:
        """Which source contrasts there are, in order."""
        return [file.contrast for file in self.sources]

    def volumes_of(self, n_contrasts) -> list[np.ndarray | None]:
        """What each of so many source contrasts holds; None where it is missing."""
        held = dict(zip(self.contrasts, self.volumes, strict=True))
        return [held.get(c) for c in range(n_contrasts)]

    def own_volumes(self) -> list[np.ndarray]:
        """What sources hold on their own grid, read again."""
        volumes = [file.read(finite=False) for file in self.sources]
        for file, volume in zip(self.sources, volumes, strict=True):
            _keep_finite(volume, self.brain.mask, file.name)
            _draw_in_artefacts(volume, self.brain.mask)
        return volumes

    def working_scans(self) -> list[np.ndarray]:
        """What targets hold, on the working grid. It empties ``scans``."""
        return [self.grid.take(self.scans.pop(0)) for _ in self.targets]

    def describe_sources(self, normalizers) -> dict[int, np.ndarray]:
        """Let the normalizer of each source contrast that is there describe its volume.

        Raises
        ------
        ValueError
            If one cannot be normalised, with its name.
        """
        used = [normalizers[c] for c in self.contrasts]
        described = _described(used, self.sources, self.volumes, self.mask)
        return dict(zip(self.contrasts, described, strict=True))

    def describe_targets(self, normalizers) -> list[np.ndarray]:
        """The same of the target's scans."""
        return _described(normalizers, self.targets, self.scans, self.brain.mask)

    @property
    def mask(self) -> np.ndarray:
        """The brain on the working grid, as an array of bool."""
        return self.grid.mask

    @property
    def names(self) -> str:
        """Of all scans, for messages."""
        return " and ".join(file.name for file in [*self.sources, *self.targets])

    @property
    def affine(self) -> np.ndarray:
        """From indices of the working grid to world mm."""
        return self.grid.affine

    @property
    def world_to_places(self) -> np.ndarray:
        """From world mm to the coordinates that say where a voxel lies, in mm."""
        return self.places @ np.linalg.inv(self.affine)

    @property
    def voxel_size(self) -> np.ndarray:
        """Along each axis of the working grid, in mm."""
        return self.grid.voxel_size

    def image(self, values) -> nib.Nifti1Image:
        """Values of the brain's own voxels, on the grid of the first source."""
        return self.sources[0].like(in_brain(values, self.brain.mask))

    def smooth(self, values, fwhm) -> None:
        """Smooth values of the brain's voxels on the working grid, in place.

        Parameters
        ----------
        values : ndarray of shape (n_voxels, n_targets)
        fwhm : float
            In mm or, where voxels are smaller than 1 mm, in voxels; 0 for none.
        """
        if not fwhm:
            return
        fwhm = fwhm / np.maximum(self.voxel_size, 1)
        for column in values.T:
            volume = in_brain(column, self.mask)
            column[:] = smoothed(volume, self.mask, fwhm)[self.mask]


def _described(normalizers, files, volumes, mask):
    descriptions = []
    for normalizer, file, volume in zip(normalizers, files, volumes, strict=True):
        try:
            descriptions.append(normalizer.describe(volume, mask))
        except ValueError as error:
            raise ValueError(f"{file.name} cannot be normalised: {error}.") from error
    return descriptions


def _draw_in_artefacts(volume, mask):
    """Bring what no tissue reaches to the edge of what it may, in place.

    Patches at coarser scales would spread it over what is around.
    """
    values = volume[mask].astype(np.float64)
    within = np.clip(values, *np.percentile(values, [1, 99]))
    middle, reach = within.mean(), ARTEFACT * within.std()
    if reach and max(values.max() - middle, middle - values.min()) > reach:
        volume[mask] = np.clip(values, middle - reach, middle + reach)


def _keep_finite(volume, mask, name):
    """Zero what is not finite outside the brain; refuse it inside."""
    lost = ~np.isfinite(volume)
    n_inside = np.count_nonzero(lost & mask)
    if n_inside:
        raise ValueError(
            f"{name} holds {n_inside} NaN or infinite voxels in the brain. Replace "
            "them, for example by 0 outside the brain."
        )
    volume[lost] = 0

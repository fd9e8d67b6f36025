"""Scans of one person, read, and images of what is said of their brain."""

from dataclasses import dataclass, field, replace

import nibabel as nib
import numpy as np

from ..exceptions import ScanWarning
from ._images import ImageFile
from ._likeness import Likeness
from ._masks import Brain, Masker
from ._patches import in_brain
from ._scales import smoothed

_ARTEFACT = 20.0  # standard deviations; enhanced vessels reach 18


@dataclass
class Subject:
    """Scans of one person on one grid, read, and the brain in all of them.

    Parameters
    ----------
    sources, targets : list of ImageFile
    volumes, scans : list of float32 arrays of shape (nx, ny, nz)
        What sources and targets hold.
    brain : Brain
    doubts : list of ScanWarning
        What is doubtful of the scans.
    likeness : Likeness or None
        How like those of training the sources are, if that was asked.
    described : list of ndarray or None
        What the normalizers of training say of the sources, once it was asked.
    """

    sources: list[ImageFile]
    volumes: list[np.ndarray]
    targets: list[ImageFile] = field(default_factory=list)
    scans: list[np.ndarray] = field(default_factory=list)
    brain: Brain | None = None
    doubts: list[ScanWarning] = field(default_factory=list)
    likeness: Likeness | None = None
    described: list[np.ndarray] | None = None

    @classmethod
    def read(cls, masker: Masker, sources, targets=()) -> "Subject":
        """Read images, and find the brain in them.

        Raises
        ------
        ValueError
            If an image is damaged or not finite in the brain, or there is no brain.
        """
        subject = cls(sources, [file.read(finite=False) for file in sources])
        return subject.with_scans(masker, targets)

    def with_scans(self, masker: Masker, targets) -> "Subject":
        """The same person with scans of the target, read; the brain is in all."""
        scans = [file.read(finite=False) for file in targets]
        files, volumes = [*self.sources, *targets], [*self.volumes, *scans]
        brain = masker.find(files, volumes)
        for file, volume in zip(files, volumes, strict=True):
            _keep_finite(volume, brain.mask, file.name)
        for volume in self.volumes:
            _draw_in_artefacts(volume, brain.mask)
        doubts = [doubt for file in files for doubt in file.doubts] + brain.doubts
        return replace(self, targets=targets, scans=scans, brain=brain, doubts=doubts)

    def with_volumes(self) -> "Subject":
        """The same with what sources hold, read again after it was given up."""
        volumes = [file.read(finite=False) for file in self.sources]
        for file, volume in zip(self.sources, volumes, strict=True):
            _keep_finite(volume, self.mask, file.name)
            _draw_in_artefacts(volume, self.mask)
        return replace(self, volumes=volumes)

    def describe_sources(self, normalizers) -> list[np.ndarray]:
        """Let the normalizer of each source contrast describe its volume.

        Raises
        ------
        ValueError
            If one cannot be normalised, with its name.
        """
        return self._described(normalizers, self.sources, self.volumes)

    def describe_targets(self, normalizers) -> list[np.ndarray]:
        """The same of the target's scans."""
        return self._described(normalizers, self.targets, self.scans)

    def _described(self, normalizers, files, volumes):
        descriptions = []
        for normalizer, file, volume in zip(normalizers, files, volumes, strict=True):
            try:
                descriptions.append(normalizer.describe(volume, self.mask))
            except ValueError as error:
                raise ValueError(
                    f"{file.name} cannot be normalised: {error}."
                ) from error
        return descriptions

    @property
    def mask(self) -> np.ndarray:
        """The brain, as an array of bool of shape (nx, ny, nz)."""
        return self.brain.mask

    @property
    def names(self) -> str:
        """Of all scans, for messages."""
        return " and ".join(file.name for file in [*self.sources, *self.targets])

    @property
    def affine(self) -> np.ndarray:
        """From indices of the volumes to world mm."""
        return self.sources[0].affine

    @property
    def voxel_size(self) -> np.ndarray:
        """Along each axis, in mm."""
        return self.sources[0].voxel_size

    def image(self, values) -> nib.Nifti1Image:
        """Values of the brain's voxels, on the grid of the first source."""
        return self.sources[0].like(in_brain(values, self.mask))

    def smooth(self, values, fwhm) -> None:
        """Smooth values of the brain's voxels, in place.

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


def _draw_in_artefacts(volume, mask):
    """Bring what no tissue reaches to the edge of what it may, in place.

    Patches at coarser scales would spread it over what is around.
    """
    values = volume[mask].astype(np.float64)
    within = np.clip(values, *np.percentile(values, [1, 99]))
    middle, reach = within.mean(), _ARTEFACT * within.std()
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

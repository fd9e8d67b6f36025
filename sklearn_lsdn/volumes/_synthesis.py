"""What a synthesizer, or a segmenter, makes of one subject."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np

from ..exceptions import ScanWarning
from ._likeness import Likeness
from ._subject import Subject


@dataclass
class Outcome:
    """What is made of one subject, and what is to be said of the scans.

    Parameters
    ----------
    subject : Subject
        The scans, read.
    """

    subject: Subject

    @property
    def millilitres(self) -> float:
        """Volume of the brain."""
        return self.subject.brain.millilitres

    @property
    def world_to_places(self) -> np.ndarray:
        """From world mm to the coordinates that said where a voxel lies, in mm."""
        return self.subject.world_to_places

    @property
    def likeness(self) -> Likeness | None:
        """How like those of training the sources are; None if it was not asked."""
        return self.subject.likeness

    @property
    def doubts(self) -> list[ScanWarning]:
        """What is doubtful of the scans."""
        return self.subject.doubts


@dataclass
class Synthesis(Outcome):
    """The syntheses of one subject, and what is to be said of them.

    Parameters
    ----------
    subject : Subject
        The scans, read.
    intensities : list of float32 arrays of shape (n_voxels,)
        Of the brain's voxels in each target contrast.
    deviations : list of float32 arrays of shape (n_voxels,), default=None
        Their standard deviations.
    interval : (lower, upper), such lists, default=None
        Ends of an interval around each.
    novelty : float32 array of shape (n_voxels,), default=None
        How unlike training the surroundings of each voxel are.
    """

    intensities: list[np.ndarray]
    deviations: list[np.ndarray] | None = None
    interval: tuple[list[np.ndarray], list[np.ndarray]] | None = None
    novelty: np.ndarray | None = None

    @property
    def images(self) -> list[nib.Nifti1Image]:
        """One for each target contrast, on the grid of the first source."""
        return [self.subject.image(each) for each in self.intensities]

    @property
    def std_images(self) -> list[nib.Nifti1Image]:
        """The standard deviation of each."""
        return [self.subject.image(each) for each in self.deviations]

    @property
    def interval_images(self) -> tuple[list, list]:
        """Lower ends, and upper ends, of the interval around each."""
        lower, upper = self.interval
        image = self.subject.image
        return [image(each) for each in lower], [image(each) for each in upper]

    @property
    def novelty_image(self) -> nib.Nifti1Image:
        """How unlike training the surroundings of each voxel are."""
        return self.subject.image(self.novelty)

    @property
    def all_images(self) -> list[list]:
        """Of each kind that was asked for; the ends of intervals are two kinds.

        Of novelty there is one image, whatever the number of target contrasts.
        """
        kinds = [self.images]
        if self.deviations is not None:
            kinds.append(self.std_images)
        if self.interval is not None:
            kinds += self.interval_images
        if self.novelty is not None:
            kinds.append([self.novelty_image])
        return kinds

    def scores(self, metric: Callable[[np.ndarray, np.ndarray], Any]) -> list:
        """Compare each synthesis with the scan that it should become.

        Parameters
        ----------
        metric : callable
            ``metric(y_true, y_pred)`` of the brain's voxels.

        Returns
        -------
        scores : list
        """
        true = [scan[self.subject.brain.mask] for scan in self.subject.scans]
        return [metric(*pair) for pair in zip(true, self.intensities, strict=True)]

"""What a synthesizer makes of one subject."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np

from ..exceptions import ScanWarning
from ._subject import Subject


@dataclass
class Synthesis:
    """The syntheses of one subject, and what is to be said of them.

    Parameters
    ----------
    subject : Subject
        The scans, read.
    intensities : list of float32 arrays of shape (n_voxels,)
        Of the brain's voxels in each target contrast.
    deviations : list of float32 arrays of shape (n_voxels,), default=None
        Their standard deviations.
    """

    subject: Subject
    intensities: list[np.ndarray]
    deviations: list[np.ndarray] | None = None

    @property
    def images(self) -> list[nib.Nifti1Image]:
        """One for each target contrast, on the grid of the first source."""
        return [self.subject.image(each) for each in self.intensities]

    @property
    def std_images(self) -> list[nib.Nifti1Image]:
        """The standard deviation of each."""
        return [self.subject.image(each) for each in self.deviations]

    @property
    def millilitres(self) -> float:
        """Volume of the brain."""
        return self.subject.brain.millilitres

    @property
    def doubts(self) -> list[ScanWarning]:
        """What is doubtful of the scans."""
        return self.subject.doubts

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
        true = [scan[self.subject.mask] for scan in self.subject.scans]
        return [metric(*pair) for pair in zip(true, self.intensities, strict=True)]

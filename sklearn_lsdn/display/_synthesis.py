"""Source, target, synthesis and error of one subject, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._utils.lists import one_or_list
from ..volumes import VolumeSynthesizer
from ..volumes._images import read_on_one_grid
from ..volumes._subjects import Image, Mask
from ._figures import Display, figure_to_save, white_of
from ._slices import PLANES, Slice

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Colours of a column, and its window, in parts of what is drawn white.
_SCANS = "gray", 0, 1
_LOOKS = {"error": ("RdBu_r", -0.5, 0.5), "standard deviation": ("magma", 0, 0.5)}
_LOOKS["novelty"] = "inferno", 0, 4  # in its own unit


def synthesize_one(synthesizer, source, target, mask=None):
    """Predict one subject in the units of the target scan.

    Parameters
    ----------
    synthesizer : VolumeSynthesizer
        Fitted, for one target contrast.
    source : path, nibabel image or list of them
        The subject's source contrasts.
    target : path or nibabel image
        The scan that the synthesis should be.
    mask : path, image, array or None, default=None
        The brain.

    Returns
    -------
    synthesis : Nifti1Image

    Raises
    ------
    NotFittedError
        If the synthesizer is not fitted.
    ValueError
        If it predicts several contrasts.
    """
    check_is_fitted(synthesizer)
    n_contrasts = len(synthesizer.target_normalizers_)
    if n_contrasts > 1:
        raise ValueError(
            f"The synthesizer predicts {n_contrasts} contrasts, and a picture shows "
            "one. Predict them, and give one of them as an image."
        )
    return synthesizer.predict([source], masks=[mask], scale_to=[target])[0]


def first_contrast(source):
    """Return the image that is shown of a subject's sources."""
    source = one_or_list(source)
    if not isinstance(source, list):
        return source
    return next((image for image in source if image is not None), None)


@dataclass(eq=False, repr=False)
class SynthesisDisplay(Display):
    """Orthogonal slices of a synthesis beside the scan it should be.

    Create it with `from_images` or `from_estimator`, and draw it with `plot`.

    Parameters
    ----------
    volumes : dict of str to ndarray of shape (nx, ny, nz)
        The columns: sources under names that begin with "source", "synthesis" and,
        where there are any, "target", "error", "standard deviation" and "novelty",
        axes towards right, anterior and superior.
    mask : ndarray of bool of shape (nx, ny, nz)
        The brain.
    affine : ndarray of shape (4, 4)
        From voxels to world mm.
    names : dict of str to str, default=None
        Titles of columns, where they are not those of the volumes.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        Set by `plot`.

    See Also
    --------
    VolumeSynthesizer : Makes the synthesis.
    ComparisonDisplay : Syntheses by several methods.

    Examples
    --------
    >>> from sklearn_lsdn.datasets import make_brain_cohort
    >>> from sklearn_lsdn.display import SynthesisDisplay
    >>> cohort = make_brain_cohort(1, voxel_size=8, random_state=0)
    >>> t1w, t2w = cohort.images["T1w"][0], cohort.images["T2w"][0]
    >>> display = SynthesisDisplay.from_images(t1w, t2w, t2w).plot()
    >>> len(display.figure_.axes)
    16
    """

    volumes: dict[str, np.ndarray]
    mask: np.ndarray
    affine: np.ndarray
    names: dict[str, str] | None = None

    @classmethod
    def from_images(
        cls,
        source: Image,
        target: Image,
        synthesis: Image,
        *,
        source_name: str = "source",
        target_name: str = "target",
    ) -> Self:
        """Put together the images of one subject.

        Parameters
        ----------
        source, target, synthesis : path or nibabel image
            On one grid; the synthesis in the units of the target.
        source_name, target_name : str
            Their contrasts.

        Returns
        -------
        display : SynthesisDisplay
            Not yet drawn.

        Raises
        ------
        FileNotFoundError, TypeError, ValueError
            If an image cannot be used, the images lie on different grids, or the
            synthesis is empty.
        """
        images = {"source": source, "target": target, "synthesis": synthesis}
        files, read = read_on_one_grid(images.items())
        volumes = dict(zip(images, read, strict=True))
        mask = volumes["synthesis"] != 0
        if not mask.any():
            raise ValueError(
                "The synthesis is 0 everywhere: there is no brain to show."
            )
        error = volumes["synthesis"] - volumes["target"]
        volumes["error"] = np.where(mask, error, 0)
        names = {
            "source": f"{source_name} (source)",
            "target": f"{target_name} (target)",
            "synthesis": f"{target_name} (synthesis)",
        }
        return cls(volumes, mask, files[0].affine, names)

    @classmethod
    def from_estimator(
        cls,
        synthesizer: VolumeSynthesizer,
        source: Image | Sequence[Image],
        target: Image,
        *,
        mask: Mask | None = None,
        **names: str,
    ) -> Self:
        """Predict a subject and put source, target and synthesis together.

        Parameters
        ----------
        synthesizer : VolumeSynthesizer
            Fitted, for one target contrast.
        source : path, nibabel image or list of them
            The subject's source contrasts; the first is shown.
        target : path or nibabel image
            The scan that the synthesis should be, in whose units it comes.
        mask : path, image or array, default=None
            The brain, as an entry of ``masks`` of `VolumeSynthesizer.predict`.
        **names
            Their contrasts, ``source_name`` and ``target_name``.

        Returns
        -------
        display : SynthesisDisplay
            Not yet drawn.

        Raises
        ------
        FileNotFoundError, TypeError, ValueError
            If an image cannot be used, or several contrasts would be predicted.
        """
        synthesis = synthesize_one(synthesizer, source, target, mask)
        return cls.from_images(first_contrast(source), target, synthesis, **names)

    def plot(self, *, title: str | None = None, figure: "Figure | None" = None) -> Self:
        """Draw three planes of each volume through the middle of the brain.

        Target and synthesis share one grey window, 0 to the target's 99.5th
        percentile over the brain; errors are drawn from blue (too dark) to red (too
        bright), and standard deviations in a window as wide; novelty from 0 to 4.

        Parameters
        ----------
        title : str, default=None
            Over the whole figure.
        figure : matplotlib.figure.Figure, default=None
            Where to draw; by default, a new figure that pyplot does not know of.

        Returns
        -------
        self : SynthesisDisplay
            With ``figure_``.

        Raises
        ------
        ImportError
            If matplotlib is missing.
        """
        n_columns = len(self.volumes)
        self.figure_ = figure = figure or figure_to_save((2.6 * n_columns, 8.8))
        names = {"error": "synthesis - target"} | (self.names or {})
        shared = self.volumes.get("target", self.volumes["synthesis"])
        axes = figure.subplots(len(PLANES), n_columns, squeeze=False)
        cuts = [Slice(self.mask, self.affine, axis) for axis in PLANES.values()]
        for column, (name, volume) in zip(axes.T, self.volumes.items(), strict=True):
            is_source = name.startswith("source")
            white = white_of(volume if is_source else shared, self.mask)
            unit = f"scanner units of the {'source' if is_source else 'target'}"
            if name == "novelty":
                white, unit = 1, "2 is one in a hundred"
            cmap, low, high = _LOOKS.get(name, _SCANS)
            if name in _LOOKS:
                volume = np.where(self.mask, volume, np.nan)
            for ax, cut in zip(column, cuts, strict=True):
                cut.draw(ax, volume, cmap=cmap, vmin=low * white, vmax=high * white)
            column[0].set_title(names.get(name, name))
            figure.colorbar(
                column[-1].images[0],
                ax=list(column),
                location="bottom",
                shrink=0.9,
                label=unit,
            ).ax.locator_params(nbins=4)
        for ax, plane in zip(axes[:, 0], PLANES, strict=True):
            ax.set_ylabel(plane)
        if title:
            figure.suptitle(f"{title}\n", fontsize="medium")
        return self

"""Source, target, synthesis and error of one subject, side by side."""

from typing import Self

import nibabel as nib
import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._utils.files import written_whole
from .._utils.optional import require
from ..volumes._images import open_image
from ._slices import PLANES


def synthesize_one(synthesizer, source, target):
    """Predict one subject in the units of the target scan.

    Parameters
    ----------
    synthesizer : VolumeSynthesizer
        Fitted, for one target contrast.
    source : path, nibabel image or list of them
        The subject's source contrasts.
    target : path or nibabel image
        The scan that the synthesis should be.

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
    return synthesizer.predict([source], scale_to=[target])[0]


def first_contrast(source):
    """Return the image that is shown of a subject's sources."""
    return source[0] if isinstance(source, list | tuple) else source


class SynthesisDisplay:
    """Orthogonal slices of a synthesis beside the scan it should be.

    Create it with `from_images` or `from_estimator`, and draw it with `plot`.

    Parameters
    ----------
    volumes : dict of str to ndarray of shape (nx, ny, nz)
        What to show as "source", "target", "synthesis" and "error", axes towards
        right, anterior and superior.
    voxel_size : ndarray of shape (3,)
        In mm.
    names : dict of str to str
        Titles of the columns.

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

    def __init__(self, volumes, voxel_size, names):
        self.volumes = volumes
        self.voxel_size = voxel_size
        self.names = names

    @classmethod
    def from_images(
        cls, source, target, synthesis, *, source_name="source", target_name="target"
    ) -> Self:
        """Put together the images of one subject.

        Parameters
        ----------
        source, target, synthesis : nibabel image
            On one grid; the synthesis in the units of the target.
        source_name, target_name : str
            Their contrasts.

        Returns
        -------
        display : SynthesisDisplay
            Not yet drawn.

        Raises
        ------
        ValueError
            If the images differ in shape, or the synthesis is empty.
        """
        images = [nib.as_closest_canonical(i) for i in (source, target, synthesis)]
        if len({image.shape for image in images}) > 1:
            raise ValueError(
                "source, target and synthesis must lie on one grid; their shapes are "
                f"{', '.join(str(image.shape) for image in images)}."
            )
        if not np.any(images[2].dataobj):
            raise ValueError(
                "The synthesis is 0 everywhere: there is no brain to show."
            )
        arrays = [image.get_fdata(dtype=np.float32) for image in images]
        volumes = dict(zip(("source", "target", "synthesis"), arrays, strict=True))
        volumes["error"] = np.where(arrays[2] != 0, arrays[2] - arrays[1], 0)
        names = {
            "source": f"{source_name} (source)",
            "target": f"{target_name} (target)",
            "synthesis": f"{target_name} (synthesis)",
            "error": "synthesis - target",
        }
        return cls(volumes, np.array(images[0].header.get_zooms()[:3]), names)

    @classmethod
    def from_estimator(
        cls,
        synthesizer,
        source,
        target,
        *,
        source_name="source",
        target_name="target",
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
        source_name, target_name : str
            Their contrasts.

        Returns
        -------
        display : SynthesisDisplay
            Not yet drawn.

        Raises
        ------
        FileNotFoundError, TypeError, ValueError
            If an image cannot be used, or several contrasts would be predicted.
        """
        return cls.from_images(
            open_image(first_contrast(source), "source").image,
            open_image(target, "target").image,
            synthesize_one(synthesizer, source, target),
            source_name=source_name,
            target_name=target_name,
        )

    def plot(self, *, title=None, figure=None) -> Self:
        """Draw three planes of each volume through the middle of the brain.

        Target and synthesis share one grey window, 0 to the target's 99.5th
        percentile; errors are drawn from blue (too dark) to red (too bright).

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
        if figure is None:
            Figure = require("matplotlib.figure").Figure
            figure = Figure(figsize=(11, 8.6), layout="constrained")
        brain = self.volumes["synthesis"] != 0
        middle = [int(np.mean(np.nonzero(brain)[axis])) for axis in range(3)]
        windows = {
            name: (0, float(np.percentile(self.volumes[name][brain], 99.5)))
            for name in ("source", "target")
        }
        windows["synthesis"] = windows["target"]
        windows["error"] = (-windows["target"][1] / 2, windows["target"][1] / 2)

        axes = figure.subplots(len(PLANES), len(self.volumes))
        for row, (plane, axis) in zip(axes, PLANES.items(), strict=True):
            across, up = (i for i in range(3) if i != axis)
            row[0].set_ylabel(plane)
            for ax, (name, volume) in zip(row, self.volumes.items(), strict=True):
                low, high = windows[name]
                ax.imshow(
                    np.take(volume, middle[axis], axis=axis).T,
                    origin="lower",
                    aspect=self.voxel_size[up] / self.voxel_size[across],
                    cmap="RdBu_r" if name == "error" else "gray",
                    vmin=low,
                    vmax=high,
                    interpolation="nearest",
                )
                ax.set(xticks=[], yticks=[])
                ax.spines[:].set_visible(False)
        for column, name in zip(axes.T, self.volumes, strict=True):
            column[0].set_title(self.names[name])
            unit = "source" if name == "source" else "target"
            figure.colorbar(
                column[-1].images[0],
                ax=list(column),
                location="bottom",
                shrink=0.9,
                label=f"scanner units of the {unit}",
            )
        if title:
            figure.suptitle(f"{title}\n", fontsize="medium")
        self.figure_ = figure
        return self

    def save(self, path, *, overwrite=False) -> None:
        """Write the drawn figure as a PNG.

        Parameters
        ----------
        path : str or path-like
        overwrite : bool, default=False
            Replace an existing file.
        """
        with written_whole(path, suffix=".png", overwrite=overwrite) as temporary:
            self.figure_.savefig(temporary, dpi=120)

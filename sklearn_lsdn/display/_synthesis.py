"""Source, target, synthesis and error of one subject, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._regressors.roles import refuse_labels
from .._utils.lists import one_or_list
from .._utils.names import contrast_of
from ..volumes import VolumeSynthesizer
from ..volumes._brain import recorded
from ..volumes._images import read_on_one_grid
from ..volumes._subjects import Image, Mask
from ._figures import Display, as_written
from ._panels import SCANNER, TRAINED, Panel, draw_panels, window_of
from ._reading import brain_in
from ._slices import choose_slices
from ._units import as_given, doubted, in_units_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure


_SEVERAL = 7  # slices of a plane that was named


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
    refuse_labels(synthesizer, "This picture")
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


def title_of(role, name="") -> str:
    """What to write over a picture: its contrast, if it is known, and its role."""
    return f"{name} ({role})" if name else role


@dataclass(eq=False, repr=False)
class SynthesisDisplay(Display):
    """Slices of a synthesis beside the scan it should be.

    Create it with `from_images` or `from_estimator`, which draw it.

    Parameters
    ----------
    volumes : dict of str to ndarray of shape (nx, ny, nz)
        What is shown: sources under names that begin with "source", "synthesis" and,
        where there are any, "target", "error", "standard deviation" and "novelty",
        axes towards right, anterior and superior.
    mask : ndarray of bool of shape (nx, ny, nz)
        The brain.
    affine : ndarray of shape (4, 4)
        From voxels to world mm.
    names : dict of str to str, default=None
        Titles of volumes, where they are not their names.

    Attributes
    ----------
    axes_ : ndarray of matplotlib.axes.Axes
        What was drawn on: a row for each plane and a column for each volume or, of
        several slices of a plane, a row for each volume and a column for each slice.
    figure_ : matplotlib.figure.Figure
        Their figure.

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
    >>> display = SynthesisDisplay.from_images(t1w, t2w, t2w, source_name="T1w")
    >>> display.axes_.shape  # three planes of source, target, synthesis and error
    (3, 4)
    >>> display.plot(plane="axial", cut_coords=5).axes_.shape
    (4, 5)
    """

    volumes: dict[str, np.ndarray]
    mask: np.ndarray
    affine: np.ndarray
    names: dict[str, str] | None = None

    def __post_init__(self):
        if "synthesis" not in self.volumes:
            raise ValueError("volumes holds no 'synthesis', which is to be shown.")

    @classmethod
    def from_images(
        cls,
        source: Image,
        target: Image,
        synthesis: Image,
        *,
        mask: Mask | None = None,
        scale_to_target: bool = False,
        source_name: str | None = None,
        target_name: str | None = None,
        **plot_parameters: Any,
    ) -> Self:
        """Draw the images of one subject.

        Parameters
        ----------
        source, target, synthesis : path or nibabel image
            On one grid; the synthesis in the units of the target (``scale_to=`` of
            `VolumeSynthesizer.predict`).
        mask : path, image, array, "mni152" or None, default=None
            The brain; None takes what differs from the background of the synthesis.
        scale_to_target : bool, default=False
            Bring the synthesis to the target's mean and standard deviation over the
            brain first, where it is in other units, such as those of a typical
            training scan, which `predict` gives.
        source_name, target_name : str, default=None
            Their contrasts; by default, what the files' names end in, such as T1w.
        **plot_parameters
            Parameters of `plot`.

        Returns
        -------
        display : SynthesisDisplay
            Drawn.

        Raises
        ------
        FileNotFoundError, TypeError, ValueError
            If an image cannot be used, the images lie on different grids, or there
            is no brain.
        """
        units = in_units_of if scale_to_target else doubted
        parameters = dict(mask=mask, **plot_parameters)
        parameters |= dict(source_name=source_name, target_name=target_name)
        return cls._of_images(source, target, synthesis, units, **parameters)

    @classmethod
    def _of_images(
        cls,
        source,
        target,
        synthesis,
        units,
        *,
        mask=None,
        source_name=None,
        target_name=None,
        **plot_parameters,
    ):
        images = {"source": source, "target": target, "synthesis": synthesis}
        files, read = read_on_one_grid(images.items())
        volumes = dict(zip(images, read, strict=True))
        if mask is None:
            brain = recorded(volumes["synthesis"]) & (volumes["synthesis"] != 0)
            if not brain.any():
                raise ValueError(
                    "The synthesis is 0 everywhere: there is no brain to show."
                )
        else:
            brain = brain_in(mask, files, read)
        given = volumes["target"], volumes["synthesis"]
        volumes["synthesis"] = units(*given, brain, files[2].name)
        volumes["error"] = volumes["synthesis"] - volumes["target"]
        known = [contrast_of(file.path) for file in files]
        source_name, target_name = source_name or known[0], target_name or known[1]
        names = [source_name, target_name, target_name]
        titles = map(title_of, images, names)
        titles = dict(zip(images, titles, strict=True))
        return cls(volumes, brain, files[0].affine, titles).plot(**plot_parameters)

    @classmethod
    def from_estimator(
        cls,
        synthesizer: VolumeSynthesizer,
        source: Image | Sequence[Image],
        target: Image,
        *,
        mask: Mask | None = None,
        **parameters: Any,
    ) -> Self:
        """Predict a subject and draw source, target and synthesis.

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
        **parameters
            Further parameters of `from_images`, but ``scale_to_target``.

        Returns
        -------
        display : SynthesisDisplay
            Drawn.

        Raises
        ------
        FileNotFoundError, TypeError, ValueError
            If an image cannot be used, or several contrasts would be predicted.
        """
        synthesis = synthesize_one(synthesizer, source, target, mask)
        images = first_contrast(source), target, synthesis
        return cls._of_images(*images, as_given, mask=mask, **parameters)

    def plot(
        self,
        ax: "Axes | np.ndarray | None" = None,
        *,
        figure: "Figure | None" = None,
        plane: str | None = None,
        cut_coords: int | Sequence[float] | str | None = None,
        cmap: "str | Colormap" = "gray",
        error_cmap: "str | Colormap" = "RdBu_r",
        error_limit: float | None = None,
        outline: bool = False,
        title: str | None = None,
    ) -> Self:
        """Draw slices of each volume, at one scale.

        Target and synthesis share one grey window, from 0, or the target's 0.5th
        percentile over the brain if that is negative, to its 99.5th. Errors run from
        blue (too dark) over white to red (too bright) and, like standard deviations,
        get the last colour at half of the window; novelty at 4.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or ndarray of them, default=None
            Axes whose place is taken, or an array like ``axes_``; what was drawn there
            before goes.
        figure : matplotlib.figure.Figure, default=None
            What to fill instead of its axes; by default, a new figure of pyplot.
        plane : {"axial", "coronal", "sagittal"}, default=None
            How slices lie; by default, all three.
        cut_coords : int, sequence of float or "worst", default=None
            Where slices lie. A whole number spreads so many over the brain, off the
            fissure. Numbers are world mm along the axis across the plane or, for all
            three planes, x, y and z. "worst" is where the mean absolute error is
            largest. By default, one slice of each plane, and 7 of a named one.
        cmap : str or matplotlib Colormap, default="gray"
            Of the images.
        error_cmap : str or matplotlib Colormap, default="RdBu_r"
            Of synthesis - target.
        error_limit : float, default=None
            Error that gets the last colour on either side; by default, half of what
            is drawn white.
        outline : bool, default=False
            Draw an outline of the brain on scans; maps have one.
        title : str, default=None
            Over the whole figure.

        Returns
        -------
        self : SynthesisDisplay
            With ``axes_`` and ``figure_``.

        Raises
        ------
        ImportError
            If matplotlib is missing.
        ValueError
            If a slice is asked for where there is no brain, ``error_limit`` is not
            above 0, or ``ax`` and ``figure`` are both given.
        """
        if plane is not None and cut_coords is None:
            cut_coords = _SEVERAL
        cuts = choose_slices(
            self.mask, self.affine, plane, cut_coords, self.volumes.get("error")
        )
        panels = self.panels(cmap, error_cmap, error_limit)
        several = plane is not None or len(cuts[0]) > 1
        if several:
            cells = [[(p, cut) for cut in row] for row in cuts for p in panels]
        else:
            cells = [[(panel, cut) for panel in panels] for (cut,) in cuts]
        room = (
            (1.4, 0.2 + 0.4 * bool(title))
            if several
            else (0.1, 0.85 + 0.3 * bool(title))
        )
        axes = draw_panels(cells, figure=figure, ax=ax, outline=outline, room=room)
        for i, panel in enumerate(panels * (len(cuts) if several else 1)):
            if several:
                as_written(axes[i, 0].set_ylabel(panel.title, fontsize="small"))
                panel.scale(axes[i, 0], ax=[*axes[i]], location="right", pad=0.01)
            else:
                as_written(axes[0, i].set_title(panel.title, fontsize="medium"))
                panel.scale(axes[-1, i], ax=[*axes[:, i]], location="bottom", pad=0.01)
        self._on(axes)
        if title:
            self.figure_.suptitle(title, fontsize="medium")
        return self

    def panels(
        self,
        cmap: "str | Colormap" = "gray",
        error_cmap: "str | Colormap" = "RdBu_r",
        error_limit: float | None = None,
    ) -> list[Panel]:
        """Say how each volume is drawn.

        Parameters
        ----------
        cmap, error_cmap : str or matplotlib Colormap, default="gray" and "RdBu_r"
            As of `plot`.
        error_limit : float, default=None
            As of `plot`.

        Returns
        -------
        panels : list of Panel
            With its title, limits, colours and unit.
        """
        shared = self.volumes.get("target", self.volumes["synthesis"])
        window = window_of(shared, self.mask)
        # Without a target, as predict gives it.
        unit = SCANNER if "target" in self.volumes else TRAINED
        panels = []
        for name, volume in self.volumes.items():
            title = (self.names or {}).get(name)
            if name in ("error", "standard deviation", "novelty"):
                look = dict(title=title, unit=unit)
                if name == "error":
                    look |= dict(limit=error_limit, cmap=error_cmap)
                panel = Panel.of_map(name, volume, self.mask, window, **look)
            else:
                is_source = name.startswith("source")
                own = window_of(volume, self.mask) if is_source else window
                look = dict(cmap=cmap, unit=SCANNER if is_source else unit)
                panel = Panel.of_scan(title or name, volume, own, **look)
            panels.append(panel)
        return panels

"""Syntheses of one scan by several methods, side by side."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_is_fitted

from .._utils.names import contrast_of
from ..metrics import snr_score
from ..volumes import VolumeSynthesizer
from ..volumes._images import open_image, read_on_one_grid
from ..volumes._subjects import Image, Mask
from ._figures import Display, as_written
from ._panels import Panel, draw_panels, window_of
from ._reading import brain_in, check_named, on_grid_of
from ._slices import choose_slices
from ._synthesis import first_contrast, synthesize_one, title_of
from ._units import as_given, doubted, in_units_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

_MANY = 7  # columns, whose titles are small


@dataclass(eq=False, repr=False)
class ComparisonDisplay(Display):
    """One slice of a scan and of several methods' syntheses, over their errors.

    Create it with `from_predictions`, `from_estimator` or `from_estimators`, which
    draw it.

    Parameters
    ----------
    target : ndarray of shape (nx, ny, nz)
        The scan, axes towards right, anterior and superior.
    syntheses : dict of str to ndarray of shape (nx, ny, nz)
        For each method what it makes of the scan, in the same units.
    mask : ndarray of bool of shape (nx, ny, nz)
        The brain.
    affine : ndarray of shape (4, 4)
        From voxels to world mm.
    source : ndarray of shape (nx, ny, nz), default=None
        What the syntheses were made from.
    source_name, target_name : str, default=""
        The contrasts, where they are known.

    Attributes
    ----------
    snr_ : dict of str to float
        SNR of each method in dB, over the whole brain.
    r2_ : dict of str to float
        R2 of each method, likewise.
    axes_ : ndarray of matplotlib.axes.Axes of shape (2, n_columns)
        What was drawn on: images above, errors below.
    figure_ : matplotlib.figure.Figure
        Their figure.

    See Also
    --------
    SynthesisDisplay : One method's synthesis in three planes.

    References
    ----------
    H. V. Nguyen, K. Zhou and R. Vemulapalli, "Cross-domain synthesis of medical
    images using efficient location-sensitive deep network", MICCAI 2015, figure 3.
    :doi:`10.1007/978-3-319-24553-9_83`

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from sklearn_lsdn import LSDNRegressor, VolumeSynthesizer
    >>> from sklearn_lsdn.datasets import make_brain_cohort
    >>> from sklearn_lsdn.display import ComparisonDisplay
    >>> cohort = make_brain_cohort(2, voxel_size=8, random_state=0)
    >>> t1w, t2w = cohort.images["T1w"], cohort.images["T2w"]
    >>> synthesizers = {
    ...     name: VolumeSynthesizer(regressor, random_state=0).fit(t1w[:1], t2w[:1])
    ...     for name, regressor in
    ...     {"linear": LinearRegression(), "LSDN": LSDNRegressor((30, 5))}.items()}
    >>> display = ComparisonDisplay.from_estimators(synthesizers, t1w[1], t2w[1])
    >>> display.axes_.shape  # source, target and two methods
    (2, 4)
    """

    target: np.ndarray
    syntheses: dict[str, np.ndarray]
    mask: np.ndarray
    affine: np.ndarray
    _: KW_ONLY
    source: np.ndarray | None = None
    source_name: str = ""
    target_name: str = ""

    @classmethod
    def from_predictions(
        cls,
        target: Image,
        syntheses: dict[str, Image],
        *,
        source: Image | None = None,
        mask: Mask | None = None,
        scale_to_target: bool = False,
        source_name: str | None = None,
        target_name: str | None = None,
        **plot_parameters: Any,
    ) -> Self:
        """Draw syntheses that have been made.

        Parameters
        ----------
        target : path or nibabel image
            The scan.
        syntheses : dict of str to path or nibabel image
            For each method what it makes of the scan, on its grid and in its units
            (``scale_to=`` of `VolumeSynthesizer.predict`).
        source : path or nibabel image, default=None
            What the syntheses were made from, to be shown as well.
        mask : path, image, array, "mni152" or None, default=None
            The brain, an array on the grid of the target; None takes what differs from
            the background in all images.
        scale_to_target : bool, default=False
            Bring each to the target's mean and standard deviation over the brain
            first, where it is in other units, such as those of a typical training
            scan, which `predict` gives.
        source_name, target_name : str, default=None
            The contrasts; by default, what the files' names end in, such as T1w.
        **plot_parameters
            Parameters of `plot`.

        Returns
        -------
        display : ComparisonDisplay
            Drawn.

        Raises
        ------
        FileNotFoundError, TypeError, ValueError
            If an image cannot be used, the images lie on different grids, or there
            is no synthesis.
        """
        units = in_units_of if scale_to_target else doubted
        parameters = dict(source=source, mask=mask, **plot_parameters)
        parameters |= dict(source_name=source_name, target_name=target_name)
        return cls._of_images(target, syntheses, units, **parameters)

    @classmethod
    def _of_images(
        cls,
        target,
        syntheses,
        units,
        *,
        source=None,
        mask=None,
        source_name=None,
        target_name=None,
        **plot_parameters,
    ):
        check_named(syntheses, "syntheses")
        labelled = [("target", target)]
        for name, synthesis in syntheses.items():
            labelled.append((f"the synthesis by {name}", synthesis))
        if source is not None:
            labelled.append(("source", source))
        files, volumes = read_on_one_grid(labelled)
        brain = brain_in(mask, files, volumes)
        target = volumes[0]
        made = zip(syntheses, files[1:], volumes[1:], strict=False)
        made = {name: units(target, y, brain, file.name) for name, file, y in made}
        return cls(
            target,
            made,
            brain,
            files[0].affine,
            source=volumes[-1] if source is not None else None,
            source_name=source_name or contrast_of(files[-1].path),
            target_name=target_name or contrast_of(files[0].path),
        ).plot(**plot_parameters)

    @classmethod
    def from_estimator(
        cls,
        synthesizer: VolumeSynthesizer,
        source: Image | Sequence[Image],
        target: Image,
        *,
        name: str | None = None,
        **parameters: Any,
    ) -> Self:
        """Predict a subject by one method, and draw the synthesis.

        Parameters
        ----------
        synthesizer : VolumeSynthesizer
            Fitted, for one target contrast.
        source : path, nibabel image or list of them
            The subject's source contrasts; the first is shown.
        target : path or nibabel image
            The scan that the synthesis should be, in whose units it comes.
        name : str, default=None
            The method's name; by default, the class of its regressor.
        **parameters
            Further parameters of `from_predictions`, but ``source`` and
            ``scale_to_target``.

        Returns
        -------
        display : ComparisonDisplay
            Drawn.

        Raises
        ------
        NotFittedError
            If it is not fitted.
        FileNotFoundError, TypeError, ValueError
            As `from_predictions`, and if several contrasts would be predicted.
        """
        check_is_fitted(synthesizer)
        name = name or type(synthesizer.estimator_).__name__
        return cls.from_estimators({name: synthesizer}, source, target, **parameters)

    @classmethod
    def from_estimators(
        cls,
        synthesizers: dict[str, VolumeSynthesizer],
        source: Image | Sequence[Image],
        target: Image,
        *,
        mask: Mask | None = None,
        **parameters: Any,
    ) -> Self:
        """Predict a subject by several methods, and draw their syntheses.

        Parameters
        ----------
        synthesizers : dict of str to VolumeSynthesizer
            By the names they shall have in the picture; as in `from_estimator`.
        source : path, nibabel image or list of them
            The subject's source contrasts; the first is shown.
        target : path or nibabel image
            The scan that the syntheses should be, in whose units they come.
        mask : path, image or array, default=None
            The brain, as an entry of ``masks`` of `VolumeSynthesizer.predict`.
        **parameters
            Further parameters of `from_predictions`, but ``source`` and
            ``scale_to_target``.

        Returns
        -------
        display : ComparisonDisplay
            Drawn.

        Raises
        ------
        NotFittedError, FileNotFoundError, TypeError, ValueError
            As `from_estimator`.
        """
        check_named(synthesizers, "synthesizers")
        mask = on_grid_of(open_image(first_contrast(source), "source"), mask)
        syntheses = {
            name: synthesize_one(synthesizer, source, target, mask)
            for name, synthesizer in synthesizers.items()
        }
        parameters |= dict(source=first_contrast(source), mask=mask)
        return cls._of_images(target, syntheses, as_given, **parameters)

    def plot(
        self,
        ax: "Axes | np.ndarray | None" = None,
        *,
        figure: "Figure | None" = None,
        plane: str = "axial",
        cut_coords: float | Sequence[float] | str | None = None,
        cmap: "str | Colormap" = "gray",
        error_cmap: "str | Colormap" = "RdBu_r",
        error_limit: float | None = None,
    ) -> Self:
        """Draw the same slice of every image, and of every error.

        Target and syntheses share one window, from 0, or the target's 0.5th percentile
        over the brain if that is negative, to its 99.5th; errors share another.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or ndarray of them, default=None
            Axes whose place is taken, or an array like ``axes_``; what was drawn there
            before goes.
        figure : matplotlib.figure.Figure, default=None
            What to fill instead of its axes; by default, a new figure of pyplot.
        plane : {"axial", "coronal", "sagittal"}, default="axial"
            How the slice lies.
        cut_coords : float, sequence of one float or "worst", default=None
            Where, in world mm along the axis across it, or where the mean absolute
            error of all methods is largest; by default, in the middle of the brain,
            off the fissure. A whole number is how many slices, as in
            `SynthesisDisplay`, and only 1 is drawn: whole mm go into a list.
        cmap : str or matplotlib Colormap, default="gray"
            Of the images.
        error_cmap : str or matplotlib Colormap, default="RdBu_r"
            Of synthesis - target. The default is blue where the synthesis is too dark,
            white where it is right and red where it is too bright; "cividis" keeps
            signs apart in a print in grey.
        error_limit : float, default=None
            Error that gets the last colour on either side; by default, half of what
            is drawn white.

        Returns
        -------
        self : ComparisonDisplay
            With ``axes_``, ``figure_``, ``snr_`` and ``r2_``.

        Raises
        ------
        ImportError
            If matplotlib is missing.
        ValueError
            If the plane is unknown or holds no brain, ``error_limit`` is not above 0,
            or ``ax`` and ``figure`` are both given.
        """
        errors = {name: each - self.target for name, each in self.syntheses.items()}
        total = np.sum([abs(error) for error in errors.values()], axis=0)
        (cuts,) = choose_slices(self.mask, self.affine, plane, cut_coords, total)
        if len(cuts) != 1:
            raise ValueError(
                f"cut_coords={cut_coords} chooses {len(cuts)} slices, and a comparison "
                "shows one of each image. Give its position in mm in a list, as [5], "
                "or 'worst'."
            )
        (cut,) = cuts
        brain = np.float64(self.target[self.mask])
        inside = {
            name: np.float64(each[self.mask]) for name, each in self.syntheses.items()
        }
        self.snr_ = {name: snr_score(brain, each) for name, each in inside.items()}
        self.r2_ = {name: r2_score(brain, each) for name, each in inside.items()}
        window = window_of(self.target, self.mask)
        look, of_error = dict(cmap=cmap), dict(limit=error_limit, cmap=error_cmap)
        title = title_of("target", self.target_name)
        columns = [(Panel.of_scan(title, self.target, window, **look), None)]
        if self.source is not None:
            own = window_of(self.source, self.mask)
            title = title_of("source", self.source_name)
            columns.insert(0, (Panel.of_scan(title, self.source, own, **look), None))
        n_scans = len(columns)
        for name, synthesis in self.syntheses.items():
            title = f"{name}\nSNR {self.snr_[name]:.2f} dB, R2 {self.r2_[name]:.3f}"
            shown = Panel.of_scan(title, synthesis, window, **look)
            error = Panel.of_map("error", errors[name], self.mask, window, **of_error)
            columns.append((shown, error))
        cells = [
            [panel and (panel, cut) for panel in row]
            for row in zip(*columns, strict=True)
        ]
        axes = draw_panels(cells, figure=figure, ax=ax, room=(0.8, 0.5))
        size = "medium" if len(columns) < _MANY else "x-small"
        for ax, (panel, _) in zip(axes[0], columns, strict=True):
            as_written(ax.set_title(panel.title, fontsize=size))
        for (above, below), (panel, _) in zip(
            axes.T[:n_scans], columns[:n_scans], strict=True
        ):
            place = below.inset_axes([0.05, 0.85, 0.9, 0.05])
            panel.scale(above, cax=place, orientation="horizontal")
        place = axes[1, -1].inset_axes([1.05, 0.05, 0.06, 0.9])
        bar = columns[-1][1].scale(axes[1, -1], cax=place)
        bar.set_label(f"synthesis - target\n({bar.ax.get_ylabel()})")
        return self._on(axes)

"""Syntheses of one scan by several methods, side by side."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_is_fitted

from ..metrics import snr_score
from ..volumes import VolumeSynthesizer
from ..volumes._images import read_on_one_grid
from ..volumes._masks import found_brain
from ..volumes._subjects import Image
from ._figures import Display, new_figure, white_of
from ._slices import PLANES, Slice
from ._synthesis import first_contrast, synthesize_one

if TYPE_CHECKING:
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

_ERRORS_TOP = 98.0  # percentile of absolute errors over the brain


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
    source_name, target_name : str, default="source" and "target"
        The contrasts.

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
    source_name: str = "source"
    target_name: str = "target"

    @classmethod
    def from_predictions(
        cls,
        target: Image,
        syntheses: dict[str, Image],
        *,
        source: Image | None = None,
        mask_img: Image | None = None,
        source_name: str = "source",
        target_name: str = "target",
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
        mask_img : path, image, "mni152" or None, default=None
            The brain; None takes what differs from the background in all images.
        source_name, target_name : str, default="source" and "target"
            The contrasts.
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
        if not syntheses:
            raise ValueError("syntheses is empty: there is nothing to compare.")
        labelled = [("target", target)]
        for name, synthesis in syntheses.items():
            labelled.append((f"the synthesis by {name}", synthesis))
        if source is not None:
            labelled.append(("source", source))
        files, volumes = read_on_one_grid(labelled)
        return cls(
            volumes[0],
            dict(zip(syntheses, volumes[1:], strict=False)),
            found_brain(mask_img, files, volumes),
            files[0].affine,
            source=volumes[-1] if source is not None else None,
            source_name=source_name,
            target_name=target_name,
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
            Further parameters of `from_predictions`, but ``source``.

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
        mask: Image | None = None,
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
        mask : path or image, default=None
            The brain that is predicted, as an entry of ``masks`` of
            `VolumeSynthesizer.predict`; also the ``mask_img``, unless that is given.
        **parameters
            Further parameters of `from_predictions`, but ``source``.

        Returns
        -------
        display : ComparisonDisplay
            Drawn.

        Raises
        ------
        NotFittedError, FileNotFoundError, TypeError, ValueError
            As `from_estimator`.
        """
        if mask is not None:
            parameters = {"mask_img": mask} | parameters
        syntheses = {
            name: synthesize_one(synthesizer, source, target, mask)
            for name, synthesizer in synthesizers.items()
        }
        return cls.from_predictions(
            target, syntheses, source=first_contrast(source), **parameters
        )

    def plot(
        self,
        figure: "Figure | None" = None,
        *,
        plane: str = "axial",
        position: float | None = None,
        cmap: "str | Colormap" = "gray",
        error_cmap: "str | Colormap" = "cividis",
        error_limit: float | None = None,
    ) -> Self:
        """Draw the same slice of every image, and of every error.

        Target and syntheses share one window, 0 to the target's 99.5th percentile
        over the brain; errors share another.

        Parameters
        ----------
        figure : matplotlib.figure.Figure, default=None
            Where to draw; by default, a new figure.
        plane : {"axial", "coronal", "sagittal"}, default="axial"
            How the slice lies.
        position : float, default=None
            Where, in world mm along the axis across it; by default, in the middle
            of the brain.
        cmap : str or matplotlib Colormap, default="gray"
            Of the images.
        error_cmap : str or matplotlib Colormap, default="cividis"
            Of synthesis - target. The default is dark blue where the synthesis is
            too dark, grey where it is right and light yellow where it is too
            bright, so that signs are told apart in a print in grey as well.
        error_limit : float, default=None
            Error that gets the last colour on either side; by default, the 98th
            percentile of all methods' absolute errors over the brain.

        Returns
        -------
        self : ComparisonDisplay
            With ``axes_``, ``figure_``, ``snr_`` and ``r2_``.

        Raises
        ------
        ImportError
            If matplotlib is missing.
        ValueError
            If the plane is unknown or holds no brain.
        """
        if plane not in PLANES:
            raise ValueError(
                f"plane must be one of {', '.join(PLANES)}, got {plane!r}."
            )
        cut = Slice(self.mask, self.affine, PLANES[plane], position)
        brain = np.float64(self.target[self.mask])
        inside = {
            name: np.float64(each[self.mask]) for name, each in self.syntheses.items()
        }
        self.snr_ = {name: snr_score(brain, each) for name, each in inside.items()}
        self.r2_ = {name: r2_score(brain, each) for name, each in inside.items()}
        if error_limit is None:
            errors = np.abs(np.subtract([*inside.values()], brain))
            error_limit = np.percentile(errors, _ERRORS_TOP) or 1.0
        scans = [("target", self.target_name, self.target)]
        if self.source is not None:
            scans.insert(0, ("source", self.source_name, self.source))
        n_columns = len(scans) + len(self.syntheses)
        if figure is None:
            width, height = np.ptp(cut.window, axis=1)
            panel = np.clip(12 / n_columns, 1.7, 2.6)  # inches across
            size = panel * n_columns + 1.6, 2 * panel * height / width + 1.1
            figure = new_figure(size)
        axes = figure.subplots(2, n_columns, squeeze=False)
        for (above, below), (role, name, scan) in zip(axes.T, scans, strict=False):
            white = white_of(scan, self.mask)  # at last the target's
            cut.draw(above, scan, cmap=cmap, vmin=0, vmax=white)
            above.set_title(f"{name}\n({role})", fontsize="medium")
            below.set_axis_off()
            figure.colorbar(
                above.images[0],
                cax=below.inset_axes([0.05, 0.85, 0.9, 0.05]),
                orientation="horizontal",
                label=f"{name}\n(scanner units)",
                extend="max",
            )
        limits = dict(vmin=-error_limit, vmax=error_limit)
        panels = zip(axes.T[len(scans) :], self.syntheses.items(), strict=True)
        for (above, below), (name, synthesis) in panels:
            cut.draw(above, synthesis, cmap=cmap, vmin=0, vmax=white)
            scores = f"{self.snr_[name]:.1f} dB, R2 {self.r2_[name]:.2f}"
            above.set_title(f"{name}\n{scores}", fontsize="medium")
            error = np.where(self.mask, synthesis - self.target, np.nan)
            cut.draw(below, error, cmap=error_cmap, **limits)
        figure.colorbar(
            below.images[0],
            cax=below.inset_axes([1.05, 0.05, 0.06, 0.9]),
            label="synthesis - target\n(scanner units)",
            extend="both",
        )
        cut.label_up(axes[0, 0])
        cut.label_across(axes[1, len(scans)])
        self.axes_, self.figure_ = axes, figure
        return self

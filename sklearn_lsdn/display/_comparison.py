"""Syntheses of one scan by several methods, side by side."""

from typing import Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..metrics import snr_score
from ..volumes._images import check_same_grid, open_image
from ..volumes._masks import Masker
from ._figures import new_figure, white_of
from ._slices import PLANES, Slice
from ._synthesis import first_contrast, synthesize_one

_ERRORS_TOP = 98.0  # percentile of absolute errors over the brain


class ComparisonDisplay:
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

    def __init__(
        self,
        target,
        syntheses,
        mask,
        affine,
        *,
        source=None,
        source_name="source",
        target_name="target",
    ):
        self.target = target
        self.syntheses = syntheses
        self.mask = mask
        self.affine = affine
        self.source = source
        self.source_name = source_name
        self.target_name = target_name

    @classmethod
    def from_predictions(
        cls,
        target,
        syntheses,
        *,
        source=None,
        mask_img=None,
        source_name="source",
        target_name="target",
        figure=None,
        **plot_parameters,
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
            The brain; None takes the voxels that differ from zero in all images.
        source_name, target_name : str, default="source" and "target"
            The contrasts.
        figure : matplotlib.figure.Figure, default=None
            Where to draw, as in `plot`.
        **plot_parameters
            Further parameters of `plot`.

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
        files = {None: open_image(target, "target")}
        for name, image in syntheses.items():
            files[name] = open_image(image, f"the synthesis by {name}")
        shown = list(files.values())
        if source is not None:
            shown.append(open_image(source, "source"))
        for file in shown[1:]:
            check_same_grid(shown[0], file)
        volumes = [file.read() for file in shown]
        return cls(
            volumes[0],
            dict(zip(syntheses, volumes[1:], strict=False)),
            Masker.resolve(mask_img).find(shown, volumes),
            shown[0].affine,
            source=volumes[-1] if source is not None else None,
            source_name=source_name,
            target_name=target_name,
        ).plot(figure, **plot_parameters)

    @classmethod
    def from_estimator(
        cls, synthesizer, source, target, *, name=None, **parameters
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
    def from_estimators(cls, synthesizers, source, target, **parameters) -> Self:
        """Predict a subject by several methods, and draw their syntheses.

        Parameters
        ----------
        synthesizers : dict of str to VolumeSynthesizer
            By the names they shall have in the picture; as in `from_estimator`.
        source : path, nibabel image or list of them
            The subject's source contrasts; the first is shown.
        target : path or nibabel image
            The scan that the syntheses should be, in whose units they come.
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
        syntheses = {
            name: synthesize_one(synthesizer, source, target)
            for name, synthesizer in synthesizers.items()
        }
        return cls.from_predictions(
            target, syntheses, source=first_contrast(source), **parameters
        )

    def plot(
        self,
        figure=None,
        *,
        plane="axial",
        position=None,
        cmap="gray",
        error_cmap="cividis",
        error_limit=None,
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
            With ``axes_``, ``figure_`` and ``snr_``.

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
        brain = self.target[self.mask]
        self.snr_ = {
            name: snr_score(brain, synthesis[self.mask])
            for name, synthesis in self.syntheses.items()
        }
        errors = {
            name: np.where(self.mask, synthesis - self.target, np.nan)
            for name, synthesis in self.syntheses.items()
        }
        if error_limit is None:
            every = np.abs([error[self.mask] for error in errors.values()])
            error_limit = np.percentile(every, _ERRORS_TOP) or 1.0

        columns = [(f"{self.target_name}\n(target)", self.target, None)]
        if self.source is not None:
            columns.insert(0, (f"{self.source_name}\n(source)", self.source, None))
        for name, synthesis in self.syntheses.items():
            title = f"{name}\n{self.snr_[name]:.1f} dB"
            columns.append((title, synthesis, errors[name]))
        if figure is None:
            width, height = np.ptp(cut.window, axis=1)
            panel = np.clip(12 / len(columns), 1.7, 2.6)  # inches across
            figure = new_figure(
                (panel * len(columns) + 1.6, 2 * panel * height / width + 1.1)
            )
        axes = figure.subplots(2, len(columns), squeeze=False)
        for (above, below), (title, volume, error) in zip(axes.T, columns, strict=True):
            scan = self.source if volume is self.source else self.target
            cut.draw(above, volume, cmap=cmap, vmin=0, vmax=white_of(scan, self.mask))
            above.set_title(title, fontsize="medium")
            if error is None:
                below.set_axis_off()
            else:
                cut.draw(
                    below, error, cmap=error_cmap, vmin=-error_limit, vmax=error_limit
                )
        cut.label_up(axes[0, 0])
        cut.label_across(axes[1, -len(self.syntheses)])
        self._draw_scales(axes)
        self.axes_, self.figure_ = axes, figure
        return self

    def _draw_scales(self, axes):
        """Put scales of images under them, and that of errors at their right."""
        n_scans = axes.shape[1] - len(self.syntheses)
        names = [self.source_name, self.target_name][-n_scans:]
        for (above, below), name in zip(axes.T, names, strict=False):
            below.figure.colorbar(
                above.images[0],
                cax=below.inset_axes([0.05, 0.85, 0.9, 0.05]),
                orientation="horizontal",
                label=f"{name}\n(scanner units)",
                extend="max",
            )
        last = axes[1, -1]
        last.figure.colorbar(
            last.images[0],
            cax=last.inset_axes([1.05, 0.05, 0.06, 0.9]),
            label="synthesis - target\n(scanner units)",
            extend="both",
        )

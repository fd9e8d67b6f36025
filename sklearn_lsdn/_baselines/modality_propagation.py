"""ModalityPropagationRegressor: the targets of the nearest patches nearby."""

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_array, check_is_fitted

from .._network.kernels.compilation import kernel
from .._network.scaling import centre_and_scale
from .._utils.checks import check_columns, check_numbers, ensure
from .._utils.persistable import persistable
from .._utils.samples import COORDINATES, part_columns, validate_rows
from .._utils.sklearn_private import Interval, _fit_context
from .._utils.threads import effective_n_threads
from .located import LocatedRegressor, combined
from .neighbors import WindowedSamples

_FAR = 1e12  # standard deviations or windows: its square is a float32, with weights
_ROWS_AT_ONCE = 65536


@persistable("sklearn_lsdn")
class ModalityPropagationRegressor(LocatedRegressor):
    r"""Modality propagation: a weighted mean of the nearest patches' targets.

    Looks for the most similar patches among the training samples that lie in a
    spatial window around the place asked for, and takes the mean of what they
    looked like in the target [1]_. A comparison of the paper on the location-
    sensitive deep network.

    Parameters
    ----------
    n_neighbors : int, default=10
        Nearest samples, K, that are averaged; all where there are fewer. About 4 do
        best if the targets are overlapping patches, whose average evens out noise
        as well, and about 30 if they are single voxels.
    coordinates : "auto", int or list of int or str, default="auto"
        Which columns of ``X`` are coordinates: "auto" for the last three (or as
        many as leave one feature), an int n for the last n, or a list of column
        indices or of DataFrame column names. With none, all samples compete.
    window : float, default=20.0
        Radius of the window, in units of the coordinates (mm for volumes). Where it
        holds fewer than ``n_neighbors`` samples it is doubled until it does not.
    coordinate_weight : float, default=0.1
        What a distance of one ``window`` adds to the squared distance of patches,
        where a feature's standard deviation is 1.
    bandwidth : float or None, default=0.3
        Width of the kernel that weights the K samples, in units of their mean
        distance; None weights all alike.
    n_refinements : int, default=1
        Passes of `refine` after the first that :class:`VolumeSynthesizer` makes if
        its ``target_patch_size`` is more than 1.
    target_weight : float, default=0.1
        Of the squared distance of target patches, beside that of the features, when
        `refine` ranks the samples.
    n_jobs : int, default=None
        Threads that search. None means 1, unless in a
        :obj:`joblib.parallel_config` context.

    Attributes
    ----------
    n_samples_fit_ : int
        Number of training samples, all of which are kept.
    n_outputs_ : int
        Number of targets.
    n_features_in_ : int
        Number of columns of ``X``.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if ``X`` had names that are strings.

    See Also
    --------
    LSDNRegressor : The location-sensitive deep network, for the same ``X``.
    VolumeSynthesizer : From images to images; makes the coherent second pass.

    Notes
    -----
    With p standardised features s and m standardised targets t, a sample n at
    :math:`x_n` within the window w around x is at the squared distance

    .. math::
        d_n = \frac{1}{p} \left\|s - s_n\right\|^2
            + \lambda \frac{\left\|x - x_n\right\|^2}{w^2}
            + \frac{\tau}{m} \left\|\hat t - t_n\right\|^2

    and the K nearest get weights in proportion to :math:`\exp(-d_n / h \bar d)`
    with :math:`\bar d` the mean of their distances. `predict` does without the last
    term; `refine` has it, with the estimate :math:`\hat t` of the round before.

    Of the publication this implements the search for nearest patches of the source
    contrast in all training subjects within a window around the voxel, the estimate
    from the K best, and the data-driven regularisation: the search is repeated with
    a distance that also compares the candidates' target patches with the estimate at
    hand, so that neighbouring voxels agree. On images the estimate is the mean of
    overlapping target patches: ``VolumeSynthesizer(ModalityPropagationRegressor(),
    target_patch_size=3)``. Settled here by tuning on scans, and not taken from the
    publication, are K, the window (a ball), the penalty on distance within it, the
    kernel, the averaging of overlapping patches, and how many further passes there
    are, with their weight. Candidates are the training samples, not every voxel of
    every training scan; among them the search is exact.

    References
    ----------
    .. [1] D. H. Ye, D. Zikic, B. Glocker, A. Criminisi and E. Konukoglu, "Modality
       propagation: coherent synthesis of subject-specific scans with data-driven
       regularization", MICCAI 2013, LNCS 8149, 606-613.
       :doi:`10.1007/978-3-642-40811-3_76`

    Examples
    --------
    One feature whose meaning depends on where it is measured:

    >>> import numpy as np
    >>> from sklearn_lsdn import ModalityPropagationRegressor
    >>> rng = np.random.RandomState(0)
    >>> feature, x = rng.uniform(-1, 1, (2, 2000))
    >>> y = np.where(x > 0, feature, -feature)
    >>> model = ModalityPropagationRegressor(coordinates=1, window=0.2)
    >>> X = np.column_stack([feature, x])
    >>> model.fit(X[:1000], y[:1000]).score(X[1000:], y[1000:]) > 0.9
    True
    """

    _parameter_constraints: dict = {
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "coordinates": COORDINATES,
        "window": [Interval(Real, 0, None, closed="neither")],
        "coordinate_weight": [Interval(Real, 0, None, closed="left")],
        "bandwidth": [Interval(Real, 0, None, closed="neither"), None],
        "n_refinements": [Interval(Integral, 0, None, closed="left")],
        "target_weight": [Interval(Real, 0, None, closed="left")],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        n_neighbors: int = 10,
        *,
        coordinates: str | int | Sequence[int | str] = "auto",
        window: float = 20.0,
        coordinate_weight: float = 0.1,
        bandwidth: float | None = 0.3,
        n_refinements: int = 1,
        target_weight: float = 0.1,
        n_jobs: int | None = None,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.coordinates = coordinates
        self.window = window
        self.coordinate_weight = coordinate_weight
        self.bandwidth = bandwidth
        self.n_refinements = n_refinements
        self.target_weight = target_weight
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Keep the samples, sorted by place.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Feature columns and coordinate columns side by side, in any units.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets, in any units: of a voxel, or of the patch around it.

        Returns
        -------
        self : object
            The fitted regressor.

        Raises
        ------
        ValueError
            If ``X`` or ``y`` hold NaN or infinity, if their lengths differ, or if
            ``coordinates`` names a column that ``X`` lacks or leaves no feature.
        """
        X, y = self._take(X, y)
        self.n_samples_fit_ = len(X)
        others, coordinates = part_columns(self)
        self._feature_columns, self._coordinate_columns = others, coordinates
        centre, scale = centre_and_scale(X[:, others], np.ones(len(X)))
        unit = _scaled(X[:, others], centre, scale)
        # In principal axes distances are the same, and the first ones tell most.
        axes = np.linalg.eigh(unit.T.astype(np.float64) @ unit)[1][:, ::-1]
        self._feature_scaling = centre, scale * np.sqrt(len(others))
        self._axes = np.ascontiguousarray(axes, dtype=np.float32)
        self._origin = X[:, coordinates].mean(axis=0, dtype=np.float64)
        self._window = float(self.window)
        self._samples = WindowedSamples.fit(*self._columns_and_places(X))
        self._targets = _scaled(y, *self._target_scaling)[self._samples.order]
        return self

    def refine(self, X: ArrayLike, y: ArrayLike) -> np.ndarray:
        """Predict again, from samples whose targets resemble an estimate as well.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The columns of `fit`.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Estimates of the targets, such as patches of the image synthesised so
            far.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            As `predict` returns it.

        Raises
        ------
        ValueError
            If ``y`` has another shape than the prediction for ``X``, or holds NaN
            or infinity.
        """
        check_is_fitted(self)
        X = validate_rows(self, X)
        y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        y = y.reshape(len(y), -1)
        if y.shape != (len(X), self.n_outputs_):
            raise ValueError(
                f"y must hold an estimate of {self.n_outputs_} output(s) for each of "
                f"{len(X)} row(s), got shape {y.shape}."
            )
        return self._in_units(X, y)

    def _columns_and_places(self, X):
        unit = _scaled(X[:, self._feature_columns], *self._feature_scaling)
        places = X[:, self._coordinate_columns]
        columns = np.empty_like(unit)
        _rotate(unit, self._axes, columns)
        return columns, _scaled(places, self._origin, self._window)

    def _standardised(self, X, estimate=None):
        samples, further = self._samples, np.empty((len(X), 0), dtype=np.float32)
        if estimate is not None:
            share = np.float32(np.sqrt(self.target_weight / self.n_outputs_))
            samples = samples.with_columns(share * self._targets)
            further = share * _scaled(estimate, *self._target_scaling)
        n_neighbors = min(self.n_neighbors, self.n_samples_fit_)
        n_threads = effective_n_threads(self.n_jobs)
        for rows in gen_batches(len(X), _ROWS_AT_ONCE):
            columns, places = self._columns_and_places(X[rows])
            columns = np.hstack([columns, further[rows]])
            indices, distances = samples.nearest(
                columns, places, self.coordinate_weight, n_neighbors, n_threads
            )
            yield rows, combined(indices, self._weights(distances), self._targets)

    def _weights(self, distances):
        weights = np.ones(distances.shape)
        if self.bandwidth is not None:
            width = self.bandwidth * distances.mean(axis=1, keepdims=True, dtype=float)
            further = distances - distances[:, :1]  # than the nearest
            np.divide(further, -width, out=weights, where=width > 0)
            weights = np.where(width > 0, np.exp(weights), 1.0)
        return weights / weights.sum(axis=1, keepdims=True)

    def _check_parts(self):
        super()._check_parts()
        columns = self._feature_columns, self._coordinate_columns
        check_columns(self.n_features_in_, *columns)
        n_features, n_places = map(len, columns)
        n_samples = self.n_samples_fit_
        ensure(n_features and n_samples > 0, "there is nothing to search")
        self._samples.check_sizes(n_samples, n_features, n_places)
        centre, scale = self._feature_scaling
        for name, array, shape, dtype in (
            ("axes", self._axes, (n_features, n_features), "f4"),
            ("origin", self._origin, (n_places,), "f8"),
            ("feature centre", centre, (n_features,), "f8"),
            ("feature scale", scale, (n_features,), "f8"),
            ("targets", self._targets, (n_samples, self.n_outputs_), "f4"),
        ):
            check_numbers(self, name, array, shape, dtype)
        ensure(0 < self._window < np.inf, "the window has no size")


def _scaled(values, centre, scale):
    """Centred and scaled, in contiguous float32."""
    with np.errstate(over="ignore"):
        unit = (values - centre) / scale
    return np.ascontiguousarray(np.clip(unit, -_FAR, _FAR), dtype=np.float32)


@kernel
def _rotate(unit, axes, out):
    """out = unit @ axes, row by row: the bits of one do not depend on the others."""
    for r in range(len(unit)):
        row = out[r]
        row[:] = 0
        for f in range(len(axes)):
            value, axis = unit[r, f], axes[f]
            for g in range(len(row)):
                row[g] += value * axis[g]

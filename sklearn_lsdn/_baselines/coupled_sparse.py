"""CoupledSparseRegressor: one sparse code for the source patch and the target."""

import threading
import warnings
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array
from sklearn.decomposition import MiniBatchDictionaryLearning
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state, gen_batches

from .._network.scaling import centre_and_scale
from .._utils.checks import check_columns, check_numbers, ensure
from .._utils.persistable import persistable
from .._utils.samples import COORDINATES, part_columns
from .._utils.sklearn_private import Interval, _fit_context
from .._utils.threads import effective_n_threads
from .located import LocatedRegressor, combined
from .sparse_coding import SparseCoder

_LEARNING_TURNS = 100  # of coordinate descent for a code in learning
_changing_filters = threading.Lock()
_FAR = 1e6  # standard deviations: sums of squares stay exact enough
_RIDGE = 1e-3  # of the mean energy of an atom's coefficients
_ROWS_AT_ONCE = 16384  # coded during training and prediction


@persistable("sklearn_lsdn")
class CoupledSparseRegressor(LocatedRegressor):
    """Coupled dictionaries: the target that goes with a sparse code of the source.

    Two dictionaries are learned together, so that one sparse code serves for a
    source patch and its target. A new source patch is coded by the first, and the
    second turns the code into the prediction. It is the image analogy of [1]_, to
    which [2]_ compares the location-sensitive network.

    Parameters
    ----------
    n_components : int, default=512
        Atoms of the dictionaries; at most one for each sample learned from.
    coordinates : "auto", int or list of int or str, default="auto"
        Which columns of ``X`` are coordinates: "auto" for the last three (or as
        many as leave one feature), an int n for the last n, or a list of column
        indices or of DataFrame column names.
    coordinate_weight : float, default=0.7
        Root mean square of the coordinates in what is coded, beside 1 of the
        features. With 0 they have no part, as in [1]_.
    intercept_scaling : float, default=4.0
        A constant that is appended to each source patch. Codes tell high from low
        intensities by it; 0 leaves it out, as in [1]_.
    target_weight : float, default=0.5
        Root mean square of the targets in what is learned from.
    alpha : float, default=0.5
        Weight of the codes' l1 norm, beside half the squared error.
    refit : bool, default=True
        After learning, fit the target's dictionary by least squares to the codes
        of the training sources alone, which are what prediction will see. If
        false, it stays as learned together, as in [1]_.
    max_samples : int, default=10_000
        Samples drawn for learning the dictionaries. ``refit`` takes all.
    max_iter : int, default=1
        Passes over these samples.
    n_jobs : int, default=None
        Threads that code patches. None means 1, unless in a
        :obj:`joblib.parallel_config` context.
    random_state : int, RandomState instance or None, default=None
        Draws the samples, which also are the first atoms.

    Attributes
    ----------
    source_components_ : ndarray of shape (n_components, n_source)
        The source's dictionary, atoms of norm 1: features divided by their
        deviation and the root of their number, coordinates, the constant.
    target_components_ : ndarray of shape (n_components, n_outputs)
        The target's dictionary, in deviations of the training targets.
    n_iter_ : int
        Passes over the samples in learning.
    n_outputs_ : int
        Number of targets.
    n_features_in_ : int
        Number of columns of ``X``.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if ``X`` had names that are strings.

    See Also
    --------
    LSDNRegressor : The location-sensitive network.
    ModalityPropagationRegressor : By the nearest training patches.
    VolumeSynthesizer : From images to images.

    Notes
    -----
    With source vectors z and targets t, both standardised,
    :class:`~sklearn.decomposition.MiniBatchDictionaryLearning` seeks dictionaries
    D and T of the vectors [z, w t] that minimise

    .. math::
        \\sum_n \\min_a \\tfrac{1}{2} \\left\\| [z_n, w t_n] - a [D, w T]
        \\right\\|^2 + \\alpha \\left\\|a\\right\\|_1

    with joint atoms of norm 1 at most; a code there gets up to 100 rounds of
    coordinate descent. The atoms of D are then scaled to norm 1, with those of T
    alongside; a new z gets the code

    .. math::
        a(z) = \\arg\\min_a \\tfrac{1}{2} \\left\\| z - a D \\right\\|^2
        + \\alpha \\left\\|a\\right\\|_1

    and a(z) T is the prediction. An active-set method finds the code in
    microseconds, up to rounding.

    Of [1]_ this has the dictionaries learned together under an l1 penalty and the
    prediction by the source's code. Patches of the target, predicted around each
    voxel and averaged where they overlap, are
    ``VolumeSynthesizer(CoupledSparseRegressor(), target_patch_size=3)``. The
    registration for which [1]_ synthesises images is not part of it. [1]_ is about
    slices of microscopy, and [2]_ does not say how it set up its comparison: patch
    size, number of atoms, penalty and whether locations enter are left open. They
    were chosen on real and simulated brains. Coordinates, constant and ``refit``
    are not in [1]_; ``coordinate_weight=0, intercept_scaling=0, refit=False`` is
    without them.

    References
    ----------
    .. [1] T. Cao, C. Zach, S. Modla, D. Powell, K. Czymmek and M. Niethammer,
       "Multi-modal registration for correlative microscopy using image analogies",
       Medical Image Analysis 18(6), 914-926, 2014.
       https://pmc.ncbi.nlm.nih.gov/articles/PMC4062605
    .. [2] H. V. Nguyen, K. Zhou and R. Vemulapalli, "Cross-domain synthesis of
       medical images using efficient location-sensitive deep network", MICCAI
       2015, LNCS 9349, 677-684. :doi:`10.1007/978-3-319-24553-9_83`

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lsdn import CoupledSparseRegressor
    >>> X = np.random.RandomState(0).uniform(-1, 1, (2000, 4))
    >>> y = np.column_stack([abs(X[:, 0]), X[:, 0] * X[:, 3]])
    >>> model = CoupledSparseRegressor(64, alpha=0.1, random_state=0).fit(X, y)
    >>> model.score(X, y) > 0.8
    True
    """

    _parameter_constraints: dict = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "coordinates": COORDINATES,
        "coordinate_weight": [Interval(Real, 0, None, closed="left")],
        "intercept_scaling": [Interval(Real, 0, None, closed="left")],
        "target_weight": [Interval(Real, 0, None, closed="neither")],
        "alpha": [Interval(Real, 0, None, closed="neither")],
        "refit": ["boolean"],
        "max_samples": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components: int = 512,
        *,
        coordinates: str | int | Sequence[int | str] = "auto",
        coordinate_weight: float = 0.7,
        intercept_scaling: float = 4.0,
        target_weight: float = 0.5,
        alpha: float = 0.5,
        refit: bool = True,
        max_samples: int = 10_000,
        max_iter: int = 1,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_components = n_components
        self.coordinates = coordinates
        self.coordinate_weight = coordinate_weight
        self.intercept_scaling = intercept_scaling
        self.target_weight = target_weight
        self.alpha = alpha
        self.refit = refit
        self.max_samples = max_samples
        self.max_iter = max_iter
        self.n_jobs = n_jobs
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learn the dictionaries.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Feature columns and coordinate columns side by side, in any units.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets, in any units: a voxel's intensity, or the voxels of a patch.

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
        self._scale_columns(X)
        self._alpha = float(self.alpha)
        rng = check_random_state(self.random_state)
        rows = rng.permutation(len(X))[: self.max_samples]
        source, target = self._source_vectors(X[rows]), self._targets(y[rows])
        share = self.target_weight / np.sqrt(self.n_outputs_)
        joint = self._learn(np.hstack([source, share * target]), rng)
        atoms, target_atoms = np.split(joint, [source.shape[1]], axis=1)
        # At prediction only the source is coded: its atoms have to be of norm 1.
        norm = np.linalg.norm(atoms, axis=1, keepdims=True)
        seen = norm[:, 0] > 1e-6
        self.source_components_ = atoms[seen] / norm[seen]
        self.target_components_ = target_atoms[seen] / (share * norm[seen])
        if self.refit:
            self._refit(X, y)
        return self

    def _scale_columns(self, X):
        """Fix how columns of ``X`` become the source part of a vector."""
        features, coordinates = part_columns(self)
        if self.coordinate_weight == 0:
            coordinates = []
        self._columns = features + coordinates
        centre, scale = centre_and_scale(X[:, self._columns], np.ones(len(X)))
        size = np.full(len(self._columns), np.sqrt(len(features)))
        if coordinates:
            weight = self.coordinate_weight / np.sqrt(len(coordinates))
            size[len(features) :] = 1.0 / weight
        self._source_scaling = centre, scale, size
        self._constant = float(self.intercept_scaling)

    def _source_vectors(self, X):
        """Features, coordinates and the constant, in float64."""
        centre, scale, size = self._source_scaling
        unit = np.clip((X[:, self._columns] - centre) / scale, -_FAR, _FAR)
        return np.column_stack([unit / size, np.full(len(X), self._constant)])

    def _targets(self, y):
        centre, scale = self._target_scaling
        return (y - centre) / scale

    def _learn(self, vectors, rng):
        """Atoms of source and target together."""
        start = vectors[: self.n_components]  # in random order already
        norm = np.linalg.norm(start, axis=1, keepdims=True)
        learner = MiniBatchDictionaryLearning(
            len(start),
            alpha=self.alpha,
            fit_algorithm="cd",
            max_iter=self.max_iter,
            dict_init=start / np.where(norm > 0, norm, 1.0),
            tol=0.0,
            max_no_improvement=None,
            transform_max_iter=_LEARNING_TURNS,
            random_state=rng,
        )
        # To learn atoms, codes need not have converged. Filters of warnings are those
        # of the whole process, which two threads must not put back at the same time.
        with _changing_filters, warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            learner.fit(vectors)
        self.n_iter_ = learner.n_iter_
        return learner.components_

    def _codes(self, X):
        """Yield rows and their codes, some rows at a time."""
        coder = SparseCoder(self.source_components_, self._alpha)
        n_threads = effective_n_threads(self.n_jobs)
        for rows in gen_batches(len(X), _ROWS_AT_ONCE):
            yield rows, coder.encode(self._source_vectors(X[rows]), n_threads)

    def _standardised(self, X):
        for rows, codes in self._codes(X):
            yield rows, combined(*codes, self.target_components_)

    def _refit(self, X, y):
        """Fit the target's atoms to the codes that prediction will see."""
        n_components = len(self.source_components_)
        gram = np.zeros((n_components, n_components))
        cross = np.zeros((n_components, self.n_outputs_))
        for rows, (indices, values) in self._codes(X):
            ends = np.arange(0, values.size + 1, values.shape[1])
            parts = values.ravel(), indices.ravel(), ends
            codes = csr_array(parts, shape=(len(values), n_components))
            gram += (codes.T @ codes).toarray()
            cross += codes.T @ self._targets(y[rows])
        ridge = _RIDGE * np.trace(gram) / n_components
        if ridge > 0:
            gram[np.diag_indices(n_components)] += ridge
            cross += ridge * self.target_components_
            self.target_components_ = np.linalg.solve(gram, cross)

    def _check_parts(self):
        super()._check_parts()
        check_columns(self.n_features_in_, self._columns)
        n_atoms, n_columns = len(self.source_components_), len(self._columns)
        known = np.isfinite(self._constant) and 0 < self._alpha < np.inf
        ensure(n_atoms > 0 and known, "there is nothing to code by")
        centre, scale, size = self._source_scaling
        for name, array, shape in (
            ("source_components_", self.source_components_, (n_atoms, n_columns + 1)),
            ("target_components_", self.target_components_, (n_atoms, self.n_outputs_)),
            ("source centre", centre, (n_columns,)),
            ("source scale", scale, (n_columns,)),
            ("source size", size, (n_columns,)),
        ):
            check_numbers(self, name, array, shape)

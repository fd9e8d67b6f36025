"""VolumeSynthesizer: from source images to synthesised target images."""

import copy
import os
from contextlib import nullcontext
from numbers import Integral

import numpy as np
from joblib import Parallel, delayed, parallel_config
from sklearn.base import BaseEstimator, _fit_context, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, check_memory

from .._network_regressor import _NetworkRegressor
from .._threads import effective_n_threads
from ..metrics import snr_score
from ..regressor import LSDNRegressor
from ..shrink import ShrinkConnect
from .aggregation import PatchAverage, VolumePatches, filled_patches
from .masks import Masker
from .normalization import resolve_normalizer
from .patches import PaddedVolumes
from .subjects import describe, draw_sample, open_subjects, pair_subjects

_VOXELS_AT_ONCE = 16384  # patches held during prediction by any regressor
_OUTPUTS_AT_ONCE = 4_000_000  # of a network that reads patches from the volume


class VolumeSynthesizer(BaseEstimator):
    """Learn to turn images of one contrast into another, voxel by voxel.

    From registered images of subjects who have both contrasts it draws voxels,
    takes the patch around each and the place where it lies, and trains a regressor
    to predict the target's intensity. It then predicts every brain voxel of new
    subjects, on the grid of their images.

    Parameters
    ----------
    estimator : regressor, default=None
        Any scikit-learn regressor; it is cloned. None stands for
        ``LSDNRegressor()``. Networks of this package, unless inside a Pipeline,
        read the patches straight from the volume when they predict.
    patch_size : int, default=3
        Voxels along each side of the patch around a voxel, odd.
    target_patch_size : int, default=1
        Voxels along each side of the patch that is predicted, odd. With more than
        one, the estimator learns the target's patches, a column for each voxel, and
        what the patches around a voxel say of it is averaged. An estimator with a
        method ``refine(X, y)`` is then shown the patches of this average, and asked
        for better ones, ``n_refinements`` times.
    coordinates : {"world"} or None, default="world"
        What follows the patch as the last three columns: the voxel's world
        coordinates in mm, by the image's affine, or nothing.
    mask_img : path, image, "mni152" or None, default=None
        The brain. None takes the voxels that differ from zero in every image
        given: in all sources when predicting, in the target as well when fitting
        and scoring. An image serves for all subjects, by its nearest voxels where
        their grids differ; "mni152" is nilearn's mask of that space.
    normalization : {"zscore", "percentile"} or normalizer, default="zscore"
        How intensities become comparable between scans; see
        :class:`~sklearn_lsdn.volumes.ZScoreNormalizer`. Each contrast gets one.
    n_voxels : int, default=100_000
        Voxels drawn from each training subject.
    memory : str, path or joblib.Memory, default=None
        Where to keep the voxels drawn from each subject, so that a search over
        parameters of the estimator reads images once.
    n_jobs : int, default=None
        Threads that read images and predict voxels, and the estimator's ``n_jobs``
        where it has none of its own. None means 1, unless in a
        :obj:`joblib.parallel_config` context.
    random_state : int, RandomState instance or None, default=None
        Draws voxels, and seeds the estimator wherever it has a ``random_state``.
    verbose : int, default=0
        Say which subject is being read; networks of this package print the loss
        of each epoch.

    Attributes
    ----------
    estimator_ : regressor
        The fitted regressor, from patches and coordinates to intensities on the
        normalised scale.
    source_normalizers_ : list of normalizers
        One for each source contrast.
    target_normalizers_ : list of normalizers
        One for each target contrast; their ``typical_`` holds the units in which
        `predict` answers.
    background_ : ndarray of shape (n_source_contrasts,)
        What stands for voxels outside the brain or the image: the intensity 0 of a
        typical scan, on the normalised scale.
    mask_strategy_ : {"nonzero", "mni152", "image"}
        How the brain is found.
    n_contrasts_in_ : int
        Number of source contrasts.
    n_voxels_ : list of int
        Voxels drawn from each subject.
    voxel_size_ : ndarray of shape (3,)
        Mean voxel size of the training images in mm, towards right, anterior and
        superior.

    See Also
    --------
    LSDNRegressor : The network.
    volume_snr_scorer : For ``scoring=`` in cross-validation.

    Notes
    -----
    Images are turned to the orientation nearest to right-anterior-superior before
    a patch is taken, and results are turned back. A patch counts voxels, not
    millimetres: predict on about the voxel size that training had.

    Examples
    --------
    >>> from sklearn_lsdn import VolumeSynthesizer
    >>> from sklearn_lsdn.datasets import make_brain_cohort
    >>> cohort = make_brain_cohort(3, voxel_size=8, random_state=0)
    >>> t1w, t2w = cohort.images["T1w"], cohort.images["T2w"]
    >>> synthesizer = VolumeSynthesizer(random_state=0).fit(t1w[:2], t2w[:2])
    >>> synthesis = synthesizer.predict(t1w[2:])[0]
    >>> synthesis.shape == t1w[2].shape
    True
    >>> synthesizer.score(t1w[2:], t2w[2:]) > 10  # dB
    True
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"]), None],
        "patch_size": [Interval(Integral, 1, None, closed="left")],
        "target_patch_size": [Interval(Integral, 1, None, closed="left")],
        "coordinates": [StrOptions({"world"}), None],
        "mask_img": "no_validation",
        "normalization": [
            str,
            HasMethods(
                [
                    "background",
                    "describe",
                    "fit_descriptions",
                    "from_shared",
                    "to_shared",
                ]
            ),
        ],
        "n_voxels": [Interval(Integral, 1, None, closed="left")],
        "memory": "no_validation",
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator=None,
        *,
        patch_size=3,
        target_patch_size=1,
        coordinates="world",
        mask_img=None,
        normalization="zscore",
        n_voxels=100_000,
        memory=None,
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.estimator = estimator
        self.patch_size = patch_size
        self.target_patch_size = target_patch_size
        self.coordinates = coordinates
        self.mask_img = mask_img
        self.normalization = normalization
        self.n_voxels = n_voxels
        self.memory = memory
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def __getstate__(self):
        state = dict(super().__getstate__())
        if isinstance(self.mask_img, os.PathLike):  # which model files cannot hold
            state["mask_img"] = os.fspath(self.mask_img)
        return state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.estimator_type = "regressor"
        tags.input_tags.two_d_array = False
        tags.target_tags.required = True
        return tags

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, sources, targets):
        """Train on subjects who have both contrasts.

        Parameters
        ----------
        sources : list
            One entry a subject: a path or nibabel image or, for several source
            contrasts, a list of them.
        targets : list
            What to predict, likewise, each on the grid of its source.

        Returns
        -------
        self : object
            The fitted synthesizer.

        Raises
        ------
        FileNotFoundError
            If a file is missing.
        TypeError
            If an argument is not a list, or an entry is no image.
        ValueError
            If an image cannot be used: it is truncated, not three-dimensional,
            holds NaN or infinity, is constant over its brain, has an empty mask or
            another grid than its partner; or if a subject lacks a contrast.
        """
        for name in ("patch_size", "target_patch_size"):
            if getattr(self, name) % 2 == 0:
                raise ValueError(f"{name} must be odd, got {getattr(self, name)}.")
        sources, targets = pair_subjects(sources, targets)
        masker = Masker.resolve(self.mask_img)
        normalizer = resolve_normalizer(self.normalization)
        normalizers = [
            [clone(normalizer) for _ in contrasts]
            for contrasts in (sources[0], targets[0])
        ]
        rng = check_random_state(self.random_state)
        seeds = rng.randint(np.iinfo(np.int32).max, size=len(sources))
        estimator = self._make_estimator(rng)
        samples = self._draw_samples(sources, targets, masker, normalizers, seeds)
        for c, normalizer in enumerate(normalizers[0]):
            normalizer.fit_descriptions([s.source_descriptions[c] for s in samples])
        for c, normalizer in enumerate(normalizers[1]):
            normalizer.fit_descriptions([s.target_descriptions[c] for s in samples])
        background = np.array(
            [normalizer.background() for normalizer in normalizers[0]]
        )
        X, y = self._training_arrays(samples, normalizers, background)
        n_voxels = [len(sample.patches) for sample in samples]
        del samples
        with self._shared_n_jobs():
            estimator.fit(X, y)

        self.estimator_ = estimator
        self._masker = masker
        self.mask_strategy_ = masker.strategy
        self.source_normalizers_, self.target_normalizers_ = normalizers
        self.background_ = background
        self.n_contrasts_in_ = len(sources[0])
        self.n_voxels_ = n_voxels
        self.voxel_size_ = np.mean(
            [np.linalg.norm(s[0].affine[:3, :3], axis=0) for s in sources], axis=0
        )
        return self

    def predict(self, sources, *, scale_to=None):
        """Synthesise the target contrast of each subject.

        Parameters
        ----------
        sources : list
            Images of each subject, as in `fit`.
        scale_to : list, default=None
            Scans of the target contrast whose units to answer in, one entry a
            subject: their normalisation maps the synthesis back. By default
            answers come in the units of a typical training scan.

        Returns
        -------
        images : list of Nifti1Image
            One for each subject, or a list of them for several target contrasts:
            float32, on the grid of the subject's image, 0 outside the brain.

        Raises
        ------
        FileNotFoundError, TypeError, ValueError
            As `fit`.
        """
        check_is_fitted(self)
        if scale_to is None:
            sources = open_subjects(sources, "sources")
            scans = [None] * len(sources)
        else:
            sources, scans = pair_subjects(sources, scale_to, "scale_to")
            self._check_contrasts(scans, "scale_to", len(self.target_normalizers_))
        self._check_contrasts(sources, "sources", self.n_contrasts_in_)
        return [
            self._predict_subject(source, scan)
            for source, scan in zip(sources, scans, strict=True)
        ]

    def score(self, sources, targets) -> float:
        """Mean SNR of the syntheses against the scans that they should become.

        Parameters
        ----------
        sources : list
            Images of each subject, as in `fit`.
        targets : list
            The target scans, likewise.

        Returns
        -------
        score : float
            Mean over subjects and target contrasts, in dB, over the brain, in the
            units of each target scan.
        """
        return float(np.mean(self.score_volumes(sources, targets)))

    def score_volumes(self, sources, targets, *, metric=snr_score):
        """Score each synthesis against the scan that it should become.

        Parameters
        ----------
        sources : list
            Images of each subject, as in `fit`.
        targets : list
            The target scans, likewise.
        metric : callable, default=snr_score
            ``metric(y_true, y_pred)`` of the brain's voxels in the units of the
            target scan.

        Returns
        -------
        scores : ndarray of shape (n_subjects, n_target_contrasts)
        """
        check_is_fitted(self)
        sources, targets = pair_subjects(sources, targets)
        self._check_contrasts(sources, "sources", self.n_contrasts_in_)
        self._check_contrasts(targets, "targets", len(self.target_normalizers_))
        scores = []
        for source, target in zip(sources, targets, strict=True):
            outputs = [file.read() for file in target]
            volumes = [file.read() for file in source]
            mask = self._masker.find([*source, *target], [*volumes, *outputs])
            predicted = self._synthesize(source, volumes, mask)
            units = describe(self.target_normalizers_, target, outputs, mask)
            scores.append(
                [
                    metric(output[mask], normalizer.from_shared(values, unit))
                    for output, values, normalizer, unit in zip(
                        outputs,
                        predicted.T,
                        self.target_normalizers_,
                        units,
                        strict=True,
                    )
                ]
            )
        return np.array(scores)

    def sample_voxels(self, sources, targets, *, random_state=None):
        """Draw voxels as `fit` does, on the scale of a fitted synthesizer.

        For training ``estimator_`` further, shrinking it, or comparing regressors.

        Parameters
        ----------
        sources : list
            Images of each subject, as in `fit`.
        targets : list
            The target scans, likewise.
        random_state : int, RandomState instance or None, default=None
            Draws the voxels.

        Returns
        -------
        X : float32 array of shape (n_voxels, n_features)
            Patches and coordinates.
        y : float32 array of shape (n_voxels,) or (n_voxels, n_outputs)
            Normalised target intensities: for each contrast in turn the patch, or
            the voxel alone where ``target_patch_size`` is 1.
        """
        check_is_fitted(self)
        sources, targets = pair_subjects(sources, targets)
        self._check_contrasts(sources, "sources", self.n_contrasts_in_)
        self._check_contrasts(targets, "targets", len(self.target_normalizers_))
        normalizers = [self.source_normalizers_, self.target_normalizers_]
        rng = check_random_state(random_state)
        seeds = rng.randint(np.iinfo(np.int32).max, size=len(sources))
        samples = self._draw_samples(sources, targets, self._masker, normalizers, seeds)
        return self._training_arrays(samples, normalizers, self.background_)

    def shrink(self, sources, targets, *, keep="auto", random_state=None, **parameters):
        """Make a copy with a smaller network, by ShrinkConnect.

        Parameters
        ----------
        sources : list
            Images of each subject, as in `fit`: those of training, or others.
        targets : list
            The target scans, likewise.
        keep : "auto", float or list of int or float, default="auto"
            How many nodes stay, as in `ShrinkConnect`.
        random_state : int, RandomState instance or None, default=None
            Draws voxels, and orders them in training after shrinking.
        **parameters
            Further parameters of `ShrinkConnect`.

        Returns
        -------
        smaller : VolumeSynthesizer
            With a fitted `ShrinkConnect` as ``estimator_``.

        Raises
        ------
        TypeError
            If ``estimator_`` is not a network of this package.
        """
        check_is_fitted(self)
        network = self.estimator_
        if isinstance(network, ShrinkConnect):
            network = network.estimator_
        if not isinstance(network, _NetworkRegressor):
            raise TypeError(
                f"Only networks of this package can be shrunk, not a "
                f"{type(network).__name__}."
            )
        rng = check_random_state(random_state)
        X, y = self.sample_voxels(sources, targets, random_state=rng)
        smaller = copy.copy(self)
        smaller.estimator_ = ShrinkConnect(
            network,
            prefit=True,
            keep=keep,
            random_state=rng.randint(np.iinfo(np.int32).max),
            **parameters,
        ).fit(X, y)
        # What it was made of would weigh more than what it became.
        smaller.estimator_.set_params(estimator=clone(network), prefit=False)
        return smaller

    def _draw_samples(self, sources, targets, masker, normalizers, seeds):
        memory = self.memory
        if isinstance(memory, os.PathLike):
            memory = os.fspath(memory)
        draw = check_memory(memory).cache(draw_sample, ignore=["sources", "targets"])

        def draw_one(i):
            if self.verbose:
                print(f"Reading subject {i + 1} of {len(sources)}\n", end="")
            return draw(
                sources[i],
                targets[i],
                masker,
                normalizers,
                self.patch_size,
                self.target_patch_size,
                self.n_voxels,
                seeds[i],
                [file.fingerprint() for file in [*sources[i], *targets[i]]],
            )

        return Parallel(n_jobs=self.n_jobs, prefer="threads")(
            delayed(draw_one)(i) for i in range(len(sources))
        )

    def _training_arrays(self, samples, normalizers, background):
        """Normalise the samples and put them side by side as ``X`` and ``y``."""
        source_normalizers, target_normalizers = normalizers
        n = sum(len(sample.patches) for sample in samples)
        n_patch = samples[0].patches[0].size
        n_coordinates = 3 if self.coordinates == "world" else 0
        X = np.empty((n, n_patch + n_coordinates), dtype=np.float32)
        n_target_patch = self.target_patch_size**3
        y = np.empty((n, len(target_normalizers), n_target_patch), dtype=np.float32)
        start = 0
        for sample in samples:
            rows = slice(start, start + len(sample.patches))
            start = rows.stop
            patches = X[rows, :n_patch].reshape(sample.patches.shape)
            for c, normalizer in enumerate(source_normalizers):
                values = normalizer.to_shared(
                    sample.patches[:, c], sample.source_descriptions[c]
                )
                values[np.isnan(values)] = background[c]
                patches[:, c] = values
            X[rows, :n_patch] = patches.reshape(len(patches), -1)
            X[rows, n_patch:] = sample.coordinates[:, :n_coordinates]
            for c, normalizer in enumerate(target_normalizers):
                y[rows, c] = filled_patches(
                    normalizer.to_shared(
                        sample.targets[:, c], sample.target_descriptions[c]
                    )
                )
        y = y.reshape(n, -1)
        return X, y.ravel() if y.shape[1] == 1 else y

    def _make_estimator(self, rng):
        estimator = LSDNRegressor() if self.estimator is None else clone(self.estimator)
        if isinstance(estimator, ShrinkConnect) and estimator.estimator is None:
            estimator.set_params(estimator=LSDNRegressor())
        for part in _parts(estimator):
            seed = rng.randint(np.iinfo(np.int32).max)
            parameters = part.get_params(deep=False)
            if "random_state" in parameters and self.random_state is not None:
                part.set_params(random_state=seed)
            ours = type(part).__module__.startswith("sklearn_lsdn.")
            if isinstance(part, _NetworkRegressor | ShrinkConnect) and self.verbose:
                part.set_params(verbose=self.verbose)
            if ours and "coordinates" in parameters and self.coordinates is None:
                part.set_params(coordinates=0)
            if hasattr(part, "_parameter_constraints"):
                part._validate_params()  # rather now than after the images are read
        return estimator

    def _shared_n_jobs(self):
        """Where None in the estimator's ``n_jobs`` stands for the synthesizer's."""
        if self.n_jobs is None:
            return nullcontext()
        return parallel_config(n_jobs=self.n_jobs)

    def _check_contrasts(self, subjects, name, n_contrasts):
        if len(subjects[0]) != n_contrasts:
            raise ValueError(
                f"{name} has {len(subjects[0])} contrast(s) a subject, but training "
                f"had {n_contrasts}. Give the same contrasts, in the same order."
            )

    def _predict_subject(self, source, scan):
        volumes = [file.read() for file in source]
        mask = self._masker.find(source, volumes)
        units = [normalizer.typical_ for normalizer in self.target_normalizers_]
        if scan is not None:
            outputs = [file.read() for file in scan]
            shared = self._masker.find([*source, *scan], [*volumes, *outputs])
            units = describe(self.target_normalizers_, scan, outputs, shared)
            del outputs, shared
        predicted = self._synthesize(source, volumes, mask)
        images = []
        for values, normalizer, unit in zip(
            predicted.T, self.target_normalizers_, units, strict=True
        ):
            output = np.zeros(mask.shape, dtype=np.float32)
            output[mask] = normalizer.from_shared(values, unit)
            images.append(source[0].like(output))
        return images[0] if len(images) == 1 else images

    def _synthesize(self, files, volumes, mask):
        """Normalised intensities of the brain's voxels, (n_voxels, n_targets).

        It empties ``volumes``, so that they need not be held beside their copies.
        """
        descriptions = describe(self.source_normalizers_, files, volumes, mask)
        for c, normalizer in enumerate(self.source_normalizers_):
            volumes[c] = normalizer.to_shared(volumes[c], descriptions[c])
            volumes[c][~mask] = self.background_[c]
        affine = files[0].affine
        padded = PaddedVolumes(volumes, affine, self.patch_size, self.background_)
        volumes.clear()
        means = self._predict_means(padded, mask)
        if self.target_patch_size > 1 and hasattr(self.estimator_, "refine"):
            for _ in range(getattr(self.estimator_, "n_refinements", 1)):
                means = self._predict_means(padded, mask, means)
        return means

    def _predict_means(self, padded, mask, means=None):
        """Predict every brain voxel; with ``means``, refine these predictions."""
        average = PatchAverage(
            mask, len(self.target_normalizers_), self.target_patch_size
        )
        centers = padded.centers(mask)
        n_patch = len(padded.channels) * len(padded.offsets)
        network = _volume_reader(self.estimator_, n_patch)
        if network is not None:
            step = max(1, _OUTPUTS_AT_ONCE // network.n_outputs_)
            for start in range(0, len(centers), step):
                rows = slice(start, start + step)
                values = network._predict_voxels(
                    padded, centers[rows], effective_n_threads(self.n_jobs)
                )
                average.add(rows, values)
            return average.means()
        if means is not None:
            estimate = VolumePatches(means, mask, self.target_patch_size)
        for start in range(0, len(centers), _VOXELS_AT_ONCE):
            rows = slice(start, start + _VOXELS_AT_ONCE)
            X = padded.patches(centers[rows])
            if self.coordinates == "world":
                X = np.hstack([X, padded.coordinates(centers[rows])])
            with self._shared_n_jobs():
                if means is None:
                    values = self.estimator_.predict(X)
                else:
                    values = self.estimator_.refine(X, estimate[rows])
            average.add(rows, values)
        return average.means()


def _parts(estimator):
    """An estimator and those among its parameters, but none that are frozen."""
    yield estimator
    if isinstance(estimator, FrozenEstimator):
        return
    for _, value in sorted(estimator.get_params(deep=False).items()):
        for part in value if isinstance(value, list) else [value]:
            part = part[1] if isinstance(part, tuple) and len(part) == 2 else part
            if hasattr(part, "get_params") and not isinstance(part, type):
                yield from _parts(part)


def _volume_reader(estimator, n_patch):
    """The network that predicts, if its first columns are the patch; else None."""
    if isinstance(estimator, ShrinkConnect):
        estimator = estimator.estimator_
    if not isinstance(estimator, _NetworkRegressor):
        return None
    reads = estimator._feature_columns[:n_patch] == list(range(n_patch))
    return estimator if reads else None

"""VolumeSynthesizer: from source images to synthesised target images."""

import copy
import os
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from operator import attrgetter
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_random_state
from sklearn.utils import metadata_routing as routing
from sklearn.utils.validation import check_is_fitted

from .._regressors.conformal import scores_that_keep
from .._regressors.metadata import given_to_fit
from .._regressors.roles import Role, facts_of_part, role_of
from .._regressors.shrink_connect import ShrinkConnect
from .._utils.callbacks import FitTasks
from .._utils.checks import ensure
from .._utils.doubts import warn_of
from .._utils.groups import check_groups
from .._utils.lists import as_list
from .._utils.persistable import persistable
from .._utils.sklearn_private import (
    CallbackSupportMixin,
    HasMethods,
    Interval,
    StrOptions,
    _fit_context,
)
from ..metrics import snr_score
from ._augmentation import Augmentation, resolve_augmentation
from ._budget import subjects_at_once, training_jobs
from ._doubts import doubts_of_learning
from ._estimator import (
    for_what_is_there,
    make_estimator,
    to_be_trained,
    weighted_subjects,
    window_of,
)
from ._masks import Masker
from ._neighbours import NEIGHBOURS
from ._normalizer import NORMALIZER_METHODS, resolve_normalizer
from ._normalizer_choice import decide
from ._places import PLACES
from ._preparation import Preparation
from ._sliding_window import SlidingWindow, shared_n_jobs
from ._subjects import (
    Image,
    Mask,
    Masks,
    Subjects,
    check_each_contrast,
    pair_subjects,
)
from ._synthesis import Synthesis


def _view(name):
    """A fitted attribute that `Preparation` owns, described by its class alone."""
    return property(attrgetter(f"preparation_.{name}"), doc="")


@persistable(
    "sklearn_lsdn",
    younger={"max_memory": None, "neighbours": None, "missing_sources": False},
)
class VolumeSynthesizer(CallbackSupportMixin, BaseEstimator):
    """Learn to turn images of one contrast into another, voxel by voxel.

    From registered images of subjects who have both contrasts it draws voxels,
    takes the patch around each and the place where it lies, and trains a regressor
    to predict the target's intensity. It then predicts every brain voxel of new
    subjects, on the grid of their images.

    Parameters
    ----------
    estimator : regressor, default=None
        Any scikit-learn regressor; it is cloned. None stands for
        ``LSDNRegressor((400, 40))``, the paper's LSDN-2. Networks of this package,
        unless inside a Pipeline, read the patches straight from the volume when they
        predict.
    n_estimators : int, default=1
        With more than one, as many are trained on the same voxels from other random
        numbers, in an :class:`~sklearn_lsdn.EnsembleRegressor`; the synthesis is
        their mean, and has a standard deviation.
    patch_size : int, default=3
        Voxels along each side of the patch around a voxel, odd.
    patch_scales : tuple of int, default=(1, 2)
        Voxels from one of a patch's to the next. With several, as many patches of
        ``patch_size`` are taken around a voxel; those of scale 2 and more from the
        scan after smoothing, within the brain, by a Gaussian as wide (FWHM).
    target_patch_size : "auto" or int, default="auto"
        Voxels along each side of the patch that is predicted, odd. With more than
        one, the estimator learns the target's patches, a column for each voxel, and
        what the patches around a voxel say of it is averaged. "auto" is 3 for networks
        of this package, whose targets share their layers, and voxels of less than
        1.5 mm; else 1. An estimator with a
        method ``refine(X, y)`` is then shown the patches of this average, and asked
        for better ones, ``n_refinements`` times.
    smoothing : float, default=0
        Full width at half maximum of the Gaussian that smooths the synthesis within
        the brain, in mm or, where voxels are smaller than 1 mm, in voxels; 0 for
        none, 1000 at most. Where voxels are predicted one by one, a mean over the
        nearest loses part of their error; of target patches that is left to little.
    places : {"brain", "world", "template"} or None, default="brain"
        What says where a voxel lies, in mm, which follows the patch as the last three
        columns. "brain": the box around the subject's own brain, mapped to that of a
        standard brain, which takes no registration and evens out the size of heads.
        "world": world coordinates, by the image's affine, for images in one space.
        "template": an affine registration to MNI152, which takes SimpleITK and nilearn
        and, for each subject, seconds. None: nothing. Only coordinates are mapped:
        voxels stay where the scanner put them.
    neighbours : "warped" or None, default=None
        What else is seen of a place. "warped": the target scans of the training
        subjects, deformed to the subject and averaged, as further patches; in training
        each subject sees those of the others. It takes SimpleITK, two or more training
        subjects and, for each subject, seconds; and the fitted synthesizer holds scans
        of up to 16 training subjects, which whoever has it can see. None: nothing.
    mask_img : path, image, "mni152" or None, default=None
        The brain, where ``masks`` of `fit` and `predict` do not tell. None takes what
        differs from the background, which fills the
        border of the volume, in every image given: in all sources when predicting, in
        the target as well when fitting and scoring; specks and small holes do not
        count. An image of two values, or of probabilities, serves for all subjects, by
        its nearest voxels where their grids differ; "mni152" is nilearn's mask of that
        space.
    normalization : str or normalizer, default="zscore"
        How intensities become comparable between scans: by an object such as
        :class:`~sklearn_lsdn.volumes.NyulNormalizer`, or by the name of one, "nyul".
        Each contrast gets its own. "auto" takes "zscore" or "nyul", whichever serves a
        small network better on training subjects held back, in a second or two; of one
        subject, "zscore".
    n_voxels : int, default=100_000
        Voxels drawn from each training subject.
    augmentation : "default", Augmentation or None, default="default"
        Random changes to the voxels that are trained on. By default half of them are
        mirrored, left and right exchanged, and places are moved by 5 mm, as by
        :class:`~sklearn_lsdn.volumes.Augmentation`. None changes nothing.
    missing_sources : bool, default=False
        Whether subjects may lack all but one of several source contrasts: None stands
        in the place of an image. A clone of the estimator is then trained for each
        subset of them, on the subjects who have it.
    memory : str, path or joblib.Memory, default=None
        Where to keep the voxels drawn from each subject, so that a search over
        parameters of the estimator reads images once; and the members of an ensemble,
        so that training which was cut off goes on.
    n_jobs : int, default=None
        Threads that read images and predict voxels, and the estimator's ``n_jobs``
        where it has none of its own. None means 1, unless in a
        :obj:`joblib.parallel_config` context.
    max_memory : int or str, default=None
        Bytes that the process may take, or a size such as "4G". No more subjects are
        read, and no more networks trained, at once than fit; where the work does not
        fit at all, it is refused before it begins. None means no limit.
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
    preparation_ : Preparation
        What turns images into rows of numbers, and predicted rows into images; it
        holds the following.
    source_normalizers_ : list of normalizers
        One for each source contrast.
    target_normalizers_ : list of normalizers
        One for each target contrast; their ``typical_`` holds the units in which
        `predict` answers.
    background_ : ndarray of shape (n_source_contrasts,)
        What stands for voxels outside the brain or the image: the intensity 0 of a
        typical scan, on the normalised scale.
    mask_strategy_ : {"background", "mni152", "image"}
        How the brain is found.
    n_contrasts_in_ : int
        Number of source contrasts.
    voxel_size_ : ndarray of shape (3,)
        Of the grid that voxels are predicted on, in mm, towards right, anterior and
        superior: the median over the training images.
    n_voxels_ : list of int
        Voxels drawn from each subject.
    bids_query_ : dict or None
        Names of the source and target contrasts by which `lsdn fit` chose images of a
        BIDS dataset, and the space and desc that all sources share; None if it chose
        none.

    See Also
    --------
    LSDNRegressor : The network.
    volume_snr_scorer : For ``scoring=`` in cross-validation.

    Notes
    -----
    Images are turned to the orientation nearest to right-anterior-superior before
    a patch is taken, and results are turned back. A patch counts voxels. Along axes
    whose voxels are larger or smaller than those of training by more than 15 %, images
    are therefore brought to the voxel size of training first, and syntheses back to
    their own.

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

    __metadata_request__fit = {"groups": True, "masks": True}
    __metadata_request__score = {"masks": True}
    bids_query_: dict | None = None

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"]), None],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "patch_size": [Interval(Integral, 1, None, closed="left")],
        "patch_scales": ["array-like"],
        "target_patch_size": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "smoothing": [Interval(Real, 0, 1000, closed="both")],
        "places": [StrOptions({each for each in PLACES if each}), None],
        "neighbours": [StrOptions({each for each in NEIGHBOURS if each}), None],
        "mask_img": "no_validation",
        "normalization": [str, HasMethods(NORMALIZER_METHODS)],
        "n_voxels": [Interval(Integral, 1, None, closed="left")],
        "augmentation": [Augmentation, StrOptions({"default"}), None],
        "missing_sources": ["boolean"],
        "memory": "no_validation",
        "n_jobs": [Integral, None],
        "max_memory": [Interval(Integral, 1, None, closed="left"), str, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    source_normalizers_ = _view("source_normalizers")
    target_normalizers_ = _view("target_normalizers")
    background_ = _view("background")
    mask_strategy_ = _view("masker.strategy")
    n_contrasts_in_ = _view("n_contrasts")
    voxel_size_ = _view("voxel_size")

    def __init__(
        self,
        estimator: BaseEstimator | None = None,
        *,
        n_estimators: int = 1,
        patch_size: int = 3,
        patch_scales: Sequence[int] = (1, 2),
        target_patch_size: int | str = "auto",
        smoothing: float = 0,
        places: str | None = "brain",
        neighbours: str | None = None,
        mask_img: Image | None = None,
        normalization: Any = "zscore",
        n_voxels: int = 100_000,
        augmentation: Augmentation | str | None = "default",
        missing_sources: bool = False,
        memory: Any = None,
        n_jobs: int | None = None,
        max_memory: int | str | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.patch_size = patch_size
        self.patch_scales = patch_scales
        self.target_patch_size = target_patch_size
        self.smoothing = smoothing
        self.places = places
        self.neighbours = neighbours
        self.mask_img = mask_img
        self.normalization = normalization
        self.n_voxels = n_voxels
        self.augmentation = augmentation
        self.missing_sources = missing_sources
        self.memory = memory
        self.n_jobs = n_jobs
        self.max_memory = max_memory
        self.random_state = random_state
        self.verbose = verbose

    def _kept_in_files(self):
        """Without a cache, and with a path as text."""
        is_path = isinstance(self.mask_img, os.PathLike)
        mask_img = os.fspath(self.mask_img) if is_path else self.mask_img
        return {**vars(self), "mask_img": mask_img, "memory": None}

    def set_params(self, **params: Any) -> Self:
        """Set parameters, as those of the default augmentation.

        Parameters
        ----------
        **params
            By names such as ``patch_size``, ``estimator__alpha`` or
            ``augmentation__shift``.

        Returns
        -------
        self : object
        """
        if any(name.startswith("augmentation__") for name in params):
            given = params.get("augmentation", self.augmentation)
            if given is None or given == "default":
                params["augmentation"] = resolve_augmentation(given)
        return super().set_params(**params)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.estimator_type = "regressor"
        tags.input_tags.two_d_array = False
        tags.target_tags.required = True
        return tags

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        sources: Subjects,
        targets: Subjects,
        sample_weight: ArrayLike | None = None,
        *,
        groups: ArrayLike | None = None,
        masks: Masks | None = None,
    ) -> Self:
        """Train on subjects who have both contrasts.

        A network of this package with ``early_stopping`` holds out whole subjects.

        Parameters
        ----------
        sources : list
            One entry a subject: a path or nibabel image or, for several source
            contrasts, a list of them. With ``missing_sources``, None in such a list
            stands for a contrast that the subject lacks.
        targets : list
            What to predict, likewise, each on the grid of its source.
        sample_weight : array-like of shape (n_subjects,), default=None
            Weight of each subject's voxels, if the estimator takes weights; subjects
            of weight 0 are left out.
        groups : array-like of shape (n_subjects,), default=None
            Who is held out together, where entries are scans of the same person.
        masks : list, default=None
            The brain of each subject: a path, image or array on the grid of its source,
            or None where ``mask_img`` shall tell. A mask may be of two values or of
            probabilities, and scans need not be stripped. Cross-validation hands masks
            on to `fit` and `score` with scikit-learn's metadata routing enabled.

        Returns
        -------
        self : object
            The fitted synthesizer.

        Raises
        ------
        FileNotFoundError
            If a file is missing.
        TypeError
            If an argument is not a list, or an entry is no image; if there is a
            ``sample_weight``, which the estimator does not take; if that is a
            classifier.
        ValueError
            If an image cannot be used: it is truncated, not three-dimensional,
            holds NaN or infinity, is constant over its brain, has an empty mask or
            another grid than its partner; if a subject lacks a contrast, or has no
            neighbours; or if the work does not fit ``max_memory``.
        """
        augmentation = resolve_augmentation(self.augmentation)
        sources, targets = as_list(sources, "sources"), as_list(targets, "targets")
        tasks = FitTasks(self, len(sources) + 1, sources, targets, sample_weight)
        sources, targets = pair_subjects(sources, targets, masks=masks)
        groups = range(len(sources)) if groups is None else groups
        groups = check_groups(groups, len(sources), "subjects")
        sources, targets, groups, sample_weight = weighted_subjects(
            sources, targets, groups, sample_weight
        )
        rng = check_random_state(self.random_state)
        seeds = rng.randint(np.iinfo(np.int32).max, size=len(sources))
        estimator = make_estimator(self, rng)
        window = window_of(self, estimator, sources)
        normalizer = resolve_normalizer(self.normalization)
        preparation = Preparation.of(
            Masker.resolve(self.mask_img),
            window,
            normalizer,
            sources,
            targets,
        )
        preparation.check_missing(sources)
        check_each_contrast(sources, "sources")
        owners = groups
        groups = groups if len(np.unique(groups)) > 1 else None  # to hold out of
        given = given_to_fit(
            self, estimator, sample_weight=sample_weight, groups=groups
        )
        estimator = for_what_is_there(estimator, window, sources, rng)
        n_readers, n_jobs = training_jobs(self, estimator, window, sources, targets)
        preparation = preparation.with_neighbours(
            sources,
            targets,
            owners,
            memory=self.memory,
            n_jobs=n_readers,
            verbose=self.verbose,
        )
        samples = []
        drawn = self._draw(preparation, sources, targets, seeds, n_readers)
        for _ in sources:
            tasks.begin("read-subject")
            samples.append(next(drawn))
            tasks.end()
        preparation, samples = decide(normalizer, preparation, samples, owners, rng)
        preparation = preparation.fitted(samples)
        warn_of(preparation.doubts_of_training(samples, sources, targets))
        n_voxels = [len(sample.patches) for sample in samples]
        places = [sample.coordinates for sample in samples]
        X, y = preparation.arrays(samples, augmentation, seeds)
        preparation = preparation.with_novelty(X, places)
        given = {name: np.repeat(values, n_voxels) for name, values in given.items()}
        with shared_n_jobs(n_jobs), tasks.delegated("fit-estimator", estimator):
            estimator.fit(X, y, **given)
        names = [each[0].name for each in sources]
        warn_of(doubts_of_learning(estimator, X, y, n_voxels, names))

        self.estimator_ = estimator
        self.preparation_ = preparation
        self.n_voxels_ = n_voxels
        self.bids_query_ = None
        tasks.close()
        return self

    def predict(
        self,
        sources: Subjects,
        *,
        masks: Masks | None = None,
        scale_to: Subjects | None = None,
        return_std: bool = False,
        return_interval: float | None = None,
        return_novelty: bool = False,
        on_unlike: str = "warn",
    ) -> list | tuple:
        """Synthesise the target contrast of each subject.

        Parameters
        ----------
        sources : list
            Images of each subject, as in `fit`.
        masks : list, default=None
            The brain of each subject, as in `fit`.
        scale_to : list, default=None
            Scans of the target contrast whose units to answer in, one entry a
            subject: their normalisation maps the synthesis back. By default
            answers come in the units of a typical training scan.
        return_std : bool, default=False
            Also return how far the synthesis may be off; it takes an ensemble.
        return_interval : float, default=None
            Also return an interval that keeps this level, such as 0.9: in a new
            subject, exchangeable with those of training, it holds the scan in this
            share of the voxels or more, on average over subjects. It takes an ensemble
            trained on two or more subjects; n of them keep no level above n / (n + 1).
        return_novelty : bool, default=False
            Also return how unlike training the surroundings of each voxel are.
        on_unlike : {"warn", "raise", "ignore"}, default="warn"
            What to do about scans that are unlike those of training.

        Returns
        -------
        images : list of Nifti1Image
            One for each subject, or a list of them for several target contrasts:
            float32, on the grid of the subject's image, 0 outside the brain.
        std_images : list of Nifti1Image
            With ``return_std``: the standard deviation in each voxel, likewise, as
            it was before ``smoothing``.
        interval_images : (lower, upper), lists of Nifti1Image
            With ``return_interval``: the ends of the interval, likewise.
        novelty_images : list of Nifti1Image
            With ``return_novelty``, one for each subject: how unusual its scans are
            around each voxel, for that place. It is minus the decimal logarithm of
            the share of training voxels, each subject judged by the others, that
            were as unusual: 2 is one in a hundred. Beyond 4 it is extrapolated.

            What is asked for comes in this order, after ``images``, as a tuple.

        Raises
        ------
        FileNotFoundError, TypeError
            As `fit`.
        ValueError
            As `fit`; if there is no ensemble to take deviations or an interval from,
            the level cannot be kept, or a model of an older release knows no novelty.
        """
        check_is_fitted(self)
        sources, scans = self.preparation_.open(sources, scale_to, "scale_to", masks)
        asked = return_std, return_interval, return_novelty
        n_images = self._check_asked(*asked)
        subjects_at_once(self, sources, scans, n_images=n_images)
        subjects = []
        for source, scan in zip(sources, scans, strict=True):
            subject = self.preparation_.read(source, on_unlike=on_unlike)
            units = self.preparation_.units(subject, scan)
            synthesis = self._synthesis(subject, units, *asked)
            warn_of(synthesis.doubts)
            subjects.append([_one_or_all(kind) for kind in synthesis.all_images])
        images, *more = map(list, zip(*subjects, strict=True))
        if return_interval is not None:
            first = bool(return_std)
            more[first : first + 2] = [tuple(more[first : first + 2])]
        return (images, *more) if more else images

    def synthesize(
        self,
        source: Image | Sequence[Image],
        target: Image | Sequence[Image] | None = None,
        *,
        mask: Mask | None = None,
        return_std: bool = False,
        return_interval: float | None = None,
        return_novelty: bool = False,
        on_unlike: str = "warn",
    ) -> Synthesis:
        """Synthesise one subject, and tell what is doubtful rather than warn of it.

        Parameters
        ----------
        source : path, image or list of them
            An entry of what `predict` takes.
        target : path, image or list of them, default=None
            An entry of what `score` takes: the brain is then where these scans have
            one, too, unless it is given, and the synthesis comes in their units.
        mask : path, image or array, default=None
            An entry of what `predict` takes as ``masks``.
        return_std : bool, default=False
            Also find the standard deviation, which takes an ensemble.
        return_interval : float, default=None
            Also find an interval of this level, as `predict`.
        return_novelty : bool, default=False
            Also find how unlike training the surroundings of each voxel are.
        on_unlike : {"warn", "raise", "ignore"}, default="warn"
            What to do about scans that are unlike those of training: by default, it is
            among the ``doubts``.

        Returns
        -------
        synthesis : Synthesis
            With ``images`` and ``std_images``, a list each; ``interval_images``, a
            list of lower ends and one of upper ends; ``novelty_image``; the brain's
            volume in ``millilitres``; the affine map ``world_to_places`` to the
            coordinates that said where voxels lie; ``likeness``, the statistics by
            which the scans were compared with those of training, in ``values`` and
            ``limits``; ``doubts``, a list of `ScanWarning`; and a method
            ``scores(metric)``.

        Raises
        ------
        FileNotFoundError, TypeError, ValueError
            As `predict`.
        """
        check_is_fitted(self)
        targets = None if target is None else [target]
        masks = None if mask is None else [mask]
        (sources,), (scans,) = self.preparation_.open([source], targets, masks=masks)
        asked = return_std, return_interval, return_novelty
        n_images = self._check_asked(*asked)
        subjects_at_once(self, [sources], [scans], n_images=n_images)
        subject = self.preparation_.read(sources, scans, on_unlike)
        units = self.preparation_.units(subject)
        return self._synthesis(subject, units, *asked)

    def check_ensemble(self) -> None:
        """Raise ValueError unless there are several members to disagree."""
        check_is_fitted(self)
        if role_of(self.estimator_).noise is None:
            raise ValueError(
                "A standard deviation needs an ensemble: fit with n_estimators=2 or "
                "more (lsdn fit --n-estimators)."
            )

    def check_interval(self, level: float) -> None:
        """Raise ValueError unless intervals can keep a level.

        Parameters
        ----------
        level : float
            Between 0 and 1.
        """
        check_is_fitted(self)
        scores = scores_that_keep(role_of(self.estimator_).held_back, level)
        if not scores.of_groups:
            raise ValueError(
                "This model was trained on one subject, and nothing tells how much "
                "another differs: intervals take two or more in training."
            )

    def check_novelty(self) -> None:
        """Raise ValueError unless it is known what was usual in training."""
        check_is_fitted(self)
        if self.preparation_.novelty is None:
            raise ValueError(
                "This model does not remember what was usual in training, by which "
                "novelty is measured: it is of an older release, or no subject had all "
                "source contrasts. Fit it anew."
            )

    def _check_asked(self, return_std, return_interval, return_novelty):
        """How many images of each target contrast are asked for, if they can be."""
        role_of(self).check_asked(return_std, return_interval, return_novelty)
        n_images = 1 + bool(return_std) + 2 * (return_interval is not None)
        return n_images + bool(return_novelty)

    def score(
        self,
        sources: Subjects,
        targets: Subjects,
        sample_weight: ArrayLike | None = None,
        *,
        masks: Masks | None = None,
        on_unlike: str = "warn",
    ) -> float:
        """Mean SNR of the syntheses against the scans that they should become.

        Parameters
        ----------
        sources : list
            Images of each subject, as in `fit`.
        targets : list
            The target scans, likewise.
        sample_weight : array-like of shape (n_subjects,), default=None
            Weight of each subject in the mean.
        masks : list, default=None
            The brain of each subject, as in `fit`.
        on_unlike : {"warn", "raise", "ignore"}, default="warn"
            What to do about scans that are unlike those of training.

        Returns
        -------
        score : float
            Mean over subjects and target contrasts, in dB, over the brain, in the
            units of each target scan.
        """
        options = dict(masks=masks, on_unlike=on_unlike)
        scores = self.score_volumes(sources, targets, **options).mean(axis=1)
        return float(np.average(scores, weights=sample_weight))

    def score_volumes(
        self,
        sources: Subjects,
        targets: Subjects,
        *,
        metric: Callable[[np.ndarray, np.ndarray], Any] = snr_score,
        masks: Masks | None = None,
        on_unlike: str = "warn",
    ) -> np.ndarray:
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
        masks : list, default=None
            The brain of each subject, as in `fit`.
        on_unlike : {"warn", "raise", "ignore"}, default="warn"
            What to do about scans that are unlike those of training.

        Returns
        -------
        scores : ndarray of shape (n_subjects, n_target_contrasts)
        """
        check_is_fitted(self)
        sources, targets = self.preparation_.open(sources, targets, masks=masks)
        subjects_at_once(self, sources, targets)
        scores = []
        for files in zip(sources, targets, strict=True):
            subject = self.preparation_.read(*files, on_unlike)
            synthesis = self._synthesis(subject, self.preparation_.units(subject))
            warn_of(synthesis.doubts)
            scores.append(synthesis.scores(metric))
        return np.array(scores)

    def sample_voxels(
        self,
        sources: Subjects,
        targets: Subjects,
        *,
        masks: Masks | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw voxels as `fit` does, on the scale of a fitted synthesizer.

        For training ``estimator_`` further, shrinking it, or comparing regressors.

        Parameters
        ----------
        sources : list
            Images of each subject, as in `fit`.
        targets : list
            The target scans, likewise.
        masks : list, default=None
            The brain of each subject, as in `fit`.
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
        return self._sample_to_train(None, sources, targets, masks, random_state)[:2]

    def get_metadata_routing(self) -> routing.MetadataRouter:
        """Say what goes to the estimator that `fit` trains.

        Returns
        -------
        routing : MetadataRouter
        """
        mapping = routing.MethodMapping().add(caller="fit", callee="fit")
        router = routing.MetadataRouter(owner=self).add_self_request(self)
        return router.add(estimator=to_be_trained(self), method_mapping=mapping)

    def shrink(
        self,
        sources: Subjects,
        targets: Subjects,
        *,
        keep: str | float | Sequence[int | float] = "auto",
        masks: Masks | None = None,
        random_state: int | np.random.RandomState | None = None,
        on_unlike: str = "warn",
        **parameters: Any,
    ) -> "VolumeSynthesizer":
        """Make a copy with a smaller network, by ShrinkConnect.

        Parameters
        ----------
        sources : list
            Images of each subject, as in `fit`: those of training, or others.
        targets : list
            The target scans, likewise.
        keep : "auto", float or list of int or float, default="auto"
            How many nodes stay, as in `ShrinkConnect`.
        masks : list, default=None
            The brain of each subject, as in `fit`.
        random_state : int, RandomState instance or None, default=None
            Draws voxels, and orders them in training after shrinking.
        on_unlike : {"warn", "raise", "ignore"}, default="warn"
            What to do about scans that are unlike those of training.
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
        network = role_of(self.estimator_).to_be_shrunk()
        rng = check_random_state(random_state)
        shrunk = ShrinkConnect(network, prefit=True, keep=keep, **parameters)
        X, y, n_jobs = self._sample_to_train(
            shrunk, sources, targets, masks, rng, on_unlike=on_unlike, check=True
        )
        shrunk.set_params(random_state=rng.randint(np.iinfo(np.int32).max))
        with shared_n_jobs(n_jobs):
            shrunk.fit(X, y)
        smaller = copy.copy(self)
        smaller.estimator_ = shrunk
        # What it was made of would weigh more than what it became.
        smaller.estimator_.set_params(estimator=clone(network), prefit=False)
        return smaller

    def _draw(self, preparation, sources, targets, seeds, n_jobs):
        running = dict(memory=self.memory, n_jobs=n_jobs, verbose=self.verbose)
        return preparation.draw(sources, targets, seeds, self.n_voxels, **running)

    def _sample_to_train(
        self,
        estimator,
        sources,
        targets,
        masks,
        random_state,
        on_unlike="warn",
        check=False,
    ):
        """Voxels to train an estimator on, or None, and how many jobs may do that.

        With ``check`` subjects are named that ``estimator_`` has not learned.
        """
        preparation = self.preparation_
        augmentation = resolve_augmentation(self.augmentation)
        sources, targets = preparation.open(sources, targets, masks=masks)
        rng = check_random_state(random_state)
        seeds = rng.randint(np.iinfo(np.int32).max, size=len(sources))
        window = preparation.window
        n_readers, n_jobs = training_jobs(self, estimator, window, sources, targets)
        samples = list(self._draw(preparation, sources, targets, seeds, n_readers))
        names = [each[0].name for each in sources]
        warn_of(preparation.doubts_of_training(samples, sources, targets))
        for sample, files in zip(samples, sources, strict=True):
            warn_of(preparation.doubts_of_sample(sample, files, on_unlike))
        n_voxels = [len(sample.patches) for sample in samples]
        X, y = preparation.arrays(samples, augmentation, seeds)
        if check:
            doubts = doubts_of_learning(self.estimator_, X, y, n_voxels, names)
            warn_of(doubts)
        return X, y, n_jobs

    def _synthesis(
        self, subject, units, return_std=False, level=None, return_novelty=False
    ):
        """Predict the brain's voxels. It empties ``subject.volumes``."""
        preparation, asked = self.preparation_, (return_std, level, return_novelty)
        means, deviations, reach, novelty = self._synthesize(subject, *asked)
        intensities = preparation.intensities(means, units)
        synthesis = Synthesis(subject, intensities, novelty=novelty)
        if return_std:
            synthesis.deviations = preparation.deviations(means, deviations, units)
        if level is not None:
            synthesis.interval = preparation.ends(means, reach, units)
        return synthesis

    def _synthesize(self, subject, return_std=False, level=None, return_novelty=False):
        """The same on the normalised scale: means, and what was asked for or None."""
        preparation = self.preparation_
        padded = preparation.padded(subject)
        estimator, read = role_of(self.estimator_).within(padded)
        n_targets = len(preparation.target_normalizers)
        slide = SlidingWindow(
            estimator, subject.mask, n_targets, preparation.window, self.n_jobs
        )
        deviations = reach = novelty = None
        if return_std or level is not None:
            means, deviations = slide.means_and_deviations(read)
        else:
            means = slide.means(read)
        if return_novelty:
            where = padded, subject.mask, subject.voxel_size
            novelty = preparation.novelty.at(*where, subject.contrasts)
        del padded, read
        subject.smooth(means, self.smoothing)
        back = subject.grid.give_back
        if deviations is not None:
            deviations = back(deviations, order=1)
        if level is not None:
            reach = role_of(estimator).held_back.reach(deviations, level)
        if novelty is not None:
            novelty = back(novelty, order=1)
        return back(means), deviations, reach, novelty

    def _check_parts(self):
        preparation, window = self.preparation_, self.preparation_.window
        n_targets = len(preparation.target_normalizers)
        ensure(n_targets > 0, "there is no target contrast")
        role_of(self.estimator_).check_sizes(
            window.n_features(len(preparation.source_normalizers), n_targets),
            window.n_outputs(n_targets),
        )
        ensure(sum(self.n_voxels_) > 0, "training voxels were not counted")


def _one_or_all(images):
    return images[0] if len(images) == 1 else images


class _SynthesizerRole(Role):
    takes_images = True

    @property
    def n_targets(self):
        return len(self.regressor.preparation_.target_normalizers)

    @property
    def n_volumes(self):
        return self.n_targets

    def check_asked(self, uncertainty, interval, novelty):
        if uncertainty:
            self.regressor.check_ensemble()
        if interval is not None:
            self.regressor.check_interval(interval)
        if novelty:
            self.regressor.check_novelty()

    def outcome(self, files, **asked):
        return self.regressor.synthesize(files, **asked)

    def facts(self):
        synthesizer, preparation = self.regressor, self.regressor.preparation_
        names = synthesizer.bids_query_ or {}
        return {
            **preparation.facts(names.get("source"), names.get("target")),
            "smoothing": f"{synthesizer.smoothing:g} mm",
            "training images": len(synthesizer.n_voxels_),
            "augmentation": resolve_augmentation(synthesizer.augmentation).facts(),
            "training voxels": sum(synthesizer.n_voxels_),
            **facts_of_part("estimator", synthesizer.estimator_),
        }


@role_of.register
def _(synthesizer: VolumeSynthesizer):
    return _SynthesizerRole(synthesizer)

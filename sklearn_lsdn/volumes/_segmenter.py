"""VolumeSegmenter: from images to labels and their probabilities."""

import os
from collections.abc import Callable, Sequence
from numbers import Integral
from operator import attrgetter
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils import metadata_routing as routing
from sklearn.utils.validation import check_is_fitted

from .._regressors.classifiers import LSDNClassifier
from .._regressors.metadata import given_to_fit
from .._regressors.roles import Role, facts_of_part, role_of
from .._utils.checks import check_numbers, ensure
from .._utils.doubts import warn_of
from .._utils.groups import check_groups
from .._utils.persistable import persistable
from .._utils.sklearn_private import HasMethods, Interval, StrOptions, _fit_context
from ..metrics import dice_score
from ._augmentation import Augmentation, resolve_augmentation
from ._budget import subjects_at_once, training_jobs
from ._estimator import make_estimator, weighted_subjects
from ._labels import draw_labelled, read_labels
from ._masks import Masker
from ._normalizer import NORMALIZER_METHODS, resolve_normalizer
from ._places import PLACES
from ._preparation import Preparation
from ._sampling import Window
from ._segmentation import Columns, Segmentation, probabilities_of
from ._sliding_window import SlidingWindow, shared_n_jobs
from ._subjects import (
    Image,
    Mask,
    Masks,
    Subjects,
    pair_subjects,
)

ALPHA = 4.0  # of networks: a few subjects have little of what is rare


@persistable("sklearn_lsdn")
class VolumeSegmenter(BaseEstimator):
    """Learn to tell what each voxel of an image is, from images with labels.

    From images of subjects and label images on their grids it draws voxels, as many of
    each class, takes the patch around each and the place where it lies, and trains a
    classifier. It then predicts the class of every brain voxel of new subjects, and how
    probable each is, on the grid of their images.

    Parameters
    ----------
    estimator : classifier, default=None
        Any scikit-learn classifier with probabilities; it is cloned. None stands for
        ``LSDNClassifier((400, 40), alpha=4.0)``. Networks of this package, unless
        inside a Pipeline, read patches straight from the volume when they predict.
    patch_size : int, default=3
        Voxels along each side of the patch around a voxel, odd.
    patch_scales : tuple of int, default=(1, 2, 4)
        Voxels from one of a patch's to the next, as in `VolumeSynthesizer`.
    places : {"brain", "world", "template"} or None, default="brain"
        What says where a voxel lies, as in `VolumeSynthesizer`.
    mask_img : path, image, "mni152" or None, default=None
        The brain, where ``masks`` of `fit` and `predict` do not tell, as in
        `VolumeSynthesizer`. Labels have no part in it.
    normalization : str or normalizer, default="zscore"
        How intensities become comparable between scans, as in `VolumeSynthesizer`,
        but for "auto".
    n_voxels : int, default=100_000
        Voxels drawn from each training subject: as many of each class that it has, or
        all of a class and more of the others.
    augmentation : "default", Augmentation or None, default="default"
        Random changes to the voxels that are trained on, as in `VolumeSynthesizer`.
        Mirrored voxels keep their labels: where these tell left from right, take
        ``Augmentation(mirror=False)``.
    memory : str, path or joblib.Memory, default=None
        Where to keep the voxels drawn from each subject.
    n_jobs : int, default=None
        Threads that read images and predict voxels, and the estimator's ``n_jobs``
        where it has none of its own.
    max_memory : int or str, default=None
        Bytes that the process may take, or a size such as "4G".
    random_state : int, RandomState instance or None, default=None
        Draws voxels, and seeds the estimator wherever it has a ``random_state``.
    verbose : int, default=0
        Say which subject is being read; networks print the loss of each epoch.

    Attributes
    ----------
    estimator_ : classifier
        The fitted classifier, from patches and coordinates to classes, whose
        probabilities are those among the voxels drawn.
    classes_ : ndarray of shape (n_classes,)
        Labels, in order.
    class_shares_ : ndarray of shape (n_classes,)
        Of the brains of training, on average over subjects.
    drawn_shares_ : ndarray of shape (n_classes,)
        Of the voxels drawn. Bayes' rule brings probabilities from these shares to the
        former.
    preparation_ : Preparation
        What turns images into rows of numbers.
    n_contrasts_in_ : int
        Number of source contrasts.
    voxel_size_ : ndarray of shape (3,)
        Of the grid that voxels are predicted on, in mm.
    n_voxels_ : list of int
        Voxels drawn from each subject.
    bids_query_ : dict or None
        What `lsdn fit` chose images of a BIDS dataset by; None if it chose none.

    See Also
    --------
    LSDNClassifier : The network.
    VolumeSynthesizer : For intensities.
    volume_dice_scorer : For ``scoring=`` in cross-validation.

    Examples
    --------
    What is bright in simulated scans:

    >>> import nibabel as nib
    >>> from sklearn_lsdn import VolumeSegmenter
    >>> from sklearn_lsdn.datasets import make_brain_cohort
    >>> scans = make_brain_cohort(3, voxel_size=8, random_state=0).images["T1w"]
    >>> def white_matter(scan):
    ...     bright = scan.get_fdata() / scan.get_fdata().max() > 0.7
    ...     return nib.Nifti1Image(bright.astype("u1"), scan.affine)
    >>> labels = [white_matter(scan) for scan in scans]
    >>> segmenter = VolumeSegmenter(random_state=0).fit(scans[:2], labels[:2])
    >>> segmenter.predict(scans[2:])[0].get_data_dtype()
    dtype('uint8')
    >>> segmenter.score(scans[2:], labels[2:]) > 0.7  # Dice
    True
    """

    __metadata_request__fit = {"groups": True, "masks": True}
    __metadata_request__score = {"masks": True}

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict_proba"]), None],
        "patch_size": [Interval(Integral, 1, None, closed="left")],
        "patch_scales": ["array-like"],
        "places": [StrOptions({each for each in PLACES if each}), None],
        "mask_img": "no_validation",
        "normalization": [str, HasMethods(NORMALIZER_METHODS)],
        "n_voxels": [Interval(Integral, 1, None, closed="left")],
        "augmentation": [Augmentation, StrOptions({"default"}), None],
        "memory": "no_validation",
        "n_jobs": [Integral, None],
        "max_memory": [Interval(Integral, 1, None, closed="left"), str, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    classes_ = property(attrgetter("estimator_.classes_"), doc="")
    n_contrasts_in_ = property(attrgetter("preparation_.n_contrasts"), doc="")
    voxel_size_ = property(attrgetter("preparation_.voxel_size"), doc="")

    def __init__(
        self,
        estimator: BaseEstimator | None = None,
        *,
        patch_size: int = 3,
        patch_scales: Sequence[int] = (1, 2, 4),
        places: str | None = "brain",
        mask_img: Image | None = None,
        normalization: Any = "zscore",
        n_voxels: int = 100_000,
        augmentation: Augmentation | str | None = "default",
        memory: Any = None,
        n_jobs: int | None = None,
        max_memory: int | str | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.patch_size = patch_size
        self.patch_scales = patch_scales
        self.places = places
        self.mask_img = mask_img
        self.normalization = normalization
        self.n_voxels = n_voxels
        self.augmentation = augmentation
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

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.target_tags.required = True
        return tags

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        sources: Subjects,
        labels: Sequence[Image],
        sample_weight: ArrayLike | None = None,
        *,
        groups: ArrayLike | None = None,
        masks: Masks | None = None,
    ) -> Self:
        """Train on subjects whose voxels are labelled.

        A network of this package with ``early_stopping`` holds out whole subjects.

        Parameters
        ----------
        sources : list
            One entry a subject: a path or nibabel image or, for several source
            contrasts, a list of them, as in `VolumeSynthesizer`.
        labels : list
            An image of whole numbers of each subject, on the grid of its source. A
            subject may lack a class, as one without lesions does.
        sample_weight : array-like of shape (n_subjects,), default=None
            Weight of each subject's voxels, if the estimator takes weights; subjects
            of weight 0 are left out.
        groups : array-like of shape (n_subjects,), default=None
            Who is held out together, where entries are scans of the same person.
        masks : list, default=None
            The brain of each subject: a path, image or array on the grid of its source,
            or None where ``mask_img`` shall tell.

        Returns
        -------
        self : object
            The fitted segmenter.

        Raises
        ------
        FileNotFoundError
            If a file is missing.
        TypeError
            If an argument is not a list, or an entry is no image; if there is a
            ``sample_weight``, which the estimator does not take.
        ValueError
            If an image cannot be used, as in `VolumeSynthesizer`; if labels are no
            whole numbers, are those of a scan, or of one class alone; or if the work
            does not fit ``max_memory``.
        """
        augmentation = resolve_augmentation(self.augmentation)
        if self.normalization == "auto":
            raise ValueError(
                'normalization="auto" goes by how well intensities are predicted, and '
                'labels are none. Give "zscore", "nyul" or another.'
            )
        sources, labels = _paired(sources, labels, masks)
        groups = range(len(sources)) if groups is None else groups
        groups = check_groups(groups, len(sources), "subjects")
        sources, labels, groups, sample_weight = weighted_subjects(
            sources, labels, groups, sample_weight
        )
        rng = check_random_state(self.random_state)
        seeds = rng.randint(np.iinfo(np.int32).max, size=len(sources))
        estimator = make_estimator(self, rng, self._to_be_trained())
        window = Window.of(self.patch_size, self.patch_scales, 1, self.places)
        nothing = [[] for _ in labels]  # that is to become comparable among scans
        preparation = Preparation.of(
            Masker.resolve(self.mask_img),
            window,
            resolve_normalizer(self.normalization),
            sources,
            nothing,
        )
        preparation.check_missing(sources)
        groups = groups if len(np.unique(groups)) > 1 else None  # to hold out of
        given = given_to_fit(
            self, estimator, sample_weight=sample_weight, groups=groups
        )
        n_readers, n_jobs = training_jobs(self, estimator, window, sources, labels)
        running = dict(memory=self.memory, n_jobs=n_readers, verbose=self.verbose)
        drawn = preparation.draw(
            sources, labels, seeds, self.n_voxels, draw=draw_labelled, **running
        )
        samples = list(drawn)
        preparation = preparation.fitted(samples)
        warn_of(preparation.doubts_of_training(samples, sources, nothing))
        n_voxels = [len(sample.labels) for sample in samples]
        y = np.concatenate([sample.labels for sample in samples])
        classes = np.unique(y)
        if len(classes) < 2:
            raise ValueError(
                f"labels hold nothing but {classes[0]} in the brains. Give subjects in "
                "whom there are two classes or more, such as 0 and 1."
            )
        shares = [[each.shares.get(c, 0.0) for c in classes] for each in samples]
        weights = None if sample_weight is None else np.repeat(sample_weight, n_voxels)
        drawn = np.bincount(np.searchsorted(classes, y), weights)
        X, _ = preparation.arrays(samples, augmentation, seeds)
        given = {name: np.repeat(values, n_voxels) for name, values in given.items()}
        with shared_n_jobs(n_jobs):
            estimator.fit(X, y, **given)

        self.estimator_ = estimator
        self.preparation_ = preparation
        self.class_shares_ = np.average(shares, axis=0, weights=sample_weight)
        self.drawn_shares_ = drawn / drawn.sum()
        self.n_voxels_ = n_voxels
        self.bids_query_ = None
        return self

    def predict(
        self,
        sources: Subjects,
        *,
        masks: Masks | None = None,
        on_unlike: str = "warn",
    ) -> list:
        """Label each subject's voxels by their most probable class.

        Parameters
        ----------
        sources : list
            Images of each subject, as in `fit`.
        masks : list, default=None
            The brain of each subject, as in `fit`.
        on_unlike : {"warn", "raise", "ignore"}, default="warn"
            What to do about scans that are unlike those of training.

        Returns
        -------
        images : list of Nifti1Image
            One for each subject: whole numbers, on the grid of its image, 0 outside the
            brain.

        Raises
        ------
        FileNotFoundError, TypeError, ValueError
            As `fit`.
        """
        outcomes = self._outcomes(sources, masks, on_unlike)
        return [outcome.image for outcome, _ in outcomes]

    def predict_proba(
        self,
        sources: Subjects,
        *,
        masks: Masks | None = None,
        on_unlike: str = "warn",
    ) -> list:
        """Predict how probable each class is, in each voxel.

        Parameters
        ----------
        sources : list
            Images of each subject, as in `fit`.
        masks : list, default=None
            The brain of each subject, as in `fit`.
        on_unlike : {"warn", "raise", "ignore"}, default="warn"
            What to do about scans that are unlike those of training.

        Returns
        -------
        images : list of list of Nifti1Image
            For each subject one for each of ``classes_``: float32, of sum 1 in the
            brain, on the grid of its image, 0 outside the brain. They go by how
            frequent classes are in the brains of training, and not among the voxels
            drawn.

        Raises
        ------
        FileNotFoundError, TypeError, ValueError
            As `fit`.
        """
        outcomes = self._outcomes(sources, masks, on_unlike)
        return [outcome.probability_images for outcome, _ in outcomes]

    def segment(
        self,
        source: Image | Sequence[Image],
        *,
        mask: Mask | None = None,
        on_unlike: str = "warn",
    ) -> Segmentation:
        """Segment one subject, and tell what is doubtful rather than warn of it.

        Parameters
        ----------
        source : path, image or list of them
            An entry of what `predict` takes.
        mask : path, image or array, default=None
            An entry of what `predict` takes as ``masks``.
        on_unlike : {"warn", "raise", "ignore"}, default="warn"
            What to do about scans that are unlike those of training: by default, it is
            among the ``doubts``.

        Returns
        -------
        segmentation : Segmentation
            With ``image``; ``probability_images``, a list; and what a synthesis tells
            of its scans: ``millilitres``, ``likeness``, ``doubts``.

        Raises
        ------
        FileNotFoundError, TypeError, ValueError
            As `predict`.
        """
        check_is_fitted(self)
        masks = None if mask is None else [mask]
        (files,), _ = self.preparation_.open([source], masks=masks)
        subjects_at_once(self, [files])
        return self._segment(files, on_unlike)

    def score(
        self,
        sources: Subjects,
        labels: Sequence[Image],
        sample_weight: ArrayLike | None = None,
        *,
        masks: Masks | None = None,
        on_unlike: str = "warn",
    ) -> float:
        """Mean Dice coefficient of predicted labels against those that are known.

        Parameters
        ----------
        sources : list
            Images of each subject, as in `fit`.
        labels : list
            The label image of each, likewise.
        sample_weight : array-like of shape (n_subjects,), default=None
            Weight of each subject in the mean.
        masks : list, default=None
            The brain of each subject, as in `fit`.
        on_unlike : {"warn", "raise", "ignore"}, default="warn"
            What to do about scans that are unlike those of training.

        Returns
        -------
        score : float
            Mean over subjects, of each that over its classes but 0.
        """
        options = dict(masks=masks, on_unlike=on_unlike)
        scores = self.score_volumes(sources, labels, **options)
        return float(np.average(scores, weights=sample_weight))

    def score_volumes(
        self,
        sources: Subjects,
        labels: Sequence[Image],
        *,
        metric: Callable[[np.ndarray, np.ndarray], Any] = dice_score,
        response: str = "labels",
        masks: Masks | None = None,
        on_unlike: str = "warn",
    ) -> np.ndarray:
        """Score each subject's labels, or probabilities, against what is known.

        Parameters
        ----------
        sources : list
            Images of each subject, as in `fit`.
        labels : list
            The label image of each, likewise.
        metric : callable, default=dice_score
            ``metric(y_true, y_pred)`` of the voxels of the brain, and of those that are
            labelled outside of it, for which 0 is predicted.
        response : {"labels", "probabilities"}, default="labels"
            What ``y_pred`` is: labels, or probabilities in an array of shape (n_voxels,
            n_classes).
        masks : list, default=None
            The brain of each subject, as in `fit`.
        on_unlike : {"warn", "raise", "ignore"}, default="warn"
            What to do about scans that are unlike those of training.

        Returns
        -------
        scores : ndarray of shape (n_subjects,)
        """
        check_is_fitted(self)
        if response not in ("labels", "probabilities"):
            raise ValueError(
                f"response must be 'labels' or 'probabilities', got {response!r}."
            )
        sources, labels = _paired(sources, labels, masks)
        outcomes = self._outcomes(sources, None, on_unlike, labels)
        return np.array(
            [
                outcome.compare(read_labels(file), metric, response)
                for outcome, (file,) in outcomes
            ]
        )

    def get_metadata_routing(self) -> routing.MetadataRouter:
        """Say what goes to the estimator that `fit` trains.

        Returns
        -------
        routing : MetadataRouter
        """
        mapping = routing.MethodMapping().add(caller="fit", callee="fit")
        router = routing.MetadataRouter(owner=self).add_self_request(self)
        return router.add(estimator=self._to_be_trained(), method_mapping=mapping)

    def _to_be_trained(self):
        if self.estimator is None:
            return LSDNClassifier((400, 40), alpha=ALPHA)
        return self.estimator

    def _outcomes(self, sources, masks, on_unlike, labels=None):
        """What is made of each subject, after a warning of what is doubtful."""
        check_is_fitted(self)
        sources, _ = self.preparation_.open(sources, masks=masks)
        subjects_at_once(self, sources, n_images=1)
        for files, known in zip(sources, labels or sources, strict=True):
            outcome = self._segment(files, on_unlike)
            warn_of(outcome.doubts)
            yield outcome, known

    def _segment(self, files, on_unlike):
        preparation, columns = self.preparation_, Columns(self.estimator_)
        subject = preparation.read(files, on_unlike=on_unlike)
        padded = preparation.padded(subject)
        slide = SlidingWindow(
            columns, subject.mask, columns.n_columns, preparation.window, self.n_jobs
        )
        shift = self.class_shares_ / self.drawn_shares_
        p = probabilities_of(slide.means(padded), shift)
        p = subject.grid.give_back(p, order=1)
        return Segmentation(subject, self.classes_, p)

    def _check_parts(self):
        preparation, classes = self.preparation_, self.classes_
        n_features = preparation.window.n_features(preparation.n_contrasts, 0)
        role = role_of(self.estimator_)
        role.check_sizes(n_features, Columns(self.estimator_).n_columns)
        ensure(len(classes) > 1 and classes.dtype.kind in "iu", "classes are no labels")
        for name in ("class_shares_", "drawn_shares_"):
            check_numbers(self, name, getattr(self, name), classes.shape)
        ensure(self.drawn_shares_.min() > 0, "a class was not drawn")
        ensure(sum(self.n_voxels_) > 0, "training voxels were not counted")


def _paired(sources, labels, masks):
    """Sources, and of each subject the one label image, which belong together."""
    sources, labels = pair_subjects(sources, labels, "labels", masks)
    if labels[0][0].among > 1:
        raise ValueError(
            f"labels[0] has {labels[0][0].among} images. Give one label image a "
            "subject, with a number for each class."
        )
    return sources, labels


class _SegmenterRole(Role):
    takes_images = True
    n_targets = 1

    @property
    def classes(self):
        return self.regressor.classes_

    @property
    def n_volumes(self):
        return len(self.classes)

    def check_asked(self, uncertainty, interval, novelty):
        if uncertainty or interval is not None or novelty:
            raise ValueError(
                "This model predicts labels, whose probabilities say how sure it is: "
                "it has no standard deviation, interval or novelty."
            )

    def outcome(self, files, on_unlike, **asked):
        return self.regressor.segment(files, on_unlike=on_unlike)

    def facts(self):
        segmenter, preparation = self.regressor, self.regressor.preparation_
        names = segmenter.bids_query_ or {}
        facts = preparation.facts(names.get("source"))
        for of_targets in ("target contrasts", "target patch", "neighbours"):
            del facts[of_targets]
        shares = zip(segmenter.classes_, segmenter.class_shares_, strict=True)
        return {
            **facts,
            "labels": ", ".join(names.get("target", ["not named"])),
            "shares of the brain": ", ".join(f"{c}: {s:.3g}" for c, s in shares),
            "training images": len(segmenter.n_voxels_),
            "augmentation": resolve_augmentation(segmenter.augmentation).facts(),
            "training voxels": sum(segmenter.n_voxels_),
            **facts_of_part("estimator", segmenter.estimator_),
        }


@role_of.register
def _(segmenter: VolumeSegmenter):
    return _SegmenterRole(segmenter)

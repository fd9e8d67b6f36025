"""How good a synthesis or a segmentation is, and scorers for model selection."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import find_objects
from sklearn.base import BaseEstimator
from sklearn.metrics import average_precision_score, make_scorer
from sklearn.utils.metadata_routing import MetadataRequest
from sklearn.utils.validation import check_array, column_or_1d

from ._utils.optional import require
from ._utils.sklearn_private import check_weights

__all__ = [
    "dice_score",
    "dice_scorer",
    "psnr_score",
    "snr_score",
    "snr_scorer",
    "ssim_score",
    "volume_average_precision_scorer",
    "volume_dice_scorer",
    "volume_snr_scorer",
]


def _check_targets(y_true, y_pred, sample_weight):
    y_true, y_pred = (
        check_array(y, ensure_2d=False, dtype=np.float64, input_name=name)
        for y, name in ((y_true, "y_true"), (y_pred, "y_pred"))
    )
    if y_true.shape != y_pred.shape or y_true.ndim > 2:
        raise ValueError(
            "y_true and y_pred must have the same shape, (n_samples,) or (n_samples, "
            f"n_outputs); got {y_true.shape} and {y_pred.shape}."
        )
    weight = check_weights(sample_weight, y_true)
    return y_true.reshape(len(weight), -1), y_pred.reshape(len(weight), -1), weight


def _decibel(numerator, denominator):
    """10 log10 of a ratio of powers: +inf over nothing, else -inf of nothing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        level = 10.0 * (np.log10(numerator) - np.log10(denominator))
    return np.where(denominator == 0, np.inf, level)


def _average(scores, multioutput):
    if isinstance(multioutput, str):
        if multioutput == "raw_values":
            return scores
        if multioutput == "uniform_average":
            return float(np.mean(scores))
        raise ValueError(
            'multioutput must be "raw_values", "uniform_average" or weights, got '
            f"{multioutput!r}."
        )
    weights = np.asarray(multioutput)
    if weights.shape != scores.shape:
        raise ValueError(
            f"multioutput has shape {weights.shape}, but there are {len(scores)} "
            "outputs. Give a weight for each."
        )
    return float(np.average(scores, weights=weights))


def snr_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    multioutput: str | ArrayLike = "uniform_average",
) -> float | np.ndarray:
    r"""Signal-to-noise ratio of a prediction, in dB.

    .. math:: 10 \log_{10} \frac{\sum_n w_n t_n^2}{\sum_n w_n (t_n - y_n)^2}

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets t. The score depends on where their zero lies: for volumes, take
        the units of the target scan.
    y_pred : array-like of the same shape
        Predictions y.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights w.
    multioutput : str or array-like of shape (n_outputs,), default="uniform_average"
        "raw_values" for one score for each output, "uniform_average" for their mean,
        or weights for their mean by these.

    Returns
    -------
    score : float or ndarray of shape (n_outputs,)
        Higher is better. A perfect prediction scores inf, also of an all-zero
        target; any other prediction of an all-zero target scores -inf.

    Raises
    ------
    ValueError
        If the shapes differ, or a value is NaN or infinite.

    See Also
    --------
    psnr_score : Against the range of the target instead of its power.
    volume_snr_scorer : The same over the brain, for images.

    Examples
    --------
    >>> from sklearn_lsdn.metrics import snr_score
    >>> round(snr_score([3.0, 4.0], [3.0, 3.5]), 6)
    20.0
    """
    y_true, y_pred, weight = _check_targets(y_true, y_pred, sample_weight)
    signal = weight @ y_true**2
    noise = weight @ (y_true - y_pred) ** 2
    return _average(_decibel(signal, noise), multioutput)


def psnr_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    data_range: float | None = None,
    sample_weight: ArrayLike | None = None,
    multioutput: str | ArrayLike = "uniform_average",
) -> float | np.ndarray:
    r"""Peak signal-to-noise ratio of a prediction, in dB.

    .. math:: 10 \log_{10} \frac{R^2 \sum_n w_n}{\sum_n w_n (t_n - y_n)^2}

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets t.
    y_pred : array-like of the same shape
        Predictions y.
    data_range : float, default=None
        R; by default the largest minus the smallest target of each output.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights w.
    multioutput : str or array-like of shape (n_outputs,), default="uniform_average"
        "raw_values" for one score for each output, "uniform_average" for their mean,
        or weights for their mean by these.

    Returns
    -------
    score : float or ndarray of shape (n_outputs,)
        Higher is better. A perfect prediction scores inf, any other of a constant
        target -inf.

    Raises
    ------
    ValueError
        If the shapes differ, or a value is NaN or infinite.

    See Also
    --------
    snr_score : Against the power of the target instead of its range.

    Examples
    --------
    >>> from sklearn_lsdn.metrics import psnr_score
    >>> round(psnr_score([0.0, 1.0], [0.1, 0.9]), 6)
    20.0
    """
    y_true, y_pred, weight = _check_targets(y_true, y_pred, sample_weight)
    if data_range is None:
        data_range = np.ptp(y_true, axis=0)
    noise = weight @ (y_true - y_pred) ** 2
    return _average(_decibel(np.square(data_range) * weight.sum(), noise), multioutput)


def ssim_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    data_range: float | None = None,
) -> float:
    """Mean structural similarity of two volumes, as scikit-image computes it.

    It is taken over the bounding box of ``mask``, in windows of 7 voxels a side.

    Parameters
    ----------
    y_true : array-like of shape (nx, ny, nz)
        Target volume.
    y_pred : array-like of the same shape
        Synthesised volume.
    mask : array-like of bool of the same shape, default=None
        The brain; by default the voxels where ``y_true`` is not zero.
    data_range : float, default=None
        By default the largest minus the smallest value of ``y_true`` in the mask.

    Returns
    -------
    score : float
        At most 1, which is perfect. Two constant volumes score 1 if they are
        equal and 0 if not.

    Raises
    ------
    ImportError
        If scikit-image is missing.
    ValueError
        If the shapes differ, the mask is empty, or its box is smaller than 7
        voxels along an axis.

    See Also
    --------
    snr_score : From the squared error alone.

    References
    ----------
    Z. Wang, A. C. Bovik, H. R. Sheikh and E. P. Simoncelli, "Image quality
    assessment: from error visibility to structural similarity", IEEE TIP 13(4),
    600-612, 2004. :doi:`10.1109/TIP.2003.819861`

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lsdn.metrics import ssim_score
    >>> volume = np.random.RandomState(0).uniform(1, 2, (9, 9, 9))
    >>> ssim_score(volume, volume)
    1.0
    """
    structural_similarity = require("skimage.metrics").structural_similarity
    y_true, y_pred = (np.asarray(y, dtype=np.float64) for y in (y_true, y_pred))
    mask = y_true != 0 if mask is None else np.asarray(mask, dtype=bool)
    if not y_true.shape == y_pred.shape == mask.shape or y_true.ndim != 3:
        raise ValueError(
            "y_true, y_pred and mask must be volumes of the same shape; got "
            f"{y_true.shape}, {y_pred.shape} and {mask.shape}."
        )
    if not mask.any():
        raise ValueError("The mask is empty.")
    (box,) = find_objects(mask, max_label=1)
    y_in, y_out = y_true[box], y_pred[box]
    if min(y_in.shape) < 7:
        raise ValueError(
            "SSIM takes windows of 7 voxels a side, but the mask spans only "
            f"{' x '.join(map(str, y_in.shape))} voxels."
        )
    if data_range is None:
        data_range = np.ptp(y_true[mask])
    if data_range == 0:
        return float(np.array_equal(y_in, y_out))
    return float(structural_similarity(y_in, y_out, data_range=data_range))


snr_scorer = make_scorer(snr_score)
snr_scorer.__doc__ = """Scorer of arrays by `snr_score`, for ``scoring=``."""


def volume_snr_scorer(
    estimator: BaseEstimator,
    sources: Sequence,
    targets: Sequence,
    sample_weight: ArrayLike | None = None,
    *,
    masks: Sequence | None = None,
) -> float:
    """Score a synthesizer by its mean SNR over volumes, for ``scoring=``.

    Each synthesis is brought to the units of its target scan and compared with it
    over the brain.

    Parameters
    ----------
    estimator : VolumeSynthesizer
        A fitted synthesizer.
    sources : list
        Source images of each subject.
    targets : list
        The target scans they should become.
    sample_weight : array-like of shape (n_subjects,), default=None
        Weight of each subject in the mean.
    masks : list, default=None
        The brain of each subject. In cross-validation and searches it comes from
        their ``masks``, with scikit-learn's metadata routing enabled.

    Returns
    -------
    score : float
        Mean over volumes, in dB.

    See Also
    --------
    snr_score : The formula.
    VolumeSynthesizer.score_volumes : The score of each volume.

    Examples
    --------
    >>> from sklearn.model_selection import LeaveOneGroupOut, cross_validate
    >>> from sklearn_lsdn import VolumeSynthesizer, volume_snr_scorer
    >>> from sklearn_lsdn.datasets import make_brain_cohort
    >>> cohort = make_brain_cohort(2, voxel_size=8, random_state=0)
    >>> scores = cross_validate(
    ...     VolumeSynthesizer(random_state=0), cohort.images["T1w"],
    ...     cohort.images["T2w"], groups=cohort.subjects, cv=LeaveOneGroupOut(),
    ...     scoring=volume_snr_scorer)["test_score"]
    >>> scores.shape
    (2,)
    """
    given = {} if masks is None else {"masks": masks}
    return estimator.score(sources, targets, sample_weight, **given)


def dice_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    r"""Dice coefficient of predicted labels: how far two segmentations overlap.

    .. math:: \frac{2 |T \cap P|}{|T| + |P|}

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Labels: T is where one of them is.
    y_pred : array-like of shape (n_samples,)
        Predicted labels, likewise P.
    labels : array-like of shape (n_labels,), default=None
        Those that count; all but 0 among both, by default.
    sample_weight : array-like of shape (n_samples,), default=None
        Weight of each sample.

    Returns
    -------
    score : float
        From 0 to 1, which is perfect; the mean over labels. One that neither has
        scores 1: nothing was there, and nothing was found.

    Raises
    ------
    ValueError
        If the lengths differ.

    See Also
    --------
    sklearn.metrics.f1_score : The same for one label, with other ways to average.
    volume_dice_scorer : The same for images.

    Examples
    --------
    >>> from sklearn_lsdn.metrics import dice_score
    >>> dice_score([0, 1, 1, 0], [0, 1, 0, 0]) == 2 * 1 / (2 + 1)
    True
    """
    y_true, y_pred = column_or_1d(y_true), column_or_1d(y_pred)
    if len(y_true) != len(y_pred):
        raise ValueError(
            "y_true and y_pred must have the same length, got "
            f"{len(y_true)} and {len(y_pred)}."
        )
    weight = check_weights(sample_weight, y_true)
    if labels is None:
        labels = np.union1d(y_true, y_pred)
        labels = labels[labels != 0]
    scores = []
    for label in labels:
        there, found = y_true == label, y_pred == label
        whole = weight @ there + weight @ found
        scores.append(2 * (weight @ (there & found)) / whole if whole else 1.0)
    return float(np.mean(scores)) if scores else 1.0


dice_scorer = make_scorer(dice_score)
dice_scorer.__doc__ = """Scorer of arrays by `dice_score`, for ``scoring=``."""


def volume_dice_scorer(
    estimator: BaseEstimator,
    sources: Sequence,
    labels: Sequence,
    sample_weight: ArrayLike | None = None,
    *,
    masks: Sequence | None = None,
) -> float:
    """Score a segmenter by its mean Dice coefficient, for ``scoring=``.

    Parameters
    ----------
    estimator : VolumeSegmenter
        A fitted segmenter.
    sources : list
        Source images of each subject.
    labels : list
        The label image of each.
    sample_weight : array-like of shape (n_subjects,), default=None
        Weight of each subject in the mean.
    masks : list, default=None
        The brain of each subject, as `volume_snr_scorer` takes it.

    Returns
    -------
    score : float
        Mean over subjects.

    See Also
    --------
    dice_score : The formula.
    volume_average_precision_scorer : Of probabilities, whatever the threshold.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut
    >>> from sklearn_lsdn import VolumeSegmenter, volume_dice_scorer
    >>> search = GridSearchCV(
    ...     VolumeSegmenter(), {"patch_scales": [(1,), (1, 2, 4)]},
    ...     cv=LeaveOneGroupOut(), scoring=volume_dice_scorer)
    """
    given = {} if masks is None else {"masks": masks}
    return estimator.score(sources, labels, sample_weight, **given)


def volume_average_precision_scorer(
    estimator: BaseEstimator,
    sources: Sequence,
    labels: Sequence,
    sample_weight: ArrayLike | None = None,
    *,
    masks: Sequence | None = None,
) -> float:
    """Score a segmenter's probabilities by their average precision, for ``scoring=``.

    Parameters
    ----------
    estimator : VolumeSegmenter
        A fitted segmenter.
    sources : list
        Source images of each subject.
    labels : list
        The label image of each.
    sample_weight : array-like of shape (n_subjects,), default=None
        Weight of each subject in the mean.
    masks : list, default=None
        The brain of each subject, as `volume_snr_scorer` takes it.

    Returns
    -------
    score : float
        Mean over subjects, of each that over the classes that it has, but 0; a subject
        that has none does not count. NaN, if no subject has any.

    See Also
    --------
    volume_dice_scorer : Of labels.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut
    >>> from sklearn_lsdn import VolumeSegmenter, volume_average_precision_scorer
    >>> search = GridSearchCV(
    ...     VolumeSegmenter(), {"patch_scales": [(1,), (1, 2, 4)]},
    ...     cv=LeaveOneGroupOut(), scoring=volume_average_precision_scorer)
    """

    def metric(y_true, p):
        scores = [
            average_precision_score(y_true == label, column)
            for label, column in zip(estimator.classes_, p.T, strict=True)
            if label != 0 and (y_true == label).any()
        ]
        return np.mean(scores) if scores else np.nan

    given = {"metric": metric, "response": "probabilities", "masks": masks}
    scores = estimator.score_volumes(sources, labels, **given)
    weight = check_weights(sample_weight, scores)
    counts = ~np.isnan(scores)
    total = weight[counts].sum()
    return float(weight[counts] @ scores[counts] / total) if total else float("nan")


def _routing_of(scorer):
    """What scikit-learn, with metadata routing enabled, hands on to a scorer."""

    def get_metadata_routing():
        request = MetadataRequest(owner=scorer.__name__)
        request.score.add_request(param="sample_weight", alias=None)
        request.score.add_request(param="masks", alias=True)
        return request

    return get_metadata_routing


for _scorer in (volume_snr_scorer, volume_dice_scorer, volume_average_precision_scorer):
    _scorer.get_metadata_routing = _routing_of(_scorer)

"""Label images: checked, and voxels drawn from training subjects, class by class."""

from dataclasses import dataclass

import numpy as np

from .._utils.names import split_name
from ..exceptions import PairWarning
from ._images import open_image
from ._sampling import Sample, sample_at
from ._subject import Subject

_ROUNDING = 1e-3  # of whole numbers that went through a float
_MOST = 255  # classes: more are a scan's intensities
_STRAY = 0.5  # share of what is labelled that may lie outside the brain
_FEW = 20  # different whole numbers, which no scan is made of
_SUFFIXES = ("mask", "dseg")  # of label images, in BIDS names


@dataclass
class LabelledSample(Sample):
    """Voxels drawn from one subject, and what they are; there are no targets.

    Parameters
    ----------
    labels : int array of shape (n_voxels,)
    shares : dict of int to float
        Of the brain, which each class has.
    """

    labels: np.ndarray
    shares: dict


def read_labels(file) -> np.ndarray:
    """What a label image holds, as whole numbers.

    Parameters
    ----------
    file : ImageFile

    Raises
    ------
    ValueError
        If it holds other numbers, or more different ones than there are labels.
    """
    values = file.read()
    labels = np.rint(values)
    apart = np.abs(values - labels)
    if apart.max() > _ROUNDING:
        worst = values.ravel()[apart.argmax()]
        raise ValueError(
            f"{file.name} holds {worst:g}, which is no label. Give an image of whole "
            "numbers, one for each class; of probabilities, what is above 0.5."
        )
    largest = np.iinfo(np.int32).max
    worst = labels.ravel()[np.abs(labels).argmax()]
    if abs(worst) > largest:
        raise ValueError(
            f"{file.name} holds the label {worst:.0f}; labels may be as large as "
            f"{largest}. Give classes smaller numbers."
        )
    labels = labels.astype(np.int32)
    n_classes = len(np.unique(labels))
    if n_classes > _MOST:
        raise ValueError(
            f"{file.name} holds {n_classes} different numbers: a scan, rather than "
            "labels. Give an image of one whole number for each class."
        )
    return labels


def are_called_labels(images) -> bool:
    """Whether paths have names of label images.

    Examples
    --------
    >>> from sklearn_lsdn.volumes._labels import are_called_labels
    >>> are_called_labels(["sub-01_label-lesion_mask.nii.gz", "sub-02_dseg.nii.gz"])
    True
    """
    return {split_name(p)[0].rpartition("_")[2] for p in images} <= {*_SUFFIXES}


def are_labels(images) -> bool:
    """Whether targets are label images, by their names.

    Parameters
    ----------
    images : list of path-like
        One a subject. What cannot be read is left for others to refuse.

    Raises
    ------
    ValueError
        If they are not called so, but the first holds few numbers.
    """
    if are_called_labels(images):
        return True
    try:
        file = open_image(images[0], "target")
        values = np.unique(file.read())
    except (OSError, ValueError):
        return False
    if len(values) > _FEW or (values % 1).any():
        return False
    raise ValueError(
        f"{file.name} holds nothing but {len(values)} whole numbers, as label images "
        "do. Say --labels, to learn labels, or --no-labels, if they are intensities."
    )


def draw_labelled(
    sources,
    labels,
    masker,
    normalizers,
    window,
    n_voxels,
    seed,
    voxel_size=None,
    neighbours=None,
) -> LabelledSample:
    """Read one subject and draw as many voxels of each class of its brain.

    Parameters
    ----------
    sources : list of ImageFile
    labels : list of one ImageFile
        On their grid; it has no part in what is brain.
    masker, normalizers, window, n_voxels, seed, voxel_size, neighbours
        As `draw_sample` takes them.
    """
    subject = Subject.read(masker, sources, (), voxel_size, window.places)
    (file,) = labels
    volume = read_labels(file)
    subject.doubts += _doubt_of_place(volume, subject, file)
    labels = subject.grid.nearest(volume)
    there = labels[subject.mask]
    chosen = np.zeros(labels.shape, dtype=bool)
    chosen[subject.mask] = _in_balance(there, n_voxels, np.random.RandomState(seed))
    described = subject.describe_sources(normalizers[0])
    sample = sample_at(subject, chosen, described, window, neighbours)
    classes, counts = np.unique(there, return_counts=True)
    shares = dict(zip(classes.tolist(), (counts / counts.sum()).tolist(), strict=True))
    return LabelledSample(**vars(sample), labels=labels[chosen], shares=shares)


def _doubt_of_place(labels, subject, file):
    """Say that labels lie elsewhere than the brain, if they do."""
    labelled = labels != 0
    stray = np.count_nonzero(labelled & ~subject.brain.mask)
    share = stray / max(np.count_nonzero(labelled), 1)
    if share <= _STRAY:
        return []
    return [
        PairWarning(
            f"{file.name}: {share:.0%} of what is labelled lies outside the brain of "
            f"{subject.names}. Do both show the same person, registered to one another?"
        )
    ]


def _in_balance(labels, n_voxels, rng):
    """Which to draw: as many of each class, or more where one has fewer."""
    drawn = np.zeros(len(labels), dtype=bool)
    classes, counts = np.unique(labels, return_counts=True)
    left = min(n_voxels, len(labels))
    for done, k in enumerate(np.argsort(counts)):
        n = min(counts[k], -(-left // (len(classes) - done)))
        of_class = np.flatnonzero(labels == classes[k])
        drawn[rng.choice(of_class, n, replace=False)] = True
        left -= n
    return drawn

"""What a segmenter makes of one subject, and how a classifier slides over it."""

from dataclasses import dataclass

import nibabel as nib
import numpy as np
from sklearn.base import BaseEstimator

from .._regressors.roles import Role, role_of
from ._patches import in_brain
from ._synthesis import Outcome


@dataclass
class Segmentation(Outcome):
    """The classes of one subject's voxels, and what is to be said of the scans.

    Parameters
    ----------
    subject : Subject
        The scans, read.
    classes : int array of shape (n_classes,)
        In order.
    probabilities : float32 array of shape (n_voxels, n_classes)
        Of the brain's voxels.
    """

    classes: np.ndarray
    probabilities: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """The most probable class of each of the brain's voxels."""
        return self.classes[self.probabilities.argmax(axis=1)]

    @property
    def image(self) -> nib.Nifti1Image:
        """These, on the grid of the first source; 0 outside the brain."""
        volume = np.zeros(self.subject.brain.mask.shape, dtype=label_type(self.classes))
        volume[self.subject.brain.mask] = self.labels
        return self.subject.sources[0].like(volume, volume.dtype)

    @property
    def probability_images(self) -> list[nib.Nifti1Image]:
        """One for each class, likewise."""
        return [self.subject.image(each) for each in self.probabilities.T]

    @property
    def all_images(self) -> list[list]:
        """Labels, and the probability of each class that is not 0."""
        pairs = zip(self.classes, self.probability_images, strict=True)
        return [[self.image], [image for label, image in pairs if label != 0]]

    def compare(self, labels, metric, response="labels"):
        """Compare with what is known, over the brain and what lies beyond it.

        Parameters
        ----------
        labels : int array of shape (nx, ny, nz)
            What is known.
        metric : callable
            ``metric(y_true, y_pred)`` of voxels; of those outside the brain 0 is
            predicted.
        response : {"labels", "probabilities"}, default="labels"
            What it takes as ``y_pred``, of which probabilities are an array of shape
            (n_voxels, n_classes).
        """
        brain = self.subject.brain.mask
        where = brain | (labels != 0)
        columns = getattr(self, response).reshape(len(self.labels), -1)
        outside = self.classes == 0 if columns.shape[1] > 1 else [0]
        predicted = np.stack(
            [
                in_brain(column, brain, float(value))[where]
                for column, value in zip(columns.T, outside, strict=True)
            ],
            axis=1,
        )
        if response == "labels":
            predicted = predicted.ravel().astype(self.classes.dtype)
        return metric(labels[where], predicted)


def label_type(classes) -> np.dtype:
    """The smallest integers of NIfTI that hold some labels.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lsdn.volumes._segmentation import label_type
    >>> label_type(np.array([0, 255])), label_type(np.array([0, 1011]))
    (dtype('uint8'), dtype('int16'))
    """
    kinds = (np.dtype(kind) for kind in ("u1", "i2", "i4"))
    low, high = min(classes), max(classes)
    return next(k for k in kinds if np.iinfo(k).min <= low and high <= np.iinfo(k).max)


class Columns(BaseEstimator):
    """A classifier as a regressor of probabilities, for `SlidingWindow`.

    Of two classes it predicts the second's, else a column for each, as networks do.

    Parameters
    ----------
    classifier : classifier
        A fitted one.
    """

    def __init__(self, classifier):
        self.classifier = classifier

    @property
    def n_columns(self) -> int:
        """How many there are."""
        n_classes = len(self.classifier.classes_)
        return 1 if n_classes == 2 else n_classes

    def predict(self, X) -> np.ndarray:
        """Of shape (n_voxels, n_columns)."""
        p = self.classifier.predict_proba(X)
        return p[:, 1:] if self.n_columns == 1 else p


class _ColumnsRole(Role):
    def reader(self, n_patch):
        return role_of(self.regressor.classifier).reader(n_patch)


@role_of.register
def _(columns: Columns):
    return _ColumnsRole(columns)


def probabilities_of(columns, shift) -> np.ndarray:
    """Of all classes, from what `Columns` predicts.

    Parameters
    ----------
    columns : ndarray of shape (n_voxels, n_columns)
    shift : ndarray of shape (n_classes,)
        How much more frequent each class is than it was in training: Bayes' rule
        brings probabilities there.

    Returns
    -------
    probabilities : float32 array of shape (n_voxels, n_classes)
        Of sum 1.
    """
    p = np.clip(columns, np.finfo(np.float32).tiny, 1)
    if p.shape[1] == 1:
        p = np.hstack([np.clip(1 - columns, 0, 1), p])
    p *= shift
    p /= p.sum(axis=1, keepdims=True)
    return p.astype(np.float32)

"""What is warned of, and raised, beside Python's own exceptions."""

__all__ = [
    "BrainWarning",
    "MaskWarning",
    "PairWarning",
    "PlaceWarning",
    "ScanWarning",
    "SubjectsFailed",
    "TrainingInterrupted",
    "UnlikeWarning",
]


class ScanWarning(UserWarning):
    """A scan may not be what it is taken for.

    The kinds below inherit from it. Each names the file and says what to do.

    Examples
    --------
    A pipeline that shall rather end than go on with a doubtful scan:

    >>> import warnings
    >>> from sklearn_lsdn.exceptions import ScanWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", ScanWarning)
    ...     # fit and predict
    """


class BrainWarning(ScanWarning):
    """What was found in a scan, or in several of a subject, can hardly be a brain."""


class MaskWarning(ScanWarning):
    """A mask was not made of two values."""


class PlaceWarning(ScanWarning):
    """A header says in two ways, or in none that counts, where its voxels lie."""


class PairWarning(ScanWarning):
    """A source and a target may not belong together."""


class UnlikeWarning(ScanWarning):
    """A scan is unlike those that the model was trained on."""


class UnitsWarning(ScanWarning):
    """A synthesis seems to be in other units than the scan that it is compared with."""


class TrainingInterrupted(UserWarning):
    """Training was interrupted; the network is that of the last whole epoch."""


class SubjectsFailed(ValueError):  # noqa: N818, as scikit-learn's own are called
    """Some subjects could not be used; the others were done."""

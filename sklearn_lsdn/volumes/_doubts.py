"""Whether what was found can be a brain, and whether a subject was learned."""

import numpy as np
from sklearn.metrics import r2_score

from ..exceptions import BrainWarning, PairWarning
from ._brain import border

_HEAD = 2500.0  # ml; no human brain is larger, and heads are
_SPECK = 0.1  # ml; brains of mice are larger
_EDGE = 0.6  # share of the volume's border that no brain fills
_SHARED = 0.7  # of the larger: what two scans of one brain have in common, at least
_EMPTY = 0.3  # share of a given mask in which a scan may show its background
_UNLIKE = 1.5  # times the largest brain of others, or the smallest divided by it

_UNLEARNED = 0.02  # R2 of a subject that the mean would predict as well
_LEARNED = 0.3  # R2 of others, which shows that there was something to learn
_ROWS = 1000  # of a subject, to tell


def doubts_of_brain(mask, millilitres, files, foregrounds, given) -> list:
    """Say why what was found can hardly be a brain.

    Parameters
    ----------
    mask : ndarray of bool of shape (nx, ny, nz)
        The brain of a subject.
    millilitres : float
        Its volume.
    files : list of ImageFile
        Scans of the subject.
    foregrounds : list of ndarray of bool
        What is not background in each.
    given : bool
        Whether the mask was given, rather than found in the scans.

    Returns
    -------
    doubts : list of BrainWarning
    """
    names = " and ".join(file.name for file in files)
    doubts = []
    if border(mask).mean() > _EDGE:
        doubts.append(
            f"{names}: the brain fills the border of the volume. Is there no "
            "background of one value around it, or does the mask show what is not "
            "brain?"
        )
    elif millilitres > _HEAD:
        doubts.append(
            f"{names}: {millilitres:.0f} ml are more than a brain has. Remove skull "
            "and neck, or give a mask; or are voxels smaller than the header says?"
        )
    elif millilitres < _SPECK:
        doubts.append(
            f"{names}: {millilitres:.2g} ml are less than the brain of a mouse. Are "
            "voxels larger than the header says, or is most of the brain missing?"
        )
    for file, foreground in zip(files, foregrounds, strict=True):
        if given:
            empty = 1 - np.mean(foreground[mask])
            if empty > _EMPTY:
                doubts.append(
                    f"{file.name}: {empty:.0%} of the mask's voxels are background. "
                    "Does the mask belong to this scan, in the same space?"
                )
        else:
            shared = np.count_nonzero(mask) / max(np.count_nonzero(foreground), 1)
            if shared < _SHARED:
                doubts.append(
                    f"{file.name}: {shared:.0%} of what is not background are brain in "
                    f"all of {names}. Has each been stripped of the skull, and do they "
                    "show the same head?"
                )
    return [*map(BrainWarning, doubts)]


def doubt_of_size(millilitres, trained, names) -> list:
    """Say that a brain is much larger or smaller than those of training.

    Parameters
    ----------
    millilitres : float
    trained : list of float
        Volumes of other brains in millilitres; empty, where they are not known.
    names : str
        Of its scans.

    Returns
    -------
    doubts : list of BrainWarning
    """
    if not len(trained):
        return []
    least, most = min(trained), max(trained)
    if least / _UNLIKE <= millilitres <= most * _UNLIKE:
        return []
    return [
        BrainWarning(
            f"{names}: the brain has {millilitres:.4g} ml, those of training had "
            f"{least:.4g} to {most:.4g}. Is it stripped like theirs, and are its "
            "voxels of the size that the header says?"
        )
    ]


def doubts_of_learning(estimator, X, y, n_voxels, names) -> list:
    """Name subjects that are predicted no better than by the mean, unlike others.

    Parameters
    ----------
    estimator : regressor
        A fitted one.
    X, y : ndarray
        Its training data, subject by subject.
    n_voxels : list of int
        Rows of each.
    names : list of str
        Of each.

    Returns
    -------
    doubts : list of PairWarning
    """
    r2, stop = [], np.cumsum(n_voxels)
    for start, end in zip(stop - n_voxels, stop, strict=True):
        rows = slice(start, end, max((end - start) // _ROWS, 1))
        predicted = estimator.predict(X[rows])
        r2.append(r2_score(y[rows], predicted, multioutput="variance_weighted"))
    return doubts_of_scores(r2, names)


def doubts_of_scores(r2, names) -> list:
    """The same, from the coefficient of determination of each.

    Parameters
    ----------
    r2 : list of float
    names : list of str

    Returns
    -------
    doubts : list of PairWarning
    """
    doubts = []
    for i, (score, name) in enumerate(zip(r2, names, strict=True)):
        doubts += doubt_of_score(score, [*r2[:i], *r2[i + 1 :]], name, _UNLEARNED)
    return doubts


def doubt_of_score(r2, others, name, least=0.0) -> list:
    """Name a subject that is predicted no better than by the mean, unlike others.

    Parameters
    ----------
    r2 : float
        The coefficient of determination.
    others : list of float
        Those of others.
    name : str
    least : float, default=0.0
        What it should exceed.

    Returns
    -------
    doubts : list of PairWarning
        One, or none.
    """
    if not others or r2 >= least or np.median(others) <= _LEARNED:
        return []
    return [
        PairWarning(
            f"{name}: predicted no better than by the mean, while others are learned. "
            "Do source and target show the same person, registered to one another, "
            "and the contrasts of the others?"
        )
    ]

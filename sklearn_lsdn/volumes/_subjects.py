"""Lists of images, subject by subject: checked first, then read one at a time."""

import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, product

import numpy as np

from .._utils.lists import as_list, one_or_list
from .._utils.names import check_order, check_pair
from ._headers import on_grid_of
from ._images import Image, ImageFile, check_same_grid, open_image, with_gaps
from ._masks import Masker
from ._subject import Subject

Subjects = Sequence[Image | Sequence[Image]]  # one image, or one of each contrast
Mask = Image | np.ndarray
Masks = Sequence[Mask | None]  # one for each subject


def open_subjects(
    images, name, first=0, masks=None, *, may_lack=True
) -> list[list[ImageFile]]:
    """Check the headers of all images of all subjects.

    Parameters
    ----------
    images : list-like
        One entry a subject: a path or image, or a list-like of them, one a contrast.
        None in such a list stands for a contrast that the subject lacks.
    name : str
        What to call the list in messages.
    first : int, default=0
        The place of the first subject in the list that messages speak of.
    masks : list-like, default=None
        The brain of each subject: a path, image, array or None.
    may_lack : bool, default=True
        Whether subjects may lack contrasts.

    Returns
    -------
    subjects : list of list of ImageFile
        What there is; each file knows which contrast it is.

    Raises
    ------
    TypeError
        If one is not a list.
    ValueError
        If it is empty, a subject lacks a contrast, or one's images differ in grid or,
        by their names, in subject, session or run.
    """
    images = as_list(images, name)
    if len(images) == 0:
        raise ValueError(f"{name} is empty. Give the images of one subject or more.")
    subjects, numbered = [], []
    for i, entry in enumerate(images):
        several = isinstance(entry, list)
        contrasts = with_gaps(entry) if several else [entry]
        label = f"{name}[{first + i}]"
        if several and len(contrasts) == 0:
            raise ValueError(f"{label} is empty: it names no image.")
        if several and may_lack and all(image is None for image in contrasts):
            raise ValueError(
                f"{label} names no image: all of its contrasts are None. Give one of "
                "them, or leave the subject out."
            )
        numbered.append(len(contrasts))
        subjects.append(
            [
                replace(
                    open_image(image, f"{label}[{c}]" if several else label),
                    contrast=c,
                    among=len(contrasts),
                )
                for c, image in enumerate(contrasts)
                if not (several and may_lack and image is None)
            ]
        )
        if len(contrasts) != numbered[0]:
            raise ValueError(
                f"{label} has {len(contrasts)} contrast(s), but {name}[0] has "
                f"{numbered[0]}. Every subject needs the same contrasts, in the "
                "same order; None stands for one that it lacks."
            )
    pairs = combinations(_by_contrast(subjects), 2)
    _check_names(pairs, f"each contrast of {name}")
    for files in subjects:
        for file in files[1:]:
            check_same_grid(files[0], file)
    return subjects if masks is None else _with_masks(subjects, masks, name, first)


def _by_contrast(subjects):
    """For each contrast the file of each subject, or None."""
    return [*zip(*map(with_gaps, subjects), strict=True)]


def n_contrasts_of(subjects) -> int:
    """How many contrasts there are among all subjects.

    Parameters
    ----------
    subjects : list of list of ImageFile
    """
    return subjects[0][0].among


def check_each_contrast(subjects, name) -> None:
    """Raise ValueError if no subject has one of the contrasts.

    Parameters
    ----------
    subjects : list of list of ImageFile
    name : str
        What to call the list.
    """
    for c, files in enumerate(_by_contrast(subjects)):
        if not any(files):
            raise ValueError(
                f"No subject of {name} has contrast {c + 1} of "
                f"{n_contrasts_of(subjects)}. Leave it out, or add some who have it."
            )


def _with_masks(subjects, masks, name, first):
    """The same, each with its mask, which hangs on its first image."""
    masks = list_masks(masks, subjects, name)
    opened = [
        None if mask is None else open_mask(mask, f"masks[{first + i}]", files[0])
        for i, (mask, files) in enumerate(zip(masks, subjects, strict=True))
    ]
    # A mask that its image brought stays.
    heads = [
        file if mask is None else replace(file, mask=mask)
        for mask, (file, *_) in zip(opened, subjects, strict=True)
    ]
    pairs = [(head, head.mask) for head in heads if head.mask]
    _check_names([list(zip(*pairs, strict=True))] if pairs else [], f"{name} and masks")
    return [[head, *rest] for head, (_, *rest) in zip(heads, subjects, strict=True)]


def open_mask(mask, label, scan):
    """A mask as an image; an array lies on the grid of the scan as it is stored."""
    if isinstance(mask, list | np.ndarray):
        voxels, shape = np.asarray(mask), scan.image.shape[:3]
        if voxels.shape != shape:
            raise ValueError(
                f"{label} is an array of shape {voxels.shape}, but {scan.name} has "
                f"{shape} voxels. Give an array on its grid, or an image."
            )
        mask = on_grid_of(scan.image, np.asarray(voxels, dtype=np.float32))
    return open_image(mask, label)


def list_masks(masks, subjects, name="sources") -> list:
    """Take masks, or None, as a list with an entry for each subject.

    Raises
    ------
    TypeError
        If it is not a list.
    ValueError
        If it has another length.
    """
    if masks is None:
        return [None] * len(subjects)
    # Arrays in a list are masks, and are left alone.
    stack = isinstance(masks, np.ndarray) and masks.ndim == 4
    plain = stack or isinstance(masks, list | tuple)
    masks = list(masks) if plain else as_list(masks, "masks")
    if len(masks) != len(subjects):
        raise ValueError(
            f"masks has {len(masks)} entries and {name} {len(subjects)}. Give one mask "
            "for each subject, in the same order; None where there is none."
        )
    return masks


def absolute_paths(images) -> list:
    """Images whose paths hold for another process, too; those in memory stay.

    Examples
    --------
    >>> from sklearn_lsdn.volumes._subjects import absolute_paths
    >>> absolute_paths(["/data/a.nii", ["/data/../b.nii", None]])
    ['/data/a.nii', ['/b.nii', None]]
    """
    if isinstance(images, str | os.PathLike):
        return os.path.abspath(images)
    if isinstance(images, np.ndarray):
        return images
    images = one_or_list(images)
    if isinstance(images, list):
        return [absolute_paths(each) for each in images]
    return images


def pair_subjects(sources, targets, name="targets", masks=None):
    """Open sources and targets, and check that they belong together.

    Parameters
    ----------
    sources, targets : list-like
        As `open_subjects` takes them.
    name : str, default="targets"
        What to call the second list in messages.
    masks : list-like, default=None
        Of the sources, likewise.

    Raises
    ------
    ValueError
        If the lists differ in length, or a subject's source and target in grid or, by
        their names, in whose they are.
    """
    sources, targets = as_list(sources, "sources"), as_list(targets, name)
    if len(sources) != len(targets):
        raise ValueError(
            f"sources lists {len(sources)} subjects and {name} {len(targets)}. Give "
            "one target for each source, in the same order."
        )
    sources = open_subjects(sources, "sources", masks=masks)
    targets = open_subjects(targets, name, may_lack=False)
    contrasts = map(_by_contrast, (sources, targets))
    _check_names(product(*contrasts), f"sources and {name}")
    for source, target in zip(sources, targets, strict=True):
        check_same_grid(source[0], target[0])
    return sources, targets


def check_contrast_order(subjects):
    """Raise ValueError if contrasts are not in one order, before files are opened.

    Parameters
    ----------
    subjects : list of list
        Paths of each subject, one a contrast.
    """
    contrasts = zip(*subjects, strict=False)
    for pair in combinations(contrasts, 2):
        paths = [[_path(image) for image in images] for images in pair]
        check_order(*paths, _remedy("each contrast"))


def _check_names(pairs, what):
    """Check that files of two contrasts belong together, subject by subject."""
    for pair in pairs:
        both = [files for files in zip(*pair, strict=True) if None not in files]
        paths = [[file.path for file in files] for files in zip(*both, strict=True)]
        if not paths:
            continue
        for names in zip(*paths, strict=True):
            check_pair(*names, _remedy(what))
        check_order(*paths, _remedy(what))


def _remedy(what):
    return f"Give {what} in the same order, of one session each."


def _path(image):
    return os.fspath(image) if isinstance(image, str | os.PathLike) else ""


def check_voxels(sources, targets, masker: Masker, normalizer):
    """Read the images of one subject and refuse those that cannot be used.

    Parameters
    ----------
    sources, targets : list of ImageFile
        On one grid.
    masker : Masker
    normalizer : normalizer
        Only `describe` is called.

    Raises
    ------
    ValueError
        If an image is damaged, not finite or constant, or the mask is empty.

    Returns
    -------
    doubts : list of ScanWarning
        What is doubtful of them.
    """
    subject = Subject.read(masker, sources, targets)
    subject.describe_sources([normalizer] * sources[0].among)
    subject.describe_targets([normalizer] * len(targets))
    return subject.doubts

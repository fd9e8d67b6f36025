"""Lists of images, subject by subject: checked first, then read one at a time."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np

from ._images import ImageFile, check_same_grid, open_image
from ._masks import Masker
from ._subject import Subject

Image = str | os.PathLike | nib.spatialimages.SpatialImage
Subjects = Sequence[Image | Sequence[Image]]  # one image, or one of each contrast


def open_subjects(images, name) -> list[list[ImageFile]]:
    """Check the headers of all images of all subjects.

    Parameters
    ----------
    images : list
        One entry a subject: a path or image, or a list of them, one a contrast.
    name : str
        What to call the list in messages.

    Raises
    ------
    TypeError
        If it is not a list.
    ValueError
        If it is empty, a subject lacks a contrast, or one's images differ in grid.
    """
    check_is_list(images, name)
    if len(images) == 0:
        raise ValueError(f"{name} is empty. Give the images of one subject or more.")
    subjects = []
    for i, entry in enumerate(images):
        several = isinstance(entry, list | tuple | np.ndarray)
        contrasts = list(entry) if several else [entry]
        label = f"{name}[{i}]"
        if several and len(contrasts) == 0:
            raise ValueError(f"{label} is empty: it names no image.")
        subjects.append(
            [
                open_image(image, f"{label}[{c}]" if several else label)
                for c, image in enumerate(contrasts)
            ]
        )
        if len(contrasts) != len(subjects[0]):
            raise ValueError(
                f"{label} has {len(contrasts)} contrast(s), but {name}[0] has "
                f"{len(subjects[0])}. Every subject needs the same contrasts, in the "
                "same order."
            )
        for file in subjects[-1][1:]:
            check_same_grid(subjects[-1][0], file)
    return subjects


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
    if isinstance(images, list | tuple | np.ndarray):
        return [absolute_paths(each) for each in images]
    return images


def subject_label(path) -> str | None:
    """Return the ``sub-`` entity of a file's name, or else of its nearest folder.

    Examples
    --------
    >>> from sklearn_lsdn.volumes._subjects import subject_label
    >>> subject_label("sub-all/sub-07_ses-1_T1w.nii.gz")
    'sub-07'
    >>> subject_label("sub-07/anat/T1w.nii.gz")
    'sub-07'
    >>> subject_label("T1w.nii.gz") is None
    True
    """
    for part in reversed(Path(path).parts):
        if found := re.match(r"sub-[0-9A-Za-z]+", part):
            return found.group()
    return None


def check_is_list(images, name):
    """Raise TypeError if something else than a list of subjects is given."""
    if isinstance(images, str) or not hasattr(images, "__len__"):
        raise TypeError(
            f"{name} must be a list with an entry for each subject, got "
            f"{type(images).__name__}. Put a single image into a list."
        )


def pair_subjects(sources, targets, name="targets"):
    """Open sources and targets, and check that they belong together.

    Parameters
    ----------
    sources, targets : list
        As `open_subjects` takes them.
    name : str, default="targets"
        What to call the second list in messages.

    Raises
    ------
    ValueError
        If the lists differ in length, or a subject's source and target in grid.
    """
    check_is_list(sources, "sources")
    check_is_list(targets, name)
    if len(sources) != len(targets):
        raise ValueError(
            f"sources lists {len(sources)} subjects and {name} {len(targets)}. Give "
            "one target for each source, in the same order."
        )
    sources, targets = open_subjects(sources, "sources"), open_subjects(targets, name)
    for source, target in zip(sources, targets, strict=True):
        entities = {subject_label(file.path) for file in (*source, *target)} - {None}
        if len(entities) > 1:
            raise ValueError(
                f"{source[0].name} and {target[0].name} belong to different subjects, "
                f"{' and '.join(sorted(entities))}. Give sources and {name} in the "
                "same order."
            )
        check_same_grid(source[0], target[0])
    return sources, targets


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
    """
    subject = Subject.read(masker, sources, targets)
    subject.describe_sources([normalizer] * len(sources))
    subject.describe_targets([normalizer] * len(targets))

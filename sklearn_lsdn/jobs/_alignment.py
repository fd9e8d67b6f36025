"""`lsdn register`: subjects from files to files, each onto one reference."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .._utils.files import make_folder, prepared_outputs
from .._utils.names import split_name
from .._utils.optional import require
from .._utils.progress import Progress
from ..display._registration import RegistrationDisplay
from ..exceptions import SubjectsFailed
from ..volumes._images import ImageFile, open_image, save_image
from ..volumes._registration import estimate, register_rigid, resample
from ..volumes._subjects import check_contrast_order
from ._dataset import begun_dataset, read_json, source_uri, write_json
from ._names import beside, derived_path

MNI152 = "MNI152NLin2009aSym"
"""BIDS name of the template that nilearn ships."""

_HEAD = 2e6  # mm3; brains are smaller, heads larger


@dataclass(frozen=True)
class Reference:
    """What images are aligned to.

    Parameters
    ----------
    image : ImageFile
    mask : nibabel image or None
        Its brain, where it is known.
    space : str
        BIDS label of its space.
    """

    image: ImageFile
    mask: object
    space: str

    @classmethod
    def resolve(cls, reference) -> "Reference":
        """Take a path, or "mni152" for the template that nilearn ships."""
        if reference != "mni152":
            image, (stem, _) = open_image(reference, "reference"), split_name(reference)
            return cls(image, None, re.sub("[^0-9A-Za-z]", "", stem))
        datasets = require("nilearn.datasets")
        template = datasets.load_mni152_template(resolution=1)
        image = open_image(template, "the MNI152 template")
        return cls(image, datasets.load_mni152_brain_mask(resolution=1), MNI152)


def outputs_in_folder(subjects, folder):
    """Where `align_subjects` shall write: names of the inputs, with _reg.

    Parameters
    ----------
    subjects : list of list of path-like
    folder : Path

    Returns
    -------
    outputs : list of list of Path
    """
    return [
        [folder / f"{split_name(image)[0]}_reg.nii.gz" for image in images]
        for images in subjects
    ]


def outputs_in_dataset(sessions, contrasts, folder, space):
    """Where `align_subjects` shall write into a BIDS derivative dataset.

    Parameters
    ----------
    sessions : list of Session
    contrasts : list of str
        BIDS names of the scans of each, as far as it has them.
    folder : Path
    space : str
        BIDS label of the reference's space.

    Returns
    -------
    outputs : list of list of Path
    """
    return [
        [
            derived_path(folder, scan, name, desc="reg", space=space)
            for scan, name in zip(session.scans, contrasts, strict=False)
        ]
        for session in sessions
    ]


def align_subjects(
    subjects,
    outputs,
    reference,
    *,
    dataset=None,
    folder,
    overwrite=False,
    keep_going=False,
    verbose=0,
):
    """Register each subject's images to its first, that one to a reference.

    Each image is resampled once, onto the grid of the reference. Beside it lies the
    transform, with the ending ``.tfm``, and beside the first a picture, ``.png``.

    Parameters
    ----------
    subjects : list of list of path-like
        Images of each subject.
    outputs : list of list of Path
        What they shall become.
    reference : Reference
    dataset : path-like, default=None
        BIDS dataset that the images are of, if the outputs are to be one.
    folder : path-like
        Where the outputs lie.
    overwrite : bool, default=False
        Replace existing files.
    keep_going : bool, default=False
        When a subject fails, go on with the others, and say so in the end.
    verbose : int, default=0
        Whether to print each subject as it is begun.

    Returns
    -------
    paths : list of Path
        Images and pictures.

    Raises
    ------
    OSError
        If an output exists or cannot be written.
    ValueError
        If an image cannot be used, or two would get the same name. Headers of all
        are checked before the work, unless with ``keep_going``.
    SubjectsFailed
        With ``keep_going``, once the others are done.
    """
    check_contrast_order(subjects)
    if not keep_going:
        for images in subjects:
            for image in images:
                open_image(image, "image")
    files = [path for paths in outputs for path in paths]
    if len(set(files)) < len(files):
        twice = next(path for path in files if files.count(path) > 1)
        raise ValueError(f"Two images would become {twice}. Register them apart.")
    others = [beside(path, ".tfm") for path in files]
    others += [beside(paths[0], ".png") for paths in outputs]
    if dataset is None:
        prepared = prepared_outputs(
            [*files, *others], overwrite=overwrite, inputs=sum(subjects, [])
        )
    else:
        prepared = begun_dataset(
            Path(dataset),
            Path(folder),
            "registered",
            [*files, *others, *(beside(path, ".json") for path in files)],
            ignored=("*.tfm", "*.png"),
            overwrite=overwrite,
        )
    written, failures, n_subjects = [], [], len(subjects)
    progress = Progress("Registering", n_subjects, verbose)
    with prepared:
        for i, (images, paths) in enumerate(zip(subjects, outputs, strict=True)):
            name = Path(images[0]).name
            progress.tell(i, f"{i + 1}/{n_subjects} {name}", name)
            try:
                written += _align(images, paths, reference, dataset, overwrite)
            except (OSError, TypeError, ValueError) as error:
                if not keep_going:
                    raise
                failures.append(str(error))
        progress.tell(n_subjects)
    if failures:
        raise SubjectsFailed(
            f"{len(failures)} of {n_subjects} subjects could not be registered:\n"
            + "\n".join(failures)
        )
    return written


def align_within(sources, targets, folder, *, verbose=0):
    """Register each subject's images to the first source, onto its grid.

    Parameters
    ----------
    sources, targets : list of list of path-like
        Images of each subject.
    folder : path-like
        Where the aligned ones go.
    verbose : int, default=0
        As in `align_subjects`.

    Returns
    -------
    sources, targets : list of list of Path
        The first source as it was, all others aligned.
    """
    pairs = zip(sources, targets, strict=True)
    check_contrast_order([[*source, *target] for source, target in pairs])
    aligned, n = [], len(sources)
    progress = Progress("Aligning", n, verbose)
    for i, images in enumerate(zip(sources, targets, strict=True)):
        first, *others = [image for part in images for image in part]
        name = Path(first).name
        progress.tell(i, f"Aligning {i + 1}/{n} {name}", name)
        paths = [first]
        for c, other in enumerate(others):
            # The file's own name still tells which subject it is of.
            paths.append(Path(folder) / f"{i}-{c}" / f"{split_name(other)[0]}.nii")
            make_folder(paths[-1].parent)
            image, _ = register_rigid(other, first)
            save_image(image, paths[-1])
        n_sources = len(images[0])
        aligned.append((paths[:n_sources], paths[n_sources:]))
    progress.tell(n)
    return [each[0] for each in aligned], [each[1] for each in aligned]


def _align(images, paths, reference, dataset, overwrite):
    """Register one subject's images; write them, transforms, sidecars and picture."""
    files = [open_image(image, "image") for image in images]
    transforms = list(_transforms(files, reference))
    aligned = [
        resample(file, reference.image, transform)
        for file, transform in zip(files, transforms, strict=True)
    ]
    parts = zip(images, aligned, transforms, paths, strict=True)
    for image, registered, transform, path in parts:
        make_folder(path.parent)  # another run may have removed what was empty
        save_image(registered, path, overwrite=overwrite)
        transform.save(beside(path, ".tfm"), overwrite=overwrite)
        if dataset is not None:
            about = _about(image, registered, reference, dataset)
            write_json(beside(path, ".json"), about, overwrite)
    picture = beside(paths[0], ".png")
    _draw(images, aligned, reference, picture, overwrite)
    return [*paths, picture]


def _draw(images, aligned, reference, picture, overwrite):
    """Show the edges of each image over what it was registered to."""
    names = [split_name(image)[0] for image in images]
    pairs = [(f"{names[0]} on {reference.space}", reference.image, aligned[0])]
    pairs += [
        (f"{name} on {names[0]}", aligned[0], image)
        for name, image in zip(names[1:], aligned[1:], strict=True)
    ]
    display = RegistrationDisplay.from_images(pairs)
    display.plot(title="Edges (red) of registered images")
    display.save(picture, overwrite=overwrite)


def _transforms(images, reference):
    """From points of the reference to those of each image."""
    first, *others = images
    from_reference = estimate(first, reference.image, fixed_mask=reference.mask)
    yield from_reference
    for other in others:
        yield from_reference.then(estimate(other, first))


def _about(image, aligned, reference, dataset):
    """What the sidecar of an aligned image tells."""
    own = read_json(beside(Path(image), ".json"))
    side = open_image(aligned, "aligned").voxel_size
    volume = np.count_nonzero(aligned.dataobj) * np.prod(side)
    about = {
        "Description": f"Aligned rigidly to {reference.space}, resampled once",
        "Sources": [source_uri(image, dataset)],
        "SkullStripped": own.get("SkullStripped", bool(volume < _HEAD)),
    }
    if reference.space != MNI152:
        about["SpatialReference"] = Path(reference.image.path).resolve().as_uri()
    return about

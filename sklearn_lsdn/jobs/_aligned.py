"""One subject registered: onto a reference, as files, with what tells how well."""

import re
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np

from .._utils.doubts import warn_of
from .._utils.files import make_folder
from .._utils.names import split_name
from .._utils.optional import require
from .._version import __version__
from ..display._figures import as_webp, figure_to_save
from ..display._registration import RegistrationDisplay
from ..exceptions import ScanWarning
from ..volumes._bias_field import correct_bias
from ..volumes._images import ImageFile, open_image, save_image
from ..volumes._itk import head_of, resample
from ..volumes._registration import align
from ._dataset import read_json, source_uri, write_json
from ._names import beside

MNI152 = "MNI152NLin2009aSym"
"""BIDS name of the template that nilearn ships."""

_HEAD = 2e6  # mm3; brains are smaller, heads larger
_DPI = 192  # of the picture on a page, twice as many pixels as are shown
_drawing = Lock()  # matplotlib is not made for several threads


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

    def outline(self):
        """A mask that shows where its head is."""
        if self.mask is not None:
            return self.mask
        return self.image.like(head_of(self.image))


@dataclass(frozen=True)
class Steps:
    """What is done to each image.

    Parameters
    ----------
    n4 : bool
        Whether bias fields are taken out first.
    degrees : {"rigid", "affine"}
        Of freedom between the first image and the reference, which is another head.
    """

    n4: bool = False
    degrees: str = "rigid"

    def mark(self) -> str:
        """What the header of an image says, in 80 bytes."""
        n4 = " after N4" if self.n4 else ""
        return f"sklearn_lsdn {__version__} {self.degrees} registration{n4}"


@dataclass
class Aligned:
    """What became of a subject.

    Parameters
    ----------
    name : str
        Of its first image.
    pairs : list of tuple
        Of each image its name, what it was aligned to, and the `Alignment`.
    picture : bytes
        WebP, or empty.
    failure : str or None
        Why it could not be aligned.
    seconds : float
    """

    name: str
    pairs: list
    picture: bytes = b""
    failure: str | None = None
    seconds: float = 0.0

    @property
    def doubts(self):
        """Warnings of all images, each once."""
        every = [doubt for *_, each in self.pairs for doubt in each.doubts]
        return list({str(doubt): doubt for doubt in every}.values())


def align_subject(
    reference, steps, dataset, overwrite, keep_going, shown, images, paths
):
    """Register a subject, write all that is made of it, and say what became of it.

    Parameters
    ----------
    reference : Reference
    steps : Steps
    dataset : path-like or None
        BIDS dataset that the images are of.
    overwrite, keep_going : bool
        As `align_subjects` takes them.
    shown : bool
        Whether the picture is asked for, too.
    images : list of path-like
    paths : list of Path
        What they shall become.

    Returns
    -------
    aligned : Aligned
    """
    start = time.perf_counter()
    try:
        aligned = _align(images, paths, reference, steps, dataset, overwrite, shown)
    except (OSError, ScanWarning, TypeError, ValueError) as error:
        if not keep_going:
            raise
        return Aligned(Path(images[0]).name, [], failure=str(error))
    aligned.seconds = time.perf_counter() - start
    return aligned


def _align(images, paths, reference, steps, dataset, overwrite, shown):
    """Register one subject's images; write them, transforms, sidecars and picture."""
    files = [open_image(image, "image") for image in images]
    if steps.n4:
        files = [correct_bias(file) for file in files]
    names = [Path(image).name for image in images]
    first, *others = files
    # Of another head, of which a rigid transform takes the pose.
    degrees = "pose" if steps.degrees == "rigid" else steps.degrees
    alignments = [
        align(first, reference.image, degrees=degrees),
        *(align(other, first) for other in others),
    ]
    pairs = list(
        zip(names, [reference.space, *names[:1] * len(others)], alignments, strict=True)
    )
    aligned = Aligned(names[0], pairs)
    warn_of(aligned.doubts)
    from_reference = alignments[0].transform
    transforms = [from_reference]
    transforms += [from_reference.then(each.transform) for each in alignments[1:]]
    moved = [
        resample(file, reference.image, transform)
        for file, transform in zip(files, transforms, strict=True)
    ]
    parts = zip(images, moved, transforms, paths, pairs, strict=True)
    for image, registered, transform, path, pair in parts:
        make_folder(path.parent)  # another run may have removed what was empty
        registered.header["descrip"] = steps.mark()
        save_image(registered, path, overwrite=overwrite)
        transform.save(beside(path, ".tfm"), overwrite=overwrite)
        about = _about(image, registered, reference, steps, dataset)
        about["Registration"] = _told(*pair)
        write_json(beside(path, ".json"), about, overwrite)
    with _drawing:
        display = _draw(names, moved, reference)
        display.save(beside(paths[0], ".png"), overwrite=overwrite)
        aligned.picture = as_webp(display.figure_, _DPI) if shown else b""
    return aligned


def _draw(names, moved, reference):
    """Show the first in the outline of the reference's head, its edges on others."""
    first = split_name(names[0])[0]
    pairs = [
        (f"{first}, outline of {reference.space}", moved[0], reference.outline()),
        *(
            (f"{split_name(name)[0]}, edges of {first}", image, moved[0])
            for name, image in zip(names[1:], moved[1:], strict=True)
        ),
    ]
    return RegistrationDisplay.from_images(pairs, figure=figure_to_save)


def _told(name, onto, alignment):
    """What a sidecar tells of an alignment."""
    before, after = (
        round(float(each), 4) if np.isfinite(each) else None
        for each in alignment.information
    )
    told = {
        "Onto": onto,
        "MutualInformation": {"Before": before, "After": after, "Units": "nats"},
        "Rotation": {"Value": round(alignment.transform.angle, 3), "Units": "degrees"},
        "Shift": {"Value": round(alignment.shift, 3), "Units": "mm"},
        "Zooms": [round(float(each), 4) for each in alignment.transform.zooms],
    }
    if alignment.dice is not None:
        told["Dice"] = round(float(alignment.dice), 4)
    if alignment.doubts:
        told["Warnings"] = [str(doubt) for doubt in alignment.doubts]
    return told


def _about(image, aligned, reference, steps, dataset):
    """What the sidecar of an aligned image tells."""
    own = read_json(beside(Path(image), ".json"))
    side = open_image(aligned, "aligned").voxel_size
    volume = np.count_nonzero(aligned.dataobj) * np.prod(side)
    how = {"rigid": "rigidly", "affine": "by an affine transform"}[steps.degrees]
    n4 = "Bias field taken out by N4, then a" if steps.n4 else "A"
    about = {
        "Description": f"{n4}ligned {how} to {reference.space}, resampled once",
        "Sources": [source_uri(image, dataset) if dataset else Path(image).name],
        "SkullStripped": own.get("SkullStripped", bool(volume < _HEAD)),
        "BiasFieldCorrected": steps.n4,
    }
    if reference.space != MNI152:
        about["SpatialReference"] = Path(reference.image.path).resolve().as_uri()
    return about

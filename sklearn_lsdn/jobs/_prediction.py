"""Many volumes from files to files."""

import copy
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from os import PathLike
from pathlib import Path

import numpy as np

from .._regressors.roles import role_of
from .._utils.doubts import warn_of
from .._utils.files import make_folder, prepared_outputs
from .._utils.lists import as_list
from .._utils.names import split_name
from .._utils.parallel import cluster_client, parallel_map
from .._utils.progress import Progress
from .._utils.store import identity
from .._utils.threads import effective_n_threads
from .._version import __version__
from ..exceptions import ScanWarning, SubjectsFailed
from ..volumes import VolumeSegmenter, VolumeSynthesizer
from ..volumes._budget import subjects_at_once
from ..volumes._images import check_same_grid, fingerprints, open_image, save_image
from ..volumes._subjects import (
    absolute_paths,
    check_contrast_order,
    list_masks,
    open_subjects,
)
from ._dataset import read_json, write_json
from ._names import beside, named_after
from ._outputs import outputs_of

_DOUBTFUL = " ?"  # at the end of a header's description


@dataclass(frozen=True)
class SubjectFiles:
    """What a subject is predicted from, and the files that it becomes.

    Parameters
    ----------
    source : path-like, or list of them
    outputs : list of Path
        Where its syntheses go, and after them what else is told of them.
    sidecars : list of dict, default=()
        What to write beside each of them.
    marks : list of str, default=()
        What the header of each tells, beside who made it.
    place : int, default=0
        Among all subjects, for messages.
    mask : path-like, default=None
        The brain.
    """

    source: object
    outputs: list
    sidecars: list = ()
    marks: list = ()
    place: int = 0
    mask: object = None

    @property
    def images(self):
        """One for each contrast; None where it is missing."""
        return self.source if isinstance(self.source, list) else [self.source]

    @property
    def first(self):
        """The first image that there is, after which outputs are called."""
        return next((image for image in self.images if image is not None), None)

    @property
    def inputs(self):
        """All files that are read."""
        given = [*self.images, self.mask]
        return [each for each in given if isinstance(each, str | PathLike)]

    @property
    def files(self):
        """All that is written: images, then sidecars."""
        pairs = zip(self.outputs, self.sidecars, strict=False)
        return [*self.outputs, *(beside(path, ".json") for path, _ in pairs)]

    def anywhere(self):
        """The same for a process in another folder."""
        outputs = [path.absolute() for path in self.outputs]
        source, mask = absolute_paths(self.source), absolute_paths(self.mask)
        return replace(self, source=source, outputs=outputs, mask=mask)

    def open(self):
        """Its images, whose headers have been checked."""
        return open_subjects([self.source], "sources", self.place, [self.mask])[0]

    def is_done(self, model) -> bool:
        """Whether its outputs are there and whole, by this model of these images.

        Those of doubtful scans are not, so that the doubt is told again.
        """
        try:
            files = self.open()
            for path, maker in self.makers(model, files):
                output = open_image(path, "output")
                check_same_grid(files[0], output)
                output.read()
                if output.image.header["descrip"].item().decode() != maker:
                    return False
        except (OSError, TypeError, ValueError):
            return False
        return all(map(read_json, self.files[len(self.outputs) :]))

    def makers(self, model, files):
        """Each output, and what it says of who made it in 80 bytes."""
        images = fingerprints(files)
        maker = f"sklearn_lsdn {__version__} {identity(model, images)}"
        for path, mark in zip_longest(self.outputs, self.marks, fillvalue=""):
            yield path, f"{maker} {mark}".rstrip()


def predict_files(
    synthesizer: VolumeSynthesizer | VolumeSegmenter,
    sources: Sequence,
    folder: str | PathLike,
    *,
    masks: Sequence | None = None,
    uncertainty: bool = False,
    interval: float | None = None,
    novelty: bool = False,
    overwrite: bool = False,
    resume: bool = False,
    keep_going: bool = False,
    on_unlike: str = "warn",
    verbose: int = 0,
    inspect: Callable | None = None,
    keep: Callable | None = None,
) -> list[Path]:
    """Synthesise subjects, or segment them, and save each as soon as it is done.

    A segmentation goes to the name of the input with ``_dseg``, and probabilities to
    ``_probseg``, or ``_probseg1`` and so on for several labels.

    With ``synthesizer.n_jobs`` as many subjects are under way at once, each in one
    thread, so that reading, unzipping, computing and writing overlap, and as many are
    held in memory; fewer where they would not fit ``synthesizer.max_memory``. In a
    :obj:`joblib.parallel_config` context its backend does the work: on a Dask cluster
    each subject is one thread of a worker, which must find the files under the same
    paths, and has ``max_memory`` to itself.

    Parameters
    ----------
    synthesizer : VolumeSynthesizer or VolumeSegmenter
        A fitted one.
    sources : list
        Paths of each subject, as `VolumeSynthesizer.predict` takes them.
    folder : path-like
        Where the images go; it is made.
    masks : list, default=None
        The brain of each subject, a path or None, as `VolumeSynthesizer.predict` takes
        them.
    uncertainty : bool, default=False
        Save the standard deviation of each voxel as well, beside the synthesis under
        its name with ``_std`` for ``_synth``.
    interval : float, default=None
        Save the ends of an interval of this level as well, as ``_lower`` and
        ``_upper``; see `VolumeSynthesizer.predict`.
    novelty : bool, default=False
        Save how unlike training the surroundings of each voxel are as well, under the
        name of the input with ``_novelty``.
    overwrite : bool, default=False
        Replace existing files.
    resume : bool, default=False
        Leave alone subjects whose outputs are there and whole, and were made by this
        synthesizer of these images, as their headers tell, without a doubt; replace the
        outputs of the others.
    keep_going : bool, default=False
        When a subject fails, go on with the others, and say so in the end.
    on_unlike : {"warn", "raise", "ignore"}, default="warn"
        What to do about scans that are unlike those of training.
    verbose : int, default=0
        Whether to print each subject as it is done.
    inspect : callable, default=None
        ``inspect(synthesizer, synthesis, name)``, called where the synthesis was made,
        before it is written.
    keep : callable, default=None
        ``keep(source, result)``, called here with what ``inspect`` returned, of each
        subject that was predicted now; its source as `VolumeSynthesizer.predict` takes
        it, with its mask.

    Returns
    -------
    paths : list of Path

    Raises
    ------
    FileExistsError
        If an output exists and ``overwrite`` is false.
    OSError
        If the folder cannot be written to.
    ValueError
        If a subject has no image, an image cannot be used, two subjects would get
        the same file name, or the synthesizer has no ensemble to take the uncertainty
        or the interval from, or is of an older release and knows no novelty.
        Headers of all images are checked before the first is synthesised, unless
        with ``keep_going``.
    SubjectsFailed
        With ``keep_going``, once the others are done.

    Warns
    -----
    ScanWarning
        If a scan is doubtful. Made an error by a filter of `warnings`, it leaves
        nothing of the subject behind.

    See Also
    --------
    VolumeSynthesizer.predict : Gives images rather than files.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import nibabel as nib
    >>> from sklearn_lsdn import VolumeSynthesizer
    >>> from sklearn_lsdn.datasets import make_brain_cohort
    >>> from sklearn_lsdn.jobs import predict_files
    >>> cohort = make_brain_cohort(3, voxel_size=8, random_state=0)
    >>> t1w, t2w = cohort.images["T1w"], cohort.images["T2w"]
    >>> synthesizer = VolumeSynthesizer(random_state=0).fit(t1w[:2], t2w[:2])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     scan = pathlib.Path(folder) / "sub-03_T1w.nii.gz"
    ...     nib.save(t1w[2], scan)
    ...     written = predict_files(synthesizer, [scan], pathlib.Path(folder, "out"))
    >>> written[0].name
    'sub-03_T1w_synth.nii.gz'
    """
    folder = Path(folder)
    written = outputs_of(
        synthesizer, uncertainty=uncertainty, interval=interval, novelty=novelty
    )
    marks, subjects = [output.mark for output in written], []
    sources = as_list(sources, "sources")
    masks = list_masks(masks, sources)
    for i, (source, mask) in enumerate(zip(sources, masks, strict=True)):
        first = SubjectFiles(source, []).first
        if first is None:
            raise ValueError(f"sources[{i}] is empty: it names no image.")
        outputs = [folder / named_after(first, each.ending) for each in written]
        subject = SubjectFiles(source, outputs, marks=marks, place=i, mask=mask)
        subjects.append(subject)
    return predict_subjects(
        synthesizer,
        subjects,
        uncertainty=uncertainty,
        interval=interval,
        novelty=novelty,
        overwrite=overwrite,
        resume=resume,
        keep_going=keep_going,
        on_unlike=on_unlike,
        verbose=verbose,
        inspect=inspect,
        keep=keep,
    )


def predict_subjects(
    synthesizer,
    subjects,
    *,
    uncertainty=False,
    interval=None,
    novelty=False,
    overwrite=False,
    resume=False,
    keep_going=False,
    on_unlike="warn",
    verbose=0,
    inspect=None,
    keep=None,
) -> list[Path]:
    """Synthesise subjects, whose files have names by now; else as `predict_files`.

    Parameters
    ----------
    synthesizer : VolumeSynthesizer
        A fitted one, which can give what is asked for.
    subjects : list of SubjectFiles
    uncertainty, interval, novelty, overwrite, resume, keep_going, on_unlike, verbose
        As `predict_files` takes them.
    inspect, keep
        As `predict_files` takes them.

    Returns
    -------
    paths : list of Path
        Of all images.
    """
    if keep_going:
        check_contrast_order([subject.images for subject in subjects])
    else:
        sources = [subject.source for subject in subjects]
        masks = [subject.mask for subject in subjects]
        opened = open_subjects(sources, "sources", masks=masks)
        synthesizer.preparation_.check_missing(opened)
    _refuse_one_file_for_two(subjects)
    model, todo, before = identity(synthesizer), subjects, None
    if resume:
        todo = [subject for subject in subjects if not subject.is_done(model)]
        before = f"{len(subjects) - len(todo)} of {len(subjects)} were done before"
        others = sum(any(p.exists() for p in subject.outputs) for subject in todo)
        if others:
            before += (
                f"; outputs of {others} are replaced: not whole, or by another model, "
                "of other images or another level, or of doubtful scans"
            )
    overwrite = overwrite or resume
    with prepared_outputs(
        [path for subject in todo for path in subject.files],
        overwrite=overwrite,
        inputs=[image for subject in subjects for image in subject.inputs],
    ):
        n_jobs = min(effective_n_threads(synthesizer.n_jobs), max(len(todo), 1))
        if synthesizer.max_memory is not None:
            n_jobs = _that_fit(synthesizer, todo, n_jobs, keep_going)
        elsewhere = cluster_client() is not None
        if n_jobs > 1 or elsewhere:
            synthesizer = copy.copy(synthesizer)
            synthesizer.n_jobs = 1  # a thread a subject
        # What a worker wrote before it died is written again by another.
        asked = {"return_std": uncertainty, "return_interval": interval}
        asked |= {"return_novelty": novelty, "on_unlike": on_unlike}
        options = model, asked, overwrite or elsewhere, keep_going, inspect
        shared = os.getpid(), synthesizer, *options
        jobs = ((subject.anywhere(),) for subject in todo)

        def lost(job, error):
            name = job[0].outputs[0].name
            if not keep_going:
                raise OSError(f"{name}: {error}") from error
            return f"{name} failed", f"{name}: {error}", [], None

        attempts = parallel_map(
            _attempt, shared, jobs, n_jobs=n_jobs, prefer="threads", lost=lost
        )
        progress, failures = Progress("Synthesising", len(todo), verbose), []
        progress.tell(0, before, before or "")
        for n, (message, failure, doubts, seen) in enumerate(attempts, start=1):
            if seen is not None:
                keep(*seen)
            failures += [failure] if failure else []
            warn_of(doubts)
            line = f"{n}/{len(todo)} {message}"
            progress.tell(n, line, message)
    if failures:
        raise SubjectsFailed(
            f"{len(failures)} of {len(subjects)} subjects could not be predicted:\n"
            + "\n".join(failures)
        )
    return [path for subject in subjects for path in subject.outputs]


def _refuse_one_file_for_two(subjects):
    owner = {}
    for subject in subjects:
        first = subject.outputs[0]
        if first in owner:
            raise ValueError(
                f"{owner[first]} and {subject.source} would both become {first}. "
                "Predict them into different folders."
            )
        owner[first] = subject.source


def _that_fit(synthesizer, subjects, n_jobs, keep_going):
    """How many subjects to have under way at once."""
    n_fitting = n_jobs
    for subject in subjects:
        try:
            files = [subject.open()]
            fitting = subjects_at_once(synthesizer, files, n_jobs=n_jobs)
            n_fitting = min(n_fitting, fitting)
        except (OSError, TypeError, ValueError):
            if not keep_going:
                raise
    return n_fitting


def _attempt(home, synthesizer, model, asked, overwrite, keep_going, inspect, subject):
    """Predict one subject; say how it went, what went wrong, and what is doubtful.

    Last comes what there is to see.

    In the process ``home`` doubts are told before anything is written, and are none
    any more.
    """
    start, name = time.perf_counter(), subject.outputs[0].name
    try:
        is_home = os.getpid() == home
        options = synthesizer, model, asked, overwrite, inspect, subject, is_home
        doubts, seen = _predict_one(*options)
    except (OSError, ScanWarning, TypeError, ValueError) as error:
        if not keep_going:
            raise
        return f"{name} failed", str(error), [], None
    return f"{name} ({time.perf_counter() - start:.1f} s)", None, doubts, seen


def _predict_one(synthesizer, model, asked, overwrite, inspect, subject, is_home):
    files = subject.open()
    makers = list(subject.makers(model, files))
    synthesis = role_of(synthesizer).outcome(files, **asked)
    if is_home:
        warn_of(synthesis.doubts)
    name, _ = split_name(subject.first)
    seen = inspect and (files, inspect(synthesizer, synthesis, name))
    about = {"BrainVolume": {"Value": round(synthesis.millilitres, 3), "Units": "mL"}}
    places = synthesizer.preparation_.window.places
    if places not in ("world", None):
        matrix = synthesis.world_to_places.round(6).tolist()
        about["Places"] = {"Kind": places, "WorldToPlaces": matrix}
    if synthesis.likeness is not None:
        about["LikenessToTraining"] = synthesis.likeness.told()
    if synthesis.doubts:
        about["Warnings"] = [str(doubt) for doubt in synthesis.doubts]
    kinds = synthesis.all_images
    images = sum(kinds, [])
    sidecars = [content | about for content in subject.sidecars]
    for path in subject.outputs:  # another run may have removed what was empty
        make_folder(path.parent)
    if asked["return_std"] and sidecars:
        snr = [_expected_snr(*pair) for pair in zip(*kinds[:2], strict=True)]
        for content, value in zip(sidecars, snr * 2, strict=False):
            content["ExpectedSNR"] = {"Value": value, "Units": "dB"}
    # Sidecars first, for the images tell that all is there.
    for path, content in zip(subject.files[len(images) :], sidecars, strict=True):
        write_json(path, content, overwrite)
    for image, (path, maker) in zip(images, makers, strict=True):
        image.header["descrip"] = maker + _DOUBTFUL * bool(synthesis.doubts)
        save_image(image, path, overwrite=overwrite)
    return [] if is_home else synthesis.doubts, seen


def _expected_snr(synthesis, std):
    """Signal-to-noise ratio that a synthesis's deviations amount to, in dB, if any."""
    signal, error = (
        np.square(np.asanyarray(image.dataobj), dtype=np.float64).sum()
        for image in (synthesis, std)
    )
    # A scan is its synthesis and an error that does not depend on it.
    return round(10 * math.log10((signal + error) / error), 2) if error > 0 else None

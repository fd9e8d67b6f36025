"""Many volumes from files to files."""

import copy
import time
from pathlib import Path

import numpy as np

from .._utils.files import prepare_outputs
from .._utils.parallel import cluster_client, parallel_map
from .._utils.progress import Progress
from .._utils.threads import effective_n_threads
from ..volumes._budget import subjects_at_once
from ..volumes._images import check_same_grid, open_image, save_image
from ..volumes._subjects import absolute_paths, open_subjects


class SubjectsFailed(ValueError):  # noqa: N818, as scikit-learn's own are called
    """Some subjects could not be predicted; the others were."""


def output_names(source, n_targets, kind="synth") -> list[str]:
    """File names of a subject's syntheses, after its first source.

    Parameters
    ----------
    source : path-like
    n_targets : int
    kind : str, default="synth"
        What they are, at the end of their names.

    Returns
    -------
    names : list of str

    Examples
    --------
    >>> from sklearn_lsdn.jobs._prediction import output_names
    >>> output_names("data/sub-01_T1w.nii.gz", 1)
    ['sub-01_T1w_synth.nii.gz']
    >>> output_names("data/sub-01_T1w.nii", 2)
    ['sub-01_T1w_synth1.nii', 'sub-01_T1w_synth2.nii']
    """
    stem, ending = split_name(source)
    numbers = [""] if n_targets == 1 else range(1, n_targets + 1)
    return [f"{stem}_{kind}{number}{ending}" for number in numbers]


def split_name(path) -> tuple[str, str]:
    """Take the name of an image apart, the ending being that of a NIfTI file.

    Examples
    --------
    >>> from sklearn_lsdn.jobs._prediction import split_name
    >>> split_name("data/sub-01_T1w.nii"), split_name("T1.mgz")
    (('sub-01_T1w', '.nii'), ('T1', '.nii.gz'))
    """
    name = Path(path).name
    for known in (".nii.gz", ".nii", ".mgz", ".mgh", ".img", ".hdr"):
        if name.endswith(known):
            ending = known if known.startswith(".nii") else ".nii.gz"
            return name[: -len(known)], ending
    return name, ".nii.gz"


def predict_files(
    synthesizer,
    sources,
    folder,
    *,
    uncertainty=False,
    overwrite=False,
    resume=False,
    keep_going=False,
    verbose=0,
) -> list[Path]:
    """Synthesise subjects and save each as soon as it is done.

    With ``synthesizer.n_jobs`` as many subjects are under way at once, each in one
    thread, so that reading, unzipping, computing and writing overlap, and as many are
    held in memory; fewer where they would not fit ``synthesizer.max_memory``. In a
    :obj:`joblib.parallel_config` context its backend does the work: on a Dask cluster
    each subject is one thread of a worker, which must find the files under the same
    paths, and has ``max_memory`` to itself.

    Parameters
    ----------
    synthesizer : VolumeSynthesizer
        A fitted one.
    sources : list
        Paths of each subject, as `VolumeSynthesizer.predict` takes them.
    folder : path-like
        Where the images go; it is made.
    uncertainty : bool, default=False
        Save the standard deviation of each voxel as well, beside the synthesis under
        its name with ``_std`` for ``_synth``.
    overwrite : bool, default=False
        Replace existing files.
    resume : bool, default=False
        Leave alone subjects whose outputs are there and whole, which can be read and
        lie on the grid of their source; replace the outputs of the others.
    keep_going : bool, default=False
        When a subject fails, go on with the others, and say so in the end.
    verbose : int, default=0
        Whether to print each subject as it is done.

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
        from.
        Headers of all images are checked before the first is synthesised, unless
        with ``keep_going``.
    SubjectsFailed
        With ``keep_going``, once the others are done.

    See Also
    --------
    sklearn_lsdn.VolumeSynthesizer.predict : Returns images.

    Examples
    --------
    >>> import tempfile
    >>> import nibabel as nib
    >>> from sklearn_lsdn import VolumeSynthesizer
    >>> from sklearn_lsdn.datasets import make_brain_cohort
    >>> from sklearn_lsdn.jobs import predict_files
    >>> cohort = make_brain_cohort(2, voxel_size=8, random_state=0)
    >>> t1w, t2w = cohort.images["T1w"], cohort.images["T2w"]
    >>> synthesizer = VolumeSynthesizer(random_state=0).fit(t1w[:1], t2w[:1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     nib.save(t1w[1], f"{folder}/sub-02_T1w.nii.gz")
    ...     paths = predict_files(synthesizer, [f"{folder}/sub-02_T1w.nii.gz"], folder)
    ...     paths[0].name
    'sub-02_T1w_synth.nii.gz'
    """
    folder = Path(folder)
    if uncertainty:
        synthesizer.check_ensemble()
    for i, source in enumerate(sources):
        if len(_images(source)) == 0:
            raise ValueError(f"sources[{i}] is empty: it names no image.")
    first = [_images(source)[0] for source in sources]
    n_targets = len(synthesizer.target_normalizers_)
    kinds = ("synth", "std") if uncertainty else ("synth",)
    outputs = [
        [folder / name for kind in kinds for name in output_names(s, n_targets, kind)]
        for s in first
    ]
    return predict_to_files(
        synthesizer,
        sources,
        outputs,
        uncertainty=uncertainty,
        overwrite=overwrite,
        resume=resume,
        keep_going=keep_going,
        verbose=verbose,
    )


def predict_to_files(
    synthesizer,
    sources,
    outputs,
    *,
    uncertainty=False,
    overwrite=False,
    resume=False,
    keep_going=False,
    verbose=0,
    finish=None,
    is_finished=None,
) -> list[Path]:
    """Synthesise subjects to files of given names; see `predict_files`.

    Parameters
    ----------
    synthesizer : VolumeSynthesizer
        A fitted one.
    sources : list
        Paths of each subject, as `VolumeSynthesizer.predict` takes them.
    outputs : list of list of Path
        Where each subject's syntheses go, and after them their standard deviations;
        folders are made.
    uncertainty : bool, default=False
        Save the standard deviations.
    overwrite : bool, default=False
        Replace existing files.
    resume : bool, default=False
        Leave alone subjects whose outputs are there and whole, which can be read and
        lie on the grid of their source; replace the outputs of the others.
    keep_going : bool, default=False
        When a subject fails, go on with the others, and say so in the end.
    verbose : int, default=0
        Whether to print each subject as it is done.
    finish : callable, default=None
        ``finish(i)`` makes, of a subject's number, what is called without arguments
        once its images are written, perhaps by another process.
    is_finished : callable, default=None
        Says of a subject whose images are whole whether that call was made too.

    Returns
    -------
    paths : list of Path

    Raises
    ------
    OSError, ValueError
        As `predict_files`.
    """
    if not keep_going:
        open_subjects(sources, "sources")
    owner = {}
    for source, paths in zip(sources, outputs, strict=True):
        if paths[0] in owner:
            raise ValueError(
                f"{owner[paths[0]]} and {source} would both become {paths[0]}. Predict "
                "them into different folders."
            )
        owner[paths[0]] = source
    todo, before = list(range(len(sources))), None
    if resume:
        todo = [
            i
            for i in todo
            if not _are_whole(sources[i], outputs[i])
            or not (is_finished is None or is_finished(i))
        ]
        overwrite = True  # what is not whole
        before = f"{len(sources) - len(todo)} of {len(sources)} were done before"
    prepare_outputs(
        [path for i in todo for path in outputs[i]],
        overwrite=overwrite,
        inputs=[image for source in sources for image in _images(source)],
    )
    n_jobs = min(effective_n_threads(synthesizer.n_jobs), max(len(todo), 1))
    if synthesizer.max_memory is not None:
        n_jobs = _that_fit(synthesizer, [sources[i] for i in todo], n_jobs, keep_going)
    elsewhere = cluster_client() is not None
    if n_jobs > 1 or elsewhere:
        synthesizer = copy.copy(synthesizer)
        synthesizer.n_jobs = 1  # a thread a subject
    # What a worker wrote before it died is written again by another.
    shared = synthesizer, uncertainty, overwrite or elsewhere, keep_going
    jobs = (  # whoever does the work may do it in another folder
        (absolute_paths(sources[i]), absolute_paths(outputs[i]), finish and finish(i))
        for i in todo
    )

    def lost(job, error):
        name = Path(job[1][0]).name
        if not keep_going:
            raise OSError(f"{name}: {error}") from error
        return f"{name} failed", f"{name}: {error}"

    attempts = parallel_map(
        _attempt, shared, jobs, n_jobs=n_jobs, prefer="threads", lost=lost
    )
    progress, failures = Progress("Synthesising", len(todo), verbose), []
    progress.tell(0, before, before or "")
    for n, (message, failure) in enumerate(attempts, start=1):
        failures += [failure] if failure else []
        line = f"{n}/{len(todo)} {message}"
        progress.tell(n, line, message)
    if failures:
        raise SubjectsFailed(
            f"{len(failures)} of {len(sources)} subjects could not be predicted:\n"
            + "\n".join(failures)
        )
    return [path for paths in outputs for path in paths]


def _images(source):
    """One image for each contrast of a subject."""
    return source if isinstance(source, list | tuple | np.ndarray) else [source]


def _attempt(synthesizer, uncertainty, overwrite, keep_going, source, paths, finish):
    """Predict one subject; say how it went, and what went wrong."""
    start = time.perf_counter()
    name = Path(paths[0]).name
    try:
        _predict_one(synthesizer, uncertainty, overwrite, source, paths)
        if finish is not None:
            finish()
    except (OSError, TypeError, ValueError) as error:
        if not keep_going:
            raise
        return f"{name} failed", str(error)
    return f"{name} ({time.perf_counter() - start:.1f} s)", None


def _predict_one(synthesizer, uncertainty, overwrite, source, paths):
    predicted = synthesizer.predict([source], return_std=uncertainty)
    kinds = predicted if uncertainty else [predicted]
    images = []
    for (each,) in kinds:
        images += each if isinstance(each, list) else [each]
    for image, path in zip(images, paths, strict=True):
        save_image(image, path, overwrite=overwrite)


def _that_fit(synthesizer, sources, n_jobs, keep_going):
    """How many subjects to have under way at once."""
    n_fitting = n_jobs
    for source in sources:
        try:
            subject = open_subjects([source], "sources")
            fitting = subjects_at_once(synthesizer, subject, n_jobs=n_jobs)
            n_fitting = min(n_fitting, fitting)
        except (OSError, TypeError, ValueError):
            if not keep_going:
                raise
    return n_fitting


def _are_whole(source, paths):
    """Whether a subject's outputs can be read to their ends, and lie on its grid."""
    try:
        ((first, *_),) = open_subjects([source], "sources")
        for path in paths:
            output = open_image(path, "output")
            check_same_grid(first, output)
            output.read()
    except (OSError, TypeError, ValueError):
        return False
    return True

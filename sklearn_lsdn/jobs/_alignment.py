"""`lsdn register`: subjects from files to files, each onto one reference."""

from pathlib import Path

from .._utils.files import make_folder, prepared_outputs
from .._utils.names import split_name
from .._utils.parallel import parallel_map
from .._utils.progress import Progress
from .._utils.threads import effective_n_threads
from ..exceptions import SubjectsFailed
from ..volumes._images import open_image, save_image
from ..volumes._registration import register_rigid
from ..volumes._subjects import check_contrast_order
from ._aligned import align_subject
from ._dataset import begun_dataset
from ._names import beside, derived_path


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
    steps,
    *,
    dataset=None,
    folder,
    overwrite=False,
    keep_going=False,
    n_jobs=1,
    verbose=0,
    keep=None,
):
    """Register each subject's images to its first, that one to a reference.

    Each image is resampled once, onto the grid of the reference. Beside it lie the
    transform, with the ending ``.tfm``, and numbers to judge it by, ``.json``; beside
    the first a picture, ``.png``. Results have the same bits whatever ``n_jobs``.

    Parameters
    ----------
    subjects : list of list of path-like
        Images of each subject.
    outputs : list of list of Path
        What they shall become.
    reference : Reference
    steps : Steps
    dataset : path-like, default=None
        BIDS dataset that the images are of, if the outputs are to be one.
    folder : path-like
        Where the outputs lie.
    overwrite : bool, default=False
        Replace existing files.
    keep_going : bool, default=False
        When a subject fails, go on with the others, and say so in the end.
    n_jobs : int, default=1
        Subjects that are under way at once, each in a thread; -1 for one a core.
    verbose : int, default=0
        Whether to print each subject as it is done.
    keep : callable, default=None
        ``keep(aligned)``, called with the `Aligned` of each subject, in order.

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
    others = [beside(path, end) for path in files for end in (".tfm", ".json")]
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
            [*files, *others],
            ignored=("*.tfm", "*.png"),
            overwrite=overwrite,
        )
    written, failures, n_subjects = [], [], len(subjects)
    progress = Progress("Registering", n_subjects, verbose)
    shared = reference, steps, dataset, overwrite, keep_going, keep is not None
    jobs = list(zip(subjects, outputs, strict=True))
    n_jobs = min(effective_n_threads(n_jobs), max(n_subjects, 1))
    with prepared:
        progress.tell(0)
        results = parallel_map(
            align_subject, shared, jobs, n_jobs=n_jobs, prefer="threads"
        )
        for n, (aligned, (_, paths)) in enumerate(zip(results, jobs, strict=True), 1):
            if aligned.failure is None:
                written += [*paths, beside(paths[0], ".png")]
                note = f"{aligned.name} ({aligned.seconds:.1f} s)"
            else:
                failures.append(aligned.failure)
                note = f"{aligned.name} failed"
            if keep is not None:
                keep(aligned)
            progress.tell(n, f"{n}/{n_subjects} {note}", note)
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

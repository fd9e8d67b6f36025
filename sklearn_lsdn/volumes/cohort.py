"""Many volumes from files to files."""

import copy
import time
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from .._files import check_output, make_folder
from .._threads import effective_n_threads
from .images import save_image
from .subjects import open_subjects


def output_names(source, n_targets) -> list[str]:
    """File names of a subject's syntheses, after its first source.

    Parameters
    ----------
    source : path-like
    n_targets : int

    Returns
    -------
    names : list of str

    Examples
    --------
    >>> from sklearn_lsdn.volumes.cohort import output_names
    >>> output_names("data/sub-01_T1w.nii.gz", 1)
    ['sub-01_T1w_synth.nii.gz']
    >>> output_names("data/sub-01_T1w.nii", 2)
    ['sub-01_T1w_synth1.nii', 'sub-01_T1w_synth2.nii']
    """
    name = Path(source).name
    stem, ending = name, ".nii.gz"
    for known in (".nii.gz", ".nii", ".mgz", ".mgh", ".img", ".hdr"):
        if name.endswith(known):
            stem = name[: -len(known)]
            ending = known if known.startswith(".nii") else ".nii.gz"
            break
    numbers = [""] if n_targets == 1 else range(1, n_targets + 1)
    return [f"{stem}_synth{number}{ending}" for number in numbers]


def predict_files(
    synthesizer, sources, folder, *, overwrite=False, verbose=0
) -> list[Path]:
    """Synthesise subjects and save each as soon as it is done.

    With ``synthesizer.n_jobs`` as many subjects are under way at once, each in one
    thread, so that reading, unzipping, computing and writing overlap, and as many are
    held in memory.

    Parameters
    ----------
    synthesizer : VolumeSynthesizer
        A fitted one.
    sources : list
        Paths of each subject, as `VolumeSynthesizer.predict` takes them.
    folder : path-like
        Where the images go; it is made.
    overwrite : bool, default=False
        Replace existing files.
    verbose : int, default=0
        Print each subject as it is done.

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
        If an image cannot be used, or two subjects would get the same file name.
        Headers of all images are checked before the first is synthesised.
    """
    folder = Path(folder)
    open_subjects(sources, "sources")
    several = list, tuple, np.ndarray
    first = [s[0] if isinstance(s, several) else s for s in sources]
    n_targets = len(synthesizer.target_normalizers_)
    outputs = [[folder / name for name in output_names(s, n_targets)] for s in first]
    owner = {}
    for source, paths in zip(first, outputs, strict=True):
        if paths[0] in owner:
            raise ValueError(
                f"{owner[paths[0]]} and {source} would both become {paths[0]}. Predict "
                "them into different folders."
            )
        owner[paths[0]] = source
    make_folder(folder)
    for paths in outputs:
        for path in paths:
            check_output(path, overwrite=overwrite, inputs=np.ravel(sources))
    n_threads = min(effective_n_threads(synthesizer.n_jobs), len(sources))
    if n_threads > 1:
        synthesizer = copy.copy(synthesizer)
        synthesizer.n_jobs = 1  # a thread a subject

    def predict_one(source, paths):
        start = time.perf_counter()
        (images,) = synthesizer.predict([source])
        for image, path in zip(
            images if n_targets > 1 else [images], paths, strict=True
        ):
            save_image(image, path, overwrite=overwrite)
        return paths, time.perf_counter() - start

    done = Parallel(n_jobs=n_threads, backend="threading", return_as="generator")(
        delayed(predict_one)(source, paths)
        for source, paths in zip(sources, outputs, strict=True)
    )
    for i, (paths, seconds) in enumerate(done, start=1):
        if verbose:
            print(f"{i}/{len(sources)} {paths[0].name} ({seconds:.1f} s)", flush=True)
    return [path for paths in outputs for path in paths]

"""A page on which to judge a synthesizer: one HTML file, with all that it shows."""

import os
from collections.abc import Sequence
from pathlib import Path

from .._regressors.roles import refuse_labels
from .._utils.files import check_output
from .._utils.lists import as_list
from .._utils.names import subject_labels
from ..display._synthesis import first_contrast
from ..volumes import VolumeSynthesizer
from ..volumes._images import open_image
from ..volumes._subjects import Masks, Subjects, list_masks
from ._inspection import inspect_network, inspect_subject
from ._page import check_page, require_report, write_page
from ._pictures import checked_places

__all__ = ["generate_report"]


def generate_report(
    synthesizer: VolumeSynthesizer,
    sources: Subjects,
    targets: Subjects | None = None,
    *,
    masks: Masks | None = None,
    path: str | os.PathLike = "report.html",
    subjects: Sequence[str] | None = None,
    title: str = "Report on a synthesis",
    cut_coords: Sequence[float] | str | None = None,
    worst_first: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write a page on what a fitted synthesizer makes of some subjects.

    It shows slices of each subject's source, target, synthesis, error and (of an
    ensemble) uncertainty, a view to click through, and scores; the network, its
    training and its places; what to be wary of; and what it takes to do the same again.
    Nothing is loaded from elsewhere when it is opened. Where all that would be more
    than 20 MB, the page shows small slices, and each subject has a page of its own in a
    folder beside it, ``report_subjects`` for ``report.html``.

    Parameters
    ----------
    synthesizer : VolumeSynthesizer
        A fitted one.
    sources : list
        Images of each subject, as `VolumeSynthesizer.predict` takes them.
    targets : list, default=None
        The scans that the syntheses should be, for errors and scores.
    masks : list, default=None
        The brain of each subject, as `VolumeSynthesizer.predict` takes them.
    path : str or path-like, default="report.html"
        The file, ending in .html; it appears whole or not at all.
    subjects : list of str, default=None
        What to call the subjects; by default, the ``sub-`` entities of file names, or
        else what tells these apart, or numbers.
    title : str, default="Report on a synthesis"
        Over the page.
    cut_coords : sequence of 3 float or "worst", default=None
        Where the sagittal, coronal and axial slice lie in world mm, or "worst" for
        those with the largest mean absolute error; by default, and where a subject has
        no brain there, in the middle of the brain, off the fissure.
    worst_first : bool, default=False
        Show subjects in the order of their SNR or, without targets, of how many
        warnings there are.
    overwrite : bool, default=False
        Replace an existing file.

    Returns
    -------
    path : Path
        The file.

    Raises
    ------
    FileExistsError
        If it or its folder exists and ``overwrite`` is false, or something else is
        where the folder would be.
    ImportError
        If jinja2, matplotlib, nilearn or scikit-image is missing.
    TypeError
        If it predicts labels, as a VolumeSegmenter does.
    ValueError
        If an image cannot be used, the lists differ in length, the file does not end in
        .html, or ``cut_coords`` is "worst" without targets.

    See Also
    --------
    VolumeSynthesizer : Makes the syntheses.
    sklearn_lsdn.jobs.leave_one_subject_out : Scores of subjects held back.

    Notes
    -----
    Scores are of the subjects given: if the synthesizer was trained on them, they
    say little of others. ``lsdn evaluate --report`` holds each subject back in turn.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from sklearn_lsdn import VolumeSynthesizer
    >>> from sklearn_lsdn.datasets import make_brain_cohort
    >>> from sklearn_lsdn.report import generate_report
    >>> cohort = make_brain_cohort(2, voxel_size=8, random_state=0)
    >>> t1w, t2w = cohort.images["T1w"], cohort.images["T2w"]
    >>> synthesizer = VolumeSynthesizer(random_state=0).fit(t1w[:1], t2w[:1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "report.html"
    ...     generate_report(synthesizer, t1w[1:], t2w[1:], path=path).name
    'report.html'
    """
    require_report()
    refuse_labels(synthesizer, "The report")
    cut_coords = checked_places(cut_coords, targets=targets is not None)
    sources = as_list(sources, "sources")
    targets = [None] * len(sources) if targets is None else as_list(targets, "targets")
    masks = list_masks(masks, sources)
    if subjects is not None:
        subjects = [
            str(each).strip() or f"subject {i}"
            for i, each in enumerate(as_list(subjects, "subjects"), start=1)
        ]
    else:
        firsts = [open_image(first_contrast(each), "source") for each in sources]
        subjects = subject_labels([file.path for file in firsts])
    lengths = {len(sources), len(targets), len(subjects)}
    if len(lengths) > 1 or lengths == {0}:
        raise ValueError(
            "sources, targets and subjects need an entry for each subject, got "
            f"{len(sources)}, {len(targets)} and {len(subjects)}."
        )
    check_output(path, overwrite=overwrite)
    check_page(path, overwrite=overwrite)
    results = [
        inspect_subject(synthesizer, *images, subject, mask=mask, cut_coords=cut_coords)
        for *images, subject, mask in zip(
            sources, targets, subjects, masks, strict=True
        )
    ]
    network = inspect_network(synthesizer, sources[0], mask=masks[0])
    more = dict(worst_first=worst_first, overwrite=overwrite)
    return write_page(path, title, results, [network], **more)

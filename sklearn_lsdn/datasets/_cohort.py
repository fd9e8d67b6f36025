"""Cohorts of simulated subjects."""

from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np
from nibabel import Nifti1Image
from sklearn.utils import Bunch, check_random_state

from .._utils.sklearn_private import Interval, StrOptions, validate_params
from ._anatomy import draw_anatomy
from ._fields import Grid
from ._physics import FIELD_STRENGTHS, PROTOCOLS, draw_tissues, scan

# Their order seeds the scans: append, never reorder.
CONTRASTS = ("T1w", "T2w", "PDw", "FLAIR")

_DESCR = """\
Simulated brain MR images
=========================

Anatomy: the ICBM152 tissue maps at 1 mm, sharpened, and deformed for each
subject by a smooth random diffeomorphism free of rigid motion. Subjects are
aligned as after a rigid registration: structures remain several mm apart.
Atrophy, drawn for each subject, enlarges ventricles and sulci.

Tissue: proton density, T1 and T2 of grey matter, white matter and CSF vary about
published values between subjects, between regions (deep grey nuclei and their
iron, primary cortices, limbic cortex, central tracts, ventricles) and smoothly
from voxel to voxel. Extents of regions, spread and gradients of myelin are plain
choices of the authors.

Scans: protocol {protocol}, {field_strength} T, times in ms and angles in degrees:
{sequences}
Tissues' signals add up in proportion to their share of a voxel. A smooth bias
field, Rician noise and a gain (arbitrary units) differ from scan to scan.
"""


@validate_params(
    {
        "n_subjects": [Interval(Integral, 1, None, closed="left")],
        "contrasts": [list, tuple],
        "voxel_size": [Interval(Real, 1, 10, closed="both")],
        "noise": [Interval(Real, 0, None, closed="left")],
        "bias": [Interval(Real, 0, None, closed="left")],
        "protocol": [StrOptions(set(PROTOCOLS))],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_brain_cohort(
    n_subjects: int = 4,
    contrasts: Sequence[str] = ("T1w", "T2w"),
    *,
    voxel_size: float = 1.0,
    noise: float = 0.03,
    bias: float = 0.1,
    protocol: str = "A",
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    """Simulate MR images of several contrasts of the brains of several subjects.

    Subjects have the anatomy of the ICBM152 template [1]_ that nilearn ships,
    deformed at random; nothing is downloaded. Images follow from tissue parameters
    [2]_ [3]_ [4]_ [5]_ [6]_ [7]_ [8]_ [9]_ by the signal equations of the
    sequences.

    Parameters
    ----------
    n_subjects : int, default=4
        Number of subjects. The first ones do not depend on it.
    contrasts : list or tuple of {"T1w", "T2w", "PDw", "FLAIR"}, \
            default=("T1w", "T2w")
        Contrasts to image. They share the anatomy and the tissue of a subject;
        noise, bias and gain are drawn for each scan.
    voxel_size : float, default=1.0
        Edge of the voxels, in mm, from 1 to 10.
    noise : float, default=0.03
        Standard deviation of the noise of either channel, real or imaginary, in
        units of the mean brain signal of the scan, whatever the voxel size.
    bias : float, default=0.1
        Standard deviation of the logarithm of the bias field.
    protocol : {"A", "B"}, default="A"
        Scanner settings. A: 3 T, T1w by MPRAGE. B: 1.5 T, T1w by spoiled gradient
        echo. Others are spin echoes, FLAIR after inversion; `DESCR` has the times.
    random_state : int, RandomState instance or None, default=None
        Seed; an int gives the same cohort in every call.

    Returns
    -------
    cohort : :class:`~sklearn.utils.Bunch`
        With attributes:

        subjects : list of str
            Names, from "sub-01".
        images : dict of str to list of Nifti1Image
            For each contrast an image per subject: float32, on one grid in MNI152
            mm (RAS+), positive in the brain and 0 outside.
        masks : list of Nifti1Image
            Brain of each subject: uint8.
        tissues : list of Nifti1Image
            Shares of grey matter, white matter and CSF of each subject along the
            fourth axis: float32.
        DESCR : str
            How the images were made, with the settings of the sequences.

    Raises
    ------
    ValueError
        If a contrast is unknown, or none is given.
    ImportError
        If nilearn is not installed.

    See Also
    --------
    VolumeSynthesizer : Learns to turn one of the contrasts into another.

    References
    ----------
    .. [1] Fonov et al. (2011). Unbiased average age-appropriate atlases for
       pediatric studies. NeuroImage. :doi:`10.1016/j.neuroimage.2010.07.033`
    .. [2] Wright et al. (2008). Water proton T1 measurements in brain tissue at
       7, 3, and 1.5T using IR-EPI, IR-TSE, and MPRAGE: results and optimization.
       MAGMA. :doi:`10.1007/s10334-008-0104-8` (T1 of cortex, white matter, caudate
       and putamen)
    .. [3] Stanisz et al. (2005). T1, T2 relaxation and magnetization transfer in
       tissue at 3T. Magn Reson Med. :doi:`10.1002/mrm.20605` (T2, bovine brain)
    .. [4] Whittall et al. (1997). In vivo measurement of T2 distributions and
       water contents in normal human brain. Magn Reson Med.
       :doi:`10.1002/mrm.1910370107` (water content)
    .. [5] Quantification of T1 and T2 of subarachnoid CSF: Implications for water
       exchange between CSF and brain tissues. PMC10696635 (sulci, ventricles)
    .. [6] Gelman et al. (1999). MR imaging of human brain at 3.0 T: preliminary
       report on transverse relaxation rates and relation to estimated iron
       content. Radiology 210:759-767, PMID 10207479 (relaxation by iron)
    .. [7] Hallgren and Sourander (1958). The effect of age on the non-haemin iron
       in the human brain. J Neurochem.
       :doi:`10.1111/j.1471-4159.1958.tb12607.x` (iron of deep grey matter)
    .. [8] Georgiades et al. (2001). MR imaging of the human brain at 1.5 T:
       regional variations in transverse relaxation rates in the cerebral cortex.
       AJNR 22:1732-1737, PMC7974454 (order of T2 among cortices)
    .. [9] Glasser and Van Essen (2011). Mapping human cortical areas in vivo based
       on myelin content as revealed by T1- and T2-weighted MRI. J Neurosci.
       :doi:`10.1523/JNEUROSCI.2180-11.2011` (myelin of primary cortices)

    Examples
    --------
    >>> from sklearn_lsdn.datasets import make_brain_cohort
    >>> cohort = make_brain_cohort(2, voxel_size=6.0, random_state=0)
    >>> cohort.subjects
    ['sub-01', 'sub-02']
    >>> cohort.images["T2w"][1].shape
    (27, 33, 29)
    """
    unknown = [name for name in contrasts if name not in CONTRASTS]
    if unknown or not contrasts:
        raise ValueError(
            f"contrasts must be one or more of {', '.join(CONTRASTS)}; "
            f"got {contrasts!r}."
        )
    sequences, field_strength = PROTOCOLS[protocol], FIELD_STRENGTHS[protocol]
    grid = Grid(float(voxel_size))
    root = check_random_state(random_state).randint(np.iinfo(np.int32).max)

    def stream(*key):
        """Generator of its own for a part of a subject."""
        return np.random.default_rng(np.random.SeedSequence(root, spawn_key=key))

    cohort = Bunch(
        subjects=[f"sub-{i + 1:02d}" for i in range(n_subjects)],
        images={name: [] for name in contrasts},
        masks=[],
        tissues=[],
        DESCR=_DESCR.format(
            protocol=protocol,
            field_strength=field_strength,
            sequences="\n".join(
                f"- {name}: {sequence.func.__name__}, "
                + ", ".join(f"{k}={v}" for k, v in sequence.keywords.items())
                for name, sequence in sequences.items()
            ),
        ),
    )
    for i in range(n_subjects):
        anatomy = draw_anatomy(stream(i, 0), grid)
        parameters = draw_tissues(stream(i, 1), anatomy, field_strength)
        for name in cohort.images:
            rng = stream(i, 2 + CONTRASTS.index(name))
            of = anatomy, parameters, sequences[name]
            image = scan(rng, *of, noise=noise, bias=bias)
            cohort.images[name].append(_image(image, grid))
        tissues = np.zeros((*grid.shape, 3), dtype=np.float32)
        tissues[anatomy.mask] = anatomy.fractions.T
        cohort.masks.append(_image(anatomy.mask.astype(np.uint8), grid))
        cohort.tissues.append(_image(tissues, grid))
    return cohort


def _image(data, grid):
    """NIfTI image in MNI152 space."""
    image = Nifti1Image(data, grid.affine)
    image.set_sform(grid.affine, code="mni")
    image.set_qform(grid.affine, code="mni")
    image.header.set_xyzt_units("mm")
    return image

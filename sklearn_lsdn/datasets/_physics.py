"""Magnetic resonance of brain tissue: parameters, signal equations, scanners."""

from functools import partial
from typing import NamedTuple

import numpy as np

from ._anatomy import VENTRICLES, ellipsoid
from ._fields import smooth_field

# Proton density (share of water's), T1 (ms) and T2 (ms) of cortical grey matter,
# white matter and CSF, by field strength (T). Sources are in the docstring of
# make_brain_cohort; CSF, measured at 3 T, is taken to relax alike at 1.5 T.
TISSUES = {
    3.0: np.array([[0.82, 1607, 99], [0.70, 838, 69], [1.0, 4309, 1886]]),
    1.5: np.array([[0.82, 1197, 95], [0.70, 646, 72], [1.0, 4309, 1886]]),
}
GREY, WHITE, FLUID = range(3)

# Spread of the log parameters: between subjects, and within a subject per
# smooth field: the first acts as myelin does on all three, the second mostly
# on T2, as iron does.
_BETWEEN = np.array([0.015, 0.03, 0.04])
_WITHIN = np.array([[-0.008, -0.03, -0.015], [0.0, -0.008, -0.035]])
_SPACINGS = (30.0, 6.0)  # mm

# Transverse relaxation by iron, in 1/ms per mg/100 g; proportional to the field.
_IRON_RELAXIVITY = 0.62e-3 / 3.0


class Region(NamedTuple):
    """Ellipsoid in both hemispheres where tissue departs from its average.

    Parameters
    ----------
    centre, radii : tuple of 3 floats
        In mm, MNI152; ``centre`` in the right hemisphere.
    tissues : tuple of int
        Tissues concerned.
    t1, t2 : float
        Factors on the relaxation times.
    iron : float
        Iron above that of prefrontal cortex, in mg/100 g of fresh tissue.
    """

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    tissues: tuple[int, ...] = (GREY,)
    t1: float = 1.0
    t2: float = 1.0
    iron: float = 0.0


REGIONS = {
    "caudate": Region((13, 8, 12), (7, 16, 14), t1=0.87, iron=6),
    "putamen": Region((26, 2, 0), (8, 18, 11), t1=0.83, iron=10),
    "pallidum": Region((19, -4, -1), (7, 10, 7), (GREY, WHITE), iron=18),
    "thalamus": Region((11, -19, 7), (10, 15, 10), t1=0.85, iron=2),
    "substantia nigra": Region((9, -17, -12), (6, 8, 6), (GREY, WHITE), iron=15),
    "dentate": Region((14, -56, -34), (8, 10, 7), (GREY, WHITE), iron=7),
    "sensorimotor cortex": Region((34, -22, 56), (26, 16, 20), t1=0.93, t2=0.96),
    "visual cortex": Region((9, -82, 6), (14, 18, 14), t1=0.93, t2=0.92),
    "auditory cortex": Region((48, -20, 8), (12, 12, 8), t1=0.94, t2=0.92),
    "hippocampus": Region((27, -22, -15), (9, 18, 9), t2=1.1),
    "cingulate cortex": Region((5, 10, 32), (8, 40, 20), t2=1.1),
    "insula": Region((38, 2, 0), (7, 20, 14), t2=1.05),
    "central tracts": Region((10, -10, 18), (20, 45, 20), (WHITE,), t1=0.95),
    "internal capsule": Region((23, -18, 10), (5, 9, 12), (WHITE,), t2=1.15),
    "ventricles": Region(*VENTRICLES, (FLUID,), t1=1.03, t2=1.26),
}


def spin_echo(pd, t1, t2, *, tr, te) -> np.ndarray:
    r"""Signal of a spin echo, :math:`\rho (1 - e^{-TR/T_1}) e^{-TE/T_2}`.

    Times are in ms, here and in the other sequences, and ``te`` is taken to be much
    shorter than ``tr``. Parameters broadcast.
    """
    return pd * -np.expm1(-tr / t1) * np.exp(-te / t2)


def inversion_recovery(pd, t1, t2, *, tr, te, ti) -> np.ndarray:
    """Signed signal of an inversion-recovery spin echo, ``ti`` after inversion."""
    recovery = 1 - 2 * np.exp(-ti / t1) + np.exp(-tr / t1)
    return pd * recovery * np.exp(-te / t2)


def spoiled_gradient_echo(pd, t1, t2, *, tr, te, flip) -> np.ndarray:
    """Steady state of a spoiled gradient echo, flipping by ``flip`` degrees.

    Echo times of a few ms leave dephasing (T2') out of account.
    """
    decay, alpha = np.exp(-tr / t1), np.deg2rad(flip)
    steady = np.sin(alpha) * (1 - decay) / (1 - np.cos(alpha) * decay)
    return pd * steady * np.exp(-te / t2)


def mprage(pd, t1, t2, *, tr, te, ti, flip, spacing, n_echoes) -> np.ndarray:
    """Signed signal of an inversion-prepared train of gradient echoes.

    The train of ``n_echoes`` pulses, ``spacing`` ms apart and of ``flip`` degrees, is
    centred ``ti`` after the inversion, where k-space is centred too; inversions
    follow each other by ``tr``. During the train magnetisation relaxes to a lower
    value at a higher rate [1]_.

    References
    ----------
    .. [1] Deichmann et al. (2000). Optimization of 3-D MP-RAGE sequences for
       structural brain imaging. NeuroImage. :doi:`10.1006/nimg.2000.0601`
    """
    alpha, train = np.deg2rad(flip), n_echoes * spacing
    before, after = ti - train / 2, tr - ti - train / 2
    t1_train = 1 / (1 / t1 - np.log(np.cos(alpha)) / spacing)
    limit = np.expm1(-spacing / t1) / np.expm1(-spacing / t1_train)

    def relax(start, end, duration, time):
        return end + (start - end) * np.exp(-duration / time)

    # A cycle maps the magnetisation before inversion affinely; solve for the
    # fixed point from the cycle's value at zero and its slope.
    def cycle(start):
        start = relax(relax(-start, 1, before, t1), limit, train, t1_train)
        return relax(start, 1, after, t1)

    slope = -np.exp(-(before + after) / t1 - train / t1_train)
    steady = cycle(0.0) / (1 - slope)
    centre = relax(relax(-steady, 1, before, t1), limit, train / 2, t1_train)
    return pd * np.sin(alpha) * centre * np.exp(-te / t2)


FIELD_STRENGTHS = {"A": 3.0, "B": 1.5}  # T, by protocol
_TRAIN = dict(tr=2300, te=3, ti=900, flip=9, spacing=7.1, n_echoes=176)
PROTOCOLS = {  # ms, and degrees
    "A": {
        "T1w": partial(mprage, **_TRAIN),
        "T2w": partial(spin_echo, tr=6000, te=100),
        "PDw": partial(spin_echo, tr=3000, te=15),
        "FLAIR": partial(inversion_recovery, tr=9000, te=120, ti=2500),
    },
    "B": {
        "T1w": partial(spoiled_gradient_echo, tr=20, te=5, flip=30),
        "T2w": partial(spin_echo, tr=4500, te=85),
        "PDw": partial(spin_echo, tr=2500, te=20),
        "FLAIR": partial(inversion_recovery, tr=8000, te=110, ti=2350),
    },
}


def draw_tissues(rng, anatomy, field_strength) -> np.ndarray:
    """Draw a subject's proton density, T1 and T2, tissue by tissue and voxelwise.

    Parameters
    ----------
    rng : Generator
        Source of randomness; the same state gives the same subject at any field.
    anatomy : Anatomy
        The subject.
    field_strength : float
        1.5 or 3.0, in T.

    Returns
    -------
    parameters : ndarray of float32 of shape (3, 3, n_voxels)
        Proton density, T1 (ms) and T2 (ms) of grey matter, white matter and CSF.
    """
    logs = np.log(TISSUES[field_strength])
    logs += rng.normal(size=(3, 3)) * _BETWEEN * [[1], [1], [0.5]]
    logs = np.repeat(logs[..., None].astype(np.float32), anatomy.mask.sum(), axis=2)
    for tissue in (GREY, WHITE):
        for loading in _WITHIN:
            for spacing in _SPACINGS:
                field = smooth_field(rng, anatomy.grid.axes, spacing)[anatomy.mask]
                logs[tissue] += np.outer(loading / np.sqrt(len(_SPACINGS)), field)

    iron = np.zeros_like(logs[:, 0])
    for region in REGIONS.values():
        weight = ellipsoid(anatomy.points, region.centre, region.radii)
        for tissue in region.tissues:
            logs[tissue, 1] += np.log(region.t1) * weight
            logs[tissue, 2] += np.log(region.t2) * weight
            iron[tissue] += region.iron * weight
    parameters = np.exp(logs, out=logs)
    parameters[:, 2] /= 1 + _IRON_RELAXIVITY * field_strength * iron * parameters[:, 2]
    return parameters


def scan(rng, anatomy, parameters, sequence, *, noise, bias) -> np.ndarray:
    """Image a subject.

    A voxel's signal is the sum of its tissues' signed signals, weighted by their
    shares, times a receive bias; complex white noise is added and the magnitude
    taken (Rician noise [1]_), in scanner units drawn for the scan.

    Parameters
    ----------
    rng : Generator
        Source of randomness of this scan.
    anatomy : Anatomy
        The subject.
    parameters : ndarray of shape (3, 3, n_voxels)
        As drawn by `draw_tissues`.
    sequence : callable
        Signal of proton density, T1 and T2.
    noise : float
        Standard deviation of either channel, in units of the mean brain signal.
    bias : float
        Standard deviation of the log of the bias field.

    Returns
    -------
    image : ndarray of float32 of shape ``anatomy.grid.shape``
        Positive in the brain and 0 outside.

    References
    ----------
    .. [1] Gudbjartsson and Patz (1995). The Rician distribution of noisy MRI
       data. Magn Reson Med. :doi:`10.1002/mrm.1910340618`
    """
    gain = 400 * np.exp(rng.normal(0, 0.4))
    signal = np.zeros_like(anatomy.fractions[0])
    for share, tissue in zip(anatomy.fractions, parameters, strict=True):
        signal += share * sequence(*tissue)
    field = smooth_field(rng, anatomy.grid.axes, 70.0)[anatomy.mask]
    signal *= np.exp(bias * field)
    real, imaginary = rng.standard_normal((2, signal.size), dtype=np.float32)
    sigma = noise * np.abs(signal).mean()
    magnitude = gain * np.hypot(signal + sigma * real, sigma * imaginary)
    image = np.zeros(anatomy.grid.shape, dtype=np.float32)
    image[anatomy.mask] = np.maximum(magnitude, np.finfo(np.float32).tiny)
    return image

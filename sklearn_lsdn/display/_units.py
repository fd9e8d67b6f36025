"""Whether a synthesis is in the units of the scan beside it, as a file need not be."""

import numpy as np

from .._utils.doubts import warn_user
from ..exceptions import UnitsWarning
from ..metrics import snr_score
from ..volumes import ZScoreNormalizer

_MUCH = 2.0  # dB that the target's mean and deviation may be worth without a word


def as_given(target, synthesis, mask, name):
    """Give a synthesis as it is, which is known to be in the target's units."""
    return synthesis


def in_units_of(target, synthesis, mask, name=""):
    """Bring a synthesis to the mean and the deviation of a scan over the brain.

    Parameters
    ----------
    target, synthesis : ndarray of shape (nx, ny, nz)
    mask : ndarray of bool of shape (nx, ny, nz)
    name : str, default=""
        What to call it, as of `doubted`.

    Returns
    -------
    scaled : float32 array of shape (nx, ny, nz)
        0 outside the brain; as it is, if it is constant there.
    """
    if not (np.ptp(synthesis[mask]) and np.ptp(target[mask])):
        return synthesis  # a constant has no units
    normalizer = ZScoreNormalizer(trim=0)
    shared = normalizer.transform(synthesis, mask)
    scaled = normalizer.inverse_transform(shared, target, mask)
    return np.where(mask, scaled, np.float32(0))


def doubted(target, synthesis, mask, name):
    """Give a synthesis as it is, and warn if it seems to be in other units."""
    truth = np.float64(target[mask])
    scaled = in_units_of(target, synthesis, mask)
    as_is, better = (
        snr_score(truth, np.float64(each[mask])) for each in (synthesis, scaled)
    )
    if better - as_is > _MUCH:
        warn_user(
            UnitsWarning(
                f"{name[0].upper()}{name[1:]} has other units than the target, or is "
                f"biased: its SNR is {as_is:.1f} dB, and {better:.1f} dB with the "
                "target's mean and standard deviation. A file that predict wrote has "
                "the units of a typical training scan: pass scale_to_target=True for "
                "it, which takes out a bias as well."
            )
        )
    return synthesis

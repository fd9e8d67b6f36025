"""Training voxels as other scans of other people might have shown them."""

from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator

from .._utils.persistable import persistable
from .._utils.sklearn_private import Interval, validate_parameters

_FIELD_LENGTH = 30.0  # mm over which a bias field changes by about its own deviation


@persistable("sklearn_lsdn.volumes")
class Augmentation(BaseEstimator):
    """Random changes to the voxels that a synthesizer trains on.

    A voxel's patch is all that training sees of a scan, so that changes are drawn for
    each voxel anew: this stands for as many scans as there are voxels. Nothing is
    changed when the synthesizer predicts.

    Parameters
    ----------
    mirror : bool or float, default=True
        Share of the voxels that are seen in a mirror, left and right exchanged, patch
        and place, at the plane through the middle of the training brains; True is a
        half.
    shift : float, default=5.0
        Standard deviation, in mm along each axis, by which places are moved, as
        anatomy differs between people.
    bias_field : float, default=0.0
        Standard deviation of the logarithm of a factor on intensities, counted from
        the background, that varies across the patch as a smooth field does, by about
        as much in 30 mm.

    See Also
    --------
    VolumeSynthesizer : Takes it as ``augmentation``.

    Examples
    --------
    >>> from sklearn_lsdn import VolumeSynthesizer
    >>> from sklearn_lsdn.volumes import Augmentation
    >>> synthesizer = VolumeSynthesizer(augmentation=Augmentation(mirror=False))
    >>> synthesizer.set_params(augmentation__shift=10.0).augmentation
    Augmentation(mirror=False, shift=10.0)
    """

    _parameter_constraints: dict = {
        "mirror": ["boolean", Interval(Real, 0, 1, closed="both")],
        "shift": [Interval(Real, 0, None, closed="left")],
        "bias_field": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        mirror: bool | float = True,
        shift: float = 5.0,
        bias_field: float = 0.0,
    ) -> None:
        self.mirror = mirror
        self.shift = shift
        self.bias_field = bias_field

    @property
    def _share(self):
        """Of the voxels that are mirrored."""
        return 0.5 if self.mirror is True else float(self.mirror)

    def facts(self) -> str:
        """Say in words what is changed.

        Returns
        -------
        facts : str
        """
        said = []
        if self._share:
            said.append(f"{100 * self._share:.3g} % of the voxels were mirrored")
        if self.shift:
            said.append(f"places were shifted by {self.shift:g} mm (sd)")
        if self.bias_field:
            said.append(f"a bias field was applied (sd of its log {self.bias_field:g})")
        return ", ".join(said) or "none"

    def apply(
        self,
        patches: np.ndarray,
        coordinates: np.ndarray,
        targets: np.ndarray,
        background: np.ndarray,
        steps: np.ndarray,
        middle: float,
        rng: np.random.RandomState,
    ) -> None:
        """Change voxels in place.

        Parameters
        ----------
        patches : float32 array of shape (n, n_contrasts, n_scales, size**3)
            On the shared scale; the first axis of a patch runs from left to right.
        coordinates : float32 array of shape (n, 3)
            In mm, x towards the right.
        targets : float32 array of shape (n, n_targets, size**3)
        background : ndarray of shape (n_contrasts,)
            Intensity of what is outside the brain.
        steps : ndarray of shape (n_scales, size**3, 3)
            In mm, from the centre of a patch to its voxels.
        middle : float
            The x of the mirror, in mm.
        rng : RandomState
        """
        if self._share:
            mirrored = rng.uniform(size=len(patches)) < self._share
            patches[mirrored] = _mirrored(patches[mirrored])
            targets[mirrored] = _mirrored(targets[mirrored])
            coordinates[mirrored, 0] = 2 * middle - coordinates[mirrored, 0]
        if self.shift:
            coordinates += self.shift * rng.normal(size=coordinates.shape)
        if self.bias_field:
            for c, value in enumerate(background):
                self._distort(patches[:, c], value, steps.astype(np.float32), rng)

    def _distort(self, values, background, steps, rng):
        """Multiply by a field, linear in the logarithm."""

        def draw(deviation):
            drawn = deviation * rng.normal(size=(len(values), 1, 1))
            return drawn.astype(np.float32)

        logarithm = draw(self.bias_field)
        for axis in range(3):
            slope = draw(self.bias_field / _FIELD_LENGTH)
            logarithm = logarithm + slope * steps[..., axis]
        values += (values - background) * np.expm1(logarithm)


def resolve_augmentation(augmentation) -> Augmentation:
    """Turn the ``augmentation`` parameter into an object with checked parameters."""
    if augmentation is None:
        augmentation = Augmentation(mirror=False, shift=0.0)
    elif augmentation == "default":
        augmentation = Augmentation()
    validate_parameters(augmentation)
    return augmentation


def _mirrored(patches):
    size = round(patches.shape[-1] ** (1 / 3))
    cubes = patches.reshape(*patches.shape[:-1], size, size, size)
    return cubes[..., ::-1, :, :].reshape(patches.shape)

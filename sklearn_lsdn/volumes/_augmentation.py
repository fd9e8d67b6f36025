"""Training voxels as other scans of other people might have shown them."""

from dataclasses import dataclass

import numpy as np

_FIELD_LENGTH = 30.0  # mm over which a bias field changes by about its own deviation


@dataclass
class Augmentation:
    """Random changes to patches on the shared scale, drawn for each voxel anew.

    A voxel's patch is all that training sees of a scan, so that drawing for each
    voxel stands for as many scans as there are voxels. 0 leaves things as they are.

    Parameters
    ----------
    mirror : float
        Share of the voxels that are seen in a mirror, left and right exchanged.
    gain : float
        Standard deviation of the logarithm of a factor on a contrast's intensities,
        counted from the background.
    offset : float
        Standard deviation of what is added, on the shared scale.
    gamma : float
        Standard deviation of the logarithm of the exponent to which intensities
        are raised, between the background and the brightest.
    bias_field : float
        Standard deviation of the logarithm of a factor that varies across the patch
        as a smooth field does, by about as much in 30 mm.
    shift : float
        Standard deviation in mm of the place, along each axis.
    """

    mirror: float = 0.0
    gain: float = 0.0
    offset: float = 0.0
    gamma: float = 0.0
    bias_field: float = 0.0
    shift: float = 0.0

    def apply(self, patches, coordinates, targets, background, steps, middle, rng):
        """Change voxels in place.

        Parameters
        ----------
        patches : float32 array of shape (n, n_contrasts, n_scales, size**3)
            The first axis of a patch runs from left to right.
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
        if self.mirror:
            mirrored = rng.uniform(size=len(patches)) < self.mirror
            patches[mirrored] = _mirrored(patches[mirrored])
            targets[mirrored] = _mirrored(targets[mirrored])
            coordinates[mirrored, 0] = 2 * middle - coordinates[mirrored, 0]
        if self.shift:
            coordinates += self.shift * rng.normal(size=coordinates.shape)
        for c, value in enumerate(background):
            self._change_intensities(patches[:, c], value, steps, rng)

    def _change_intensities(self, values, background, steps, rng):
        def draw(deviation):
            if not deviation:
                return np.float32(0)
            drawn = deviation * rng.normal(size=(len(values), 1, 1))
            return drawn.astype(np.float32)

        if self.gamma:
            white = values.max() - background
            share = np.maximum(values - background, 0) / white
            raised = share ** np.exp(draw(self.gamma))
            values += np.where(share > 0, (raised - share) * white, 0)
        if self.gain or self.bias_field:
            logarithm = draw(self.gain) + draw(self.bias_field)
            for axis in range(3 if self.bias_field else 0):
                slope = draw(self.bias_field / _FIELD_LENGTH)
                logarithm = logarithm + slope * steps[..., axis].astype(np.float32)
            values += (values - background) * np.expm1(logarithm)
        if self.offset:
            values += draw(self.offset)


def _mirrored(patches):
    size = round(patches.shape[-1] ** (1 / 3))
    cubes = patches.reshape(*patches.shape[:-1], size, size, size)
    return cubes[..., ::-1, :, :].reshape(patches.shape)

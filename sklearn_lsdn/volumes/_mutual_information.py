"""How two images of ITK lie to each other, by what they tell of one another."""

import numpy as np

from .._utils.optional import require
from ._itk import is_stripped, volume_of

_LEVELS = 8, 4, 2, 1  # voxels of the fixed image that are made one, in turn
_COARSEST = 10.0  # mm of such a voxel at most
_SAMPLES = 20_000, 20_000, 30_000, 60_000  # voxels that are looked at
_BORDER = 5  # voxels around a brain whose surroundings are 0: its outline tells much


class MutualInformation:
    """Of two images, as a function of how they lie to each other.

    Parameters
    ----------
    fixed, moving : SimpleITK.Image
    masks : list of SimpleITK.Image or None
        Where each is looked at.
    random_state : int
        Seed of the voxels that are looked at.
    """

    def __init__(self, fixed, moving, masks, random_state):
        sitk = require("SimpleITK")
        self._images, self._masks = (fixed, moving), list(masks)
        self._seed = random_state + 1
        brains = [image != 0 if is_stripped(image) else None for image in self._images]
        self._alike = (brains[0] is None) == (brains[1] is None)
        if masks[0] is None and brains[0] is not None:
            # The outline of a brain says much, unless the other image shows a head.
            border = 0 if brains[1] is None else _BORDER
            self._masks[0] = sitk.BinaryDilate(brains[0], [border] * 3)
        self._n_voxels = float(np.prod(fixed.GetSize()))
        step = max(1, int((self._n_voxels / _SAMPLES[0]) ** (1 / 3)))
        self._sparse = [
            None if each is None else sitk.Shrink(each, [step] * 3)
            for each in (fixed, self._masks[0])
        ]
        self._heads = [
            sitk.OtsuThreshold(image, 0, 1) if brain is None else brain
            for image, brain in zip(self._images, brains, strict=True)
        ]

    def at(self, transform) -> float:
        """In nats; minus infinity where the images do not meet."""
        coarse = self._method(self._sparse[1])
        coarse.SetInitialTransform(transform)
        try:
            return -coarse.MetricEvaluate(self._sparse[0], self._images[1])
        except RuntimeError:
            return -np.inf

    def starts(self):
        """As the headers place the images; their middles, or masses, on each other."""
        sitk = require("SimpleITK")
        kinds = sitk.CenteredTransformInitializerFilter
        starts = [
            sitk.Euler3DTransform(
                sitk.CenteredTransformInitializer(
                    *self._images, sitk.Euler3DTransform(), kind
                )
            )
            for kind in (kinds.GEOMETRY, kinds.GEOMETRY, kinds.MOMENTS)
        ]
        starts[0].SetTranslation((0.0, 0.0, 0.0))
        return starts

    def climb(self, start, step=4.0):
        """Better a transform of ITK, in place, until there is none nearby.

        Parameters
        ----------
        start : SimpleITK.Transform
            What of it may change is what its class has parameters for.
        step : float, default=4.0
            In mm, the first. Steps are long and given up slowly: else a head turned by
            15 degrees is not reached.
        """
        voxel = min(self._images[0].GetSpacing())
        levels = [
            (level, samples * level**3 / self._n_voxels)
            for level, samples in zip(_LEVELS, _SAMPLES, strict=True)
            if level == 1 or level * voxel <= _COARSEST
        ]
        search = self._method(self._masks[0])
        search.SetShrinkFactorsPerLevel([level for level, _ in levels])
        search.SetSmoothingSigmasPerLevel(
            [level * voxel / 2 if level > 1 else 0.0 for level, _ in levels]
        )
        # A jittered grid has less noise than voxels drawn at random.
        search.SetMetricSamplingStrategy(search.REGULAR)
        search.SetMetricSamplingPercentagePerLevel(
            [min(1.0, share) for _, share in levels], self._seed
        )
        search.SetOptimizerAsRegularStepGradientDescent(step, 1e-4, 300, 0.7)
        search.SetOptimizerScalesFromPhysicalShift()
        search.SetInitialTransform(start, inPlace=True)
        search.Execute(*self._images)
        # Libraries round otherwise elsewhere: drop the digits that depend on it.
        start.SetParameters(np.round(start.GetParameters(), 8).tolist())

    def _method(self, fixed_mask):
        sitk = require("SimpleITK")
        method = sitk.ImageRegistrationMethod()
        method.SetMetricAsMattesMutualInformation(32)
        method.SetInterpolator(sitk.sitkLinear)
        # Differences of neighbours do, and whole images of gradients take long.
        method.SetMetricUseFixedImageGradientFilter(False)
        method.SetMetricUseMovingImageGradientFilter(False)
        if fixed_mask is not None:
            method.SetMetricFixedMask(fixed_mask)
        if self._masks[1] is not None:
            method.SetMetricMovingMask(self._masks[1])
        return method

    def overlap(self, transform):
        """Share of the smaller head, and Dice's coefficient, in the place found.

        Of a brain and a whole head Dice's coefficient is None.
        """
        sitk = require("SimpleITK")
        fixed, moving = self._heads
        moved = sitk.Resample(moving, fixed, transform, sitk.sitkNearestNeighbor, 0)
        both = volume_of(sitk.And(fixed, moved))
        volumes = volume_of(fixed), volume_of(moved)
        smaller = min(volumes[0], volume_of(moving))
        dice = 2 * both / max(sum(volumes), 1e-12)
        return both / max(smaller, 1e-12), dice if self._alike else None

    def middle(self):
        """Of the fixed head, in ITK's world mm."""
        sitk = require("SimpleITK")
        shape = sitk.LabelShapeStatisticsImageFilter()
        shape.Execute(self._heads[0])
        return shape.GetCentroid(1)

"""
Does the place in the brain tell what intensity alone does not?
===============================================================

One T1-weighted intensity goes with many T2-weighted ones: tissue of a part of the
brain differs from the like tissue elsewhere, and so does the scanner's sensitivity.
Within a small neighbourhood the relation is much simpler. This is why
:class:`~sklearn_lsdn.LSDNRegressor` makes its nodes answer to a place each.

The picture follows figure 1 of Nguyen, Zhou and Vemulapalli (MICCAI 2015), on a
simulated subject.
"""

# %%
# A subject at 1 mm, the size of voxels of a usual T1-weighted scan.
from sklearn_lsdn.datasets import make_brain_cohort

cohort = make_brain_cohort(1, voxel_size=1, random_state=0)
(t1w,), (t2w,) = cohort.images["T1w"], cohort.images["T2w"]

# %%
# All voxels of the brain, and those of a cube of 10 x 10 x 10 in the right occipital
# lobe. Both axes are the same in both pictures; colours are logarithmic.
import matplotlib.pyplot as plt

from sklearn_lsdn.display import JointHistogramDisplay

figure, axes = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
displays = [
    JointHistogramDisplay.from_images(
        t1w, t2w, center=center, name_x="T1w", name_y="T2w", ax=ax
    )
    for center, ax in zip([None, (10, -80, 5)], axes, strict=True)
]
plt.show()

# %%
# The cube shows two straight branches, from white to grey matter and from grey
# matter to cerebrospinal fluid, where the whole brain shows broad clouds. In
# numbers: how far T2w intensities of voxels with the same T1w intensity spread.
import numpy as np


def spread(display):
    """Standard deviation of y within the columns of a joint histogram."""
    y = (display.edges_y[1:] + display.edges_y[:-1]) / 2
    n = display.counts.sum(axis=1)
    columns = display.counts[n > 0] / n[n > 0, None]
    variance = columns @ y**2 - (columns @ y) ** 2
    return np.sqrt(np.average(variance, weights=n[n > 0]))


for display, place in zip(displays, ["whole brain", "neighbourhood"], strict=True):
    print(f"{place}: T2w spreads by {spread(display):.1f} scanner units")

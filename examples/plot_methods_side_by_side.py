"""
Where do methods go wrong?
==========================

Each method learns T2w from T1w on the same subjects and predicts one that it has not
seen. All syntheses are shown in the same window, and all errors, below them, on the
same scale: blue where a synthesis is too dark, red where it is too bright. Titles have
the signal-to-noise ratio and R2 over the whole brain.

The picture follows figure 3 of Nguyen, Zhou and Vemulapalli (MICCAI 2015), on
simulated subjects.
"""

# %%
# Six subjects at 3 mm, the last of them held back.
from sklearn_lsdn.datasets import make_brain_cohort

cohort = make_brain_cohort(6, voxel_size=3, random_state=0)
t1w, t2w = cohort.images["T1w"], cohort.images["T2w"]

# %%
# Any scikit-learn regressor is a method. The networks come in the paper's sizes.
from sklearn.linear_model import LinearRegression

from sklearn_lsdn import (
    CDNRegressor,
    CoupledSparseRegressor,
    LSDNRegressor,
    ModalityPropagationRegressor,
    VDNRegressor,
)

METHODS = {
    "linear": LinearRegression(),
    "modality propagation": ModalityPropagationRegressor(n_neighbors=4),
    "coupled sparse": CoupledSparseRegressor(),
    "VDN": VDNRegressor((400, 40)),
    "CDN": CDNRegressor((400, 40)),
    "LSDN": LSDNRegressor((200, 20)),
}

# %%
# They see the same voxels. The two older methods predict patches of 3 x 3 x 3 voxels,
# which are averaged where they overlap. As in the paper, patches are of one scale, and
# nothing is done to training voxels or to the result.
from sklearn_lsdn import VolumeSynthesizer

PAPER = dict(patch_scales=(1,), augmentation=None, smoothing=0.0)
PATCHES = {"modality propagation": 3, "coupled sparse": 3}
synthesizers = {
    name: VolumeSynthesizer(
        method,
        target_patch_size=PATCHES.get(name, 1),
        n_voxels=4_000,
        **PAPER,
        random_state=0,
    ).fit(t1w[:-1], t2w[:-1])
    for name, method in METHODS.items()
}

# %%
# The display predicts the subject held back, in the units of its T2w scan. First the
# methods that are no networks:
import matplotlib.pyplot as plt

from sklearn_lsdn.display import ComparisonDisplay


def compare(*names):
    ComparisonDisplay.from_estimators(
        {name: synthesizers[name] for name in names},
        t1w[-1],
        t2w[-1],
        source_name="T1w",
        target_name="T2w",
    )
    plt.show()


compare("coupled sparse", "modality propagation", "linear")

# %%
# The networks:
compare("VDN", "CDN", "LSDN")
# sphinx_gallery_thumbnail_path = 'images/thumbnails/methods_side_by_side.webp'

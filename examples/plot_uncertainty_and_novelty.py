"""
How does one see where a synthesis is not to be trusted?
========================================================

By two maps. The standard deviation of an ensemble says where a synthesis is rather
wrong than elsewhere, in brains like those of training. Novelty says where a scan is
unlike those of training, whatever is made of it: there the deviation, too, knows
nothing. Here a simulated subject has what no training subject had.
"""

# %%
# Five subjects, T1w and T2w. Into the last comes a sphere that is bright in both.
import numpy as np
from nibabel import Nifti1Image

from sklearn_lsdn.datasets import make_brain_cohort

cohort = make_brain_cohort(5, voxel_size=4, random_state=0)
t1w, t2w = cohort.images["T1w"], cohort.images["T2w"]
CENTRE, RADIUS = (-32, -22, 26), 16  # mm
index = np.moveaxis(np.indices(t1w[0].shape), 0, -1)
world = index @ t1w[0].affine[:3, :3].T + t1w[0].affine[:3, 3]
sphere = np.linalg.norm(world - CENTRE, axis=-1) < RADIUS
brain = cohort.masks[-1].get_fdata() > 0
sphere &= brain


def with_sphere(image):
    """The scan with a sphere that is a little brighter than all else."""
    data = image.get_fdata(dtype=np.float32)
    data[sphere] = 1.1 * np.percentile(data, 99.5)
    return Nifti1Image(data, image.affine)


source, target = with_sphere(t1w[-1]), with_sphere(t2w[-1])

# %%
# An ensemble of two networks, trained on the others as they are.
from sklearn_lsdn import LSDNRegressor, VolumeSynthesizer

synthesizer = VolumeSynthesizer(
    LSDNRegressor((100, 10)), n_estimators=2, n_voxels=5_000, random_state=0
)
synthesizer.fit(t1w[:-1], t2w[:-1])
(synthesis,), (deviation,), (novelty,) = synthesizer.predict(
    [source],
    scale_to=[target],
    return_std=True,
    return_novelty=True,
    on_unlike="ignore",  # or it would warn that this scan differs
)

# %%
# T1w of the sphere looks like bright white matter, so that its T2w comes out dark. The
# standard deviation is smaller there than elsewhere: the networks agree. Novelty finds
# it, and a wide ventricle as well; 2 is as unusual, for its place, as one voxel of
# training in a hundred. Colours are those of every picture of this package: an error
# or deviation of half of what is drawn white gets the last one.
import matplotlib.pyplot as plt

from sklearn_lsdn.display import SynthesisDisplay

images = {"source": source, "target": target, "synthesis": synthesis}
volumes = {name: image.get_fdata() for name, image in images.items()}
volumes["error"] = volumes["synthesis"] - volumes["target"]
volumes["standard deviation"] = deviation.get_fdata()
volumes["novelty"] = novelty.get_fdata()
TITLES = {"source": "T1w (source)", "target": "T2w (target)"}
TITLES["synthesis"] = "T2w (synthesis)"
figure, axes = plt.subplots(2, 3, figsize=(9, 6), layout="constrained")
display = SynthesisDisplay(volumes, brain, source.affine, TITLES)
display.plot(ax=axes, plane="axial", cut_coords=CENTRE[2:])
plt.show()

for name in ("error", "standard deviation", "novelty"):
    size = abs(volumes[name])
    ratio = size[sphere].mean() / size[brain & ~sphere].mean()
    print(f"{name}: {ratio:.1f} times as large in the sphere as elsewhere")
# sphinx_gallery_thumbnail_path = 'images/thumbnails/uncertainty_and_novelty.webp'

"""
Must heads be in one space, and stripped of their skulls?
=========================================================

No: a scan stays on the scanner's own grid. What is brain is said by a mask, and where
in the head a voxel lies by the box around that brain (``places="brain"``, the default).
Here simulated heads of different sizes get a skull, and lie in their volumes as they
like.
"""

# %%
# Five subjects. Around each brain comes a rim as bright as fat, and the head is moved
# within its volume, as on another scanner's bed.
import numpy as np
from nibabel import Nifti1Image
from scipy.ndimage import binary_dilation

from sklearn_lsdn.datasets import make_brain_cohort

cohort = make_brain_cohort(5, voxel_size=4, random_state=0)
moves = np.random.RandomState(0).randint(-2, 3, (5, 3))


def moved_head(image, mask, move):
    """The scan with a skull, moved by some voxels, and its mask."""
    data, brain = image.get_fdata(), mask.get_fdata() > 0
    skull = binary_dilation(brain, iterations=2) & ~binary_dilation(brain)
    head = np.where(skull, 1.6 * np.percentile(data[brain], 99), data)
    volumes = (np.roll(np.pad(each, 5), move, (0, 1, 2)) for each in (head, brain))
    return [Nifti1Image(each.astype(np.float32), image.affine) for each in volumes]


heads = {
    contrast: [
        moved_head(*each) for each in zip(images, cohort.masks, moves, strict=True)
    ]
    for contrast, images in cohort.images.items()
}
t1w, masks = zip(*heads["T1w"], strict=True)
t2w, _ = zip(*heads["T2w"], strict=True)

# %%
# Training on three of them, with their masks, and without. Without, the skull counts as
# brain: it takes voxels, and sets the scale of every scan. Both predict the last
# subject, and are scored over its brain.
import warnings

import matplotlib.pyplot as plt

from sklearn_lsdn import VolumeSynthesizer
from sklearn_lsdn.display import ComparisonDisplay, SynthesisDisplay

masked = VolumeSynthesizer(n_voxels=10_000, random_state=0)
masked.fit(t1w[:3], t2w[:3], masks=masks[:3])
syntheses = masked.predict(t1w[3:], masks=masks[3:], scale_to=t2w[3:])

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it is told that this is hardly a brain
    whole = VolumeSynthesizer(n_voxels=10_000, random_state=0).fit(t1w[:3], t2w[:3])
    (careless,) = whole.predict(t1w[4:], scale_to=t2w[4:])

ComparisonDisplay.from_predictions(
    t2w[4],
    {"with masks": syntheses[1], "without": careless},
    mask=masks[4],
    target_name="T2w",
)
plt.show()

# %%
# Two heads that training has not seen, with the outline of the mask and lines where
# places are 20 mm apart, and what is made of them. The lines go with the brain,
# wherever it lies and however large it is.
from nibabel.affines import apply_affine

TITLES = {"source": "T1w, mask and places", "synthesis": "T2w (synthesis)"}
figure, axes = plt.subplots(2, 2, figsize=(8, 7.6), layout="constrained")
for row, head, mask, synthesis in zip(axes, t1w[3:], masks[3:], syntheses, strict=True):
    volumes = {"source": head.get_fdata(), "synthesis": synthesis.get_fdata()}
    display = SynthesisDisplay(volumes, mask.get_fdata() > 0, head.affine, TITLES)
    display.plot(ax=row, plane="axial", cut_coords=1, outline=True)
    to_world = np.linalg.inv(masked.synthesize(head, mask=mask).world_to_places)
    for x, y, _ in apply_affine(to_world, np.outer(range(-140, 141, 20), [1, 1, 1])):
        row[0].axvline(x, color="#e69f00", linewidth=0.8)
        row[0].axhline(y, color="#e69f00", linewidth=0.8)
    for ax in row:
        ax.set(xlim=(-80, 120), ylim=(-110, 115))  # mm, the same for both
plt.show()
# sphinx_gallery_thumbnail_path = 'images/thumbnails/masks_and_places.webp'

"""
Must heads be in one space, and stripped of their skulls?
=========================================================

No: a scan stays on the scanner's own grid. What is brain is said by a mask, and where
in the head a voxel lies by the box around that brain (``places="brain"``, the default).
Here simulated heads of different sizes get a skull, and lie in their volumes as they
like.
"""

# %%
# Four subjects. Around each brain comes a rim as bright as fat, and the head is moved
# within its volume, as on another scanner's bed.
import numpy as np
from nibabel import Nifti1Image
from scipy.ndimage import binary_dilation

from sklearn_lsdn.datasets import make_brain_cohort

cohort = make_brain_cohort(4, voxel_size=4, random_state=0)
moves = np.random.RandomState(0).randint(-2, 3, (4, 3))


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
# brain: it takes voxels, and sets the scale of every scan. Both are scored over the
# brain of the fourth.
import warnings

from sklearn_lsdn import VolumeSynthesizer, snr_score

masked = VolumeSynthesizer(n_voxels=10_000, random_state=0)
masked.fit(t1w[:-1], t2w[:-1], masks=masks[:-1])
(synthesis,) = masked.predict(t1w[-1:], masks=masks[-1:], scale_to=t2w[-1:])

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it is told that this is hardly a brain
    whole = VolumeSynthesizer(n_voxels=10_000, random_state=0).fit(t1w[:-1], t2w[:-1])
    (careless,) = whole.predict(t1w[-1:], scale_to=t2w[-1:])

brain = masks[-1].get_fdata() > 0
truth = t2w[-1].get_fdata()[brain]
snr = [snr_score(truth, each.get_fdata()[brain]) for each in (synthesis, careless)]
print(f"with masks {snr[0]:.1f} dB, without {snr[1]:.1f} dB")

# %%
# Left and middle: two heads, the outline of the mask, and lines where places are 20 mm
# apart. The lines go with the brain, wherever it lies and however large it is. Right:
# the synthesis, which has the brain alone.
import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 3, figsize=(10, 4.2), layout="constrained")
for ax, image, mask in zip(axes, t1w[-2:], masks[-2:], strict=False):
    to_places = masked.synthesize(image, mask=mask).world_to_places @ image.affine
    scan, brain = image.get_fdata(), mask.get_fdata() > 0
    white, k = np.percentile(scan[brain], 99), int(np.argwhere(brain)[:, 2].mean())
    ax.imshow(scan[:, :, k].T, cmap="gray", origin="lower", vmax=white)
    ax.contour(brain[:, :, k].T, [0.5], colors="#56b4e9")
    grid = np.indices((*image.shape[:2], 1)) + np.reshape([0, 0, k], (3, 1, 1, 1))
    places = np.einsum("ij,jxyz->ixyz", to_places[:3, :3], grid)[..., 0]
    places += to_places[:3, 3, None, None]
    for axis in (0, 1):
        ax.contour(
            places[axis].T,
            np.arange(-140, 141, 20),
            colors="#e69f00",
            linewidths=0.8,
            linestyles="solid",
        )
    ax.set_title("mask, and lines of one place")
axes[2].imshow(synthesis.get_fdata()[:, :, k].T, cmap="gray", origin="lower")
axes[2].set_title(f"T2w synthesised, {snr[0]:.1f} dB")
for ax in axes:
    ax.set_axis_off()
plt.show()

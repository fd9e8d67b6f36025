"""
What tissue is this?
====================

:class:`~sklearn_lsdn.LSDNClassifier` tells labels rather than intensities, from columns
like any other classifier of scikit-learn: here grey matter, white matter or fluid, from
the patch of a T1w scan around a voxel and from its place.
"""

# %%
# Three simulated subjects, whose tissues are known.
import numpy as np

from sklearn_lsdn.datasets import make_brain_cohort

cohort = make_brain_cohort(3, ("T1w",), voxel_size=4, random_state=0)
TISSUES = np.array(["grey matter", "white matter", "fluid"])


def table(subject):
    """Patches of 3 x 3 x 3 voxels and coordinates in mm, and the commonest tissue."""
    image = cohort.images["T1w"][subject]
    brain = cohort.masks[subject].get_fdata() > 0
    scan = image.get_fdata()
    scan = (scan - scan[brain].mean()) / scan[brain].std()
    patches = np.lib.stride_tricks.sliding_window_view(np.pad(scan, 1), (3, 3, 3))
    places = np.argwhere(brain) @ image.affine[:3, :3].T + image.affine[:3, 3]
    X = np.hstack([patches[brain].reshape(len(places), 27), places])
    return X, TISSUES[cohort.tissues[subject].get_fdata()[brain].argmax(axis=1)]


training = [table(subject) for subject in (0, 1)]
X, y = (np.concatenate(each) for each in zip(*training, strict=True))
X_new, y_new = table(2)

# %%
# Training on two subjects, and the tissue of every voxel of the third.
from sklearn.metrics import classification_report

from sklearn_lsdn import LSDNClassifier

network = LSDNClassifier((50, 10), max_iter=30, random_state=0).fit(X, y)
found = network.predict(X_new)
print(classification_report(y_new, found, digits=3))

# %%
# A slice of the third subject, with the probability of grey matter, which is high
# where it is sure and near one half along borders. The display is one for scans: labels
# and probabilities get colours of their own.
import matplotlib.pyplot as plt
from matplotlib.colors import ListedColormap

from sklearn_lsdn.display import SynthesisDisplay

brain = cohort.masks[2].get_fdata() > 0


def volume(values):
    """Values of the voxels of the brain, as a volume; NaN outside."""
    filled = np.full(brain.shape, np.nan)
    filled[brain] = values
    return filled


def number(labels):
    return (labels[:, None] == TISSUES).argmax(axis=1)


grey = network.predict_proba(X_new)[:, list(network.classes_).index("grey matter")]
volumes = {
    "source": cohort.images["T1w"][2].get_fdata(),
    "source 2": volume(number(y_new)),
    "source 3": volume(number(found)),
    "synthesis": volume(grey.round(2)),  # so that none lies beyond its window
}
titles = ["T1w", "tissue", "tissue predicted", "probability of grey matter"]
names = dict(zip(volumes, titles, strict=True))
figure, axes = plt.subplots(2, 2, figsize=(9, 7.6), layout="constrained")
display = SynthesisDisplay(volumes, brain, cohort.masks[2].affine, names)
display.plot(ax=axes, plane="axial", cut_coords=1)

colours = ListedColormap(["#bdbdbd", "#f5f0e1", "#3182bd"])
looks = [(colours, (-0.5, 2.5), "tissue")] * 2 + [("viridis", (0, 1), "probability")]
for ax, (cmap, clim, label) in zip(axes.flat[1:], looks, strict=True):
    shown = ax.images[0]
    shown.set(cmap=cmap, clim=clim)
    shown.colorbar.set_label(label)
    if cmap is colours:
        shown.colorbar.set_ticks(range(3), labels=TISSUES)
plt.show()
# sphinx_gallery_thumbnail_path = 'images/thumbnails/classifier.webp'

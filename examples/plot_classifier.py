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
# where it is sure and near one half along borders.
import matplotlib.pyplot as plt
from matplotlib.colors import ListedColormap

brain = cohort.masks[2].get_fdata() > 0
k = brain.shape[2] // 2
colours = ListedColormap(["#bdbdbd", "#f5f0e1", "#3182bd"])


def volume(values):
    """Values of the voxels of the brain, as a volume; NaN outside."""
    filled = np.full(brain.shape, np.nan)
    filled[brain] = values
    return filled[:, :, k].T


def number(labels):
    return (labels[:, None] == TISSUES).argmax(axis=1)


grey = network.predict_proba(X_new)[:, list(network.classes_).index("grey matter")]
PANELS = {
    "T1w": (volume(X_new[:, 13]), dict(cmap="gray")),
    "tissue": (volume(number(y_new)), dict(cmap=colours, vmin=0, vmax=2)),
    "tissue predicted": (volume(number(found)), dict(cmap=colours, vmin=0, vmax=2)),
    "probability of grey matter": (volume(grey), dict(cmap="viridis", vmin=0, vmax=1)),
}
figure, axes = plt.subplots(2, 2, figsize=(7, 8), layout="constrained")
for ax, (name, (shown, look)) in zip(axes.flat, PANELS.items(), strict=True):
    drawn = ax.imshow(shown, origin="lower", **look)
    ax.set_title(name)
    ax.set_axis_off()
figure.colorbar(drawn, ax=axes[1, 1], shrink=0.8).set_label("probability")
handles = [plt.Rectangle((0, 0), 1, 1, color=colours(i)) for i in range(3)]
figure.legend(handles, TISSUES, loc="outside lower center", ncols=3, frameon=False)
plt.show()

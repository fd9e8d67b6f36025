"""
Can a network run where this package is not?
============================================

As an ONNX model it can: any ONNX runtime computes it, in any language, from columns in
the units of training. Here a network that was trained on patches of simulated scans
goes to ONNX, and a slice of a new subject is predicted by the runtime, with NumPy alone
to cut the patches.
"""

# %%
# Columns: 27 voxels of a patch of T1w, three coordinates in mm, and T2w as target.
import numpy as np

from sklearn_lsdn.datasets import make_brain_cohort

cohort = make_brain_cohort(3, voxel_size=4, random_state=0)


def zscored(image, brain):
    scan = image.get_fdata()
    return (scan - scan[brain].mean()) / scan[brain].std()


def table(subject):
    """Columns and target of each voxel of a brain."""
    brain = cohort.masks[subject].get_fdata() > 0
    t1w, t2w = (zscored(cohort.images[name][subject], brain) for name in ("T1w", "T2w"))
    patches = np.lib.stride_tricks.sliding_window_view(np.pad(t1w, 1), (3, 3, 3))
    affine = cohort.masks[subject].affine
    places = np.argwhere(brain) @ affine[:3, :3].T + affine[:3, 3]
    return np.hstack([patches[brain].reshape(len(places), 27), places]), t2w[brain]


# %%
# Training, here with this package.
from sklearn_lsdn import LSDNRegressor, to_onnx

X, y = (np.concatenate(each) for each in zip(*[table(i) for i in (0, 1)], strict=True))
network = LSDNRegressor((50, 10), max_iter=30, random_state=0).fit(X, y)

# %%
# The model is bytes, to be written to a file and taken elsewhere, where none of what
# is imported above is needed but NumPy. Without a runtime, this page shows the
# network's own answer.
X_new, _ = table(2)
answers = {"this package": network.predict(X_new)}
try:
    import onnxruntime

    model = to_onnx(network).SerializeToString()
except ImportError:
    print('For this part: pip install "sklearn_lsdn[onnx]" onnxruntime')
else:
    session = onnxruntime.InferenceSession(model)
    (psi,) = session.run(["y"], {"X": X_new.astype(np.float32)})
    answers["onnxruntime"] = psi[:, 0]
    difference = abs(psi[:, 0] - answers["this package"]).max()
    print(f"{len(model) / 1024:.0f} KiB; answers differ by at most {difference:.0e}")

# %%
# The same slice of the scan and of both, in the units of the scan, and their errors.
import matplotlib.pyplot as plt
from nibabel import Nifti1Image

from sklearn_lsdn.display import ComparisonDisplay

t2w, mask = cohort.images["T2w"][2], cohort.masks[2]
brain, scan = mask.get_fdata() > 0, t2w.get_fdata()


def image(values):
    volume = np.zeros(brain.shape)
    volume[brain] = values * scan[brain].std() + scan[brain].mean()
    return Nifti1Image(volume, t2w.affine)


syntheses = {name: image(values) for name, values in answers.items()}
ComparisonDisplay.from_predictions(t2w, syntheses, mask=mask, target_name="T2w")
plt.show()
# sphinx_gallery_thumbnail_path = 'images/thumbnails/onnx_without_this_package.webp'

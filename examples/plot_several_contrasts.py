"""
What does a second contrast add, and what if a subject lacks it?
================================================================

A subject's sources may be several scans. With ``missing_sources=True`` one model serves
subjects who have any of them: None stands for a scan that was never taken, in training
as well. Here T2w is made of T1w, of FLAIR, and of both.
"""

# %%
# Five simulated subjects. Two of those in training lack a scan.
from sklearn_lsdn.datasets import make_brain_cohort

cohort = make_brain_cohort(5, ("T1w", "FLAIR", "T2w"), voxel_size=4, random_state=0)
t1w, flair, t2w = cohort.images.values()
sources = [list(each) for each in zip(t1w[:-1], flair[:-1], strict=True)]
sources[1][1] = None  # no FLAIR
sources[2][0] = None  # no T1w

# %%
# Within the model there is a network for each set of scans, trained on the subjects who
# have all of it.
from sklearn_lsdn import VolumeSynthesizer

synthesizer = VolumeSynthesizer(missing_sources=True, n_voxels=10_000, random_state=0)
synthesizer.fit(sources, t2w[:-1])

# %%
# The same model, asked three times of the subject held back.
import matplotlib.pyplot as plt
import numpy as np

GIVEN = {
    "from T1w": [t1w[-1], None],
    "from FLAIR": [None, flair[-1]],
    "from both": [t1w[-1], flair[-1]],
}
truth = t2w[-1].get_fdata()
white, k = np.percentile(truth, 99.5), truth.shape[2] // 2
figure, axes = plt.subplots(2, 4, figsize=(10, 6), layout="constrained")
axes[0, 0].imshow(truth[:, :, k].T, cmap="gray", origin="lower", vmax=white)
axes[0, 0].set_title("T2w scan")
axes[1, 0].imshow(flair[-1].get_fdata()[:, :, k].T, cmap="gray", origin="lower")
axes[1, 0].set_title("FLAIR scan")
for column, (name, given) in zip(axes[:, 1:].T, GIVEN.items(), strict=True):
    (image,) = synthesizer.predict([given], scale_to=t2w[-1:])
    synthesis, snr = image.get_fdata(), synthesizer.score([given], t2w[-1:])
    column[0].imshow(synthesis[:, :, k].T, cmap="gray", origin="lower", vmax=white)
    column[0].set_title(f"{name}\n{snr:.1f} dB")
    error = np.where(truth > 0, synthesis - truth, np.nan)[:, :, k].T
    shown = column[1].imshow(
        error, cmap="RdBu_r", origin="lower", vmin=-white / 3, vmax=white / 3
    )
    column[1].set_title("error")
bar = figure.colorbar(shown, ax=axes[1, 1:], location="bottom", shrink=0.5)
bar.set_label("scanner units")
for ax in axes.flat:
    ax.set_axis_off()
plt.show()

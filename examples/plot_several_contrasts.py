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

from sklearn_lsdn.display import ComparisonDisplay

GIVEN = {
    "from T1w": [t1w[-1], None],
    "from FLAIR": [None, flair[-1]],
    "from both": [t1w[-1], flair[-1]],
}
syntheses = {
    name: synthesizer.predict([given], scale_to=t2w[-1:])[0]
    for name, given in GIVEN.items()
}
ComparisonDisplay.from_predictions(t2w[-1], syntheses, target_name="T2w")
plt.show()
# sphinx_gallery_thumbnail_path = 'images/thumbnails/several_contrasts.webp'

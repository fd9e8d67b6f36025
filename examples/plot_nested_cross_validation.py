"""
How good is a network whose parameters were searched for?
=========================================================

A search that takes the best of several networks has seen the subjects it chose by, so
its score is too good. Nested cross-validation holds subjects out twice: the inner
folds choose, the outer folds measure what the choice is worth.

Here a Pipeline is searched on simulated subjects.
"""

# %%
# Five subjects at 4 mm. A synthesizer draws their voxels: 27 intensities of a patch
# and three coordinates in mm, side by side, each scan normalised by itself. ``groups``
# says whose each voxel is.
import numpy as np

from sklearn_lsdn import LSDNRegressor, VolumeSynthesizer
from sklearn_lsdn.datasets import make_brain_cohort

cohort = make_brain_cohort(5, voxel_size=4, random_state=0)
t1w, t2w = cohort.images["T1w"], cohort.images["T2w"]
sampler = VolumeSynthesizer(
    LSDNRegressor((5,), max_iter=1),
    patch_scales=(1,),
    augmentation=None,
    n_voxels=3_000,
    random_state=0,
).fit(t1w, t2w)
voxels = [
    sampler.sample_voxels([source], [target], random_state=0)
    for source, target in zip(t1w, t2w, strict=True)
]
X, y = (np.concatenate(arrays) for arrays in zip(*voxels, strict=True))
groups = np.repeat(cohort.subjects, [len(each) for _, each in voxels])
print(f"{len(X)} voxels of {len(cohort.subjects)} subjects, {X.shape[1]} columns")

# %%
# The network stops where subjects held out say so. With metadata routing enabled,
# ``groups`` reach all who need them: both splitters and, through the Pipeline, the
# network. Scores of the outer folds are of subjects that neither training nor search
# nor early stopping has seen.
import sklearn
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

sklearn.set_config(enable_metadata_routing=True)
network = LSDNRegressor(
    (40, 8), coordinates=3, early_stopping=True, validation_fraction=0.3, random_state=0
)
search = GridSearchCV(
    make_pipeline(StandardScaler(), network),
    {"lsdnregressor__sigma": [0.3, 1.0, 3.0]},
    cv=GroupKFold(3),
)
nested = cross_validate(
    search,
    X,
    y,
    cv=GroupKFold(5),
    params={"groups": groups},
    return_estimator=True,
)
sklearn.set_config(enable_metadata_routing=False)
chosen = [each.best_params_["lsdnregressor__sigma"] for each in nested["estimator"]]
outer, inner = nested["test_score"], [each.best_score_ for each in nested["estimator"]]
for fold, (sigma, r2) in enumerate(zip(chosen, outer, strict=True)):
    print(f"fold {fold}: sigma {sigma} chosen, R2 {r2:.3f} on the subject held out")

# %%
# What the search expected of its choice in each fold, and what became of it:
import matplotlib.pyplot as plt

figure, ax = plt.subplots(figsize=(5, 3.5), layout="constrained")
folds = np.arange(len(outer))
ax.plot(folds, inner, "s", color="#0072b2", label="best score of the search")
ax.plot(folds, outer, "o", color="#d55e00", label="subject held out")
ax.vlines(folds, inner, outer, color="0.7", zorder=0)
ax.set(xlabel="outer fold", ylabel="R²", xticks=folds)
ax.legend()
plt.show()

# %%
# With five subjects, how much they differ outweighs by far what the search gains by
# choosing. On simulated brains places tell little beside intensity, so that wide
# responses do well; on real scans they need not.

"""
How good is a network whose parameters were searched for?
=========================================================

A search that takes the best of several networks has seen the subjects it chose by, so
its score is too good. Nested cross-validation holds subjects out twice: the inner
folds choose, the outer folds measure what the choice is worth.

Here a Pipeline is searched on simulated subjects, callbacks show what happens inside,
and the best model goes to ONNX, where it runs without this package.
"""

# %%
# Subjects, as arrays
# -------------------
#
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
# A Pipeline, searched within each fold
# -------------------------------------
#
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
chosen = [each.best_params_["lsdnregressor__sigma"] for each in nested["estimator"]]
outer, inner = nested["test_score"], [each.best_score_ for each in nested["estimator"]]
for fold, (sigma, r2) in enumerate(zip(chosen, outer, strict=True)):
    print(f"fold {fold}: sigma {sigma} chosen, R2 {r2:.3f} on the subject held out")

# %%
# What the search expected of its choice in each fold, and what became of it:
import matplotlib.pyplot as plt

figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
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

# %%
# Progress, by callbacks
# ----------------------
#
# scikit-learn tells callbacks of every epoch. This one prints a line for each, where
# :class:`sklearn.callback.ProgressBar` would draw bars; both go on a network, and
# ``ProgressBar`` on a search as well, whence it reaches all within.
from sklearn.base import clone


class Line:
    """Says where training stands."""

    def setup(self, estimator, context):
        self.epoch = 0

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        if context.task_name != "epoch":
            return
        self.epoch += 1
        loss = fitted_estimator.validation_loss_curve_[-1]
        print(f"epoch {self.epoch:2d}: {loss:.2e} on subjects held out")

    def teardown(self, estimator, context):
        pass


best = clone(search.estimator).set_params(
    lsdnregressor__sigma=max(set(chosen), key=chosen.count)
)
best[-1].set_callbacks(Line())
best.fit(X, y, groups=groups)
sklearn.set_config(enable_metadata_routing=False)

# %%
# Elsewhere, as ONNX
# ------------------
#
# The whole Pipeline becomes one model of plain operators, which any ONNX runtime
# computes, in any language.
from sklearn_lsdn import register_onnx_converters

try:
    import onnxruntime
    import skl2onnx
except ImportError:
    print('For this part: pip install "sklearn_lsdn[onnx]" onnxruntime')
else:
    register_onnx_converters()
    model = skl2onnx.to_onnx(best, X[:1]).SerializeToString()
    session = onnxruntime.InferenceSession(model)
    (column,) = session.get_inputs()
    computed = session.run(None, {column.name: X})[0].ravel()
    difference = abs(computed - best.predict(X)).max() / y.std()
    print(f"{len(model) / 1024:.0f} KiB; it differs from predict by at most")
    print(f"{difference:.1e} of the targets' standard deviation")

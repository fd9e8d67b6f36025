"""
How small may a network be?
===========================

ShrinkConnect takes nodes out of a trained network, connects those that stay anew, and
trains them a little further. The picture shows what is lost on a subject held back as
less and less is kept, beside networks that were trained at that size from the start.
"""

# %%
# Four simulated subjects; the last is held back.
from sklearn_lsdn.datasets import make_brain_cohort

cohort = make_brain_cohort(4, voxel_size=4, random_state=0)
t1w, t2w = cohort.images["T1w"], cohort.images["T2w"]

# %%
# A network of 200 and 20 nodes, and what is left of it.
from sklearn_lsdn import LSDNRegressor, VolumeSynthesizer

KEEP = [0.1, 0.25, 0.5]


def train(share):
    """A network with a share of the nodes, trained from the start."""
    network = LSDNRegressor((round(200 * share), round(20 * share)))
    synthesizer = VolumeSynthesizer(network, n_voxels=10_000, random_state=0)
    return synthesizer.fit(t1w[:-1], t2w[:-1])


whole = train(1)
shrunken = {
    share: whole.shrink(t1w[:-1], t2w[:-1], keep=share, random_state=0)
    for share in KEEP
}
small = {share: train(share) for share in KEEP}

# %%
# The time of a prediction goes with the nodes that are kept, and somewhat faster.
import matplotlib.pyplot as plt


def scores(synthesizers):
    """SNR of each network on the subject held back, and last that of the whole."""
    every = [*synthesizers.values(), whole]
    return [each.score(t1w[-1:], t2w[-1:]) for each in every]


figure, ax = plt.subplots(figsize=(5, 3.5), layout="constrained")
percent = [100 * share for share in (*KEEP, 1)]
ax.plot(percent, scores(shrunken), "o-", color="#d55e00", label="shrunken")
ax.plot(percent, scores(small), "s--", color="#0072b2", label="small from the start")
ax.set(xlabel="nodes, % of 200 and 20", ylabel="SNR of a subject held back, dB")
ax.legend()
plt.show()

# %%
# On simulated scans intensity tells nearly all, so that a few nodes go far, and 0.1 dB
# is no more than another ``random_state`` may move. What shrinking is worth on real
# ones is measured in :doc:`/benchmarks`.

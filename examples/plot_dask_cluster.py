"""
Who does what on a cluster?
===========================

A Dask cluster shares subjects out among its workers. This one is on a single machine,
with two workers; on many machines only its address is another
(:doc:`/scaling`). The picture shows which worker had which subject, and when.
"""

# %%
# A model, and eight scans in files: workers read and write files themselves.
import tempfile
from pathlib import Path

import nibabel as nib

from sklearn_lsdn import VolumeSynthesizer
from sklearn_lsdn.datasets import make_brain_cohort

cohort = make_brain_cohort(8, voxel_size=4, random_state=0)
t1w, t2w = cohort.images["T1w"], cohort.images["T2w"]
synthesizer = VolumeSynthesizer(n_voxels=5_000, random_state=0).fit(t1w[:2], t2w[:2])
folder = tempfile.TemporaryDirectory()
paths = [Path(folder.name) / f"{name}_T1w.nii.gz" for name in cohort.subjects]
for image, path in zip(t1w, paths, strict=True):
    nib.save(image, path)

# %%
# With ``processes=True``, or on other machines, workers are processes of their own. The
# command takes the address of a scheduler by ``--scheduler``.
import matplotlib.pyplot as plt

try:
    from dask.distributed import Client, LocalCluster, get_task_stream
except ImportError:
    print('For this page: pip install "sklearn_lsdn[dask]"')
    tasks = []
else:
    from joblib import parallel_config

    from sklearn_lsdn.jobs import predict_files

    cluster = LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
    )
    with cluster, Client(cluster) as client, parallel_config(backend="dask"):
        with get_task_stream(client) as stream:
            written = predict_files(synthesizer, paths, f"{folder.name}/synthesised")
        tasks = stream.data
    print(f"{len(written)} syntheses, of which the first is {written[0].name}")
folder.cleanup()

# %%
# Each bar is a subject, from reading to writing.
work = [
    (task["worker"], span["start"], span["stop"])
    for task in tasks
    for span in task["startstops"]
    if span["action"] == "compute"
]
start = min((begin for _, begin, _ in work), default=0)
workers = sorted({worker for worker, *_ in work})
figure, ax = plt.subplots(figsize=(5, 2.4), layout="constrained")
for worker, begin, end in work:
    row = workers.index(worker)
    colour = ["#0072b2", "#d55e00"][row % 2]
    ax.barh(row, end - begin, left=begin - start, color=colour, edgecolor="white")
ax.set(xlabel="seconds", ylabel="worker", yticks=range(len(workers)))
ax.set_yticklabels([f"{row + 1}" for row in range(len(workers))])
plt.show()

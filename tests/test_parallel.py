"""Work shared among processes and threads, whichever joblib is told to use."""

import subprocess
import sys

WORK = """
import nibabel as nib
import numpy as np
from joblib import parallel_config
from sklearn_lsdn import EnsembleRegressor, LSDNRegressor, VolumeSynthesizer

def predictions():
    network = LSDNRegressor((5,), max_iter=2)
    X = np.random.RandomState(0).uniform(size=(200, 4))
    yield EnsembleRegressor(network, 2, random_state=0).fit(X, X[:, 0]).predict(X)
    volumes = np.random.RandomState(0).uniform(1, 2, (2, 8, 7, 9))
    images = [nib.Nifti1Image(np.pad(each, 1), np.eye(4)) for each in volumes]
    model = VolumeSynthesizer(network, n_voxels=100, n_estimators=2, random_state=0)
    model.fit(images, images[::-1])
    yield model.predict(images[:1])[0].get_fdata()

if __name__ == "__main__":
    here = [*predictions()]
    with parallel_config(backend="multiprocessing", n_jobs=2):
        for ours, theirs in zip(here, predictions(), strict=True):
            assert (ours == theirs).all()
"""


def test_a_backend_that_cannot_hand_over_one_by_one_trains_the_same_bits(tmp_path):
    script = tmp_path / "work.py"  # in a process of its own, which may fork
    script.write_text(WORK)
    subprocess.run([sys.executable, script], check=True)

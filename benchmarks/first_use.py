"""What a first use waits for: imports, the command, and compilation.

    python benchmarks/first_use.py [--repeats 5]

Each line is a fresh process, in seconds of the processor from start to end: what
a person waits for where nothing else runs. "Compiling" has an empty cache of Numba's,
"cached" one that the same work has filled. Medians; compiling once.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile

import numpy as np

TRAIN = """
import numpy as np
from sklearn_lsdn import LSDNRegressor
X = np.random.RandomState(0).uniform(size=(2000, 30)).astype(np.float32)
LSDNRegressor(max_iter=1).fit(X, X[:, 0])
"""
PREDICT = TRAIN.replace(".fit(X, X[:, 0])", ".fit(X, X[:, 0]).predict(X)")
VOLUME = """
import nibabel as nib
import numpy as np
from sklearn_lsdn import LSDNRegressor, VolumeSynthesizer
brain = np.random.RandomState(0).uniform(1, 2, (16, 16, 16)).astype(np.float32)
scan = np.pad(brain, 4)
image = nib.Nifti1Image(scan, np.eye(4))
network = LSDNRegressor(max_iter=1)
VolumeSynthesizer(network, n_voxels=1000).fit([image], [image]).predict([image])
"""
MODEL = """
import sys
import nibabel as nib
from sklearn_lsdn import LSDNRegressor, VolumeSynthesizer, save_model
from sklearn_lsdn.datasets import make_brain_cohort
images = make_brain_cohort(2, voxel_size=4, random_state=0).images
network = LSDNRegressor(max_iter=1)
synthesizer = VolumeSynthesizer(network, n_voxels=1000, random_state=0)
save_model(synthesizer.fit(images["T1w"], images["T2w"]), sys.argv[1])
nib.save(images["T1w"][0], sys.argv[2])
"""
PROCESSES = {
    "python": ["-c", "pass"],
    "import NumPy": ["-c", "import numpy"],
    "import scikit-learn": ["-c", "import sklearn.base"],
    "import scikit-learn, skops": ["-c", "import sklearn.base, skops.io"],
    "import scikit-learn, Numba": ["-c", "import sklearn.base, numba"],
    "import scikit-learn, nibabel": ["-c", "import sklearn.base, nibabel"],
    "import sklearn_lsdn": ["-c", "import sklearn_lsdn"],
    "lsdn --help": ["-m", "sklearn_lsdn", "--help"],
}
KERNELS = {
    "train a network": ["-c", TRAIN],
    "train, predict rows": ["-c", PREDICT],
    "train, predict a volume": ["-c", VOLUME],
}


def seconds(arguments, cache):
    environment = os.environ | {"NUMBA_CACHE_DIR": cache}
    start = _seconds_of_children()
    subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return _seconds_of_children() - start


def _seconds_of_children():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def command(folder):
    """A process that predicts a small volume."""
    model, scan = (os.path.join(folder, name) for name in ("m.skops", "s_T1w.nii.gz"))
    with tempfile.TemporaryDirectory() as cache:
        seconds(["-c", MODEL, model, scan], cache)
    options = "-o", folder, "--overwrite", "--quiet"
    return ["-m", "sklearn_lsdn", "predict", model, scan, *options]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    print("| a process that does | compiling, s | cached, s |")
    print("|---|---|---|")
    for name, arguments in PROCESSES.items():
        with tempfile.TemporaryDirectory() as cache:
            times = [seconds(arguments, cache) for _ in range(repeats)]
        print(f"| {name} | - | {np.median(times):.2f} |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        processes = KERNELS | {"lsdn predict, a small volume": command(folder)}
        for name, arguments in processes.items():
            with tempfile.TemporaryDirectory() as cache:
                first = seconds(arguments, cache)
                times = [seconds(arguments, cache) for _ in range(repeats)]
            print(f"| {name} | {first:.1f} | {np.median(times):.2f} |", flush=True)


if __name__ == "__main__":
    main()

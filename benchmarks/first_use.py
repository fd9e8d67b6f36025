"""What a first use waits for: imports, the command's help, and compilation.

    python benchmarks/first_use.py [--repeats 5]

Each line is a fresh process, timed from its start to its end. "Compiling" has an empty
cache of Numba's, "cached" one that the same work has filled. Medians; compiling once.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

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
scan = np.random.RandomState(0).uniform(1, 2, (16, 16, 16)).astype(np.float32)
image = nib.Nifti1Image(scan, np.eye(4))
network = LSDNRegressor(max_iter=1)
VolumeSynthesizer(network, n_voxels=1000).fit([image], [image]).predict([image])
"""
PROCESSES = {
    "python": ["-c", "pass"],
    "import scikit-learn": ["-c", "import sklearn.base"],
    "import sklearn_lsdn": ["-c", "import sklearn_lsdn"],
    "lsdn --help": ["-m", "sklearn_lsdn", "--help"],
}
KERNELS = {
    "train a network": TRAIN,
    "train, predict rows": PREDICT,
    "train, predict a volume": VOLUME,
}


def seconds(arguments, cache):
    environment = os.environ | {"NUMBA_CACHE_DIR": cache}
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - start


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
    for name, code in KERNELS.items():
        with tempfile.TemporaryDirectory() as cache:
            first = seconds(["-c", code], cache)
            times = [seconds(["-c", code], cache) for _ in range(repeats)]
        print(f"| {name} | {first:.1f} | {np.median(times):.2f} |", flush=True)


if __name__ == "__main__":
    main()

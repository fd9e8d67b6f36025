"""What sets the pace of `lsdn predict` over a cohort: reading, computing or writing.

    LSDN_DATA=<folder with open_ms_mni> python benchmarks/throughput.py [--copies 4]

A model of T1w to T2w is trained on the open MS data (Lesjak et al., Neuroinformatics
2017, doi:10.1007/s12021-017-9348-7), which are then predicted several times over. The
first table has the seconds that a volume takes in each stage, one after the other on
one thread; the second the time that volumes take in all, by number of threads.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np
from table1 import open_ms_cohort

from sklearn_lsdn import LSDNRegressor, VolumeSynthesizer
from sklearn_lsdn.jobs._prediction import predict_files
from sklearn_lsdn.volumes._images import open_image, save_image


def stages(synthesizer, path, folder):
    """Seconds of each stage of one volume."""
    times, start = {}, time.perf_counter()

    def lap(name):
        nonlocal start
        times[name] = time.perf_counter() - start
        start = time.perf_counter()

    preparation = synthesizer.preparation_
    subject = preparation.read([open_image(path, "scan")])
    lap("read, unzip and mask")
    values, *_ = synthesizer._synthesize(subject)
    lap("normalise, compute")
    (values,) = preparation.intensities(values, preparation.units(subject))
    image = subject.image(values)
    lap("units")
    save_image(image, folder / "synth.nii.gz", overwrite=True)
    lap("zip and write")
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--copies", type=int, default=4, help="of each subject")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    cohort = open_ms_cohort()
    sources, targets = (cohort.images[c] for c in ("T1w", "T2w"))
    synthesizer = VolumeSynthesizer(LSDNRegressor(max_iter=2), random_state=0, n_jobs=1)
    synthesizer.fit(sources, targets)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        each = [
            stages(synthesizer, path, folder)
            for _ in range(arguments.repeats + 1)
            for path in sources
        ][len(sources) :]
        shape = nib.load(sources[0]).shape
        size = " x ".join(map(str, shape))
        print(f"| stage, volumes of {size} | s |\n|---|---|")
        for name in each[0]:
            print(f"| {name} | {np.median([times[name] for times in each]):.2f} |")
        copies = []
        for i in range(arguments.copies):
            for path in sources:
                copies.append(folder / f"{i}_{path.name}")
                shutil.copy(path, copies[-1])
        print("\n| threads | s per volume |\n|---|---|")
        for n_threads in arguments.threads:
            synthesizer.set_params(n_jobs=n_threads)
            times = []
            for _ in range(3):
                start = time.perf_counter()
                predict_files(synthesizer, copies, folder / "out", overwrite=True)
                times.append((time.perf_counter() - start) / len(copies))
            print(f"| {n_threads} | {np.median(times):.2f} |")


if __name__ == "__main__":
    main()

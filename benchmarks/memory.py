"""Peak memory of prediction over one volume, and of training on more and more volumes.

Each figure is the peak resident memory of a process of its own, less that of the
process once the package was imported, in MB. Linux only.

    python benchmarks/memory.py
"""

import multiprocessing
import re
import tempfile
from pathlib import Path

import numpy as np


def peak_mb():
    """Not that of getrusage, which begins with the peak of the parent process."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


def volume(seed, shape=(182, 218, 182)):
    """Noise within an ellipsoid of 1.1 million voxels, as in a brain at 1 mm."""
    import nibabel as nib

    axes = [np.linspace(-1, 1, n, dtype=np.float32) for n in shape]
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    inside = x**2 + y**2 + z**2 < 0.442
    data = np.random.RandomState(seed).uniform(1, 2, shape).astype(np.float32)
    return nib.Nifti1Image(data * inside, np.eye(4))


def predict(source, model, n_threads):
    from sklearn_lsdn import LSDNRegressor, VolumeSynthesizer, load_model  # noqa: F401

    imported = peak_mb()
    synthesizer = load_model(model).set_params(n_jobs=n_threads)
    (image,) = synthesizer.predict([source])
    return peak_mb() - imported, int(np.count_nonzero(image.dataobj))


def fit(sources, targets, n_voxels):
    from sklearn_lsdn import LSDNRegressor, VolumeSynthesizer

    imported = peak_mb()
    network = LSDNRegressor(max_iter=1)
    VolumeSynthesizer(network, n_voxels=n_voxels, random_state=0).fit(sources, targets)
    return peak_mb() - imported, n_voxels * len(sources)


def in_new_process(function, *arguments):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def save_small_model(path):
    from sklearn_lsdn import LSDNRegressor, VolumeSynthesizer, save_model

    images = [[volume(seed, (24, 24, 24))] for seed in (0, 1)]
    network = LSDNRegressor((200, 20), max_iter=1, random_state=0)
    save_model(VolumeSynthesizer(network, random_state=0).fit(*images), path)


def main():
    import nibabel as nib

    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for seed in range(4):
            paths.append(str(Path(folder) / f"{seed}.nii.gz"))
            nib.save(volume(seed), paths[-1])
        model = str(Path(folder) / "model.skops")
        in_new_process(save_small_model, model)
        print("| task | voxels | peak above import, MB |")
        print("|---|---|---|")
        for n_threads in (1, 2):
            megabytes, n = in_new_process(predict, paths[0], model, n_threads)
            name = f"prediction, 182 x 218 x 182, {n_threads} thread(s)"
            print(f"| {name} | {n} | {megabytes:.0f} |")
        for n_volumes, n_voxels in ((1, 80_000), (2, 40_000), (4, 20_000), (4, 80_000)):
            chosen = paths[:n_volumes]
            megabytes, n = in_new_process(fit, chosen, chosen[::-1], n_voxels)
            print(f"| training, {n_volumes} volume(s) | {n} | {megabytes:.0f} |")


if __name__ == "__main__":
    main()

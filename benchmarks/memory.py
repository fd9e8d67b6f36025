"""Peak memory of prediction over one volume, and of training on more and more volumes.

Each figure is the peak resident memory of a process of its own, less that of the
process once the package was imported, in MB. Linux only.

    python benchmarks/memory.py
    python benchmarks/memory.py --budget

With --budget: the peak of the whole process against `max_memory`, for volumes of 512^3
voxels and a simulated cohort of 200 (8 subjects at 4 mm, linked under 200 names).
"""

import argparse
import multiprocessing
import re
import tempfile
from concurrent.futures import ProcessPoolExecutor
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


def predict_cohort(sources, model, n_jobs, max_memory):
    """Peak of the process in MB, and how many subjects were under way at once."""
    from sklearn_lsdn import load_model
    from sklearn_lsdn.jobs._prediction import predict_files
    from sklearn_lsdn.volumes._budget import subjects_at_once
    from sklearn_lsdn.volumes._subjects import open_subjects

    synthesizer = load_model(model).set_params(n_jobs=n_jobs, max_memory=max_memory)
    at_once = n_jobs
    if max_memory is not None:
        subjects = open_subjects(sources, "sources")
        at_once = subjects_at_once(synthesizer, subjects, n_jobs=n_jobs)
    with tempfile.TemporaryDirectory() as folder:
        predict_files(synthesizer, sources, folder)
    return peak_mb(), at_once


def fit_cohort(sources, targets, n_voxels, n_jobs, max_memory):
    from sklearn_lsdn import LSDNRegressor, VolumeSynthesizer
    from sklearn_lsdn.volumes import _preparation

    synthesizer = VolumeSynthesizer(
        LSDNRegressor(max_iter=1),
        n_voxels=n_voxels,
        random_state=0,
        n_jobs=n_jobs,
        max_memory=max_memory,
    )
    readers = []
    share = _preparation.parallel_map

    def counting(*work, n_jobs, **parameters):
        readers.append(n_jobs)
        return share(*work, n_jobs=n_jobs, **parameters)

    _preparation.parallel_map = counting
    try:
        synthesizer.fit(sources, targets)
    except ValueError as refused:
        return str(refused)
    return peak_mb(), readers[0]


def in_new_process(function, *arguments):
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def save_small_model(path):
    from sklearn_lsdn import LSDNRegressor, VolumeSynthesizer, save_model

    images = [[volume(seed, (24, 24, 24))] for seed in (0, 1)]
    network = LSDNRegressor((200, 20), max_iter=1, random_state=0)
    save_model(VolumeSynthesizer(network, random_state=0).fit(*images), path)


def budgets(shape, n_subjects):
    """The table of --budget."""
    import nibabel as nib

    from sklearn_lsdn.datasets import make_brain_cohort
    from sklearn_lsdn.volumes._images import save_image

    print("| task | at once | max_memory | peak of the process, MB |")
    print("|---|---|---|---|", flush=True)

    def row(task, function, *arguments):
        budget = arguments[-1]
        result = in_new_process(function, *arguments)
        if isinstance(result, str):
            print(f"| {task} | - | {budget} | refused: {result} |", flush=True)
            return
        peak, at_once = result
        print(f"| {task} | {at_once} | {budget} | {peak:.0f} |", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        model = str(folder / "model.skops")
        in_new_process(save_small_model, model)
        large = [str(folder / f"large{i}.nii.gz") for i in range(2)]
        save_image(volume(0, shape), large[0])
        Path(large[1]).symlink_to(large[0])
        size = " x ".join(map(str, shape))
        for n, n_jobs, budget in ((1, 1, None), (2, 2, "12G"), (2, 2, "7G")):
            name = f"prediction, {n} of {size}"
            row(name, predict_cohort, large[:n], model, n_jobs, budget)
        for n_jobs, budget in ((2, "12G"), (2, "7G")):
            name = f"training, 2 of {size}, 100000 voxels each"
            row(name, fit_cohort, large, large, 100_000, n_jobs, budget)
        cohort = make_brain_cohort(8, voxel_size=4, random_state=0)
        paths = {"T1w": [], "T2w": []}
        for contrast, links in paths.items():
            for i, image in enumerate(cohort.images[contrast]):
                nib.save(image, folder / f"{contrast}{i}.nii.gz")
            for i in range(n_subjects):
                links.append(str(folder / f"sub-{i:03d}_{contrast}.nii.gz"))
                Path(links[-1]).symlink_to(folder / f"{contrast}{i % 8}.nii.gz")
        for n_jobs, budget in ((1, None), (2, None), (2, "1G"), (2, "500M")):
            name = f"prediction, {n_subjects} subjects at 4 mm"
            row(name, predict_cohort, paths["T1w"], model, n_jobs, budget)
        for n_voxels, budget in ((20_000, None), (20_000, "3.5G"), (20_000, "2G")):
            name = f"training, {n_subjects} subjects, {n_voxels} voxels each"
            row(name, fit_cohort, *paths.values(), n_voxels, 2, budget)


def main():
    import nibabel as nib

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--budget", action="store_true", help="the second table")
    parser.add_argument("--side", type=int, default=512, help="voxels of large volumes")
    parser.add_argument("--subjects", type=int, default=200, help="in the cohort")
    arguments = parser.parse_args()
    if arguments.budget:
        budgets((arguments.side,) * 3, arguments.subjects)
        return
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

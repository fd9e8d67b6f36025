"""How time and memory grow, and how straight the lines are.

    python benchmarks/scaling.py [--figure FILE.png]
    ... --quick                 a smoke test

Time of prediction against voxels (of a grid of 1 mm), against multiply-adds of the
network and against threads; time of an epoch of training against samples; peak memory
of prediction against voxels of the grid, and of training against subjects, with 20 000
voxels drawn from each. Times are medians of alternating runs, on one thread unless
threads grow; memory is that of processes of their own (`memory.py`), Linux only, with
what they import at work, Numba and skops among it: that is where a line starts. Lines
are fitted by least squares. With threads it is the speed that should rise along a
straight line: what is given is how many times one thread's.

Runs of prediction are of LSDN-1 (200-20) on 800 000 voxels, unless these grow.
"""

import argparse
import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
from memory import fit, predict, save_small_model, volume
from threadpoolctl import threadpool_limits

from sklearn_lsdn import LSDNRegressor
from sklearn_lsdn._network.architecture import Architecture
from sklearn_lsdn._network.optimizers import Trainer
from sklearn_lsdn._network.training import Settings
from sklearn_lsdn.volumes._patches import PaddedVolumes

HIDDEN = (200, 20)


@dataclass
class Growth:
    """What was measured, and the line through it."""

    of: str
    against: str
    labels: list
    x: np.ndarray
    y: np.ndarray

    def __post_init__(self):
        self.x, self.y = np.asarray(self.x, float), np.asarray(self.y, float)
        unit = self.x.max()  # so that the fit is well conditioned
        slope, self.intercept = np.polyfit(self.x / unit, self.y, 1)
        self.slope = slope / unit
        left = self.y - self.line(self.x)
        spread = self.y - self.y.mean()
        self.r2 = 1 - (left @ left) / (spread @ spread) if spread.any() else 1.0

    def line(self, x):
        return self.intercept + self.slope * x

    def rows(self):
        for label, y in zip(self.labels, self.y, strict=True):
            yield f"| {self.of} | {self.against} | {label} | {y:.4g} |"

    def verdict(self):
        return (
            f"{self.of}: {self.intercept:.3g} + {self.slope:.3g} x {self.against}, "
            f"R^2 = {self.r2:.4f}"
        )


def medians(functions, repeats):
    """Median seconds of functions, called in turn ``repeats`` times."""
    for function in functions:
        function()
    times = [[] for _ in functions]
    for _ in range(repeats):
        for function, each in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            each.append(time.perf_counter() - start)
    return np.median(times, axis=1)


class Predictions:
    """Prediction of the first voxels of a brain-like volume."""

    def __init__(self, shape):
        image = volume(0, shape)
        affine = np.eye(4)
        affine[:3, 3] = -np.array(shape) / 2
        self.padded = PaddedVolumes(
            [image.get_fdata(dtype=np.float32)], affine, 3, [0.0]
        )
        self.centers = self.padded.centers(np.asarray(image.dataobj) != 0)
        few = self.centers[:: len(self.centers) // 2000]
        patches, coordinates = self.padded.patches(few), self.padded.coordinates(few)
        self.X, self.y = np.hstack([patches, coordinates]), patches[:, 13]

    def network(self, hidden):
        return LSDNRegressor(hidden, max_iter=1, random_state=0).fit(self.X, self.y)

    def run(self, network, n_voxels, n_threads=1):
        centers = self.centers[:n_voxels]
        return partial(network.network_.voxels, self.padded, centers, n_threads)


def prediction_times(shape, repeats):
    predictions = Predictions(shape)
    everything = min(800_000, len(predictions.centers))
    network = predictions.network(HIDDEN)
    counts = [everything * i // 8 for i in (1, 2, 4, 6, 8)]
    times = medians([predictions.run(network, n) for n in counts], repeats)
    yield Growth("prediction, s", "voxels", counts, counts, times)

    hidden = [(50, 5), (100, 10), (200, 20), (300, 30), (400, 40), (600, 60)]
    networks = [predictions.network(each) for each in hidden]
    labels = ["{}-{}".format(*each) for each in hidden]
    products = [sum(F.size for F in each.coefs_) for each in networks]
    runs = [predictions.run(each, everything // 4) for each in networks]
    times = medians(runs, repeats)
    against = "multiply-adds a voxel"
    yield Growth("prediction, s", against, labels, products, times)

    threads = list(range(1, max(2, os.cpu_count() or 2) + 1))
    runs = [predictions.run(network, everything, n) for n in threads]
    times = medians(runs, repeats)
    speed = times[0] / times
    yield Growth("speed of prediction, of one's", "threads", threads, threads, speed)


def training_times(n_samples, repeats):
    rng = np.random.RandomState(0)
    architecture = Architecture((27, *HIDDEN, 1), 3, 0.5)
    latent = rng.uniform(-1, 1, (HIDDEN[0], 3))
    theta = architecture.initial_parameters(latent, rng).astype(np.float32)
    S = rng.standard_normal((n_samples, 27)).astype(np.float32)
    X = rng.uniform(-1, 1, (n_samples, 3)).astype(np.float32)
    T = rng.uniform(0.05, 0.95, (n_samples, 1)).astype(np.float32)
    weight = np.ones(n_samples, dtype=np.float32)
    counts = [n_samples * i // 8 for i in (1, 2, 4, 6, 8)]
    trainers = [
        Trainer(
            architecture,
            theta.copy(),
            [array[:n] for array in (S, X, T, weight)],
            Settings("adam", 0.0, 256, 0.005),
            np.random.RandomState(0),
        )
        for n in counts
    ]
    times = medians([trainer.epoch for trainer in trainers], repeats)
    yield Growth("training, s an epoch", "samples", counts, counts, times)


def peak_memory(shape, n_voxels, shares, counts, tasks_per_process):
    """Peaks in MB; a process may have more than one task where these do not matter."""
    processes = ProcessPoolExecutor(
        1, multiprocessing.get_context("spawn"), max_tasks_per_child=tasks_per_process
    )
    with tempfile.TemporaryDirectory() as folder, processes:
        model = str(Path(folder) / "model.skops")
        save_small_model(model)
        voxels, peaks = [], []
        for share in shares:
            grid = tuple(round(n * share ** (1 / 3)) for n in shape)
            path = str(Path(folder) / f"{share}.nii.gz")
            nib.save(volume(0, grid), path)
            peaks.append(processes.submit(predict, path, model, 1).result()[0])
            voxels.append(int(np.prod(grid)))
        yield Growth(
            "peak of prediction, MB", "voxels of the grid", voxels, voxels, peaks
        )

        paths = []
        for seed in range(max(counts)):
            paths.append(str(Path(folder) / f"{seed}.nii.gz"))
            nib.save(volume(seed, shape), paths[-1])
        peaks = [
            processes.submit(fit, paths[:n], paths[:n], n_voxels).result()[0]
            for n in counts
        ]
        yield Growth("peak of training, MB", "subjects", counts, counts, peaks)


def draw(growths, path):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6), layout="constrained")
    for axes, growth in zip(figure.subplots(2, 3).flat, growths, strict=True):
        x = np.array([0, growth.x.max()])
        axes.plot(x, growth.line(x), color="0.7", linewidth=1.5)
        axes.plot(growth.x, growth.y, "o", color="tab:blue")
        axes.set_xlim(0)
        axes.set_ylim(0, 1.1 * growth.y.max())
        axes.set_xlabel(growth.against)
        axes.set_ylabel(growth.of)
        axes.set_title(f"$R^2$ = {growth.r2:.4f}", fontsize="medium")
        axes.spines[["top", "right"]].set_visible(False)
        axes.ticklabel_format(axis="x", scilimits=(-3, 4), useMathText=True)
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--figure", metavar="FILE")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    shape, n_samples, n_voxels = (182, 218, 182), 400_000, 20_000
    shares, counts = (0.25, 0.5, 0.75, 1.0), (1, 2, 4, 6, 8)
    tasks_per_process = 1
    if arguments.quick:
        shape, n_samples, n_voxels = (32, 32, 32), 8192, 500
        shares, counts, arguments.repeats = shares[1::2], counts[:2], 1
        tasks_per_process = None
    growths = []
    print("| what grows | with | at | measured |")
    print("|---|---|---|---|")
    with threadpool_limits(1):
        parts = (
            prediction_times(shape, arguments.repeats),
            training_times(n_samples, arguments.repeats),
            peak_memory(shape, n_voxels, shares, counts, tasks_per_process),
        )
        for part in parts:
            for growth in part:
                print(*growth.rows(), sep="\n", flush=True)
                growths.append(growth)
    print()
    print(*(f"- {growth.verdict()}" for growth in growths), sep="\n")
    if arguments.figure:
        draw(growths, arguments.figure)


if __name__ == "__main__":
    main()

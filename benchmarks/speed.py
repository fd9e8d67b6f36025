"""Speed of prediction and training, against what a user would otherwise pick.

    python benchmarks/speed.py [--sizes 400-40] [--batches 256] [--threads 1]
    ... --fit                   LSDNRegressor() against boosted trees, on real scans
    ... --no-compiled           without compiling PyTorch, a minute for each row
    ... --quick                 a smoke test

Runs alternate, medians are reported, and ratios are to LSDNRegressor (in prediction,
on the volume). All is float32. LSDNRegressor predicts an ellipsoid of 1.1 million
voxels in a grid of 1 mm, patches read from the volume ("volume") or from rows of X
("rows"). Peers predict the same LSDN (`peers.py`) from standardised patches which lie
in memory; MLPRegressor computes the plain network of these sizes, which is less work,
and HistGradientBoostingRegressor, with its defaults, something else. Each peer has its
best tile size, layout and kind of Adam, found before by trying; they get squared
distances from a matrix product, except for "onnxruntime of to_onnx", which computes
the exported model from rows of X. Training is epochs alone, of Adam: neither
compiling, scaling nor initialising counts.

"peak" is the share of the peak, on as many cores, that goes into matrix products, 2
operations for a multiply-add and none for all else; the peak is that of multiply-adds
in registers on the widest vectors (`peak.py`), whatever BLAS is told to use, on this
machine, which should have nothing else to do.
"error" is against float64: the largest of psi in prediction; in training that of the
first filters' gradient, relative.

Needs onnx, onnxruntime and torch beside the package. `--fit` needs the open MS data:
LSDN_DATA names the folder that holds it.
"""

import argparse
import sys
import warnings
from functools import partial
from importlib.metadata import version

import numpy as np
import torch
from contestants import OURS, TREES, Problem, prediction, seconds, training
from open_ms import PAPER, data_folder
from peak import measured_peak
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from sklearn.metrics import root_mean_squared_error
from threadpoolctl import threadpool_limits

from sklearn_lsdn import LSDNRegressor, VolumeSynthesizer
from sklearn_lsdn._network.kernels.vectors import LANES
from sklearn_lsdn.datasets import make_brain_cohort


def medians(functions, repeats):
    """Median seconds of each function, called in turn ``repeats`` times."""
    for function in functions.values():
        function()
    times = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            times[name].append(seconds(function))
    return {name: float(np.median(values)) for name, values in times.items()}


def limit_threads(n):
    threadpool_limits(n)
    torch.set_num_threads(n)


def compiling_works():
    try:
        torch.compile(lambda x: x.sigmoid() * x)(torch.ones(99))
    except Exception as error:  # no compiler, or none for this Python
        print(f"PyTorch compiled is left out: {error}", file=sys.stderr)
        return False
    return True


def print_rows(contestants, repeats, peak, *labels):
    """Measure, and print a row for each; return the time of the first."""
    times = medians({name: c.run for name, c in contestants.items()}, repeats)
    reference_time = None
    for name, c in contestants.items():
        per_sample = times[name] / c.n_samples
        reference_time = reference_time or per_sample
        share = f"{c.operations / per_sample / peak:.0%}" if c.operations else "-"
        error = "-" if c.error is None else f"{c.error:.1e}"
        cells = *labels, name, f"{1e6 * per_sample:.3f}"
        cells += f"{per_sample / reference_time:.2f}", share, error
        print(f"| {' | '.join(map(str, cells))} |", flush=True)
    return reference_time


def compare_kernels(arguments):
    """The tables of prediction and training."""
    with_compiled = not arguments.no_compiled and compiling_works()
    peak = measured_peak()
    print(
        f"One core's measured peak: {peak / 1e9:.0f} GFLOP/s in float32, on vectors "
        f"of {LANES}.\n"
    )
    print(
        "| task | hidden | threads | contestant | s per 10^6 | ratio | peak | error |"
    )
    print("|---|---|---|---|---|---|---|---|")
    times = {}
    shape = (40, 40, 40) if arguments.quick else (182, 218, 182)
    for size in arguments.sizes:
        p = Problem(tuple(map(int, size.split("-"))), shape)
        for n_threads in arguments.threads:
            limit_threads(n_threads)
            tasks = {"prediction": partial(prediction, p)}
            for batch in arguments.batches:
                tasks[f"training, batch {batch}"] = partial(training, p, batch)
            for task, gather in tasks.items():
                torch.compiler.reset()
                times[task, size, n_threads] = print_rows(
                    gather(n_threads, with_compiled),
                    arguments.repeats,
                    n_threads * peak,
                    task,
                    size,
                    n_threads,
                )
    print()
    for (task, size, n_threads), value in times.items():
        alone = times.get((task, size, 1))
        if n_threads > 1 and alone:
            print(
                f"{OURS}, {task}, {size}: {alone / value:.2f} x in {n_threads} threads"
            )


def scans(quick):
    """Sources and targets; the last of each is held back."""
    if quick:
        images = make_brain_cohort(3, voxel_size=8, random_state=0).images
        return images["T1w"], images["T2w"]
    pattern = "{0}/anat/{0}_space-MNI152_desc-preproc_{1}.nii.gz"
    return (
        [data_folder() / pattern.format(s, c) for s in ("sub-07", "sub-19", "sub-26")]
        for c in ("T1w", "T2w")
    )


def compare_fits(arguments):
    """Training time and error on a subject held back, all at their defaults."""
    sources, targets = scans(arguments.quick)
    drawing = VolumeSynthesizer(LinearRegression(), random_state=0, **PAPER)
    drawing.fit(sources[:2], targets[:2])
    X, y = drawing.sample_voxels(sources[:2], targets[:2], random_state=0)
    X_new, y_new = drawing.sample_voxels(sources[2:], targets[2:], random_state=0)
    print("| threads | regressor | fit, s | RMSE held back | RMSE in training |")
    print("|---|---|---|---|---|")
    for n_threads in arguments.threads:
        limit_threads(n_threads)
        regressors = {
            OURS: LSDNRegressor(n_jobs=n_threads, random_state=0),
            TREES: HistGradientBoostingRegressor(random_state=0),
        }
        times = medians(
            {name: partial(r.fit, X, y) for name, r in regressors.items()},
            arguments.repeats,
        )
        for name, regressor in regressors.items():
            held_back = root_mean_squared_error(y_new, regressor.predict(X_new))
            seen = root_mean_squared_error(y, regressor.predict(X))
            cells = n_threads, name, f"{times[name]:.2f}", f"{held_back:.4f}"
            print(f"| {' | '.join(map(str, cells))} | {seen:.4f} |", flush=True)
    print(f"\n{len(X)} samples in training, {len(X_new)} held back; standardised T2w.")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    sizes = ["50-5", "100-10", "200-20", "400-40"]
    parser.add_argument("--sizes", nargs="+", default=sizes)
    batches = [32, 64, 256, 1024]
    parser.add_argument("--batches", nargs="*", type=int, default=batches)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--no-compiled", action="store_true")
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.repeats, arguments.sizes, arguments.batches = 1, ["12-4"], [64]
    warnings.simplefilter("ignore", ConvergenceWarning)  # few epochs are meant
    packages = "numpy", "scikit-learn", "numba", "torch", "onnxruntime"
    print(", ".join(f"{name} {version(name)}" for name in packages))
    (compare_fits if arguments.fit else compare_kernels)(arguments)


if __name__ == "__main__":
    main()

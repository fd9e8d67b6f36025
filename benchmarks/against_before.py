"""Speed of two checkouts of this package side by side: is the newer one as fast?

    python benchmarks/against_before.py BEFORE [AFTER] [--sizes 200-20] [--repeats 9]
    ... --quick                 a smoke test

BEFORE and AFTER are folders that hold ``sklearn_lsdn``; without AFTER it is the one
that this file belongs to. Each has a process of its own, and the two take turns, so
that whatever else the machine does slows down both. All goes through names in
docs/api.rst: imports, each in a process of its own; `LSDNRegressor` on rows of X; and
`VolumeSynthesizer` on balls of noise with as many voxels as a brain at 2 mm; on one
thread unless ``--threads`` says otherwise. "before" and "after" are medians of seconds
of processor time; ratios, of processor and of wall time, are before to after: above 1,
the newer one is faster. "bits" says whether losses and predictions are the same.
Kernels are compiled before the clock starts.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
from llvmlite import binding

HERE = Path(__file__).resolve().parent.parent

WORKER = """
import hashlib, json, sys, time, warnings
import nibabel as nib
import numpy as np
from sklearn_lsdn import LSDNRegressor, VolumeSynthesizer

warnings.simplefilter("ignore")
options = json.loads(sys.argv[1])
rng = np.random.RandomState(0)
X = rng.uniform(-1, 1, (options["n_rows"], 30)).astype(np.float32)
y = (X[:, 0] * X[:, 27] + X[:, 1] ** 2).astype(np.float32)
n_train = options["n_rows"] // 10
side = np.linspace(-1, 1, options["side"])
brain = side[:, None, None] ** 2 + side[:, None] ** 2 + side**2 < 0.9
t1w, t2w = (
    [nib.Nifti1Image(np.float32(each), np.eye(4)) for each in scans]
    for scans in rng.uniform(1, 2, (2, 2, *brain.shape)) * brain
)


def work(task, size, batch_size):
    verb, of = task.split()
    network = LSDNRegressor(
        tuple(size), batch_size=batch_size, tol=0.0, random_state=0,
        max_iter=options["epochs"] if verb == "fit" else 1, n_jobs=options["threads"],
    )
    if of == "rows":
        X_train, y_train = X[:n_train], y[:n_train]
        if verb == "fit":
            return lambda: network.fit(X_train, y_train).loss_curve_
        network.fit(X_train, y_train)
        return lambda: network.predict(X)
    model = VolumeSynthesizer(
        network, n_voxels=n_train // 2, n_jobs=options["threads"], random_state=0
    )
    if verb == "fit":
        return lambda: model.fit(t1w, t2w).estimator_.loss_curve_
    model.fit(t1w[:1], t2w[:1])
    return lambda: model.predict(t1w[1:])[0].get_fdata()


for line in sys.stdin:
    command, *arguments = json.loads(line)
    if command == "prepare":
        run = work(*arguments)
    wall, cpu = time.perf_counter(), time.process_time()
    result = run()
    reply = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    reply["hash"] = hashlib.sha256(np.asarray(result).tobytes()).hexdigest()
    print(json.dumps(reply), flush=True)
"""

IMPORTS = ("import sklearn_lsdn", "from sklearn_lsdn import LSDNRegressor")


def environment(checkout):
    # With -P beside it: from the root of a checkout, this would be imported instead.
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**os.environ, **threads, "PYTHONPATH": str(checkout)}


class Worker:
    """A process that runs what it is told with one checkout."""

    def __init__(self, checkout, options):
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", WORKER, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(checkout),
            text=True,
        )

    def __call__(self, *command):
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"The process of {command} ended; see above.")
        return json.loads(answer)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def seconds_of_process(checkout, code):
    """Of a fresh Python that runs ``code``."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-P", "-c", code]
    subprocess.run(command, env=environment(checkout), check=True)
    wall, after = (
        time.perf_counter() - start,
        resource.getrusage(resource.RUSAGE_CHILDREN),
    )
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu": cpu, "wall": wall, "hash": None}


def print_row(label, runs):
    """``runs``: of before and of after, what each turn took."""
    cpu, wall = (
        [float(np.median([turn[kind] for turn in side])) for side in runs]
        for kind in ("cpu", "wall")
    )
    hashes = {turn["hash"] for side in runs for turn in side}
    bits = "-" if hashes == {None} else "same" if len(hashes) == 1 else "DIFFERENT"
    times = (f"{seconds:.3f}" for seconds in cpu)
    ratios = (f"{before / after:.2f}" for before, after in (cpu, wall))
    print(f"| {' | '.join((label, *times, *ratios, bits))} |", flush=True)


def in_turn(sides, repeats):
    """What each of two functions answers, called in turn."""
    runs = [], []
    for repeat in range(repeats):
        for side in (0, 1) if repeat % 2 else (1, 0):
            runs[side].append(sides[side]())
    return runs


def compare_imports(checkouts, repeats):
    for code in IMPORTS[:repeats]:
        sides = [partial(seconds_of_process, checkout, code) for checkout in checkouts]
        in_turn(sides, 1)  # files are read into memory, and compiled
        print_row(f"`{code}`", in_turn(sides, repeats))


def compare_work(workers, size, batches, repeats):
    nodes = [int(n) for n in size.split("-")]
    for task in "fit rows", "predict rows", "fit volumes", "predict volumes":
        for batch in batches:
            for worker in workers:
                worker("prepare", task, nodes, batch)
            label = f"{size}, {task}"
            label += f", batch {batch}" if task.startswith("fit") else ""
            sides = [partial(worker, "run") for worker in workers]
            print_row(label, in_turn(sides, repeats))
            if task.startswith("predict"):
                break


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path, nargs="?", default=HERE)
    parser.add_argument("--sizes", nargs="+", default=["50-5", "200-20", "400-40"])
    parser.add_argument("--batches", nargs="+", type=int, default=[64, 256])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    options = {"n_rows": 200_000, "side": 80, "epochs": 10}
    if arguments.quick:
        options = {"n_rows": 2000, "side": 12, "epochs": 1}
        arguments.sizes, arguments.batches, arguments.repeats = ["5-3"], [64], 1
    options["threads"] = arguments.threads

    checkouts = arguments.before.resolve(), arguments.after.resolve()
    features = binding.get_host_cpu_features()
    width = 512 if features.get("avx512f") else 256 if features.get("avx2") else 128
    print(
        f"{os.cpu_count()} cores, {binding.get_host_cpu_name()}, vectors of {width} "
        f"bits, {arguments.threads} threads, {arguments.repeats} turns each\n"
    )
    print("| what | before, s | after, s | ratio | ratio of wall time | bits |")
    print("|---|---|---|---|---|---|")
    compare_imports(checkouts, arguments.repeats)
    before, after = (Worker(checkout, options) for checkout in checkouts)
    with before, after:
        for size in arguments.sizes:
            compare_work((before, after), size, arguments.batches, arguments.repeats)


if __name__ == "__main__":
    main()

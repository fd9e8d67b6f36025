"""What a Dask cluster costs and brings, beside joblib's own threads and processes.

    python benchmarks/cluster.py [--subjects 12] [--rounds 5]
    ... --quick                 a smoke test

With LSDN_DATA=<folder with open_ms_mni>, cohorts are copies of the open MS scans
(Lesjak et al., Neuroinformatics 2017, doi:10.1007/s12021-017-9348-7), without it
simulated ones of 1 mm. The first table has what `predict_files` takes for a volume
from file to file on one worker and on two, by what shares the work: seconds by the
clock, and of processors in all processes, this one and the workers, which other
work on the machine changes less. They are medians of alternating rounds after one
that is not counted, in which kernels are compiled. Workers are threads, or
processes of one thread, on this machine; one process of joblib is this one.
Efficiency is how much of twice the speed two bring; how many cores two busy
processes get here, which bounds it, was measured in each round, too. The second
table has what a task costs that does nothing, the third the bytes which all
processes of the cluster of two write to each other, but for what they write when
idle.
"""

import argparse
import os
import shutil
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import psutil
from distributed import Client, LocalCluster
from distributed.comm.tcp import TCP
from joblib import parallel_config

from sklearn_lsdn import LSDNRegressor, VolumeSynthesizer
from sklearn_lsdn._utils.parallel import _pickled, parallel_map
from sklearn_lsdn.datasets import make_brain_cohort
from sklearn_lsdn.jobs._prediction import predict_files


def make_files(folder, n_subjects, voxel_size):
    """Paths of as many T1w scans, and pairs to train on."""
    if os.environ.get("LSDN_DATA"):
        from table1 import open_ms_cohort

        images = open_ms_cohort().images
    else:
        cohort = make_brain_cohort(2, voxel_size=voxel_size, random_state=0)
        images = {}
        for name in ("T1w", "T2w"):
            images[name] = [folder / f"{i}_{name}.nii.gz" for i in range(2)]
            for image, path in zip(cohort.images[name], images[name], strict=True):
                nib.save(image, path)
    sources = [folder / f"sub-{i:03d}_T1w.nii.gz" for i in range(n_subjects)]
    for i, source in enumerate(sources):
        shutil.copy(images["T1w"][i % len(images["T1w"])], source)
    return sources, images["T1w"][:2], images["T2w"][:2]


def spin(seconds):
    """How often a loop turns in that time."""
    end, turns = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        turns += 1
    return turns


def cores_to_be_had(seconds=1.0):
    """How many times the work of one process two do in the same time."""
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(spin, [0.1] * 2))
        together = sum(pool.map(spin, [seconds] * 2))
        return together / pool.submit(spin, seconds).result()


def nothing(i):
    """A task that does nothing."""
    return i


def count_bytes():
    """Have this process count what it writes to others."""
    write = TCP.write

    async def counting(self, *args, **kwargs):
        n_bytes = await write(self, *args, **kwargs)
        TCP.n_written = getattr(TCP, "n_written", 0) + n_bytes
        return n_bytes

    TCP.write = counting


def bytes_written(client):
    def there():
        return TCP.n_written

    return there() + sum(client.run(there).values())


def processor_seconds():
    """Used so far by this process and those that it started and are still there."""
    here = psutil.Process()
    times = [each.cpu_times() for each in (here, *here.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def timed(function):
    """Seconds by the clock, and of processors."""
    used, start = processor_seconds(), time.perf_counter()
    function()
    return np.array([time.perf_counter() - start, processor_seconds() - used])


def bytes_moved(client, work):
    """Bytes that work moves, but for what would have been moved without."""
    start = bytes_written(client)
    seconds, _ = timed(work)
    moved = bytes_written(client) - start
    start = bytes_written(client)
    time.sleep(seconds)
    return moved - (bytes_written(client) - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--subjects", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=1000, help="that do nothing")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.subjects, arguments.rounds, arguments.tasks = 4, 1, 20
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sources, *pairs = make_files(
            folder, arguments.subjects, 8 if arguments.quick else 1
        )
        synthesizer = VolumeSynthesizer(LSDNRegressor(max_iter=2), random_state=0)
        synthesizer.fit(*pairs)

        ways = {
            ("threads", 1): partial(parallel_config, backend="threading", n_jobs=1),
            ("threads", 2): partial(parallel_config, backend="threading", n_jobs=2),
            ("processes (loky)", 2): partial(parallel_config, "loky", n_jobs=2),
        }
        for n in (1, 2):
            cluster = stack.enter_context(
                LocalCluster(
                    n_workers=n, threads_per_worker=1, dashboard_address="127.0.0.1:0"
                )
            )
            client = stack.enter_context(Client(cluster))
            ways["Dask", n] = partial(parallel_config, backend="dask", client=client)

        def predict():
            predict_files(synthesizer, sources, folder / "out", overwrite=True)

        def idle():
            tasks = ((i,) for i in range(arguments.tasks))
            for _ in parallel_map(nothing, (), tasks, n_jobs=2):
                pass

        seconds = {way: [] for way in ways}
        overhead = {name: [] for name, n in ways if n == 2}
        cores = []
        for _ in range(arguments.rounds + 1):
            cores.append(cores_to_be_had())
            for way, context in ways.items():
                with context():
                    seconds[way].append(timed(predict) / len(sources))
            for name in overhead:
                with ways[name, 2]():
                    overhead[name].append(timed(idle) / arguments.tasks)
        median = {way: np.median(t[1:], axis=0) for way, t in seconds.items()}
        median["processes (loky)", 1] = median["threads", 1]

        size = " x ".join(map(str, nib.load(sources[0]).shape))
        print(f"\n{len(sources)} volumes of {size}, {arguments.rounds} rounds; two")
        print(f"busy processes got {np.median(cores[1:]):.2f} cores\n")
        print(
            "| shared by | 1 worker, s per volume | 2 workers | efficiency | ", end=""
        )
        print("processor s, 1 worker | 2 workers |\n|---|---|---|---|---|---|")
        for name in overhead:
            (one, used_by_one), (two, used_by_two) = median[name, 1], median[name, 2]
            print(f"| {name} | {one:.2f} | {two:.2f} | {one / two / 2:.0%} | ", end="")
            print(f"{used_by_one:.2f} | {used_by_two:.2f} |")
        print("\n| shared by | ms per task that does nothing | processor ms |")
        print("|---|---|---|")
        for name, times in overhead.items():
            clock, used = 1000 * np.median(times[1:], axis=0)
            print(f"| {name} | {clock:.2f} | {used:.2f} |")

        count_bytes()
        client.run(count_bytes)
        with ways["Dask", 2]():
            moved = {
                len(some): bytes_moved(
                    client,
                    partial(
                        predict_files, synthesizer, some, folder / "b", overwrite=True
                    ),
                )
                for some in (sources[: len(sources) // 2], sources)
            }
        (few, low), (many, high) = moved.items()
        output = sum(path.stat().st_size for path in (folder / "b").iterdir())
        print("\n| what | kB |\n|---|---|")
        print(f"| moved, per subject | {(high - low) / (many - few) / 1e3:.1f} |")
        print(f"| moved, in all, for {many} subjects | {high / 1e3:.0f} |")
        print(f"| the model | {len(_pickled(synthesizer)) / 1e3:.0f} |")
        read = np.mean([path.stat().st_size for path in sources])
        print(f"| read from files, per subject | {read / 1e3:.0f} |")
        print(f"| written to files, per subject | {output / many / 1e3:.0f} |")


if __name__ == "__main__":
    main()

"""How far results differ where bits may: other instruction sets and BLAS kernels.

    python benchmarks/determinism.py

The same fit and prediction run in processes of their own, in which Numba compiles for
other processors (NUMBA_CPU_NAME, NUMBA_CPU_FEATURES) and OpenBLAS takes other kernels
(OPENBLAS_CORETYPE). Differences are those of the synthesis of a simulated subject that
training did not see, in standard deviations of its brain (the normalised unit).
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

SSE2 = "+sse,+sse2,-sse3,-ssse3,-sse4.1,-sse4.2,-avx,-avx2,-fma,-avx512f"
AVX2 = "+sse3,+ssse3,+sse4.1,+sse4.2,+avx,+avx2,+fma,-avx512f"
VARIANTS = {
    "this machine": {},
    "the same, 2 threads, another hash seed": {
        "PYTHONHASHSEED": "7",
        "LSDN_THREADS": "2",
    },
    "Numba for AVX2 and FMA, without AVX-512": {
        "NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": AVX2,
    },
    "Numba for SSE2, no FMA": {
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": SSE2,
    },
    "OpenBLAS for Sandy Bridge (AVX)": {"OPENBLAS_CORETYPE": "Sandybridge"},
    "OpenBLAS for Nehalem (SSE)": {"OPENBLAS_CORETYPE": "Nehalem"},
    "NumPy without AVX2, FMA and AVX-512": {
        "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512_SKX"
    },
    "all of SSE2, Nehalem and such a NumPy": {
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": SSE2,
        "OPENBLAS_CORETYPE": "Nehalem",
        "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512_SKX",
    },
    "another random_state": {"LSDN_SEED": "1"},
}


def run(folder, n_voxels, max_iter):
    """Fit, predict by it and by the first variant's model, and keep both."""
    from sklearn_lsdn import LSDNRegressor, VolumeSynthesizer, load_model, save_model
    from sklearn_lsdn.datasets import make_brain_cohort

    cohort = make_brain_cohort(3, voxel_size=4, random_state=0)
    t1w, t2w = cohort.images["T1w"], cohort.images["T2w"]
    synthesizer = VolumeSynthesizer(
        LSDNRegressor(max_iter=max_iter),
        n_voxels=n_voxels,
        random_state=int(os.environ.get("LSDN_SEED", 0)),
        n_jobs=int(os.environ.get("LSDN_THREADS", 1)),
    ).fit(t1w[:2], t2w[:2])
    shared = folder / "model.skops"
    if not shared.exists():
        save_model(synthesizer, shared)
    brain = cohort.masks[2].get_fdata() > 0
    results = {"snr": synthesizer.score(t1w[2:], t2w[2:])}
    for name, model in (("fitted", synthesizer), ("loaded", load_model(shared))):
        results[name] = model.predict(t1w[2:])[0].get_fdata()[brain]
    np.savez(folder / "results.npz", **results)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n-voxels", type=int, default=20_000)
    parser.add_argument("--max-iter", type=int, default=20)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        run(arguments.worker, arguments.n_voxels, arguments.max_iter)
        return
    print("| what differs | prediction, same model | fit and prediction | SNR, dB |")
    print("|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        first = None
        for name, variables in VARIANTS.items():
            command = [sys.executable, __file__, "--worker", folder]
            command += ["--n-voxels", str(arguments.n_voxels)]
            command += ["--max-iter", str(arguments.max_iter)]
            subprocess.run(command, env=os.environ | variables, check=True)
            with np.load(Path(folder) / "results.npz") as saved:
                result = dict(saved)
            first = first or result
            unit = first["fitted"].std()
            cells = []
            for kind in ("loaded", "fitted"):
                apart = abs(result[kind] - first[kind]) / unit
                same = "same bits" if not apart.any() else None
                cells.append(same or f"{apart.max():.1e} (mean {apart.mean():.1e})")
            snr = float(result["snr"])
            change = snr - float(first["snr"])
            print(
                f"| {name} | {' | '.join(cells)} | {snr:.3f} ({change:+.3f}) |",
                flush=True,
            )


if __name__ == "__main__":
    main()

"""A whole synthesis as one ONNX graph, in onnxruntime, against this package's own path.

    LSDN_DATA=<folder with open_ms_mni> python benchmarks/portable.py [--times]

Models of the open MS data (Lesjak et al., Neuroinformatics 2017,
doi:10.1007/s12021-017-9348-7), T1w to T2w unless said, are trained on two subjects for
a moment, and predict the third. The first table says how far the graph is from
`predict` in the voxel where it is farthest, in standard deviations of the prediction
over the brain. The second has the time for that volume, in the default setting, from
arrays to arrays, the least of some runs, and the peak resident memory of a process
that does nothing else. Linux only.
"""

import argparse
import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from pathlib import Path

import numpy as np
from memory import peak_mb

BRIEF = dict(max_iter=3, random_state=0)
SUBJECTS = "sub-07", "sub-19", "sub-26"


def settings():
    """Parameters of a synthesizer, sources and targets by what to call them."""
    from sklearn_lsdn import LSDNRegressor, ShrinkConnect

    small = LSDNRegressor((100, 10), **BRIEF)
    shrunk = ShrinkConnect(small, keep=0.25, max_iter=1)
    one = dict(estimator=small)
    return {
        "default": ({"estimator": LSDNRegressor((400, 40), **BRIEF)}, "T1w", "T2w"),
        "scales 1, 2, 4": (one | {"patch_scales": (1, 2, 4)}, "T1w", "T2w"),
        "no target patches": (one | {"target_patch_size": 1}, "T1w", "T2w"),
        "smoothing 2 mm": (one | {"smoothing": 2.0}, "T1w", "T2w"),
        "two sources": (one, "T1w FLAIR", "T2w"),
        "two targets": (one, "T1w", "T2w FLAIR"),
        "ensemble of 2": (one | {"n_estimators": 2}, "T1w", "T2w"),
        "shrunken": ({"estimator": shrunk}, "T1w", "T2w"),
        "places of the world": (one | {"places": "world"}, "T1w", "T2w"),
        "Nyul": (one | {"normalization": "nyul"}, "T1w", "T2w"),
    }


def scans(folder, contrasts):
    """Paths of each subject."""
    name = "{0}/anat/{0}_space-MNI152_desc-preproc_{1}.nii.gz"
    each = [[str(folder / name.format(s, c)) for c in contrasts] for s in SUBJECTS]
    return each if len(contrasts) > 1 else [paths[0] for paths in each]


def trained(folder, parameters, sources, targets):
    """A synthesizer of the first subjects, and paths of the last."""
    from sklearn_lsdn import VolumeSynthesizer

    *known, new = scans(folder, sources.split())
    synthesizer = VolumeSynthesizer(n_voxels=5000, random_state=0, **parameters)
    return synthesizer.fit(known, scans(folder, targets.split())[:-1]), new


def farthest(folder, name):
    """The graph's largest difference from `predict`, and its size in MB."""
    import nibabel as nib
    import onnxruntime

    from sklearn_lsdn import to_onnx

    parameters, sources, targets = settings()[name]
    synthesizer, new = trained(folder, parameters, sources, targets)
    std = "n_estimators" in parameters
    synthesis = synthesizer.synthesize(new, return_std=std, on_unlike="ignore")
    model = to_onnx(synthesizer).SerializeToString()
    session = onnxruntime.InferenceSession(model)
    computed = session.run(None, inputs(new, synthesis.subject.mask))
    expected = [synthesis.images, *([synthesis.std_images] if std else [])]
    apart, mask = [], synthesis.subject.mask
    for volumes, images in zip(computed, expected, strict=True):
        for volume, image in zip(volumes, images, strict=True):
            image = nib.as_closest_canonical(image).get_fdata(dtype=np.float32)
            spread = image[mask].std()
            apart.append(abs(volume[mask] - image[mask]).max() / spread)
    return max(apart), len(model) / 1e6


def inputs(paths, mask):
    """What the graph is given."""
    import nibabel as nib

    paths = paths if isinstance(paths, list) else [paths]
    images = [nib.as_closest_canonical(nib.load(path)) for path in paths]
    volumes = [image.get_fdata(dtype=np.float32) for image in images]
    affine = images[0].affine.astype(np.float32)
    return {
        "volumes": np.stack(volumes),
        "mask": mask.astype(np.uint8),
        "affine": affine,
    }


def timed(function, repeats):
    """Least seconds by the clock and of the processor, and the peak in MB."""
    runs = []
    for _ in range(repeats):
        start = time.perf_counter(), time.process_time()
        function()
        runs.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    return *np.min(runs, axis=0), peak_mb()


def of_graph(model, arrays, n_threads, repeats):
    """In onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    # Threads that wait keep a core busy otherwise, on which others may compute.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model, options)
    given = dict(np.load(arrays))
    return timed(lambda: session.run(None, given), repeats)


def of_package(model, path, n_threads, repeats):
    """By this package's own path; kernels are compiled before."""
    from sklearn_lsdn import load_model
    from sklearn_lsdn.volumes._images import open_image

    synthesizer = load_model(model).set_params(n_jobs=n_threads)
    preparation = synthesizer.preparation_

    def read():
        return preparation.read([open_image(path, "scan")])

    def synthesize():
        synthesizer._synthesis(subjects.pop(), units)

    subjects = [read()]
    units = preparation.units(subjects[0])
    synthesize()
    runs = []
    for _ in range(repeats):
        subjects = [read()]
        runs.append(timed(synthesize, 1))
    return *np.min(runs, axis=0)[:2], peak_mb()


def in_new_process(function, *arguments):
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def prepare(data, folder):
    """Write the default model in both forms, and what is given to the graph."""
    import onnx

    from sklearn_lsdn import save_model, to_onnx

    synthesizer, new = trained(data, *settings()["default"])
    save_model(synthesizer, folder / "model.skops")
    onnx.save(to_onnx(synthesizer), folder / "model.onnx")
    mask = synthesizer.synthesize(new, on_unlike="ignore").subject.mask
    np.savez(folder / "inputs.npz", **inputs(new, mask))
    return new, mask.shape, int(np.count_nonzero(mask))


def machine():
    """Cores and vectors."""
    import onnxruntime
    from llvmlite import binding

    from sklearn_lsdn._network.kernels.vectors import LANES

    return (
        f"{date.today()}: {os.cpu_count()} cores, {binding.get_host_cpu_name()}, "
        f"vectors of {LANES} floats, onnxruntime {onnxruntime.__version__}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two models, one run")
    parser.add_argument("--times", action="store_true", help="the second table alone")
    options = parser.parse_args()
    beside = Path(__file__).resolve().parents[2] / "shared/data"
    data = Path(os.environ.get("LSDN_DATA", beside)) / "open_ms_mni"
    names = list(settings())[: 2 if options.quick else None]
    repeats = 1 if options.quick else 3

    print(in_new_process(machine), end="\n\n")
    if not options.times:
        print("| model | largest difference | file, MB |\n|---|---|---|", flush=True)
    for name in names if not options.times else ():
        apart, size = in_new_process(farthest, data, name)
        print(f"| {name} | {apart:.1e} | {size:.2f} |", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        new, shape, n_voxels = in_new_process(prepare, data, folder)
        size = " x ".join(map(str, shape))
        print(f"\nVolume of {size}, {n_voxels} voxels of brain, default setting:\n")
        print(
            "| | threads | s | s of the processor | peak, MB |\n|---|---|---|---|---|"
        )
        for n_threads in (1, 2):
            for who, function, *given in (
                ("this package", of_package, folder / "model.skops", new),
                ("the graph", of_graph, folder / "model.onnx", folder / "inputs.npz"),
            ):
                figures = in_new_process(function, *map(str, given), n_threads, repeats)
                cells = " | ".join(
                    f"{x:{f}}"
                    for x, f in zip(figures, (".1f", ".1f", ".0f"), strict=True)
                )
                print(f"| {who} | {n_threads} | {cells} |", flush=True)


if __name__ == "__main__":
    main()

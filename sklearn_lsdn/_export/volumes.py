"""The synthesis of whole volumes as one graph."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._regressors.roles import role_of
from .._version import __version__
from .graph import Graph
from .grids import Grid, gaussian_in_mm
from .intensities import writer_of
from .sliding import Sliding, networks_of
from .surroundings import Surroundings

_SPACE = ["x", "y", "z"]
_HOW = {
    "inputs": "volumes: sources in the order of training, on one grid; mask: the brain, "
    "other than 0; affine: from voxel indices to world mm",
    "orientation": "RAS+: axes towards right, anterior and superior",
    "resampling": "none: give volumes of about the voxel size above",
    "intended use": "research; not a medical device, and not for diagnosis",
}


def write_synthesis(synthesizer):
    """A fitted synthesizer as onnx.ModelProto; see `to_onnx`."""
    check_is_fitted(synthesizer)
    preparation = synthesizer.preparation_
    window, normalizers = preparation.window, preparation.target_normalizers
    if window.neighbours is not None:
        raise ValueError(
            "An ONNX model cannot deform training subjects to another, which this model "
            f"does with neighbours={window.neighbours!r}. Fit without neighbours."
        )
    n_patch = window.n_patch(preparation.n_contrasts)
    members, noise = networks_of(synthesizer.estimator_, n_patch)
    writers = [writer_of(normalizer) for normalizer in normalizers]

    graph = Graph()
    n_sources, n_targets = preparation.n_contrasts, len(normalizers)
    volumes = graph.input("volumes", np.float32, [n_sources, *_SPACE])
    mask = graph.input("mask", np.uint8, _SPACE)
    affine = graph.input("affine", np.float32, [4, 4])
    places, missing, how = affine, None, dict(_HOW)
    if window.places == "template":
        places = graph.input("places", np.float32, [4, 4])
        how["inputs"] += "; places: from voxel indices to mm in MNI152"
    if window.source_dropout:
        missing = graph.input("missing", np.uint8, [n_sources])
        how["inputs"] += "; missing: other than 0 for sources that are not there"

    reach = window.patch_size // 2 * max(window.scales)
    grid = Grid(mask, max(reach, window.target_patch_size // 2))
    surroundings = Surroundings(preparation, grid, volumes, missing, places)
    slide = Sliding(surroundings, grid, window, n_targets)
    if noise is None:
        means, deviations = slide.means(*members), None
    else:
        means, deviations = slide.means_and_deviations(members, *noise)
    synthesis, means = grid.volumes(means), []
    for c in range(n_targets):
        volume = synthesis.take(c)
        if synthesizer.smoothing:
            kernels = gaussian_in_mm(synthesizer.smoothing, affine)
            volume = grid.smoothed(volume, kernels)
        means.append(volume)
    _output(
        graph, grid, "synthesis", [w.from_shared(m) for w, m in zip(writers, means)]
    )
    if deviations is not None:
        volumes = grid.volumes(deviations)
        parts = []
        for c, (writer, mean) in enumerate(zip(writers, means)):
            far = volumes.take(c)
            upper, lower = (writer.from_shared(m) for m in (mean + far, mean - far))
            parts.append((upper - lower) / 2)
        _output(graph, grid, "deviation", parts)
    facts = role_of(synthesizer).facts() | how
    facts = {name: str(value) for name, value in facts.items()}
    metadata = {"sklearn_lsdn": __version__, **facts}
    return graph.model(type(synthesizer).__name__, metadata)


def _output(graph, grid, name, volumes):
    volumes = [volume.apply("Unsqueeze", np.array([0])) for volume in volumes]
    graph.output(name, grid.whole(grid.joined(*volumes)), [len(volumes), *_SPACE])

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
_GIVEN = {
    "volumes": "sources in the order of training, on one grid",
    "mask": "other than 0 in the brain",
    "affine": "from voxel indices to world mm",
    "places": "from voxel indices to mm in MNI152",
}
_KNOWN = {
    "orientation": "RAS+: axes towards right, anterior and superior",
    "resampling": "none: give volumes of about the voxel size above",
    "intended use": "research; not a medical device, and not for diagnosis",
}


def write_synthesis(synthesizer):
    """A fitted synthesizer as onnx.ModelProto; see `to_onnx`."""
    check_is_fitted(synthesizer)
    preparation = synthesizer.preparation_
    window = preparation.window
    if window.neighbours is not None:
        raise ValueError(
            "An ONNX model cannot deform training subjects to another, as this one "
            f"does with neighbours={window.neighbours!r}. Fit without neighbours."
        )
    n_channels = preparation.n_contrasts * len(window.scales)
    channels, members, noise = networks_of(
        synthesizer.estimator_, n_channels, window.patch_size**3
    )
    writers = [writer_of(each) for each in preparation.target_normalizers]

    graph = Graph()
    given = _inputs(graph, preparation)
    affine = given["affine"]
    reach = window.patch_size // 2 * max(window.scales)
    grid = Grid(given["mask"], max(reach, window.target_patch_size // 2))
    seen = given["volumes"], given.get("places", affine)
    surroundings = Surroundings(preparation, grid, *seen)
    slide = Sliding(surroundings, channels, grid, window, len(writers))
    deviations = None
    if noise is None:
        means = slide.means(*members)
    else:
        means, deviations = slide.means_and_deviations(members, *noise)
        deviations = grid.volumes(deviations, len(writers))
    means = grid.volumes(means, len(writers))
    if synthesizer.smoothing:
        kernels = gaussian_in_mm(synthesizer.smoothing, affine)
        means = [grid.smoothed(mean, kernels) for mean in means]

    parts = list(zip(writers, means, strict=True))
    shape = [len(writers), *_SPACE]
    syntheses = grid.whole([writer.synthesis(mean) for writer, mean in parts])
    graph.output("synthesis", syntheses, shape)
    if deviations is not None:
        parts = zip(writers, means, deviations, strict=True)
        apart = grid.whole([writer.deviation(*values) for writer, *values in parts])
        graph.output("deviation", apart, shape)
    facts = role_of(synthesizer).facts() | _KNOWN
    facts |= {f"input {name}": _GIVEN[name] for name in given}
    known = {name: str(value) for name, value in facts.items()}
    return graph.model(
        type(synthesizer).__name__, {"sklearn_lsdn": __version__, **known}
    )


def _inputs(graph, preparation):
    """What is given, by name."""
    n_sources, window = preparation.n_contrasts, preparation.window
    declared = {
        "volumes": (np.float32, [n_sources, *_SPACE]),
        "mask": (np.uint8, _SPACE),
        "affine": (np.float32, [4, 4]),
    }
    if window.places == "template":
        declared["places"] = np.float32, [4, 4]
    return {name: graph.input(name, *parts) for name, parts in declared.items()}

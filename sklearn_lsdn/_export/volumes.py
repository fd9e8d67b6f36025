"""Models of images as graphs from whole volumes to whole volumes."""

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

_OF_OTHERS = "may be missing", "one for each of"  # networks, which the graph has not


def write_images(estimator):
    """A fitted synthesizer or segmenter as onnx.ModelProto; see `to_onnx`."""
    check_is_fitted(estimator)
    window = estimator.preparation_.window
    if window.neighbours is not None:
        raise ValueError(
            "An ONNX model cannot deform training subjects to another, as this one "
            f"does with neighbours={window.neighbours!r}. Fit without neighbours."
        )
    segments = role_of(estimator).classes is not None
    return (_Segmentation if segments else _Synthesis)(estimator).model()


class _Model:
    """A graph up to what networks predict.

    Parameters
    ----------
    estimator : VolumeSynthesizer or VolumeSegmenter
        A fitted one.
    n_targets : int
        What its networks predict of each voxel.
    """

    def __init__(self, estimator, n_targets):
        self.estimator, preparation = estimator, estimator.preparation_
        window, self.n_targets = preparation.window, n_targets
        n_patch = window.n_patch(preparation.n_contrasts)
        self.members, self.noise = networks_of(estimator.estimator_, n_patch)
        self.graph = Graph()
        self.given = _inputs(self.graph, preparation)
        volumes, mask, affine, *_ = self.given.values()
        reach = window.patch_size // 2 * max(window.scales)
        self.grid = Grid(mask, max(reach, window.target_patch_size // 2))
        places = self.given.get("places", affine)
        surroundings = Surroundings(preparation, self.grid, volumes, places)
        self.slide = Sliding(surroundings, self.grid, window, n_targets)

    def model(self):
        """All of it, and what is to be known."""
        self._write_outputs()
        facts = role_of(self.estimator).facts() | _KNOWN
        for name in _OF_OTHERS:
            facts.pop(name, None)
        facts |= {f"input {name}": _GIVEN[name] for name in self.given}
        known = {name: str(value) for name, value in facts.items()}
        known = {"sklearn_lsdn": __version__, **known}
        return self.graph.model(type(self.estimator).__name__, known)

    def _write_outputs(self):
        raise NotImplementedError

    def _output(self, name, volumes):
        shape = [len(volumes), *_SPACE]
        self.graph.output(name, self.grid.whole(volumes), shape)


class _Synthesis(_Model):
    def __init__(self, synthesizer):
        normalizers = synthesizer.preparation_.target_normalizers
        self.writers = [writer_of(each) for each in normalizers]
        super().__init__(synthesizer, len(self.writers))

    def _write_outputs(self):
        grid, n, deviations = self.grid, self.n_targets, None
        if self.noise is None:
            means = self.slide.means(*self.members)
        else:
            predicted = self.slide.means_and_deviations(self.members, *self.noise)
            means, deviations = predicted
        means = grid.volumes(means, n)
        if fwhm := self.estimator.smoothing:
            kernels = gaussian_in_mm(fwhm, self.given["affine"])
            means = [grid.smoothed(mean, kernels) for mean in means]
        parts = list(zip(self.writers, means, strict=True))
        self._output("synthesis", [writer.synthesis(mean) for writer, mean in parts])
        if deviations is not None:
            parts = zip(self.writers, means, grid.volumes(deviations, n), strict=True)
            apart = [writer.deviation(*values) for writer, *values in parts]
            self._output("deviation", apart)


class _Segmentation(_Model):
    def __init__(self, segmenter):
        n = len(segmenter.classes_)
        super().__init__(segmenter, 1 if n == 2 else n)

    def _write_outputs(self):
        """As `probabilities_of`, and the labels of the largest."""
        segmenter, grid = self.estimator, self.grid
        p = self.slide.means(*self.members).clip(np.finfo(np.float32).tiny, 1)
        if self.n_targets == 1:
            p = (-p + 1).apply("Concat", p, axis=1)
        p = p * (segmenter.class_shares_ / segmenter.drawn_shares_).astype(np.float32)
        p = p / p.sum(1, keep=True)
        volumes = grid.volumes(p, len(segmenter.classes_))
        self._output("probabilities", volumes)
        parts = [each.apply("Unsqueeze", np.array([0])) for each in volumes]
        best = grid.joined(*parts).apply("ArgMax", axis=0, keepdims=0, dtype=np.int64)
        labels = self.graph.constant(segmenter.classes_.astype(np.int64)).take(best)
        self.graph.output("labels", grid.whole([labels]).take(0), _SPACE)


def _inputs(graph, preparation):
    """What is given, by name."""
    declared = {
        "volumes": (np.float32, [preparation.n_contrasts, *_SPACE]),
        "mask": (np.uint8, _SPACE),
        "affine": (np.float32, [4, 4]),
    }
    if preparation.window.places == "template":
        declared["places"] = np.float32, [4, 4]
    return {name: graph.input(name, *parts) for name, parts in declared.items()}

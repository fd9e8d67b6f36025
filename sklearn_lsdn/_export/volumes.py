"""The synthesis of whole volumes as one graph."""

from functools import partial

import numpy as np

from .._regressors.roles import role_of
from .graph import Graph
from .grids import Grid, gaussian
from .intensities import without_artefacts, writer_of
from .networks import forward, targets
from .places import by_matrix, to_box

_SPACE = ["x", "y", "z"]


def write_synthesis(synthesizer):
    """See `to_onnx`."""
    return _Synthesis(synthesizer).model()


class _Synthesis:
    """The graph of a synthesizer, while it is written."""

    def __init__(self, synthesizer):
        self.synthesizer = synthesizer
        self.preparation = preparation = synthesizer.preparation_
        self.window, self.n_targets = preparation.window, len(preparation.target_normalizers)
        self.graph = Graph()
        n_sources = preparation.n_contrasts
        self.volumes = self.graph.input("volumes", np.float32, [n_sources, *_SPACE])
        mask = self.graph.input("mask", np.uint8, _SPACE)
        self.affine = self.graph.input("affine", np.float32, [4, 4])
        reach = self.window.patch_size // 2 * max(self.window.scales)
        margin = max(reach, self.window.target_patch_size // 2)
        self.grid = Grid(mask, margin)

    def model(self):
        self.patches = self._patches()
        self.columns = self._columns()
        network = role_of(self.synthesizer.estimator_).reader(self.window.n_patch(self.preparation.n_volumes))
        means = self._predicted(network)
        volumes = self.grid.volumes(means)
        parts = []
        for c, n in enumerate(self.preparation.target_normalizers):
            parts.append(writer_of(n).from_shared(volumes.take([c])))
        out = self.grid.whole(self.graph.apply("Concat", *parts, axis=0))
        self.graph.output("synthesis", out, [self.n_targets, *_SPACE])
        return self.graph.model("VolumeSynthesizer")

    def _patches(self):
        """What reads patches of each source contrast at each scale."""
        grid, window, readers = self.grid, self.window, []
        kernels = {s: [gaussian(s)] * 3 for s in window.scales if s > 1}
        fill = self.preparation.background
        for c, normalizer in enumerate(self.preparation.source_normalizers):
            volume, writer = grid.cropped(self.volumes.take(c)), writer_of(normalizer)
            values = grid.of_brain(volume)
            ordered, _ = self.graph.apply_many("TopK", values, values.shape, dtypes=[None, np.int64], largest=0)
            volume, ordered = without_artefacts(volume, ordered)
            for scale in window.scales:
                channel = grid.smoothed(volume, kernels[scale]) if scale > 1 else volume
                channel = writer.to_shared(channel, ordered)
                readers.append(grid.patches(channel, fill[c], window.patch_size, scale))
        return readers

    def _columns(self):
        """From indices of voxels to what follows a patch."""
        if self.window.places == "brain":
            return to_box(self.grid)
        return by_matrix(self.grid, self.affine)

    def _predicted(self, network):
        """Of shape (n_voxels, n_targets)."""
        n_patch = self.window.n_patch(self.preparation.n_volumes)
        more = [c - n_patch for c in network.feature_columns if c >= n_patch]
        places = [c - n_patch for c in network.coordinate_columns]
        further = self.columns.take(more) if more else None
        located = None
        if places:
            scaling = network.scaling
            centre = np.outer(scaling.coordinate_centre, [0, 0, 0, 1.0])
            located = (self.columns.take(places) - centre) / scaling.coordinate_scale[:, None]
        layers = network.architecture.layers(network.volume_parameters())

        def at(matrix):
            matrix = matrix.to(np.float32)
            turn, offset = matrix.take([0, 1, 2], axis=1), matrix.take(3, axis=1)
            return lambda i: i.to(np.float32).apply("Gemm", turn, offset, transB=1)
        further = further and at(further)
        located = located and at(located)

        def predict(index):
            parts = [read(index) for read in self.patches]
            if further is not None:
                parts.append(further(index))
            S = self.graph.apply("Concat", *parts, axis=1)
            x = located(index) if located else None
            return targets(forward(S, x, layers, network.architecture), network)

        return self._averaged(self.grid.map(predict))

    def _averaged(self, patches):
        """Mean of all target patches that reach a voxel."""
        size = self.window.target_patch_size
        if size == 1:
            return patches
        grid, n_patch = self.grid, size**3
        ranks = grid.patches(grid.rank, -1, size)
        # The patch around a neighbour has the voxel on the other side.
        columns = np.arange(self.n_targets * n_patch).reshape(self.n_targets, n_patch)
        columns = columns[None, :, ::-1]
        flat = patches.reshape(-1)

        def mean(index):
            rank = ranks(index)
            there = rank.apply("GreaterOrEqual", 0)
            count = there.to(np.float32).sum(1, keep=True)
            axis = np.array([1])
            where = rank.clip(0, None).to(np.int64).apply("Unsqueeze", axis)
            values = flat.take(where * columns.size + columns)
            values = values.where(there.apply("Unsqueeze", axis), 0)
            return values.sum(2) / count

        return grid.map(mean)

"""The synthesis of whole volumes as one graph."""

import numpy as np

from .._regressors.roles import role_of
from .graph import Graph
from .grids import Grid, gaussian
from .intensities import without_artefacts, writer_of
from .networks import answers, targets
from .places import places_of


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
        space = ["x", "y", "z"]
        self.volumes = self.graph.input("volumes", np.float32, [n_sources, *space])
        mask = self.graph.input("mask", np.uint8, space)
        self.affine = self.graph.input("affine", np.float32, [4, 4])
        reach = self.window.patch_size // 2 * max(self.window.scales)
        margin = max(reach, self.window.target_patch_size // 2)
        self.grid = Grid(mask, margin)

    def model(self):
        self.rows = self._rows()
        network = role_of(self.synthesizer.estimator_).reader(self.window.n_patch(self.preparation.n_volumes))
        means = self._predicted(network)
        volumes = self.grid.volumes(means)
        parts = []
        for c, n in enumerate(self.preparation.target_normalizers):
            parts.append(writer_of(n).from_shared(volumes.take([c])))
        out = self.graph.apply("Concat", *parts, axis=0).where(self.grid.inside, 0)
        self.graph.output("synthesis", out, [self.n_targets, "x", "y", "z"])
        return self.graph.model("VolumeSynthesizer")

    def _channels(self):
        """What patches are read from, flat, one channel after the other."""
        grid, parts = self.grid, []
        kernels = {s: [gaussian(s)] * 3 for s in self.window.scales if s > 1}
        fill = self.preparation.background
        for c, normalizer in enumerate(self.preparation.source_normalizers):
            volume, writer = self.volumes.take(c), writer_of(normalizer)
            values = grid.of_brain(volume)
            ordered, _ = self.graph.apply_many("TopK", values, values.shape, dtypes=[None, np.int64], largest=0)
            volume, ordered = without_artefacts(volume, ordered)
            for scale in self.window.scales:
                channel = grid.smoothed(volume, kernels[scale]) if scale > 1 else volume
                parts.append(grid.padded(writer.to_shared(channel, ordered), fill[c]))
        return parts

    def _rows(self):
        """A function from indices of voxels to what a network is given of them."""
        window, grid = self.window, self.grid
        channels = self._channels()
        strides = grid.strides
        steps = np.indices((window.patch_size,) * 3).reshape(3, -1).T - window.patch_size // 2
        n_padded = channels[0].shape
        offsets = []
        for c in range(len(channels)):
            scale = window.scales[c % len(window.scales)]
            offsets.append((strides * (scale * steps + grid.margin)).sum(1) + n_padded * c)
        offsets = self.graph.apply("Concat", *offsets, axis=0)
        flat = self.graph.apply("Concat", *channels, axis=0)
        places = None
        if window.places is not None:
            places = places_of(window.places, grid, self.affine)

        def rows(index):
            centers = (index * strides).sum(1, keep=True)
            parts = [flat.take(centers + offsets)]
            if places is not None:
                matrix, offset = places
                parts.append(index.to(np.float32) @ matrix + offset)
            return self.graph.apply("Concat", *parts, axis=1)

        return rows

    def _predicted(self, network):
        """Of shape (n_voxels, n_targets)."""
        n = self.window.n_features(self.preparation.n_contrasts, self.n_targets)
        def f(index):
            return targets(answers(self.rows(index), network, n), network)
        return self._averaged(self.grid.map(f))

    def _averaged(self, patches):
        if self.window.target_patch_size == 1:
            return patches
        grid, size = self.grid, self.window.target_patch_size
        steps = np.indices((size,) * 3).reshape(3, -1).T - size // 2
        ranks, strides = grid.padded(grid.rank, -1), grid.strides
        offsets = (strides * (grid.margin - steps)).sum(1)
        n_patch = size**3
        columns = np.arange(self.n_targets * n_patch).reshape(1, self.n_targets, n_patch)
        flat = patches.reshape(-1)

        def mean(index):
            rank = ranks.take((index * strides).sum(1, keep=True) + offsets)
            there = rank.apply("GreaterOrEqual", 0)
            count = there.to(np.float32).sum(1, keep=True)
            axis = np.array([1])
            where = rank.clip(0, None).to(np.int64).apply("Unsqueeze", axis)
            values = flat.take(where * columns.size + columns)
            values = values.where(there.apply("Unsqueeze", axis), 0)
            return values.sum(2) / count

        return grid.map(mean)

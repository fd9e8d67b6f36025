"""What networks see around the voxels of a brain, as `Window` and `Preparation`."""

import numpy as np

from .grids import gaussian
from .intensities import in_order, without_artefacts, writer_of
from .places import by_matrix, to_box


class Surroundings:
    """Patches around voxels, and what is said of these beside.

    Parameters
    ----------
    preparation : Preparation
    grid : Grid
    volumes : float32 Value of shape (n_sources, nx, ny, nz)
    places : Value of shape (4, 4)
        From indices of whole volumes to coordinates in mm; not looked at where they
        come of the brain's extent.
    """

    def __init__(self, preparation, grid, volumes, places):
        self.graph, self.window = grid.graph, preparation.window
        self._readers = []
        parts = zip(preparation.source_normalizers, preparation.background, strict=True)
        for c, (normalizer, background) in enumerate(parts):
            volume, writer = grid.cropped(volumes.take(c)), writer_of(normalizer)
            self._readers += self._channels(grid, volume, writer, background)
        by_box = self.window.places == "brain"
        # From indices of voxels to coordinates in mm.
        self._places = to_box(grid) if by_box else by_matrix(grid, places)

    def seen_by(self, network):
        """What gives a network its features and coordinates.

        Parameters
        ----------
        network : Network

        Returns
        -------
        see : callable
            From int64 indices of voxels, of shape (n, 3), to features, of shape
            (n, p_1), and coordinates in the units of training, or None.
        """
        readers, scaling = self._readers, network.scaling
        n_patch = len(readers) * self.window.patch_size**3
        more = [c - n_patch for c in network.feature_columns if c >= n_patch]
        places = [c - n_patch for c in network.coordinate_columns]
        features = _affine(self._places.take(more)) if more else None
        coordinates = None
        if places:
            centre = np.outer(scaling.coordinate_centre, [0.0, 0.0, 0.0, 1.0])
            scale = scaling.coordinate_scale[:, None]
            coordinates = _affine((self._places.take(places) - centre) / scale)

        def see(index):
            parts = [read(index) for read in readers]
            if features is not None:
                parts.append(features(index))
            S = self.graph.apply("Concat", *parts, axis=1)
            return S, None if coordinates is None else coordinates(index)

        return see

    def _channels(self, grid, volume, writer, background):
        """What reads patches of a source at each scale."""
        ordered = in_order(grid.of_brain(volume))
        volume, ordered = without_artefacts(volume, ordered)
        for scale in self.window.scales:
            channel = volume
            if scale > 1:
                channel = grid.smoothed(volume, [gaussian(scale)] * 3)
            channel = writer.to_shared(channel, ordered)
            yield grid.patches(channel, background, self.window.patch_size, scale)


def _affine(matrix):
    """A function of indices, in rows, by a matrix of shape (n_columns, 4)."""
    matrix = matrix.to(np.float32)
    turn, offset = matrix.take([0, 1, 2], axis=1), matrix.take(3, axis=1)
    return lambda index: index.to(np.float32).apply("Gemm", turn, offset, transB=1)

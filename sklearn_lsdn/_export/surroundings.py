"""What networks see around the voxels of a brain, as `Window` and `Preparation`."""

import numpy as np

from ..volumes._sampling import MISSING
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
    missing : uint8 Value of shape (n_sources,) or None
        Other than 0 for a source that is missing; None where none may be.
    places : Value of shape (4, 4)
        From indices of whole volumes to coordinates in mm; not looked at where they
        come of the brain's extent.
    """

    def __init__(self, preparation, grid, volumes, missing, places):
        self.graph, self.window = grid.graph, preparation.window
        self._n_patch = self.window.n_patch(preparation.n_contrasts)
        self._readers = []
        parts = zip(preparation.source_normalizers, preparation.background, strict=True)
        for c, (normalizer, background) in enumerate(parts):
            volume = grid.cropped(volumes.take(c))
            there = None if missing is None else missing.take(c).apply("Equal", 0)
            for read in self._channels(grid, volume, writer_of(normalizer), background):
                self._readers.append(
                    read if there is None else _or_missing(read, there)
                )
        # From indices of voxels to columns after a patch, as `PaddedVolumes.columns`.
        rows = [
            to_box(grid) if self.window.places == "brain" else by_matrix(grid, places)
        ]
        if missing is not None:
            constant = np.array([[0.0, 0.0, 0.0, 1.0]])
            rows.insert(0, missing.to(np.float64).reshape(-1, 1) * constant)
        self._columns = grid.joined(*rows)

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
        n_patch, scaling = self._n_patch, network.scaling
        more = [c - n_patch for c in network.feature_columns if c >= n_patch]
        places = [c - n_patch for c in network.coordinate_columns]
        features = _affine(self._columns.take(more)) if more else None
        coordinates = None
        if places:
            centre = np.outer(scaling.coordinate_centre, [0.0, 0.0, 0.0, 1.0])
            scale = scaling.coordinate_scale[:, None]
            coordinates = _affine((self._columns.take(places) - centre) / scale)

        def see(index):
            parts = [read(index) for read in self._readers]
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


def _or_missing(read, there):
    return lambda index: read(index).where(there, MISSING)


def _affine(matrix):
    """A function of indices, in rows, by a matrix of shape (n_columns, 4)."""
    matrix = matrix.to(np.float32)
    turn, offset = matrix.take([0, 1, 2], axis=1), matrix.take(3, axis=1)
    return lambda index: index.to(np.float32).apply("Gemm", turn, offset, transB=1)

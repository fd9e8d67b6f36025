"""Where voxels lie, as the coordinates that a network sees."""

import numpy as np

from ..volumes._places import BOX, EDGES


def places_of(kind, grid, affine):
    """Matrix and offset from indices of voxels, in rows, to coordinates in mm."""
    if kind == "brain":
        ends = [_ends(grid, axis) for axis in range(3)]
        low = grid.graph.apply("Concat", *(e[0] for e in ends), axis=0)
        high = grid.graph.apply("Concat", *(e[1] for e in ends), axis=0)
        extent = (high - low).apply("Max", 1e-6)
        scale = grid.graph.constant(BOX[1] - BOX[0]) / extent
        offset = grid.graph.constant(BOX[0]) - scale * low
        matrix = scale * np.eye(3)
        return matrix.to(np.float32), offset.to(np.float32)
    columns = affine.apply("Transpose", perm=[1, 0])
    return columns.take([0, 1, 2]).take([0, 1, 2], axis=1), columns.take(3).take([0, 1, 2])


def _ends(grid, axis):
    """Between which most of the brain lies along an axis."""
    others = sorted({0, 1, 2} - {axis})
    areas = grid.weight.sum(*others).to(np.float64)
    share = areas.apply("CumSum", np.int64(0)) / areas.sum()
    share = grid.graph.apply("Concat", np.zeros(1), share, axis=0)
    ends = []
    for edge in EDGES:
        below = share.apply("LessOrEqual", edge).to(np.int64).sum(keep=True) - 1
        low, high = share.take(below), share.take(below + 1)
        ends.append(below.to(np.float64) - 0.5 + (-low + edge) / (high - low))
    return ends

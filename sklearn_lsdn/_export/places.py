"""Where voxels lie, as the coordinates that a network sees."""

import numpy as np

from ..volumes._places import BOX, EDGES


def to_box(grid):
    """From indices in the box around a brain to coordinates, by its extent.

    Returns
    -------
    places : float64 Value of shape (3, 4)
    """
    low, high = (
        grid.joined(*(_edge(grid, axis, share) for axis in range(3))) for share in EDGES
    )
    scale = grid.graph.constant(BOX[1] - BOX[0]) / (high - low).apply("Max", 1e-6)
    offset = grid.graph.constant(BOX[0]) - scale * low
    parts = scale * np.eye(3), offset.reshape(3, 1)
    return grid.graph.apply("Concat", *parts, axis=1)


def by_matrix(grid, matrix):
    """The same by a matrix from indices in whole volumes, of shape (4, 4)."""
    rows = matrix.to(np.float64).take([0, 1, 2])
    turn = rows.take([0, 1, 2], axis=1)
    offset = turn @ grid.start.to(np.float64).reshape(3, 1) + rows.take([3], axis=1)
    return grid.graph.apply("Concat", turn, offset, axis=1)


def _edge(grid, axis, share):
    """Below which such a share of the brain lies along an axis."""
    others = sorted({0, 1, 2} - {axis})
    areas = grid.weight.to(np.float64).sum(*others)
    below = areas.apply("CumSum", np.int64(0)) / areas.sum()
    below = grid.joined(np.zeros(1), below)
    last = below.apply("LessOrEqual", share).to(np.int64).sum(0, keep=True) - 1
    low, high = below.take(last), below.take(last + 1)
    return last.to(np.float64) - 0.5 + (-low + share) / (high - low)

"""Nearest samples among those within a spatial window.

Samples lie sorted into the cells of a grid over space. Rows that ask are visited cell
by cell, so that the candidates around a cell are gathered once for all of its rows,
into bins by their leading column. From its own bin a row looks outwards until no bin
can hold a nearer candidate; candidates of a bin are compared on the first columns all
at once, and on the others for as long as they can be among the nearest.
"""

from dataclasses import dataclass, replace

import numpy as np

from .._network.kernels.compilation import kernel
from .._network.threads import for_each_slice
from .._utils.checks import check_numbers, ensure
from .._utils.persistable import persistable

_CELLS_A_WINDOW = 4  # sides of a cell in the radius of the window
_MOST_CELLS = 64  # along an axis
_BINS = 32  # of the leading column
_FIRST = 8  # columns compared at once
_SLICE = 2048  # rows a thread takes at once
_SLACK = 1.0001  # for the rounding of bounds
_WIDEST = 1e13  # windows: further apart than places can be
_INFINITY = np.float32(np.inf)


@persistable()
@dataclass
class WindowedSamples:
    """Samples sorted by cell and ready to be searched.

    Parameters
    ----------
    columns : float32 array of shape (n_samples, n_columns)
        Squared distances are sums over columns; those that differ most come first.
    places : float32 array of shape (n_samples, n_coordinates)
        In units of the window's radius.
    order : int64 array of shape (n_samples,)
        Which of the samples given each of them is.
    edges : float32 array of shape (n_bins + 1,)
        Of the bins of the leading column, the outermost infinite.
    origin, side : float64 arrays of shape (3,)
        Of the grid. Axes without coordinates have one cell.
    shape : int64 array of shape (3,)
    starts : int64 array of shape (n_cells + 1,)
        Where each cell's samples begin.
    """

    columns: np.ndarray
    places: np.ndarray
    order: np.ndarray
    edges: np.ndarray
    origin: np.ndarray
    side: np.ndarray
    shape: np.ndarray
    starts: np.ndarray

    @classmethod
    def fit(cls, columns, places) -> "WindowedSamples":
        """Sort samples; both arrays are float32, C-contiguous."""
        n_axes = min(3, places.shape[1])
        origin, extent = np.zeros(3), np.zeros(3)
        origin[:n_axes] = places[:, :n_axes].min(axis=0)
        extent[:n_axes] = places[:, :n_axes].max(axis=0) - origin[:n_axes]
        side = np.maximum(1 / _CELLS_A_WINDOW, extent / _MOST_CELLS)
        shape = 1 + (extent / side).astype(np.int64)
        cells = _cells(places, origin, side, shape)
        order = np.argsort(cells, kind="stable")
        starts = np.searchsorted(cells[order], np.arange(shape.prod() + 1))
        edges = np.quantile(columns[:, 0], np.linspace(0, 1, _BINS + 1))
        edges[[0, -1]] = -np.inf, np.inf
        grid = origin, side, shape, starts
        return cls(
            columns[order], places[order], order, edges.astype(np.float32), *grid
        )

    def with_columns(self, columns) -> "WindowedSamples":
        """The same with further columns of the sorted samples, compared last."""
        return replace(self, columns=np.hstack([self.columns, columns]))

    def nearest(self, columns, places, weight, n_neighbors, n_threads=1):
        """Find the nearest samples of rows within a distance of 1 in space.

        Where fewer than ``n_neighbors`` are within that distance, it is doubled.

        Parameters
        ----------
        columns : float32 array of shape (n_rows, n_columns)
        places : float32 array of shape (n_rows, n_coordinates)
        weight : float
            Of the squared distance in space beside that over columns.
        n_neighbors : int
            No more than there are samples.
        n_threads : int

        Returns
        -------
        indices : int32 array of shape (n_rows, n_neighbors)
            Among the sorted samples, the nearest first, of equally near ones the
            first in that order.
        distances : float32 array of shape (n_rows, n_neighbors)
            Squared.
        """
        cells = _cells(places, self.origin, self.side, self.shape)
        order = np.argsort(cells, kind="stable")
        indices = np.empty((len(columns), n_neighbors), dtype=np.int32)
        distances = np.full(indices.shape, np.inf, dtype=np.float32)
        bins = np.searchsorted(self.edges[1:-1], self.columns[:, 0], side="right")
        samples = self.columns, self.places, bins.astype(np.uint8)
        grid = self.starts, self.shape, self.side, self.edges
        rows = columns, places, cells
        radius, weight = 1.0, np.float32(weight)

        def run(part):
            _search(
                samples, grid, rows, order[part], radius, weight, indices, distances
            )

        while len(order):
            for_each_slice(run, len(order), _SLICE, n_threads)
            order = order[np.isinf(distances[order, -1])]
            radius *= 2
            if radius > _WIDEST:
                raise ValueError(
                    f"{len(order)} sample(s) lie infinitely far from all that the "
                    "search was fitted on. Use weights and features of usual size."
                )
        return indices, distances

    def check_sizes(self, n_samples, n_columns, n_places):
        """Raise ValueError unless it holds so many, in a grid that is whole."""
        n_bins = len(self.edges) - 1
        ensure(n_bins > 0, "there is nothing to search")
        n_cells = int(np.prod(self.shape, dtype=object))
        for name, array, shape, dtype in (
            ("columns", self.columns, (n_samples, n_columns), "f4"),
            ("places", self.places, (n_samples, n_places), "f4"),
            ("edges", self.edges[1:-1], (n_bins - 1,), "f4"),
            ("origin", self.origin, (3,), "f8"),
            ("side", self.side, (3,), "f8"),
            ("shape", self.shape, (3,), "i8"),
            ("starts", self.starts, (n_cells + 1,), "i8"),
        ):
            check_numbers(self, name, array, shape, dtype)
        ensure(
            (self.side >= 1 / _CELLS_A_WINDOW).all()
            and (self.shape > 0).all()
            and (self.starts[0], self.starts[-1]) == (0, n_samples)
            and (np.diff(self.starts) >= 0).all(),
            "the grid of samples is broken",
        )


def _cells(places, origin, side, shape):
    """Number of the cell that each place is in, or nearest to."""
    n_axes = min(3, places.shape[1])
    index = np.zeros((3, len(places)), dtype=np.int64)
    index[:n_axes] = np.floor((places[:, :3] - origin[:n_axes]) / side[:n_axes]).T
    return np.ravel_multi_index(tuple(index), shape, mode="clip")


@kernel
def _box(order, cells, places, low, high):
    """How many rows at the front are in one cell, and the box around their places."""
    low[:] = places[order[0]]
    high[:] = low
    for n in range(len(order)):
        if cells[order[n]] != cells[order[0]]:
            return n
        for f in range(len(low)):
            low[f] = min(low[f], places[order[n], f])
            high[f] = max(high[f], places[order[n], f])
    return len(order)


@kernel
def _list(samples, grid, cell, low, high, radius, found, offsets):
    """List the samples near a box in a cell, and where each bin of them will begin."""
    _, places, bins = samples
    starts, shape, side, _ = grid
    i, j = cell // (shape[1] * shape[2]), cell // shape[2] % shape[1]
    k = cell % shape[2]
    reach = np.minimum(radius / side, shape).astype(np.int64) + 1
    m = 0
    offsets[:] = 0
    for x in range(max(i - reach[0], 0), min(i + reach[0] + 1, shape[0])):
        for y in range(max(j - reach[1], 0), min(j + reach[1] + 1, shape[1])):
            line = (x * shape[1] + y) * shape[2]
            begin = starts[line + max(k - reach[2], 0)]
            for c in range(begin, starts[line + min(k + reach[2] + 1, shape[2])]):
                apart = np.float32(0)
                for f in range(len(low)):
                    gap = max(low[f] - places[c, f], places[c, f] - high[f])
                    apart += max(gap, np.float32(0)) ** 2
                if apart <= _SLACK * radius**2:
                    found[m] = c
                    m += 1
                    offsets[bins[c] + 1] += 1
    for b in range(len(offsets) - 1):
        offsets[b + 1] += offsets[b]
    return m


@kernel
def _gather(samples, found, offsets, n_first):
    """Sort the samples found into their bins, with a row for each column."""
    columns, places, bins = samples
    members = np.empty(len(found), dtype=np.int32)
    near = np.empty((places.shape[1], len(found)), dtype=np.float32)
    first = np.empty((n_first, len(found)), dtype=np.float32)
    fill = offsets.copy()
    for c in found:
        to = fill[bins[c]]
        fill[bins[c]] += 1
        members[to] = c
        for f in range(len(near)):
            near[f, to] = places[c, f]
        for f in range(len(first)):
            first[f, to] = columns[c, f]
    return members, near, first


@kernel
def _add_squares(values, table, begin, sums):
    """Add squared differences of values to the rows of a table from a column on."""
    for f in range(len(table)):
        value, column = values[f], table[f, begin : begin + len(sums)]
        for c in range(len(sums)):
            difference = value - column[c]
            sums[c] += difference * difference


@kernel
def _insert(member, distance, nearest, best):
    """Put a sample among the nearest if it belongs there; return the largest."""
    to = len(best) - 1
    if distance > best[to] or (distance == best[to] and member > nearest[to]):
        return best[to]
    while to > 0 and (
        best[to - 1] > distance
        or (best[to - 1] == distance and nearest[to - 1] > member)
    ):
        best[to], nearest[to] = best[to - 1], nearest[to - 1]
        to -= 1
    best[to], nearest[to] = distance, member
    return best[-1]


@kernel
def _search(samples, grid, rows, order, radius, weight, indices, distances):
    """Fill ``indices`` and ``distances`` for the rows in ``order``, sorted by cell."""
    columns, places, _ = samples
    row_columns, row_places, row_cells = rows
    edges = grid[3]
    n_bins, n_first = len(edges) - 1, min(_FIRST, columns.shape[1])
    found = np.empty(len(columns), dtype=np.int32)
    partial = np.empty(len(columns), dtype=np.float32)
    offsets = np.empty(n_bins + 1, dtype=np.int64)
    low = np.empty(places.shape[1], dtype=np.float32)
    high = np.empty_like(low)
    done = 0
    while done < len(order):
        group = order[done:]
        group = group[: _box(group, row_cells, row_places, low, high)]
        done += len(group)
        cell = row_cells[group[0]]
        m = _list(samples, grid, cell, low, high, radius, found, offsets)
        members, near, first = _gather(samples, found[:m], offsets, n_first)
        for r in group:
            row, place = row_columns[r], row_places[r]
            nearest, best = indices[r], distances[r]
            best[:] = _INFINITY
            own = np.searchsorted(edges[1:-1], row[0], side="right")
            for turn in range(2 * n_bins):  # outwards from its own bin, by turns
                b = own + (turn + 1) // 2 * (1 - 2 * (turn % 2))
                if b < 0 or b >= n_bins:
                    continue
                gap = max(edges[b] - row[0], row[0] - edges[b + 1])
                if gap > 0 and gap * gap > best[-1] * np.float32(_SLACK):
                    continue
                part = partial[: offsets[b + 1] - offsets[b]]
                part[:] = 0
                _add_squares(place, near, offsets[b], part)
                if len(near) > 0:
                    for c in range(len(part)):
                        inside = part[c] <= np.float32(radius**2)
                        part[c] = weight * part[c] if inside else _INFINITY
                _add_squares(row, first, offsets[b], part)
                worst = best[-1]
                for c in range(len(part)):
                    distance = part[c]
                    if distance > worst or distance == _INFINITY:
                        continue
                    member = members[offsets[b] + c]
                    for f in range(n_first, columns.shape[1]):
                        difference = row[f] - columns[member, f]
                        distance += difference * difference
                    worst = _insert(member, distance, nearest, best)

"""Nearest samples among those within a spatial window.

Samples lie sorted into the cells of a grid over space. Rows that ask are visited cell
by cell, so that the candidates around a cell are gathered once for all of its rows,
into bins by their leading column. From its own bin a row looks outwards until no bin
can hold a nearer candidate; candidates of a bin are compared on the first columns all
at once, and on the others for as long as they can be among the nearest.
"""

from dataclasses import dataclass

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
        if n_axes:
            origin[:n_axes] = places[:, :n_axes].min(axis=0)
            extent[:n_axes] = places[:, :n_axes].max(axis=0) - origin[:n_axes]
        side = np.maximum(1 / _CELLS_A_WINDOW, extent / _MOST_CELLS)
        shape = 1 + (extent / side).astype(np.int64)
        cells = _cells(places, origin, side, shape)
        order = np.argsort(cells, kind="stable")
        starts = np.searchsorted(cells[order], np.arange(shape.prod() + 1))
        edges = np.quantile(columns[:, 0], np.linspace(0, 1, _BINS + 1))
        edges[[0, -1]] = -np.inf, np.inf
        return cls(
            columns[order],
            places[order],
            order,
            edges.astype(np.float32),
            origin,
            side,
            shape,
            starts,
        )

    def nearest(
        self,
        columns,
        places,
        weight,
        n_neighbors,
        targets=None,
        row_targets=None,
        n_threads=1,
    ):
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
        targets : float32 array of shape (n_samples, n_targets), default=None
            Further columns of the sorted samples, compared last.
        row_targets : float32 array of shape (n_rows, n_targets), default=None
            The same of the rows.
        n_threads : int

        Returns
        -------
        indices : int32 array of shape (n_rows, n_neighbors)
            Among the sorted samples, the nearest first, of equally near ones the
            first in that order.
        distances : float32 array of shape (n_rows, n_neighbors)
            Squared.
        """
        if targets is None:
            targets, row_targets = (
                np.empty((len(rows), 0), dtype=np.float32)
                for rows in (self.columns, columns)
            )
        cells = _cells(places, self.origin, self.side, self.shape)
        order = np.argsort(cells, kind="stable")
        indices = np.empty((len(columns), n_neighbors), dtype=np.int32)
        distances = np.full(indices.shape, np.inf, dtype=np.float32)
        bins = np.searchsorted(self.edges[1:-1], self.columns[:, 0], side="right")
        bins = bins.astype(np.uint8)
        radius = 1.0

        def run(part):
            _search(
                (self.columns, self.places, targets, bins),
                (self.starts, self.shape, self.side, self.edges),
                (columns, places, row_targets, cells),
                order[part],
                radius,
                np.float32(weight),
                indices,
                distances,
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
    cells = np.zeros(len(places), dtype=np.int64)
    for axis in range(min(3, places.shape[1])):
        index = np.floor((places[:, axis] - origin[axis]) / side[axis])
        index = np.clip(index, 0, shape[axis] - 1).astype(np.int64)
        cells = cells * shape[axis] + index
    for axis in range(places.shape[1], 3):
        cells = cells * shape[axis]
    return cells


@kernel
def _runs(cell, starts, shape, side, radius, begins, ends):
    """Find the runs of samples in the cells that the window around a cell meets.

    Returns
    -------
    n : int
        How many there are.
    """
    i0 = cell // (shape[1] * shape[2])
    j0 = cell // shape[2] % shape[1]
    k0 = cell % shape[2]
    n = 0
    for i in range(shape[0]):
        left = _SLACK * radius**2 - (max(abs(i - i0) - 1, 0) * side[0]) ** 2
        if left < 0:
            continue
        for j in range(shape[1]):
            rest = left - (max(abs(j - j0) - 1, 0) * side[1]) ** 2
            if rest < 0:
                continue
            reach_k = min(int(np.sqrt(rest) / side[2]) + 1, shape[2])
            row = (i * shape[1] + j) * shape[2]
            begins[n] = starts[row + max(k0 - reach_k, 0)]
            ends[n] = starts[row + min(k0 + reach_k + 1, shape[2])]
            n += 1
    return n


@kernel
def _group(order, at, cells, places, low, high):
    """Find where the rows of a cell end, and the box around their places."""
    low[:] = places[order[at]]
    high[:] = low
    end = at
    while end < len(order) and cells[order[end]] == cells[order[at]]:
        place = places[order[end]]
        for f in range(len(low)):
            low[f] = min(low[f], place[f])
            high[f] = max(high[f], place[f])
        end += 1
    return end


@kernel
def _count(runs, places, bins, low, high, farthest, found, offsets):
    """List the samples of runs that are near a box, and where each bin will begin."""
    begins, ends = runs
    m = 0
    offsets[:] = 0
    for n in range(len(begins)):
        for c in range(begins[n], ends[n]):
            apart = np.float32(0)
            for f in range(len(low)):
                gap = max(low[f] - places[c, f], places[c, f] - high[f], np.float32(0))
                apart += gap * gap
            if apart <= _SLACK * farthest:
                found[m] = c
                m += 1
                offsets[bins[c] + 1] += 1
    for b in range(len(offsets) - 1):
        offsets[b + 1] += offsets[b]
    return m


@kernel
def _gather(samples, found, offsets, members, near, first):
    """Sort the samples found into their bins, with a row for each column."""
    columns, places, _, bins = samples
    fill = offsets.copy()
    for c in found:
        to = fill[bins[c]]
        fill[bins[c]] += 1
        members[to] = c
        for f in range(len(near)):
            near[f, to] = places[c, f]
        for f in range(len(first)):
            first[f, to] = columns[c, f]


@kernel
def _compare(row, place, near, first, begin, end, farthest, weight, partial):
    """Squared distances over space and the first columns; inf outside the window."""
    partial[:] = 0
    for f in range(len(near)):
        value, column = place[f], near[f, begin:end]
        for c in range(len(partial)):
            difference = value - column[c]
            partial[c] += difference * difference
    if len(near) > 0:
        for c in range(len(partial)):
            inside = partial[c] <= farthest
            partial[c] = weight * partial[c] if inside else _INFINITY
    for f in range(len(first)):
        value, column = row[f], first[f, begin:end]
        for c in range(len(partial)):
            difference = value - column[c]
            partial[c] += difference * difference


@kernel
def _insert(member, distance, nearest, best, n_found):
    """Put a sample among the nearest if it belongs there; return their number."""
    to = n_found
    if n_found == len(best):
        to -= 1
        if distance > best[to] or (distance == best[to] and member > nearest[to]):
            return n_found
    else:
        n_found += 1
    while to > 0 and (
        best[to - 1] > distance
        or (best[to - 1] == distance and nearest[to - 1] > member)
    ):
        best[to] = best[to - 1]
        nearest[to] = nearest[to - 1]
        to -= 1
    best[to] = distance
    nearest[to] = member
    return n_found


@kernel
def _search(samples, grid, rows, order, radius, weight, indices, distances):
    """Fill ``indices`` and ``distances`` for the rows in ``order``, sorted by cell."""
    columns, places, targets, bins = samples
    starts, shape, side, edges = grid
    row_columns, row_places, row_targets, row_cells = rows
    farthest = np.float32(radius**2)
    n_columns, n_coordinates = columns.shape[1], places.shape[1]
    n_first, n_bins = min(_FIRST, n_columns), len(edges) - 1
    begins = np.empty(shape[0] * shape[1], dtype=np.int64)
    ends = np.empty_like(begins)
    offsets = np.empty(n_bins + 1, dtype=np.int64)
    low = np.empty(n_coordinates, dtype=np.float32)
    high = np.empty_like(low)
    found = np.empty(0, dtype=np.int32)
    members = np.empty(0, dtype=np.int32)
    near = np.empty((n_coordinates, 0), dtype=np.float32)
    first = np.empty((n_first, 0), dtype=np.float32)
    partial = np.empty(0, dtype=np.float32)
    end = 0
    for at in range(len(order)):
        r = order[at]
        if at == end:
            end = _group(order, at, row_cells, row_places, low, high)
            n = _runs(row_cells[r], starts, shape, side, radius, begins, ends)
            m = (ends[:n] - begins[:n]).sum()
            if m > len(found):
                found = np.empty(m + m // 2, dtype=np.int32)
                members = np.empty_like(found)
                partial = np.empty(len(found), dtype=np.float32)
                near = np.empty((n_coordinates, len(found)), dtype=np.float32)
                first = np.empty((n_first, len(found)), dtype=np.float32)
            runs = begins[:n], ends[:n]
            m = _count(runs, places, bins, low, high, farthest, found, offsets)
            _gather(samples, found[:m], offsets, members, near, first)
        row, place = row_columns[r], row_places[r]
        nearest, best, n_found = indices[r], distances[r], 0
        worst = _INFINITY
        right = np.searchsorted(edges[1:-1], row[0], side="right")
        left = right - 1
        while left >= 0 or right < n_bins:
            gap_left = row[0] - edges[left + 1] if left >= 0 else _INFINITY
            gap_right = edges[right] - row[0] if right < n_bins else _INFINITY
            if gap_left < gap_right:
                b, gap = left, gap_left
                left -= 1
            else:
                b, gap = right, gap_right
                right += 1
            if gap > 0 and gap * gap > worst * np.float32(_SLACK):
                break
            part = partial[offsets[b] : offsets[b + 1]]
            _compare(
                row,
                place,
                near,
                first,
                offsets[b],
                offsets[b + 1],
                farthest,
                weight,
                part,
            )
            for c in range(len(part)):
                distance = part[c]
                if distance > worst or distance == _INFINITY:
                    continue
                member = members[offsets[b] + c]
                for f in range(n_first, n_columns):
                    difference = row[f] - columns[member, f]
                    distance += difference * difference
                for f in range(targets.shape[1]):
                    difference = row_targets[r, f] - targets[member, f]
                    distance += difference * difference
                n_found = _insert(member, distance, nearest, best, n_found)
                if n_found == len(best):
                    worst = best[n_found - 1]

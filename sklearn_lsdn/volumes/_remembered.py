"""What a model remembers of its training scans, and comparing another one with it."""

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation
from scipy.stats import t as student

from .._utils.checks import check_numbers, ensure
from .._utils.persistable import persistable
from ._likeness import OF_HEAD, OF_SCAN, STATED, Likeness, name_in
from ._sketch import CELL, LEVELS, Sketch

_SPREAD = 3  # training subjects, from which a spread can be estimated
_MOST = 30  # of them, that are left out in turn
_WITHIN = 0.995  # share of suitable scans that keep to the limit of a statistic
_OF_TWO = 2.0  # times what two training subjects differ by, that a third may
_FROM_ONE = 1.75  # times the stated limits, beside a single training subject
_FEW_CELLS = 150  # too few to tell a turn or another contrast by,
_FEW_VOXELS = 1000  # as are so few of a brain
_WEIGHT = 0.2  # of the correlation of intensities, beside the overlap of shapes
_CELLS_TURNED = 1500  # at most, to find a turn by
_BY_SHAPE = 0.015  # of overlap, that a turn must gain beside intensities
_LEAST_TURN = 20  # degrees; heads differ by less
_BEYOND = 0.03  # share of a brain where none of training lay, if it has a skull


def _turns():
    """Angle, description and matrix of ways in which a head may be turned."""
    turns = [(0, "", np.eye(3))]
    for axis, name in enumerate(("left-right", "front-back", "vertical")):
        for angle in [*range(-90, 0, 10), *range(10, 100, 10), 180]:
            about = np.deg2rad(angle) * np.eye(3)[axis]
            said = f"turned by about {abs(angle)} degrees about the {name} axis"
            turns.append((abs(angle), said, Rotation.from_rotvec(about).as_matrix()))
    turns.append((180, "flipped front to back", np.diag([1, -1, 1])))
    turns.append((180, "flipped upside down", np.diag([1, 1, -1])))
    return turns


_TURNS = _turns()


@persistable()
@dataclass(eq=False)
class Remembered:
    """What training scans were like.

    Parameters
    ----------
    low : ndarray of int of shape (3,)
        The first cell of the grid, of 8 mm a side, that holds all training brains.
    share : float32 array of shape (nx, ny, nz)
        How much of each cell was brain, in the mean.
    expected : float32 array of shape (n_contrasts, nx, ny, nz)
        The mean of the brain's normalised intensities there.
    centre : ndarray of shape (3,)
        Of the brains' places, in mm.
    quantiles : float32 array of shape (n_contrasts, n_levels)
        Of normalised intensities.
    texture : ndarray of shape (n_contrasts,)
    voxel_sizes : ndarray of shape (n_subjects, 3)
        In mm.
    millilitres : ndarray of shape (n_subjects,)
        Volumes of the brains.
    met : float32 array of shape (n_left_out, n_statistics)
        Statistics of training subjects, each beside the others; NaN of contrasts that
        one of them or all the others lack.
    """

    low: np.ndarray
    share: np.ndarray
    expected: np.ndarray
    centre: np.ndarray
    quantiles: np.ndarray
    texture: np.ndarray
    voxel_sizes: np.ndarray
    millilitres: np.ndarray
    met: np.ndarray

    @classmethod
    def of(cls, sketches) -> "Remembered":
        """Remember training subjects, by sketches on the scale that scans share."""
        whole = cls._of(sketches)
        left_out = range(len(sketches) if len(sketches) > 1 else 0)[:_MOST]
        met = []
        for i in left_out:
            others = cls._of([*sketches[:i], *sketches[i + 1 :]])
            values = others._values(others._seen(sketches[i]))
            met.append([values.get(name, np.nan) for name in whole.names])
        shape = len(met), len(whole.names)
        whole.met = np.array(met, dtype=np.float32).reshape(shape)
        return whole

    @classmethod
    def _of(cls, sketches):
        low = np.min([each.cells.min(axis=0) for each in sketches], axis=0)
        high = np.max([each.cells.max(axis=0) for each in sketches], axis=0)
        shape = tuple(high - low + 1)
        n_contrasts = len(sketches[0].intensities)
        share, expected = np.zeros(shape), np.zeros((n_contrasts, *shape))
        for each in sketches:
            share[tuple((each.cells - low).T)] += each.share
        quantiles = np.full((n_contrasts, len(LEVELS)), np.nan)
        texture = np.full(n_contrasts, np.nan)
        for c in range(n_contrasts):
            having = [each for each in sketches if c in each.contrasts]
            shares = np.zeros(shape)
            for each in having:
                where = tuple((each.cells - low).T)
                shares[where] += each.share
                expected[c][where] += each.share * each.intensities[c]
            expected[c] /= np.maximum(shares, 1e-9)
            if having:
                quantiles[c] = np.mean([each.quantiles[c] for each in having], axis=0)
                texture[c] = np.mean([each.texture[c] for each in having])
        return cls(
            low,
            np.float32(share / len(sketches)),
            np.float32(expected),
            np.mean([each.centre for each in sketches], axis=0),
            np.float32(quantiles),
            texture,
            np.array([each.voxel_size for each in sketches]),
            np.array([each.millilitres for each in sketches]),
            np.zeros((0, 0), dtype=np.float32),
        )

    @property
    def knows_spread(self) -> bool:
        """Whether there were subjects enough to know how far they differ."""
        return len(self.met) >= _SPREAD

    def compare(self, sketch, located=True) -> Likeness:
        """Compare a subject.

        Parameters
        ----------
        sketch : Sketch
            On the scale that scans share.
        located : bool, default=True
            Whether it matters where in the world its brain lies.
        """
        seen = self._seen(sketch)
        values = self._values(seen)
        columns = {name: i for i, name in enumerate(self.names)}
        limits = {name: self._limit(name, columns[name]) for name in values}
        if not located:
            limits["distance"] = np.inf
        met = {}
        if len(self.met):
            seen_before = {name: self._met(columns[name]) for name in values}
            met = {k: (m.min(), m.max()) for k, m in seen_before.items() if len(m)}
        likeness = Likeness(
            values,
            limits,
            met,
            (sketch.voxel_size.tolist(), np.median(self.voxel_sizes, axis=0).tolist()),
            seen.turned,
            np.exp(sketch.texture - self.texture).tolist(),
            [self._is_explained(c, seen) for c in range(len(self.expected))],
        )
        likeness.exchanged = self._exchanged(likeness, seen)
        return likeness

    def _seen(self, sketch) -> "_Seen":
        """A subject as it lies over those of training."""
        around = (sketch.cells + 0.5) * CELL - sketch.centre  # mm
        index = self._index(around)
        shares = _interpolated(self.share, index)
        inside = (shares > 0.5) & (sketch.share > 0.5)
        return _Seen(
            sketch,
            shares,
            inside,
            index[:, inside],
            around[inside],
            *self._turn(sketch, around),
        )

    def _values(self, seen):
        """Statistics by name."""
        sketch = seen.sketch
        sizes = np.log(sketch.voxel_size) - np.log(self.voxel_sizes)
        volumes = np.log(sketch.millilitres / self.millilitres)
        beyond = sketch.share[seen.shares < 0.02].sum() / sketch.share.sum()
        values = {
            "voxel size": np.abs(sizes).max(axis=1).min(),
            "turn": seen.gain,
            "distance": np.linalg.norm(sketch.centre - self.centre),
            "further pieces": sketch.further,
            "size": volumes.min() if beyond > _BEYOND else 0.0,
        }
        for c in self._in_both(sketch):
            for name, value in self._values_of_scan(c, c, seen).items():
                values[name_in(name, c, len(self.expected))] = value
        return {name: float(value) for name, value in values.items()}

    @property
    def names(self) -> list[str]:
        """Of all statistics, in the order of their columns."""
        n = len(self.expected)
        return [*OF_HEAD, *(name_in(name, c, n) for c in range(n) for name in OF_SCAN)]

    def _in_both(self, sketch):
        """Contrasts that a subject has, and those of training."""
        known = np.isfinite(self.quantiles[:, 0])
        return [c for c in sketch.contrasts if known[c]]

    def _values_of_scan(self, scan, as_contrast, seen):
        """Statistics of a scan beside those of a contrast of training."""
        quantiles = seen.sketch.quantiles[scan] - self.quantiles[as_contrast]
        texture = seen.sketch.texture[scan] - self.texture[as_contrast]
        correlation, field = 1.0, 0.0
        if seen.tells:
            expected, found, smooth = self._intensities(scan, as_contrast, seen)
            correlation = _correlation(expected, found)
            # What a polynomial makes of noise is taken off.
            noise = np.std(found - expected - smooth) * np.sqrt(10 / len(found))
            field = max(np.ptp(np.percentile(smooth, [5, 95])) - 6.6 * noise, 0.0)
        return {
            "correlation": -correlation,
            "histogram": np.sqrt(np.mean(quantiles**2)),
            "field": field,
            "texture": abs(texture) if np.isfinite(texture) else 0.0,
        }

    def _intensities(self, scan, as_contrast, seen):
        """Those expected in each cell, those found, and how they differ smoothly."""
        expected = self._expected(as_contrast, seen.index)
        found = seen.sketch.intensities[scan][seen.inside]
        return expected, found, _smooth_part(found - expected, seen.around)

    def _is_explained(self, c, seen):
        """Whether a scan goes with what is expected once a field is taken off."""
        if not seen.tells or c not in self._in_both(seen.sketch):
            return False
        expected, found, smooth = self._intensities(c, c, seen)
        return _correlation(expected, found - smooth) > -STATED["correlation"]

    def _turn(self, sketch, around):
        """What turning the head gains, and how it would have to be turned."""
        both = self._in_both(sketch)
        if len(sketch.cells) < _FEW_CELLS or sketch.n_voxels < _FEW_VOXELS or not both:
            return 0.0, ""
        c = both[0]
        fits, overlaps = [], []
        every = slice(None, None, 1 + len(around) // _CELLS_TURNED)
        share, intensities = sketch.share[every], sketch.intensities[c][every]
        weighted = self.share * self.expected[c]
        whole = self.share.sum() * share.sum() / sketch.share.sum() + share.sum()
        for _, _, matrix in _TURNS:
            index = self._index(around[every] @ matrix.T)
            shares = _interpolated(self.share, index)
            expected = _interpolated(weighted, index) / np.maximum(shares, 1e-3)
            both = np.minimum(shares, share)
            overlaps.append(2 * both.sum() / whole)
            alike = _correlation(expected, intensities, both)
            fits.append(overlaps[-1] + _WEIGHT * alike)
        best = int(np.argmax(fits))
        angle, turned, _ = _TURNS[best]
        if angle < _LEAST_TURN or overlaps[best] - overlaps[0] < _BY_SHAPE:
            return 0.0, ""
        return fits[best] - fits[0], turned

    def _expected(self, contrast, index):
        """Intensities of the brain that is near."""
        weighted = _interpolated(self.expected[contrast] * self.share, index)
        return weighted / np.maximum(_interpolated(self.share, index), 1e-3)

    def _index(self, around):
        """Where in the grid places lie, in mm around the brains' centre."""
        return ((around + self.centre) / CELL - 0.5 - self.low).T

    def _exchanged(self, likeness, seen):
        """Two scans that are unlike their contrasts, and less unlike each other's."""
        names = "correlation", "histogram", "texture"

        def unlikeness(scan, as_contrast):
            of_scan = self._values_of_scan(scan, as_contrast, seen)
            return sum((of_scan[name] + 1) / (STATED[name] + 1) for name in names)

        contrasts = self._in_both(seen.sketch)
        strange = [c for c in contrasts if any(likeness.is_unlike(n, c) for n in names)]
        for first, second in product(strange, contrasts):
            if first != second and all(
                unlikeness(one, other) < unlikeness(one, one)
                for one, other in ((first, second), (second, first))
            ):
                return sorted((first, second))
        return []

    def _limit(self, name, column):
        """What a statistic may be in a suitable scan."""
        stated = STATED[name.rstrip(" 0123456789")]
        if len(self.millilitres) == 1:
            stated *= _FROM_ONE
        met = self._met(column)
        if name.startswith("correlation"):
            if len(met) < _SPREAD:
                return max(0.15, *(met + 0.2), stated) if len(met) else 0.15
            return max(stated, _one_more(met))
        if name == "turn" and len(met) < _SPREAD:
            return stated
        if len(met) < _SPREAD:
            return max([stated, *(_OF_TWO * met)])
        if name.startswith("texture"):  # of which only the size was kept
            met = np.concatenate([met, -met])
        return max(stated, _one_more(met))

    def _met(self, column):
        """A statistic of the training subjects that have it."""
        met = self.met[:, column].astype(float) if len(self.met) else np.zeros(0)
        return met[~np.isnan(met)]

    def _check_parts(self):
        shape, n_contrasts = self.share.shape, len(self.expected)
        ensure(len(shape) == 3 and min(shape) > 0, "no training brain is remembered")
        check_numbers(self, "share", self.share, shape, "f4")
        check_numbers(self, "expected", self.expected, (n_contrasts, *shape), "f4")
        check_numbers(self, "centre", self.centre, (3,))
        levels = n_contrasts, len(LEVELS)
        check_numbers(self, "quantiles", self.quantiles, levels, "f4")
        n_subjects = len(self.millilitres)
        check_numbers(self, "voxel_sizes", self.voxel_sizes, (n_subjects, 3))
        check_numbers(self, "millilitres", self.millilitres, (n_subjects,))
        ensure(min(self.voxel_sizes.min(), self.millilitres.min()) > 0, "no size")
        met = np.where(np.isnan(self.met), np.float32(0), self.met)
        check_numbers(self, "met", met, (len(met), len(self.names)), "f4")


@dataclass(frozen=True)
class _Seen:
    """A subject as it lies over those of training.

    Parameters
    ----------
    sketch : Sketch
    shares : ndarray of shape (n_cells,)
        How much of each of its cells was brain in training.
    inside : ndarray of bool of shape (n_cells,)
        Cells that are brain in both, mostly.
    index, around : ndarray of shape (3, n_inside) and (n_inside, 3)
        Where these lie in the grid, and in mm around the brain's centre.
    gain : float
    turned : str
        What turning the head gains, and how it would have to be turned.
    """

    sketch: Sketch
    shares: np.ndarray
    inside: np.ndarray
    index: np.ndarray
    around: np.ndarray
    gain: float
    turned: str

    @property
    def tells(self):
        """Whether there is enough to compare intensities by place."""
        enough = self.sketch.n_voxels >= _FEW_VOXELS
        return enough and len(self.around) >= _FEW_CELLS


def _one_more(met):
    """What one more of the same normal distribution hardly exceeds."""
    n = len(met)
    factor = student.ppf(_WITHIN, n - 1) * np.sqrt(1 + 1 / n)
    return met.mean() + factor * met.std(ddof=1)


def _interpolated(field, index):
    return map_coordinates(field, index, order=1, mode="constant", prefilter=False)


def _smooth_part(values, around):
    """The polynomial of second degree that fits best."""
    x = around / 80
    products = [x[:, i] * x[:, j] for i in range(3) for j in range(i, 3)]
    columns = np.column_stack([np.ones(len(x)), x, *products])
    # By sums, not by a BLAS, whose threads would take longer to wake.
    normal = np.einsum("ij,ik->jk", columns, columns)
    inverse = np.linalg.pinv(normal, hermitian=True)  # a slice alone is singular
    factors = inverse @ np.einsum("ij,i->j", columns, values)
    return np.einsum("ij,j->i", columns, factors)


def _correlation(x, y, weights=None):
    """Pearson's, or 0 where one is constant."""
    weights = np.ones(len(x)) if weights is None else weights
    total = max(weights.sum(), 1e-9)
    x, y = (each - (weights * each).sum() / total for each in (x, y))
    spread = (weights * x**2).sum() * (weights * y**2).sum()
    return float((weights * x * y).sum() / np.sqrt(spread)) if spread > 0 else 0.0

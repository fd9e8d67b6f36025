"""What a model remembers of its training scans, and how like them another one is."""

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation
from scipy.stats import t as student

from .._utils.checks import check_numbers, ensure
from .._utils.persistable import persistable
from ._sketch import CELL, LEVELS

_SPREAD = 3  # training subjects, from which a spread can be estimated
_MOST = 30  # of them, that are left out in turn
_WITHIN = 0.995  # share of suitable scans that keep to the limit of a statistic
_OF_TWO = 2.0  # times what two training subjects differ by, that a third may
_FROM_ONE = 1.75  # times the stated limits, beside a single training subject
_FEW_CELLS = 150  # too few to tell a turn or another contrast by
_WEIGHT = 0.2  # of the correlation of intensities, beside the overlap of shapes
_CELLS_TURNED = 1500  # at most, to find a turn by
_BY_SHAPE = 0.015  # of overlap, that a turn must gain beside intensities
_LEAST_TURN = 20  # degrees; heads differ by less
_BEYOND = 0.03  # share of a brain where none of training lay, if it has a skull

STATED = {
    "voxel size": np.log(1.15),
    "turn": 0.06,
    "distance": 14.0,
    "further pieces": 0.1,
    "size": np.log(1.25),
    "correlation": -0.2,
    "histogram": 0.33,
    "field": 1.0,
    "texture": 0.45,
}
"""Statistics in the order of their reasons, and what they may be in a suitable scan.

That holds whatever training shows; it was chosen on open MS. In turn: logarithm of the
ratio of sides; gain of overlap by turning the head; mm between the brains' centres;
volume of further pieces beside the largest; logarithm of the ratio of volumes, if part
of the brain lies beyond those of training; correlation with the intensities expected at
each place, its sign turned; distance of quantiles, and range of a smooth field, in
standard deviations of intensity; logarithm of the ratio of textures.
"""
_OF_HEAD = ["voxel size", "turn", "distance", "further pieces", "size"]
_OF_SCAN = ["correlation", "histogram", "field", "texture"]


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


@dataclass
class Likeness:
    """How like those of training the scans of a subject are.

    Parameters
    ----------
    values, limits : dict of str to float
        Of each statistic; those of scans have the number of the contrast after their
        name, from 1 on, if there are several.
    met : dict of str to (float, float)
        The range of each over training subjects, each beside the others; empty for one.
    reasons : list of tuple of (int or None, str)
        Why they are unlike: the contrast, None for all, and a sentence without the
        name of the scan, the first reason first.
    """

    values: dict
    limits: dict
    met: dict
    reasons: list

    def said_of(self, names) -> str:
        """A sentence about each reason, with names of the sources; empty without one.

        Parameters
        ----------
        names : list of str
        """
        said = {}
        for contrast, reason in self.reasons:
            name = " and ".join(names) if contrast is None else names[contrast]
            said.setdefault(name, []).append(reason)
        return " ".join(
            f"{name}: unlike the scans of training: {' Also, '.join(reasons)}"
            for name, reasons in said.items()
        )

    def told(self) -> dict:
        """Statistics by name, with limit and range met, for people and JSON.

        The correlation comes with its own sign, so that its limit is the least.
        """
        told = {}
        for name, value in self.values.items():
            numbers = [value, self.limits[name], *self.met.get(name, ())]
            if name.startswith("correlation"):
                numbers[2:] = numbers[:1:-1]
                numbers = [-number for number in numbers]
            value, limit, *met = [round(float(number), 3) for number in numbers]
            told[name] = {
                "Value": value,
                "Limit": limit if np.isfinite(limit) else None,
            }
            if met:
                told[name]["InTraining"] = met
        return told

    @property
    def distance(self) -> float:
        """The largest of the statistics beside its limit: above 1, it is unlike."""
        ratios = [
            self.values[name] / limit
            for name, limit in self.limits.items()
            if limit > 0 and np.isfinite(self.values[name])
        ]
        return float(max(ratios, default=0.0))


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
        Of the brains, in world mm.
    quantiles : float32 array of shape (n_contrasts, n_levels)
        Of normalised intensities.
    texture : ndarray of shape (n_contrasts,)
    voxel_sizes : ndarray of shape (n_subjects, 3)
        In mm.
    millilitres : ndarray of shape (n_subjects,)
        Volumes of the brains.
    met : float32 array of shape (n_left_out, n_statistics)
        Statistics of training subjects, each beside the others.
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
            values, _, _ = others._statistics(sketches[i])
            met.append(list(values.values()))
        n_columns = len(_OF_HEAD) + len(_OF_SCAN) * len(whole.expected)
        whole.met = np.array(met, dtype=np.float32).reshape(len(met), n_columns)
        return whole

    @classmethod
    def _of(cls, sketches):
        low = np.min([each.cells.min(axis=0) for each in sketches], axis=0)
        high = np.max([each.cells.max(axis=0) for each in sketches], axis=0)
        shape = tuple(high - low + 1)
        n_contrasts = len(sketches[0].intensities)
        share, total = np.zeros(shape), np.zeros((n_contrasts, *shape))
        for each in sketches:
            where = tuple((each.cells - low).T)
            share[where] += each.share
            total[(slice(None), *where)] += each.share * each.intensities
        expected = total / np.maximum(share, 1e-9)
        with np.errstate(invalid="ignore"):
            texture = np.mean([each.texture for each in sketches], axis=0)
        return cls(
            low,
            np.float32(share / len(sketches)),
            np.float32(expected),
            np.mean([each.centre for each in sketches], axis=0),
            np.float32(np.mean([each.quantiles for each in sketches], axis=0)),
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
        values, turned, corrected = self._statistics(sketch)
        limits = {name: self._limit(name, i) for i, name in enumerate(values)}
        if not located:
            limits["distance"] = np.inf
        unlike = {name for name, value in values.items() if value > limits[name]}
        reasons = []
        for name in _OF_HEAD:
            if name in unlike:
                reasons.append((None, self._said_of_head(name, values, turned, sketch)))
        strange = [
            c
            for c in range(len(self.expected))
            if {self._name("correlation", c), self._name("histogram", c)} & unlike
        ]
        exchanged = self._exchanged(unlike, sketch)
        if exchanged:
            numbers = " and ".join(str(c + 1) for c in exchanged)
            said = f"sources {numbers} look exchanged. Give them in training's order."
            reasons.append((None, said))
        for c in range(len(self.expected)):
            field = self._name("field", c)
            biased = field in unlike
            if c in exchanged:
                continue
            if c in strange and not (biased and corrected[c]):
                reasons.append((c, self._said_of_contrast(c, values)))
            elif biased:
                most = self._most(field)
                reasons.append(
                    (
                        c,
                        f"intensities rise smoothly by {values[field]:.1f} standard "
                        f"deviations across the head, beside those expected{most}. "
                        "Correct its bias field.",
                    )
                )
            if self._name("texture", c) in unlike:
                reasons.append((c, self._said_of_texture(c, sketch)))
        met = {}
        if len(self.met):
            ends = zip(self.met.min(axis=0), self.met.max(axis=0), strict=True)
            ranges = [(float(low), float(high)) for low, high in ends]
            met = dict(zip(values, ranges, strict=True))
        return Likeness(values, limits, met, reasons)

    # What is compared

    def _statistics(self, sketch):
        """Values by name; how the head is turned; which contrasts a field explains."""
        sizes = np.log(sketch.voxel_size) - np.log(self.voxel_sizes)
        volumes = np.log(sketch.millilitres / self.millilitres)
        around = (sketch.cells + 0.5) * CELL - sketch.centre  # mm
        shares = self._at(self.share, around)
        gain, turned = self._turn(sketch, around)
        beyond = sketch.share[shares < 0.02].sum() / sketch.share.sum()
        values = {
            "voxel size": np.abs(sizes).max(axis=1).min(),
            "turn": gain,
            "distance": np.linalg.norm(sketch.centre - self.centre),
            "further pieces": sketch.further,
            "size": volumes.min() if beyond > _BEYOND else 0.0,
        }
        corrected = []
        inside = (shares > 0.5) & (sketch.share > 0.5)
        for c in range(len(self.expected)):
            of_scan, explained = self._of_scan(c, c, sketch, around, inside)
            corrected.append(explained)
            for name, value in of_scan.items():
                values[self._name(name, c)] = value
        return {k: float(v) for k, v in values.items()}, turned, corrected

    def _of_scan(self, scan, as_contrast, sketch, around, inside):
        """Statistics of a scan beside those of a contrast of training."""
        quantiles = sketch.quantiles[scan] - self.quantiles[as_contrast]
        texture = sketch.texture[scan] - self.texture[as_contrast]
        correlation, field, explained = 1.0, 0.0, False
        if np.count_nonzero(inside) >= _FEW_CELLS:
            expected = self._at(
                self.expected[as_contrast], around[inside], weighted=True
            )
            found = sketch.intensities[scan][inside]
            smooth = _smooth_part(found - expected, around[inside])
            correlation = _correlation(expected, found)
            # What a polynomial makes of noise is taken off.
            noise = np.std(found - expected - smooth) * np.sqrt(10 / len(found))
            field = max(np.ptp(np.percentile(smooth, [5, 95])) - 6.6 * noise, 0.0)
            explained = _correlation(expected, found - smooth) > -STATED["correlation"]
        values = {
            "correlation": -correlation,
            "histogram": np.sqrt(np.mean(quantiles**2)),
            "field": field,
            "texture": abs(texture) if np.isfinite(texture) else 0.0,
        }
        return values, explained

    def _turn(self, sketch, around):
        """What turning the head gains, and how it would have to be turned."""
        if len(sketch.cells) < _FEW_CELLS:
            return 0.0, ""
        fits, overlaps = [], []
        every = slice(None, None, 1 + len(around) // _CELLS_TURNED)
        share, intensities = sketch.share[every], sketch.intensities[0][every]
        weighted = self.share * self.expected[0]
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

    def _at(self, field, around, weighted=False):
        """A field of the grid at places around the brains' centre, in mm.

        With ``weighted``, the mean over the brain that is near.
        """
        index = self._index(around)
        if weighted:
            shares = np.maximum(_interpolated(self.share, index), 1e-3)
            return _interpolated(field * self.share, index) / shares
        return _interpolated(field, index)

    def _index(self, around):
        """Where in the grid places lie, in mm around the brains' centre."""
        return ((around + self.centre) / CELL - 0.5 - self.low).T

    def _exchanged(self, unlike, sketch):
        """Two scans that are unlike their contrasts, and less unlike each other's."""
        around = (sketch.cells + 0.5) * CELL - sketch.centre
        inside = (self._at(self.share, around) > 0.5) & (sketch.share > 0.5)

        def unlikeness(scan, as_contrast):
            of_scan, _ = self._of_scan(scan, as_contrast, sketch, around, inside)
            names = "correlation", "histogram", "texture"
            return sum((of_scan[name] + 1) / (STATED[name] + 1) for name in names)

        contrasts = range(len(self.expected))
        strange = [
            c
            for c in contrasts
            if {self._name(each, c) for each in _OF_SCAN if each != "field"} & unlike
        ]
        for first, second in product(strange, contrasts):
            if first == second:
                continue
            as_they_are = unlikeness(first, first), unlikeness(second, second)
            exchanged = unlikeness(first, second), unlikeness(second, first)
            if exchanged[0] < as_they_are[0] and exchanged[1] < as_they_are[1]:
                return sorted((first, second))
        return []

    # What may be met

    def _limit(self, name, column):
        stated = STATED[name.rstrip(" 0123456789")]
        if len(self.millilitres) == 1:
            stated *= _FROM_ONE
        met = self.met[:, column].astype(float) if len(self.met) else np.zeros(0)
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

    def _name(self, name, contrast):
        return f"{name} {contrast + 1}" if len(self.expected) > 1 else name

    def _most(self, name):
        """What was met in training, in words."""
        if not len(self.met):
            return ""
        names = [*_OF_HEAD]
        for c in range(len(self.expected)):
            names += [self._name(each, c) for each in _OF_SCAN]
        met = self.met[:, names.index(name)]
        if name.startswith("correlation"):
            return f" ({-met.max():.2f} to {-met.min():.2f} in training)"
        return f" (up to {met.max():.2g} in training)"

    # What is said

    def _said_of_head(self, name, values, turned, sketch):
        match name:
            case "voxel size":
                sizes = np.median(self.voxel_sizes, axis=0)
                return (
                    f"voxels of {_by(sketch.voxel_size)} mm, where training had "
                    f"{_by(sizes)} mm: a patch covers other anatomy. Resample to the "
                    "size of training."
                )
            case "turn":
                return f"the head seems to be {turned}. Is its orientation right?"
            case "distance":
                return (
                    f"the brain lies {values[name]:.0f} mm from those of training"
                    f"{self._most(name)}. Is the image in the space of training?"
                )
            case "further pieces":
                return (
                    f"a further piece, {values[name]:.0%} as large as the brain, lies "
                    "apart from it. Is the skull still there?"
                )
        ratio = np.exp(values["size"])
        return (
            f"the brain is {ratio:.2f} times as large as the largest of training, and "
            "reaches beyond it. Is part of the skull still there?"
        )

    def _said_of_contrast(self, c, values):
        correlation = self._name("correlation", c)
        histogram = self._name("histogram", c)
        return (
            "its intensities go with what is expected at each place by "
            f"r = {-values[correlation]:.2f}"
            f"{self._most(correlation)}, and their histogram differs by "
            f"{values[histogram]:.2f} standard deviations{self._most(histogram)}. Is "
            "it another contrast?"
        )

    def _said_of_texture(self, c, sketch):
        ratio = np.exp(sketch.texture[c] - self.texture[c])
        if ratio > 1:
            return (
                f"neighbouring voxels differ {ratio:.1f} times as much as in training. "
                "Is it another contrast, or noisier?"
            )
        return (
            f"neighbouring voxels differ {ratio:.2f} times as much as in training. Has "
            "it been smoothed, or resampled from coarser voxels?"
        )

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
        n_columns = len(_OF_HEAD) + len(_OF_SCAN) * n_contrasts
        check_numbers(self, "met", self.met, (len(self.met), n_columns), "f4")


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
    return columns @ np.linalg.lstsq(columns, values, rcond=None)[0]


def _correlation(x, y, weights=None):
    """Pearson's, or 0 where one is constant."""
    weights = np.ones(len(x)) if weights is None else weights
    total = max(weights.sum(), 1e-9)
    x, y = (each - (weights * each).sum() / total for each in (x, y))
    spread = (weights * x**2).sum() * (weights * y**2).sum()
    return float((weights * x * y).sum() / np.sqrt(spread)) if spread > 0 else 0.0


def _by(sizes):
    return " x ".join(f"{size:.3g}" for size in sizes)

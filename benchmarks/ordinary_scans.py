"""Scans as people have them: small made brains, and what may be with them.

Backgrounds, numbers, headers, masks, names and lists are drawn at random, for
`fuzz_scans.py`.
"""

from dataclasses import dataclass

import nibabel as nib
import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.ndimage import shift as shifted

SHAPE = (36, 40, 32)
AFFINE = nib.affines.from_matvec(np.diag([2.0, 2.0, 2.0]), [-35, -40, -30])


@dataclass
class Scan:
    """A volume with its axes towards right, anterior and superior, and its header."""

    data: np.ndarray
    brain: np.ndarray
    dtype: type = np.float32
    unit: str = "mm"
    codes: tuple = (1, 1)
    moved: tuple = (0, 0, 0)  # mm
    order: tuple = (0, 1, 2)
    flips: tuple = (1, 1, 1)
    series: bool = False
    offset: float = 0.0  # of the brain's values
    spoiled: np.ndarray | None = None  # voxels that nothing can be said of

    def save(self, path):
        orientation = np.column_stack([self.order, self.flips])
        data = nib.orientations.apply_orientation(self.data, orientation)
        to_clean = nib.orientations.inv_ornt_aff(orientation, self.data.shape)
        moved = nib.affines.from_matvec(np.eye(3), self.moved) @ AFFINE @ to_clean
        affine = np.diag([*[UNITS[self.unit]] * 3, 1]) @ moved
        image = nib.Nifti1Image(data[..., None] if self.series else data, affine)
        image.header.set_xyzt_units(self.unit)
        image.set_data_dtype(self.dtype)
        image.set_sform(affine, self.codes[0])
        image.set_qform(affine, self.codes[1])
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(image, path)

    def undone(self, image):
        """A synthesis on this scan's grid, in the order of the clean one."""
        data = np.asarray(image.dataobj, dtype=float).reshape(image.shape[:3])
        orientation = np.column_stack([self.order, self.flips])
        back = nib.orientations.ornt_transform(
            nib.orientations.axcodes2ornt("RAS"), orientation
        )
        return nib.orientations.apply_orientation(data, back)


UNITS = {"mm": 1.0, "meter": 1e-3, "micron": 1e3, "unknown": 1.0}


def make_subject(seed):
    """T1w and T2w of a subject, the second a function of the first and the place."""
    rng = np.random.RandomState(seed)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij"))
    bumps, tissue = (gaussian_filter(rng.randn(*SHAPE), s) for s in (4, 1.5))
    tissue = np.tanh(1.5 * tissue / tissue.std())
    brain = np.sqrt((grid**2).sum(axis=0)) < 0.86 + 0.03 * bumps / bumps.std()
    t1w = 400 + 90 * tissue + 30 * grid[1] + 4 * rng.randn(*SHAPE)
    t2w = 800 - 1.1 * t1w + 70 * grid[1] * tissue + 4 * rng.randn(*SHAPE)
    return [Scan(np.where(brain, each, 0.0), brain) for each in (t1w, t2w)]


# What may be with a scan: each draws its particulars, and returns a name and a change


def noise(rng):
    level = 10 ** rng.uniform(-7, -4)

    def change(scan, rng):
        scan.data = scan.data + level * np.ptp(scan.data) * normal(rng)

    return f"noise of {level:.0e}", change


def constant(rng):
    value = rng.choice([-1024, -1, 0.5, 1, 5, 3000])

    def change(scan, rng):
        scan.data = np.where(scan.brain, scan.data, value)

    return f"background {value}", change


def offset(rng):
    value = rng.choice([-1000, -130, 10.5, 200, 32768])

    def change(scan, rng):
        scan.data, scan.offset = scan.data + value, value

    return f"offset {value}", change


def ringing(rng):
    """What splines leave outside of a brain that was resampled."""
    step, share = [rng.uniform(0.2, 0.5) for _ in SHAPE], 10 ** rng.uniform(-2, 0)

    def change(scan, rng):
        there = shifted(scan.data, step, order=3)
        residue = there - shifted(scan.data, step, order=1)
        scan.data = np.where(scan.brain, scan.data, share * residue)

    return f"ringing of {share:.2f}", change


def number(rng):
    dtype = rng.choice([np.int16, np.uint16, np.uint8, np.float64, ">f4"])

    def change(scan, rng):
        scan.dtype = dtype

    return f"stored as {np.dtype(dtype).name}", change


def unit(rng):
    name = rng.choice(["meter", "micron", "unknown"])

    def change(scan, rng):
        scan.unit = name

    return f"unit {name}", change


def codes(rng):
    pair = rng.choice([(0, 0), (1, 0), (0, 1), (2, 1), (4, 4)])

    def change(scan, rng):
        scan.codes = pair

    return f"codes {pair[0]} and {pair[1]}", change


def order(rng):
    def change(scan, rng):
        scan.order = tuple(rng.sample(range(3), 3))
        scan.flips = tuple(rng.choice([-1, 1]) for _ in range(3))

    return "axes in another order", change


def elsewhere(rng):
    by = tuple(rng.choice([-90, -60, 0, 60, 90]) for _ in range(3))

    def change(scan, rng):
        scan.moved = by

    return f"moved by {by} mm", change


def series(rng):
    def change(scan, rng):
        scan.series = True

    return "4-D with one volume", change


def not_a_number(rng):
    def change(scan, rng):
        scan.data = np.where(scan.brain, scan.data, np.nan)

    return "NaN outside", change


def outliers(rng):
    n = rng.randint(1, 6)

    def change(scan, rng):
        typical = np.median(scan.data[scan.brain])
        where = tuple(np.array(rng.sample(np.argwhere(scan.brain).tolist(), n)).T)
        scan.data[where] += 50 * typical
        scan.spoiled = np.zeros(SHAPE, dtype=bool)
        scan.spoiled[where] = True

    return f"{n} bright voxels", change


def normal(rng):
    return np.random.RandomState(rng.getrandbits(32)).randn(*SHAPE)


CHANGES = {  # of groups, whose members do not go together; and how often
    "bright": ([outliers], 3),
    "background": ([noise, constant, offset, ringing], 6),
    "number": ([number], 3),
    "unit": ([unit], 2),
    "codes": ([codes], 2),
    "order": ([order], 2),
    "place": ([elsewhere], 1),
    "series": ([series], 1),
    "NaN": ([not_a_number], 0.3),
}
WIDE = ("bright", "background -1024", "background 3000", "offset 32768", "NaN")


def draw_changes(rng):
    """One to three of different groups, which can be together in a file."""
    n, weights = rng.choices([1, 2, 3], [3, 2, 1])[0], [w for _, w in CHANGES.values()]
    while True:
        groups = set(rng.choices(list(CHANGES), weights, k=n))
        # The scan's own values first, then what is around and added to them.
        changes = [rng.choice(CHANGES[g][0])(rng) for g in CHANGES if g in groups]
        names = " + ".join(name for name, _ in changes)
        # Of what is wide, few steps would be left for the brain.
        narrow = "int" if "NaN" in groups else "uint8"
        if not (narrow in names and any(part in names for part in WIDE)):
            return changes


# Masks


def draw_mask(rng, brain):
    """A mask as people have them: its name, values and type."""
    soft = np.clip(gaussian_filter(brain.astype(float), 0.7), 0, 1)
    labels = np.where(brain, 1 + (np.indices(SHAPE)[0] > SHAPE[0] // 2), 0)
    return rng.choice(
        [
            ("0 and 1", brain * 1, np.uint8),
            ("0 and 255", brain * 255, np.uint8),
            ("0 and 1 as floats", brain * 1.0, np.float32),
            ("-1 and 1", np.where(brain, 1, -1), np.int16),
            ("probabilities", soft, np.float32),
            ("per cent", 100 * soft, np.float32),
            ("residue", brain + 1e-6 * normal(rng), np.float32),
            ("labels", labels, np.int16),
            ("inverted", 1 - brain * 1, np.uint8),
        ]
    )


# Names and lists


SCHEMES = [
    "sub-0{}_{}w.nii",
    "sub-IXI_{}_{}w.nii",
    "sub-CC-00{}_{}w.nii",
    "IXI00{}-{}.nii",
    "P{}/{}.nii",
    "{}_{}w.nii",
    "sub-01_ses-{}_{}w.nii",
    "sub-01/ses-{}/anat/sub-01_ses-{0}_{}w.nii",
]


def name_of(scheme, i, contrast):
    return (
        scheme.replace("{0}", str(i)).replace("{}", str(i), 1).replace("{}", contrast)
    )


def draw_list(rng, values):
    """A list as people have them, of values in their order."""
    import pandas as pd
    import polars

    shuffled = rng.sample(range(len(values)), len(values))
    kinds = {
        "list": list,
        "tuple": tuple,
        "array": np.array,
        "array of objects": lambda v: np.array(v, dtype=object),
        "Series": lambda v: pd.Series(v, index=shuffled),
        "Index": pd.Index,
        "polars": polars.Series,
    }
    name = rng.choice(sorted(kinds))
    return name, kinds[name](values)

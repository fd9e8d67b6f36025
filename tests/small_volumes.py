"""Smooth volumes of three subjects, and synthesizers that train on them in a moment."""

import nibabel as nib
import numpy as np
from scipy.ndimage import gaussian_filter

from sklearn_lsdn import LSDNRegressor, VolumeSynthesizer
from sklearn_lsdn.volumes._images import ImageFile

SHAPE = (12, 14, 10)
AFFINE = nib.affines.from_matvec(np.diag([2.0, 2.0, 2.5]), [-11, -13, -11])
# One patch a voxel as it is, so that rows can be told.
PLAIN = dict(patch_scales=(1,), augmentation=None, smoothing=0.0, places="world")


def small_network(cls=LSDNRegressor, **parameters):
    return cls((20, 5), max_iter=4, **parameters)


def small(estimator=None, **parameters):
    """A synthesizer that trains in a moment."""
    parameters = PLAIN | dict(n_voxels=400, random_state=0) | parameters
    return VolumeSynthesizer(
        small_network() if estimator is None else estimator, **parameters
    )


def make_brain(shape):
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    return sum(a**2 for a in axes) < 0.95, axes[0]


def framed(data):
    """Within a background of one voxel, so that the brain does not fill the border."""
    return np.pad(data, 1)


def make_contrasts(seed, shape=SHAPE, sigma=1.5):
    """Smooth scans of a subject: two sources, and two targets that follow them."""
    rng = np.random.RandomState(seed)
    mask, x = make_brain(shape)
    a, b = (gaussian_filter(rng.normal(size=shape), sigma) for _ in range(2))
    a, b = 100 + 20 * a / a.std(), 200 + 30 * b / b.std()
    c = 400 - 2 * a + 40 * np.where(x > 0, 1, -1) * (b - 200) / 30
    d = 50 + 0.5 * b
    gains = rng.uniform(0.5, 2, 4)
    return [
        (g * v * mask).astype(np.float32)
        for g, v in zip(gains, (a, b, c, d), strict=True)
    ]


def make_image(data, affine=AFFINE):
    image = nib.Nifti1Image(data, affine)
    image.set_sform(affine, 4)
    image.set_qform(affine, 4)
    return image


class Cohort:
    """Three subjects: images in memory, paths, and lists of several contrasts."""

    def __init__(self, folder, shape=SHAPE):
        self.arrays = [make_contrasts(seed, shape) for seed in range(3)]
        self.images = [[make_image(v) for v in subject] for subject in self.arrays]
        for i, subject in enumerate(self.images):
            for name, image in zip("abcd", subject, strict=True):
                nib.save(image, folder / f"sub-{i}_{name}.nii.gz")
        self.a, self.b, self.c, self.d = (
            [str(folder / f"sub-{i}_{name}.nii.gz") for i in range(3)]
            for name in "abcd"
        )
        self.ab = [list(pair) for pair in zip(self.a, self.b, strict=True)]
        self.cd = [list(pair) for pair in zip(self.c, self.d, strict=True)]


def count_reads(monkeypatch):
    names = []
    read = ImageFile.read

    def counted(self, **options):
        names.append(self.name)
        return read(self, **options)

    monkeypatch.setattr(ImageFile, "read", counted)
    return names

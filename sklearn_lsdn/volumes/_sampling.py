"""Voxels drawn from training subjects, and the arrays that a regressor learns from."""

from dataclasses import dataclass

import numpy as np

from ._aggregation import filled_patches
from ._augmentation import Augmentation
from ._masks import Masker
from ._patches import PaddedVolumes
from ._scales import at_scale
from ._subjects import describe


@dataclass(frozen=True)
class Window:
    """What is read around a voxel.

    Parameters
    ----------
    patch_size : int
        Voxels along each side of a source patch, odd.
    scales : tuple of int
        Of the source patches: voxels from one of theirs to the next.
    target_patch_size : int
        Voxels along each side of a target patch, odd.
    coordinates : bool
        Whether the voxel's place follows the source patches.
    """

    patch_size: int
    scales: tuple
    target_patch_size: int
    coordinates: bool

    @classmethod
    def of(cls, patch_size, patch_scales, target_patch_size, coordinates) -> "Window":
        """Check the parameters of a synthesizer.

        Raises
        ------
        ValueError
            If a size is even, or the scales are not distinct whole numbers from 1.
        """
        sizes = {"patch_size": patch_size, "target_patch_size": target_patch_size}
        for name, size in sizes.items():
            if size % 2 == 0:
                raise ValueError(f"{name} must be odd, got {size}.")
        scales = np.asarray(patch_scales)
        whole = scales.ndim == 1 and scales.size > 0 and scales.dtype.kind in "iu"
        if not whole or scales.min() < 1 or len(set(scales.tolist())) < len(scales):
            raise ValueError(
                "patch_scales must be one or more different positive integers, got "
                f"{patch_scales!r}."
            )
        return cls(
            int(patch_size),
            tuple(scales.tolist()),
            int(target_patch_size),
            coordinates == "world",
        )

    def sources(self, volumes, mask, affine, fill, finish=None) -> PaddedVolumes:
        """Make a volume of each contrast at each scale ready to be read.

        Parameters
        ----------
        volumes : list of float32 arrays of shape (nx, ny, nz)
            It is emptied, so that they need not be held beside their copies.
        mask : ndarray of bool of the same shape
        affine : ndarray of shape (4, 4)
        fill : list of float
            What stands for voxels outside the brain, for each contrast.
        finish : callable, default=None
            ``finish(volume, c)`` makes of a smoothed volume of contrast ``c`` what is
            to be read.
        """

        def channels():
            for c in range(len(fill)):
                volume = volumes.pop(0)
                for scale in self.scales:
                    channel = at_scale(volume, mask, scale)
                    yield channel if finish is None else finish(channel, c)
                    del channel

        spacings = list(self.scales) * len(fill)
        every = np.repeat(fill, len(self.scales))
        return PaddedVolumes(channels(), affine, self.patch_size, every, spacings, mask)


@dataclass
class Sample:
    """Voxels drawn from one subject, in its scans' own units.

    Parameters
    ----------
    patches : float32 array of shape (n_voxels, n_contrasts, n_scales, patch_size**3)
        NaN outside the brain.
    steps : ndarray of shape (n_scales, patch_size**3, 3)
        In mm, from the centre of a patch to its voxels.
    coordinates : float32 array of shape (n_voxels, 3)
        World coordinates in mm.
    targets : float32 array of shape (n_voxels, n_targets, target_patch_size**3)
        NaN outside the brain.
    source_descriptions, target_descriptions : list of ndarray
        What the normalizers say of the scans.
    """

    patches: np.ndarray
    steps: np.ndarray
    coordinates: np.ndarray
    targets: np.ndarray
    source_descriptions: list
    target_descriptions: list


def draw_sample(
    sources,
    targets,
    masker: Masker,
    normalizers,
    window: Window,
    n_voxels,
    seed,
) -> Sample:
    """Read one subject and draw voxels of its brain at random.

    Parameters
    ----------
    sources, targets : list of ImageFile
        On one grid.
    masker : Masker
    normalizers : pair of lists of normalizers
        Of the sources and of the targets; only `describe` is called.
    window : Window
    n_voxels, seed : int
        If the brain holds fewer voxels, all are taken.
    """
    volumes = [file.read() for file in sources]
    outputs = [file.read() for file in targets]
    mask = masker.find([*sources, *targets], [*volumes, *outputs])
    source_descriptions = describe(normalizers[0], sources, volumes, mask)
    target_descriptions = describe(normalizers[1], targets, outputs, mask)
    chosen = _choose(mask, n_voxels, np.random.RandomState(seed))
    affine = sources[0].affine

    nothing = [np.nan] * len(volumes)
    padded = window.sources(volumes, mask, affine, nothing)
    centers = padded.centers(chosen)
    patches = padded.patches(centers)
    coordinates, steps = padded.coordinates(centers), padded.steps
    del padded
    nothing = [np.nan] * len(outputs)
    scans = PaddedVolumes(outputs, affine, window.target_patch_size, nothing, mask=mask)
    reached = scans.patches(scans.centers(chosen))
    shape = len(patches), len(sources), len(window.scales), -1
    return Sample(
        patches.reshape(shape),
        steps[: len(window.scales)],
        coordinates,
        reached.reshape(len(reached), len(targets), -1),
        source_descriptions,
        target_descriptions,
    )


def _choose(mask, n_voxels, rng):
    """Some voxels of a mask, as another mask."""
    inside = np.flatnonzero(mask)
    drawn = rng.choice(len(inside), min(n_voxels, len(inside)), replace=False)
    chosen = np.zeros(mask.size, dtype=bool)
    chosen[inside[drawn]] = True
    return chosen.reshape(mask.shape)


def training_arrays(
    samples, normalizers, background, window: Window, augmentation: Augmentation, rng
):
    """Normalise samples, and put them side by side.

    Parameters
    ----------
    samples : list of Sample
        It is emptied, so that they need not be held beside their copies.
    normalizers : pair of lists of fitted normalizers
        Of the sources and of the targets.
    background : ndarray of shape (n_contrasts,)
        What stands for source voxels outside the brain, normalised.
    window : Window
        With which the samples were drawn.
    augmentation : Augmentation
    rng : RandomState
        For the augmentation.

    Returns
    -------
    X : float32 array of shape (n_voxels, n_features)
    y : float32 array of shape (n_voxels,) or (n_voxels, n_outputs)
    """
    source_normalizers, target_normalizers = normalizers
    lengths = [len(sample.patches) for sample in samples]
    n_patch = samples[0].patches[0].size
    X = np.empty((sum(lengths), n_patch + 3 * window.coordinates), dtype=np.float32)
    y = np.empty((sum(lengths), *samples[0].targets.shape[1:]), dtype=np.float32)
    middle = np.mean([sample.coordinates[:, 0].mean() for sample in samples])
    start = 0
    while samples:
        sample = samples.pop(0)
        rows = slice(start, start + len(sample.patches))
        start = rows.stop
        patches = np.empty_like(sample.patches)
        for c, normalizer in enumerate(source_normalizers):
            values = normalizer.to_shared(
                sample.patches[:, c], sample.source_descriptions[c]
            )
            values[np.isnan(values)] = background[c]
            patches[:, c] = values
        for c, normalizer in enumerate(target_normalizers):
            values = normalizer.to_shared(
                sample.targets[:, c], sample.target_descriptions[c]
            )
            y[rows, c] = filled_patches(values)
        places = sample.coordinates.copy()
        augmentation.apply(
            patches, places, y[rows], background, sample.steps, middle, rng
        )
        X[rows, :n_patch] = patches.reshape(len(patches), -1)
        if window.coordinates:
            X[rows, n_patch:] = places
    y = y.reshape(len(y), -1)
    return X, y.ravel() if y.shape[1] == 1 else y

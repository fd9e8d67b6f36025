"""Heads that lie in their voxels as a scanner may leave them, for `own_grid.py`."""

from dataclasses import dataclass
from functools import partial

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from novelty import scan_of
from open_ms import data_folder
from scipy.ndimage import affine_transform, find_objects, gaussian_filter
from scipy.spatial.transform import Rotation

from sklearn_lsdn.datasets import make_brain_cohort

ANGLE, SHIFT = 15, 20  # degrees and mm, at most


@dataclass
class Head:
    """Scans of a subject by contrast, and a mask on the grid of each."""

    scans: dict
    masks: dict

    @classmethod
    def of(cls, scans):
        """The brain is what is not 0 in all of them, and all that is kept."""
        brain = np.all([scan.get_fdata() != 0 for scan in scans.values()], axis=0)
        (box,) = find_objects(brain, max_label=1)
        box = tuple(slice(max(side.start - 4, 0), side.stop + 4) for side in box)
        scans = {contrast: scan.slicer[box] for contrast, scan in scans.items()}
        affine = next(iter(scans.values())).affine
        mask = nib.Nifti1Image(brain[box].astype(np.uint8), affine)
        return cls(scans, dict.fromkeys(scans, mask))

    def resampled(self, spacing, *, move=None, axes=None, told=True):
        """Each contrast on a grid of its own, its voxels resampled once.

        Parameters
        ----------
        spacing : array-like of shape (3,)
            In mm.
        move : dict of ndarray of shape (4, 4), default=None
            How each contrast's head is moved in the world.
        axes : ndarray of shape (3, 3), default=None
            Columns are the directions of the grid's axes.
        told : bool, default=True
            Whether headers tell of the axes.
        """
        axes = np.eye(3) if axes is None else axes
        scans, masks = {}, {}
        for contrast in self.scans:
            by = np.eye(4) if move is None else move[contrast]
            affine, shape = self._grid(contrast, np.asarray(spacing), by, axes)
            scans[contrast], masks[contrast] = self.seen(contrast, affine, shape, by)
        head = Head(scans, masks)
        return head if told else head.turned(axes.T)

    def seen(self, contrast, affine, shape, move=None):
        """A contrast and its mask on a grid, of a head that was moved in the world."""
        scan, mask = self.scans[contrast], self.masks[contrast].get_fdata() != 0
        by = np.eye(4) if move is None else move
        to_voxels = np.linalg.inv(by @ scan.affine) @ affine
        # As wide as the new voxels, where they are larger.
        ratio = nib.affines.voxel_sizes(affine) / nib.affines.voxel_sizes(scan.affine)
        blur = np.sqrt(np.maximum(ratio**2 - 1, 0) / 12)
        weight = gaussian_filter(mask.astype(np.float32), blur)
        values = np.where(mask, scan.get_fdata(dtype=np.float32), 0)
        values = gaussian_filter(values, blur)
        values[weight > 0] /= weight[weight > 0]
        there = partial(
            affine_transform, matrix=to_voxels, output_shape=shape, mode="constant"
        )
        inside = there(weight, order=1) >= 0.5
        values = np.where(inside, there(values, order=3), 0)
        arrays = values.astype(np.float32), inside.astype(np.uint8)
        return [nib.Nifti1Image(array, affine) for array in arrays]

    def turned(self, rotation):
        """The same voxels, and headers that turn them about the middle of the brain."""
        turned = []
        for images in (self.scans, self.masks):
            turned.append({})
            for contrast, image in images.items():
                centre = self.brain(contrast).mean(axis=0)
                about = nib.affines.from_matvec(rotation, centre - rotation @ centre)
                data = np.asanyarray(image.dataobj)
                turned[-1][contrast] = nib.Nifti1Image(data, about @ image.affine)
        return Head(*turned)

    def brain(self, contrast):
        """World mm of its voxels."""
        mask = self.masks[contrast]
        return apply_affine(mask.affine, np.argwhere(mask.get_fdata() != 0))

    @property
    def middle(self):
        """World mm of the middle of the brain in the first contrast."""
        return self.brain(next(iter(self.scans))).mean(axis=0)

    def _grid(self, contrast, spacing, move, axes):
        """Around the brain, which begins between voxels."""
        along = apply_affine(move, self.brain(contrast)) @ axes
        first = np.floor(along.min(axis=0)) - 3.5 * spacing
        shape = np.ceil((along.max(axis=0) - first) / spacing).astype(int) + 4
        affine = nib.affines.from_matvec(axes * spacing, axes @ first)
        return affine, tuple(shape.tolist())

    def as_scanned(self):
        scans = {name: whole_numbers(scan) for name, scan in self.scans.items()}
        return Head(scans, self.masks)

    def along(self, direction):
        """Source, target and the source's mask."""
        source, target = direction
        return self.scans[source], self.scans[target], self.masks[source]


def whole_numbers(image):
    """The same as int16, as scanners write it: the brightest voxels are about 2000."""
    data = image.get_fdata()
    data = np.rint(2000 * data / np.percentile(data, 99.9)).astype(np.int16)
    return nib.Nifti1Image(data, image.affine)


def rigid_motion(rng, centre):
    """Turn about a centre, and shift, both in any direction."""
    axis, shift = rng.normal(size=(2, 3))
    axis *= np.radians(rng.uniform(0, ANGLE)) / np.linalg.norm(axis)
    shift *= rng.uniform(0, SHIFT) / np.linalg.norm(shift)
    rotation = Rotation.from_rotvec(axis).as_matrix()
    return nib.affines.from_matvec(rotation, centre - rotation @ centre + shift)


def claimed(image, voxel_size):
    """The same voxels, whose header claims that they are of another size."""
    affine = np.diag([voxel_size] * 3 + [1.0])
    affine[:3, 3] = image.affine[:3, 3]
    return nib.Nifti1Image(np.asanyarray(image.dataobj), affine)


# Cohorts


def scans_of(subject, *contrasts):
    return Head.of({contrast: scan_of(subject, contrast) for contrast in contrasts})


def simulated(n_subjects, voxel_size):
    """Subjects as they are made, and moved."""
    made = make_brain_cohort(n_subjects, voxel_size=voxel_size, random_state=0).images
    scans = zip(*made.values(), strict=True)
    heads = [Head.of(dict(zip(made, each, strict=True))) for each in scans]
    rng, moved = np.random.default_rng(20), []
    for head in heads:
        move = rigid_motion(rng, head.middle)
        moved.append(head.resampled([voxel_size] * 3, move=dict.fromkeys(made, move)))
    return {"simulated": heads, "simulated, moved": moved}


def real_cohorts():
    folder = data_folder()
    cohorts = {}
    for name, each in (("open MS", folder), ("patients", folder.parent / "brats_tcia")):
        subjects = sorted(each.glob("sub-*"))
        cohorts[name] = [scans_of(subject, "T1w", "T2w") for subject in subjects]
    return cohorts

"""Small datasets as fMRIPrep leaves them: heads with skulls, each on its own grid."""

import json

import nibabel as nib
import numpy as np
from scipy.ndimage import binary_dilation

from sklearn_lsdn.datasets import make_brain_cohort

MNI = "space-MNI152NLin2009cAsym_res-2"
STEMS = ("sub-01", "sub-02_ses-pre", "sub-03")
"""sub-03 lacks its T2w."""


def heads():
    """Of each subject T1w and T2w with a skull, and a mask of the brain."""
    cohort = make_brain_cohort(3, voxel_size=8, random_state=0)
    for i, mask in enumerate(cohort.masks):
        brain = np.pad(mask.get_fdata() > 0, 2)
        skull = binary_dilation(brain, iterations=2) & ~binary_dilation(brain)
        affine = mask.affine.copy()
        affine[:3, 3] += [-16 + 3 * i, -16 - 5 * i, -16 + 40 * i]  # where it lay
        contrasts = [cohort.images[c][i].get_fdata() for c in ("T1w", "T2w")]
        scans = [np.pad(data, 2) + 3 * data.max() * skull for data in contrasts]
        t1w, t2w = (nib.Nifti1Image(np.float32(data), affine) for data in scans)
        yield t1w, t2w, nib.Nifti1Image(np.uint8(brain), affine)


def save(image, folder, stem, datatype="anat"):
    """Under a name of BIDS, in the folder of its subject and session."""
    levels = [p for p in stem.split("_") if p.split("-")[0] in ("sub", "ses")]
    path = folder.joinpath(*levels, datatype, f"{stem}.nii.gz")
    path.parent.mkdir(parents=True, exist_ok=True)
    for code in (image.set_sform, image.set_qform):
        code(image.affine, 1)
    nib.save(image, path)
    return path


def describe(folder, name, **more):
    """Write what BIDS asks of a dataset."""
    folder.mkdir(parents=True, exist_ok=True)
    about = {"Name": name, "BIDSVersion": "1.10.0", **more}
    (folder / "dataset_description.json").write_text(json.dumps(about))
    (folder / "README").write_text("Simulated heads, for tests.\n")


def make_raw(folder):
    """A raw dataset, and masks as HD-BET calls them in a flat folder beside it."""
    describe(folder / "raw", "Heads")
    (folder / "brains").mkdir()
    for stem, (t1w, t2w, mask) in zip(STEMS, heads(), strict=True):
        path = save(t1w, folder / "raw", f"{stem}_T1w")
        if stem != "sub-03":
            save(t2w, folder / "raw", f"{stem}_T2w")
        name = path.name.replace("_T1w", "_T1w_bet")
        nib.save(mask, folder / "brains" / name)


def make_fmriprep(folder):
    """Images on the T1w's own grid, and the same in MNI152 beside them."""
    made_by = {"Name": "fMRIPrep", "Version": "24.1.1"}
    describe(folder, "fMRIPrep", DatasetType="derivative", GeneratedBy=[made_by])
    for stem, (t1w, t2w, mask) in zip(STEMS, heads(), strict=True):
        in_mni = mask.affine.copy()
        in_mni[:3, 3] = 1 - np.array(mask.shape) * 4
        for space, affine in (("", mask.affine), (f"_{MNI}", in_mni)):
            named = {"desc-preproc_T1w": t1w, "desc-brain_mask": mask, "dseg": mask}
            named["label-GM_probseg"] = mask
            if stem != "sub-03":
                named["desc-preproc_T2w"] = t2w
            for name, image in named.items():
                there = nib.Nifti1Image(image.dataobj, affine)
                path = save(there, folder, f"{stem}{space}_{name}")
        (path.parent / f"{stem}_from-T1w_to-fsnative_mode-image_xfm.txt").touch()
        save(mask, folder, f"{stem}_desc-ribbon_mask")
        save(mask, folder, f"{stem}_task-rest_space-T1w_desc-brain_mask", "func")
        figures = folder / stem.split("_")[0] / "figures"
        figures.mkdir()
        (figures / f"{stem}_dseg.svg").touch()

"""Whether novelty shows what training never had: tumours, by models that saw none.

    LSDN_DATA=<folder with open_ms_mni and brats_tcia> python benchmarks/novelty.py
    ... --quick                 a smoke test on two subjects, with networks of 5 nodes

Area under the curve of the voxels of a tumour against the rest of the brain, in each of
twelve patients with glioma (BraTS, the part of The Cancer Imaging Archive: Menze et al.
2015, doi:10.1109/TMI.2014.2377694; Bakas et al. 2017, doi:10.1038/sdata.2017.117; Bakas
et al. 2018, arXiv:1811.02629), by the novelty and by the standard deviation that an
ensemble of two predicts. First, of a model of open MS (Lesjak et al., 2017,
doi:10.1007/s12021-017-9348-7), which lies in another space: the boxes of the brains are
put over each other. Second, of a model of the other patients, a third of
them held back at a time, from whose scans the tumours were cut out, with a tunnel from
each to the outside of the brain, lest it count as a hole.

The definition of novelty was chosen by a model of open MS on the four patients marked
by an asterisk.
"""

import argparse
import time
import warnings

import nibabel as nib
import numpy as np
from open_ms import data_folder
from scipy.ndimage import find_objects, label
from sklearn.metrics import roc_auc_score

from sklearn_lsdn import LSDNRegressor, VolumeSynthesizer
from sklearn_lsdn.exceptions import ScanWarning

CHOSEN_ON = "TCIA01201", "TCIA01378", "TCIA01425", "TCIA01499"
DIRECTIONS = ("T1w", "T2w"), ("T2w", "T1w")


def scan_of(subject, ending):
    """A scan of a subject's folder, in the order of the axes of its voxels."""
    path, *_ = (p for p in subject.rglob(f"*_{ending}.nii.gz") if "_ce-" not in p.name)
    image = nib.as_closest_canonical(nib.load(path))
    data = np.asanyarray(image.dataobj).astype(np.float32)
    return nib.Nifti1Image(data, image.affine)


def middle(image):
    """World mm of the middle of the box around a brain."""
    box = np.argwhere(image.get_fdata() != 0)
    return nib.affines.apply_affine(image.affine, (box.min(0) + box.max(0)) / 2)


def moved(image, by):
    affine = image.affine.copy()
    affine[:3, 3] += by
    return nib.Nifti1Image(image.get_fdata(dtype=np.float32), affine)


def without(image, tumour):
    """A scan whose tumour is background, as is a tunnel from each part to the side."""
    data = image.get_fdata(dtype=np.float32).copy()
    data[tumour] = 0
    parts, _ = label(tumour)
    for i, box in enumerate(find_objects(parts), start=1):
        x, y, z = np.argwhere(parts[box] == i)[0] + [side.start for side in box]
        data[:x, y, z] = 0
    return nib.Nifti1Image(data, image.affine)


def areas(synthesizer, image, tumour):
    """Of novelty and of standard deviations."""
    _, (std,), (novelty,) = synthesizer.predict(
        [image], return_std=True, return_novelty=True
    )
    brain = image.get_fdata() != 0
    return [
        roc_auc_score(tumour[brain], each.get_fdata()[brain]) for each in (novelty, std)
    ]


def cost(synthesizer, image):
    """Of novelty, as a share of a prediction's time on one processor."""
    seconds = []
    for options in ({}, {}, {"return_novelty": True}):  # the first run loads kernels
        start = time.process_time()
        synthesizer.set_params(n_jobs=1).predict([image], **options)
        seconds.append(time.process_time() - start)
    return seconds[2] / seconds[1] - 1


def _print_row(name, areas):
    cells = " | ".join(f"{area:.2f}" for area in areas)
    print(f"| {name} | {cells} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--jobs", type=int, default=-1)
    parser.add_argument("--n-voxels", type=int, default=50_000)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ScanWarning)
    network = LSDNRegressor((5,), max_iter=1) if arguments.quick else None
    n_voxels = 2000 if arguments.quick else arguments.n_voxels
    options = dict(n_estimators=2, n_voxels=n_voxels, random_state=0)
    options["n_jobs"] = arguments.jobs
    open_ms = sorted(data_folder().glob("sub-*"))
    patients = sorted((data_folder().parent / "brats_tcia").glob("sub-*"))
    patients = patients[:2] if arguments.quick else patients
    n_folds = min(arguments.folds, len(patients))
    tumours = [scan_of(p, "dseg").get_fdata() > 0 for p in patients]
    for source, target in DIRECTIONS[: 1 if arguments.quick else 2]:

        def fitted(sources, targets):
            return VolumeSynthesizer(network, **options).fit(sources, targets)

        print(f"\n| {source} -> {target} | open MS: novelty | deviation ", end="")
        print("| other patients: novelty | deviation |\n|---|---|---|---|---|")
        ours = [[scan_of(s, c) for s in open_ms] for c in (source, target)]
        theirs = [scan_of(p, source) for p in patients]
        there = np.mean([middle(image) for image in ours[0]], axis=0)
        model, rows = fitted(*ours), [None] * len(patients)
        for i, image in enumerate(theirs):
            rows[i] = areas(model, moved(image, there - middle(image)), tumours[i])
        cut = [
            [without(scan_of(*of), t) for of, t in zip(each, tumours, strict=True)]
            for each in ([(p, c) for p in patients] for c in (source, target))
        ]
        for fold in range(n_folds):
            train = [i for i in range(len(patients)) if i % n_folds != fold]
            model = fitted(*([images[i] for i in train] for images in cut))
            for i in range(fold, len(patients), n_folds):
                rows[i] += areas(model, theirs[i], tumours[i])
        for patient, row in zip(patients, rows, strict=True):
            name = patient.name.removeprefix("sub-")
            name += "*" if name in CHOSEN_ON else ""
            _print_row(name, row)
        _print_row("mean", np.mean(rows, axis=0))
        new = [p.name.removeprefix("sub-") not in CHOSEN_ON for p in patients]
        if any(new):
            _print_row("mean without *", np.mean(np.array(rows)[new], axis=0))
        model.estimator_ = model.estimator_.estimators_[0]
        share = cost(model, theirs[0])
        print(f"\nNovelty adds {share:.0%} to the time of a prediction.")


if __name__ == "__main__":
    main()

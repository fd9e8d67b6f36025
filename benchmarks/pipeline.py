"""From scans out of alignment to a BIDS derivative and a report: docs/pipeline.md.

    LSDN_DATA=<folder with open_ms_mni> python benchmarks/pipeline.py FOLDER

The T1w and T2w of the open MS data are turned by up to 8 degrees
and shifted by up to 8 mm, each by itself and along each axis, resampled once, and
written as a raw dataset into FOLDER, which must not exist. Then the page's commands are
run, each a process. Prints how far T2w lay from T1w before and after, over the brain,
the time that each command took, and the table of `lsdn evaluate`.
"""

import argparse
import json
import re
import resource
import shlex
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK
from open_ms import data_folder
from scipy.spatial.transform import Rotation

from sklearn_lsdn.volumes._registration import AffineTransform, resample

PAGE = Path(__file__).parents[1] / "docs" / "pipeline.md"
SUBJECTS = ("sub-07", "sub-19", "sub-26")
CONTRASTS = ("T1w", "T2w")
SPACE = "space-MNI152NLin2009aSym_desc-reg"
TO_LPS = np.diag([-1.0, -1, 1, 1])


def displace(data, raw):
    """Write the raw dataset; return how each of its scans was moved."""
    rng, moves = np.random.default_rng(8), {}
    for subject in SUBJECTS:
        for contrast in CONTRASTS:
            name = f"{subject}_space-MNI152_desc-preproc_{contrast}.nii.gz"
            image = nib.load(data / subject / "anat" / name)
            angles, shift = rng.uniform(-8, 8, 3), rng.uniform(-8, 8, 3)
            move = np.eye(4)
            move[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
            move[:3, 3] = shift
            path = raw / subject / "anat" / f"{subject}_{contrast}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            nib.save(resample(image, image, AffineTransform(move)), path)
            moves[subject, contrast] = move
    about = {"Name": "Open MS, out of alignment", "BIDSVersion": "1.10.0"}
    (raw / "dataset_description.json").write_text(json.dumps(about))
    (raw / "README").write_text("Scans of the open MS data, turned and shifted.\n")
    return moves


def brain_points(data):
    name = "sub-07_space-MNI152_desc-preproc_T1w.nii.gz"
    image = nib.load(data / "sub-07" / "anat" / name)
    voxels = np.argwhere(image.get_fdata() != 0)[::1000]
    return nib.affines.apply_affine(image.affine, voxels)


def found(path):
    """The matrix of a transform that `lsdn register` wrote, towards right-anterior."""
    itk = SimpleITK.ReadTransform(str(path))
    corners = np.array([itk.TransformPoint(p) for p in np.eye(4, 3, -1).tolist()])
    matrix = np.eye(4)
    matrix[:3, 3] = corners[0]
    matrix[:3, :3] = (corners[1:] - corners[0]).T
    return TO_LPS @ matrix @ TO_LPS


def apart(points, t1w, t2w):
    ends = (nib.affines.apply_affine(matrix, points) for matrix in (t1w, t2w))
    return np.linalg.norm(np.subtract(*ends), axis=1).mean()


def processor_seconds():
    """Of all processes that were started and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run(command, folder):
    """Run a command of the page; return what it prints, and a row of times."""
    start, used = time.perf_counter(), processor_seconds()
    ran = subprocess.run(
        [sys.executable, "-m", "sklearn_lsdn", *shlex.split(command)],
        cwd=folder,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    wall, used = time.perf_counter() - start, processor_seconds() - used
    return ran.stdout, f"| `lsdn {command.split()[0]}` | {wall:.0f} | {used:.0f} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    folder, data = parser.parse_args().folder, data_folder()
    folder.mkdir()
    moves = displace(data, folder / "raw")
    times = ["| command | s | s of processor |", "|---|---|---|"]
    for command in re.findall(r"^    lsdn (.+)$", PAGE.read_text(), re.MULTILINE):
        printed, row = run(command, folder)
        times.append(row)
        if command.startswith("evaluate"):
            table = printed
    print("| T2w from T1w, mm | before | after |\n|---|---|---|")
    points = brain_points(data)
    for subject in SUBJECTS:
        anat = folder / "raw" / "derivatives" / "registered" / subject / "anat"
        pair = [moves[subject, contrast] for contrast in CONTRASTS]
        ends = [
            move @ found(anat / f"{subject}_{SPACE}_{contrast}.tfm")
            for move, contrast in zip(pair, CONTRASTS, strict=True)
        ]
        before, after = apart(points, *pair), apart(points, *ends)
        print(f"| {subject} | {before:.1f} | {after:.2f} |")
    print("\n".join(["", *times, "", table]))


if __name__ == "__main__":
    main()

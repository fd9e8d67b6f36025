"""From scans out of alignment, with masks, to a BIDS derivative: docs/pipeline.md.

    LSDN_DATA=<folder with open_ms_mni> python benchmarks/pipeline.py FOLDER

The T1w and T2w of the open MS data are turned by up to 15 degrees and shifted by up to
20 mm, each by itself, resampled once to 0.95 x 0.95 x 1.1 mm, as whole numbers, and
written as a raw dataset into FOLDER, which must not exist; beside it masks of the T1w's
brain. Then the page's commands are run, each a process. Prints how far T2w lay from T1w
before and after its alignment, over the brain, the time and the memory that each
command took, and the table of `lsdn evaluate`.
"""

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
from open_ms import data_folder
from scipy.spatial.transform import Rotation

from sklearn_lsdn.volumes import register_rigid
from sklearn_lsdn.volumes._registration import AffineTransform, resample

PAGE = Path(__file__).parents[1] / "docs" / "pipeline.md"
SUBJECTS = ("sub-07", "sub-19", "sub-26")
CONTRASTS = ("T1w", "T2w")
VOXEL_SIZE = np.array([0.95, 0.95, 1.1])
ANGLE, SHIFT = 15, 20  # degrees, mm


def random_move(rng):
    """Of a head, about an axis and along a direction drawn at random."""
    axis, direction = (each / np.linalg.norm(each) for each in rng.normal(size=(2, 3)))
    move = np.eye(4)
    turn = np.radians(rng.uniform(0, ANGLE)) * axis
    move[:3, :3] = Rotation.from_rotvec(turn).as_matrix()
    move[:3, 3] = rng.uniform(0, SHIFT) * direction
    return AffineTransform(move)


def scanners_grid(image):
    """An image of nothing around the middle of another, with room for a moved head."""
    side = np.linalg.norm(image.affine[:3, :3], axis=0)
    shape = np.ceil((np.array(image.shape) * side + 2 * SHIFT) / VOXEL_SIZE).astype(int)
    middle = nib.affines.apply_affine(image.affine, (np.array(image.shape) - 1) / 2)
    affine = np.diag([*VOXEL_SIZE, 1])
    affine[:3, 3] = middle - VOXEL_SIZE * (shape - 1) / 2
    return nib.Nifti1Image(np.zeros(shape, np.int16), affine)


def scan(data, folder):
    """Write the raw dataset and the masks; return how each of its scans was moved."""
    rng, moves = np.random.default_rng(8), {}
    (folder / "brains").mkdir(parents=True)
    for subject in SUBJECTS:
        for contrast in CONTRASTS:
            name = f"{subject}_space-MNI152_desc-preproc_{contrast}.nii.gz"
            image = nib.load(data / subject / "anat" / name)
            move, grid = random_move(rng), scanners_grid(image)
            moved = np.rint(resample(image, grid, move).get_fdata())
            path = folder / "raw" / subject / "anat" / f"{subject}_{contrast}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            save(moved.astype(np.int16), grid.affine, path)
            moves[subject, contrast] = move
            if contrast == "T1w":
                brain = nib.Nifti1Image(
                    np.float32(image.get_fdata() != 0), image.affine
                )
                brain = resample(brain, grid, move, interpolation="linear")
                path = folder / "brains" / f"{subject}_T1w_bet.nii.gz"
                save(np.uint8(brain.get_fdata() > 0.5), grid.affine, path)
    about = {"Name": "Open MS, out of alignment", "BIDSVersion": "1.10.0"}
    (folder / "raw" / "dataset_description.json").write_text(json.dumps(about))
    text = "Scans of the open MS data, turned, shifted and resampled.\n"
    (folder / "raw" / "README").write_text(text)
    return moves


def save(array, affine, path):
    image = nib.Nifti1Image(array, affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    nib.save(image, path)


def apart(raw, mask, moves):
    """How far T2w lies from T1w over the brain, in mm, as it is and once aligned."""
    t1w, t2w = (raw.with_name(raw.name.replace("T1w", c)) for c in CONTRASTS)
    image = nib.load(mask)
    voxels = np.argwhere(np.asarray(image.dataobj))[::1000]
    points = nib.affines.apply_affine(image.affine, voxels)
    _, found = register_rigid(t2w, t1w)
    ends = moves[0].apply(points)
    for there in (points, found.apply(points)):
        yield np.linalg.norm(moves[1].apply(there) - ends, axis=1).mean()


def run(command, folder):
    """Run a command of the page; return what it prints, and a row of what it took."""
    start = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "sklearn_lsdn", *shlex.split(command)],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"lsdn {command} failed.")
    wall, used = time.perf_counter() - start, usage.ru_utime + usage.ru_stime
    name, megabytes = command.split()[0], usage.ru_maxrss / 1024
    return printed, f"| `lsdn {name}` | {wall:.0f} | {used:.0f} | {megabytes:.0f} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    folder, data = parser.parse_args().folder, data_folder()
    moves = scan(data, folder)
    rows = ["| command | s | s of processor | MB at most, in one process |"]
    rows.append("|---|---|---|---|")
    for command in re.findall(r"^    lsdn (.+)$", PAGE.read_text(), re.MULTILINE):
        printed, row = run(command, folder)
        rows.append(row)
        if command.startswith("evaluate"):
            table = printed
    print("| T2w from T1w, mm | before | after |\n|---|---|---|")
    for subject in SUBJECTS:
        t1w = folder / "raw" / subject / "anat" / f"{subject}_T1w.nii.gz"
        mask = folder / "brains" / f"{subject}_T1w_bet.nii.gz"
        before, after = apart(t1w, mask, [moves[subject, c] for c in CONTRASTS])
        print(f"| {subject} | {before:.1f} | {after:.2f} |")
    print("\n".join(["", *rows, "", table]))


if __name__ == "__main__":
    main()

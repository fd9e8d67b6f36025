"""What it costs that each subject's scans lie on the scanner's own grid.

    LSDN_DATA=<folder with open_ms_mni and brats_tcia> python benchmarks/own_grid.py
    ... --what scanner places tilts voxels      some of its parts
    ... --quick                 a smoke test on simulated scans, networks of 5 nodes

Open MS data (Lesjak et al., 2017, doi:10.1007/s12021-017-9348-7), patients with glioma
(BraTS, the part of The Cancer Imaging Archive: Menze et al. 2015,
doi:10.1109/TMI.2014.2377694; Bakas et al. 2017, doi:10.1038/sdata.2017.117; Bakas et
al. 2018, arXiv:1811.02629) and simulated subjects. SNR in dB of subjects held back, by
the default synthesizer, each subject with a mask.

scanner: each contrast of each open MS subject is moved by its own rigid motion of up
to 15 degrees and 20 mm and resampled once, to 0.95 x 0.95 x 1.1 mm and int16. Targets
of training subjects are registered to their sources; the subject held back is predicted
on its own grid, and compared with its target resampled there by the motion that is
known. Beside it the archive's registered scans, resampled alike, but not moved.

places: what says where a voxel lies, on cohorts in one space and on simulated subjects
who are not.

tilts: heads turned against the axes of their voxels, by models of straight ones. The
header tells it, or it does not. All heads were resampled once; at 3 degrees, as at
more, interpolation smooths some voxels and others not, which 0 degrees could not show.

voxels: heads at other voxel sizes, by a model of 1 mm, by the same network when it
takes their voxels for its own, and by a model of their voxel size. Larger voxels are
means; smaller ones show no more than the scan that they were resampled from.
"""

import argparse
import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from moved_heads import claimed, real_cohorts, rigid_motion, simulated, whole_numbers
from open_ms import data_folder
from scipy.spatial.transform import Rotation

from sklearn_lsdn import LSDNRegressor, VolumeSynthesizer
from sklearn_lsdn.exceptions import ScanWarning
from sklearn_lsdn.volumes import register_rigid

SPACING = np.array([0.95, 0.95, 1.1])
AXES = {"nodding": (1, 0, 0), "obliquely": (1, 1, 1)}
FEW = dict(  # for a smoke test
    directions=(("T1w", "T2w"),), places=("world", "brain"), tilts=(20,), sizes=(2,)
)
N_FOLDS = 3  # of patients

# How a synthesizer does


@dataclass
class Plan:
    """What is measured, and how synthesizers are trained."""

    n_voxels: int = 300_000  # of all training subjects, 100 000 of each at most
    seeds: int = 1  # from which each is trained
    network: object = None
    voxel_size: float = 1.0  # of the scans as they are given, in mm
    directions: tuple = (("T1w", "T2w"), ("T2w", "T1w"))
    places: tuple = ("world", "brain", "template", None)
    tilts: tuple = (3, 10, 20, 30)
    sizes: tuple = (0.8, 0.9, 1.1, 1.2, 1.5, 2, (1, 1, 3), (1, 1, 5))

    def trained(self, triples, places="brain"):
        """Some synthesizers, each from other random numbers."""
        sources, targets, masks = map(list, zip(*triples, strict=True))
        n_voxels = min(self.n_voxels // len(triples), 100_000)
        options = dict(places=places, n_voxels=n_voxels)
        return [
            VolumeSynthesizer(self.network, **options, random_state=seed).fit(
                sources, targets, masks=masks
            )
            for seed in range(self.seeds)
        ]


def snr(synthesizers, triple):
    """In dB, on the source's grid, a mean over synthesizers."""
    source, target, mask = ([each] for each in triple)
    given = dict(masks=mask, on_unlike="ignore")
    return float(
        np.mean([each.score_volumes(source, target, **given) for each in synthesizers])
    )


def held_back(plan, triples, tests, folds, **options):
    """SNR of each subject of some folds by a model of the others."""
    found = []
    for fold in folds:
        others = [triple for i, triple in enumerate(triples) if i not in fold]
        synthesizers = plan.trained(others, **options)
        found += [snr(synthesizers, tests[i]) for i in fold]
    return found


# The parts


def scanner(cohorts, plan):
    """Scans on grids of their own, beside those that were registered."""
    heads, rng = cohorts["open MS"], np.random.default_rng(19)
    spacing = plan.voxel_size * SPACING
    alike = [head.resampled(spacing).as_scanned() for head in heads]
    own, truths = [], []
    for head in heads:
        move = {contrast: rigid_motion(rng, head.middle) for contrast in head.scans}
        own.append(head.resampled(spacing, move=move).as_scanned())
        truths.append({})
        for source, target in plan.directions:
            grid = own[-1].scans[source]
            truth, _ = head.seen(target, grid.affine, grid.shape, move[source])
            truths[-1][target] = whole_numbers(truth)
    for direction in plan.directions:
        source, target = direction
        registered = [head.along(direction) for head in alike]
        training, tests = [], []
        for head, truth in zip(own, truths, strict=True):
            scan, other, mask = head.along(direction)
            moved, _ = register_rigid(other, scan)
            training.append((scan, moved, mask))
            tests.append((scan, truth[target], mask))
        folds = [[i] for i in range(len(heads))]
        for places in plan.places:
            for name, train, test in (
                ("registered, resampled alike", registered, registered),
                ("own grids", training, tests),
            ):
                found = held_back(plan, train, test, folds, places=places)
                yield dict(scans=name, direction=direction, places=places, snr=found)


def places(cohorts, plan):
    """What says where a voxel lies, on each cohort."""
    for cohort, heads in cohorts.items():
        n = len(heads)
        n_folds = min(n, N_FOLDS)
        folds = [range(i, n, n_folds) for i in range(n_folds)]
        for direction in plan.directions:
            triples = [head.along(direction) for head in heads]
            for each in plan.places:
                found = held_back(plan, triples, triples, folds, places=each)
                yield dict(cohort=cohort, direction=direction, places=each, snr=found)


def tilts(cohorts, plan):
    """Heads turned against their voxels' axes, by models of straight ones."""
    heads, size = cohorts["open MS"], np.full(3, plan.voxel_size)
    straight = [head.resampled(size) for head in heads]
    for direction in plan.directions[:1]:
        triples = [head.along(direction) for head in straight]
        for each in plan.places:
            for i, head in enumerate(heads):
                others = triples[:i] + triples[i + 1 :]
                synthesizers = plan.trained(others, places=each)
                of = dict(direction=direction, places=each, subject=i)
                for name, axis in AXES.items():
                    for degrees in plan.tilts:
                        axis = np.divide(axis, np.linalg.norm(axis))
                        turn = Rotation.from_rotvec(np.radians(degrees) * axis)
                        turn = turn.as_matrix()
                        tilted = head.resampled(size, axes=turn)
                        for told in (True, False):
                            seen = tilted if told else tilted.turned(turn.T)
                            found = snr(synthesizers, seen.along(direction))
                            yield dict(
                                of, axis=name, degrees=degrees, told=told, snr=[found]
                            )


def voxels(cohorts, plan):
    """Heads at other voxel sizes than the model's."""
    heads = cohorts["open MS"]
    for direction in plan.directions:
        for i, head in enumerate(heads):
            others = heads[:i] + heads[i + 1 :]
            synthesizers = plan.trained([each.along(direction) for each in others])
            for relative in plan.sizes:
                size = plan.voxel_size * np.broadcast_to(relative, 3)
                triple = head.resampled(size).along(direction)
                own = [each.resampled(size).along(direction) for each in others]
                found = {
                    "model of 1 mm": snr(synthesizers, triple),
                    "its voxels taken for 1 mm": snr(
                        synthesizers,
                        [claimed(each, plan.voxel_size) for each in triple],
                    ),
                    "model of its own": snr(plan.trained(own), triple),
                }
                for name, value in found.items():
                    yield dict(
                        direction=direction,
                        subject=i,
                        size=" x ".join(f"{side:g}" for side in size),
                        model=name,
                        snr=[value],
                    )


# What is printed


def print_table(rows, across, *down):
    """Means of SNR: a line for each of what is ``down``, a column for each across."""
    rows = [{**row, "direction": " to ".join(row["direction"])} for row in rows]
    columns = list(dict.fromkeys(tuple(row[key] for key in across) for row in rows))
    lines = list(dict.fromkeys(tuple(row[key] for key in down) for row in rows))
    heads = [*down, *(", ".join(map(str, column)) for column in columns)]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for line in lines:
        cells = list(map(str, line))
        for column in columns:
            found = [
                row["snr"]
                for row in rows
                if tuple(row[key] for key in (*down, *across)) == (*line, *column)
            ]
            cells.append(f"{np.mean(np.concatenate(found)):.2f}" if found else "-")
        print(f"| {' | '.join(cells)} |")
    print(flush=True)


PARTS = {
    "scanner": (scanner, ("direction",), "scans", "places"),
    "places": (places, ("direction",), "cohort", "places"),
    "tilts": (tilts, ("axis", "degrees"), "places", "told"),
    "voxels": (voxels, ("direction", "model"), "size"),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--what", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seeds", type=int, default=1, help="of each model")
    parser.add_argument("--json", type=Path, help="file for all that was found")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ScanWarning)
    if arguments.quick:
        network = LSDNRegressor((5,), max_iter=1)
        plan = Plan(600, 1, network, 8.0, **FEW)
        cohorts = simulated(3, 8)
        cohorts["open MS"] = cohorts.pop("simulated")
    else:
        plan = Plan(seeds=arguments.seeds)
        cohorts = {**real_cohorts(), **simulated(9, 2)}
        if not cohorts["open MS"] or not cohorts["patients"]:
            parser.error(f"no subjects in {data_folder()} or beside it")
    found = {}
    for what in arguments.what:
        part, *shown = PARTS[what]
        found[what] = list(part(cohorts, plan))
        print_table(found[what], *shown)
    if arguments.json:
        arguments.json.write_text(json.dumps(found))


if __name__ == "__main__":
    main()

"""What the target scans of other subjects are worth, and what they cost.

    LSDN_DATA=<folder with open_ms_mni and brats_tcia> python benchmarks/neighbours.py
    ... --cohort "open MS" --directions "T1w -> T2w"        a part of it
    ... --quick                 a smoke test on simulated scans, networks of 5 nodes

Open MS data (Lesjak et al., 2017, doi:10.1007/s12021-017-9348-7), one subject left out
at a time; patients with glioma (BraTS, the part of The Cancer Imaging Archive: Menze et
al. 2015, doi:10.1109/TMI.2014.2377694; Bakas et al. 2017, doi:10.1038/sdata.2017.117;
Bakas et al. 2018, arXiv:1811.02629), three folds of subjects, of which `--folds` says
how many are done. SNR in dB over the brain of subjects held back, by the default
synthesizer and by one that sees further, with and without `neighbours="warped"`;
processor seconds of training, and of predicting a subject; megabytes of the model.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from open_ms import data_folder

from sklearn_lsdn import LSDNRegressor, VolumeSynthesizer, save_model
from sklearn_lsdn.datasets import make_brain_cohort

NETWORKS = {"default": {}, "scales 1, 2, 4": dict(patch_scales=(1, 2, 4))}
N_FOLDS = {"open MS": 3, "patients": 3, "simulated": 3}
SPACES = {"open MS": "open_ms_mni", "patients": "brats_tcia"}


def scans_of(cohort):
    """Of each subject, in each contrast."""
    if cohort == "simulated":
        return make_brain_cohort(3, voxel_size=8, random_state=0).images
    folder = data_folder().parent / SPACES[cohort]
    return {
        contrast: [
            next(
                path
                for path in sorted(subject.glob(f"anat/*desc-preproc_{contrast}.nii*"))
                if "_ce-" not in path.name
            )
            for subject in sorted(folder.glob("sub-*"))
        ]
        for contrast in ("T1w", "T2w")
    }


def held_back(scans, direction, fold, n_folds, options):
    """SNR of each subject of a fold by a model of the others, and what it took."""
    source, target = (scans[contrast] for contrast in direction.split(" -> "))
    test = range(fold, len(source), n_folds)
    train = [i for i in range(len(source)) if i not in test]
    images, n_voxels = ([each[i] for i in train] for each in (source, target)), 300_000
    synthesizer = VolumeSynthesizer(
        **options, n_voxels=min(n_voxels // len(train), 100_000)
    )
    start = time.process_time()
    synthesizer.fit(*images)
    trained = time.process_time()
    images = ([each[i] for i in test] for each in (source, target))
    snr = synthesizer.score_volumes(*images, on_unlike="ignore").ravel().tolist()
    predicted = (time.process_time() - trained) / len(test)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.skops"
        save_model(synthesizer, path)
        megabytes = path.stat().st_size / 1e6
    return dict(snr=snr, costs=[trained - start, predicted, megabytes])


def table(results):
    """A line for each network and direction, with and without neighbours."""
    lines = [
        "| cohort | network | direction | neighbours | SNR, dB | of each subject "
        "| training, s | a subject, s | model, MB |",
        "|---" * 9 + "|",
    ]
    keys = dict.fromkeys(tuple(each["key"]) for each in results)
    for key in keys:
        ours = [each for each in results if tuple(each["key"]) == key]
        seeds = sorted({each["seed"] for each in ours})
        each_seed = [
            sum((each["snr"] for each in ours if each["seed"] == seed), [])
            for seed in seeds
        ]
        snr = np.mean(each_seed, axis=0)
        costs = np.mean([each["costs"] for each in ours], axis=0)
        of_each = " ".join(f"{value:.2f}" for value in snr)
        numbers = " | ".join(f"{value:.1f}" for value in costs)
        lines.append(
            f"| {' | '.join(key)} | {np.mean(snr):.2f} | {of_each} | {numbers} |"
        )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    directions = ["T1w -> T2w", "T2w -> T1w"]
    parser.add_argument("--cohort", nargs="+", choices=SPACES, default=[*SPACES])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=[*NETWORKS])
    parser.add_argument("--directions", nargs="+", default=directions)
    parser.add_argument("--folds", type=int, help="of each cohort, at most")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--json", type=Path, help="where to keep all results")
    parser.add_argument("--quick", action="store_true", help="a smoke test")
    arguments = parser.parse_args()
    cohorts, networks = arguments.cohort, {n: NETWORKS[n] for n in arguments.networks}
    if arguments.quick:
        cohorts, arguments.seeds, arguments.directions = (
            ["simulated"],
            1,
            directions[:1],
        )
        networks = {"default": dict(estimator=LSDNRegressor((5,), max_iter=2))}
    results = []
    for cohort in cohorts:
        scans, n_folds = scans_of(cohort), N_FOLDS[cohort]
        for network, options in networks.items():
            for direction in arguments.directions:
                for neighbours in (None, "warped"):
                    for seed in range(arguments.seeds):
                        chosen = dict(random_state=seed, neighbours=neighbours)
                        for fold in range(n_folds)[: arguments.folds]:
                            found = held_back(
                                scans, direction, fold, n_folds, options | chosen
                            )
                            key = cohort, network, direction, neighbours or "none"
                            results.append(dict(found, key=key, seed=seed))
                            if arguments.json:
                                arguments.json.write_text(json.dumps(results))
    print(table(results))


if __name__ == "__main__":
    main()

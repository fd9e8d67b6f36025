"""Leave one subject out on the open MS data: LSDN-1, CDN and VDN, SNR in dB.

    LSDN_DATA=<folder with open_ms_mni> python benchmarks/open_ms.py [--jobs 2]

The folder defaults to ../shared/data beside the checkout. Data: Lesjak et al.,
Neuroinformatics 2017, doi:10.1007/s12021-017-9348-7.
"""

import argparse
import os
from pathlib import Path

from sklearn_lsdn import CDNRegressor, LSDNRegressor, VDNRegressor, VolumeSynthesizer
from sklearn_lsdn.jobs import leave_one_subject_out

LAST = dict(average=1, learning_rate_decay=0.85)  # the last network, not a mean
NETWORKS = {
    "LSDN [30-200-20-1]": LSDNRegressor((200, 20), **LAST),
    "CDN [30-400-40-1]": CDNRegressor((400, 40), **LAST),
    "VDN [27-400-40-1]": VDNRegressor((400, 40), **LAST),
}


# The paper's setting, which the package's defaults go beyond: see `cohorts.py`.
PAPER = dict(
    n_estimators=1,
    patch_scales=(1,),
    target_patch_size=1,
    smoothing=0.0,
    augmentation=None,
    normalization="zscore",
    places="world",
)


def data_folder():
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("LSDN_DATA", beside)) / "open_ms_mni"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--jobs", type=int, default=-1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    folder = data_folder()
    subjects = sorted(path.name for path in folder.glob("sub-*"))
    if not subjects:
        parser.error(f"no subjects in {folder}")
    for source, target in (("T1w", "T2w"), ("T2w", "T1w")):
        sources, targets = (
            [
                next(folder.glob(f"{s}/anat/{s}_space-MNI152_*_{contrast}.nii.gz"))
                for s in subjects
            ]
            for contrast in (source, target)
        )
        evaluation = leave_one_subject_out(
            {
                name: VolumeSynthesizer(network, random_state=arguments.seed, **PAPER)
                for name, network in NETWORKS.items()
            },
            sources,
            targets,
            subjects,
            n_jobs=arguments.jobs,
        )
        print(f"{source} -> {target}\n{evaluation.table()}\n")


if __name__ == "__main__":
    main()

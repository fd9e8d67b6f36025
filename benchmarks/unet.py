"""A small 3-D U-Net beside the package's default, on subjects never seen.

    LSDN_DATA=<folder with open_ms_mni> python benchmarks/unet.py
    ... --directions "T1w -> T2w" --folds 1     a part of it
    ... --quick                 a smoke test on tiny simulated brains

Needs torch beside the package. One subject of the open MS data (Lesjak et al.,
Neuroinformatics 2017, doi:10.1007/s12021-017-9348-7) is left out at a time; both train
on the two others, on two threads, and are scored alike: SNR and PSNR over the
brain in the target scan's units, SSIM over the box around it.

The U-Net trains for 20 minutes of processor time, which are 10 minutes of two cores.
It sees crops of 32 voxels a side around voxels of the brain, half of them mirrored,
of z-scores that are 0 outside the brain; its loss is the mean square over the brain,
its optimiser Adam with a rate that falls to 0 along a cosine. It predicts a volume as
a whole. Times are the processor's, with reading the scans, of both threads together.

Each result is kept in the folder `--cache` under its settings, so that the next run
computes only what is missing. Remove the folder when the code has changed.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # no processor time for waiting

import argparse
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from cohorts import make_run, on_disk, scored, simulated, table
from sklearn.base import clone
from table1 import say, write_json
from threadpoolctl import threadpool_limits
from torch import nn

from sklearn_lsdn import LSDNRegressor, VolumeSynthesizer
from sklearn_lsdn.volumes import ZScoreNormalizer
from sklearn_lsdn.volumes._masks import Masker
from sklearn_lsdn.volumes._preparation import Preparation
from sklearn_lsdn.volumes._sampling import Window
from sklearn_lsdn.volumes._subjects import pair_subjects

N_THREADS = 2
DIRECTIONS = "T1w -> T2w", "T2w -> T1w"


class UNet(nn.Module):
    """Two convolutions at each of some levels, each of half the resolution."""

    def __init__(self, n_inputs, channels):
        super().__init__()
        wider = list(zip(channels, channels[1:], strict=False))
        self.down = nn.ModuleList(map(convolutions, (n_inputs, *channels), channels))
        self.up = nn.ModuleList(nn.ConvTranspose3d(b, a, 2, 2) for a, b in wider)
        self.merge = nn.ModuleList(convolutions(2 * a, a) for a in channels[:-1])
        self.last = nn.Conv3d(channels[0], 1, 1)

    def forward(self, x):
        skipped = []
        for block in self.down[:-1]:
            x = block(x)
            skipped.append(x)
            x = nn.functional.max_pool3d(x, 2)
        x = self.down[-1](x)
        for up, merge in zip(reversed(self.up), reversed(self.merge), strict=True):
            x = merge(torch.cat([skipped.pop(), up(x)], dim=1))
        return self.last(x)


def convolutions(n_inputs, n_outputs):
    layers = []
    for n in (n_inputs, n_outputs):
        convolution = nn.Conv3d(n, n_outputs, 3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm3d(n_outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class UNetSynthesizer(VolumeSynthesizer):
    """The U-Net in the place of a regressor, on whole volumes."""

    max_memory = None  # no limit

    def __init__(
        self,
        channels=(16, 32, 64),
        *,
        crop=32,
        batch_size=4,
        learning_rate=3e-3,
        minutes=20.0,  # of processor time
        random_state=0,
    ):
        self.channels = channels
        self.crop = crop
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.minutes = minutes
        self.random_state = random_state

    def fit(self, sources, targets):
        start = time.process_time()
        torch.set_num_threads(N_THREADS)
        torch.manual_seed(self.random_state)
        sources, targets = pair_subjects(sources, targets)
        preparation = Preparation.of(
            Masker.resolve(None),
            Window.of(1, (1,), 1, None),
            ZScoreNormalizer(),
            sources,
            targets,
        )
        drawn = preparation.draw(sources, targets, [0] * len(sources), n_voxels=1)
        self.preparation_ = preparation = preparation.fitted(list(drawn))
        crops = Crops(self.crop, np.random.RandomState(self.random_state))
        both = [*preparation.source_normalizers, *preparation.target_normalizers]
        for source, target in zip(sources, targets, strict=True):
            subject = preparation.read(source, target)
            described = (
                *subject.describe_sources(preparation.source_normalizers).values(),
                *subject.describe_targets(preparation.target_normalizers),
            )
            volumes = [*subject.volumes, *subject.scans]
            crops.add(normalised(both, volumes, described, subject.mask), subject.mask)
        self.network_ = UNet(self.n_contrasts_in_, self.channels).to(
            memory_format=torch.channels_last_3d
        )
        self.estimator_ = self.network_  # of which nothing is known
        self._train(crops, start)
        return self

    def _train(self, crops, start):
        adam = torch.optim.Adam(self.network_.parameters(), lr=self.learning_rate)
        self.network_.train()
        self.loss_curve_ = []
        while (spent := (time.process_time() - start) / (60 * self.minutes)) < 1:
            rate = self.learning_rate * (1 + np.cos(np.pi * spent)) / 2
            adam.param_groups[0]["lr"] = rate
            x, t, mask = crops.draw(self.batch_size)
            loss = ((self.network_(x) - t).square() * mask).sum() / mask.sum()
            adam.zero_grad()
            loss.backward()
            adam.step()
            self.loss_curve_.append(loss.item())
        self.network_.eval()

    @torch.inference_mode()
    def _synthesize(self, subject, *asked):
        """Of the brain's bounding box at once."""
        volumes, mask = subject.volumes, subject.mask
        normalizers = self.source_normalizers_
        descriptions = subject.describe_sources(normalizers).values()
        x = normalised(normalizers, volumes, descriptions, mask)
        box, inside = bounding_box(mask), mask[bounding_box(mask)]
        step = 2 ** (len(self.channels) - 1)
        fill = [(0, 0), *((0, -n % step) for n in inside.shape)]
        x = torch.from_numpy(np.pad(x[:, *box], fill))[None]
        x = x.contiguous(memory_format=torch.channels_last_3d)
        y = self.network_(x)[0, 0].numpy()
        means = y[tuple(slice(n) for n in inside.shape)][inside][:, None]
        return means, None, None, None


def normalised(normalizers, volumes, descriptions, mask):
    """Z-scores of each volume, 0 outside the brain as where convolutions pad."""
    scores = [
        normalizer.to_shared(volume, description)
        for normalizer, volume, description in zip(
            normalizers, volumes, descriptions, strict=True
        )
    ]
    return np.stack(scores) * mask


def bounding_box(mask):
    return tuple(slice(i.min(), i.max() + 1) for i in np.nonzero(mask))


class Crops:
    """Cubes around voxels of the brain, sources, target and mask of each."""

    def __init__(self, size, rng):
        self.size, self.rng = size, rng
        self.volumes, self.centers = [], []

    def add(self, volumes, mask):
        half = self.size // 2
        around = [(0, 0), *[(half, half)] * 3]
        everything = np.concatenate([volumes, mask[None]]).astype(np.float32)
        self.volumes.append(np.pad(everything, around))
        self.centers.append(np.argwhere(mask))

    def draw(self, n):
        cubes = []
        for _ in range(n):
            subject = self.rng.randint(len(self.volumes))
            centers = self.centers[subject]
            corner = centers[self.rng.randint(len(centers))]  # after padding
            place = tuple(slice(i, i + self.size) for i in corner)
            cube = self.volumes[subject][:, *place]
            cubes.append(cube[:, ::-1] if self.rng.randint(2) else cube)
        cubes = torch.from_numpy(np.stack(cubes))
        x, t, mask = cubes[:, :-2], cubes[:, -2:-1], cubes[:, -1:]
        return x.contiguous(memory_format=torch.channels_last_3d), t, mask


def contestants(cohort, arguments):
    default = VolumeSynthesizer(
        n_voxels=cohort.n_voxels, n_jobs=N_THREADS, random_state=arguments.seed
    )
    unet = UNetSynthesizer(minutes=arguments.minutes, random_state=arguments.seed)
    if arguments.quick:
        default.set_params(estimator=LSDNRegressor((20, 5), max_iter=2))
        unet.set_params(channels=(2, 4, 8), crop=8, minutes=0.005)
    return {"VolumeSynthesizer()": default, "U-Net": unet}


def compute(run):
    """Train, time, score and store the result."""
    with threadpool_limits(N_THREADS):
        noise = np.random.RandomState(0).uniform(1, 2, (2, 8, 8, 8))
        noise = [[nib.Nifti1Image(np.float32(v), np.eye(4))] for v in noise]
        small = clone(run.synthesizer)
        if isinstance(small, UNetSynthesizer):
            small.set_params(minutes=0.002)
        small.fit(*noise).predict(noise[0])  # compiled and loaded before the clock
        start = time.process_time()
        fitted = clone(run.synthesizer).fit(*run.train)
        result = {"training": time.process_time() - start}
        result |= scored(fitted, run.test)
    losses = getattr(fitted, "loss_curve_", [])
    result["updates"] = len(losses)
    result["training_loss"] = float(np.mean(losses[-100:])) if losses else None
    write_json(run.path, {**run.settings, **result})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--directions", nargs="+", default=DIRECTIONS)
    parser.add_argument("--folds", type=int, help="hold back the first few subjects")
    parser.add_argument("--minutes", type=float, default=20.0, help="for each U-Net")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=Path("unet_results"))
    parser.add_argument("--quick", action="store_true", help="a smoke test")
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    if arguments.quick:
        cohort = simulated(arguments, 8.0)
    else:
        cohort = on_disk("open_ms_mni", 100_000)
    plans = {
        direction: [
            make_run(cohort, direction, row, synthesizer, fold, arguments)
            for row, synthesizer in contestants(cohort, arguments).items()
            for fold in [*cohort.folds][: arguments.folds]
        ]
        for direction in arguments.directions
    }
    for run in [run for runs in plans.values() for run in runs]:
        if not run.path.exists():
            compute(run)
            result = run.result()
            snr = result["subjects"][0]["snr"]
            say("{direction}, {row}, {fold}: ".format(**result) + f"{snr:.2f} dB")
    for direction, runs in plans.items():
        print(f"{direction}\n\n{table(runs)}\n")


if __name__ == "__main__":
    sys.exit(main())

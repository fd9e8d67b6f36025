"""ShrinkConnect against other ways to a small network: SNR held back, and speed.

    LSDN_DATA=<folder with open_ms_mni> python benchmarks/shrink.py
    ... --max-iter 30       epochs after shrinking, 10 by default
    ... --variants          what each departure from the paper and each rule brings
    ... --figure FILE.png   SNR and time against size

On the open MS data, one subject left out, both directions. A network is shrunk to a
fraction of its hidden nodes and trained some epochs further. Beside it, at the same
size: training from scratch for as many epochs as both together, at the same first and
last learning rate and in batches as small; removing nodes at random, and removing
those with the smallest outgoing filters, each with the same epochs on the same
targets. Speed is the median of several predictions of one volume on one thread, file
reading excluded, alternating between the networks.
"""

import argparse
import copy
import time

import numpy as np
from joblib import Parallel, delayed
from open_ms import PAPER, data_folder
from threadpoolctl import threadpool_limits

from sklearn_lsdn import (
    LSDNRegressor,
    ShrinkConnect,
    VolumeSynthesizer,
    simultaneous_omp,
)
from sklearn_lsdn._regressors.training import holding, settings_of, train_further

SIZES = {"LSDN-1": (200, 20), "LSDN-2": (400, 40)}
BATCH_SIZE = 64  # of small networks: a quarter of the full network's
FRACTIONS = (0.1, 0.25, 0.5, 0.75)
VARIANTS = {
    "default": {},
    "the paper's way": {"preserve": "responses", "distillation": 0.0},
    'preserve="responses"': {"preserve": "responses"},
    "distillation=0": {"distillation": 0.0},
    "distillation=1": {"distillation": 1.0},
    'selection="absolute"': {"selection": "absolute"},
    'selection="residual"': {"selection": "residual"},
}


def images(contrast):
    folder = data_folder()
    subjects = sorted(path.name for path in folder.glob("sub-*"))
    pattern = "{0}/anat/{0}_space-MNI152_*_{1}.nii.gz"
    paths = [next(folder.glob(pattern.format(s, contrast))) for s in subjects]
    return subjects, paths


def remove_nodes(regressor, kept):
    """Keep some nodes of each hidden layer, without making up for the others."""
    network = regressor.network_
    for layer, nodes in enumerate(kept, start=1):
        itself = np.eye(network.layer_sizes[layer])[:, nodes]
        network = network.without_nodes(layer, nodes, itself)
    return holding(regressor, network)


def further(regressor, X, y, max_iter, seed):
    """As ShrinkConnect trains by default."""
    settings = settings_of(regressor)
    settings = settings.further(max_iter, 4.0 * settings.learning_rate, BATCH_SIZE)
    data = X, y.reshape(len(y), -1), np.ones(len(X))
    train_further(regressor, data, settings, np.random.RandomState(seed), (X, y, None))
    return regressor


def smaller_networks(network, fraction, X, y, max_iter, seed):
    """Networks of one size, by the way they came about."""
    sizes = [max(1, round(fraction * len(b))) for b in network.intercepts_[:-1]]
    rng = np.random.RandomState(seed)
    at_random = [
        rng.choice(len(b), n, replace=False)
        for b, n in zip(network.intercepts_[:-1], sizes, strict=True)
    ]
    strongest = [
        np.argsort(-np.linalg.norm(F, axis=1))[:n]
        for F, n in zip(network.coefs_[1:], sizes, strict=True)
    ]
    epochs = network.max_iter + max_iter
    scratch = LSDNRegressor(
        tuple(sizes),
        max_iter=epochs,
        batch_size=BATCH_SIZE,
        learning_rate_decay=network.learning_rate_decay ** (network.max_iter / epochs),
        random_state=seed,
    )
    mixed = (y + network.predict(X)) / 2  # for all that are trained further
    shrunken = ShrinkConnect(
        network, keep=fraction, max_iter=max_iter, prefit=True, random_state=seed
    )
    return {
        "ShrinkConnect": shrunken.fit(X, y).estimator_,
        "from scratch": scratch.fit(X, y),
        "random removal": further(
            remove_nodes(network, at_random), X, mixed, max_iter, seed
        ),
        "magnitude pruning": further(
            remove_nodes(network, strongest), X, mixed, max_iter, seed
        ),
    }


def predict_seconds(synthesizer, networks, source, repeats=5):
    """Median seconds to predict a volume that has been read and normalised."""
    from sklearn_lsdn.volumes._images import open_image
    from sklearn_lsdn.volumes._patches import PaddedVolumes

    file = open_image(source, "source")
    volume = file.read()
    mask = volume != 0
    normalised = synthesizer.source_normalizers_[0].transform(volume, mask)
    padded = PaddedVolumes([normalised], file.affine, 3, [0.0])
    centers = padded.centers(mask)
    seconds = {name: [] for name in networks}
    for repeat in range(repeats + 1):
        for name, network in networks.items():
            start = time.perf_counter()
            network.network_.voxels(padded, centers, 1)
            if repeat:  # the first is for warming up
                seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(values)) for name, values in seconds.items()}


def train_fold(source, target, held_back, model, seed):
    """A synthesizer, its training voxels, and the scans of the subject held back."""
    _, sources = images(source)
    subjects, targets = images(target)
    train = [i for i in range(len(subjects)) if i != held_back]
    data = [sources[i] for i in train], [targets[i] for i in train]
    synthesizer = VolumeSynthesizer(
        LSDNRegressor(SIZES[model]), random_state=seed, **PAPER
    )
    synthesizer.fit(*data)
    X, y = synthesizer.sample_voxels(*data, random_state=seed)  # those of fit
    return synthesizer, X, y, ([sources[held_back]], [targets[held_back]])


def score(synthesizer, network, scans):
    """SNR of a network in the place of the synthesizer's own."""
    other = copy.copy(synthesizer)
    other.estimator_ = network
    return other.score(*scans)


def evaluate_fold(source, target, held_back, model, fractions, max_iter, seed):
    """SNR of the full network and of each smaller one on the subject held back."""
    synthesizer, X, y, scans = train_fold(source, target, held_back, model, seed)
    networks = {("full", 1.0): synthesizer.estimator_}
    for fraction in fractions:
        smaller = smaller_networks(
            synthesizer.estimator_, fraction, X, y, max_iter, seed
        )
        networks |= {(name, fraction): network for name, network in smaller.items()}
    scores = {
        key: score(synthesizer, network, scans) for key, network in networks.items()
    }
    return scores, synthesizer, networks, scans[0][0]


def evaluate_variants(source, target, held_back, model, max_iter, seed):
    """SNR against the full network, and rise of the training error, of each variant."""
    synthesizer, X, y, scans = train_fold(source, target, held_back, model, seed)
    full = score(synthesizer, synthesizer.estimator_, scans)
    results = {}
    for name, parameters in VARIANTS.items():
        shrunken = ShrinkConnect(
            synthesizer.estimator_,
            keep=0.25,
            max_iter=max_iter,
            prefit=True,
            random_state=seed,
            **parameters,
        ).fit(X, y)
        snr = score(synthesizer, shrunken.estimator_, scans)
        results[name] = snr - full, 100 * shrunken.path_[-1]["degradation"]
    return results


def time_pursuit(n_nodes=400, n_kept=100, n_samples=200_000):
    """Seconds to choose nodes of a layer: Gram matrix, in blocks, and pursuit."""
    rng = np.random.RandomState(0)
    block = rng.uniform(size=(16_384, n_nodes)).astype(np.float32)
    seconds = []
    with threadpool_limits(1):
        for _ in range(3):
            start = time.perf_counter()
            gram = np.zeros((n_nodes, n_nodes))
            for first in range(0, n_samples, len(block)):
                rows = block[: n_samples - first].astype(np.float64)
                gram += rows.T @ rows
            simultaneous_omp(gram=gram, n_nonzero=n_kept)
            seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def table(jobs, max_iter, seed):
    print(f"{time_pursuit():.2f} s to choose 100 of 400 nodes on 200 000 samples\n")
    print("| network | direction | way | SNR, dB | against full |")
    print("|---|---|---|---|---|")
    n_subjects = len(images("T1w")[0])
    for source, target in (("T1w", "T2w"), ("T2w", "T1w")):
        for model in SIZES:
            folds = Parallel(n_jobs=jobs)(
                delayed(evaluate_fold)(
                    source, target, fold, model, (0.25,), max_iter, seed
                )
                for fold in range(n_subjects)
            )
            full = np.mean([scores["full", 1.0] for scores, *_ in folds])
            for way, fraction in folds[0][0]:
                mean = np.mean([scores[way, fraction] for scores, *_ in folds])
                name = "full" if way == "full" else f"{way}, a quarter"
                print(
                    f"| {model} | {source} -> {target} | {name} | {mean:.2f} | "
                    f"{mean - full:+.2f} |",
                    flush=True,
                )
            if (source, target) == ("T1w", "T2w"):
                _, synthesizer, networks, path = folds[0]
                timed = {
                    "full": networks["full", 1.0],
                    "a quarter": networks["ShrinkConnect", 0.25],
                }
                seconds = predict_seconds(synthesizer, timed, path)
                ratio = seconds["full"] / seconds["a quarter"]
                print(
                    f"| {model} | prediction of a volume | full, a quarter | "
                    f"{seconds['full']:.2f} s, {seconds['a quarter']:.3f} s | "
                    f"{ratio:.1f} times faster |",
                    flush=True,
                )


def compare_variants(jobs, max_iter, seed):
    print(
        "| network | direction | variant | SNR against full, dB | training error, % |"
    )
    print("|---|---|---|---|---|")
    for source, target in (("T1w", "T2w"), ("T2w", "T1w")):
        for model in SIZES:
            folds = Parallel(n_jobs=jobs)(
                delayed(evaluate_variants)(source, target, fold, model, max_iter, seed)
                for fold in range(len(images("T1w")[0]))
            )
            for name in VARIANTS:
                snr, error = np.mean([fold[name] for fold in folds], axis=0)
                print(
                    f"| {model} | {source} -> {target} | {name} | {snr:+.3f} | "
                    f"{error:+.1f} |",
                    flush=True,
                )


def draw(path, jobs, max_iter, seed):
    """SNR and prediction time against size, averaged over the subjects held back."""
    from matplotlib.figure import Figure

    folds = Parallel(n_jobs=jobs)(
        delayed(evaluate_fold)("T1w", "T2w", fold, "LSDN-1", FRACTIONS, max_iter, seed)
        for fold in range(len(images("T1w")[0]))
    )
    _, synthesizer, networks, source = folds[0]
    timed = {"full": networks["full", 1.0]}
    timed |= {f: networks["ShrinkConnect", f] for f in FRACTIONS}
    seconds = predict_seconds(synthesizer, timed, source)

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    snr, speed = figure.subplots(1, 2)
    ways = ("ShrinkConnect", "from scratch", "random removal", "magnitude pruning")
    for way, marker in zip(ways, "osv^", strict=True):
        means = [np.mean([fold[0][way, f] for fold in folds]) for f in FRACTIONS]
        snr.plot(np.multiply(FRACTIONS, 100), means, marker=marker, label=way)
        print(way, dict(zip(FRACTIONS, np.round(means, 3).tolist(), strict=True)))
    full = np.mean([fold[0]["full", 1.0] for fold in folds])
    print("full", round(float(full), 3), seconds)
    snr.axhline(full, color="0.4", linestyle="--", label="full network")
    snr.set(xlabel="hidden nodes kept (%)", ylabel="SNR, subject held back (dB)")
    snr.legend()
    percent = [*np.multiply(FRACTIONS, 100), 100]
    times = [*(seconds[f] for f in FRACTIONS), seconds["full"]]
    speed.plot(percent, times, "o-", color="0.2")
    speed.set(xlabel="hidden nodes kept (%)", ylabel="prediction, one thread (s)")
    speed.set_ylim(0)
    figure.suptitle("LSDN-1 on open MS, T1w to T2w, mean over three subjects held back")
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--jobs", type=int, default=-1)
    parser.add_argument("--max-iter", type=int, default=10, metavar="EPOCHS")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figure", help="draw SNR and time against size instead")
    parser.add_argument("--variants", action="store_true", help="of ShrinkConnect")
    arguments = parser.parse_args()
    how = arguments.jobs, arguments.max_iter, arguments.seed
    if arguments.variants:
        compare_variants(*how)
    elif arguments.figure:
        draw(arguments.figure, *how)
    else:
        table(*how)


if __name__ == "__main__":
    main()

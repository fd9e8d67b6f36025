"""One model for any subset of sources, beside a model for each, on open MS.

    LSDN_DATA=<folder with open_ms_mni> python benchmarks/missing_sources.py
    ... --folds 3 --n-voxels 20000 --targets T2w     a part of it

T1w, T2w and FLAIR: towards each of them from every subset of the two others. SNR in dB
of subjects held back, and the processor's time of training on one thread. Each result
is printed as it comes; the tables follow. Data: Lesjak et al., Neuroinformatics 2017,
doi:10.1007/s12021-017-9348-7.
"""

import argparse
import itertools
import time
import warnings

import numpy as np
from open_ms import data_folder
from threadpoolctl import threadpool_limits

from sklearn_lsdn import VolumeSynthesizer
from sklearn_lsdn.exceptions import ScanWarning

CONTRASTS = "T1w", "T2w", "FLAIR"


def subsets(sources):
    """All but the empty one, whole one last."""
    sizes = range(1, len(sources) + 1)
    return [each for n in sizes for each in itertools.combinations(sources, n)]


def images(scans, contrasts, among):
    """Of each subject those contrasts, and None for the others."""
    return [[s[c] if c in contrasts else None for c in among] for s in scans]


def trained(scans, sources, target, **parameters):
    """A synthesizer, and the seconds that the processor took for it."""
    start = time.process_time()
    synthesizer = VolumeSynthesizer(random_state=0, n_jobs=1, **parameters)
    synthesizer.fit(images(scans, sources, sources), [s[target] for s in scans])
    return synthesizer, time.process_time() - start


def fold_results(train, test, target, **parameters):
    """SNR of each subject held back, by model and subset; seconds of each model."""
    sources = tuple(c for c in CONTRASTS if c != target)
    truths = [s[target] for s in test]
    for subset in subsets(sources):
        model, seconds = trained(train, subset, target, **parameters)
        scores = model.score_volumes(images(test, subset, subset), truths)
        yield "its own", subset, scores, seconds
    model, seconds = trained(train, sources, target, missing_sources=True, **parameters)
    for subset in subsets(sources):
        scores = model.score_volumes(images(test, subset, sources), truths)
        yield "for any", subset, scores, seconds


def table(target, results):
    """Lines of a table in Markdown."""
    yield f"| to {target} from | its own model | the model for any |"
    yield "| --- | --- | --- |"
    for subset in dict.fromkeys(subset for _, subset in results):
        own, took = map(np.mean, results["its own", subset])
        snr, seconds = map(np.mean, results["for any", subset])
        yield (
            f"| {' and '.join(subset)} | {own:.2f} dB, {took:.0f} s "
            f"| {snr - own:+.2f} dB, {seconds / took:.2f} times |"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--targets", nargs="+", default=CONTRASTS, choices=CONTRASTS)
    parser.add_argument("--folds", type=int, default=0, help="0 leaves each out")
    parser.add_argument("--only", type=int, help="of so many folds from the first")
    parser.add_argument("--n-voxels", type=int, default=100_000)
    arguments = parser.parse_args()
    folder = data_folder()
    scans = [
        {
            c: str(next(path.glob(f"anat/{path.name}_space-MNI152_*_{c}.nii.gz")))
            for c in CONTRASTS
        }
        for path in sorted(folder.glob("sub-*"))
    ]
    if not scans:
        parser.error(f"no subjects in {folder}")
    n_folds = arguments.folds or len(scans)
    for target in arguments.targets:
        results = {}
        for fold in range(n_folds)[: arguments.only]:
            test = scans[fold::n_folds]
            train = [s for s in scans if s not in test]
            found = fold_results(train, test, target, n_voxels=arguments.n_voxels)
            for model, subset, scores, seconds in found:
                all_scores, times = results.setdefault((model, subset), ([], []))
                all_scores += scores.ravel().tolist()
                times.append(seconds)
                name = f"{target} from {' and '.join(subset)}, {model}"
                print(f"{name}: {scores.mean():.2f} dB, {seconds:.0f} s", flush=True)
        print("\n".join(["", *table(target, results), ""]), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore", ScanWarning)
    with threadpool_limits(1):
        main()

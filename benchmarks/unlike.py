"""Whether a model says that a scan is unlike those of training, and is right about it.

    LSDN_DATA=<folder with open_ms_mni and brats_tcia> python benchmarks/unlike.py
    ... --quick                 a smoke test on simulated scans, networks of 5 nodes

Open MS data (Lesjak et al., 2017, doi:10.1007/s12021-017-9348-7) and twelve patients
with glioma (BraTS, the part of The Cancer Imaging Archive: Menze et al. 2015,
doi:10.1109/TMI.2014.2377694; Bakas et al. 2017, doi:10.1038/sdata.2017.117; Bakas et
al. 2018, arXiv:1811.02629). First, scans of open MS subjects that were spoilt, by
models of the other two: how many are told, how many with the right reason first, and
how many dB the synthesis by the default network loses. Second, scans as they are, by
models of the others of their cohort: how many are told nevertheless. Third, scans of
each cohort by models of the other, as they lie and with the boxes of the brains put
over each other; and how the one number, `Likeness.distance`, ranks what is lost in dB,
by Spearman's correlation. A loss is that against the synthesis of the clean scan by the
model of the others of its own cohort. Last, what it all costs.
"""

import argparse
import json
import os
import tempfile
import time
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path

import joblib
import llvmlite.binding
import numpy as np
from novelty import middle, moved, scan_of
from open_ms import data_folder
from scipy.stats import spearmanr
from sklearn.linear_model import LinearRegression
from spoilt_scans import CONTRAST, cases, with_data
from threadpoolctl import threadpool_limits

from sklearn_lsdn import (
    LSDNRegressor,
    VolumeSynthesizer,
    load_model,
    save_model,
    snr_score,
)
from sklearn_lsdn.datasets import make_brain_cohort
from sklearn_lsdn.exceptions import ScanWarning

DIRECTIONS = ("T1w", "T2w"), ("T2w", "T1w")
N_FOLDS = 3  # of patients, by networks

# What is measured


class Models:
    """How synthesizers are trained: networks, and what only has to remember."""

    def __init__(self, n_voxels, places, network=None):
        self.n_voxels, self.places, self.network = n_voxels, places, network

    def trained(self, sources, targets):
        n_voxels = self.n_voxels // len(sources)
        options = dict(n_voxels=n_voxels, places=self.places, random_state=0)
        return VolumeSynthesizer(self.network, **options).fit(sources, targets)

    def remembering(self, sources, targets):
        """A synthesizer as quick as can be; what it remembers is the same."""
        return VolumeSynthesizer(
            LinearRegression(),
            patch_size=1,
            patch_scales=(1,),
            smoothing=0,
            n_voxels=2000,
            places=self.places,
            random_state=0,
        ).fit(sources, targets)


def said_of(synthesizer, source):
    return synthesizer.synthesize(source).likeness


def snr(synthesizer, source, truth):
    """In the units of the truth, over the brain of both."""
    (image,) = synthesizer.predict([source], scale_to=[truth], on_unlike="ignore")
    one, *_ = source if isinstance(source, list) else [source]
    truth, image, one = (
        each.get_fdata(dtype=np.float32) for each in (truth, image, one)
    )
    brain = (truth != 0) & (one != 0)
    return float(snr_score(truth[brain], image[brain]))


def row(name, likeness, loss=None, said=None, **more):
    reasons = [reason for _, reason in likeness.reasons]
    first = reasons[0] if reasons else ""
    return {
        "name": name,
        "distance": likeness.distance,
        "values": likeness.values,
        "limits": likeness.limits,
        "reasons": reasons,
        "right": said is not None and any(each in first for each in said),
        "loss": loss,
        **more,
    }


def unsuitable(models, cohort, direction, subject, voxel_sizes, measured):
    """Rows of a subject of a cohort by a model of the others."""
    source, target = direction
    others = [s for s in cohort if s != subject]
    scans = [[cohort[s][c] for s in others] for c in direction]
    synthesizer, quick = models.trained(*scans), models.remembering(*scans)
    scan, truth = (cohort[subject][c] for c in direction)
    of = {"direction": direction, "subject": subject}
    reference = snr(synthesizer, scan, truth)
    rows = [row("as it is", said_of(quick, scan), 0.0, **of)]
    wrong = ["FLAIR", target] if target != "FLAIR" else ["FLAIR"]
    todo = [
        (f"{contrast} as {source}", (CONTRAST,), cohort[subject][contrast], truth)
        for contrast in wrong
    ]
    todo += [
        (name, said, change(scan), change_of_truth(truth) if change_of_truth else truth)
        for name, said, change, change_of_truth in cases(voxel_sizes)
        if models.places == "world" or "out of place" not in name
    ]
    for name, said, image, its_truth in todo:
        loss = reference - snr(synthesizer, image, its_truth) if measured else None
        rows.append(row(name, said_of(quick, image), loss, said, **of))
    return reference, rows


def exchanged(models, cohort, subject):
    """T2w of two sources that are in the wrong order."""
    others = [s for s in cohort if s != subject]
    pairs = {s: [cohort[s][c] for c in ("T1w", "FLAIR")] for s in cohort}
    training = [pairs[s] for s in others], [cohort[s]["T2w"] for s in others]
    synthesizer, quick = models.trained(*training), models.remembering(*training)
    truth, right = cohort[subject]["T2w"], pairs[subject]
    loss = snr(synthesizer, right, truth) - snr(synthesizer, right[::-1], truth)
    of = {"direction": ("T1w and FLAIR", "T2w"), "subject": subject}
    return [
        row("as it is", said_of(quick, right), 0.0, **of),
        row(
            "two sources exchanged",
            said_of(quick, right[::-1]),
            loss,
            ("look exchanged",),
            **of,
        ),
    ]


def suitable(models, cohort, direction):
    """Rows of each subject by what a model of all others remembers."""
    rows = []
    for subject in cohort:
        others = [s for s in cohort if s != subject]
        quick = models.remembering(*([cohort[s][c] for s in others] for c in direction))
        likeness = said_of(quick, cohort[subject][direction[0]])
        rows.append(row("as it is", likeness, direction=direction, subject=subject))
    return rows


def by_model(models, training, direction, groups):
    """Name, subject, distance and SNR of groups of subjects, by a model of training."""
    synthesizer = models.trained(*([t[c] for t in training] for c in direction))
    rows = []
    for name, cohort in groups.items():
        for subject, scans in cohort.items():
            synthesis = synthesizer.synthesize(*(scans[c] for c in direction))
            decibels = float(np.squeeze(synthesis.scores(snr_score)))
            of = {"direction": direction, "subject": subject, "snr": decibels}
            rows.append(row(name, synthesis.likeness, **of))
    return rows


def put_over(cohort, other):
    """A cohort, moved so that the mean box of its brains is where another's is."""
    middles = [
        np.mean([middle(scans["T1w"]) for scans in each.values()], axis=0)
        for each in (other, cohort)
    ]
    return {
        subject: {
            c: moved(image, middles[0] - middles[1]) for c, image in scans.items()
        }
        for subject, scans in cohort.items()
    }


def cost(models, cohort, direction, repeats):
    """Seconds of CPU of a prediction, without and with the check; bytes of a file."""
    scans = [[each[c] for each in cohort.values()] for c in direction]
    synthesizer = models.trained(*(images[1:] for images in scans))
    seconds = {"ignore": [], "warn": []}
    for _ in range(repeats + 1):  # the first loads kernels
        for on_unlike, taken in seconds.items():
            start = time.process_time()
            synthesizer.synthesize(scans[0][0], on_unlike=on_unlike)
            taken.append(time.process_time() - start)
    without, with_it = (np.median(taken[1:]) for taken in seconds.values())
    sizes = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.skops"
        for remembered in (synthesizer.preparation_.remembered, None):
            synthesizer.preparation_ = replace(
                synthesizer.preparation_, remembered=remembered
            )
            save_model(synthesizer, path)
            load_model(path)
            sizes.append(path.stat().st_size)
            path.unlink()
    return without, with_it, sizes[0] - sizes[1]


# What is printed


def alone(function, *given):
    """Call it with one thread, and without warnings of what is in the tables."""
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ScanWarning)
        return function(*given)


def share(n, of):
    return f"{n} of {of}"


def losses(rows):
    values = [each["loss"] for each in rows if each["loss"] is not None]
    if not values:
        return "-"
    return f"{np.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def print_unsuitable(rows):
    print("| unsuitable input | flagged | right reason first | loss, dB |")
    print("|---|---|---|---|")
    names = dict.fromkeys(each["name"] for each in rows)
    groups = {name: [each for each in rows if each["name"] == name] for name in names}
    for name, group in {**groups, "all": rows}.items():
        flagged = share(sum(bool(each["reasons"]) for each in group), len(group))
        right = share(sum(each["right"] for each in group), len(group))
        print(f"| {name} | {flagged} | {right} | {losses(group)} |")
    for each in rows:
        if not each["right"]:
            said, *_ = each["reasons"] or ["nothing"]
            where = f"{each['subject']}, {' to '.join(each['direction'])}"
            print(f"- {each['name']}, {where}: {said}")


def print_suitable(cohorts):
    print("\n| suitable input | flagged | largest distance |")
    print("|---|---|---|")
    for name, rows in cohorts.items():
        flagged = share(sum(bool(each["reasons"]) for each in rows), len(rows))
        largest = max(each["distance"] for each in rows)
        print(f"| {name} | {flagged} | {largest:.2f} |")
    for name, rows in cohorts.items():
        for each in rows:
            if each["reasons"]:
                print(f"- {name}, {each['subject']}: {' '.join(each['reasons'])}")


def print_pairs(rows):
    header = "scans by model | flagged | distance | loss, dB | what is said first"
    print(f"\n| {header} |\n|---|---|---|---|---|")
    for name in dict.fromkeys(each["name"] for each in rows):
        group = [each for each in rows if each["name"] == name]
        far = [each["distance"] for each in group]
        firsts = [" ".join(e["reasons"][0].split()[:3]) for e in group if e["reasons"]]
        cells = [
            share(len(firsts), len(group)),
            f"{np.median(far):.2f} ({min(far):.2f} to {max(far):.2f})",
            losses(group),
            ", ".join(f"{f} ... ({n})" for f, n in Counter(firsts).items()) or "-",
        ]
        print(f"| {name} | {' | '.join(cells)} |")


def print_ranks(sets):
    print("\n| distance ranks loss | pairs | Spearman |\n|---|---|---|")
    for name, rows in sets.items():
        rows = [each for each in rows if each["loss"] is not None]
        columns = ([each[key] for each in rows] for key in ("distance", "loss"))
        print(f"| {name} | {len(rows)} | {spearmanr(*columns)[0]:.2f} |")


def real_cohorts():
    """Scans by subject and contrast: of open MS, and of patients."""
    folder = data_folder()
    return (
        {
            path.name.removeprefix("sub-"): {
                contrast: scan_of(path, contrast) for contrast in contrasts
            }
            for path in sorted(each.glob("sub-*"))
        }
        for each, contrasts in (
            (folder, ("T1w", "T2w", "FLAIR")),
            (folder.parent / "brats_tcia", ("T1w", "T2w")),
        )
    )


def simulated_cohorts():
    for n_subjects, seed, place in ((3, 0, 0), (4, 1, 184)):
        simulated = make_brain_cohort(n_subjects, voxel_size=6, random_state=seed)
        cohort = {}
        for i, pair in enumerate(zip(*simulated.images.values(), strict=True)):
            t1w, t2w = (moved(image, place) for image in pair)
            flair = with_data(t1w, np.sqrt(abs(t1w.get_fdata() * t2w.get_fdata())))
            cohort[f"{i + 1:02d}"] = {"T1w": t1w, "T2w": t2w, "FLAIR": flair}
        yield cohort


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--n-voxels", type=int, default=60_000, help="in training")
    parser.add_argument(
        "--places",
        choices=("world", "brain"),
        default="world",
        help="by the brain's own, being out of place is not unsuitable",
    )
    parser.add_argument("--measured", type=int, default=1, help="subjects, in dB")
    parser.add_argument("--repeats", type=int, default=9, help="of what is timed")
    parser.add_argument("--json", type=Path, help="file for all that was found")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    voxel_sizes = (12, 4.8) if arguments.quick else (2, 0.8)
    if arguments.quick:
        network = LSDNRegressor((5,), max_iter=1)
        models = Models(1200, arguments.places, network)
        open_ms, patients = simulated_cohorts()
    else:
        models = Models(arguments.n_voxels, arguments.places)
        open_ms, patients = real_cohorts()
    if not open_ms or not patients:
        parser.error(f"no subjects in {data_folder()} or beside it")
    directions = DIRECTIONS[: 1 if arguments.quick else 2]
    warnings.simplefilter("ignore", ScanWarning)

    there = {"open MS": open_ms, "patients": patients}
    over = {
        "open MS": put_over(open_ms, patients),
        "patients": put_over(patients, open_ms),
    }
    names, folds = list(patients), range(N_FOLDS)
    todo = {}
    for d in directions:
        for i, subject in enumerate(open_ms):
            measured = i < arguments.measured
            todo["unsuitable", d, subject] = (
                unsuitable,
                open_ms,
                d,
                subject,
                voxel_sizes,
                measured,
            )
        todo["suitable", d] = suitable, patients, d
        for scans, model in (("patients", "open MS"), ("open MS", "patients")):
            groups = {
                f"{scans}, by a model of {model}, as they lie": there[scans],
                f"{scans}, by a model of {model}, put over": over[scans],
            }
            training = list(there[model].values())
            todo["across", d, scans] = by_model, training, d, groups
        for fold in folds:
            training = [patients[s] for i, s in enumerate(names) if i % N_FOLDS != fold]
            held = {s: patients[s] for i, s in enumerate(names) if i % N_FOLDS == fold}
            groups = {"patients, by a model of other patients": held}
            todo["own", d, fold] = by_model, training, d, groups
    for subject in open_ms:
        todo["exchanged", subject] = exchanged, open_ms, subject
    found = joblib.Parallel(n_jobs=arguments.jobs)(
        joblib.delayed(alone)(function, models, *given)
        for function, *given in todo.values()
    )
    found = dict(zip(todo, found, strict=True))

    references, spoilt, own, across, fine = {}, [], [], [], {}
    for key, result in found.items():
        match key:
            case "unsuitable", d, subject:
                references[d, subject], rows = result
                spoilt += rows
            case "exchanged", _:
                spoilt += result
            case "suitable", d:
                fine[f"patients, {d[0]} to {d[1]}"] = result
            case "own", d, _:
                own += result
                references |= {(d, each["subject"]): each["snr"] for each in result}
            case "across", _, _:
                across += result
    for each in own + across:
        each["loss"] = references[each["direction"], each["subject"]] - each["snr"]
    clean = [each for each in spoilt if each["name"] == "as it is"]
    for source, target in dict.fromkeys(each["direction"] for each in clean):
        name = f"open MS, {source} to {target}"
        fine[name] = [e for e in clean if e["direction"] == (source, target)]
    spoilt = [each for each in spoilt if each["name"] != "as it is"]
    for each in clean:
        each["name"] = "open MS, by a model of the other two"
    clean = [each for each in clean if each["direction"] in directions]
    print_unsuitable(spoilt)
    print_suitable(dict(sorted(fine.items())))
    natural = clean + own + across
    print_pairs(natural)
    over_each_other = [e for e in natural if "as they lie" not in e["name"]]
    print_ranks(
        {
            "all": natural + spoilt,
            "all but cohorts as they lie": over_each_other + spoilt,
            "nothing spoilt": natural,
            "nothing spoilt, cohorts put over each other": over_each_other,
        }
    )
    if arguments.json:
        every = {"spoilt": spoilt, "natural": natural, "suitable": fine}
        arguments.json.write_text(json.dumps(every))
    with threadpool_limits(1):
        without, with_it, size = cost(models, open_ms, DIRECTIONS[0], arguments.repeats)
    features = llvmlite.binding.get_host_cpu_features()
    width = 512 if features.get("avx512f") else 256 if features.get("avx2") else 128
    print(
        f"\nOn one of {os.cpu_count()} cores, vectors of {width} bits: a prediction "
        f"takes {without:.2f} s of CPU time, with the check {with_it:.2f} s "
        f"({with_it / without - 1:+.1%}). What is remembered "
        f"takes {size / 1000:.0f} kB of a model file."
    )


if __name__ == "__main__":
    main()

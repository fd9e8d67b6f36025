"""Damaged images and model files: each is used, or refused by a documented exception.

    python benchmarks/fuzz.py [--seconds 120] [--seed 0] [--what images models]
    python benchmarks/fuzz.py --what scans --executions 10000 --seconds 3600

Files are made by small damages to good ones: header fields, parts of a model's schema
and its arrays are replaced, exchanged or dropped, bytes flipped, ends cut off. Each is
opened, read and predicted from in a process with little memory, which a watchdog ends.
What ends in another exception, a crash, a hang or a lack of memory is a finding: it is
printed, and its file kept. The exit code is 1 if there are any. Scans are not damaged:
see `fuzz_scans.py`.
"""

import argparse
import gzip
import io
import json
import logging
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tokenize
import traceback
import warnings
import zipfile
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
from fuzz_scans import Scans, SilentlyWrong
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
)

from sklearn_lsdn import (
    CoupledSparseRegressor,
    LSDNRegressor,
    ModalityPropagationRegressor,
    ShrinkConnect,
    VolumeSynthesizer,
    load_model,
    save_model,
)
from sklearn_lsdn._persistence.model_files import describe_model
from sklearn_lsdn.volumes._images import open_image

DOCUMENTED = ValueError, TypeError, OSError
MEMORY = 4 * 2**30  # of addresses, most of which libraries take at the start
PATIENCE = 20  # seconds for one file
MOST_KEPT = 200  # findings whose files are kept
SHAPE = (7, 8, 6)
ODD = [0, 1, -1, 2, 3, 7, 255, 256, 32767, -32768, 2**31 - 1, -(2**31), 2**40]
ODD_FLOATS = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e38, -1e38, 1e-38, 1.5]
ODD_CONTENTS = [*ODD, 0.5, 1e308, True, None, "", "x", [], {}, "background"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--executions", type=int, default=10**9, help="at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--what", nargs="+", choices=list(USERS), default=["images", "models"]
    )
    parser.add_argument("--keep", default="fuzz-findings", help="folder of findings")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        make_good_files(Path(folder))
        return watch(arguments, folder)


def watch(arguments, folder):
    """Run workers, each from where the last one died, and count what they say."""
    end = time.monotonic() + arguments.seconds
    outcomes, findings, case = Counter(), 0, arguments.first
    while case < arguments.executions and time.monotonic() < end:
        command = [sys.executable, __file__, "--worker", folder, "--first", str(case)]
        command += ["--seconds", str(end - time.monotonic())]
        command += ["--executions", str(arguments.executions)]
        command += ["--seed", str(arguments.seed), "--keep", arguments.keep]
        worker = subprocess.Popen(
            [*command, "--what", *arguments.what], stdout=subprocess.PIPE, text=True
        )
        answered = True
        for line in worker.stdout:
            kind, _, rest = line.rstrip("\n").partition(" ")
            if kind == "case":
                case, answered = int(rest), False
            elif kind == "outcome":
                outcomes[rest], answered, case = outcomes[rest] + 1, True, case + 1
            else:
                findings += kind == "finding"
                print(line, end="", flush=True)
        if worker.wait() or not answered:
            findings += 1
            keep(arguments, make_case(arguments, Path(folder), case)[1], case)
            print(f"finding {case}: the process ended with {worker.returncode}")
            case += 1
    print(f"{sum(outcomes.values())} executions, {findings} findings")
    for outcome, count in outcomes.most_common():
        print(f"{count:8d}  {outcome}")
    return int(findings > 0)


def work(arguments):
    """Damage and use files until the time is over; say so on standard output."""
    warnings.simplefilter("ignore")
    logging.disable()  # what nibabel says of headers
    folder = Path(arguments.worker)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    users = {what: USERS[what](folder) for what in arguments.what}
    for what in arguments.what:
        for good in sorted((folder / what).glob("*")):
            users[what](good)  # which compiles, for longer than patience lasts
    end = time.monotonic() + arguments.seconds
    for case in range(arguments.first, arguments.executions):
        if time.monotonic() > end:
            break
        print(f"case {case}", flush=True)
        signal.alarm(PATIENCE)  # whose default is to end the process
        what, path = make_case(arguments, folder, case)
        try:
            outcome = users[what](path)
        except DOCUMENTED as error:
            outcome = f"{what}: {type(error).__name__}"
        except SilentlyWrong as error:
            outcome = f"{what}: silently wrong"
            keep(arguments, path, case)
            print(f"finding {case}: {outcome}: {error}")
        except Exception as error:
            outcome = f"{what}: {type(error).__name__}, which is not documented"
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(frame.filename).name}:{frame.lineno}"
            keep(arguments, path, case)
            print(f"finding {case}: {outcome} at {where}: {error}".replace("\n", " "))
        signal.alarm(0)
        remove(path)
        print(f"outcome {outcome}", flush=True)


def make_case(arguments, folder, case):
    """Write the file, or the folder, of a number."""
    rng = random.Random(f"{arguments.seed} {case}")
    what = rng.choice(arguments.what)
    return what, MAKERS[what](folder, rng)


def damaged(what, damage):
    """Make damaged files of good ones."""

    def make(folder, rng):
        good = rng.choice(sorted((folder / what).iterdir()))
        path = folder / f"damaged{''.join(good.suffixes)}"
        path.write_bytes(damage(good, rng))
        return path

    return make


def make_scans(folder, rng):
    """What scans are tried is drawn by what is written here."""
    path = folder / "scans"
    remove(path)  # what a worker that died left
    path.mkdir()
    (path / "case.json").write_text(json.dumps(rng.random()))
    return path


def keep(arguments, path, case):
    kept = Path(arguments.keep)
    kept.mkdir(exist_ok=True)
    if len(list(kept.iterdir())) < MOST_KEPT:
        shutil.move(path, kept / f"{arguments.seed}-{case}{''.join(path.suffixes)}")


def remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


# Good files


def make_images():
    data = np.random.RandomState(0).uniform(1, 2, SHAPE).astype(np.float32)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    return data, affine


def make_good_files(folder):
    (folder / "images").mkdir()
    (folder / "models").mkdir()
    data, affine = make_images()
    for name, kind, dtype in (
        ("float.nii", nib.Nifti1Image, "<f4"),
        ("zipped.nii.gz", nib.Nifti1Image, "<f4"),
        ("integer.nii.gz", nib.Nifti1Image, "<i2"),
        ("second.nii", nib.Nifti2Image, "<f8"),
        ("other.mgz", nib.MGHImage, ">f4"),
    ):
        image = kind(data, affine.astype(np.float32))
        image.set_data_dtype(np.dtype(dtype))
        nib.save(image, folder / "images" / name)
    network = LSDNRegressor((6, 4), max_iter=1)
    trees = HistGradientBoostingRegressor(max_iter=2, min_samples_leaf=5)
    images = [[nib.Nifti1Image(each, affine)] for each in (data, 3 - data)]
    for name, estimator, parameters in (
        ("lsdn", network, dict(normalization="nyul")),
        ("ensemble", network, dict(n_estimators=2)),
        ("shrunken", ShrinkConnect(network, keep=0.5, max_iter=1), {}),
        ("propagation", ModalityPropagationRegressor(), dict(target_patch_size=3)),
        ("sparse", CoupledSparseRegressor(6), {}),
        ("trees", trees, {}),
        ("forest", ExtraTreesRegressor(3, max_depth=4), {}),
        ("boosted", GradientBoostingRegressor(n_estimators=3), {}),
    ):
        synthesizer = VolumeSynthesizer(
            estimator, n_voxels=100, random_state=0, **parameters
        )
        save_model(synthesizer.fit(*images), folder / "models" / f"{name}.skops")


# Using them


def user_of_images(folder):
    synthesizer = load_model(folder / "models" / "lsdn.skops")

    def use(path):
        file = open_image(path, "source")
        file.like(file.read())
        synthesizer.predict([path])
        return "images: success"

    return use


def user_of_models(folder):
    data, affine = make_images()
    image = nib.Nifti1Image(data, affine)

    def use(path):
        describe_model(path)
        load_model(path).predict([image])
        return "models: success"

    return use


def user_of_scans(folder):
    return Scans().prepare(folder / "clean").use


USERS = {"images": user_of_images, "models": user_of_models, "scans": user_of_scans}

# Damaging them


def flip_bytes(content, rng, most=8):
    content = bytearray(content)
    for _ in range(rng.randint(1, most)):
        # The first bytes say what the others mean.
        stop = len(content) if rng.random() < 0.5 else min(len(content), 400)
        content[rng.randrange(stop)] = rng.choice(
            [0, 1, 127, 128, 255, rng.getrandbits(8)]
        )
    return bytes(content)


def cut(content, rng):
    at = rng.randrange(len(content))
    return content[:at] if rng.random() < 0.7 else content + content[:at]


def change_field(content, rng, header):
    dtype = header.structarr.dtype
    record = np.frombuffer(content, dtype, count=1).copy()
    for _ in range(rng.randint(1, 3)):
        name = rng.choice(dtype.names)
        values = record[name].reshape(-1)
        if values.dtype.kind in "iuf":
            odd = ODD_FLOATS if values.dtype.kind == "f" else ODD
            value = np.array(rng.choice(odd)).astype(values.dtype)
            values[rng.randrange(values.size)] = value
    return record.tobytes() + content[dtype.itemsize :]


def damage_image(path, rng):
    content, zipped = path.read_bytes(), path.suffix in (".gz", ".mgz")
    header = nib.load(path).header
    if zipped and rng.random() < 0.3:
        return rng.choice([flip_bytes, cut])(content, rng)
    content = gzip.decompress(content) if zipped else content
    draw = rng.random()
    if draw < 0.6:
        content = change_field(content, rng, header)
    elif draw < 0.85:
        content = flip_bytes(content, rng)
    else:
        content = cut(content, rng)
    return gzip.compress(content, 1) if zipped else content


def damage_model(path, rng):
    if rng.random() < 0.1:
        return rng.choice([flip_bytes, cut])(path.read_bytes(), rng)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    arrays = [name for name in members if name.endswith(".npy")]
    for _ in range(rng.randint(1, 2)):
        draw = rng.random()
        name, other = rng.choice(arrays), rng.choice(arrays)
        if draw < 0.2:
            members[name] = members[other]
        elif draw < 0.35:
            members[name] = flip_bytes(members[name], rng)
        elif draw < 0.45:
            members[name] = change_array(members[name], rng)
        elif draw < 0.5:
            members[name] = cut(members[name], rng)
        else:
            schema = json.loads(members["schema.json"])
            change_schema(schema, rng)
            members["schema.json"] = json.dumps(schema).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def change_array(content, rng):
    try:
        array = np.load(io.BytesIO(content)).copy()
    except (ValueError, EOFError, SyntaxError, tokenize.TokenError):  # damaged already
        return content
    if array.size and array.dtype.kind in "iuf" and rng.random() < 0.6:
        odd = ODD_FLOATS if array.dtype.kind == "f" else ODD
        value = np.array(rng.choice(odd)).astype(array.dtype)
        array.flat[rng.randrange(array.size)] = value
    elif array.ndim:
        array = rng.choice([array[:0], array[:-1], array[None], array.T, array.ravel()])
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def change_schema(schema, rng):
    holders = list(holders_within(schema))
    holder, key = rng.choice(holders)
    draw = rng.random()
    if draw < 0.15:
        del holder[key]
    elif draw < 0.4:
        other, its = rng.choice(holders)
        holder[key] = json.loads(json.dumps(other[its]))
    elif draw < 0.7 and isinstance(holder, dict) and holder.get("is_json"):
        holder["content"] = json.dumps(rng.choice(ODD_CONTENTS))
    else:
        leaves = [each for each, _ in holders if "is_json" in each]
        rng.choice(leaves)["content"] = json.dumps(rng.choice(ODD_CONTENTS))


def holders_within(value):
    """Every place in nested lists and dicts, as its holder and key."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from holders_within(value[key])


MAKERS = {
    "images": damaged("images", damage_image),
    "models": damaged("models", damage_model),
    "scans": make_scans,
}

if __name__ == "__main__":
    sys.exit(main())

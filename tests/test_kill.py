"""Commands killed at random moments leave whole outputs, or none.

As a script it forks, from one warm process, commands that run again and again until
they are killed, and looks at what they left. Random moments seldom hit the writing of
a small file, so every third command is held there; another third are killed once they
have finished and run again.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
from small_volumes import framed

SHAPE = (12, 12, 12)
KILLS = 30
LONGEST = 0.15  # seconds until a command is killed


def test_kills_leave_whole_files_or_none(tmp_path):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # which a fork can stand
    result = subprocess.run(
        [sys.executable, __file__, tmp_path],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    counts = json.loads(result.stdout.splitlines()[-1])
    assert counts["kills"] == KILLS
    assert counts["found whole"] >= KILLS // 3
    assert counts["killed while writing"] >= KILLS // 3


def _make_images(folder):
    paths = []
    for name, sign in (("T1w", 1), ("T2w", -1)):
        data = 3 + sign * np.random.RandomState(0).uniform(0, 1, SHAPE)
        image = nib.Nifti1Image(framed(data.astype(np.float32)), np.eye(4))
        paths.append(str(folder / f"sub-01_{name}.nii.gz"))
        nib.save(image, paths[-1])
    return paths


def _forever(main, line, held):
    """Run a command in a child until it is killed; its number."""
    child = os.fork()
    if child:
        return child
    if held:  # between writing a file and giving it its name
        os.fsync = lambda _: time.sleep(600)
    try:
        while main([*line, "--overwrite", "-q", "-j", "1"]) == 0:
            pass
    finally:
        os._exit(1)


def _wait_until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "the command does not write its file"
        time.sleep(0.001)


def _drive(folder):
    from sklearn_lsdn import load_model
    from sklearn_lsdn._commands.main import main

    source, target = _make_images(folder)
    model, again, out = (folder / name for name in ("a.skops", "b/b.skops", "out"))
    again.parent.mkdir()
    fit = ["fit", "--source", source, "--target", target, "--n-voxels", "200"]
    fit += ["--hidden-layer-sizes", "8", "--max-iter", "1", "-o"]
    assert main([*fit, str(model), "-q", "-j", "1"]) == 0
    predict = ["predict", str(model), source, "-o", str(out)]
    assert main([*predict, "-q", "-j", "1"]) == 0
    (output,) = out.iterdir()
    expected = output.read_bytes()
    voxels = load_model(model).predict([source])[0].get_fdata()

    rng = random.Random(0)
    counts = {"kills": 0, "found whole": 0, "killed while writing": 0}
    for kill in range(KILLS):
        line, file = ((*predict,), output) if kill % 2 else ((*fit, str(again)), again)
        for left in file.parent.iterdir():
            left.unlink()
        child = _forever(main, line, held=kill % 3 == 0)
        if kill % 3 == 0:
            _wait_until(lambda folder=file.parent: any(folder.iterdir()))
        elif kill % 3 == 1:
            _wait_until(file.exists)
        time.sleep(rng.uniform(0, LONGEST))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), "the command ended before it was killed"
        counts["kills"] += 1
        hidden = [p for p in file.parent.iterdir() if p.name.startswith(".")]
        counts["killed while writing"] += len(hidden)
        assert {*file.parent.iterdir()} - {*hidden} <= {file}
        if not file.exists():
            continue
        counts["found whole"] += 1
        if file == output:
            assert file.read_bytes() == expected
        else:
            predicted = load_model(file).predict([source])[0].get_fdata()
            np.testing.assert_array_equal(predicted, voxels)
    print(json.dumps(counts))


if __name__ == "__main__":
    _drive(Path(sys.argv[1]))

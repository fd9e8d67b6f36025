"""Progress of the command: bars on a terminal, lines elsewhere, nothing if quiet."""

import contextlib
import io
import os
import re
import select
import sys
import threading

import nibabel as nib
import numpy as np
import pytest

from sklearn_lsdn import EnsembleRegressor, LSDNRegressor
from sklearn_lsdn._commands.main import main
from sklearn_lsdn._commands.progress import Bars
from sklearn_lsdn._utils.progress import shown_by
from sklearn_lsdn.datasets import make_brain_cohort

pty = pytest.importorskip("pty", reason="there are no pseudo-terminals here")
pytest.importorskip("rich")

SMALL = ["--max-iter", "3", "--n-voxels", "500", "--hidden-layer-sizes", "20", "8"]


class Terminal:
    """A pseudo-terminal, and what was written to it."""

    def __init__(self):
        self._leader, follower = pty.openpty()
        self.file = os.fdopen(follower, "w")
        self._written = io.BytesIO()
        self._closing = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        # To its end, or as long as there is something: processes that were started
        # meanwhile may hold the other end open.
        while not self._closing.is_set() or select.select([self._leader], [], [], 0)[0]:
            if select.select([self._leader], [], [], 0.05)[0]:
                try:
                    self._written.write(os.read(self._leader, 4096))
                except OSError:
                    return

    def close(self):
        """Close it, and return its text without colours and movements."""
        if not self.file.closed:
            self.file.close()
            self._closing.set()
            self._reader.join()
            os.close(self._leader)
        text = self._written.getvalue().decode()
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "\n")


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of 120 columns."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    terminal = Terminal()
    yield terminal
    terminal.close()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two subjects in two contrasts, by the arguments that name them."""
    folder = tmp_path_factory.mktemp("data")
    cohort = make_brain_cohort(2, voxel_size=8, random_state=0)
    paths = {}
    for contrast, images in cohort.images.items():
        paths[contrast] = [str(folder / f"sub-{i}_{contrast}.nii") for i in (1, 2)]
        for image, path in zip(images, paths[contrast], strict=True):
            nib.save(image, path)
    return ["--source", *paths["T1w"], "--target", *paths["T2w"]]


@pytest.fixture(scope="module")
def model(data, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("model") / "t2w.skops")
    assert main(["fit", *data, *SMALL, "-o", path, "-q"]) == 0
    return path


READ = r"Reading subjects .* 2/2 "
TASKS = {
    "fit": (
        ["fit", "DATA", *SMALL, "-o", "OUT"],
        [READ, r"Training LSDNRegressor 20-8 .* 3/3 .*loss 0\.\d+"],
    ),
    "ensemble": (
        ["fit", "DATA", *SMALL, "--n-estimators", "2", "-o", "OUT"],
        [READ, r"Training LSDNRegressor 20-8 .* 3/3 .*loss 0\.\d+"],
    ),
    "fit --shrink": (
        ["fit", "DATA", *SMALL, "--shrink", "0.5", "-o", "OUT"],
        [READ, r"Training LSDNRegressor 10-4 .* 10/10 "],
    ),
    "shrink": (
        ["shrink", "MODEL", "DATA", "--n-voxels", "300", "--keep", "0.5", "-o", "OUT"],
        [r"Training LSDNRegressor 10-4 .* 10/10 "],
    ),
    "predict": (
        ["predict", "MODEL", "SOURCES", "-o", "OUT"],
        [r"Synthesising .* 2/2 .*sub-\d_T1w_synth\.nii \("],
    ),
    "evaluate": (
        ["evaluate", "DATA", *SMALL],
        [
            r"Checking images .* 2/2 ",
            r"Leaving one subject out .* 2/2 .*on sub-2: [\d.]+ dB",
        ],
    ),
}
"""Command lines, and the bars that they end with."""


@pytest.fixture
def run(data, model, tmp_path, terminal):
    """Run a task of `TASKS`, with the terminal as standard error."""
    words = {"DATA": data, "SOURCES": data[1:3], "MODEL": [model]}
    words["OUT"] = [str(tmp_path / "out.skops")]

    def run(task, *more):
        command, _ = TASKS[task]
        command = [each for word in command for each in words.get(word, [word])]
        with contextlib.redirect_stderr(terminal.file):
            return main([*command, *more])

    return run


@pytest.mark.parametrize("task", TASKS)
def test_bars_on_a_terminal(run, task, terminal, capsys):
    assert run(task) == 0
    text, bars = terminal.close(), TASKS[task][1]
    lines = [line for line in text.splitlines() if line.strip()]
    for line, bar in zip(lines[-len(bars) :], bars, strict=True):
        assert re.search(bar, line)
    assert not re.search("Epoch|ShrinkConnect:|Checking subject", text)
    assert "━" not in capsys.readouterr().out


def test_verbose_prints_above_the_bars(run, terminal):
    assert run("fit", "--verbose") == 0
    text = terminal.close()
    assert re.search(r"Read subject 1 of 2\n(.*\n)*Epoch 3: loss", text)
    assert re.search(TASKS["fit"][1][1], text)


@pytest.mark.parametrize("more", [[], ["--verbose"]])
def test_quiet(run, terminal, more):
    assert run("fit", "--quiet", *more) == 0
    assert terminal.close() == ""


def test_a_terminal_that_cannot_move_gets_lines(run, terminal, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    assert run("fit") == 0
    text = terminal.close()
    assert "Epoch 3: loss" in text
    assert "━" not in text


def test_without_rich_there_are_lines(run, terminal, monkeypatch):
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert run("fit") == 0
    text = terminal.close()
    assert "Epoch 3: loss" in text
    assert "━" not in text


def test_an_error_ends_the_bars(run, terminal, data, tmp_path):
    assert run("predict", "--also", data[1]) == 1
    assert "lsdn predict: error: " in terminal.close()


def test_the_bar_of_a_training_is_filled_and_makes_room():
    rich = pytest.importorskip("rich.progress")
    display = rich.Progress(disable=True)
    X = np.random.default_rng(0).uniform(size=(50, 5))
    network = LSDNRegressor((4, 2), tol=1.0, n_iter_no_change=2)
    with shown_by(Bars(display)):
        for _ in range(2):
            network.fit(X, X[:, 0])
            (bar,) = display.tasks
            assert bar.completed == bar.total == network.n_iter_ == 2
    network.fit(X, X[:, 0])
    assert display.tasks == [bar]


def test_members_in_training_at_once_have_a_bar_each():
    rich = pytest.importorskip("rich.progress")
    display = rich.Progress(disable=True)
    X = np.random.default_rng(0).uniform(size=(50, 5))
    network = LSDNRegressor((4, 2), max_iter=2)
    with shown_by(Bars(display)):
        EnsembleRegressor(network, 4, n_jobs=4).fit(X, X[:, 0])
    assert all(bar.completed == bar.total == 2 for bar in display.tasks)

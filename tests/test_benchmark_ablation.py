"""The benchmark of every choice: its smoke test, and what its rows are."""

import sys

import pytest
from conftest import REPOSITORY

from sklearn_lsdn import VolumeSynthesizer


@pytest.fixture(scope="module")
def ablation():
    """The script as a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(REPOSITORY / "benchmarks")
        import ablation

        yield ablation


def test_the_default_is_that_of_the_package(ablation):
    rows = ablation.rows()
    parameters = VolumeSynthesizer().set_params(**rows["the default"]).get_params()
    assert parameters == VolumeSynthesizer().get_params()
    taken_back = [name for name in rows if name.startswith("default, ")]
    differs = [n for n, v in ablation.DEFAULT.items() if v != ablation.PAPER[n]]
    assert len(taken_back) == len(differs) > 0
    for name in taken_back:
        (changed,) = rows[name].items() - rows["the default"].items()
        assert changed in ablation.PAPER.items()


def test_smoke(ablation, tmp_path, monkeypatch, capsys):
    names = ["the default", "+ 3 networks"]
    options = ["--quick", "--cohort", "simulated", "--jobs", "1", "--rows", *names]
    monkeypatch.setattr(sys, "argv", ["ablation", *options, "--cache", str(tmp_path)])
    ablation.main()
    first = capsys.readouterr()
    lines = [line.split(" | ") for line in first.out.splitlines() if line[:1] == "|"]
    assert lines[0][1:3] == ["T1w -> T2w: SNR, dB", "of each subject"]
    assert {line[0] for line in lines[2:]} == {f"| {name}" for name in names}
    for _, mean, each, *_ in lines[2:]:
        scores = [float(score) for score in each.split()]
        assert float(mean) == pytest.approx(sum(scores) / len(scores), abs=0.02)
        assert len(scores) == 3
    ablation.main()  # from what it kept
    again = capsys.readouterr()
    assert again.out == first.out
    assert "12 of 12 runs are there already" in again.err

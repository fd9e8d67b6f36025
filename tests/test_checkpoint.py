"""Training that is cut off and goes on: the bits of one that was not."""

import os
import signal
import subprocess
import sys
import textwrap

import nibabel as nib
import numpy as np
import pytest

from sklearn_lsdn import (
    CDNRegressor,
    LSDNRegressor,
    ShrinkConnect,
    VDNRegressor,
    load_model,
)
from sklearn_lsdn._commands.main import main
from sklearn_lsdn._regressors.checkpoint import Checkpoint

PARAMETERS = {
    "adam": {},
    "sgd": dict(solver="sgd", learning_rate_init=0.25),
    "early stopping": dict(early_stopping=True),
    "in order": dict(shuffle=False),
    "soon stale": dict(tol=0.5, n_iter_no_change=2),
    "stale while watching": dict(early_stopping=True, tol=0.5, n_iter_no_change=2),
}


def _data(n=300):
    X = np.random.RandomState(0).uniform(-1, 1, (n, 6))
    return X, np.column_stack([X[:, 0] * X[:, 5], X[:, 1] ** 2])


def _network(network=LSDNRegressor, **parameters):
    return network((8, 4), **dict(random_state=0, max_iter=8) | parameters)


class CutOffError(Exception):
    """What ends a training that a callback cannot survive."""


class CutOffAt:
    """Ends training at an epoch, at its beginning, by an error."""

    def __init__(self, epoch):
        self.epoch = epoch

    def setup(self, estimator, context):
        self.begun = 0

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        self.begun += context.task_name == "epoch"
        if self.begun == self.epoch:
            raise CutOffError

    def on_fit_task_end(self, estimator, context):
        pass


def _assert_same(one, other):
    for name in ("coefs_", "intercepts_"):
        for a, b in zip(getattr(one, name), getattr(other, name), strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(one.latent_coordinates_, other.latent_coordinates_)
    assert one.loss_curve_ == other.loss_curve_
    assert one.validation_loss_curve_ == other.validation_loss_curve_
    assert one.n_iter_ == other.n_iter_


@pytest.mark.parametrize("parameters", PARAMETERS)
@pytest.mark.parametrize("network", [LSDNRegressor, CDNRegressor, VDNRegressor])
def test_cut_off_again_and_again(network, parameters, tmp_path):
    parameters = PARAMETERS[parameters]
    whole = _network(network, **parameters).fit(*_data())
    checkpoint = Checkpoint(tmp_path / "training.npz")
    for _ in range(20):
        resumed = _network(network, **parameters)
        try:
            resumed.set_callbacks(checkpoint, CutOffAt(3)).fit(*_data())
            break
        except CutOffError:
            continue
    _assert_same(resumed, whole)
    X = _data()[0]
    np.testing.assert_array_equal(resumed.predict(X), whole.predict(X))
    assert os.listdir(tmp_path) == ["training.npz"]


def test_the_generator_goes_on_as_well(tmp_path):
    """What follows a resumed training is what would have followed a whole one."""
    whole = _network().fit(*_data()).partial_fit(*_data())
    checkpoint = Checkpoint(tmp_path / "training.npz")
    _network(max_iter=3).set_callbacks(checkpoint).fit(*_data())
    resumed = _network().set_callbacks(checkpoint).fit(*_data()).partial_fit(*_data())
    _assert_same(resumed, whole)


@pytest.mark.parametrize("every", [1, 3, 100])
def test_more_epochs_than_at_first(every, tmp_path):
    checkpoint = Checkpoint(tmp_path / "training.npz", every=every)
    for max_iter in (4, 4, 8):
        network = _network(max_iter=max_iter).set_callbacks(checkpoint).fit(*_data())
        _assert_same(network, _network(max_iter=max_iter).fit(*_data()))


def test_the_number_of_threads_may_change(tmp_path):
    checkpoint = Checkpoint(tmp_path / "training.npz")
    _network(max_iter=4, n_jobs=1).set_callbacks(checkpoint).fit(*_data())
    resumed = _network(n_jobs=2).set_callbacks(checkpoint).fit(*_data())
    _assert_same(resumed, _network().fit(*_data()))


@pytest.mark.parametrize(
    "changed",
    [dict(sigma=0.7), dict(random_state=1), dict(alpha=1e-3), "data"],
    ids=str,
)
def test_another_training_is_refused(changed, tmp_path):
    path = tmp_path / "training.npz"
    _network().set_callbacks(Checkpoint(path)).fit(*_data())
    before = path.read_bytes()
    X, y = _data()
    if changed == "data":
        y[0, 0] += 1e-6
        changed = {}
    network = _network(**changed).set_callbacks(Checkpoint(path))
    with pytest.raises(ValueError, match=r"training\.npz is the checkpoint of another"):
        network.fit(X, y)
    assert path.read_bytes() == before


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_damaged_file_is_refused(share, tmp_path):
    path = tmp_path / "training.npz"
    _network().set_callbacks(Checkpoint(path)).fit(*_data())
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"training\.npz is not a checkpoint, or dam"):
        _network().set_callbacks(Checkpoint(path)).fit(*_data())


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        (dict(random_state=None), "whole number as random_state"),
        (dict(solver="lbfgs"), 'needs solver="adam"'),
        (dict(max_iter=2), "already at epoch 8, beyond max_iter=2"),
    ],
    ids=str,
)
def test_what_cannot_be_kept_is_refused(parameters, words, tmp_path):
    checkpoint = Checkpoint(tmp_path / "training.npz")
    _network().set_callbacks(checkpoint).fit(*_data())
    with pytest.raises(ValueError, match=words):
        _network(**parameters).set_callbacks(checkpoint).fit(*_data())


def test_before_shrinking(tmp_path):
    checkpoint = Checkpoint(tmp_path / "training.npz")
    shrink = dict(keep=0.5, max_iter=2, random_state=0)
    whole = ShrinkConnect(_network(), **shrink).fit(*_data())
    for max_iter in (3, 8):
        network = _network(max_iter=max_iter).set_callbacks(checkpoint)
        resumed = ShrinkConnect(network, **shrink).fit(*_data())
    _assert_same(resumed.estimator_, whole.estimator_)


def _images(folder):
    paths = []
    for name, sign in (("T1w", 1), ("T2w", -1)):
        data = 3 + sign * np.random.RandomState(0).uniform(0, 1, (12, 12, 12))
        paths.append(folder / f"sub-01_{name}.nii.gz")
        nib.save(nib.Nifti1Image(data.astype(np.float32), np.eye(4)), paths[-1])
    return paths


def test_the_command_goes_on_after_a_kill(tmp_path):
    source, target = _images(tmp_path)
    options = ["--source", source, "--target", target, "--n-voxels", "1000", "-j", "1"]
    options += ["--hidden-layer-sizes", "20", "--max-iter", "8"]
    line = [str(each) for each in ("fit", *options)]
    whole, resumed, kept = (tmp_path / name for name in ("a.skops", "b.skops", "c.npz"))
    assert main([*line, "-o", str(whole)]) == 0
    script = textwrap.dedent(
        f"""
        import os, signal
        from sklearn_lsdn import cli, checkpoint

        keep = checkpoint.TrainingRecord.keep

        def keep_and_die(self, *args):
            keep(self, *args)
            if self._network.n_iter_ == 5:
                os.kill(os.getpid(), signal.SIGKILL)

        checkpoint.TrainingRecord.keep = keep_and_die
        cli.main({[*line, "-o", str(resumed), "--checkpoint", str(kept)]})
        """
    )
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert kept.exists()
    assert not resumed.exists()
    assert main([*line, "-o", str(resumed), "--checkpoint", str(kept)]) == 0
    assert not kept.exists()
    models = [load_model(path).estimator_ for path in (whole, resumed)]
    _assert_same(*models)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--n-estimators", "2"], "for a single network"),
        (["--checkpoint", "{source}"], "among the inputs"),
    ],
    ids=str,
)
def test_the_command_refuses(options, words, tmp_path, capsys):
    source, target = _images(tmp_path)
    line = ["fit", "--source", source, "--target", target, "-o", tmp_path / "m.skops"]
    line += ["--checkpoint", tmp_path / "c.npz"]
    line += [option.format(source=source) for option in options]
    assert main([str(each) for each in line]) == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("every", [0, -1, 1.5, None])
def test_every_so_many_epochs_is_a_whole_number(every, tmp_path):
    network = LSDNRegressor((4,), random_state=0, max_iter=2)
    network.set_callbacks(Checkpoint(tmp_path / "file.npz", every=every))
    with pytest.raises(ValueError, match="every must be a whole number"):
        network.fit(*_data())


def test_a_place_that_cannot_be_written_is_refused_at_once(tmp_path):
    for path in (tmp_path, tmp_path / "missing" / "file.npz"):
        network = LSDNRegressor((4,), random_state=0, max_iter=2)
        network.set_callbacks(Checkpoint(path), CutOffAt(1))
        with pytest.raises(OSError, match="is a directory|not an existing folder"):
            network.fit(*_data())


def test_only_a_network_has_checkpoints(tmp_path):
    shrink = ShrinkConnect(LSDNRegressor((4,), random_state=0, max_iter=2))
    shrink.set_callbacks(Checkpoint(tmp_path / "file.npz"))
    with pytest.raises(TypeError, match="on the network itself, not on ShrinkConnect"):
        shrink.fit(*_data())

"""Files that appear whole or not at all, where the disk or permissions say no."""

import os
import resource
import shutil
import signal

import nibabel as nib
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from small_volumes import framed

from sklearn_lsdn import VolumeSynthesizer, save_model
from sklearn_lsdn._commands.main import main
from sklearn_lsdn.volumes._images import save_image

SHAPE = (9, 10, 8)
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
MODEL = LinearRegression().fit(np.ones((2, 999)), [0.0, 1.0])


def _data(shape=SHAPE):
    return np.random.RandomState(0).uniform(1, 2, shape).astype(np.float32)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of nibabel's file
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_full_disk_leaves_no_output(tmp_path):
    """What the system says of a file that may not grow."""
    before = sorted(tmp_path.rglob("*"))
    image = nib.Nifti1Image(_data((40, 40, 40)), AFFINE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        for save, name in (
            (lambda path: save_image(image, path), "out.nii"),
            (lambda path: save_image(image, path), "out.nii.gz"),
            (lambda path: save_model(MODEL, path), "out.skops"),
        ):
            with pytest.raises(OSError, match=rf"{name} cannot be written: .*large"):
                save(tmp_path / name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_full_disk_is_told_in_a_sentence(tmp_path, monkeypatch, capsys):
    source = tmp_path / "in.nii.gz"
    nib.save(nib.Nifti1Image(framed(_data()), AFFINE), source)
    synthesizer = VolumeSynthesizer(LinearRegression(), n_voxels=200)
    synthesizer.fit([source], [nib.Nifti1Image(framed(3 - _data()), AFFINE)])
    save_model(synthesizer, tmp_path / "model.skops")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    out = tmp_path / "out"
    line = ["predict", tmp_path / "model.skops", source, "-o", out]
    assert main([str(argument) for argument in line]) == 1
    assert capsys.readouterr().err.endswith(
        f"error: {out}/in_synth.nii.gz cannot be written: No space left on device.\n"
    )
    assert not out.exists()


def test_no_permission_to_write(tmp_path, monkeypatch):
    folder = tmp_path / "out"
    folder.mkdir()
    folder.chmod(0o500)
    if os.access(folder, os.W_OK):  # who may write everywhere
        monkeypatch.setattr(os, "access", lambda *args: False)
    with pytest.raises(PermissionError, match="no permission in its folder"):
        save_image(nib.Nifti1Image(_data(), AFFINE), folder / "out.nii")
    folder.chmod(0o700)
    shutil.rmtree(folder)

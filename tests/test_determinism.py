"""The same seed gives the same bits, whatever else differs."""

import hashlib

import nibabel as nib
import numpy as np
import pytest
from small_volumes import framed

from sklearn_lsdn import LSDNRegressor, ShrinkConnect, VolumeSynthesizer
from sklearn_lsdn.jobs._prediction import predict_files


def images(n):
    """Sources and targets that differ in size."""
    pairs = [], []
    for i in range(n):
        rng = np.random.RandomState(i)
        source = rng.uniform(1, 2, (8 + i, 7, 9)).astype(np.float32)
        for data, part in zip((source, 3 - source**2), pairs, strict=True):
            part.append(nib.Nifti1Image(framed(data), np.diag([2.0, 2.0, 2.0, 1.0])))
    return pairs


def network():
    return ShrinkConnect(LSDNRegressor((6, 4), max_iter=2), keep=0.5, max_iter=1)


def _fitted(sources, targets, **parameters):
    synthesizer = VolumeSynthesizer(network(), random_state=0, **parameters)
    return synthesizer.fit(sources, targets)


def _bits(predicted):
    return [image.get_fdata().tobytes() for image in predicted]


def digest(n_jobs):
    """Hash of what a fitted ensemble predicts."""
    sources, targets = images(3)
    parameters = dict(n_estimators=2, normalization="nyul", n_voxels=200)
    model = _fitted(sources, targets, n_jobs=n_jobs, **parameters)
    means, deviations = model.predict(sources, return_std=True)
    return hashlib.sha256(b"".join(_bits(means + deviations))).hexdigest()


def test_another_process_with_other_hashes_and_threads(elsewhere):
    assert elsewhere(digest, 3) == digest(1)


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_subjects_are_predicted_in_any_order_and_company(n_jobs, tmp_path):
    sources, targets = images(4)
    model = _fitted(sources[:2], targets[:2], n_voxels=200, n_jobs=n_jobs)
    alone = [_bits(model.predict([source]))[0] for source in sources]
    assert len(set(alone)) == 4
    assert _bits(model.predict(sources)) == alone
    assert _bits(model.predict(sources[::-1])) == alone[::-1]
    paths = [str(tmp_path / f"sub-{i}_T1w.nii.gz") for i in range(4)]
    for source, path in zip(sources, paths, strict=True):
        nib.save(source, path)
    written = predict_files(model, paths[::-1], tmp_path / "out")
    assert _bits(map(nib.load, written)) == alone[::-1]


def test_training_depends_on_the_order_of_subjects():
    """As documented: draws, batches and sums follow it. No more than noise does."""
    sources, targets = images(3)
    model = _fitted(sources, targets, n_voxels=200)
    again = _fitted(sources, targets, n_voxels=200)
    turned = _fitted(sources[::-1], targets[::-1], n_voxels=200)
    assert _bits(model.predict(sources)) == _bits(again.predict(sources))
    assert _bits(model.predict(sources)) != _bits(turned.predict(sources))
    assert (model.background_ == turned.background_).all()

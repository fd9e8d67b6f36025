"""What other subjects show at a place: their target scans, deformed to the subject."""

import sys
import warnings
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from small_commands import BRIEF, run, training
from small_commands import save_subjects as saved

from sklearn_lsdn import LSDNRegressor, VolumeSynthesizer, load_model, save_model
from sklearn_lsdn.datasets import make_brain_cohort

SMALL = dict(n_voxels=300, random_state=0, neighbours="warped")


@pytest.fixture(scope="module")
def cohort():
    return make_brain_cohort(3, voxel_size=8, random_state=0)


@pytest.fixture(scope="module")
def fitted(cohort):
    pytest.importorskip("SimpleITK", reason="neighbours need SimpleITK")
    return fit(cohort, [0, 1])


def fit(cohort, chosen, **parameters):
    network = LSDNRegressor((20, 5), max_iter=4)
    synthesizer = VolumeSynthesizer(network, **SMALL | parameters)
    images = ([cohort.images[c][i] for i in chosen] for c in ("T1w", "T2w"))
    return synthesizer.fit(*images)


def shown(synthesizer, source):
    """What neighbours show in the brain, and the brain."""
    preparation = synthesizer.preparation_
    (sources,), _ = preparation.open([source])
    subject = preparation.read(sources)
    (volume,) = preparation.neighbours.beside(subject)
    return volume, subject.mask


def test_neighbours_show_the_others_target_at_the_right_places():
    pytest.importorskip("SimpleITK", reason="neighbours need SimpleITK")
    finer = make_brain_cohort(2, voxel_size=6, random_state=1)
    synthesizer = fit(finer, [0, 1])
    for own in (0, 1):
        volume, mask = shown(synthesizer, finer.images["T1w"][own])
        true, other = (finer.images["T2w"][i].get_fdata() for i in (own, 1 - own))
        found = np.corrcoef(volume[mask], true[mask])[0, 1]
        both = mask & (other != 0)
        assert found > np.corrcoef(other[both], true[both])[0, 1] + 0.1
        assert found > 0.6


def test_a_training_subject_sees_the_others_alone(cohort, fitted):
    t1w = cohort.images["T1w"]
    neighbours = fitted.preparation_.neighbours
    changed = neighbours.scans.copy()
    changed[0] = changed[0, :, ::-1]  # of the first alone
    preparation = fitted.preparation_
    altered = replace(neighbours, scans=changed)
    (sources,), _ = preparation.open(t1w[:1])
    again = nib.Nifti1Image(t1w[0].get_fdata(dtype=np.float32), t1w[0].affine)
    (copy,), _ = preparation.open([again])
    before, after, of_copy = (
        each.beside(preparation.read(files))[0]
        for each, files in (
            (neighbours, sources), (altered, sources), (altered, copy)
        )
    )  # fmt: skip
    np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(before, of_copy)
    (files,), _ = preparation.open(t1w[2:])
    new, other = (
        each.beside(preparation.read(files))[0] for each in (neighbours, altered)
    )
    assert not np.allclose(new, other)


def test_training_and_prediction_see_them(cohort, fitted):
    t1w, t2w = cohort.images["T1w"], cohort.images["T2w"]
    assert fitted.estimator_.n_features_in_ == 2 * 2 * 27 + 3
    X, y = fitted.sample_voxels(t1w[:2], t2w[:2], random_state=0)
    assert X.shape == (len(y), 111)
    assert np.isfinite(X).all()
    centre = X[:, 54 + 13]
    assert np.corrcoef(centre, y)[0, 1] > 0.3
    assert fitted.score(t1w[2:], t2w[2:]) > 8
    novelty = fitted.predict(t1w[2:], return_novelty=True)[1][0]
    assert np.isfinite(novelty.get_fdata()).all()
    assert "whoever has it sees them" in fitted.preparation_.facts()["neighbours"]


def test_a_model_file_holds_them(tmp_path, cohort, fitted):
    path = tmp_path / "model.skops"
    save_model(fitted, path)
    t1w = cohort.images["T1w"][2:]
    (before,), (after,) = fitted.predict(t1w), load_model(path).predict(t1w)
    np.testing.assert_array_equal(before.get_fdata(), after.get_fdata())
    for field, value in (
        ("persons", np.zeros(2, dtype=np.int64)),
        ("contents", ["a"]),
        ("affine", np.zeros((4, 4))),
        ("scans", np.zeros((2, 2, 3, 4, 5), dtype=np.uint8)),
    ):
        whole = fitted.preparation_.neighbours
        fitted.preparation_ = replace(
            fitted.preparation_, neighbours=replace(whole, **{field: value})
        )
        save_model(fitted, path, overwrite=True)
        fitted.preparation_ = replace(fitted.preparation_, neighbours=whole)
        with pytest.raises(ValueError, match="damaged"):
            load_model(path)


def test_other_grids_contrasts_and_threads(tmp_path, cohort):
    pytest.importorskip("SimpleITK", reason="neighbours need SimpleITK")
    contrasts = "T1w", "T2w", "FLAIR"
    several = make_brain_cohort(3, contrasts, voxel_size=8, random_state=0)
    a, b, c = (several.images[name] for name in ("T1w", "T2w", "FLAIR"))
    network = LSDNRegressor((20, 5), max_iter=4)
    targets = [list(pair) for pair in zip(b, c, strict=True)]
    fits = [
        VolumeSynthesizer(
            network, **SMALL, n_jobs=n_jobs, memory=tmp_path, max_memory="4G"
        ).fit(a[:2], targets[:2])
        for n_jobs in (2, 1)  # the second from the cache
    ]
    assert fits[0].preparation_.neighbours.n_targets == 2
    finer = nib.Nifti1Image(
        np.repeat(a[2].get_fdata(dtype=np.float32), 2, axis=0),
        a[2].affine @ np.diag([0.5, 1, 1, 1]),
    )
    one, other = (each.predict([finer], on_unlike="ignore")[0] for each in fits)
    for first, second in zip(one, other, strict=True):
        assert first.shape == finer.shape
        np.testing.assert_array_equal(first.get_fdata(), second.get_fdata())


def test_scans_of_one_person_are_left_out_together(tmp_path, cohort):
    pytest.importorskip("SimpleITK", reason="neighbours need SimpleITK")
    t1w, t2w = cohort.images["T1w"], cohort.images["T2w"]
    synthesizer = VolumeSynthesizer(LSDNRegressor((5,), max_iter=1), **SMALL)
    groups = synthesizer.fit(t1w, t2w, groups=["a", "b", "a"])
    assert groups.preparation_.neighbours.persons.tolist() == [0, 1, 0]
    with pytest.raises(ValueError, match="two or more training subjects"):
        synthesizer.fit(t1w, t2w, groups=["a", "a", "a"])
    with pytest.raises(ValueError, match="two or more training subjects"):
        synthesizer.fit([t1w[0]] * 2, [t2w[0]] * 2)
    names = [f"sub-0{i}_ses-{j}" for i, j in ((1, 1), (1, 2), (2, 1))]
    paths = [[tmp_path / f"{n}_{c}.nii" for n in names] for c in ("T1w", "T2w")]
    for images, files in zip((t1w, t2w), paths, strict=True):
        for image, path in zip(images, files, strict=True):
            nib.save(image, path)
    persons = synthesizer.fit(*paths).preparation_.neighbours.persons
    assert persons[0] == persons[1] != persons[2]


def test_they_take_simpleitk(monkeypatch, cohort):
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(ImportError, match=r"sklearn_lsdn\[register\]"):
        fit(cohort, [0, 1])


def test_the_command_takes_one_word(tmp_path, capsys):
    pytest.importorskip("SimpleITK", reason="neighbours need SimpleITK")
    saved(tmp_path)
    model = tmp_path / "model.skops"
    assert run("fit", *training(tmp_path), *BRIEF, "--neighbours", "-o", model) == 0
    assert run("predict", model, tmp_path / "sub-03_T1w.nii.gz", "-o", tmp_path) == 0
    capsys.readouterr()
    assert run("info", model) == 0
    assert "2 training subjects" in capsys.readouterr().out
    one = training(tmp_path, ["sub-01"])
    assert run("fit", *one, *BRIEF, "--neighbours", "-o", model, "--overwrite") == 1
    assert "two or more training subjects" in capsys.readouterr().err
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        every = training(tmp_path, ["sub-01", "sub-02", "sub-03"])
        assert run("evaluate", *every, *BRIEF, "--neighbours") == 0
    assert "LSDN 400-40" in capsys.readouterr().out

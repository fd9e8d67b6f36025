"""The map of novelty: where a scan is unlike those of training."""

import json
import warnings
import zipfile

import nibabel as nib
import numpy as np
import pytest
from conftest import REPOSITORY
from sklearn.linear_model import LinearRegression
from sklearn.metrics import roc_auc_score
from small_commands import BRIEF, files_of, run, save_subjects, training
from small_volumes import Cohort, small

from sklearn_lsdn import LSDNRegressor, VolumeSynthesizer, load_model, save_model
from sklearn_lsdn.datasets import make_brain_cohort
from sklearn_lsdn.exceptions import ScanWarning, UnlikeWarning


@pytest.fixture(scope="module")
def cohort():
    return make_brain_cohort(6, ("T1w", "T2w"), voxel_size=6, random_state=0).images


def fitted(images, n=4, estimator=None, **parameters):
    estimator = LinearRegression() if estimator is None else estimator
    parameters = dict(n_voxels=5000, random_state=0) | parameters
    synthesizer = VolumeSynthesizer(estimator, **parameters)
    return synthesizer.fit(images["T1w"][:n], images["T2w"][:n])


@pytest.fixture(scope="module")
def synthesizer(cohort):
    return fitted(cohort)


def novelty(synthesizer, image):
    _, (found,) = synthesizer.predict([image], return_novelty=True)
    return found


def with_ball(image, value, radius=20.0):
    """A scan with a ball of one value in its white matter, and where that is."""
    data = image.get_fdata(dtype=np.float32)
    brain = data != 0
    places = nib.affines.apply_affine(image.affine, np.argwhere(brain))
    ball = np.zeros(brain.shape, dtype=bool)
    ball[brain] = np.linalg.norm(places - [26, -20, 26], axis=1) < radius
    data = np.where(ball, value * np.median(data[brain]), data)
    return nib.Nifti1Image(data, image.affine), ball, brain


@pytest.mark.parametrize("value", [1.7, 2.5])
def test_what_training_never_had_stands_out(cohort, synthesizer, value):
    image, ball, brain = with_ball(cohort["T1w"][5], value)
    before = novelty(synthesizer, cohort["T1w"][5]).get_fdata()
    with warnings.catch_warnings():  # of the ball, which may make it another contrast
        warnings.simplefilter("ignore", UnlikeWarning)
        found = novelty(synthesizer, image).get_fdata()
    assert roc_auc_score(ball[brain], found[brain]) > 0.9
    assert np.median(found[ball]) > 2  # one in a hundred
    assert np.median(before[ball]) < 1


def test_the_unit_is_that_of_subjects_never_seen(cohort, synthesizer):
    found = [novelty(synthesizer, image).get_fdata() for image in cohort["T1w"][4:]]
    values = np.concatenate([each[each != 0] for each in found])
    assert 0.03 < np.mean(values > 1) < 0.3  # one in ten
    assert np.mean(values > 2) < 0.05  # one in a hundred


def test_it_lies_on_the_grid_and_is_0_outside(cohort, synthesizer):
    image = cohort["T1w"][5]
    found = novelty(synthesizer, image)
    assert found.shape == image.shape
    assert (found.affine == image.affine).all()
    assert found.get_data_dtype() == np.float32
    data, brain = found.get_fdata(), image.get_fdata() != 0
    assert (data[~brain] == 0).all()
    assert (data[brain] >= 0).all()
    assert np.isfinite(data).all()


def test_the_order_of_axes_changes_nothing(cohort, synthesizer):
    image = cohort["T1w"][5]
    turned = image.as_reoriented(np.array([[1, -1], [2, 1], [0, -1]]))
    found = nib.as_closest_canonical(novelty(synthesizer, turned))
    expected = nib.as_closest_canonical(novelty(synthesizer, image))
    np.testing.assert_allclose(found.get_fdata(), expected.get_fdata(), atol=1e-5)


def test_smaller_voxels_have_about_the_same_map(cohort):
    """Of voxels as they are, and of eight in the place of each."""
    maps = []
    for times in (1, 2):
        images = {c: [_repeated(i, times) for i in cohort[c][:3]] for c in cohort}
        found = novelty(fitted(images, 2, patch_scales=(times,)), images["T1w"][2])
        maps.append(found.get_fdata()[::times, ::times, ::times])
    brain = maps[0] != 0
    assert np.corrcoef(maps[0][brain], maps[1][brain])[0, 1] > 0.8


def _repeated(image, times):
    """A scan of half the size, whose voxels are repeated along each axis."""
    data = image.get_fdata(dtype=np.float32)
    for axis in range(3):
        data = data.repeat(times, axis)
    affine = image.affine @ np.diag([0.25 / times] * 3 + [1])
    return nib.Nifti1Image(data, affine)


def test_a_brain_of_one_slice(cohort, synthesizer):
    image = cohort["T1w"][5].slicer[:, :, 14:15]
    with pytest.warns(ScanWarning):
        found = novelty(synthesizer, image).get_fdata()
    assert np.isfinite(found).all()
    assert found.max() > 0


def test_threads_and_regressors_do_not_change_it(cohort, synthesizer):
    network = LSDNRegressor((5,), max_iter=1)
    image = cohort["T1w"][5]
    expected = novelty(synthesizer, image).get_fdata()
    for other in (fitted(cohort, n_jobs=2), fitted(cohort, estimator=network)):
        assert (novelty(other, image).get_fdata() == expected).all()


def test_it_does_not_change_the_synthesis(cohort, synthesizer):
    image = cohort["T1w"][5]
    (plain,) = synthesizer.predict([image])
    (beside,), _ = synthesizer.predict([image], return_novelty=True)
    assert (plain.get_fdata() == beside.get_fdata()).all()


def test_what_is_asked_for_comes_in_order(tmp_path):
    data = Cohort(tmp_path)
    ensemble = small(n_estimators=2).fit(data.ab, data.cd)
    asked = dict(return_std=True, return_interval=0.5, return_novelty=True)
    images, std, (lower, upper), maps = ensemble.predict(data.ab[:2], **asked)
    assert len(maps) == 2  # one a subject, of all sources
    assert maps[0].shape == images[0][0].shape
    for of in zip(lower, images, upper, std, strict=True):
        for low, image, high, deviation in zip(*of, strict=True):
            assert (low.get_fdata() <= image.get_fdata()).all()
            assert (image.get_fdata() <= high.get_fdata()).all()
            assert (deviation.get_fdata() >= 0).all()
    _, (lower, upper), maps = ensemble.predict(
        data.ab[:2], return_interval=0.5, return_novelty=True
    )
    assert len(lower) == len(upper) == len(maps) == 2
    synthesis = ensemble.synthesize(data.ab[0], return_novelty=True)
    assert (synthesis.novelty_image.get_fdata() == maps[0].get_fdata()).all()


@pytest.mark.parametrize(
    "parameters",
    [
        dict(places=None),
        dict(patch_size=1),
        dict(patch_scales=(2, 1)),
        dict(target_patch_size=3),
        dict(normalization="percentile"),
    ],
    ids=str,
)
@pytest.mark.parametrize("n", [1, 3])
def test_whatever_is_learned_from(tmp_path, parameters, n):
    data = Cohort(tmp_path)
    synthesizer = small(**parameters).fit(data.ab[:n], data.c[:n])
    _, (found,) = synthesizer.predict(data.ab[2:], return_novelty=True)
    assert np.isfinite(found.get_fdata()).all()
    assert (found.get_fdata() >= 0).all()


# Model files


def test_a_file_keeps_what_is_usual(cohort, synthesizer, tmp_path):
    path = tmp_path / "model.skops"
    save_model(synthesizer, path)
    image = cohort["T1w"][5]
    found = novelty(load_model(path), image).get_fdata()
    assert (found == novelty(synthesizer, image).get_fdata()).all()
    kept = vars(synthesizer.preparation_.novelty).values()
    assert sum(np.asarray(each).nbytes for each in kept) < 30_000


@pytest.mark.parametrize("name", ["units", "means", "deviations", "energies"])
def test_a_damaged_file_is_refused(cohort, tmp_path, name):
    synthesizer = fitted(cohort, 2)
    getattr(synthesizer.preparation_.novelty, name)[...] = np.nan
    save_model(synthesizer, tmp_path / "model.skops")
    with pytest.raises(ValueError, match=f"damaged: {name} of Novelty"):
        load_model(tmp_path / "model.skops")


def test_a_model_of_an_older_release_says_that_it_knows_none(tmp_path):
    archive, *_ = sorted((REPOSITORY / "tests" / "data").glob("models-*.zip"))
    with zipfile.ZipFile(archive) as models:
        name = next(n for n in models.namelist() if n.endswith(".skops"))
        model = load_model(models.extract(name, tmp_path))
    data = Cohort(tmp_path)
    with pytest.raises(ValueError, match="older release.* Fit it anew"):
        model.predict(data.a, return_novelty=True)


# Files


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    save_subjects(folder)
    assert run("fit", *training(folder), *BRIEF, "-q", "-o", folder / "m.skops") == 0
    return folder


def test_the_command_writes_it_beside_the_synthesis(data, tmp_path, capsys):
    model, out = data / "m.skops", tmp_path / "out"
    scan = files_of(data)[2]
    assert run("predict", model, scan, "-q", "-o", out, "--novelty") == 0
    names = sorted(path.name for path in out.iterdir())
    assert names == ["sub-03_T1w_novelty.nii.gz", "sub-03_T1w_synth.nii.gz"]
    assert str(out / names[0]) in capsys.readouterr().out
    expected = novelty(load_model(model), scan).get_fdata()
    assert (nib.load(out / names[0]).get_fdata() == expected).all()
    # and is made where it was not asked for before
    (out / names[0]).unlink()
    again = "predict", model, scan, "-q", "-o", out, "--novelty", "--resume"
    assert run(*again) == 0
    assert (out / names[0]).exists()


def test_a_dataset_has_it_with_a_sidecar_that_says_what_it_is(data, tmp_path):
    pytest.importorskip("ancpbids", reason="BIDS datasets need ancpbids")
    folder, out = tmp_path / "raw", tmp_path / "out"
    anat = folder / "sub-03" / "anat"
    anat.mkdir(parents=True)
    description = {"Name": "Brains", "BIDSVersion": "1.10.0"}
    (folder / "dataset_description.json").write_text(json.dumps(description))
    (anat / "sub-03_T1w.nii.gz").write_bytes(files_of(data)[2].read_bytes())
    names = "--source", "T1w", "--target", "T2w"
    given = data / "m.skops", folder, *names, "-q", "-o", out, "--novelty"
    assert run("predict", *given) == 0
    path = out / "sub-03" / "anat" / "sub-03_desc-synthnovelty_T2w.nii.gz"
    assert nib.load(path).get_fdata().max() > 0
    sidecar = json.loads(
        path.with_name("sub-03_desc-synthnovelty_T2w.json").read_text()
    )
    assert "one in a hundred" in sidecar["Novelty"]
    assert sidecar["Sources"] == ["bids:source:sub-03/anat/sub-03_T1w.nii.gz"]
    synth = path.with_name("sub-03_desc-synth_T2w.json")
    assert "Novelty" not in json.loads(synth.read_text())

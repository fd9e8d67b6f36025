"""A scan unlike those of training is told by its reason, a suitable one is not."""

import json
import re
import warnings

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage
from sklearn.linear_model import LinearRegression
from small_commands import run

from sklearn_lsdn import VolumeSynthesizer, load_model, predict_files, save_model
from sklearn_lsdn.datasets import make_brain_cohort
from sklearn_lsdn.exceptions import ScanWarning, UnlikeWarning
from sklearn_lsdn.volumes._likeness import STATED


@pytest.fixture(scope="module")
def cohort():
    contrasts = ("T1w", "T2w", "FLAIR")
    return make_brain_cohort(5, contrasts, voxel_size=4, random_state=0).images


def _fit(cohort, sources="T1w", n=4, **parameters):
    several = sources if isinstance(sources, tuple) else (sources,)
    scans = [list(each) for each in zip(*(cohort[c][:n] for c in several), strict=True)]
    small = dict(n_voxels=500, smoothing=0, random_state=0, places="world")
    small |= parameters
    return VolumeSynthesizer(LinearRegression(), **small).fit(scans, cohort["T2w"][:n])


@pytest.fixture(scope="module")
def fitted(cohort):
    return _fit(cohort)


@pytest.fixture(scope="module")
def scan(cohort):
    return cohort["T1w"][4]


def _image(data, affine):
    return nib.Nifti1Image(np.float32(data), affine)


def _turned(scan, degrees, axes):
    data = scan.get_fdata()
    data, inside = (
        ndimage.rotate(each, degrees, axes=axes, reshape=False, order=1)
        for each in (data, np.float32(data != 0))
    )
    return _image(np.where(inside > 0.5, data, 0), scan.affine)


def _moved(scan, mm):
    affine = scan.affine.copy()
    affine[:3, 3] += mm
    return _image(scan.get_fdata(), affine)


def _zoomed(scan, factor):
    data = scan.get_fdata()
    data, inside = (
        ndimage.zoom(each, factor, order=1) for each in (data, np.float32(data != 0))
    )
    affine = scan.affine @ np.diag([1 / factor] * 3 + [1])
    return _image(np.where(inside > 0.5, data, 0), affine)


def _biased(scan, factor):
    data = scan.get_fdata()
    rise = np.linspace(0, 1, data.shape[1])[:, None]
    return _image(data * factor**rise, scan.affine)


def _smoothed(scan):
    data = scan.get_fdata()
    inside = np.float64(data != 0)
    weight = np.maximum(ndimage.gaussian_filter(inside, 1.5), 1e-3)
    return _image(ndimage.gaussian_filter(data, 1.5) / weight * inside, scan.affine)


def _inverted(scan):
    data = scan.get_fdata()
    return _image(np.where(data != 0, data.max() + 1 - data, 0), scan.affine)


def _with_ring(scan):
    data = scan.get_fdata()
    away = ndimage.distance_transform_edt(data == 0)
    ring = (away > 2) & (away < 4)
    bone = np.random.RandomState(0).uniform(1, 1.5, ring.shape)
    return _image(np.where(ring, bone * data[data != 0].mean(), data), scan.affine)


UNLIKE = {
    "inverted": (_inverted, "another contrast"),
    "front to back": (lambda s: _image(s.get_fdata()[:, ::-1], s.affine), "flipped fr"),
    "upside down": (
        lambda s: _image(s.get_fdata()[:, :, ::-1], s.affine),
        "flipped up",
    ),
    "turned": (lambda s: _turned(s, 40, (0, 1)), "turned by about"),
    "moved": (lambda s: _moved(s, [0, 25, 25]), "lies 3. mm from those"),
    "coarse": (lambda s: _zoomed(s, 0.7), "voxels of 5"),
    "biased": (lambda s: _biased(s, 6), "bias field"),
    "smoothed": (_smoothed, "smoothed"),
    "ring": (_with_ring, "a further piece"),
}


@pytest.mark.parametrize(("change", "reason"), UNLIKE.values(), ids=UNLIKE)
def test_what_is_unlike_is_told_by_its_reason(fitted, scan, change, reason):
    with pytest.warns(ScanWarning) as record:
        fitted.predict([change(scan)])
    (text,) = [str(w.message) for w in record if w.category is UnlikeWarning]
    assert text.startswith("sources[0]: unlike the scans of training: ")
    first = text.partition(" Also, ")[0]
    assert re.search(reason, first), text


FLIPPED = {"front to back": "vertical", "upside down": "front-back"}


@pytest.mark.parametrize("name", [name for name in UNLIKE if name != "moved"])
def test_so_it_is_by_the_brains_own_places(cohort, scan, name):
    change, reason = UNLIKE[name]
    model = _fit(cohort, places="brain")
    reasons = model.synthesize(change(scan)).likeness.reasons
    half_turn = f"turned by about 180 degrees about the {FLIPPED.get(name)}"
    assert re.search(f"{reason}|{half_turn}", str(reasons[0]))


def test_where_a_brain_lies_does_not_matter_by_its_own_places(cohort, scan):
    model = _fit(cohort, places="brain")
    for each in (scan, _moved(scan, [0, 60, 60])):
        assert model.synthesize(each).likeness.reasons == []


@pytest.mark.parametrize("contrast", ["T2w", "FLAIR"])
def test_another_contrast_is_told(fitted, cohort, contrast):
    with pytest.warns(UnlikeWarning, match="contrast"):
        fitted.predict(cohort[contrast][4:])


def test_scans_like_those_of_training_are_not_told(cohort):
    for n in (1, 2, 4):
        model = _fit(cohort, n=n)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.predict(cohort["T1w"][4:])
            model.score(cohort["T1w"][4:], cohort["T2w"][4:])


def test_exchanged_sources_are_told_as_that(cohort):
    model = _fit(cohort, ("T1w", "FLAIR"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict([[cohort["T1w"][4], cohort["FLAIR"][4]]])
    with pytest.warns(UnlikeWarning, match="sources 1 and 2 look exchanged"):
        model.predict([[cohort["FLAIR"][4], cohort["T1w"][4]]])


def test_where_a_brain_lies_does_not_matter_without_places(cohort, scan):
    model = _fit(cohort, places=None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict([_moved(scan, [0, 60, 60])])


def test_raising_and_ignoring(fitted, cohort, scan, tmp_path):
    moved, target = _moved(scan, [0, 0, 50]), _moved(cohort["T2w"][4], [0, 0, 50])
    for use in (
        lambda how: fitted.predict([moved], on_unlike=how),
        lambda how: fitted.score([moved], [target], on_unlike=how),
        lambda how: fitted.score_volumes([moved], [target], on_unlike=how),
        lambda how: fitted.synthesize(moved, on_unlike=how),
    ):
        with pytest.raises(ValueError, match="51 mm from those of training"):
            use("raise")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            use("ignore")
    with pytest.raises(ValueError, match="on_unlike must be"):
        fitted.predict([scan], on_unlike="shout")
    path = tmp_path / "sub-1_T1w.nii.gz"
    nib.save(moved, path)
    with pytest.raises(ValueError, match="51 mm"):
        predict_files(fitted, [path], tmp_path / "out", on_unlike="raise")
    assert not (tmp_path / "out").exists()


def test_shrinking_compares_as_well(cohort):
    from sklearn_lsdn import LSDNRegressor

    small = dict(n_voxels=500, random_state=0)
    model = VolumeSynthesizer(LSDNRegressor((8, 4), max_iter=3), **small)
    model.fit(cohort["T1w"][:4], cohort["T2w"][:4])
    with pytest.warns(UnlikeWarning, match="contrast"):
        model.shrink(cohort["T2w"][:2], cohort["T1w"][:2], keep=0.5)
    with pytest.raises(ValueError, match="contrast"):
        model.shrink(cohort["T2w"][:2], cohort["T1w"][:2], keep=0.5, on_unlike="raise")


def test_statistics_come_with_limits_and_what_was_met(fitted, scan):
    likeness = fitted.synthesize(scan).likeness
    assert list(likeness.values) == list(STATED)
    assert likeness.reasons == []
    assert 0 < likeness.distance < 1
    told = likeness.told()
    assert told["distance"]["Limit"] >= STATED["distance"]
    assert told["distance"]["Units"] == "mm"
    low, high = told["correlation"]["InTraining"]
    assert low < high < 1
    # Ratios, where logarithms are compared.
    size = told["voxel size"]
    assert size["Units"] == "times"
    assert (
        1.15
        <= size["Limit"]
        == pytest.approx(np.exp(likeness.limits["voxel size"]), abs=1e-3)
    )
    assert size["Value"] == pytest.approx(
        np.exp(likeness.values["voxel size"]), abs=1e-3
    )
    assert told["correlation"]["Value"] > told["correlation"]["Limit"]
    assert fitted.synthesize(scan, on_unlike="ignore").likeness is None


def test_of_few_subjects_limits_are_as_stated(cohort, fitted):
    two = _fit(cohort, n=2).preparation_.facts()["limits of likeness"]
    assert two == "those stated: 2 in training show no spread"
    four = fitted.preparation_.facts()["limits of likeness"]
    assert four == "by the spread of 4 training subjects"


def test_a_model_file_remembers(fitted, scan, tmp_path):
    path = tmp_path / "model.skops"
    save_model(fitted, path)
    again = load_model(path).synthesize(scan).likeness
    assert again == fitted.synthesize(scan).likeness
    assert path.stat().st_size < 300_000


def test_the_command_warns_and_refuses(fitted, scan, tmp_path, capsys):
    fitted.bids_query_ = {"source": ["T1w"], "target": ["T2w"], "space": None}
    fitted.bids_query_["desc"] = None
    model, dataset, out = tmp_path / "m.skops", tmp_path / "bids", tmp_path / "out"
    save_model(fitted, model)
    (dataset / "sub-1" / "anat").mkdir(parents=True)
    description = {"Name": "made", "BIDSVersion": "1.9.0"}
    (dataset / "dataset_description.json").write_text(json.dumps(description))
    nib.save(_moved(scan, [0, 0, 50]), dataset / "sub-1" / "anat" / "sub-1_T1w.nii.gz")
    page = tmp_path / "page.html"
    assert run("predict", model, dataset, "-o", out, "--report", page) == 0
    assert "Warning: sources[0]" in capsys.readouterr().err
    about = json.loads(next(out.rglob("sub-1_*T2w.json")).read_text())
    assert about["LikenessToTraining"]["distance"]["Value"] > 45
    assert "51 mm from those of training" in about["Warnings"][0]
    assert "How like training" in page.read_text()
    again = tmp_path / "again"
    assert run("predict", model, dataset, "-o", again, "--refuse-unlike") == 1
    assert "mm from those of training" in capsys.readouterr().err
    assert not again.exists()

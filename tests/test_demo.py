"""The demo: what it leaves in its folder, and what it says of itself."""

import sys
from types import SimpleNamespace

import matplotlib.image
import nibabel as nib
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from sklearn_lsdn import VolumeSynthesizer, psnr_score, snr_score
from sklearn_lsdn.display import SynthesisDisplay
from sklearn_lsdn.jobs import _demo as demo
from sklearn_lsdn.jobs._demo import run_demo

TINY = dict(n_subjects=2, voxel_size=8, random_state=0)
IMAGES = ["source_T1w", "target_T2w", "synthesis_T2w"]


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory):
    """A demo's folder and evaluation, and what it simulated, trained on and drew."""
    folder = tmp_path_factory.mktemp("demo") / "made" / "here"
    cohorts, trained, drawn = [], [], []
    simulate = demo.make_brain_cohort
    fit, from_images = VolumeSynthesizer.fit, SynthesisDisplay.from_images

    def recording_simulate(*args, **kwargs):
        cohorts.append(simulate(*args, **kwargs))
        return cohorts[-1]

    def recording_fit(self, sources, targets):
        trained.extend([*sources, *targets])
        return fit(self, sources, targets)

    def recording_from_images(*images, **names):
        drawn.append((images, names))
        return from_images(*images, **names)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "make_brain_cohort", recording_simulate)
        patch.setattr(VolumeSynthesizer, "fit", recording_fit)
        patch.setattr(SynthesisDisplay, "from_images", recording_from_images)
        evaluation = run_demo(folder, **TINY, verbose=0)
    return SimpleNamespace(
        folder=folder,
        evaluation=evaluation,
        cohort=cohorts[0],
        trained=trained,
        drawn=drawn,
    )


@pytest.fixture
def images(demonstration):
    return [nib.load(demonstration.folder / f"{name}.nii.gz") for name in IMAGES]


@pytest.fixture
def no_simulation(monkeypatch):
    def fail(*args, **kwargs):
        pytest.fail("work began before the outputs were checked")

    monkeypatch.setattr(demo, "make_brain_cohort", fail)


def _state(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_it_leaves_three_images_and_a_picture(demonstration):
    names = {f"{name}.nii.gz" for name in IMAGES} | {"synthesis.png"}
    assert {path.name for path in demonstration.folder.iterdir()} == names


def test_images_are_those_of_the_last_subject_on_one_grid(demonstration, images):
    cohort = demonstration.cohort
    assert cohort.subjects == ["sub-01", "sub-02"]
    assert cohort.images["T1w"][0].header.get_zooms() == (8, 8, 8)
    for image, contrast in zip(images, ("T1w", "T2w"), strict=False):
        expected = cohort.images[contrast][-1]
        assert (image.get_fdata() == expected.get_fdata()).all()
    for image in images:
        assert image.shape == expected.shape
        assert (image.affine == expected.affine).all()


def test_the_subject_shown_was_not_trained_on(demonstration):
    trained, ((shown, _),) = demonstration.trained, demonstration.drawn
    assert len(trained) >= 6  # both contrasts of a subject for each of three networks
    for image in shown[:2]:
        assert not any(
            np.array_equal(image.get_fdata(), other.get_fdata()) for other in trained
        )


def test_scores_of_the_three_networks(demonstration):
    records = demonstration.evaluation.records
    assert [record["model"] for record in records] == [
        "LSDN",
        "CDN",
        "VDN",
    ]
    for record in records:
        assert record["subject"] == "sub-02"
        assert 10 < record["snr"] < 40
        assert record["psnr"] > record["snr"]


def test_lsdns_scores_are_those_of_the_image_saved(demonstration, images):
    source, target, synthesis = (image.get_fdata() for image in images)
    brain = (source != 0) & (target != 0)
    assert ((synthesis != 0) == (source != 0)).all()
    record = demonstration.evaluation.records[0]
    pair = target[brain], synthesis[brain]
    assert record["snr"] == pytest.approx(snr_score(*pair), abs=1e-3)
    assert record["psnr"] == pytest.approx(psnr_score(*pair), abs=1e-3)


def test_the_picture_is_of_the_images_saved(demonstration, images):
    ((shown, names),) = demonstration.drawn
    for image, saved in zip(shown, images, strict=True):
        assert (image.get_fdata() == saved.get_fdata()).all()
    assert (names["source_name"], names["target_name"]) == ("T1w", "T2w")


def test_the_picture_has_three_grey_columns_and_one_in_colour(demonstration):
    picture = matplotlib.image.imread(demonstration.folder / "synthesis.png")[..., :3]
    height, width, _ = picture.shape
    assert min(height, width) > 500
    colour = np.ptp(picture, axis=2)
    for column in range(4):
        part = slice(column * width // 4, (column + 1) * width // 4)
        panels = slice(height // 20, 9 * height // 10)
        greys = np.unique(picture[panels, part].mean(axis=2).round(2))
        assert len(greys) > 20
        coloured = colour[panels, part] > 0.05
        if column < 3:
            assert not coloured.any()
        else:
            red, _, blue = picture[panels, part][coloured].T
            assert (red > blue).any()
            assert (red < blue).any()


def test_a_second_demo_is_refused_before_the_work(demonstration, no_simulation):
    folder = demonstration.folder
    before = _state(folder)
    with pytest.raises(FileExistsError, match="exists already"):
        run_demo(folder, **TINY)
    assert _state(folder) == before


def test_a_picture_alone_is_not_replaced_either(tmp_path, no_simulation):
    (tmp_path / "synthesis.png").write_text("mine")
    with pytest.raises(FileExistsError, match=r"synthesis\.png"):
        run_demo(tmp_path, **TINY)
    assert _state(tmp_path) == {"synthesis.png": b"mine"}


def test_missing_matplotlib_is_found_before_the_work(
    tmp_path, monkeypatch, no_simulation
):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "sklearn_lsdn\[demo\]"'):
        run_demo(tmp_path, **TINY)


def test_a_demo_can_be_repeated_over_the_first(
    demonstration, tmp_path, capsys, monkeypatch
):
    for path in demonstration.folder.iterdir():
        (tmp_path / path.name).write_text("old")
    monkeypatch.setattr(
        demo, "make_brain_cohort", lambda *_, **__: demonstration.cohort
    )
    for network in ("CDNRegressor", "VDNRegressor"):  # so that they take no time
        monkeypatch.setattr(demo, network, lambda sizes: LinearRegression())
    again = run_demo(tmp_path, **TINY, overwrite=True, n_jobs=2).records[0]
    once = demonstration.evaluation.records[0]
    for key in ("model", "subject", "snr", "psnr", "r2"):
        assert again[key] == once[key]
    assert _state(tmp_path) == _state(demonstration.folder)
    said = capsys.readouterr().out
    assert "Simulating T1w and T2w of 2 subjects at 8 mm" in said
    for name in ("LSDN", "CDN", "VDN"):
        assert f"Training {name} on" in said


def test_quiet(demonstration, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        demo, "make_brain_cohort", lambda *_, **__: demonstration.cohort
    )
    for network in ("LSDNRegressor", "CDNRegressor", "VDNRegressor"):
        monkeypatch.setattr(demo, network, lambda *_, **__: LinearRegression())
    run_demo(tmp_path, **TINY, verbose=0)
    assert capsys.readouterr() == ("", "")

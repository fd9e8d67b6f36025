"""Where a voxel lies: by the world, by the brain's own box, by a template."""

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine, from_matvec
from scipy.spatial.transform import Rotation
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from small_volumes import AFFINE, SHAPE, Cohort, framed, make_brain, make_image, small

from sklearn_lsdn import LSDNRegressor, VolumeSynthesizer, load_model, save_model
from sklearn_lsdn.datasets import make_brain_cohort
from sklearn_lsdn.volumes._places import places_of

BRAIN = framed(make_brain(SHAPE)[0])
MOTION = from_matvec(
    Rotation.from_euler("xyz", [5, -8, 10], degrees=True).as_matrix(), [14, -9, 20]
)


def moved(images, by=MOTION):
    """The same voxels, which a header puts elsewhere."""
    return [nib.Nifti1Image(each.get_fdata(), by @ each.affine) for each in images]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    arrays = Cohort(tmp_path_factory.mktemp("places")).arrays
    return {
        name: [make_image(framed(subject[i])) for subject in arrays]
        for i, name in enumerate("abcd")
    }


def fitted(images, places, cls=LSDNRegressor):
    estimator = cls((20, 5), max_iter=4)
    return small(estimator, places=places).fit(images["a"][:2], images["c"][:2])


def synthesis(synthesizer, images):
    return synthesizer.predict(images, on_unlike="ignore")[0].get_fdata()


def test_a_box_is_filled_by_each_brain():
    places, doubts = places_of("brain", BRAIN, AFFINE, None, "scan")
    assert not doubts
    lies = apply_affine(places, np.argwhere(BRAIN))
    ends = np.quantile(lies, [0.01, 0.99], axis=0)
    np.testing.assert_allclose(ends, [[-64, -96, -56], [64, 63, 72]], atol=8)
    finer = np.repeat(np.repeat(BRAIN, 2, axis=0), 3, axis=2)
    other, _ = places_of("brain", finer, None, None, "scan")
    again = apply_affine(other, np.argwhere(finer))
    np.testing.assert_allclose(again.mean(axis=0), lies.mean(axis=0), atol=0.5)
    np.testing.assert_allclose(again.std(axis=0), lies.std(axis=0), rtol=0.05)


def test_residue_far_away_hardly_moves_the_box():
    with_specks = np.pad(BRAIN, 10)
    plain = places_of("brain", with_specks, AFFINE, None, "scan")[0]
    with_specks[0, 0, 0] = with_specks[-1, -1, -1] = True
    other = places_of("brain", with_specks, AFFINE, None, "scan")[0]
    corners = np.argwhere(np.ones((2, 2, 2))) * with_specks.shape
    assert np.abs(apply_affine(plain - other, corners)).max() < 6  # mm


def test_a_volume_that_ends_within_the_brain_is_told(images):
    synthesizer = fitted(images, "brain")
    cut = images["a"][2].slicer[:, :, :-5]
    doubts = [str(each) for each in synthesizer.synthesize(cut).doubts]
    assert any(
        "the volume ends within the brain, at its top" in text for text in doubts
    )
    whole = synthesizer.synthesize(images["a"][2]).doubts
    assert not any("ends within" in str(each) for each in whole)


def test_a_brain_of_one_slice_has_a_box():
    places, _ = places_of("brain", BRAIN[:, :, 5:6], AFFINE, None, "scan")
    assert np.isfinite(places).all()
    assert abs(np.linalg.det(places)) > 0


@pytest.mark.parametrize("places", ["brain", None])
def test_it_does_not_matter_where_the_header_puts_the_head(images, places):
    synthesizer = fitted(images, places)
    there = moved(images["a"][2:])
    expected = synthesis(synthesizer, images["a"][2:])
    np.testing.assert_allclose(synthesis(synthesizer, there), expected, rtol=1e-4)
    elsewhere = {name: moved(each) for name, each in images.items()}
    again = fitted(elsewhere, places)
    np.testing.assert_allclose(synthesis(again, there), expected, rtol=1e-3)


def test_in_the_world_it_does(images):
    synthesizer = fitted(images, "world")
    there = synthesis(synthesizer, moved(images["a"][2:]))
    assert np.abs(there - synthesis(synthesizer, images["a"][2:])).max() > 1


def test_the_size_of_the_head_does_not_matter_either(images):
    synthesizer = fitted(images, "brain")
    expected = synthesis(synthesizer, images["a"][2:])
    larger = synthesis(synthesizer, moved(images["a"][2:], np.diag([1.1, 1.1, 1.1, 1])))
    np.testing.assert_allclose(larger, expected, rtol=1e-4)


@pytest.mark.parametrize("places", ["brain", "world"])
def test_the_volume_and_rows_are_predicted_alike(images, places):
    """A Pipeline sees rows; the network itself reads the volume."""
    network = LSDNRegressor((20, 5), max_iter=4, random_state=0)
    rows = make_pipeline(FunctionTransformer(), network)
    by_volume, by_rows = (
        small(each, places=places).fit(images["a"][:2], images["c"][:2])
        for each in (network, rows)
    )
    by_rows.estimator_.set_params(lsdnregressor=by_volume.estimator_)
    np.testing.assert_allclose(
        synthesis(by_rows, images["a"][2:]),
        synthesis(by_volume, images["a"][2:]),
        rtol=1e-4,
        atol=1e-2,
    )


def test_a_model_file_keeps_them(images, tmp_path):
    synthesizer = fitted(images, "brain")
    save_model(synthesizer, tmp_path / "m.skops")
    loaded = load_model(tmp_path / "m.skops")
    expected = synthesis(synthesizer, images["a"][2:])
    np.testing.assert_array_equal(synthesis(loaded, images["a"][2:]), expected)


def test_a_template_brings_heads_together():
    cohort = make_brain_cohort(2, voxel_size=4, random_state=0).images["T1w"]
    lie = []
    for image in [cohort[1], *moved(cohort[1:])]:
        data = image.get_fdata(dtype=np.float32)
        places, doubts = places_of("template", data != 0, image.affine, data, "scan")
        assert not doubts
        lie.append(apply_affine(places, np.argwhere(data != 0)))
    assert np.linalg.norm(lie[0] - lie[1], axis=1).mean() < 1.5  # mm
    assert np.linalg.norm(lie[0].mean(axis=0) - [0, -18, 14]) < 12


def test_what_no_template_fits_is_told():
    """A cohort of tiny balls."""
    data = np.where(BRAIN, 100 + np.arange(BRAIN.shape[0])[:, None, None], 0)
    images = [make_image(np.float32(data))] * 2
    synthesizer = VolumeSynthesizer(
        LinearRegression(), places="template", n_voxels=100, random_state=0
    )
    with pytest.warns(UserWarning, match="badly aligned to"):
        synthesizer.fit(images, images)


def test_other_places_are_refused(images):
    with pytest.raises(ValueError, match="'places' parameter"):
        small(places="mars").fit(images["a"], images["c"])

"""ComparisonDisplay: one slice of all methods, in one window, over their errors."""

import sys

import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

from sklearn_lsdn import VDNRegressor, VolumeSynthesizer, snr_score
from sklearn_lsdn.datasets import make_brain_cohort
from sklearn_lsdn.display import ComparisonDisplay, SynthesisDisplay
from sklearn_lsdn.display._units import in_units_of
from sklearn_lsdn.exceptions import UnitsWarning

SHAPE, ZOOMS = (9, 11, 7), (1.0, 2.0, 3.0)
AFFINE = nib.affines.from_matvec(np.diag(ZOOMS), [-4, -9, -8])
CENTRE = (6, 5, 3)  # of the brain; across the sagittal plane beside the fissure
PLANES = {"sagittal": 0, "coronal": 1, "axial": 2}


@pytest.fixture(autouse=True)
def _close_figures():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def _volumes():
    """A box-shaped brain, every voxel its own value: scan, two syntheses, source."""
    brain = np.zeros(SHAPE, dtype=bool)
    brain[2:9, 1:10, 1:6] = True
    rng = np.random.RandomState(0)
    target = np.where(brain, rng.uniform(100, 1000, SHAPE), 0).astype("f4")
    noisy = [
        np.where(brain, target + rng.normal(0, s, SHAPE), 0).astype("f4")
        for s in (20, 80)
    ]
    source = np.where(brain, rng.uniform(1, 10, SHAPE), 0).astype("f4")
    return target, {"good": noisy[0], "poor": noisy[1]}, source, brain


def _image(volume, axes="RAS"):
    image = nib.Nifti1Image(volume, AFFINE)
    return image.as_reoriented(
        ornt_transform(io_orientation(AFFINE), axcodes2ornt(axes))
    )


def _display(axes="RAS", *, with_source=True, **parameters):
    target, syntheses, source, _ = _volumes()
    return ComparisonDisplay.from_predictions(
        _image(target, axes),
        {name: _image(volume, axes) for name, volume in syntheses.items()},
        source=_image(source, axes) if with_source else None,
        **parameters,
    )


def _pictures(display):
    """What is drawn above and below, by column; None for no picture."""
    return [
        [ax.images[0] if ax.images else None for ax in row] for row in display.axes_
    ]


def test_columns_are_source_target_and_methods():
    display = _display(source_name="T1w", target_name="T2w")
    titles = [ax.get_title() for ax in display.axes_[0]]
    assert titles[:2] == ["T1w (source)", "T2w (target)"]
    assert [title.split("\n")[0] for title in titles[2:]] == ["good", "poor"]
    above, below = _pictures(display)
    assert None not in above
    assert [picture is None for picture in below] == [True, True, False, False]
    without = _display(with_source=False)
    assert without.axes_.shape == (2, 3)
    assert without.axes_[0, 0].get_title() == "target"


def test_titles_have_the_scores_over_the_whole_brain():
    target, syntheses, _, brain = _volumes()
    display = _display()
    for i, (name, volume) in enumerate(syntheses.items()):
        snr = snr_score(target[brain], volume[brain])
        assert display.snr_[name] == pytest.approx(snr)
        r2 = r2_score(target[brain], volume[brain])
        assert display.r2_[name] == pytest.approx(r2)
        title = f"{name}\nSNR {snr:.2f} dB, R2 {r2:.3f}"
        assert display.axes_[0, i + 2].get_title() == title
    assert display.snr_["good"] > display.snr_["poor"] + 6


@pytest.mark.parametrize("axes", ["RAS", "LPI", "SRA"])
@pytest.mark.parametrize("plane", PLANES)
def test_all_pictures_show_the_middle_of_the_brain(plane, axes):
    target, syntheses, source, brain = _volumes()
    above, below = _pictures(_display(axes, plane=plane))
    expected = [source, target, *syntheses.values()]
    for picture, volume in zip(above, expected, strict=True):
        section = np.take(volume, CENTRE[PLANES[plane]], axis=PLANES[plane]).T
        np.testing.assert_array_equal(picture.get_array(), section)
        assert picture.origin == "lower"
    inside = np.take(brain, CENTRE[PLANES[plane]], axis=PLANES[plane]).T
    for picture, volume in zip(below[2:], syntheses.values(), strict=True):
        error = np.take(volume - target, CENTRE[PLANES[plane]], axis=PLANES[plane]).T
        drawn = picture.get_array()
        assert (np.ma.getmaskarray(drawn) == ~inside).all()
        np.testing.assert_array_equal(drawn[inside], error[inside])


def test_target_and_syntheses_share_a_window():
    target, _, source, brain = _volumes()
    above, _ = _pictures(_display())
    tops = [np.percentile(volume[brain], 99.5) for volume in (source, target)]
    assert above[0].get_clim() == pytest.approx((0, tops[0]))
    for picture in above[1:]:
        assert picture.get_clim() == pytest.approx((0, tops[1]))
        assert picture.get_cmap().name == "gray"


def test_errors_share_a_symmetric_scale_with_a_neutral_zero():
    target, _, _, brain = _volumes()
    _, below = _pictures(_display())
    limit = np.percentile(target[brain], 99.5) / 2
    for picture in below[2:]:
        assert picture.get_clim() == pytest.approx((-limit, limit))
    colors = below[2].to_rgba(np.linspace(-limit, limit, 9))[:, :3]
    assert colors[4] == pytest.approx(0.97, abs=0.01)  # no error is white
    assert colors[0, 2] > colors[0, 0]  # too dark is blue
    assert colors[-1, 0] > colors[-1, 2]  # too bright is red
    _, below = _pictures(_display(error_limit=5, error_cmap="cividis"))
    assert below[3].get_clim() == (-5, 5)
    assert below[3].get_cmap().name == "cividis"
    assert below[3].colorbar.extend == "both"


def test_perfect_syntheses_have_a_scale_as_well():
    target = _image(_volumes()[0])
    display = ComparisonDisplay.from_predictions(target, {"copy": target})
    assert display.axes_[0, 1].get_title() == "copy\nSNR inf dB, R2 1.000"
    low, high = display.axes_[1, 1].images[0].get_clim()
    assert low == -high < 0


def test_scales_and_places_carry_units():
    display = _display(source_name="T1w", target_name="T2w", cut_coords=-1.0)
    bars = [
        picture.colorbar for row in _pictures(display) for picture in row if picture
    ]
    labels = [bar.ax.get_xlabel() or bar.ax.get_ylabel() for bar in bars if bar]
    assert labels == [
        "scanner units",
        "scanner units",
        "synthesis - target\n(scanner units)",
    ]
    for ax in display.axes_[0]:
        texts = [text.get_text() for text in ax.texts]
        assert texts == ["axial, z = -2 mm", "L", "R"]


@pytest.mark.parametrize("axes", ["RAS", "LPI"])
def test_pictures_lie_at_their_world_coordinates(axes):
    display = _display(axes, plane="coronal", cut_coords=-1.0)
    assert display.axes_[0, 0].texts[0].get_text() == "coronal, y = -1 mm"
    picture = _pictures(display)[0][1]
    # Voxel borders of the whole grid: x from -4 by 1 mm, z from -8 by 3 mm.
    assert picture.get_extent() == pytest.approx([-4.5, 4.5, -9.5, 11.5])
    np.testing.assert_array_equal(picture.get_array(), _volumes()[0][:, 4].T)
    assert picture.axes.get_aspect() == 1


def test_the_part_shown_is_the_brain_and_a_margin():
    display = _display()
    for ax in [*display.axes_[0], *display.axes_[1, 2:]]:
        assert ax.get_xlim() == pytest.approx((-2.5 - 3, 4.5 + 3))
        assert ax.get_ylim() == pytest.approx((-8 - 10, 10 + 3))  # and the position


def test_places_without_brain_are_refused():
    with pytest.raises(
        ValueError, match=r"no brain at 90 mm: give a position from -5 to 7 mm"
    ):
        _display(cut_coords=[90])
    with pytest.raises(ValueError, match=r"plane must be one of .*got 'oblique'"):
        _display(plane="oblique")
    with pytest.raises(ValueError, match="chooses 2 slices, and a comparison shows"):
        _display(cut_coords=(-2, 0))
    with pytest.raises(ValueError, match=r"cut_coords=5 chooses 5 slices"):
        _display(cut_coords=5)
    with pytest.raises(ValueError, match=r"position in mm in a list, as \[-1\]"):
        _display(cut_coords=-1)


def test_the_worst_slice_is_where_errors_are():
    target, syntheses, _, _ = _volumes()
    syntheses["poor"][3:6, 3:6, 4] += 500
    display = ComparisonDisplay.from_predictions(
        _image(target), {"poor": _image(syntheses["poor"])}, cut_coords="worst"
    )
    shown = display.axes_[0, 1].images[0].get_array()
    np.testing.assert_array_equal(shown, syntheses["poor"][:, :, 4].T)


def test_other_units_than_the_targets_are_told_and_mended():
    target, syntheses, _, brain = _volumes()
    made = np.where(brain, 0.5 * syntheses["good"] + 300, 0).astype("f4")
    images = _image(target), {"good": _image(made)}
    with pytest.warns(UnitsWarning, match="synthesis by good has other units"):
        display = ComparisonDisplay.from_predictions(*images)
    as_given = snr_score(target[brain], made[brain])
    assert display.snr_["good"] == pytest.approx(as_given)
    display = ComparisonDisplay.from_predictions(*images, scale_to_target=True)
    whole = snr_score(target[brain], syntheses["good"][brain])
    assert display.snr_["good"] == pytest.approx(whole, abs=0.3)
    flat = np.where(brain, 7, 0)
    assert in_units_of(target, flat, brain) is flat
    given = [_image(target)] * 2 + [_image(made)]
    with pytest.warns(UnitsWarning, match="scale_to_target=True"):
        SynthesisDisplay.from_images(*given)
    display = SynthesisDisplay.from_images(*given, scale_to_target=True)
    error = display.volumes["error"][brain]
    assert abs(error).mean() < 30 < abs(made - target)[brain].mean()


def test_a_mask_limits_brain_and_snr():
    target, syntheses, _, brain = _volumes()
    half = brain.copy()
    half[5:] = False
    display = _display(mask=_image(half.astype("f4")))
    for name, volume in syntheses.items():
        snr = snr_score(target[half], volume[half])
        assert display.snr_[name] == pytest.approx(snr)
    drawn = display.axes_[1, 2].images[0].get_array()
    assert (np.ma.getmaskarray(drawn) == ~half[:, :, 3].T).all()


def test_images_that_do_not_belong_together_are_refused():
    target, syntheses, _, _ = _volumes()
    with pytest.raises(
        ValueError, match=r"target and the synthesis by good lie on different grids"
    ):
        ComparisonDisplay.from_predictions(
            _image(target), {"good": _image(syntheses["good"][1:])}
        )
    with pytest.raises(ValueError, match="syntheses is empty"):
        ComparisonDisplay.from_predictions(_image(target), {})
    with pytest.raises(TypeError, match="syntheses must be a dict.*got a list"):
        ComparisonDisplay.from_predictions(_image(target), [_image(target)])
    with pytest.raises(TypeError, match="synthesizers must be a dict.*got a list"):
        ComparisonDisplay.from_estimators([], _image(target), _image(target))
    for limit in (0, -5, np.nan):
        with pytest.raises(ValueError, match="error_limit must be above 0"):
            _display(error_limit=limit)
    assert not plt.get_fignums()


def test_drawn_in_a_given_figure_and_again():
    figure = plt.figure(layout="constrained")
    display = _display(figure=figure)
    assert display.figure_ is figure
    assert plt.get_fignums() == [figure.number]
    figure, places = plt.subplots(1, 2, layout="constrained")
    display.plot(ax=places[0])
    assert display.figure_ is figure
    assert display.axes_.shape == (2, 4)
    figure.draw_without_rendering()
    right = max(ax.get_position().x1 for ax in display.axes_.flat)
    assert right <= places[1].get_position().x0 + 0.05
    assert display.plot(plane="sagittal") is display
    assert display.figure_ is not figure
    display.figure_.draw_without_rendering()


def test_names_are_written_as_they_are():
    target = _image(_volumes()[0])
    names = dict(source_name="a$^$b", target_name="$T_1$")
    display = ComparisonDisplay.from_predictions(
        target, {"$^$": target}, source=target, **names
    )
    display.figure_.draw_without_rendering()
    assert not any(ax.title.get_parse_math() for ax in display.axes_[0])
    for how in ({}, {"plane": "axial", "cut_coords": 1}):
        SynthesisDisplay.from_images(
            target, target, target, **names, **how
        ).figure_.draw_without_rendering()
    title = display.axes_[0, 1].get_title()
    assert title == "$T_1$ (target)"


@pytest.fixture(scope="module")
def subjects():
    cohort = make_brain_cohort(2, voxel_size=8, random_state=0)
    return cohort.images["T1w"], cohort.images["T2w"]


@pytest.fixture(scope="module")
def synthesizers(subjects):
    sources, targets = subjects
    regressors = {"linear": LinearRegression(), "VDN": VDNRegressor((5,), max_iter=2)}
    return {
        name: VolumeSynthesizer(regressor, n_voxels=300, random_state=0).fit(
            sources[:1], targets[:1]
        )
        for name, regressor in regressors.items()
    }


def test_synthesizers_predict_in_the_units_of_the_target(
    subjects, synthesizers, tmp_path
):
    sources, targets = subjects
    path = tmp_path / "target.nii.gz"
    nib.save(targets[1], path)
    display = ComparisonDisplay.from_estimators(synthesizers, sources[1], path)
    assert list(display.snr_) == ["linear", "VDN"]
    for name, synthesizer in synthesizers.items():
        score = synthesizer.score(sources[1:], targets[1:])
        assert display.snr_[name] == pytest.approx(score, abs=1e-3)
    np.testing.assert_array_equal(display.source, sources[1].get_fdata())


def test_one_synthesizer_is_named_after_its_regressor(subjects, synthesizers):
    sources, targets = subjects
    display = ComparisonDisplay.from_estimator(
        synthesizers["linear"], [sources[1]], targets[1], plane="coronal"
    )
    assert list(display.syntheses) == ["LinearRegression"]
    display = ComparisonDisplay.from_estimator(
        synthesizers["linear"], sources[1], targets[1], name="ours"
    )
    assert list(display.syntheses) == ["ours"]


def test_synthesis_display_predicts_as_well(subjects, synthesizers):
    sources, targets = subjects
    display = SynthesisDisplay.from_estimator(
        synthesizers["VDN"], sources[1], targets[1], target_name="T2w"
    )
    (expected,) = synthesizers["VDN"].predict(sources[1:], scale_to=targets[1:])
    np.testing.assert_array_equal(display.volumes["synthesis"], expected.get_fdata())
    np.testing.assert_array_equal(display.volumes["source"], sources[1].get_fdata())
    assert display.names["target"] == "T2w (target)"
    figure = plt.figure(layout="constrained")
    assert display.plot(figure=figure).figure_ is figure


@pytest.mark.parametrize("display", [ComparisonDisplay, SynthesisDisplay])
@pytest.mark.parametrize("kind", ["array", "image"])
@pytest.mark.filterwarnings("ignore::sklearn_lsdn.exceptions.ScanWarning")
def test_one_mask_is_predicted_and_shown(display, kind, subjects, synthesizers):
    sources, targets = subjects
    inside = sources[1].get_fdata() != 0
    inside[: len(inside) // 2] = False
    mask = inside
    if kind == "image":
        mask = nib.Nifti1Image(np.uint8(inside), sources[1].affine)
    for codes in ("RAS", "LPS"):  # an array lies as the source does
        turn = ornt_transform(io_orientation(targets[1].affine), axcodes2ornt(codes))
        target = targets[1].as_reoriented(turn)
        drawn = display.from_estimator(
            synthesizers["VDN"], sources[1], target, mask=mask
        )
        np.testing.assert_array_equal(drawn.mask, inside)


@pytest.mark.parametrize("display", [ComparisonDisplay, SynthesisDisplay])
def test_synthesizers_that_cannot_be_shown_are_refused(display, subjects):
    sources, targets = subjects
    two = VolumeSynthesizer(LinearRegression(), n_voxels=100).fit(
        sources[:1], [[targets[0], sources[0]]]
    )
    with pytest.raises(ValueError, match="predicts 2 contrasts, and a picture shows"):
        display.from_estimator(two, sources[1], targets[1])
    with pytest.raises(NotFittedError):
        display.from_estimator(VolumeSynthesizer(), sources[1], targets[1])


@pytest.mark.parametrize("n_methods", [3, 8])
def test_titles_do_not_overlap(n_methods):
    target, syntheses, source, _ = _volumes()
    named = {f"method {i}": _image(syntheses["good"]) for i in range(n_methods)}
    display = ComparisonDisplay.from_predictions(
        _image(target), named, source=_image(source)
    )
    display.figure_.draw_without_rendering()
    boxes = [ax.title.get_window_extent() for ax in display.axes_[0]]
    for left, right in zip(boxes, boxes[1:], strict=False):
        assert left.x1 < right.x0


def test_missing_matplotlib_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r'pip install "sklearn_lsdn\[demo\]"'):
        _display()

"""Slices that all displays draw: where they lie, at one scale."""

import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from scipy.spatial.transform import Rotation

from sklearn_lsdn import LSDNRegressor, VDNRegressor, VolumeSynthesizer
from sklearn_lsdn.datasets import make_brain_cohort
from sklearn_lsdn.display import (
    JointHistogramDisplay,
    NodesDisplay,
    SynthesisDisplay,
)

AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])


@pytest.fixture(autouse=True)
def _close_figures():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def brain():
    """A box of 120 x 160 x 100 mm, from 20 mm on along each axis."""
    mask = np.zeros((80, 100, 70), dtype=bool)
    mask[10:70, 10:90, 10:60] = True
    return mask


@pytest.fixture
def display(brain):
    target = np.where(brain, 100.0, 0)
    synthesis = target.copy()
    synthesis[:, :, 42] += 30
    volumes = {"target": target, "synthesis": synthesis, "error": synthesis - target}
    return SynthesisDisplay(volumes, brain, AFFINE)


def _positions(display):
    return [float(ax.texts[0].get_text().split()[-2]) for ax in display.axes_[0]]


def test_all_panels_have_one_scale(display):
    for options in ({}, {"plane": "axial"}, {"cut_coords": 3}):
        figure = display.plot(**options).figure_
        figure.draw_without_rendering()
        scales = []
        for ax in display.axes_.flat:
            box = ax.get_window_extent()
            scales.append(box.width / np.ptp(ax.get_xlim()))
            scales.append(box.height / np.ptp(ax.get_ylim()))
        assert np.ptp(scales) < 0.01 * scales[0]


def test_slices_are_spread_and_miss_the_fissure(display):
    places = _positions(display.plot(plane="axial"))
    assert len(places) == 7
    assert np.diff(places) == pytest.approx(np.diff(places).mean(), abs=3)
    for number in (1, 5, 6):
        places = _positions(display.plot(plane="sagittal", cut_coords=number))
        assert len(set(places)) == number
        assert min(abs(place - 79) for place in places) >= 10
        assert all(20 <= place <= 140 for place in places)


@pytest.mark.parametrize(("width", "starts"), [(7, "z = "), (14, "axial, z = ")])
def test_small_pictures_do_not_name_the_plane(display, width, starts):
    display.plot(figure=plt.figure(figsize=(width, 5)), plane="axial")
    assert all(ax.texts[0].get_text().startswith(starts) for ax in display.axes_.flat)


def test_slices_are_chosen_in_mm_or_by_error(display):
    places = _positions(display.plot(plane="coronal", cut_coords=[30, 90.4]))
    assert places == [30, 90]
    display.plot(cut_coords=(40, 50, 60))
    words = [row[0].texts[0].get_text() for row in display.axes_]
    assert words == ["sagittal, x = 40 mm", "coronal, y = 50 mm", "axial, z = 60 mm"]
    assert _positions(display.plot(plane="axial", cut_coords="worst")) == [84]
    with pytest.raises(ValueError, match="x, y and z in mm, got 2 numbers"):
        display.plot(cut_coords=[1, 2])
    for nowhere in (np.nan, 300):
        with pytest.raises(
            ValueError, match=f"no brain at {nowhere} mm.* from 20 to 138"
        ):
            display.plot(cut_coords=[nowhere, 50, 60])
    with pytest.raises(ValueError, match="cut_coords must be a number.*'best'"):
        display.plot(cut_coords="best")
    with pytest.raises(ValueError, match="cut_coords is empty"):
        display.plot(plane="axial", cut_coords=[])
    with pytest.raises(ValueError, match="number of slices, must be 1 or more"):
        display.plot(plane="axial", cut_coords=0)
    del display.volumes["error"]
    with pytest.raises(ValueError, match="not known without a target"):
        display.plot(cut_coords="worst")


def test_few_slices_are_spread_about_the_middle(display):
    for number in (2, 3):
        places = _positions(display.plot(plane="sagittal", cut_coords=number))
        assert np.mean(places) == pytest.approx(79, abs=7)
        assert np.ptp(places) > 80


def test_true_is_no_number_of_slices(display):
    for true in (True, np.True_):
        with pytest.raises(ValueError, match="cut_coords=True: give a number"):
            display.plot(plane="axial", cut_coords=true)


def test_slices_are_chosen_where_there_is_brain(display):
    """Of a mask in two pieces, and of one that is thinner than the slices asked for."""
    display.mask = display.mask.copy()
    display.mask[:, :, 20:50] = False
    display.plot()
    assert _positions(display.plot(plane="axial", cut_coords=1))[0] in (38, 100)
    places = _positions(display.plot(plane="axial", cut_coords=7))
    assert all(20 <= place < 40 or 100 <= place < 120 for place in places)
    assert _positions(display.plot(plane="axial", cut_coords=[44, 96])) == [38, 100]
    display.mask[:, :, :48] = display.mask[:, :, 52:] = False
    assert _positions(display.plot(plane="axial", cut_coords=7)) == [100, 102]
    display.plot(cut_coords=4).figure_.draw_without_rendering()
    assert display.axes_.shape == (9, 4)
    drawn = [[bool(ax.images) for ax in row] for row in display.axes_[[0, 8]]]
    assert drawn == [[True] * 4, [True, True, False, False]]


def test_outlines_are_drawn_on_maps_and_elsewhere_upon_request(display):
    display.plot()
    assert [len(ax.collections) for ax in display.axes_[0]] == [0, 0, 1]
    display.plot(outline=True)
    assert [len(ax.collections) for ax in display.axes_[0]] == [1, 1, 1]


def test_axes_given_are_drawn_on(display):
    figure, axes = plt.subplots(3, 3, layout="constrained")
    assert (display.plot(ax=axes).axes_ == axes).all()
    assert display.figure_ is figure
    with pytest.raises(ValueError, match="ax holds 2 axes, and 3 x 3 are drawn"):
        display.plot(ax=axes[0, :2])


def _bars(figure):
    """Upper ends of the colour bars of a figure."""
    return [ax.get_xlim()[1] for ax in figure.axes if ax.get_label() == "<colorbar>"]


@pytest.mark.parametrize("layout", ["constrained", None])
def test_what_was_drawn_on_axes_before_goes(display, layout):
    figure, axes = plt.subplots(3, 3, layout=layout)
    display.plot(ax=axes)
    figure.draw_without_rendering()
    shown = [ax.get_position().bounds for ax in axes.flat]
    n_axes = len(figure.axes)
    brighter = SynthesisDisplay(
        {name: 10 * each for name, each in display.volumes.items()},
        display.mask,
        display.affine,
    )
    brighter.plot(ax=display.axes_)
    assert len(figure.axes) == n_axes
    assert _bars(figure) == pytest.approx([1000, 1000, 500])
    for ax in brighter.axes_.flat:
        assert len(ax.images) == 1
        assert len(ax.texts) == 3
    figure.draw_without_rendering()
    again = [ax.get_position().bounds for ax in axes.flat]
    np.testing.assert_allclose(again, shown, atol=0.02)  # labels are longer


@pytest.mark.parametrize(
    ("in_a_grid", "layout"), [(True, None), (False, None), (False, "constrained")]
)
def test_panels_take_the_place_of_axes(display, in_a_grid, layout):
    figure = plt.figure(layout=layout)
    places = figure.subplots(1, 2)
    place = places[0] if in_a_grid else figure.add_axes([0.1, 0.2, 0.3, 0.6])
    before = place.get_position()
    display.plot(ax=place)
    n_axes = len(figure.axes)
    assert display.figure_ is figure
    figure.draw_without_rendering()
    for ax in display.axes_.flat:
        assert before.padded(1e-9).containsx(ax.get_position().x0)
        assert before.padded(1e-9).containsx(ax.get_position().x1)
    display.plot(ax=place)
    assert len(figure.axes) == n_axes
    display.plot(ax=place, plane="axial", cut_coords=2)
    assert display.axes_.shape == (3, 2)
    assert sum(bool(ax.images) for ax in figure.axes) == 6


def test_lines_and_panels_of_other_displays_go_as_well(display):
    figure = plt.figure()
    ax = figure.subplots()
    ax.plot([1, 2])
    ax.set_title("before")
    display.plot(ax=ax)
    assert not ax.lines
    assert ax.get_title() == ""
    JointHistogramDisplay(np.ones((2, 2)), np.arange(3), np.arange(3)).plot(ax=ax)
    assert len(figure.axes) == 2  # with its bar
    assert ax.axison


def test_a_figure_is_no_axes(display):
    with pytest.raises(TypeError, match="pass it as figure="):
        display.plot(plt.figure())


def test_an_empty_synthesis_is_refused():
    empty = nib.Nifti1Image(np.zeros((9, 9, 9), np.float32), AFFINE)
    with pytest.raises(ValueError, match="0 everywhere: there is no brain"):
        SynthesisDisplay.from_images(empty, empty, empty)


def test_a_single_panel_is_drawn_on_the_axes_given(display):
    ax = plt.figure().subplots()
    alone = SynthesisDisplay(
        {"synthesis": display.volumes["synthesis"]}, display.mask, display.affine
    )
    for _ in range(2):
        alone.plot(ax=ax, plane="axial", cut_coords=1)
        assert alone.axes_.tolist() == [[ax]]
        assert len(ax.images) == 1
    display.plot(ax=ax)
    assert not ax.images


def test_a_figure_is_filled_anew(display):
    figure = plt.figure(layout="constrained")
    figure.suptitle("kept")
    for _ in range(2):
        display.plot(figure=figure)
        assert len(figure.axes) == 9 + 3
    assert figure.get_suptitle() == "kept"
    with pytest.raises(ValueError, match="ax and figure are both given"):
        display.plot(display.axes_, figure=figure)


def test_slices_of_a_tilted_grid_meet_in_a_point():
    turn = np.deg2rad(12)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:2, :2] = 2 * np.array(
        [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    )
    mask = np.ones((40, 50, 30), dtype=bool)
    dot = np.zeros(mask.shape)
    dot[30, 8, 20] = 1
    volumes = {"synthesis": np.where(mask, 5.0, 0), "target": dot}
    display = SynthesisDisplay(volumes, mask, affine)
    point = (affine @ [30, 8, 20, 1])[:3]
    display.plot(cut_coords=point)
    assert all(row[1].images[0].get_array().max() == 1 for row in display.axes_)
    assert "(tilted)" in display.axes_[0, 0].texts[0].get_text()


def test_nodes_of_a_tilted_grid_are_drawn_where_they_answer():
    turn = Rotation.from_euler("xz", [25, 8], degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = turn * [2, 2, 3]
    affine[:3, 3] = -40, -70, -30
    shape = 40, 50, 30
    mask = np.zeros(shape, dtype=bool)
    mask[3:-3, 3:-3, 3:-3] = True
    at = np.array([30, 8, 20])
    voxels = np.array([at, [5, 40, 9], [20, 30, 14]])
    world_to_places = np.diag([1.2, 0.9, 1.1, 1])
    nodes = apply_affine(world_to_places @ affine, voxels)
    reach = np.array([30.0, 40.0, 35.0])
    volume = np.arange(mask.size, dtype=float).reshape(shape)
    display = NodesDisplay(volume, mask, affine, world_to_places, nodes, reach)
    display.plot(cut_coords=apply_affine(affine, at))
    for ax in display.axes_[0]:
        scan, drawn = (image.get_array() for image in ax.images)
        indices = np.moveaxis(np.unravel_index(scan.astype(int), shape), 0, -1)
        places = apply_affine(world_to_places @ affine, indices)
        away = ((places[..., None, :] - nodes) / reach) ** 2
        answers = 2 / (1 + np.exp(away.sum(axis=-1)))
        inside = ~np.ma.getmaskarray(drawn)
        assert (inside == mask[tuple(np.moveaxis(indices, -1, 0))]).all()
        expected = answers.mean(axis=-1)[inside]
        np.testing.assert_allclose(drawn[inside], expected, atol=1e-6)
        (dot,) = ax.collections[-1].get_offsets()
        left, right, bottom, top = ax.images[0].get_extent()
        n_up, n_across = scan.shape
        up = int((dot[1] - bottom) / (top - bottom) * n_up)
        across = int((dot[0] - left) / (right - left) * n_across)
        assert indices[up, across].tolist() == at.tolist()


def test_nodes_lie_where_the_network_has_them():
    cohort = make_brain_cohort(1, voxel_size=8, random_state=0)
    t1w, t2w = cohort.images["T1w"], cohort.images["T2w"]
    small = dict(hidden_layer_sizes=(9, 3), max_iter=1, random_state=0)
    given = dict(n_voxels=100, random_state=0, places="world")
    synthesizer = VolumeSynthesizer(LSDNRegressor(**small), **given).fit(t1w, t2w)
    display = NodesDisplay.from_estimator(synthesizer, t1w[0], plane="axial")
    network = synthesizer.estimator_
    np.testing.assert_array_equal(display.nodes, network.latent_coordinates_)
    (ax,) = display.axes_[0]
    height = float(ax.texts[0].get_text().split()[-2])
    near = abs(display.nodes[:, 2] - height) < 10
    drawn = ax.collections[-1].get_offsets()
    assert len(drawn) == pytest.approx(near.sum(), abs=1)
    # Sigma of 0.5 is a quarter of the brain; all nodes answer in part.
    answers = np.asarray(ax.images[1].get_array())
    assert 0 < np.nanmin(answers) < np.nanmax(answers) < 1
    boxed = given | dict(places="brain")
    boxed = VolumeSynthesizer(LSDNRegressor(**small), **boxed).fit(t1w, t2w)
    where = [
        _positions(
            NodesDisplay.from_estimator(each, t1w[0], plane="axial", cut_coords=4)
        )
        for each in (synthesizer, boxed)
    ]
    assert where[0] == where[1]  # both in world mm
    without = VolumeSynthesizer(VDNRegressor(**small), **given).fit(t1w, t2w)
    with pytest.raises(ValueError, match="No network of the synthesizer has nodes"):
        NodesDisplay.from_estimator(without, t1w[0])

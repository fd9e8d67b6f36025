"""Volumes at coarser scales."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from sklearn_lsdn.volumes._scales import at_scale, smoothed

SHAPE = (14, 13, 12)


@pytest.fixture
def brain():
    rng = np.random.RandomState(0)
    mask = np.zeros(SHAPE, dtype=bool)
    mask[2:-2, 3:-1, 2:-3] = True
    return rng.normal(300, 40, SHAPE).astype(np.float32), mask


def test_scale_1_is_the_volume_itself(brain):
    volume, mask = brain
    assert at_scale(volume, mask, 1) is volume


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_it_is_a_gaussian_of_that_width(brain, scale):
    volume, _ = brain
    everywhere = np.ones(SHAPE, dtype=bool)
    sigma = scale / (2 * np.sqrt(2 * np.log(2)))  # half of the height at scale / 2
    as_alone = dict(truncate=3, mode="constant")
    weights = gaussian_filter(np.ones(SHAPE), sigma, **as_alone)
    expected = gaussian_filter(volume.astype(float), sigma, **as_alone) / weights
    smooth = at_scale(volume, everywhere, scale)
    assert smooth.dtype == np.float32
    np.testing.assert_allclose(smooth, expected, rtol=1e-5)


@pytest.mark.parametrize("outside", [0.0, -1e6, np.nan])
def test_voxels_outside_the_brain_take_no_part(brain, outside):
    volume, mask = brain
    expected = at_scale(volume, mask, 3)[mask]
    volume[~mask] = outside
    np.testing.assert_array_equal(at_scale(volume, mask, 3)[mask], expected)


@pytest.mark.parametrize("constant", [5.0, 1e30, 1e-30])
def test_a_constant_stays_what_it_is(brain, constant):
    _, mask = brain
    smooth = at_scale(np.full(SHAPE, constant, dtype=np.float32), mask, 4)
    np.testing.assert_allclose(smooth[mask], constant, rtol=1e-6)


def test_units_do_not_matter(brain):
    volume, mask = brain
    smooth = at_scale(volume, mask, 2)[mask]
    other = at_scale(3 * volume + 10_000, mask, 2)[mask]
    np.testing.assert_allclose(other, 3 * smooth + 10_000, rtol=1e-6)


def test_each_axis_may_have_a_width_of_its_own(brain):
    volume, _ = brain
    everywhere = np.ones(SHAPE, dtype=bool)
    smooth = smoothed(volume, everywhere, [3, 0, 0])
    np.testing.assert_allclose(
        smooth[:, 3, 4],
        smoothed(volume[:, 3:4, 4:5], everywhere[:, 3:4, 4:5], [3, 0, 0]).ravel(),
        rtol=1e-5,
    )

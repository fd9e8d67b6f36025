"""Prediction of voxels straight from padded volumes."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from small_networks import double, make_network, single

from sklearn_lsdn._network import reference
from sklearn_lsdn._network.inference import _SLICE, Volume, predict_rows, predict_voxels
from sklearn_lsdn._network.kernels.responses import TILE


def make_volumes(n_channels, shape, seed=3):
    return single(np.random.RandomState(seed).normal(size=(n_channels, *shape)))


def patch_offsets(strides, spacings=(1,)):
    """Steps from voxel to voxel in each channel, as indices and as flat offsets."""
    steps = np.array(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij")).reshape(3, -1).T
    steps = np.multiply.outer(spacings, steps)
    return steps, steps @ np.array([*strides, 1])


def gather(volumes, voxels, steps):
    """Patches around ``voxels``, channel after channel."""
    where = [(voxels[:, None, :] + each).transpose(2, 0, 1) for each in steps]
    parts = [v[tuple(w)] for v, w in zip(volumes, where, strict=True)]
    return single(np.concatenate(parts, axis=1))


def random_affine(n, rng):
    """Map of voxel indices to ``n`` numbers about as large as coordinates."""
    return rng.normal(size=(n, 4)) * [0.2, 0.2, 0.2, 1.0]


def apply_affine(affine, voxels):
    return single(voxels @ affine[:, :3].T + affine[:, 3])


@pytest.mark.parametrize("n_voxels", [1, 5, TILE, TILE + 9])
@pytest.mark.parametrize(
    ("n_channels", "n_more", "n_coordinates"),
    [(1, 0, 3), (2, 0, 2), (1, 0, 0), (1, 3, 0), (2, 1, 3)],
)
def test_voxels_are_the_rows_of_their_patches(
    n_channels, n_more, n_coordinates, n_voxels
):
    shape = (9, 8, 7)
    rng = np.random.RandomState(4)
    volumes = make_volumes(n_channels, shape)
    strides = np.array([shape[1] * shape[2], shape[2]])
    steps, offsets = patch_offsets(strides, (1, 2)[:n_channels])
    voxels = np.stack([rng.randint(2, n - 2, n_voxels) for n in shape], axis=1)
    to_features, to_coordinates = (
        random_affine(n, rng) for n in (n_more, n_coordinates)
    )
    patches = gather(volumes, voxels, steps)
    S = np.concatenate([patches, apply_affine(to_features, voxels)], axis=1)
    X = apply_affine(to_coordinates, voxels)

    sizes = (27 * n_channels + n_more, 21, 5, 2)
    architecture, theta = make_network(sizes, n_coordinates)
    channels = volumes.reshape(n_channels, -1)
    padded = Volume(channels, strides, offsets, to_features, to_coordinates)
    centers = voxels @ np.array([*strides, 1])
    actual = predict_voxels(architecture, theta, padded, centers)
    expected = predict_rows(architecture, theta, S, X)
    assert_allclose(actual, expected, rtol=0, atol=1e-6)
    assert n_voxels == 1 or actual.std() > 1e-3


@pytest.mark.parametrize("sigma", [0.05, 0.5, 3.0])
@pytest.mark.parametrize(
    "to_coordinates",
    [
        pytest.param(np.diag([0.2, 0.3, -0.25]), id="aligned"),
        pytest.param(np.diag([0.2, 0.3, -0.25])[[2, 0, 1]], id="axes in another order"),
        pytest.param(np.diag([0.2, 0.3, -0.25])[:2], id="two coordinates"),
        pytest.param(np.diag([20.0, 0.3, 900.0]), id="far out"),
        pytest.param(np.array([[0.2, 0, 0], [0.1, 0, 0], [0, 0, 0.3]]), id="shared"),
        pytest.param(np.array([[0.2, 1e-9, 0], [0, 0.2, 0]]), id="nearly aligned"),
        pytest.param(np.array([[0.2, 0.1, 0], [0, 0.2, 0.3]]), id="oblique"),
        pytest.param(np.zeros((1, 3)), id="constant"),
    ],
)
def test_tables_along_axes_stand_for_distances(to_coordinates, sigma):
    shape = (8, 7, 40)  # rows longer than a strip
    volume = make_volumes(1, shape)
    strides = np.array([shape[1] * shape[2], shape[2]])
    steps, offsets = patch_offsets(strides)
    inside = np.zeros(shape, dtype=bool)
    inside[1:-1, 1:-1, 1:-1] = True
    inside[3, 2:5, 4:33] = False  # a hole, so that strips have gaps
    to_coordinates = np.column_stack([to_coordinates, -np.ones(len(to_coordinates))])
    voxels = np.argwhere(inside)
    architecture, theta = make_network((27, 10, 3, 2), len(to_coordinates), sigma=sigma)
    nothing = np.empty((0, 4))
    padded = Volume(volume.reshape(1, -1), strides, offsets, nothing, to_coordinates)
    actual = predict_voxels(architecture, theta, padded, np.flatnonzero(inside))
    S, X = gather(volume, voxels, steps), apply_affine(to_coordinates, voxels)
    expected = reference.forward(architecture, *double(theta, S, X))
    assert_allclose(actual, expected, rtol=0, atol=2e-6)
    assert actual.std() > 1e-3


@pytest.mark.parametrize("coordinates", ["aligned", "oblique"])
@pytest.mark.parametrize(
    ("sigma", "far", "weights", "intensity"),
    [
        pytest.param(0.05, 0.0, 1.0, 1.0, id="small sigma"),
        pytest.param(0.5, 50.0, 1.0, 1.0, id="far"),
        pytest.param(0.5, 1e4, 1.0, 1.0, id="farther"),
        pytest.param(0.5, 1e30, 1.0, 1.0, id="beyond all"),
        pytest.param(0.5, 0.0, 8.0, 1.0, id="large weights"),
        pytest.param(0.5, 0.0, 1.0, 1e30, id="huge intensities"),
        pytest.param(0.5, 0.0, 1.0, 1e-30, id="tiny intensities"),
        pytest.param(0.05, 2.0, 8.0, 1e3, id="all at once"),
    ],
)
def test_extremes_in_volumes_and_rows(sigma, far, weights, intensity, coordinates):
    shape = (8, 7, 40)
    volume = make_volumes(1, shape)
    strides = np.array([shape[1] * shape[2], shape[2]])
    steps, offsets = patch_offsets(strides)
    voxels = np.argwhere(np.ones(shape)[2:, 2:, 2:]) + 1
    to_coordinates = np.column_stack([np.diag([0.25, 0.3, 0.05]), [far - 1, -1, -1]])
    if coordinates == "oblique":
        to_coordinates[0, 1] = 0.01
    architecture, theta = make_network((27, 60, 7, 2), sigma=sigma)
    layers = architecture.layers(theta)
    for filters in layers.filters:
        filters *= weights
    layers.filters[0][:] /= intensity  # as a network for such intensities has them
    volume *= np.float32(intensity)
    S, X = gather(volume, voxels, steps), apply_affine(to_coordinates, voxels)
    if far < 10:  # so that some nodes are on at some voxels
        layers.latent[:, :30] = X[:: len(X) // 30][:30].T
    expected = reference.forward(architecture, *double(theta, S, X))
    assert expected.std() > 1e-3
    nothing = np.empty((0, 4))
    padded = Volume(volume.reshape(1, -1), strides, offsets, nothing, to_coordinates)
    centers = voxels @ np.array([*strides, 1])
    in_volume = predict_voxels(architecture, theta, padded, centers)
    assert_allclose(in_volume, expected, rtol=0, atol=1e-5)
    in_rows = predict_rows(architecture, theta, S, X)
    assert_allclose(in_rows, expected, rtol=0, atol=1e-5)


def test_voxels_have_the_same_bits_for_any_number_of_threads():
    shape = (36, 36, 36)
    volumes = make_volumes(1, shape).reshape(1, -1)
    strides = np.array([36 * 36, 36])
    _, offsets = patch_offsets(strides)
    inside = np.arange(volumes.size).reshape(shape)[1:-1, 1:-1, 1:-1].ravel()
    padded = Volume(volumes, strides, offsets, np.empty((0, 4)), np.eye(3, 4) / 18.0)
    architecture, theta = make_network((27, 6, 3, 1))

    def predict(centers, n_threads):
        return predict_voxels(architecture, theta, padded, centers, n_threads)

    psi = predict(inside, 1)
    assert len(inside) > 2 * _SLICE
    assert_array_equal(predict(inside, 2), psi)
    assert_array_equal(predict(inside[-5:], 1), psi[-5:])

"""The float64 reference: its formulas, and its gradient by finite differences."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_lsdn._network import reference
from sklearn_lsdn._network.architecture import Architecture

N_SAMPLES, N_FEATURES, WIDTHS = 7, 5, (6, 4, 3)
STEP = 3e-5


def make_problem(
    n_hidden=2, n_outputs=1, n_coordinates=3, sigma=0.5, seed=0, cross_entropy=False
):
    """A random network, and as many samples as `N_SAMPLES`."""
    rng = np.random.RandomState(seed)
    sizes = (N_FEATURES, *WIDTHS[:n_hidden], n_outputs)
    architecture = Architecture(sizes, n_coordinates, sigma, cross_entropy)
    theta = rng.normal(size=architecture.n_parameters)
    architecture.layers(theta).latent[...] *= 0.5
    S = rng.normal(size=(N_SAMPLES, N_FEATURES))
    X = rng.uniform(-1, 1, (N_SAMPLES, n_coordinates))
    T = rng.uniform(0.1, 0.9, (N_SAMPLES, n_outputs))
    weight = rng.uniform(0.1, 3.0, N_SAMPLES)
    return architecture, theta, S, X, T, weight


def logistic(u):
    return 1.0 / (1.0 + np.exp(-u))


def respond(architecture, theta, s, x):
    """Equations (2) to (4) for one sample, node by node."""
    filters, biases, latent = architecture.layers(theta)
    h = np.empty(len(biases[0]))
    for i in range(len(h)):
        distance = sum((x[c] - latent[c, i]) ** 2 for c in range(len(x)))
        spatial = 2.0 * logistic(-distance / architecture.sigma**2)
        h[i] = logistic(filters[0][:, i] @ s + biases[0][i]) * spatial
    for F, b in zip(filters[1:], biases[1:], strict=True):
        h = logistic(F.T @ h + b)
    return h


def naive_loss(architecture, theta, S, X, T, weight, alpha):
    """The loss, weighted, and the penalty, sample by sample."""
    total = 0.0
    for s, x, t, w in zip(S, X, T, weight, strict=True):
        psi = respond(architecture, theta, s, x)
        if architecture.cross_entropy:
            total -= w * (t * np.log(psi) + (1.0 - t) * np.log(1.0 - psi)).sum()
        else:
            total += w * ((psi - t) ** 2).sum() / 2.0  # equation (1)
    penalty = sum((F**2).sum() for F in architecture.layers(theta).filters)
    return total / weight.sum() + 0.5 * alpha * penalty


def central_differences(loss, theta):
    slope = np.empty_like(theta)
    for i in range(len(theta)):
        ahead, behind = theta.copy(), theta.copy()
        ahead[i] += STEP
        behind[i] -= STEP
        slope[i] = (loss(ahead) - loss(behind)) / (2.0 * STEP)
    return slope


def relative_error(actual, desired):
    return np.linalg.norm(actual - desired) / np.linalg.norm(desired)


def assert_gradient_is_right(problem, alpha):
    architecture, theta, *samples = problem
    _, gradient = reference.loss_and_gradient(architecture, theta, *samples, alpha)
    expected = central_differences(
        lambda t: naive_loss(architecture, t, *samples, alpha), theta
    )
    assert relative_error(gradient, expected) < 1e-6
    actual, desired = architecture.layers(gradient), architecture.layers(expected)
    for F, F_expected in zip(actual.filters, desired.filters, strict=True):
        assert relative_error(F, F_expected) < 1e-6
    for b, b_expected in zip(actual.biases, desired.biases, strict=True):
        assert relative_error(b, b_expected) < 1e-6
    if architecture.n_coordinates:
        assert relative_error(actual.latent, desired.latent) < 1e-6


@pytest.mark.parametrize("cross_entropy", [False, True])
@pytest.mark.parametrize("n_coordinates", [0, 1, 2, 3])
@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("n_hidden", [1, 2, 3])
def test_gradient_agrees_with_central_differences(
    n_hidden, n_outputs, n_coordinates, cross_entropy
):
    shape = n_hidden, n_outputs, n_coordinates
    problem = make_problem(*shape, cross_entropy=cross_entropy)
    assert_gradient_is_right(problem, alpha=0.0)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 5.0])
@pytest.mark.parametrize("alpha", [1e-3, 1e-2])
def test_gradient_for_any_sigma_and_penalty(sigma, alpha):
    assert_gradient_is_right(make_problem(sigma=sigma, seed=1), alpha)


@pytest.mark.parametrize("cross_entropy", [False, True])
@pytest.mark.parametrize("alpha", [0.0, 0.1])
def test_loss_is_equation_1_or_cross_entropy(alpha, cross_entropy):
    problem = make_problem(n_outputs=3, cross_entropy=cross_entropy)
    loss, _ = reference.loss_and_gradient(*problem, alpha)
    assert_allclose(loss, naive_loss(*problem, alpha), rtol=1e-13)


@pytest.mark.parametrize("n_coordinates", [0, 1, 3])
def test_forward_is_equations_2_to_4(n_coordinates):
    architecture, theta, S, X, *_ = make_problem(3, 2, n_coordinates)
    expected = [respond(architecture, theta, s, x) for s, x in zip(S, X, strict=True)]
    actual = reference.forward(architecture, theta, S, X)
    assert actual.shape == (N_SAMPLES, 2)
    assert_allclose(actual, expected, rtol=1e-13)


def test_cross_entropy_is_finite_where_outputs_saturate():
    architecture, theta, S, X, T, weight = make_problem(cross_entropy=True)
    for sign in (-1, 1):
        architecture.layers(theta).biases[-1][...] = sign * 800.0
        samples = S, X, np.round(T), weight
        loss, gradient = reference.loss_and_gradient(architecture, theta, *samples)
        wrong = np.average((np.round(T) > 0.5) != (sign > 0), axis=0, weights=weight)
        assert_allclose(loss, 800.0 * wrong[0], rtol=0.02)
        assert np.isfinite(gradient).all()


def test_weights_count_samples():
    architecture, theta, S, X, T, _ = make_problem()
    counts = np.array([1, 2, 0, 3, 1, 0, 2])
    repeated = (np.repeat(array, counts, axis=0) for array in (S, X, T))
    loss, gradient = reference.loss_and_gradient(
        architecture, theta, *repeated, np.ones(counts.sum())
    )
    for scale in (1.0, 7.0):
        weighted_loss, weighted_gradient = reference.loss_and_gradient(
            architecture, theta, S, X, T, scale * counts
        )
        assert_allclose(weighted_loss, loss, rtol=1e-13)
        assert_allclose(weighted_gradient, gradient, rtol=1e-12, atol=1e-16)


def test_spatial_response_is_one_at_the_latent_coordinate_and_decays():
    architecture = Architecture((1, 1, 1), 2, sigma=0.5)
    latent = np.array([[0.2], [-0.3]])
    X = latent.T + np.array([[0.0, 0.0], [0.5, 0.0], [0.0, -1.0], [1.0, 1.0]])
    response = reference.spatial_response(architecture, latent, X)[:, 0]
    assert_allclose(response, 2.0 * logistic(-np.array([0.0, 1.0, 4.0, 8.0])))
    assert response[0] == 1.0


def test_without_coordinates_the_spatial_response_is_one():
    architecture, theta, S, X, *_ = make_problem(n_coordinates=0)
    _, spatial = reference.activations(architecture, theta, S, X)
    assert_array_equal(spatial, np.ones((N_SAMPLES, WIDTHS[0])))


def test_far_from_every_latent_coordinate_the_first_layer_stops_learning():
    architecture, theta, S, X, T, weight = make_problem()
    loss, gradient = reference.loss_and_gradient(
        architecture, theta, S, X + 1e3, T, weight
    )
    layers = architecture.layers(gradient)
    assert np.isfinite(loss)
    assert np.isfinite(gradient).all()
    for first in (layers.filters[0], layers.biases[0], layers.latent):
        assert_array_equal(first, np.zeros_like(first))
    assert (layers.biases[1] != 0).all()


def test_parameters_survive_packing():
    architecture, theta, *_ = make_problem(n_outputs=3)
    layers = architecture.layers(theta)
    assert [F.shape for F in layers.filters] == [(5, 6), (6, 4), (4, 3)]
    assert [b.shape for b in layers.biases] == [(6,), (4,), (3,)]
    assert layers.latent.shape == (3, 6)
    assert_array_equal(architecture.pack(*layers, dtype=np.float64), theta)
    layers.biases[1][...] = 42.0
    assert (theta == 42.0).sum() == 4

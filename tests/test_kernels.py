"""The float32 kernels: against the float64 reference, and bit for bit."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit
from small_networks import double, make_network, make_samples, single

from sklearn_lsdn._network import reference
from sklearn_lsdn._network.inference import _SLICE, predict_rows
from sklearn_lsdn._network.kernels import (
    backward,
    matmul,
    responses,
    sigmoid,
    transposition,
)
from sklearn_lsdn._network.kernels.compilation import kernel
from sklearn_lsdn._network.kernels.operands import Parameters, Samples
from sklearn_lsdn._network.kernels.responses import TILE
from sklearn_lsdn._network.kernels.vectors import LANES
from sklearn_lsdn._network.optimizers import mean_loss

add_gradient, turn_filters, add_product, transpose, logistic_kernel = (
    kernel(part.py_func)
    for part in (
        backward.add_gradient,
        responses.turn_filters,
        matmul.add_product,
        transposition.transpose,
        sigmoid.logistic,
    )
)

N_ROWS = [1, 2, 3, 4, 5, 7, 8, 9, 127, TILE, TILE + 1, 2 * TILE + 3]

seeds = st.integers(0, 2**31 - 1)
widths = st.integers(1, 33)


def kernel_loss_and_gradient(architecture, theta, S, X, T, weight, start=0.0):
    """What `reference.loss_and_gradient` returns, from the kernel."""
    share = single(weight / weight.sum(dtype=np.float64))
    wide = Parameters.of(architecture, architecture.widen(theta, LANES))
    scratch = backward.Scratch.of(wide.sizes, len(S))
    for array in scratch[:3]:
        array[:] = np.nan
    turn_filters(wide, X.shape[1], scratch.turned)
    wide_gradient = np.full_like(wide.theta, start)
    loss = add_gradient(wide, Samples(S, X, T, share), wide_gradient, scratch)
    assert (wide_gradient == start).sum() >= len(wide.theta) - len(theta)  # padding
    gradient = np.empty_like(theta)
    architecture.narrow(wide_gradient, LANES, gradient)
    return 0.5 * loss, gradient


def assert_agrees_with_reference(architecture, theta, samples):
    psi = predict_rows(architecture, theta, *samples[:2])
    expected = reference.forward(architecture, *double(theta, *samples[:2]))
    assert psi.dtype == np.float32
    assert_allclose(psi, expected, rtol=0, atol=1e-5)

    loss, gradient = kernel_loss_and_gradient(architecture, theta, *samples)
    expected_loss, expected = reference.loss_and_gradient(
        architecture, *double(theta, *samples)
    )
    assert_allclose(loss, expected_loss, rtol=1e-5)
    assert_allclose(gradient, expected, rtol=0, atol=1e-5 * abs(expected).max())


# Matrix products


def product_of(A, B, transpose_left):
    """A B by the kernel, the left operand laid out by rows or by columns."""
    right = single(np.pad(B, ((0, 0), (0, -B.shape[1] % LANES))))
    C = np.zeros((len(A), right.shape[1]), dtype=np.float32)
    add_product(single(A.T).T if transpose_left else A, right, C, C)
    return C


@given(
    M=st.integers(1, 40),
    K=st.integers(1, 70),
    N=st.integers(1, 60),
    transpose_left=st.booleans(),
    seed=seeds,
)
@example(M=1, K=1, N=1, transpose_left=False, seed=0)
@example(M=5, K=27, N=400, transpose_left=True, seed=0)
def test_products_agree_with_numpy(M, K, N, transpose_left, seed):
    rng = np.random.RandomState(seed)
    A, B = single(rng.normal(size=(M, K))), single(rng.normal(size=(K, N)))
    C = product_of(A, B, transpose_left)
    bound = K * np.finfo(np.float32).eps * (abs(A) @ abs(B)).max()
    assert_allclose(C[:, :N], np.dot(*double(A, B)), rtol=0, atol=bound)
    assert_array_equal(C[:, N:], 0)


@pytest.mark.parametrize("n_columns", [LANES, 2 * LANES, 3 * LANES, 4 * LANES])
@pytest.mark.parametrize("M", [1, 2, 3, 4, 5, 6, 7])
def test_products_start_anywhere_add_and_write_nothing_beyond(M, n_columns):
    rng = np.random.RandomState(0)
    A, B = rng.randint(-9, 9, (M, 5)), rng.randint(-9, 9, (5, n_columns))
    left = np.full((M + 1, 6), np.nan, dtype=np.float32)
    left[:M, :5] = A
    whole = np.full((M + 2, n_columns + 5), 42, dtype=np.float32)
    C = whole[1:-1, 2:-3]
    add_product(left, single(B), C, C)
    assert_array_equal(C, A @ B + 42)
    C[:] = 42
    assert_array_equal(whole, 42)


@pytest.mark.parametrize("n", [1, 15, 16, 17, 48])
@pytest.mark.parametrize("m", [1, 4, 16, 27, 40])
def test_transpose(n, m):
    matrix = single(np.arange(n * m).reshape(n, m))
    room = np.full((m + 1, n + 3), 42, dtype=np.float32)
    transpose(matrix, room[:m, :n])
    assert_array_equal(room[:m, :n], matrix.T)
    room[:m, :n] = 42
    assert_array_equal(room, 42)


# Logistic function


def logistic(x):
    U = single(np.pad(x, (0, -len(x) % LANES))).reshape(1, -1)
    logistic_kernel(U)
    return U[0, : len(x)]


def test_logistic_is_as_accurate_as_float32_allows():
    x = np.linspace(-100, 100, 200_001, dtype=np.float32)
    error = abs(logistic(x) - expit(x.astype(np.float64)))
    assert error.max() < 1.2e-7
    tail = x < -10
    tail &= x > -40
    relative = error[tail] / expit(x[tail].astype(np.float64))
    assert relative.max() < 3e-6  # the argument itself is rounded to float32


def test_logistic_saturates():
    x = np.array([-np.inf, -1e30, -100, 0, 100, 1e30, np.inf])
    assert_allclose(logistic(x), [0, 0, 0, 0.5, 1, 1, 1], rtol=0, atol=1e-18)


def test_logistic_never_decreases():
    around_steps = np.log(2.0) * (np.arange(-60, 61)[:, None] + 0.5)
    x = np.sort((around_steps + np.linspace(-1e-4, 1e-4, 41)).ravel())
    assert (np.diff(logistic(x)) >= -1.2e-7).all()


# Forward and backward


@pytest.mark.parametrize("n_coordinates", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("n", N_ROWS)
def test_kernels_agree_with_the_reference(n, n_coordinates):
    architecture, theta = make_network(n_coordinates=n_coordinates)
    samples = make_samples(architecture, n)
    assert_agrees_with_reference(architecture, theta, samples)


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("n_coordinates", [0, 3])
@pytest.mark.parametrize("n", [1, 7, TILE + 1])
def test_cross_entropy_agrees_with_the_reference(n, n_coordinates, hard):
    architecture, theta = make_network(n_coordinates=n_coordinates, cross_entropy=True)
    S, X, T, weight = make_samples(architecture, n)
    samples = S, X, np.round(T) if hard else T, weight
    assert_agrees_with_reference(architecture, theta, samples)
    expected, _ = reference.loss_and_gradient(architecture, *double(theta, *samples))
    assert_allclose(mean_loss(architecture, theta, samples), expected, rtol=1e-5)


@pytest.mark.parametrize("bias", [-150.0, -1.0, 150.0])
def test_cross_entropy_where_outputs_saturate(bias):
    architecture, theta = make_network(cross_entropy=True)
    architecture.layers(theta).biases[-1][:] = bias
    S, X, T, weight = make_samples(architecture, 9)
    samples = S, X, np.round(T), weight
    loss, gradient = kernel_loss_and_gradient(architecture, theta, *samples)
    expected = mean_loss(architecture, theta, samples)
    assert_allclose(loss, expected, rtol=1e-5)  # as far as float32 goes
    _, exact = reference.loss_and_gradient(architecture, *double(theta, *samples))
    assert_allclose(gradient, exact, rtol=0, atol=1e-5 * abs(exact).max())


@given(
    n_features=widths,
    hidden=st.lists(widths, min_size=1, max_size=3),
    n_outputs=st.integers(1, 10),
    n_coordinates=st.integers(0, 4),
    sigma=st.sampled_from([0.3, 0.5, 1.0, 10.0]),
    n=st.integers(1, 150),
    seed=seeds,
)
@example(1, [1], 1, 1, 0.5, 1, 0)
@example(33, [33, 33, 33], 1, 3, 0.5, 2, 0)
def test_kernels_agree_for_any_shape(
    n_features, hidden, n_outputs, n_coordinates, sigma, n, seed
):
    sizes = (n_features, *hidden, n_outputs)
    architecture, theta = make_network(sizes, n_coordinates, sigma, seed)
    samples = make_samples(architecture, n, seed)
    assert_agrees_with_reference(architecture, theta, samples)


def test_kernels_agree_at_the_size_of_the_paper():
    architecture, theta = make_network((27, 400, 40, 1))
    samples = make_samples(architecture, TILE + 17)
    assert_agrees_with_reference(architecture, theta, samples)


def test_gradient_is_added_to():
    architecture, theta = make_network()
    samples = make_samples(architecture, 9)
    _, once = kernel_loss_and_gradient(architecture, theta, *samples)
    _, total = kernel_loss_and_gradient(architecture, theta, *samples, start=7.0)
    assert_allclose(total - 7.0, once, rtol=0, atol=9 * np.spacing(np.float32(7)))


def test_tiny_sigma():
    architecture, theta = make_network(sigma=0.05)
    S, X, T, weight = make_samples(architecture, 100)
    X[:30] = architecture.layers(theta).latent.T  # where nodes are on
    assert_agrees_with_reference(architecture, theta, (S, X, T, weight))


@pytest.mark.parametrize("far", [3.0, 50.0, 1e4, 1e30])
def test_coordinates_far_outside(far):
    architecture, theta = make_network()
    S, X, *_ = make_samples(architecture, 20)
    X[:, 1] += np.float32(far)
    expected = reference.forward(architecture, *double(theta, S, X))
    psi = predict_rows(architecture, theta, S, X)
    assert_allclose(psi, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("n_coordinates", [0, 3])
@pytest.mark.parametrize("scale", [1e3, 1e15])
def test_saturated_nodes_give_numbers(scale, n_coordinates):
    architecture, theta = make_network(n_coordinates=n_coordinates)
    samples = make_samples(architecture, 50)
    for view in architecture.layers(theta).filters:
        view *= np.float32(scale)
    psi = predict_rows(architecture, theta, *samples[:2])
    expected = reference.forward(architecture, *double(theta, *samples[:2]))
    assert ((psi >= 0) & (psi <= 1)).all()
    decided = abs(expected - 0.5) > 0.49  # elsewhere rounding is magnified by scale
    assert decided.any()
    assert_allclose(psi[decided], expected[decided], rtol=0, atol=0.02)
    loss, gradient = kernel_loss_and_gradient(architecture, theta, *samples)
    assert np.isfinite(loss)
    assert np.isfinite(gradient).all()


def test_gradient_where_every_node_is_off():
    architecture, theta = make_network(sigma=0.05)
    S, X, T, weight = make_samples(architecture, 10)
    X += 5
    _, gradient = kernel_loss_and_gradient(architecture, theta, S, X, T, weight)
    first = architecture.layers(gradient)
    assert np.isfinite(gradient).all()
    for part in (first.filters[0], first.biases[0], first.latent):
        assert_allclose(part, 0, atol=1e-12)
    assert (first.biases[1] != 0).all()


@pytest.mark.parametrize("intensity", [1e-30, 1e30, -1e38])
def test_intensities_beyond_the_training_range_saturate(intensity):
    architecture, theta = make_network()
    S, X, *_ = make_samples(architecture, 30)
    S[:, 3] = intensity
    expected = reference.forward(architecture, *double(theta, S, X))
    psi = predict_rows(architecture, theta, S, X)
    assert_allclose(psi, expected, rtol=0, atol=1e-5)


# The same bits


@pytest.mark.parametrize("n_coordinates", [0, 2, 3])
def test_a_row_has_the_same_bits_in_any_batch(n_coordinates):
    architecture, theta = make_network(n_coordinates=n_coordinates)
    S, X, *_ = make_samples(architecture, TILE + 22)
    psi = predict_rows(architecture, theta, S, X)
    for i in range(len(S)):
        alone = predict_rows(architecture, theta, S[i : i + 1], X[i : i + 1])
        assert_array_equal(alone[0], psi[i])
    for n in (2, 3, 6, 131):
        part = predict_rows(architecture, theta, S[-n:], X[-n:])
        assert_array_equal(part, psi[-n:])
    order = np.random.RandomState(0).permutation(len(S))
    shuffled = predict_rows(architecture, theta, S[order], X[order])
    assert_array_equal(shuffled, psi[order])


def test_any_number_of_threads_gives_the_same_bits():
    architecture, theta = make_network((5, 9, 3, 2))
    S, X, *_ = make_samples(architecture, 2 * _SLICE + 77)
    psi = predict_rows(architecture, theta, S, X)
    for n_threads in (2, 5):
        assert_array_equal(predict_rows(architecture, theta, S, X, n_threads), psi)
    tail = slice(2 * _SLICE + 70, None)
    assert_array_equal(predict_rows(architecture, theta, S[tail], X[tail]), psi[tail])

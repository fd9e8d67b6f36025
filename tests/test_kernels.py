"""The float32 kernels: against the float64 reference, and bit for bit."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit

from sklearn_lsdn._network import reference
from sklearn_lsdn._network.architecture import Architecture
from sklearn_lsdn._network.inference import _SLICE, predict_rows, predict_voxels
from sklearn_lsdn._network.kernels import backward, matmul, sigmoid
from sklearn_lsdn._network.kernels.compilation import kernel
from sklearn_lsdn._network.kernels.forward import TILE
from sklearn_lsdn._network.kernels.matmul import LANES
from sklearn_lsdn._network.training import Trainer, mean_loss, minimize_full_batch

add_gradient, transpose_filters, add_product, padded, logistic_layer = (
    kernel(part.py_func)
    for part in (
        backward.add_gradient,
        backward.transpose_filters,
        matmul.add_product,
        matmul.padded,
        sigmoid.logistic_layer,
    )
)

SIZES = (27, 30, 11, 2)
N_ROWS = [1, 2, 3, 4, 5, 7, 8, 9, 127, TILE, TILE + 1, 2 * TILE + 3]

seeds = st.integers(0, 2**31 - 1)
widths = st.integers(1, 33)


def single(array):
    return np.ascontiguousarray(array, dtype=np.float32)


def make_network(sizes=SIZES, n_coordinates=3, sigma=0.5, seed=0):
    """An architecture, and parameters as `initial_parameters` draws them."""
    rng = np.random.RandomState(seed)
    architecture = Architecture(tuple(sizes), n_coordinates, sigma)
    latent = rng.uniform(-1, 1, (sizes[1], n_coordinates))
    return architecture, single(architecture.initial_parameters(latent, rng))


def make_samples(architecture, n, seed=1):
    """Features, coordinates, targets and weights."""
    rng = np.random.RandomState(seed)
    S = rng.normal(size=(n, architecture.layer_sizes[0]))
    X = rng.uniform(-1, 1, (n, architecture.n_coordinates))
    T = rng.uniform(0.1, 0.9, (n, architecture.layer_sizes[-1]))
    weight = rng.uniform(0.5, 2.0, n)
    return tuple(map(single, (S, X, T, weight)))


def double(*arrays):
    return [np.asarray(array, dtype=np.float64) for array in arrays]


def kernel_loss_and_gradient(architecture, theta, S, X, T, weight, start=0.0):
    """What `reference.loss_and_gradient` returns, from the kernel."""
    sizes = np.array(architecture.layer_sizes, dtype=np.int64)
    n, n_coordinates = X.shape
    wide = architecture.widen(theta, LANES)
    scratch = backward.scratch(sizes, n)
    transposed = scratch[3]
    for array in scratch[:3]:
        array[:] = np.nan
    transpose_filters(wide, sizes, n_coordinates, transposed)
    wide_gradient = np.full_like(wide, start)
    loss = add_gradient(
        wide,
        transposed,
        sizes,
        np.float32(1.0 / architecture.sigma**2),
        S,
        X,
        T,
        single(weight / weight.sum(dtype=np.float64)),
        wide_gradient,
        *scratch[:3],
    )
    assert (wide_gradient == start).sum() >= len(wide) - len(theta)  # padding
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


def strided_product(A, B, transpose_left):
    """A B by the kernel, the left operand laid out by rows or by columns."""
    (M, K), width = A.shape, padded(B.shape[1])
    left = single(A.T if transpose_left else A).ravel()
    right = np.zeros((K, width), dtype=np.float32)
    right[:, : B.shape[1]] = B
    C = np.zeros(M * width, dtype=np.float32)
    strides = (1, M) if transpose_left else (K, 1)
    add_product(left, 0, *strides, M, K, right.ravel(), 0, width, width, C, 0, width)
    return C.reshape(M, width)


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
    C = strided_product(A, B, transpose_left)
    bound = K * np.finfo(np.float32).eps * (abs(A) @ abs(B)).max()
    assert_allclose(C[:, :N], np.dot(*double(A, B)), rtol=0, atol=bound)
    assert_array_equal(C[:, N:], 0)


@pytest.mark.parametrize("n_columns", [8, 16, 24, 32])
@pytest.mark.parametrize("M", [1, 2, 3, 4, 5, 6, 7])
def test_products_start_anywhere_add_and_write_nothing_beyond(M, n_columns):
    rng = np.random.RandomState(0)
    A, B = rng.randint(-9, 9, (M, 5)), rng.randint(-9, 9, (5, n_columns))
    left, right = (single(np.append(np.full(3, np.nan), X)) for X in (A, B))
    width = n_columns + 2
    C = np.full(M * width + 4, 42, dtype=np.float32)
    add_product(left, 3, 5, 1, M, 5, right, 3, n_columns, n_columns, C, 4, width)
    rows = C[4:].reshape(M, width)
    assert_array_equal(rows[:, :n_columns], A @ B + 42)
    assert_array_equal(rows[:, n_columns:], 42)
    assert_array_equal(C[:4], 42)


# Logistic function


def logistic(x):
    U = single(np.pad(x, (0, -len(x) % LANES)))
    logistic_layer(U)
    return U[: len(x)]


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


# Training


def make_trainer(architecture, theta, samples, seed=0, **parameters):
    settings = {
        "solver": "sgd",
        "alpha": 0.0,
        "batch_size": 8,
        "learning_rate": 0.1,
        "learning_rate_decay": 1.0,
        "shuffle": True,
        "rng": np.random.RandomState(seed),
    }
    return Trainer(architecture, theta, *samples, **{**settings, **parameters})


def sgd(learning_rate):
    """Plain gradient descent, as one writes it down."""

    def update(theta, slope, decay):
        return theta - decay * learning_rate * slope

    return update


def adam(learning_rate, beta1=0.9, beta2=0.999, epsilon=1e-8):
    """Kingma and Ba's Adam, in the second form of their section 2."""
    first, second, step = 0.0, 0.0, 0

    def update(theta, slope, decay):
        nonlocal first, second, step
        step += 1
        first = beta1 * first + (1 - beta1) * slope
        second = beta2 * second + (1 - beta2) * slope**2
        rate = learning_rate * np.sqrt(1 - beta2**step) / (1 - beta1**step)
        return theta - decay * rate * first / (np.sqrt(second) + epsilon)

    return update


def naive_epochs(architecture, theta, samples, update, n_epochs, alpha, decay, seed):
    """Batches of 8 of the reference in random order; parameters and losses."""
    theta, *samples = double(theta, *samples)
    rng = np.random.RandomState(seed)
    losses = []
    for epoch in range(n_epochs):
        order = np.arange(len(samples[0]))
        rng.shuffle(order)
        total = 0.0
        for start in range(0, len(order), 8):
            batch = [array[order[start : start + 8]] for array in samples]
            total += (
                batch[3].sum()
                * (reference.loss_and_gradient(architecture, theta, *batch)[0])
            )
            _, slope = reference.loss_and_gradient(architecture, theta, *batch, alpha)
            theta = update(theta, slope, decay**epoch)
        losses.append(total / samples[3].sum())
    return theta, losses


@pytest.mark.parametrize(
    ("solver", "update", "rate"), [("sgd", sgd, 0.25), ("adam", adam, 0.01)]
)
@pytest.mark.parametrize("n_coordinates", [0, 3])
@pytest.mark.parametrize("alpha", [0.0, 0.01])
def test_updates_are_those_of_the_textbook(solver, update, rate, n_coordinates, alpha):
    architecture, start = make_network((5, 7, 4, 2), n_coordinates)
    samples = make_samples(architecture, 29)  # the last of 4 batches holds 5
    expected, expected_losses = naive_epochs(
        architecture, start, samples, update(rate), 3, alpha, decay=0.7, seed=5
    )
    theta = start.copy()
    trainer = make_trainer(
        architecture,
        theta,
        samples,
        seed=5,
        solver=solver,
        alpha=alpha,
        learning_rate=rate,
        learning_rate_decay=0.7,
    )
    losses = [trainer.epoch() for _ in range(3)]
    assert trainer.theta is theta
    assert_allclose(losses, expected_losses, rtol=1e-5)
    moved = abs(expected - start).max()
    assert moved > 0.01
    assert_allclose(theta, expected, rtol=0, atol=1e-4 * moved)


def test_batches_larger_than_the_data_and_in_order():
    architecture, theta = make_network((5, 7, 4, 2))
    samples = make_samples(architecture, 11)
    _, slope = reference.loss_and_gradient(architecture, *double(theta, *samples))
    expected = theta - 0.1 * slope
    trainer = make_trainer(architecture, theta, samples, batch_size=50, shuffle=False)
    trainer.epoch()
    assert_allclose(trainer.theta, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_a_trainer_goes_on_where_another_stopped(solver):
    architecture, start = make_network((5, 7, 4, 2))
    samples = make_samples(architecture, 29)
    parameters = {"solver": solver, "learning_rate_decay": 0.5, "shuffle": False}
    whole = make_trainer(architecture, start.copy(), samples, **parameters)
    for _ in range(4):
        whole.epoch()
    half = make_trainer(architecture, start.copy(), samples, **parameters)
    half.epoch(), half.epoch()
    state = half.get_state()
    other = make_trainer(architecture, half.theta.copy(), samples, **parameters)
    other.set_state(state)
    half.epoch()  # has no part in what the other does
    other.epoch(), other.epoch()
    assert_array_equal(other.theta, whole.theta)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("batch_size", [100, 3 * TILE, 12 * TILE - 5])
def test_training_has_the_same_bits_for_any_number_of_threads(batch_size, solver):
    architecture, start = make_network()
    samples = make_samples(architecture, 25 * TILE + 3)

    def train(n_threads):
        trainer = make_trainer(
            architecture,
            start.copy(),
            samples,
            solver=solver,
            batch_size=batch_size,
            alpha=1e-3,
            n_threads=n_threads,
        )
        losses = [trainer.epoch(), trainer.epoch()]
        return [*trainer.theta, *losses]

    expected = train(1)
    for n_threads in (2, 3, 16):
        assert_array_equal(train(n_threads), expected)


def test_training_goes_on_with_the_threads_that_start(monkeypatch):
    architecture, start = make_network()
    samples = make_samples(architecture, 8 * TILE)

    def train(n_threads):
        theta = start.copy()
        settings = {"batch_size": 4 * TILE, "n_threads": n_threads}
        make_trainer(architecture, theta, samples, **settings).epoch()
        return theta

    expected = train(1)
    submit = ThreadPoolExecutor.submit
    calls = []

    def refuse_the_second(self, *args):
        calls.append(args)
        if len(calls) == 2:
            raise RuntimeError("can't start new thread")
        return submit(self, *args)

    monkeypatch.setattr(ThreadPoolExecutor, "submit", refuse_the_second)
    assert_array_equal(train(3), expected)
    assert len(calls) == 2


def test_loss_of_held_out_samples_is_equation_1():
    architecture, theta = make_network()
    held_out = make_samples(architecture, 33, seed=9)
    expected, _ = reference.loss_and_gradient(architecture, *double(theta, *held_out))
    assert_allclose(mean_loss(architecture, theta, *held_out), expected, rtol=1e-5)


def test_full_batch_minimisation_lowers_the_penalised_loss():
    architecture, theta = make_network((5, 7, 4, 2))
    samples = double(*make_samples(architecture, 29))
    start, _ = reference.loss_and_gradient(architecture, theta, *samples, 0.01)
    found, losses = minimize_full_batch(
        architecture,
        theta.astype(float),
        *samples,
        alpha=0.01,
        max_iter=10,
        tol=0.0,
        n_iter_no_change=5,
    )
    end, _ = reference.loss_and_gradient(architecture, found, *samples, 0.01)
    assert len(losses) == 10
    assert (np.diff([start, *losses]) <= 0).all()
    assert losses[-1] < 0.7 * start
    assert_allclose(end, losses[-1], rtol=1e-12)


# Voxels


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
    actual = predict_voxels(
        architecture,
        theta,
        volumes.reshape(n_channels, -1),
        offsets,
        voxels @ np.array([*strides, 1]),
        strides,
        to_features,
        to_coordinates,
    )
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
    actual = predict_voxels(
        architecture,
        theta,
        volume.reshape(1, -1),
        offsets,
        np.flatnonzero(inside),
        strides,
        np.empty((0, 4)),
        to_coordinates,
    )
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
    in_volume = predict_voxels(
        architecture,
        theta,
        volume.reshape(1, -1),
        offsets,
        voxels @ np.array([*strides, 1]),
        strides,
        np.empty((0, 4)),
        to_coordinates,
    )
    assert_allclose(in_volume, expected, rtol=0, atol=1e-5)
    in_rows = predict_rows(architecture, theta, S, X)
    assert_allclose(in_rows, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("intensity", [1e-30, 1e30, -1e38])
def test_intensities_beyond_the_training_range_saturate(intensity):
    architecture, theta = make_network()
    S, X, *_ = make_samples(architecture, 30)
    S[:, 3] = intensity
    expected = reference.forward(architecture, *double(theta, S, X))
    psi = predict_rows(architecture, theta, S, X)
    assert_allclose(psi, expected, rtol=0, atol=1e-5)


def test_voxels_have_the_same_bits_for_any_number_of_threads():
    shape = (36, 36, 36)
    volumes = make_volumes(1, shape).reshape(1, -1)
    strides = np.array([36 * 36, 36])
    _, offsets = patch_offsets(strides)
    inside = np.arange(volumes.size).reshape(shape)[1:-1, 1:-1, 1:-1].ravel()
    affines = np.empty((0, 4)), np.eye(3, 4) / 18.0
    architecture, theta = make_network((27, 6, 3, 1))

    def predict(centers, n_threads):
        return predict_voxels(
            architecture, theta, volumes, offsets, centers, strides, *affines, n_threads
        )

    psi = predict(inside, 1)
    assert len(inside) > 2 * _SLICE
    assert_array_equal(predict(inside, 2), psi)
    assert_array_equal(predict(inside[-5:], 1), psi[-5:])

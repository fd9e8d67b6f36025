"""Training: epochs against the textbook, bit for bit, and full-batch minimisation."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from small_networks import double, make_network, make_samples

from sklearn_lsdn._network import reference
from sklearn_lsdn._network.kernels.responses import TILE
from sklearn_lsdn._network.optimizers import Trainer, mean_loss, minimize_full_batch
from sklearn_lsdn._network.training import Settings


def make_trainer(architecture, theta, samples, seed=0, **parameters):
    usual = {"solver": "sgd", "alpha": 0.0, "batch_size": 8, "learning_rate": 0.1}
    settings = Settings(**{**usual, **parameters})
    rng = np.random.RandomState(seed)
    return Trainer(architecture, theta, samples, settings, rng)


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
    assert_allclose(mean_loss(architecture, theta, held_out), expected, rtol=1e-5)


def test_full_batch_minimisation_lowers_the_penalised_loss():
    architecture, theta = make_network((5, 7, 4, 2))
    samples = double(*make_samples(architecture, 29))
    start, _ = reference.loss_and_gradient(architecture, theta, *samples, 0.01)
    settings = Settings("lbfgs", 0.01, "auto", 0.1, max_iter=10, n_iter_no_change=5)
    found, losses = minimize_full_batch(
        architecture, theta.astype(float), samples, settings
    )
    end, _ = reference.loss_and_gradient(architecture, found, *samples, 0.01)
    assert len(losses) == 10
    assert (np.diff([start, *losses]) <= 0).all()
    assert losses[-1] < 0.7 * start
    assert_allclose(end, losses[-1], rtol=1e-12)

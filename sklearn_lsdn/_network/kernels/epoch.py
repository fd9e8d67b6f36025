"""One epoch of stochastic gradient descent or Adam, by one thread or several.

The threads of an epoch all run `epoch`, and share first the tiles of a batch, then the
update. Which samples add to which buffer of the gradient, and the order in which
buffers are summed, do not depend on the number of threads, so that the bits do not.
"""

from typing import NamedTuple

import numpy as np
from numba import void

from .backward import Scratch, add_gradient
from .compilation import kernel, part
from .operands import Samples
from .responses import TILE, turn_filters
from .sharing import hand_in, take, wait
from .vectors import LANES, aligned, copy, load, root, store
from .views import view

_AT_ONCE = 1024  # parameters updated, so that they are in the first cache meanwhile
N_BUFFERS = 8  # of the gradient of a batch, and so the most threads of use

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
_BETA1, _BETA2, _EPSILON = np.float32(0.9), np.float32(0.999), np.float32(1e-8)


class Rule(NamedTuple):
    """How parameters are updated."""

    adam: bool  # or plain stochastic gradient descent
    rate: float
    decay: np.ndarray  # of each padded parameter, by the L2 penalty; float32
    first: np.ndarray  # Adam's moments, updated; float32
    second: np.ndarray
    step: int  # updates made before this epoch


class Shared(NamedTuple):
    """What the threads of an epoch share."""

    n_threads: int
    gradients: np.ndarray  # float32, (n_buffers, n_padded_parameters)
    losses: np.ndarray  # float64, (n_buffers + 1,); the last is the epoch's
    counters: np.ndarray  # int64, as `sharing.take` takes them

    @classmethod
    def of(cls, n_threads, n_buffers, n_parameters):
        return cls(
            n_threads,
            aligned((n_buffers, n_parameters)),
            np.zeros(n_buffers + 1),
            np.zeros(2, dtype=np.int64),
        )


class Workspace(NamedTuple):
    """What a thread writes to."""

    tile: Samples
    slope: np.ndarray  # float32, (n_padded_parameters,)
    scratch: Scratch

    @classmethod
    def of(cls, parameters, samples, n):
        """For tiles of up to ``n`` samples."""
        tile = Samples(*(aligned((n, *array.shape[1:])) for array in samples))
        slope = aligned(parameters.theta.shape)
        return cls(tile, slope, Scratch.of(parameters.sizes, n))


class _Batch(NamedTuple):
    rows: np.ndarray
    weight: float  # of all samples
    n_buffers: int
    step: int  # updates made with it


@part(void)
def _sgd_step(theta, slope, rate):
    for i in range(0, len(theta), LANES):
        store(load(theta, i) - load(slope, i) * rate, theta, i)


@part(void)
def _adam_step(theta, slope, first, second, rate):
    """Kingma and Ba's update; ``rate`` carries the bias correction."""
    for i in range(0, len(theta), LANES):
        g, mean, square = load(slope, i), load(first, i), load(second, i)
        mean = mean + (g - mean) * (_ONE - _BETA1)
        square = square + (g * g - square) * (_ONE - _BETA2)
        store(mean, first, i)
        store(square, second, i)
        step = mean * rate / (root(square) + _EPSILON)
        store(load(theta, i) - step, theta, i)


@part(void)
def _sum_buffers(decay, theta, gradients, n_buffers, low, slope):
    """The penalty's gradient and that of all buffers, from element ``low``.

    Of the buffers, zeros are left.
    """
    for i in range(0, len(theta), LANES):
        store(load(decay, i) * load(theta, i), slope, i)
    for b in range(n_buffers):
        at = b * gradients.shape[1] + low
        for i in range(0, len(theta), LANES):
            store(load(slope, i) + load(gradients, at + i), slope, i)
            store(_ZERO, gradients, at + i)


@part(void)
def _gather(rows, array, tile):
    """Copy ``rows`` of an array to a tile."""
    n = array.shape[1]
    for r in range(len(rows)):
        copy(array, rows[r] * n, tile, r * n, n)


@part(void)
def _add_gradients(parameters, samples, batch, shared, end, workspace):
    """This thread's part of the gradient of a batch, tile by tile.

    ``end`` is the number of pieces of all phases so far, this one's included.
    """
    S, X, T, share = workspace.tile
    n_tiles = -(-len(batch.rows) // TILE)
    are_turned = False
    while True:
        b = take(shared.counters, end)
        if b < 0:
            break
        b -= end - batch.n_buffers
        if not are_turned:
            turn_filters(parameters, X.shape[1], workspace.scratch.turned)
            are_turned = True
        gradient = shared.gradients[b]
        shared.losses[b] = 0
        for tile in range(b, n_tiles, batch.n_buffers):
            n = len(batch.rows) - tile * TILE
            if n > TILE:
                n = TILE
            rows = view(batch.rows, tile * TILE, (n,))
            _gather(rows, samples.S, S)
            _gather(rows, samples.X, X)
            _gather(rows, samples.T, T)
            for r in range(n):
                share[r] = samples.weight[rows[r]] / batch.weight
            filled = Samples(
                view(S, 0, (n, S.shape[1])),
                view(X, 0, (n, X.shape[1])),
                view(T, 0, (n, T.shape[1])),
                share,
            )
            shared.losses[b] += add_gradient(
                parameters, filled, gradient, workspace.scratch
            )
        hand_in(shared.counters)


@part(void)
def _update(theta, rule, batch, shared, end, slope):
    """This thread's part of an update; ``end`` as in `_add_gradients`."""
    lines = -(-len(theta) // 16)  # a piece is made of whole cache lines
    unbiased = np.sqrt(1.0 - np.float64(_BETA2) ** np.float64(batch.step))
    unbiased /= 1.0 - np.float64(_BETA1) ** np.float64(batch.step)
    corrected = np.float32(rule.rate * unbiased)
    while True:
        piece = take(shared.counters, end)
        if piece < 0:
            break
        piece -= end - shared.n_threads
        if piece == 0:
            loss = 0.0
            for b in range(batch.n_buffers):
                loss += shared.losses[b]
            shared.losses[len(shared.losses) - 1] += batch.weight * loss
        low = lines * piece // shared.n_threads * 16
        end_of_piece = lines * (piece + 1) // shared.n_threads * 16
        if end_of_piece > len(theta):
            end_of_piece = len(theta)
        for start in range(low, end_of_piece, _AT_ONCE):
            n = end_of_piece - start
            if n > _AT_ONCE:
                n = _AT_ONCE
            moved, g = view(theta, start, (n,)), view(slope, 0, (n,))
            decay = view(rule.decay, start, (n,))
            _sum_buffers(decay, moved, shared.gradients, batch.n_buffers, start, g)
            if rule.adam:
                first, second = (
                    view(rule.first, start, (n,)),
                    view(rule.second, start, (n,)),
                )
                _adam_step(moved, g, first, second, corrected)
            else:
                _sgd_step(moved, g, np.float32(rule.rate))
        hand_in(shared.counters)


@kernel
def epoch(parameters, samples, order, batch_size, rule, shared, workspace):
    """Run through the samples once in ``order``, updating parameters each batch.

    Parameters
    ----------
    parameters : Parameters
        Padded, updated.
    samples : Samples
    order : int64 array
        Rows to visit.
    batch_size : int
    rule : Rule
    shared : Shared
        Of all threads that run this. The last of ``losses`` becomes twice the
        weighted sum of losses over the epoch, each batch before its update.
    workspace : Workspace
        Of this thread alone.
    """
    step, end_of_phase = rule.step, 0
    for begin in range(0, len(order), batch_size):
        n = len(order) - begin
        if n > batch_size:
            n = batch_size
        rows = view(order, begin, (n,))
        weight = 0.0
        for r in range(n):
            weight += samples.weight[rows[r]]
        n_buffers = -(-n // TILE)
        if n_buffers > len(shared.gradients):
            n_buffers = len(shared.gradients)
        step += 1
        batch = _Batch(rows, weight, n_buffers, step)
        end_of_phase += n_buffers
        _add_gradients(parameters, samples, batch, shared, end_of_phase, workspace)
        wait(shared.counters, end_of_phase)
        end_of_phase += shared.n_threads
        _update(parameters.theta, rule, batch, shared, end_of_phase, workspace.slope)
        wait(shared.counters, end_of_phase)

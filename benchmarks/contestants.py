"""Who is timed in `speed.py`: LSDNRegressor, and its peers each at their best."""

import copy
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import peers
import torch
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.neural_network import MLPRegressor

from sklearn_lsdn import LSDNRegressor, to_onnx
from sklearn_lsdn._network import reference
from sklearn_lsdn._network.optimizers import Trainer
from sklearn_lsdn._network.training import Settings
from sklearn_lsdn.volumes._patches import PaddedVolumes

TILES = (512, 2048, 8192, 32768)
PEER_VOXELS = 2**18
TRAINING_SAMPLES = 96 * 1024
CHECKED = 4096  # samples compared with float64
FEW = 20_000  # samples to fit what is only timed in prediction
OURS, MLP, TREES = "LSDNRegressor", "MLPRegressor", "HistGradientBoostingRegressor"
EXPORTED = "onnxruntime of to_onnx"


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def quickest(candidates):
    """Which function was the quickest in three runs each."""
    times = dict.fromkeys(candidates, np.inf)
    for function in candidates.values():
        function()
    for _ in range(3):
        for label, function in candidates.items():
            times[label] = min(times[label], seconds(function))
    return min(times, key=times.get)


@dataclass
class Contestant:
    """What is timed."""

    run: Callable
    n_samples: int
    error: float | None = None  # against float64
    operations: int | None = None  # of matrix products, a sample


class Problem:
    """A brain-like volume of smooth noise, and a network that has seen some of it."""

    def __init__(self, hidden, shape):
        axes = [np.linspace(-1, 1, n, dtype=np.float32) for n in shape]
        x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
        mask = x**2 + y**2 + z**2 < 0.442
        rng = np.random.RandomState(0)
        volume = rng.standard_normal(shape).astype(np.float32) + np.sin(5 * x + y * z)
        affine = np.eye(4)
        affine[:3, 3] = -np.array(shape) / 2
        self.padded = PaddedVolumes([volume * mask], affine, 3, [0.0])
        self.centers = self.padded.centers(mask)
        self.drawn = rng.permutation(self.centers)[:PEER_VOXELS]
        coordinates = self.padded.coordinates(self.drawn)
        self.X = np.hstack([self.padded.patches(self.drawn), coordinates])
        y = self.X[:, 0] * np.sin(coordinates[:, 2] / 30) + self.X[:, 1]
        self.network = LSDNRegressor(hidden, max_iter=1, random_state=0)
        self.network.fit(self.X[:FEW], y[:FEW])
        self.scaling = self.network.network_.scaling
        self.architecture = self.network.network_.architecture
        self.theta = self.network.network_.standardized_parameters()
        self.weights = peers.Weights.of(self.architecture, self.theta)
        table = self.scaling.standardized(self.X)
        self.S, self.C = table[:, :27].copy(), table[:, 27:].copy()
        self.P = peers.places(self.architecture, self.C)
        self.y, self.T = y, self.scaling.targets(y[:, None])
        self.products = [F.size for F in self.weights.filters]
        self._psi = self._exact_psi(self.drawn[:CHECKED])

    def _exact_psi(self, centers):
        """Of the network in the units of the volume, in float64."""
        network = self.network
        layers = network.coefs_, network.intercepts_, network.latent_coordinates_
        latent = self.scaling.standardize_layers(*layers)[2]
        theta = self.architecture.pack(*layers[:2], latent, dtype=np.float64)
        S = self.padded.patches(centers).astype(np.float64)
        C = self.padded.coordinates(centers).astype(np.float64)
        C = self.scaling.coordinates(C, np.float64)
        return reference.forward(self.architecture, theta, S, C)

    def error(self, psi):
        """The largest, of the first `CHECKED` samples."""
        return np.abs(np.reshape(psi, self._psi.shape) - self._psi).max()

    def error_of_y(self, y):
        psi = (y.reshape(len(y), 1) - self.scaling.target_low) / (
            self.scaling.target_span
        )
        return self.error(psi)

    def gradient_error(self, gradient):
        """That of the first filters, of the first `CHECKED` samples, relative."""
        arrays = [a[:CHECKED].astype(np.float64) for a in (self.S, self.C, self.T)]
        theta, weight = self.theta.astype(np.float64), np.ones(len(arrays[0]))
        truth = reference.loss_and_gradient(self.architecture, theta, *arrays, weight)
        truth = self.architecture.layers(truth[1]).filters[0]
        return np.linalg.norm(gradient - truth) / np.linalg.norm(truth)


def in_tiles(predict, size, n):
    """Predict in tiles, far quicker for peers than all voxels at once."""
    parts = [slice(start, min(start + size, n)) for start in range(0, n, size)]
    return np.concatenate([np.asarray(predict(rows)) for rows in parts])


def named(*parts):
    return ", ".join(part for part in parts if part)


def prediction(p, n_threads, with_compiled):
    """Contestants in prediction by name."""
    network = p.network.set_params(n_jobs=n_threads)
    n = min(PEER_VOXELS, len(p.S))
    operations = 2 * sum(p.products)

    def volume(centers):
        return network.network_.voxels(p.padded, centers, n_threads)

    error = p.error_of_y(volume(p.drawn[:CHECKED]))
    contestants = {
        f"{OURS}, volume": Contestant(
            lambda: volume(p.centers), len(p.centers), error, operations
        )
    }
    error = p.error_of_y(network.predict(p.X[:CHECKED]))
    contestants[f"{OURS}, rows"] = Contestant(
        lambda: network.predict(p.X[:n]), n, error, operations
    )
    mlp = MLPRegressor(
        hidden_layer_sizes=network.hidden_layer_sizes,
        activation="logistic",
        max_iter=1,
    )
    mlp.fit(p.S[:FEW], p.T[:FEW, 0])
    trees = HistGradientBoostingRegressor().fit(p.X[:FEW], p.y[:FEW])
    in_numpy = peers.NumpyNetwork(p.weights)
    S, P = torch.from_numpy(p.S), torch.from_numpy(p.P)
    layouts = {
        "samples as rows": peers.TorchNetwork(p.weights).eval(),
        "samples as columns": peers.TorchNetwork(p.weights, columns=True).eval(),
    }

    def by_torch(module):
        return torch.inference_mode()(lambda rows: module(S[rows], P[rows]))

    def add(name, ways, sizes=TILES):
        """Add the quickest of some ways to predict tiles, in tiles of some sizes."""
        candidates = {(how, size): ways[how] for how in ways for size in sizes}
        tried = {
            (how, size): partial(in_tiles, predict, size, min(n, max(TILES)))
            for (how, size), predict in candidates.items()
        }
        how, size = quickest(tried)
        predict = ways[how]
        contestant = Contestant(partial(in_tiles, predict, size, n), n)
        if name not in (MLP, TREES):
            error = p.error_of_y if name == EXPORTED else p.error
            contestant.error = error(in_tiles(predict, size, CHECKED))
        if name != TREES:
            contestant.operations = operations
        contestants[named(name, how, f"tiles of {size}")] = contestant
        return how, size

    how, size = add("PyTorch eager", {k: by_torch(net) for k, net in layouts.items()})
    if with_compiled:
        options = dict(dynamic=False, options={"freezing": True})
        module = torch.compile(layouts[how], **options)
        add("PyTorch compiled", {how: by_torch(module)}, [size])
    session = peers.onnx_session(peers.onnx_model(p.weights), n_threads)
    add("onnxruntime", {"": lambda r: session.run(None, {"S": p.S[r], "P": p.P[r]})[0]})
    exported = peers.onnx_session(to_onnx(network), n_threads)
    add(EXPORTED, {"": lambda rows: exported.run(None, {"X": p.X[rows]})[0]})
    add("NumPy", {"": lambda rows: in_numpy.responses(p.S[rows], p.P[rows])[2][-1]})
    add(MLP, {"": lambda rows: mlp.predict(p.S[rows])})
    exact = copy.deepcopy(mlp)
    exact.coefs_ = [F.astype(np.float64) for F in mlp.coefs_]
    exact.intercepts_ = [b.astype(np.float64) for b in mlp.intercepts_]
    few = p.S[:CHECKED]
    difference = mlp.predict(few) - exact.predict(few.astype(np.float64))
    list(contestants.values())[-1].error = np.abs(difference).max()
    add(TREES, {"": lambda rows: trees.predict(p.X[rows])})
    return contestants


def training(p, batch, n_threads, with_compiled):
    """Contestants in training by name; to run one is an epoch."""
    n = min(TRAINING_SAMPLES, len(p.S)) // batch * batch  # whole batches
    arrays = p.S[:n], p.P[:n], p.T[:n]
    tensors = tuple(map(torch.from_numpy, arrays))
    operations = 6 * sum(p.products) - 2 * p.products[0]

    def trainer(n, **parameters):
        samples = [a[:n] for a in (p.S, p.C, p.T, np.ones(n, dtype=np.float32))]
        settings = Settings(alpha=0.0, n_threads=n_threads, **parameters)
        rng = np.random.RandomState(0)
        return Trainer(p.architecture, p.theta.copy(), samples, settings, rng)

    rate = 2.0**30  # beside which the parameters' own rounding is nothing
    one_step = trainer(CHECKED, solver="sgd", batch_size=CHECKED, learning_rate=rate)
    one_step.epoch()
    gradient = p.architecture.layers((p.theta - one_step.theta) / rate).filters[0]
    ours = trainer(n, solver="adam", batch_size=batch, learning_rate=peers.RATE)
    contestants = {
        OURS: Contestant(ours.epoch, n, p.gradient_error(gradient), operations)
    }

    def add_torch(name, ways, compiled=False):
        candidates = {
            way: peers.TorchTraining(p.weights, *way, compiled) for way in ways
        }
        some = [tensor[: max(batch, n // 8 // batch * batch)] for tensor in tensors]
        way = quickest(
            {way: partial(t.epoch, *some, batch) for way, t in candidates.items()}
        )
        checked = peers.TorchTraining(p.weights, *way)
        checked.gradient(*(tensor[:CHECKED] for tensor in tensors))
        error = p.gradient_error(checked.network.filters[0].grad.numpy().T)
        run = partial(candidates[way].epoch, *tensors, batch)
        how = f"samples as {'columns' if way[0] else 'rows'}, {way[1]} Adam"
        contestants[named(name, how)] = Contestant(run, n, error, operations)
        return way

    kinds = itertools.product((False, True), ("foreach", "fused"))
    way = add_torch("PyTorch eager", kinds)
    if with_compiled:
        add_torch("PyTorch compiled", [way], compiled=True)
    in_numpy = peers.NumpyNetwork(p.weights)
    error = p.gradient_error(in_numpy.gradient(*(a[:CHECKED] for a in arrays))[0])
    run = partial(in_numpy.epoch, *arrays, batch)
    contestants["NumPy"] = Contestant(run, n, error, operations)
    mlp = MLPRegressor(
        hidden_layer_sizes=p.network.hidden_layer_sizes,
        activation="logistic",
        batch_size=batch,
        learning_rate_init=peers.RATE,
    )
    run = partial(mlp.partial_fit, p.S[:n], p.T[:n, 0])
    contestants[MLP] = Contestant(run, n, None, operations)
    return contestants

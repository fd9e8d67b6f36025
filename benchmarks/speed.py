"""Prediction and training speed against PyTorch (eager) and MLPRegressor.

One core, float32, the same layer sizes; runs alternate and medians are reported. The
peers compute the plain network of the same sizes (no spatial response), which is less
work than LSDN; PyTorch also gets LSDN itself. Peers predict from patches that already
lie in memory; "volume" is our time with the patches read from the volume.

    python benchmarks/speed.py [--repeats 5] [--sizes 200-20 400-40]

Needs torch beside the package.
"""

import argparse
import time
import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from threadpoolctl import threadpool_limits

from sklearn_lsdn import LSDNRegressor, VDNRegressor
from sklearn_lsdn.volumes.patches import PaddedVolumes

N_TRAIN, BATCH, EPOCHS = 200_000, 256, 3
VOLUME_SHAPE = (96, 96, 96)


class TorchNetwork(torch.nn.Module):
    """LSDN, or the plain network if it gets no coordinates."""

    def __init__(self, n_features, hidden, n_coordinates):
        super().__init__()
        sizes = [n_features, *hidden, 1]
        self.layers = torch.nn.ModuleList(
            torch.nn.Linear(n, m) for n, m in zip(sizes[:-1], sizes[1:], strict=True)
        )
        self.latent = torch.nn.Parameter(torch.rand(hidden[0], n_coordinates) * 2 - 1)

    def forward(self, s, x):
        h = torch.sigmoid(self.layers[0](s))
        if self.latent.shape[1]:
            squared = (x**2).sum(1, keepdim=True) + (self.latent**2).sum(1)
            squared = torch.addmm(squared, x, self.latent.T, alpha=-2)  # beats cdist
            h = h * 2 * torch.sigmoid(-squared / 0.25)
        for layer in self.layers[1:]:
            h = torch.sigmoid(layer(h))
        return h


def train_torch(network, s, x, t):
    optimizer = torch.optim.Adam(network.parameters(), lr=0.005, foreach=True)
    for _ in range(EPOCHS):
        order = torch.randperm(len(s))
        for start in range(0, len(s), BATCH):
            rows = order[start : start + BATCH]
            optimizer.zero_grad(set_to_none=True)
            loss = 0.5 * ((network(s[rows], x[rows]) - t[rows]) ** 2).mean()
            loss.backward()
            optimizer.step()


def tiles(n, size=2048):
    """Peers predict in tiles too: far quicker than all voxels at once."""
    return [slice(start, start + size) for start in range(0, n, size)]


def predict_torch(network, s, x):
    with torch.inference_mode():
        return torch.cat([network(s[rows], x[rows]) for rows in tiles(len(s))])


def predict_mlp(mlp, S):
    return np.concatenate([mlp.predict(S[rows]) for rows in tiles(len(S))])


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def medians(functions, repeats):
    """Median seconds of each function, called in turn ``repeats`` times."""
    for function in functions.values():
        function()
    times = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            times[name].append(seconds(function))
    return {name: float(np.median(values)) for name, values in times.items()}


def compare(hidden, repeats):
    """Seconds of each contestant, for prediction and for training."""
    rng = np.random.RandomState(0)
    X = rng.randn(N_TRAIN, 30).astype(np.float32)
    X[:, 27:] = rng.uniform(-90, 90, (N_TRAIN, 3))
    y = (X[:, 0] * np.sin(X[:, 29] / 30) + X[:, 1]).astype(np.float32)
    settings = dict(max_iter=EPOCHS, batch_size=BATCH, random_state=0)
    lsdn, vdn = LSDNRegressor(hidden, **settings), VDNRegressor(hidden, **settings)
    mlp = MLPRegressor(hidden_layer_sizes=hidden, activation="logistic", **settings)
    s, x = torch.from_numpy(X[:, :27]), torch.from_numpy(X[:, 27:] / 90)
    t = torch.from_numpy(y[:, None] / 10 + 0.5)
    plain, sensitive = TorchNetwork(27, hidden, 0), TorchNetwork(27, hidden, 3)
    s_array = np.ascontiguousarray(X[:, :27])
    training = medians(
        {
            "LSDNRegressor": lambda: lsdn.fit(X, y),
            "VDNRegressor": lambda: vdn.fit(X, y),
            "torch LSDN": lambda: train_torch(sensitive, s, x, t),
            "torch plain": lambda: train_torch(plain, s, x, t),
            "MLPRegressor": lambda: mlp.fit(s_array, y),
        },
        repeats,
    )

    volume = rng.randn(*VOLUME_SHAPE).astype(np.float32)
    affine = np.diag([180 / 95, 180 / 95, 180 / 95, 1.0])
    affine[:3, 3] = -90
    padded = PaddedVolumes([volume], affine, 3, [0.0])
    centers = padded.centers(np.ones(VOLUME_SHAPE, dtype=bool))
    S, C = padded.patches(centers), padded.coordinates(centers)
    rows = np.hstack([S, C])
    s, x = torch.from_numpy(S), torch.from_numpy(C / 90)
    prediction = medians(
        {
            "LSDNRegressor, volume": lambda: lsdn._predict_voxels(padded, centers, 1),
            "LSDNRegressor": lambda: lsdn.predict(rows),
            "VDNRegressor, volume": lambda: vdn._predict_voxels(padded, centers, 1),
            "torch LSDN": lambda: predict_torch(sensitive, s, x),
            "torch plain": lambda: predict_torch(plain, s, x),
            "MLPRegressor": lambda: predict_mlp(mlp, S),
        },
        repeats,
    )
    return {
        "prediction, s per 10^6 voxels": {
            name: 1e6 / len(centers) * value for name, value in prediction.items()
        },
        "training, s per epoch of 200 000": {
            name: value / EPOCHS for name, value in training.items()
        },
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sizes", nargs="+", default=["50-5", "200-20", "400-40"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    threadpool_limits(1)
    warnings.simplefilter("ignore", ConvergenceWarning)  # few epochs are meant
    print("| task | hidden | contestant | median s | ratio to ours |")
    print("|---|---|---|---|---|")
    for size in arguments.sizes:
        hidden = tuple(map(int, size.split("-")))
        for task, times in compare(hidden, arguments.repeats).items():
            ours = next(iter(times.values()))
            for name, value in times.items():
                print(
                    f"| {task} | {size} | {name} | {value:.3f} | {value / ours:.2f} |"
                )


if __name__ == "__main__":
    main()

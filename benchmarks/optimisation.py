"""What becomes of held-back subjects if the network is trained otherwise.

    LSDN_DATA=<folder with open_ms_mni> python benchmarks/optimisation.py --jobs 2
    ... --cohort simulated --rows "the default" "alpha 1"      a part of it
    ... --quick                 a smoke test on tiny simulated brains

One subject is left out at a time, as in `ablation.py`, whose table this prints and
whose cache it uses in the same way. Each row is the package's default with one change
of how its network starts or is trained: learning rates and epochs, an average of the
last epochs' networks, an L2 penalty, early stopping, latent coordinates at k-means
centres or where a first network errs, and the width sigma of the spatial responses,
fixed or learned. Learning it takes PyTorch, in which the network is written a second
time; the row with sigma fixed shows that the two agree. Without PyTorch these rows are
left out.
"""

import argparse
import sys
from dataclasses import replace

import numpy as np
from ablation import DEFAULT, add_options, carry_out, make_run, simulated_folds
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.cluster import MiniBatchKMeans
from table1 import open_ms_cohort, simulated_cohort

from sklearn_lsdn import LSDNRegressor, VolumeSynthesizer
from sklearn_lsdn._regressors.training import settings_of

try:
    import torch
except ImportError:
    torch = None

DIRECTIONS = "T1w -> T2w", "T2w -> T1w"


class AveragedLSDN(LSDNRegressor):
    """The average of the networks after each of the last epochs."""

    n_averaged = 5

    def fit(self, X, y, **given):
        average = WeightAverage(self.n_averaged)
        self.set_callbacks(average)
        super().fit(X, y, **given)
        self.set_callbacks()
        self.network_ = average.network()
        return self


class Averaged10LSDN(AveragedLSDN):
    n_averaged = 10


class WeightAverage:
    """A callback that keeps the network of the last epochs."""

    def __init__(self, n_epochs):
        self.n_epochs = n_epochs
        self.networks = []

    def setup(self, estimator, context):
        self.networks.clear()

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        if context.task_name == "epoch":
            self.networks.append(fitted_estimator.network_)
            del self.networks[: -self.n_epochs]

    def network(self):
        """The mean of their parameters."""

        def mean(name):
            arrays = zip(*(getattr(each, name) for each in self.networks), strict=True)
            return tuple(np.mean(each, axis=0) for each in arrays)

        latent = np.mean([each.latent_coordinates for each in self.networks], axis=0)
        layers = {name: mean(name) for name in ("filters", "biases")}
        return replace(self.networks[-1], **layers, latent_coordinates=latent)


class KMeansLSDN(LSDNRegressor):
    """Latent coordinates start at the centres of as many clusters of voxels."""

    def _initial_network(self, X, y, weight, rng):
        network = super()._initial_network(X, y, weight, rng)
        voxels = X[:, list(network.coordinate_columns)]
        n_nodes = len(network.latent_coordinates)
        clusters = MiniBatchKMeans(n_nodes, n_init=1, random_state=0).fit(voxels)
        latent = clusters.cluster_centers_.astype(np.float64)
        return replace(network, latent_coordinates=latent)


class ErrorDrivenLSDN(LSDNRegressor):
    """Latent coordinates start at voxels drawn by the square of a network's error."""

    def _initial_network(self, X, y, weight, rng):
        network = super()._initial_network(X, y, weight, rng)
        first = LSDNRegressor(**{**self.get_params(), "max_iter": 3, "random_state": 0})
        errors = np.square(first.fit(X, np.ravel(y)).predict(X) - np.ravel(y))
        n_nodes = len(network.latent_coordinates)
        rows = rng.choice(len(X), n_nodes, replace=False, p=errors / errors.sum())
        voxels = X[rows][:, list(network.coordinate_columns)]
        return replace(network, latent_coordinates=voxels.astype(np.float64))


class StoppedThenWholeLSDN(LSDNRegressor):
    """As many epochs as suit a subject held out, then anew on all of them.

    For ``early_stopping=True``, by which it is given groups.
    """

    def fit(self, X, y, groups=None):
        parameters = self.get_params()
        watched = LSDNRegressor(**parameters).fit(X, y, groups=groups)
        self.best_ = 1 + int(np.argmin(watched.validation_loss_curve_))
        all_of_them = {"early_stopping": False, "max_iter": self.best_}
        whole = LSDNRegressor(**parameters | all_of_them).fit(X, y)
        vars(self).update(vars(whole) | parameters)
        return self


class TorchLSDN(RegressorMixin, BaseEstimator):
    """The network in PyTorch, with the initial parameters of `LSDNRegressor`.

    ``sigma`` says what becomes of its width: "fixed", "learned", or "learned for each
    node" of the first hidden layer.
    """

    def __init__(self, sigma="fixed", random_state=None):
        self.sigma = sigma
        self.random_state = random_state

    def fit(self, X, y):
        torch.set_num_threads(1)
        network = LSDNRegressor(
            max_iter=1, learning_rate_init=1e-12, random_state=self.random_state
        ).fit(X, y)  # which leaves it as drawn
        network = network.network_
        self._scaling = network.scaling
        layers = network.architecture.layers(network.parameters())
        tensors = [*layers.filters, *layers.biases, layers.latent.T]
        tensors = [torch.tensor(array, requires_grad=True) for array in tensors]
        n_layers = len(layers.filters)
        self._filters, self._biases = tensors[:n_layers], tensors[n_layers:-1]
        self._latent = tensors[-1]
        n_widths = len(self._latent) if self.sigma == "learned for each node" else 1
        self._log_sigma = torch.full((n_widths,), np.log(network.sigma)).float()
        if self.sigma != "fixed":
            tensors.append(self._log_sigma.requires_grad_())
        self._train(LSDNRegressor(), tensors, X, y)
        self.sigma_ = self._log_sigma.detach().exp().numpy()
        return self

    def _train(self, default, tensors, X, y):
        as_tensor = torch.from_numpy
        S, C = as_tensor(self._scaling.features(X[:, :-3])), self._places(X)
        t = as_tensor(self._scaling.targets(np.reshape(y, (-1, 1))))
        adam = torch.optim.Adam(tensors, lr=default.learning_rate_init)
        schedule = torch.optim.lr_scheduler.ExponentialLR(
            adam, default.learning_rate_decay
        )
        order = np.random.RandomState(self.random_state)
        batch = settings_of(default).samples_per_batch(len(X))
        for _ in range(default.max_iter):
            for rows in as_tensor(order.permutation(len(X))).split(batch):
                loss = (self._forward(S[rows], C[rows]) - t[rows]).square().mean() / 2
                adam.zero_grad()
                loss.backward()
                adam.step()
            schedule.step()

    def _places(self, X):
        return torch.from_numpy(self._scaling.coordinates(X[:, -3:]))

    def _forward(self, s, x):
        distances = (x[:, None] - self._latent).square().sum(dim=-1)
        near = 2 * torch.sigmoid(-distances / (2 * self._log_sigma).exp())
        h = torch.sigmoid(s @ self._filters[0] + self._biases[0]) * near
        for F, b in zip(self._filters[1:], self._biases[1:], strict=True):
            h = torch.sigmoid(h @ F + b)
        return h

    @torch.no_grad() if torch else lambda method: method
    def predict(self, X):
        s = torch.from_numpy(self._scaling.features(X[:, :-3]))
        psi = self._forward(s, self._places(X)).numpy()
        return self._scaling.inverse_targets(psi).ravel()


def networks():
    """An estimator for each row."""
    L = LSDNRegressor
    rows = {
        "the default": L(),
        "learning rate 0.0025": L(learning_rate_init=0.0025),
        "learning rate 0.01": L(learning_rate_init=0.01),
        "5 epochs, decay 0.55": L(max_iter=5, learning_rate_decay=0.55),
        "10 epochs, decay 0.75": L(max_iter=10, learning_rate_decay=0.75),
        "40 epochs, decay 0.92": L(max_iter=40, learning_rate_decay=0.92),
        "average of 5 epochs": AveragedLSDN(),
        "decay 0.95": L(learning_rate_decay=0.95),
        "decay 0.95, average of 10": Averaged10LSDN(learning_rate_decay=0.95),
        "alpha 0.1": L(alpha=0.1),
        "alpha 1": L(alpha=1),
        "alpha 10": L(alpha=10),
        "stop early, by subject": L(early_stopping=True),
        "stop early, then all": StoppedThenWholeLSDN(early_stopping=True),
        "k-means": KMeansLSDN(),
        "error-driven": ErrorDrivenLSDN(),
        "sigma 0.25": L(sigma=0.25),
        "sigma 0.35": L(sigma=0.35),
        "sigma 0.7": L(sigma=0.7),
        "sigma 1": L(sigma=1.0),
    }
    if torch:
        rows["PyTorch, sigma 0.5"] = TorchLSDN()
        rows["PyTorch, sigma learned"] = TorchLSDN("learned")
        rows["PyTorch, sigma by node"] = TorchLSDN("learned for each node")
    return rows


def plan(cohort, folds, arguments):
    """Every run of a cohort."""
    runs = []
    for direction in DIRECTIONS:
        for row, network in networks().items():
            if arguments.rows and row not in arguments.rows:
                continue
            synthesizer = VolumeSynthesizer(
                network, n_voxels=cohort.n_voxels, random_state=arguments.seed
            )
            parameters = {k: v for k, v in DEFAULT.items() if k != "estimator"}
            synthesizer = clone(synthesizer.set_params(**parameters))
            if arguments.quick and isinstance(network, LSDNRegressor):
                synthesizer.set_params(
                    estimator__hidden_layer_sizes=(20, 5), estimator__max_iter=2
                )
            for fold in folds:
                what = cohort, direction, row, synthesizer, fold
                runs.append(make_run(*what, arguments.cache))
    return runs


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    names = ["open_ms", "simulated"]
    parser.add_argument("--cohort", nargs="+", choices=names, default=names)
    add_options(parser, networks(), "optimisation_results")
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    plans = {}
    if "open_ms" in arguments.cohort and not arguments.quick:
        plans["open_ms"] = plan(open_ms_cohort(), range(3), arguments)
    if "simulated" in arguments.cohort:
        cohort = simulated_cohort(arguments.cache, arguments.seed, arguments.quick)
        plans["simulated"] = plan(cohort, simulated_folds(cohort), arguments)
    carry_out(plans, arguments.jobs)


if __name__ == "__main__":
    sys.exit(main())

"""Network: the one owner of what a trained network is."""

from dataclasses import dataclass, replace
from numbers import Real
from typing import Self

import numpy as np
from scipy.special import logit

from .._utils.checks import check_numbers, ensure
from .._utils.columns import as_slice, weighted_rows
from .._utils.persistable import persistable
from .architecture import Architecture
from .scaling import Scaling
from .threads import for_each_slice

ROWS_AT_ONCE = 16384  # of X, in float32, for responses and losses
_ROWS_OF_A_THREAD = 8192  # in prediction: few enough for the cache
_SHRINKAGE = 0.5  # of the features' correlation matrix towards the identity
_RARE = 1e-3  # the least probability that outputs start at


@persistable(younger={"cross_entropy": False})
@dataclass(frozen=True, eq=False)
class Network:
    """A network in the units of the data that it was trained on.

    Parameters
    ----------
    filters : tuple of float64 arrays of shape (n_inputs, n_outputs)
        F(2) to F(K), transposed. The first are for features as they came:
        standardisation and whitening are folded in.
    biases : tuple of float64 arrays of shape (n_outputs,)
        b(2) to b(K).
    latent_coordinates : float64 array of shape (p_2, n_coordinates)
        Centres of the spatial responses. With no coordinates there are none, and the
        first hidden layer is one like the others.
    scaling : Scaling
        Between the user's units and those of training.
    feature_columns, coordinate_columns : tuple of int
        Which columns of ``X`` enter as features s and as coordinates x.
    sigma : float
        Width of the spatial response, in scaled coordinates.
    cross_entropy : bool, default=False
        Whether outputs are probabilities, of which that is the loss, and not values.

    Notes
    -----
    It is a value: whatever changes a network makes another.
    """

    filters: tuple
    biases: tuple
    latent_coordinates: np.ndarray
    scaling: Scaling
    feature_columns: tuple
    coordinate_columns: tuple
    sigma: float
    cross_entropy: bool = False

    @classmethod
    def initial(
        cls,
        X,
        y,
        weight,
        columns,
        hidden_layer_sizes,
        sigma,
        rng,
        cross_entropy=False,
    ) -> Self:
        """Draw a network that has seen nothing of the data but their scales.

        Where outputs are probabilities, these start about the mean of the targets.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_columns)
        y : ndarray of shape (n_samples, n_outputs)
        weight : float64 array of shape (n_samples,), positive
        columns : pair of tuples of int
            Those of the features and of the coordinates.
        hidden_layer_sizes : sequence of int
        sigma : float
        rng : numpy.random.RandomState
        cross_entropy : bool, default=False
        """
        features, coordinates = columns = tuple(map(tuple, columns))
        S, C = X[:, as_slice(features)], X[:, as_slice(coordinates)]
        scaling = Scaling.fit(S, C, y, weight, _SHRINKAGE)
        sizes = len(features), *map(int, hidden_layer_sizes), y.shape[1]
        architecture = Architecture(sizes, len(coordinates), sigma, cross_entropy)
        drawn = C[weighted_rows(C, weight, sizes[1], rng)]
        latent = scaling.coordinates(drawn, np.float64)
        layers = architecture.layers(architecture.initial_parameters(latent, rng))
        if cross_entropy:
            scaling = scaling.of_probabilities()
            mean = np.clip(weight @ y / weight.sum(), _RARE, 1.0 - _RARE)
            layers.biases[-1][:] = logit(mean)
        return cls(*scaling.fold(layers), scaling, *columns, sigma, cross_entropy)

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """p_1 (features), p_2, ..., p_K (outputs)."""
        return len(self.feature_columns), *(len(bias) for bias in self.biases)

    @property
    def hidden_layer_sizes(self) -> tuple[int, ...]:
        """p_2, ..., p_(K-1)."""
        return self.layer_sizes[1:-1]

    @property
    def n_outputs(self) -> int:
        """p_K."""
        return len(self.biases[-1])

    @property
    def architecture(self) -> Architecture:
        """What the kernels and the reference take beside the parameters."""
        n_coordinates = len(self.coordinate_columns)
        return Architecture(
            self.layer_sizes, n_coordinates, self.sigma, self.cross_entropy
        )

    def parameters(self, dtype=np.float32) -> np.ndarray:
        """Flat vector for whitened features, as the network is trained."""
        return self.architecture.pack(*self.scaling.unfold(*self._layers), dtype=dtype)

    def standardized_parameters(self) -> np.ndarray:
        """Flat vector for standardised features, which float32 always holds."""
        return self.architecture.pack(*self.scaling.standardize_layers(*self._layers))

    def volume_parameters(self) -> np.ndarray:
        """Flat vector for features as they came, and scaled coordinates, float32."""
        latent = self.scaling.standardize_layers(*self._layers)[2]
        return self.architecture.pack(self.filters, self.biases, latent)

    def with_parameters(self, theta) -> Self:
        """Put other parameters, as `parameters` gives them, in the place of these.

        Raises
        ------
        FloatingPointError
            If one is NaN or infinite.
        """
        if not np.isfinite(theta).all():
            raise FloatingPointError("parameters are not finite")
        folded = self.scaling.fold(self.architecture.layers(theta))
        names = "filters", "biases", "latent_coordinates"
        return replace(self, **dict(zip(names, folded, strict=True)))

    def without_nodes(self, layer, kept, combinations) -> Self:
        """Remove nodes of a hidden layer, equation (12).

        Parameters
        ----------
        layer : int
            1 for the product layer.
        kept : int array of shape (n_kept,)
            The nodes that stay.
        combinations : ndarray of shape (n_nodes, n_kept)
            A: how the responses of those that stay combine to those of all, which the
            next layer's filters take over.
        """
        filters, biases = list(self.filters), list(self.biases)
        filters[layer - 1] = filters[layer - 1][:, kept]
        biases[layer - 1] = biases[layer - 1][kept]
        filters[layer] = combinations.T @ filters[layer]
        latent = self.latent_coordinates
        return replace(
            self,
            filters=tuple(filters),
            biases=tuple(biases),
            latent_coordinates=latent[kept] if layer == 1 else latent,
        )

    def scaled(self, X, y, weight, dtype) -> tuple[np.ndarray, ...]:
        """Features, coordinates, targets and weights as training takes them."""
        return (
            self.scaling.features(X[:, as_slice(self.feature_columns)], dtype),
            self.scaling.coordinates(X[:, as_slice(self.coordinate_columns)], dtype),
            self.scaling.targets(y, dtype),
            (weight / weight.max()).astype(dtype),
        )

    def predict(self, X, n_threads=1) -> np.ndarray:
        """psi in the units of the targets.

        Parameters
        ----------
        X : float32 or float64 array of shape (n_samples, n_columns)
        n_threads : int, default=1
            The result does not depend on it.

        Returns
        -------
        y : ndarray of shape (n_samples, n_outputs)
            Of the dtype of ``X``.
        """
        from .inference import predict_table

        y = np.empty((len(X), self.n_outputs), dtype=X.dtype)
        architecture, theta = self.architecture, self.standardized_parameters()

        def run(rows):
            psi = predict_table(architecture, theta, *self._table(X[rows]))
            y[rows] = self.scaling.inverse_targets(psi)

        for_each_slice(run, len(X), _ROWS_OF_A_THREAD, n_threads)
        return y

    def responses(self, X, layer, n_threads=1):
        """Responses of hidden layer 1, 2, ..., block by block.

        Yields
        ------
        rows : slice
        responses : float32 array of shape (n_rows, n_nodes)
        """
        from .inference import predict_table

        architecture, theta = self.architecture, self.standardized_parameters()
        for start in range(0, len(X), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            table = self._table(X[rows])
            yield rows, predict_table(architecture, theta, *table, n_threads, layer)

    def reads_patches(self, n_patch) -> bool:
        """Whether the first ``n_patch`` features are the first columns, in order."""
        return tuple(self.feature_columns[:n_patch]) == tuple(range(n_patch))

    def voxels(self, padded, centers, n_threads=1) -> np.ndarray:
        """Predict voxels of padded volumes without materialising their patches.

        The columns of ``X`` in training must have been the patch and then the
        coordinates of its place, if any.

        Parameters
        ----------
        padded : PaddedVolumes
            Volumes on the scale of the training features.
        centers : int64 array of shape (n_voxels,)
            Flat indices into them.
        n_threads : int, default=1

        Returns
        -------
        y : float64 array of shape (n_voxels, n_outputs)
        """
        from .inference import Volume, predict_voxels

        scaling, architecture = self.scaling, self.architecture
        n_patch, to_places = padded.offsets.size, padded.places[:3]
        more = [c - n_patch for c in self.feature_columns if c >= n_patch]
        places = [c - n_patch for c in self.coordinate_columns]
        to_coordinates = to_places[places].copy()
        to_coordinates[:, 3] -= scaling.coordinate_centre
        to_coordinates /= scaling.coordinate_scale[:, None]
        theta = self.volume_parameters()
        layout = padded.channels, padded.strides, padded.offsets
        volume = Volume(*layout, to_places[more], to_coordinates)
        psi = predict_voxels(architecture, theta, volume, centers, n_threads)
        return scaling.inverse_targets(psi)

    def loss(self, X, y, weight) -> float:
        """What training minimises, weighted, on targets in the logistic range."""
        from .optimizers import mean_loss

        total, theta = 0.0, self.parameters(np.float32)
        for start in range(0, len(X), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            arrays = self.scaled(X[rows], y[rows], weight[rows], np.float32)
            share = weight[rows].sum() / weight.sum()
            total += float(share) * mean_loss(self.architecture, theta, arrays)
        return total

    @property
    def _columns(self):
        return *self.feature_columns, *self.coordinate_columns

    @property
    def _layers(self):
        return self.filters, self.biases, self.latent_coordinates

    def _table(self, X):
        """Columns in their order, float32, and their units unless standardised."""
        X, units = X[:, as_slice(self._columns)], self.scaling.units
        if X.dtype == np.float32:
            return np.require(X, requirements="ECAW"), units  # one type to compile for
        return self.scaling.standardized(X), np.empty((0, 0))

    def _check_parts(self):
        sizes, n_coordinates = self.layer_sizes, len(self.coordinate_columns)
        ensure(len(sizes) > 2 and min(sizes) > 0, "a layer is missing")
        ensure(len(self.filters) == len(self.biases), "a layer is missing")
        for k, (filters, bias) in enumerate(
            zip(self.filters, self.biases, strict=True)
        ):
            check_numbers(self, f"filters[{k}]", filters, (sizes[k], sizes[k + 1]))
            check_numbers(self, f"biases[{k}]", bias, (sizes[k + 1],))
        shape = sizes[1], n_coordinates
        check_numbers(self, "latent_coordinates", self.latent_coordinates, shape)
        self.scaling.check_sizes(sizes[0], n_coordinates, sizes[-1])
        sigma = self.sigma
        ensure(isinstance(sigma, Real) and 0 < sigma < np.inf, f"sigma is {sigma!r}")
        ensure(isinstance(self.cross_entropy, bool), "it is not said what outputs are")

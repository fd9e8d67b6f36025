"""Between the user's units and those the network is trained in."""

from dataclasses import dataclass, fields, replace

import numpy as np

from .._utils.checks import check_numbers
from .._utils.persistable import persistable

_CHUNK = 65536  # rows converted at once, laid out alike lest sums round differently
FAR = 1e18  # standard deviations: saturates every node, and its square is a float32
_MARGIN = 0.05  # of the logistic range, left free below and above the targets


def centre_and_scale(values, weight):
    """Weighted mean and standard deviation of columns; 1 where constant."""
    low, high = values.min(axis=0), values.max(axis=0)
    span = np.subtract(high, low, dtype=np.float64)
    span[span == 0] = 1.0
    share = weight / weight.sum()
    mean, square = np.zeros(len(span)), np.zeros(len(span))
    for rows in _chunks(len(values)):  # about the minimum, so that nothing overflows
        unit = (values[rows].astype(np.float64, order="C") - low) / span
        mean += share[rows] @ unit
        square += share[rows] @ unit**2
    deviation = np.sqrt(np.maximum(square - mean**2, 0.0))
    deviation[deviation < 1e-6] = 1.0
    return low + span * mean, span * deviation


def _chunks(n):
    return [slice(start, start + _CHUNK) for start in range(0, n, _CHUNK)]


@persistable()
@dataclass(frozen=True, eq=False)
class Scaling:
    """Affine maps of features, coordinates and targets, fitted on training data.

    Features are standardised and whitened (symmetrically, with the correlation
    matrix shrunk towards the identity by ``shrinkage``), coordinates mapped to
    [-1, 1], and targets to the inside of the logistic function's range.
    """

    feature_centre: np.ndarray  # (p_1,)
    feature_scale: np.ndarray  # (p_1,)
    whitening: np.ndarray  # (p_1, p_1)
    coordinate_centre: np.ndarray  # (n_coordinates,)
    coordinate_scale: np.ndarray  # (n_coordinates,)
    target_low: np.ndarray  # (p_K,), what psi = 0 stands for
    target_span: np.ndarray  # (p_K,), from psi = 0 to psi = 1; 0 if T is constant

    @classmethod
    def fit(cls, S, X, T, weight, shrinkage) -> "Scaling":
        """Fit on features, coordinates, targets and positive sample weights."""
        centre, scale = centre_and_scale(S, weight)
        correlation = np.zeros((S.shape[1], S.shape[1]))
        share = weight / weight.sum()
        for rows in _chunks(len(S)):
            unit = (np.ascontiguousarray(S[rows]) - centre) / scale
            correlation += (unit * share[rows, None]).T @ unit
        identity = np.eye(S.shape[1])
        values, vectors = np.linalg.eigh(
            (1.0 - shrinkage) * correlation + shrinkage * identity
        )
        whitening = (vectors / np.sqrt(values)) @ vectors.T

        low, high = X.min(axis=0), X.max(axis=0)
        half = np.subtract(high, low, dtype=np.float64) / 2.0
        half[half == 0] = 1.0

        bottom, top = T.min(axis=0), T.max(axis=0)
        with np.errstate(over="ignore"):  # refused when the network is stored
            span = np.subtract(top, bottom, dtype=np.float64) / (1.0 - 2.0 * _MARGIN)
        return cls(
            centre, scale, whitening, low + half, half, bottom - _MARGIN * span, span
        )

    def of_probabilities(self) -> "Scaling":
        """The same, but for outputs that are probabilities and stand as they are."""
        unit = np.ones_like(self.target_span)
        return replace(self, target_low=0.0 * unit, target_span=unit)

    def features(self, S, dtype=np.float32) -> np.ndarray:
        """Whitened features."""
        out = np.empty(S.shape, dtype=dtype)
        for rows in _chunks(len(S)):
            unit = np.ascontiguousarray(S[rows]) - self.feature_centre
            unit /= self.feature_scale
            out[rows] = unit @ self.whitening
        return out

    @property
    def units(self) -> np.ndarray:
        """Centre and scale of features and then coordinates, float64."""
        return np.array(
            [
                [*self.feature_centre, *self.coordinate_centre],
                [*self.feature_scale, *self.coordinate_scale],
            ]
        )

    def standardized(self, table) -> np.ndarray:
        """Features and then coordinates in their `units`, not whitened, float32."""
        centre, scale = self.units
        unit = (table - centre) / scale
        return np.ascontiguousarray(np.clip(unit, -FAR, FAR), dtype=np.float32)

    def coordinates(self, X, dtype=np.float32) -> np.ndarray:
        """Coordinates in units of half the training range."""
        out = np.empty(X.shape, dtype=dtype)
        for rows in _chunks(len(X)):
            for c in range(X.shape[1]):  # NumPy is slow along rows as short as these
                one = slice(c, c + 1)
                scaled = X[rows, c] - self.coordinate_centre[one]
                scaled /= self.coordinate_scale[one]
                out[rows, c] = np.clip(scaled, -FAR, FAR)
        return out

    def targets(self, T, dtype=np.float32) -> np.ndarray:
        """Targets in the logistic range."""
        span = np.where(self.target_span == 0, 1.0, self.target_span)
        scaled = (T - self.target_low) / span
        return np.ascontiguousarray(scaled, dtype=dtype)

    def inverse_targets(self, psi) -> np.ndarray:
        """Network outputs in the units of the targets, float64."""
        return psi.astype(np.float64) * self.target_span + self.target_low

    def fold(self, layers):
        """Network trained on scaled inputs -> the same one for the user's units.

        Returns
        -------
        filters, biases : tuples of float64 arrays
        latent : float64 array of shape (p_2, n_coordinates)
        """
        filters = [F.astype(np.float64) for F in layers.filters]
        biases = [b.astype(np.float64) for b in layers.biases]
        filters[0] = self.whitening @ filters[0] / self.feature_scale[:, None]
        biases[0] = biases[0] - self.feature_centre @ filters[0]
        latent = layers.latent.T * self.coordinate_scale + self.coordinate_centre
        return tuple(filters), tuple(biases), latent

    def standardize_layers(self, filters, biases, latent):
        """Network for the user's units -> the same one for `standardized` features.

        Features of any magnitude then pass through float32 unharmed.
        """
        filters, biases = list(filters), list(biases)
        biases[0] = biases[0] + self.feature_centre @ filters[0]
        filters[0] = filters[0] * self.feature_scale[:, None]
        latent = (latent - self.coordinate_centre) / self.coordinate_scale
        return filters, biases, latent.T

    def unfold(self, filters, biases, latent):
        """Undo `fold`."""
        filters, biases, latent = self.standardize_layers(filters, biases, latent)
        filters[0] = np.linalg.solve(self.whitening, filters[0])
        return filters, biases, latent

    def check_sizes(self, n_features, n_coordinates, n_targets):
        """Raise ValueError unless there is a finite number for each of them."""
        n = {"feature": n_features, "coordinate": n_coordinates, "target": n_targets}
        for name in (field.name for field in fields(self)):
            square = name == "whitening"
            shape = (n_features,) * 2 if square else (n[name.split("_")[0]],)
            check_numbers(self, name, getattr(self, name), shape)

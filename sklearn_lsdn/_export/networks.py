"""Networks over rows of columns, in the user's units."""

import numpy as np

from .._network.architecture import Layers
from .._network.kernels.operands import LEAST, MOST
from .._network.scaling import FAR

_PRECISE = 100  # times the precision of float32: what an exponent may lack
_SMALLEST, _LARGEST = np.finfo(np.float32).tiny, np.finfo(np.float32).max


def answers(X, network, n_columns):
    """psi: equations (2) to (4), after a change of units.

    Parameters
    ----------
    X : Value of shape (n_samples, n_columns)
    network : Network
    n_columns : int

    Returns
    -------
    psi : Value of shape (n_samples, n_outputs)
    """
    scaling, architecture = network.scaling, network.architecture
    layers = architecture.layers(network.standardized_parameters())
    columns, located = list(network.feature_columns), list(network.coordinate_columns)
    # Every column is scaled, and the first filters are 0 where it is no feature, so
    # that columns need not be sorted apart.
    centre, scale = np.zeros((2, n_columns)) + [[0.0], [1.0]]
    centre[columns], scale[columns] = scaling.feature_centre, scaling.feature_scale
    centre[located] = scaling.coordinate_centre
    scale[located] = scaling.coordinate_scale
    first, *filters = layers.filters
    by_column = np.zeros((n_columns, first.shape[1]), dtype=np.float32)
    by_column[columns] = first

    coarse, fine = _two_floats(centre, "X")
    unit = ((X - coarse - fine) / _float32(scale, "X")).clip(-FAR, FAR)
    x = unit.take(located, axis=1) if located else None
    layers = Layers([by_column, *filters], layers.biases, layers.latent)
    return forward(unit, x, layers, architecture)


def forward(S, x, layers, architecture):
    """Equations (2) to (4).

    Parameters
    ----------
    S : Value of shape (n_samples, p_1)
        Features.
    x : Value of shape (n_samples, n_coordinates) or None
    layers : Layers
    architecture : Architecture

    Returns
    -------
    psi : Value of shape (n_samples, p_K)
    """
    filters = list(layers.filters)
    h = S.apply("Gemm", filters[0], layers.biases[0]).apply("Sigmoid")
    if x is not None:
        h = h * _exponent(x, layers.latent, architecture.precision).apply("Sigmoid")
        filters[1] = 2 * filters[1]  # the 2 of equation (3), which this rounds not
    for F, b in zip(filters[1:], layers.biases[1:], strict=True):
        h = h.apply("Gemm", F, b).apply("Sigmoid")
    return h


def _exponent(x, latent, precision):
    """Minus the squared distances to latent coordinates, in units of sigma."""
    reach = np.abs(latent).max() + 5 / np.sqrt(precision)
    if precision * reach**2 < _PRECISE:  # one product, which loses few digits then
        both = x.apply("Concat", x * x, axis=1)
        ones = np.ones_like(latent)
        product = precision * np.concatenate([2 * latent, -ones])
        return both.apply("Gemm", product, -precision * (latent**2).sum(axis=0))
    apart = [x.take([i], axis=1) - row for i, row in enumerate(latent)]
    return x.graph.apply("Sum", *(each * each for each in apart)) * -precision


def targets(psi, network):
    """In the user's units."""
    scaling = network.scaling
    coarse, fine = _two_floats(scaling.target_low, "y")
    return psi * _float32(scaling.target_span, "y") + fine + coarse


def probabilities(psi, n_classes):
    """Of each class."""
    psi = psi.clip(LEAST, MOST)
    if n_classes == 2:
        other = psi.graph.constant(np.float32(1)) - psi
        return other.apply("Concat", psi, axis=1)
    return psi / psi.sum(1, keep=True)


def labels(p, classes):
    """Those of the largest probabilities."""
    best = p.apply("ArgMax", axis=1, keepdims=0, dtype=np.int64)
    return p.graph.constant(onnx_labels(classes)).take(best)


def onnx_labels(classes):
    """Labels as ONNX has them: int64, or strings as objects."""
    if classes.dtype.kind in "biu":
        return classes.astype(np.int64)
    if all(isinstance(each, str) for each in classes.tolist()):
        return classes.astype(object)
    raise ValueError(
        "ONNX models of classifiers have labels that are whole numbers or strings, "
        f"not {classes.tolist()}. Train with such labels."
    )


def _two_floats(values, of):
    """Two float32 arrays whose sum is ``values`` to twice float32's precision."""
    coarse = _float32(values, of, least=0.0)
    return coarse, (values - coarse).astype(np.float32)


def _float32(values, of, least=_SMALLEST):
    """``values`` as float32, if it can hold their magnitudes: 0, or from ``least``."""
    magnitude = np.abs(values[values != 0])
    if (magnitude < least).any() or (magnitude > _LARGEST).any():
        raise ValueError(
            f"The values of {of} in training were too small or too large for float32, "
            f"in which ONNX models of networks compute. Train with {of} in other units."
        )
    return values.astype(np.float32)

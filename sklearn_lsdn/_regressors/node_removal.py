"""Removing hidden nodes from a network: how many, and what becomes of their filters.

Equation numbers are those of Nguyen, Zhou and Vemulapalli, MICCAI 2015.
"""

from numbers import Integral, Real

import numpy as np

from .pursuit import simultaneous_omp


def sizes_to_keep(keep, sizes):
    """Turn the ``keep`` parameter into a number of nodes for each hidden layer."""
    each = [float(keep)] * len(sizes) if np.ndim(keep) == 0 else list(keep)
    if len(each) != len(sizes):
        raise ValueError(
            f"keep has {len(each)} numbers, but the network has {len(sizes)} hidden "
            "layer(s). Give one fraction, or one number for each layer."
        )
    kept = []
    for wanted, size in zip(each, sizes, strict=True):
        n = 0
        if isinstance(wanted, Integral) and not isinstance(wanted, bool):
            n = wanted
        elif isinstance(wanted, Real) and 0 < wanted <= 1:
            n = max(1, round(wanted * size))
        if not 1 <= n <= size:
            raise ValueError(
                f"keep={keep!r} asks for {wanted} of the {size} nodes of a hidden "
                "layer. Give fractions up to 1.0, or whole numbers of nodes."
            )
        kept.append(int(n))
    return kept


def without_nodes(network, X, weight, sizes, preserve, selection):
    """Remove nodes layer by layer, each on the network as shrunk so far.

    Returns
    -------
    smaller : the network, not trained further
    support, coefficients, residuals : lists with an entry for each hidden layer
    """
    smaller = network._copy()
    support, coefficients, residuals = [], [], []
    for layer, size in enumerate(sizes, start=1):
        n_nodes = len(smaller.intercepts_[layer - 1])
        gram = np.zeros((n_nodes, n_nodes))
        for rows, responses in smaller._responses(X, layer):
            block = responses * np.sqrt(weight[rows, None])  # float64, as weight is
            gram += block.T @ block
        mixing = smaller.coefs_[layer].T if preserve == "inputs" else None
        indices, _, residual = simultaneous_omp(
            gram=gram,
            n_nonzero=size,
            mixing=mixing,
            selection=selection,
            return_residuals=True,
        )
        # The combinations of all responses: their images under F(k+1) are the best
        # of the inputs as well.
        A = np.linalg.solve(gram[np.ix_(indices, indices)], gram[indices]).T
        if len(indices) == 0:  # nodes that never respond; one keeps the layer alive
            indices, A = np.zeros(1, dtype=np.intp), np.zeros((n_nodes, 1))
        # (12), with filters transposed
        smaller.coefs_[layer - 1] = smaller.coefs_[layer - 1][:, indices]
        smaller.intercepts_[layer - 1] = smaller.intercepts_[layer - 1][indices]
        if layer == 1:
            smaller.latent_coordinates_ = smaller.latent_coordinates_[indices]
        smaller.coefs_[layer] = A.T @ smaller.coefs_[layer]
        support.append(indices)
        coefficients.append(A)
        residuals.append(float(residual[-1]))
    smaller.hidden_layer_sizes = tuple(len(indices) for indices in support)
    return smaller, support, coefficients, residuals

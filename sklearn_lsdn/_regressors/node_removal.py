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


def smaller_network(network, X, weight, sizes, preserve, selection, n_threads):
    """Remove nodes layer by layer, each on the network as shrunk so far.

    Returns
    -------
    network : Network
        Not trained further.
    support, coefficients, residuals : lists with an entry for each hidden layer
    """
    support, coefficients, residuals = [], [], []
    for layer, size in enumerate(sizes, start=1):
        n_nodes = network.layer_sizes[layer]
        gram = np.zeros((n_nodes, n_nodes))
        for rows, responses in network.responses(X, layer, n_threads):
            block = responses * np.sqrt(weight[rows, None])  # float64, as weight is
            gram += block.T @ block
        mixing = network.filters[layer].T if preserve == "inputs" else None
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
        network = network.without_nodes(layer, indices, A)  # (12)
        support.append(indices)
        coefficients.append(A)
        residuals.append(float(residual[-1]))
    return network, support, coefficients, residuals

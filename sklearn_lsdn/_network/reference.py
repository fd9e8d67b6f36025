"""The network in plain NumPy, in float64: what the kernels are tested against.

It is also what full-batch optimisation runs on, where precision matters more than
speed. Equation numbers are those of Nguyen, Zhou and Vemulapalli, MICCAI 2015.
"""

import numpy as np
from scipy.special import expit

from .architecture import Architecture


def spatial_response(architecture: Architecture, latent, X) -> np.ndarray:
    """Equation (3): 2 gamma(-|x - x-hat_i|^2 / sigma^2), (n_samples, p_2)."""
    squared = ((X[:, :, None] - latent[None, :, :]) ** 2).sum(axis=1)
    return 2.0 * expit(-squared / architecture.width**2)


def activations(architecture: Architecture, theta, S, X) -> tuple[list, np.ndarray]:
    """Responses h(2), ..., h(K) of every layer, and the spatial responses.

    Parameters
    ----------
    theta : ndarray of shape (n_parameters,)
    S : ndarray of shape (n_samples, p_1)
        Features.
    X : ndarray of shape (n_samples, n_coordinates)
        Coordinates.
    """
    filters, biases, latent = architecture.layers(theta)
    spatial = spatial_response(architecture, latent, X)
    responses = [expit(S @ filters[0] + biases[0]) * spatial]  # (2)
    for F, b in zip(filters[1:], biases[1:], strict=True):
        responses.append(expit(responses[-1] @ F + b))  # (4)
    return responses, spatial


def forward(architecture: Architecture, theta, S, X) -> np.ndarray:
    """psi(s, x), (n_samples, n_outputs)."""
    return activations(architecture, theta, S, X)[0][-1]


def loss_and_gradient(architecture: Architecture, theta, S, X, T, weight, alpha=0.0):
    """Equation (1), weighted, with its gradient by equations (5) to (8).

    The loss is sum_n w_n E_n / sum_n w_n + alpha |F|^2 / 2, with half the squared
    error E_n = |psi_n - t_n|^2 / 2; or, where the architecture says so, with the
    cross-entropy E_n = -sum (t_n log psi_n + (1 - t_n) log(1 - psi_n)).

    Returns
    -------
    loss : float
    gradient : ndarray of shape (n_parameters,)
    """
    filters, biases, latent = architecture.layers(theta)
    responses, spatial = activations(architecture, theta, S, X)
    share = (weight / weight.sum())[:, None]
    error = responses[-1] - T
    if architecture.cross_entropy:  # log psi = u - log(1 + e^u), log(1 - psi) = ...
        u = responses[-2] @ filters[-1] + biases[-1]
        loss = float((share * (np.logaddexp(0.0, u) - T * u)).sum())
    else:
        loss = 0.5 * float((share * error**2).sum())

    gradient = np.empty_like(theta)
    grads = architecture.layers(gradient)
    # (6), last layer; d(K) holds one row a sample.
    d = share * error
    if not architecture.cross_entropy:  # whose derivative by psi cancels psi'(u)
        d = d * responses[-1] * (1.0 - responses[-1])
    for k in range(len(filters) - 1, 0, -1):
        grads.filters[k][...] = responses[k - 1].T @ d  # (7)
        grads.biases[k][...] = d.sum(axis=0)
        backward = d @ filters[k].T
        if k > 1:
            d = backward * responses[k - 1] * (1.0 - responses[k - 1])  # (5)

    # A spatial response can underflow to 0, where kappa no longer matters.
    kappa = np.divide(
        responses[0], spatial, out=np.zeros_like(spatial), where=spatial > 0
    )
    d = backward * spatial * kappa * (1.0 - kappa)  # (6), transposed as it must be
    grads.filters[0][...] = S.T @ d  # (7) with h(1) = s
    grads.biases[0][...] = d.sum(axis=0)
    pull = backward * responses[0] * (2.0 - spatial) / architecture.width**2  # (8)
    grads.latent[...] = X.T @ pull - latent * pull.sum(axis=0)

    if alpha:
        penalised = architecture.filter_mask() * theta
        loss += 0.5 * alpha * float(penalised @ penalised)
        gradient += alpha * penalised
    return loss, gradient

"""LSDN in NumPy, PyTorch and onnxruntime, each as quick as it gets without kernels.

Peers get the features of samples, and places: coordinates in units of sigma and then
their squared norm, so that a product gives all squared distances. The 2 of equation
(3) is in the filters that follow. Equations: Nguyen, Zhou and Vemulapalli, MICCAI 2015.
"""

from dataclasses import dataclass

import numpy as np
import onnx.numpy_helper
import onnx.parser
import onnxruntime
import torch

RATE = 0.005


@dataclass
class Weights:
    """A network as its peers take it, all float32."""

    filters: list  # (n_inputs, n_outputs)
    biases: list
    latent: np.ndarray  # (n_coordinates, p_2), in units of sigma

    @classmethod
    def of(cls, architecture, theta):
        filters, biases, latent = architecture.layers(theta)
        filters = [np.ascontiguousarray(F) for F in filters]
        filters[1] = 2 * filters[1]
        return cls(filters, list(biases), latent / np.float32(architecture.sigma))


def places(architecture, coordinates):
    x = coordinates / np.float32(architecture.sigma)
    return np.hstack([x, (x**2).sum(axis=1, keepdims=True)])


def distance_product(latent):
    """Matrix and vector with which places give minus the squared distances."""
    ones = np.ones((1, latent.shape[1]), dtype=np.float32)
    return np.vstack([2 * latent, -ones]), -(latent**2).sum(axis=0)


def tiles(n, size):
    """Peers predict in tiles, far quicker than all voxels at once."""
    return [slice(start, start + size) for start in range(0, n, size)]


def logistic(u):
    """In place; NumPy's own exponential is quicker than SciPy's expit."""
    with np.errstate(over="ignore"):
        np.exp(np.negative(u, out=u), out=u)
    u += 1
    return np.reciprocal(u, out=u)


class NumpyNetwork:
    """Forward, backward and Adam, in products and whole-array operations."""

    def __init__(self, weights):
        self.filters = [F.copy() for F in weights.filters]
        self.biases = [b.copy() for b in weights.biases]
        self.latent = weights.latent.copy()
        self.parameters = [*self.filters, *self.biases, self.latent]
        self.moments = [(np.zeros_like(p), np.zeros_like(p)) for p in self.parameters]
        self.n_steps = 0

    def responses(self, S, P):
        matrix, vector = distance_product(self.latent)
        kappa = logistic(S @ self.filters[0] + self.biases[0])
        spatial = logistic(P @ matrix + vector)
        responses = [kappa * spatial]
        for F, b in zip(self.filters[1:], self.biases[1:], strict=True):
            responses.append(logistic(responses[-1] @ F + b))
        return kappa, spatial, responses

    def predict(self, S, P, size):
        return np.concatenate(
            [self.responses(S[rows], P[rows])[2][-1] for rows in tiles(len(S), size)]
        )

    def gradient(self, S, P, T):
        """Equations (5) to (8), in the order of ``parameters``."""
        kappa, spatial, h = self.responses(S, P)
        d = (h[-1] - T) * h[-1] * (1 - h[-1]) / np.float32(len(S))
        filters, biases = [], []
        for k in range(len(h) - 1, 0, -1):
            filters.insert(0, h[k - 1].T @ d)
            biases.insert(0, d.sum(axis=0))
            back = d @ self.filters[k].T
            back *= h[k - 1]
            if k > 1:
                d = back * (1 - h[k - 1])
        pull = 2 * back * (1 - spatial)
        d = back * (1 - kappa)
        latent = P[:, :-1].T @ pull - self.latent * pull.sum(axis=0)
        return [S.T @ d, *filters, d.sum(axis=0), *biases, latent]

    def epoch(self, S, P, T, batch):
        order = np.random.default_rng().permutation(len(S))
        for rows in tiles(len(S), batch):
            chosen = order[rows]
            gradients = self.gradient(S[chosen], P[chosen], T[chosen])
            self.n_steps += 1
            rate = RATE * np.sqrt(1 - 0.999**self.n_steps) / (1 - 0.9**self.n_steps)
            for parameter, (first, second), g in zip(
                self.parameters, self.moments, gradients, strict=True
            ):
                first += np.float32(0.1) * (g - first)
                second += np.float32(0.001) * (g * g - second)
                parameter -= np.float32(rate) * first / (np.sqrt(second) + 1e-8)


class TorchNetwork(torch.nn.Module):
    """LSDN; with ``columns``, samples are the columns of its products."""

    def __init__(self, weights, columns=False):
        super().__init__()
        self.columns = columns
        self.filters, self.biases = (
            torch.nn.ParameterList(torch.tensor(array) for array in arrays)
            for arrays in ([F.T for F in weights.filters], weights.biases)
        )
        self.latent = torch.nn.Parameter(torch.tensor(weights.latent.T))

    def product(self, F, h, b):
        if self.columns:
            return torch.addmm(b[:, None], F, h)
        return torch.nn.functional.linear(h, F, b)

    def forward(self, S, P):
        S, P = (S.T, P.T) if self.columns else (S, P)
        logistic = torch.sigmoid if self.training else torch.sigmoid_
        latent = self.latent
        matrix = torch.cat([2 * latent, -torch.ones_like(latent[:, :1])], dim=1)
        h = logistic(self.product(self.filters[0], S, self.biases[0]))
        spatial = logistic(self.product(matrix, P, -(latent**2).sum(1)))
        h = h * spatial if self.training else h.mul_(spatial)
        for F, b in zip(self.filters[1:], self.biases[1:], strict=True):
            h = logistic(self.product(F, h, b))
        return h.T if self.columns else h


def predict_torch(network, S, P, size):
    with torch.inference_mode():
        return torch.cat([network(S[rows], P[rows]) for rows in tiles(len(S), size)])


class TorchTraining:
    """Epochs of Adam, ``kind`` of which is "foreach" or "fused"."""

    def __init__(self, weights, columns, kind, compiled=False):
        self.network = TorchNetwork(weights, columns).train()
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), lr=RATE, **{kind: True}
        )
        self.loss = torch.compile(self._loss, dynamic=False) if compiled else self._loss

    def _loss(self, S, P, T):
        return 0.5 * ((self.network(S, P) - T) ** 2).mean()

    def gradient(self, S, P, T):
        self.optimizer.zero_grad(set_to_none=True)
        self.loss(S, P, T).backward()

    def epoch(self, S, P, T, batch):
        order = torch.randperm(len(S))  # at once: quicker than batch by batch
        S, P, T = S[order], P[order], T[order]
        for rows in tiles(len(S), batch):
            self.gradient(S[rows], P[rows], T[rows])
            self.optimizer.step()


def onnx_model(weights):
    """A model that predicts from features "S" and places "P"."""
    matrix, vector = distance_product(weights.latent)
    constants = {"matrix": matrix, "vector": vector}
    lines = []
    h = "S"
    for k, (F, b) in enumerate(zip(weights.filters, weights.biases, strict=True)):
        constants |= {f"F{k}": F, f"b{k}": b}
        lines.append(f"u{k} = Gemm({h}, F{k}, b{k})")
        lines.append(f"h{k} = Sigmoid(u{k})")
        h = f"h{k}"
        if k == 0:
            lines.append("distances = Gemm(P, matrix, vector)")
            lines.append("spatial = Sigmoid(distances)")
            lines.append("product = Mul(h0, spatial)")
            h = "product"
    lines.append(f"psi = Identity({h})")
    body = "\n".join(lines)
    n, m = len(weights.filters[0]), len(weights.biases[-1])
    model = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 17]>
        lsdn (float[N, {n}] S, float[N, {len(matrix)}] P) => (float[N, {m}] psi)
        {{ {body} }}"""
    )
    for name, array in constants.items():
        tensor = onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)
        model.graph.initializer.append(tensor)
    return model


def onnx_session(model, n_threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    return onnxruntime.InferenceSession(model.SerializeToString(), options)

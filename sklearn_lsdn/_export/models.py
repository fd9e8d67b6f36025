"""to_onnx: trained models as ONNX models."""

from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import BaseEstimator, is_classifier

from .._regressors.roles import role_of
from .graph import Graph
from .networks import answers, labels, probabilities, targets
from .volumes import write_synthesis

if TYPE_CHECKING:
    import onnx


def to_onnx(estimator: BaseEstimator) -> "onnx.ModelProto":
    """Write a trained network as an ONNX model.

    The model computes in float32 what ``estimator.predict`` does, of columns in the
    user's units: their scaling is part of it, and so is that of the targets.

    Parameters
    ----------
    estimator : LSDN, CDN or VDN, regressor or classifier, or ShrinkConnect
        A fitted network. Of ``ShrinkConnect`` the smaller network is written; of a
        ``VolumeSynthesizer``, which reads images, give the ``estimator_``, and of an
        ``EnsembleRegressor`` each of ``estimators_``, to be averaged.

    Returns
    -------
    model : onnx.ModelProto
        Its input is "X", float32 of shape (n_samples, `n_features_in_`), the columns
        of ``fit``; its output "y", float32 of shape (n_samples, `n_outputs_`), with
        a column also where the target in ``fit`` was one-dimensional, as skl2onnx
        writes regressors. Of a classifier, outputs are "label", int64 or string of
        shape (n_samples,), and "probabilities", float32 of shape (n_samples,
        n_classes). ``n_samples`` is free.

    Raises
    ------
    ImportError
        If onnx is missing.
    sklearn.exceptions.NotFittedError
        If the network is not fitted.
    TypeError
        If ``estimator`` is not a network of this package.
    ValueError
        If the scales of ``X`` or ``y`` in training lie beyond those of float32, or
        labels are neither whole numbers nor strings.

    See Also
    --------
    register_onnx_converters : For networks inside a Pipeline.
    save_model : For use in Python with this package, with all attributes.

    Notes
    -----
    The model consists of plain operators of the standard's opset 17. The exponent
    of equation (3) of [1]_ is a sum of squared differences along the axes, so that
    places far from the origin lose no digits. NaN and infinity are not refused, as
    ``predict`` does.

    All samples are computed at once: give a runtime some thousand at a time, and
    its memory stays small and its caches warm.

    References
    ----------
    .. [1] H. V. Nguyen, K. Zhou and R. Vemulapalli, "Cross-domain synthesis of
       medical images using efficient location-sensitive deep network", MICCAI
       2015, LNCS 9349, 677-684. :doi:`10.1007/978-3-319-24553-9_83`

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_lsdn import LSDNRegressor, to_onnx
    >>> X = np.random.RandomState(0).uniform(size=(100, 4))
    >>> model = to_onnx(LSDNRegressor((5,), random_state=0).fit(X, X[:, 0]))
    >>> [column.name for column in (*model.graph.input, *model.graph.output)]
    ['X', 'y']

    ``onnx.save(model, "network.onnx")`` writes the file that a runtime reads:

    >>> import onnxruntime
    >>> session = onnxruntime.InferenceSession(model.SerializeToString())
    >>> session.run(["y"], {"X": X.astype(np.float32)})[0].shape
    (100, 1)
    """
    if role_of(estimator).takes_images:
        return write_synthesis(estimator)
    network = fitted_network(estimator)
    graph = Graph()
    X = graph.input("X", np.float32, ["n_samples", network.n_features_in_])
    psi = answers(X, network.network_, network.n_features_in_)
    if is_classifier(network):
        classes = network.classes_
        p = probabilities(psi, len(classes))
        graph.output("label", labels(p, classes), ["n_samples"])
        graph.output("probabilities", p, ["n_samples", len(classes)])
    else:
        y = targets(psi, network.network_)
        graph.output("y", y, ["n_samples", network.n_outputs_])
    return graph.model(type(network).__name__)


def fitted_network(estimator):
    """The network to write."""
    network = role_of(estimator).network
    if network is None:
        raise TypeError(
            "to_onnx writes LSDNRegressor, LSDNClassifier, CDN and VDN of either kind "
            f"and ShrinkConnect, not {type(estimator).__name__}. Of an estimator that "
            "holds one of them, give that, or see register_onnx_converters."
        )
    return network

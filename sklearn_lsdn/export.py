"""Trained networks as ONNX models, for programs that run without this package."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ._network_regressor import _NetworkRegressor
from .network.scaling import _FAR
from .shrink import ShrinkConnect

_OPSET, _IR_VERSION = 17, 8  # of 2022: runtimes refuse versions newer than their own
_SMALLEST, _LARGEST = np.finfo(np.float32).tiny, np.finfo(np.float32).max


def to_onnx(estimator):
    """Write a trained network as an ONNX model.

    The model computes in float32 what ``estimator.predict`` does, of columns in the
    user's units: their scaling is part of it, and so is that of the targets.

    Parameters
    ----------
    estimator : LSDNRegressor, CDNRegressor, VDNRegressor or ShrinkConnect
        A fitted network. Of ``ShrinkConnect`` the smaller network is written; of a
        ``VolumeSynthesizer``, which reads images, give the ``estimator_``.

    Returns
    -------
    model : onnx.ModelProto
        Its input is "X", float32 of shape (n_samples, n_features_in_), the columns
        of ``fit``; its output "y", float32 of shape (n_samples, n_outputs_), with
        a column also where the target in ``fit`` was one-dimensional, as skl2onnx
        writes regressors. ``n_samples`` is free.

    Raises
    ------
    ImportError
        If onnx is missing.
    sklearn.exceptions.NotFittedError
        If the network is not fitted.
    TypeError
        If ``estimator`` is not a network of this package.
    ValueError
        If the scales of ``X`` or ``y`` in training lie beyond those of float32.

    See Also
    --------
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
    network = _fitted_network(estimator)
    onnx = _require_onnx()
    floats = onnx.TensorProto.FLOAT
    shape_of_X = ["n_samples", network.n_features_in_]
    shape_of_y = ["n_samples", network.n_outputs_]
    graph = _Graph(onnx.helper, onnx.numpy_helper)
    _write_network(graph, network)
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            graph.nodes,
            type(network).__name__,
            [onnx.helper.make_tensor_value_info("X", floats, shape_of_X)],
            [onnx.helper.make_tensor_value_info("y", floats, shape_of_y)],
            graph.constants,
        ),
        opset_imports=[onnx.helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="sklearn_lsdn",
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def _fitted_network(estimator):
    """The network to write."""
    if not isinstance(estimator, _NetworkRegressor | ShrinkConnect):
        raise TypeError(
            "to_onnx writes LSDNRegressor, CDNRegressor, VDNRegressor and "
            f"ShrinkConnect, not {type(estimator).__name__}. Of an estimator that "
            "holds one of them, give that; skl2onnx writes scikit-learn's own."
        )
    check_is_fitted(estimator)
    return getattr(estimator, "estimator_", estimator)


def _require_onnx():
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
    except ImportError as error:
        raise ImportError(
            'ONNX models need onnx: pip install "sklearn_lsdn[onnx]"'
        ) from error
    return onnx


class _Graph:
    """Nodes and constants of an ONNX graph."""

    def __init__(self, helper, numpy_helper):
        self._helper, self._numpy_helper = helper, numpy_helper
        self.nodes, self.constants = [], []

    def apply(self, operator, *inputs, output=None, **attributes):
        """Add a node and return its output's name; arrays become constants."""
        names = [each if isinstance(each, str) else self._add(each) for each in inputs]
        output = output or f"{operator}_{len(self.nodes)}"
        node = self._helper.make_node(operator, names, [output], **attributes)
        self.nodes.append(node)
        return output

    def _add(self, array):
        name = f"constant_{len(self.constants)}"
        self.constants.append(self._numpy_helper.from_array(array, name))
        return name


def _write_network(graph, network):
    """From "X" to "y": equations (2) to (4), between two changes of units."""
    scaling, architecture = network._scaling, network._architecture()
    layers = architecture.layers(network._standardized_parameters())
    columns = network._feature_columns
    located = network._coordinate_columns
    # Every column is scaled, and the first filters are 0 where it is no feature, so
    # that columns need not be sorted apart.
    centre, scale = np.zeros((2, network.n_features_in_)) + [[0.0], [1.0]]
    centre[columns], scale[columns] = scaling.feature_centre, scaling.feature_scale
    centre[located] = scaling.coordinate_centre
    scale[located] = scaling.coordinate_scale
    first = np.zeros((len(centre), layers.filters[0].shape[1]), dtype=np.float32)
    first[columns] = layers.filters[0]

    coarse, fine = _two_floats(centre, "X")
    unit = graph.apply("Sub", graph.apply("Sub", "X", coarse), fine)
    unit = graph.apply("Div", unit, _float32(scale, "X"))
    unit = graph.apply("Clip", unit, np.float32(-_FAR), np.float32(_FAR))
    h = graph.apply("Sigmoid", graph.apply("Gemm", unit, first, layers.biases[0]))
    filters = list(layers.filters)
    if located:
        squares = []
        for column, latent in zip(located, layers.latent, strict=True):
            x = graph.apply("Gather", unit, np.array([column]), axis=1)
            difference = graph.apply("Sub", x, latent)
            squares.append(graph.apply("Mul", difference, difference))
        squared = graph.apply("Sum", *squares)
        exponent = graph.apply("Mul", squared, -architecture.precision)
        h = graph.apply("Mul", h, graph.apply("Sigmoid", exponent))
        filters[1] = 2 * filters[1]  # the 2 of equation (3), which this rounds not
    for F, b in zip(filters[1:], layers.biases[1:], strict=True):
        h = graph.apply("Sigmoid", graph.apply("Gemm", h, F, b))
    h = graph.apply("Mul", h, _float32(scaling.target_span, "y"))
    coarse, fine = _two_floats(scaling.target_low, "y")
    graph.apply("Add", graph.apply("Add", h, fine), coarse, output="y")


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

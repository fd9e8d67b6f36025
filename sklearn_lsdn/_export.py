"""Trained networks as ONNX models, for programs that run without this package."""

from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import BaseEstimator

from ._network.scaling import FAR
from ._regressors.networks import CDNRegressor, LSDNRegressor, VDNRegressor
from ._regressors.roles import role_of
from ._regressors.shrink_connect import ShrinkConnect
from ._utils.optional import require

if TYPE_CHECKING:
    import onnx

_OPSET, _IR_VERSION = 17, 8  # of 2022: runtimes refuse versions newer than their own
_SMALLEST, _LARGEST = np.finfo(np.float32).tiny, np.finfo(np.float32).max


def to_onnx(estimator: BaseEstimator) -> "onnx.ModelProto":
    """Write a trained network as an ONNX model.

    The model computes in float32 what ``estimator.predict`` does, of columns in the
    user's units: their scaling is part of it, and so is that of the targets.

    Parameters
    ----------
    estimator : LSDNRegressor, CDNRegressor, VDNRegressor or ShrinkConnect
        A fitted network. Of ``ShrinkConnect`` the smaller network is written; of a
        ``VolumeSynthesizer``, which reads images, give the ``estimator_``, and of an
        ``EnsembleRegressor`` each of ``estimators_``, to be averaged.

    Returns
    -------
    model : onnx.ModelProto
        Its input is "X", float32 of shape (n_samples, `n_features_in_`), the columns
        of ``fit``; its output "y", float32 of shape (n_samples, `n_outputs_`), with
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
    network = _fitted_network(estimator)
    onnx = require("onnx")
    describe, floats = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    X = describe("X", floats, ["n_samples", network.n_features_in_])
    y = describe("y", floats, ["n_samples", network.n_outputs_])
    graph = _Graph(onnx)
    _write_network(graph, network.network_, network.n_features_in_)
    name = type(network).__name__
    model = onnx.helper.make_model(
        onnx.helper.make_graph(graph.nodes, name, [X], [y], graph.constants),
        opset_imports=[onnx.helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="sklearn_lsdn",
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def register_onnx_converters() -> None:
    """Teach skl2onnx to convert networks, so that it converts pipelines with them.

    From then on, ``skl2onnx.to_onnx`` and ``skl2onnx.convert_sklearn`` take
    estimators of scikit-learn that hold networks. A `ShrinkConnect` is converted where
    it predicts; amid a Pipeline, where it transforms, it is refused.

    Raises
    ------
    ImportError
        If onnx or skl2onnx are missing.

    See Also
    --------
    to_onnx : A network alone, without skl2onnx.

    Examples
    --------
    >>> import numpy as np
    >>> import skl2onnx
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_lsdn import LSDNRegressor, register_onnx_converters
    >>> X = np.random.RandomState(0).uniform(size=(100, 4)).astype(np.float32)
    >>> pipeline = make_pipeline(StandardScaler(), LSDNRegressor((5,), random_state=0))
    >>> register_onnx_converters()
    >>> model = skl2onnx.to_onnx(pipeline.fit(X, X[:, 0]), X[:1])
    >>> [column.name for column in (*model.graph.input, *model.graph.output)]
    ['X', 'variable']
    """
    require("onnx")
    skl2onnx = require("skl2onnx")
    for cls in (LSDNRegressor, CDNRegressor, VDNRegressor, ShrinkConnect):
        alias = f"SklearnLsdn{cls.__name__}"
        skl2onnx.update_registered_converter(cls, alias, _declare_output, _convert)


def _declare_output(operator):
    """Tell skl2onnx the type and shape of what `_convert` computes."""
    from skl2onnx.common.data_types import FloatTensorType

    n_samples = operator.inputs[0].get_first_dimension()
    n_outputs = _fitted_network(operator.raw_operator).n_outputs_
    operator.outputs[0].type = FloatTensorType([n_samples, n_outputs])


def _convert(scope, operator, container):
    """Add the model of `to_onnx` to what skl2onnx is writing."""
    from skl2onnx.operator_converters.common import concatenate_variables

    onnx = require("onnx")
    y = operator.outputs[0].full_name
    taken = [x.full_name for other in scope.operators.values() for x in other.inputs]
    if y in taken:
        raise NotImplementedError(
            f"Here {type(operator.raw_operator).__name__} transforms what another "
            "estimator takes. Only its predictions can be converted."
        )
    prefix = scope.get_unique_operator_name("network")
    graph = to_onnx(operator.raw_operator).graph
    graph = onnx.compose.add_prefix_graph(graph, prefix)
    columns = operator.inputs[0].full_name
    if len(operator.inputs) > 1:
        columns = concatenate_variables(scope, operator.inputs, container)
    container.add_node("Cast", columns, graph.input[0].name, to=onnx.TensorProto.FLOAT)
    for tensor in graph.initializer:
        container.add_initializer(tensor.name, tensor.data_type, None, tensor)
    for node in graph.node:
        container.add_node(
            node.op_type,
            list(node.input),
            list(node.output),
            **{a.name: onnx.helper.get_attribute_value(a) for a in node.attribute},
        )
    container.add_node("Identity", graph.output[0].name, y)


def _fitted_network(estimator):
    """The network to write."""
    network = role_of(estimator).network
    if network is None:
        raise TypeError(
            "to_onnx writes LSDNRegressor, CDNRegressor, VDNRegressor and "
            f"ShrinkConnect, not {type(estimator).__name__}. Of an estimator that "
            "holds one of them, give that, or see register_onnx_converters."
        )
    return network


class _Graph:
    """Nodes and constants of an ONNX graph."""

    def __init__(self, onnx):
        self._onnx, self.nodes, self.constants = onnx, [], []

    def apply(self, operator, *inputs, output=None, **attributes):
        """Add a node and return its output's name; arrays become constants."""
        names = [each if isinstance(each, str) else self._add(each) for each in inputs]
        output = output or f"{operator}_{len(self.nodes)}"
        node = self._onnx.helper.make_node(operator, names, [output], **attributes)
        self.nodes.append(node)
        return output

    def _add(self, array):
        name = f"constant_{len(self.constants)}"
        self.constants.append(self._onnx.numpy_helper.from_array(array, name))
        return name


def _write_network(graph, network, n_columns):
    """From "X" to "y": equations (2) to (4), between two changes of units."""
    scaling, architecture = network.scaling, network.architecture
    layers = architecture.layers(network.standardized_parameters())
    columns, located = list(network.feature_columns), list(network.coordinate_columns)
    # Every column is scaled, and the first filters are 0 where it is no feature, so
    # that columns need not be sorted apart.
    centre, scale = np.zeros((2, n_columns)) + [[0.0], [1.0]]
    centre[columns], scale[columns] = scaling.feature_centre, scaling.feature_scale
    centre[located] = scaling.coordinate_centre
    scale[located] = scaling.coordinate_scale
    first = np.zeros((len(centre), layers.filters[0].shape[1]), dtype=np.float32)
    first[columns] = layers.filters[0]

    coarse, fine = _two_floats(centre, "X")
    unit = graph.apply("Sub", graph.apply("Sub", "X", coarse), fine)
    unit = graph.apply("Div", unit, _float32(scale, "X"))
    unit = graph.apply("Clip", unit, np.float32(-FAR), np.float32(FAR))
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

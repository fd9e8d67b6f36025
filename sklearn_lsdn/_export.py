"""Trained networks as ONNX models, for programs that run without this package."""

from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import BaseEstimator, is_classifier

from ._network.kernels.operands import LEAST, MOST
from ._network.scaling import FAR
from ._regressors.classifiers import CDNClassifier, LSDNClassifier, VDNClassifier
from ._regressors.networks import CDNRegressor, LSDNRegressor, VDNRegressor
from ._regressors.roles import role_of
from ._regressors.shrink_connect import ShrinkConnect
from ._utils.optional import require

if TYPE_CHECKING:
    import onnx

_REGRESSORS = LSDNRegressor, CDNRegressor, VDNRegressor
_CLASSIFIERS = LSDNClassifier, CDNClassifier, VDNClassifier
_OPTIONS = {"zipmap": [True, False, "columns"], "nocl": [True, False]}  # of skl2onnx
_OPSET, _IR_VERSION = 17, 8  # of 2022: runtimes refuse versions newer than their own
_SMALLEST, _LARGEST = np.finfo(np.float32).tiny, np.finfo(np.float32).max


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
    network = _fitted_network(estimator)
    onnx = require("onnx")
    describe, floats = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    X = describe("X", floats, ["n_samples", network.n_features_in_])
    graph = _Graph(onnx)
    psi = _write_network(graph, network.network_, network.n_features_in_)
    if is_classifier(network):
        labels = _write_classes(graph, psi, network.classes_)
        outputs = [
            describe("label", labels, ["n_samples"]),
            describe("probabilities", floats, ["n_samples", len(network.classes_)]),
        ]
    else:
        _write_targets(graph, psi, network.network_.scaling)
        outputs = [describe("y", floats, ["n_samples", network.n_outputs_])]
    name = type(network).__name__
    model = onnx.helper.make_model(
        onnx.helper.make_graph(graph.nodes, name, [X], outputs, graph.constants),
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
    it predicts numbers; amid a Pipeline, where it transforms, it is refused, and so is
    one of a classifier, of which ``estimator_`` can be converted.

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
    for cls in (*_REGRESSORS, *_CLASSIFIERS, ShrinkConnect):
        alias = f"SklearnLsdn{cls.__name__}"
        more = {"options": _OPTIONS} if cls in _CLASSIFIERS else {}
        skl2onnx.update_registered_converter(
            cls, alias, _declare_outputs, _convert, **more
        )


def _declare_outputs(operator):
    """Tell skl2onnx the types and shapes of what `_convert` computes."""
    from skl2onnx.common import data_types

    n_samples = operator.inputs[0].get_first_dimension()
    network = _fitted_network(operator.raw_operator)
    if is_classifier(network):
        if len(operator.outputs) < 2:
            raise NotImplementedError(
                "skl2onnx converts no ShrinkConnect that classifies. Give it the "
                "estimator_, or call to_onnx."
            )
        label, y = operator.outputs
        strings = _onnx_labels(network.classes_).dtype == object
        kind = data_types.StringTensorType if strings else data_types.Int64TensorType
        label.type, n_columns = kind([n_samples]), len(network.classes_)
    else:
        (y,), n_columns = operator.outputs, network.n_outputs_
    y.type = data_types.FloatTensorType([n_samples, n_columns])


def _convert(scope, operator, container):
    """Add the model of `to_onnx` to what skl2onnx is writing."""
    from skl2onnx.operator_converters.common import concatenate_variables

    onnx = require("onnx")
    outputs = [output.full_name for output in operator.outputs]
    taken = [x.full_name for other in scope.operators.values() for x in other.inputs]
    if len(outputs) == 1 and outputs[0] in taken:  # two are taken for a classifier's
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
        strings = list(tensor.string_data)  # of which skl2onnx takes no tensor
        content = ([len(strings)], strings) if strings else (None, tensor)
        container.add_initializer(tensor.name, tensor.data_type, *content)
    for node in graph.node:
        container.add_node(
            node.op_type,
            list(node.input),
            list(node.output),
            **{a.name: onnx.helper.get_attribute_value(a) for a in node.attribute},
        )
    for computed, output in zip(graph.output, outputs, strict=True):
        container.add_node("Identity", computed.name, output)


def _fitted_network(estimator):
    """The network to write."""
    network = role_of(estimator).network
    if network is None:
        raise TypeError(
            "to_onnx writes LSDNRegressor, LSDNClassifier, CDN and VDN of either kind "
            f"and ShrinkConnect, not {type(estimator).__name__}. Of an estimator that "
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
    """From "X" to psi: equations (2) to (4), after a change of units."""
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
    return h


def _write_targets(graph, psi, scaling):
    """From psi to "y", in the user's units."""
    h = graph.apply("Mul", psi, _float32(scaling.target_span, "y"))
    coarse, fine = _two_floats(scaling.target_low, "y")
    graph.apply("Add", graph.apply("Add", h, fine), coarse, output="y")


def _write_classes(graph, psi, classes):
    """From psi to "probabilities" and "label"; return the type of labels."""
    psi, name = graph.apply("Clip", psi, LEAST, MOST), "probabilities"
    if len(classes) == 2:
        other = graph.apply("Sub", np.float32(1), psi)
        graph.apply("Concat", other, psi, axis=1, output=name)
    else:
        total = graph.apply("ReduceSum", psi, np.array([1]), keepdims=1)
        graph.apply("Div", psi, total, output=name)
    best = graph.apply("ArgMax", name, axis=1, keepdims=0)
    graph.apply("Gather", _onnx_labels(classes), best, axis=0, output="label")
    return graph.constants[-1].data_type


def _onnx_labels(classes):
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

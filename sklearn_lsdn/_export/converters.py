"""What teaches skl2onnx to convert networks within its pipelines."""

from sklearn.base import is_classifier

from .._regressors.classifiers import CDNClassifier, LSDNClassifier, VDNClassifier
from .._regressors.networks import CDNRegressor, LSDNRegressor, VDNRegressor
from .._regressors.shrink_connect import ShrinkConnect
from .._utils.optional import require
from .models import fitted_network, to_onnx
from .networks import onnx_labels

_REGRESSORS = LSDNRegressor, CDNRegressor, VDNRegressor
_CLASSIFIERS = LSDNClassifier, CDNClassifier, VDNClassifier
_OPTIONS = {"zipmap": [True, False, "columns"], "nocl": [True, False]}  # of skl2onnx


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
    network = fitted_network(operator.raw_operator)
    if is_classifier(network):
        if len(operator.outputs) < 2:
            raise NotImplementedError(
                "skl2onnx converts no ShrinkConnect that classifies. Give it the "
                "estimator_, or call to_onnx."
            )
        label, y = operator.outputs
        strings = onnx_labels(network.classes_).dtype == object
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

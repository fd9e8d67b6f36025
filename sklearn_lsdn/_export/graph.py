"""A graph of ONNX operators, written as arithmetic is."""

from collections.abc import Callable

import numpy as np

from .._utils.optional import require

OPSET, IR_VERSION = 17, 8  # of 2022: runtimes refuse versions newer than their own
_COMPARISONS = {"Greater", "GreaterOrEqual", "Less", "LessOrEqual"}


class Graph:
    """Nodes and constants of an ONNX graph."""

    def __init__(self):
        self._onnx = require("onnx")
        self._parts = [[]]  # nodes of the graph, and of parts that are being written
        self._inputs, self._outputs, self._constants = [], [], []
        self._n_names = 0

    def input(self, name, dtype, shape) -> "Value":
        """Declare what is given; sizes that are free have names."""
        self._inputs.append(self._describe(name, dtype, shape))
        return self._value(name, dtype)

    def output(self, name, value, shape) -> None:
        """Declare what is computed."""
        self.apply("Identity", value, output=name)
        self._outputs.append(self._describe(name, value.dtype, shape))

    def apply(self, operator, *inputs, **options) -> "Value":
        """Add a node of one output; see `apply_many`."""
        dtype, output = options.pop("dtype", None), options.pop("output", None)
        outputs = [(output or self._new_name(operator), dtype)]
        return self._add(operator, inputs, outputs, options)[0]

    def apply_many(self, operator, *inputs, dtypes, **attributes) -> list["Value"]:
        """Add a node.

        Parameters
        ----------
        operator : str
        *inputs : Value, ndarray, float or None
            What is no Value becomes a constant; a number has the type of the first
            Value. None is left out.
        dtypes : list of dtype
            Of each output; None is that of the first Value.
        **attributes

        Returns
        -------
        outputs : list of Value
        """
        outputs = [(self._new_name(operator), dtype) for dtype in dtypes]
        return self._add(operator, inputs, outputs, attributes)

    def constant(self, array) -> "Value":
        """An array, or a number of NumPy."""
        array, name = np.asarray(array), self._new_name("constant")
        self._constants.append(self._onnx.numpy_helper.from_array(array, name))
        return self._value(name, array.dtype)

    def map(self, function: Callable, entries: "Value", shapes) -> "Value":
        """Apply a function to each entry of an array, one after the other.

        Parameters
        ----------
        function : callable
            From an entry to a Value; it may use Values from outside.
        entries : Value of shape (n, ...)
        shapes : pair of lists of int
            Of an entry, and of what it is mapped to; onnxruntime 1.21 asks for them.

        Returns
        -------
        mapped : Value of shape (n, ...)
        """
        entry = self._value(self._new_name("entry"), entries.dtype)
        self._parts.append([])
        result = function(entry)
        ends = [
            [self._describe(value.name, value.dtype, shape)]
            for value, shape in zip((entry, result), shapes, strict=True)
        ]
        body = self._onnx.helper.make_graph(self._parts.pop(), "entry", *ends)
        options = dict(body=body, num_scan_inputs=1, dtype=result.dtype)
        return self.apply("Scan", entries, **options)

    def model(self, name, metadata=None):
        """What was written, checked, as onnx.ModelProto.

        Parameters
        ----------
        name : str
        metadata : dict of str to str, default=None
            What is to be known of it.
        """
        helper, (nodes,) = self._onnx.helper, self._parts
        parts = nodes, name, self._inputs, self._outputs, self._constants
        model = helper.make_model(
            helper.make_graph(*parts),
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="sklearn_lsdn",
        )
        helper.set_model_props(model, metadata or {})
        self._onnx.checker.check_model(model, full_check=True)
        return model

    def element_type(self, dtype) -> int:
        """ONNX's number of a type."""
        return self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    def _add(self, operator, inputs, outputs, attributes):
        kinds = [each.dtype for each in inputs if isinstance(each, Value)]
        names = [self._name_of(each, *kinds[:1]) for each in inputs]
        values = [self._value(name, dtype or kinds[0]) for name, dtype in outputs]
        outputs = [value.name for value in values]
        # Of nodes without names, onnxruntime 1.21 makes some that have the same.
        attributes = {"name": outputs[0], **attributes}
        node = self._onnx.helper.make_node(operator, names, outputs, **attributes)
        self._parts[-1].append(node)
        return values

    def _name_of(self, given, dtype=None):
        if given is None:
            return ""
        if not isinstance(given, Value):
            own = isinstance(given, np.ndarray | np.generic)
            given = self.constant(given if own else np.asarray(given, dtype=dtype))
        return given.name

    def _describe(self, name, dtype, shape):
        kind = self.element_type(dtype)
        return self._onnx.helper.make_tensor_value_info(name, kind, shape)

    def _value(self, name, dtype):
        return Value(self, name, np.dtype(dtype))

    def _new_name(self, name):
        self._n_names += 1
        return f"{name}_{self._n_names}"


class Value:
    """What a node computes, or what is given.

    Parameters
    ----------
    graph : Graph
    name : str
    dtype : dtype
    """

    def __init__(self, graph, name, dtype):
        self.graph, self.name, self.dtype = graph, name, dtype

    def apply(self, operator, *others, **options) -> "Value":
        """Add a node whose first input it is."""
        if operator in _COMPARISONS:
            options["dtype"] = bool
        return self.graph.apply(operator, self, *others, **options)

    def __add__(self, other):
        return self.apply("Add", other)

    def __sub__(self, other):
        return self.apply("Sub", other)

    def __mul__(self, other):
        return self.apply("Mul", other)

    def __truediv__(self, other):
        return self.apply("Div", other)

    def __matmul__(self, other):
        return self.apply("MatMul", other)

    def __neg__(self):
        return self.apply("Neg")

    def to(self, dtype) -> "Value":
        """Of another type."""
        return self.apply("Cast", dtype=dtype, to=self.graph.element_type(dtype))

    def reshape(self, *sizes) -> "Value":
        """Sizes, of which one may be -1, or a Value of all."""
        if not isinstance(sizes[0], Value):
            sizes = (np.array(sizes, dtype=np.int64),)
        return self.apply("Reshape", *sizes)

    @property
    def shape(self) -> "Value":
        """int64."""
        return self.apply("Shape", dtype=np.int64)

    def take(self, indices, axis=0) -> "Value":
        """Entries along an axis; of a single one the axis goes."""
        if not isinstance(indices, Value):
            indices = np.array(indices, dtype=np.int64)
        return self.apply("Gather", indices, axis=axis)

    def sum(self, *axes, keep=False) -> "Value":
        """Along some axes, or all."""
        which = [np.array(axes, dtype=np.int64)] if axes else []
        return self.apply("ReduceSum", *which, keepdims=int(keep))

    def mean(self) -> "Value":
        """Of all."""
        return self.apply("ReduceMean", keepdims=0)

    def clip(self, low, high) -> "Value":
        """Drawn in to what lies between two numbers; None is no end."""
        return self.apply("Clip", low, high)

    def where(self, condition, other) -> "Value":
        """Itself where a condition holds, elsewhere another or a number."""
        if not isinstance(other, Value):
            other = np.asarray(other, dtype=self.dtype)
        return condition.apply("Where", self, other, dtype=self.dtype)

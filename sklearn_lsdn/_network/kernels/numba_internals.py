"""What the kernels use of Numba's insides: all of it stands here.

Numba promises to keep none of it, and much is in no manual. So the rest of the package
imports nothing of Numba but ``njit`` and the names of types, nor looks into what Numba
makes; ``tests/test_numba_internals.py`` tries each thing by itself; and pyproject.toml
shuts out releases that have not been tried, by a bound which ``.ci/versions numba``
moves.

Each with what it stands on:

`intrinsic` (the same)
    A function written in LLVM's instructions. Its `codegen` gets a ``context`` (how
    types lie in memory; ``get_dummy_value`` is its None), a ``builder`` (writes
    instructions where it stands), a signature, and the arguments as LLVM's values.
`call_part` (``compile_internal``, ``ConfigStack``, ``call_internal``)
    How a function is compiled into the kernel that calls it.
`Elements`, `array_value` (``make_array``, ``populate_array``)
    How an array looks from inside: a structure of pointer, shape and strides.
`unpacked`, `variable`, `counting_loop`, `call_c` (``cgutils``)
    Tuples, variables, loops and functions of C inside `codegen`.
`value_type`, `define_operator` (``register_model``, ``infer_global``, ...)
    A type of values of its own, and operators on it.
`lanes` (``cpu_target``, ``magic_tuple``)
    What processor Numba compiles for, which is also part of a cache's key.
`depend_on` (``_source_stamp`` of a dispatcher's cache)
    What makes a kernel's cache stale.
`before_compiling` (``event``)
    Who is told that Numba compiles.
"""

import weakref

from llvmlite import binding, ir
from numba.core import cgutils, event, types
from numba.core.compiler import compile_internal
from numba.core.registry import cpu_target
from numba.core.targetconfig import ConfigStack
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic as intrinsic
from numba.extending import lower_builtin, models, register_model
from numba.np.arrayobj import make_array, populate_array

_BYTE = ir.IntType(8)
_SIZE = ir.IntType(64)

unpacked = cgutils.unpack_tuple  # (builder, tuple) -> its items
variable = cgutils.alloca_once  # (builder, LLVM's type) -> where it lies
counting_loop = cgutils.for_range  # with (builder, n) as loop: ... loop.index

_SUM = """
define <16 x float> @sum(<16 x float> %a, <16 x float> %b) {
  %c = fadd <16 x float> %a, %b
  ret <16 x float> %c
}
"""

_parts = weakref.WeakKeyDictionary()  # those compiled into each kernel


def lanes(processor=None):
    """Floats of the widest vector registers of a processor.

    Parameters
    ----------
    processor : tuple of three str, default=None
        LLVM's triple, name and features; by default what Numba compiles for, by
        itself or as NUMBA_CPU_NAME and NUMBA_CPU_FEATURES tell it.
    """
    if processor is None:
        processor = cpu_target.target_context.codegen().magic_tuple()
    triple, name, features = processor
    target = binding.Target.from_triple(triple)
    machine = target.create_target_machine(cpu=name, features=features)
    code = machine.emit_assembly(binding.parse_assembly(_SUM))
    return 16 if "zmm" in code else 8 if "ymm" in code else 4


def call_part(context, builder, function, signature, args):
    """Call ``function``, compiled once into the kernel that is being compiled.

    ``ConfigStack`` has the flags of that kernel, ``active_code_library`` is where its
    machine code goes, and ``compile_internal`` adds a function there, which needs no
    code of its own and no wrappers for Python and C.
    """
    kernel = context.active_code_library
    parts = _parts.setdefault(kernel, {})
    key = function, signature.args
    if key not in parts:
        flags = ConfigStack().top().copy()
        flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
        parts[key] = compile_internal(
            context.typing_context,
            context,
            kernel,
            function,
            signature.args,
            signature.return_type,
            flags,
            {},
        ).fndesc
        # So that it vanishes wherever it is inlined.
        kernel.get_function(parts[key].llvm_func_name).linkage = "linkonce_odr"
    return context.call_internal(builder, parts[key], signature, args)


class Elements:
    """Where the elements of an array lie, in `codegen`.

    Parameters
    ----------
    kind : Numba type
        Of the array.
    array : LLVM value
        The array.

    Attributes
    ----------
    shape, strides : lists of LLVM values
        Strides are in bytes.
    itemsize : int
    """

    def __init__(self, context, builder, kind, array):
        made = make_array(kind)(context, builder, array)
        self._builder = builder
        self._data = made.data
        self.itemsize = context.get_abi_sizeof(made.data.type.pointee)
        self.shape = unpacked(builder, made.shape)
        self.strides = unpacked(builder, made.strides)
        if kind.layout in "CF":
            self.strides["CF".index(kind.layout) - 1] = _SIZE(self.itemsize)

    def at(self, *index):
        """A pointer to an element; one index counts those of a whole C array."""
        if len(index) == 1:
            return self._builder.gep(self._data, index)
        place = self._data
        for i, stride in zip(index, self.strides, strict=True):
            place = self.moved(place, self._builder.mul(i, stride))
        return place

    def moved(self, place, n_bytes):
        """A pointer that far on."""
        by_bytes = self._builder.bitcast(place, _BYTE.as_pointer())
        there = self._builder.gep(by_bytes, [n_bytes])
        return self._builder.bitcast(there, place.type)


def array_value(context, builder, kind, data, shape, strides):
    """An array that holds no reference to whom its memory belongs.

    Parameters
    ----------
    kind : Numba type
        Of the array.
    data : LLVM pointer to the first element
    shape, strides : sequences of LLVM values
        Strides are in bytes.
    """
    made = make_array(kind)(context, builder)
    itemsize = _SIZE(context.get_abi_sizeof(data.type.pointee))
    populate_array(made, data, shape, strides, itemsize, meminfo=None)
    return made._getvalue()


def call_c(builder, name):
    """Call a function of the C library that takes nothing and returns an int."""
    kind = ir.FunctionType(ir.IntType(32), [])
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    return builder.call(function, [])


def value_type(name, llvm_type):
    """Make a type of values that are to LLVM of a type of its own."""

    class Value(types.Type):
        def __init__(self):
            super().__init__(name=name)

    @register_model(Value)
    class Model(models.PrimitiveModel):
        def __init__(self, data_model_manager, kind):
            super().__init__(data_model_manager, kind, llvm_type)

    return Value()


def define_operator(operation, returns, operands, lower):
    """Let an operator take what else it would refuse.

    Parameters
    ----------
    operation : function of the module operator
    returns : Numba type
    operands : list of tuples of Numba types
        Those that are taken.
    lower : function
        A ``codegen`` for them.
    """

    @infer_global(operation)
    class Typing(AbstractTemplate):
        def generic(self, args, kws):
            if args in operands:
                return signature(returns, *args)

    for kinds in operands:
        lower_builtin(operation, *kinds)(lower)


def depend_on(kernel, stamp):
    """Take what is cached of a kernel for stale where ``stamp`` is another.

    Numba goes by the kernel's own file alone: its time and size are the stamp which
    the index of its cache is compared with.
    """
    index = kernel._cache._cache_file
    index._source_stamp = index._source_stamp, stamp


def before_compiling(function):
    """Call ``function(f)`` whenever Numba is about to compile a function f."""

    class Listener(event.Listener):
        def on_start(self, compilation):
            function(compilation.data["dispatcher"].py_func)

        def on_end(self, compilation):
            pass

    event.register("numba:compile", Listener())

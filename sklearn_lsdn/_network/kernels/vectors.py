"""Vectors of LANES floats as values in kernels, computed with in registers.

Loops over arrays are left to the compiler's own vectorisation, which makes several
versions of each, and a slow one for what is left over by its choice of width.
"""

import math
import operator

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model
from numba.np.arrayobj import make_array

LANES = 8  # floats of a vector
_LINE = 16  # floats of a cache line

_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_INTEGERS = ir.VectorType(ir.IntType(32), LANES)


def aligned(shape) -> np.ndarray:
    """Zeros in float32 from the start of a cache line, so that no vector spans two."""
    n = math.prod(shape)
    room = np.zeros(n + _LINE, dtype=np.float32)
    address, _ = room.__array_interface__["data"]
    start = -address // 4 % _LINE
    return room[start : start + n].reshape(shape)


class _Vector(types.Type):
    def __init__(self):
        super().__init__(name="Vector")


vector = _Vector()


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, _FLOATS)


def _as_vector(builder, kind, value):
    """A vector as it is, a number in all lanes."""
    if kind == vector:
        return value
    undefined, first = ir.Constant(_FLOATS, ir.Undefined), ir.IntType(32)(0)
    value = builder.insert_element(undefined, value, first)
    return builder.shuffle_vector(value, undefined, ir.Constant(_INTEGERS, [0] * LANES))


def _declare(operation, instruction):
    @infer_global(operation)
    class Typing(AbstractTemplate):
        def generic(self, args, kws):
            if vector in args and set(args) <= {vector, types.float32}:
                return signature(vector, *args)

    def lower(context, builder, signature, args):
        values = (
            _as_vector(builder, kind, value)
            for kind, value in zip(signature.args, args, strict=True)
        )
        return getattr(builder, instruction)(*values)

    if operation is operator.neg:
        lower_builtin(operation, vector)(lower)
        return
    for kinds in (vector, vector), (vector, types.float32), (types.float32, vector):
        lower_builtin(operation, *kinds)(lower)


_declare(operator.add, "fadd")
_declare(operator.sub, "fsub")
_declare(operator.mul, "fmul")
_declare(operator.truediv, "fdiv")
_declare(operator.neg, "fneg")


def _place(context, builder, kind, array, at):
    data = make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), _FLOATS.as_pointer())


@intrinsic
def load(typingctx, array, at):
    """LANES elements of a C array of float32, from element ``at``."""

    def codegen(context, builder, signature, args):
        place = _place(context, builder, signature.args[0], *args)
        return builder.load(place, align=4)

    return vector(array, types.intp), codegen


@intrinsic
def store(typingctx, value, array, at):
    """Write a vector, or a number LANES times, from element ``at`` of a C array."""

    def codegen(context, builder, signature, args):
        value = _as_vector(builder, signature.args[0], args[0])
        place = _place(context, builder, signature.args[1], *args[1:])
        builder.store(value, place, align=4)
        return context.get_dummy_value()

    return types.void(value, array, types.intp), codegen


@intrinsic
def limited(typingctx, x, limit):
    """Lanes of ``x`` brought between -limit and limit; NaN stays NaN."""

    def codegen(context, builder, signature, args):
        x, high = args[0], _as_vector(builder, signature.args[1], args[1])
        for bound, beyond in (high, ">"), (builder.fneg(high), "<"):
            x = builder.select(builder.fcmp_ordered(beyond, x, bound), bound, x)
        return x

    return vector(vector, types.float32), codegen


@intrinsic
def times_power_of_2(typingctx, x, exponent):
    """x 2^n, where n stands in the last bits of the float ``exponent``."""

    def codegen(context, builder, signature, args):
        bits, n = (builder.bitcast(a, _INTEGERS) for a in args)
        n = builder.shl(n, ir.Constant(_INTEGERS, [23] * LANES))
        return builder.bitcast(builder.add(bits, n), _FLOATS)

    return vector(vector, vector), codegen

"""Vectors of LANES floats as values in kernels, computed with in registers.

Loops over arrays are left to the compiler's own vectorisation, which makes several
versions of each, and a slow one for what is left over by its choice of width.
"""

import math
import operator

import numpy as np
from llvmlite import ir
from numba import int64, types

from .compilation import part
from .numba_internals import (
    Elements,
    define_operator,
    intrinsic,
    lanes,
    unpacked,
    value_type,
)

LANES = lanes()  # floats of a vector: 16, 8 or 4, as the processor has them
_LINE = 16  # floats of a cache line

FLOATS = ir.VectorType(ir.FloatType(), LANES)  # as LLVM calls a vector
_INTEGERS = ir.VectorType(ir.IntType(32), LANES)

vector = value_type("Vector", FLOATS)


def aligned(shape) -> np.ndarray:
    """Zeros in float32 from the start of a cache line, so that no vector spans two."""
    n = math.prod(shape)
    room = np.zeros(n + _LINE, dtype=np.float32)
    address, _ = room.__array_interface__["data"]
    start = -address // 4 % _LINE
    return room[start : start + n].reshape(shape)


@part(int64)
def padded(n):
    """``n`` rounded up to whole vectors."""
    return -(-n // LANES) * LANES


def in_all_lanes(builder, value):
    """A vector of one number."""
    undefined, first = ir.Constant(FLOATS, ir.Undefined), ir.IntType(32)(0)
    value = builder.insert_element(undefined, value, first)
    return builder.shuffle_vector(value, undefined, ir.Constant(_INTEGERS, [0] * LANES))


def _as_vector(builder, kind, value):
    return value if kind == vector else in_all_lanes(builder, value)


def _define(operation, instruction):
    def lower(context, builder, signature, args):
        values = map(lambda *each: _as_vector(builder, *each), signature.args, args)
        return getattr(builder, instruction)(*values)

    number = types.float32
    operands = [(vector, vector), (vector, number), (number, vector)]
    if operation is operator.neg:
        operands = [(vector,)]
    define_operator(operation, vector, operands, lower)


_define(operator.add, "fadd")
_define(operator.sub, "fsub")
_define(operator.mul, "fmul")
_define(operator.truediv, "fdiv")
_define(operator.neg, "fneg")


def _index(kind):
    """Types of what is taken for an index: an integer, or a tuple of them."""
    if isinstance(kind, types.BaseTuple):
        return types.UniTuple(types.intp, len(kind))
    return types.intp


def _place(context, builder, kinds, array, index):
    """Where a vector begins."""
    if isinstance(kinds[1], types.BaseTuple):
        index = unpacked(builder, index)
    else:
        index = [index]
    place = Elements(context, builder, kinds[0], array).at(*index)
    return builder.bitcast(place, FLOATS.as_pointer())


@intrinsic
def load(typingctx, array, index):
    """LANES elements of an array of float32 whose rows are contiguous.

    ``index`` is that of the first, or its number if all of ``array`` is contiguous.
    """

    def codegen(context, builder, signature, args):
        place = _place(context, builder, signature.args, *args)
        return builder.load(place, align=4)

    return vector(array, _index(index)), codegen


@intrinsic
def store(typingctx, value, array, index):
    """Write a vector, or a number LANES times, to where `load` would read."""

    def codegen(context, builder, signature, args):
        value = _as_vector(builder, signature.args[0], args[0])
        place = _place(context, builder, signature.args[1:], *args[1:])
        builder.store(value, place, align=4)
        return context.get_dummy_value()

    return types.void(value, array, _index(index)), codegen


@intrinsic
def limited(typingctx, x, limit):
    """Lanes of ``x`` brought between -limit and limit; NaN stays NaN."""

    def codegen(context, builder, signature, args):
        x, high = args[0], in_all_lanes(builder, args[1])
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
        return builder.bitcast(builder.add(bits, n), FLOATS)

    return vector(vector, vector), codegen

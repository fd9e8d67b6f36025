"""Vectors of LANES floats as values in kernels, computed with in registers.

Loops over arrays are left to the compiler's own vectorisation, which makes several
versions of each, and a slow one for what is left over by its choice of width.
"""

import math
import operator

import numpy as np
from llvmlite import ir
from numba import int64, types, void

from .compilation import part
from .numba_internals import (
    Elements,
    define_operator,
    intrinsic,
    lanes,
    unpacked,
    value_type,
)
from .views import view

LANES = lanes()  # floats of a vector: 16, 8 or 4, as the processor has them
_LINE = 16  # floats of a cache line

# As LLVM calls vectors:
FLOATS = ir.VectorType(ir.FloatType(), LANES)
INTEGERS = ir.VectorType(ir.IntType(32), LANES)

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
    kind, first = ir.VectorType(value.type, LANES), ir.IntType(32)(0)
    undefined = ir.Constant(kind, ir.Undefined)
    value = builder.insert_element(undefined, value, first)
    return builder.shuffle_vector(value, undefined, ir.Constant(INTEGERS, [0] * LANES))


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


def _bounded(beyond_it):
    """Make the intrinsic for a bound that is upper (">") or lower ("<")."""

    @intrinsic
    def bounded(typingctx, x, bound):
        """Lanes of ``x`` brought to a bound where beyond it; NaN stays NaN."""

        def codegen(context, builder, signature, args):
            x, bound = args[0], in_all_lanes(builder, args[1])
            is_beyond = builder.fcmp_ordered(beyond_it, x, bound)
            return builder.select(is_beyond, bound, x)

        return vector(vector, types.float32), codegen

    return bounded


at_most, at_least = _bounded(">"), _bounded("<")


@intrinsic
def standardized(typingctx, x, centre, scale):
    """(x - centre) / scale in float64, rounded once more to float32."""

    def codegen(context, builder, signature, args):
        wide = builder.fpext(args[0], ir.VectorType(ir.DoubleType(), LANES))
        centre, scale = (in_all_lanes(builder, number) for number in args[1:])
        wide = builder.fdiv(builder.fsub(wide, centre), scale)
        return builder.fptrunc(wide, FLOATS)

    return vector(vector, types.float64, types.float64), codegen


@intrinsic
def root(typingctx, x):
    """Square roots."""

    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(FLOATS, [FLOATS])
        name = f"llvm.sqrt.v{LANES}f32"
        sqrt = builder.module.declare_intrinsic(name, fnty=kind)
        return builder.call(sqrt, args)

    return vector(vector), codegen


@intrinsic
def plus_product(typingctx, total, a, b):
    """total + a b, rounded once where the processor can."""

    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(FLOATS, [FLOATS] * 3)
        name = f"llvm.fmuladd.v{LANES}f32"
        fused = builder.module.declare_intrinsic(name, fnty=kind)
        total, a, b = args
        return builder.call(fused, [a, b, total])

    return vector(vector, vector, vector), codegen


@intrinsic
def between(typingctx, first, stop, inside, outside):
    """Lanes from ``first`` to before ``stop`` of one vector, the others of another."""

    def codegen(context, builder, signature, args):
        *bounds, inside, outside = args
        lanes = ir.Constant(INTEGERS, list(range(LANES)))
        first, stop = (
            in_all_lanes(builder, builder.trunc(bound, INTEGERS.element))
            for bound in bounds
        )
        chosen = builder.and_(
            builder.icmp_signed(">=", lanes, first),
            builder.icmp_signed("<", lanes, stop),
        )
        return builder.select(chosen, inside, outside)

    return vector(types.intp, types.intp, vector, vector), codegen


@part(vector)
def lanes_below(stop, x):
    """Lanes of ``x`` before one of them, zeros from there."""
    return between(0, stop, x, x - x)


@intrinsic
def power_of_2(typingctx, exponent):
    """2^(n - 127), where n stands in the last bits of the float ``exponent``."""

    def codegen(context, builder, signature, args):
        n = builder.bitcast(args[0], INTEGERS)
        n = builder.shl(n, ir.Constant(INTEGERS, [23] * LANES))
        return builder.bitcast(n, FLOATS)

    return vector(vector), codegen


@part(void)
def copy(source, first, target, at, n):
    """Copy ``n`` elements, counted from the start of contiguous arrays."""
    if n < LANES:
        start, out = view(source, first, (n,)), view(target, at, (n,))
        for i in range(n):
            out[i] = start[i]
        return
    for i in range(0, n, LANES):
        if i > n - LANES:
            i = n - LANES  # some are copied again
        store(load(source, first + i), target, at + i)

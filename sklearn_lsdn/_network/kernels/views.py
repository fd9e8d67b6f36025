"""Views of arrays, which Numba's slices and `reshape` would take long to compile.

They hold no reference: the array must live as long. Nothing is checked.
"""

from numba import types

from .numba_internals import Elements, array_value, intrinsic, unpacked


@intrinsic
def view(typingctx, array, start, shape):
    """An array of a ``shape`` that begins at element ``start`` of a C array."""
    out = types.Array(array.dtype, len(shape), "C")

    def codegen(context, builder, signature, args):
        elements = Elements(context, builder, signature.args[0], args[0])
        sizes = unpacked(builder, args[2])
        strides = [elements.strides[-1]]
        for size in sizes[:0:-1]:
            strides.insert(0, builder.mul(strides[0], size))
        data = elements.at(args[1])
        return array_value(context, builder, out, data, sizes, strides)

    return out(array, types.intp, types.UniTuple(types.intp, len(shape))), codegen


@intrinsic
def spaced_view(typingctx, array, start, shape, steps):
    """As `view`, of two axes, along which it steps so many elements; 0 repeats."""
    out = types.Array(array.dtype, 2, "A")

    def codegen(context, builder, signature, args):
        elements = Elements(context, builder, signature.args[0], args[0])
        sizes, element = unpacked(builder, args[2]), elements.strides[-1]
        strides = [builder.mul(step, element) for step in unpacked(builder, args[3])]
        data = elements.at(args[1])
        return array_value(context, builder, out, data, sizes, strides)

    pair = types.UniTuple(types.intp, 2)
    return out(array, types.intp, pair, pair), codegen

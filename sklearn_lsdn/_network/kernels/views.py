"""Views of arrays, which Numba's slices and `reshape` would take long to compile."""

from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array


@intrinsic
def view(typingctx, array, start, shape):
    """An array of a ``shape`` that begins at element ``start`` of a C array.

    It holds no reference: ``array`` must live as long. Nothing is checked.
    """
    out = types.Array(array.dtype, len(shape), "C")

    def codegen(context, builder, signature, args):
        base = make_array(signature.args[0])(context, builder, args[0])
        sizes = cgutils.unpack_tuple(builder, args[2])
        strides = [base.itemsize]
        for size in sizes[:0:-1]:
            strides.insert(0, builder.mul(strides[0], size))
        made = make_array(out)(context, builder)
        data = builder.gep(base.data, [args[1]])
        populate_array(made, data, sizes, strides, base.itemsize, meminfo=None)
        return made._getvalue()

    return out(array, types.intp, types.UniTuple(types.intp, len(shape))), codegen

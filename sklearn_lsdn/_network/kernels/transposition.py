"""Matrices turned over in registers, a square of vectors at a time."""

from llvmlite import ir
from numba import types, void

from .compilation import part
from .numba_internals import Elements, intrinsic
from .vectors import FLOATS, INTEGERS, LANES


def _turned(builder, rows):
    """The columns of a square: halves of two rows trade places, then quarters, ..."""
    step = LANES // 2
    while step:
        ahead = [bool(lane & step) for lane in range(LANES)]
        low = [lane + a * (LANES - step) for lane, a in enumerate(ahead)]
        high = [lane + step + a * (LANES - step) for lane, a in enumerate(ahead)]
        low, high = (ir.Constant(INTEGERS, mask) for mask in (low, high))
        for r in range(LANES):
            if not ahead[r]:
                pair = rows[r], rows[r + step]
                rows[r] = builder.shuffle_vector(*pair, low)
                rows[r + step] = builder.shuffle_vector(*pair, high)
        step //= 2
    return rows


@intrinsic
def _transpose_square(typingctx, source, out, i, j):
    """Write what begins at (i, j) to (j, i)."""

    def codegen(context, builder, signature, args):
        source, out = (
            Elements(context, builder, *each)
            for each in zip(signature.args[:2], args[:2], strict=True)
        )
        i, j = args[2:]

        def rows(array, *first):
            place = array.at(*first)
            for _ in range(LANES):
                yield builder.bitcast(place, FLOATS.as_pointer())
                place = array.moved(place, array.strides[0])

        square = [builder.load(place, align=4) for place in rows(source, i, j)]
        for column, place in zip(
            _turned(builder, square), rows(out, j, i), strict=True
        ):
            builder.store(column, place, align=4)
        return context.get_dummy_value()

    return types.void(source, out, types.intp, types.intp), codegen


@part(void)
def transpose(source, out):
    """out <- the transpose of ``source``; rows of both are contiguous."""
    n, m = source.shape
    if n < LANES or m < LANES:
        for i in range(n):
            for j in range(m):
                out[j, i] = source[i, j]
        return
    for i in range(0, n, LANES):
        if i > n - LANES:
            i = n - LANES  # some rows are written again
        for j in range(0, m, LANES):
            if j > m - LANES:
                j = m - LANES
            _transpose_square(source, out, i, j)

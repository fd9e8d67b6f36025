"""Matrix products in registers, with bits that depend on nothing but the operands.

A BLAS picks its algorithm, and so its rounding, by the shape of the whole product and
the number of its threads. Here each element is one chain of multiply-adds in the order
of the inner index, so that a row's result is the same alone, in any batch, and on any
thread; and blocks of 4 rows by 3 vectors, held in registers, keep it fast.
"""

from numba import types, void

from .compilation import part
from .numba_internals import Elements, counting_loop, intrinsic, variable
from .vectors import FLOATS, LANES, in_all_lanes

_ROWS, _PANELS = 4, 3  # of a block: 12 accumulators, of 16 registers or more
STRIP = _PANELS * LANES


def _block_product(n_rows, n_panels):
    """Make the intrinsic for one block of ``n_rows`` by ``n_panels`` vectors."""

    @intrinsic
    def block(typingctx, A, B, start, C, i, j):
        """Fill the block of C that begins at (i, j), as `add_product` says."""

        def codegen(context, builder, signature, args):
            A, B, start, C = (
                Elements(context, builder, kind, array)
                for kind, array in zip(signature.args[:4], args[:4], strict=True)
            )
            i, j = args[4:]
            zero, of_vector = i.type(0), i.type(LANES * C.itemsize)

            def vectors(array, place):
                """Where each vector of a row of the block begins."""
                for _ in range(n_panels):
                    yield builder.bitcast(place, FLOATS.as_pointer())
                    place = array.moved(place, of_vector)

            def block_of(array):
                row = array.at(i, j)
                for _ in range(n_rows):
                    yield from vectors(array, row)
                    row = array.moved(row, array.strides[0])

            def starts():
                if len(start.shape) == 2:
                    for place in block_of(start):
                        yield builder.load(place, align=4)
                    return
                place = start.at(i)
                for _ in range(n_rows):
                    number = in_all_lanes(builder, builder.load(place))
                    yield from [number] * n_panels
                    place = start.moved(place, start.strides[0])

            sums = [variable(builder, FLOATS) for _ in range(n_rows * n_panels)]
            for accumulator, value in zip(sums, starts(), strict=True):
                builder.store(value, accumulator)

            left_column, right_row = A.at(i, zero), B.at(zero, j)
            with counting_loop(builder, B.shape[0]) as loop:
                k = loop.index
                row = B.moved(right_row, builder.mul(k, B.strides[0]))
                right = [builder.load(place, align=4) for place in vectors(B, row)]
                place = A.moved(left_column, builder.mul(k, A.strides[1]))
                for r in range(n_rows):
                    left = in_all_lanes(builder, builder.load(place))
                    for p in range(n_panels):
                        accumulator = sums[r * n_panels + p]
                        product = builder.fmul(left, right[p], flags=("contract",))
                        total = builder.fadd(
                            builder.load(accumulator), product, flags=("contract",)
                        )
                        builder.store(total, accumulator)
                    place = A.moved(place, A.strides[0])
            for accumulator, place in zip(sums, block_of(C), strict=True):
                builder.store(builder.load(accumulator), place, align=4)
            return context.get_dummy_value()

        return void(A, B, start, C, types.intp, types.intp), codegen

    return block


_block_4x3 = _block_product(4, 3)
_block_4x2 = _block_product(4, 2)
_block_4x1 = _block_product(4, 1)
_block_3x3 = _block_product(3, 3)
_block_2x3 = _block_product(2, 3)
_block_1x3 = _block_product(1, 3)
_block_1x2 = _block_product(1, 2)
_block_1x1 = _block_product(1, 1)


@part(void)
def add_product(A, B, start, C):
    """C <- start + A B, the inner index summed in order.

    Parameters
    ----------
    A : float32 array of shape (M, K) or larger
        Rows and columns beyond are left out.
    B : float32 array of shape (K, n_columns)
        Rows are contiguous, and of a multiple of `LANES`.
    start : float32 array of shape (M,) or (M, n_columns)
        One number for each row; or C itself, say.
    C : float32 array of shape (M, n_columns), written
        As ``B``.
    """
    M, n_columns = C.shape
    whole = M - M % _ROWS
    for j in range(0, n_columns, STRIP):
        n = (n_columns - j) // LANES
        for i in range(0, whole, _ROWS):
            if n >= _PANELS:
                _block_4x3(A, B, start, C, i, j)
            elif n == 2:
                _block_4x2(A, B, start, C, i, j)
            else:
                _block_4x1(A, B, start, C, i, j)
        if n >= _PANELS and M - whole == 3:
            _block_3x3(A, B, start, C, whole, j)
        elif n >= _PANELS and M - whole == 2:
            _block_2x3(A, B, start, C, whole, j)
        else:
            for i in range(whole, M):
                if n >= _PANELS:
                    _block_1x3(A, B, start, C, i, j)
                elif n == 2:
                    _block_1x2(A, B, start, C, i, j)
                else:
                    _block_1x1(A, B, start, C, i, j)

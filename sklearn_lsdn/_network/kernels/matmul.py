"""Matrix products in registers, with bits that depend on nothing but the operands.

A BLAS picks its algorithm, and so its rounding, by the shape of the whole product and
the number of its threads. Here each element is one chain of multiply-adds in the order
of the inner index, so that a row's result is the same alone, in any batch, and on any
thread; and blocks of 4 rows by 24 columns, held in vector registers, keep it fast.
"""

from llvmlite import ir
from numba import int64, void
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from .compilation import part
from .vectors import LANES

_ROWS, _PANELS = 4, 3  # of a block: 12 accumulators, of AVX2's 16 registers
STRIP = _PANELS * LANES


def _block_product(n_rows, n_panels):
    """Make the intrinsic for one block of ``n_rows`` by ``n_panels`` vectors."""

    @intrinsic
    def block(typingctx, A, a, row, column, B, b, step, K, C, c, width):
        """C[c + i width + j] += sum_k A[a + i row + k column] B[b + k step + j]."""
        signature = types.void(A, a, row, column, B, b, step, K, C, c, width)

        def codegen(context, builder, signature, args):
            vector = ir.VectorType(ir.FloatType(), LANES)
            index = ir.IntType(64)
            a_start, row, column, b_start, step, K, c_start, width = (
                args[i] for i in (1, 2, 3, 5, 6, 7, 9, 10)
            )
            pointers = [
                make_array(signature.args[i])(context, builder, args[i]).data
                for i in (0, 4, 8)
            ]

            def at(array, offset):
                return builder.gep(pointers[array], [offset])

            def vector_at(array, offset):
                return builder.bitcast(at(array, offset), vector.as_pointer())

            lanes = ir.Constant(index, LANES)
            sums, places = [], []
            for _ in range(n_rows):
                offset = c_start
                for _ in range(n_panels):
                    places.append(vector_at(2, offset))
                    sums.append(cgutils.alloca_once(builder, vector))
                    builder.store(builder.load(places[-1], align=4), sums[-1])
                    offset = builder.add(offset, lanes)
                c_start = builder.add(c_start, width)
            with cgutils.for_range(builder, K) as loop:
                offset = builder.add(b_start, builder.mul(loop.index, step))
                right = []
                for _ in range(n_panels):
                    right.append(builder.load(vector_at(1, offset), align=4))
                    offset = builder.add(offset, lanes)
                offset = builder.add(a_start, builder.mul(loop.index, column))
                for i in range(n_rows):
                    left = builder.insert_element(
                        ir.Constant(vector, ir.Undefined),
                        builder.load(at(0, offset)),
                        ir.Constant(ir.IntType(32), 0),
                    )
                    left = builder.shuffle_vector(
                        left,
                        ir.Constant(vector, ir.Undefined),
                        ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES),
                    )
                    for accumulator, panel in zip(
                        sums[i * n_panels : (i + 1) * n_panels], right, strict=True
                    ):
                        product = builder.fmul(left, panel, flags=("contract",))
                        total = builder.fadd(
                            builder.load(accumulator), product, flags=("contract",)
                        )
                        builder.store(total, accumulator)
                    offset = builder.add(offset, row)
            for accumulator, place in zip(sums, places, strict=True):
                builder.store(builder.load(accumulator), place, align=4)
            return context.get_dummy_value()

        return signature, codegen

    return block


_block_4x3 = _block_product(4, 3)
_block_4x2 = _block_product(4, 2)
_block_4x1 = _block_product(4, 1)
_block_3x3 = _block_product(3, 3)
_block_2x3 = _block_product(2, 3)
_block_1x3 = _block_product(1, 3)
_block_1x2 = _block_product(1, 2)
_block_1x1 = _block_product(1, 1)


@part(int64)
def padded(n):
    """``n`` rounded up to whole vectors."""
    return -(-n // LANES) * LANES


@part(void)
def add_product(A, a, row, column, M, K, B, b, step, n_columns, C, c, width):
    """C += A B: float32, flat arrays, the inner index summed in order.

    Parameters
    ----------
    A : float32 array
        A is M x K: element (i, k) at ``a + i * row + k * column``.
    B : float32 array
        B is K x n_columns: element (k, j) at ``b + k * step + j``.
    n_columns : int
        A multiple of `LANES`.
    C : float32 array, added to
        C is M x n_columns: element (i, j) at ``c + i * width + j``.
    """
    whole = M - M % _ROWS
    for first in range(0, n_columns, _PANELS * LANES):
        n = (n_columns - first) // LANES
        q = b + first
        for i in range(0, whole, _ROWS):
            s, t = a + i * row, c + i * width + first
            if n >= _PANELS:
                _block_4x3(A, s, row, column, B, q, step, K, C, t, width)
            elif n == 2:
                _block_4x2(A, s, row, column, B, q, step, K, C, t, width)
            else:
                _block_4x1(A, s, row, column, B, q, step, K, C, t, width)
        s, t = a + whole * row, c + whole * width + first
        if n >= _PANELS and M - whole == 3:
            _block_3x3(A, s, row, column, B, q, step, K, C, t, width)
        elif n >= _PANELS and M - whole == 2:
            _block_2x3(A, s, row, column, B, q, step, K, C, t, width)
        else:
            for _ in range(whole, M):
                if n >= _PANELS:
                    _block_1x3(A, s, row, column, B, q, step, K, C, t, width)
                elif n == 2:
                    _block_1x2(A, s, row, column, B, q, step, K, C, t, width)
                else:
                    _block_1x1(A, s, row, column, B, q, step, K, C, t, width)
                s += row
                t += width

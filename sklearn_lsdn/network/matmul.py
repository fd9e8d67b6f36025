"""Matrix products in registers, with bits that depend on nothing but the operands.

A BLAS picks its algorithm, and so its rounding, by the shape of the whole product and
the number of its threads. Here each element is one chain of multiply-adds in the order
of the inner index, so that a row's result is the same alone, in any batch, and on any
thread; and blocks of 4 rows by 24 columns, held in vector registers, keep it fast.
"""

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from .compilation import kernel

LANES = 8  # floats of a vector; a panel of the right operand is as wide
_ROWS, _PANELS = 4, 3  # of a block: 12 accumulators, of AVX2's 16 registers
STRIP = _PANELS * LANES


def _block_product(n_rows, n_panels):
    """Make the intrinsic that computes one block of ``n_rows`` by ``n_panels``."""

    @intrinsic
    def block(typingctx, A, a, row, column, B, b, step, panel, K, C, c, width):
        """C[c + i width + j] = sum_k A[a + i row + k column] B[b + k step + ...j]."""
        signature = types.void(A, a, row, column, B, b, step, panel, K, C, c, width)

        def codegen(context, builder, signature, args):
            vector = ir.VectorType(ir.FloatType(), LANES)
            index = ir.IntType(64)
            a_start, row, column, b_start, step, panel, K, c_start, width = (
                args[i] for i in (1, 2, 3, 5, 6, 7, 8, 10, 11)
            )
            pointers = [
                make_array(signature.args[i])(context, builder, args[i]).data
                for i in (0, 4, 9)
            ]

            def at(array, offset):
                return builder.gep(pointers[array], [offset])

            def vector_at(array, offset):
                return builder.bitcast(at(array, offset), vector.as_pointer())

            sums = [
                [cgutils.alloca_once(builder, vector) for _ in range(n_panels)]
                for _ in range(n_rows)
            ]
            for accumulator in sum(sums, []):
                builder.store(ir.Constant(vector, [0.0] * LANES), accumulator)
            with cgutils.for_range(builder, K) as loop:
                offset = builder.add(b_start, builder.mul(loop.index, step))
                right = []
                for _ in range(n_panels):
                    right.append(builder.load(vector_at(1, offset), align=4))
                    offset = builder.add(offset, panel)
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
                    for accumulator, panel in zip(sums[i], right, strict=True):
                        product = builder.fmul(left, panel, flags=("contract",))
                        total = builder.fadd(
                            builder.load(accumulator), product, flags=("contract",)
                        )
                        builder.store(total, accumulator)
                    offset = builder.add(offset, row)
            for i in range(n_rows):
                offset = c_start
                for accumulator in sums[i]:
                    builder.store(
                        builder.load(accumulator), vector_at(2, offset), align=4
                    )
                    offset = builder.add(offset, ir.Constant(index, LANES))
                c_start = builder.add(c_start, width)
            return context.get_dummy_value()

        return signature, codegen

    return block


_block_4x3 = _block_product(_ROWS, 3)
_block_4x2 = _block_product(_ROWS, 2)
_block_4x1 = _block_product(_ROWS, 1)
_block_1x3 = _block_product(1, 3)
_block_1x2 = _block_product(1, 2)
_block_1x1 = _block_product(1, 1)


@kernel
def padded(n):
    """``n`` rounded up to whole vectors."""
    return -(-n // LANES) * LANES


@kernel
def pack(B, start, row, column, K, N, packed):
    """Lay out the K x N operand B[start + k row + j column] for `matmul`.

    ``packed`` takes K * padded(N) floats: panels of 8 columns, one after another,
    the columns beyond N zero.
    """
    at = 0
    for first in range(0, N, LANES):
        for k in range(K):
            for j in range(first, first + LANES):
                packed[at] = B[start + k * row + j * column] if j < N else np.float32(0)
                at += 1


@kernel
def matmul(A, row, column, M, K, packed, N, C):
    """C = A B: float32, flat arrays, the inner index summed in order.

    Parameters
    ----------
    A : float32 array
        Element (i, k) at ``i * row + k * column``.
    M, K, N : int
        A is M x K, B is K x N.
    packed : float32 array
        B, as laid out by `pack`.
    C : float32 array of at least M * padded(N) elements, written
        Row by row, each padded to whole vectors with zeros.
    """
    width = padded(N)
    panels = width // LANES
    for first in range(0, panels, _PANELS):
        n = min(_PANELS, panels - first)
        b = first * K * LANES
        c = first * LANES
        size = K * LANES
        _rows_by_panels(A, 0, row, column, M, packed, b, LANES, size, n, K, C, c, width)


@kernel
def _rows_by_panels(A, a, row, column, M, B, b, step, panel, n, K, C, c, width):
    """All rows of C in up to three panels of columns, block by block."""
    singly = M % _ROWS if M < _ROWS or M % _ROWS == 1 else 0
    for first in range(0, M - singly, _ROWS):
        i = min(first, M - _ROWS)  # the last block may go over rows again
        s, t = a + i * row, c + i * width
        if n == 3:
            _block_4x3(A, s, row, column, B, b, step, panel, K, C, t, width)
        elif n == 2:
            _block_4x2(A, s, row, column, B, b, step, panel, K, C, t, width)
        else:
            _block_4x1(A, s, row, column, B, b, step, panel, K, C, t, width)
    for i in range(M - singly, M):
        s, t = a + i * row, c + i * width
        if n == 3:
            _block_1x3(A, s, row, column, B, b, step, panel, K, C, t, width)
        elif n == 2:
            _block_1x2(A, s, row, column, B, b, step, panel, K, C, t, width)
        else:
            _block_1x1(A, s, row, column, B, b, step, panel, K, C, t, width)


@kernel
def matmul_strip(A, a, M, K, B, b, n_panels, C, c):
    """C = A' B for a strip of up to `STRIP` columns; float32, flat arrays.

    Parameters
    ----------
    A : float32 array
        Element (k, i) at ``a + k * M + i``.
    M, K : int
        A is K x M, B is K x STRIP.
    B, C : float32 arrays
        They begin at ``b`` and ``c``; rows of C, M x STRIP, are written.
    n_panels : int
        How many vectors of each row of B and C hold something.
    """
    _rows_by_panels(A, a, 1, M, M, B, b, STRIP, LANES, n_panels, K, C, c, STRIP)

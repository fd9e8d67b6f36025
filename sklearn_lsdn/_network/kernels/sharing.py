"""Threads of a kernel share work: whoever is free takes the next piece.

All run through the same phases, each a number of pieces that may be done in any order
and by anybody, and leave a phase when all of its pieces are done. A thread that the
system has put aside holds nobody up unless it has taken a piece.
"""

import sys

from numba import int64, types, void

from .compilation import part
from .numba_internals import Elements, call_c, intrinsic

_SPINS = 2000  # looks, some microseconds in all, before giving way to other threads
_GIVE_WAY = "SwitchToThread" if sys.platform == "win32" else "sched_yield"
_TAKEN, _DONE = 0, 1  # elements of ``counters``


def _place(context, builder, signature, args):
    return Elements(context, builder, signature.args[0], args[0]).at(args[1])


@intrinsic
def _look(typingctx, counters, which):
    """counters[which] as it is now, whatever the compiler believes."""

    def codegen(context, builder, signature, args):
        place = _place(context, builder, signature, args)
        return builder.load_atomic(place, "seq_cst", 8)

    return types.int64(counters, which), codegen


@intrinsic
def _advance(typingctx, counters, which):
    """Add 1 to counters[which], atomically."""

    def codegen(context, builder, signature, args):
        place = _place(context, builder, signature, args)
        builder.atomic_rmw("add", place, place.type.pointee(1), "seq_cst")
        return context.get_dummy_value()

    return types.void(counters, which), codegen


@intrinsic
def _advance_from(typingctx, counters, which, value):
    """Add 1 to counters[which] if it is ``value``; whether it was."""

    def codegen(context, builder, signature, args):
        place = _place(context, builder, signature, args)
        next_value = builder.add(args[2], args[2].type(1))
        result = builder.cmpxchg(place, args[2], next_value, "seq_cst", "seq_cst")
        return builder.extract_value(result, 1)

    return types.boolean(counters, which, value), codegen


@intrinsic
def _give_way(typingctx):
    """Let another thread run on this core."""

    def codegen(context, builder, signature, args):
        call_c(builder, _GIVE_WAY)
        return context.get_dummy_value()

    return types.void(), codegen


@part(int64)
def take(counters, end):
    """Take the next piece of the phase that ends before piece ``end``.

    Parameters
    ----------
    counters : int64 array of shape (2,)
        Shared by the threads: pieces taken and pieces done, over all phases.
    end : int
        Pieces of all phases so far, this one's included.

    Returns
    -------
    piece : int
        From ``end`` minus the number of this phase's pieces; -1 if none is left.
    """
    while True:
        piece = _look(counters, _TAKEN)
        if piece >= end:
            return -1
        if _advance_from(counters, _TAKEN, piece):
            return piece


@part(void)
def hand_in(counters):
    """Say that a piece taken is done."""
    _advance(counters, _DONE)


@part(void)
def wait(counters, end):
    """Wait until all pieces before ``end`` are done."""
    looks = 0
    while _look(counters, _DONE) < end:
        looks += 1
        if looks > _SPINS:
            _give_way()

"""How kernels are compiled: for one thread each, without the GIL, and cached."""

import hashlib
import inspect
import sys
from pathlib import Path

import numba
from llvmlite import binding

from .numba_internals import before_compiling, call_part, depend_on, intrinsic


def kernel(function):
    """Compile a function of arrays with explicit dtypes.

    Divisions follow NumPy's rules, so that they vectorise; of the fast-math flags
    only the fusing of multiply and add is on, since others break rounding by
    constants. The cache is done without where no directory can be written to.
    """
    options = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
    options["no_cfunc_wrapper"] = True  # nobody calls kernels from C
    try:
        compiled = numba.njit(cache=True, **options)(function)
    except RuntimeError:
        return numba.njit(**options)(function)
    depend_on(compiled, _SOURCES)  # since parts stand in other files
    return compiled


def processor_name() -> str:
    """What LLVM calls the processor that kernels are compiled on."""
    return binding.get_host_cpu_name()


def _digest(folder):
    contents = (path.read_bytes() for path in sorted(folder.glob("*.py")))
    return hashlib.sha256(b"".join(contents)).hexdigest()


_SOURCES = _digest(Path(__file__).parent)


def part(returns):
    """Compile a function that kernels call into each of them, with their options.

    A kernel called by others would be optimised and turned to machine code by itself
    and again in every kernel further up, which takes twice as long. From Python, call
    ``kernel(function.py_func)``.

    Parameters
    ----------
    returns : Numba type
        Of what the function returns; of its parameters, types are inferred.
    """

    def decorate(function):
        def definition(typingctx, *args):
            def codegen(context, builder, signature, args):
                return call_part(context, builder, function, signature, args)

            return returns(*args), codegen

        definition.__name__, definition.__doc__ = function.__name__, function.__doc__
        parameters = inspect.signature(function).parameters.values()
        context = inspect.Parameter("typingctx", inspect.Parameter.POSITIONAL_ONLY)
        definition.__signature__ = inspect.Signature([context, *parameters])
        callee = intrinsic(definition)
        callee.py_func = function
        return callee

    return decorate


class _Announcer:
    """Tells a person who waits, once, that kernels are being compiled."""

    announced = False

    def __call__(self, function):
        ours = (function.__module__ or "").startswith("sklearn_lsdn.")
        if ours and not self.announced and _somebody_watches():
            print(
                "sklearn_lsdn: compiling its kernels (some 5 s, on first use only)",
                file=sys.stderr,
            )
            self.announced = True


def _somebody_watches():
    return sys.stderr.isatty() or "ipykernel" in sys.modules


before_compiling(_Announcer())

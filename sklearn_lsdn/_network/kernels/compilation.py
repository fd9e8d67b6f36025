"""How kernels are compiled: for one thread each, without the GIL, and cached."""

import hashlib
import inspect
import sys
import weakref
from pathlib import Path

import numba
from numba.core import event
from numba.core.compiler import compile_internal
from numba.core.targetconfig import ConfigStack
from numba.extending import intrinsic


def kernel(function):
    """Compile a function of arrays with explicit dtypes.

    Divisions follow NumPy's rules, so that they vectorise; of the fast-math flags
    only the fusing of multiply and add is on, since others break rounding by
    constants. The cache is done without where no directory can be written to.
    """
    options = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
    options["no_cfunc_wrapper"] = True  # nobody calls kernels from C
    try:
        dispatcher = numba.njit(cache=True, **options)(function)
    except RuntimeError:
        return numba.njit(**options)(function)
    # Numba takes what it cached for stale by the kernel's own file alone, but parts
    # stand in others.
    file = dispatcher._cache._cache_file
    file._source_stamp = file._source_stamp, _SOURCES
    return dispatcher


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
                compiled = _compiled(function, signature, context)
                return context.call_internal(builder, compiled, signature, args)

            return returns(*args), codegen

        definition.__name__, definition.__doc__ = function.__name__, function.__doc__
        parameters = inspect.signature(function).parameters.values()
        context = inspect.Parameter("typingctx", inspect.Parameter.POSITIONAL_ONLY)
        definition.__signature__ = inspect.Signature([context, *parameters])
        callee = intrinsic(definition)
        callee.py_func = function
        return callee

    return decorate


_parts = weakref.WeakKeyDictionary()  # those compiled into each kernel


def _compiled(function, signature, context):
    kernel = context.active_code_library
    parts = _parts.setdefault(kernel, {})
    key = function, signature.args
    if key not in parts:
        flags = ConfigStack().top().copy()
        flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
        parts[key] = compile_internal(
            context.typing_context,
            context,
            kernel,
            function,
            signature.args,
            signature.return_type,
            flags,
            {},
        ).fndesc
        # So that it vanishes wherever it is inlined.
        kernel.get_function(parts[key].llvm_func_name).linkage = "linkonce_odr"
    return parts[key]


class _Announcer(event.Listener):
    """Tells a person who waits, once, that kernels are being compiled."""

    announced = False

    def on_start(self, compilation):
        module = compilation.data["dispatcher"].py_func.__module__ or ""
        ours = module.startswith("sklearn_lsdn.")
        if ours and not self.announced and _somebody_watches():
            print(
                "sklearn_lsdn: compiling its kernels (some 5 s, on first use only)",
                file=sys.stderr,
            )
            self.announced = True

    def on_end(self, compilation):
        pass


def _somebody_watches():
    return sys.stderr.isatty() or "ipykernel" in sys.modules


event.register("numba:compile", _Announcer())

"""How kernels are compiled: for one thread each, without the GIL, and cached."""

import sys

import numba
from numba.core import event


def kernel(function):
    """Compile a function of arrays with explicit dtypes.

    Divisions follow NumPy's rules, so that they vectorise; of the fast-math flags
    only the fusing of multiply and add is on, since others break rounding by
    constants. The cache is done without where no directory can be written to.
    """
    options = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:
        return numba.njit(**options)(function)


class _Announcer(event.Listener):
    """Tells a person who waits, once, that kernels are being compiled."""

    announced = False

    def on_start(self, compilation):
        module = compilation.data["dispatcher"].py_func.__module__ or ""
        ours = module.startswith("sklearn_lsdn.")
        if ours and not self.announced and _somebody_watches():
            print(
                "sklearn_lsdn: compiling its kernels (some 10 s, on first use only)",
                file=sys.stderr,
            )
            self.announced = True

    def on_end(self, compilation):
        pass


def _somebody_watches():
    return sys.stderr.isatty() or "ipykernel" in sys.modules


event.register("numba:compile", _Announcer())

"""How kernels are compiled: for one thread each, without the GIL, and cached."""

import numba


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

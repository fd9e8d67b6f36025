"""`lsdn selftest`."""

HELP = "check that this installation computes what it should"
PARENTS = ()


def add_arguments(command):
    """The command takes none."""


def run(arguments):
    """Check this installation, in less than a minute: kernels against the reference, a
    prediction whose hash is known, a fit of known worth, threads, images and model
    files. No data are needed, and nothing is left behind."""
    from ..jobs._selftest import self_test

    table, passed = self_test()
    if not passed:
        error = ValueError(
            "this installation does not compute what it should. Do not use it; "
            "install again, with versions that pyproject.toml allows."
        )
        error.result = table  # to be printed all the same
        raise error
    return table

"""What model files may hold: classes that register, and vouch for what was read.

Kernels do not check bounds. What `fit` has put together is right by construction; what
comes from a file is right if each class finds its own parts in order.
"""

from functools import singledispatch

_PRIVATE = "sklearn_lsdn.parts"  # no module: the name of what has no public one
_CLASSES = {}
_YOUNGER = {}


@singledispatch
def check_parts(part) -> None:
    """Raise an error unless the parts of an object fit together.

    A registered class says so by a method ``_check_parts``. What the object holds was
    checked before it.
    """


@singledispatch
def kept_in_files(part) -> dict:
    """Attributes that a file keeps of an object.

    A registered class says so by a method ``_kept_in_files``; the default is all.
    """
    return vars(part)


_HOOKS = {"_check_parts": check_parts, "_kept_in_files": kept_in_files}


def persistable(home=_PRIVATE, *, younger=None):
    """Register a class under a name that stays, wherever its code moves.

    Parameters
    ----------
    home : str
        The public module that the class is imported from. A class that has none gets a
        name of its own, and belongs to one that has.
    younger : dict, default=None
        Parameters that a file may lack, since it is older than they are, and what such
        a file means by that.

    Returns
    -------
    register : callable
        A decorator of classes, which changes nothing about them.
    """

    def register(cls):
        _CLASSES[f"{home}.{cls.__name__}"] = cls
        _YOUNGER[cls] = younger or {}
        for name, hook in _HOOKS.items():
            if method := getattr(cls, name, None):
                hook.register(cls, method)
        return cls

    return register


def registered_classes() -> dict[str, type]:
    """Classes by the names that files give them, as far as they were imported."""
    return dict(_CLASSES)


def is_persistable(value) -> bool:
    """Whether its class is a registered one, or inherits from one."""
    return any(base in _YOUNGER for base in type(value).__mro__)


def younger_parameters(cls) -> dict:
    """What a file means where it lacks parameters of a class."""
    return {k: v for base in cls.__mro__ for k, v in _YOUNGER.get(base, {}).items()}

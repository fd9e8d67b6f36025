"""Cross-modality synthesis of medical images with location-sensitive networks."""

import ast
from importlib import import_module
from pathlib import Path

from ._version import __version__ as __version__

_NAMES = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
_HOME = {
    alias.name: node.module
    for node in _NAMES.body
    for alias in node.names
    if alias.name != "__version__"
}
__all__ = [*_HOME]


def __getattr__(name):
    """Import what is asked for, so that nothing else has to be waited for."""
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])

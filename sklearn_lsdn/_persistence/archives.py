"""What skops writes, with names for our classes that do not tell where they stand."""

import io
import json
import zipfile
from importlib import import_module

from .._utils.persistable import registered_classes
from .old import NAMES
from .trees import TREE, to_be_checked

_HOMES = "sklearn_lsdn", "sklearn_lsdn.volumes"  # whose public names files may hold
_MOST_UNPACKED = 100  # bytes from one


def full_name(cls) -> str:
    """Under which skops knows a class."""
    return f"{cls.__module__}.{cls.__name__}"


def with_names_that_stay(data) -> bytes:
    """Content of a file to be written."""
    names = {full_name(cls): name for name, cls in registered_classes().items()}
    return _with_nodes(data, lambda nodes: _rename(nodes, names))


def with_names_of_today(data) -> bytes:
    """Content of a file for skops to read, with trees that `trees` will check."""
    return _with_nodes(data, _find)


def trusted_names() -> list[str]:
    """Names of our own classes today, as far as they were imported."""
    return [full_name(cls) for cls in registered_classes().values()]


def check_size(path):
    """Refuse what would unpack to far more than is there: `save_model` packs little."""
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    size = path.stat().st_size
    if unpacked > _MOST_UNPACKED * size:
        raise ValueError(f"its {size} bytes claim to hold {unpacked}")


def _find(nodes):
    _rename(nodes, NAMES)
    for name in {_name(node) for node in nodes}:
        home, _, cls = name.rpartition(".")
        if home in _HOMES and cls in import_module(home).__all__:
            getattr(import_module(home), cls)  # which registers it, and its parts
    names = {name: full_name(cls) for name, cls in registered_classes().items()}
    _rename(nodes, names)
    for node in nodes:
        if _name(node) == TREE:
            to_be_checked(node)


def _rename(nodes, names):
    for node in nodes:
        name = names.get(_name(node))
        if name is not None:
            node["__module__"], _, node["__class__"] = name.rpartition(".")


def _name(node):
    return f"{node['__module__']}.{node['__class__']}"


def _with_nodes(data, change):
    """An archive with what its schema names changed in place."""
    made = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(data)) as old,
        zipfile.ZipFile(made, "w") as new,
    ):
        for member in old.infolist():
            content = old.read(member)
            if member.filename == "schema.json":
                schema = json.loads(content)
                change(list(_nodes(schema)))
                content = json.dumps(schema).encode()
            new.writestr(member, content)
    return made.getvalue()


def _nodes(value):
    """Those of a schema that name a class."""
    if isinstance(value, dict):
        if isinstance(value.get("__class__"), str):
            yield value
        value = value.values()
    if not isinstance(value, str) and hasattr(value, "__iter__"):
        for each in value:
            yield from _nodes(each)

"""How files of older protocols are read."""

from . import protocol_1

_PROTOCOLS = (protocol_1,)  # each leads to the next

NAMES = {name: today for old in _PROTOCOLS for name, today in old.NAMES.items()}
"""Names of classes in old files, and those of today's."""


def upgrade(part, protocol) -> None:
    """Give a part of a model that a file of a protocol held the attributes of today."""
    for old in _PROTOCOLS[protocol - 1 :]:
        old.upgrade(part)

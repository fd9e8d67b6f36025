"""What is doubtful of scans is gathered where it is found, and told in one place."""

import warnings
from collections.abc import Iterable

from ..exceptions import ScanWarning


def warn_of(doubts: Iterable[ScanWarning]) -> None:
    """Give a warning of each."""
    for doubt in doubts:
        warnings.warn(doubt, stacklevel=3)

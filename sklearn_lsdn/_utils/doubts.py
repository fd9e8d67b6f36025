"""What is doubtful is gathered where it is found, and told to whoever called."""

import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sklearn

from ..exceptions import ScanWarning

_INSIDE = tuple(
    f"{folder}{os.sep}"
    for folder in (Path(__file__).parents[1], Path(sklearn.__file__).parent)
)


def warn_user(warning: Warning) -> None:
    """Warn at the line outside of this package, and of scikit-learn, that led here."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back and frame.f_code.co_filename.startswith(_INSIDE):
        level, frame = level + 1, frame.f_back
    warnings.warn(warning, stacklevel=level)


def warn_of(doubts: Iterable[ScanWarning]) -> None:
    """Give a warning of each."""
    for doubt in doubts:
        warn_user(doubt)


@contextmanager
def doubts_kept() -> Iterator[list[ScanWarning]]:
    """Keep warnings about scans, rather than give them, for someone else to tell.

    Yields
    ------
    doubts : list of ScanWarning
        It is filled in the end.
    """
    doubts = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ScanWarning)
        yield doubts
    for each in caught:
        if issubclass(each.category, ScanWarning):
            doubts.append(each.message)
        else:
            where = each.filename, each.lineno
            warnings.warn_explicit(each.message, each.category, *where)

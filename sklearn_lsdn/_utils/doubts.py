"""What is doubtful is gathered where it is found, and told to whoever called."""

import os
import sys
import warnings
from collections.abc import Iterable
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

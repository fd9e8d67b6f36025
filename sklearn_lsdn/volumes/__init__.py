"""Images in, images out."""

from .normalization import (
    NyulNormalizer,
    PeakNormalizer,
    PercentileNormalizer,
    ZScoreNormalizer,
)
from .synthesizer import VolumeSynthesizer

__all__ = [
    "NyulNormalizer",
    "PeakNormalizer",
    "PercentileNormalizer",
    "VolumeSynthesizer",
    "ZScoreNormalizer",
]

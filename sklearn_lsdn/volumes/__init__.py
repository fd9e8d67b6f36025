"""Images in, images out."""

from .normalization import PercentileNormalizer, ZScoreNormalizer
from .synthesizer import VolumeSynthesizer

__all__ = ["PercentileNormalizer", "VolumeSynthesizer", "ZScoreNormalizer"]

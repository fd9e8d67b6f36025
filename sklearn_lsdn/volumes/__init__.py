"""Images in, images out."""

from ._augmentation import Augmentation
from ._normalization import (
    NyulNormalizer,
    PeakNormalizer,
    PercentileNormalizer,
    ZScoreNormalizer,
)
from ._registration import register_affine, register_rigid
from ._segmenter import VolumeSegmenter
from ._synthesizer import VolumeSynthesizer

__all__ = [
    "Augmentation",
    "NyulNormalizer",
    "PeakNormalizer",
    "PercentileNormalizer",
    "VolumeSegmenter",
    "VolumeSynthesizer",
    "ZScoreNormalizer",
    "register_affine",
    "register_rigid",
]

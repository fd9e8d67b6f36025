"""Pictures, in the manner of scikit-learn's Display classes."""

from .comparison import ComparisonDisplay
from .joint_histogram import JointHistogramDisplay
from .loss_curve import LossCurveDisplay
from .registration import RegistrationDisplay
from .synthesis import SynthesisDisplay

__all__ = [
    "ComparisonDisplay",
    "JointHistogramDisplay",
    "LossCurveDisplay",
    "RegistrationDisplay",
    "SynthesisDisplay",
]

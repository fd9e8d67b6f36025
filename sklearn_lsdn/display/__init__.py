"""Pictures, in the manner of scikit-learn's Display classes."""

from ._comparison import ComparisonDisplay
from ._joint_histogram import JointHistogramDisplay
from ._loss_curve import LossCurveDisplay
from ._nodes import NodesDisplay
from ._registration import RegistrationDisplay
from ._synthesis import SynthesisDisplay

__all__ = [
    "ComparisonDisplay",
    "JointHistogramDisplay",
    "LossCurveDisplay",
    "NodesDisplay",
    "RegistrationDisplay",
    "SynthesisDisplay",
]

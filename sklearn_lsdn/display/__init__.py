"""Pictures, in the manner of scikit-learn's Display classes."""

from .synthesis import SynthesisDisplay

__all__ = ["SynthesisDisplay"]

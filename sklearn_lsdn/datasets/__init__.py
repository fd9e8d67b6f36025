"""Simulated data sets."""

from ._cohort import make_brain_cohort

__all__ = ["make_brain_cohort"]

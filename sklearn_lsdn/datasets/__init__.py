"""Simulated data sets."""

from sklearn_lsdn.datasets._cohort import make_brain_cohort

__all__ = ["make_brain_cohort"]

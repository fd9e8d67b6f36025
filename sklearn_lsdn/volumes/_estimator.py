"""A synthesizer's regressor, made ready for training."""

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from .._network_regressor import _NetworkRegressor
from ..ensemble import EnsembleRegressor, stops_early_by_groups
from ..regressor import LSDNRegressor
from ..shrink import ShrinkConnect


def make_estimator(synthesizer, rng):
    """Clone a synthesizer's estimator, and hand on what they have in common.

    Parameters
    ----------
    synthesizer : VolumeSynthesizer
    rng : RandomState
        Seeds every part that has a ``random_state``, unless the synthesizer has none.

    Returns
    -------
    estimator : regressor
        An unfitted one, with checked parameters.
    """
    estimator = (
        LSDNRegressor()
        if synthesizer.estimator is None
        else clone(synthesizer.estimator)
    )
    if synthesizer.n_estimators > 1:
        estimator = EnsembleRegressor(estimator, synthesizer.n_estimators)
    for part in _parts(estimator):
        holds = isinstance(part, ShrinkConnect | EnsembleRegressor)
        if holds and part.estimator is None:
            part.set_params(estimator=LSDNRegressor())  # the next part
        seed = rng.randint(np.iinfo(np.int32).max)
        parameters = part.get_params(deep=False)
        if "random_state" in parameters and synthesizer.random_state is not None:
            part.set_params(random_state=seed)
        ours = type(part).__module__.startswith("sklearn_lsdn.")
        if isinstance(part, _NetworkRegressor | ShrinkConnect) and synthesizer.verbose:
            part.set_params(verbose=synthesizer.verbose)
        if ours and "coordinates" in parameters and synthesizer.coordinates is None:
            part.set_params(coordinates=0)
        if hasattr(part, "_parameter_constraints"):
            part._validate_params()  # rather now than after the images are read
    return estimator


def _parts(estimator):
    """An estimator and those among its parameters, but none that are frozen."""
    yield estimator
    if isinstance(estimator, FrozenEstimator):
        return
    for _, value in sorted(estimator.get_params(deep=False).items()):
        for part in value if isinstance(value, list) else [value]:
            part = part[1] if isinstance(part, tuple) and len(part) == 2 else part
            if hasattr(part, "get_params") and not isinstance(part, type):
                yield from _parts(part)


def subjects_to_hold_out(estimator, groups, n_voxels) -> dict:
    """Arguments for the ``fit`` of what holds out whole subjects.

    Parameters
    ----------
    estimator : regressor
    groups : array-like of shape (n_subjects,)
        Subjects that are held out together.
    n_voxels : list of int
        Rows of each subject.
    """
    if isinstance(estimator, EnsembleRegressor) or (
        stops_early_by_groups(estimator) and len(np.unique(groups)) > 1
    ):
        return {"groups": np.repeat(groups, n_voxels)}
    return {}

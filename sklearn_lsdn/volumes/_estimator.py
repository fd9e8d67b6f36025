"""A synthesizer's regressor, made ready for training."""

import numpy as np
from sklearn import get_config
from sklearn.base import clone, is_classifier
from sklearn.frozen import FrozenEstimator

from .._regressors.ensemble import EnsembleRegressor
from .._regressors.networks import LSDNRegressor
from .._regressors.roles import role_of
from .._regressors.subsets import SubsetsRegressor
from .._utils.sklearn_private import check_weights, validate_parameters
from ._sampling import Window
from ._subjects import n_contrasts_of
from ._working_grid import working_voxel_size

_COARSE = 1.5  # mm: in such voxels, neighbours tell too little of each other


def to_be_trained(synthesizer):
    """What a synthesizer clones; what it brings itself takes all metadata there are."""
    estimator, ours = synthesizer.estimator, []
    if estimator is None:
        estimator = LSDNRegressor((400, 40))
        ours.append(estimator)
    if synthesizer.n_estimators > 1:
        estimator = EnsembleRegressor(
            estimator, synthesizer.n_estimators, memory=synthesizer.memory
        )
        ours.append(estimator)
    if get_config()["enable_metadata_routing"]:
        for each in ours:
            each.set_fit_request(sample_weight=True)
    return estimator


def make_estimator(synthesizer, rng, unfitted=None):
    """Clone a synthesizer's estimator, and hand on what they have in common.

    Parameters
    ----------
    synthesizer : VolumeSynthesizer
    rng : RandomState
        Seeds every part that has a ``random_state``, unless the synthesizer has none.
    unfitted : estimator, default=None
        What to clone, rather than what `to_be_trained` says.

    Returns
    -------
    estimator : regressor
        An unfitted one, with checked parameters.

    Raises
    ------
    TypeError
        If a synthesizer is to have a classifier.
    """
    given = synthesizer.estimator if unfitted is None else None
    if hasattr(given, "__sklearn_tags__") and is_classifier(given):
        raise TypeError(
            f"estimator is a {type(given).__name__}, a classifier, and intensities "
            "take a regressor. VolumeSegmenter takes classifiers."
        )
    estimator = clone(to_be_trained(synthesizer) if unfitted is None else unfitted)
    for part in _parts(estimator):
        role_of(part).join(
            verbose=synthesizer.verbose,
            has_coordinates=synthesizer.places is not None,
        )
        seed = rng.randint(np.iinfo(np.int32).max)
        parameters = part.get_params(deep=False)
        if "random_state" in parameters and synthesizer.random_state is not None:
            part.set_params(random_state=seed)
        validate_parameters(part)  # rather now than after the images are read
    return estimator


def window_of(synthesizer, estimator, sources) -> Window:
    """What a synthesizer reads and predicts around a voxel.

    Parameters
    ----------
    synthesizer : VolumeSynthesizer
    estimator : regressor
        What `make_estimator` gives.
    sources : list of list of ImageFile
        Of the training subjects.

    Raises
    ------
    ValueError
        As `Window.of`.
    """
    target_size = synthesizer.target_patch_size
    if target_size == "auto":
        fine = working_voxel_size(sources).max() < _COARSE
        target_size = 3 if fine and role_of(estimator).shares_layers else 1
    several = n_contrasts_of(sources) > 1
    return Window.of(
        synthesizer.patch_size,
        synthesizer.patch_scales,
        target_size,
        synthesizer.places,
        synthesizer.neighbours,
        synthesizer.missing_sources and several,
    )


def for_what_is_there(estimator, window, sources, rng):
    """A regressor for each subset of the sources, where some may be missing.

    Parameters
    ----------
    estimator : regressor
        What `make_estimator` gives.
    window : Window
    sources : list of list of ImageFile
        Of the training subjects.
    rng : RandomState
    """
    if not window.missing_sources:
        return estimator
    seed = rng.randint(np.iinfo(np.int32).max)
    n_sources = n_contrasts_of(sources)
    return SubsetsRegressor(estimator, n_sources, window.n_coordinates, seed)


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


def weighted_subjects(sources, targets, groups, sample_weight):
    """The four, without subjects of weight 0."""
    if sample_weight is None:
        return sources, targets, groups, None
    rows = np.empty((len(sources), 1))
    weight = check_weights(sample_weight, rows)
    used = np.flatnonzero(weight)
    lists = ([subjects[i] for i in used] for subjects in (sources, targets, groups))
    return *lists, weight[used]

"""scikit-learn's own checks, on every estimator of arrays."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.utils.estimator_checks import parametrize_with_checks

import sklearn_lsdn.volumes
from sklearn_lsdn import (
    CDNClassifier,
    CDNRegressor,
    CoupledSparseRegressor,
    EnsembleRegressor,
    LSDNClassifier,
    LSDNRegressor,
    ModalityPropagationRegressor,
    ShrinkConnect,
    VDNClassifier,
    VDNRegressor,
)

SMALL = (12, 6)
ESTIMATORS = [
    LSDNRegressor(),
    CDNRegressor(),
    VDNRegressor(),
    LSDNRegressor(early_stopping=True),
    ShrinkConnect(LSDNRegressor(SMALL)),
    ShrinkConnect(CDNRegressor(SMALL), keep=0.5),
    LSDNClassifier(),
    CDNClassifier(),
    VDNClassifier(coordinates=0),
    LSDNClassifier(early_stopping=True),
    ShrinkConnect(LSDNClassifier(SMALL), keep=0.5),
    EnsembleRegressor(LSDNRegressor((10,)), 2),
    ModalityPropagationRegressor(),
    ModalityPropagationRegressor(coordinates=0),
    CoupledSparseRegressor(),
    CoupledSparseRegressor(32, coordinates=0),
    CoupledSparseRegressor(
        32, refit=False, coordinate_weight=0.0, intercept_scaling=0.0
    ),
]
# Those that take images; test_image_estimator_checks.py has checks of our own.
OF_IMAGES = {
    "Augmentation",
    "NyulNormalizer",
    "PeakNormalizer",
    "PercentileNormalizer",
    "VolumeSegmenter",
    "VolumeSynthesizer",
    "ZScoreNormalizer",
}


def public_estimators():
    """Every estimator with a public name."""
    found = {}
    for module in (sklearn_lsdn, sklearn_lsdn.volumes):
        for name in module.__all__:
            thing = getattr(module, name)
            if isinstance(thing, type) and issubclass(thing, BaseEstimator):
                found[name] = thing
    return found


def test_no_estimator_is_forgotten():
    checked = {type(estimator).__name__ for estimator in ESTIMATORS}
    assert set(public_estimators()) == checked | OF_IMAGES


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_compatible(estimator, check):
    estimator = clone(estimator)
    if check.func.__name__ == "check_sample_weight_equivalence_on_dense_data":
        # A repeated sample changes the batches, so that weights and repetitions can
        # only agree where all samples are seen at once. MLPRegressor is checked with
        # parameters of its own for the same reason.
        for name in estimator.get_params():
            if name.endswith("solver"):
                prefix = name.removesuffix("solver")
                estimator.set_params(**{name: "lbfgs", f"{prefix}max_iter": 10})
    check(estimator)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize(
    "estimator",
    [estimator for estimator in ESTIMATORS if not is_classifier(estimator)],
    ids=lambda estimator: type(estimator).__name__,
)
def test_predictions_have_the_dtype_of_the_input(estimator, n_outputs, dtype):
    X = np.random.RandomState(0).uniform(size=(60, 5)).astype(dtype)
    y = X[:, :n_outputs].squeeze().astype(np.float64)
    predicted = clone(estimator).fit(X, y).predict(X)
    assert predicted.dtype == dtype
    assert predicted.shape == y.shape

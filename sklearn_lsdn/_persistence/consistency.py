"""Whether the parts of a model fit together, before compiled code relies on it.

Kernels do not check bounds. What `fit` has put together is right by construction; what
comes from a file is right if it passes `check_consistency`.
"""

import itertools
from dataclasses import fields
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from .._network.scaling import Scaling
from .._utils.checks import check_array, ensure
from .._utils.sklearn_private import _is_fitted


def check_consistency(model):
    """Raise an error unless the parts of a fitted model fit together.

    Parameters
    ----------
    model : estimator
        Whatever it holds is checked too.

    Raises
    ------
    ValueError
        If sizes disagree, a number is not finite, or a parameter is out of range.
    AttributeError, TypeError
        If a part is missing, or something else is in its place.
    """
    for part in estimators_within(model):
        if type(part).__module__.startswith("sklearn_lsdn."):
            if hasattr(part, "_parameter_constraints"):
                part._validate_params()
            if _is_fitted(part):  # and not the parameter of another
                _CHECKS[type(part).__name__](part)
        elif hasattr(part, "_predictors"):
            _check_trees(part)


def estimators_within(value, _seen=None):
    """The estimators that a value holds, itself before those within, each once."""
    seen = {} if _seen is None else _seen
    if id(value) in seen:
        return
    seen[id(value)] = value
    if isinstance(value, BaseEstimator):
        yield value
        value = vars(value)
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for each in value:
            yield from estimators_within(each, seen)


def _check_columns(owner, *columns):
    """Column numbers within the features of the training data."""
    n = owner.n_features_in_
    for column in [n, *(column for part in columns for column in part)]:
        ensure(isinstance(column, Integral), "a column has no whole number")
    for part in columns:
        ensure(
            isinstance(part, list | tuple)
            and (not part or 0 <= min(part) <= max(part) < n),
            f"columns of {type(owner).__name__} are not among its {n}",
        )
    used = [column for part in columns for column in part]
    ensure(len(used) == len(set(used)), "a column is used twice")


def _check_flatness(regressor):
    flat = regressor._flat_target
    ensure(isinstance(flat, bool), "it is not said what y was")
    ensure(regressor.n_outputs_ == 1 or not flat, "y was not flat")


def _check_network(regressor):
    network = regressor.network_
    features, coordinates = network.feature_columns, network.coordinate_columns
    _check_columns(regressor, features, coordinates)
    sizes = network.layer_sizes
    ensure(len(sizes) > 2 and min(sizes) > 0, "a layer is missing")
    ensure(len(network.filters) == len(network.biases), "a layer is missing")
    for k, (filters, bias) in enumerate(
        zip(network.filters, network.biases, strict=True)
    ):
        check_array(network, f"filters[{k}]", filters, (sizes[k], sizes[k + 1]))
        check_array(network, f"biases[{k}]", bias, (sizes[k + 1],))
    latent = network.latent_coordinates
    check_array(network, "latent_coordinates", latent, (sizes[1], len(coordinates)))
    n = {"feature": sizes[0], "coordinate": len(coordinates), "target": sizes[-1]}
    for name in (field.name for field in fields(Scaling)):
        shape = (n["feature"],) * 2 if name == "whitening" else (n[name.split("_")[0]],)
        check_array(network, name, getattr(network.scaling, name), shape)
    _check_flatness(regressor)
    sigma = network.sigma
    ensure(isinstance(sigma, Real) and 0 < sigma < np.inf, f"sigma is {sigma!r}")
    ensure(isinstance(regressor.n_iter_, Integral), "epochs were not counted")
    ensure(isinstance(regressor.loss_curve_[-1], Real), "no loss was recorded")
    state = regressor._moments
    if state is not None:
        for name in ("first_moment", "second_moment"):
            n_parameters = network.architecture.n_parameters
            check_array(network, name, state[name], (n_parameters,), "f4")
        counts = state["n_epochs"], state["n_steps"]
        ensure(all(isinstance(n, Integral) for n in counts), "steps are no number")


def _check_shrunken(shrink):
    network = shrink.estimator_
    n_hidden = len(network.intercepts_) - 1
    ensure(
        len(shrink.support_) == len(shrink.coefficients_) == n_hidden,
        "support_ and coefficients_ are not those of the hidden layers",
    )
    ensure(
        shrink.n_features_in_ == network.n_features_in_,
        "ShrinkConnect and its network differ in size",
    )


def _check_ensemble(ensemble):
    n_features = ensemble.n_features_in_
    members = [*ensemble.estimators_, ensemble.noise_estimator_]
    ensure(len(members) > 1, "an ensemble has no members")
    for member in members:
        check_is_fitted(member)
        ensure(
            getattr(member, "n_features_in_", n_features) == n_features
            and _n_outputs(member) in (None, ensemble.n_outputs_),
            "members of an ensemble differ in size",
        )
    scale = ensemble.noise_scale_
    check_array(ensemble, "noise_scale_", scale, (ensemble.n_outputs_,))


def _check_propagation(regressor):
    features, places = regressor._feature_columns, regressor._coordinate_columns
    _check_columns(regressor, features, places)
    _check_flatness(regressor)
    n_features, n_places = len(features), len(places)
    n_samples, n_outputs = regressor.n_samples_fit_, regressor.n_outputs_
    samples = regressor._samples
    n_bins = len(samples.edges) - 1
    ensure(n_features and n_samples > 0 and n_bins > 0, "there is nothing to search")
    n_cells = int(np.prod(samples.shape, dtype=object))
    for name, array, shape, dtype in (
        ("axes", regressor._axes, (n_features, n_features), "f4"),
        ("origin", regressor._origin, (n_places,), "f8"),
        ("feature centre", regressor._feature_scaling[0], (n_features,), "f8"),
        ("feature scale", regressor._feature_scaling[1], (n_features,), "f8"),
        ("target centre", regressor._target_scaling[0], (n_outputs,), "f8"),
        ("target scale", regressor._target_scaling[1], (n_outputs,), "f8"),
        ("targets", regressor._targets, (n_samples, n_outputs), "f4"),
        ("columns", samples.columns, (n_samples, n_features), "f4"),
        ("places", samples.places, (n_samples, n_places), "f4"),
        ("edges", samples.edges[1:-1], (n_bins - 1,), "f4"),
        ("grid origin", samples.origin, (3,), "f8"),
        ("grid side", samples.side, (3,), "f8"),
        ("grid shape", samples.shape, (3,), "i8"),
        ("grid starts", samples.starts, (n_cells + 1,), "i8"),
    ):
        check_array(regressor, name, array, shape, dtype)
    starts = samples.starts
    ensure(
        (samples.side > 0).all()
        and (samples.shape > 0).all()
        and (starts[0], starts[-1]) == (0, n_samples)
        and (np.diff(starts) >= 0).all(),
        "the grid of samples is broken",
    )
    ensure(0 < regressor._window < np.inf, "the window has no size")


def _check_sparse(regressor):
    _check_columns(regressor, regressor._columns)
    _check_flatness(regressor)
    n_columns, n_outputs = len(regressor._columns), regressor.n_outputs_
    n_atoms = len(regressor.source_components_)
    for name, array, shape in (
        ("source_components_", regressor.source_components_, (n_atoms, n_columns + 1)),
        ("target_components_", regressor.target_components_, (n_atoms, n_outputs)),
        ("target centre", regressor._target_scaling[0], (n_outputs,)),
        ("target scale", regressor._target_scaling[1], (n_outputs,)),
        *(("source scaling", each, (n_columns,)) for each in regressor._source_scaling),
    ):
        check_array(regressor, name, array, shape)
    alpha, n_nonzero = regressor._coding
    ensure(
        n_atoms > 0
        and len(regressor._source_scaling) == 3
        and np.isfinite([regressor._constant, alpha]).all()
        and isinstance(n_nonzero, Integral)
        and n_nonzero > 0,
        "there is nothing to code by",
    )


def _check_normalizer(normalizer):
    normalizer.check_consistency()


def _check_synthesizer(synthesizer):
    preparation = synthesizer.preparation_
    preparation.check_consistency()
    n_features = preparation.window.n_features(len(preparation.source_normalizers))
    n_outputs = preparation.window.n_outputs(len(preparation.target_normalizers))
    regressor = synthesizer.estimator_
    check_is_fitted(regressor)
    ensure(
        getattr(regressor, "n_features_in_", n_features) == n_features
        and _n_outputs(regressor) in (None, n_outputs),
        f"the patches have {n_features} features and {n_outputs} outputs, which are "
        f"not those of {type(regressor).__name__}",
    )
    ensure(sum(synthesizer.n_voxels_) > 0, "training voxels were not counted")


def _check_trees(forest):
    """scikit-learn's boosted trees: children follow their parents, to leaves."""
    bins = forest._bin_mapper
    for categories in itertools.compress(bins.bin_thresholds_, bins.is_categorical_):
        ensure(
            ((categories >= 0) & (categories < 256)).all(), "a category has no number"
        )
    for trees in forest._predictors:
        for tree in trees:
            nodes = tree.nodes
            here = np.arange(len(nodes))
            inner = nodes["is_leaf"] == 0
            ensure(len(nodes) > 0, "a tree has no nodes")
            for child in (nodes["left"][inner], nodes["right"][inner]):
                ensure(
                    (child > here[inner]).all() and (child < len(nodes)).all(),
                    "a tree's children are not among its nodes",
                )
            features = nodes["feature_idx"][inner]
            bitsets = nodes["bitset_idx"][inner & (nodes["is_categorical"] != 0)]
            ensure(
                (features >= 0).all()
                and (features < forest.n_features_in_).all()
                and (bitsets < len(tree.raw_left_cat_bitsets)).all(),
                "a tree asks for features that are not there",
            )
    if forest._preprocessor is None and not hasattr(forest, "feature_names_in_"):
        forest.predict(np.zeros((1, forest.n_features_in_)))


def _n_outputs(regressor):
    return getattr(getattr(regressor, "estimator_", regressor), "n_outputs_", None)


_CHECKS = {
    "CDNRegressor": _check_network,
    "LSDNRegressor": _check_network,
    "VDNRegressor": _check_network,
    "ShrinkConnect": _check_shrunken,
    "EnsembleRegressor": _check_ensemble,
    "ModalityPropagationRegressor": _check_propagation,
    "CoupledSparseRegressor": _check_sparse,
    "ZScoreNormalizer": _check_normalizer,
    "PercentileNormalizer": _check_normalizer,
    "PeakNormalizer": _check_normalizer,
    "NyulNormalizer": _check_normalizer,
    "VolumeSynthesizer": _check_synthesizer,
}

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
from .._utils.sklearn_private import _is_fitted

_COARSEST = 256  # voxels from one of a patch's to the next: more would fill the memory


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


def _require(true, what):
    if not true:
        raise ValueError(what)


def _check_array(owner, name, array, shape, dtype="f8"):
    what = f"{name} of {type(owner).__name__}"
    _require(isinstance(array, np.ndarray), f"{what} is no array")
    _require(
        array.shape == shape,
        f"{what} has shape {array.shape} in the place of {shape}",
    )
    _require(array.dtype == np.dtype(dtype), f"{what} holds {array.dtype}")
    _require(np.isfinite(array).all(), f"{what} holds NaN or infinity")


def _check_columns(owner, *columns):
    """Column numbers within the features of the training data."""
    n = owner.n_features_in_
    for column in [n, *(column for part in columns for column in part)]:
        _require(isinstance(column, Integral), "a column has no whole number")
    for part in columns:
        _require(
            isinstance(part, list) and (not part or 0 <= min(part) <= max(part) < n),
            f"columns of {type(owner).__name__} are not among its {n}",
        )
    used = [column for part in columns for column in part]
    _require(len(used) == len(set(used)), "a column is used twice")


def _check_flatness(regressor):
    flat = regressor._flat_target
    _require(isinstance(flat, bool), "it is not said what y was")
    _require(regressor.n_outputs_ == 1 or not flat, "y was not flat")


def _check_network(network):
    features, coordinates = network._feature_columns, network._coordinate_columns
    _check_columns(network, features, coordinates)
    biases = network.intercepts_
    sizes = [len(features), *(len(bias) for bias in biases)]
    _require(len(sizes) > 2 and min(sizes) > 0, "a layer is missing")
    _require(sizes[-1] == network.n_outputs_, "the last layer is not that of outputs")
    _require(len(network.coefs_) == len(biases), "a layer is missing")
    for k, (filters, bias) in enumerate(zip(network.coefs_, biases, strict=True)):
        _check_array(network, f"coefs_[{k}]", filters, (sizes[k], sizes[k + 1]))
        _check_array(network, f"intercepts_[{k}]", bias, (sizes[k + 1],))
    latent = network.latent_coordinates_
    _check_array(network, "latent_coordinates_", latent, (sizes[1], len(coordinates)))
    n = {"feature": sizes[0], "coordinate": len(coordinates), "target": sizes[-1]}
    for name in (field.name for field in fields(Scaling)):
        shape = (n["feature"],) * 2 if name == "whitening" else (n[name.split("_")[0]],)
        _check_array(network, name, getattr(network._scaling, name), shape)
    _check_flatness(network)
    sigma = network._sigma
    _require(isinstance(sigma, Real) and 0 < sigma < np.inf, f"sigma is {sigma!r}")
    _require(isinstance(network.n_iter_, Integral), "epochs were not counted")
    _require(isinstance(network.loss_curve_[-1], Real), "no loss was recorded")
    state = network._optimizer_state
    if state is not None:
        for name in ("first_moment", "second_moment"):
            n_parameters = network._architecture().n_parameters
            _check_array(network, name, state[name], (n_parameters,), "f4")
        counts = state["n_epochs"], state["n_steps"]
        _require(all(isinstance(n, Integral) for n in counts), "steps are no number")


def _check_shrunken(shrink):
    network = shrink.estimator_
    n_hidden = len(network.intercepts_) - 1
    _require(
        len(shrink.support_) == len(shrink.coefficients_) == n_hidden,
        "support_ and coefficients_ are not those of the hidden layers",
    )
    _require(
        shrink.n_features_in_ == network.n_features_in_
        and shrink._n_features_out == len(network.intercepts_[-2]),
        "ShrinkConnect and its network differ in size",
    )


def _check_ensemble(ensemble):
    n_features = ensemble.n_features_in_
    members = [*ensemble.estimators_, ensemble.noise_estimator_]
    _require(len(members) > 1, "an ensemble has no members")
    for member in members:
        check_is_fitted(member)
        _require(
            getattr(member, "n_features_in_", n_features) == n_features
            and _n_outputs(member) in (None, ensemble.n_outputs_),
            "members of an ensemble differ in size",
        )
    scale = ensemble.noise_scale_
    _check_array(ensemble, "noise_scale_", scale, (ensemble.n_outputs_,))


def _check_propagation(regressor):
    features, places = regressor._feature_columns, regressor._coordinate_columns
    _check_columns(regressor, features, places)
    _check_flatness(regressor)
    n_features, n_places = len(features), len(places)
    n_samples, n_outputs = regressor.n_samples_fit_, regressor.n_outputs_
    samples = regressor._samples
    n_bins = len(samples.edges) - 1
    _require(n_features and n_samples > 0 and n_bins > 0, "there is nothing to search")
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
        _check_array(regressor, name, array, shape, dtype)
    starts = samples.starts
    _require(
        (samples.side > 0).all()
        and (samples.shape > 0).all()
        and (starts[0], starts[-1]) == (0, n_samples)
        and (np.diff(starts) >= 0).all(),
        "the grid of samples is broken",
    )
    _require(0 < regressor._window < np.inf, "the window has no size")


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
        _check_array(regressor, name, array, shape)
    alpha, n_nonzero = regressor._coding
    _require(
        n_atoms > 0
        and len(regressor._source_scaling) == 3
        and np.isfinite([regressor._constant, alpha]).all()
        and isinstance(n_nonzero, Integral)
        and n_nonzero > 0,
        "there is nothing to code by",
    )


def _check_normalizer(normalizer):
    names = ["typical_"] + ["landmarks_"] * hasattr(normalizer, "landmarks_")
    n = len(normalizer.percentiles) if len(names) > 1 else 2
    for name in names:
        _check_array(normalizer, name, getattr(normalizer, name), (n,))


def _check_synthesizer(synthesizer):
    from ..volumes._masks import Masker
    from ..volumes._normalizer import Normalizer
    from ..volumes._sampling import Window

    size, scales, target_size, coordinates = synthesizer._window
    kind = "world" if coordinates else None
    window = Window.of(size, scales, target_size, kind)
    _require(
        min(size, target_size) > 0 and max(scales) <= _COARSEST, "a patch has no size"
    )
    normalizers = synthesizer.source_normalizers_, synthesizer.target_normalizers_
    n_sources, n_targets = map(len, normalizers)
    _require(n_targets > 0, "there is no target contrast")
    _require(synthesizer.n_contrasts_in_ == n_sources, "contrasts are missing")
    for normalizer in (each for part in normalizers for each in part):
        _require(isinstance(normalizer, Normalizer), "a contrast is not normalised")
        _check_normalizer(normalizer)
    _check_array(synthesizer, "background_", synthesizer.background_, (n_sources,))
    _check_array(synthesizer, "voxel_size_", synthesizer.voxel_size_, (3,))
    n_features = n_sources * len(scales) * size**3 + 3 * window.coordinates
    n_outputs = n_targets * target_size**3
    regressor = synthesizer.estimator_
    check_is_fitted(regressor)
    _require(
        getattr(regressor, "n_features_in_", n_features) == n_features
        and _n_outputs(regressor) in (None, n_outputs),
        f"the patches have {n_features} features and {n_outputs} outputs, which are "
        f"not those of {type(regressor).__name__}",
    )
    _require(sum(synthesizer.n_voxels_) > 0, "training voxels were not counted")
    masker = synthesizer._masker
    _require(isinstance(masker, Masker), "there is no mask")
    strategies = "nonzero", "mni152", "image"
    _require(masker.strategy in strategies, "the kind of mask is not known")
    _require(masker.strategy == synthesizer.mask_strategy_, "masks are mixed up")
    if masker.strategy == "image":
        shape = masker.data.shape
        _require(len(shape) == 3 and min(shape) > 0, "the mask has no volume")
        _check_array(synthesizer, "the mask", masker.data, shape, "u1")
        _check_array(synthesizer, "the mask's affine", masker.affine, (4, 4))
        np.linalg.inv(masker.affine)


def _check_trees(forest):
    """scikit-learn's boosted trees: children follow their parents, to leaves."""
    bins = forest._bin_mapper
    for categories in itertools.compress(bins.bin_thresholds_, bins.is_categorical_):
        _require(
            ((categories >= 0) & (categories < 256)).all(), "a category has no number"
        )
    for trees in forest._predictors:
        for tree in trees:
            nodes = tree.nodes
            here = np.arange(len(nodes))
            inner = nodes["is_leaf"] == 0
            _require(len(nodes) > 0, "a tree has no nodes")
            for child in (nodes["left"][inner], nodes["right"][inner]):
                _require(
                    (child > here[inner]).all() and (child < len(nodes)).all(),
                    "a tree's children are not among its nodes",
                )
            features = nodes["feature_idx"][inner]
            bitsets = nodes["bitset_idx"][inner & (nodes["is_categorical"] != 0)]
            _require(
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

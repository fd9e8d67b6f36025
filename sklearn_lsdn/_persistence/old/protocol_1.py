"""Protocol 1: classes were named by the files that they stood in.

Regressors had what a `Network` holds now among their own attributes, and synthesizers
what a `Preparation` does, with a parameter for each random change.
"""

from ..._network.network import Network
from ...volumes._augmentation import Augmentation
from ...volumes._preparation import Preparation
from ...volumes._sampling import Window

_HOMES = {
    "baselines.coupled_sparse": ["CoupledSparseRegressor"],
    "baselines.modality_propagation": ["ModalityPropagationRegressor"],
    "ensemble": ["EnsembleRegressor"],
    "regressor": ["CDNRegressor", "LSDNRegressor", "VDNRegressor"],
    "shrink": ["ShrinkConnect"],
    "volumes.synthesizer": ["VolumeSynthesizer"],
    "volumes.normalization": [
        "volumes.NyulNormalizer",
        "volumes.PeakNormalizer",
        "volumes.PercentileNormalizer",
        "volumes.ZScoreNormalizer",
    ],
    "baselines.neighbors": ["parts.WindowedSamples"],
    "network.scaling": ["parts.Scaling"],
    "volumes.masks": ["parts.Masker"],
}
NAMES = {
    f"sklearn_lsdn.{home}.{name.rpartition('.')[2]}": f"sklearn_lsdn.{name}"
    for home, names in _HOMES.items()
    for name in names
}


def upgrade(part) -> None:
    """Change a part of a model in place."""
    state = vars(part)
    if "_scaling" in state:
        _hold_network(state)
    if "coefficients_" in state:
        sizes = map(len, state.pop("coefficients_"))
        state["full_hidden_layer_sizes_"] = tuple(sizes)
        del state["_n_features_out"]
    if "_coding" in state:
        state["_alpha"], _ = state.pop("_coding")
        del state["algorithm"], state["n_nonzero_coefs"]
    if "random_mirror" in state:
        _augment(state)
    if state.get("strategy") == "nonzero":  # of a Masker
        state["strategy"] = "background"
    if "_window" in state and "_masker" in state:
        _prepare(state)


def _hold_network(state):
    state["network_"] = Network(
        tuple(state.pop("coefs_")),
        tuple(state.pop("intercepts_")),
        state.pop("latent_coordinates_"),
        state.pop("_scaling"),
        tuple(state.pop("_feature_columns")),
        tuple(state.pop("_coordinate_columns")),
        state.pop("_sigma"),
    )
    state["_moments"] = state.pop("_optimizer_state")
    del state["n_outputs_"]


def _augment(state):
    for name in ("random_gain", "random_offset", "random_gamma"):
        del state[name]
    names = "random_mirror", "random_shift", "random_bias_field"
    state["augmentation"] = Augmentation(*(state.pop(name) for name in names))
    state["places"] = state.pop("coordinates")


def _prepare(state):
    *sizes, in_world = state.pop("_window")
    state["preparation_"] = Preparation(
        state.pop("_masker"),
        Window(*sizes, "world" if in_world else None),
        state.pop("source_normalizers_"),
        state.pop("target_normalizers_"),
        state.pop("voxel_size_"),
    )
    for name in ("background_", "mask_strategy_", "n_contrasts_in_"):
        del state[name]

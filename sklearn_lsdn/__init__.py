"""Cross-modality synthesis of medical images with location-sensitive networks."""

from importlib import import_module
from typing import TYPE_CHECKING

from ._version import __version__

_HOME = {
    "CDNRegressor": "_regressors.networks",
    "CoupledSparseRegressor": "_baselines.coupled_sparse",
    "EnsembleRegressor": "_regressors.ensemble",
    "LSDNRegressor": "_regressors.networks",
    "ModalityPropagationRegressor": "_baselines.modality_propagation",
    "ShrinkConnect": "_regressors.shrink_connect",
    "VDNRegressor": "_regressors.networks",
    "VolumeSynthesizer": "volumes",
    "load_model": "_persistence.model_files",
    "psnr_score": "metrics",
    "register_onnx_converters": "_export",
    "save_model": "_persistence.model_files",
    "simultaneous_omp": "_regressors.pursuit",
    "snr_score": "metrics",
    "snr_scorer": "metrics",
    "ssim_score": "metrics",
    "to_onnx": "_export",
    "volume_snr_scorer": "metrics",
}
__all__ = [*_HOME]


def __getattr__(name):
    """Import what is asked for, so that nothing else has to be waited for."""
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])


if TYPE_CHECKING:
    from ._baselines.coupled_sparse import CoupledSparseRegressor
    from ._baselines.modality_propagation import ModalityPropagationRegressor
    from ._export import register_onnx_converters, to_onnx
    from ._persistence.model_files import load_model, save_model
    from ._regressors.ensemble import EnsembleRegressor
    from ._regressors.networks import CDNRegressor, LSDNRegressor, VDNRegressor
    from ._regressors.pursuit import simultaneous_omp
    from ._regressors.shrink_connect import ShrinkConnect
    from .metrics import (
        psnr_score,
        snr_score,
        snr_scorer,
        ssim_score,
        volume_snr_scorer,
    )
    from .volumes import VolumeSynthesizer

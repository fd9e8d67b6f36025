"""Cross-modality synthesis of medical images with location-sensitive networks."""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0.dev0"

_HOME = {
    "CDNRegressor": "regressor",
    "CoupledSparseRegressor": "baselines.coupled_sparse",
    "EnsembleRegressor": "ensemble",
    "LSDNRegressor": "regressor",
    "ModalityPropagationRegressor": "baselines.modality_propagation",
    "ShrinkConnect": "shrink",
    "VDNRegressor": "regressor",
    "VolumeSynthesizer": "volumes",
    "load_model": "persistence",
    "psnr_score": "metrics",
    "register_onnx_converters": "export",
    "save_model": "persistence",
    "simultaneous_omp": "pursuit",
    "snr_score": "metrics",
    "snr_scorer": "metrics",
    "ssim_score": "metrics",
    "to_onnx": "export",
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
    from .baselines.coupled_sparse import CoupledSparseRegressor
    from .baselines.modality_propagation import ModalityPropagationRegressor
    from .ensemble import EnsembleRegressor
    from .export import register_onnx_converters, to_onnx
    from .metrics import (
        psnr_score,
        snr_score,
        snr_scorer,
        ssim_score,
        volume_snr_scorer,
    )
    from .persistence import load_model, save_model
    from .pursuit import simultaneous_omp
    from .regressor import CDNRegressor, LSDNRegressor, VDNRegressor
    from .shrink import ShrinkConnect
    from .volumes import VolumeSynthesizer

# The public names and where they are from: for type checkers, and for __init__.py.

from ._baselines.coupled_sparse import (
    CoupledSparseRegressor as CoupledSparseRegressor,
)
from ._baselines.modality_propagation import (
    ModalityPropagationRegressor as ModalityPropagationRegressor,
)
from ._export.converters import register_onnx_converters as register_onnx_converters
from ._export.models import to_onnx as to_onnx
from ._persistence.model_files import load_model as load_model
from ._persistence.model_files import save_model as save_model
from ._regressors.classifiers import CDNClassifier as CDNClassifier
from ._regressors.classifiers import LSDNClassifier as LSDNClassifier
from ._regressors.classifiers import VDNClassifier as VDNClassifier
from ._regressors.ensemble import EnsembleRegressor as EnsembleRegressor
from ._regressors.networks import CDNRegressor as CDNRegressor
from ._regressors.networks import LSDNRegressor as LSDNRegressor
from ._regressors.networks import VDNRegressor as VDNRegressor
from ._regressors.pursuit import simultaneous_omp as simultaneous_omp
from ._regressors.shrink_connect import ShrinkConnect as ShrinkConnect
from ._version import __version__ as __version__
from .jobs import leave_one_subject_out as leave_one_subject_out
from .jobs import predict_files as predict_files
from .metrics import dice_score as dice_score
from .metrics import dice_scorer as dice_scorer
from .metrics import psnr_score as psnr_score
from .metrics import snr_score as snr_score
from .metrics import snr_scorer as snr_scorer
from .metrics import ssim_score as ssim_score
from .metrics import (
    volume_average_precision_scorer as volume_average_precision_scorer,
)
from .metrics import volume_dice_scorer as volume_dice_scorer
from .metrics import volume_snr_scorer as volume_snr_scorer
from .volumes import VolumeSegmenter as VolumeSegmenter
from .volumes import VolumeSynthesizer as VolumeSynthesizer

"""Jobs on many subjects, from files to files."""

from ._evaluation import Evaluation
from ._leave_one_out import leave_one_subject_out
from ._prediction import predict_files

__all__ = ["Evaluation", "leave_one_subject_out", "predict_files"]

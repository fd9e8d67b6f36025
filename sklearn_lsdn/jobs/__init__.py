"""Jobs on many subjects, from files to files."""

from ._evaluation import Evaluation, leave_one_subject_out
from ._prediction import predict_files

__all__ = ["Evaluation", "leave_one_subject_out", "predict_files"]

"""Scores of folds, kept in a folder so that an evaluation that was cut off goes on."""

import json
import platform
from pathlib import Path

import joblib
import numpy as np
import scipy
import sklearn
from sklearn.frozen import FrozenEstimator

from . import __version__
from ._files import make_folder, written_whole

_FREE = ("n_jobs", "verbose", "memory", "max_memory")  # may change in between
_SCORES = {"snr", "psnr", "fit_seconds", "predict_seconds"}


class FoldRecords:
    """A folder with a file for each fold, named after all that decides its scores.

    Parameters
    ----------
    folder : path-like
        It is made.
    """

    def __init__(self, folder):
        make_folder(folder)
        self._folder = Path(folder).absolute()  # for workers elsewhere, too

    def read(self, key, subjects):
        """What a fold's file holds, or None unless it is there, whole and of this key.

        Parameters
        ----------
        key : str
            As `fold_key` makes it.
        subjects : list of str
            Of whom there must be scores, in this order.
        """
        try:
            kept = json.loads(self._path(key).read_text())
            records = kept["records"]
            whole = kept["key"] == key and [r["subject"] for r in records] == subjects
            whole = whole and all(
                isinstance(record[name], float)
                for record in records
                for name in _SCORES
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return records if whole else None

    def write(self, key, records):
        """Keep the scores of a fold, whole or not at all."""
        with written_whole(self._path(key), overwrite=True) as path:
            path.write_text(json.dumps({"key": key, "records": records}, indent=1))

    def _path(self, key):
        return self._folder / f"fold-{key}.json"


def fold_key(name, synthesizer, fingerprints, subjects, fold) -> str:
    """Hash of all that decides the scores of a fold.

    Parameters
    ----------
    name : str
        Of the method.
    synthesizer : estimator
        With all its parameters.
    fingerprints : list
        Of the images of each subject.
    subjects : list of str
    fold : pair of arrays of int
        Whom to train on, and whom to score.
    """
    parameters = {
        key: _decisive(value)
        for key, value in synthesizer.get_params(deep=True).items()
        if key.split("__")[-1] not in _FREE
    }
    versions = [__version__, np.__version__, scipy.__version__, sklearn.__version__]
    parts = [[(fingerprints[i], subjects[i]) for i in part] for part in fold]
    whole = name, _decisive(synthesizer), parameters, parts, versions
    return joblib.hash((*whole, platform.machine()))


def _decisive(value):
    """What of a parameter decides scores, besides the parameters that it has."""
    if isinstance(value, FrozenEstimator):  # it is not fitted again
        return joblib.hash(value)
    return type(value).__qualname__ if hasattr(value, "get_params") else repr(value)

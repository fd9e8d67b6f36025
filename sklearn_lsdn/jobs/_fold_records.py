"""Scores of folds, kept in a folder so that an evaluation that was cut off goes on."""

import json
import platform
from pathlib import Path

import joblib
import numpy as np
import scipy
import sklearn
from sklearn.frozen import FrozenEstimator

from .._utils.files import make_folder, written_whole
from .._version import __version__

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

    def done_before(self, keys, tasks, subjects) -> dict:
        """Scores that are there, by the keys that `fold_keys` made of tasks."""
        before = {}
        for key, (_, _, (_, test)) in zip(keys, tasks, strict=True):
            records = self.read(key, [subjects[i] for i in test])
            if records is not None:
                before[key] = records
        return before

    def write(self, key, records):
        """Keep the scores of a fold, whole or not at all."""
        with written_whole(self._path(key), overwrite=True) as path:
            path.write_text(json.dumps({"key": key, "records": records}, indent=1))

    def _path(self, key):
        return self._folder / f"fold-{key}.json"


def fold_keys(tasks, pairs, subjects, maskers) -> list[str]:
    """Hashes of all that decides the scores of folds.

    Parameters
    ----------
    tasks : list of (str, estimator, (train, test))
        The method's name, the synthesizer with all its parameters, and whom to train
        on and whom to score.
    pairs : pair of lists of list of ImageFile
        Sources and targets of each subject.
    subjects : list of str
    maskers : dict of str to Masker
        Of each method.
    """
    files = [
        [file.fingerprint() for file in [*source, *target]]
        for source, target in zip(*pairs, strict=True)
    ]
    masks = {name: mask_hash(masker) for name, masker in maskers.items()}
    return [
        _fold_key(name, synthesizer, masks[name], files, subjects, fold)
        for name, synthesizer, fold in tasks
    ]


def mask_hash(masker) -> str:
    """What tells one way to find the brain from another."""
    return joblib.hash((masker.strategy, masker.data, masker.affine))


def _fold_key(name, synthesizer, mask, files, subjects, fold):
    parameters = {
        key: _decisive(value)
        for key, value in synthesizer.get_params(deep=True).items()
        if key.split("__")[-1] not in _FREE
    }
    versions = [__version__, np.__version__, scipy.__version__, sklearn.__version__]
    parts = [[(files[i], subjects[i]) for i in part] for part in fold]
    method = name, _decisive(synthesizer), parameters, mask
    return joblib.hash((method, parts, versions, platform.machine()))


def _decisive(value):
    """What of a parameter decides scores, besides the parameters that it has."""
    if isinstance(value, FrozenEstimator):  # it is not fitted again
        return joblib.hash(value)
    return type(value).__qualname__ if hasattr(value, "get_params") else repr(value)

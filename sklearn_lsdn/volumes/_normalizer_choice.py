"""Which normaliser suits a cohort: the one that serves best on subjects held back."""

from dataclasses import replace

import numpy as np
from sklearn.model_selection import GroupKFold

from .._regressors.networks import LSDNRegressor
from .._regressors.roles import role_of
from ..metrics import snr_score
from ._augmentation import resolve_augmentation
from ._normalizer import NormalizerChoice

_N_VOXELS = 4000  # of each subject
_N_FOLDS = 3  # at most
_NETWORK = dict(hidden_layer_sizes=(50, 5), max_iter=20)  # quick, and tells enough


def decide(normalizer, preparation, samples, owners, rng) -> tuple:
    """Choose among normalisers, if there is a choice.

    A small network is trained with each on some voxels of most subjects, and predicts
    the others, by whole subjects. The first counts where there is but one.

    Parameters
    ----------
    normalizer : normalizer or NormalizerChoice
    preparation : Preparation
        Of which samples were drawn.
    samples : list of Sample
    owners : array-like of shape (n_samples,)
        Whose they are.
    rng : RandomState

    Returns
    -------
    preparation : Preparation
        With normalisers of the chosen kind.
    samples : list of Sample
        With what these say of their scans.
    """
    if not isinstance(normalizer, NormalizerChoice):
        return preparation, samples
    seed, kinds = rng.randint(np.iinfo(np.int32).max), normalizer.kinds()
    if len(np.unique(owners)) == 1:
        best = 0
    else:
        some = [_part(sample) for sample in samples]
        scores = [
            _score(*_with(kind, n, preparation, some), owners, seed)
            for n, kind in enumerate(kinds)
        ]
        best = int(np.argmax(scores))
    return _with(kinds[best], best, preparation, samples)


def _part(sample):
    """The same of some of its voxels, spread over the brain."""
    rows = slice(None, None, max(1, len(sample.patches) // _N_VOXELS))
    names = "patches", "coordinates", "targets"
    return replace(sample, **{name: getattr(sample, name)[rows] for name in names})


def _with(kind, n, preparation, samples):
    """Preparation and samples with the n-th of the normalisers."""
    picked = [
        replace(
            sample,
            source_descriptions={
                c: each[n] for c, each in sample.source_descriptions.items()
            },
            target_descriptions=[each[n] for each in sample.target_descriptions],
        )
        for sample in samples
    ]
    return preparation.normalised_by(kind), picked


def _score(preparation, samples, owners, seed):
    """Mean SNR in dB of subjects held back, in the units of their scans."""
    preparation = preparation.fitted(samples)
    truths = [_centres(sample.targets) for sample in samples]
    X, y = preparation.arrays([*samples], resolve_augmentation(None), [seed])
    X = np.nan_to_num(X)  # where a source is missing
    y = _centres(y.reshape(len(y), len(preparation.target_normalizers), -1))
    stop = np.cumsum([len(each) for each in truths])
    which = np.repeat(np.arange(len(samples)), [len(each) for each in truths])
    owners = np.unique(owners, return_inverse=True)[1][which]
    scores = []
    folds = GroupKFold(min(_N_FOLDS, owners.max() + 1))
    for known, held in folds.split(X, groups=owners):
        network = LSDNRegressor(**_NETWORK, random_state=seed)
        located = preparation.window.places is not None
        role_of(network).join(verbose=0, has_coordinates=located)
        network.fit(X[known], y[known])
        for i in np.unique(which[held]):
            rows = slice(stop[i] - len(truths[i]), stop[i])
            means = network.predict(X[rows]).reshape(len(truths[i]), -1)
            units = samples[i].target_descriptions
            predicted = np.transpose(preparation.intensities(means, units))
            scores.append(snr_score(truths[i], predicted))
    return np.mean(scores)


def _centres(targets):
    """Of target patches; ndarray of shape (n_voxels, n_targets)."""
    return targets[:, :, targets.shape[2] // 2]

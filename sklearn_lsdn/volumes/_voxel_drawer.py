"""What a synthesizer trains on: voxels drawn from subjects, as arrays."""

from functools import partial

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._utils.parallel import parallel_map
from .._utils.store import Store
from ._augmentation import Augmentation
from ._budget import TrainingPlan
from ._sampling import Window, draw_sample, training_arrays
from ._subjects import pair_subjects


class VoxelDrawer:
    """The part of `VolumeSynthesizer` that reads subjects to train on."""

    def sample_voxels(
        self, sources, targets, *, random_state=None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw voxels as `fit` does, on the scale of a fitted synthesizer.

        For training ``estimator_`` further, shrinking it, or comparing regressors.

        Parameters
        ----------
        sources : list
            Images of each subject, as in `fit`.
        targets : list
            The target scans, likewise.
        random_state : int, RandomState instance or None, default=None
            Draws the voxels.

        Returns
        -------
        X : float32 array of shape (n_voxels, n_features)
            Patches and coordinates.
        y : float32 array of shape (n_voxels,) or (n_voxels, n_outputs)
            Normalised target intensities: for each contrast in turn the patch, or
            the voxel alone where ``target_patch_size`` is 1.
        """
        check_is_fitted(self)
        return self._sample_to_train(None, sources, targets, random_state)[:2]

    def _sample_to_train(self, estimator, sources, targets, random_state):
        """Draw voxels to train an estimator on, or None, and plan that training."""
        sources, targets = pair_subjects(sources, targets)
        self._check_contrasts(sources, "sources", self.n_contrasts_in_)
        self._check_contrasts(targets, "targets", len(self.target_normalizers_))
        normalizers = [self.source_normalizers_, self.target_normalizers_]
        rng = check_random_state(random_state)
        seeds = rng.randint(np.iinfo(np.int32).max, size=len(sources))
        window = Window(*self._window)
        plan = TrainingPlan(self, estimator, window, sources, targets)
        drawn = self._draw_samples(
            sources, targets, self._masker, normalizers, window, seeds, plan.n_readers
        )
        samples = list(drawn)
        X, y = self._training_arrays(
            samples, normalizers, self.background_, window, seeds
        )
        return X, y, plan

    def _draw_samples(
        self, sources, targets, masker, normalizers, window, seeds, n_readers
    ):
        shared = Store(self.memory), masker, normalizers, window, self.n_voxels
        jobs = zip(sources, targets, seeds, strict=True)
        samples = parallel_map(_draw, shared, jobs, n_jobs=n_readers, prefer="threads")
        for n, sample in enumerate(samples, start=1):
            if self.verbose:
                print(f"Read subject {n} of {len(sources)}", flush=True)
            yield sample

    def _training_arrays(self, samples, normalizers, background, window, seeds):
        augmentation = Augmentation(
            0.5 if self.random_mirror else 0.0,
            self.random_gain,
            self.random_offset,
            self.random_gamma,
            self.random_bias_field,
            self.random_shift,
        )
        rng = np.random.RandomState(seeds)
        return training_arrays(
            samples, normalizers, background, window, augmentation, rng
        )


def _draw(store, masker, normalizers, window, n_voxels, sources, targets, seed):
    """Draw voxels of one subject, from the files or from a cache."""
    options = masker, normalizers, window, n_voxels, seed
    make = partial(draw_sample, sources, targets, *options)
    if not store:
        return make()
    images = [[file.fingerprint() for file in files] for files in (sources, targets)]
    return store.made(make, images, *options)

"""What a fitted synthesizer does with volumes: predict them, and be scored."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._regressors.ensemble import EnsembleRegressor
from ..metrics import snr_score
from ._budget import check_prediction
from ._sampling import Window
from ._scales import smoothed
from ._sliding_window import SlidingWindow
from ._subjects import describe, open_subjects, pair_subjects


class VolumePredictor:
    """The half of `VolumeSynthesizer` that comes after `fit`."""

    def predict(
        self, sources, *, scale_to=None, return_std=False
    ) -> list | tuple[list, list]:
        """Synthesise the target contrast of each subject.

        Parameters
        ----------
        sources : list
            Images of each subject, as in `fit`.
        scale_to : list, default=None
            Scans of the target contrast whose units to answer in, one entry a
            subject: their normalisation maps the synthesis back. By default
            answers come in the units of a typical training scan.
        return_std : bool, default=False
            Also return how far the synthesis may be off; it takes an ensemble.

        Returns
        -------
        images : list of Nifti1Image
            One for each subject, or a list of them for several target contrasts:
            float32, on the grid of the subject's image, 0 outside the brain.
        std_images : list of Nifti1Image
            With ``return_std``: the standard deviation in each voxel, likewise, as
            it was before ``smoothing``.

        Raises
        ------
        FileNotFoundError, TypeError, ValueError
            As `fit`.
        """
        check_is_fitted(self)
        if scale_to is None:
            sources = open_subjects(sources, "sources")
            scans = [None] * len(sources)
        else:
            sources, scans = pair_subjects(sources, scale_to, "scale_to")
            self._check_contrasts(scans, "scale_to", len(self.target_normalizers_))
        self._check_contrasts(sources, "sources", self.n_contrasts_in_)
        if return_std:
            self.check_ensemble()
        check_prediction(self, sources, scans, n_images=1 + bool(return_std))
        images, std_images = [], []
        for source, scan in zip(sources, scans, strict=True):
            each = self._predict_subject(source, scan, return_std)
            one = len(self.target_normalizers_) == 1
            images.append(each[0][0] if one else each[0])
            if return_std:
                std_images.append(each[1][0] if one else each[1])
        return (images, std_images) if return_std else images

    def check_ensemble(self) -> None:
        """Raise ValueError unless there are several members to disagree."""
        check_is_fitted(self)
        if not isinstance(self.estimator_, EnsembleRegressor):
            raise ValueError(
                "A standard deviation needs an ensemble: fit with n_estimators=2 or "
                "more (lsdn fit --n-estimators)."
            )

    def score(self, sources, targets, sample_weight=None) -> float:
        """Mean SNR of the syntheses against the scans that they should become.

        Parameters
        ----------
        sources : list
            Images of each subject, as in `fit`.
        targets : list
            The target scans, likewise.
        sample_weight : array-like of shape (n_subjects,), default=None
            Weight of each subject in the mean.

        Returns
        -------
        score : float
            Mean over subjects and target contrasts, in dB, over the brain, in the
            units of each target scan.
        """
        scores = self.score_volumes(sources, targets).mean(axis=1)
        return float(np.average(scores, weights=sample_weight))

    def score_volumes(self, sources, targets, *, metric=snr_score) -> np.ndarray:
        """Score each synthesis against the scan that it should become.

        Parameters
        ----------
        sources : list
            Images of each subject, as in `fit`.
        targets : list
            The target scans, likewise.
        metric : callable, default=snr_score
            ``metric(y_true, y_pred)`` of the brain's voxels in the units of the
            target scan.

        Returns
        -------
        scores : ndarray of shape (n_subjects, n_target_contrasts)
        """
        check_is_fitted(self)
        sources, targets = pair_subjects(sources, targets)
        self._check_contrasts(sources, "sources", self.n_contrasts_in_)
        self._check_contrasts(targets, "targets", len(self.target_normalizers_))
        check_prediction(self, sources, targets)
        scores = []
        for source, target in zip(sources, targets, strict=True):
            outputs = [file.read() for file in target]
            volumes = [file.read() for file in source]
            mask = self._masker.find([*source, *target], [*volumes, *outputs])
            predicted = self._synthesize(source, volumes, mask)
            units = describe(self.target_normalizers_, target, outputs, mask)
            scores.append(
                [
                    metric(output[mask], normalizer.from_shared(values, unit))
                    for output, values, normalizer, unit in zip(
                        outputs,
                        predicted.T,
                        self.target_normalizers_,
                        units,
                        strict=True,
                    )
                ]
            )
        return np.array(scores)

    def _check_contrasts(self, subjects, name, n_contrasts):
        if len(subjects[0]) != n_contrasts:
            raise ValueError(
                f"{name} has {len(subjects[0])} contrast(s) a subject, but training "
                f"had {n_contrasts}. Give the same contrasts, in the same order."
            )

    def _predict_subject(self, source, scan, return_std):
        volumes = [file.read() for file in source]
        mask = self._masker.find(source, volumes)
        units = [normalizer.typical_ for normalizer in self.target_normalizers_]
        if scan is not None:
            outputs = [file.read() for file in scan]
            shared = self._masker.find([*source, *scan], [*volumes, *outputs])
            units = describe(self.target_normalizers_, scan, outputs, shared)
            del outputs, shared
        predicted = self._synthesize(source, volumes, mask, return_std)
        predicted, deviations = predicted if return_std else (predicted, predicted)

        def image(values):
            output = np.zeros(mask.shape, dtype=np.float32)
            output[mask] = values
            return source[0].like(output)

        images, std_images = [], []
        for values, std, normalizer, unit in zip(
            predicted.T, deviations.T, self.target_normalizers_, units, strict=True
        ):
            images.append(image(normalizer.from_shared(values, unit)))
            if return_std:
                high = normalizer.from_shared(values + std, unit)
                low = normalizer.from_shared(values - std, unit)
                std_images.append(image((high - low) / 2))
        return images, std_images

    def _synthesize(self, files, volumes, mask, return_std=False):
        """Normalised intensities of the brain's voxels, (n_voxels, n_targets).

        With ``return_std``, their deviations as well. It empties ``volumes``, so that
        they need not be held beside their copies.
        """
        descriptions = describe(self.source_normalizers_, files, volumes, mask)

        def normalised(volume, c):
            return self.source_normalizers_[c].to_shared(volume, descriptions[c])

        window = Window(*self._window)
        padded = window.sources(
            volumes, mask, files[0].affine, self.background_, normalised
        )
        n_targets = len(self.target_normalizers_)
        slide = SlidingWindow(self.estimator_, mask, n_targets, window, self.n_jobs)
        if return_std:
            means, deviations = slide.means_and_deviations(padded)
        else:
            means = slide.means(padded)
        del padded
        if self.smoothing:
            voxel_size = np.linalg.norm(files[0].affine[:3, :3], axis=0)
            fwhm = self.smoothing / np.maximum(voxel_size, 1)
            for values in means.T:
                volume = np.zeros(mask.shape, dtype=np.float32)
                volume[mask] = values
                values[:] = smoothed(volume, mask, fwhm)[mask]
        return (means, deviations) if return_std else means

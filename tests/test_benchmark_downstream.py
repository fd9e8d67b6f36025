"""benchmarks/downstream.py: nothing leaks, and what it measures is so."""

import nibabel as nib
import numpy as np
import pytest
from conftest import REPOSITORY
from sklearn.tree import DecisionTreeClassifier

from sklearn_lsdn import VolumeSegmenter, VolumeSynthesizer


@pytest.fixture(scope="module")
def downstream():
    """The script as a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(REPOSITORY / "benchmarks")
        import downstream

        yield downstream


@pytest.fixture(scope="module")
def cohort(downstream, tmp_path_factory):
    return downstream.simulated(tmp_path_factory.mktemp("cohort"))


def test_no_synthesis_is_by_a_model_that_knows_the_subject(
    downstream, cohort, tmp_path, monkeypatch
):
    trained_on = {}

    def fit(self, sources, targets):
        self.seen = [cohort.images["T1w"].index(source) for source in sources]
        return self

    def predict(self, sources):
        (source,) = sources
        i = cohort.images["T1w"].index(source)
        trained_on.setdefault(i, []).extend(self.seen)
        return [nib.load(source)]

    monkeypatch.setattr(VolumeSynthesizer, "fit", fit)
    monkeypatch.setattr(VolumeSynthesizer, "predict", predict)
    paths = downstream.syntheses_of_fold(cohort, [1], tmp_path)
    assert sorted(paths) == [0, 1, 2]
    assert trained_on == {0: [2], 1: [0, 2], 2: [0]}


def test_the_threshold_is_the_best_on_what_was_set_aside(downstream, cohort):
    segmenter = VolumeSegmenter(
        downstream.Thresholded(DecisionTreeClassifier(max_depth=6)),
        n_voxels=500,
        random_state=0,
    ).fit(cohort.images["FLAIR"], cohort.labels)
    p, y = segmenter.estimator_.aside_
    assert len(y) == 300
    assert 0.1 < downstream.threshold_of(segmenter) < 0.9
    assert segmenter.score(cohort.images["FLAIR"], cohort.labels) > 0.8


def test_halved_voxels_lie_where_theirs_lay(downstream):
    values = np.arange(1, 4 * 4 * 5 + 1, dtype=np.float32).reshape(4, 4, 5)
    values[0, 0, 0] = 0
    image = downstream.halved(nib.Nifti1Image(values, np.diag([1, 1, 1, 1])))
    means = image.get_fdata()
    assert means.shape == (2, 2, 2)
    assert means[0, 0, 0] == 0
    assert means[1, 1, 1] == values[2:, 2:, 2:4].mean()
    np.testing.assert_array_equal(image.affine @ [1, 1, 1, 1], [2.5, 2.5, 2.5, 1])
    labels = downstream.halved(nib.Nifti1Image(values, np.eye(4)), is_label=True)
    assert (labels.get_fdata() == 1).all()


def test_a_known_motion_is_found_again(downstream, cohort):
    pytest.importorskip("SimpleITK")
    t2w = cohort.images["T2w"][0]
    errors, _ = np.transpose(downstream.register(t2w, t2w, [3, 4], False))
    assert errors.min() < 3  # mm, of voxels of 8

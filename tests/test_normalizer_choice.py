"""Which normaliser suits a cohort: `normalization="auto"`."""

import nibabel as nib
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from small_volumes import make_brain, small

from sklearn_lsdn import load_model, save_model
from sklearn_lsdn.volumes import NyulNormalizer, ZScoreNormalizer

SHAPE = 20, 22, 18


def _image(values, mask):
    return nib.Nifti1Image(np.where(mask, values, 0).astype(np.float32), np.eye(4))


def _subjects(same_anatomy, n=4):
    """Sources and targets; what one says of the other holds in shared units."""
    mask = make_brain(SHAPE)[0]
    sources, targets = [], []
    for i in range(n):
        rng = np.random.RandomState(i)
        if same_anatomy or i % 2:
            tissue = rng.uniform(-1.7, 1.7, SHAPE)
        else:  # of other shares of tissues, but the same mean and deviation
            tissue = rng.choice([-1, 1], SHAPE) + 0.1 * rng.normal(size=SHAPE)
        source, target = (tissue + 3) / 6, 2 - tissue / 6 + 0.3 * np.sin(3 * tissue)
        if same_anatomy:  # and a scanner that bends its scale
            source = source ** (0.4 + 0.5 * i)
        sources.append(_image(100 + 800 * source, mask))
        targets.append(_image(100 + 500 * target, mask))
    return sources, targets


def _auto(*parts, **parameters):
    model = small(LinearRegression(), normalization="auto", **parameters)
    return model.fit(*parts)


@pytest.mark.filterwarnings("ignore::sklearn_lsdn.exceptions.ScanWarning")
@pytest.mark.parametrize(
    ("same_anatomy", "expected"), [(True, NyulNormalizer), (False, ZScoreNormalizer)]
)
def test_what_serves_better_on_subjects_held_back_is_taken(same_anatomy, expected):
    model = _auto(*_subjects(same_anatomy))
    kinds = [*model.source_normalizers_, *model.target_normalizers_]
    assert [type(each) for each in kinds] == [expected] * 2


@pytest.mark.filterwarnings("ignore::sklearn_lsdn.exceptions.ScanWarning")
def test_it_is_chosen_once_and_for_all_contrasts(tmp_path):
    sources, targets = _subjects(True)
    pairs = [[s, t] for s, t in zip(sources, targets, strict=True)]
    model = _auto(pairs, pairs, target_patch_size=3, random_state=0)
    chosen = type(model.source_normalizers_[0])
    kinds = [*model.source_normalizers_, *model.target_normalizers_]
    assert [type(each) for each in kinds] == [chosen] * 4
    names = {NyulNormalizer: "nyul", ZScoreNormalizer: "zscore"}
    named = small(
        LinearRegression(),
        normalization=names[chosen],
        target_patch_size=3,
        random_state=0,
    ).fit(pairs, pairs)
    one, other = (each.predict(pairs[:1])[0][0] for each in (model, named))
    np.testing.assert_array_equal(one.get_fdata(), other.get_fdata())
    save_model(model, tmp_path / "model.skops")
    again = load_model(tmp_path / "model.skops")
    assert again.normalization == "auto"
    np.testing.assert_array_equal(
        again.predict(pairs[:1])[0][0].get_fdata(), one.get_fdata()
    )


@pytest.mark.filterwarnings("ignore::sklearn_lsdn.exceptions.ScanWarning")
def test_subjects_may_lack_sources():
    sources, targets = _subjects(True)
    pairs = [[s, None] for s in sources[:3]] + [[None, sources[3]]]
    model = _auto(pairs, targets, missing_sources=True)
    assert type(model.source_normalizers_[0]) in (NyulNormalizer, ZScoreNormalizer)


@pytest.mark.filterwarnings("ignore::sklearn_lsdn.exceptions.ScanWarning")
def test_one_subject_is_normalised_by_the_default():
    sources, targets = _subjects(True, 2)
    model = _auto(sources[:1], targets[:1])
    assert type(model.target_normalizers_[0]) is ZScoreNormalizer
    same = small(LinearRegression(), normalization="auto")
    same.fit(sources, targets, groups=["one", "one"])
    assert type(same.target_normalizers_[0]) is ZScoreNormalizer

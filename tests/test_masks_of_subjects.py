"""A mask of each subject: scans as scanners gave them, and where their brain is."""

import nibabel as nib
import numpy as np
import pytest
import sklearn
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut, cross_validate
from small_commands import files_of
from small_volumes import SHAPE, Cohort, framed, make_brain, make_image

from sklearn_lsdn import VolumeSynthesizer, volume_snr_scorer
from sklearn_lsdn.exceptions import MaskWarning
from sklearn_lsdn.jobs import leave_one_subject_out, predict_files
from sklearn_lsdn.jobs._scoring import score_subjects

BRAIN = framed(make_brain(SHAPE)[0])
PART = BRAIN & (np.arange(len(BRAIN)) > 4)[:, None, None]


def with_head(data, seed):
    """A scan of a brain, with bright skull around it and noise around that."""
    rng = np.random.RandomState(seed)
    around = rng.uniform(1, 20, BRAIN.shape)
    around[1:-1, 1:-1, 1:-1] += rng.uniform(100, 900, SHAPE)
    return np.where(BRAIN, framed(data), around).astype(np.float32)


class Heads:
    """The same subjects stripped and not, in memory and in files, with masks."""

    def __init__(self, folder):
        arrays = Cohort(folder).arrays
        self.stripped = [make_image(framed(a)) for a, *_ in arrays]
        self.targets = [make_image(framed(c)) for _, _, c, _ in arrays]
        self.sources, self.masks, self.paths, self.mask_paths = [], [], [], []
        for i, (a, *_) in enumerate(arrays):
            self.sources.append(make_image(with_head(a, i)))
            self.masks.append(make_image(BRAIN.astype(np.uint8)))
            self.paths.append(folder / f"sub-{i}_T1w.nii.gz")
            self.mask_paths.append(folder / f"sub-{i}_desc-brain_mask.nii.gz")
            nib.save(self.sources[i], self.paths[i])
            nib.save(self.masks[i], self.mask_paths[i])


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    return Heads(tmp_path_factory.mktemp("heads"))


def linear(**parameters):
    parameters = dict(n_voxels=400, places="world", random_state=0) | parameters
    return VolumeSynthesizer(LinearRegression(), **parameters)


@pytest.fixture(scope="module")
def fitted(heads):
    fit = linear().fit(heads.sources[:2], heads.targets[:2], masks=heads.masks[:2])
    return fit


@pytest.fixture(scope="module")
def expected(heads):
    """What stripped scans give."""
    fit = linear().fit(heads.stripped[:2], heads.targets[:2])
    return fit.predict(heads.stripped[2:])[0].get_fdata()


def test_what_lies_around_the_mask_does_not_matter(heads, fitted, expected):
    (found,) = fitted.predict(heads.sources[2:], masks=heads.masks[2:])
    np.testing.assert_array_equal(found.get_fdata(), expected)


def turned(image):
    """The same with its axes in another order and direction."""
    codes = nib.orientations.axcodes2ornt("LIP")
    return image.as_reoriented(codes)


def given_as(kind, heads):
    return {
        "image": heads.masks[2],
        "path": heads.mask_paths[2],
        "array": BRAIN,
        "list": BRAIN.astype(int).tolist(),
        "one voxel more around it": make_image(
            np.pad(BRAIN, 1).astype(np.uint8),
            heads.masks[2].affine
            @ nib.affines.from_matvec(np.eye(3), [-1.0, -1.0, -1.0]),
        ),
        "turned": turned(heads.masks[2]),
    }[kind]


@pytest.mark.parametrize(
    "kind", ["image", "path", "array", "list", "one voxel more around it", "turned"]
)
def test_a_mask_may_be_given_as(kind, heads, fitted, expected):
    (found,) = fitted.predict(heads.sources[2:], masks=[given_as(kind, heads)])
    np.testing.assert_array_equal(found.get_fdata(), expected)


def test_an_array_lies_on_the_grid_as_it_is_stored(heads, fitted, expected):
    source, mask = (turned(each[2]) for each in (heads.sources, heads.masks))
    (found,) = fitted.predict([source], masks=[mask.get_fdata()])
    there = nib.as_closest_canonical(found).get_fdata()
    np.testing.assert_allclose(there, expected, rtol=1e-5)


def test_probabilities_are_told(heads, fitted, expected):
    noise = np.random.RandomState(0).uniform(0, 0.3, BRAIN.shape)
    soft = make_image(np.where(BRAIN, 1 - noise, noise))
    with pytest.warns(MaskWarning, match=r"masks\[0\] holds values"):
        (found,) = fitted.predict(heads.sources[2:], masks=[soft])
    np.testing.assert_array_equal(found.get_fdata(), expected)


def test_subjects_without_a_mask_are_as_they_were(heads, fitted, expected):
    sources = [heads.stripped[2], heads.sources[2]]
    found = fitted.predict(sources, masks=[None, heads.masks[2]])
    for image in found:
        np.testing.assert_allclose(image.get_fdata(), expected, rtol=1e-6)


def test_scores_and_samples_take_masks(heads, fitted):
    case = heads.sources[2:], heads.targets[2:]
    score = fitted.score(*case, masks=heads.masks[2:])
    assert score > 10
    assert volume_snr_scorer(fitted, *case, masks=heads.masks[2:]) == score
    assert fitted.score_volumes(*case, masks=heads.masks[2:]).item() == score
    assert score_subjects(fitted, *case, ["Eve"], masks=heads.masks[2:]).records[0][
        "snr"
    ] == pytest.approx(score)
    X, _ = fitted.sample_voxels(*case, masks=heads.masks[2:], random_state=0)
    stripped, _ = fitted.sample_voxels(
        heads.stripped[2:], heads.targets[2:], random_state=0
    )
    np.testing.assert_array_equal(X, stripped)


def test_a_part_of_the_brain(heads, fitted):
    (found,) = fitted.predict(heads.sources[2:], masks=[PART], on_unlike="ignore")
    np.testing.assert_array_equal(found.get_fdata() != 0, PART)


def test_voxels_that_a_stripped_target_lacks_are_not_learned(heads):
    narrow = BRAIN & (np.arange(len(BRAIN)) > 3)[:, None, None]
    targets = [
        make_image(np.where(narrow, each.get_fdata(), 0)) for each in heads.targets
    ]
    case = heads.sources[:2], targets[:2]
    found = linear().fit(*case, masks=heads.masks[:2])
    expected = linear().fit(*case, masks=[narrow] * 2)
    np.testing.assert_array_equal(found.estimator_.coef_, expected.estimator_.coef_)
    (whole,) = found.predict(heads.sources[2:], masks=heads.masks[2:])
    np.testing.assert_array_equal(whole.get_fdata() != 0, BRAIN)


def test_dark_voxels_within_a_target_are_learned(heads):
    targets = []
    for each in heads.targets:
        data = each.get_fdata()
        data[6:8, 7:9, 6] = 0
        targets.append(make_image(data))
    all_voxels = linear(n_voxels=5000)
    all_voxels.fit(heads.sources[:2], targets[:2], masks=heads.masks[:2])
    assert all_voxels.n_voxels_ == [BRAIN.sum()] * 2


def test_cross_validation_hands_masks_on(heads):
    options = dict(cv=LeaveOneGroupOut(), error_score="raise")
    groups = ["a", "b", "c"]
    with sklearn.config_context(enable_metadata_routing=True):
        found = cross_validate(
            linear(),
            heads.sources,
            heads.targets,
            params={"masks": heads.masks, "groups": groups},
            **options,
        )["test_score"]
    stripped = cross_validate(
        linear(), heads.stripped, heads.targets, groups=groups, **options
    )["test_score"]
    np.testing.assert_allclose(found, stripped, rtol=1e-6)


def test_scorers_and_searches_are_handed_masks(heads):
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            linear(),
            {"smoothing": [0, 2]},
            cv=LeaveOneGroupOut(),
            scoring=volume_snr_scorer,
            error_score="raise",
        )
        groups = ["a", "b", "c"]
        search.fit(heads.sources, heads.targets, masks=heads.masks, groups=groups)
        score = search.score(heads.sources, heads.targets, masks=heads.masks)
    assert min(search.cv_results_["mean_test_score"]) > 10  # dB, over brains
    assert score > 10


def test_leaving_subjects_out_in_processes(heads):
    subjects = ["a", "b", "c"]
    case = {"linear": linear()}, heads.paths, heads.targets, subjects
    found = leave_one_subject_out(*case, masks=heads.mask_paths, n_jobs=2)
    stripped = leave_one_subject_out(
        {"linear": linear()}, heads.stripped, heads.targets, subjects
    )
    expected = [record["snr"] for record in stripped.records]
    assert [r["snr"] for r in found.records] == pytest.approx(expected)


def test_a_cache_knows_masks(heads, tmp_path):
    case = heads.paths[:2], heads.targets[:2]
    cached = linear(memory=tmp_path)
    for masks in (heads.mask_paths[:2], [PART] * 2):
        found = cached.fit(*case, masks=masks).estimator_.coef_
        expected = linear().fit(*case, masks=masks).estimator_.coef_
        np.testing.assert_array_equal(found, expected)


def test_files_to_files(heads, fitted, expected, tmp_path):
    case = fitted, [heads.paths[2]], tmp_path / "out"
    (path,) = predict_files(*case, masks=[heads.mask_paths[2]])
    np.testing.assert_allclose(nib.load(path).get_fdata(), expected, rtol=1e-6)
    before = files_of(tmp_path)
    predict_files(*case, masks=[heads.mask_paths[2]], resume=True)
    assert files_of(tmp_path) == before
    other = tmp_path / "sub-2_other_mask.nii.gz"
    nib.save(make_image(PART.astype(np.uint8)), other)
    predict_files(*case, masks=[other], resume=True, on_unlike="ignore")
    predict_files(*case, masks=[PART], overwrite=True, on_unlike="ignore")
    assert np.count_nonzero(nib.load(path).get_fdata()) == PART.sum()


def test_a_mask_is_not_overwritten(heads, fitted, tmp_path):
    mask = tmp_path / "sub-2_T1w_synth.nii.gz"
    nib.save(heads.masks[2], mask)
    before = mask.read_bytes()
    with pytest.raises(FileExistsError, match="sub-2_T1w_synth"):
        predict_files(fitted, [heads.paths[2]], tmp_path, masks=[mask], overwrite=True)
    assert mask.read_bytes() == before


BAD = {
    "too few": (lambda h: [], ValueError, "masks has 0 entries and sources 1"),
    "not a list": (lambda h: h.mask_paths[2], TypeError, "masks"),
    "of another": (lambda h: [h.mask_paths[0]], ValueError, "do not belong together"),
    "of another shape": (
        lambda h: [np.ones((3, 4, 5))],
        ValueError,
        r"masks\[0\] is an array of shape \(3, 4, 5\), but sources\[0\]",
    ),
    "empty": (lambda h: [BRAIN & False], ValueError, r"masks\[0\].* is empty"),
    "elsewhere": (
        lambda h: [make_image(np.uint8(BRAIN), np.eye(4) + 1e3 * np.eye(4, k=3))],
        ValueError,
        "does not overlap its mask",
    ),
    "a segmentation": (
        lambda h: [BRAIN.astype(int) + np.arange(len(BRAIN))[:, None, None] % 3],
        ValueError,
        r"masks\[0\] holds values between",
    ),
    "missing": (lambda h: ["no.nii"], FileNotFoundError, r"masks\[0\] \(no.nii\)"),
}


@pytest.mark.parametrize(("masks", "error", "text"), BAD.values(), ids=BAD)
def test_what_is_no_mask_is_refused_by_name(heads, fitted, masks, error, text):
    with pytest.raises(error, match=text):
        fitted.predict(heads.paths[2:], masks=masks(heads))

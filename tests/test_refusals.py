"""What VolumeSynthesizer refuses: by role and place, before the work, in a sentence."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LogisticRegression
from small_volumes import (
    AFFINE,
    SHAPE,
    Cohort,
    count_reads,
    make_brain,
    make_contrasts,
    make_image,
    small,
)

from sklearn_lsdn import VolumeSynthesizer
from sklearn_lsdn.volumes import Augmentation


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return Cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture(scope="module")
def fitted(cohort):
    """Trained on all three subjects, a to c; not to be changed."""
    return small().fit(cohort.a, cohort.c)


class Untouched(RegressorMixin, BaseEstimator):
    """Fails when training starts."""

    def fit(self, X, y):
        raise AssertionError("training started")

    def predict(self, X):
        raise AssertionError("prediction started")


def _truncated(folder, name):
    data = np.random.RandomState(0).uniform(1, 2, SHAPE).astype(np.float32)
    nib.save(make_image(data), folder / name)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    return folder / name


def _text(folder):
    (folder / "text.nii.gz").write_text("not an image\n" * 100)
    return folder / "text.nii.gz"


def _saved(folder, data, affine=AFFINE, name="bad.nii.gz"):
    nib.save(nib.Nifti1Image(data, affine), folder / name)
    return folder / name


def _with(value):
    data = make_contrasts(0)[0]
    data[6, 7, 5] = value
    return data


def _rgb():
    return np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])


def _singular(folder):
    image = nib.Nifti1Image(make_contrasts(0)[0], AFFINE)
    image.header["qform_code"], image.header["sform_code"] = 0, 1
    image.header["srow_y"] = 0
    nib.save(image, folder / "bad.nii")
    path = folder / "bad.nii"
    content = bytearray(path.read_bytes())
    content[252:256] = np.array([0, 1], "<i2").tobytes()
    content[296:312] = bytes(16)  # srow_y
    path.write_bytes(content)
    return path


BAD_IMAGES = {
    "missing file": (
        lambda folder: folder / "gone.nii.gz",
        FileNotFoundError,
        "gone.nii.gz",
        "Check the path",
    ),
    "truncated": (lambda f: _truncated(f, "cut.nii"), ValueError, "cut.nii", "again"),
    "truncated gzip": (
        lambda folder: _truncated(folder, "cut.nii.gz"),
        ValueError,
        "cut.nii.gz",
        "again",
    ),
    "text": (_text, ValueError, "text.nii.gz", "Give a NIfTI file"),
    "directory": (lambda folder: folder, ValueError, "bad0", "Give an image file"),
    "four-dimensional": (
        lambda folder: _saved(folder, np.ones((*SHAPE, 2), np.float32)),
        ValueError,
        "bad.nii.gz",
        "Give a 3-D image",
    ),
    "NaN": (lambda f: _saved(f, _with(np.nan)), ValueError, "bad.nii.gz", "Replace"),
    "infinite": (
        lambda folder: _saved(folder, _with(np.inf)),
        ValueError,
        "bad.nii.gz",
        "Replace",
    ),
    "another shape": (
        lambda folder: _saved(folder, make_contrasts(0)[0][:-1]),
        ValueError,
        "bad.nii.gz",
        "resample",
    ),
    "another affine": (
        lambda folder: _saved(folder, make_contrasts(0)[0], AFFINE + np.eye(4, k=3)),
        ValueError,
        "bad.nii.gz",
        "resample",
    ),
    "empty": (
        lambda folder: _saved(folder, np.zeros(SHAPE, np.float32)),
        ValueError,
        "bad.nii.gz",
        "differs from the background",
    ),
    "constant": (
        lambda folder: _saved(folder, np.full(SHAPE, 0.1, np.float32)),
        ValueError,
        "bad.nii.gz",
        "differs from the background",
    ),
    "constant brain": (
        lambda folder: _saved(folder, np.float32(0.1 * make_brain(SHAPE)[0])),
        ValueError,
        "bad.nii.gz",
        "constant",
    ),
    "complex": (
        lambda folder: _saved(folder, np.ones(SHAPE, np.complex64)),
        ValueError,
        "bad.nii.gz",
        "Give a magnitude image",
    ),
    "RGB": (
        lambda folder: _saved(folder, _rgb()),
        ValueError,
        "bad.nii.gz",
        "one channel",
    ),
    "singular affine": (_singular, ValueError, "bad.nii", "Repair"),
    "None": (lambda folder: None, ValueError, "", "Every subject needs"),
    "array": (lambda folder: 5.0, TypeError, "", "path or a nibabel image"),
}


@pytest.fixture
def bad(request, tmp_path):
    make, error, name, remedy = BAD_IMAGES[request.param]
    folder = tmp_path / "bad0"
    folder.mkdir()
    return make(folder), error, name, remedy


EVERY_BAD_IMAGE = pytest.mark.parametrize("bad", BAD_IMAGES, indirect=True)


def _assert_refused(call, error, *words):
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error
    for word in words:
        assert word in str(caught.value)


@EVERY_BAD_IMAGE
@pytest.mark.parametrize("role", ["sources", "targets"])
def test_bad_images_are_refused_before_training(cohort, bad, role):
    image, error, name, remedy = bad
    given_ = {"sources": list(cohort.a), "targets": list(cohort.c)}
    given_[role][1] = image
    s = small(Untouched())
    _assert_refused(lambda: s.fit(**given_), error, f"{role}[1]", name, remedy)


@EVERY_BAD_IMAGE
def test_bad_images_in_a_list_of_contrasts(cohort, bad):
    image, error, name, remedy = bad
    sources = [list(pair) for pair in cohort.ab]
    sources[2][1] = image
    place = "sources[2][0]" if image is None else "sources[2][1]"  # what there is
    s = small(Untouched())
    _assert_refused(lambda: s.fit(sources, cohort.c), error, place, name, remedy)


@pytest.mark.parametrize(
    "bad",
    [name for name in BAD_IMAGES if not name.startswith("another")],
    indirect=True,
)
def test_bad_images_are_refused_in_prediction(cohort, fitted, bad):
    image, error, name, remedy = bad
    sources = [cohort.a[0], image]
    words = "sources[1]", name, remedy
    _assert_refused(lambda: fitted.predict(sources), error, *words)


@pytest.mark.parametrize(
    "bad",
    [
        "truncated",
        "four-dimensional",
        "NaN",
        "empty",
        "constant",
        "constant brain",
        "complex",
        "RGB",
    ],
    indirect=True,
)
def test_bad_images_that_were_loaded_are_named_by_their_file(cohort, fitted, bad):
    path, error, name, remedy = bad
    sources = [cohort.a[0], nib.load(path)]
    words = "sources[1]", name, remedy
    _assert_refused(lambda: fitted.predict(sources), error, *words)


def test_bad_images_are_refused_without_a_name():
    image = nib.Nifti1Image(_with(np.nan), AFFINE)
    s = small(Untouched())
    _assert_refused(
        lambda: s.fit([image], [image]), ValueError, "sources[0]", "Replace"
    )


def test_a_classifier_is_sent_to_the_segmenter(cohort):
    s = small(LogisticRegression())
    words = "LogisticRegression", "VolumeSegmenter"
    _assert_refused(lambda: s.fit(cohort.a, cohort.c), TypeError, *words)


@pytest.mark.parametrize("name", ["sources", "targets"])
@pytest.mark.parametrize("kind", [str, Path, nib.load, lambda path: iter([path])])
def test_a_single_image_is_no_list(cohort, name, kind):
    given_ = {"sources": cohort.a[:1], "targets": cohort.c[:1]}
    given_[name] = kind(given_[name][0])
    s = small(Untouched())
    error, words = TypeError, (name, "list")
    _assert_refused(lambda: s.fit(**given_), error, *words)


def test_predict_takes_no_single_image(cohort, fitted):
    _assert_refused(lambda: fitted.predict(cohort.a[0]), TypeError, "sources", "list")


@pytest.mark.parametrize(
    ("sources", "targets", "words"),
    [
        (lambda c: c.a, lambda c: c.c[:2], ("3", "2", "one target for each source")),
        (lambda c: [], lambda c: [], ("sources is empty", "Give")),
        (lambda c: [[], []], lambda c: c.c[:2], ("sources[0] is empty",)),
        (
            lambda c: [c.ab[0], c.ab[1][:1], c.ab[2]],
            lambda c: c.c,
            ("sources[1] has 1", "sources[0] has 2", "Every subject needs"),
        ),
        (
            lambda c: [c.ab[0], c.a[1], c.ab[2]],
            lambda c: c.c,
            ("sources[1] has 1", "Every subject needs"),
        ),
        (
            lambda c: c.a,
            lambda c: [c.cd[0], c.cd[1], c.cd[2][:1]],
            ("targets[2] has 1", "Every subject needs"),
        ),
    ],
    ids=["lengths", "nothing", "no contrasts", "short", "flat", "short target"],
)
def test_lists_that_do_not_fit(cohort, sources, targets, words):
    s = small(Untouched())
    given_ = sources(cohort), targets(cohort)
    _assert_refused(lambda: s.fit(*given_), ValueError, *words)


def test_an_empty_list_at_predict(fitted):
    _assert_refused(lambda: fitted.predict([]), ValueError, "sources is empty", "Give")


def test_another_number_of_source_contrasts_than_in_training(cohort, fitted):
    words = "sources", "2 contrast", "training", "1"
    _assert_refused(lambda: fitted.predict(cohort.ab), ValueError, *words)
    _assert_refused(lambda: fitted.score(cohort.ab, cohort.c), ValueError, *words)


def test_another_number_of_target_contrasts_than_in_training(cohort, fitted):
    words = "2 contrast", "training", "1"
    score, predict = fitted.score, fitted.predict
    _assert_refused(lambda: score(cohort.a, cohort.cd), ValueError, "targets", *words)
    _assert_refused(
        lambda: predict(cohort.a, scale_to=cohort.cd), ValueError, "scale_to", *words
    )


def test_scale_to_must_match_the_sources(cohort, fitted, tmp_path):
    def call(scale_to):
        return lambda: fitted.predict(cohort.a, scale_to=scale_to)

    _assert_refused(call(cohort.c[:2]), ValueError, "scale_to", "3", "2")
    _assert_refused(call(cohort.c[0]), TypeError, "scale_to", "list")
    other = _saved(tmp_path, make_contrasts(0)[2][:-1])
    words = "bad.nii.gz", "scale_to[1]", "resample"
    _assert_refused(call([cohort.c[0], other, cohort.c[2]]), ValueError, *words)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        (dict(patch_size=2), ("patch_size", "odd", "2")),
        (dict(patch_size=0), ("patch_size", "0")),
        (dict(patch_size=-3), ("patch_size", "-3")),
        (dict(patch_scales=()), ("patch_scales", "positive integers")),
        (dict(patch_scales=(1, 0)), ("patch_scales", "0")),
        (dict(patch_scales=(2, 2)), ("patch_scales", "different")),
        (dict(patch_scales=(1.5,)), ("patch_scales", "1.5")),
        (dict(n_estimators=0), ("n_estimators", "0")),
        (dict(augmentation=Augmentation(shift=-1.0)), ("shift", "-1")),
        (dict(augmentation=Augmentation(mirror=2)), ("mirror", "2")),
        (dict(augmentation="mirror"), ("augmentation", "default", "mirror")),
        (dict(n_voxels=0), ("n_voxels", "0")),
        (dict(places="voxel"), ("places", "world", "voxel")),
        (dict(normalization="minmax"), ("normalization", "zscore", "minmax")),
        (dict(normalization=3), ("normalization", "3")),
        (dict(estimator="lsdn"), ("estimator", "lsdn")),
    ],
    ids=str,
)
def test_bad_parameters(cohort, parameters, words):
    s = VolumeSynthesizer(**({"estimator": Untouched()} | parameters))
    with pytest.raises(ValueError, match="(?s)" + ".*".join(words)):
        s.fit(cohort.a, cohort.c)


def test_bad_parameters_are_refused_before_images_are_read(cohort, monkeypatch):
    reads = count_reads(monkeypatch)
    for parameters in (dict(patch_size=4), dict(normalization="minmax")):
        with pytest.raises(ValueError, match=next(iter(parameters))):
            small(**parameters).fit(cohort.a, cohort.c)
    assert reads == []


@pytest.mark.parametrize(
    ("mask_img", "error", "words"),
    [
        ("nowhere.nii", FileNotFoundError, ("mask_img", "nowhere.nii", "Check")),
        (np.ones(SHAPE), TypeError, ("mask_img", "nibabel image")),
        (
            nib.Nifti1Image(np.zeros(SHAPE, np.uint8), AFFINE),
            ValueError,
            ("mask_img", "empty"),
        ),
        (
            nib.Nifti1Image(np.ones(SHAPE, np.uint8), AFFINE),
            ValueError,
            ("mask_img", "nothing but 1", "Give a mask"),
        ),
        (
            nib.Nifti1Image(
                np.uint8(make_brain(SHAPE)[0]), AFFINE + 999 * np.eye(4, k=3)
            ),
            ValueError,
            ("mask", "empty", "sub-0_a.nii.gz", "same space"),
        ),
    ],
    ids=["missing", "array", "zeros", "ones", "elsewhere"],
)
def test_bad_masks(cohort, mask_img, error, words):
    s = small(Untouched(), mask_img=mask_img)
    _assert_refused(lambda: s.fit(cohort.a, cohort.c), error, *words)

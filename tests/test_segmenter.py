"""VolumeSegmenter: labels and probabilities from images, in Python and by `lsdn`."""

import inspect
import json

import nibabel as nib
import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LeaveOneGroupOut, cross_val_score
from small_commands import SMALL, refused, run
from small_volumes import AFFINE, SHAPE, Cohort, make_brain, make_image

from sklearn_lsdn import (
    LSDNClassifier,
    ShrinkConnect,
    VolumeSegmenter,
    load_model,
    save_model,
    volume_average_precision_scorer,
    volume_dice_scorer,
)
from sklearn_lsdn.jobs import leave_one_subject_out, predict_files
from sklearn_lsdn.volumes._labels import are_labels

BRAIN = make_brain(SHAPE)[0]
LOGISTIC = LogisticRegression(max_iter=2000)
PLAIN = dict(patch_scales=(1,), places="world", augmentation=None, random_state=0)


def segmenter(estimator=None, **parameters):
    """One that trains in a moment."""
    network = LSDNClassifier((12, 4), max_iter=15)
    return VolumeSegmenter(
        network if estimator is None else estimator,
        **PLAIN | dict(n_voxels=600) | parameters,
    )


def labels_of(arrays):
    """1 where the first scan is bright, 4 where it is dark, on either side of it."""
    a = arrays[0][BRAIN]
    labels = np.zeros(SHAPE, dtype=np.uint8)
    low, high = np.quantile(a, [0.2, 0.8])
    labels[BRAIN] = np.select([a > high, a < low], [1, 4])
    return labels


def voxels(image):
    return np.asanyarray(image.dataobj)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Scans, and label images of three classes, or two: 0 and 1."""
    folder = tmp_path_factory.mktemp("labelled")
    cohort = Cohort(folder)
    cohort.ac = [list(pair) for pair in zip(cohort.a, cohort.c, strict=True)]
    cohort.values = [labels_of(each) for each in cohort.arrays]
    cohort.dseg = [str(folder / f"sub-{i}_dseg.nii.gz") for i in range(3)]
    cohort.mask = [str(folder / f"sub-{i}_label-spot_mask.nii.gz") for i in range(3)]
    for values, dseg, mask in zip(cohort.values, cohort.dseg, cohort.mask, strict=True):
        nib.save(make_image(values), dseg)
        nib.save(make_image((values == 1).astype(np.float32)), mask)
    return cohort


@pytest.fixture(scope="module")
def fitted(cohort):
    """Of three classes, trained on two subjects; not to be changed."""
    return segmenter(LOGISTIC).fit(cohort.a[:2], cohort.dseg[:2])


@pytest.fixture(scope="module")
def binary(cohort):
    """Of two classes and two sources, likewise."""
    return segmenter().fit(cohort.ac[:2], cohort.mask[:2])


# Results


def test_labels_are_found_on_the_grid_of_the_scan(cohort, fitted):
    (image,) = fitted.predict(cohort.a[2:])
    assert image.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(image.affine, AFFINE)
    assert (voxels(image)[~BRAIN] == 0).all()
    assert np.mean(voxels(image)[BRAIN] == cohort.values[2][BRAIN]) > 0.9
    assert fitted.score(cohort.a[2:], cohort.dseg[2:]) > 0.8
    assert fitted.classes_.tolist() == [0, 1, 4]


def test_probabilities_are_those_of_brains_and_not_of_what_was_drawn(cohort):
    s = segmenter(LogisticRegression(C=1e3, max_iter=1000), n_voxels=300)
    s.fit(cohort.a, cohort.mask)
    assert s.drawn_shares_[1] > 1.5 * s.class_shares_[1]
    for images, truth in zip(s.predict_proba(cohort.a), cohort.values, strict=True):
        zero, one = (voxels(image) for image in images)
        np.testing.assert_allclose((zero + one)[BRAIN], 1, atol=1e-6)
        assert ((zero + one)[~BRAIN] == 0).all()
        assert one[BRAIN].mean() == pytest.approx((truth == 1)[BRAIN].mean(), abs=0.03)


def test_what_knows_nothing_predicts_the_share_of_brains(cohort):
    s = segmenter(DummyClassifier(strategy="prior"), n_voxels=300)
    ((_, one),) = s.fit(cohort.a, cohort.mask).predict_proba(cohort.a[:1])
    np.testing.assert_allclose(voxels(one)[BRAIN], s.class_shares_[1], rtol=1e-5)


@pytest.mark.parametrize("labels", ["dseg", "mask"])
def test_volumes_are_predicted_as_rows_are(labels, cohort, monkeypatch):
    model = segmenter().fit(cohort.ac[:2], getattr(cohort, labels)[:2])
    scans = cohort.ac[2:]
    fused = model.predict_proba(scans)[0]
    role = type(_role_of(model.estimator_))
    monkeypatch.setattr(role, "reader", lambda self, n_patch: None)
    for one, other in zip(fused, model.predict_proba(scans)[0], strict=True):
        np.testing.assert_allclose(voxels(one), voxels(other), atol=1e-5)


def _role_of(estimator):
    from sklearn_lsdn._regressors.roles import role_of

    return role_of(estimator)


def test_as_many_of_each_class_are_drawn(cohort):
    s = segmenter(DummyClassifier(), n_voxels=90).fit(cohort.a, cohort.dseg)
    np.testing.assert_allclose(s.drawn_shares_, 1 / 3)
    assert s.n_voxels_ == [90] * 3
    counts = [np.bincount(v[BRAIN], minlength=5)[[0, 1, 4]] for v in cohort.values]
    np.testing.assert_allclose(s.class_shares_, np.mean(counts, 0) / BRAIN.sum())
    # What a class lacks comes from the others.
    n = 3 * counts[0].min() + 60
    s = segmenter(DummyClassifier(), n_voxels=n).fit(cohort.a[:1], cohort.dseg[:1])
    assert s.n_voxels_ == [n]


def test_a_subject_may_lack_a_class(cohort):
    nothing = make_image(np.zeros(SHAPE, dtype=np.uint8))
    s = segmenter().fit(cohort.a, [*cohort.mask[:2], nothing])
    assert s.score(cohort.a[:2], cohort.mask[:2]) > 0.7
    scores = s.score_volumes(cohort.a[2:], [nothing])
    assert scores in (0, 1)  # all of what is found is wrong
    assert np.isnan(volume_average_precision_scorer(s, cohort.a[2:], [nothing]))


def test_what_is_labelled_outside_the_brain_counts_as_missed(cohort, fitted):
    whole = fitted.score_volumes(cohort.a[2:], cohort.dseg[2:])[0]
    values = cohort.values[2].copy()
    values[~BRAIN] = 1
    with_skull = fitted.score_volumes(cohort.a[2:], [make_image(values)])[0]
    assert with_skull < whole
    kept = fitted.score_volumes(
        cohort.a[2:],
        [make_image(values)],
        response="probabilities",
        metric=lambda y, p: p[y.shape[0] - 1],
    )
    assert kept.shape == (1, 3)


@pytest.mark.parametrize(
    "parameters",
    [
        dict(patch_scales=(1, 2), places="brain", augmentation="default"),
        dict(places=None, normalization="nyul"),
        dict(estimator=ShrinkConnect(LSDNClassifier((12, 4), max_iter=2), keep=0.5)),
    ],
    ids=str,
)
def test_parameters_of_the_synthesizer_serve(parameters, cohort, tmp_path):
    s = segmenter(**parameters).fit(cohort.ac[:2], cohort.dseg[:2])
    sources = cohort.ac[2:]
    images = s.predict(sources)
    assert set(np.unique(voxels(images[-1]))) <= {0, 1, 4}
    again = save_and_load(s, tmp_path).predict(sources)
    np.testing.assert_array_equal(voxels(again[-1]), voxels(images[-1]))


def save_and_load(model, folder):
    save_model(model, folder / "model.skops", overwrite=True)
    return load_model(folder / "model.skops")


def test_other_grids_and_axes(cohort, fitted):
    """Coarser voxels, turned axes: as good, on the grid of the scan."""
    step = 2
    small = voxels(cohort.images[2][0])[:, ::step]
    affine = AFFINE @ np.diag([1, step, 1, 1])
    turned = nib.as_closest_canonical(make_image(small, affine))
    flipped = turned.slicer[::-1]
    assert fitted.preparation_.open([flipped])[0]
    truth = make_image(cohort.values[2][:, ::step], affine).slicer[::-1]
    (image,) = fitted.predict([flipped], on_unlike="ignore")
    np.testing.assert_array_equal(image.affine, flipped.affine)
    brain = BRAIN[:, ::step][::-1]
    assert np.mean(voxels(image)[brain] == voxels(truth)[brain]) > 0.7
    # Trained on coarse voxels, labels follow the scans there.
    both = segmenter(n_voxels=100).fit([flipped, cohort.a[0]], [truth, cohort.dseg[0]])
    assert both.classes_.tolist() == [0, 1, 4]


def test_masks_say_what_is_brain(cohort, fitted):
    half = BRAIN.copy()
    half[: SHAPE[0] // 3] = False
    (image,) = fitted.predict(
        cohort.a[2:], masks=[half.astype(float)], on_unlike="ignore"
    )
    assert voxels(image)[half].any()
    assert not voxels(image)[~half].any()


# As an estimator of scikit-learn


def test_parameters_are_kept_as_given():
    parameters = inspect.signature(VolumeSegmenter).parameters
    marks = {name: object() for name in parameters}
    assert vars(VolumeSegmenter(**marks)) == marks
    s = segmenter(LSDNClassifier((5,), alpha=0.1))
    assert s.get_params()["estimator__alpha"] == 0.1
    assert clone(s).set_params(estimator__alpha=2).estimator.alpha == 2
    assert s.estimator.alpha == 0.1


def test_the_same_seed_gives_the_same_bits(cohort, binary):
    again = clone(binary).set_params(n_jobs=2).fit(cohort.ac[:2], cohort.mask[:2])
    pair = (m.predict_proba(cohort.ac[2:])[0][1] for m in (binary, again))
    np.testing.assert_array_equal(*map(voxels, pair))


def test_scorers_in_cross_validation(cohort):
    s = segmenter(LOGISTIC)
    of = dict(groups=range(3), cv=LeaveOneGroupOut())
    scores = cross_val_score(s, cohort.a, cohort.mask, **of)
    assert (scores > 0.6).all()
    dice = cross_val_score(s, cohort.a, cohort.mask, **of, scoring=volume_dice_scorer)
    np.testing.assert_array_equal(dice, scores)
    scorer = volume_average_precision_scorer
    with config_context(enable_metadata_routing=True):
        precision = cross_val_score(
            s,
            cohort.a,
            cohort.mask,
            cv=LeaveOneGroupOut(),
            params=dict(masks=[BRAIN.astype(float)] * 3, groups=range(3)),
            scoring=scorer,
        )
    assert (precision > 0.7).all()


def test_weights_and_caches(cohort, tmp_path):
    s = segmenter(memory=tmp_path / "cache", max_memory="4G")
    s.fit(cohort.a, cohort.mask, sample_weight=[1, 1, 0])
    assert len(s.n_voxels_) == 2
    alone = segmenter().fit(cohort.a[:2], cohort.mask[:2], sample_weight=[1, 1])
    np.testing.assert_array_equal(s.class_shares_, alone.class_shares_)
    assert s.score(cohort.a, cohort.mask, [0, 0, 1]) == s.score(
        cohort.a[2:], cohort.mask[2:]
    )
    with pytest.raises(ValueError, match="max_memory is 0M"):
        segmenter(max_memory="1K").fit(cohort.a, cohort.mask)


# What is refused


def _halves():
    return make_image(np.where(BRAIN, 0.5, 0).astype(np.float32))


def _scan():
    return make_image(np.arange(1680, dtype=np.int16).reshape(SHAPE))


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (lambda c: [c.mask[0], _halves()], r"labels\[1\] holds 0\.5, which is no"),
        (lambda c: [c.mask[0], _scan()], "holds 1680 different numbers: a scan"),
        (lambda c: [make_image(np.zeros(SHAPE))] * 2, "nothing but 0 in the brains"),
        (lambda c: [c.mask[1], c.mask[0]], "sub-1.*sub-0|sub-0.*sub-1"),
        (lambda c: c.mask[:1], "sources lists 2 subjects and labels 1"),
        (lambda c: [[m, d] for m, d in zip(c.mask[:2], c.dseg[:2], strict=True)],
         r"labels\[0\] has 2 images"),
        (lambda c: [c.mask[0], make_image(np.zeros((5, 5, 5)))], "different grids"),
        (lambda c: [c.mask[0], "nowhere_dseg.nii"], r"labels\[1\].*does not exist"),
    ],
)  # fmt: skip
def test_labels_that_cannot_be_used(labels, sentence, cohort):
    with pytest.raises((ValueError, FileNotFoundError), match=sentence):
        segmenter().fit(cohort.a[:2], labels(cohort))


def test_labels_of_another_place_are_doubted(cohort):
    away = np.zeros(SHAPE, dtype=np.uint8)
    away[:2, :2] = 1
    away[5, 5, 5] = 1
    with pytest.warns(UserWarning, match="of what is labelled lies outside the brain"):
        segmenter().fit(cohort.a[:2], [cohort.mask[0], make_image(away)])


def test_what_has_no_probabilities_is_refused(cohort):
    from sklearn.svm import LinearSVC

    with pytest.raises(ValueError, match="estimator"):
        segmenter(LinearSVC()).fit(cohort.a, cohort.mask)


def test_a_file_whose_parts_do_not_fit_is_refused(binary, tmp_path):
    from copy import copy

    broken = copy(binary)
    broken.drawn_shares_ = np.array([1.0, 0.0])
    with pytest.raises(ValueError, match="class was not drawn"):
        save_and_load(broken, tmp_path)


def test_what_is_for_intensities_shows_no_labels(cohort, fitted, tmp_path):
    pytest.importorskip("jinja2", reason="a report needs jinja2")
    from sklearn_lsdn.display import SynthesisDisplay
    from sklearn_lsdn.report import generate_report

    page, one = tmp_path / "page.html", (cohort.a[2], cohort.dseg[2])
    for show in (
        lambda: generate_report(fitted, cohort.a[2:], path=page),
        lambda: SynthesisDisplay.from_estimator(fitted, *one),
        lambda: leave_one_subject_out(
            {"labels": fitted}, cohort.a, cohort.dseg, ["1", "2", "3"]
        ),
    ):
        with pytest.raises(TypeError, match="VolumeSegmenter predicts labels"):
            show()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["dseg", "mask"])
def test_model_files_hold_forests(cohort, tmp_path, kind):
    forest = segmenter(RandomForestClassifier(3, random_state=0))
    forest.fit(cohort.a[:2], getattr(cohort, kind)[:2])
    again = save_and_load(forest, tmp_path)
    one, other = (each.predict(cohort.a[2:])[0] for each in (forest, again))
    np.testing.assert_array_equal(voxels(one), voxels(other))


def test_labels_are_no_larger_than_they_can_be_written(cohort):
    huge = make_image(np.where(BRAIN, 3e9, 0).astype(np.float64))
    with pytest.raises(ValueError, match="holds the label 3000000000; labels may be"):
        segmenter(LOGISTIC).fit(cohort.a[:2], [cohort.mask[0], huge])


def test_responses_are_labels_or_probabilities(cohort, fitted):
    with pytest.raises(ValueError, match="response must be .* got 'p'"):
        fitted.score_volumes(cohort.a, cohort.dseg, response="p")


def test_no_deviations_of_labels(cohort, binary, tmp_path):
    with pytest.raises(ValueError, match="predicts labels"):
        predict_files(binary, cohort.ac[2:], tmp_path / "out", uncertainty=True)
    assert not (tmp_path / "out").exists()


# The command


def test_files_from_files(cohort, tmp_path, capsys):
    model, out = tmp_path / "model.skops", tmp_path / "out"
    given = "--source", *cohort.a[:2], "--target", *cohort.dseg[:2], "-j", 1
    assert run("fit", *given, *SMALL, "-o", model) == 0
    assert run("predict", model, cohort.a[2], "-o", out, "-j", 1) == 0
    names = [f"sub-2_a_{n}.nii.gz" for n in ("dseg", "probseg1", "probseg4")]
    assert sorted(path.name for path in out.iterdir()) == names
    labels, *probabilities = (nib.load(out / name) for name in names)
    assert labels.get_data_dtype() == np.uint8
    assert {*np.unique(voxels(labels))} <= {0, 1, 4}
    assert all(voxels(p).min() >= 0 and voxels(p).max() <= 1 for p in probabilities)
    assert run("predict", model, cohort.a[2], "-o", out, "-j", 1, "--resume") == 0
    assert "1 of 1 were done before" in "".join(capsys.readouterr())
    assert run("info", model) == 0
    told = capsys.readouterr().out
    assert "VolumeSegmenter" in told
    assert "shares of the brain" in told
    error = refused(capsys, "predict", model, cohort.a[2], "-o", out, "--novelty")
    assert "This model predicts labels" in error
    page = out / "page.html"
    error = refused(capsys, "predict", model, cohort.a[2], "-o", out, "--report", page)
    assert "--report shows intensities" in error
    error = refused(capsys, "score", model, *given[:-2], "-j", 1)
    assert "predicts labels, and not intensities" in error
    error = refused(capsys, "evaluate", *given, *SMALL)
    assert "lsdn evaluate compares intensities" in error
    error = refused(capsys, "fit", *given, "--smoothing", 2, "-o", tmp_path / "b.skops")
    assert "--smoothing is for targets of intensities" in error


def test_a_dataset_becomes_a_derivative_dataset(cohort, tmp_path):
    data, out, model = tmp_path / "data", tmp_path / "out", tmp_path / "model.skops"
    for i, images in enumerate(cohort.images):
        folder = data / f"sub-{i}" / "anat"
        folder.mkdir(parents=True)
        nib.save(images[0], folder / f"sub-{i}_T1w.nii.gz")
        if i < 2:
            spot = make_image((cohort.values[i] == 1).astype(np.uint8))
            nib.save(spot, folder / f"sub-{i}_label-spot_mask.nii.gz")
    (data / "dataset_description.json").write_text('{"Name": "D", "BIDSVersion": "1"}')
    names = "--source", "T1w", "--target", "label-spot_mask"
    assert run("fit", data, *names, *SMALL, "-o", model, "-j", 1) == 0
    assert run("predict", model, data, "-o", out, "-j", 1) == 0
    anat = out / "sub-2" / "anat"
    stem = "sub-2_label-spot_desc-segm_"
    found = sorted(path.name for path in anat.iterdir())
    kinds = [f"{kind}.{e}" for kind in ("dseg", "probseg") for e in ("json", "nii.gz")]
    assert found == [stem + kind for kind in kinds]
    sidecar = json.loads((anat / f"{stem}dseg.json").read_text())
    said = "label-spot_mask segmented from T1w; not drawn by a person"
    assert sidecar["Description"] == said
    assert sidecar["Sources"] == ["bids:source:sub-2/anat/sub-2_T1w.nii.gz"]
    described = json.loads((out / "dataset_description.json").read_text())
    assert described["Name"] == "D: label-spot_mask segmented from T1w"


def test_whether_targets_are_labels(cohort, tmp_path, capsys):
    assert are_labels(cohort.dseg)
    assert not are_labels(cohort.c)
    path = tmp_path / "sub-0_lesions.nii.gz"
    nib.save(make_image(cohort.values[0]), path)
    given = "--source", cohort.a[0], "--target", path, *SMALL, "-j", 1
    model = tmp_path / "model.skops"
    error = refused(capsys, "fit", *given, "-o", model)
    assert "holds nothing but 3 whole numbers" in error
    assert "--labels" in error
    assert run("fit", *given, "--labels", "-o", model) == 0
    assert type(load_model(model)) is VolumeSegmenter

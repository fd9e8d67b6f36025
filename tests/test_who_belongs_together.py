"""Scans that do not belong together are named, though their names say nothing."""

import tracemalloc
import warnings

import numpy as np
import pytest
from small_phantoms import AFFINE, contrasts, image, small

from sklearn_lsdn.datasets import make_brain_cohort
from sklearn_lsdn.exceptions import PairWarning, ScanWarning
from sklearn_lsdn.volumes._doubts import doubts_of_scores
from sklearn_lsdn.volumes._glance import Glance
from sklearn_lsdn.volumes._images import open_image
from sklearn_lsdn.volumes._masks import Masker
from sklearn_lsdn.volumes._subject import Subject

HEADS = [contrasts(seed) for seed in range(4)]
T1W, T2W = ([image(each[k]) for each in HEADS] for k in range(2))


def warnings_of(sources, targets, **parameters):
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        small(**parameters).fit(sources, targets)
    return [str(each.message) for each in record]


def in_order(images, order):
    return [images[i] for i in order]


@pytest.mark.parametrize("order", [(1, 2, 0), (0, 2, 1), (1, 0, 2)])
def test_targets_of_others_are_named(order):
    told = warnings_of(T1W[:3], in_order(T2W, order))
    for i, j in enumerate(order):
        named = any(f"targets[{i}] shares no more with sources[{i}]" in t for t in told)
        assert named == (i != j)


def test_a_second_source_of_another_is_named():
    order = (0, 2, 1)
    sources = [list(pair) for pair in zip(T1W[:3], in_order(T2W, order), strict=True)]
    flair = [image((a + 0.5 * b).astype(np.float32)) for a, b in HEADS[:3]]
    told = warnings_of(sources, flair)
    assert any("sources[1][1] shares no more" in text for text in told)
    assert not any("sources[0]" in text for text in told)


def test_one_who_is_not_registered_is_named():
    targets = list(T2W[:3])
    targets[1] = image(np.roll(HEADS[1][1], (3, -3, 2), axis=(0, 1, 2)))
    told = warnings_of(T1W[:3], targets)
    assert any("sources[1]" in text for text in told)
    assert not any("[0]" in text or "[2]" in text for text in told)


# With seed 32 and voxels of 8 mm, a head shares as much with others as with itself.
@pytest.mark.parametrize(("voxel_size", "seed"), [(8, 32), (5, 0)])
def test_honest_cohorts_are_not_doubted(voxel_size, seed):
    contrasts = "T1w", "T2w", "FLAIR"
    cohort = make_brain_cohort(3, contrasts, voxel_size=voxel_size, random_state=seed)
    t1w, t2w, flair = cohort.images.values()
    assert warnings_of(t1w, t2w) == []
    assert warnings_of([list(pair) for pair in zip(t1w, flair, strict=True)], t2w) == []


def test_scans_of_one_person_are_not_taken_for_those_of_others():
    again = [
        [image((each + np.where(each, 1, 0)).astype(np.float32)) for each in HEADS[0]]
        for _ in range(2)
    ]
    sources = [T1W[0], *(pair[0] for pair in again)]
    targets = [T2W[0], *(pair[1] for pair in again)]
    assert warnings_of(sources, targets) == []


def test_other_grids_cannot_be_compared():
    moved = AFFINE.copy()
    moved[:3, 3] += 1
    others = [image(each, moved) for each in HEADS[1]]
    assert warnings_of([T1W[0], others[0]], [T2W[0], others[1]]) == []


def test_who_is_predicted_as_by_the_mean_is_named():
    (doubt,) = doubts_of_scores([0.8, 0.01, 0.7], ["a", "b", "c"])
    assert isinstance(doubt, PairWarning)
    assert str(doubt).startswith("b: predicted no better than by the mean, while")
    assert doubts_of_scores([0.05, 0.01, 0.1], ["a", "b", "c"]) == []
    assert doubts_of_scores([0.01], ["a"]) == []


def test_noise_for_one_target_is_named():
    targets = list(T2W[:3])
    noise = np.random.RandomState(0).normal(100, 20, HEADS[2][1].shape)
    targets[2] = image(np.where(HEADS[2][1] != 0, noise, 0).astype(np.float32))
    told = warnings_of(T1W[:3], targets)
    assert any("sources[2]: predicted no better than by the mean" in t for t in told)


def test_shrinking_names_who_was_not_learned():
    model = small().fit(T1W[:3], T2W[:3])
    noise = np.random.RandomState(0).normal(100, 20, HEADS[2][1].shape)
    noise = image(np.where(HEADS[2][1] != 0, noise, 0).astype(np.float32))
    with pytest.warns(ScanWarning) as record:
        model.shrink(T1W[:3], [*T2W[:2], noise], keep=0.5)
    told = [str(each.message) for each in record]
    assert any("sources[2]: predicted no better" in text for text in told)


@pytest.mark.parametrize("places", ["world", "brain"])
def test_a_glance_at_little_in_a_large_volume_takes_little_memory(places):
    mask = np.zeros((160, 160, 160), dtype=bool)
    mask[20:32, 20:32, 20:32] = mask[80, 80, 80] = True
    file = open_image(image(mask.astype(np.float32)), "scan")
    subject = Subject.read(Masker("background"), [file], places=places)
    tracemalloc.start()
    glance = Glance.at(subject, [])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200e6
    assert (np.diff(glance.points) > 0).all()

"""Lists go by position at every door, whatever labels an index gives their entries."""

import nibabel as nib
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import LeaveOneGroupOut, cross_validate
from small_volumes import Cohort, make_image, small

from sklearn_lsdn import volume_snr_scorer
from sklearn_lsdn._utils.lists import as_list, one_or_list
from sklearn_lsdn.jobs import leave_one_subject_out, predict_files
from sklearn_lsdn.volumes._subjects import absolute_paths

ORDER = [2, 0, 1]


class Labelled:
    """As a Series of pandas behaves, indexed by labels that are not positions."""

    def __init__(self, values):
        self.values = list(values)

    def __len__(self):
        return len(self.values)

    def __iter__(self):
        return iter(self.values)

    def __getitem__(self, label):
        return self.values[ORDER.index(label)]

    def __array__(self, dtype=None, copy=None):
        array = np.empty(len(self.values), dtype=object)
        array[:] = self.values
        return array


class Bare(Labelled):
    """The same, which is no array."""

    __array__ = None

    def __getattribute__(self, name):
        if name == "__array__":
            raise AttributeError(name)
        return super().__getattribute__(name)


def _pandas(values):
    pandas = pytest.importorskip("pandas")
    return pandas.Series(dict(zip(ORDER, values, strict=False)))


def _polars(values):
    return pytest.importorskip("polars").Series(values)


def _index(values):
    return pytest.importorskip("pandas").Index(values)


LIST_LIKES = {
    "list": list,
    "tuple": tuple,
    "array": np.array,
    "array of objects": lambda values: np.array(values, dtype=object),
    "labelled": Labelled,
    "no array": Bare,
    "Series of pandas": _pandas,
    "Index of pandas": _index,
    "Series of polars": _polars,
}


@pytest.fixture(params=LIST_LIKES)
def kind(request):
    return LIST_LIKES[request.param]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return Cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture(scope="module")
def fitted(cohort):
    return small(LinearRegression()).fit(cohort.a, cohort.c)


def _moved(values):
    """In another order than that of labels."""
    return [values[i] for i in ORDER]


def _voxels(images):
    return [np.asarray(image.dataobj) for image in images]


# The door


def test_each_becomes_a_plain_list(kind):
    values = as_list(kind(["a", "b", "c"]), "sources")
    assert type(values) is list
    assert values == ["a", "b", "c"]


@pytest.mark.parametrize("kind", [tuple, np.array, Labelled, Bare, _pandas, _polars])
def test_entries_are_lists_of_contrasts(kind):
    rows = [["a", "b"], ["c", "d"]]
    assert as_list([kind(row) for row in rows], "sources") == rows
    assert one_or_list(kind(rows[0])) == rows[0]


def test_rows_of_a_table_are_lists_of_contrasts():
    rows = [["a", "b"], ["c", "d"], ["e", "f"]]
    assert as_list(np.array(rows), "sources") == rows
    assert as_list(np.array(rows, dtype=object), "sources") == rows


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_rows_of_a_frame_are_lists_of_contrasts(library):
    library = pytest.importorskip(library)
    frame = library.DataFrame({"T1w": ["c", "a"], "FLAIR": ["d", "b"]})
    assert as_list(frame, "sources") == [["c", "d"], ["a", "b"]]
    assert as_list(frame[["T1w"]], "sources") == [["c"], ["a"]]
    lists = library.Series([["a", "b"], ["c", "d"]])
    assert as_list(lists, "sources") == [["a", "b"], ["c", "d"]]


def test_a_sorted_frame_of_pandas_goes_by_position():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"x": list("abc"), "y": list("def")}).iloc[ORDER]
    assert as_list(frame, "sources") == [["c", "f"], ["a", "d"], ["b", "e"]]
    assert as_list(frame.x, "sources") == ["c", "a", "b"]
    assert as_list(frame.set_index(["x", "y"]).index, "sources")[0] == ["c", "f"]


@pytest.mark.parametrize(
    ("given", "kind", "remedy"),
    [
        ("a.nii", "str", "Put a single image into a list"),
        (b"a.nii", "bytes", "Put a single image into a list"),
        (make_image(np.ones((2, 2, 2))), "Nifti1Image", "Put a single image"),
        (np.ones((2, 2, 2)), "ndarray", "Put a single image into a list"),
        (np.array("a.nii"), "ndarray", "Put a single image into a list"),
        (None, "NoneType", "Put a single image into a list"),
        ({"a": "a.nii"}, "dict", "It has no order: give a list"),
        ({"a.nii"}, "set", "It has no order: give a list"),
        (iter(["a.nii"]), "list_iterator", "Make a list of it"),
        ((path for path in ["a.nii"]), "generator", "Make a list of it"),
    ],
)
def test_what_is_no_list_is_refused_by_name(given, kind, remedy):
    with pytest.raises(TypeError, match=f"sources must be a list .* {kind}. {remedy}"):
        as_list(given, "sources")


def test_paths_are_made_absolute_in_place():
    given = Labelled(["/x/../a", Labelled(["/b", None])])
    assert absolute_paths(given) == ["/a", ["/b", None]]


# At every door


def _answers(fitted, sources, targets, weight):
    """What a synthesizer gives for lists, as arrays."""
    trained = small(LinearRegression()).fit(sources, targets, weight)
    yield trained.estimator_.coef_
    yield fitted.score(sources, targets, weight)
    yield from _voxels(fitted.predict(sources))
    yield from _voxels(fitted.predict(sources, scale_to=targets))
    yield fitted.score_volumes(sources, targets)
    yield from fitted.sample_voxels(sources, targets, random_state=0)


@pytest.fixture(scope="module")
def answers(cohort, fitted):
    lists = _moved(cohort.a), _moved(cohort.c), [1.0, 2.0, 0.0]
    return lists, list(_answers(fitted, *lists))


def test_a_synthesizer_takes_each(answers, fitted, kind):
    lists, expected = answers
    got = _answers(fitted, *map(kind, lists))
    for one, other in zip(got, expected, strict=True):
        assert np.array_equal(one, other)


def test_groups_and_weights_go_by_position(cohort, kind):
    sources, targets = _moved(cohort.a), _moved(cohort.c)
    groups, weight = ["x", "y", "x"], [1.0, 2.0, 3.0]
    networks = [
        small().set_params(estimator__early_stopping=True).fit(x, y, w, groups=g)
        for x, y, w, g in (
            (sources, targets, weight, groups),
            (kind(sources), kind(targets), _asarray(kind, weight), kind(groups)),
        )
    ]
    curves = [each.estimator_.validation_loss_curve_ for each in networks]
    assert curves[0] == curves[1]


def _asarray(kind, weight):
    return weight if kind is Bare else kind(weight)


@pytest.fixture(scope="module")
def shrink(cohort):
    """Voxels by a network that shrinks on given scans."""
    synthesizer = small().fit(cohort.a, cohort.c)

    def shrink(sources, targets):
        options = dict(keep=0.5, random_state=0, max_iter=1)
        return _voxels(
            synthesizer.shrink(sources, targets, **options).predict(cohort.a)
        )

    return shrink


@pytest.fixture(scope="module")
def shrunken(shrink, cohort):
    return shrink(_moved(cohort.a), _moved(cohort.c))


def test_shrinking_takes_each(cohort, shrink, shrunken, kind):
    theirs = shrink(kind(_moved(cohort.a)), kind(_moved(cohort.c)))
    assert np.array_equal(theirs, shrunken)


def test_files_are_called_after_what_they_were_made_of(cohort, fitted, kind, tmp_path):
    written = predict_files(fitted, kind(_moved(cohort.a)), tmp_path)
    assert [path.name[:5] for path in written] == ["sub-2", "sub-0", "sub-1"]
    for path in written:
        (expected,) = fitted.predict([cohort.a[int(path.name[4])]])
        assert np.array_equal(*_voxels([nib.load(path), expected]))


def test_the_right_person_is_held_back(cohort, kind):
    sources, targets = _moved(cohort.a), _moved(cohort.c)
    subjects = ["x", "y", "x"]
    synthesizers = {"linear": small(LinearRegression())}
    rows = [
        leave_one_subject_out(synthesizers, *lists).records
        for lists in (
            (sources, targets, subjects),
            (kind(sources), kind(targets), kind(subjects)),
        )
    ]
    kept = [[(r["subject"], r["snr"], r["psnr"]) for r in each] for each in rows]
    assert kept[0] == kept[1]


def test_a_report_goes_by_position(cohort, fitted, tmp_path):
    pytest.importorskip("jinja2")
    pytest.importorskip("nilearn")
    pytest.importorskip("skimage")
    from sklearn_lsdn.report import generate_report

    lists = [Labelled(_moved(each)) for each in (cohort.a, cohort.c)]
    subjects = Labelled(["Ann", "Bob", "Cid"])
    path = tmp_path / "page.html"
    text = generate_report(fitted, *lists, subjects=subjects, path=path).read_text()
    for names in (("Ann", "Bob", "Cid"), ("sub-2_a.nii", "sub-0_a.nii", "sub-1_a.nii")):
        places = [text.index(name) for name in names]
        assert places == sorted(places)


def _shown(synthesizer, source, target):
    """What displays show of a subject."""
    from sklearn_lsdn.display import ComparisonDisplay, SynthesisDisplay

    yield ComparisonDisplay.from_estimator(synthesizer, source, target).source
    volumes = SynthesisDisplay.from_estimator(synthesizer, source, target).volumes
    yield volumes["synthesis"]
    yield volumes["source"]


@pytest.fixture(scope="module")
def shown(cohort):
    pytest.importorskip("matplotlib")
    synthesizer = small(LinearRegression()).fit(cohort.ab, cohort.c)
    return synthesizer, list(_shown(synthesizer, cohort.ab[0], cohort.c[0]))


@pytest.mark.parametrize("kind", [tuple, np.array, Labelled, Bare, _pandas, _polars])
def test_displays_take_the_contrasts_of_a_subject(cohort, shown, kind):
    synthesizer, expected = shown
    got = _shown(synthesizer, kind(cohort.ab[0]), cohort.c[0])
    for one, other in zip(got, expected, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_cross_validation_takes_columns_of_a_frame(cohort, library):
    library = pytest.importorskip(library)
    columns = [_moved(each) for each in (cohort.a, cohort.c, ["x", "y", "z"])]
    frame = library.DataFrame(dict(zip("acg", columns, strict=True)))
    if hasattr(frame, "iloc"):
        frame.index = ORDER
    given = frame["a"], frame["c"], frame["g"]
    scores = [
        cross_validate(
            small(LinearRegression()),
            x,
            y,
            groups=g,
            cv=LeaveOneGroupOut(),
            scoring=volume_snr_scorer,
            error_score="raise",
        )["test_score"]
        for x, y, g in (columns, given)
    ]
    assert np.array_equal(*scores)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_frame_of_contrasts_at_the_doors(cohort, library, tmp_path):
    library = pytest.importorskip(library)
    a, b, c = map(_moved, (cohort.a, cohort.b, cohort.c))
    frame = library.DataFrame({"a": a, "b": b, "c": c})
    if hasattr(frame, "iloc"):
        frame.index = ORDER
    x, y = frame[["a", "b"]], frame["c"]
    ours = small(LinearRegression()).fit(_moved(cohort.ab), c)
    theirs = small(LinearRegression()).fit(x, y)
    assert (ours.estimator_.coef_ == theirs.estimator_.coef_).all()
    written = predict_files(theirs, x, tmp_path)
    assert [path.name[:5] for path in written] == ["sub-2", "sub-0", "sub-1"]
    got, expected = theirs.predict(x), ours.predict(_moved(cohort.ab))
    assert np.array_equal(_voxels(got), _voxels(expected))
    evaluation = leave_one_subject_out({"": ours}, x, y, frame["c"])
    assert [record["subject"] for record in evaluation.records] == sorted(c)


@pytest.mark.parametrize("given", ["a.nii", {"a.nii": 1}, {"a.nii"}, iter(["a.nii"])])
def test_every_door_refuses_what_is_no_list(cohort, fitted, given, tmp_path):
    synthesizer = small(LinearRegression())
    doors = {
        "sources": [
            lambda: synthesizer.fit(given, cohort.c),
            lambda: fitted.predict(given),
            lambda: fitted.score(given, cohort.c),
            lambda: predict_files(fitted, given, tmp_path),
            lambda: leave_one_subject_out({"": fitted}, given, cohort.c, [1]),
        ],
        "targets": [
            lambda: synthesizer.fit(cohort.a, given),
            lambda: fitted.score_volumes(cohort.a, given),
            lambda: leave_one_subject_out({"": fitted}, cohort.a, given, [1]),
        ],
        "scale_to": [lambda: fitted.predict(cohort.a, scale_to=given)],
        "subjects": [
            lambda: leave_one_subject_out({"": fitted}, cohort.a, cohort.c, given)
        ],
    }
    for name, calls in doors.items():
        for call in calls:
            with pytest.raises(TypeError, match=f"^{name} must be a list"):
                call()

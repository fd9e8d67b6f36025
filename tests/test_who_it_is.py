"""Who a scan is of, by its name: what makes a pair, and what is called after whom."""

import nibabel as nib
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression
from small_commands import refused, run
from small_volumes import make_contrasts, make_image, small

from sklearn_lsdn._utils.names import (
    check_order,
    check_pair,
    entities_of,
    split_name,
    subject_label,
    subject_labels,
)
from sklearn_lsdn.exceptions import PairWarning
from sklearn_lsdn.jobs import leave_one_subject_out, predict_files
from sklearn_lsdn.jobs._names import named_after

# Names


@pytest.mark.parametrize(
    ("path", "entities"),
    [
        ("sub-01_T1w.nii.gz", {"sub": "01"}),
        ("sub-CC-001_T1w.nii.gz", {"sub": "CC-001"}),
        ("sub-IXI_1_T1w.nii.gz", {"sub": "IXI_1"}),
        ("sub-IXI_1_2_ses-3_T1w.nii.gz", {"sub": "IXI_1_2", "ses": "3"}),
        ("sub-IXI_1/T1w.nii.gz", {"sub": "IXI_1"}),
        ("sub-01_0001.nii.gz", {"sub": "01"}),
        ("sub-01_T1w_brain.nii.gz", {"sub": "01"}),
        ("sub-01_T1w_2.nii.gz", {"sub": "01"}),
        ("sub-01-T1.nii.gz", {"sub": "01"}),
        ("sub-01.T1.nii.gz", {"sub": "01"}),
        ("sub-01 T1.nii.gz", {"sub": "01"}),
        ("sub-01.nii.gz", {"sub": "01"}),
        ("sub-01/ses-2/anat/T1w.nii.gz", {"sub": "01", "ses": "2"}),
        ("sub-01_ses-2/run-3/T1w.nii.gz", {"sub": "01", "ses": "2", "run": "3"}),
        ("sub-all/ses-1/sub-07_T1w.nii.gz", {"sub": "07", "ses": "1"}),
        ("sub-all/sub-07/T1w.nii.gz", {"sub": "07"}),
        ("IXI002-Guys-0828-T1.nii.gz", {}),
        ("T1w.nii.gz", {}),
    ],
)
def test_what_a_path_tells(path, entities):
    assert entities_of(path) == entities
    assert subject_label(path) == (f"sub-{entities['sub']}" if entities else None)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a.nii", ("a", ".nii")),
        ("a.NII.GZ", ("a", ".nii.gz")),
        ("a.b.nii.gz", ("a.b", ".nii.gz")),
        ("a.mgz", ("a", ".nii.gz")),
        ("a.img", ("a", ".nii.gz")),
        ("a.nii.bz2", ("a", ".nii.gz")),
        ("a", ("a", ".nii.gz")),
    ],
)
def test_endings(name, parts):
    assert split_name(f"folder/{name}") == parts


@pytest.mark.parametrize(
    ("paths", "labels"),
    [
        (["sub-07_T1w.nii", "sub-8a_ses-2_T1w.nii.gz"], ["sub-07", "sub-8a"]),
        (["d/sub-01/anat/x.nii", "d/sub-02/anat/x.nii"], ["sub-01", "sub-02"]),
        (["sub-all/sub-01_T1w.nii", "sub-all/sub-02_T1w.nii"], ["sub-01", "sub-02"]),
        (["sub-01_ses-1_T1w.nii", "sub-01_ses-2_T1w.nii"], ["sub-01", "sub-01"]),
        (["sub-IXI_1_T1w.nii", "sub-IXI_2_T1w.nii"], ["sub-IXI_1", "sub-IXI_2"]),
        (["sub-CC-1_T1w.nii", "sub-CC-2_T1w.nii"], ["sub-CC-1", "sub-CC-2"]),
        (["IXI002-Guys-0828-T1.nii", "IXI012-HH-1211-T1.nii"], ["IXI002", "IXI012"]),
        (["T1/a.nii", "T1/b.nii"], ["a", "b"]),
        (["P01/T1.nii", "P02/T1.nii"], ["P01", "P02"]),
        (["sub-studies/a.nii", "sub-studies/b.nii"], ["a", "b"]),
        (["sub-01_T1w.nii", "other.nii"], ["subject 1", "subject 2"]),
        (
            ["P1_v1.nii", "P1_v2.nii", "P2_v1.nii"],
            ["subject 1", "subject 2", "subject 3"],
        ),
        (["a.nii", "a.nii"], ["subject 1", "subject 2"]),
        (["a.nii"], ["subject 1"]),
        (["", ""], ["subject 1", "subject 2"]),
        ([], []),
    ],
)
def test_subject_labels(paths, labels):
    assert subject_labels(paths) == labels


def test_subject_labels_of_path_objects(tmp_path):
    assert subject_labels([tmp_path / "sub-03_T1w.nii"]) == ["sub-03"]


def test_outputs_are_called_by_whole_labels():
    assert named_after("sub-CC-001_T1w.nii", "synth") == "sub-CC-001_T1w_synth.nii"


# Pairs


def _check(sources, targets):
    for pair in zip(sources, targets, strict=True):
        check_pair(*pair, "Give pairs.")
    check_order(sources, targets, "Give pairs.")


BY_NAME = [f"{i}_T1.nii" for i in "abc"], [f"{i}_T2.nii" for i in "bca"]
IXI = ["IXI002-Guys-0828", "IXI012-HH-1211", "IXI013-HH-1212"]
MISPAIRED = {
    "subjects": (["sub-1_T1w.nii"], ["sub-2_T2w.nii"]),
    "sessions": (["sub-1_ses-0_T1w.nii"], ["sub-1_ses-1_T2w.nii"]),
    "runs": (["sub-1_run-1_T1w.nii"], ["sub-1_run-2_T2w.nii"]),
    "numbers after sub-": (["sub-IXI_1_T1w.nii"], ["sub-IXI_2_T2w.nii"]),
    "hyphens after sub-": (["sub-CC-001_T1w.nii"], ["sub-CC-002_T2w.nii"]),
    "folders of subjects": (["sub-1/T1w.nii"], ["sub-2/T2w.nii"]),
    "folders of sessions": (["sub-1/ses-0/T1w.nii"], ["sub-1/ses-1/sub-1_T2w.nii"]),
    "no sub-": BY_NAME,
    "two exchanged": (["a_T1.nii", "b_T1.nii"], ["b_T2.nii", "a_T2.nii"]),
    "two of four": (
        [f"P{i}_T1.nii" for i in (1, 2, 3, 4)],
        [f"P{i}_T2.nii" for i in (1, 3, 2, 4)],
    ),
    "one on": (
        [f"{i:03}_T1.nii" for i in range(1, 9)],
        [f"{i:03}_T2.nii" for i in range(2, 10)],
    ),
    "folders of contrasts": (["T1/a.nii", "T1/b.nii"], ["T2/b.nii", "T2/a.nii"]),
    "folders of people": (["a/T1.nii", "b/T1.nii"], ["b/T2.nii", "a/T2.nii"]),
    "IXI": ([f"{i}-T1.nii" for i in IXI], [f"{i}-T2.nii" for i in IXI[::-1]]),
    "IXI, one site": (
        [f"{i}-T1.nii" for i in IXI[1:]],
        [f"{i}-T2.nii" for i in IXI[:0:-1]],
    ),
    "visits": (["P1_v1_T1.nii", "P1_v2_T1.nii"], ["P1_v2_T2.nii", "P1_v1_T2.nii"]),
    "numbers in another order": (
        ["1_2_T1.nii", "2_1_T1.nii"],
        ["2_1_T2.nii", "1_2_T2.nii"],
    ),
    "other entities": (
        ["sub-1_acq-a_T1w.nii", "sub-1_acq-b_T1w.nii"],
        ["sub-1_acq-b_T2w.nii", "sub-1_acq-a_T2w.nii"],
    ),
    "receive coils": (
        ["sub-1_rec-a_T1w.nii", "sub-1_rec-b_T1w.nii"],
        ["sub-1_rec-b_T2w.nii", "sub-1_rec-a_T2w.nii"],
    ),
    "spaces and dots": (["a b.T1.nii", "c d.T1.nii"], ["c d.T2.nii", "a b.T2.nii"]),
    "other dates": (
        ["P1_20200101_T1.nii", "P2_20200103_T1.nii", "P3_20200104_T1.nii"],
        ["P2_20200105_T2.nii", "P3_20200103_T2.nii", "P1_20200110_T2.nii"],
    ),
}
PAIRED = {
    "BIDS": (["sub-1_ses-1_T1w.nii"], ["sub-1_ses-1_T2w.nii"]),
    "leading zeros": (["sub-1_run-1_T1w.nii"], ["sub-01_run-01_T2w.nii"]),
    "numbers with zeros before them": (
        ["002_5_T1.nii", "005_7_T1.nii"],
        ["002_4_T2.nii", "005_2_T2.nii"],
    ),
    "an entity in one alone": (["sub-1_run-1_T1w.nii"], ["sub-1_T2w.nii"]),
    "acquisitions of contrasts": (
        ["sub-1_acq-mprage_T1w.nii", "sub-2_acq-mprage_T1w.nii"],
        ["sub-1_acq-space_T2w.nii", "sub-2_acq-space_T2w.nii"],
    ),
    "one pair's acquisitions": (
        ["sub-1_acq-mprage_T1w.nii"],
        ["sub-1_acq-space_T2w.nii"],
    ),
    "numbers of contrasts": (
        ["sub-1_0000.nii", "sub-2_0000.nii"],
        ["sub-1_0001.nii", "sub-2_0001.nii"],
    ),
    "hyphens before the contrast": (["sub-01-T1.nii"], ["sub-01-T2.nii"]),
    "dots before the contrast": (["sub-01.T1.nii"], ["sub-01.T2.nii"]),
    "brain": (["sub-01_T1w_brain.nii"], ["sub-01_T2w_reg.nii"]),
    "IXI": ([f"{i}-T1.nii" for i in IXI], [f"{i}-T2.nii" for i in IXI]),
    "folders": (["T1/a.nii", "T1/b.nii"], ["T2/a.nii", "T2/b.nii"]),
    "same names": (["T1/a.nii", "T1/b.nii"], ["T1/a.nii", "T1/b.nii"]),
    "nothing shared": (["scan1.nii", "scan2.nii"], ["image3.nii", "image4.nii"]),
    "running numbers": (
        ["IM1.nii", "IM3.nii", "IM5.nii"],
        ["IM2.nii", "IM4.nii", "IM6.nii"],
    ),
    "series": (
        [f"P{i}_{3 + i % 3}_T1.nii" for i in range(9)],
        [f"P{i}_{4 + i % 4}_T2.nii" for i in range(9)],
    ),
    "dates that coincide": (
        ["P1_20200101_T1.nii", "P2_20200103_T1.nii"],
        ["P1_20200103_T2.nii", "P2_20200101_T2.nii"],
    ),
    "dates in parts that coincide": (
        ["P1_2020-01-03_T1.nii", "P2_2020-02-05_T1.nii"],
        ["P1_2020-02-05_T2.nii", "P2_2020-01-03_T2.nii"],
    ),
    "dates alone, a few of which coincide": (
        ["20200101_T1.nii", "20200103_T1.nii", "20200105_T1.nii"],
        ["20200103_T2.nii", "20200104_T2.nii", "20200106_T2.nii"],
    ),
    "sites that differ": (
        [f"P{i}_{s}_T1.nii" for i, s in enumerate(["Guys", "HH", "Guys", "IOP"])],
        [f"P{i}_{s}_T2.nii" for i, s in enumerate(["HH", "HH", "IOP", "Guys"])],
    ),
    "a name within another": (
        ["a_T1.nii", "a_b_T1.nii", "b_T1.nii"],
        ["a_T2.nii", "a_b_T2.nii", "b_T2.nii"],
    ),
    "a subject twice": (["a_T1.nii", "a_T1.nii"], ["a_T2.nii", "a_T2_again.nii"]),
    "one atlas for all": (["a_T1.nii", "b_T1.nii"], ["atlas.nii", "atlas.nii"]),
    "T1 in the names of T2": (
        ["a_T1.nii", "b_T1.nii"],
        ["a_T2_onto_T1.nii", "b_T2_onto_T1.nii"],
    ),
    "in memory": (["", "b_T1.nii"], ["a_T2.nii", ""]),
    "sub- in one list alone": (["sub-1_T1w.nii", "sub-2_T1w.nii"], ["1.nii", "2.nii"]),
}


@pytest.mark.parametrize(("sources", "targets"), MISPAIRED.values(), ids=MISPAIRED)
def test_mispaired_lists_are_refused_by_name(sources, targets):
    with pytest.raises(ValueError, match="belong together") as caught:
        _check(sources, targets)
    message = str(caught.value)
    assert any(
        message.startswith(f"{source} and {target} do not ")
        for source, target in zip(sources, targets, strict=True)
    )
    assert "Give pairs." in message


@pytest.mark.parametrize(("sources", "targets"), MISPAIRED.values(), ids=MISPAIRED)
def test_mispaired_lists_are_refused_the_other_way_round(sources, targets):
    with pytest.raises(ValueError, match="belong together"):
        _check(targets, sources)


@pytest.mark.parametrize(("sources", "targets"), PAIRED.values(), ids=PAIRED)
def test_paired_lists_are_accepted(sources, targets):
    _check(sources, targets)
    _check(targets, sources)


def test_entities_that_disagree_are_named():
    with pytest.raises(ValueError, match=r": sub-1 and sub-2, ses-0 and ses-1\. Do"):
        check_pair("sub-1_ses-0_T1w.nii", "sub-2_ses-1_T2w.nii", "Do.")


IDS = st.one_of(
    st.integers(0, 999).map("{:03}".format),
    st.integers(0, 99).map("IXI{:03}".format),
    st.text("abcdeXYZ", min_size=1, max_size=4),
)
TEMPLATES = [
    ("{p}_T1.nii", "{p}_T2.nii"),
    ("{p}_{v}_T1.nii", "{p}_{v}_T2.nii"),
    ("sub-{p}_ses-{v}_T1w.nii.gz", "sub-{p}_ses-{v}_T2w.nii.gz"),
    ("sub-{p}_ses-{v}_acq-mp_T1w.nii", "sub-{p}_ses-{v}_acq-se_run-1_T2w.nii"),
    ("T1/{p}-{v}.nii", "T2/{p}-{v}.nii"),
    ("{p}/{v}/T1.nii", "{p}/{v}/T2.nii"),
    ("data/T1 {v} {p}.nii", "data/{v} {p} T2 brain.nii"),
    ("sub-{p}/ses-{v}/anat/T1w.nii", "sub-{p}/ses-{v}/anat/T2w.nii"),
]


@given(
    people=st.lists(st.tuples(IDS, st.integers(1, 3)), min_size=2, max_size=8),
    template=st.sampled_from(TEMPLATES),
    data=st.data(),
)
def test_the_right_order_passes_and_another_does_not(people, template, data):
    sources, targets = (
        [form.format(p=person, v=visit) for person, visit in people]
        for form in template
    )
    _check(sources, targets)
    assume(len(set(sources)) == len(sources))
    shift = data.draw(st.integers(1, len(people) - 1))
    with pytest.raises(ValueError, match="belong together"):
        _check(sources, targets[shift:] + targets[:shift])


@given(
    people=st.lists(st.integers(1, 500), min_size=2, max_size=12, unique=True),
    dates=st.lists(st.integers(20200101, 20200109), min_size=24, max_size=24),
    series=st.lists(st.integers(1, 9), min_size=24, max_size=24),
)
def test_what_coincides_by_accident_refuses_no_pair(people, dates, series):
    lists = [
        [
            f"P{person:03}_{dates[2 * i + c]}_{series[2 * i + c]}_T{c + 1}.nii"
            for i, person in enumerate(people)
        ]
        for c in (0, 1)
    ]
    _check(*lists)


# At every door


@pytest.fixture(scope="module")
def save(tmp_path_factory):
    """Save the scans of a subject under two names, or more."""
    folder = tmp_path_factory.mktemp("scans")

    def saved(seed, *names):
        paths = [folder / name for name in names]
        a, b, c, d = make_contrasts(seed)
        for path, array in zip(paths, (a, c, b, d), strict=False):
            path.parent.mkdir(parents=True, exist_ok=True)
            nib.save(make_image(array), path)
        return [str(path) for path in paths]

    return saved


@pytest.fixture(scope="module")
def sessions(save):
    """Sources and targets of two sessions of two people, a row each."""
    stems = [f"sub-{s}_ses-{v}" for s in (1, 2) for v in (0, 1)]
    rows = [save(i, f"{s}_T1w.nii", f"{s}_T2w.nii") for i, s in enumerate(stems)]
    return [list(each) for each in zip(*rows, strict=True)]


@pytest.fixture(scope="module")
def fitted(sessions):
    return small(LinearRegression()).fit(*sessions)


@pytest.mark.parametrize(
    "use",
    [
        lambda s, *pair: small(LinearRegression()).fit(*pair),
        lambda s, *pair: s.score(*pair),
        lambda s, *pair: s.score_volumes(*pair),
        lambda s, *pair: s.sample_voxels(*pair),
        lambda s, *pair: s.predict(pair[0], scale_to=pair[1]),
        lambda s, *pair: leave_one_subject_out({"": s}, *pair, [1, 1, 2, 2]),
    ],
)
def test_sessions_exchanged_are_refused(fitted, sessions, use):
    sources, targets = sessions
    exchanged = [targets[i] for i in (1, 0, 3, 2)]
    with pytest.raises(ValueError, match="ses-0 and ses-1") as caught:
        use(fitted, sources, exchanged)
    assert sources[0] in str(caught.value)
    assert exchanged[0] in str(caught.value)
    assert "in the same order" in str(caught.value)


def test_contrasts_of_sources_are_compared(save, sessions, tmp_path):
    both = [save(i, f"{i}x_T1.nii", f"{i}x_T2.nii", f"{i}x_PD.nii") for i in range(3)]
    sources, targets = [s[:2] for s in both], [s[2] for s in both]
    synthesizer = small(LinearRegression()).fit(sources, targets)
    mixed = [[sources[i][0], sources[i - 1][1]] for i in range(3)]
    for use in (
        lambda: synthesizer.predict(mixed),
        lambda: predict_files(synthesizer, mixed, tmp_path),
        lambda: predict_files(synthesizer, mixed, tmp_path, keep_going=True),
    ):
        with pytest.raises(ValueError, match="belong together") as caught:
            use()
        assert "Give each contrast" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_several_targets_are_compared(save):
    both = [save(i, f"{i}y_T1.nii", f"{i}y_T2.nii", f"{i}y_PD.nii") for i in range(2)]
    targets = [[both[0][1], both[1][2]], [both[1][1], both[0][2]]]
    with pytest.raises(ValueError, match="do not seem to belong together"):
        small(LinearRegression()).fit([s[0] for s in both], targets)


def test_images_in_memory_have_no_names(sessions):
    heads = [make_contrasts(seed, (24, 28, 20), 3) for seed in range(3)]
    sources, targets = ([make_image(head[i]) for head in heads] for i in (0, 2))
    with pytest.warns(PairWarning, match="than scans of different persons do"):
        small(LinearRegression()).fit(sources, targets[::-1])
    sources, targets = ([nib.load(p) for p in paths] for paths in sessions)
    with pytest.raises(ValueError, match="belong together"):
        small(LinearRegression()).fit(sources, targets[::-1])


@pytest.mark.parametrize("command", ["register", "fit"])
def test_nothing_is_registered_in_another_order(save, tmp_path, capsys, command):
    pytest.importorskip("SimpleITK")
    pytest.importorskip("matplotlib")
    rows = [save(i, f"{i}z_T1.nii", f"{i}z_T2.nii") for i in range(2)]
    sources, targets = zip(*rows, strict=True)
    lists = ["--source", *sources, "--target", *targets[::-1]]
    lists += ["-o", tmp_path / "a.skops"]
    lists += ["--register"] if command == "fit" else []
    error = refused(capsys, command, *lists)
    assert f"{sources[0]} has 0z in common with {targets[0]}" in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["fit", "evaluate"])
def test_the_command_refuses(sessions, tmp_path, capsys, command):
    sources, targets = sessions
    output = ["-o", tmp_path / "model.skops"] if command == "fit" else []
    lists = ["--source", *sources, "--target", *targets[::-1]]
    error = refused(capsys, command, *lists, *output)
    assert "sub-1 and sub-2, ses-0 and ses-1" in error


def test_evaluate_keeps_labels_whole(save, capsys):
    rows = []
    for i, stem in enumerate(["sub-CC-001", "sub-IXI_1", "sub-IXI_2"]):
        rows.append(save(i, f"{stem}_T1w.nii", f"{stem}_T2w.nii"))
    sources, targets = zip(*rows, strict=True)
    lists = ["--source", *sources, "--target", *targets]
    brief = ["--max-iter", "2", "--n-voxels", "300", "--hidden-layer-sizes", "8", "4"]
    assert run("evaluate", *lists, *brief, "-j", "1") == 0
    header = capsys.readouterr().out.splitlines()[0].split()
    assert {"sub-CC-001", "sub-IXI_1", "sub-IXI_2"} <= set(header)

"""BIDS datasets: which images are paired, and what is left out."""

import pytest

from sklearn_lsdn.jobs._bids import find_sessions
from sklearn_lsdn.jobs._names import derived_name, derived_path

pytest.importorskip("ancpbids", reason="BIDS datasets need ancpbids")


@pytest.fixture
def dataset(tmp_path):
    """sub-01 is complete, sub-02 has two sessions, sub-03 lacks T2w."""
    for stem in ("sub-01", "sub-02_ses-a", "sub-02_ses-b"):
        folder = "/".join(stem.split("_"))
        _touch(tmp_path, *(f"{folder}/anat/{stem}_{c}.nii.gz" for c in ("T1w", "T2w")))
    _touch(tmp_path, "sub-03/anat/sub-03_T1w.nii.gz")
    return tmp_path


def _touch(folder, *names):
    """Empty files that bear the names of images."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def _names(sessions):
    return {s.label: [scan.path.name for scan in s.scans] for s in sessions}


def test_pairs_are_found_within_sessions(dataset):
    sessions, left_out = find_sessions(dataset, ["T1w", "T2w"])
    assert _names(sessions) == {
        "sub-01": ["sub-01_T1w.nii.gz", "sub-01_T2w.nii.gz"],
        "sub-02_ses-a": ["sub-02_ses-a_T1w.nii.gz", "sub-02_ses-a_T2w.nii.gz"],
        "sub-02_ses-b": ["sub-02_ses-b_T1w.nii.gz", "sub-02_ses-b_T2w.nii.gz"],
    }
    assert left_out == ["sub-03 lacks T2w"]
    assert all(scan.path.is_file() for s in sessions for scan in s.scans)


def test_contrasts_of_two_sessions_make_no_pair(tmp_path):
    _touch(tmp_path, "sub-1/ses-1/anat/sub-1_ses-1_T1w.nii")
    _touch(tmp_path, "sub-1/ses-2/anat/sub-1_ses-2_T2w.nii")
    with pytest.raises(ValueError, match="sub-1_ses-1 lacks T2w; sub-1_ses-2 lacks T1"):
        find_sessions(tmp_path, ["T1w", "T2w"])


def test_sessions_without_either_contrast_are_passed_over(tmp_path):
    for contrast in ("T1w", "T2w"):
        _touch(tmp_path, f"sub-1/ses-1/anat/sub-1_ses-1_{contrast}.nii")
    _touch(tmp_path, "sub-1/ses-2/func/sub-1_ses-2_task-rest_bold.nii")
    _touch(tmp_path, "sub-2/func/sub-2_task-rest_bold.nii")
    sessions, left_out = find_sessions(tmp_path, ["T1w", "T2w"])
    assert [session.label for session in sessions] == ["sub-1_ses-1"]
    assert left_out == ["sub-2 lacks T1w and T2w"]


def test_only_images_of_the_dataset_itself_count(tmp_path):
    _touch(
        tmp_path,
        "sub-1/anat/sub-1_T1w.nii.gz",
        "sub-1/anat/sub-1_T1w.json",
        "sub-1/anat/T1w.nii.gz",
        "sub-1/anat/old_sub-1_T1w.nii.gz",
        "derivatives/other/sub-1/anat/sub-1_desc-preproc_T1w.nii.gz",
        "sourcedata/sub-2/anat/sub-2_T1w.nii.gz",
        ".git/sub-3_T1w.nii.gz",
    )
    sessions, (left_out,) = find_sessions(tmp_path, ["T1w"])
    assert _names(sessions) == {"sub-1": ["sub-1_T1w.nii.gz"]}
    assert left_out == (
        "2 images whose name is no BIDS name such as sub-01_T1w.nii.gz: "
        "sub-1/anat/T1w.nii.gz, sub-1/anat/old_sub-1_T1w.nii.gz"
    )
    (session,) = find_sessions(tmp_path / "derivatives" / "other", ["T1w"])[0]
    assert session.scans[0].entities["desc"] == "preproc"


@pytest.mark.parametrize("entity", ["ce-gadolinium", "part-phase", "echo-2"])
def test_another_contrast_of_the_same_suffix_is_never_taken_for_it(tmp_path, entity):
    _touch(tmp_path, "sub-1/anat/sub-1_T1w.nii", f"sub-1/anat/sub-1_{entity}_T1w.nii")
    _touch(tmp_path, f"sub-2/anat/sub-2_{entity}_T1w.nii")
    sessions, left_out = find_sessions(tmp_path, ["T1w"])
    assert _names(sessions) == {"sub-1": ["sub-1_T1w.nii"]}
    assert left_out == ["sub-2 lacks T1w"]
    sessions, _ = find_sessions(tmp_path, [f"{entity}_T1w"])
    assert [session.label for session in sessions] == ["sub-1", "sub-2"]


def test_two_candidates_are_not_guessed_between(tmp_path):
    _touch(tmp_path, "sub-1/anat/sub-1_run-1_T1w.nii", "sub-1/anat/sub-1_run-2_T1w.nii")
    _touch(tmp_path, "sub-2/anat/sub-2_T1w.nii")
    sessions, (left_out,) = find_sessions(tmp_path, ["T1w"])
    assert [session.label for session in sessions] == ["sub-2"]
    assert left_out.startswith("sub-1 has 2 images of T1w (sub-1_run-1_T1w.nii and ")
    assert left_out.endswith(": name the one meant, such as run-1_T1w")
    ((session,), _) = find_sessions(tmp_path, ["run-2_T1w"])
    assert session.scans[0].path.name == "sub-1_run-2_T1w.nii"


@pytest.mark.parametrize(
    ("stems", "advice"),
    [
        (["", "_acq-highres"], "name the one meant, such as acq-highres_T1w"),
        (["_desc-a", "_desc-b"], "choose by --desc"),
        (["_space-A_desc-a", "_space-B_desc-b"], "choose by --space and --desc"),
        (["_run-1_desc-a", "_run-2"], "such as run-1_T1w or choose by --desc"),
    ],
)
def test_what_tells_candidates_apart_is_named(tmp_path, stems, advice):
    _touch(tmp_path, *(f"sub-1/anat/sub-1{stem}_T1w.nii" for stem in stems))
    with pytest.raises(ValueError, match=f"{advice}[.]"):
        find_sessions(tmp_path, ["T1w"])


def test_an_image_in_two_formats_is_to_be_there_once(tmp_path):
    _touch(tmp_path, "sub-1/anat/sub-1_T1w.nii", "sub-1/anat/sub-1_T1w.nii.gz")
    with pytest.raises(ValueError, match="keep one of them"):
        find_sessions(tmp_path, ["T1w"])


def test_every_run_of_a_single_contrast_can_be_a_session(tmp_path):
    stems = ("sub-1_run-1", "sub-1_run-2", "sub-2_run-1", "sub-2_run-2_desc-a")
    names = [f"{stem[:5]}/anat/{stem}" for stem in stems]
    _touch(tmp_path, *(f"{n}_{c}.nii" for n in names for c in ("T1w", "T2w")))
    sessions, (left_out,) = find_sessions(tmp_path, ["T1w"], every_run=True)
    assert _names(sessions) == {
        "sub-1_run-1": ["sub-1_run-1_T1w.nii"],
        "sub-1_run-2": ["sub-1_run-2_T1w.nii"],
    }
    assert left_out.startswith("sub-2 has 2 images")
    # Which runs of two contrasts belong together is not guessed.
    with pytest.raises(ValueError, match="sub-1 has 2 images of T1w"):
        find_sessions(tmp_path, ["T1w", "T2w"], every_run=True)


def test_space_and_desc_choose(tmp_path):
    stems = ["", "_desc-preproc", "_space-MNI_desc-preproc", "_space-MNI_desc-brain"]
    _touch(tmp_path, *(f"sub-1/anat/sub-1{stem}_T1w.nii" for stem in stems))
    ((session,), _) = find_sessions(tmp_path, ["T1w"], space="MNI", desc="preproc")
    assert session.scans[0].path.name == "sub-1_space-MNI_desc-preproc_T1w.nii"
    with pytest.raises(ValueError, match="2 images of T1w"):
        find_sessions(tmp_path, ["T1w"], space="MNI")
    with pytest.raises(ValueError, match="T1w, with space-T1w; sub-1 lacks T1w"):
        find_sessions(tmp_path, ["T1w"], space="T1w")


def test_images_on_the_scanners_own_grid_are_preferred(tmp_path):
    both = ["", "_space-MNI_res-2"]
    named = [f"sub-1{space}_{c}" for space in both for c in ("T1w", "T2w")]
    named += ["sub-2_space-MNI_T1w", "sub-2_space-MNI_res-2_T2w", "sub-2_T1w"]
    named += [f"sub-3_space-{space}_T1w" for space in "AB"] + ["sub-3_space-B_T2w"]
    _touch(tmp_path, *(f"{name[:5]}/anat/{name}.nii" for name in named))
    sessions, left_out = find_sessions(tmp_path, ["T1w", "T2w"])
    assert _names(sessions) == {
        "sub-1": ["sub-1_T1w.nii", "sub-1_T2w.nii"],
        "sub-2": ["sub-2_space-MNI_T1w.nii", "sub-2_space-MNI_res-2_T2w.nii"],
        "sub-3": ["sub-3_space-B_T1w.nii", "sub-3_space-B_T2w.nii"],
    }
    assert left_out == []
    sessions, left_out = find_sessions(tmp_path, ["T1w"], space="none")
    assert list(_names(sessions)) == ["sub-1", "sub-2"]
    assert left_out == ["sub-3 lacks T1w"]
    with pytest.raises(ValueError, match="has PDw, without space; sub-1 lacks PDw"):
        find_sessions(tmp_path, ["PDw"], space="none")


def test_the_space_of_the_first_contrast_is_its_own_grid(tmp_path):
    """As of a T2w that was aligned to its T1w."""
    names = ["sub-1_T1w.nii", "sub-1_space-T1w_desc-preproc_T2w.nii"]
    _touch(tmp_path, *names, "sub-1_space-MNI_T2w.nii")
    for space in (None, "none"):
        sessions, _ = find_sessions(tmp_path, ["T1w", "T2w"], space=space)
        assert _names(sessions) == {"sub-1": names}
    sessions, _ = find_sessions(tmp_path, ["T2w"], space="T1w")
    assert _names(sessions) == {"sub-1": names[1:]}


def _mask_of(folder, scan, *masks, at=None):
    """Name of the mask that is found for a scan, of a subject with a scan alone."""
    names = [f"{name}.nii" for name in (scan, *masks)]
    _touch(folder, *(f"{name[:5]}/anat/{name}" for name in names))
    ((session,), left_out) = find_sessions(folder, ["T1w"], masks=at)
    assert left_out == []
    return session.mask and session.mask.name.removesuffix(".nii")


@pytest.mark.parametrize(
    ("scan", "mask"),
    [
        ("sub-1_T1w", "sub-1_desc-brain_mask"),
        ("sub-1_T1w", "sub-1_label-brain_mask"),
        ("sub-1_T1w", "sub-1_label-brain_desc-manual_mask"),
        ("sub-1_T1w", "sub-1_mod-T1w_desc-brain_mask"),
        ("sub-1_T1w", "sub-1_space-T1w_desc-brain_mask"),
        ("sub-1_desc-preproc_T1w", "sub-1_desc-brain_mask"),
        ("sub-1_acq-a_run-1_T1w", "sub-1_run-01_desc-brain_mask"),
        ("sub-1_space-M_res-2_T1w", "sub-1_space-M_res-2_desc-brain_mask"),
        ("sub-1_space-M_res-2_T1w", "sub-1_space-M_desc-brain_mask"),
    ],
)
def test_a_mask_that_belongs_to_a_scan(tmp_path, scan, mask):
    assert _mask_of(tmp_path, scan, mask) == mask


@pytest.mark.parametrize(
    "mask",
    [
        "sub-2_desc-brain_mask",
        "sub-1_ses-1_desc-brain_mask",
        "sub-1_run-2_desc-brain_mask",
        "sub-1_mod-T2w_desc-brain_mask",
        "sub-1_space-M_desc-brain_mask",
        "sub-1_task-rest_space-T1w_desc-brain_mask",
        "sub-1_desc-ribbon_mask",
        "sub-1_label-lesion_desc-brain_mask",
        "sub-1_mask",
        "sub-1_desc-brain_dseg",
    ],
)
def test_a_mask_that_does_not(tmp_path, mask):
    _touch(tmp_path, f"sub-1/anat/{mask}.nii")
    _touch(tmp_path, "sub-1/func/sub-1_desc-brain_mask.nii")
    _touch(tmp_path, "sub-1/anat/sub-1_run-1_T1w.nii")
    sessions, _ = find_sessions(tmp_path, ["T1w"])
    assert [session.mask for session in sessions] == [None]


def test_of_several_masks_that_with_most_in_common_is_taken(tmp_path):
    masks = [f"sub-1{stem}_desc-brain_mask" for stem in ("", "_run-1", "_run-2")]
    assert _mask_of(tmp_path, "sub-1_run-1_T1w", *masks) == masks[1]
    _touch(tmp_path, "sub-1/anat/sub-1_run-1_label-brain_mask.nii")
    with pytest.raises(ValueError, match="sub-1 has 2 brain masks") as error:
        find_sessions(tmp_path, ["T1w"])
    assert str(error.value).endswith(
        "(sub-1_run-1_desc-brain_mask.nii and sub-1_run-1_label-brain_mask.nii): keep "
        "one of them, or give --mask the folder of those meant."
    )


@pytest.mark.parametrize("ending", ["bet", "brain_mask", "BrainExtractionMask"])
def test_masks_of_another_folder_may_be_called_as_tools_do(tmp_path, ending):
    raw, brains = tmp_path / "raw", tmp_path / "brains"
    _touch(brains, f"sub-1_run-1_T1w_{ending}.nii.gz", "sub-1_run-1_T1w.nii.gz")
    _touch(brains, f"sub-1_run-2_T1w_{ending}.nii.gz", "sub-1_desc-brain_mask.nii")
    found = _mask_of(raw, "sub-1_run-1_T1w", "sub-1_desc-brain_mask", at=brains)
    assert found == f"sub-1_run-1_T1w_{ending}.nii.gz"
    _touch(brains, "sub-1_run-1_T1w_bet.nii.gz", "sub-1_run-1_T1w_bet_mask.nii.gz")
    if ending == "bet":  # is the image of the brain, beside a mask
        found = _mask_of(raw, "sub-1_run-1_T1w", "sub-1_desc-brain_mask", at=brains)
        assert found == "sub-1_run-1_T1w_bet_mask.nii.gz"


def test_a_folder_without_the_masks_is_refused(tmp_path):
    _touch(tmp_path, "raw/sub-1/anat/sub-1_T1w.nii", "brains/sub-1_brain.nii")
    with pytest.raises(ValueError, match="Call it sub-1_desc-brain_mask.nii.gz, or as"):
        find_sessions(tmp_path / "raw", ["T1w"], masks=tmp_path / "brains")
    with pytest.raises(NotADirectoryError, match="missing is not a folder of masks"):
        find_sessions(tmp_path / "raw", ["T1w"], masks=tmp_path / "missing")


def test_participants_are_chosen(dataset):
    sessions, _ = find_sessions(dataset, ["T1w"], participants=["sub-02", "03"])
    assert list(_names(sessions)) == ["sub-02_ses-a", "sub-02_ses-b", "sub-03"]
    with pytest.raises(ValueError, match=f"{dataset.name} has no images of sub-9[.]"):
        find_sessions(dataset, ["T1w"], participants=["9"])


def test_contrasts_in_different_spaces_make_no_pair(tmp_path):
    _touch(tmp_path, "sub-1/anat/sub-1_T1w.nii", "sub-1/anat/sub-1_space-MNI_T2w.nii")
    with pytest.raises(ValueError, match=r"different spaces \(no space, MNI\)"):
        find_sessions(tmp_path, ["T1w", "T2w"])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("sub-9/anat/T1w.nii.gz", "whose name is no BIDS name"),
        ("sub-9/anat/mprage.nii", "whose name is no BIDS name"),
        ("sub-9/anat/sub-9 T1w.nii.gz", "whose name is no BIDS name"),
        ("sub-9/anat/sub-9_brain_T1w.nii.gz", "whose name is no BIDS name"),
        ("sub-9/anat/sub-9_desc-0.5mm_T1w.nii.gz", "whose name is no BIDS name"),
        ("IXI009-Guys-0828-T1.nii.gz", "whose name is no BIDS name"),
        ("sub-9/anat/acq-fast_T1w.nii.gz", "without sub- in the name"),
        ("sub-9/anat/sub-8_T1w.nii.gz", "in the folder of another subject"),
        ("sub-9/ses-1/anat/sub-9_ses-2_T1w.nii.gz", "in the folder of another"),
        ("sub-9/anat/sub-9_T1w.mgz", "that are neither .nii nor .nii.gz"),
        ("sub-9/func/whatever.nii.gz", None),
        ("sub-9/anat/sub-9_FLAIR.mgz", None),
        ("sub-9/anat/._sub-9_T1w.nii.gz", None),
        ("sub-9/anat/notes.txt", None),
        ("derivatives/brains/sub-9.nii.gz", None),
    ],
)
def test_images_that_are_passed_over_are_told_with_the_reason(tmp_path, name, reason):
    _touch(tmp_path, "sub-1/anat/sub-1_T1w.nii.gz", name)
    sessions, left_out = find_sessions(tmp_path, ["T1w"])
    assert [session.label for session in sessions] == ["sub-1"]
    told = [text for text in left_out if text != "sub-9 lacks T1w"]
    if reason is None:
        assert told == []
    else:
        (text,) = told
        assert text.startswith(f"1 image {reason}")
        assert text.endswith(f": {name}")


def test_many_images_are_passed_over_in_one_line(tmp_path):
    _touch(tmp_path, "sub-1/anat/sub-1_T1w.nii", *(f"{i}.nii" for i in range(50)))
    _, (left_out,) = find_sessions(tmp_path, ["T1w"])
    assert left_out.startswith("50 images whose name is no BIDS name")
    assert left_out.endswith("0.nii, 1.nii, 10.nii and 47 more")


def test_without_any_session_the_error_says_what_was_passed_over(tmp_path):
    _touch(tmp_path, *(f"IXI{i:03}-Guys-T1.nii.gz" for i in range(20)))
    with pytest.raises(ValueError, match="has T1w; 20 images whose name is no BIDS"):
        find_sessions(tmp_path, ["T1w"])


def test_labels_keep_all_that_stands_in_names(tmp_path):
    for sub in ("CC-001", "CC-002", "IXI_1", "IXI_2"):
        stem = f"sub-{sub}/ses-1/anat/sub-{sub}_ses-1"
        _touch(tmp_path, *(f"{stem}_{c}.nii" for c in ("T1w", "T2w")))
    sessions, left_out = find_sessions(tmp_path, ["T1w", "T2w"])
    subjects = ["sub-CC-001", "sub-CC-002", "sub-IXI_1", "sub-IXI_2"]
    assert [session.label for session in sessions] == [f"{s}_ses-1" for s in subjects]
    assert left_out == []
    folders = [derived_path(tmp_path, s.scans[0], "T2w") for s in sessions]
    assert [path.relative_to(tmp_path).as_posix() for path in folders] == [
        f"{s}/ses-1/anat/{s}_ses-1_desc-synth_T2w.nii.gz" for s in subjects
    ]


def test_a_session_may_be_told_by_the_folder_alone(tmp_path):
    for ses in "12":
        names = (f"sub-1/ses-{ses}/anat/sub-1_{c}.nii" for c in ("T1w", "T2w"))
        _touch(tmp_path, *names)
    sessions, _ = find_sessions(tmp_path, ["T1w", "T2w"])
    assert [session.label for session in sessions] == ["sub-1_ses-1", "sub-1_ses-2"]


def test_contrasts_of_different_runs_make_no_pair(tmp_path):
    _touch(tmp_path, *(f"sub-1_run-{i}_{c}.nii" for i, c in [(1, "T1w"), (2, "T2w")]))
    _touch(tmp_path, "sub-2_run-1_T1w.nii", "sub-2_run-01_T2w.nii")
    _touch(tmp_path, "sub-3_run-1_T1w.nii", "sub-3_T2w.nii")
    sessions, left_out = find_sessions(tmp_path, ["T1w", "T2w"])
    assert [session.label for session in sessions] == ["sub-2", "sub-3"]
    assert left_out == ["sub-1 has contrasts of different runs (run-1, run-2)"]


def test_a_cache_in_the_dataset_is_not_unpickled(dataset):
    (dataset / ".ancpbids-dataset.pickle").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    assert len(find_sessions(dataset, ["T1w", "T2w"])[0]) == 3


@pytest.mark.parametrize("name", ["T1w.nii.gz", "anat/T1w", "T1-w", "*", "", "ce_"])
def test_a_name_that_is_no_contrast_is_refused(dataset, name):
    with pytest.raises(ValueError, match="no BIDS name of a contrast"):
        find_sessions(dataset, [name])


def test_names_of_derivatives(tmp_path):
    stem = "sub-1_ses-2_acq-fast_run-03_space-MNI_res-2_desc-preproc"
    _touch(tmp_path, f"sub-1/ses-2/anat/{stem}_T1w.nii")
    ((session,), _) = find_sessions(tmp_path, ["T1w"])
    (scan,) = session.scans
    expected = "sub-1_ses-2_run-03_space-MNI_res-2_desc-synth_FLAIR.nii.gz"
    assert derived_name(scan, "FLAIR") == expected
    name = derived_name(scan, "acq-slow_ce-gad_T1w")
    assert name.startswith("sub-1_ses-2_acq-slow_ce-gad_run-03_space-MNI_")


def test_the_open_ms_scans(open_ms):
    sessions, left_out = find_sessions(open_ms, ["T1w", "T2w"], space="MNI152")
    assert [session.label for session in sessions] == ["sub-07", "sub-19", "sub-26"]
    assert left_out == []
    assert not any("_ce-" in scan.path.name for s in sessions for scan in s.scans)
    sessions, _ = find_sessions(open_ms, ["ce-gadolinium_T1w"])
    assert len(sessions) == 3

"""What tells one unit of work from another, and what is found of it again."""

import joblib
import nibabel as nib
import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Lasso
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_lsdn import LSDNRegressor, load_model, save_model
from sklearn_lsdn._utils import store as store_module
from sklearn_lsdn._utils.store import Store, identity
from sklearn_lsdn.volumes._images import open_image

X = np.random.RandomState(0).uniform(size=(60, 5)).astype(np.float32)


def _network(**parameters):
    return LSDNRegressor((4,), max_iter=1, random_state=0, **parameters)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (X, X.astype(np.float64)),
        (X, X.T.copy().T[:, ::-1]),
        (Lasso(0.5), Lasso(1.0)),
        (_network(), _network(sigma=0.7)),
        (_network(), make_pipeline(StandardScaler(), _network())),
        (
            make_pipeline(StandardScaler(), _network()),
            make_pipeline(StandardScaler(), _network(alpha=1.0)),
        ),
        (
            FrozenEstimator(_network().fit(X, X[:, 0])),
            FrozenEstimator(_network().fit(X, X[:, 1])),
        ),
        (lambda x: x, lambda x: x),
    ],
    ids=range(8),
)
def test_what_decides_a_result_tells_units_apart(one, other):
    assert identity(one) != identity(other)


@pytest.mark.parametrize(
    "make",
    [
        lambda **free: X + 0,
        lambda **free: _network(**free),
        lambda **free: _network(**free).fit(X, X[:, 0]),
        lambda **free: {"a": [make_pipeline(_network(**free), verbose=bool(free))]},
        lambda **free: FrozenEstimator(_network(**free).fit(X, X[:, 0])),
        lambda **free: RandomForestRegressor(3, random_state=0, **free),
        lambda **free: np.random.RandomState(0),
    ],
    ids=range(7),
)
def test_how_it_is_computed_does_not(make):
    assert identity(make()) == identity(make(n_jobs=2, verbose=False))


def test_a_model_is_the_same_after_predicting():
    network = _network().fit(X, X[:, 0])
    before = identity(network)
    network.predict(X)
    assert identity(network) == before


def test_a_model_file_holds_the_same_model_each_time(tmp_path):
    pytest.importorskip("skops")
    save_model(_network().fit(X, X[:, 0]), tmp_path / "model.skops")
    one, other = (load_model(tmp_path / "model.skops") for _ in range(2))
    assert identity(one) == identity(other)


def test_versions_and_machine_count(monkeypatch):
    before = identity(X)
    with monkeypatch.context() as patch:
        patch.setattr(store_module, "_VERSIONS", "another")
        assert identity(X) != before
    monkeypatch.setattr("platform.machine", lambda: "another")
    assert identity(X) != before


def _identity_of_a_network(names, parameters):
    return identity(_network().fit(X, X[:, 0]), names, parameters)


def test_another_process_agrees(elsewhere):
    there = elsewhere(_identity_of_a_network, {"b", "a"}, {"b": 1, "a": 2})
    assert there == _identity_of_a_network({"a", "b"}, {"a": 2, "b": 1})


# Images


DATA = np.random.RandomState(0).uniform(1, 2, (4, 5, 6)).astype(np.float32)


def _fingerprint(image):
    return open_image(image, "image").fingerprint()


def _saved(path, data=DATA, kind=nib.Nifti1Image, affine=None, code=1):
    image = kind(data, np.eye(4) if affine is None else affine)
    if code != 1:
        image.set_sform(image.affine, code)
    nib.save(image, path)
    return path


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_an_image_is_known_wherever_it_lies(ending, tmp_path):
    first = _saved(tmp_path / f"a{ending}")
    content = first.read_bytes()
    other = tmp_path / "folder" / f"b{ending}"
    other.parent.mkdir()
    other.write_bytes(content)
    assert _fingerprint(first) == _fingerprint(other)


@pytest.mark.parametrize(
    "change",
    [
        dict(data=DATA + 1),
        dict(affine=np.diag([2.0, 1, 1, 1])),
        dict(code=4),
        dict(data=DATA[:, :, ::-1].copy()),
        dict(data=DATA.astype(np.float64)),
        dict(data=DATA.reshape(5, 4, 6)),
    ],
    ids=str,
)
def test_a_changed_image_is_another(change, tmp_path):
    path = tmp_path / "image.nii"
    before = _fingerprint(_saved(path))
    assert _fingerprint(_saved(path, **change)) != before


@pytest.mark.parametrize("ending", [".img", ".hdr"])
def test_both_files_of_a_pair_count(ending, tmp_path):
    path = _saved(tmp_path / f"image{ending}", kind=nib.Nifti1Pair)
    before = _fingerprint(path)
    _saved(path, kind=nib.Nifti1Pair, affine=np.diag([2.0, 1, 1, 1]))
    changed = _fingerprint(path)
    assert changed != before
    _saved(path, DATA + 1, kind=nib.Nifti1Pair, affine=np.diag([2.0, 1, 1, 1]))
    assert _fingerprint(path) not in (before, changed)


def test_an_image_that_was_repaired_after_loading_is_another(tmp_path):
    image = nib.load(_saved(tmp_path / "image.nii"))
    before = _fingerprint(image)
    image.affine[0, 3] = 5
    moved = _fingerprint(image)
    image.header["descrip"] = "repaired"
    assert len({before, moved, _fingerprint(image)}) == 3


# The store


def _failing():
    raise AssertionError("made again")


@pytest.mark.parametrize("kind", [str, lambda path: path, joblib.Memory])
def test_what_was_made_is_found_again(kind, tmp_path):
    memory = kind(tmp_path / "cache")
    if isinstance(memory, joblib.Memory):
        memory.verbose = 0
    assert not Store(memory).holds("a", X)
    for make in (lambda: [X, "made"], _failing):
        found, word = Store(memory).made(make, "a", X)
        np.testing.assert_array_equal(found, X)
        assert word == "made"
    assert Store(memory).holds("a", X)
    assert not Store(memory).holds("b", X)


def test_without_a_folder_nothing_is_kept():
    store = Store(None)
    assert not store
    assert [store.made(lambda n=n: n, "a") for n in range(2)] == [0, 1]
    assert not store.holds("a")


def test_what_fails_is_not_kept(tmp_path):
    with pytest.raises(AssertionError):
        Store(tmp_path).made(_failing, "a")
    assert not Store(tmp_path).holds("a")
    assert Store(tmp_path).made(lambda: 1, "a") == 1


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_what_is_damaged_is_made_again(share, tmp_path):
    Store(tmp_path).made(lambda: X, "a")
    (kept,) = tmp_path.rglob("output.pkl")
    content = kept.read_bytes()
    kept.write_bytes(content[: int(share * len(content))])
    for make in (lambda: X, _failing):
        np.testing.assert_array_equal(Store(tmp_path).made(make, "a"), X)


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="file cannot be made a folder"):
        Store(tmp_path / "file")
